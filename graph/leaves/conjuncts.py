"""Conditions as lists of conditions that must all hold: the conjuncts of a WHERE, a HAVING, or an ON.

Each stands in parentheses of its own, which carry its number in `meta["conjunct"]`.
"""

from __future__ import annotations

from sqlglot import exp

from graph.leaves.scope import subqueries

_CLAUSES = {"where": exp.Where, "having": exp.Having}


def clause_conjuncts(select: exp.Select, part: str) -> list[exp.Paren]:
    """The conjuncts of a block's WHERE or HAVING."""
    clause = select.args.get(part)
    return marked(clause.this) if clause is not None else []


def on_conjuncts(join: exp.Join) -> list[exp.Paren]:
    """The conjuncts of a join's ON."""
    condition = join.args.get("on")
    return marked(condition) if isinstance(condition, exp.Expr) else []


def marked(condition: exp.Expr) -> list[exp.Paren]:
    """The conjuncts of a condition that `joined_by_and` made."""
    if isinstance(condition, exp.And):
        return marked(condition.this) + marked(condition.expression)
    return [condition] if isinstance(condition, exp.Paren) and "conjunct" in condition.meta else []


def set_conjuncts(select: exp.Select, part: str, parts: list[exp.Expr]) -> None:
    """Makes a block's WHERE or HAVING of these conditions."""
    select.set(part, _CLAUSES[part](this=joined_by_and(parts)) if parts else None)


def add_conjunct(select: exp.Select, condition: exp.Expr) -> None:
    """Adds a condition to a block's WHERE."""
    where = select.args.get("where")
    new = joined_by_and([condition])
    select.set("where", exp.Where(this=exp.And(this=where.this, expression=new) if where is not None else new))


def joined_by_and(parts: list[exp.Expr]) -> exp.Expr:
    """Conditions as one, each in parentheses that are marked as a conjunct; one that is marked stays as it is."""
    wrapped = [node if "conjunct" in node.meta else exp.Paren(this=node) for node in parts]
    for node in wrapped:
        node.meta.setdefault("conjunct", -1)
        node.meta.setdefault("settled", True)
    condition: exp.Expr = wrapped[0]
    for node in wrapped[1:]:
        condition = exp.And(this=condition, expression=node)
    return condition


def conjuncts(node: exp.Expr) -> list[exp.Expr]:
    """A condition as the list of conditions that must all hold, with negations moved down to what they negate as far
    as subqueries reach."""
    if isinstance(node, exp.Paren):
        return conjuncts(node.this)
    if isinstance(node, exp.And):
        return conjuncts(node.this) + conjuncts(node.expression)
    if isinstance(node, exp.Not) and subqueries(node):
        pushed = negated(node.this)
        return [pushed] if isinstance(pushed, exp.Not) else conjuncts(pushed)
    if isinstance(node, exp.Or) and subqueries(node):
        return [exp.Or(this=_inside(node.this), expression=_inside(node.expression))]
    return [node]


def _inside(node: exp.Expr) -> exp.Expr:
    parts = conjuncts(node)
    whole: exp.Expr = exp.Paren(this=parts[0])
    for part in parts[1:]:
        whole = exp.And(this=whole, expression=exp.Paren(this=part))
    return exp.Paren(this=whole)


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
