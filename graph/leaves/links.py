"""How the blocks of a query hang together, and which occurrences a result row is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sqlglot import exp

from graph.leaves.conjuncts import clause_conjuncts
from graph.leaves.scope import (
    Prepared,
    behind,
    block_columns,
    derived_query,
    find_source,
    is_grouped,
    is_judged,
    is_limited,
    is_rolled_up,
    outputs,
    sources,
    subqueries,
    windows,
)
from graph.leaves.unreadable import Unreadable


class LinkKind(Enum):
    """Where a block stands in the block around it.

    IN, NOT_IN and EXISTS (negated or not) are conditions that a WHERE or HAVING reaches through AND and OR alone; a
    subquery anywhere else is a VALUE.
    """

    FROM = "from"
    IN = "in"
    NOT_IN = "not in"
    EXISTS = "exists"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Link:
    """A block's place in its parent.

    `container` is the node of the parent that holds the subquery: the derived table, or the IN, EXISTS, ANY, ALL, or
    the parentheses. `query` is all that is in it (the block may be a branch of a union), `limited` whether such a union
    has a LIMIT. `conjunct` is the condition of WHERE, HAVING or ON that holds the container.
    """

    parent: exp.Select
    kind: LinkKind
    container: exp.Expr
    query: exp.Query
    conjunct: exp.Paren | None = None
    limited: bool = False

    @property
    def correlated(self) -> bool:
        """Whether the subquery looks at columns of the blocks around it."""
        return bool(self.container.meta.get("correlated"))

    @property
    def lateral(self) -> bool:
        """Whether it is a LATERAL that looks at the tables beside it."""
        return isinstance(self.container, exp.Lateral) and self.correlated

    @property
    def joined(self) -> bool:
        """Whether it is an IN whose subquery joins the FROM."""
        return bool(self.container.meta.get("joined"))


def link(select: exp.Select) -> Link | None:
    """The place of a block in the block around it; None for the outermost."""
    node: exp.Expr = select
    limited = False
    while isinstance(node.parent, exp.SetOperation | exp.Subquery) and not (
        isinstance(node, exp.Subquery) and node.alias
    ):
        node = node.parent
        limited = limited or (isinstance(node, exp.SetOperation) and is_limited(node))
    if node.parent is None:
        return None
    query = node
    while isinstance(query, exp.Subquery):
        query = query.this
    if not isinstance(query, exp.Query):
        raise Unreadable("a subquery of it is no SELECT")
    listed = isinstance(node.parent, exp.In) and node.arg_key == "query"
    container = node.parent if listed or isinstance(node.parent, exp.Exists | exp.Any | exp.All | exp.Lateral) else node
    parent, kind, conjunct = _place(container)
    return Link(parent, kind, container, query, conjunct, limited)


def _place(container: exp.Expr) -> tuple[exp.Select, LinkKind, exp.Paren | None]:
    """The block that holds a container, what the container is to it, and the conjunct that it stands in."""
    literal, negative, conjunct = True, False, None
    in_condition = False
    node = container
    while node.parent is not None:
        parent = node.parent
        if isinstance(parent, exp.Select):
            if node.arg_key in ("from_", "joins") and not in_condition:
                return parent, LinkKind.FROM, None
            literal = literal and node.arg_key in ("where", "having")
            kind = _kind(container, literal, negative)
            # Only the WHERE is followed row by row.
            return parent, LinkKind.VALUE if kind is LinkKind.IN and node.arg_key == "having" else kind, conjunct
        if isinstance(parent, exp.Join) and node.arg_key == "on":
            literal, in_condition = False, True
        elif isinstance(parent, exp.Not):
            negative = not negative
        elif not isinstance(parent, _PASSING):
            literal = False
        if isinstance(parent, exp.Paren) and parent.meta.get("conjunct") is not None:
            conjunct = parent
        node = parent
    raise Unreadable("a subquery of it stands in no SELECT")


_PASSING = exp.Paren | exp.And | exp.Or | exp.Where | exp.Having | exp.From | exp.Join | exp.Subquery | exp.Table


def _kind(container: exp.Expr, literal: bool, negative: bool) -> LinkKind:
    if literal and isinstance(container, exp.In) and not subqueries(container.this):
        return LinkKind.NOT_IN if negative else LinkKind.IN
    return LinkKind.EXISTS if literal and isinstance(container, exp.Exists) else LinkKind.VALUE


def is_closed(select: exp.Select) -> bool:
    """Whether a block makes its rows out of several: it groups, limits, or has window functions."""
    return is_grouped(select) or is_limited(select) or bool(windows(select))


def from_occurrences(query: exp.Expr) -> list[int]:
    """The occurrences in the FROM of a query, through derived tables and union branches, in order."""
    if isinstance(query, exp.Subquery):
        return from_occurrences(query.this)
    if isinstance(query, exp.SetOperation):
        return from_occurrences(query.this) + from_occurrences(query.expression)
    found: list[int] = []
    if isinstance(query, exp.Select):
        for source in sources(query):
            inner = derived_query(source)
            if source.occurrence is not None:
                found.append(source.occurrence)
            elif inner is not None:
                found += from_occurrences(inner)
    return found


def kept_occurrences(query: exp.Expr) -> list[int]:
    """As `from_occurrences`, without the optional sides of outer joins: the rows that make a result row appear."""
    if isinstance(query, exp.Subquery):
        return kept_occurrences(query.this)
    if isinstance(query, exp.SetOperation):
        return kept_occurrences(query.this) + kept_occurrences(query.expression)
    found: list[int] = []
    if isinstance(query, exp.Select):
        for source in sources(query):
            inner = derived_query(source)
            if source.optional:
                continue
            if source.occurrence is not None:
                found.append(source.occurrence)
            elif inner is not None:
                found += kept_occurrences(inner)
    return found


def is_identified(query: exp.Expr, prepared: Prepared) -> bool:
    """Whether keys of tables tell all rows of a query's FROM apart."""
    if isinstance(query, exp.Subquery):
        return is_identified(query.this, prepared)
    if isinstance(query, exp.SetOperation):
        return is_identified(query.this, prepared) and is_identified(query.expression, prepared)
    if not isinstance(query, exp.Select) or query.args.get("from_") is None or is_rolled_up(query):
        return False
    for source in sources(query):
        inner = derived_query(source)
        if source.occurrence is not None:
            if not prepared.tables[source.occurrence].key:
                return False
        elif inner is None or not is_identified(inner, prepared):
            return False
    return True


def judged_occurrences(place: Link, prepared: Prepared) -> list[int]:
    """The occurrences whose rows a subquery of a block judges: those that make the row appear, and of the optional ones
    those that it looks at."""
    found = kept_occurrences(place.parent)
    if place.kind is LinkKind.FROM:
        return found
    for column in block_columns(place.parent, place.container):
        found += _optional_behind(place.parent, column, prepared)
    return list(dict.fromkeys(found))


def _optional_behind(select: exp.Select, column: exp.Column, prepared: Prepared) -> list[int]:
    """The optional occurrences that a column's value comes from, through derived tables.

    Others of a derived table are left out: a row of theirs that nobody asked for may be missing in the slice.
    """
    item = behind(select, column)
    if item is not None:
        return [n for each in block_columns(select, item) for n in _optional_behind(select, each, prepared)]
    source = find_source(select, column, prepared)
    if source is None:
        return []
    inner = derived_query(source)
    if inner is None:
        return [source.occurrence] if source.optional and source.occurrence is not None else []
    kept = kept_occurrences(inner) if source.optional else []
    return [*kept, *_optional_behind_output(inner, outputs(inner, prepared), column.name, prepared)]


def _optional_behind_output(query: exp.Expr, names: list[str], name: str, prepared: Prepared) -> list[int]:
    """The optional occurrences that the column of a query's result comes from which has the place of `name`."""
    if isinstance(query, exp.Subquery):
        return _optional_behind_output(query.this, names, name, prepared)
    if isinstance(query, exp.SetOperation):
        branches = (query.this, query.expression)
        return [n for branch in branches for n in _optional_behind_output(branch, names, name, prepared)]
    if not isinstance(query, exp.Select):
        return []
    return [
        number
        for output, projection in zip(names, query.expressions, strict=False)
        if output.lower() == name.lower()
        for each in block_columns(query, projection)
        for number in _optional_behind(query, each, prepared)
    ]


def in_occurrences(query: exp.Expr) -> list[int]:
    """The occurrences that a query reaches through positive IN conditions, at any depth, in order.

    Those of a block with window functions are no part of a single row: they come with the whole partition.
    """
    if isinstance(query, exp.Subquery):
        return in_occurrences(query.this)
    if isinstance(query, exp.SetOperation):
        return in_occurrences(query.this) + in_occurrences(query.expression)
    if not isinstance(query, exp.Select):
        return []
    return _derived_in_occurrences(query) if windows(query) else block_in_occurrences(query)


def block_in_occurrences(select: exp.Select) -> list[int]:
    """The occurrences that a block reaches through positive IN conditions, its own and those of what it is made of."""
    found = _derived_in_occurrences(select)
    for condition in positive_ins(select):
        found += from_occurrences(condition.args["query"]) + in_occurrences(condition.args["query"])
    return found


def _derived_in_occurrences(select: exp.Select) -> list[int]:
    derived = [query for query in map(derived_query, sources(select)) if query is not None]
    return [number for query in derived for number in in_occurrences(query)]


def positive_ins(select: exp.Select) -> list[exp.In]:
    """The `IN (SELECT …)` of a block's WHERE that stand under no negation and look at no other block."""
    found = [each for conjunct in clause_conjuncts(select, "where") for each in literals(conjunct, negative=False)]
    return [each for each in found if not each.meta.get("correlated")]


def literals(node: exp.Expr, *, negative: bool) -> list[exp.In]:
    """The IN conditions over subqueries that a conjunct reaches through AND and OR alone, negated or not."""
    if isinstance(node, exp.Paren):
        return literals(node.this, negative=negative)
    if isinstance(node, exp.And | exp.Or):
        return literals(node.this, negative=negative) + literals(node.expression, negative=negative)
    if isinstance(node, exp.Not):
        return _plain_ins(node.this) if negative else []
    return [] if negative else _plain_ins(node)


def _plain_ins(node: exp.Expr) -> list[exp.In]:
    while isinstance(node, exp.Paren):
        node = node.this
    plain = isinstance(node, exp.In) and node.args.get("query") is not None and not subqueries(node.this)
    return [node] if plain and isinstance(node, exp.In) else []


def under_or(condition: exp.In) -> bool:
    """Whether an IN condition is one of several alternatives."""
    node: exp.Expr | None = condition
    while node is not None and node.meta.get("conjunct") is None:
        if isinstance(node, exp.Or):
            return True
        node = node.parent
    return False


def in_operands(condition: exp.In) -> list[exp.Expr]:
    """The left side of an IN, column by column."""
    left = condition.this
    while isinstance(left, exp.Paren):
        left = left.this
    return list(left.expressions) if isinstance(left, exp.Tuple) else [left]


def has_judging_subquery(conjunct: exp.Expr) -> bool:
    """Whether a condition holds a subquery that judges rows: one that looks at them, or a NOT IN. What another one
    gives is the same on the slice as on the source."""
    return bool(literals(conjunct, negative=True)) or any(map(is_judged, subqueries(conjunct)))
