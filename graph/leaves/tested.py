"""What the conditions of a query look at: aggregates, and columns from the optional sides of outer joins.

Only what is looked at needs a guard. A condition on an aggregate needs none when a larger group can but make it true
(a count above a constant), a condition on an optional column none when a missing partner cannot make it true.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlglot import exp

from graph.leaves.conjuncts import clause_conjuncts, on_conjuncts
from graph.leaves.expose import group_expressions
from graph.leaves.links import in_operands
from graph.leaves.scope import (
    Prepared,
    Taint,
    behind,
    compared_names,
    derived_query,
    find_source,
    is_limited,
    item_named,
    joins_of,
    output_taints,
    sources,
    taints_of,
)


@dataclass(slots=True)
class Tested:
    """Taints that a condition looks at: aggregates by block, outer joins with the conjuncts that look."""

    aggregates: set[tuple[str, int]] = field(default_factory=set)
    outer: dict[int, set[int]] = field(default_factory=dict)
    guarded: set[int] = field(default_factory=set)


def tested(prepared: Prepared) -> Tested:
    found = Tested()
    for select in prepared.blocks():
        for join in joins_of(select):
            for conjunct in on_conjuncts(join):
                # An ON is asked before its own join makes rows without a partner.
                _look(found, select, conjunct, prepared, apart=int(join.meta["join"]))
        for conjunct in [*clause_conjuncts(select, "where"), *clause_conjuncts(select, "having")]:
            _look(found, select, conjunct, prepared)
        if is_limited(select) and select.args.get("order") is not None:
            taints = taints_of(select, select.args["order"], prepared)
            _look_at(found, taints)
        _look_at(found, _merged_taints(select, prepared))
    for root in prepared.roots:
        for query in root.find_all(exp.SetOperation):
            if is_limited(query):
                _look_at(found, {taint for taints in output_taints(query, prepared).values() for taint in taints})
    return found


def _look_at(found: Tested, taints: Iterable[Taint]) -> None:
    for taint in taints:
        if taint.kind == "outer":
            found.guarded.add(taint.number)
        else:
            found.aggregates.add(taint.cause)


def _look(found: Tested, select: exp.Select, node: exp.Paren, prepared: Prepared, apart: int | None = None) -> None:
    """Notes the taints that a condition looks at, but for those of the outer join `apart`; those of an IN's subquery
    are looked at by the comparison."""
    if _monotone(select, node, prepared):
        return
    conjunct = int(node.meta["conjunct"])
    taints = set(taints_of(select, node, prepared))
    for condition in _in_list(node):
        for inner in output_taints(condition.args["query"], prepared).values():
            taints |= inner
    for taint in taints:
        if taint.kind == "aggregate":
            found.aggregates.add(taint.cause)
        if taint.kind != "outer" or taint.number == apart:
            continue
        found.outer.setdefault(taint.number, set()).add(conjunct)
        if not _rejects_null(select, node, taint, prepared):
            found.guarded.add(taint.number)


def _in_list(node: exp.Expr) -> list[exp.In]:
    """The IN conditions over subqueries anywhere in an expression, negated ones among them."""
    return [found for found in node.find_all(exp.In) if found.args.get("query") is not None]


def _merged_taints(select: exp.Select, prepared: Prepared) -> set[Taint]:
    """The taints of what a NATURAL JOIN or USING compares."""
    names = compared_names(select, prepared)
    found: set[Taint] = set()
    for source in sources(select):
        query = derived_query(source)
        if query is not None and names:
            taints = output_taints(query, prepared)
            found |= {taint for name in names for taint in taints.get(name, ())}
    return found


def _monotone(select: exp.Select, node: exp.Expr, prepared: Prepared) -> bool:
    """Whether a condition that holds for part of a group holds for the whole group: a count or maximum above a
    constant."""
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.GT | exp.GTE):
        grows, constant = node.this, node.expression
    elif isinstance(node, exp.LT | exp.LTE):
        grows, constant = node.expression, node.this
    else:
        return False
    return isinstance(constant, exp.Literal) and not constant.is_string and _grows(select, grows, prepared)


def _grows(select: exp.Select, node: exp.Expr, prepared: Prepared) -> bool:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Count | exp.Max):
        return _grows_with_rows(select, node, prepared)
    if not isinstance(node, exp.Column):
        return False
    item = behind(select, node)
    if item is not None:
        return _grows(select, item, prepared)
    source = find_source(select, node, prepared)
    query = derived_query(source) if source is not None else None
    if not isinstance(query, exp.Select):
        return False
    item = item_named(query, node.name)
    return item is not None and _grows(query, item, prepared)


def _grows_with_rows(select: exp.Select, node: exp.Expr, prepared: Prepared) -> bool:
    """Whether an aggregate only grows while its group is completed: what it counts, and what is grouped by, is not
    itself made of what may be incomplete; a maximum is one of numbers."""
    if any(taints_of(select, each, prepared) for each in group_expressions(select)):
        return False
    operands = [node.this] if isinstance(node.this, exp.Expr) else []
    if operands and isinstance(operands[0], exp.Distinct):
        operands = list(operands[0].expressions)
    for operand in operands:
        if isinstance(operand, exp.Star | exp.Literal):
            continue
        if not isinstance(operand, exp.Column):
            return False
        if not all(taint.kind == "outer" and taint.direct for taint in taints_of(select, operand, prepared)):
            return False
        if isinstance(node, exp.Max) and not _is_number(select, operand, prepared):
            return False
    return True


def _is_number(select: exp.Select, column: exp.Column, prepared: Prepared) -> bool:
    source = find_source(select, column, prepared)
    if source is None or source.occurrence is None:
        return False
    return prepared.tables[source.occurrence].column(column.name).data_type in _NUMBERS


_NUMBERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double"})

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.Between, exp.In, exp.RegexpLike)
_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Paren)


def _rejects_null(select: exp.Select, node: exp.Expr, taint: Taint, prepared: Prepared) -> bool:
    """Whether a condition cannot hold where the tainted column is NULL."""
    if isinstance(node, exp.Paren):
        return _rejects_null(select, node.this, taint, prepared)
    if isinstance(node, exp.And | exp.Or):
        sides = [_rejects_null(select, side, taint, prepared) for side in (node.this, node.expression)]
        return any(sides) if isinstance(node, exp.And) else all(sides)
    if isinstance(node, exp.Not):
        inner = node.this
        while isinstance(inner, exp.Paren):
            inner = inner.this
        if isinstance(inner, exp.Is):
            return _strict(select, inner.this, taint, prepared)
        # Nothing is met for NULL and any row of none, so that the negation is.
        listed = inner.args.get("query") or isinstance(inner.args.get("expression"), exp.Any | exp.All)
        comparison = isinstance(inner, _COMPARISONS) and not listed
        return comparison and _rejects_null(select, inner, taint, prepared)
    if isinstance(node, exp.Column):
        return _strict(select, node, taint, prepared)
    if isinstance(node, exp.In) and node.args.get("query") is not None:
        found = output_taints(node.args["query"], prepared).values()
        if any(inner.cause == taint.cause and inner.direct for taints in found for inner in taints):
            return True
    if isinstance(node, exp.In):
        return any(_strict(select, operand, taint, prepared) for operand in in_operands(node))
    if isinstance(node, _COMPARISONS) and isinstance(node.args.get("expression"), exp.All):
        # NULL < ALL (nothing) is true.
        return False
    if isinstance(node, _COMPARISONS):
        return any(_strict(select, child, taint, prepared) for child in (node.this, node.args.get("expression")))
    return False


def _strict(select: exp.Select, node: exp.Expr | None, taint: Taint, prepared: Prepared) -> bool:
    """Whether an expression is NULL when the tainted column is."""
    if isinstance(node, exp.Column):
        return any(t.cause == taint.cause and t.direct for t in taints_of(select, node, prepared))
    if isinstance(node, _ARITHMETIC):
        return any(_strict(select, child, taint, prepared) for child in node.iter_expressions())
    return False
