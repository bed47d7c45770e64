"""`*` written out, and derived tables with the column names that their lists give them."""

from __future__ import annotations

from sqlglot import exp

from graph.leaves.scope import (
    Prepared,
    Source,
    blocks,
    is_parenthesised_join,
    name_columns,
    outputs,
    own_columns,
    shown_columns,
    sources,
)
from graph.leaves.unreadable import Unreadable


def write_out(root: exp.Query, prepared: Prepared) -> None:
    """Names all columns of a query, inner blocks before outer ones."""
    for condition in root.find_all(exp.In):
        if condition.args.get("query") is not None:
            name_columns(condition.args["query"])
    for select in reversed(list(blocks(root))):
        for source in sources(select):
            _column_list(source.node, prepared)
        _stars(select, prepared)
        _positions(select)


def _positions(select: exp.Select) -> None:
    """ORDER BY 2 → ORDER BY the second column."""
    order = select.args.get("order")
    for item in order.expressions if order is not None else []:
        number = item.this
        if isinstance(number, exp.Literal) and not number.is_string and 0 < int(number.name) <= len(select.expressions):
            named = select.expressions[int(number.name) - 1]
            alias = exp.column(named.alias, quoted=True) if isinstance(named, exp.Alias) else named.copy()
            item.set("this", alias)


def _column_list(node: exp.Expr, prepared: Prepared) -> None:
    """(SELECT …) AS d (a, b) → (SELECT x AS a, y AS b FROM (SELECT …) …) AS d, which both servers know."""
    alias = node.args.get("alias")
    if alias is None or not alias.args.get("columns") or not isinstance(node, exp.Subquery | exp.Lateral):
        return
    columns = [column.name for column in alias.args["columns"]]
    alias.set("columns", None)
    holder = node.this if isinstance(node, exp.Lateral) else node
    name_columns(holder)
    names = outputs(holder, prepared)
    if names == columns:
        return
    if len(names) != len(columns):
        raise Unreadable(f"{node.alias} has other columns than its list names")
    distinct = len({name.lower() for name in names}) == len(names)
    if isinstance(holder.this, exp.Select) and (not distinct or isinstance(node, exp.Lateral)):
        _rename(holder.this, columns)
        return
    if not distinct:
        raise Unreadable(f"the columns of {node.alias} cannot be told apart; give them names of their own")
    inner = exp.Subquery(this=holder.this, alias=exp.TableAlias(this=exp.to_identifier("djproxy_c", quoted=True)))
    renamed = exp.Select(
        expressions=[
            exp.alias_(exp.column(old, table="djproxy_c", quoted=True), new, quoted=True)
            for old, new in zip(names, columns, strict=True)
        ]
    )
    holder.set("this", renamed.from_(inner))


def _rename(select: exp.Select, columns: list[str]) -> None:
    """Other names for what a select list gives; what the block itself called it by is written out."""
    for part in ("group", "having", "order"):
        clause = select.args.get(part)
        for column in own_columns(clause) if clause is not None else []:
            item = None if column.table else _aliased(select, column.name)
            if item is not None:
                column.replace(exp.Paren(this=item.copy()))
    for item, name in zip(list(select.expressions), columns, strict=True):
        item.replace(exp.alias_(item.unalias().copy(), name, quoted=True))


def _aliased(select: exp.Select, name: str) -> exp.Expr | None:
    named = [item for item in select.expressions if isinstance(item, exp.Alias) and item.alias.lower() == name.lower()]
    return named[0].unalias() if named else None


def _stars(select: exp.Select, prepared: Prepared) -> None:
    if not any(_is_star(item) for item in select.expressions):
        return
    items: list[exp.Expr] = []
    for item in select.expressions:
        if isinstance(item, exp.Star):
            items += [_column(source, name) for source, name in _of_from(select, prepared)]
        elif _is_star(item):
            wanted = [source for source in sources(select) if source.alias.lower() == item.text("table").lower()]
            items += [_column(source, name) for source in wanted for name in shown_columns(source, prepared)]
        else:
            items.append(item)
    select.set("expressions", items)


def _is_star(item: exp.Expr) -> bool:
    return isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star))


def _column(source: Source, name: str) -> exp.Column:
    db = source.node.db if isinstance(source.node, exp.Table) and not source.node.alias else None
    return exp.column(name, table=source.alias, db=db or None, quoted=True)


#: A column of a FROM: the source that gives it, and its name.
_Entry = tuple[Source, str]


def _of_from(select: exp.Select, prepared: Prepared) -> list[_Entry]:
    """What `*` stands for: columns that NATURAL JOIN or USING merge come first, once, from the side that is kept."""
    start = select.args.get("from_")
    if start is None:
        return []
    by_node = {id(source.node): source for source in sources(select)}
    return _joined(_of_node(start.this, by_node, prepared), select.args.get("joins") or [], by_node, prepared)


def _of_node(node: exp.Expr, by_node: dict[int, Source], prepared: Prepared) -> list[_Entry]:
    if is_parenthesised_join(node):
        found = _of_node(node.this, by_node, prepared)
    else:
        source = by_node[id(node)]
        found = [(source, name) for name in shown_columns(source, prepared)]
    return _joined(found, node.args.get("joins") or [], by_node, prepared)


def _joined(found: list[_Entry], joins: list[exp.Join], by_node: dict[int, Source], prepared: Prepared) -> list[_Entry]:
    for join in joins:
        more = _of_node(join.this, by_node, prepared)
        first, second = (more, found) if (join.side or "").upper() == "RIGHT" else (found, more)
        if (join.method or "").upper() == "NATURAL":
            common = {name.lower() for _, name in first} & {name.lower() for _, name in second}
        else:
            common = {column.name.lower() for column in join.args.get("using") or []}
        if not common:
            found = [*found, *more]
            continue
        merged = [entry for entry in first if entry[1].lower() in common]
        found = [*merged, *(entry for entry in [*first, *second] if entry[1].lower() not in common)]
    return found
