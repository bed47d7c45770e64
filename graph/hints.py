"""Foreign keys that nobody declared but that recorded statements join by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import networkx as nx

from graph.leaves import Join
from graph.names import TableName
from graph.schema import Schema, Table

#: A column of a table, its name in lower case.
_Column = tuple[TableName, str]


@dataclass(frozen=True, slots=True)
class Hint:
    """A foreign key that a recording suggests: how many statements join by it, and the first of them."""

    child: TableName
    child_columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    statements: int
    first: int


def hints(joined: Iterable[tuple[int, Iterable[Join]]], schema: Schema) -> list[Hint]:
    """The undeclared foreign keys behind the joins of statements, given with their ids.

    The columns that a join compares must hold a unique key of one side, the parent. What declared foreign keys relate
    already, be it by a common ancestor, is no hint.
    """
    related = _related(schema)
    found: dict[tuple[TableName, tuple[str, ...], TableName, tuple[str, ...]], Hint] = {}
    for statement, joins in joined:
        # A statement may join by one key more than once.
        new = {hint for join in joins if (hint := _hint(join, statement, schema, related)) is not None}
        for hint in new:
            key = (hint.child, hint.child_columns, hint.parent, hint.parent_columns)
            known = found.get(key)
            found[key] = hint if known is None else replace(known, statements=known.statements + 1)
    return [found[key] for key in sorted(found)]


def _related(schema: Schema) -> nx.Graph[_Column]:
    """Columns by the foreign keys that say that their values are the same."""
    graph: nx.Graph[_Column] = nx.Graph()
    for child in schema.graph:
        for key in schema.parents(child):
            for own, far in zip(key.child_columns, key.parent_columns, strict=True):
                graph.add_edge((child, own.lower()), (key.parent, far.lower()))
    return graph


def _hint(join: Join, statement: int, schema: Schema, related: nx.Graph[_Column]) -> Hint | None:
    if join.one == join.other and join.one_columns == join.other_columns:
        return None
    turned = Join(join.other, join.other_columns, join.one, join.one_columns)
    # Where both sides have a key in it, the one that comes second in the statement's FROM is the parent.
    for child, child_columns, parent, parent_columns in (_sides(join), _sides(turned)):
        pairs = dict(zip(parent_columns, child_columns, strict=True))
        for key in _keys(schema.tables[parent]):
            if pairs.keys() >= set(key):
                own = tuple(pairs[column] for column in key)
                declared = all(_same((child, a), (parent, b), related) for a, b in zip(own, key, strict=True))
                return None if declared else Hint(child, own, parent, key, 1, statement)
    return None


def _sides(join: Join) -> tuple[TableName, tuple[str, ...], TableName, tuple[str, ...]]:
    return join.one, join.one_columns, join.other, join.other_columns


def _keys(table: Table) -> Iterator[tuple[str, ...]]:
    """Unique keys, the shortest first: a longer one that holds it says no more."""
    yield from sorted({key for key in (table.key, *table.unique) if key}, key=lambda key: (len(key), key))


def _same(one: _Column, other: _Column, related: nx.Graph[_Column]) -> bool:
    first, second = (one[0], one[1].lower()), (other[0], other[1].lower())
    return first in related and second in related and nx.has_path(related, first, second)
