"""A parsed query made ready for following: names looked up in the schema, CTEs and views inlined, conditions spelled
out as conjuncts, and occurrences, blocks, joins and conjuncts numbered (in each node's `meta`, which copies keep)."""

from __future__ import annotations

from sqlglot import exp

from graph.leaves.classify import is_housekeeping, is_system_schema
from graph.leaves.parse import Unreadable, parse_view
from graph.leaves.scope import (
    Prepared,
    blocks,
    find_source,
    has_aggregate,
    is_grouped,
    own_columns,
    projection_named,
    subqueries,
)
from graph.schema import Schema, Table

_MAXIMUM_VIEW_DEPTH = 32


def prepare(tree: exp.Query, schema: Schema, default_schema: str | None) -> Prepared:
    """Makes a query ready; the tree given is not changed. Raises Unreadable with the reason."""
    tree = tree.copy()
    _refuse(tree)
    _open_parentheses(tree)
    tree = _inline_ctes(tree)
    views: list[Table] = []
    for _ in range(_MAXIMUM_VIEW_DEPTH):
        if not _inline_views(tree, schema, default_schema, views):
            break
    else:
        raise Unreadable("its views are nested too deeply")
    for select in blocks(tree):
        _tidy(select)
        _spell_out(select)
    dropped = _drop_housekeeping(tree)
    prepared = Prepared(tree, schema, views=views, dropped=dropped)
    _number(prepared, default_schema)
    for select in blocks(tree):
        _having_to_where(select, prepared)
        _number_conjuncts(select)
    for number, conjunct in enumerate(node for node in tree.walk() if node.meta.get("conjunct") is not None):
        conjunct.meta["conjunct"] = number
    return prepared


def _refuse(tree: exp.Query) -> None:
    """Shapes whose lineage is not followed yet."""
    for kind, name in _NOT_FOLLOWED.items():
        if tree.find(kind) is not None:
            raise Unreadable(f"it uses {name}, which is not followed yet")
    with_ = [node for node in tree.find_all(exp.With) if node.args.get("recursive")]
    if with_:
        raise Unreadable("it uses WITH RECURSIVE, which is not followed yet")
    for group in tree.find_all(exp.Group):
        if group.args.get("rollup"):
            raise Unreadable("it uses WITH ROLLUP, which is not followed yet")


_NOT_FOLLOWED: dict[type[exp.Expr], str] = {
    exp.Window: "a window function",
    exp.Lateral: "LATERAL",
    exp.Intersect: "INTERSECT",
    exp.Except: "EXCEPT",
    exp.JSONTable: "JSON_TABLE",
    exp.Values: "VALUES",
    exp.Unnest: "a table function",
}


def _open_parentheses(tree: exp.Query) -> None:
    """FROM (a JOIN b …) JOIN c → FROM a JOIN b … JOIN c: the same, since joins are read from the left. The server
    writes views so."""
    for select in list(blocks(tree)):
        start = select.args.get("from_")
        while start is not None and _is_parenthesised_join(start.this):
            first = start.this.this
            joins = [*(first.args.get("joins") or []), *(start.this.args.get("joins") or [])]
            first.set("joins", None)
            start.set("this", first)
            select.set("joins", [*joins, *(select.args.get("joins") or [])])


def _is_parenthesised_join(node: exp.Expr) -> bool:
    return (
        isinstance(node, exp.Subquery)
        and not node.alias
        and isinstance(node.this, exp.Table | exp.Subquery)
        and (isinstance(node.this, exp.Table) or _is_parenthesised_join(node.this))
    )


def _inline_ctes(tree: exp.Query) -> exp.Query:
    """Each name of a CTE becomes a derived table with the CTE's query."""
    for with_ in reversed(list(tree.find_all(exp.With))):
        owner = with_.parent
        if owner is None:
            raise Unreadable("its WITH belongs to no query")
        known: dict[str, exp.Expr] = {}
        for cte in with_.expressions:
            if cte.args["alias"].args.get("columns"):
                raise Unreadable("a CTE with a column list is not followed yet")
            query = cte.this
            _replace_names(query, known)
            known[cte.alias.lower()] = query
        owner.set("with_", None)
        _replace_names(owner, known)
    return tree


def _replace_names(query: exp.Expr, known: dict[str, exp.Expr]) -> None:
    for table in list(query.find_all(exp.Table)):
        definition = None if table.args.get("db") else known.get(table.name.lower())
        if definition is not None:
            _replace_table(table, definition.copy())


def _replace_table(table: exp.Table, query: exp.Expr) -> None:
    alias = exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True))
    if table.args.get("joins"):
        raise Unreadable("a CTE or view inside a parenthesised join is not followed yet")
    select = table.find_ancestor(exp.Select)
    for column in select.find_all(exp.Column) if select is not None else ():
        # A derived table belongs to no schema.
        if column.args.get("db") is not None and column.table == table.alias_or_name:
            column.set("db", None)
    table.replace(exp.Subquery(this=query, alias=alias))


def _inline_views(tree: exp.Query, schema: Schema, default_schema: str | None, views: list[Table]) -> bool:
    """Replaces the views of this level; True when there were any."""
    found = False
    for node in list(tree.find_all(exp.Table)):
        table = schema.find(node.db or default_schema, node.name)
        if table is None or table.view is None:
            continue
        if not table.view:
            raise Unreadable(
                f"the definition of view {table.name} cannot be read; the right SHOW VIEW on its schema is missing"
            )
        if table not in views:
            views.append(table)
        definition = parse_view(table.view)
        _open_parentheses(definition)
        _replace_table(node, definition)
        found = True
    return found


def _tidy(select: exp.Select) -> None:
    """Takes off what does not change which rows are read, and writes bare joins as CROSS JOIN (the parser does not
    tell them from commas, which bind weaker)."""
    for part in ("locks", "into", "operation_modifiers", "hint"):
        select.set(part, None)
    joins = select.args.get("joins") or []
    merging = any(join.args.get("using") or (join.method or "").upper() == "NATURAL" for join in joins)
    for join in joins:
        bare = not any((join.side, join.kind, join.method, join.args.get("on"), join.args.get("using")))
        if bare and not merging:
            join.set("kind", "CROSS")


def _spell_out(select: exp.Select) -> None:
    """WHERE and HAVING as conjuncts, with negations moved down to what they negate as far as subqueries reach."""
    for part in ("where", "having"):
        clause = select.args.get(part)
        if clause is not None:
            _set_conjuncts(select, part, conjuncts(clause.this))


def _set_conjuncts(select: exp.Select, part: str, parts: list[exp.Expr]) -> None:
    if not parts:
        select.set(part, None)
        return
    wrapped = [node if isinstance(node, exp.Paren) else exp.Paren(this=node) for node in parts]
    kind = exp.Where if part == "where" else exp.Having
    condition: exp.Expr = wrapped[0]
    for node in wrapped[1:]:
        condition = exp.And(this=condition, expression=node)
    for node in wrapped:
        node.meta["conjunct"] = -1
    select.set(part, kind(this=condition))


def clause_conjuncts(select: exp.Select, part: str) -> list[exp.Paren]:
    """The conjuncts that `prepare` made of a block's WHERE or HAVING."""
    clause = select.args.get(part)
    if clause is None:
        return []
    return [node for node in _ands(clause.this) if isinstance(node, exp.Paren)]


def _ands(node: exp.Expr) -> list[exp.Expr]:
    if isinstance(node, exp.And):
        return _ands(node.this) + _ands(node.expression)
    return [node]


def conjuncts(node: exp.Expr) -> list[exp.Expr]:
    """A condition as the list of conditions that must all hold."""
    if isinstance(node, exp.Paren):
        return conjuncts(node.this)
    if isinstance(node, exp.And):
        return conjuncts(node.this) + conjuncts(node.expression)
    if isinstance(node, exp.Not) and subqueries(node):
        pushed = negated(node.this)
        return [pushed] if isinstance(pushed, exp.Not) else conjuncts(pushed)
    return [node]


def negated(node: exp.Expr) -> exp.Expr:
    """NOT node, the negation moved inwards over AND, OR and NOT where subqueries lie below."""
    if isinstance(node, exp.Paren):
        return negated(node.this)
    if isinstance(node, exp.Not):
        inner: exp.Expr = node.this.copy()
        return inner
    if isinstance(node, exp.And | exp.Or) and subqueries(node):
        other = exp.Or if isinstance(node, exp.And) else exp.And
        left, right = (exp.Paren(this=negated(side)) for side in (node.this, node.expression))
        return other(this=left, expression=right)
    return exp.Not(this=exp.Paren(this=node.copy()) if isinstance(node, exp.And | exp.Or) else node.copy())


def _drop_housekeeping(tree: exp.Query) -> bool:
    """Conjuncts whose subquery reads DataJoint's own bookkeeping are dropped: those tables are not in the slice."""
    dropped = False
    for select in list(blocks(tree)):
        for part in ("where", "having"):
            kept = []
            for conjunct in clause_conjuncts(select, part):
                tables = [table for query in subqueries(conjunct) for table in query.find_all(exp.Table)]
                if any(is_housekeeping(table.name) for table in tables):
                    dropped = True
                else:
                    kept.append(conjunct)
            _set_conjuncts(select, part, [conjunct.this for conjunct in kept])
    return dropped


def _number(prepared: Prepared, default_schema: str | None) -> None:
    for table in prepared.tree.find_all(exp.Table, bfs=False):
        schema_name = table.db or default_schema
        if not schema_name:
            raise Unreadable(f"table {table.name} has no schema, and the session had no default schema")
        if is_system_schema(schema_name):
            raise Unreadable(f"it joins the system table {schema_name}.{table.name} with data")
        if is_housekeeping(table.name):
            raise Unreadable(f"it joins DataJoint's own table {table.name} with data")
        known = prepared.schema.find(schema_name, table.name)
        if known is None:
            raise Unreadable(
                f"table {schema_name}.{table.name} is not there, or the account may not see it (a temporary table, "
                "or one dropped since)"
            )
        table.meta["occurrence"] = len(prepared.tables)
        prepared.tables.append(known)
    for number, select in enumerate(blocks(prepared.tree)):
        select.meta["block"] = number
    for number, join in enumerate(prepared.tree.find_all(exp.Join, bfs=False)):
        join.meta["join"] = number
    for number, condition in enumerate(prepared.tree.find_all(exp.In, bfs=False)):
        condition.meta["in"] = number


def _number_conjuncts(select: exp.Select) -> None:
    """Conjuncts moved by `_having_to_where` are new nodes: mark them all again."""
    for part in ("where", "having"):
        for conjunct in clause_conjuncts(select, part):
            conjunct.meta["conjunct"] = -1


def _having_to_where(select: exp.Select, prepared: Prepared) -> None:
    """A HAVING conjunct that looks at no aggregate holds for all rows of a group or for none: it is a WHERE.

    DataJoint puts every restriction of an aggregation into HAVING, those on keys too.
    """
    having = clause_conjuncts(select, "having")
    if not having or (is_grouped(select) and select.args.get("group") is None):
        return
    moved: list[exp.Expr] = []
    kept: list[exp.Expr] = []
    for conjunct in having:
        inlined = _without_aliases(select, conjunct.this.copy(), prepared)
        (kept if inlined is None else moved).append(conjunct.this if inlined is None else inlined)
    if moved:
        _set_conjuncts(select, "having", kept)
        _set_conjuncts(select, "where", [c.this for c in clause_conjuncts(select, "where")] + moved)


def _without_aliases(select: exp.Select, condition: exp.Expr, prepared: Prepared) -> exp.Expr | None:
    """The condition over the FROM's own columns; None when it depends on an aggregate."""
    if has_aggregate(condition):
        return None
    holder = exp.Paren(this=condition)
    for column in own_columns(holder):
        behind = None if column.table else projection_named(select, column.name)
        if behind is None:
            if find_source(select, column, prepared) is None:
                return None
            continue
        if has_aggregate(behind) or subqueries(behind):
            return None
        column.replace(exp.Paren(this=behind.copy()))
    inner = holder.this
    return inner if isinstance(inner, exp.Expr) else None
