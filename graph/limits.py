"""Limits by intersection: of what was asked for, only the rows that descend from, or are, given ones.

A row *needs* the rows that foreign keys and parts lead to from it. With a limit on table W, a row that is asked for is
kept if its table leads to no W; else if it needs at least one row of W (itself, if it is one), and only such as the
limit allows. What kept rows need is in the slice, so no row of W is that the limit does not allow.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

import networkx as nx

from graph import quoting
from graph.closure import Closure
from graph.components import component_order
from graph.database import Database
from graph.errors import InputError, StatementError
from graph.exclusion import ALL, pattern
from graph.keys import decoder, key_columns, key_expression
from graph.lookup import Edge, Tables
from graph.names import TableName
from graph.schema import Schema, Table
from graph.slice import Key
from graph.statement import Session

_PART: Final = r"(?:`(?:[^`]|``)+`|[^.`:]+)"
_WITHIN: Final = re.compile(rf"\s*(?P<table>{_PART}\.{_PART})\s*:(?P<where>.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Within:
    """The rows of a table for which a WHERE holds, as somebody wrote it."""

    table: TableName
    where: str

    def __str__(self) -> str:
        return f"{self.table}: {self.where}"


def parse_within(text: str) -> Within:
    """`SCHEMA.TABLE: WHERE`; a name may stand in backticks. Raises InputError."""
    found = _WITHIN.fullmatch(text)
    if found is None or not found["where"].strip():
        raise InputError(f"{text!r} is no limit: write 'SCHEMA.TABLE: WHERE', with a condition on that table's columns")
    name = pattern(found["table"])
    if name.name == ALL:
        raise InputError(f"{text!r} is no limit: it must name one table, not all of a schema")
    return Within(name, found["where"].strip())


@dataclass(slots=True)
class _Verdict:
    """About the rows of a closure: `bad` need a row that is not allowed, `lone` (by limited table) none of its rows."""

    closure: Closure
    bad: dict[TableName, set[Key]] = field(default_factory=lambda: defaultdict(set))
    lone: dict[TableName, dict[TableName, set[Key]]] = field(default_factory=lambda: defaultdict(dict))

    def allows(self, name: TableName, key: Key) -> bool:
        return key not in self.bad.get(name, ()) and not any(key in lone.get(name, ()) for lone in self.lone.values())


class Limits:
    """The rows that may enter a slice.

    `left_out` are tables of which no row may; `empty_closure` makes one that follows these edges. Raises InputError for
    a limited table that is not there, is a view or has no key.
    """

    def __init__(
        self,
        database: Database,
        tables: Tables,
        schema: Schema,
        edges: Sequence[Edge],
        within: Iterable[Within],
        left_out: Collection[TableName],
        empty_closure: Callable[[], Closure],
    ) -> None:
        self._database = database
        self._tables = tables
        self._schema = schema
        self._left_out = frozenset(left_out)
        self._empty_closure = empty_closure
        self._wheres: dict[TableName, list[Within]] = defaultdict(list)
        for each in within:
            self._wheres[_limited_table(each, schema).name].append(each)
        graph: nx.DiGraph[TableName] = nx.DiGraph((edge.source, edge.target) for edge in edges)
        graph.add_nodes_from(self._wheres)
        self._reach = {name: {name, *nx.ancestors(graph, name)} for name in self._wheres}
        self._relevant = set().union(*self._reach.values())
        inside = graph.subgraph(self._relevant)
        self._components = list(reversed(component_order(inside))) if self._relevant else []
        self._leaving: dict[TableName, list[Edge]] = defaultdict(list)
        for edge in edges:
            if edge.target in self._relevant:
                self._leaving[edge.source].append(edge)
        self._verdict: _Verdict | None = None

    @property
    def tables(self) -> list[TableName]:
        """The tables that are limited."""
        return list(self._wheres)

    def judge(self, closure: Closure) -> None:
        """Decides about all rows of a closure, so that `allowed` need not."""
        self._verdict = self._judged(closure)

    def warnings(self, closure: Closure) -> list[str]:
        """Limits that limit nothing, or leave nothing, of the judged closure."""
        assert self._verdict is not None
        found = []
        held = set(closure.tables)
        for name, wheres in self._wheres.items():
            said = " or ".join(each.where for each in wheres)
            if not held & self._reach[name]:
                found.append(f"the limit to {name} ({said}) limits nothing: no row of the slice descends from {name}")
            elif len(self._verdict.bad[name]) == len(closure.keys(name)):
                found.append(f"the limit to {name} ({said}) holds for none of its rows in the slice")
        return found

    def allowed(self, table: Table, keys: Set[Key]) -> Set[Key]:
        """Those of a table's rows that may enter the slice because somebody asked for them."""
        if table.name in self._left_out:
            return frozenset()
        if table.name not in self._relevant:
            return keys
        assert self._verdict is not None
        known = {key for key in keys if self._verdict.closure.holds(table.name, key)}
        kept = {key for key in known if self._verdict.allows(table.name, key)}
        if unknown := keys - known:
            closure = self._empty_closure()
            closure.add(table, unknown, "")
            closure.close()
            verdict = self._judged(closure)
            kept |= {key for key in unknown if verdict.allows(table.name, key)}
        return kept

    def _judged(self, closure: Closure) -> _Verdict:
        """Goes from the limited tables down to their descendants; inside a component until nothing changes."""
        verdict = _Verdict(closure)
        held = set(closure.tables)
        for component in self._components:
            names = sorted(component & held)
            touching: dict[TableName, dict[TableName, set[Key]]] = {
                limited: {name: set() for name in names if name in self._reach[limited]} for limited in self._wheres
            }
            for name in names:
                if name in self._wheres:
                    verdict.bad[name] = set(closure.keys(name)) - self._chosen(name, closure)
                    touching[name][name] = set(closure.keys(name))
            inner: list[tuple[Edge, list[tuple[Key, Key]]]] = []
            for name in names:
                for edge in self._leaving[name]:
                    pairs = self._pairs(closure, edge)
                    if edge.target in component:
                        inner.append((edge, list(pairs)))
                    else:
                        self._pass_down(edge, pairs, verdict, touching)
            while any([self._pass_down(edge, pairs, verdict, touching) for edge, pairs in inner]):
                pass
            for limited, tables in touching.items():
                for name, keys in tables.items():
                    if self._schema.tables[name].key:
                        verdict.lone[limited][name] = {key for key in closure.keys(name) if key not in keys}
                    elif not self._all_touch(closure, name, component, limited, verdict):
                        verdict.lone[limited][name] = {()}
        return verdict

    def _pass_down(
        self,
        edge: Edge,
        pairs: Iterable[tuple[Key, Key]],
        verdict: _Verdict,
        touching: dict[TableName, dict[TableName, set[Key]]],
    ) -> bool:
        """Tells the rows of an edge's source what its target's rows need; True when that was news."""
        limited = [name for name in self._wheres if edge.target in self._reach[name]]
        bad_parents, bad = verdict.bad[edge.target], verdict.bad[edge.source]
        news = False
        for child, parent in pairs:
            if parent in bad_parents and child not in bad:
                bad.add(child)
                news = True
            for name in limited:
                touched = touching[name][edge.source]
                if child not in touched and self._touches(name, edge.target, parent, verdict, touching):
                    touched.add(child)
                    news = True
        return news

    def _touches(
        self,
        limited: TableName,
        name: TableName,
        key: Key,
        verdict: _Verdict,
        touching: dict[TableName, dict[TableName, set[Key]]],
    ) -> bool:
        under_way = touching[limited].get(name)
        return key not in verdict.lone[limited].get(name, ()) if under_way is None else key in under_way

    def _all_touch(
        self, closure: Closure, name: TableName, component: Set[TableName], limited: TableName, verdict: _Verdict
    ) -> bool:
        """Whether all rows of a table without a key need rows of a limited one, by one and the same edge."""
        for edge in self._leaving[name]:
            if edge.target in self._reach[limited] and edge.target not in component:
                lone = verdict.lone[limited].get(edge.target, ())
                touching = sum(1 for _, parent in self._pairs(closure, edge) if parent not in lone)
                if touching >= closure.total(name):
                    return True
        return False

    def _chosen(self, name: TableName, closure: Closure) -> set[Key]:
        """The rows of a limited table in the closure for which one of its limits holds."""
        table, held = self._schema.tables[name], closure.keys(name)
        columns = [key_expression(column, quoting.identifier(column.name)) for column in key_columns(table)]
        decode = decoder(table)
        found: set[Key] = set()
        for each in self._wheres[name]:
            # On a line of its own, so that a comment at its end does not swallow the parenthesis.
            sql = f"SELECT {', '.join(columns)} FROM {quoting.table(name)} WHERE (\n{each.where}\n)"
            try:
                found.update(key for row in self._database.rows(sql, Session()) if (key := decode(row)) in held)
            except StatementError as error:
                raise InputError(f"the limit '{each}' is no condition on {name}: {error}") from None
        return found

    def _pairs(self, closure: Closure, edge: Edge) -> Iterator[tuple[Key, Key]]:
        """The rows of an edge's source in the closure, each with the rows of its target that it leads to."""
        if edge.target in self._schema.tables:
            keys = None if closure.whole(edge.source) else closure.keys(edge.source)
            for own, wanted in self._tables.pairs(edge, keys):
                if wanted is not None:
                    yield own, wanted


def _limited_table(within: Within, schema: Schema) -> Table:
    table = schema.find(*within.table)
    if table is None:
        raise InputError(f"cannot limit to {within.table}: the server has no such table, or hides it from this account")
    if table.view is not None:
        raise InputError(f"cannot limit to {table.name}: it is a view; name a base table")
    if not table.key:
        raise InputError(f"cannot limit to {table.name}: it has no key that tells its rows apart")
    return table
