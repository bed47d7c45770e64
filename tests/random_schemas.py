"""Random tables full of foreign keys with their rows: the least closed set of rows, found by looking at every row, and
the same tables as the closure asks for them, without a server."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from graph.keystore import Batch
from graph.lookup import Edge
from graph.names import TableName
from graph.schema import Column, ForeignKey, Schema, Table
from graph.slice import Key

Row = dict[str, Any]

#: A column's type by a letter: integers, texts that compare without case and trailing spaces, bytes.
TYPES = {
    "i": ("int", "int"),
    "s": ("varchar", "varchar(9)"),
    "b": ("varbinary", "varbinary(9)"),
}
COLLATION = "utf8mb4_general_ci"


def _column(name: str, kind: str, nullable: bool) -> Column:
    data_type, column_type = TYPES[kind]
    text = kind == "s"
    return Column(name, data_type, column_type, nullable, "utf8mb4" if text else None, COLLATION if text else None)


def compared(values: Sequence[Any]) -> tuple[Any, ...]:
    """What a foreign key or an index compares."""
    return tuple(value.rstrip(" ").lower() if isinstance(value, str) else value for value in values)


@dataclass
class Draft:
    """A table that is being made: columns by name with type and whether they may be NULL."""

    name: TableName
    columns: dict[str, tuple[str, bool]] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    unique: list[tuple[str, ...]] = field(default_factory=list)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)

    def add(self, kind: str, nullable: bool) -> str:
        name = f"{kind}{len(self.columns)}"
        self.columns[name] = kind, nullable
        return name


@dataclass(frozen=True)
class World:
    """Tables, what needs what, rows, and the rows to begin with by their positions."""

    schema: Schema
    edges: tuple[Edge, ...]
    rows: Mapping[TableName, Sequence[Row]]
    leaves: Mapping[TableName, frozenset[int]]

    def keys(self, name: TableName, positions: Collection[int]) -> set[Key]:
        return {self.key(name, self.rows[name][position]) for position in positions}

    def key(self, name: TableName, row: Row) -> Key:
        return tuple(row[column] for column in self.schema.tables[name].key)

    def partners(self, edge: Edge, row: Row) -> list[Row] | None:
        """The rows that a row needs by an edge; None: it refers to none by a NULL."""
        values = [row[column] for column in edge.source_columns]
        if None in values:
            return None
        wanted = compared(values)
        return [
            other
            for other in self.rows[edge.target]
            if compared([other[column] for column in edge.target_columns]) == wanted
        ]

    def closure(self) -> tuple[dict[TableName, set[int]], set[str]]:
        """The positions of the needed rows, and the foreign keys by which one of them refers to no row."""
        needed = {name: set(self.leaves.get(name, ())) for name in self.rows}
        orphans: set[str] = set()
        while True:
            before = sum(map(len, needed.values()))
            for name, positions in needed.items():
                if positions and not self.schema.tables[name].key:
                    positions.update(range(len(self.rows[name])))
            for edge in self.edges:
                for position in list(needed[edge.source]):
                    partners = self.partners(edge, self.rows[edge.source][position])
                    if partners == [] and edge.foreign_key is not None:
                        orphans.add(edge.foreign_key)
                    for partner in partners or ():
                        needed[edge.target].add(next(i for i, r in enumerate(self.rows[edge.target]) if r is partner))
            if sum(map(len, needed.values())) == before:
                return needed, orphans


class MemoryTables:
    """A world as `graph.lookup.Tables`."""

    def __init__(self, world: World) -> None:
        self._world = world

    def total(self, table: Table) -> int:
        return len(self._world.rows[table.name])

    def count(self, table: Table, keys: Collection[Key]) -> int:
        return sum(1 for _ in self.existing(table, keys))

    def existing(self, table: Table, keys: Collection[Key] | None) -> Iterator[Key]:
        wanted = None if keys is None else set(map(compared, keys))
        for row in self._world.rows[table.name]:
            key = self._world.key(table.name, row)
            if wanted is None or compared(key) in wanted:
                yield key

    def targets(self, edge: Edge, keys: Collection[Key] | None) -> Iterator[Key | None]:
        for row in self._sources(edge, keys):
            partners = self._world.partners(edge, row)
            if partners == [] and edge.foreign_key is not None:
                yield None
            yield from (self._world.key(edge.target, partner) for partner in partners or ())

    def pairs(self, edge: Edge, keys: Collection[Key] | None = None) -> Iterator[tuple[Key, Key | None]]:
        for row in self._sources(edge, keys):
            key = self._world.key(edge.source, row)
            partners = self._world.partners(edge, row)
            if partners == [] and edge.foreign_key is not None:
                yield key, None
            yield from ((key, self._world.key(edge.target, partner)) for partner in partners or ())

    def scans(self, table: Table, batch: Batch, total: int) -> bool:
        """Now this way, now that one."""
        return len(batch) % 2 == 1

    def orphans(self, edge: Edge, keys: Collection[Key] | None) -> Iterator[tuple[Sequence[Any], int]]:
        found = Counter(
            tuple(row[column] for column in edge.source_columns)
            for row in self._sources(edge, keys)
            if self._world.partners(edge, row) == []
        )
        yield from found.items()

    def _sources(self, edge: Edge, keys: Collection[Key] | None) -> list[Row]:
        rows = self._world.rows[edge.source]
        return [row for row in rows if keys is None or self._world.key(edge.source, row) in keys]


def world(seed: int, *, server: bool = False, schema: str = "w") -> World:
    """The world of a seed; with `server` one that a server can hold."""
    rng = random.Random(seed)
    drafts = [_draft(rng, TableName(schema, f"t{number}")) for number in range(rng.randint(1, 6))]
    for draft in drafts:
        for _ in range(rng.choice([0, 1, 1, 2, 2, 3])):
            _refer(rng, draft, rng.choice(drafts))
    number = rng.choice([0, 3, 8, 20, 40])
    for draft in rng.sample(drafts, len(drafts)):
        _fill(rng, draft, {other.name: other for other in drafts}, rng.randint(0, number))
    tables = {draft.name: _table(draft) for draft in drafts}
    graph: nx.MultiDiGraph[TableName] = nx.MultiDiGraph()
    graph.add_nodes_from(tables)
    for draft in drafts:
        for key in draft.foreign_keys:
            graph.add_edge(key.child, key.parent, key.name, foreign_key=key)
    edges = [Edge.of(key) for draft in drafts for key in draft.foreign_keys]
    if not server:
        edges += _parts(rng, edges)
    rows = {draft.name: draft.rows for draft in drafts}
    leaves = {
        name: frozenset(rng.sample(range(len(rows[name])), rng.randint(0, len(rows[name]))))
        for name in rng.sample(sorted(rows), min(len(rows), rng.randint(1, 2)))
    }
    return World(Schema(tables, graph), tuple(edges), rows, leaves)


def _draft(rng: random.Random, name: TableName) -> Draft:
    draft = Draft(name)
    draft.key = tuple(draft.add(rng.choice("iiisb"), False) for _ in range(rng.choice([0, 1, 1, 2, 2, 3])))
    for _ in range(rng.choice([0, 0, 1])):
        draft.unique.append(tuple(draft.add(rng.choice("iis"), rng.random() < 0.5) for _ in range(rng.randint(1, 2))))
    if not draft.columns:
        draft.add("i", True)
    return draft


def _refer(rng: random.Random, child: Draft, parent: Draft) -> None:
    """A foreign key to the parent's key or a unique key, its columns in any order; own columns may serve several."""
    choices = [parent.key] * 2 + parent.unique if parent.key else parent.unique
    if not choices:
        return
    far = rng.choice(choices)
    far = tuple(rng.sample(far, len(far)))
    own: list[str] = []
    for column in far:
        kind = parent.columns[column][0]
        known = [name for name, (other, _) in child.columns.items() if other == kind and name not in own]
        shared = bool(known) and rng.random() < 0.6
        own.append(rng.choice(known) if shared else child.add(kind, rng.random() < 0.6))
    if child is parent and tuple(own) == far:
        return
    if far not in parent.unique and far != parent.key:
        parent.unique.append(far)
    number = len(child.foreign_keys)
    child.foreign_keys.append(ForeignKey(f"{child.name.name}_{number}", child.name, tuple(own), parent.name, far))


def _fill(rng: random.Random, draft: Draft, drafts: Mapping[TableName, Draft], number: int) -> None:
    orphans = rng.choice([0.0, 0.0, 0.2])
    for _ in range(number):
        row = {name: _value(rng, kind, nullable) for name, (kind, nullable) in draft.columns.items()}
        for key in draft.foreign_keys:
            others = drafts[key.parent].rows
            if others and rng.random() >= orphans:
                other = rng.choice(others)
                for own, far in zip(key.child_columns, key.parent_columns, strict=True):
                    if other[far] is not None and not (draft.columns[own][1] and rng.random() < 0.2):
                        row[own] = _respelled(rng, other[far])
        if _unique(draft, row):
            draft.rows.append(row)


def _value(rng: random.Random, kind: str, nullable: bool) -> Any:
    if nullable and rng.random() < 0.2:
        return None
    number = rng.randint(0, 29)
    return {"i": number, "s": f"{'aBc'[number % 3]}{number // 3}", "b": bytes([number])}[kind]


def _respelled(rng: random.Random, value: Any) -> Any:
    if not isinstance(value, str) or rng.random() < 0.5:
        return value
    return rng.choice([value.upper(), value.lower(), value + " "])[:9]


def _unique(draft: Draft, row: Row) -> bool:
    for columns in [draft.key, *draft.unique]:
        wanted = compared([row[column] for column in columns])
        if not columns or None in wanted:
            continue
        if any(compared([other[column] for column in columns]) == wanted for other in draft.rows):
            return False
    return True


def _table(draft: Draft) -> Table:
    columns = tuple(_column(name, kind, nullable) for name, (kind, nullable) in draft.columns.items())
    key = draft.key
    if not key:
        free = [each for each in draft.unique if not any(draft.columns[column][1] for column in each)]
        key = free[0] if free else ()
    return Table(draft.name, columns, key, tuple([draft.key, *draft.unique] if draft.key else draft.unique))


def _parts(rng: random.Random, edges: Sequence[Edge]) -> list[Edge]:
    """Some foreign keys the other way round: as masters need their parts."""
    return [
        Edge(edge.target, edge.target_columns, edge.source, edge.source_columns, "parts")
        for edge in edges
        if rng.random() < 0.1
    ]


def statements(given: World) -> Iterator[str]:
    """SQL that makes the tables in their schema and fills them; for a session without checks and with sql_mode ''."""
    for name, table in given.schema.tables.items():
        parts = [
            f"{column.name} {column.column_type}{' COLLATE ' + COLLATION if column.collation else ''}"
            f" {'NULL' if column.nullable else 'NOT NULL'}"
            for column in table.columns
        ]
        # The key that a row is known by shall be the one that the draft meant.
        if table.key:
            parts.append(f"PRIMARY KEY ({', '.join(table.key)})")
        parts += [f"UNIQUE KEY ({', '.join(columns)})" for columns in table.unique if columns != table.key]
        yield f"CREATE TABLE {name.schema}.{name.name} ({', '.join(parts)})"
        rows = [f"({', '.join(map(_literal, row.values()))})" for row in given.rows[name]]
        if rows:
            yield f"INSERT INTO {name.schema}.{name.name} VALUES {', '.join(rows)}"
    for name in given.schema.tables:
        for key in given.schema.parents(name):
            yield (
                f"ALTER TABLE {name.schema}.{name.name} ADD CONSTRAINT {key.name} FOREIGN KEY"
                f" ({', '.join(key.child_columns)}) REFERENCES {key.parent.schema}.{key.parent.name}"
                f" ({', '.join(key.parent_columns)})"
            )


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    return f"x'{value.hex()}'" if isinstance(value, bytes) else repr(value)
