"""By which foreign keys the rows of a table came into a slice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import networkx as nx

from graph.lookup import Edge
from graph.names import TableName
from graph.slice import Slice


@dataclass(frozen=True, slots=True)
class Step:
    """One edge that brought rows: of a foreign key by its constraint's name, else (None) of a master's parts."""

    source: TableName
    foreign_key: str | None
    target: TableName


def shortest_paths(slice_: Slice, edges: Iterable[Edge]) -> Mapping[TableName, tuple[Step, ...]]:
    """For each table with rows the shortest path to it from one of which rows were asked for, along edges that brought
    rows; empty for these themselves. Of paths of equal length the first by name."""
    brought = {edge for edge in edges if _brought(slice_, edge)}
    used = sorted(brought, key=lambda edge: (edge.source, edge.target, edge.foreign_key or "", edge.reason))
    graph: nx.DiGraph[TableName] = nx.DiGraph()
    for edge in used:
        if not graph.has_edge(edge.source, edge.target):
            graph.add_edge(edge.source, edge.target, step=Step(edge.source, edge.foreign_key, edge.target))
    reasons = {(edge.target, edge.reason) for edge in used}
    roots = sorted(
        name
        for name, sliced in slice_.tables.items()
        if sliced.rows and any((name, reason) not in reasons for reason in sliced.reasons)
    )
    paths: dict[TableName, tuple[Step, ...]] = {name: () for name in roots}
    ahead = roots
    while ahead:
        reached = []
        for source in ahead:
            for target in sorted(graph[source]) if source in graph else ():
                if target not in paths:
                    paths[target] = (*paths[source], graph.edges[source, target]["step"])
                    reached.append(target)
        ahead = sorted(reached, key=lambda name: [step.source for step in paths[name]])
    return paths


def _brought(slice_: Slice, edge: Edge) -> bool:
    source, target = slice_.tables.get(edge.source), slice_.tables.get(edge.target)
    return source is not None and target is not None and bool(source.rows) and edge.reason in target.reasons


def written(path: Iterable[Step]) -> str:
    """A path for people: tables, and between them the constraints."""
    steps = list(path)
    if not steps:
        return ""
    return str(steps[0].source) + "".join(f" →{step.foreign_key or 'part'}→ {step.target}" for step in steps)
