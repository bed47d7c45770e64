"""Lineage by rewriting: a query becomes one that gives the keys of the rows which took part in its result.

`expose(query, wanted)` adds to a query, for each wanted table occurrence, the key columns of the row that each result
row was made from; it goes through derived tables, unions, groups, LIMIT and positive IN conditions. The rules are
those of Perm (Glavic, Alonso: "Perm: Processing Provenance and Data on the Same Data Model", ICDE 2009), over MySQL:

* select, project, join: the key columns join the select list;
* GROUP BY, DISTINCT with LIMIT: the block is joined with its own ungrouped rows on the grouping columns, null-safely;
* `x IN (SELECT y …)`: the subquery joins the FROM on x = y;
* UNION: UNION ALL of the branches that matter, NULLs standing for the other branches' tables;
* LIMIT k OFFSET o: the first o + k rows, since the copy must skip the same o rows.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlglot import exp

from graph.keys import key_expression
from graph.leaves.conjuncts import add_conjunct
from graph.leaves.links import from_occurrences, in_operands, is_identified, positive_ins
from graph.leaves.scope import (
    Prepared,
    Source,
    behind,
    derived_query,
    inner_query,
    is_grouped,
    is_limited,
    is_rolled_up,
    outputs,
    own_columns,
    sources,
)
from graph.leaves.unreadable import Unreadable
from graph.quoting import identifier


def occurrences(node: exp.Expr) -> set[int]:
    """The numbers of the base-table occurrences inside a node."""
    return {int(table.meta["occurrence"]) for table in node.find_all(exp.Table) if "occurrence" in table.meta}


def key_names(occurrence: int, prepared: Prepared) -> list[str]:
    """The names under which `expose` gives the key of an occurrence."""
    return [f"djproxy_k{occurrence}_{index}" for index in range(len(prepared.tables[occurrence].key))]


def expose(query: exp.Query, wanted: Iterable[int], prepared: Prepared, *, body: bool = False) -> exp.Query:
    """A query that gives the keys of the wanted occurrences and nothing else, in the order of `wanted`.

    With `body` the query's own GROUP BY, HAVING, DISTINCT and LIMIT are ignored: all rows that FROM and WHERE give.
    Raises Unreadable for a shape that is not followed.
    """
    order = list(wanted)
    inner = _expose(query.copy(), set(order), prepared, keep=False, body=body)
    return _with_keys(exp.Select(distinct=exp.Distinct()), order, inner, prepared)


def _with_keys(shell: exp.Select, order: list[int], inner: exp.Query, prepared: Prepared) -> exp.Select:
    for occurrence in order:
        for name in key_names(occurrence, prepared):
            shell.append("expressions", _column(name, "djproxy_r"))
    if not shell.expressions:
        # Tables without a key: there is a row, or there is none.
        shell.append("expressions", exp.Literal.number(1))
    return shell.from_(_derived(inner, "djproxy_r"))


def expose_partitions(
    select: exp.Select, by: list[exp.Expr], wanted: Iterable[int], prepared: Prepared
) -> tuple[exp.Query, int]:
    """The rows of a block before grouping: a number for their partition, then the keys of the wanted occurrences.

    Returns the query and the number of its grouping columns: 0 where all rows are one partition. The server numbers the
    partitions, since only it knows which strings its collation takes for equal. Doubles are left out around that:
    MariaDB compares all rows with all where DISTINCT stands beside a window function.
    """
    order = list(wanted)
    block = _without_filters(select.copy())
    block.set("expressions", [exp.alias_(node, f"djproxy_g{index}", quoted=True) for index, node in enumerate(by)])
    inner = _plain(block, set(order), prepared, keep=True)
    numbered = exp.Select()
    if by:
        order_by = exp.Order(
            expressions=[exp.Ordered(this=_column(f"djproxy_g{index}", "djproxy_r")) for index in range(len(by))]
        )
        rank = exp.Window(this=exp.Anonymous(this="DENSE_RANK"), order=order_by)
        numbered.append("expressions", exp.alias_(rank, "djproxy_p", quoted=True))
    rows = _with_keys(numbered, list(dict.fromkeys(order)), inner, prepared)
    if is_identified(select, prepared) and set(from_occurrences(select)) <= set(order):
        shell = exp.Select()
    else:
        shell = exp.Select(distinct=exp.Distinct())
    if by:
        shell.append("expressions", _column("djproxy_p", "djproxy_r"))
    return _with_keys(shell, order, rows, prepared), min(len(by), 1)


def group_expressions(select: exp.Select) -> list[exp.Expr]:
    """What a block groups by, aliases and positions replaced by what they stand for."""
    group = select.args.get("group")
    found: list[exp.Expr] = []
    for node in group.expressions if group is not None else []:
        if isinstance(node, exp.Literal) and not node.is_string:
            node = select.expressions[int(node.name) - 1]
        elif isinstance(node, exp.Column) and not node.table:
            node = behind(select, node) or node
        found.append((node.this if isinstance(node, exp.Alias) else node).copy())
    return found


def _column(name: str, table: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(table, quoted=True))


def _derived(query: exp.Expr, alias: str) -> exp.Subquery:
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))


def _expose(query: exp.Expr, wanted: set[int], prepared: Prepared, *, keep: bool, body: bool = False) -> exp.Query:
    """The query with the keys of `wanted` added to its columns (`keep`) or in their place."""
    if isinstance(query, exp.Subquery):
        return _expose(query.this, wanted, prepared, keep=keep, body=body)
    if isinstance(query, exp.Union):
        return _union(query, wanted, prepared, keep=keep, body=body)
    if not isinstance(query, exp.Select):
        raise Unreadable(f"it uses {type(query).__name__.upper()}, which is not followed yet")
    if body:
        query = _without_filters(query)
    grouped, limited = is_grouped(query), is_limited(query)
    if not grouped and not keep and query.args.get("having") is not None:
        # It may look at what the select list gives, which therefore stays.
        _fold_offset(query)
        query.set("expressions", _without_duplicates(query.expressions))
        return _keys_alone(_expose(query, wanted, prepared, keep=True), wanted, prepared)
    if not grouped and not limited:
        return _plain(query, wanted, prepared, keep=keep)
    if grouped and not limited and not keep and query.args.get("having") is None:
        return _plain(_without_filters(query), wanted, prepared, keep=False)
    if not grouped and query.args.get("distinct") is None and wanted <= _direct(query):
        return _limited(query, wanted, prepared, keep=keep)
    return _rejoined(query, wanted, prepared, keep=keep)


def _without_filters(select: exp.Select) -> exp.Select:
    for part in ("group", "having", "order", "limit", "offset", "distinct", "windows"):
        select.set(part, None)
    return select


def _direct(select: exp.Select) -> set[int]:
    """The occurrences whose keys can join the select list without multiplying its rows."""
    found: set[int] = set()
    for source in sources(select):
        if source.occurrence is not None:
            found.add(source.occurrence)
            continue
        inner = derived_query(source)
        plain = isinstance(inner, exp.Select) and not is_grouped(inner) and inner.args.get("distinct") is None
        if plain and isinstance(inner, exp.Select):
            found |= _direct(inner)
    return found


def _plain(select: exp.Select, wanted: set[int], prepared: Prepared, *, keep: bool) -> exp.Select:
    """Select, project, join: the keys join the select list, or replace it."""
    added: list[exp.Expr] = []
    left = set(wanted)
    for source in sources(select):
        query = derived_query(source)
        here = {source.occurrence} if query is None else occurrences(query)
        inside = {occurrence for occurrence in left if occurrence in here}
        if not inside:
            continue
        left -= inside
        if query is None:
            added += _base_keys(source, prepared)
            continue
        query.replace(_expose(query.copy(), inside, prepared, keep=True))
        for occurrence in sorted(inside):
            added += [_column(name, source.alias) for name in key_names(occurrence, prepared)]
    if left:
        added += _join_conditions(select, left, prepared)
    items = [*select.expressions, *added] if keep else added
    select.set("expressions", items or [exp.alias_(exp.Literal.number(1), "djproxy_one", quoted=True)])
    select.set("distinct", None)
    if not is_limited(select):
        select.set("order", None)
    return select


def reference(source: Source) -> str:
    """How SQL in its block refers to a base table."""
    if not source.node.alias and isinstance(source.node, exp.Table) and source.node.db:
        return f"{identifier(source.node.db)}.{identifier(source.node.name)}"
    return identifier(source.alias)


def _base_keys(source: Source, prepared: Prepared) -> list[exp.Expr]:
    occurrence = source.occurrence
    assert occurrence is not None
    table = prepared.tables[occurrence]
    prefix = reference(source)
    return [
        exp.alias_(
            exp.Var(this=key_expression(table.column(column), f"{prefix}.{identifier(column)}")), name, quoted=True
        )
        for column, name in zip(table.key, key_names(occurrence, prepared), strict=True)
    ]


def _join_conditions(select: exp.Select, wanted: set[int], prepared: Prepared) -> list[exp.Expr]:
    """Brings the subqueries of positive IN conditions that hold wanted occurrences into the FROM."""
    added: list[exp.Expr] = []
    for condition in positive_ins(select):
        query = condition.args["query"]
        inside = wanted & occurrences(query)
        if not inside:
            continue
        wanted = wanted - inside
        added += _join_in(select, condition, inside, prepared)
        # The join says it all now.
        condition.replace(exp.true())
    if wanted:
        names = ", ".join(sorted(str(prepared.tables[occurrence].name) for occurrence in wanted))
        raise Unreadable(f"a subquery over {names} stands where it is not followed yet")
    return added


def _join_in(select: exp.Select, condition: exp.In, inside: set[int], prepared: Prepared) -> list[exp.Expr]:
    query = inner_query(condition.args["query"])
    names = outputs(query, prepared)
    left = in_operands(condition)
    if len(names) != len(left):
        raise Unreadable("an IN compares rows of different lengths")
    number = min(inside)
    alias = f"djproxy_s{number}"
    opened = _expose(query.copy(), inside, prepared, keep=True)
    shell = exp.Select()
    for index, name in enumerate(names):
        shell.append("expressions", exp.alias_(_column(name, "djproxy_i"), f"djproxy_c{number}_{index}", quoted=True))
    keys = [name for occurrence in sorted(inside) for name in key_names(occurrence, prepared)]
    for name in keys:
        shell.append("expressions", _column(name, "djproxy_i"))
    shell = shell.from_(_derived(opened, "djproxy_i"))
    select.append("joins", exp.Join(this=_derived(shell, alias), kind="CROSS"))
    for index, operand in enumerate(left):
        column = _column(f"djproxy_c{number}_{index}", alias)
        add_conjunct(select, exp.EQ(this=operand.copy(), expression=column))
    return [_column(name, alias) for name in keys]


def _fold_offset(query: exp.Query) -> None:
    """LIMIT k OFFSET o → LIMIT o + k: the skipped rows take part as well.

    Only for a query by itself. Inside another one the LIMIT lets through what it lets through; the rows that it skips
    are asked for where the limited query is looked at by itself.
    """
    offset = query.args.get("offset")
    limit = query.args.get("limit")
    if offset is None:
        return
    amount = limit.expression if isinstance(limit, exp.Limit) else None
    if not isinstance(amount, exp.Literal) or not isinstance(offset.expression, exp.Literal):
        raise Unreadable("its LIMIT or OFFSET is no plain number")
    total = int(amount.name) + int(offset.expression.name)
    query.set("offset", None)
    query.set("limit", exp.Limit(expression=exp.Literal.number(min(total, 2**64 - 1))))


def _limited(select: exp.Select, wanted: set[int], prepared: Prepared, *, keep: bool) -> exp.Select:
    """LIMIT over a block whose rows the keys do not multiply."""
    if keep:
        return _plain(select, wanted, prepared, keep=True)
    _fold_offset(select)
    select.set("expressions", _needed_by_order(select))
    return _keys_alone(_plain(select, wanted, prepared, keep=True), wanted, prepared)


def _keys_alone(query: exp.Query, wanted: set[int], prepared: Prepared) -> exp.Select:
    shell = exp.Select()
    for occurrence in sorted(wanted):
        for name in key_names(occurrence, prepared):
            shell.append("expressions", _column(name, "djproxy_l"))
    return shell.from_(_derived(query, "djproxy_l"))


def _needed_by_order(select: exp.Select) -> list[exp.Expr]:
    """What ORDER BY names, as the select list has it; positions in ORDER BY are spelled out."""
    order = select.args.get("order")
    for item in order.expressions if order is not None else []:
        if isinstance(item.this, exp.Literal) and not item.this.is_string:
            projection = select.expressions[int(item.this.name) - 1]
            item.set("this", (projection.this if isinstance(projection, exp.Alias) else projection).copy())
    names = {column.name: column for column in own_columns(order) if not column.table} if order is not None else {}
    found: list[exp.Expr] = []
    for name, column in names.items():
        meant = [item for item in select.expressions if item.alias_or_name.lower() == name.lower()]
        # Without the column in the select list, MySQL takes a key of the same name for an equally good match.
        found.append(meant[0] if meant else column.copy())
    return _without_duplicates(found)


def _rejoined(select: exp.Select, wanted: set[int], prepared: Prepared, *, keep: bool) -> exp.Select:
    """A block that groups, or limits rows that the keys would multiply: itself, joined with its rows before that."""
    number = int(select.meta["block"])
    whole, rows = f"djproxy_d{number}", f"djproxy_b{number}"
    complete = select.copy()
    if not keep:
        _fold_offset(complete)
    if not is_limited(complete):
        complete.set("order", None)
    if is_rolled_up(select):
        # A total is made of all rows; which of them a row is the total of is not looked at.
        identity: list[exp.Expr] = []
    elif is_grouped(select):
        identity = group_expressions(select)
    elif select.args.get("distinct") is not None:
        identity = [item.unalias().copy() for item in select.expressions]
    else:
        identity = []
    open_rows = _without_filters(select.copy())
    complete.set("expressions", _without_duplicates(complete.expressions))
    names = [f"djproxy_i{number}_{index}" for index in range(len(identity))]
    if identity or is_grouped(select):
        extra = [exp.alias_(node.copy(), name, quoted=True) for node, name in zip(identity, names, strict=True)]
        complete.set("expressions", [*complete.expressions, *extra])
        open_rows.set("expressions", [item.copy() for item in extra])
        opened = _plain(open_rows, wanted, prepared, keep=True)
    else:
        direct = _direct(select)
        names = [name for occurrence in sorted(direct) for name in key_names(occurrence, prepared)]
        complete = _plain(complete, direct, prepared, keep=True)
        open_rows.set("expressions", [])
        opened = _plain(open_rows, direct | wanted, prepared, keep=True)
    shell = exp.Select()
    if keep:
        shell.append("expressions", exp.Column(this=exp.Star(), table=exp.to_identifier(whole, quoted=True)))
    for occurrence in sorted(wanted):
        for name in key_names(occurrence, prepared):
            if not (keep and name in names):
                shell.append("expressions", _column(name, rows))
    condition: exp.Expr = exp.true()
    for name in names:
        equal = exp.NullSafeEQ(this=_column(name, whole), expression=_column(name, rows))
        condition = equal if isinstance(condition, exp.Boolean) else exp.And(this=condition, expression=equal)
    shell = shell.from_(_derived(complete, whole))
    # An aggregate of all rows is a row even where there are none.
    of_none = is_grouped(select) and not identity
    side = {"side": "LEFT"} if of_none else {"kind": "INNER"}
    shell.append("joins", exp.Join(this=_derived(opened, rows), on=condition, **side))
    return shell


def _without_duplicates(projections: list[exp.Expr]) -> list[exp.Expr]:
    """A derived table may not have two columns of one name."""
    seen: set[str] = set()
    kept = []
    for item in projections:
        name = item.alias_or_name.lower()
        if not name or name not in seen:
            kept.append(item)
        if name:
            seen.add(name)
    return kept


def _union(query: exp.Union, wanted: set[int], prepared: Prepared, *, keep: bool, body: bool) -> exp.Query:
    """UNION ALL of the branches that hold wanted occurrences; with a LIMIT joined with the union's own rows."""
    names = outputs(query, prepared)
    limited = is_limited(query) and not body
    parts = []
    bare = query.copy()
    for clause in ("order", "limit", "offset"):
        bare.set(clause, None)
    for branch in _branches(bare):
        inside = wanted & occurrences(branch)
        # Beside other tables a row of no table counts, too.
        if inside or keep:
            parts.append(_branch(branch, inside, wanted, names, prepared, keep=keep or limited))
    opened: exp.Query = parts[0]
    for part in parts[1:]:
        opened = exp.Union(this=opened, expression=part, distinct=False)
    if not limited:
        return opened
    complete = query.copy()
    if not keep:
        _fold_offset(complete)
    shell = exp.Select(expressions=[exp.Column(this=exp.Star(), table=exp.to_identifier("djproxy_b", quoted=True))])
    condition: exp.Expr = exp.true()
    for name in names:
        equal = exp.NullSafeEQ(this=_column(name, "djproxy_d"), expression=_column(name, "djproxy_b"))
        condition = exp.And(this=condition, expression=equal)
    shell = shell.from_(_derived(complete, "djproxy_d"))
    shell.append("joins", exp.Join(this=_derived(opened, "djproxy_b"), kind="INNER", on=condition))
    return shell


def _branches(query: exp.Expr) -> list[exp.Query]:
    if isinstance(query, exp.Subquery) and not is_limited(query):
        return _branches(query.this)
    if isinstance(query, exp.Union) and not is_limited(query):
        return _branches(query.this) + _branches(query.expression)
    if isinstance(query, exp.Select | exp.Union):
        return [query]
    raise Unreadable("a branch of its UNION is not followed yet")


def _branch(
    branch: exp.Query, inside: set[int], wanted: set[int], names: list[str], prepared: Prepared, *, keep: bool
) -> exp.Select:
    opened = _expose(branch.copy(), inside, prepared, keep=keep) if inside else branch.copy()
    shell = exp.Select()
    if keep:
        for name, own in zip(names, outputs(branch, prepared), strict=True):
            shell.append("expressions", exp.alias_(_column(own, "djproxy_u"), name, quoted=True))
    for occurrence in sorted(wanted):
        for name in key_names(occurrence, prepared):
            node = _column(name, "djproxy_u") if occurrence in inside else exp.alias_(exp.null(), name, quoted=True)
            shell.append("expressions", node)
    return shell.from_(_derived(opened, "djproxy_u"))
