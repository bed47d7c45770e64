"""Random SELECTs, set operations and CTEs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.torture.build import Context, Flat, Item, Query, Scope, Value, Want
from tests.torture.expressions import aggregate, column, condition, constant, ordering, row, text, value, visible
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
        return _grouped(ctx, wants, scope, head, depth, form, limit=limit, top=top)
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
            made = condition(ctx, scope, depth)
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
        shown = _windows(ctx, scope, shown, wants)
    distinct = "DISTINCT " if form == "distinct" or (ctx.spj and ctx.maybe(0.1)) else ""
    if distinct:
        ctx.tag("distinct")
    shown = _settled(shown, distinct=bool(distinct), top=top)
    names = _names(ctx, shown)
    sql = f"SELECT {distinct}{_list(ctx, shown, names)} {head}"
    columns = _columns(shown, names)
    if distinct:
        unique: tuple[int, ...] | None = tuple(range(len(shown)))
    else:
        unique = _positions(item.unique, shown)
    query = Query(sql, columns, unique, flat)
    if distinct:
        terms: list[str] | None = [quoted(name) for name in names] if not any(it.loose for it in shown) else None
    else:
        terms = _total(ctx, item, shown)
    return _ended(ctx, query, terms, scope, depth, limit=limit and form != "window", top=top)


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
    if natural and not top:
        return None
    ctx.tag("star")
    shown = list(columns.values())
    unique = _positions(item.unique, shown) if not natural and len(columns) == len(item.columns) else None
    return Query(f"SELECT * {head}", tuple(replace(it, constant=False) for it in shown), unique, flat)


def _settled(shown: list[Value], *, distinct: bool, top: bool) -> list[Value]:
    """Values that may leave the query: what DISTINCT keeps of equal values is the server's choice."""
    if distinct and top:
        return [found.exact() for found in shown]
    if distinct:
        return [replace(found, fuzzy=found.fuzzy or found.loose) for found in shown]
    return [found.steady() for found in shown] if top else shown


def _names(ctx: Context, shown: Sequence[Value]) -> list[str]:
    """A name for each column, none twice."""
    names: list[str] = []
    for found in shown:
        name = found.name if found.name and not ctx.maybe(0.12) else f"z{ctx.number()}"
        while name.lower() in {other.lower() for other in names}:
            name = f"z{ctx.number()}"
        names.append(name)
    return names


def _list(ctx: Context, shown: Sequence[Value], names: Sequence[str]) -> str:
    parts = []
    for found, name in zip(shown, names, strict=True):
        plain = found.name == name and not found.constant
        parts.append(found.sql if plain and ctx.maybe(0.8) else f"{found.sql} AS {quoted(name)}")
    return ", ".join(parts)


def _columns(shown: Sequence[Value], names: Sequence[str]) -> tuple[Value, ...]:
    return tuple(replace(found, name=name, sql=quoted(name)) for found, name in zip(shown, names, strict=True))


def _positions(unique: tuple[Value, ...] | None, shown: Sequence[Value]) -> tuple[int, ...] | None:
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


def _total(ctx: Context, item: Item, shown: Sequence[Value]) -> list[str] | None:
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


def _ended(
    ctx: Context, query: Query, terms: list[str] | None, scope: Scope, depth: int, *, limit: bool, top: bool
) -> Query:
    """With ORDER BY and LIMIT, perhaps."""
    if terms is None or ctx.spj or not terms:
        return query
    limited = limit and ctx.maybe(0.3 if top else 0.18)
    if not limited and not (top and ctx.maybe(0.3)):
        return query
    if ctx.maybe(0.06) and depth > 0 and "DISTINCT" not in query.sql[:16] and "GROUP BY" not in query.sql:
        inner = make(ctx, [Want("int")], visible(ctx, scope), depth - 1, shape="scalar")
        terms = [f"({inner.sql})", *terms]
        ctx.tag("subquery in ORDER BY")
    directed = ", ".join(term + ctx.chance.choice(("", "", " DESC", " ASC")) for term in terms)
    sql = f"{query.sql} ORDER BY {directed}"
    if limited:
        sql += _limit(ctx)
    ctx.tag(f"{'order' if not limited else 'limit'}:{'top' if top else 'inside'}")
    return replace(query, sql=sql, ordered=True)


def _limit(ctx: Context) -> str:
    number, offset = ctx.chance.choice((1, 2, 3, 5)), ctx.chance.choice((1, 2))
    form = ctx.chance.choice(("limit", "limit", "offset", "comma"))
    if form == "limit":
        return f" LIMIT {number}"
    ctx.tag("offset")
    return f" LIMIT {number} OFFSET {offset}" if form == "offset" else f" LIMIT {offset}, {number}"


def _grouped(
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
            found = column(ctx, Scope(scope.item)) if not ctx.maybe(0.15) else _group_expression(ctx, scope)
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
    names = _names(ctx, shown)
    sql = f"SELECT {_list(ctx, shown, names)} {head}"
    if groups:
        sql += f" GROUP BY {', '.join(group.sql for group in groups)}"
    if rollup:
        sql += " WITH ROLLUP"
        ctx.tag("rollup")
    having = _having(ctx, scope, groups, depth) if not rollup or ctx.maybe(0.3) else None
    if having is not None:
        sql += f" HAVING {having.sql}"
    columns = tuple(replace(it, nullable=True) for it in _columns(shown, names))
    unique = _positions(tuple(groups), shown) if groups and not rollup else None
    query = Query(sql, columns, unique)
    if rollup or not groups or any(group.kind == "txt" for group in groups):
        return query
    terms = [group.sql for group in groups]
    if ctx.maybe(0.3):
        extra = aggregate(ctx, scope)
        if not extra.fuzzy:
            terms.insert(0, extra.sql)
            ctx.tag("aggregate in ORDER BY")
    return _ended(ctx, query, terms, scope, 0, limit=limit, top=top)


def _wanted(ctx: Context, scope: Scope, want: Want) -> Value:
    """An aggregate of a type."""
    if want.kind in ("int", "str", "date", "enum", "dec", "dbl"):
        made = aggregate(ctx, scope, want)
        if want.fits(made):
            return made
    return constant(ctx, want.kind)


def _group_expression(ctx: Context, scope: Scope) -> Value | None:
    found = column(ctx, Scope(scope.item))
    if found is None:
        return None
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
            inner = Scope(Item("", tuple(groups), None))
            before = set(ctx.tags)
            parts.append(condition(ctx, inner, depth if ctx.maybe(0.5) else 0, 1))
            if any(tag.startswith("subquery") for tag in ctx.tags - before):
                ctx.tag("subquery in HAVING")
            continue
        judged = aggregate(ctx, scope)
        if judged.kind in ("txt", "enum"):
            judged = Value("COUNT(*)", "int")
        if depth > 0 and ctx.maybe(0.2):
            query = make(ctx, [Want(judged.kind, judged.collation)], (), depth - 1, shape="scalar")
            parts.append(Value(f"{judged.sql} {ctx.chance.choice(('=', '<', '>='))} ({query.sql})", "bool"))
            ctx.tag("subquery in HAVING")
            continue
        form = ctx.chance.choice(("=", "<>", "<", ">", ">=", "IS NULL", "IN"))
        right = constant(ctx, judged.kind).sql
        test = form if form == "IS NULL" else f"IN ({right}, {right})" if form == "IN" else f"{form} {right}"
        parts.append(Value(f"{judged.sql} {test}", "bool"))
    word = ctx.chance.choice((" AND ", " AND ", " OR "))
    return Value(word.join(f"({part.sql})" for part in parts), "bool")


def _windows(ctx: Context, scope: Scope, shown: list[Value], wants: Sequence[Want] | None) -> list[Value]:
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


def set_operation(
    ctx: Context,
    wants: Sequence[Want] | None,
    outer: tuple[Value, ...],
    depth: int,
    *,
    limit: bool = True,
    top: bool = False,
) -> Query:
    """UNION, INTERSECT or EXCEPT of two or three queries."""
    left = select(ctx, wants, outer, depth, limit=False)
    wanted = [Want(found.kind, found.collation) for found in left.columns]
    if any(want.kind in ("txt", "bool") for want in wanted) or any(found.fuzzy for found in left.columns):
        return select(ctx, wants, outer, depth, limit=False, top=top)
    parts = [left.sql]
    columns = list(left.columns)
    loose = False
    for _ in range(ctx.chance.choices((1, 2), (5, 1))[0]):
        word = ctx.pick(("UNION", 3), ("UNION ALL", 3), ("INTERSECT", 1.3), ("EXCEPT", 1.5),
                        ("INTERSECT ALL", 0.3), ("EXCEPT ALL", 0.4))  # fmt: skip
        right = select(ctx, wanted, outer, depth, limit=False)
        ctx.tag(f"set:{word.lower()}")
        loose = loose or word != "UNION ALL"
        parts += [word, f"({right.sql})" if ctx.maybe(0.4) else right.sql]
        columns = [
            replace(own, fuzzy=own.fuzzy or far.fuzzy, nullable=True)
            for own, far in zip(columns, right.columns, strict=True)
        ]
    names = [found.name for found in left.columns]
    if loose:
        columns = [replace(found, fuzzy=found.fuzzy or found.loose) for found in columns]
    columns = [replace(found, sql=quoted(name), name=name) for found, name in zip(columns, names, strict=True)]
    sql = " ".join(parts)
    if top and any(found.fuzzy for found in columns):
        alias = f"q{ctx.number()}"
        listed = ", ".join(found.steady().sql + f" AS {quoted(found.name)}" for found in columns)
        return Query(f"SELECT {listed} FROM ({sql}) AS {quoted(alias)}", tuple(found.steady() for found in columns))
    query = Query(sql, tuple(columns), None, compound=True)
    total = not any(found.loose or found.kind == "enum" for found in columns)
    if total and limit and ctx.maybe(0.2):
        order = ", ".join(quoted(name) for name in names)
        ctx.tag("set:limit")
        return replace(query, sql=f"{sql} ORDER BY {order}{_limit(ctx)}", ordered=True)
    return query


def with_clause(ctx: Context, wants: Sequence[Want] | None, depth: int, *, top: bool) -> Query:
    """WITH … SELECT; the CTEs may be recursive, name their columns and refer to each other."""
    before = list(ctx.ctes)
    parts: list[str] = []
    recursive = False
    for _ in range(ctx.chance.choice((1, 1, 2))):
        name = f"cte{ctx.number()}"
        if ctx.maybe(0.3):
            recursive = True
            sql, query = _recursive(ctx, name)
        else:
            query = make(ctx, None, (), depth - 1)
            names = [found.name for found in query.columns]
            listed = ""
            if ctx.maybe(0.4):
                names = [f"c{number}" for number in range(len(names))]
                listed = f" ({', '.join(map(quoted, names))})"
                ctx.tag("cte:column list")
            columns = tuple(replace(found, name=own) for found, own in zip(query.columns, names, strict=True))
            query = replace(query, columns=columns)
            sql = f"{quoted(name)}{listed} AS ({query.sql})"
        ctx.tag("cte")
        parts.append(sql)
        ctx.ctes.append((name, query))
    body = select(ctx, wants, (), depth, top=top, limit=top)
    ctx.ctes[:] = before
    word = "WITH RECURSIVE" if recursive else "WITH"
    return replace(body, sql=f"{word} {', '.join(parts)} {body.sql}")


def _recursive(ctx: Context, name: str) -> tuple[str, Query]:
    """A CTE that walks along the rows of a table, at most four steps."""
    ctx.tag("cte:recursive")
    shape = ctx.chance.choice(ctx.model.tables)
    first, step = table(ctx, shape), table(ctx, shape)
    start = ctx.chance.choice(first.columns)
    pairs = [it for it in step.columns if it.kind == start.kind and it.collation == start.collation]
    nexts = ctx.chance.choice(pairs)
    head = f"{quoted(name)} (`n`, `v`) AS"
    if start.loose or start.kind in ("enum", "str"):
        # Numbers alone, which need no table.
        sql = f"{head} (SELECT 1, 1 UNION ALL SELECT `n` + 1, `v` + `n` FROM {quoted(name)} WHERE `n` < 4)"
        columns = tuple(Value("", "int", "", own, constant=False) for own in ("n", "v"))
        return sql, Query("", columns, (0,))
    condition_ = condition(ctx, Scope(first), 0)
    kept = ctx.chance.choice(step.columns)
    join = f"{kept.sql} = `r`.`v`" if kept.kind == start.kind else f"{nexts.sql} > `r`.`v`"
    union = ctx.chance.choice(("UNION", "UNION ALL"))
    sql = (
        f"{head} (SELECT 1, {start.sql} FROM {first.sql} WHERE {condition_.sql} {union}"
        f" SELECT `r`.`n` + 1, {nexts.sql} FROM {step.sql} JOIN {quoted(name)} AS `r` ON {join} WHERE `r`.`n` < 3)"
    )
    columns = (Value("", "int", "", "n"), replace(start, name="v", sql=""))
    return sql, Query("", columns, None)
