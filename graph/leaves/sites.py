"""Where a guard looks: the block that it is about, and as much around it as tells which of its rows matter.

A row of a block matters when it can come to the query's result, or to the value of a subquery, from where it is. So the
way goes outwards from the block, through derived tables, through IN conditions, and through subqueries (which are
lifted, see `graph.leaves.lift`), as long as each block on the way passes single rows on. All is done on a copy.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from sqlglot import exp

from graph.leaves.lift import Lifted, lift, may_be_unknown
from graph.leaves.links import (
    Link,
    LinkKind,
    is_closed,
    is_identified,
    judged_occurrences,
    kept_occurrences,
    link,
    positive_ins,
)
from graph.leaves.owners import free_columns
from graph.leaves.prepare import all_conjuncts
from graph.leaves.scope import Prepared, block_columns, derived_query, find_source, joins_of, output_taints, sources
from graph.leaves.unreadable import Unreadable


@dataclass(slots=True)
class Site:
    """The outermost block of a copy, and the occurrences whose rows must be in the slice for a row to matter.

    `identified`: these tell one row that is judged from another.
    """

    block: exp.Select
    conditions: list[int] = field(default_factory=list)
    identified: bool = True


def copied(select: exp.Select) -> exp.Select:
    """The same block in a copy of its whole query."""
    number = select.meta["block"]
    root = select.root().copy()
    return next(each for each in root.find_all(exp.Select) if each.meta["block"] == number)


def site(
    select: exp.Select,
    prepared: Prepared,
    order: int,
    unknown: Collection[int] = (),
    conditions: Collection[int] | None = None,
    cut: bool = False,
) -> Site:
    """Climbs from a block of a copy, which changes it.

    Conditions with subqueries that a row meets after `order` are left out: what comes out of them is not known to be
    the same on the slice; so is the comparison of an IN that is in `unknown`, or the way ends there. With `cut` the
    block is a part of what it was, and only what it looks at is followed. Raises Unreadable for a block that looks
    outwards from where nothing can be lifted.
    """
    found = Site(select, list(kept_occurrences(select) if conditions is None else conditions))
    while (place := _way_out(found.block, prepared, unknown)) is not None:
        if cut and (not place.correlated or place.kind is LinkKind.FROM):
            break
        if is_closed_lateral(place, found.block):
            cut = True
            _cut_before(place, prepared)
        around = judged_occurrences(place, prepared)
        found.identified = found.identified and is_identified(place.parent, prepared)
        if cut or (place.kind is not LinkKind.FROM and not place.joined):
            branch = found.block if place.correlated else place.query
            lift(place, branch, prepared, compare=not _is_unknown(place, unknown))
        found.block = place.parent
        found.conditions += [number for number in around if number not in found.conditions]
    if free_columns(found.block):
        raise Unreadable("a derived table of it looks at the query around it")
    _leave_out(found.block, order)
    return found


def _is_unknown(place: Link, unknown: Collection[int]) -> bool:
    return place.conjunct is not None and place.conjunct.meta["conjunct"] in unknown


def _way_out(select: exp.Select, prepared: Prepared, unknown: Collection[int]) -> Link | None:
    place = link(select)
    if place is None:
        return None
    if (place.correlated and place.kind is not LinkKind.FROM) or is_closed_lateral(place, select):
        return place
    if _is_unknown(place, unknown):
        return None
    if is_closed(select) or place.limited:
        return None
    if _compares_values(place, prepared):
        return None
    if place.kind is LinkKind.FROM or place.joined:
        return place
    if place.kind is LinkKind.NOT_IN and not may_be_unknown(place, prepared):
        return place
    return None


def _compares_values(place: Link, prepared: Prepared) -> bool:
    """Whether what a subquery gave for a row is compared on the way out: by an IN, a NATURAL JOIN or USING."""
    merging = any(join.args.get("using") or (join.method or "").upper() == "NATURAL" for join in joins_of(place.parent))
    if place.kind is LinkKind.FROM and not merging:
        return False
    taints = output_taints(place.query, prepared).values()
    return any(taint.kind == "value" for found in taints for taint in found)


def _leave_out(select: exp.Select, order: int) -> None:
    """Makes the conditions TRUE that come later, in all blocks whose rows are followed up to this one."""
    for conjunct in all_conjuncts(select):
        if not conjunct.meta["settled"] and int(conjunct.meta["conjunct"]) > order:
            conjunct.set("this", exp.true())
    for source in sources(select):
        inner = derived_query(source)
        if inner is not None:
            _leave_out_of(inner, order)
    for condition in positive_ins(select):
        _leave_out_of(condition.args["query"], order)


def _leave_out_of(query: exp.Expr, order: int) -> None:
    if isinstance(query, exp.Subquery):
        _leave_out_of(query.this, order)
    elif isinstance(query, exp.SetOperation):
        _leave_out_of(query.this, order)
        _leave_out_of(query.expression, order)
    elif isinstance(query, exp.Select) and not is_closed(query):
        _leave_out(query, order)


def lifted_out(place: Link, branch: exp.Query, prepared: Prepared, order: int) -> tuple[Site, Lifted]:
    """Lifts a subquery of a copy into its parent and climbs from there; the subquery's own rows are no condition."""
    cut = place.kind is LinkKind.FROM
    if cut:
        _cut_before(place, prepared)
    conditions = judged_occurrences(place, prepared)
    identified = is_identified(place.parent, prepared)
    lifted = lift(place, branch, prepared)
    found = site(place.parent, prepared, order, conditions=conditions, cut=cut)
    found.identified = found.identified and identified
    return found, lifted


def is_closed_lateral(place: Link, select: exp.Select) -> bool:
    """Whether a block is a LATERAL's that makes its rows out of several, so that they are a value like a subquery's."""
    return place.lateral and (is_closed(select) or place.limited)


def _cut_before(place: Link, prepared: Prepared) -> None:
    """Leaves of a block what its LATERAL sees: the tables before it, and the conditions on these."""
    parent = place.parent
    joins = parent.args.get("joins") or []
    number = next((index for index, join in enumerate(joins) if join.this is place.container), None)
    start = parent.args["from_"].this
    if number is None and start is not place.container:
        raise Unreadable("a LATERAL of it that groups or limits stands in parentheses")
    if number is None:
        parent.set("from_", None)
    parent.set("joins", joins[:number] if number is not None else [])
    for conjunct in all_conjuncts(parent):
        columns = block_columns(parent, conjunct)
        if any(find_source(parent, column, prepared) is None for column in columns):
            conjunct.set("this", exp.true())


def set_true(block: exp.Select, numbers: Collection[int]) -> None:
    """Makes conjuncts TRUE, wherever they stand."""
    for node in list(block.find_all(exp.Paren)):
        if node.meta.get("conjunct") in numbers:
            node.set("this", exp.true())
