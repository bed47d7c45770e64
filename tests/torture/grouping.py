"""Aggregates and window functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.torture.build import Context, Item, Query, Scope, Value, Want
from tests.torture.endings import as_columns, ended, names_of, positions, select_list
from tests.torture.expressions import aggregate, column, condition, constant, text
from tests.torture.model import quoted


def grouped(
    ctx: Context,
    wants: Sequence[Want] | None,
    scope: Scope,
    head: str,
    depth: int,
    form: str,
    *,
    limit: bool,
    top: bool,
) -> Query:
    """GROUP BY with aggregates, or aggregates of all rows."""
    groups: list[Value] = []
    if form == "grouped":
        for _ in range(ctx.chance.choice((1, 1, 2))):
            found = column(ctx, Scope(scope.item)) if not ctx.maybe(0.15) else _group_expression(ctx, scope, depth)
            if found is not None and all(found.sql != other.sql for other in groups):
                groups.append(replace(found, fuzzy=found.fuzzy or found.loose))
    if not groups:
        form = "all rows"
    ctx.tag("group" if groups else "aggregate of all rows")
    keyed = [value_of for value_of in groups]
    if wants is None:
        shown = [*keyed] if ctx.maybe(0.85) else []
        shown += [aggregate(ctx, scope) for _ in range(ctx.chance.choice((1, 1, 2)))]
    else:
        shown = []
        for want in wants:
            fitting = [group for group in keyed if want.fits(group)]
            shown.append(ctx.chance.choice(fitting) if fitting and ctx.maybe(0.7) else _wanted(ctx, scope, want))
    rollup = bool(groups) and ctx.maybe(0.08) and not any(g.name == "" for g in groups)
    if top:
        shown = [found.steady() for found in shown]
    names = names_of(ctx, shown)
    sql = f"SELECT {select_list(ctx, shown, names)} {head}"
    if groups:
        terms = [_group_term(ctx, group, shown, names, plain=ctx.maybe(0.8)) for group in groups]
        sql += f" GROUP BY {', '.join(terms)}"
    if rollup:
        sql += " WITH ROLLUP"
        ctx.tag("rollup")
    having = _having(ctx, scope, groups, depth) if not rollup or ctx.maybe(0.3) else None
    if having is not None:
        sql += f" HAVING {having.sql}"
    columns = tuple(replace(it, nullable=True) for it in as_columns(shown, names))
    unique = positions(tuple(groups), shown) if groups and not rollup else None
    query = Query(sql, columns, unique)
    if rollup or not groups or any(group.kind == "txt" for group in groups):
        return query
    terms = [group.sql for group in groups]
    if ctx.maybe(0.3):
        extra = aggregate(ctx, scope)
        if not extra.fuzzy:
            terms.insert(0, extra.sql)
            ctx.tag("aggregate in ORDER BY")
    return ended(ctx, query, terms, scope, 0, limit=limit, top=top)


def _group_term(ctx: Context, group: Value, shown: Sequence[Value], names: Sequence[str], *, plain: bool) -> str:
    """A grouping expression: itself, or its place or name in the select list."""
    place = next((index for index, found in enumerate(shown) if found.sql == group.sql), None)
    if plain or place is None:
        return group.sql
    ctx.tag("group by place or name")
    by_name = names[place] != group.name and ctx.maybe(0.5)
    return quoted(names[place]) if by_name else str(place + 1)


def _wanted(ctx: Context, scope: Scope, want: Want) -> Value:
    """An aggregate of a type."""
    if want.kind in ("int", "str", "date", "enum", "dec", "dbl"):
        made = aggregate(ctx, scope, want)
        if want.fits(made):
            return made
    return constant(ctx, want.kind)


def _group_expression(ctx: Context, scope: Scope, depth: int) -> Value | None:
    found = column(ctx, Scope(scope.item))
    if found is None:
        return None
    if depth > 0 and ctx.maybe(0.4):
        query = ctx.make(ctx, [Want("int")], (), depth - 1, shape="scalar")
        ctx.tag("subquery in GROUP BY")
        return Value(f"({query.sql})", "int")
    if found.kind == "int":
        return replace(text("({0} % 2)", found, kind="int"))
    if found.kind == "str":
        return replace(found.exact(), kind="txt")
    return found if found.kind != "date" else text("YEAR({0})", found, kind="int")


def _having(ctx: Context, scope: Scope, groups: Sequence[Value], depth: int) -> Value | None:
    if ctx.maybe(0.5):
        return None
    ctx.tag("having")
    parts: list[Value] = []
    for _ in range(ctx.chance.choice((1, 1, 2))):
        if groups and ctx.maybe(0.3):
            ctx.tag("having on a group")
            inner = Scope(Item("", tuple(groups), None), scope.outer if ctx.maybe(0.4) else ())
            before = set(ctx.tags)
            parts.append(condition(ctx, inner, depth if ctx.maybe(0.5) else 0, 1))
            if any(tag.startswith("subquery") for tag in ctx.tags - before):
                ctx.tag("subquery in HAVING")
            continue
        judged = aggregate(ctx, scope)
        if judged.kind in ("txt", "enum"):
            judged = Value("COUNT(*)", "int")
        if depth > 0 and ctx.maybe(0.2):
            query = ctx.make(ctx, [Want(judged.kind, judged.collation)], (), depth - 1, shape="scalar")
            parts.append(Value(f"{judged.sql} {ctx.chance.choice(('=', '<', '>='))} ({query.sql})", "bool"))
            ctx.tag("subquery in HAVING")
            continue
        form = ctx.chance.choice(("=", "<>", "<", ">", ">=", "IS NULL", "IN"))
        right = constant(ctx, judged.kind).sql
        test = form if form == "IS NULL" else f"IN ({right}, {right})" if form == "IN" else f"{form} {right}"
        parts.append(Value(f"{judged.sql} {test}", "bool"))
    word = ctx.chance.choice((" AND ", " AND ", " OR "))
    return Value(word.join(f"({part.sql})" for part in parts), "bool")


def windows(ctx: Context, scope: Scope, shown: list[Value], wants: Sequence[Want] | None) -> list[Value]:
    """Window functions in place of one of the columns."""
    made = _window(ctx, scope, wants[-1] if wants else None)
    if made is None:
        return shown
    ctx.tag("window")
    return [*shown[:-1], made] if wants is not None or ctx.maybe(0.3) else [*shown, made]


def _window(ctx: Context, scope: Scope, want: Want | None) -> Value | None:
    usable = [it for it in scope.item.columns if it.kind != "txt" and not it.fuzzy]
    if not usable:
        return None
    part = ctx.chance.choice(usable) if ctx.maybe(0.6) else None
    partition = f"PARTITION BY {part.sql} " if part is not None else ""
    unique = scope.item.unique
    total = [key.sql for key in unique] if unique is not None and not any(k.fuzzy for k in unique) else None
    first = ctx.chance.choice(usable)
    order = f"ORDER BY {first.sql}{ctx.chance.choice(('', ' DESC'))}"
    numeric = [it for it in usable if it.kind in ("int", "dec", "dbl")]
    forms = ["RANK()", "DENSE_RANK()", "COUNT(*)"] if want is None or want.kind == "int" else []
    if total is not None and (want is None or want.kind == "int"):
        forms += ["ROW_NUMBER()", "NTILE(2)"]
    if want is None and numeric:
        forms += ["SUM", "AVG"]
    fitting = [it for it in usable if want is None or want.fits(it)]
    if fitting and total is not None:
        forms += ["LAG", "LEAD", "FIRST_VALUE"]
    if not forms:
        return None
    form = ctx.chance.choice(forms)
    if form in ("RANK()", "DENSE_RANK()"):
        return Value(f"{form} OVER ({partition}{order})", "int")
    if form == "COUNT(*)":
        return Value(f"{form} OVER ({partition}{order if ctx.maybe(0.4) else ''})", "int")
    totally = f"{order}, {', '.join(total)}" if total else order
    if form in ("ROW_NUMBER()", "NTILE(2)"):
        return Value(f"{form} OVER ({partition}{totally})", "int")
    if form in ("SUM", "AVG"):
        summed = ctx.chance.choice(numeric)
        word = form if summed.kind != "dbl" else "SUM"
        frame = " ROWS BETWEEN 1 PRECEDING AND CURRENT ROW" if total and ctx.maybe(0.3) else ""
        tail = totally + frame if frame else (order if ctx.maybe(0.5) else "")
        return Value(f"{word}({summed.sql}) OVER ({partition}{tail})", "dbl" if summed.kind == "dbl" else "dec")
    taken = ctx.chance.choice(fitting)
    return replace(taken, sql=f"{form}({taken.sql}) OVER ({partition}{totally})", name="", nullable=True)
