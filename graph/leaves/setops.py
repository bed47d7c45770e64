"""INTERSECT and EXCEPT as what they mean: a row of one query for which there is, or is not, an equal row of another."""

from __future__ import annotations

from sqlglot import exp

from graph.leaves.owners import free_columns
from graph.leaves.render import render
from graph.leaves.scope import Prepared, name_columns, opaque, outputs
from graph.leaves.unreadable import Unreadable

_LEFT, _RIGHT = "djproxy_e", "djproxy_f"


def rewrite_set_operations(tree: exp.Query, prepared: Prepared) -> tuple[exp.Query, list[exp.Query]]:
    """The query without INTERSECT and EXCEPT, and the queries that must answer as on the source by themselves.

    Under ALL the number of equal rows matters, so both sides stay as they are. One that looks at the query around it
    stays, too: all rows that its sides are made of come with each row that it is judged by.
    """
    apart: list[exp.Query] = []
    found = list(tree.find_all(exp.Intersect, exp.Except, bfs=False))
    for node in reversed(found):
        if free_columns(node):
            continue
        new = _by_existence(node, prepared) if node.args.get("distinct") else _as_it_is(node, prepared, apart)
        for part in ("order", "limit", "offset"):
            new.set(part, node.args.get(part))
        if node is tree:
            tree = new
        else:
            node.replace(new)
    return tree, apart


def _columns(node: exp.SetOperation, prepared: Prepared) -> tuple[list[str], list[str]]:
    for side in (node.this, node.expression):
        name_columns(side)
    left, right = outputs(node.this, prepared), outputs(node.expression, prepared)
    for names in (left, right):
        if len({name.lower() for name in names}) != len(names):
            raise Unreadable(
                f"a side of its {node.key.upper()} has two columns of one name; give them names of their own"
            )
    return left, right


def _derived(query: exp.Expr, alias: str) -> exp.Subquery:
    inner = query.this if isinstance(query, exp.Subquery) and not query.alias else query
    return exp.Subquery(this=inner, alias=exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))


def _column(name: str, table: str) -> exp.Column:
    return exp.column(exp.to_identifier(name, quoted=True), table=exp.to_identifier(table, quoted=True))


def _by_existence(node: exp.SetOperation, prepared: Prepared) -> exp.Select:
    left, right = _columns(node, prepared)
    equal: list[exp.Expr] = [
        exp.NullSafeEQ(this=_column(own, _LEFT), expression=_column(other, _RIGHT))
        for own, other in zip(left, right, strict=True)
    ]
    inner = exp.Select(expressions=[exp.Literal.number(1)]).from_(_derived(node.expression, _RIGHT))
    inner.set("where", exp.Where(this=exp.and_(*equal)))
    exists: exp.Expr = exp.Exists(this=inner)
    if isinstance(node, exp.Except):
        exists = exp.Not(this=exists)
    new = exp.Select(expressions=[_column(name, _LEFT) for name in left], distinct=exp.Distinct())
    new = new.from_(_derived(node.this, _LEFT))
    new.set("where", exp.Where(this=exists))
    return new


def _as_it_is(node: exp.SetOperation, prepared: Prepared, apart: list[exp.Query]) -> exp.Select:
    left, _ = _columns(node, prepared)
    bare = node.copy()
    for part in ("order", "limit", "offset"):
        bare.set(part, None)
    for side in (node.this, node.expression):
        query = side.this if isinstance(side, exp.Subquery) and not side.alias else side
        apart.append(query.copy())
    alias = exp.TableAlias(this=exp.to_identifier(_LEFT, quoted=True))
    items = [_column(name, _LEFT) for name in left]
    return exp.Select(expressions=items).from_(opaque(render(bare), alias, left))
