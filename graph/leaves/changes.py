"""What an UPDATE or DELETE reads: the tables that it does not change, and its subqueries.

When the slice is computed the rows that it changed are no longer what they were, or gone. So they say nothing about
what was read: a table counts with the rows that fulfil the conditions on it and on other tables that are only read, a
subquery with all that it gives.
"""

from __future__ import annotations

from sqlglot import exp

from graph.leaves.conjuncts import conjuncts
from graph.leaves.scope import is_parenthesised_join, joins_of, subqueries
from graph.leaves.unreadable import Unreadable


def changed_tables(change: exp.Update | exp.Delete) -> list[exp.Table]:
    """The tables that a change changes, by their own names.

    Raises Unreadable where it does not show which these are.
    """
    tables = _tables(_start(change))
    changed = _changed(change, tables)
    found = [table for table in tables if table.alias_or_name.lower() in changed]
    return [exp.Table(this=each.this.copy(), db=each.args.get("db")) for each in found if isinstance(each, exp.Table)]


def reading_side(change: exp.Update | exp.Delete) -> exp.Query:
    """The rows that a change reads, as one query (of no table, if it reads only what it changes).

    Raises Unreadable where it does not show which tables are changed.
    """
    change = change.copy()
    start = _start(change)
    holder = exp.Select().from_(start)
    tables = _tables(start)
    changed = _changed(change, tables)
    parts = [_derived(query) for query in _outermost(change, holder)]
    read = [table for table in tables if table.alias_or_name.lower() not in changed]
    if read:
        parts.insert(0, _from_others(change, holder, read, changed))
    _check_outward(parts, {table.alias_or_name.lower() for table in tables})
    query: exp.Query = parts[0] if parts else exp.select("1")
    for part in parts[1:]:
        query = exp.Union(this=query, expression=part, distinct=False)
    if change.args.get("with_") is not None:
        query.set("with_", change.args["with_"])
    return query


def _check_outward(parts: list[exp.Select], names: set[str]) -> None:
    """Raises Unreadable for a part that looks at a row of the change from inside a subquery or a table function."""
    for part in parts:
        own = {table.alias_or_name.lower() for table in part.find_all(exp.Table, exp.Subquery, exp.Lateral)}
        for column in part.find_all(exp.Column):
            if column.table.lower() in names - own:
                raise Unreadable(
                    f"a subquery or derived table of it looks at {column.table}, whose rows are not known any more; "
                    "record a SELECT of what it reads"
                )


def _start(change: exp.Update | exp.Delete) -> exp.Expr:
    using = change.args.get("using")
    if isinstance(using, list) and using:
        first: exp.Expr = using[0]
        for other in using[1:]:
            first.append("joins", exp.Join(this=other))
        return first
    start = change.this
    if not isinstance(start, exp.Table | exp.Subquery):
        raise Unreadable("its tables cannot be told")
    return start


def _tables(start: exp.Expr) -> list[exp.Expr]:
    own = _tables(start.this) if is_parenthesised_join(start) else [start]
    return own + [table for join in start.args.get("joins") or [] for table in _tables(join.this)]


def _changed(change: exp.Update | exp.Delete, tables: list[exp.Expr]) -> set[str]:
    """The names of the tables that are changed, in lower case."""
    if isinstance(change, exp.Delete):
        listed = [change.this, *(join.this for join in change.this.args.get("joins") or [])]
        named = change.args.get("tables") or (listed if change.args.get("using") else [])
        if not named:
            return {table.alias_or_name.lower() for table in tables[:1]}
        return {table.name.lower() for table in named}
    columns = [item.this for item in change.expressions if isinstance(item, exp.EQ)]
    if len(tables) > 1 and not all(isinstance(column, exp.Column) and column.table for column in columns):
        raise Unreadable("it changes a column without naming its table; write table.column")
    if len(tables) == 1:
        return {tables[0].alias_or_name.lower()}
    return {column.table.lower() for column in columns if isinstance(column, exp.Column)}


def _conditions(change: exp.Update | exp.Delete, holder: exp.Select) -> list[exp.Expr]:
    """The conditions of ON and WHERE."""
    where = change.args.get("where")
    found = [join.args["on"] for join in joins_of(holder) if isinstance(join.args.get("on"), exp.Expr)]
    return [part for each in [*found, *([where.this] if where is not None else [])] for part in conjuncts(each)]


def _outermost(change: exp.Update | exp.Delete, holder: exp.Select) -> list[exp.Expr]:
    values = change.expressions if isinstance(change, exp.Update) else []
    return [query for node in [*values, *_conditions(change, holder)] for query in subqueries(node)]


def _derived(query: exp.Expr) -> exp.Select:
    inner = query.this if isinstance(query, exp.Subquery) else query
    alias = exp.TableAlias(this=exp.to_identifier("djproxy_q", quoted=True))
    return exp.Select(expressions=[exp.Literal.number(1)]).from_(exp.Subquery(this=inner.copy(), alias=alias))


def _from_others(
    change: exp.Update | exp.Delete, holder: exp.Select, read: list[exp.Expr], changed: set[str]
) -> exp.Select:
    """The tables that are only read, under the conditions that look at these alone."""
    # A WHERE may ask for rows that have no partner: it says nothing about the optional table's own.
    outer = any(join.side for join in joins_of(holder))
    kept = [
        part
        for part in ([] if outer else _conditions(change, holder))
        if not subqueries(part)
        and all(column.table and column.table.lower() not in changed for column in part.find_all(exp.Column))
    ]
    bare = [table.copy() for table in read]
    for table in bare:
        table.set("joins", None)
    select = exp.Select(expressions=[exp.Literal.number(1)]).from_(bare[0])
    for table in bare[1:]:
        select.append("joins", exp.Join(this=table, kind="CROSS"))
    return select.where(*[part.copy() for part in kept]) if kept else select
