"""Syntax tree to text that both servers accept and that means what the recorded text meant."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from graph.leaves import conditions, literals


def render(tree: exp.Expr) -> str:
    """The tree as MySQL. sqlglot's own spelling of some nodes is an error on one server or the other; these are
    written here."""
    tree = tree.copy()
    for node in list(tree.walk(bfs=False))[::-1]:
        write = _condition if conditions.is_condition(node) else _WRITERS.get(type(node))
        if write is not None:
            raw = exp.Var(this=write(node))
            if node is tree:
                return str(raw.this)
            node.replace(raw)
    return _sql(tree)


def render_for_people(tree: exp.Expr) -> str:
    """The tree as text in which long lists and conditions are cut short, with how many values or terms they have."""
    if not any("values" in node.meta or conditions.is_condition(node) for node in tree.walk()):
        return _sql(tree)
    tree = tree.copy()
    for node in list(tree.walk()):
        short = None
        if "values" in node.meta:
            short = literals.shortened(node.name, int(node.meta["values"]))
        elif conditions.is_condition(node):
            short = conditions.shortened(node)
        if short is not None:
            if node is tree:
                return short
            node.replace(exp.Var(this=short))
    return _sql(tree)


def _sql(node: object) -> str:
    """The text of a node, without the copy that sqlglot makes first: nothing that MySQL has is changed by writing."""
    return node.sql(dialect="mysql", comments=False, copy=False) if isinstance(node, exp.Expr) else str(node)


def _regexp(node: exp.Expr) -> str:
    """MariaDB has no REGEXP_LIKE."""
    return f"({_sql(node.this)} REGEXP {_sql(node.expression)})"


def _json_value(node: exp.Expr) -> str:
    """RETURNING takes SIGNED and UNSIGNED, as CAST does, not the type's name."""
    returning = node.args.get("returning")
    text = f"JSON_VALUE({_sql(node.this)}, {_sql(node.args['path'])}"
    if isinstance(returning, exp.Expr):
        kind = _sql(returning)
        text += " RETURNING " + {"BIGINT UNSIGNED": "UNSIGNED", "BIGINT": "SIGNED"}.get(kind, kind)
    on_condition = node.args.get("on_condition")
    return text + (f" {_sql(on_condition)}" if on_condition is not None else "") + ")"


def _interval_function(node: exp.Expr) -> str:
    """INTERVAL(a, b, …) is a function when its operand is a list."""
    if isinstance(node.this, exp.Tuple):
        return f"INTERVAL({', '.join(_sql(item) for item in node.this.expressions)})"
    return _sql(node)


def values_row(item: exp.Expr) -> bool:
    """Whether a row of VALUES is written ROW(…), as MySQL has it."""
    return isinstance(item, exp.Tuple) and len(item.expressions) == 1 and isinstance(item.expressions[0], exp.Anonymous)


def _values(node: exp.Expr) -> str:
    rows = ", ".join(_sql(item.expressions[0] if values_row(item) else item) for item in node.expressions)
    alias = node.args.get("alias")
    if alias is None:
        return f"VALUES {rows}"
    columns = ", ".join(_sql(column) for column in alias.args.get("columns") or [])
    return f"(VALUES {rows}) AS {_sql(alias.this)}" + (f" ({columns})" if columns else "")


def _condition(node: exp.Expr) -> str:
    return conditions.written(node, [_sql(column) for column in node.expressions])


_WRITERS: dict[type[exp.Expr], Callable[[exp.Expr], str]] = {
    exp.RegexpLike: _regexp,
    exp.Values: _values,
    exp.JSONValue: _json_value,
    exp.Interval: _interval_function,
}
