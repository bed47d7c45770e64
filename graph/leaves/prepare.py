"""A parsed query made ready for following: names looked up in the schema, CTEs and views inlined, INTERSECT and EXCEPT
spelled as conditions, conditions as conjuncts, and occurrences, blocks, joins, conjuncts and subqueries numbered (in
each node's `meta`, which copies keep)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from sqlglot import exp

from graph.leaves.classify import is_system_schema
from graph.leaves.conjuncts import (
    add_conjunct,
    clause_conjuncts,
    conjuncts,
    joined_by_and,
    on_conjuncts,
    set_conjuncts,
)
from graph.leaves.ctes import inline_ctes, replace_table
from graph.leaves.links import has_judging_subquery, link, literals
from graph.leaves.owners import annotate, is_correlated
from graph.leaves.parse import parse_view
from graph.leaves.render import values_row
from graph.leaves.scope import (
    Prepared,
    aggregates,
    behind,
    block_columns,
    blocks,
    derived_query,
    find_source,
    has_aggregate,
    is_grouped,
    is_parenthesised_join,
    is_rolled_up,
    joins_of,
    own_nodes,
    sources,
    subqueries,
    taints_of,
)
from graph.leaves.setops import rewrite_set_operations
from graph.leaves.stars import write_out
from graph.leaves.unreadable import Unreadable
from graph.names import TableName, is_withheld
from graph.schema import Schema, Table

_MAXIMUM_VIEW_DEPTH = 32


def prepare(tree: exp.Query, schema: Schema, default_schema: str | None) -> Prepared:
    """Makes a query ready; the tree given is not changed. Raises Unreadable with the reason."""
    prepared = Prepared([tree.copy()], schema)
    _table_functions(prepared.tree)
    inline_ctes(prepared.tree, prepared.roots)
    for _ in range(_MAXIMUM_VIEW_DEPTH):
        if not any([_inline_views(root, prepared, default_schema) for root in list(prepared.roots)]):
            break
    else:
        raise Unreadable("its views are nested too deeply")
    for root in prepared.roots:
        _open_parentheses(root)
        for select in blocks(root):
            _tidy(select)
            _spell_out(select)
        prepared.dropped |= _drop_housekeeping(root, default_schema)
    _number_tables(prepared, default_schema)
    _rewrite(prepared)
    _number(prepared)
    annotate(prepared)
    for select in prepared.blocks():
        _having_to_where(select, prepared)
    _mark_subqueries(prepared)
    return prepared


def _rewrite(prepared: Prepared) -> None:
    """What needs the names of columns: `*`, column lists of derived tables, INTERSECT and EXCEPT."""
    for root in prepared.roots:
        write_out(root, prepared)
    _number(prepared)
    annotate(prepared)
    for number, root in enumerate(list(prepared.roots)):
        tree, apart = rewrite_set_operations(root, prepared)
        prepared.roots[number] = tree
        prepared.roots += apart
    for select in prepared.blocks():
        _spell_out(select)


def _table_functions(root: exp.Query) -> None:
    """JSON_TABLE gives rows of no table; VALUES is written as the SELECTs that it means."""
    for node in list(root.find_all(exp.JSONTable)):
        table = node.parent
        if not isinstance(table, exp.Table):
            raise Unreadable("its JSON_TABLE stands in no FROM")
        table.meta["opaque"] = True
        table.meta["columns"] = [
            column.name for column in node.find_all(exp.JSONColumnDef) if isinstance(column.this, exp.Identifier)
        ]
    for values in list(root.find_all(exp.Values)):
        place = values.parent if isinstance(values.parent, exp.Table) else values
        made = _selects(values, place.args.get("alias"))
        joins = place.args.get("joins")
        if joins:
            made.set("joins", [join.pop() for join in list(joins)])
        place.replace(made)
    if root.find(exp.Unnest) is not None:
        raise Unreadable("it uses a table function that is not followed")


def _selects(values: exp.Values, alias: exp.Expr | None) -> exp.Expr:
    names = [column.name for column in alias.args.get("columns") or []] if alias is not None else []
    query: exp.Query | None = None
    for item in values.expressions:
        row = item.expressions[0] if values_row(item) else item
        made = exp.select(
            *[
                exp.alias_(node.copy(), names[index] if names else f"column_{index}", quoted=True)
                for index, node in enumerate(row.expressions)
            ]
        )
        query = made if query is None else exp.Union(this=query, expression=made, distinct=False)
    if query is None:
        raise Unreadable("its VALUES has no rows")
    if alias is None:
        return query
    return exp.Subquery(this=query, alias=exp.TableAlias(this=alias.this.copy()))


def _open_parentheses(tree: exp.Query) -> None:
    """FROM (a JOIN b …) JOIN c → FROM a JOIN b … JOIN c: the same, since joins are read from the left. The server
    writes views so."""
    for select in list(blocks(tree)):
        start = select.args.get("from_")
        while start is not None and is_parenthesised_join(start.this):
            first = start.this.this
            joins = [*(first.args.get("joins") or []), *(start.this.args.get("joins") or [])]
            if any(_is_bare(join) for join in joins):
                # A comma binds weaker than what follows.
                break
            first.set("joins", None)
            start.set("this", first)
            select.set("joins", [*joins, *(select.args.get("joins") or [])])


def _inline_views(root: exp.Query, prepared: Prepared, default_schema: str | None) -> bool:
    """Replaces the views of this level; True when there were any."""
    found = False
    for node in list(root.find_all(exp.Table)):
        table = prepared.schema.find(node.db or default_schema, node.name)
        if table is None or table.view is None:
            continue
        if not table.view:
            raise Unreadable(
                table.hidden
                or f"the definition of view {table.name} cannot be read; the right SHOW VIEW on its schema is missing"
            )
        if table not in prepared.views:
            prepared.views.append(table)
        definition = parse_view(table.view)
        _table_functions(definition)
        inline_ctes(definition, prepared.roots)
        replace_table(node, partial(_derived, definition, [column.name for column in table.columns]))
        found = True
    return found


def _derived(query: exp.Query, columns: list[str], alias: exp.TableAlias) -> exp.Expr:
    """A view's query; its columns are called as the view says, which its query may not."""
    alias.set("columns", [exp.to_identifier(name, quoted=True) for name in columns])
    return exp.Subquery(this=query, alias=alias)


def _tidy(select: exp.Select) -> None:
    """Takes off what does not change which rows are read, and writes bare joins as CROSS JOIN (the parser does not
    tell them from commas, which bind weaker)."""
    for part in ("locks", "into", "operation_modifiers", "hint"):
        select.set(part, None)
    joins = select.args.get("joins") or []
    merging = any(join.args.get("using") or (join.method or "").upper() == "NATURAL" for join in joins)
    for join in joins_of(select):
        if (join.kind or "").upper() == "OUTER":
            join.set("kind", None)
    for join in joins:
        if _is_bare(join) and not merging:
            join.set("kind", "CROSS")


def _is_bare(join: exp.Join) -> bool:
    return not any((join.side, join.kind, join.method, join.args.get("on"), join.args.get("using")))


def _spell_out(select: exp.Select) -> None:
    """WHERE, HAVING and ON as conjuncts, `= ANY` as IN and `<> ALL` as NOT IN."""
    for quantified in list(select.find_all(exp.Any, exp.All)):
        _quantified(quantified)
    for part in ("where", "having"):
        clause = select.args.get(part)
        if clause is not None and not clause_conjuncts(select, part):
            set_conjuncts(select, part, conjuncts(clause.this))
    movable = not any((join.side or "").upper() == "RIGHT" for join in joins_of(select))
    for join in joins_of(select):
        condition = join.args.get("on")
        if condition is None or on_conjuncts(join):
            continue
        parts = conjuncts(condition)
        if movable and not join.side and join.parent is select:
            # An inner join's condition with a subquery is one of the WHERE.
            for node in parts:
                if subqueries(node):
                    add_conjunct(select, node)
            parts = [node for node in parts if not subqueries(node)] or [exp.true()]
        join.set("on", joined_by_and(parts))


def _quantified(node: exp.Expr) -> None:
    comparison = node.parent
    wanted = exp.EQ if isinstance(node, exp.Any) else exp.NEQ
    if not isinstance(comparison, wanted) or comparison.expression is not node:
        return
    query = node.this if isinstance(node.this, exp.Subquery) else exp.Subquery(this=node.this)
    condition: exp.Expr = exp.In(this=comparison.this, query=query)
    comparison.replace(condition if isinstance(node, exp.Any) else exp.Not(this=condition))


def _drop_housekeeping(tree: exp.Query, default_schema: str | None) -> bool:
    """Conjuncts whose subquery reads what a tool keeps for itself are dropped: those tables are not in the slice."""
    dropped = False
    for select in list(blocks(tree)):
        for part in ("where", "having"):
            kept = []
            for conjunct in clause_conjuncts(select, part):
                tables = [table for query in subqueries(conjunct) for table in query.find_all(exp.Table)]
                names = [TableName(table.db or default_schema or "", table.name) for table in tables]
                if any(map(is_withheld, names)):
                    dropped = True
                else:
                    kept.append(conjunct)
            set_conjuncts(select, part, [conjunct.this for conjunct in kept])
    return dropped


def _number_tables(prepared: Prepared, default_schema: str | None) -> None:
    for root in prepared.roots:
        for table in root.find_all(exp.Table, bfs=False):
            if not table.meta.get("opaque"):
                table.meta["occurrence"] = len(prepared.tables)
                prepared.tables.append(_known(table, prepared.schema, default_schema))


def _known(table: exp.Table, schema: Schema, default_schema: str | None) -> Table:
    schema_name = table.db or default_schema
    if not schema_name:
        raise Unreadable(f"table {table.name} has no schema, and the session had no default schema")
    if is_system_schema(schema_name):
        raise Unreadable(f"it joins the system table {schema_name}.{table.name} with data")
    if is_withheld(TableName(schema_name, table.name)):
        raise Unreadable(f"it joins {schema_name}.{table.name}, which a tool keeps for itself, with data")
    known = schema.find(schema_name, table.name)
    if known is None:
        raise Unreadable(
            f"table {schema_name}.{table.name} is not there, or the account may not see it (a temporary table, "
            "or one dropped since)"
        )
    return known


def _number(prepared: Prepared) -> None:
    for number, select in enumerate(prepared.blocks()):
        select.meta["block"] = number
    joins = [join for root in prepared.roots for join in root.find_all(exp.Join, bfs=False)]
    for number, join in enumerate(joins):
        join.meta["join"] = number


def _mark_subqueries(prepared: Prepared) -> None:
    """Numbers subqueries and conjuncts, and marks the subqueries that look at the blocks around them and those that
    join the FROM around them."""
    for number, select in enumerate(prepared.blocks()):
        place = link(select)
        if place is not None:
            place.container.meta.setdefault("subquery", number)
            place.container.meta["correlated"] = is_correlated(place.query)
    for select in prepared.blocks():
        for conjunct in clause_conjuncts(select, "where"):
            for condition in literals(conjunct, negative=False):
                condition.meta["joined"] = not condition.meta["correlated"]
    for number, node in enumerate(node for root in prepared.roots for node in _in_order(root)):
        node.meta["conjunct" if isinstance(node, exp.Paren) else "list"] = number
    judged = _judged_joins(prepared)
    for select in prepared.blocks():
        for conjunct in all_conjuncts(select):
            conjunct.meta["settled"] = _is_settled(select, conjunct, judged, prepared)


def _is_settled(select: exp.Select, conjunct: exp.Paren, judged: set[int], prepared: Prepared) -> bool:
    """Whether a condition over rows of the slice comes out as on the source, or at most lets fewer rows through.

    Not so when it holds a subquery that judges, or looks at the value of one, or at the optional side of an outer join
    whose partners one decides on. What it sees of aggregates and of other outer joins is as on the source by their own
    guards.
    """
    if has_judging_subquery(conjunct):
        return False
    causes = {taint.cause for taint in taints_of(select, conjunct, prepared)}
    return not any(kind == "value" or (kind == "outer" and number in judged) for kind, number in causes)


def _judged_joins(prepared: Prepared) -> set[int]:
    """The outer joins of which a subquery decides who is a partner: in their ON, or in what they join."""
    found: set[int] = set()
    for select in prepared.blocks():
        found |= {
            int(join.meta["join"])
            for join in joins_of(select)
            if any(has_judging_subquery(each) for each in on_conjuncts(join))
        }
        for source in sources(select):
            if source.optional and derived_query(source) is not None and _judges_rows(source.node):
                found |= {int(join.meta["join"]) for join in source.outer}
    return found


def _judges_rows(node: exp.Expr) -> bool:
    return any(has_judging_subquery(each) for block in blocks(node) for each in all_conjuncts(block))


def _in_order(query: exp.Expr) -> Iterator[exp.Expr]:
    """Conjuncts and blocks in the order in which a row meets them: what is inside comes first."""
    if isinstance(query, exp.Subquery | exp.Lateral):
        yield from _in_order(query.this)
    elif isinstance(query, exp.SetOperation):
        yield from _in_order(query.this)
        yield from _in_order(query.expression)
    elif isinstance(query, exp.Select):
        for source in sources(query):
            if derived_query(source) is not None:
                yield from _in_order(source.node)
        having = clause_conjuncts(query, "having")
        for conjunct in all_conjuncts(query)[: -len(having) or None]:
            yield from _and_before(conjunct)
        for part in ("expressions", "group", "order"):
            value = query.args.get(part)
            for node in value if isinstance(value, list) else [value]:
                for inner in subqueries(node) if isinstance(node, exp.Expr) else []:
                    yield from _in_order(inner)
        # A HAVING may look at what the select list gives.
        yield query
        for conjunct in having:
            yield from _and_before(conjunct)


def _and_before(conjunct: exp.Paren) -> Iterator[exp.Expr]:
    for inner in subqueries(conjunct):
        yield from _in_order(inner)
    yield conjunct


def all_conjuncts(select: exp.Select) -> list[exp.Paren]:
    """The conjuncts of a block: of its joins, its WHERE and its HAVING."""
    joins = [conjunct for join in joins_of(select) for conjunct in on_conjuncts(join)]
    return [*joins, *clause_conjuncts(select, "where"), *clause_conjuncts(select, "having")]


def _having_to_where(select: exp.Select, prepared: Prepared) -> None:
    """A HAVING conjunct that looks at no aggregate holds for all rows of a group or for none: it is a WHERE.

    DataJoint puts every restriction of an aggregation into HAVING, those on keys too.
    """
    having = clause_conjuncts(select, "having")
    if not having or (is_grouped(select) and select.args.get("group") is None) or is_rolled_up(select):
        return
    kept: list[exp.Expr] = []
    for conjunct in having:
        if not _compares_rows(conjunct) and _without_aliases(select, conjunct, prepared):
            add_conjunct(select, conjunct.this)
        else:
            kept.append(conjunct.this)
    set_conjuncts(select, "having", kept)


def _compares_rows(conjunct: exp.Expr) -> bool:
    """Whether rows are compared with rows that are written out: MariaDB's WHERE takes `(NULL, 1) IN ((2, 3))` and
    `(2, NULL) > (1, 1)` for unknown, its HAVING for false and true."""
    return any(
        isinstance(node, exp.Predicate) and isinstance(node.this.unnest(), exp.Tuple) and not node.args.get("query")
        for node in own_nodes(conjunct)
    )


def _without_aliases(select: exp.Select, conjunct: exp.Paren, prepared: Prepared) -> bool:
    """Writes a condition over the FROM's own columns, in place; False when it depends on an aggregate."""
    if aggregates(select, conjunct):
        return False
    meant: list[tuple[exp.Column, exp.Expr]] = []
    for column in block_columns(select, conjunct):
        item = behind(select, column)
        if item is None:
            if find_source(select, column, prepared) is None:
                return False
            continue
        if has_aggregate(item) or subqueries(item) or item.find(exp.Window) is not None:
            return False
        meant.append((column, item))
    for column, item in meant:
        column.replace(exp.Paren(this=item.copy()))
    return True
