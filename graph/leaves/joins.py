"""Which columns of which tables a statement compares: what its joins and its INs say about how tables hang together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlglot import exp

from graph.leaves.classify import exists_query
from graph.leaves.implied import Origin, equalities, origin_of
from graph.leaves.links import in_operands, positive_ins
from graph.leaves.parse import parse
from graph.leaves.prepare import prepare
from graph.leaves.scope import Prepared
from graph.leaves.unreadable import ReadsNothing, Unreadable
from graph.names import TableName
from graph.schema import Schema
from graph.statement import Statement


@dataclass(frozen=True, slots=True, order=True)
class Join:
    """Columns of two occurrences of tables that a statement makes equal, pair by pair."""

    one: TableName
    one_columns: tuple[str, ...]
    other: TableName
    other_columns: tuple[str, ...]


def joins(statement: Statement, schema: Schema) -> tuple[Join, ...]:
    """The joins of a statement, each once; those of what cannot be followed are not known."""
    try:
        tree = parse(statement.sql, statement.session).tree
        asked = exists_query(tree)
        prepared = prepare(asked if asked is not None else tree, schema, statement.session.schema)
        return tuple(sorted(set(_joins(prepared))))
    except (ReadsNothing, Unreadable, RecursionError):
        return ()


def _joins(prepared: Prepared) -> Iterator[Join]:
    found: dict[tuple[int, int], dict[tuple[str, str], None]] = {}
    for select in prepared.blocks():
        for one, other in (*equalities(select, prepared, optional=True), *_compared(select, prepared)):
            (first, own), (second, far) = sorted((one, other))
            if first != second:
                found.setdefault((first, second), {}).setdefault((own, far))
    for (first, second), pairs in found.items():
        table, partner = prepared.tables[first], prepared.tables[second]
        columns = tuple(table.column(own).name for own, _ in pairs)
        yield Join(table.name, columns, partner.name, tuple(partner.column(far).name for _, far in pairs))


def _compared(select: exp.Select, prepared: Prepared) -> Iterator[tuple[Origin, Origin]]:
    """What `(…) IN (SELECT …)` compares, which is how DataJoint restricts one table by another."""
    for condition in positive_ins(select):
        query = condition.args["query"]
        while isinstance(query, exp.Subquery):
            query = query.this
        if not isinstance(query, exp.Select):
            continue
        for left, item in zip(in_operands(condition), query.expressions, strict=False):
            right = item.unalias()
            if isinstance(left, exp.Column) and isinstance(right, exp.Column):
                sides = _origin(select, left, prepared), _origin(query, right, prepared)
                if sides[0] is not None and sides[1] is not None:
                    yield sides[0], sides[1]


def _origin(select: exp.Select, column: exp.Column, prepared: Prepared) -> Origin | None:
    return origin_of(select, column, prepared, optional=True)
