"""The least set of rows that holds given ones and, with each row, the rows that it needs.

Strongly connected components of tables are visited children first, so that each foreign key is followed
once with all of its child's rows; only inside a component there are rounds, each with the rows that are
new (semi-naive). All SQL is plain SELECTs; keys are kept here, not on the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass, field

import networkx as nx

from graph import quoting
from graph.database import Database
from graph.keys import decoder, key_columns, key_expression, restriction, same_value
from graph.names import TableName
from graph.schema import ForeignKey, Schema, Table
from graph.slice import Key

#: How many rows that refer to nothing a warning shows.
_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Edge:
    """The rows of `source` need the rows of `target` that agree with them in these columns (a NULL: none).

    `foreign_key` is its constraint's name, None for another kind of need. `reason` tells people why.
    """

    source: TableName
    source_columns: tuple[str, ...]
    target: TableName
    target_columns: tuple[str, ...]
    reason: str
    foreign_key: str | None = None

    @classmethod
    def of(cls, key: ForeignKey) -> Edge:
        """Child rows need their parents."""
        reason = f"referenced by {key.child} ({', '.join(key.child_columns)})"
        return cls(key.child, key.child_columns, key.parent, key.parent_columns, reason, key.name)


@dataclass(slots=True)
class _Rows:
    """What the slice holds of one table; `new` and `newly_whole` are what no edge was followed for yet.

    `whole` is for tables without a key alone. `restrictions` selects the keys, once it is known: it takes its time, and
    several edges may ask.
    """

    keys: set[Key] = field(default_factory=set)
    new: set[Key] = field(default_factory=set)
    whole: bool = False
    newly_whole: bool = False
    restrictions: list[str] | None = None


class Closure:
    """A set of rows that grows: `add` rows, `close` it, look what it holds."""

    def __init__(
        self, database: Database, schema: Schema, edges: Iterable[Edge], progress: Callable[[str], None]
    ) -> None:
        self._database = database
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
            self._totals[name] = int(self._database.value(f"SELECT COUNT(*) FROM {quoting.table(name)}"))
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
        if self._count(table, candidates) != len(candidates):
            missing = candidates - self.existing(table, candidates)
        for edge, keys in projected:
            self.add(table, keys - missing, edge.reason)
            if lost := keys & missing:
                examples = sorted(lost, key=repr)[:_EXAMPLES]
                self._warn_of_orphans(edge, len(lost), "; ".join(_shown(key) for key in examples))

    def _count(self, table: Table, keys: Set[Key]) -> int:
        start = f"SELECT COUNT(*) FROM {quoting.table(table.name)} WHERE "
        return sum(int(self._database.value(start + text)) for text in restriction(table, keys))

    def existing(self, table: Table, keys: Set[Key]) -> set[Key]:
        """The rows of these keys that are there, by the keys that they have; nothing is added."""
        decode = decoder(table)
        columns = ", ".join(key_expression(column, quoting.identifier(column.name)) for column in key_columns(table))
        start = f"SELECT {columns} FROM {quoting.table(table.name)} WHERE "
        return {decode(row) for text in restriction(table, keys) for row in self._database.rows(start + text)}

    def _follow(self, edge: Edge, batch: _Rows) -> None:
        """Adds the rows that an edge leads to from these, by a join."""
        target = self._schema.tables.get(edge.target)
        if target is None:
            self._warn(
                f"foreign key {edge.foreign_key} of {edge.source} refers to table {edge.target}, which does not exist"
            )
            return
        join = _Join(edge, self._schema.tables[edge.source], target)
        decode = decoder(target)
        found: set[Key] = set()
        for where in self._restrictions(edge.source, batch):
            orphans = False
            for *key, missing in self._database.rows(join.targets(where)):
                if missing == "1":
                    orphans = True
                else:
                    found.add(decode(key))
            if orphans:
                self._report_orphans(edge, join, where)
        self.add(target, found, edge.reason)

    def _restrictions(self, name: TableName, batch: _Rows) -> Sequence[str | None]:
        """WHERE texts that select these rows of the source; None when they are all there are."""
        if batch.whole or (batch.keys and len(batch.keys) == self.total(name)):
            return [None]
        if batch.restrictions is None:
            batch.restrictions = restriction(self._schema.tables[name], batch.keys, qualifier="c.")
        return batch.restrictions

    def _report_orphans(self, edge: Edge, join: _Join, where: str | None) -> None:
        orphans = list(self._database.rows(join.orphans(where)))
        count = sum(int(row[-1]) for row in orphans)
        self._warn_of_orphans(edge, count, "; ".join(_shown(row[:-1]) for row in orphans[:_EXAMPLES]))

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


@dataclass(frozen=True, slots=True)
class _Join:
    """SQL that follows an edge from rows of its source, `c`, to its target, `p`."""

    edge: Edge
    source: Table
    target: Table

    def targets(self, where: str | None) -> str:
        """Selects the target's keys and, last, 1 for the rows that refer to none."""
        columns = [
            key_expression(column, f"p.{quoting.identifier(column.name)}") for column in key_columns(self.target)
        ]
        columns.append(f"{self._far_column()} IS NULL")
        return f"SELECT DISTINCT {', '.join(columns)} {self._from(where)}"

    def orphans(self, where: str | None) -> str:
        """Selects the values that refer to none, with how many rows have them."""
        own = ", ".join(f"c.{quoting.identifier(name)}" for name in self.edge.source_columns)
        rows = f"{self._from(where)} AND {self._far_column()} IS NULL"
        return f"SELECT {own}, COUNT(*) {rows} GROUP BY {own} ORDER BY {own}"

    def _far_column(self) -> str:
        return f"p.{quoting.identifier(self.edge.target_columns[0])}"

    def _from(self, where: str | None) -> str:
        own = [f"c.{quoting.identifier(name)}" for name in self.edge.source_columns]
        far = [f"p.{quoting.identifier(name)}" for name in self.edge.target_columns]
        agree = " AND ".join(f"{b}={a}" for a, b in zip(own, far, strict=True))
        conditions = [f"{name} IS NOT NULL" for name in own]
        if where is not None:
            conditions.append(f"({where})")
        kind = "LEFT JOIN" if self.edge.foreign_key is not None else "JOIN"
        return (
            f"FROM {quoting.table(self.source.name)} c {kind} {quoting.table(self.target.name)} p"
            f" ON {agree} WHERE {' AND '.join(conditions)}"
        )


def _shown(values: Iterable[object]) -> str:
    return f"({', '.join(repr(value) for value in values)})"
