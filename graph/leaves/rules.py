"""What a statement asks of the slice, as SQL over the full database.

A rule's SELECT returns first `group` grouping columns, then, for each output in turn, the key columns of that output's
table (`Table.key`, each written with `graph.keys.key_expression`). An output whose key columns are all NULL stands
for no row at all (the far side of an outer join, the other branch of a union).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from graph.names import TableName
from graph.slice import Key
from graph.statement import Session


class RuleKind(StrEnum):
    """How the rows of a rule's SELECT enter the slice.

    LEAF: every target row belongs to the slice.
    GUARD: a row's targets belong to it when each of its conditions does (no row: holds).
    GROUP: the rows with equal grouping columns count as one; as soon as one of them has all its conditions in
    the slice, the targets of all of them belong to it.
    WITNESS: of the rows with equal conditions, as soon as these are all in the slice, one with all its targets in
    the slice is needed; where there is none, the first one's targets are added. No row at all needs nothing.
    """

    LEAF = "leaf"
    GUARD = "guard"
    GROUP = "group"
    WITNESS = "witness"


class Role(StrEnum):
    """Whether an output's row is needed, or asked whether it is there."""

    TARGET = "target"
    CONDITION = "condition"


@dataclass(frozen=True, slots=True)
class Output:
    """The key of one table among a rule's columns."""

    table: TableName
    role: Role


@dataclass(frozen=True, slots=True)
class Rule:
    """One SELECT and what its rows mean; `reason` is for people, `statement` the id of the statement it came from.

    With `keys` a LEAF stands for the rows of its one output with these keys, as far as they are there; its SELECT, if
    there is one, is only compared with them.
    """

    kind: RuleKind
    sql: str
    outputs: tuple[Output, ...]
    session: Session = field(default_factory=Session)
    group: int = 0
    statement: int | None = None
    reason: str = ""
    keys: frozenset[Key] | None = None
