"""What rules may add to a closure: all, or what limits let in; and what statements lose by that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from itertools import islice
from typing import Final

from graph.closure import Closure
from graph.leaves.rules import Rule
from graph.limits import Limits
from graph.names import TableName
from graph.schema import Schema
from graph.slice import Key

#: A row of a table by its key; None is no row at all.
Row = tuple[TableName, Key | None]

#: So many rows of a rule at a time wait for being added.
_PAGE: Final = 20_000

#: Rows of which limits are asked at once.
_LARGEST_BATCH: Final = 10_000


class Gate:
    """Stands before a closure. `warnings` are about rows that limits keep from rules of no statement."""

    def __init__(self, schema: Schema, closure: Closure, limits: Limits | None) -> None:
        self._schema = schema
        self._closure = closure
        self._limits = limits
        self._lost: dict[int, dict[TableName, set[Key]]] = defaultdict(lambda: defaultdict(set))
        self.warnings: list[str] = []

    @property
    def open(self) -> bool:
        """Whether everything is let in."""
        return self._limits is None

    def add(self, rows: Iterable[Row], rule: Rule) -> bool:
        """Adds the rows that a rule asks for and that are let in; True when any was new."""
        # Limits may ask the server, which is busy as long as it answers.
        new, waiting = False, iter(rows if self._limits is None else list(rows))
        while page := list(islice(waiting, _PAGE)):
            for name, keys in _by_table(page).items():
                new |= self.add_keys(name, keys, rule)
        return new

    def add_keys(self, name: TableName, keys: Set[Key], rule: Rule) -> bool:
        """The same for rows of one table."""
        return self._closure.add(self._schema.tables[name], self._permitted(name, keys, rule), rule.reason)

    def choice(self, candidates: Sequence[tuple[Row, ...]], rule: Rule) -> tuple[Row, ...]:
        """The first candidate that is let in as a whole; none when there is no such, and the first one is lost."""
        if self._limits is None:
            return candidates[0]
        start, size = 0, 1
        while batch := candidates[start : start + size]:
            allowed = self._allowed(self._limits, (row for rows in batch for row in rows))
            for rows in batch:
                if all(key is None or key in allowed[name] or self._closure.holds(name, key) for name, key in rows):
                    return rows
            # To ask for many at once costs little more than for one.
            start, size = start + size, min(size * 10, _LARGEST_BATCH)
        for name, keys in _by_table(candidates[0]).items():
            self._permitted(name, keys, rule)
        return ()

    def lost(self) -> dict[int, dict[TableName, int]]:
        """What limits kept out and no other row brought in, by statement."""
        found: dict[int, dict[TableName, int]] = {}
        for statement, tables in self._lost.items():
            for name, keys in sorted(tables.items()):
                if number := sum(not self._closure.holds(name, key) for key in keys):
                    found.setdefault(statement, {})[name] = number
        return found

    def _allowed(self, limits: Limits, rows: Iterable[Row]) -> dict[TableName, Set[Key]]:
        unknown = ((name, key) for name, key in rows if key is not None and not self._closure.holds(name, key))
        kept = {name: limits.allowed(self._schema.tables[name], keys) for name, keys in _by_table(unknown).items()}
        return defaultdict(frozenset, kept)

    def _permitted(self, name: TableName, keys: Set[Key], rule: Rule) -> Set[Key]:
        """The rows that limits let in; the others are lost to the rule's statement."""
        if self._limits is None:
            return keys
        kept = self._limits.allowed(self._schema.tables[name], keys)
        if len(kept) < len(keys) and rule.statement is not None:
            self._lost[rule.statement][name] |= keys - kept
        elif len(kept) < len(keys):
            self.warnings.append(f"limits keep {len(keys) - len(kept)} rows of {name} out ({rule.reason})")
        return kept


def _by_table(rows: Iterable[Row]) -> dict[TableName, set[Key]]:
    found: dict[TableName, set[Key]] = defaultdict(set)
    for name, key in rows:
        if key is not None:
            found[name].add(key)
    return found
