"""Whose column is it: for each column of a query, the block whose FROM (or select list) gives it.

The number of the block stands in the node's `meta` as `owner`, which copies keep. A subquery sees its own FROM first,
then the blocks around it, inner before outer; a derived table does not see its neighbours, unless it is LATERAL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import exp

from graph.leaves.scope import (
    Prepared,
    is_parenthesised_join,
    item_named,
    joins_of,
    own_columns,
    source_columns,
    sources,
    subqueries,
)
from graph.leaves.unreadable import Unreadable


class _Names:
    """What a block offers to the expressions in it."""

    def __init__(self, select: exp.Select, prepared: Prepared) -> None:
        self.select = select
        self.block = int(select.meta["block"])
        self._columns = [
            (source.alias.lower(), {name.lower() for name in source_columns(source, prepared)})
            for source in sources(select)
        ]
        group = select.args.get("group")
        self._grouped = (
            {node.name.lower() for node in group.expressions if isinstance(node, exp.Column)} if group else set()
        )

    def has(self, alias: str) -> bool:
        """Whether a source of the block is called so."""
        return any(own == alias.lower() for own, _ in self._columns)

    def meaning(self, column: exp.Column, clause: str) -> str | None:
        """Where a name that stands in a clause of the block leads: "from", "item" of the select list, or nowhere.

        GROUP BY takes a column of the FROM before an item, ORDER BY an item before a column, HAVING what is grouped by
        before an item before a column; the rest sees columns alone.
        """
        name, qualifier = column.name.lower(), column.table.lower()
        in_from = any(name in names for alias, names in self._columns if not qualifier or alias == qualifier)
        item = not qualifier and clause in _SEES_ITEMS and item_named(self.select, name) is not None
        from_first = clause == "group" or (clause == "having" and name in self._grouped)
        if in_from and (from_first or not item):
            return "from"
        return "item" if item else None


#: Clauses in which a name may be one of the select list.
_SEES_ITEMS = frozenset({"group", "having", "order"})

#: The names that an expression sees, with the clause of each block in which it stands, inner before outer.
_Scopes = Sequence[tuple[_Names, str]]


def annotate(prepared: Prepared) -> None:
    """Marks every column of every root. Raises Unreadable for one that nothing offers."""
    for root in prepared.roots:
        _query(root, (), prepared)


def is_correlated(query: exp.Expr) -> bool:
    """Whether a query looks at columns of the blocks around it."""
    return bool(free_columns(query))


def free_columns(query: exp.Expr) -> list[exp.Column]:
    """The columns inside a query that belong to the blocks around it."""
    own = {select.meta["block"] for select in query.find_all(exp.Select) if "block" in select.meta}
    return [column for column in query.find_all(exp.Column) if column.meta.get("owner", -1) not in own | {-1}]


def _query(query: exp.Expr, outer: _Scopes, prepared: Prepared) -> None:
    if isinstance(query, exp.Subquery):
        _query(query.this, outer, prepared)
    elif isinstance(query, exp.SetOperation):
        _query(query.this, outer, prepared)
        _query(query.expression, outer, prepared)
    elif isinstance(query, exp.Select):
        _select(query, outer, prepared)


def _select(select: exp.Select, outer: _Scopes, prepared: Prepared) -> None:
    names = _Names(select, prepared)
    for node, sees_neighbours in _from_nodes(select):
        _query(node, ((names, "from"), *outer) if sees_neighbours else outer, prepared)
    for clause, part in _expressions(select):
        scopes = ((names, clause), *outer)
        for column in own_columns(part):
            _mark(column, scopes)
        for query in subqueries(part):
            _query(query, scopes, prepared)


def _mark(column: exp.Column, scopes: _Scopes) -> None:
    if isinstance(column.this, exp.Star):
        return
    for names, clause in scopes:
        meaning = names.meaning(column, clause)
        if meaning is not None:
            column.meta.update(owner=names.block, item=meaning == "item")
            return
    own, _ = scopes[0]
    if len(scopes) > 1 or (column.table and not own.has(column.table)):
        raise Unreadable(f"no table of it has the column {column.sql(dialect='mysql')}")
    column.meta["owner"] = own.block


def _from_nodes(select: exp.Select) -> Iterator[tuple[exp.Expr, bool]]:
    """The derived tables of a FROM, and whether each sees the tables beside it."""
    start = select.args.get("from_")
    nodes = [start.this] if start is not None else []
    nodes += [join.this for join in select.args.get("joins") or []]
    while nodes:
        node = nodes.pop()
        nodes += [join.this for join in node.args.get("joins") or []]
        if isinstance(node, exp.Lateral):
            yield node.this, True
        elif is_parenthesised_join(node):
            nodes.append(node.this)
        elif isinstance(node, exp.Subquery):
            yield node, False


def _expressions(select: exp.Select) -> Iterator[tuple[str, exp.Expr]]:
    """The expressions of a block with their clauses, those of its joins among them."""
    for key, part in select.args.items():
        if key in ("from_", "joins"):
            continue
        for node in part if isinstance(part, list) else [part]:
            if isinstance(node, exp.Expr):
                yield key, node
    for join in joins_of(select):
        if isinstance(join.args.get("on"), exp.Expr):
            yield "on", join.args["on"]
    for source in sources(select):
        if isinstance(source.node, exp.Table) and isinstance(source.node.this, exp.Expr):
            # A table function looks at the tables before it.
            yield "from", source.node.this
