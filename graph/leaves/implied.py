"""Rows that need no rule of their own, since foreign keys bring them.

Where a query's own inner join is a declared foreign key, each row of the parent in its result is the parent of a row of
the child in it: the closure brings it. One rule for the child stands for both, and the join is evaluated once less.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import networkx as nx
from sqlglot import exp

from graph.leaves.conjuncts import clause_conjuncts, on_conjuncts
from graph.leaves.scope import (
    Prepared,
    Source,
    blocks,
    derived_query,
    find_source,
    item_named,
    joins_of,
    shown_columns,
    sources,
)
from graph.schema import ForeignKey

#: A column of an occurrence: its number, and the column's name in lower case.
Origin = tuple[int, str]


def implied(root: exp.Query, numbers: Collection[int], prepared: Prepared) -> set[int]:
    """The occurrences among `numbers` whose rows are parents of rows of others among them, in every row of the result.

    None of those that stand for another is itself in the answer by way of that one.
    """
    equal: nx.Graph[Origin] = nx.Graph()
    for select in blocks(root):
        equal.add_edges_from(equalities(select, prepared))
    stands: dict[int, int] = {}
    for parent in numbers:
        for child in numbers:
            if child != parent and _last(stands, child) != parent and _refers(child, parent, equal, prepared):
                stands[parent] = child
                break
    return set(stands)


def _last(stands: dict[int, int], number: int) -> int:
    """The occurrence whose rule brings the rows of one."""
    while number in stands:
        number = stands[number]
    return number


def _refers(child: int, parent: int, equal: nx.Graph[Origin], prepared: Prepared) -> bool:
    target = prepared.tables[parent]
    return any(
        key.parent == target.name
        and set(key.parent_columns) == set(target.key)
        and all(_same(equal, pair) for pair in _pairs(child, parent, key))
        for key in prepared.schema.parents(prepared.tables[child].name)
    )


def _pairs(child: int, parent: int, key: ForeignKey) -> Iterator[tuple[Origin, Origin]]:
    for own, far in zip(key.child_columns, key.parent_columns, strict=True):
        yield (child, own.lower()), (parent, far.lower())


def _same(equal: nx.Graph[Origin], pair: tuple[Origin, Origin]) -> bool:
    first, second = pair
    return first in equal and second in equal and nx.has_path(equal, first, second)


def equalities(select: exp.Select, prepared: Prepared, *, optional: bool = False) -> Iterator[tuple[Origin, Origin]]:
    """The columns that the inner joins and the WHERE of a block make equal, those that outer joins may make NULL left
    out; with `optional` what any join compares."""
    conditions = clause_conjuncts(select, "where")
    for join in joins_of(select):
        if optional or not join.side:
            conditions += on_conjuncts(join)
    for condition in conditions:
        inner: exp.Expr = condition
        while isinstance(inner, exp.Paren):
            inner = inner.this
        if (
            isinstance(inner, exp.EQ)
            and isinstance(inner.this, exp.Column)
            and isinstance(inner.expression, exp.Column)
        ):
            sides = [origin_of(select, side, prepared, optional=optional) for side in (inner.this, inner.expression)]
            if sides[0] is not None and sides[1] is not None:
                yield sides[0], sides[1]
    yield from _merged(select, prepared, optional)


def _merged(select: exp.Select, prepared: Prepared, optional: bool) -> Iterator[tuple[Origin, Origin]]:
    """What NATURAL JOIN and USING compare; where parentheses or commas say what is joined with what, less of it."""
    found = sources(select)
    if any(join.parent is not select for join in joins_of(select)):
        return
    seen: dict[str, Origin] = {}
    for source in found:
        join = source.join
        natural = join is not None and (join.method or "").upper() == "NATURAL"
        using = {column.name.lower() for column in join.args.get("using") or []} if join is not None else set()
        if join is not None and not natural and not using and join.args.get("on") is None:
            seen = {}
        for name in (each.lower() for each in shown_columns(source, prepared)):
            origin = None if source.optional and not optional else _inside(source, name, prepared, optional)
            if origin is None:
                continue
            if name in seen and (natural or name in using):
                yield seen[name], origin
            seen.setdefault(name, origin)


def origin_of(select: exp.Select, column: exp.Column, prepared: Prepared, *, optional: bool = False) -> Origin | None:
    """The base column that a column of a block is; unless `optional`, where no outer join may make it NULL."""
    if column.meta.get("owner") != select.meta.get("block"):
        return None
    source = find_source(select, column, prepared)
    if source is None or (source.optional and not optional):
        return None
    return _inside(source, column.name, prepared, optional)


def _inside(source: Source, name: str, prepared: Prepared, optional: bool) -> Origin | None:
    if source.occurrence is not None:
        return source.occurrence, name.lower()
    query = derived_query(source)
    if not isinstance(query, exp.Select):
        return None
    item = item_named(query, name)
    return origin_of(query, item, prepared, optional=optional) if isinstance(item, exp.Column) else None
