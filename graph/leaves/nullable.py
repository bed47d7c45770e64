"""Which values of a query may be NULL."""

from __future__ import annotations

from sqlglot import exp

from graph.leaves.scope import Prepared, derived_query, find_source, is_rolled_up, outputs


def output_may_be_null(query: exp.Expr, index: int, prepared: Prepared) -> bool:
    """Whether a column of a query's result may be NULL, by its position."""
    if isinstance(query, exp.Subquery):
        return output_may_be_null(query.this, index, prepared)
    if isinstance(query, exp.SetOperation):
        return any(output_may_be_null(side, index, prepared) for side in (query.this, query.expression))
    if not isinstance(query, exp.Select) or is_rolled_up(query):
        return True
    return may_be_null(query, query.expressions[index], prepared)


def may_be_null(select: exp.Select, item: exp.Expr, prepared: Prepared) -> bool:
    """Whether an expression over a block's FROM may be NULL; a yes may be wrong, a no is not."""
    inner = item.unalias()
    while isinstance(inner, exp.Paren):
        inner = inner.this
    if isinstance(inner, exp.Literal | exp.Count):
        return False
    if not isinstance(inner, exp.Column) or isinstance(inner.this, exp.Star):
        return True
    source = find_source(select, inner, prepared)
    if source is None or source.optional:
        return True
    if source.occurrence is not None:
        return prepared.tables[source.occurrence].column(inner.name).nullable
    query = derived_query(source)
    if query is None:
        return True
    names = [name.lower() for name in outputs(query, prepared)]
    return output_may_be_null(query, names.index(inner.name.lower()), prepared)
