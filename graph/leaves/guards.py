"""Guards: what a non-monotone query needs so that it answers the same on any closed superset of its lineage.

A query that only selects, projects and joins gives on a slice what it gave on the source, however many more rows the
slice holds. NOT IN, tests on the optional side of an outer join, and tests on aggregates do not: a row that other
statements brought in may slip through because what stopped it is missing. A guard names, for each such candidate that
is in the slice, the rows that stop it:

* NOT IN: the rows of the subquery that match the candidate, found by turning the condition round;
* outer joins: the partners of a kept row;
* aggregates: the whole group of a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sqlglot import exp

from graph.leaves.expose import expose, expose_groups, in_operands, occurrences
from graph.leaves.links import (
    Link,
    LinkKind,
    from_occurrences,
    in_occurrences,
    kept_occurrences,
    link,
    literals,
    negative_ins,
    positive_ins,
    under_or,
)
from graph.leaves.parse import Unreadable
from graph.leaves.prepare import clause_conjuncts, conjuncts, negated
from graph.leaves.rules import RuleKind
from graph.leaves.scope import (
    Prepared,
    Taint,
    blocks,
    find_source,
    inner_query,
    is_grouped,
    is_limited,
    output_taints,
    outputs,
    projection_named,
    source_columns,
    sources,
    taints_of,
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A rule before it is written as SQL text.

    The query gives `group` grouping columns, then the keys of the conditions, then those of the targets (occurrence
    numbers; a group's row may be both).
    """

    kind: RuleKind
    query: exp.Query
    conditions: tuple[int, ...]
    targets: tuple[int, ...]
    group: int = 0
    reason: str = ""


@dataclass(slots=True)
class _Anchor:
    """The outermost block whose rows can be followed down to a block, and how."""

    block: exp.Select
    flips: list[int] = field(default_factory=list)
    conditions: list[int] = field(default_factory=list)


def guards(prepared: Prepared) -> Iterator[Draft]:
    """All guards of a query. Raises Unreadable for a non-monotone shape without a rule."""
    for select in blocks(prepared.tree):
        yield from _anti_joins(select, prepared)
    tested = _tested(prepared)
    for select in blocks(prepared.tree):
        if ("aggregate", int(select.meta["block"])) in tested.aggregates:
            yield from _whole_groups(select, prepared)
        yield from _outer_joins(select, tested, prepared)


def _anchor(select: exp.Select) -> _Anchor:
    """Climbs from a block as far as each block on the way passes single rows on.

    The optional sides of outer joins are no conditions: without them a row appears all the same.
    """
    anchor = _Anchor(select, [], kept_occurrences(select))
    while not is_grouped(anchor.block) and not is_limited(anchor.block):
        above: Link | None = link(anchor.block)
        if above is None or above.kind in (LinkKind.EXISTS, LinkKind.OPAQUE):
            break
        if _inside_limited_union(anchor.block, above.parent):
            break
        if above.kind is LinkKind.NOT_IN and above.conjunct is not None:
            anchor.flips.append(above.conjunct)
        anchor.block = above.parent
        anchor.conditions += [n for n in kept_occurrences(above.parent) if n not in anchor.conditions]
    return anchor


def _inside_limited_union(select: exp.Select, parent: exp.Select) -> bool:
    node = select.parent
    while node is not None and node is not parent:
        if isinstance(node, exp.SetOperation) and is_limited(node):
            return True
        node = node.parent
    return False


def _flip(query: exp.Select, number: int, prepared: Prepared, target: int | None = None) -> None:
    """Turns a conjunct round: the rows that it stops become the rows that it lets through.

    NULLs make a third kind of row, neither stopped nor let through, so the INs of a turned conjunct compare loosely,
    but for the one that is looked at (`target`): what matches it by NULL has a rule of its own.
    """
    for conjunct in _numbered(query, [number]):
        turned = conjuncts(negated(conjunct.this))
        inner = turned[0]
        for node in turned[1:]:
            inner = exp.And(this=inner, expression=node)
        conjunct.set("this", inner)
        for condition in literals(conjunct, negative=False):
            if condition.meta["in"] != target and _nullable(condition, prepared):
                condition.meta["loose"] = True


def _nullable(condition: exp.In, prepared: Prepared) -> bool:
    """Whether an IN over a subquery may be NULL."""
    select = condition.find_ancestor(exp.Select)
    operands = in_operands(condition)
    if select is None or any(_may_be_null(select, operand, prepared) for operand in operands):
        return True
    return any(_output_may_be_null(condition.args["query"], index, prepared) for index in range(len(operands)))


def _drop(query: exp.Select, numbers: list[int]) -> None:
    for conjunct in _numbered(query, numbers):
        conjunct.set("this", exp.true())


def _negative_numbers(query: exp.Expr) -> list[int]:
    """The conjuncts with a NOT IN that decide whether the query gives a row: those of its own FROM and of what it
    reaches through positive INs, not those inside what a NOT IN looks at."""
    if isinstance(query, exp.Subquery):
        return _negative_numbers(query.this)
    if isinstance(query, exp.SetOperation):
        return _negative_numbers(query.this) + _negative_numbers(query.expression)
    if not isinstance(query, exp.Select):
        return []
    conditions = clause_conjuncts(query, "where")
    found = [int(conjunct.meta["conjunct"]) for conjunct in conditions if negative_ins(conjunct)]
    inner = [source.node for source in sources(query) if source.occurrence is None]
    inner += [condition.args["query"] for condition in positive_ins(query)]
    return found + [number for node in inner for number in _negative_numbers(node)]


def _numbered(query: exp.Expr, numbers: list[int]) -> list[exp.Paren]:
    return [node for node in query.walk() if isinstance(node, exp.Paren) and node.meta.get("conjunct") in set(numbers)]


def _anti_joins(select: exp.Select, prepared: Prepared) -> Iterator[Draft]:
    for conjunct in clause_conjuncts(select, "where"):
        for condition in negative_ins(conjunct):
            yield from _anti_join(select, conjunct, condition, prepared)


def _anti_join(select: exp.Select, conjunct: exp.Paren, condition: exp.In, prepared: Prepared) -> Iterator[Draft]:
    anchor = _anchor(select)
    block = anchor.block.copy()
    number = int(conjunct.meta["conjunct"])
    for outer in anchor.flips:
        _flip(block, outer, prepared)
    # A row that several conditions stop is kept out by the first of them; the later ones do not matter to it.
    _drop(block, [other for other in _negative_numbers(block) if other > number])
    _flip(block, number, prepared, int(condition.meta["in"]))
    inside = condition.args["query"]
    groups = [from_occurrences(inside), *([number] for number in in_occurrences(inside))]
    for targets in groups:
        conditions = [number for number in anchor.conditions if number not in targets]
        query = expose(block, [*conditions, *targets], prepared, body=True)
        yield Draft(RuleKind.GUARD, query, tuple(conditions), tuple(targets), reason="stops a row by NOT IN")
    yield from _nulls(select, condition, prepared)


def _nulls(select: exp.Select, condition: exp.In, prepared: Prepared) -> Iterator[Draft]:
    """`x NOT IN (…NULL…)` is never true, and `NULL NOT IN (…)` only for an empty list: a witness for each."""
    query = inner_query(condition.args["query"])
    operands = in_operands(condition)
    if any(_may_be_null(select, operand, prepared) for operand in operands):
        yield from _witness(query, prepared, "NULL NOT IN a list that has a row")
    nullable = [index for index in range(len(operands)) if _output_may_be_null(query, index, prepared)]
    if not nullable:
        return
    if not isinstance(query, exp.Select) or is_grouped(query) or is_limited(query):
        # Which of its rows are NULL does not show before it is computed: all of it stays.
        yield from _whole(query, prepared)
        return
    with_null = query.copy()
    tests: list[exp.Expr] = [
        exp.Is(this=query.expressions[index].unalias().copy(), expression=exp.null()) for index in nullable
    ]
    with_null.where(exp.Paren(this=exp.or_(*tests)), copy=False)
    yield from _witness(with_null, prepared, "a NULL in a NOT IN list")


def _witness(query: exp.Query, prepared: Prepared, reason: str) -> Iterator[Draft]:
    """One row of a query, with all that it is made of."""
    if any(under_or(condition) for select in blocks(query) for condition in positive_ins(select)):
        yield from _whole(query, prepared)
        return
    numbers = [*from_occurrences(query), *in_occurrences(query)]
    exposed = expose(query, numbers, prepared)
    yield Draft(RuleKind.WITNESS, exposed, (), tuple(numbers), reason=f"witness: {reason}")


def _whole(query: exp.Query, prepared: Prepared) -> Iterator[Draft]:
    for number in [*from_occurrences(query), *in_occurrences(query)]:
        reason = "a list of NOT IN that may hold NULL, complete"
        yield Draft(RuleKind.LEAF, expose(query, [number], prepared), (), (number,), reason=reason)


def _output_may_be_null(query: exp.Expr, index: int, prepared: Prepared) -> bool:
    """Whether a column of a query's result may be NULL, by its position."""
    if isinstance(query, exp.Subquery):
        return _output_may_be_null(query.this, index, prepared)
    if isinstance(query, exp.SetOperation):
        return any(_output_may_be_null(side, index, prepared) for side in (query.this, query.expression))
    if not isinstance(query, exp.Select):
        return True
    if any(isinstance(node, exp.Star) for item in query.expressions for node in (item, item.this)):
        name = outputs(query, prepared)[index]
        return _may_be_null(query, exp.column(exp.to_identifier(name, quoted=True)), prepared)
    return _may_be_null(query, query.expressions[index], prepared)


def _may_be_null(select: exp.Select, item: exp.Expr, prepared: Prepared) -> bool:
    """Whether an expression over a block's FROM may be NULL; a yes may be wrong, a no is not."""
    inner = item.unalias()
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Literal | exp.Count):
        return False
    if not isinstance(inner, exp.Column) or isinstance(inner.this, exp.Star):
        return True
    source = find_source(select, inner, prepared)
    if source is None or source.optional:
        return True
    if source.occurrence is not None:
        return prepared.tables[source.occurrence].column(inner.name).nullable
    query = inner_query(source.node)
    names = [name.lower() for name in outputs(query, prepared)]
    return _output_may_be_null(query, names.index(inner.name.lower()), prepared)


@dataclass(slots=True)
class _Tested:
    """Taints that a condition looks at: aggregates by block, outer joins with the conjuncts that look."""

    aggregates: set[tuple[str, int]] = field(default_factory=set)
    outer: dict[int, set[int]] = field(default_factory=dict)
    guarded: set[int] = field(default_factory=set)


def _tested(prepared: Prepared) -> _Tested:
    found = _Tested()
    for select in blocks(prepared.tree):
        for part in ("where", "having"):
            for conjunct in clause_conjuncts(select, part):
                _look(found, select, conjunct, int(conjunct.meta["conjunct"]), prepared)
        for join in select.args.get("joins") or []:
            if join.args.get("on") is not None:
                _look(found, select, join.args["on"], None, prepared)
        if is_limited(select) and select.args.get("order") is not None:
            taints = taints_of(select, select.args["order"], prepared)
            found.aggregates |= {taint.cause for taint in taints}
            found.guarded |= {taint.number for taint in taints if taint.kind == "outer"}
        found.aggregates |= _merged_taints(select, prepared)
    return found


def _look(found: _Tested, select: exp.Select, node: exp.Expr, conjunct: int | None, prepared: Prepared) -> None:
    """Notes the taints that a condition looks at; those of an IN's subquery are looked at by the comparison."""
    taints = set(taints_of(select, node, prepared))
    for condition in [*positive_in_list(node), *negative_ins(node)]:
        for inner in output_taints(condition.args["query"], prepared).values():
            taints |= inner
    for taint in taints:
        if taint.kind == "aggregate":
            if not _monotone(select, node, prepared):
                found.aggregates.add(taint.cause)
            continue
        if conjunct is not None:
            found.outer.setdefault(taint.number, set()).add(conjunct)
        if not _rejects_null(select, node, taint, prepared):
            found.guarded.add(taint.number)


def positive_in_list(node: exp.Expr) -> list[exp.In]:
    """The IN conditions over subqueries anywhere in an expression, negated ones among them."""
    return [found for found in node.find_all(exp.In) if found.args.get("query") is not None]


def _merged_taints(select: exp.Select, prepared: Prepared) -> set[tuple[str, int]]:
    """Aggregates that a NATURAL JOIN or USING compares."""
    found: set[tuple[str, int]] = set()
    seen: set[str] = set()
    for source in sources(select):
        names = {name.lower() for name in source_columns(source, prepared)}
        join = source.join
        compared: set[str] = set()
        if join is not None and (join.method or "").upper() == "NATURAL":
            compared = names & seen
        elif join is not None and join.args.get("using"):
            compared = {node.name.lower() for node in join.args["using"]}
        seen |= names
        for other in sources(select):
            if other.occurrence is None:
                taints = output_taints(inner_query(other.node), prepared)
                found |= {t.cause for name in compared for t in taints.get(name, ()) if t.kind == "aggregate"}
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
    return isinstance(constant, exp.Literal) and _grows(select, grows, prepared)


def _grows(select: exp.Select, node: exp.Expr, prepared: Prepared) -> bool:
    while isinstance(node, exp.Paren):
        node = node.this
    if isinstance(node, exp.Count | exp.Max):
        return True
    if not isinstance(node, exp.Column):
        return False
    behind = None if node.table else projection_named(select, node.name)
    if behind is not None:
        return _grows(select, behind, prepared)
    source = find_source(select, node, prepared)
    if source is None or source.occurrence is not None:
        return False
    query = inner_query(source.node)
    if not isinstance(query, exp.Select):
        return False
    behind = projection_named(query, node.name)
    return behind is not None and _grows(query, behind, prepared)


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
        comparison = isinstance(inner, _COMPARISONS) and not inner.args.get("query")
        return comparison and _rejects_null(select, inner, taint, prepared)
    if isinstance(node, exp.Column):
        return _strict(select, node, taint, prepared)
    if isinstance(node, exp.In):
        return any(_strict(select, operand, taint, prepared) for operand in in_operands(node))
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


def _whole_groups(select: exp.Select, prepared: Prepared) -> Iterator[Draft]:
    """Every group that the slice touches, complete."""
    numbers = from_occurrences(select)
    conditions = [number for number in kept_occurrences(select) if number in numbers]
    rows = select.copy()
    targets = [tuple(numbers), *((number,) for number in _own_ins(select))]
    for wanted in targets:
        query, groups = expose_groups(rows, [*conditions, *wanted], prepared)
        reason = "a group whose aggregate is tested, complete"
        yield Draft(RuleKind.GROUP, query, tuple(conditions), wanted, groups, reason)


def _own_ins(select: exp.Select) -> list[int]:
    found: list[int] = []
    for condition in positive_ins(select):
        found += from_occurrences(condition.args["query"]) + in_occurrences(condition.args["query"])
    return found


def _outer_joins(select: exp.Select, tested: _Tested, prepared: Prepared) -> Iterator[Draft]:
    for join in select.args.get("joins") or []:
        number = int(join.meta["join"])
        if number not in tested.guarded and -1 not in tested.guarded:
            continue
        side = (join.side or "").upper()
        if side == "RIGHT" or -1 in tested.guarded:
            raise Unreadable("a test on the optional side of a RIGHT JOIN is not followed yet")
        anchor = _anchor(select)
        targets = [n for n in from_occurrences(select) if n in occurrences(join.this)]
        conditions = [n for n in anchor.conditions if n not in targets]
        block = anchor.block.copy()
        looking = [conjunct for guarded in tested.guarded for conjunct in tested.outer.get(guarded, ())]
        for outer in anchor.flips:
            _flip(block, outer, prepared)
        _drop(block, [*looking, *_negative_numbers(block)])
        for copy in block.find_all(exp.Join):
            if copy.meta.get("join") == number:
                copy.set("side", None)
        query = expose(block, [*conditions, *targets], prepared, body=True)
        yield Draft(
            RuleKind.GUARD, query, tuple(conditions), tuple(targets), reason="the partner of a row in an outer join"
        )
