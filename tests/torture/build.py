"""The parts that random queries are made of: values, FROM items and queries, with what is known of each.

Beside its SQL, a part of a select-project-join query carries how it reads in the *flat* form of the query: one plain
join over numbered table occurrences. The flat form is the oracle for lineage, and is made here, beside the query, not
from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Protocol

from tests.torture.model import Collation, Model, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Value:
    """An expression. `flat` is how the flat form writes it.

    `loose`: equal values may look different ('a' and 'A '). `fuzzy`: which of them it is, the server may choose.
    """

    sql: str
    kind: str
    flat: str = ""
    name: str = ""
    collation: Collation | None = None
    nullable: bool = True
    fuzzy: bool = False
    constant: bool = False
    #: From the side of an outer join that may be missing.
    optional: bool = False

    @property
    def loose(self) -> bool:
        """Whether equal values may look different."""
        return self.kind == "str" and self.collation is not None and self.collation.loose

    def exact(self) -> Value:
        """The same for all values that are equal to it, and identical."""
        if not self.loose:
            return self
        return replace(self, sql=canonical(self.sql), flat=canonical(self.flat), fuzzy=False, name="")

    def steady(self) -> Value:
        """A value that the rows alone determine."""
        return self.exact() if self.fuzzy else self


def canonical(sql: str) -> str:
    """One text for all that are equal under any collation used here."""
    return f"UPPER(RTRIM({sql}))"


@dataclass(frozen=True, slots=True)
class Flat:
    """A select-project-join query as a plain join: (table with partitions, alias) and conditions."""

    tables: tuple[tuple[str, str], ...] = ()
    conditions: tuple[str, ...] = ()

    def __add__(self, other: Flat) -> Flat:
        return Flat(self.tables + other.tables, self.conditions + other.conditions)

    def where(self, *conditions: str) -> Flat:
        """With further conditions."""
        return Flat(self.tables, self.conditions + conditions)


@dataclass(frozen=True, slots=True)
class Item:
    """A table or derived table in a FROM, or a join of such; `unique` are columns that tell its rows apart."""

    sql: str
    columns: tuple[Value, ...]
    unique: tuple[Value, ...] | None
    flat: Flat = Flat()
    #: Columns that may be named without a qualifier.
    bare: tuple[Value, ...] = ()
    optional: bool = False

    def nulled(self) -> Item:
        """As the optional side of an outer join."""
        columns = tuple(replace(value, nullable=True, optional=True) for value in self.columns)
        unique = tuple(replace(value, nullable=True) for value in self.unique) if self.unique is not None else None
        return replace(self, columns=columns, unique=unique, optional=True)


@dataclass(frozen=True, slots=True)
class Query:
    """A query and its result: `columns` with their names, `unique` the positions that tell rows apart."""

    sql: str
    columns: tuple[Value, ...]
    unique: tuple[int, ...] | None = None
    flat: Flat = Flat()
    ordered: bool = False
    compound: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """The columns that an expression may use: its own FROM's, and those of the queries around it."""

    item: Item
    outer: tuple[Value, ...] = ()

    @property
    def columns(self) -> tuple[Value, ...]:
        """Its own columns."""
        return self.item.columns + self.item.bare


@dataclass(frozen=True, slots=True)
class Want:
    """What a column of a query has to be."""

    kind: str
    collation: Collation | None = None

    def fits(self, value: Value) -> bool:
        """Whether a value is of that type."""
        return value.kind == self.kind and (self.kind != "str" or value.collation == self.collation)


class Maker(Protocol):
    """Makes a subquery with these columns (None: any), that may name columns of the queries around it."""

    def __call__(
        self,
        ctx: Context,
        wants: Sequence[Want] | None,
        outer: tuple[Value, ...],
        depth: int,
        *,
        shape: str = "any",
    ) -> Query:
        """`shape` is any, rows (no LIMIT of its own), scalar (one row at most), plain (select-project-join), one (one
        SELECT without LIMIT) or top (one SELECT that is the whole statement).
        """


@dataclass
class Context:
    """What is the same all over a statement."""

    chance: Random
    model: Model
    flavour: str
    make: Maker
    #: Only select, project and join, so that the flat form holds.
    spj: bool = False
    tags: set[str] = field(default_factory=set)
    views: list[Query] = field(default_factory=list)
    view_names: list[str] = field(default_factory=list)
    view_tags: list[set[str]] = field(default_factory=list)
    ctes: list[tuple[str, Query]] = field(default_factory=list)
    numbers: int = 0
    in_view: bool = False

    @property
    def mysql(self) -> bool:
        """Whether the server is MySQL."""
        return self.flavour == "mysql"

    def number(self) -> int:
        """A new number."""
        self.numbers += 1
        return self.numbers

    def maybe(self, probability: float) -> bool:
        """True that often."""
        return self.chance.random() < probability

    def pick(self, *weighted: tuple[str, float]) -> str:
        """One of the names, by weight."""
        names = [name for name, weight in weighted if weight > 0]
        return self.chance.choices(names, [weight for _, weight in weighted if weight > 0])[0]

    def tag(self, *names: str) -> None:
        """Notes that the statement uses a construct."""
        self.tags.update(names)


def named(values: Sequence[Value], names: Sequence[str], qualifier: str = "") -> tuple[Value, ...]:
    """Values as columns of something else, under these names; each keeps its flat form."""
    prefix = f"{quoted(qualifier)}." if qualifier else ""
    return tuple(
        replace(value, sql=prefix + quoted(name), name=name, constant=False, optional=False)
        for value, name in zip(values, names, strict=True)
    )
