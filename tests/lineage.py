"""A small relational algebra that carries lineage, and the closure under foreign keys: brute force, from whole tables.

It shares nothing with `graph/`; tests compare slices with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from examples.private_server import PrivateServer
from examples.two_labs.checks import ForeignKey, foreign_keys

#: A row of a base table: the table's quoted name and all its values.
RowId = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Row:
    """A row of a relation and the base rows that it comes from."""

    values: Mapping[str, Any]
    lineage: frozenset[RowId]

    def __getitem__(self, name: str) -> Any:
        """A column's value."""
        return self.values[name]


@dataclass(frozen=True)
class Relation:
    """Rows in an order."""

    rows: tuple[Row, ...]

    def where(self, condition: Callable[[Row], bool]) -> Relation:
        """The rows for which it holds."""
        return Relation(tuple(row for row in self.rows if condition(row)))

    def renamed(self, **names: str) -> Relation:
        """Columns renamed: new="old"."""
        old = {before: after for after, before in names.items()}
        return Relation(
            tuple(
                Row({old.get(name, name): value for name, value in row.values.items()}, row.lineage)
                for row in self.rows
            )
        )

    def join(self, other: Relation, *on: str) -> Relation:
        """An inner join on equal columns; NULL equals nothing."""
        return Relation(
            tuple(
                Row({**left.values, **right.values}, left.lineage | right.lineage)
                for left in self.rows
                for right in other.rows
                if _same(left, right, on)
            )
        )

    def left_join(self, other: Relation, *on: str) -> Relation:
        """An outer join: rows without a partner stay as they are."""
        partners = [(left, [right for right in other.rows if _same(left, right, on)]) for left in self.rows]
        return Relation(
            tuple(
                Row({**left.values, **(right.values if right else {})}, left.lineage | _lineage(right))
                for left, found in partners
                for right in (found or [None])
            )
        )

    def matching(self, other: Relation, *on: str) -> Relation:
        """The rows with a partner, all partners in their lineage."""
        partners = [(left, [right for right in other.rows if _same(left, right, on)]) for left in self.rows]
        return Relation(
            tuple(
                Row(left.values, left.lineage.union(*(right.lineage for right in found)))
                for left, found in partners
                if found
            )
        )

    def first(self, number: int, *, by: Callable[[Row], Any]) -> Relation:
        """The first rows of a total order."""
        return Relation(tuple(sorted(self.rows, key=by)[:number]))

    def __or__(self, other: Relation) -> Relation:
        """The rows of both."""
        return Relation(self.rows + other.rows)

    @property
    def lineage(self) -> frozenset[RowId]:
        """All base rows that the relation comes from."""
        return frozenset().union(*(row.lineage for row in self.rows))


def _same(left: Row, right: Row, on: Iterable[str]) -> bool:
    return all(left[name] is not None and left[name] == right[name] for name in on)


def _lineage(row: Row | None) -> frozenset[RowId]:
    return row.lineage if row else frozenset()


@dataclass(frozen=True)
class WholeDatabase:
    """Every row of some schemas' base tables, by the tables' quoted names."""

    tables: Mapping[str, Relation]
    columns: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, server: PrivateServer, *schemas: str) -> WholeDatabase:
        """Reads everything; DataJoint's housekeeping is left out."""
        names = ", ".join(f"'{schema}'" for schema in schemas)
        columns: dict[str, tuple[str, ...]] = {}
        for schema, table, column in server.rows(
            "SELECT c.table_schema, c.table_name, c.column_name"
            " FROM information_schema.columns c"
            " JOIN information_schema.tables t USING (table_schema, table_name)"
            f" WHERE c.table_schema IN ({names}) AND t.table_type = 'BASE TABLE'"
            " ORDER BY c.table_schema, c.table_name, c.ordinal_position",
        ):
            if not table.startswith("~"):
                name = f"`{schema}`.`{table}`"
                columns[name] = (*columns.get(name, ()), column)
        return cls({name: _relation(server, name, each) for name, each in columns.items()}, columns)

    def closure(self, keys: PrivateServer | Sequence[ForeignKey], rows: frozenset[RowId]) -> frozenset[RowId]:
        """The rows and all their ancestors by these keys, or a server's, one by one until nothing is new."""
        if isinstance(keys, PrivateServer):
            keys = foreign_keys(keys)
        found: set[RowId] = set()
        new = set(rows)
        while new:
            found |= new
            parents: set[RowId] = set()
            for name, values in new:
                child = dict(zip(self.columns[name], values, strict=True))
                for key in keys:
                    if key.child != name:
                        continue
                    wanted = [child[column] for column in key.child_columns]
                    if None not in wanted:
                        parents |= self._holding(key.parent, key.parent_columns, wanted)
            new = parents - found
        return frozenset(found)

    def _holding(self, name: str, columns: tuple[str, ...], wanted: list[Any]) -> frozenset[RowId]:
        rows = self.tables[name].where(lambda row: [row[column] for column in columns] == wanted)
        return rows.lineage

    @property
    def rows(self) -> frozenset[RowId]:
        """Every row."""
        return frozenset().union(*(relation.lineage for relation in self.tables.values()))


def _relation(server: PrivateServer, name: str, columns: tuple[str, ...]) -> Relation:
    selected = ", ".join(f"`{column}`" for column in columns)
    rows = server.rows(f"SELECT {selected} FROM {name}")
    return Relation(tuple(Row(dict(zip(columns, row, strict=True)), frozenset({(name, row)})) for row in rows))
