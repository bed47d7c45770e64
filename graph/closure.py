"""The least set of rows that holds given ones and, with each row, the rows that it needs.

Strongly connected components of tables are visited children first, so that each foreign key is followed
once with all of its child's rows; only inside a component there are rounds, each with the rows that are
new (semi-naive). All SQL is plain SELECTs; keys are kept here, not on the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field

import networkx as nx

from graph.keys import same_value
from graph.lookup import Edge, Tables
from graph.names import TableName
from graph.schema import Schema, Table
from graph.slice import Key

#: How many rows that refer to nothing a warning shows.
_EXAMPLES = 3


@dataclass(slots=True)
class _Rows:
    """What the slice holds of one table; `new` and `newly_whole` are what no edge was followed for yet.

    `whole` is for tables without a key alone.
    """

    keys: set[Key] = field(default_factory=set)
    new: set[Key] = field(default_factory=set)
    whole: bool = False
    newly_whole: bool = False


class Closure:
    """A set of rows that grows: `add` rows, `close` it, look what it holds."""

    def __init__(self, tables: Tables, schema: Schema, edges: Iterable[Edge], progress: Callable[[str], None]) -> None:
        self._tables = tables
        self._schema = schema
        self._progress = progress
        self._edges: dict[TableName, list[Edge]] = defaultdict(list)
        for edge in edges:
            self._edges[edge.source].append(edge)
        self._components = _components(self._edges)
        self._rows: dict[TableName, _Rows] = defaultdict(_Rows)
        self._projected: dict[TableName, list[tuple[Edge, set[Key]]]] = defaultdict(list)
        self._totals: dict[TableName, int] = {}
        self._reasons: dict[TableName, dict[str, None]] = defaultdict(dict)
        self._warnings: dict[str, None] = {}

    @property
    def tables(self) -> list[TableName]:
        """The tables that rows are held of."""
        return [name for name, rows in self._rows.items() if rows.keys or rows.whole]

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)

    def keys(self, name: TableName) -> Set[Key]:
        return self._rows[name].keys

    def holds(self, name: TableName, key: Key) -> bool:
        """Whether that row is held; for a table without a key, whether its rows are."""
        rows = self._rows[name]
        return key in rows.keys or rows.whole

    def whole(self, name: TableName) -> bool:
        """Whether every row of the table is held, and there is one."""
        rows = self._rows[name]
        return rows.whole or (len(rows.keys) > 0 and len(rows.keys) == self.total(name))

    def reasons(self, name: TableName) -> tuple[str, ...]:
        return tuple(self._reasons[name])

    def total(self, name: TableName) -> int:
        """The rows of the table in the snapshot."""
        if name not in self._totals:
            self._totals[name] = self._tables.total(self._schema.tables[name])
        return self._totals[name]

    def add(self, table: Table, keys: Set[Key], reason: str) -> bool:
        """Adds rows; a table without a key is added whole, by the empty key. True when any was new."""
        if not keys:
            return False
        if reason:
            self._reasons[table.name].setdefault(reason)
        rows = self._rows[table.name]
        if not table.key:
            if rows.whole:
                return False
            rows.whole = rows.newly_whole = True
            self._warn(f"table {table.name} has no key without NULLs: it is taken whole")
            return True
        new = keys - rows.keys
        rows.keys |= new
        rows.new |= new
        return bool(new)

    def close(self) -> None:
        """Follows all edges until every row that is needed is held."""
        for component in self._components:
            self._close_component(component)

    def _close_component(self, component: frozenset[TableName]) -> None:
        for name in component:
            self._settle_projected(name)
        taken: dict[TableName, _Rows] = defaultdict(_Rows)
        while pending := [name for name in sorted(component) if self._has_new(name)]:
            for name in pending:
                batch = self._take(name)
                taken[name].keys |= batch.keys
                taken[name].whole |= batch.whole
                for edge in self._edges[name]:
                    if edge.target in component:
                        self._follow(edge, batch)
        for name, batch in taken.items():
            self._progress(f"{name}: {len(self._rows[name].keys)} rows")
            for edge in self._edges[name]:
                if edge.target not in component:
                    self._leave(edge, batch)

    def _has_new(self, name: TableName) -> bool:
        return name in self._rows and bool(self._rows[name].new or self._rows[name].newly_whole)

    def _take(self, name: TableName) -> _Rows:
        rows = self._rows[name]
        batch = _Rows(keys=rows.new, whole=rows.newly_whole)
        rows.new, rows.newly_whole = set(), False
        return batch

    def _leave(self, edge: Edge, batch: _Rows) -> None:
        """Follows an edge out of a component: by projection where the parents' keys are in the children's."""
        positions = self._projection(edge)
        if positions is None:
            self._follow(edge, batch)
            return
        found = {tuple([key[position] for position in positions]) for key in batch.keys}
        self._projected[edge.target].append((edge, found))

    def _projection(self, edge: Edge) -> list[int] | None:
        """Where in the source's key the target's key stands, if it does and to the bit."""
        source, target = self._schema.tables[edge.source], self._schema.tables.get(edge.target)
        if target is None or not target.key or set(target.key) != set(edge.target_columns):
            return None
        pairs = dict(zip(edge.target_columns, edge.source_columns, strict=True))
        if not set(pairs.values()) <= set(source.key):
            return None
        if not all(same_value(source.column(own), target.column(far)) for far, own in pairs.items()):
            return None
        return [source.key.index(pairs[column]) for column in target.key]

    def _settle_projected(self, name: TableName) -> None:
        """Adds the projected keys that are rows: without foreign key checks a child may have no parent."""
        projected = self._projected.pop(name, None)
        if projected is None:
            return
        table = self._schema.tables[name]
        known = self._rows[name].keys
        candidates = set().union(*(keys for _, keys in projected)) - known
        missing: Set[Key] = frozenset()
        if self._tables.count(table, candidates) != len(candidates):
            missing = candidates - self.existing(table, candidates)
        for edge, keys in projected:
            self.add(table, keys - missing, edge.reason)
            if lost := keys & missing:
                examples = sorted(lost, key=repr)[:_EXAMPLES]
                self._warn_of_orphans(edge, len(lost), "; ".join(_shown(key) for key in examples))

    def existing(self, table: Table, keys: Set[Key]) -> set[Key]:
        """The rows of these keys that are there, by the keys that they have; nothing is added."""
        return set(self._tables.existing(table, keys))

    def _follow(self, edge: Edge, batch: _Rows) -> None:
        """Adds the rows that an edge leads to from these, by a join."""
        target = self._schema.tables.get(edge.target)
        if target is None:
            self._warn(
                f"foreign key {edge.foreign_key} of {edge.source} refers to table {edge.target}, which does not exist"
            )
            return
        every = batch.whole or (len(batch.keys) > 0 and len(batch.keys) == self.total(edge.source))
        keys = None if every else batch.keys
        found = set(self._tables.targets(edge, keys))
        if None in found:
            found.remove(None)
            orphans = list(self._tables.orphans(edge, keys))
            examples = "; ".join(_shown(values) for values, _ in orphans[:_EXAMPLES])
            self._warn_of_orphans(edge, sum(count for _, count in orphans), examples)
        self.add(target, {key for key in found if key is not None}, edge.reason)

    def _warn_of_orphans(self, edge: Edge, count: int, examples: str) -> None:
        self._warn(
            f"{count} values or rows of {edge.source} ({', '.join(edge.source_columns)}) refer to no row of"
            f" {edge.target} (foreign key {edge.foreign_key}; inserted while checks were off?): {examples}"
        )

    def _warn(self, text: str) -> None:
        self._warnings.setdefault(text)


def _components(edges: dict[TableName, list[Edge]]) -> list[frozenset[TableName]]:
    """Strongly connected components, sources before targets, in an order that depends on names alone."""
    graph: nx.DiGraph[TableName] = nx.DiGraph()
    for name, leaving in edges.items():
        graph.add_edges_from((name, edge.target) for edge in leaving)
    return component_order(graph)


def component_order(graph: nx.DiGraph[TableName]) -> list[frozenset[TableName]]:
    """The strongly connected components of a graph, those that point before those pointed at."""
    condensed: nx.DiGraph[int] = nx.condensation(graph)
    members: dict[int, frozenset[TableName]] = {
        node: frozenset(data["members"]) for node, data in condensed.nodes.items()
    }
    order = nx.lexicographical_topological_sort(condensed, key=lambda node: min(members[node]))
    return [members[node] for node in order]


def _shown(values: Iterable[object]) -> str:
    return f"({', '.join(repr(value) for value in values)})"
