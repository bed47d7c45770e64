"""A slice: for each table the rows that the leaves and their ancestors need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.names import TableName
from graph.schema import Schema, Table

#: The key of one row: the values of `Table.key`, as `graph.keys` decodes them.
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class TableSlice:
    """The rows of one table.

    `keys` identifies them; with `whole` every row of the table belongs to the slice (always so for a table
    without a key). `rows` and `total` count the rows of the slice and of the table in the snapshot; 0 rows
    means that only the structure is needed. `reasons` says in words why these rows are here.
    """

    table: Table
    keys: frozenset[Key]
    whole: bool
    rows: int
    total: int
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Slice:
    """Table slices, parents before children.

    `refused` says of statements (by id) why the server would not run the SQL made from them: what they need
    may be missing here.
    """

    schema: Schema
    tables: Mapping[TableName, TableSlice]
    warnings: tuple[str, ...] = field(default=())
    refused: Mapping[int, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows over all tables."""
        return sum(table.rows for table in self.tables.values())
