"""Random values and conditions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tests.torture.build import Context, Scope, Value, Want, canonical
from tests.torture.schemas import DATES, TEXTS

_COMPARISONS = ("=", "=", "=", "<>", "<", "<=", ">", ">=")


def text(format_: str, *values: Value, kind: str = "bool") -> Value:
    """An expression made of others; `{0}`, `{1}` … stand for them."""
    return Value(
        format_.format(*(value.sql for value in values)),
        kind,
        format_.format(*(value.flat for value in values)),
    )


def constant(ctx: Context, kind: str) -> Value:
    """A literal."""
    if kind == "int" and not ctx.in_view and ctx.maybe(0.02):
        ctx.tag("user variable")
        sql = "@two"
    elif kind == "int":
        sql = str(ctx.chance.choice((0, 1, 1, 2, 2, 3, 4)))
    elif kind == "str":
        sql = f"'{ctx.chance.choice(TEXTS)}'"
    elif kind == "date":
        sql = f"'{ctx.chance.choice(DATES)}'"
    elif kind == "dec":
        sql = ctx.chance.choice(("0.50", "1.00", "2.5", "0"))
    elif kind == "dbl":
        sql = ctx.chance.choice(("0.25e0", "0.5", "1", "0"))
    elif kind == "enum":
        sql = f"'{ctx.chance.choice(('low', 'mid', 'top'))}'"
    else:
        sql = "NULL"
    return Value(sql, kind, sql, nullable=False, constant=True)


def column(ctx: Context, scope: Scope, fits: Callable[[Value], bool] = lambda value: True) -> Value | None:
    """A column that may be used here; one of the queries around it sometimes."""
    own = [value for value in scope.columns if fits(value)]
    outer = [value for value in scope.outer if fits(value)]
    if outer and (not own or ctx.maybe(0.35)):
        ctx.tag("correlated")
        return ctx.chance.choice(outer)
    return ctx.chance.choice(own) if own else None


def like(value: Value) -> Callable[[Value], bool]:
    """Whether another value may be compared with this one."""
    return Want(value.kind, value.collation).fits


def value(ctx: Context, scope: Scope, want: Want | None = None, depth: int = 0) -> Value:
    """A value of a type, or of any."""
    fits = want.fits if want is not None else lambda found: True
    found = column(ctx, scope, fits)
    if found is None:
        if want is None:
            return constant(ctx, "int")
        made = constant(ctx, want.kind)
        if want.kind == "str" and want.collation is not None:
            # A literal of its own collation, so that a union has no mix of them.
            sql = f"CONVERT({made.sql} USING utf8mb4) COLLATE {want.collation.name}"
            return replace(made, sql=sql, flat=sql, collation=want.collation)
        return made
    if ctx.maybe(0.2):
        return _computed(ctx, scope, found, depth)
    return found


def _computed(ctx: Context, scope: Scope, found: Value, depth: int) -> Value:
    """Something made of a column, of the column's type."""
    if depth > 0 and not ctx.spj and ctx.maybe(0.35):
        ctx.tag("subquery:value")
        query = ctx.make(ctx, [Want(found.kind, found.collation)], visible(ctx, scope), depth - 1, shape="scalar")
        inner = query.columns[0]
        return replace(inner, sql=f"({query.sql})", name="", nullable=True)
    kind = found.kind
    if kind == "int":
        form = ctx.chance.choice(("{0} + 1", "{0} * 2", "ABS({0})", "COALESCE({0}, 9)", "IF({0} > 1, {0}, 0)", "-{0}"))
    elif kind == "str":
        found = found.steady()
        form = ctx.chance.choice(("COALESCE({0}, 'z')", "LOWER({0})", "CONCAT({0}, 'x')"))
    elif kind == "date":
        form = ctx.chance.choice(("{0} + INTERVAL 1 DAY", "COALESCE({0}, '2020-01-01')"))
    elif kind == "dec":
        form = ctx.chance.choice(("{0} + 1", "COALESCE({0}, 0.25)"))
    elif kind == "dbl":
        form = ctx.chance.choice(("{0} * 2", "COALESCE({0}, 0.5)", "-{0} + 1"))
    else:
        return found
    ctx.tag("computed")
    made = text(f"({form})", found, kind=kind)
    if kind == "date":
        # The type of an expression over a date is the server's business; a cast settles it.
        made = text("CAST({0} AS DATE)", made, kind=kind)
    return replace(made, collation=found.collation, fuzzy=found.fuzzy)


def visible(ctx: Context, scope: Scope) -> tuple[Value, ...]:
    """What a subquery that stands here may name of the queries around it; nothing half of the time."""
    return () if ctx.spj or ctx.maybe(0.4) else scope.item.columns + scope.outer


def condition(ctx: Context, scope: Scope, depth: int, nested: int = 2) -> Value:
    """A condition over a row."""
    form = ctx.pick(
        ("compare", 8),
        ("null", 1.5),
        ("list", 1.5),
        ("between", 1),
        ("like", 0.5),
        ("rows", 0.6),
        ("values", 1.5 if depth > 0 and not ctx.spj else 0),
        ("and", 1 if nested else 0),
        ("or", 1.2 if nested else 0),
        ("not", 1 if nested else 0),
        ("case", 0.5 if nested else 0),
        ("truth", 0.4 if nested else 0),
        ("subquery", 5 if depth > 0 and not ctx.spj else 0),
    )
    if form == "subquery":
        return _subquery_condition(ctx, scope, depth)
    if form in ("and", "or", "not", "case", "truth"):
        return _connected(ctx, scope, depth, nested, form)
    if form == "values":
        return _values_compared(ctx, scope, depth)
    return _simple(ctx, scope, form)


def _values_compared(ctx: Context, scope: Scope, depth: int) -> Value:
    """A comparison of computed values, subqueries among them."""
    left = value(ctx, scope, None, depth)
    if left.kind in ("txt", "bool", "enum"):
        return compare(ctx, scope, left)
    wanted = Want(left.kind, left.collation)
    form = ctx.chance.choice(
        ("{0} = {1}", "{0} < {1}", "COALESCE({0} >= {1}, 1)", "{0} BETWEEN {1} AND {2}", "{0} IN ({1}, {2})")
    )
    return text(form, left, value(ctx, scope, wanted, depth), value(ctx, scope, wanted, 0))


def _rows_compared(ctx: Context, scope: Scope) -> Value | None:
    """A comparison of row values."""
    lefts = [found for found in (column(ctx, scope), column(ctx, scope)) if found is not None and found.kind != "enum"]
    if len(lefts) < 2:
        return None

    def constants() -> str:
        return f"({', '.join(constant(ctx, left.kind).sql for left in lefts)})"

    ctx.tag("row values")
    form = ctx.chance.choice(("in", "not in", "=", "<>", "<", ">="))
    if form in ("in", "not in"):
        return text(f"{row(lefts)} {form.upper()} ({constants()}, {constants()})", *lefts)
    return text(f"{row(lefts)} {form} {constants()}", *lefts)


def _simple(ctx: Context, scope: Scope, form: str) -> Value:
    left = column(ctx, scope)
    if left is None:
        return text(ctx.chance.choice(("1", "1 = 1", "NULL IS NULL")))
    if form == "rows":
        return _rows_compared(ctx, scope) or compare(ctx, scope, left)
    if form == "null":
        return text(ctx.chance.choice(("{0} IS NULL", "{0} IS NOT NULL", "NOT ({0} <=> NULL)")), left)
    if form == "list":
        items = [constant(ctx, left.kind).sql for _ in range(ctx.chance.choice((1, 2, 3)))]
        items += ["NULL"] if ctx.maybe(0.15) else []
        return text(f"{{0}} {'NOT ' if ctx.maybe(0.3) else ''}IN ({', '.join(items)})", left)
    if form == "between" and left.kind != "enum":
        return text(f"{{0}} {'NOT ' if ctx.maybe(0.3) else ''}BETWEEN {{1}} AND {{2}}", left, *_two(ctx, left.kind))
    if form == "like" and left.kind == "str":
        pattern = ctx.chance.choice(("a%", "%", "b", "_"))
        return text(f"{{0}} {'NOT ' if ctx.maybe(0.3) else ''}LIKE '{pattern}'", left.steady())
    return compare(ctx, scope, left)


def _two(ctx: Context, kind: str) -> list[Value]:
    return sorted((constant(ctx, kind) for _ in range(2)), key=lambda found: found.sql)


def compare(ctx: Context, scope: Scope, left: Value) -> Value:
    """A comparison of a value with another or with a constant."""
    others = [found for found in (*scope.columns, *scope.outer) if like(left)(found) and found.sql != left.sql]
    right = ctx.chance.choice(others) if others and ctx.maybe(0.35) else constant(ctx, left.kind)
    if right in scope.outer:
        ctx.tag("correlated")
    operators = ("=", "<>") if left.kind == "enum" else (*_COMPARISONS, "<=>")
    return text(f"{{0}} {ctx.chance.choice(operators)} {{1}}", left, right)


def _connected(ctx: Context, scope: Scope, depth: int, nested: int, form: str) -> Value:
    def below() -> Value:
        before = {tag for tag in ctx.tags if tag.startswith("subquery")}
        made = condition(ctx, scope, depth, nested - 1)
        if {tag for tag in ctx.tags if tag.startswith("subquery")} - before or "SELECT" in made.sql:
            ctx.tag(f"subquery under {form}")
        return made

    if form == "not":
        return text(ctx.chance.choice(("NOT ({0})", "NOT ({0})", "!({0})")), below())
    if form == "truth":
        return text(f"({{0}}) IS {ctx.chance.choice(('TRUE', 'NOT TRUE', 'FALSE', 'UNKNOWN', 'NOT FALSE'))}", below())
    if form == "case":
        form_ = ctx.chance.choice(("CASE WHEN {0} THEN {1} ELSE 0 END", "IF({0}, {1}, {2})", "IFNULL({0}, {1})"))
        return text(f"({form_})", below(), below(), below())
    words = ("AND", "AND", "AND", "&&") if form == "and" else ("OR", "OR", "OR", "XOR", "||")
    word = ctx.chance.choice(words)
    return text(f"(({{0}}) {word} ({{1}}))", below(), below())


def _subquery_condition(ctx: Context, scope: Scope, depth: int) -> Value:
    form = ctx.pick(
        ("in", 4), ("not in", 3), ("row in", 1.5), ("exists", 2), ("not exists", 2), ("any", 1), ("all", 1),
        ("value", 2), ("count", 0.7),
    )  # fmt: skip
    ctx.tag(f"subquery:{form}")
    outer = visible(ctx, scope)
    if form in ("exists", "not exists"):
        query = ctx.make(ctx, None, outer, depth - 1)
        return text(f"{form.upper()} ({_escaped(query.sql)})")
    if form == "count":
        query = ctx.make(ctx, None, (), depth - 1, shape="rows")
        counted = f"(SELECT COUNT(*) FROM ({query.sql}) AS `c{ctx.number()}`)"
        return text(f"{_escaped(counted)} {ctx.chance.choice(_COMPARISONS)} {ctx.chance.choice((0, 1, 2, 3))}")
    left = column(ctx, scope)
    if left is None:
        left = constant(ctx, "int")
    wants = [Want(left.kind, left.collation)]
    if form == "value":
        query = ctx.make(ctx, wants, outer, depth - 1, shape="scalar")
        operators = ("=", "<>", "<=>") if left.kind == "enum" else _COMPARISONS
        return text(f"{{0}} {ctx.chance.choice(operators)} ({_escaped(query.sql)})", left)
    if form in ("any", "all"):
        query = ctx.make(ctx, wants, outer, depth - 1, shape="rows")
        operators = ("=", "<>") if left.kind == "enum" else _COMPARISONS
        word = form.upper() if form == "all" else ctx.chance.choice(("ANY", "SOME"))
        compared = f"{{0}} {ctx.chance.choice(operators)} {word} ({_escaped(query.sql)})"
        # MariaDB takes NOT NOT x <= ANY (…) for x > ANY (…).
        return text(compared if ctx.mysql else f"({compared}) IS TRUE", left)
    lefts = [left]
    second = column(ctx, scope) if form == "row in" else None
    if second is not None:
        lefts.append(second)
        wants.append(Want(second.kind, second.collation))
    query = ctx.make(ctx, wants, outer, depth - 1, shape="rows")
    word = "NOT IN" if form == "not in" or (form == "row in" and ctx.maybe(0.4)) else "IN"
    return text(f"{row(lefts)} {word} ({_escaped(query.sql)})", *lefts)


def row(values: Sequence[Value]) -> str:
    """A format for a value or a row of values."""
    marks = ", ".join(f"{{{number}}}" for number in range(len(values)))
    return f"({marks})" if len(values) > 1 else marks


def _escaped(sql: str) -> str:
    """SQL inside a format."""
    return sql.replace("{", "{{").replace("}", "}}")


def ordering(values: Sequence[Value]) -> list[str]:
    """ORDER BY terms under which only identical values are equal."""
    return [f"HEX({found.sql})" if found.loose and not found.fuzzy else found.sql for found in values]


def aggregate(ctx: Context, scope: Scope, want: Want | None = None) -> Value:
    """An aggregate whose value the rows alone determine."""
    forms = ["count"] if want is None or want.kind == "int" else []
    if want is None or want.kind not in ("bool",):
        forms += ["extreme", "extreme"]
    if want is None:
        forms += ["sum", "avg", "concat", "distinct", "count*"]
    elif want.kind == "int":
        forms += ["distinct", "count*"]
    form = ctx.chance.choice(forms)
    ctx.tag(f"aggregate:{form}")
    if form == "count*":
        return Value("COUNT(*)", "int", nullable=False)
    # An aggregate of a column from the query around it would be that query's.
    found = value(ctx, Scope(scope.item), want if form == "extreme" else None)
    if form == "count":
        return Value(f"COUNT({found.sql})", "int", nullable=False)
    if form == "distinct":
        return Value(f"COUNT(DISTINCT {found.sql})", "int", nullable=False)
    if form == "extreme":
        word = ctx.chance.choice(("MIN", "MAX"))
        if found.kind == "enum":
            return replace(constant(ctx, "enum"), constant=False)
        return replace(found, sql=f"{word}({found.sql})", name="", nullable=True, fuzzy=found.loose, constant=False)
    numeric = column(ctx, Scope(scope.item), lambda it: it.kind in ("int", "dec", "dbl"))
    if form in ("sum", "avg") and numeric is not None:
        distinct = "DISTINCT " if ctx.maybe(0.2) else ""
        # Sums of multiples of a quarter are exact in any order; averages of decimals are decimal.
        word = "AVG" if form == "avg" and numeric.kind != "dbl" else "SUM"
        kind = "dbl" if numeric.kind == "dbl" else "dec"
        return Value(f"{word}({distinct}{numeric.sql})", kind)
    shown = found.exact()
    separator = f"{shown.sql} ORDER BY {shown.sql}{ctx.chance.choice(('', ' DESC'))} SEPARATOR '+'"
    return Value(f"GROUP_CONCAT({ctx.chance.choice(('', 'DISTINCT '))}{separator})", "txt")


__all__ = ["aggregate", "canonical", "column", "compare", "condition", "constant", "ordering", "row", "text", "value"]
