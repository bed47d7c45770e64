"""Whether rows are still what they were: their number and a sum over their values.

The export takes a fingerprint of each table's rows inside its snapshot; the script takes it again after it
dumped the table. Both equal: what mysqldump read in between was the same. The server computes it, so no row
travels. Large values (BLOB, TEXT, JSON, GEOMETRY) are left out: reading them once more would cost as much as the
dump. A change of one of these alone is therefore not noticed; the rows still belong together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from graph import quoting
from graph.database import Database
from graph.exact import double
from graph.names import TableName
from graph.schema import Column, Table
from graph.selection import base_tables, restrictions
from graph.slice import Slice, TableSlice

#: Sums are taken modulo this, so that bash, whose numbers have 63 bits, can add two of them.
MODULUS: Final = 1 << 60

_AS_HEX: Final = frozenset({"char", "varchar", "enum", "set", "binary", "varbinary", "bit"})
_AS_TEXT: Final = frozenset(
    {
        *("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year"),
        *("date", "datetime", "time", "timestamp", "uuid", "inet4", "inet6"),
    }
)
_AS_DOUBLE: Final = frozenset({"float", "double"})


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The number of rows, and the sum of their digests modulo `MODULUS`."""

    rows: int
    values: int


def take(database: Database, slice_: Slice) -> dict[TableName, Fingerprint]:
    """The fingerprint of each table's rows as they are in the database's snapshot, if it has one open."""
    return {sliced.table.name: of(database, sliced) for sliced in base_tables(slice_)}


def columns(table: Table) -> str:
    """SQL for the two columns of a fingerprint: COUNT(*) and the sum."""
    digest = f"CONV(LEFT(SHA2(CONCAT_WS(',', {', '.join(_values(table))}), 256), 15), 16, 10)"
    return f"COUNT(*), COALESCE(MOD(SUM(CAST({digest} AS UNSIGNED)), {MODULUS}), 0)"


def of(database: Database, sliced: TableSlice) -> Fingerprint:
    """The fingerprint of one table's rows."""
    rows = values = 0
    select = f"SELECT {columns(sliced.table)} FROM {quoting.table(sliced.table.name)} WHERE "
    for where in restrictions(sliced):
        for count, digests in database.rows(select + (where or "TRUE")):
            rows += int(count)
            values = (values + int(digests)) % MODULUS
    return Fingerprint(rows, values)


def _values(table: Table) -> Iterator[str]:
    """At least one: a table may have large columns only."""
    yield "''"
    for column in table.columns:
        if not column.generated and (value := _value(column)) is not None:
            yield f"COALESCE({value}, '-')"


def _value(column: Column) -> str | None:
    name = quoting.identifier(column.name)
    if column.data_type in _AS_DOUBLE:
        return double(name)
    if column.data_type in _AS_HEX:
        return f"HEX({name})"
    return f"CAST({name} AS CHAR)" if column.data_type in _AS_TEXT else None
