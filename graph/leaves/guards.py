"""Guards: what a non-monotone query needs so that it answers the same on any closed superset of its lineage.

A query that only selects, projects and joins gives on a slice what it gave on the source, however many more rows the
slice holds. Subqueries that are judged, tests on the optional side of an outer join, tests on aggregates and window
functions do not: a row that other statements brought in may slip through because what stopped it is missing. A guard
names, for each such row that is in the slice, the rows that it was judged by:

* EXISTS, NOT EXISTS and NOT IN: one row of the subquery that decides;
* other subqueries that look outwards: all rows that their value is made of;
* outer joins: the partners of a kept row;
* aggregates and window functions: the whole group, the whole partition of a row.

Each condition has a place in an order. A row that a condition stops is judged by the conditions before it as on the
source, so a guard only looks at rows that pass these, and leaves the later ones out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from graph.leaves.expose import expose, expose_partitions, group_expressions, occurrences
from graph.leaves.links import (
    Link,
    LinkKind,
    block_in_occurrences,
    from_occurrences,
    in_occurrences,
    in_operands,
    is_closed,
    kept_occurrences,
    link,
    positive_ins,
    under_or,
)
from graph.leaves.nullable import may_be_null, output_may_be_null
from graph.leaves.owners import free_columns
from graph.leaves.rules import RuleKind
from graph.leaves.scope import (
    Prepared,
    blocks,
    derived_query,
    inner_query,
    is_grouped,
    is_rolled_up,
    joins_of,
    sources,
    windows,
)
from graph.leaves.sites import copied, is_closed_lateral, lifted_out, set_true, site
from graph.leaves.tested import Tested, tested
from graph.leaves.unreadable import Unreadable


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


def guards(prepared: Prepared) -> Iterator[Draft]:
    """All guards of a query. Raises Unreadable for a non-monotone shape without a rule."""
    looks = tested(prepared)
    for select in prepared.blocks():
        place = link(select)
        lateral = place is not None and is_closed_lateral(place, select)
        if place is not None and (lateral or (place.kind is not LinkKind.FROM and not place.joined)):
            yield from _subquery(select, place, prepared)
        if not lateral and (place is None or place.kind is LinkKind.FROM or not place.correlated):
            yield from _whole_groups(select, looks, prepared)
        yield from _outer_joins(select, looks, prepared)


def _subquery(select: exp.Select, place: Link, prepared: Prepared) -> Iterator[Draft]:
    """What a subquery's block contributes to the judgement of the rows around it.

    A subquery that does not look outwards has the same value for all of them: it is seen to as a query by itself, but
    for a NOT IN.
    """
    if not place.correlated and (place.kind is not LinkKind.NOT_IN or not _is_first(select, place)):
        return
    copy = copied(select)
    there = link(copy)
    assert there is not None
    if place.kind is LinkKind.FROM:
        order = copy.meta["list"]
    else:
        order = there.conjunct.meta["conjunct"] if there.conjunct is not None else there.parent.meta["list"]
    one_is_enough = _one_is_enough(select, place)
    branch = copy if there.correlated else there.query
    found, lifted = lifted_out(there, branch, prepared, int(order))
    targets = [*from_occurrences(lifted.query), *in_occurrences(lifted.query)]
    conditions = [number for number in found.conditions if number not in targets]
    if one_is_enough and lifted.exact and found.identified and targets:
        query = expose(found.block, [*conditions, *targets], prepared, body=True)
        yield Draft(RuleKind.WITNESS, query, tuple(conditions), tuple(targets), reason=_DECIDES[place.kind])
    else:
        for wanted in _together(lifted.query):
            query = expose(found.block, [*conditions, *wanted], prepared, body=True)
            reason = "part of what a subquery gave for a row"
            yield Draft(RuleKind.GUARD, query, tuple(conditions), tuple(wanted), reason=reason)
    if not place.correlated and isinstance(place.container, exp.In) and len(in_operands(place.container)) == 1:
        yield from _nulls(place.parent, place.container, prepared)


_DECIDES = {LinkKind.EXISTS: "decides an EXISTS for a row", LinkKind.NOT_IN: "keeps other rows out by NOT IN"}


def _is_first(select: exp.Select, place: Link) -> bool:
    return next(iter(place.query.find_all(exp.Select, bfs=False))) is select


def _one_is_enough(select: exp.Select, place: Link) -> bool:
    """Whether one row of the subquery decides, whichever it is."""
    if place.kind not in (LinkKind.EXISTS, LinkKind.NOT_IN):
        return False
    unions = list(place.query.find_all(exp.SetOperation))
    if any(not isinstance(node, exp.Union) or node.args.get("offset") is not None for node in unions):
        return False
    if place.correlated and (is_grouped(select) or windows(select) or select.args.get("offset") is not None):
        return False
    inside = select if place.correlated else place.query
    closed = [each for each in inside.find_all(exp.Select) if each is not select or not place.correlated]
    if any(is_closed(each) for each in closed):
        return False
    return not any(under_or(condition) for each in inside.find_all(exp.Select) for condition in positive_ins(each))


def _together(query: exp.Query) -> list[list[int]]:
    """The occurrences of a query, those apart whose rows do not depend on each other."""
    groups = [from_occurrences(query), *([number] for number in in_occurrences(query))]
    return [group for group in groups if group]


def _nulls(select: exp.Select, condition: exp.In, prepared: Prepared) -> Iterator[Draft]:
    """`x NOT IN (…NULL…)` is never true, and `NULL NOT IN (…)` only for an empty list: a witness for each."""
    query = inner_query(condition.args["query"])
    operands = in_operands(condition)
    if any(may_be_null(select, operand, prepared) for operand in operands):
        yield from _witness(query, prepared, "NULL NOT IN a list that has a row")
    nullable = [index for index in range(len(operands)) if output_may_be_null(query, index, prepared)]
    if not nullable:
        return
    if not isinstance(query, exp.Select) or is_closed(query):
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
    unions = query.find(exp.SetOperation) is not None
    if unions or any(under_or(condition) for select in blocks(query) for condition in positive_ins(select)):
        yield from _whole(query, prepared)
        return
    numbers = [*from_occurrences(query), *in_occurrences(query)]
    if not numbers:
        return
    exposed = expose(query, numbers, prepared)
    yield Draft(RuleKind.WITNESS, exposed, (), tuple(numbers), reason=f"stands for {reason}")


def _whole(query: exp.Query, prepared: Prepared) -> Iterator[Draft]:
    for number in [*from_occurrences(query), *in_occurrences(query)]:
        reason = "completes a list of NOT IN that may hold NULL"
        yield Draft(RuleKind.LEAF, expose(query, [number], prepared), (), (number,), reason=reason)


def _whole_groups(select: exp.Select, looks: Tested, prepared: Prepared) -> Iterator[Draft]:
    """Every group and every partition that the slice touches, complete."""
    partitions: list[tuple[list[exp.Expr], str]] = []
    if is_rolled_up(select):
        partitions.append(([], "completes the totals of a ROLLUP"))
    elif ("aggregate", int(select.meta["block"])) in looks.aggregates:
        partitions.append((group_expressions(select), "completes a group whose aggregate is tested"))
    for window in windows(select):
        # A window over groups needs them all: its partitions are known after grouping.
        by = [] if is_grouped(select) else _partition(select, window)
        partitions.append((by, "completes what a window function looks at"))
    if partitions and free_columns(select):
        raise Unreadable("a derived table of it looks at the query around it")
    numbers = from_occurrences(select)
    conditions = [number for number in kept_occurrences(select) if number in numbers]
    done: set[str] = set()
    of_all = is_grouped(select) and (select.args.get("group") is None or is_rolled_up(select))
    if partitions and (of_all or not numbers):
        # Without rows there is a group all the same, and what is tested of it comes out otherwise. Rows of no table
        # have no key that tells when they are looked at.
        for number in [*numbers, *block_in_occurrences(select)]:
            query = expose(select, [number], prepared, body=True)
            yield Draft(RuleKind.LEAF, query, (), (number,), reason=partitions[0][1])
        return
    for by, reason in partitions:
        text = ", ".join(node.sql(dialect="mysql") for node in by)
        if text in done:
            continue
        done.add(text)
        for wanted in [tuple(numbers), *((number,) for number in block_in_occurrences(select))]:
            query, groups = expose_partitions(select, by, [*conditions, *wanted], prepared)
            yield Draft(RuleKind.GROUP, query, tuple(conditions), wanted, groups, reason)


def _partition(select: exp.Select, window: exp.Window) -> list[exp.Expr]:
    by: list[exp.Expr] = list(window.args.get("partition_by") or [])
    name = window.args.get("alias")
    for named in select.args.get("windows") or []:
        if not by and name is not None and named.name.lower() == name.name.lower():
            by = list(named.args.get("partition_by") or [])
    return [node.copy() for node in by]


def _outer_joins(select: exp.Select, looks: Tested, prepared: Prepared) -> Iterator[Draft]:
    for join in joins_of(select):
        number = int(join.meta["join"])
        if number not in looks.guarded:
            continue
        looking = [conjunct for guarded in looks.guarded for conjunct in looks.outer.get(guarded, ())]
        found = site(copied(select), prepared, -1, looking)
        set_true(found.block, looking)
        optional = [source for source in sources(select) if source.outer]
        targets = [
            n
            for source in optional
            for n in ([source.occurrence] if source.occurrence is not None else sorted(occurrences(source.node)))
            if n in from_occurrences(select)
        ]
        if not targets:
            continue
        for other in found.block.find_all(exp.Join):
            if other.meta.get("join") == number:
                other.set("side", None)
        derived = [each for each in map(derived_query, optional) if each is not None]
        reached = [n for each in derived for n in in_occurrences(each)]
        for wanted in [targets, *([n] for n in reached)]:
            conditions = [n for n in found.conditions if n not in (*targets, *wanted)]
            query = expose(found.block, [*conditions, *wanted], prepared, body=True)
            reason = "partner of a row in an outer join"
            yield Draft(RuleKind.GUARD, query, tuple(conditions), tuple(wanted), reason=reason)
