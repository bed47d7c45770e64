"""The closure of random tables, as far as its rules go: no server, every row looked at by the other side."""

from __future__ import annotations

import os

import pytest

from graph.closure import Closure
from graph.keystore import KeyStore
from graph.names import TableName
from tests.random_schemas import MemoryTables, World, world

#: `CLOSURES=10000 pytest tests/test_closure.py` tries more; each block of a hundred is a test.
BLOCK = 100
WORLDS = int(os.environ.get("CLOSURES", "600"))


def closed(given: World) -> Closure:
    """The closure, its leaves added in two steps: what comes later must find what came before."""
    store = KeyStore(memory=1, page=3)
    closure = Closure(MemoryTables(given), given.schema, given.edges, lambda text: None, store)
    for name, positions in given.leaves.items():
        closure.add(given.schema.tables[name], given.keys(name, sorted(positions)[::2]), "")
    closure.close()
    for name, positions in given.leaves.items():
        closure.add(given.schema.tables[name], given.keys(name, positions), "leaf")
    closure.close()
    return closure


def check(given: World) -> None:
    needed, orphans = given.closure()
    closure = closed(given)
    for name, positions in needed.items():
        every = len(positions) == len(given.rows[name]) > 0
        if given.schema.tables[name].key:
            assert set(closure.keys(name)) == given.keys(name, positions), name
        assert closure.whole(name) == every, name
        assert (name in closure.tables) == bool(positions), name
    told = [text for text in closure.warnings if "refer to no row" in text]
    assert len(told) == len(orphans)
    assert all(any(f"foreign key {name};" in text for text in told) for name in orphans)


@pytest.mark.parametrize("start", range(0, WORLDS, BLOCK))
def test_the_closure_is_the_least_closed_set(start: int) -> None:
    for seed in range(start, min(start + BLOCK, WORLDS)):
        try:
            check(world(seed))
        except AssertionError as error:
            raise AssertionError(f"world {seed}") from error


def test_the_worlds_hold_what_is_to_be_tried() -> None:
    """Cycles, self references, several edges between two tables, composite, nullable and unusual keys."""
    worlds = [world(seed) for seed in range(200)]
    edges = [edge for each in worlds for edge in each.edges]
    assert any(edge.source == edge.target for edge in edges)
    assert any(len(edge.source_columns) > 2 for edge in edges)
    assert any(edge.foreign_key is None for edge in edges)
    pairs = [[(edge.source, edge.target) for edge in each.edges] for each in worlds]
    assert any(len(set(each)) < len(each) for each in pairs)
    assert any((b, a) in each for each in pairs for a, b in each if a != b)
    tables = [table for each in worlds for table in each.schema.tables.values()]
    assert any(not table.key for table in tables)
    needed = [each.closure() for each in worlds]
    assert sum(bool(orphans) for _, orphans in needed) > 10
    assert sum(sum(map(len, rows.values())) > 20 for rows, _ in needed) > 10
    assert all(isinstance(name, TableName) for rows, _ in needed for name in rows)
