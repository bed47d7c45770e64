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

from collections.abc import Collection, Iterator
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
from graph.leaves.nullable import may_be_null, output_may_be_null
from graph.leaves.parse import Unreadable
from graph.leaves.prepare import clause_conjuncts, conjuncts, negated
from graph.leaves.rules import RuleKind
from graph.leaves.scope import (
    Prepared,
    blocks,
    inner_query,
    is_grouped,
    is_limited,
    sources,
)
from graph.leaves.tested import Tested, tested


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
    looks = tested(prepared)
    for select in blocks(prepared.tree):
        if ("aggregate", int(select.meta["block"])) in looks.aggregates:
            yield from _whole_groups(select, prepared)
        yield from _outer_joins(select, looks, prepared)


def _anchor(select: exp.Select, unknown: Collection[int] = ()) -> _Anchor:
    """Climbs from a block as far as each block on the way passes single rows on, and not through conjuncts whose
    outcome is `unknown`.

    The optional sides of outer joins are no conditions: without them a row appears all the same.
    """
    anchor = _Anchor(select, [], kept_occurrences(select))
    while not is_grouped(anchor.block) and not is_limited(anchor.block):
        above: Link | None = link(anchor.block)
        if above is None or above.kind in (LinkKind.EXISTS, LinkKind.OPAQUE) or above.conjunct in unknown:
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
    if select is None or any(may_be_null(select, operand, prepared) for operand in operands):
        return True
    return any(output_may_be_null(condition.args["query"], index, prepared) for index in range(len(operands)))


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
        yield Draft(RuleKind.GUARD, query, tuple(conditions), tuple(targets), reason="keeps other rows out by NOT IN")
    yield from _nulls(select, condition, prepared)


def _nulls(select: exp.Select, condition: exp.In, prepared: Prepared) -> Iterator[Draft]:
    """`x NOT IN (…NULL…)` is never true, and `NULL NOT IN (…)` only for an empty list: a witness for each."""
    query = inner_query(condition.args["query"])
    operands = in_operands(condition)
    if any(may_be_null(select, operand, prepared) for operand in operands):
        yield from _witness(query, prepared, "NULL NOT IN a list that has a row")
    nullable = [index for index in range(len(operands)) if output_may_be_null(query, index, prepared)]
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
    yield Draft(RuleKind.WITNESS, exposed, (), tuple(numbers), reason=f"stands for {reason}")


def _whole(query: exp.Query, prepared: Prepared) -> Iterator[Draft]:
    for number in [*from_occurrences(query), *in_occurrences(query)]:
        reason = "completes a list of NOT IN that may hold NULL"
        yield Draft(RuleKind.LEAF, expose(query, [number], prepared), (), (number,), reason=reason)


def _whole_groups(select: exp.Select, prepared: Prepared) -> Iterator[Draft]:
    """Every group that the slice touches, complete."""
    numbers = from_occurrences(select)
    conditions = [number for number in kept_occurrences(select) if number in numbers]
    rows = select.copy()
    targets = [tuple(numbers), *((number,) for number in _own_ins(select))]
    for wanted in targets:
        query, groups = expose_groups(rows, [*conditions, *wanted], prepared)
        reason = "completes a group whose aggregate is tested"
        yield Draft(RuleKind.GROUP, query, tuple(conditions), wanted, groups, reason)


def _own_ins(select: exp.Select) -> list[int]:
    found: list[int] = []
    for condition in positive_ins(select):
        found += from_occurrences(condition.args["query"]) + in_occurrences(condition.args["query"])
    return found


def _outer_joins(select: exp.Select, looks: Tested, prepared: Prepared) -> Iterator[Draft]:
    for join in select.args.get("joins") or []:
        number = int(join.meta["join"])
        if number not in looks.guarded and -1 not in looks.guarded:
            continue
        side = (join.side or "").upper()
        if side == "RIGHT" or -1 in looks.guarded:
            raise Unreadable("a test on the optional side of a RIGHT JOIN is not followed yet")
        looking = [conjunct for guarded in looks.guarded for conjunct in looks.outer.get(guarded, ())]
        anchor = _anchor(select, looking)
        targets = [n for n in from_occurrences(select) if n in occurrences(join.this)]
        conditions = [n for n in anchor.conditions if n not in targets]
        block = anchor.block.copy()
        for outer in anchor.flips:
            _flip(block, outer, prepared)
        _drop(block, [*looking, *_negative_numbers(block)])
        for copy in block.find_all(exp.Join):
            if copy.meta.get("join") == number:
                copy.set("side", None)
        query = expose(block, [*conditions, *targets], prepared, body=True)
        yield Draft(
            RuleKind.GUARD, query, tuple(conditions), tuple(targets), reason="partner of a row in an outer join"
        )
