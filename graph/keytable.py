"""Keys for which WHERE texts are too long: a table of keys in a scratch schema, which `dump.sh` makes from a file."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, cast

from graph.errors import InputError
from graph.families import LONG_BYTES, LONG_TEXTS
from graph.keys import key_columns, literal
from graph.keystore import KeySet
from graph.quoting import identifier
from graph.quoting import table as quoted
from graph.schema import Table
from graph.slice import TableSlice

#: A line of values becomes one INSERT: well below every server's max_allowed_packet.
_LONGEST_LINE: Final = 500_000


def columns(table: Table) -> str:
    """The columns of a table's key as a list in SQL."""
    return ", ".join(identifier(name) for name in table.key)


def definition(table: Table) -> str:
    """What follows `CREATE TABLE name`: the key columns with their types and collations, and no row."""
    indexed = all(column.data_type not in LONG_TEXTS | LONG_BYTES for column in key_columns(table))
    index = f"(PRIMARY KEY ({columns(table)})) " if indexed else ""
    return f"{index}SELECT {columns(table)} FROM {quoted(table.name)} LIMIT 0"


def values(sliced: TableSlice) -> str:
    """The keys in lines, each of them what follows `INSERT INTO name VALUES`, in a session in UTC."""
    return "".join(f"{line}\n" for line in _lines(sliced))


def _lines(sliced: TableSlice) -> Iterator[str]:
    own = key_columns(sliced.table)
    line: list[str] = []
    size = 0
    keys = cast("Collection[tuple[Any, ...]]", sliced.keys)
    for key in keys if isinstance(keys, KeySet) else sorted(keys):
        row = f"({','.join(literal(column, value) for column, value in zip(own, key, strict=True))})"
        if "\n" in row:
            raise InputError(f"a key of table {sliced.table.name} cannot be written in one line")
        if line and size + len(row) > _LONGEST_LINE:
            yield ",".join(line)
            line, size = [], 0
        line.append(row)
        size += len(row) + 1
    if line:
        yield ",".join(line)
