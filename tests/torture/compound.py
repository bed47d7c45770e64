"""Set operations and WITH."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.torture.build import Context, Query, Scope, Value, Want
from tests.torture.endings import limit_clause
from tests.torture.expressions import condition
from tests.torture.model import quoted
from tests.torture.sources import table


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
    left = ctx.make(ctx, wants, outer, depth, shape="one")
    wanted = [Want(found.kind, found.collation) for found in left.columns]
    if any(want.kind in ("txt", "bool") for want in wanted) or any(found.fuzzy for found in left.columns):
        return ctx.make(ctx, wants, outer, depth, shape="top" if top else "one")
    parts = [left.sql]
    columns = list(left.columns)
    loose = False
    for _ in range(ctx.chance.choices((1, 2), (5, 1))[0]):
        word = ctx.pick(("UNION", 3), ("UNION ALL", 3), ("INTERSECT", 1.3), ("EXCEPT", 1.5),
                        ("INTERSECT ALL", 0.3), ("EXCEPT ALL", 0.4))  # fmt: skip
        right = ctx.make(ctx, wanted, outer, depth, shape="one")
        ctx.tag(f"set:{word.lower()}")
        loose = loose or word != "UNION ALL"
        if ctx.maybe(0.15):
            right = _cut(ctx, right)
        parts += [word, f"({right.sql})" if right.ordered or ctx.maybe(0.4) else right.sql]
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
        return replace(query, sql=f"{sql} ORDER BY {order}{limit_clause(ctx)}", ordered=True)
    return query


def _cut(ctx: Context, query: Query) -> Query:
    """A branch with a LIMIT of its own."""
    if query.unique is None or any(query.columns[place].loose for place in query.unique) or not query.unique:
        return query
    if any(query.columns[place].kind == "txt" for place in query.unique):
        return query
    order = ", ".join(quoted(query.columns[place].name) for place in query.unique)
    ctx.tag("set:limit in a branch")
    return replace(query, sql=f"{query.sql} ORDER BY {order}{limit_clause(ctx)}", ordered=True)


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
            query = ctx.make(ctx, None, (), depth - 1)
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
    body = ctx.make(ctx, wants, (), depth, shape="top" if top else "one")
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
