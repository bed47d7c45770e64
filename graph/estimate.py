"""How large a slice will be as SQL: measured on some of the rows of each table, since server statistics know nothing of
which rows these are."""

from __future__ import annotations

from itertools import islice

from graph import quoting
from graph.database import Database
from graph.families import BYTES, SPATIAL
from graph.keys import restriction
from graph.schema import Column
from graph.slice import TableSlice

#: Rows that are measured of a table, spread over its keys.
SAMPLE = 200

_AS_HEX = BYTES | SPATIAL | {"bit", "vector"}


def table_bytes(database: Database, sliced: TableSlice) -> int:
    """About how many bytes a table's rows take in slice.sql: exact up to escapes for up to `SAMPLE` rows."""
    if not sliced.rows:
        return 0
    table = sliced.table
    columns = [column for column in table.columns if not column.generated]
    size = " + ".join([str(len(columns) + 2), *map(_size, columns)])
    select = f"SELECT {size} FROM {quoting.table(table.name)}"
    if table.key and not (sliced.whole and sliced.rows <= SAMPLE):
        step = max(1, sliced.rows // SAMPLE)
        sample = set(islice(sliced.keys, 0, SAMPLE * step, step))
        texts = [f"{select} WHERE {where}" for where in restriction(table, sample)]
    else:
        texts = [f"{select} LIMIT {SAMPLE}"]
    measured = [int(row[0]) for text in texts for row in database.rows(text)]
    return round(sum(measured) / len(measured) * sliced.rows) if measured else 0


def _size(column: Column) -> str:
    """SQL for the bytes of a value as mysqldump writes it: in hex, or in quotes."""
    name = quoting.identifier(column.name)
    length = f"2 * LENGTH({name})" if column.data_type in _AS_HEX else f"LENGTH({name})"
    return f"COALESCE({length} + 2, 4)"
