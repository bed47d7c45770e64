"""Makes expressions: an operator on the result of an operator on the result of an operator, each with its lineage.

The document of an expression is a list, its verb first (tests/clients/datajoint_nested.py builds it). Beside it the rows
are computed in the algebra of tests/lineage.py. `exact` says that the slice must be the closure of their lineage: where
rows that are not in the result decide about it (negated queries, Top, tests on aggregates and on the optional side
of an outer join), it is False.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from random import Random
from typing import Any

from tests.lineage import Relation, Row
from tests.nested import conditions
from tests.nested.algebra import computed, grouped, outer_join, shared_join
from tests.nested.conditions import Condition

#: More rows than this tell nothing new, and take time.
MOST_ROWS = 400


@dataclass(frozen=True)
class Attribute:
    """A column. `origin`: where DataJoint 2 says that it comes from; `soft`: a test on it looks at other rows, too."""

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


def _key(kind: str, origin: str) -> Attribute:
    return Attribute(kind, key=True, origin=origin)


_SUBJECT, _SESSION = _key("text", "subject.subject"), _key("int", "session.session")
#: The tables of datajoint_operators.py that have rows: class name, and heading.
TABLES: dict[str, dict[str, Attribute]] = {
    "Species": {"species": _key("text", "species.species"), "legs": Attribute("int")},
    "Subject": {
        "subject": _SUBJECT,
        "species": Attribute("text", origin="species.species"),
        "weight": Attribute("float"),
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
        "gain": Attribute("float"),
    },
    "Pair": {"subject": _SUBJECT, "first": _SESSION, "second": _SESSION},
}
#: How often a table is the innermost operand.
_WEIGHTS = {"Species": 1, "Subject": 3, "Session": 6, "Trial": 5, "Probe": 1, "Recording": 4, "Pair": 2}


class Impossible(Exception):
    """The operator has nothing to work on here."""


class Author:
    """Writes expressions over the rows of one schema, for one DataJoint line."""

    def __init__(self, tables: Mapping[str, Relation], line: str, seed: str) -> None:
        self._line = line
        self._seed = seed
        self._chance = Random(seed)
        self._fresh = 0
        self._tables = {
            name: Expression(["table", name], heading, tables[name.lower()], bare=True)
            for name, heading in TABLES.items()
        }

    def expression(self, kinds: Sequence[str]) -> Expression:
        """Operators of these kinds, the first one innermost; raises Impossible when no attempt succeeds."""
        self._chance = Random(f"{self._seed}:{kinds}")
        for _ in range(40):
            self._fresh = 0
            made = self._tables[self._chance.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]]
            try:
                for kind in kinds:
                    made = OPERATORS[kind](self, made)
                    if len(made.rows.rows) > MOST_ROWS:
                        raise Impossible
            except Impossible:
                continue
            return made
        raise Impossible

    # The operators.

    def by_dict(self, operand: Expression) -> Expression:
        """A & {…}."""
        return self._restricted(operand, self._equal(operand))

    def by_string(self, operand: Expression) -> Expression:
        """A & "…"."""
        return self._restricted(operand, self._compared(operand))

    def by_list(self, operand: Expression) -> Expression:
        """A & […, …]."""
        return self._restricted(operand, self._several(operand, queries=False))

    def by_list_of_queries(self, operand: Expression) -> Expression:
        """A & [B, …]."""
        return self._restricted(operand, self._several(operand, queries=True))

    def by_and_list(self, operand: Expression) -> Expression:
        """A & AndList((…, …))."""
        parts = [self._simple(operand), self._simple(operand)]
        return self._restricted(operand, conditions.both(parts))

    def by_query(self, operand: Expression) -> Expression:
        """A & B."""
        return self._restricted(operand, self._query(operand, self._other(operand)))

    def by_query_of(self, operand: Expression) -> Expression:
        """B & A."""
        other = self._other(operand)
        return self._restricted(other, self._query(other, operand))

    def not_dict(self, operand: Expression) -> Expression:
        """A - {…}."""
        return self._restricted(operand, self._equal(operand), minus=True)

    def not_string(self, operand: Expression) -> Expression:
        """A - "…"."""
        return self._restricted(operand, self._compared(operand), minus=True)

    def not_list(self, operand: Expression) -> Expression:
        """A - […, …]."""
        queries = self._chance.random() < 0.3
        return self._restricted(operand, self._several(operand, queries=queries), minus=True)

    def not_query(self, operand: Expression) -> Expression:
        """A - B."""
        return self._restricted(operand, self._query(operand, self._other(operand)), minus=True)

    def not_query_of(self, operand: Expression) -> Expression:
        """B - A."""
        other = self._other(operand)
        return self._restricted(other, self._query(other, operand), minus=True)

    def not_in_list(self, operand: Expression) -> Expression:
        """A & [Not(B), …]."""
        query = conditions.negated(self._query(operand, self._other(operand)))
        return self._restricted(operand, conditions.either([query, self._simple(operand)]))

    def top(self, operand: Expression) -> Expression:
        """A & Top(…), in a total order."""
        limit, offset = self._chance.choice((1, 2, 3, 5, 8)), self._chance.choice((0, 0, 0, 1, 2))
        order = [self._chance.choice(("KEY", "KEY DESC"))]
        names = self._sortable(operand)
        if names and self._chance.random() < 0.6:
            order.insert(0, f"{self._chance.choice(names)} {self._chance.choice(('ASC', 'DESC'))}")
        if not operand.keys:
            raise Impossible
        some = Relation(operand.rows.rows[:limit])
        return replace(operand, spec=["top", operand.spec, limit, order, offset], rows=some, exact=False, bare=False)

    def renamed(self, operand: Expression) -> Expression:
        """A.proj(new="old"), with or without the other attributes."""
        old = self._some(operand.named())
        new = {"session": self._chance.choice(("first", "second"))}.get(old) or self._name()
        if new in operand.heading:
            raise Impossible
        copied = not operand.heading[old].key and self._chance.random() < 0.3
        text = f"({old})" if copied else old
        gone = set[str]() if copied else {old}
        return self._projected(operand, {new: (text, operand.heading[old], lambda row: row[old])}, gone)

    def computed(self, operand: Expression) -> Expression:
        """A.proj(new="…")."""
        name = self._name()
        text, kind, uses, make = self._formula(operand)
        soft = any(operand.heading[used].soft for used in uses)
        return self._projected(operand, {name: (text, Attribute(kind, soft=soft), make)}, set())

    def kept(self, operand: Expression) -> Expression:
        """A.proj(), or with some attributes."""
        return self._projected(operand, {}, set())

    def join(self, operand: Expression) -> Expression:
        """A * B."""
        return self._joined(operand, self._other(operand))

    def join_of(self, operand: Expression) -> Expression:
        """B * A."""
        return self._joined(self._other(operand), operand)

    def left(self, operand: Expression) -> Expression:
        """A.join(B, left=True)."""
        return self._left_joined(operand, self._other(operand))

    def left_of(self, operand: Expression) -> Expression:
        """B.join(A, left=True)."""
        return self._left_joined(self._other(operand), operand)

    def aggr(self, operand: Expression) -> Expression:
        """A.aggr(B, …) without the rows that have nothing to aggregate."""
        return self._aggregated(operand, self._group(operand), "aggr")

    def aggr_of(self, operand: Expression) -> Expression:
        """B.aggr(A, …) without them."""
        return self._aggregated(self._grouping(operand), operand, "aggr")

    def outer(self, operand: Expression) -> Expression:
        """A.aggr(B, …) with them."""
        return self._aggregated(operand, self._group(operand), "outer")

    def outer_of(self, operand: Expression) -> Expression:
        """B.aggr(A, …) with them."""
        return self._aggregated(self._grouping(operand), operand, "outer")

    def union(self, operand: Expression) -> Expression:
        """A + B, where B is A's table again or another with its key."""
        return self._united(operand, self._same_key(operand))

    def union_of(self, operand: Expression) -> Expression:
        """B + A."""
        return self._united(self._same_key(operand), operand)

    def universal(self, operand: Expression) -> Expression:
        """U(…) & A."""
        names = self._subset([name for name in operand.named() if operand.heading[name].kind != "float"])
        heading = {name: replace(operand.heading[name], key=True) for name in names}
        return Expression(["u", operand.spec, names], heading, grouped(operand.rows, names, {}), operand.exact)

    def universal_aggr(self, operand: Expression) -> Expression:
        """U(…).aggr(A, …)."""
        names = self._subset([name for name in operand.named() if operand.heading[name].kind != "float"])
        return self._universal_aggr(operand, names)

    def total(self, operand: Expression) -> Expression:
        """U().aggr(A, …)."""
        return self._universal_aggr(operand, [])

    # What they are made of.

    def _restricted(self, operand: Expression, condition: Condition, *, minus: bool = False) -> Expression:
        meant = conditions.negated(condition) if minus else condition
        soft = any(operand.heading[name].soft for name in condition.names)
        return replace(
            operand,
            spec=["minus" if minus else "and", operand.spec, condition.document],
            rows=meant.keep(operand.rows),
            exact=operand.exact and meant.exact and not soft,
            bare=False,
        )

    def _equal(self, operand: Expression) -> Condition:
        names = [name for name in operand.named() if operand.heading[name].kind != "float"]
        row = self._row(operand)
        chosen = self._chance.sample(names, min(len(names), self._chance.choice((1, 1, 2))))
        if not chosen:
            raise Impossible
        return conditions.equal({name: row[name] for name in chosen})

    def _compared(self, operand: Expression) -> Condition:
        name = self._some(operand.named())
        kind, value = operand.heading[name].kind, self._row(operand)[name]
        if value is None or self._chance.random() < 0.1:
            return conditions.null(name, wanted=self._chance.random() < 0.5)
        if kind == "float":
            # Between the values: what equals a FLOAT is another question.
            return conditions.compare(name, self._chance.choice(("<", ">")), round(float(value) + 0.05, 2))
        if kind == "text" and self._chance.random() < 0.5:
            others = {row[name] for row in operand.rows.rows} - {None}
            some = self._chance.sample(sorted(others), min(len(others), 2))
            return conditions.among(name, some)
        operators = ("=", "<>") if kind == "text" else ("=", "<>", "<", "<=", ">", ">=")
        return conditions.compare(name, self._chance.choice(operators), value)

    def _simple(self, operand: Expression) -> Condition:
        return self._chance.choice((self._equal, self._compared))(operand)

    def _several(self, operand: Expression, *, queries: bool) -> Condition:
        parts = [self._simple(operand) for _ in range(self._chance.choice((1, 2)))]
        if queries:
            parts.insert(self._chance.randrange(2), self._query(operand, self._other(operand)))
        else:
            parts.append(conditions.both([self._simple(operand), self._simple(operand)]))
        return conditions.either(parts)

    def _query(self, operand: Expression, other: Expression) -> Condition:
        shared = _shared(operand, other)
        soft = any(other.heading[name].soft for name in shared)
        return conditions.matches(other.spec, other.rows, shared, exact=other.exact and not soft)

    def _projected(
        self, operand: Expression, new: Mapping[str, tuple[str, Attribute, Callable[[Row], Any]]], gone: set[str]
    ) -> Expression:
        secondary = [name for name in operand.heading if not operand.heading[name].key and name not in gone]
        keep = self._chance.choice(("all", "some", "none"))
        kept = secondary if keep == "all" else self._chance.sample(secondary, len(secondary) // 2)
        kept = [] if keep == "none" else kept
        names = [name for name in operand.heading if (operand.heading[name].key and name not in gone) or name in kept]
        heading = {name: operand.heading[name] for name in names} | {name: each[1] for name, each in new.items()}
        spec = ["proj", operand.spec, ["..."] if keep == "all" else kept, {name: each[0] for name, each in new.items()}]
        rows = computed(operand.rows, {name: each[2] for name, each in new.items()}, names)
        return replace(operand, spec=spec, heading=heading, rows=rows)

    def _formula(self, operand: Expression) -> tuple[str, str, list[str], Callable[[Row], Any]]:
        texts, numbers = operand.named("text"), operand.named("int")
        floats = operand.named("float")
        made: list[tuple[str, str, list[str], Callable[[Row], Any]]] = []
        if texts and numbers:
            one, two = self._some(texts), self._some(numbers)
            made.append((f"concat({one}, '-', {two})", "text", [one, two], lambda row: _concat(row[one], row[two])))
        if numbers:
            number = self._some(numbers)
            made.append(
                (f"{number} + 1", "int", [number], lambda row: None if row[number] is None else row[number] + 1)
            )
        if floats:
            real = self._some(floats)
            made.append((f"{real} * 2", "float", [real], lambda row: None if row[real] is None else row[real] * 2))
        if texts:
            text = self._some(texts)
            made.append(
                (f"ifnull({text}, 'none')", "text", [text], lambda row: "none" if row[text] is None else row[text])
            )
        return self._chance.choice(made or self._impossible())

    def _joined(self, left: Expression, right: Expression) -> Expression:
        shared = _shared(left, right)
        soft = any(each.heading[name].soft for each in (left, right) for name in shared)
        return Expression(
            ["join", left.spec, right.spec],
            _both(left.heading, right.heading),
            shared_join(left.rows, right.rows, shared),
            left.exact and right.exact and not soft,
        )

    def _left_joined(self, left: Expression, right: Expression) -> Expression:
        shared = _shared(left, right)
        soft = any(each.heading[name].soft for each in (left, right) for name in shared)
        optional = {name: replace(each, soft=True, key=False) for name, each in right.heading.items()}
        if self._line == "0.14":
            optional = {name: replace(each, key=right.heading[name].key) for name, each in optional.items()}
        rows = outer_join(left.rows, right.rows, shared, list(right.heading))
        # DataJoint tests what restricts the right operand after the join.
        exact = left.exact and right.exact and right.bare and not soft
        return Expression(["left", left.spec, right.spec], {**optional, **left.heading}, rows, exact)

    def _aggregated(self, left: Expression, group: Expression, verb: str) -> Expression:
        shared = _shared(left, group)
        soft = any(each.heading[name].soft for each in (left, group) for name in shared)
        named = self._aggregates(group)
        rows = shared_join(left.rows, group.rows, shared)
        if verb == "outer":
            rows = outer_join(left.rows, group.rows, shared, list(group.heading))
        keys = left.keys
        if not keys:
            raise Impossible
        heading = {name: left.heading[name] for name in keys} | {name: each[1] for name, each in named.items()}
        spec = [verb, left.spec, group.spec, {name: each[0] for name, each in named.items()}]
        exact = left.exact and group.exact and not soft and (verb == "aggr" or group.bare)
        return Expression(spec, heading, grouped(rows, keys, {name: each[2] for name, each in named.items()}), exact)

    def _universal_aggr(self, operand: Expression, names: list[str]) -> Expression:
        named = self._aggregates(operand)
        heading = {name: replace(operand.heading[name], key=True) for name in names}
        heading |= {name: each[1] for name, each in named.items()}
        spec = ["u_aggr", operand.spec, names, {name: each[0] for name, each in named.items()}]
        rows = grouped(operand.rows, names, {name: each[2] for name, each in named.items()}, empty=True)
        return Expression(spec, heading, rows, operand.exact)

    def _aggregates(self, group: Expression) -> dict[str, tuple[str, Attribute, Callable[[Sequence[Row]], Any]]]:
        """New attributes over a group: their text, what they are, how to compute them."""
        made: dict[str, tuple[str, Attribute, Callable[[Sequence[Row]], Any]]] = {}
        for _ in range(self._chance.choice((1, 1, 2))):
            made[self._name()] = self._aggregate(group)
        return made

    def _aggregate(self, group: Expression) -> tuple[str, Attribute, Callable[[Sequence[Row]], Any]]:
        numbers, orders = group.named("int"), group.named("int", "float", "date")
        name = self._some(group.named())
        made: list[tuple[str, Attribute, Callable[[Sequence[Row]], Any]]] = [
            ("count(*)", Attribute("int", soft=True), len),
            (f"count({name})", Attribute("int", soft=True), lambda rows: len(_values(rows, name))),
        ]
        if group.heading[name].kind != "float":
            text = f"count(distinct {name})"
            made.append((text, Attribute("int", soft=True), lambda rows: len(set(_values(rows, name)))))
        if orders:
            order = self._some(orders)
            attribute = Attribute(group.heading[order].kind, soft=True)
            made.append((f"max({order})", attribute, lambda rows: max(_values(rows, order), default=None)))
            made.append((f"min({order})", attribute, lambda rows: min(_values(rows, order), default=None)))
        if numbers:
            number = self._some(numbers)
            made.append(
                (
                    f"sum({number})",
                    Attribute("int", soft=True),
                    lambda rows: sum(found) if (found := _values(rows, number)) else None,
                )
            )
        return self._chance.choice(made)

    def _united(self, left: Expression, right: Expression) -> Expression:
        secondary = [name for each in (left, right) for name in each.heading if not each.heading[name].key]
        keys = left.keys
        heading = {**right.heading, **left.heading}
        spec = ["union", left.spec, right.spec]
        if secondary:
            # An outer join, and an anti-join beside it.
            rows = outer_join(left.rows, right.rows, keys, list(heading))
            return Expression(spec, heading, rows, exact=False)
        rows = grouped(left.rows | right.rows, keys, {})
        return Expression(spec, heading, rows, left.exact and right.exact)

    # The other operand.

    def _other(self, operand: Expression) -> Expression:
        """Something that goes with it, with common attributes if there is such a thing."""
        found = [each for each in self._tables.values() if self._go_together(operand, each)]
        close = [each for each in found if _shared(operand, each)]
        if not found:
            raise Impossible
        return self._dressed(self._chance.choice(close if close and self._chance.random() < 0.95 else found), operand)

    def _grouping(self, group: Expression) -> Expression:
        """Something whose key the group has."""
        found = [
            each
            for each in self._tables.values()
            if self._go_together(group, each) and set(each.keys) <= set(group.heading)
        ]
        return self._dressed(self._chance.choice(found or self._impossible()), group)

    def _group(self, operand: Expression) -> Expression:
        """Something that has the key of it."""
        found = [
            each
            for each in self._tables.values()
            if self._go_together(operand, each) and set(operand.keys) <= set(each.heading)
        ]
        return self._dressed(self._chance.choice(found or self._impossible()), operand)

    def _same_key(self, operand: Expression) -> Expression:
        """Something with the same key, and no secondary attribute in common."""
        found = []
        for each in self._tables.values():
            if set(each.keys) == set(operand.keys):
                found.append(each)
            elif set(each.keys) == {"subject", "session"} and "first" in operand.keys:
                spec = ["proj", each.spec, [], {"first": "session"}]
                heading = {"subject": _SUBJECT, "first": _SESSION}
                rows = computed(each.rows, {"first": lambda row: row["session"]}, ["subject"])
                if set(heading) == set(operand.keys):
                    found.append(Expression(spec, heading, rows, bare=True))
            elif set(operand.keys) < set(each.heading) and operand.keys:
                names = operand.keys
                heading = {name: replace(each.heading[name], key=True) for name in names}
                found.append(Expression(["u", each.spec, names], heading, grouped(each.rows, names, {})))
        other = self._dressed(self._chance.choice(found or self._impossible()), None)
        secondary = {name for name in other.heading if not other.heading[name].key}
        if secondary & set(operand.heading) or self._chance.random() < 0.6:
            rows = computed(other.rows, {}, other.keys)
            heading = {name: other.heading[name] for name in other.keys}
            return replace(other, spec=["proj", other.spec, [], {}], heading=heading, rows=rows)
        return other

    def _dressed(self, other: Expression, beside: Expression | None) -> Expression:
        """As it is, restricted, or projected."""
        made = other
        choice = self._chance.random()
        if choice < 0.4:
            made = self._restricted(made, self._simple(made))
        elif choice < 0.6:
            made = self._projected(made, {}, set())
        if beside is not None and not self._go_together(beside, made):
            raise Impossible
        return made

    def _go_together(self, one: Expression, other: Expression) -> bool:
        for name in _shared(one, other):
            mine, yours = one.heading[name], other.heading[name]
            if self._line == "0.14" and not (mine.key or yours.key):
                return False
            if self._line != "0.14" and (mine.origin is None or mine.origin != yours.origin):
                return False
        return True

    # Chance.

    def _row(self, operand: Expression) -> Row:
        return self._chance.choice(operand.rows.rows or self._impossible())

    def _some(self, names: Sequence[str]) -> str:
        return self._chance.choice(names or self._impossible())

    def _subset(self, names: Sequence[str]) -> list[str]:
        if not names:
            raise Impossible
        return self._chance.sample(names, self._chance.randint(1, min(2, len(names))))

    def _sortable(self, operand: Expression) -> list[str]:
        return [name for name in operand.named() if not name.startswith(("asc", "desc"))]

    def _name(self) -> str:
        self._fresh += 1
        return f"x{self._fresh}"

    @staticmethod
    def _impossible() -> Any:
        raise Impossible


def _shared(one: Expression, other: Expression) -> list[str]:
    return [name for name in one.heading if name in other.heading]


def _both(left: Heading, right: Heading) -> dict[str, Attribute]:
    return {
        name: replace(
            left.get(name, right.get(name, Attribute(""))),
            key=any(name in each and each[name].key for each in (left, right)),
        )
        for name in (*left, *(name for name in right if name not in left))
    }


def _values(rows: Sequence[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def _concat(one: Any, two: Any) -> str | None:
    return None if one is None or two is None else f"{one}-{two}"


OPERATORS: dict[str, Callable[[Author, Expression], Expression]] = {
    name: operator
    for name, operator in vars(Author).items()
    if callable(operator) and not name.startswith("_") and name != "expression"
}


def triples(chance: Random) -> list[tuple[str, ...]]:
    """All ordered triples of operators, in a random order."""
    found = list(product(OPERATORS, repeat=3))
    chance.shuffle(found)
    return found
