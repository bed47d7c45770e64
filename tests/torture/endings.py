"""What surrounds a SELECT's FROM and WHERE: its list, its order, its LIMIT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.torture.build import Context, Item, Query, Scope, Value, Want
from tests.torture.expressions import ordering, visible
from tests.torture.model import quoted


def names_of(ctx: Context, shown: Sequence[Value]) -> list[str]:
    """A name for each column, none twice."""
    names: list[str] = []
    for found in shown:
        name = found.name if found.name and not ctx.maybe(0.12) else f"z{ctx.number()}"
        while name.lower() in {other.lower() for other in names}:
            name = f"z{ctx.number()}"
        names.append(name)
    return names


def select_list(ctx: Context, shown: Sequence[Value], names: Sequence[str]) -> str:
    parts = []
    for found, name in zip(shown, names, strict=True):
        plain = found.name == name and not found.constant
        parts.append(found.sql if plain and ctx.maybe(0.8) else f"{found.sql} AS {quoted(name)}")
    return ", ".join(parts)


def as_columns(shown: Sequence[Value], names: Sequence[str]) -> tuple[Value, ...]:
    return tuple(replace(found, name=name, sql=quoted(name)) for found, name in zip(shown, names, strict=True))


def positions(unique: tuple[Value, ...] | None, shown: Sequence[Value]) -> tuple[int, ...] | None:
    """Where the select list shows all unique columns; None where it does not."""
    if unique is None:
        return None
    found: list[int] = []
    for key in unique:
        place = next((index for index, other in enumerate(shown) if other.sql == key.sql), None)
        if place is None:
            return None
        found.append(place)
    return tuple(found)


def total_order(ctx: Context, item: Item, shown: Sequence[Value]) -> list[str] | None:
    """ORDER BY terms that leave no choice."""
    if any(found.fuzzy for found in shown):
        return None
    if item.unique is not None and not any(key.fuzzy for key in item.unique):
        first = ctx.chance.choice((*item.columns, None, None))
        terms = [first.sql] if first is not None and first.kind != "txt" and not first.fuzzy else []
        return terms + [key.sql for key in item.unique if key.sql not in terms]
    if any(found.constant for found in shown):
        return None
    return ordering([found for found in shown if found.kind != "bool"])


def ended(
    ctx: Context, query: Query, terms: list[str] | None, scope: Scope, depth: int, *, limit: bool, top: bool
) -> Query:
    """With ORDER BY and LIMIT, perhaps."""
    if terms is None or ctx.spj or not terms:
        return query
    limited = limit and ctx.maybe(0.3 if top else 0.18)
    if not limited and not (top and ctx.maybe(0.3)):
        return query
    if ctx.maybe(0.06) and depth > 0 and "DISTINCT" not in query.sql[:16] and "GROUP BY" not in query.sql:
        inner = ctx.make(ctx, [Want("int")], visible(ctx, scope), depth - 1, shape="scalar")
        terms = [f"({inner.sql})", *terms]
        ctx.tag("subquery in ORDER BY")
    directed = ", ".join(term + ctx.chance.choice(("", "", " DESC", " ASC")) for term in terms)
    sql = f"{query.sql} ORDER BY {directed}"
    if limited:
        sql += limit_clause(ctx)
    ctx.tag(f"{'order' if not limited else 'limit'}:{'top' if top else 'inside'}")
    return replace(query, sql=sql, ordered=True)


def limit_clause(ctx: Context) -> str:
    number, offset = ctx.chance.choice((1, 1, 2, 2, 3, 5, 100)), ctx.chance.choice((1, 2))
    form = ctx.chance.choice(("limit", "limit", "offset", "comma"))
    if form == "limit":
        return f" LIMIT {number}"
    ctx.tag("offset")
    return f" LIMIT {number} OFFSET {offset}" if form == "offset" else f" LIMIT {offset}, {number}"
