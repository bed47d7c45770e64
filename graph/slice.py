"""A slice: for each table the rows that the leaves and their ancestors need."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from graph.masks import Mask, Masks
from graph.names import TableName
from graph.schema import ForeignKey, Schema, Table

if TYPE_CHECKING:
    from graph.definition import Definition

#: The key of one row: the values of `Table.key`, as `graph.keys` decodes them.
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class TableSlice:
    """The rows of one table.

    `keys` identifies them; with `whole` every row of the table belongs to the slice (always so for a table
    without a key). `rows` and `total` count the rows of the slice and of the table in the snapshot (None: not
    counted); 0 rows means that only the structure is needed. `reasons` says in words why these rows are here, `masks`
    which columns do not show their values. `definition` is the structure that goes out.
    """

    table: Table
    keys: Set[Key]
    whole: bool
    rows: int
    total: int | None
    reasons: tuple[str, ...] = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)
    definition: Definition | None = None


@dataclass(frozen=True, slots=True)
class PinCheck:
    """How the rows that recorded results of a statement named in a table compare with the source as it is now.

    `pinned` counts them, `missing` those of them that are not there any more. `gone` counts those that are there but
    that the statement would not fetch now, `new` those that it would fetch beside them; None: not asked.
    """

    statement: int | None
    table: TableName
    pinned: int
    missing: int
    gone: int | None = None
    new: int | None = None

    @property
    def differs(self) -> bool:
        """Whether the source has another answer now."""
        return bool(self.missing or self.gone or self.new)


@dataclass(frozen=True, slots=True)
class Change:
    """A statement whose result is no longer what was recorded.

    `recorded` and `now` count rows; where they are equal, rows have other values. `pinned`: the slice has the rows that
    were recorded, with their values of now; else those that the statement fetches now.
    """

    statement: int
    recorded: int
    now: int
    pinned: bool


@dataclass(frozen=True, slots=True)
class Dangling:
    """Rows of the slice that refer by a foreign key to rows that it does not have, and is not meant to have."""

    foreign_key: ForeignKey
    rows: int
    reason: str


@dataclass(frozen=True)
class Slice:
    """Table slices, parents before children.

    `refused` says of statements (by id) why the server would not run the SQL made from them: what they need
    may be missing here. `pins` compares pinned rows with the source, `changes` results with those that were recorded.
    `lost` counts for statements (by id) the rows of each table that they asked for and that limits kept out; `dangling`
    is what refers to rows that are left out.
    """

    schema: Schema
    tables: Mapping[TableName, TableSlice]
    warnings: tuple[str, ...] = field(default=())
    refused: Mapping[int, str] = field(default_factory=dict)
    pins: tuple[PinCheck, ...] = ()
    changes: tuple[Change, ...] = ()
    lost: Mapping[int, Mapping[TableName, int]] = field(default_factory=dict)
    dangling: tuple[Dangling, ...] = ()

    @property
    def rows(self) -> int:
        """Rows over all tables."""
        return sum(table.rows for table in self.tables.values())

    @property
    def foreign_keys(self) -> list[ForeignKey]:
        """The foreign keys of the slice's tables."""
        return [key for name in self.tables for key in self.schema.parents(name)]

    def masked(self, masks: Masks) -> Slice:
        """The slice with these columns masked."""
        tables = {
            name: replace(sliced, masks=masks[name]) if name in masks else sliced
            for name, sliced in self.tables.items()
        }
        return replace(self, tables=tables)

    def dangling_rows(self, key: ForeignKey) -> int:
        """How many rows refer by this foreign key to rows that are left out."""
        return next((each.rows for each in self.dangling if each.foreign_key == key), 0)
