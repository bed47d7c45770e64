"""What operators are given: conditions, formulas and aggregates by chance, made from an operand's own rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from tests.lineage import Row
from tests.nested import conditions
from tests.nested.conditions import Condition
from tests.nested.expressions import Attribute, Expression, Impossible, New

#: FLOAT and DOUBLE: not compared for equality.
FLOATS = ("single", "float")


class Pieces:
    """Chooses; raises Impossible where there is nothing to choose from."""

    def __init__(self, seed: str) -> None:
        self.begin(seed)

    def begin(self, seed: str) -> None:
        """Starts the chances anew."""
        self.chance = Random(seed)
        self.fresh = 0

    def equal(self, operand: Expression) -> Condition:
        """A dict of one or two attributes."""
        names = not_floats(operand)
        row = self._row(operand)
        chosen = self.chance.sample(names, min(len(names), self.chance.choice((1, 1, 2))))
        if not chosen:
            raise Impossible
        return conditions.equal({name: row[name] for name in chosen})

    def compared(self, operand: Expression) -> Condition:
        """A string."""
        name = self.some(operand.named())
        kind, value = operand.heading[name].kind, self._row(operand)[name]
        if value is None or self.chance.random() < 0.1:
            return conditions.null(name, wanted=self.chance.random() < 0.5)
        if kind in FLOATS:
            # Between the values: what equals a FLOAT is another question.
            return conditions.compare(name, self.chance.choice(("<", ">")), round(float(value) + 0.05, 2))
        if kind == "text" and self.chance.random() < 0.5:
            others = {row[name] for row in operand.rows.rows} - {None}
            some = self.chance.sample(sorted(others), min(len(others), 2))
            return conditions.among(name, some)
        operators = ("=", "<>") if kind == "text" else ("=", "<>", "<", "<=", ">", ">=")
        return conditions.compare(name, self.chance.choice(operators), value)

    def simple(self, operand: Expression) -> Condition:
        """A dict or a string."""
        return self.chance.choice((self.equal, self.compared))(operand)

    def formula(self, operand: Expression) -> New:
        """A computed attribute."""
        texts, numbers = operand.named("text"), operand.named("int")
        floats = operand.named("float")
        made: list[New] = []

        def add(text: str, kind: str, *uses: str, compute: Callable[..., Any]) -> None:
            soft = any(operand.heading[name].soft for name in uses)

            def of_row(row: Row) -> Any:
                return compute(*(row[name] for name in uses))

            made.append(New(text, Attribute(kind, soft=soft), of_row))

        if texts and numbers:
            one, two = self.some(texts), self.some(numbers)
            add(f"concat({one}, '-', {two})", "text", one, two, compute=_concat)
        if numbers:
            number = self.some(numbers)
            add(f"{number} + 1", "int", number, compute=lambda value: None if value is None else value + 1)
        if floats:
            real = self.some(floats)
            add(f"{real} * 2", "float", real, compute=lambda value: None if value is None else value * 2)
        if texts:
            text = self.some(texts)
            add(f"ifnull({text}, 'none')", "text", text, compute=lambda value: "none" if value is None else value)
        return self.chance.choice(made or impossible())

    def aggregates(self, group: Expression) -> dict[str, New]:
        """One or two new attributes over a group."""
        made: dict[str, New] = {}
        for _ in range(self.chance.choice((1, 1, 2))):
            made[self.name()] = self._aggregate(group)
        return made

    def _aggregate(self, group: Expression) -> New:
        numbers, orders = group.named("int"), group.named("int", "date", *FLOATS)
        name = self.some(group.named())
        count = Attribute("int", soft=True)
        made = [New("count(*)", count, len), New(f"count({name})", count, lambda rows: len(_values(rows, name)))]
        if group.heading[name].kind not in FLOATS:
            made.append(New(f"count(distinct {name})", count, lambda rows: len(set(_values(rows, name)))))
        if orders:
            order = self.some(orders)
            attribute = Attribute(group.heading[order].kind, soft=True)
            made.append(New(f"max({order})", attribute, lambda rows: max(_values(rows, order), default=None)))
            made.append(New(f"min({order})", attribute, lambda rows: min(_values(rows, order), default=None)))
        if numbers:
            number = self.some(numbers)
            made.append(
                New(f"sum({number})", count, lambda rows: sum(_values(rows, number)) if _values(rows, number) else None)
            )
        return self.chance.choice(made)

    def some(self, names: Sequence[str]) -> str:
        """One of them."""
        return self.chance.choice(names or impossible())

    def subset(self, names: Sequence[str]) -> list[str]:
        """One or two of them."""
        return self.chance.sample(names or impossible(), self.chance.randint(1, min(2, len(names))))

    def name(self) -> str:
        """A new attribute's name."""
        self.fresh += 1
        return f"x{self.fresh}"

    def _row(self, operand: Expression) -> Row:
        return self.chance.choice(operand.rows.rows or impossible())


def impossible() -> Any:
    """Raises Impossible."""
    raise Impossible


def not_floats(operand: Expression) -> list[str]:
    """The attributes whose values may be compared for equality."""
    return [name for name in operand.named() if operand.heading[name].kind not in FLOATS]


def _values(rows: Sequence[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row[name] is not None]


def _concat(one: Any, two: Any) -> str | None:
    return None if one is None or two is None else f"{one}-{two}"
