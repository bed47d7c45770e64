"""The text of a slice as `export --run --direct` writes it: line by line what `dump.sh` has mysqldump write.

The server writes the rows, as SQL that yields SQL: exact values, see `graph.exact`. What may be too long for that (a
server's own text must not exceed its max_allowed_packet, and hexadecimals take twice the room) comes as it is and is
written here.
"""

from __future__ import annotations

from binascii import hexlify
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from graph import exact
from graph.bash import use
from graph.direct_rows import Value
from graph.families import CHOICES, LONG_BYTES, LONG_TEXTS, SPATIAL, TEXTS
from graph.masks import Mask, written
from graph.quoting import identifier, string_literal
from graph.schema import Column, Table

#: So long a statement gets before the next one begins; a longer one has a single row.
LONGEST_STATEMENT: Final = 1_000_000

#: Short enough for the server to write as SQL.
_SHORT_TEXTS: Final = TEXTS - LONG_TEXTS | CHOICES | {"tinytext"}
_LONG_TEXTS: Final = LONG_TEXTS - {"tinytext"} | {"json"}
_LONG_BYTES: Final = LONG_BYTES - {"tinyblob"} | SPATIAL
#: In a text's quotes; the line breaks, since restore.sh looks for lines.
_ESCAPES: Final = (
    (b"\\", b"\\\\"),
    (b"'", b"\\'"),
    (b"\0", b"\\0"),
    (b"\n", b"\\n"),
    (b"\r", b"\\r"),
    (b"\x1a", b"\\Z"),
)


class TooLong(Exception):
    """The server could not write a row, since that would be longer than its max_allowed_packet."""


@dataclass(frozen=True, slots=True)
class RowForm:
    """How a table's rows are had: what to SELECT, and what makes of each column of the answer a piece of the row."""

    select: str
    writers: tuple[Callable[[Value], bytes], ...]


def row_form(table: Table, masks: Mapping[str, Mask] = MappingProxyType({})) -> RowForm:
    """How the rows of a table become `(value,…)`, for a session in UTC with an empty sql_mode. The server shows nothing
    of masked columns."""
    asked: list[str] = []
    writers: list[Callable[[Value], bytes]] = []
    run = ["'('"]
    for position, column in enumerate(_stored(table)):
        if position:
            run.append("','")
        mask = masks.get(column.name)
        writer = None if mask is not None else _writer(column)
        if writer is None:
            run.append(_literal(column) if mask is None else written(column, mask))
        else:
            asked += [f"CONCAT({', '.join(run)})", identifier(column.name)]
            writers += [_as_it_came, writer]
            run = []
    asked.append(f"CONCAT({', '.join([*run, _CLOSE])})")
    writers.append(_as_it_came)
    return RowForm(", ".join(asked), tuple(writers))


def insert_head(table: Table) -> bytes:
    """What stands before the rows in an INSERT."""
    names = ", ".join(identifier(column.name) for column in _stored(table))
    return _encoded(f"INSERT INTO {identifier(table.name.name)} ({names}) VALUES ")


def inserts(head: bytes, rows: Iterable[Sequence[bytes]], longest: int = LONGEST_STATEMENT) -> Iterator[bytes]:
    """Rows, each in pieces, as statements of about `longest` bytes, a line each. They may come in pieces, too."""
    pack: list[bytes] = []
    size = 0
    for row in rows:
        more = sum(map(len, row)) + 1
        if pack and size + more > longest:
            yield from _statement(pack, size, longest)
            pack, size = [], 0
        pack.append(b"," if pack else head)
        pack += row
        size += more
    if pack:
        yield from _statement(pack, size, longest)


def mark(which: str, part: str) -> str:
    """A line by which restore.sh finds a part of the slice; `which` is begin or end."""
    return f"-- {which} `{part}`\n"


def schema_mark(number: int, schema: str) -> str:
    """The rows that follow are for this schema, the slice's schema of that number."""
    part = f"schema {number}"
    return f"{mark('begin', part)}{use(schema)}\n{mark('end', part)}"


_CLOSE: Final = "')'"


def _stored(table: Table) -> list[Column]:
    return [column for column in table.columns if not column.generated]


def _literal(column: Column) -> str:
    """SQL that gives a column's value as SQL; NULL when that is too long."""
    if column.data_type not in _SHORT_TEXTS:
        return exact.literal(column)
    # QUOTE leaves line breaks, and makes 'NULL' of NULL.
    text = f"QUOTE(CONVERT({identifier(column.name)} USING utf8mb4))"
    for raw, escaped in (("0A", "\\n"), ("0D", "\\r")):
        text = f"REPLACE({text}, _utf8mb4 x'{raw}', {string_literal(escaped)})"
    return text


def _writer(column: Column) -> Callable[[Value], bytes] | None:
    """What writes the values of a column that comes as it is."""
    if column.data_type in _LONG_TEXTS:
        return quoted_text
    return hexadecimal if column.data_type in _LONG_BYTES else None


def _as_it_came(value: Value) -> bytes:
    if value is None:
        raise TooLong
    return bytes(value)


def quoted_text(value: Value) -> bytes:
    """A text in UTF-8 as SQL, in one line."""
    if value is None:
        return b"NULL"
    text = bytes(value)
    for raw, escaped in _ESCAPES:
        text = text.replace(raw, escaped)
    return b"'%b'" % text


def hexadecimal(value: Value) -> bytes:
    """Bytes as SQL."""
    if value is None:
        return b"NULL"
    return b"0x" + hexlify(value) if value else b"''"


def _statement(pack: list[bytes], size: int, longest: int) -> Iterator[bytes]:
    pack.append(b";\n")
    yield from pack if size > longest else [b"".join(pack)]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
