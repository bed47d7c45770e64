"""Parts and housekeeping; the rows that come by them are in test_cascade.py."""

from __future__ import annotations

import networkx as nx
import pytest

from graph.datajoint import Parts, is_housekeeping, part_edges
from graph.names import TableName
from graph.schema import Column, ForeignKey, Schema, Table


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("~log", True),
        ("~jobs", True),
        ("~~spikes", True),
        ("~lineage", True),
        ("~external", False),
        ("~external_raw", False),
        ("session", False),
        ("#probe", False),
        ("__spikes__unit", False),
    ],
)
def test_housekeeping(name: str, expected: bool) -> None:
    assert is_housekeeping(TableName("lab", name)) == expected


def schema_of(*keys: tuple[str, str, str]) -> Schema:
    """Tables of one integer key `k`, and foreign keys (child, child column, parent) to it."""
    graph: nx.MultiDiGraph[TableName] = nx.MultiDiGraph()
    tables = {}
    for child, column, parent in keys:
        for text in (child, parent):
            name = TableName(*text.split("."))
            tables[name] = Table(name, (Column("k", "int", "int", False),), ("k",))
        own, far = TableName(*child.split(".")), TableName(*parent.split("."))
        key = ForeignKey(f"fk_{column}_{parent}", own, (column,), far, ("k",))
        graph.add_edge(own, far, key.name, foreign_key=key)
    return Schema(tables, graph)


PIPELINE = schema_of(
    ("lab.merge__a", "k", "lab.merge"),
    ("lab.merge__a", "a", "lab.a"),
    ("lab.merge__note", "k", "lab.merge"),
    ("lab.mergers", "k", "lab.merge"),
    ("other.merge__b", "k", "lab.merge"),
    ("other.merge__b", "b", "lab.a"),
    ("lab._made", "k", "lab.a"),
    ("lab._made__part", "k", "lab._made"),
    ("lab._made__part", "a", "lab.a"),
)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (Parts.NONE, set()),
        (Parts.MERGE, {("merge", "merge__a")}),
        (Parts.ALL, {("merge", "merge__a"), ("merge", "merge__note"), ("_made", "_made__part")}),
    ],
)
def test_which_parts_come_with_their_master(parts: Parts, expected: set[tuple[str, str]]) -> None:
    edges = part_edges(PIPELINE, parts)
    assert {(edge.source.name, edge.target.name) for edge in edges} == expected
    assert all(edge.foreign_key is None for edge in edges)
