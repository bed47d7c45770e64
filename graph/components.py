"""The order in which tables are visited: strongly connected components, those that point first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx

from graph.lookup import Edge
from graph.names import TableName


def components(edges: Mapping[TableName, Sequence[Edge]]) -> list[frozenset[TableName]]:
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
