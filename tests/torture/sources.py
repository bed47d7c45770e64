"""Random FROM clauses: tables, joins of every kind, and whatever else may stand in a FROM."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tests.torture.build import Context, Flat, Item, Query, Scope, Value, named
from tests.torture.expressions import condition, like, text
from tests.torture.model import Table, quoted


def from_clause(ctx: Context, outer: tuple[Value, ...], depth: int, size: int | None = None) -> Item:
    """What stands behind FROM."""
    if size is None:
        size = ctx.chance.choices((1, 2, 3, 4), (5, 5, 2, 0.5))[0]
        if depth < 2:
            size = min(size, 2)
    left = _operand(ctx, (), outer, depth)
    left = replace(left, bare=_unqualified(left.columns)) if ctx.maybe(0.4) else left
    for number in range(size - 1):
        left = _joined(ctx, left, outer, depth, last=number == size - 2)
    return left


def _operand(ctx: Context, before: tuple[Value, ...], outer: tuple[Value, ...], depth: int) -> Item:
    """A table or derived table; `before` are the columns to its left, for LATERAL."""
    deep = depth > 0
    form = ctx.pick(
        ("table", 8),
        ("derived", 2.5 if deep else 0),
        ("view", 1.2 if ctx.views and not (ctx.spj and not _flat_views(ctx)) else 0),
        ("cte", 3 if ctx.ctes and not ctx.spj else 0),
        ("lateral", 1.2 if deep and before and ctx.mysql and not ctx.spj and not ctx.in_view else 0),
        ("json", 0.4 if not ctx.spj and not ctx.in_view else 0),
        ("values", (0.4 if ctx.mysql else 0.15) if not ctx.spj and not ctx.in_view else 0),
        ("parentheses", 0.6 if deep else 0),
    )
    if form == "table":
        return table(ctx)
    if form == "parentheses":
        inner = from_clause(ctx, outer, depth - 1, 2)
        ctx.tag("join:parentheses")
        return replace(inner, sql=f"({inner.sql})", bare=())
    if form == "view":
        return _view(ctx)
    if form == "cte":
        name, query = ctx.chance.choice(ctx.ctes)
        ctx.tag("cte:used")
        return _named_query(ctx, quoted(name), query)
    if form == "json":
        return _json_table(ctx, before)
    if form == "values":
        return _values(ctx)
    lateral = form == "lateral"
    seen = before if lateral else ()
    if outer and ctx.mysql and ctx.maybe(0.15):
        # A derived table may look at the queries around the one that it stands in.
        seen += outer
        ctx.tag("derived:correlated")
    query = ctx.make(ctx, None, seen, depth - 1, shape="plain" if ctx.spj else "any")
    ctx.tag("lateral" if lateral else "derived")
    return _derived(ctx, query, "LATERAL " if lateral else "")


def table(ctx: Context, shape: Table | None = None) -> Item:
    """A base table."""
    shape = shape or ctx.chance.choice(ctx.model.tables)
    number = ctx.number()
    alias = f"a{number}"
    source = quoted(shape.name)
    if not ctx.in_view and ctx.maybe(0.25):
        source = "{S}." + source
    taken = source
    if shape.partitions and ctx.maybe(0.5):
        chosen = ctx.chance.sample([f"p{i}" for i in range(shape.partitions)], ctx.chance.choice((1, 1, 2)))
        taken += f" PARTITION ({', '.join(chosen)})"
        ctx.tag("partitions")
    sql = f"{taken}{ctx.chance.choice((' AS ', ' '))}{quoted(alias)}"
    if shape.primary and ctx.maybe(0.06) and not ctx.in_view:
        sql += f" {ctx.chance.choice(('USE', 'IGNORE', 'FORCE'))} INDEX (PRIMARY)"
        ctx.tag("index hint")
    flat_alias = f"o{number}"
    other_case = ctx.maybe(0.04)
    if other_case:
        ctx.tag("columns in another case")
    columns = tuple(
        Value(
            f"{quoted(alias)}.{quoted(column.name.swapcase() if other_case else column.name)}",
            column.domain.kind,
            f"{quoted(flat_alias)}.{quoted(column.name)}",
            column.name.swapcase() if other_case else column.name,
            column.domain.collation,
            column.nullable,
        )
        for column in shape.columns
    )
    unique = (
        tuple(value for value in columns if value.name in shape.key or value.name.swapcase() in shape.key)
        if shape.key
        else None
    )
    return Item(sql, columns, unique, Flat(((taken, flat_alias),)))


def _derived(ctx: Context, query: Query, prefix: str = "") -> Item:
    alias = f"d{ctx.number()}"
    columns = named(query.columns, [value.name for value in query.columns], alias)
    names = ""
    if ctx.mysql and ctx.maybe(0.15):
        fresh = [f"c{number}" for number in range(len(columns))]
        names = f" ({', '.join(map(quoted, fresh))})"
        columns = named(query.columns, fresh, alias)
        ctx.tag("derived:column list")
    unique = tuple(columns[position] for position in query.unique) if query.unique is not None else None
    return Item(f"{prefix}({query.sql}) AS {quoted(alias)}{names}", columns, unique, query.flat)


def _named_query(ctx: Context, name: str, query: Query) -> Item:
    """A view or CTE under an alias."""
    number = ctx.number()
    columns = named(query.columns, [value.name for value in query.columns], f"v{number}")
    unique = tuple(columns[position] for position in query.unique) if query.unique is not None else None
    return Item(f"{name} AS `v{number}`", columns, unique, query.flat)


def _flat_views(ctx: Context) -> list[int]:
    return [number for number, query in enumerate(ctx.views) if query.flat.tables]


def _view(ctx: Context) -> Item:
    number = ctx.chance.choice(_flat_views(ctx) if ctx.spj else list(range(len(ctx.views))))
    query = ctx.views[number]
    ctx.tag("view")
    if "view" in ctx.view_tags[number]:
        ctx.tag("view:nested")
    item = _named_query(ctx, quoted(ctx.view_names[number]), query)
    if not ctx.spj:
        return item
    # Each use of a view has occurrences of its own in the flat form.
    fresh = {alias: f"o{ctx.number()}" for _, alias in query.flat.tables}

    def renamed(flat: str) -> str:
        for alias, new in fresh.items():
            flat = flat.replace(quoted(alias) + ".", f"`\0{new}`.")
        return flat.replace("\0", "")

    columns = tuple(replace(value, flat=renamed(value.flat)) for value in item.columns)
    unique = None
    if query.unique is not None:
        unique = tuple(columns[position] for position in query.unique)
    tables = tuple((taken, fresh[alias]) for taken, alias in query.flat.tables)
    return replace(item, columns=columns, unique=unique, flat=Flat(tables, tuple(map(renamed, query.flat.conditions))))


def _json_table(ctx: Context, before: tuple[Value, ...]) -> Item:
    alias = f"j{ctx.number()}"
    ctx.tag("json_table")
    source = f"'[{', '.join(str(ctx.chance.randint(0, 4)) for _ in range(3))}]'"
    numbers = [value for value in before if value.kind == "int"]
    if numbers and ctx.maybe(0.5):
        source = f"CONCAT('[', COALESCE({ctx.chance.choice(numbers).sql}, 'null'), ', 2]')"
        ctx.tag("json_table:lateral")
    item = f"JSON_TABLE({source}, '$[*]' COLUMNS (`i` FOR ORDINALITY, `v` INT PATH '$')) AS {quoted(alias)}"
    columns = tuple(Value(f"{quoted(alias)}.{quoted(name)}", "int", "", name) for name in ("i", "v"))
    return Item(item, columns, columns[:1])


def _values(ctx: Context) -> Item:
    alias = f"w{ctx.number()}"
    ctx.tag("values")
    rows = [(number, ctx.chance.randint(0, 4)) for number in range(ctx.chance.choice((1, 2, 3)))]
    if ctx.mysql:
        inner = "VALUES " + ", ".join(f"ROW({number}, {other})" for number, other in rows)
        sql = f"({inner}) AS {quoted(alias)} (`i`, `v`)"
    else:
        inner = "VALUES " + ", ".join(f"({number}, {other})" for number, other in rows)
        sql = f"(WITH `w` (`i`, `v`) AS ({inner}) SELECT * FROM `w`) AS {quoted(alias)}"
    columns = tuple(Value(f"{quoted(alias)}.{quoted(name)}", "int", "", name) for name in ("i", "v"))
    return Item(sql, columns, columns[:1])


def _unqualified(columns: tuple[Value, ...]) -> tuple[Value, ...]:
    """The columns whose names alone tell them from the others."""
    seen = Counter(value.name.lower() for value in columns)
    return tuple(replace(value, sql=quoted(value.name)) for value in columns if seen[value.name.lower()] == 1)


def _joined(ctx: Context, left: Item, outer: tuple[Value, ...], depth: int, *, last: bool) -> Item:
    """A join of what is there with one more operand; a comma, which binds less than JOIN, only before the last."""
    side = "" if ctx.spj else ctx.pick(("", 6), ("LEFT", 3), ("RIGHT", 1.2))
    lateral = left.columns if side != "RIGHT" else ()
    right = _operand(ctx, lateral, outer, depth)
    common = _common(left, right)
    form = ctx.pick(
        ("on", 6),
        ("using", 2.5 if common else 0),
        ("natural", 2 if common and len(common) == len(_shared_names(left, right)) else 0),
        ("comma", 1 if not side and last else 0),
        ("cross", 0.5 if not side else 0),
        ("straight", 0.4 if not side else 0),
    )
    ctx.tag(f"join:{side.lower() or 'inner'}", f"join:{form}")
    word = ctx.chance.choice(("JOIN", "INNER JOIN")) if not side else f"{side} {ctx.chance.choice(('', 'OUTER '))}JOIN"
    joined = _product(left, right, side)
    if form == "comma":
        return replace(joined, sql=f"{left.sql}, {right.sql}")
    if form == "cross":
        return replace(joined, sql=f"{left.sql} CROSS JOIN {right.sql}")
    if form in ("using", "natural"):
        chosen = common
        if form == "using":
            chosen = ctx.chance.sample(common, ctx.chance.randint(1, len(common)))
            sql = f"{left.sql} {word} {right.sql} USING ({', '.join(quoted(name) for name, _, _ in chosen)})"
        else:
            word = f"NATURAL {side + ' ' if side else ''}JOIN"
            sql = f"{left.sql} {word} {right.sql}"
        return _merged(joined, sql, chosen, side, left)
    on = _on(ctx, left, right, outer, depth)
    word = "STRAIGHT_JOIN" if form == "straight" else word
    return replace(joined, sql=f"{left.sql} {word} {right.sql} ON {on.sql}", flat=joined.flat.where(on.flat))


def _product(left: Item, right: Item, side: str) -> Item:
    bare = _names_left(left, right)
    if side == "LEFT":
        right = right.nulled()
    if side == "RIGHT":
        bare = tuple(replace(value, nullable=True) for value in bare)
        left = left.nulled()
    unique = None
    if left.unique is not None and right.unique is not None:
        unique = left.unique + right.unique
    optional = left.optional or right.optional
    return Item("", left.columns + right.columns, unique, left.flat + right.flat, bare, optional)


def _names_left(left: Item, right: Item) -> tuple[Value, ...]:
    """The unqualified names that the right side does not make ambiguous."""
    names = {value.name.lower() for value in right.columns}
    return tuple(value for value in left.bare if value.name.lower() not in names)


def _shared_names(left: Item, right: Item) -> set[str]:
    return {value.name.lower() for value in left.columns} & {value.name.lower() for value in right.columns}


def _common(left: Item, right: Item) -> list[tuple[str, Value, Value]]:
    """Names that both sides have once, of one type: what a join may merge."""
    merged = {value.name.lower(): value for value in left.bare}
    seen = Counter(value.name.lower() for value in left.columns)
    far = Counter(value.name.lower() for value in right.columns)
    found: list[tuple[str, Value, Value]] = []
    for value in right.columns:
        name = value.name.lower()
        own = merged.get(name)
        if own is None and seen[name] == 1:
            own = next(other for other in left.columns if other.name.lower() == name)
        if own is not None and far[name] == 1 and like(own)(value):
            found.append((value.name, own, value))
    return found


def _merged(joined: Item, sql: str, chosen: list[tuple[str, Value, Value]], side: str, left: Item) -> Item:
    flat = joined.flat
    bare = {value.name.lower(): value for value in joined.bare}
    for name, own, far in chosen:
        flat = flat.where(f"{own.flat} = {far.flat}")
        kept = far if side == "RIGHT" else own
        bare[name.lower()] = replace(
            kept, sql=quoted(name), name=name, fuzzy=kept.fuzzy or (kept.loose and not side), flat=kept.flat
        )
    return replace(joined, sql=sql, flat=flat, bare=tuple(bare.values()))


def _on(ctx: Context, left: Item, right: Item, outer: tuple[Value, ...], depth: int) -> Value:
    pairs = [(own, far) for own in left.columns for far in right.columns if like(own)(far) and own.kind != "enum"]
    parts: list[Value] = []
    if pairs and ctx.maybe(0.92):
        own, far = ctx.chance.choice(pairs)
        operator = ctx.chance.choices(("=", "<=>", "<", ">="), (12, 0.7, 0.7, 0.7))[0]
        parts.append(
            text(f"{{0}} {operator} {{1}}", *(ctx.chance.sample((own, far), 2) if operator == "=" else (own, far)))
        )
    if not parts or ctx.maybe(0.25):
        scope = Scope(replace(left, columns=left.columns + right.columns, bare=()), outer)
        before = set(ctx.tags)
        parts.append(condition(ctx, scope, depth - 1 if ctx.maybe(0.3) else 0, 1))
        if any(tag.startswith("subquery") for tag in ctx.tags - before):
            ctx.tag("subquery in ON")
    return text(" AND ".join(f"({{{number}}})" for number in range(len(parts))), *parts)
