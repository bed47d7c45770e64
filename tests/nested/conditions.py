"""Restrictions: as a document for the DataJoint client, and as what they say of a row with lineage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from tests.lineage import Relation, Row, RowId

#: Whether a row passes (None: SQL's unknown), and the rows elsewhere for which it does.
Judgement = tuple[bool | None, frozenset[RowId]]
_NOTHING: frozenset[RowId] = frozenset()

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


@dataclass(frozen=True)
class Condition:
    """One restriction. `queries`: it asks other relations. `exact`: what it takes follows from the rows that pass.

    `values`: those of a dict.
    """

    document: dict[str, Any]
    judge: Callable[[Row], Judgement]
    names: frozenset[str]
    queries: bool = False
    exact: bool = True
    values: Mapping[str, Any] = field(default_factory=dict)

    def keep(self, relation: Relation) -> Relation:
        """The rows that pass."""
        judged = ((row, *self.judge(row)) for row in relation.rows)
        return Relation(tuple(Row(row.values, row.lineage | more) for row, passes, more in judged if passes))


def literal(value: Any) -> str:
    """A value in SQL."""
    if isinstance(value, (int, float, Decimal)):
        return str(value)
    text = str(value).replace("'", "''")
    return f"'{text}'"


def equal(values: Mapping[str, Any]) -> Condition:
    """A dict; None asks for NULL."""
    document = {name: str(value) if isinstance(value, date) else value for name, value in values.items()}

    def judge(row: Row) -> Judgement:
        found = [row[n] is None if v is None else None if row[n] is None else row[n] == v for n, v in values.items()]
        return _all(found), _NOTHING

    return Condition({"dict": document}, judge, frozenset(values), values=values)


def compare(name: str, operator: str, value: Any) -> Condition:
    """A string that compares a column with a constant."""

    def judge(row: Row) -> Judgement:
        return None if row[name] is None else COMPARISONS[operator](row[name], value), _NOTHING

    return Condition({"sql": f"{name} {operator} {literal(value)}"}, judge, frozenset({name}))


def among(name: str, values: Sequence[Any]) -> Condition:
    """A string with IN and a list."""
    text = ", ".join(literal(value) for value in values)

    def judge(row: Row) -> Judgement:
        return None if row[name] is None else row[name] in values, _NOTHING

    return Condition({"sql": f"{name} IN ({text})"}, judge, frozenset({name}))


def null(name: str, *, wanted: bool) -> Condition:
    """A string that asks for NULL, or for none."""
    text = f"{name} IS {'' if wanted else 'NOT '}NULL"
    return Condition({"sql": text}, lambda row: ((row[name] is None) is wanted, _NOTHING), frozenset({name}))


def matches(spec: list[Any], rows: Relation, shared: Sequence[str], *, exact: bool) -> Condition:
    """Another expression: rows match that share its values of the common attributes."""
    found: dict[tuple[Any, ...], frozenset[RowId]] = {}
    for row in rows.rows:
        key = tuple(row[name] for name in shared)
        if None not in key:
            found[key] = found.get(key, _NOTHING) | row.lineage

    def judge(row: Row) -> Judgement:
        lineage = found.get(tuple(row[name] for name in shared))
        return (False, _NOTHING) if lineage is None else (True, lineage)

    # Without common attributes the client asks whether there is any row at all.
    return Condition({"query": spec}, judge, frozenset(shared), queries=True, exact=exact and bool(shared))


def negated(condition: Condition) -> Condition:
    """Not(condition). Of a dict with several attributes DataJoint negates the first: `NOT (a=1)AND(b=2)`."""
    first, rest = condition, list[Condition]()
    if condition.values:
        first, *rest = (equal({name: value}) for name, value in condition.values.items())

    def judge(row: Row) -> Judgement:
        passes, _ = first.judge(row)
        return _all([None if passes is None else not passes, *(each.judge(row)[0] for each in rest)]), _NOTHING

    exact = condition.exact and not condition.queries
    return Condition({"not": condition.document}, judge, condition.names, condition.queries, exact)


def either(conditions: Sequence[Condition]) -> Condition:
    """A list: one of them holds."""

    def judge(row: Row) -> Judgement:
        judged = [each.judge(row) for each in conditions]
        passes = [truth for truth, _ in judged]
        truth = True if True in passes else None if None in passes else False
        return truth, _NOTHING.union(*(more for passed, more in judged if passed))

    return _several("list", conditions, judge)


def both(conditions: Sequence[Condition]) -> Condition:
    """An AndList: all of them hold."""

    def judge(row: Row) -> Judgement:
        judged = [each.judge(row) for each in conditions]
        return _all([truth for truth, _ in judged]), _NOTHING.union(*(more for _, more in judged))

    return _several("and", conditions, judge)


def _several(kind: str, conditions: Sequence[Condition], judge: Callable[[Row], Judgement]) -> Condition:
    return Condition(
        {kind: [each.document for each in conditions]},
        judge,
        frozenset[str]().union(*(each.names for each in conditions)),
        any(each.queries for each in conditions),
        all(each.exact for each in conditions),
    )


def _all(found: Sequence[bool | None]) -> bool | None:
    return False if False in found else None if None in found else True
