"""Names that a query gives to queries: each name of a WITH becomes the query that it stands for.

A recursive one cannot be written out. It becomes *opaque*: a derived table kept as text, whose rows the query around
it takes as they are, while the queries that it is made of become queries of their own, each with all of the recursion's
rows in the place of its name: every row of the recursion was made from one of those.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlglot import exp

from graph.leaves.render import render
from graph.leaves.scope import opaque
from graph.leaves.unreadable import Unreadable

#: Makes a new node that stands for a name, under an alias.
Meaning = Callable[[exp.TableAlias], exp.Expr]


def inline_ctes(tree: exp.Query, roots: list[exp.Query]) -> None:
    """Takes the WITHs out of a query, in place; the queries inside its recursions are added to `roots`."""
    _inline(tree, {}, roots)


def _inline(node: exp.Expr, known: Mapping[str, Meaning], roots: list[exp.Query]) -> None:
    with_ = node.args.get("with_")
    if isinstance(with_, exp.With):
        node.set("with_", None)
        names = dict(known)
        for cte in with_.expressions:
            names[cte.alias.lower()] = _meaning(cte, bool(with_.args.get("recursive")), names, roots)
        known = names
    for child in list(node.iter_expressions()):
        _inline(child, known, roots)
        if isinstance(child, exp.Table) and not child.args.get("db"):
            meaning = known.get(child.name.lower())
            if meaning is not None:
                replace_table(child, meaning)


def _meaning(cte: exp.CTE, recursive: bool, known: Mapping[str, Meaning], roots: list[exp.Query]) -> Meaning:
    name = cte.alias.lower()
    columns = cte.args["alias"].args.get("columns")
    others = {other: meaning for other, meaning in known.items() if other != name}
    if recursive and any(_is_name(table, name) for table in cte.this.find_all(exp.Table)):
        return _recursion(cte, others, roots)
    _inline(cte.this, known, roots)
    query = cte.this

    def derived(alias: exp.TableAlias) -> exp.Expr:
        named = exp.TableAlias(this=alias.this.copy(), columns=[column.copy() for column in columns or []])
        return exp.Subquery(this=query.copy(), alias=named)

    return derived


def _recursion(cte: exp.CTE, known: Mapping[str, Meaning], roots: list[exp.Query]) -> Meaning:
    """The recursion as text; its branches, with that text in the place of its name, are added to `roots`."""
    name = cte.alias.lower()
    _inline(cte.this, known, roots)
    columns = [column.name for column in cte.args["alias"].args.get("columns") or []]
    whole = exp.Select(expressions=[exp.Star()]).from_(exp.Table(this=cte.args["alias"].this.copy()))
    whole.set("with_", exp.With(expressions=[cte.copy()], recursive=True))
    text = render(whole)
    branches = [branch.copy() for branch in _branches(cte.this)]
    starts = [number for number, branch in enumerate(branches, len(roots)) if not _names(branch, name)]
    if not starts:
        raise Unreadable(f"the WITH RECURSIVE {cte.alias} has no part to start from")

    def derived(alias: exp.TableAlias) -> exp.Expr:
        return opaque(text, alias, columns, starts[0])

    for branch in branches:
        for table in [node for node in branch.find_all(exp.Table) if _is_name(node, name)]:
            replace_table(table, derived)
        roots.append(branch)
    return derived


def _branches(query: exp.Expr) -> list[exp.Query]:
    if isinstance(query, exp.Subquery):
        return _branches(query.this)
    if isinstance(query, exp.SetOperation):
        return _branches(query.this) + _branches(query.expression)
    return [query] if isinstance(query, exp.Query) else []


def _is_name(table: exp.Table, name: str) -> bool:
    return not table.args.get("db") and table.name.lower() == name


def _names(query: exp.Query, name: str) -> bool:
    return any(_is_name(table, name) for table in query.find_all(exp.Table))


def replace_table(table: exp.Table, meaning: Meaning) -> None:
    """Puts what a name stands for in its place; what the name's columns were called by stays right."""
    select = table.find_ancestor(exp.Select)
    for column in select.find_all(exp.Column) if select is not None else ():
        # A derived table belongs to no schema.
        if column.args.get("db") is not None and column.table == table.alias_or_name:
            column.set("db", None)
    made = meaning(exp.TableAlias(this=exp.to_identifier(table.alias_or_name, quoted=True)))
    joins = table.args.get("joins")
    if joins:
        made.set("joins", [join.pop() for join in list(joins)])
    table.replace(made)
