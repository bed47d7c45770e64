"""A query as a client may send it: inside another statement, spelled otherwise, under other settings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from tests.torture.build import Context, Query, Scope, Value
from tests.torture.expressions import condition, constant
from tests.torture.model import quoted
from tests.torture.recorded import Recorded
from tests.torture.sources import from_clause

#: Words that are none of a name's without backticks.
_RESERVED = frozenset({"order", "rank"})
_NAME = re.compile(r"`([A-Za-z_][A-Za-z0-9_]*)`")


def wrapped(ctx: Context, query: Query) -> Recorded:
    """The query as it is, or inside another statement."""
    sql, reading, ordered = query.sql, query.sql, query.ordered
    plain = not query.compound and not sql.startswith("WITH")
    form = ctx.pick(
        ("plain", 20),
        ("parentheses", 0.6),
        ("insert", 0.5),
        ("replace", 0.2),
        ("create", 0.5),
        ("locking", 0.5 if plain else 0),
        ("into", 0.4 if query.unique == () and query.columns else 0),
    )
    if form == "parentheses" and not sql.startswith("WITH"):
        sql = reading = f"({sql})"
    elif form in ("insert", "replace"):
        tail = " ON DUPLICATE KEY UPDATE `a` = 1" if form == "insert" and plain and ctx.maybe(0.2) else ""
        sql, ordered = f"{form.upper()} INTO `elsewhere` {sql}{tail}", False
        ctx.tag(f"{form} select")
    elif form == "create":
        sql, ordered = f"CREATE TABLE `elsewhere` {ctx.chance.choice(('', 'AS '))}{sql}", False
        ctx.tag("create select")
    elif form == "locking":
        tails = (" FOR UPDATE", " LOCK IN SHARE MODE", *((" FOR SHARE",) if ctx.mysql else ()))
        sql = reading = sql + ctx.chance.choice(tails)
        ctx.tag("locking")
    elif form == "into":
        sql = f"{sql} INTO {', '.join(f'@into{number}' for number in range(len(query.columns)))}"
        ctx.tag("select into")
    return Recorded(sql, reading, ordered, None, frozenset(ctx.tags))


def spelled(ctx: Context, recorded: Recorded) -> Recorded:
    """Sometimes without backticks, or with double quotes under ANSI_QUOTES."""
    form = ctx.pick(("backticks", 8), ("bare", 1.5), ("ansi", 0.5))
    if form == "bare":
        respelled = replace(recorded, sql=_bare(recorded.sql), reading=_bare(recorded.reading))
        return replace(respelled, tags=recorded.tags | {"names without quotes"})
    if form == "ansi":
        respelled = replace(recorded, sql=recorded.sql.replace("`", '"'), reading=recorded.reading.replace("`", '"'))
        return replace(respelled, mode="ANSI_QUOTES", tags=recorded.tags | {"ANSI_QUOTES"})
    return recorded


def _bare(sql: str) -> str:
    def bare(found: re.Match[str]) -> str:
        return found[0] if found[1].lower() in _RESERVED else found[1]

    return _NAME.sub(bare, sql)


def changing(ctx: Context, depth: int) -> Recorded:
    """A multi-table UPDATE or DELETE; `reading` shows the rows that it reads."""
    item = from_clause(ctx, (), depth, ctx.chance.choice((1, 2, 2)))
    scope = Scope(item)
    where = f" WHERE {condition(ctx, scope, depth).sql}" if ctx.maybe(0.85) else ""
    targets = [value for value in item.columns if value.sql.startswith("`a") and not value.fuzzy]
    reading = f"SELECT {_all(item.columns)} FROM {item.sql}{where}"
    if not targets:
        return Recorded(reading, reading, tags=frozenset(ctx.tags))
    target = ctx.chance.choice(targets)
    if ctx.maybe(0.5):
        ctx.tag("update")
        sql = f"UPDATE {item.sql} SET {target.sql} = {constant(ctx, target.kind).sql}{where}"
    else:
        ctx.tag("delete")
        sql = f"DELETE {target.sql.partition('.')[0]} FROM {item.sql}{where}"
    return Recorded(sql, reading, False, None, frozenset(ctx.tags), changes=True)


def _all(columns: Sequence[Value]) -> str:
    return ", ".join(f"{value.steady().sql} AS {quoted(f'r{index}')}" for index, value in enumerate(columns))
