"""Random SELECTs, set operations and CTEs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.torture.build import Context, Flat, Item, Query, Scope, Value, Want
from tests.torture.classics import classic
from tests.torture.compound import set_operation, with_clause
from tests.torture.endings import as_columns, ended, names_of, positions, select_list, total_order
from tests.torture.expressions import aggregate, column, condition, constant, row, value
from tests.torture.grouping import grouped, windows
from tests.torture.model import quoted
from tests.torture.sources import from_clause, table


def make(
    ctx: Context,
    wants: Sequence[Want] | None,
    outer: tuple[Value, ...],
    depth: int,
    *,
    shape: str = "any",
) -> Query:
    """A query for any place; see `build.Maker`."""
    if ctx.spj or shape == "plain":
        return select(ctx, wants, outer, depth, form="plain")
    if shape in ("one", "top"):
        return select(ctx, wants, outer, depth, limit=shape == "top", top=shape == "top")
    if shape == "scalar":
        return _scalar(ctx, wants or [Want("int")], outer, depth)
    form = ctx.pick(
        ("select", 10),
        ("set", 1.5 if depth > 0 else 0),
        ("with", 0.8 if depth > 0 and not outer and not ctx.in_view and shape == "any" else 0),
    )
    if form == "set":
        return set_operation(ctx, wants, outer, depth - 1, limit=shape == "any")
    if form == "with":
        return with_clause(ctx, wants, depth, top=False)
    return select(ctx, wants, outer, depth, limit=shape == "any")


def select(
    ctx: Context,
    wants: Sequence[Want] | None,
    outer: tuple[Value, ...],
    depth: int,
    *,
    form: str | None = None,
    limit: bool = True,
    top: bool = False,
) -> Query:
    """One SELECT."""
    form = form or ctx.pick(("plain", 7), ("distinct", 1.2), ("grouped", 2.5), ("all rows", 0.8), ("window", 0.9))
    item = from_clause(ctx, outer, depth)
    scope = Scope(item, outer)
    conditions, flat = _where(ctx, scope, depth)
    head = f"FROM {item.sql}" + (f" WHERE {' AND '.join(conditions)}" if conditions else "")
    if form == "grouped" or form == "all rows":
        return grouped(ctx, wants, scope, head, depth, form, limit=limit, top=top)
    return _plain(ctx, wants, scope, head, flat, depth, form, limit=limit, top=top)


def _where(ctx: Context, scope: Scope, depth: int) -> tuple[list[str], Flat]:
    """The conjuncts of a WHERE, and the flat form with them."""
    conditions: list[str] = []
    flat = scope.item.flat
    for _ in range(ctx.chance.choices((0, 1, 2), (2, 5, 2))[0]):
        if ctx.spj and depth > 0 and ctx.maybe(0.4):
            made, extra = _positive_in(ctx, scope, depth)
            flat = (flat + extra).where(made.flat)
        else:
            before = set(ctx.tags)
            made = classic(ctx, scope) if not ctx.spj and ctx.maybe(0.3) else None
            made = made or condition(ctx, scope, depth)
            flat = flat.where(made.flat)
            if any(tag.startswith("subquery") for tag in ctx.tags - before):
                ctx.tag("subquery in WHERE")
        conditions.append(f"({made.sql})")
    return conditions, flat


def _positive_in(ctx: Context, scope: Scope, depth: int) -> tuple[Value, Flat]:
    """`x IN (SELECT y …)`: for lineage, a join on x = y."""
    first = column(ctx, scope) or constant(ctx, "int")
    lefts = [first]
    second = column(ctx, scope)
    if second is not None and ctx.maybe(0.3):
        lefts.append(second)
    query = make(ctx, [Want(left.kind, left.collation) for left in lefts], (), depth - 1, shape="plain")
    ctx.tag("subquery:in")
    sql = row(lefts).format(*(left.sql for left in lefts)) + f" IN ({query.sql})"
    same = " AND ".join(f"{left.flat} = {right.flat}" for left, right in zip(lefts, query.columns, strict=True))
    return Value(sql, "bool", same), query.flat


def _shown(ctx: Context, wants: Sequence[Want] | None, scope: Scope, depth: int) -> list[Value]:
    """What a select list shows."""
    if wants is not None:
        return [value(ctx, scope, want, depth) for want in wants]
    count = ctx.chance.choice((1, 2, 2, 3, 4))
    shown = [value(ctx, scope, None, depth if ctx.maybe(0.3) else 0) for _ in range(count)]
    if scope.item.unique is not None and ctx.maybe(0.5):
        # DataJoint always fetches the primary key.
        shown += [key for key in scope.item.unique if all(key.sql != other.sql for other in shown)]
    if not ctx.spj and ctx.maybe(0.08):
        made = condition(ctx, scope, depth, 1)
        shown.append(replace(made, sql=f"({made.sql})", kind="int"))
        ctx.tag("condition in SELECT")
    return shown


def _plain(
    ctx: Context,
    wants: Sequence[Want] | None,
    scope: Scope,
    head: str,
    flat: Flat,
    depth: int,
    form: str,
    *,
    limit: bool,
    top: bool,
) -> Query:
    item = scope.item
    if wants is None and form == "plain" and ctx.maybe(0.12) and not any(it.fuzzy for it in item.columns):
        starred = _starred(ctx, item, head, flat, top=top)
        if starred is not None:
            return starred
    shown = _shown(ctx, wants, scope, depth)
    if form == "window":
        shown = windows(ctx, scope, shown, wants)
    distinct = "DISTINCT " if form == "distinct" or (ctx.spj and ctx.maybe(0.1)) else ""
    if distinct:
        ctx.tag("distinct")
    shown = _settled(shown, distinct=bool(distinct), top=top)
    names = names_of(ctx, shown)
    sql = f"SELECT {_modifier(ctx) if top else ''}{distinct}{select_list(ctx, shown, names)} {head}"
    columns = as_columns(shown, names)
    if distinct:
        unique: tuple[int, ...] | None = tuple(range(len(shown)))
    else:
        unique = positions(item.unique, shown)
    if form == "plain" and not ctx.spj and not outer_only(shown) and ctx.maybe(0.06):
        # MySQL's HAVING may look at the select list of a query without groups.
        sql += f" HAVING {condition(ctx, Scope(Item('', columns, None)), 0, 1).sql}"
        ctx.tag("having without groups")
    query = Query(sql, columns, unique, flat)
    if distinct:
        terms: list[str] | None = [quoted(name) for name in names] if not any(it.loose for it in shown) else None
    else:
        terms = total_order(ctx, item, shown)
    return ended(ctx, query, terms, scope, depth, limit=limit and form != "window", top=top)


def _modifier(ctx: Context) -> str:
    """A word or comment behind SELECT that changes no row."""
    if ctx.in_view or not ctx.maybe(0.03):
        return ""
    ctx.tag("modifier")
    hints = ["/*+ NO_MERGE() */ ", "/*+ SET_VAR(sort_buffer_size = 65536) */ "] if ctx.mysql else ["SQL_NO_CACHE "]
    return ctx.chance.choice((*hints, "HIGH_PRIORITY ", "SQL_SMALL_RESULT ", "/* 'a comment */ ", "ALL "))


def outer_only(shown: Sequence[Value]) -> bool:
    """Whether a select list has a constant, an expression or a name twice: HAVING had better not look at it."""
    names = [found.name.lower() for found in shown]
    return any(not name for name in names) or len(set(names)) < len(names)


def _starred(ctx: Context, item: Item, head: str, flat: Flat, *, top: bool) -> Query | None:
    """`SELECT *`; as a derived table only where it gives no name twice."""
    merged = {found.name.lower(): found for found in item.bare}
    columns: dict[str, Value] = {}
    for found in item.columns:
        name = found.name.lower()
        if name in columns and not top and (name not in merged or merged[name].sql.count("`") != 2):
            return None
        columns[name] = merged.get(name, found)
    if any(found.fuzzy for found in columns.values()):
        return None
    natural = "NATURAL" in item.sql or "USING" in item.sql
    ctx.tag("star")
    shown = list(columns.values())
    unique = positions(item.unique, shown) if not natural and len(columns) == len(item.columns) else None
    return Query(f"SELECT * {head}", tuple(replace(it, constant=False) for it in shown), unique, flat)


def _settled(shown: list[Value], *, distinct: bool, top: bool) -> list[Value]:
    """Values that may leave the query: what DISTINCT keeps of equal values is the server's choice."""
    if distinct and top:
        return [found.exact() for found in shown]
    if distinct:
        return [replace(found, fuzzy=found.fuzzy or found.loose) for found in shown]
    return [found.steady() for found in shown] if top else shown


def _scalar(ctx: Context, wants: Sequence[Want], outer: tuple[Value, ...], depth: int) -> Query:
    """A query of one column and at most one row."""
    want = wants[0]
    for _ in range(3):
        if ctx.maybe(0.6) and want.kind != "enum":
            item = from_clause(ctx, outer, depth, 1 if ctx.maybe(0.7) else 2)
            scope = Scope(item, outer)
            conditions, _flat = _where(ctx, scope, depth)
            made = aggregate(ctx, scope, want)
            if want.fits(made):
                where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
                return Query(f"SELECT {made.sql} FROM {item.sql}{where}", (replace(made, name="z"),), ())
        item = table(ctx)
        scope = Scope(item, outer)
        shown = value(ctx, scope, want)
        if item.unique is None or not want.fits(shown):
            continue
        conditions, _flat = _where(ctx, scope, depth)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"SELECT {shown.sql} FROM {item.sql}{where} ORDER BY {', '.join(k.sql for k in item.unique)} LIMIT 1"
        if ctx.maybe(0.2):
            sql += " OFFSET 1"
        ctx.tag("limit:inside")
        return Query(sql, (replace(shown, name="z"),), ())
    made = constant(ctx, want.kind)
    return Query(f"SELECT {made.sql}", (replace(made, name="z"),), ())
