"""How the blocks of a query hang together, and which occurrences a result row is made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sqlglot import exp

from graph.leaves.prepare import clause_conjuncts
from graph.leaves.scope import inner_query, sources, subqueries


class LinkKind(Enum):
    """Where a block stands in the block around it."""

    FROM = "from"
    IN = "in"
    NOT_IN = "not in"
    EXISTS = "exists"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True)
class Link:
    """A block's place in its parent; `conjunct` is the number of the WHERE conjunct that holds it."""

    parent: exp.Select
    kind: LinkKind
    conjunct: int | None = None


def link(select: exp.Select) -> Link | None:
    """The place of a block in the block around it; None for the outermost."""
    kind, conjunct = LinkKind.FROM, None
    node: exp.Expr = select
    while node.parent is not None:
        parent = node.parent
        if isinstance(parent, exp.Select):
            if node.arg_key in ("from_", "joins"):
                return Link(parent, kind)
            return Link(parent, kind if node.arg_key == "where" else LinkKind.OPAQUE, conjunct)
        kind = _through(parent, node, kind)
        if parent.meta.get("conjunct") is not None:
            conjunct = int(parent.meta["conjunct"])
        node = parent
    return None


def _through(parent: exp.Expr, node: exp.Expr, kind: LinkKind) -> LinkKind:
    """The kind of a link after one more step outwards."""
    if kind is LinkKind.OPAQUE:
        return kind
    if isinstance(parent, exp.In):
        return LinkKind.IN if node.arg_key == "query" else LinkKind.OPAQUE
    if isinstance(parent, exp.Exists):
        return LinkKind.EXISTS
    if isinstance(parent, exp.Not):
        return LinkKind.NOT_IN if kind is LinkKind.IN else kind
    if isinstance(parent, exp.Join):
        return kind if node.arg_key == "this" else LinkKind.OPAQUE
    passing = exp.Paren | exp.And | exp.Or | exp.Where | exp.From | exp.Subquery | exp.SetOperation | exp.Table
    return kind if isinstance(parent, passing) else LinkKind.OPAQUE


def from_occurrences(query: exp.Expr) -> list[int]:
    """The occurrences in the FROM of a query, through derived tables and union branches, in order."""
    if isinstance(query, exp.Subquery):
        return from_occurrences(query.this)
    if isinstance(query, exp.SetOperation):
        return from_occurrences(query.this) + from_occurrences(query.expression)
    found: list[int] = []
    if isinstance(query, exp.Select):
        for source in sources(query):
            number = source.occurrence
            found += [number] if number is not None else from_occurrences(inner_query(source.node))
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
            if source.optional:
                continue
            number = source.occurrence
            found += [number] if number is not None else kept_occurrences(inner_query(source.node))
    return found


def in_occurrences(query: exp.Expr) -> list[int]:
    """The occurrences that a query reaches through positive IN conditions, at any depth, in order."""
    if isinstance(query, exp.Subquery):
        return in_occurrences(query.this)
    if isinstance(query, exp.SetOperation):
        return in_occurrences(query.this) + in_occurrences(query.expression)
    if not isinstance(query, exp.Select):
        return []
    found: list[int] = []
    for source in sources(query):
        if source.occurrence is None:
            found += in_occurrences(inner_query(source.node))
    for condition in positive_ins(query):
        found += from_occurrences(condition.args["query"]) + in_occurrences(condition.args["query"])
    return found


def positive_ins(select: exp.Select) -> list[exp.In]:
    """The `IN (SELECT …)` of a block's WHERE that stand under no negation."""
    return [found for conjunct in clause_conjuncts(select, "where") for found in literals(conjunct, negative=False)]


def negative_ins(conjunct: exp.Expr) -> list[exp.In]:
    """The `NOT IN (SELECT …)` of a conjunct."""
    return literals(conjunct, negative=True)


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
