"""Names inside a query: which tables a SELECT draws from, which columns it gives, and what they depend on.

A *block* is one SELECT. Its *sources* are the tables and derived tables of its FROM. A *taint* marks a value that may
come out differently on a slice than on the full database: the result of an aggregate (an incomplete group), a column
from the optional side of an outer join (a missing partner), or the value of a subquery that looks at the row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from sqlglot import exp

from graph.leaves.unreadable import Unreadable
from graph.schema import Schema, Table


@dataclass(frozen=True, slots=True)
class Source:
    """A table or derived table in a FROM; `join` is None for the first one; `outer` are the outer joins that may give
    NULLs for it."""

    alias: str
    node: exp.Expr
    join: exp.Join | None
    outer: tuple[exp.Join, ...] = ()

    @property
    def optional(self) -> bool:
        """Whether an outer join may give NULLs for it."""
        return bool(self.outer)

    @property
    def occurrence(self) -> int | None:
        """The number of the base-table occurrence, None for a derived table."""
        number = self.node.meta.get("occurrence")
        return int(number) if number is not None else None


@dataclass
class Prepared:
    """A query made ready: CTEs and views inlined, base-table occurrences, blocks and conjuncts numbered.

    The first of `roots` is the query, the others must answer as on the source by themselves: what stands in the query
    as opaque text is made of them. `tables` gives the table of each occurrence.
    """

    roots: list[exp.Query]
    schema: Schema
    tables: list[Table] = field(default_factory=list)
    views: list[Table] = field(default_factory=list)
    dropped: bool = False

    @property
    def tree(self) -> exp.Query:
        """The query itself."""
        return self.roots[0]

    def blocks(self) -> Iterator[exp.Select]:
        """All SELECTs of all roots, outer before inner."""
        for root in self.roots:
            yield from blocks(root)


@dataclass(frozen=True, slots=True)
class Taint:
    """`kind` is "aggregate" (of the block with that number), "outer" (the join with that number) or "value" (a subquery
    of the block with that number, which looks at its rows).

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
    if start is None:
        return []
    return _joined(_flatten(start.this, None), select.args.get("joins") or [])


def _joined(found: list[Source], joins: list[exp.Join]) -> list[Source]:
    for join in joins:
        side = (join.side or "").upper()
        if side == "RIGHT":
            found = [replace(source, outer=(*source.outer, join)) for source in found]
        more = _flatten(join.this, join)
        if side in ("LEFT", "FULL"):
            more = [replace(source, outer=(*source.outer, join)) for source in more]
        found = [*found, *more]
    return found


def _flatten(node: exp.Expr, join: exp.Join | None) -> list[Source]:
    if isinstance(node, exp.Subquery) and is_parenthesised_join(node):
        return _joined(_flatten(node.this, join), node.args.get("joins") or [])
    if isinstance(node, exp.Table | exp.Subquery | exp.Lateral):
        own = Source(node.alias_or_name, node, join)
        return _joined([own], node.args.get("joins") or [])
    raise Unreadable(f"its FROM holds {type(node).__name__.upper()}, which is not followed")


def is_parenthesised_join(node: exp.Expr) -> bool:
    """Whether the node is parentheses around tables, not a derived table."""
    return (
        isinstance(node, exp.Subquery)
        and not node.alias
        and isinstance(node.this, exp.Table | exp.Subquery)
        and not is_opaque(node)
        and (isinstance(node.this, exp.Table) or bool(node.this.alias) or is_parenthesised_join(node.this))
    )


def joins_of(select: exp.Select) -> list[exp.Join]:
    """All joins of a FROM, those in parentheses among them."""
    found: list[exp.Join] = []
    start = select.args.get("from_")
    holders: list[exp.Expr] = [select, *([start.this] if start is not None else [])]
    while holders:
        holder = holders.pop(0)
        joins = holder.args.get("joins") or []
        found += joins
        holders += [join.this for join in joins]
        if is_parenthesised_join(holder):
            holders.append(holder.this)
    return found


def opaque(text: str, alias: exp.TableAlias, columns: list[str], start: int | None = None) -> exp.Subquery:
    """A derived table whose text is kept as it is: rows that others must make the same.

    Its columns are those named, else those of the root with the number `start`.
    """
    node = exp.Subquery(this=exp.Var(this=text), alias=alias.copy())
    node.meta["opaque"] = True
    if columns:
        node.meta["columns"] = list(columns)
    else:
        node.meta["start"] = start
    return node


def is_opaque(node: exp.Expr) -> bool:
    """Whether a source holds no rows of tables that are followed here."""
    return bool(node.meta.get("opaque"))


def derived_query(source: Source) -> exp.Query | None:
    """The query of a derived table; None for a base table and for what is opaque."""
    if source.occurrence is not None or is_opaque(source.node):
        return None
    return inner_query(source.node.this if isinstance(source.node, exp.Lateral) else source.node)


def source_columns(source: Source, prepared: Prepared) -> list[str]:
    """The column names that a source offers, invisible ones among them."""
    if source.occurrence is not None:
        return [column.name for column in prepared.tables[source.occurrence].columns]
    if is_opaque(source.node):
        named = source.node.meta.get("columns")
        return list(named) if named else outputs(prepared.roots[source.node.meta["start"]], prepared)
    return outputs(inner_query(source.node.this if isinstance(source.node, exp.Lateral) else source.node), prepared)


def shown_columns(source: Source, prepared: Prepared) -> list[str]:
    """The column names that `*` and NATURAL JOIN mean."""
    if source.occurrence is not None:
        return [column.name for column in prepared.tables[source.occurrence].columns if not column.invisible]
    return source_columns(source, prepared)


def outputs(query: exp.Expr, prepared: Prepared) -> list[str]:
    """The column names of a query's result; an expression without a name has its text."""
    if isinstance(query, exp.SetOperation | exp.Subquery):
        return outputs(query.this, prepared)
    if not isinstance(query, exp.Select):
        raise Unreadable("a part of it is no SELECT")
    names: list[str] = []
    for projection in query.expressions:
        names.append(projection.alias_or_name or projection.sql(dialect="mysql"))
    return names


def item_named(select: exp.Select, name: str) -> exp.Expr | None:
    """The expression of the select list that has a name: an alias, or a column's own."""
    for item in select.expressions:
        if item.alias_or_name.lower() == name.lower() and isinstance(item, exp.Alias | exp.Column):
            return item.unalias()
    return None


def name_columns(query: exp.Expr) -> None:
    """Gives names to the columns of a query that have none but their text, where nobody can have used that."""
    if isinstance(query, exp.Subquery):
        name_columns(query.this)
    elif isinstance(query, exp.SetOperation):
        name_columns(query.this)
        name_columns(query.expression)
    elif isinstance(query, exp.Select):
        for index, item in enumerate(query.expressions):
            if not isinstance(item, exp.Alias | exp.Star | exp.Column):
                item.replace(exp.alias_(item.copy(), f"djproxy_o{index}", quoted=True))


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


def block_columns(select: exp.Select, node: exp.Expr) -> list[exp.Column]:
    """The columns of a block that an expression names, at any depth of its subqueries."""
    number = select.meta.get("block")
    return [
        column
        for column in node.find_all(exp.Column)
        if column.meta.get("owner") == number and not isinstance(column.this, exp.Star)
    ]


def own_columns(node: exp.Expr) -> list[exp.Column]:
    """The columns that an expression names, without those inside its subqueries."""
    return [found for found in own_nodes(node) if isinstance(found, exp.Column)]


def find_source(select: exp.Select, column: exp.Column, prepared: Prepared) -> Source | None:
    """The source that a column belongs to: by its qualifier, else the first that offers the name; None for a name of
    the select list."""
    if column.meta.get("item"):
        return None
    name, qualifier = column.name.lower(), column.table.lower()
    for source in sources(select):
        if qualifier and not is_called(source, column):
            continue
        if any(offered.lower() == name for offered in source_columns(source, prepared)):
            return source
    return None


def is_called(source: Source, column: exp.Column) -> bool:
    """Whether a column's qualifier names a source; with a schema, the table of that schema."""
    if source.alias.lower() != column.table.lower():
        return False
    plain = isinstance(source.node, exp.Table) and not source.node.alias
    named = source.node.db.lower() if plain and isinstance(source.node, exp.Table) else ""
    return not column.db or not named or named == column.db.lower()


def compared_names(select: exp.Select, prepared: Prepared) -> set[str]:
    """The columns that NATURAL JOIN or USING compare, in lower case."""
    found: set[str] = set()
    seen: set[str] = set()
    for source in sources(select):
        names = {name.lower() for name in shown_columns(source, prepared)}
        join = source.join
        if join is not None and (join.method or "").upper() == "NATURAL":
            found |= names & seen
        elif join is not None and join.args.get("using"):
            found |= {node.name.lower() for node in join.args["using"]}
        seen |= names
    return found


def behind(select: exp.Select, column: exp.Column) -> exp.Expr | None:
    """The expression of the select list that a column stands for; None for a column of the FROM."""
    return item_named(select, column.name) if column.meta.get("item") else None


def is_grouped(select: exp.Select) -> bool:
    """Whether the block aggregates: by GROUP BY, or by an aggregate function anywhere in its lists."""
    if select.args.get("group") is not None:
        return True
    parts = [*select.expressions, select.args.get("having"), select.args.get("order")]
    return any(has_aggregate(part) for part in parts if part is not None)


def has_aggregate(node: exp.Expr) -> bool:
    """Whether an expression aggregates, outside its subqueries and outside window functions."""
    if isinstance(node, exp.Window):
        parts = [*(node.args.get("partition_by") or []), node.args.get("order"), *node.this.iter_expressions()]
        return any(has_aggregate(child) for child in parts if child is not None)
    if isinstance(node, exp.AggFunc) or (isinstance(node, exp.Anonymous) and node.name.upper() in _AGGREGATES):
        return True
    return any(
        has_aggregate(child)
        for child in node.iter_expressions()
        if not isinstance(child, exp.Query) or isinstance(child, exp.Table)
    )


def aggregates(select: exp.Select, node: exp.Expr) -> bool:
    """Whether an expression aggregates rows of the block that it stands in; a subquery of it may do that too."""
    if has_aggregate(node):
        return True
    deep = [found for query in subqueries(node) for found in query.find_all(exp.AggFunc)]
    return any(block_columns(select, found) for found in deep)


_AGGREGATES = frozenset({"JSON_ARRAYAGG", "JSON_OBJECTAGG", "BIT_AND", "BIT_OR", "BIT_XOR", "STD", "ST_COLLECT"})


def is_rolled_up(select: exp.Select) -> bool:
    """Whether the block groups WITH ROLLUP."""
    group = select.args.get("group")
    return group is not None and bool(group.args.get("rollup"))


def windows(select: exp.Select) -> list[exp.Window]:
    """The window functions of a block."""
    parts = [*select.expressions, select.args.get("order")]
    return [node for part in parts if part is not None for node in own_nodes(part) if isinstance(node, exp.Window)]


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
        name = (projection.alias_or_name or projection.sql(dialect="mysql")).lower()
        taints = taints_of(query, projection, prepared)
        if not isinstance(projection.unalias(), exp.Column):
            taints = indirect(taints)
        found[name] = taints
    return found


def indirect(taints: frozenset[Taint]) -> frozenset[Taint]:
    """The taints of an expression over a value that has these."""
    return frozenset(replace(taint, direct=False) for taint in taints)


def taints_of(select: exp.Select, node: exp.Expr, prepared: Prepared) -> frozenset[Taint]:
    """The taints of an expression that stands in a block."""
    found: frozenset[Taint] = frozenset()
    if aggregates(select, node):
        found |= {Taint("aggregate", int(select.meta["block"]))}
    if any(is_judged(query) for query in subqueries(node)):
        found |= {Taint("value", int(select.meta["block"]))}
    for column in block_columns(select, node):
        item = behind(select, column)
        if item is not None:
            taints = taints_of(select, item, prepared)
            found |= taints if isinstance(item, exp.Column) else indirect(taints)
            continue
        source = find_source(select, column, prepared)
        if source is not None and not _merged(select, column, prepared):
            found |= _source_taint(source, column.name, prepared)
    return found


def is_judged(query: exp.Expr) -> bool:
    """Whether a subquery of an expression looks at the blocks around it, as `prepare` found."""
    holders = [query, *([query.parent] if query.parent is not None else [])]
    return any(bool(holder.meta.get("correlated")) for holder in holders)


def _merged(select: exp.Select, column: exp.Column, prepared: Prepared) -> bool:
    """Whether an unqualified column is one that a LEFT JOIN merges: the kept side gives it."""
    if column.table:
        return False
    offering = [s for s in sources(select) if column.name.lower() in {n.lower() for n in source_columns(s, prepared)}]
    return len(offering) > 1 and any(not s.optional for s in offering)


def _source_taint(source: Source, name: str, prepared: Prepared) -> frozenset[Taint]:
    found: frozenset[Taint] = frozenset()
    query = derived_query(source)
    if query is not None:
        found = output_taints(query, prepared).get(name.lower(), frozenset())
    return found | {Taint("outer", int(join.meta["join"])) for join in source.outer}
