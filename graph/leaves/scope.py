"""Names inside a query: which tables a SELECT draws from, which columns it gives, and what they depend on.

A *block* is one SELECT. Its *sources* are the tables and derived tables of its FROM. A *taint* marks a value that may
come out differently on a slice than on the full database: the result of an aggregate (an incomplete group), or a
column from the optional side of an outer join (a missing partner).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from graph.leaves.parse import Unreadable
from graph.schema import Schema, Table


@dataclass(frozen=True, slots=True)
class Source:
    """A table or derived table in a FROM; `join` is None for the first one; `optional` when an outer join may give
    NULLs for it."""

    alias: str
    node: exp.Expr
    join: exp.Join | None
    optional: bool

    @property
    def occurrence(self) -> int | None:
        """The number of the base-table occurrence, None for a derived table."""
        number = self.node.meta.get("occurrence")
        return int(number) if number is not None else None


@dataclass(frozen=True)
class Prepared:
    """A query made ready: CTEs and views inlined, base-table occurrences, blocks and conjuncts numbered.

    `tables` gives the table of each occurrence.
    """

    tree: exp.Query
    schema: Schema
    tables: list[Table] = field(default_factory=list)
    views: list[Table] = field(default_factory=list)
    dropped: bool = False


@dataclass(frozen=True, slots=True)
class Taint:
    """`kind` is "aggregate" (of the block with that number) or "outer" (the join with that number).

    `direct`: the value is the tainted column itself, so that a missing partner shows as NULL.
    """

    kind: str
    number: int
    direct: bool = True

    @property
    def cause(self) -> tuple[str, int]:
        """What the taint comes from."""
        return self.kind, self.number


def inner_query(node: exp.Expr | None) -> exp.Query:
    """The query inside parentheses. Raises Unreadable for anything else."""
    while isinstance(node, exp.Subquery):
        node = node.this
    if not isinstance(node, exp.Query):
        raise Unreadable("a subquery of it is no SELECT")
    return node


def blocks(query: exp.Expr) -> Iterator[exp.Select]:
    """All SELECTs, outer before inner."""
    yield from query.find_all(exp.Select, bfs=False)


def sources(select: exp.Select) -> list[Source]:
    """The sources of a block, in order; parenthesised joins are flattened."""
    start = select.args.get("from_")
    found = _flatten(start.this, None) if start is not None else []
    for join in select.args.get("joins") or []:
        side = (join.side or "").upper()
        if side == "RIGHT":
            found = [Source(s.alias, s.node, s.join, True) for s in found]
        found += [
            Source(s.alias, s.node, join, s.optional or side in ("LEFT", "FULL")) for s in _flatten(join.this, join)
        ]
    return found


def _flatten(node: exp.Expr, join: exp.Join | None) -> list[Source]:
    if isinstance(node, exp.Table):
        found = [Source(node.alias_or_name, node, join, False)]
        for inner in node.args.get("joins") or []:
            optional = (inner.side or "").upper() == "LEFT"
            found += [Source(s.alias, s.node, inner, optional or s.optional) for s in _flatten(inner.this, inner)]
        return found
    if isinstance(node, exp.Subquery):
        if isinstance(node.this, exp.Table):
            return _flatten(node.this, join)
        return [Source(node.alias, node, join, False)]
    raise Unreadable(f"its FROM holds {type(node).__name__.upper()}, which is not followed yet")


def source_columns(source: Source, prepared: Prepared) -> list[str]:
    """The column names that a source offers."""
    if source.occurrence is not None:
        return [column.name for column in prepared.tables[source.occurrence].columns]
    return outputs(inner_query(source.node), prepared)


def outputs(query: exp.Expr, prepared: Prepared) -> list[str]:
    """The column names of a query's result; an expression without a name has its text."""
    if isinstance(query, exp.SetOperation | exp.Subquery):
        return outputs(query.this, prepared)
    if not isinstance(query, exp.Select):
        raise Unreadable("a part of it is no SELECT")
    names: list[str] = []
    for projection in query.expressions:
        if isinstance(projection, exp.Star):
            seen = {name.lower() for name in names}
            for source in sources(query):
                for name in source_columns(source, prepared):
                    if name.lower() not in seen or not _merges(source):
                        names.append(name)
                        seen.add(name.lower())
        elif isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
            wanted = [s for s in sources(query) if s.alias.lower() == projection.table.lower()]
            names += [name for source in wanted for name in source_columns(source, prepared)]
        else:
            names.append(projection.alias_or_name or projection.sql(dialect="mysql"))
    return names


def _merges(source: Source) -> bool:
    join = source.join
    return join is not None and bool(join.args.get("using") or (join.method or "").upper() == "NATURAL")


def own_nodes(node: exp.Expr) -> Iterator[exp.Expr]:
    """The nodes of an expression, without what lies inside its subqueries."""
    yield node
    for child in node.iter_expressions():
        if not isinstance(child, exp.Query) or isinstance(child, exp.Table):
            yield from own_nodes(child)


def subqueries(node: exp.Expr) -> list[exp.Expr]:
    """The outermost queries inside an expression."""
    if isinstance(node, exp.Select | exp.SetOperation | exp.Subquery):
        return [node]
    return [found for child in node.iter_expressions() for found in subqueries(child)]


def own_columns(node: exp.Expr) -> list[exp.Column]:
    """The columns that an expression names, without those inside its subqueries."""
    return [found for found in own_nodes(node) if isinstance(found, exp.Column)]


def find_source(select: exp.Select, column: exp.Column, prepared: Prepared) -> Source | None:
    """The source that a column belongs to: by its qualifier, else the first that offers the name."""
    name, qualifier = column.name.lower(), column.table.lower()
    for source in sources(select):
        if qualifier and source.alias.lower() != qualifier:
            continue
        if any(offered.lower() == name for offered in source_columns(source, prepared)):
            return source
    return None


def projection_named(select: exp.Select, name: str) -> exp.Expr | None:
    """The expression behind an alias of the select list."""
    for projection in select.expressions:
        if isinstance(projection, exp.Alias) and projection.alias.lower() == name.lower():
            inner = projection.this
            return inner if isinstance(inner, exp.Expr) else None
    return None


def free_columns(query: exp.Expr, prepared: Prepared) -> list[exp.Column]:
    """The columns of a subquery that none of its own sources offers: they belong to an outer query."""
    if isinstance(query, exp.SetOperation):
        return free_columns(query.this, prepared) + free_columns(query.expression, prepared)
    if isinstance(query, exp.Subquery):
        return free_columns(query.this, prepared)
    if not isinstance(query, exp.Select):
        return []
    free: list[exp.Column] = []
    for key, part in query.args.items():
        for node in part if isinstance(part, list) else [part]:
            if not isinstance(node, exp.Expr):
                continue
            for inner in subqueries(node):
                inner_free = free_columns(inner, prepared)
                free += inner_free if key in ("from_", "joins") else _unresolved(query, inner_free, prepared)
            free += _unresolved(query, own_columns(node), prepared)
    return free


def _unresolved(select: exp.Select, columns: list[exp.Column], prepared: Prepared) -> list[exp.Column]:
    return [
        column
        for column in columns
        if not isinstance(column.this, exp.Star)
        and find_source(select, column, prepared) is None
        and (column.table or projection_named(select, column.name) is None)
    ]


def is_grouped(select: exp.Select) -> bool:
    """Whether the block aggregates: by GROUP BY, or by an aggregate function anywhere in its lists."""
    if select.args.get("group") is not None:
        return True
    parts = [*select.expressions, select.args.get("having"), select.args.get("order")]
    return any(has_aggregate(part) for part in parts if part is not None)


def has_aggregate(node: exp.Expr) -> bool:
    """Whether an expression aggregates, outside its subqueries and outside window functions."""
    if isinstance(node, exp.Window):
        return any(has_aggregate(child) for child in node.args.get("partition_by") or [])
    if isinstance(node, exp.AggFunc) or (isinstance(node, exp.Anonymous) and node.name.upper() in _AGGREGATES):
        return True
    return any(
        has_aggregate(child)
        for child in node.iter_expressions()
        if not isinstance(child, exp.Query) or isinstance(child, exp.Table)
    )


_AGGREGATES = frozenset({"JSON_ARRAYAGG", "JSON_OBJECTAGG", "BIT_AND", "BIT_OR", "BIT_XOR", "STD", "ST_COLLECT"})


def is_limited(query: exp.Expr) -> bool:
    """Whether the query has a LIMIT or OFFSET of its own."""
    return query.args.get("limit") is not None or query.args.get("offset") is not None


def output_taints(query: exp.Expr, prepared: Prepared) -> dict[str, frozenset[Taint]]:
    """The taints of each column of a query's result, by its name in lower case."""
    if isinstance(query, exp.Subquery):
        return output_taints(query.this, prepared)
    if isinstance(query, exp.SetOperation):
        left = output_taints(query.this, prepared)
        right = list(output_taints(query.expression, prepared).values())
        return {
            name: taints | (right[index] if index < len(right) else frozenset())
            for index, (name, taints) in enumerate(left.items())
        }
    if not isinstance(query, exp.Select):
        return {}
    found: dict[str, frozenset[Taint]] = {}
    for projection in query.expressions:
        if isinstance(projection, exp.Star) or isinstance(projection.this, exp.Star):
            for source in sources(query):
                for name in source_columns(source, prepared):
                    taint = _source_taint(source, name, prepared)
                    found[name.lower()] = found.get(name.lower(), frozenset()) | taint
        else:
            name = (projection.alias_or_name or projection.sql(dialect="mysql")).lower()
            taints = taints_of(query, projection, prepared)
            if not isinstance(projection.unalias(), exp.Column):
                taints = frozenset(Taint(taint.kind, taint.number, direct=False) for taint in taints)
            found[name] = taints
    return found


def taints_of(select: exp.Select, node: exp.Expr, prepared: Prepared) -> frozenset[Taint]:
    """The taints of an expression that stands in a block."""
    found: frozenset[Taint] = frozenset()
    if has_aggregate(node):
        found |= {Taint("aggregate", int(select.meta["block"]))}
    for column in own_columns(node):
        if isinstance(column.this, exp.Star):
            continue
        source = find_source(select, column, prepared)
        behind = None if column.table else projection_named(select, column.name)
        if source is not None and not _merged(select, column, prepared):
            found |= _source_taint(source, column.name, prepared)
        if source is None and behind is not None and behind is not node and node not in behind.walk():
            found |= taints_of(select, behind, prepared)
    return found


def _merged(select: exp.Select, column: exp.Column, prepared: Prepared) -> bool:
    """Whether an unqualified column is one that a LEFT JOIN merges: the kept side gives it."""
    if column.table:
        return False
    offering = [s for s in sources(select) if column.name.lower() in {n.lower() for n in source_columns(s, prepared)}]
    return len(offering) > 1 and any(not s.optional for s in offering)


def _source_taint(source: Source, name: str, prepared: Prepared) -> frozenset[Taint]:
    found: frozenset[Taint] = frozenset()
    if source.occurrence is None:
        found = output_taints(inner_query(source.node), prepared).get(name.lower(), frozenset())
    if source.optional and source.join is not None:
        found |= {Taint("outer", int(source.join.meta["join"]))}
    elif source.optional:
        found |= {Taint("outer", -1)}
    return found
