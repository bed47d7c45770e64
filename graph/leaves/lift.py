"""Subqueries turned into joins: what a subquery looks at becomes a derived table in the FROM of the block around it.

`lift` takes a subquery out of the condition (or expression) that holds it and joins its rows to those of its parent: an
IN on its operands, a correlated one on its own conditions that look outwards. The result says, for each row of the
parent, which rows of the subquery it was judged by.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlglot import exp

from graph.leaves.conjuncts import add_conjunct, clause_conjuncts, on_conjuncts, set_conjuncts
from graph.leaves.links import Link, LinkKind, in_operands
from graph.leaves.nullable import may_be_null, output_may_be_null
from graph.leaves.owners import free_columns
from graph.leaves.scope import (
    Prepared,
    aggregates,
    behind,
    derived_query,
    find_source,
    has_aggregate,
    joins_of,
    outputs,
    sources,
    subqueries,
    taints_of,
)
from graph.leaves.unreadable import Unreadable


@dataclass(slots=True)
class Lifted:
    """A subquery beside the tables of its parent; `exact` when no condition between the two had to be left out."""

    query: exp.Query
    exact: bool = True


def may_be_unknown(place: Link, prepared: Prepared) -> bool:
    """Whether an IN may come out as NULL."""
    return any(_nullable(place, prepared))


def lift(place: Link, branch: exp.Query, prepared: Prepared, *, compare: bool = True) -> Lifted:
    """Joins a subquery (or one branch of its union) to the block around it, in place.

    The conjunct that held it becomes TRUE. Of a correlated subquery only FROM and WHERE are left: all rows that its
    value is made of; its IN counts rows too where the comparison is NULL, unless it is a condition to be met, since an
    unknown is not the same as a no. Without `compare` an IN's operands do not matter. With a derived table inside it
    that looks outwards, the join is LATERAL. Raises Unreadable when that looks at the select list of the parent.
    """
    parent = place.parent
    condition = place.container if isinstance(place.container, exp.In) and compare else None
    operands = [node.copy() for node in in_operands(condition)] if condition is not None else []
    lifted = Lifted(branch.copy())
    if place.correlated:
        outward = _opened(lifted, operands, place, prepared)
    else:
        outward = _compared(lifted, operands, place, prepared)
    if place.conjunct is not None:
        place.conjunct.set("this", exp.true())
    alias = exp.TableAlias(this=exp.to_identifier(_alias(place), quoted=True))
    node: exp.Expr = exp.Subquery(this=lifted.query)
    if _sources_look_out(lifted.query):
        node = exp.Lateral(this=node)
    node.set("alias", alias)
    if parent.args.get("from_") is None:
        parent.set("from_", exp.From(this=node))
    else:
        parent.append("joins", exp.Join(this=node, kind="CROSS"))
    for each in outward:
        settled = _over_rows(parent, each, prepared)
        if settled is None:
            lifted.exact = False
        else:
            add_conjunct(parent, settled)
    return lifted


def _sources_look_out(query: exp.Query) -> bool:
    """Whether a derived table of a block looks further out than at the tables beside it."""
    if not isinstance(query, exp.Select):
        return False
    derived = [inner for source in sources(query) if (inner := derived_query(source)) is not None]
    outward = [
        column for inner in derived for column in free_columns(inner) if column.meta["owner"] != query.meta.get("block")
    ]
    if any(column.meta.get("item") for column in outward):
        raise Unreadable("a derived table inside its subquery looks at the select list of the query around that")
    return bool(outward)


def _alias(place: Link) -> str:
    return f"djproxy_x{place.container.meta['subquery']}"


def _column(name: str, place: Link) -> exp.Column:
    node = exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(_alias(place), quoted=True))
    node.meta["owner"] = place.parent.meta["block"]
    return node


def _nullable(place: Link, prepared: Prepared) -> list[bool]:
    """For each operand of an IN, whether the comparison may be NULL."""
    if not isinstance(place.container, exp.In):
        return []
    return [
        may_be_null(place.parent, operand, prepared) or output_may_be_null(place.query, index, prepared)
        for index, operand in enumerate(in_operands(place.container))
    ]


def _conjunct(condition: exp.Expr) -> exp.Paren:
    node = exp.Paren(this=condition)
    node.meta.update(conjunct=-1, settled=True)
    return node


def _equal(left: exp.Expr, right: exp.Expr, loose: bool) -> exp.Expr:
    equal: exp.Expr = exp.EQ(this=left, expression=right)
    if loose:
        for side in (left, right):
            equal = exp.Or(this=equal, expression=exp.Is(this=side.copy(), expression=exp.null()))
    return equal


def _compared(lifted: Lifted, operands: list[exp.Expr], place: Link, prepared: Prepared) -> list[exp.Paren]:
    """The comparisons of an IN with a subquery that stays as it is, under column names of its own."""
    names = outputs(lifted.query, prepared)
    if len(names) != len(operands) or len({name.lower() for name in names}) != len(names):
        raise Unreadable("the columns of an IN's subquery cannot be told apart; give them names of their own")
    inner = exp.Subquery(this=lifted.query, alias=exp.TableAlias(this=exp.to_identifier("djproxy_i", quoted=True)))
    renamed = [f"{_alias(place)}_{index}" for index in range(len(names))]
    items = [
        exp.alias_(exp.column(name, table="djproxy_i", quoted=True), new, quoted=True)
        for name, new in zip(names, renamed, strict=True)
    ]
    lifted.query = exp.Select(expressions=items).from_(inner)
    # A row with a NULL is no match and no mismatch only for what agrees in the rest.
    loose = _nullable(place, prepared) if len(operands) > 1 else [False]
    return [
        _conjunct(_equal(operand, _column(new, place), each))
        for operand, new, each in zip(operands, renamed, loose, strict=True)
    ]


def _opened(lifted: Lifted, operands: list[exp.Expr], place: Link, prepared: Prepared) -> list[exp.Paren]:
    """Leaves FROM and WHERE of a correlated subquery; gives its conditions that look outwards, over the columns that it
    now offers for them."""
    select = lifted.query
    if not isinstance(select, exp.Select):
        raise Unreadable("a subquery that looks at the query around it is no SELECT")
    items = list(select.expressions)
    loose = _nullable(place, prepared) if operands and place.kind is not LinkKind.IN else [False] * len(operands)
    for part in ("group", "having", "order", "limit", "offset", "distinct", "windows"):
        select.set(part, None)
    outward = _outward_conditions(lifted, select, prepared)
    if operands and len(items) != len(operands):
        raise Unreadable("an IN compares rows of different lengths")
    for operand, item, each in zip(operands, (item.unalias() for item in items), loose, strict=False):
        if has_aggregate(item) or subqueries(item) or item.find(exp.Window) is not None:
            lifted.exact = False
            continue
        outward.append(_conjunct(_equal(operand, item.copy(), each)))
    return _offered(select, outward, place)


def _outward_conditions(lifted: Lifted, select: exp.Select, prepared: Prepared) -> list[exp.Paren]:
    """Takes the conjuncts out of a block that look at the blocks around it.

    In an outer join's ON such a conjunct is left out, and with it what looks at the optional side: rows too many.
    """
    own = {each.meta["block"] for each in select.find_all(exp.Select) if "block" in each.meta}
    outward: list[exp.Paren] = []
    loosened: set[int] = set()
    for join in joins_of(select):
        for conjunct in on_conjuncts(join):
            if _looks_out(conjunct, own):
                if join.side:
                    loosened.add(int(join.meta["join"]))
                else:
                    outward.append(conjunct.copy())
                conjunct.set("this", exp.true())
    kept: list[exp.Expr] = []
    for conjunct in clause_conjuncts(select, "where"):
        if any(taint.kind == "outer" and taint.number in loosened for taint in taints_of(select, conjunct, prepared)):
            continue
        (outward if _looks_out(conjunct, own) else kept).append(conjunct)
    set_conjuncts(select, "where", kept)
    lifted.exact = lifted.exact and not loosened
    return outward


def _looks_out(node: exp.Expr, own: set[int]) -> bool:
    return any(column.meta.get("owner", -1) not in own | {-1} for column in node.find_all(exp.Column))


def _offered(select: exp.Select, outward: list[exp.Paren], place: Link) -> list[exp.Paren]:
    """The conditions over what the subquery, now a derived table, offers; its select list is made of that."""
    block = select.meta["block"]
    names: dict[str, str] = {}
    offered: list[exp.Expr] = []
    for holder in outward:
        for column in list(holder.find_all(exp.Column)):
            if column.meta.get("owner") != block:
                continue
            text = column.sql(dialect="mysql")
            if text not in names:
                names[text] = f"{_alias(place)}_{len(names)}"
                offered.append(exp.alias_(column.copy(), names[text], quoted=True))
            column.replace(_column(names[text], place))
    select.set("expressions", offered or [exp.alias_(exp.Literal.number(1), _alias(place), quoted=True)])
    return outward


def _over_rows(select: exp.Select, condition: exp.Paren, prepared: Prepared) -> exp.Paren | None:
    """A condition that arrives in a block, over the columns of its FROM; None where it looks at an aggregate there."""
    if aggregates(select, condition):
        return None
    for column in list(condition.find_all(exp.Column)):
        if column.meta.get("owner") != select.meta["block"] or find_source(select, column, prepared) is not None:
            continue
        item = behind(select, column)
        if item is None or has_aggregate(item) or subqueries(item) or item.find(exp.Window) is not None:
            return None
        column.replace(exp.Paren(this=item.copy()))
    return condition
