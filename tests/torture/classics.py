"""The shapes of condition that people write, and whose answers depend on rows that are not in them."""

from __future__ import annotations

from tests.torture.build import Context, Scope, Value
from tests.torture.expressions import compare, constant, like, text
from tests.torture.sources import table


def classic(ctx: Context, scope: Scope) -> Value | None:
    """An anti-join, a comparison with a group or a test for a missing partner; None where nothing fits."""
    if scope.item.optional and ctx.maybe(0.7):
        return _missing_partner(ctx, scope)
    inner = table(ctx)
    pairs = [
        (own, far)
        for own in scope.item.columns
        for far in inner.columns
        if like(own)(far) and own.kind not in ("enum", "txt")
    ]
    if not pairs:
        return None
    own, far = ctx.chance.choice(pairs)
    weights = {"not in": 3, "not exists": 3, "exists": 1, "count": 1.5, "all": 1, "any": 0.5, "extreme": 1, "in": 1}
    form = ctx.pick(*weights.items())
    extra = f" AND {compare(ctx, Scope(inner), ctx.chance.choice(inner.columns)).sql}" if ctx.maybe(0.4) else ""
    ctx.tag(f"subquery:{form if form not in ('count', 'extreme') else 'value'}")
    same = f"FROM {inner.sql} WHERE {far.sql} = {own.sql}{extra}".replace("{", "{{").replace("}", "}}")
    whole = f"FROM {inner.sql} WHERE TRUE{extra}".replace("{", "{{").replace("}", "}}")
    if form in ("not in", "in"):
        return text(f"{{0}} {form.upper()} (SELECT {far.sql} {whole})", own)
    ctx.tag("correlated")
    if form in ("not exists", "exists"):
        return text(f"{form.upper()} (SELECT 1 {same})")
    if form == "count":
        return text(f"(SELECT COUNT(*) {same}) {ctx.chance.choice(('=', '<', '<>'))} {ctx.chance.choice((0, 1, 2))}")
    others = [value for value in inner.columns if value.kind == "int"]
    mine = [value for value in scope.item.columns if value.kind == "int"]
    if not others or not mine:
        return text(f"NOT EXISTS (SELECT 1 {same})")
    left, right = ctx.chance.choice(mine), ctx.chance.choice(others)
    operator = ctx.chance.choice(("<", "<=", ">", ">=", "=", "<>"))
    if form == "extreme":
        return text(f"{{0}} {operator} (SELECT {ctx.chance.choice(('MIN', 'MAX', 'SUM'))}({right.sql}) {same})", left)
    return text(f"{{0}} {operator} {form.upper()} (SELECT {right.sql} {same})", left)


def _missing_partner(ctx: Context, scope: Scope) -> Value:
    """A test on the optional side of an outer join."""
    found = ctx.chance.choice([value for value in scope.item.columns if value.optional] or list(scope.item.columns))
    ctx.tag("test for a missing partner")
    if ctx.maybe(0.6) or found.kind in ("txt", "enum", "bool"):
        return text("{0} IS NULL", found)
    form = ctx.chance.choice(("COALESCE({0}, {1}) = {1}", "({0} = {1}) IS NOT TRUE", "NOT ({0} <=> {1})"))
    return text(form, found.steady(), constant(ctx, found.kind))
