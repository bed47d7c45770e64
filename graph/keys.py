"""The keys of rows: how they are read from a server, and WHERE texts that select exactly their rows.

A key must mean one row wherever it is used: in a session with other settings than the one that read
it, and in mysqldump's, which is in UTC and has an empty sql_mode. So each type has a codec: the SQL
that gives a value independently of the session, the Python value, and the literal that finds it again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, Final, cast

from graph import quoting
from graph.errors import InputError
from graph.families import BYTES, INTEGERS
from graph.schema import Column, Table
from graph.slice import Key

#: MariaDB turns a list of 1000 and more into a subquery over a temporary table.
_LONGEST_LIST: Final = 900

#: Consecutive integers are written as a range from this many on.
_SHORTEST_RUN: Final = 3

#: Keys of which conditions are made in one go, with what they have in common.
_PART: Final = 200_000

#: So many ranges stand behind one that spans them all: a server tests an OR's ranges one after the other for each row.
_SPANNED_RANGES: Final = 32


@dataclass(frozen=True, slots=True)
class _Codec:
    """`expression` and `operand` are what a SELECT and a WHERE say for a column `{}`.

    `runs`: the values are integers, so that consecutive ones may be written as a range.
    """

    decode: Callable[[Any], Any]
    literal: Callable[[Any], str]
    expression: str = "{}"
    operand: str = "{}"
    runs: bool = False


def _text(raw: str | bytes) -> str:
    return raw.decode("utf-8") if isinstance(raw, bytes) else raw


def _unpadded(raw: str | bytes) -> str:
    """CHAR has no trailing spaces of its own; PAD_CHAR_TO_FULL_LENGTH shows some."""
    return _text(raw).rstrip(" ")


def _binary(raw: str | bytes) -> bytes:
    return raw.encode("utf-8") if isinstance(raw, str) else raw


def _double(value: float) -> str:
    """With an exponent, without which MySQL reads a DECIMAL."""
    digits = repr(value)
    return digits if "e" in digits else digits + "e0"


def _fixed(value: Decimal) -> str:
    return format(value, "f")


def _year(value: int) -> str:
    """Four digits in quotes: the number 0 would do as well, but 1 to 99 never mean a year of that number."""
    return f"'{value:04d}'"


def _utc(value: Decimal) -> str:
    """Seconds since 1970 as the text of a UTC time; 0 is the zero date, which no other TIMESTAMP can be."""
    if value == 0:
        return "'0000-00-00 00:00:00'"
    seconds, fraction = divmod(value, 1)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(seconds), microseconds=int(fraction * 1_000_000))
    return f"'{moment:%Y-%m-%d %H:%M:%S}{f'.{moment.microsecond:06d}' if moment.microsecond else ''}'"


_INTEGER: Final = _Codec(int, str, runs=True)
_STRING: Final = _Codec(_text, quoting.string_literal)
_BYTES: Final = _Codec(_binary, quoting.bytes_literal)
_DOUBLE: Final = _Codec(float, _double)
_ROUNDED: Final = _Codec(float, _double, "CAST({} AS DOUBLE)", "CAST({} AS DOUBLE)")


_CODECS: Final[dict[str, _Codec]] = {
    **dict.fromkeys(INTEGERS, _INTEGER),
    "bit": _Codec(int, str, "{}+0", runs=True),
    "year": _Codec(int, _year),
    "decimal": _Codec(Decimal, _fixed),
    "double": _DOUBLE,
    "float": _ROUNDED,
    "timestamp": _Codec(Decimal, _utc, "UNIX_TIMESTAMP({})"),
    "char": _Codec(_unpadded, quoting.string_literal),
    **dict.fromkeys(BYTES, _BYTES),
}


def _codec(column: Column) -> _Codec:
    # DOUBLE(M,D) too is shown with fewer digits than it has.
    if column.data_type == "double" and "(" in column.column_type:
        return _ROUNDED
    return _CODECS.get(column.data_type, _STRING)


def key_columns(table: Table) -> tuple[Column, ...]:
    """The columns of a table's key, in its order."""
    return tuple(table.column(name) for name in table.key)


def integral(table: Table) -> bool:
    """Whether the table has a key, and all of its values are integers, also to the server."""
    return bool(table.key) and all(_codec(column).runs for column in key_columns(table))


def key_expression(column: Column, reference: str) -> str:
    """SQL for the value of a column that is written `reference`, exact and independent of the session."""
    return _codec(column).expression.format(reference)


def literal(column: Column, value: object) -> str:
    """A key column's value in SQL; right in a session in UTC."""
    return _codec(column).literal(value)


def decoder(table: Table) -> Callable[[Sequence[Any]], Key]:
    """What turns raw values (the `key_expression` of each key column, none NULL) of that table into keys."""
    decoders = tuple([_codec(column).decode for column in key_columns(table)])
    if len(decoders) == 1:
        (only,) = decoders
        return lambda row: (only(row[0]),)
    return lambda row: tuple([decode(raw) for decode, raw in zip(decoders, row, strict=True)])


def decode(table: Table, row: Sequence[Any]) -> Key:
    """One row's key from the raw values of a connection without converters: text as str, binary as bytes."""
    return decoder(table)(row)


def same_value(child: Column, parent: Column) -> bool:
    """Whether a child's foreign-key value is its parent's value to the bit.

    Foreign keys compare by collation: 'MOUSE1 ' may refer to 'Mouse1'; and types may differ in length.
    """
    if child.data_type in INTEGERS and parent.data_type in INTEGERS:
        return True
    if child.data_type == parent.data_type == "varbinary":
        return True
    if child.column_type != parent.column_type:
        return False
    if child.data_type == parent.data_type == "varchar":
        collation = child.collation or ""
        return collation == parent.collation and collation.endswith(("_0900_bin", "_nopad_bin"))
    return child.data_type in {"decimal", "date", "datetime", "time", "year", "bit", "binary"}


def restriction(
    table: Table, keys: Collection[Key], limit: int = 100_000, qualifier: str = "", *, ordered: bool = False
) -> list[str]:
    """WHERE texts of at most `limit` bytes in UTF-8 that together select exactly the rows of these keys.

    Each row is selected by one text only. A text is a disjunction: put it in parentheses before adding to it.
    They hold in a session whose time_zone is '+00:00', under any sql_mode that allows zero dates
    (mysqldump's, and that of `graph.database`). `qualifier` is SQL to put before column names, such as
    an alias with a dot. With `ordered` the keys come in order, equal values of a column one after the other; no more
    than a part of them is held then.
    Empty for no keys, and for a table without a key, which can only be taken whole.
    Raises InputError when one row's condition is longer than `limit`.
    """
    columns = key_columns(table)
    if not columns or not keys:
        return []
    values = cast("Collection[tuple[Any, ...]]", keys)
    writer = _Writer(columns, qualifier)
    parts = _parts(values if ordered else sorted(values))
    conditions = (each for part in parts for each in writer.conditions(_tree(part, 0, len(columns)), 0, limit))
    texts = [" OR ".join(pack) for pack in _packs(conditions, limit)]
    if any(_size(text) > limit for text in texts):
        raise InputError(f"a key of table {table.name} is longer than {limit} bytes when written as SQL")
    return texts


def _parts(keys: Iterable[tuple[Any, ...]]) -> Iterator[list[tuple[Any, ...]]]:
    remaining = iter(keys)
    while part := list(islice(remaining, _PART)):
        yield part


#: Rows that agree in the columns before: ((values of this column, what they have in common in the next
#: columns), …), with None after the last column.
_Tree = tuple[tuple[tuple[Any, ...], Any], ...]


def _tree(keys: Sequence[tuple[Any, ...]], depth: int, width: int) -> _Tree:
    """Sorted keys by the values of column `depth`; values with the same continuation are put together."""
    if depth == width - 1:
        return ((tuple(key[depth] for key in keys), None),)
    together: dict[_Tree, list[Any]] = {}
    for value, group in groupby(keys, key=itemgetter(depth)):
        together.setdefault(_tree(list(group), depth + 1, width), []).append(value)
    return tuple((tuple(values), rest) for rest, values in together.items())


@dataclass(frozen=True, slots=True)
class _Writer:
    columns: tuple[Column, ...]
    qualifier: str

    def conditions(self, tree: _Tree, depth: int, limit: int) -> Iterator[str]:
        """Conditions without a top-level OR, exactly one of which holds for each row of the tree.

        They keep to `limit` bytes where single values allow.
        """
        for values, rest in tree:
            if rest is None:
                yield from self._alternatives(values, depth, limit)
                continue
            # What a short list leaves of its column's share, the next columns may use.
            share = limit // (len(self.columns) - depth)
            for heads in _packs(self._alternatives(values, depth, share), share):
                head = _either(heads)
                room = limit - _size(head) - len(" AND ()")
                for tails in _packs(self.conditions(rest, depth + 1, room), room):
                    yield f"{head} AND {_either(tails)}"

    def _alternatives(self, values: Sequence[Any], depth: int, limit: int) -> Iterator[str]:
        """Conditions on one column, lists among them cut at `limit` bytes."""
        column = self.columns[depth]
        codec = _codec(column)
        operand = codec.operand.format(self.qualifier + quoting.identifier(column.name))
        singles: list[str] = []
        ranges: list[tuple[Any, Any, str]] = []
        for first, last in _runs(values) if codec.runs else ((value, value) for value in values):
            if first != last:
                ranges.append((first, last, f"{operand} BETWEEN {codec.literal(first)} AND {codec.literal(last)}"))
            else:
                singles.append(codec.literal(first))
        for start in range(0, len(ranges), _SPANNED_RANGES):
            some = ranges[start : start + _SPANNED_RANGES]
            texts = [text for _, _, text in some]
            span = f"{operand} BETWEEN {codec.literal(some[0][0])} AND {codec.literal(some[-1][1])}"
            spanned = f"{span} AND {_either(texts)}"
            if len(ranges) > _SPANNED_RANGES and len(some) > 1 and _size(spanned) <= limit:
                yield spanned
            else:
                yield from texts
        yield from _lists(operand, singles, limit)


def _runs(values: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Sorted integers as (first, last); those of short runs one by one."""
    start = 0
    for end in range(1, len(values) + 1):
        if end < len(values) and values[end] == values[end - 1] + 1:
            continue
        if end - start >= _SHORTEST_RUN:
            yield values[start], values[end - 1]
        else:
            yield from ((value, value) for value in values[start:end])
        start = end


def _lists(operand: str, literals: Sequence[str], limit: int) -> Iterator[str]:
    start = 0
    while start < len(literals):
        end, size = start + 1, _size(f"{operand} IN ({literals[start]})")
        while end < len(literals) and end - start < _LONGEST_LIST:
            size += _size(literals[end]) + 1
            if size > limit:
                break
            end += 1
        if end - start == 1:
            yield f"{operand}={literals[start]}"
        else:
            yield f"{operand} IN ({','.join(literals[start:end])})"
        start = end


def _packs(conditions: Iterable[str], limit: int) -> Iterator[list[str]]:
    """As many conditions at a time as `limit` bytes hold, joined by OR and put in parentheses."""
    pack: list[str] = []
    size = 0
    for condition in conditions:
        more = _size(condition) + len(" OR ")
        if pack and size + more > limit:
            yield pack
            pack, size = [], 0
        pack.append(condition)
        size += more
    if pack:
        yield pack


def _either(conditions: Sequence[str]) -> str:
    """One condition that may stand beside an AND."""
    return conditions[0] if len(conditions) == 1 else f"({' OR '.join(conditions)})"


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8"))
