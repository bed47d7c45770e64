"""What the closure asks of the tables: which rows there are, and which rows theirs need. In SQL: plain SELECTs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from graph import quoting
from graph.database import Database
from graph.keys import decoder, integral, key_columns, key_expression, restriction
from graph.keystore import Batch, KeySet
from graph.names import TableName
from graph.schema import ForeignKey, Schema, Table
from graph.slice import Key

#: All rows of a table are read where these many are asked for, at least one in so many, and each takes more bytes of
#: SQL than this: not where they stand in runs.
_FEW: Final = 50_000
_SHARE: Final = 4
_SHORT: Final = 3

#: Answers for as many keys are read by the way that is fast once it is begun.
_MANY: Final = 1000


@dataclass(frozen=True, slots=True)
class Edge:
    """The rows of `source` need the rows of `target` that agree with them in these columns (a NULL: none).

    `foreign_key` is its constraint's name, None for another kind of need. `reason` tells people why.
    """

    source: TableName
    source_columns: tuple[str, ...]
    target: TableName
    target_columns: tuple[str, ...]
    reason: str
    foreign_key: str | None = None

    @classmethod
    def of(cls, key: ForeignKey) -> Edge:
        """Child rows need their parents."""
        reason = f"referenced by {key.child} ({', '.join(key.child_columns)})"
        return cls(key.child, key.child_columns, key.parent, key.parent_columns, reason, key.name)


class Tables(Protocol):
    """The rows of all tables in one state. Rows are given by their keys; None in place of keys means all rows."""

    def total(self, table: Table) -> int:
        """How many rows the table has."""

    def count(self, table: Table, keys: Collection[Key]) -> int:
        """How many rows have one of these keys."""

    def existing(self, table: Table, keys: Collection[Key] | None) -> Iterator[Key]:
        """The rows that these keys lead to, by the keys that they have."""

    def targets(self, edge: Edge, keys: Collection[Key] | None) -> Iterator[Key | None]:
        """The rows that these rows of the edge's source need, perhaps repeated; None if any refers to no row, which is
        told of foreign keys alone."""

    def pairs(self, edge: Edge, keys: Collection[Key] | None = None) -> Iterator[tuple[Key, Key | None]]:
        """Each of these rows of the edge's source that refers to a row, with each row that it needs; None as above."""

    def scans(self, table: Table, batch: Batch, total: int) -> bool:
        """Whether to look at all rows of a table is cheaper than to ask for those of the batch."""

    def orphans(self, edge: Edge, keys: Collection[Key] | None) -> Iterator[tuple[Sequence[Any], int]]:
        """The values by which these rows refer to no row, and how many do."""


class SqlTables:
    """The tables of a server, in the snapshot of its connection."""

    def __init__(self, database: Database, schema: Schema) -> None:
        self._database = database
        self._schema = schema
        self._written: tuple[Collection[Key], Table, list[str]] | None = None

    def total(self, table: Table) -> int:
        return int(self._database.value(f"SELECT COUNT(*) FROM {quoting.table(table.name)}"))

    def count(self, table: Table, keys: Collection[Key]) -> int:
        start = f"SELECT COUNT(*) FROM {quoting.table(table.name)} WHERE "
        return sum(int(self._database.value(start + text)) for text in restriction(table, keys))

    def existing(self, table: Table, keys: Collection[Key] | None) -> Iterator[Key]:
        start = f"SELECT {', '.join(_expressions(table))} FROM {quoting.table(table.name)} WHERE "
        integers = _fast(keys, table)
        for text in ["TRUE"] if keys is None else restriction(table, keys):
            rows = self._database.rows(start + text, integers=integers)
            yield from rows if integers else map(decoder(table), rows)

    def targets(self, edge: Edge, keys: Collection[Key] | None) -> Iterator[Key | None]:
        join = self._join(edge)
        decode, integers = decoder(join.target), _fast(keys, join.target)
        for where in self._restrictions(join.source, keys):
            for row in self._database.rows(join.targets(where), integers=integers):
                if int(row[-1]):
                    yield None
                else:
                    yield row[:-1] if integers else decode(row[:-1])

    def pairs(self, edge: Edge, keys: Collection[Key] | None = None) -> Iterator[tuple[Key, Key | None]]:
        join = self._join(edge)
        width = len(join.source.key)
        integers = _fast(keys, join.source, join.target)
        of_source, of_target = decoder(join.source), decoder(join.target)
        texts: Sequence[str | None] = [None]
        if keys is not None:
            texts = restriction(join.source, keys, qualifier="c.", ordered=isinstance(keys, KeySet))
        for where in texts:
            for row in self._database.rows(join.pairs(where), integers=integers):
                own = row[:width] if integers else of_source(row[:width])
                if int(row[-1]):
                    yield own, None
                else:
                    yield own, row[width:-1] if integers else of_target(row[width:-1])

    def scans(self, table: Table, batch: Batch, total: int) -> bool:
        if len(batch) < _FEW or len(batch) * _SHARE < total:
            return False
        sample = next(batch.pages())
        return sum(map(len, restriction(table, sample))) > len(sample) * _SHORT

    def orphans(self, edge: Edge, keys: Collection[Key] | None) -> Iterator[tuple[Sequence[Any], int]]:
        join = self._join(edge)
        for where in self._restrictions(join.source, keys):
            for *values, count in self._database.rows(join.orphans(where)):
                yield values, int(count)

    def _join(self, edge: Edge) -> _Join:
        return _Join(edge, self._schema.tables[edge.source], self._schema.tables[edge.target])

    def _restrictions(self, table: Table, keys: Collection[Key] | None) -> Sequence[str | None]:
        """WHERE texts; written once for the same keys, since several edges ask one after the other."""
        if keys is None:
            return [None]
        if self._written is None or self._written[0] is not keys or self._written[1] is not table:
            self._written = keys, table, restriction(table, keys, qualifier="c.")
        return self._written[2]


def _fast(keys: Collection[Key] | None, *tables: Table) -> bool:
    """Whether to read the keys of these tables as integers: it takes two more turns."""
    return (keys is None or len(keys) >= _MANY) and all(map(integral, tables))


def _expressions(table: Table, qualifier: str = "") -> list[str]:
    """SQL for the values of a table's key."""
    return [key_expression(column, f"{qualifier}{quoting.identifier(column.name)}") for column in key_columns(table)]


@dataclass(frozen=True, slots=True)
class _Join:
    """SQL that follows an edge from rows of its source, `c`, to its target, `p`."""

    edge: Edge
    source: Table
    target: Table

    def targets(self, where: str | None) -> str:
        """Selects the target's keys and, last, 1 for the rows that refer to none."""
        columns = [*_expressions(self.target, "p."), f"{self._far_column()} IS NULL"]
        return f"SELECT DISTINCT {', '.join(columns)} {self._from(where)}"

    def pairs(self, where: str | None) -> str:
        """Selects the source's keys, the target's, and 1 for the rows that refer to none."""
        columns = [*_expressions(self.source, "c."), *_expressions(self.target, "p."), f"{self._far_column()} IS NULL"]
        return f"SELECT {', '.join(columns)} {self._from(where)}"

    def orphans(self, where: str | None) -> str:
        """Selects the values that refer to none, with how many rows have them."""
        own = ", ".join(f"c.{quoting.identifier(name)}" for name in self.edge.source_columns)
        rows = f"{self._from(where)} AND {self._far_column()} IS NULL"
        return f"SELECT {own}, COUNT(*) {rows} GROUP BY {own} ORDER BY {own}"

    def _far_column(self) -> str:
        return f"p.{quoting.identifier(self.edge.target_columns[0])}"

    def _from(self, where: str | None) -> str:
        own = [f"c.{quoting.identifier(name)}" for name in self.edge.source_columns]
        far = [f"p.{quoting.identifier(name)}" for name in self.edge.target_columns]
        agree = " AND ".join(f"{b}={a}" for a, b in zip(own, far, strict=True))
        conditions = [f"{name} IS NOT NULL" for name in own]
        if where is not None:
            conditions.append(f"({where})")
        kind = "LEFT JOIN" if self.edge.foreign_key is not None else "JOIN"
        return (
            f"FROM {quoting.table(self.source.name)} c {kind} {quoting.table(self.target.name)} p"
            f" ON {agree} WHERE {' AND '.join(conditions)}"
        )
