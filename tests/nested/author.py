"""Makes expressions: an operator on the result of an operator on the result of an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise, product, zip_longest
from random import Random

from tests.lineage import Relation
from tests.nested import conditions
from tests.nested.conditions import Condition
from tests.nested.expressions import (
    TABLES,
    WEIGHTS,
    Expression,
    Impossible,
    New,
    aggregated,
    joined,
    left_joined,
    matching,
    projected,
    restricted,
    shared_names,
    united,
    universal,
    universal_aggregated,
)
from tests.nested.pieces import Pieces, impossible, not_floats

#: More rows than this tell nothing new, and take time.
MOST_ROWS = 400
ATTEMPTS = 40


class Author(Pieces):
    """Writes expressions over the rows of one schema, for one DataJoint line."""

    def __init__(self, tables: Mapping[str, Relation], line: str, seed: str) -> None:
        super().__init__(seed)
        self._line = line
        self._seed = seed
        self._tables = {
            name: Expression(["table", name], heading, tables[name.lower()], bare=True)
            for name, heading in TABLES.items()
        }

    def expression(self, kinds: Sequence[str]) -> Expression:
        """Operators of these kinds, the first one innermost; raises Impossible when no attempt succeeds."""
        self.begin(f"{self._seed}:{kinds}")
        for _ in range(ATTEMPTS):
            self.fresh = 0
            made = self._tables[self.chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]]
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
        return restricted(operand, self.equal(operand))

    def by_string(self, operand: Expression) -> Expression:
        """A & "…"."""
        return restricted(operand, self.compared(operand))

    def by_list(self, operand: Expression) -> Expression:
        """A & […, …]."""
        return restricted(operand, self._several(operand, queries=False))

    def by_list_of_queries(self, operand: Expression) -> Expression:
        """A & [B, …]."""
        return restricted(operand, self._several(operand, queries=True))

    def by_and_list(self, operand: Expression) -> Expression:
        """A & AndList((…, …))."""
        parts = [self.simple(operand), self.simple(operand)]
        return restricted(operand, conditions.both(parts))

    def by_query(self, operand: Expression) -> Expression:
        """A & B."""
        return restricted(operand, matching(operand, self._other(operand)))

    def by_query_of(self, operand: Expression) -> Expression:
        """B & A."""
        other = self._other(operand)
        return restricted(other, matching(other, operand))

    def not_dict(self, operand: Expression) -> Expression:
        """A - {…}."""
        return restricted(operand, self.equal(operand), minus=True)

    def not_string(self, operand: Expression) -> Expression:
        """A - "…"."""
        return restricted(operand, self.compared(operand), minus=True)

    def not_list(self, operand: Expression) -> Expression:
        """A - […, …]."""
        queries = self.chance.random() < 0.3
        return restricted(operand, self._several(operand, queries=queries), minus=True)

    def not_query(self, operand: Expression) -> Expression:
        """A - B."""
        return restricted(operand, matching(operand, self._other(operand)), minus=True)

    def not_query_of(self, operand: Expression) -> Expression:
        """B - A."""
        other = self._other(operand)
        return restricted(other, matching(other, operand), minus=True)

    def not_in_list(self, operand: Expression) -> Expression:
        """A & [Not(B), …]."""
        query = conditions.negated(matching(operand, self._other(operand)))
        return restricted(operand, conditions.either([query, self.simple(operand)]))

    def top(self, operand: Expression) -> Expression:
        """A & Top(…), in a total order."""
        limit, offset = self.chance.choice((1, 2, 3, 5, 8)), self.chance.choice((0, 0, 0, 1, 2))
        order = [self.chance.choice(("KEY", "KEY DESC"))]
        if operand.named() and self.chance.random() < 0.6:
            order.insert(0, f"{self.some(operand.named())} {self.chance.choice(('ASC', 'DESC'))}")
        if not operand.keys:
            raise Impossible
        spec = ["top", operand.spec, limit, order, offset]
        return replace(operand, spec=spec, rows=Relation(operand.rows.rows[:limit]), exact=False, bare=False)

    def renamed(self, operand: Expression) -> Expression:
        """A.proj(new="old") or A.proj(new="(old)"), with or without the other attributes."""
        old = self.some(operand.named())
        name = {"session": self.chance.choice(("first", "second"))}.get(old) or self.name()
        if name in operand.heading:
            raise Impossible
        copied = not operand.heading[old].key and self.chance.random() < 0.3
        new = New(f"({old})" if copied else old, operand.heading[old], lambda row: row[old])
        return self._projected(operand, {name: new}, [] if copied else [old])

    def computed(self, operand: Expression) -> Expression:
        """A.proj(new="…")."""
        name = self.name()
        return self._projected(operand, {name: self.formula(operand)})

    def kept(self, operand: Expression) -> Expression:
        """A.proj(), or with some attributes."""
        return self._projected(operand, {})

    def join(self, operand: Expression) -> Expression:
        """A * B."""
        return joined(operand, self._other(operand))

    def join_of(self, operand: Expression) -> Expression:
        """B * A."""
        return joined(self._other(operand), operand)

    def left(self, operand: Expression) -> Expression:
        """A.join(B, left=True)."""
        return left_joined(operand, self._other(operand), self._line)

    def left_of(self, operand: Expression) -> Expression:
        """B.join(A, left=True)."""
        return left_joined(self._other(operand), operand, self._line)

    def aggr(self, operand: Expression) -> Expression:
        """A.aggr(B, …) without the rows that have nothing to aggregate."""
        return self._aggregated(operand, self._group(operand))

    def aggr_of(self, operand: Expression) -> Expression:
        """B.aggr(A, …) without them."""
        return self._aggregated(self._grouping(operand), operand)

    def outer(self, operand: Expression) -> Expression:
        """A.aggr(B, …) with them."""
        return self._aggregated(operand, self._group(operand), outer=True)

    def outer_of(self, operand: Expression) -> Expression:
        """B.aggr(A, …) with them."""
        return self._aggregated(self._grouping(operand), operand, outer=True)

    def union(self, operand: Expression) -> Expression:
        """A + B, where B is A's table again or another with its key."""
        return united(operand, self._same_key(operand))

    def union_of(self, operand: Expression) -> Expression:
        """B + A."""
        return united(self._same_key(operand), operand)

    def universal(self, operand: Expression) -> Expression:
        """U(…) & A."""
        return universal(operand, self.subset(not_floats(operand)))

    def universal_aggr(self, operand: Expression) -> Expression:
        """U(…).aggr(A, …)."""
        names = self.subset(not_floats(operand))
        return universal_aggregated(operand, names, self.aggregates(operand))

    def total(self, operand: Expression) -> Expression:
        """U().aggr(A, …)."""
        return universal_aggregated(operand, [], self.aggregates(operand))

    # What they are made of.

    def _several(self, operand: Expression, *, queries: bool) -> Condition:
        parts = [self.simple(operand) for _ in range(self.chance.choice((1, 2)))]
        if queries:
            parts.insert(self.chance.randrange(2), matching(operand, self._other(operand)))
        else:
            parts.append(conditions.both([self.simple(operand), self.simple(operand)]))
        return conditions.either(parts)

    def _projected(self, operand: Expression, new: Mapping[str, New], gone: Sequence[str] = ()) -> Expression:
        secondary = [name for name in operand.heading if not operand.heading[name].key and name not in gone]
        keep = self.chance.choice(("all", "some", "none"))
        kept = secondary if keep == "all" else self.chance.sample(secondary, len(secondary) // 2)
        return projected(operand, [] if keep == "none" else kept, new, gone, everything=keep == "all")

    def _aggregated(self, left: Expression, group: Expression, *, outer: bool = False) -> Expression:
        return aggregated(left, group, self.aggregates(group), outer=outer)

    # The other operand.

    def _other(self, operand: Expression) -> Expression:
        """Something that goes with it, with common attributes if there is such a thing."""
        found = [each for each in self._tables.values() if self._go_together(operand, each)]
        close = [each for each in found if shared_names(operand, each)]
        if not found:
            raise Impossible
        return self._dressed(self.chance.choice(close if close and self.chance.random() < 0.95 else found), operand)

    def _grouping(self, group: Expression) -> Expression:
        """Something whose key the group has."""
        found = [
            each
            for each in self._tables.values()
            if self._go_together(group, each) and set(each.keys) <= set(group.heading)
        ]
        return self._dressed(self.chance.choice(found or impossible()), group)

    def _group(self, operand: Expression) -> Expression:
        """Something that has the key of it."""
        found = [
            each
            for each in self._tables.values()
            if self._go_together(operand, each) and set(operand.keys) <= set(each.heading)
        ]
        return self._dressed(self.chance.choice(found or impossible()), operand)

    def _same_key(self, operand: Expression) -> Expression:
        """Something with the same key, and no secondary attribute in common."""
        found = []
        for each in self._tables.values():
            if set(each.keys) == set(operand.keys):
                found.append(each)
            elif set(each.keys) == {"subject", "session"} and "first" in operand.keys:
                renamed = New("session", each.heading["session"], lambda row: row["session"])
                first = projected(each, [], {"first": renamed}, ["session"])
                if set(first.heading) == set(operand.keys):
                    found.append(first)
            elif set(operand.keys) < set(each.heading) and operand.keys:
                found.append(universal(each, operand.keys))
        other = self._dressed(self.chance.choice(found or impossible()), None)
        secondary = {name for name in other.heading if not other.heading[name].key}
        if secondary & set(operand.heading) or self.chance.random() < 0.6:
            return projected(other, [], {})
        return other

    def _dressed(self, other: Expression, beside: Expression | None) -> Expression:
        """As it is, restricted, or projected."""
        made = other
        choice = self.chance.random()
        if choice < 0.4:
            made = restricted(made, self.simple(made))
        elif choice < 0.6:
            made = self._projected(made, {}, set())
        if beside is not None and not self._go_together(beside, made):
            raise Impossible
        return made

    def _go_together(self, one: Expression, other: Expression) -> bool:
        for name in shared_names(one, other):
            mine, yours = one.heading[name], other.heading[name]
            if self._line == "0.14" and not (mine.key or yours.key):
                return False
            if self._line != "0.14" and (mine.origin is None or mine.origin != yours.origin):
                return False
        return True


OPERATORS: dict[str, Callable[[Author, Expression], Expression]] = {
    name: operator
    for name, operator in vars(Author).items()
    if callable(operator) and not name.startswith("_") and name != "expression"
}


#: What may make the answer depend on rows that are not in it; without them most expressions are exact.
NON_MONOTONE = frozenset({"top", "not_query", "not_query_of", "not_in_list", "not_list"})


def triples(chance: Random) -> Iterator[tuple[str, ...]]:
    """Ordered triples of operators, in a random order; every second one of monotone operators alone.

    Those come first in which an operator stands on the result of one that it did not stand on before.
    """
    every = _covering(list(product(OPERATORS, repeat=3)), chance)
    monotone = _covering(list(product([kind for kind in OPERATORS if kind not in NON_MONOTONE], repeat=3)), chance)
    seen: set[tuple[str, ...]] = set()
    for kinds in (each for both in zip_longest(every, monotone) for each in both if each is not None):
        if kinds not in seen:
            seen.add(kinds)
            yield kinds


def _covering(found: list[tuple[str, ...]], chance: Random) -> list[tuple[str, ...]]:
    """In a random order, with those first that bring two new pairs, then those that bring one."""
    chance.shuffle(found)
    seen: set[tuple[str, str]] = set()
    first: list[tuple[str, ...]] = []
    for wanted in (2, 1, 0):
        rest = []
        for kinds in found:
            pairs = set(pairwise(kinds))
            if len(pairs - seen) >= wanted:
                seen |= pairs
                first.append(kinds)
            else:
                rest.append(kinds)
        found = rest
    return first
