"""Expressions with their headings and rows, and what each operator makes of its operands.

The document of an expression is a list, its verb first; tests/clients/datajoint_nested.py builds it. Beside it the
rows are computed in the algebra of tests/lineage.py. `exact` says that the slice must be the closure of their lineage:
where rows that are not in the result decide about it (negated queries, Top, tests on aggregates and on the optional
side of an outer join), it is False.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.lineage import Relation, Row
from tests.nested import conditions
from tests.nested.algebra import computed, grouped, outer_join, shared_join
from tests.nested.conditions import Condition


class Impossible(Exception):
    """The operator has nothing to work on here."""


@dataclass(frozen=True)
class Attribute:
    """A column; `kind`: text, int, date, single, float or blob.

    `origin`: where DataJoint 2 says that it comes from; `soft`: a test on it looks at other rows, too.
    """

    kind: str
    key: bool = False
    origin: str | None = None
    soft: bool = False


Heading = Mapping[str, Attribute]


@dataclass(frozen=True)
class Expression:
    """An expression so far. `bare`: a table, perhaps with its columns renamed, without any restriction."""

    spec: list[Any]
    heading: Heading
    rows: Relation
    exact: bool = True
    bare: bool = False

    @property
    def keys(self) -> list[str]:
        """The primary key."""
        return [name for name, attribute in self.heading.items() if attribute.key]

    def named(self, *kinds: str) -> list[str]:
        """The names of attributes of these kinds, of any but blobs without one."""
        return [n for n, each in self.heading.items() if each.kind in kinds or (not kinds and each.kind != "blob")]


@dataclass(frozen=True)
class New:
    """A new attribute: its text in DataJoint, what it is, and how to compute it from a row or a group's rows."""

    text: str
    attribute: Attribute
    compute: Callable[[Any], Any]


def _key(kind: str, origin: str) -> Attribute:
    return Attribute(kind, key=True, origin=origin)


_SUBJECT, _SESSION = _key("text", "subject.subject"), _key("int", "session.session")
#: The tables of datajoint_operators.py that have rows: class name, and heading.
TABLES: dict[str, dict[str, Attribute]] = {
    "Species": {"species": _key("text", "species.species"), "legs": Attribute("int")},
    "Subject": {
        "subject": _SUBJECT,
        "species": Attribute("text", origin="species.species"),
        "weight": Attribute("single"),
    },
    "Session": {
        "subject": _SUBJECT,
        "session": _SESSION,
        "session_date": Attribute("date"),
        "score": Attribute("float"),
    },
    "Trial": {
        "subject": _SUBJECT,
        "session": _SESSION,
        "trial": _key("int", "trial.trial"),
        "rt": Attribute("float"),
        "outcome": Attribute("text"),
        "signal": Attribute("blob"),
    },
    "Probe": {"probe": _key("text", "probe.probe"), "sites": Attribute("int")},
    "Recording": {
        "subject": _SUBJECT,
        "session": _SESSION,
        "probe": Attribute("text", origin="probe.probe"),
        "gain": Attribute("single"),
    },
    "Pair": {"subject": _SUBJECT, "first": _SESSION, "second": _SESSION},
}
#: How often a table is the innermost operand.
WEIGHTS = {"Species": 1, "Subject": 3, "Session": 6, "Trial": 5, "Probe": 1, "Recording": 4, "Pair": 2}


def restricted(operand: Expression, condition: Condition, *, minus: bool = False) -> Expression:
    """A & condition, or A - condition."""
    meant = conditions.negated(condition) if minus else condition
    soft = any(operand.heading[name].soft for name in condition.names)
    return replace(
        operand,
        spec=["minus" if minus else "and", operand.spec, condition.document],
        rows=meant.keep(operand.rows),
        exact=operand.exact and meant.exact and not soft,
        bare=False,
    )


def matching(operand: Expression, other: Expression) -> Condition:
    """Another expression as a condition."""
    shared = shared_names(operand, other)
    soft = any(other.heading[name].soft for name in shared)
    return conditions.matches(other.spec, other.rows, shared, exact=other.exact and not soft)


def projected(
    operand: Expression,
    kept: Sequence[str],
    new: Mapping[str, New],
    gone: Sequence[str] = (),
    *,
    everything: bool = False,
) -> Expression:
    """A.proj(…): the key but for what is `gone`, the secondary attributes that are kept, and new ones."""
    names = [name for name in operand.heading if (operand.heading[name].key and name not in gone) or name in kept]
    heading = {name: operand.heading[name] for name in names} | {name: each.attribute for name, each in new.items()}
    texts = {name: each.text for name, each in new.items()}
    spec = ["proj", operand.spec, ["..."] if everything else list(kept), texts]
    rows = computed(operand.rows, {name: each.compute for name, each in new.items()}, names)
    return replace(operand, spec=spec, heading=heading, rows=rows)


def joined(left: Expression, right: Expression) -> Expression:
    """A * B."""
    shared = shared_names(left, right)
    exact = left.exact and right.exact and not _soft(left, right)
    rows = shared_join(left.rows, right.rows, shared)
    return Expression(["join", left.spec, right.spec], _merged(left.heading, right.heading), rows, exact)


def left_joined(left: Expression, right: Expression, line: str) -> Expression:
    """A.join(B, left=True). DataJoint 2 refuses what could have several partners; 0.14 makes one key of both."""
    if line != "0.14" and not set(right.keys) <= set(left.heading):
        raise Impossible
    optional = {name: replace(each, soft=True, key=each.key and line == "0.14") for name, each in right.heading.items()}
    rows = outer_join(left.rows, right.rows, shared_names(left, right), list(right.heading))
    # DataJoint tests what restricts the right operand after the join.
    exact = left.exact and right.exact and right.bare and not _soft(left, right)
    return Expression(["left", left.spec, right.spec], {**optional, **left.heading}, rows, exact)


def aggregated(left: Expression, group: Expression, new: Mapping[str, New], *, outer: bool) -> Expression:
    """A.aggr(B, …), with or without the rows that have nothing to aggregate."""
    if not left.keys:
        raise Impossible
    shared = shared_names(left, group)
    rows = shared_join(left.rows, group.rows, shared)
    if outer:
        rows = outer_join(left.rows, group.rows, shared, list(group.heading))
    heading = {name: left.heading[name] for name in left.keys} | {name: each.attribute for name, each in new.items()}
    spec = ["outer" if outer else "aggr", left.spec, group.spec, {name: each.text for name, each in new.items()}]
    exact = left.exact and group.exact and not _soft(left, group) and (group.bare or not outer)
    return Expression(spec, heading, grouped(rows, left.keys, _computes(new)), exact)


def universal(operand: Expression, names: Sequence[str]) -> Expression:
    """U(…) & A."""
    heading = {name: replace(operand.heading[name], key=True) for name in names}
    return Expression(["u", operand.spec, list(names)], heading, grouped(operand.rows, names, {}), operand.exact)


def universal_aggregated(operand: Expression, names: Sequence[str], new: Mapping[str, New]) -> Expression:
    """U(…).aggr(A, …)."""
    heading = {name: replace(operand.heading[name], key=True) for name in names}
    heading |= {name: each.attribute for name, each in new.items()}
    spec = ["u_aggr", operand.spec, list(names), {name: each.text for name, each in new.items()}]
    # DataJoint takes the FROM of an aggregation or a union below, and forgets the rest.
    exact = operand.exact and not _is_special(operand.spec)
    return Expression(spec, heading, grouped(operand.rows, names, _computes(new), empty=True), exact)


def united(left: Expression, right: Expression) -> Expression:
    """A + B. With secondary attributes DataJoint makes an outer join of them, and an anti-join beside it."""
    heading = {**right.heading, **left.heading}
    spec = ["union", left.spec, right.spec]
    if any(not each.key for each in (*left.heading.values(), *right.heading.values())):
        return Expression(spec, heading, outer_join(left.rows, right.rows, left.keys, list(heading)), exact=False)
    return Expression(spec, heading, grouped(left.rows | right.rows, left.keys, {}), left.exact and right.exact)


def _is_special(spec: Sequence[Any]) -> bool:
    while spec[0] in ("and", "minus", "proj", "top", "u"):
        spec = spec[1]
    return spec[0] in ("aggr", "outer", "u_aggr", "union")


def _computes(new: Mapping[str, New]) -> dict[str, Callable[[list[Row]], Any]]:
    return {name: each.compute for name, each in new.items()}


def _soft(left: Expression, right: Expression) -> bool:
    """Whether they meet in an attribute a test of which looks at other rows."""
    return any(each.heading[name].soft for each in (left, right) for name in shared_names(left, right))


def shared_names(one: Expression, other: Expression) -> list[str]:
    """The common attributes."""
    return [name for name in one.heading if name in other.heading]


def _merged(left: Heading, right: Heading) -> dict[str, Attribute]:
    return {
        name: replace(
            left.get(name, right.get(name, Attribute(""))),
            key=any(name in each and each[name].key for each in (left, right)),
        )
        for name in (*left, *(name for name in right if name not in left))
    }
