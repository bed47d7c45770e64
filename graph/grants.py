"""Rights that an account lacks, all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

import networkx as nx

from graph.database import Database
from graph.errors import GrantError, StatementError
from graph.lookup import Edge
from graph.names import TableName
from graph.schema import SYSTEM_SCHEMAS, Schema, view_tables


def missing_grants(
    database: Database, schema: Schema, tables: Iterable[TableName], edges: Iterable[Edge]
) -> dict[TableName, str]:
    """For each of these tables, and of those that edges lead to, that the account may not read: what is missing.

    What a table leads to that the account cannot even see shows when it may read that.
    """
    reach: nx.DiGraph[TableName] = nx.DiGraph((edge.source, edge.target) for edge in edges)
    found: dict[TableName, str] = {}
    wanted: set[TableName] = set()
    ahead = list(tables)
    while ahead:
        name = ahead.pop()
        known = schema.find(name.schema, name.name)
        start = name if known is None else known.name
        if start not in wanted:
            wanted |= {start, *(nx.descendants(reach, start) if start in reach else ())}
            ahead += view_tables(known.view) if known is not None and known.view else ()
    for name in sorted(wanted):
        table = schema.tables.get(name)
        if (table is not None and table.view is not None) or name.schema.lower() in SYSTEM_SCHEMAS:
            continue
        try:
            # What is really not there makes its statements unresolved.
            with suppress(StatementError):
                database.require_select(name)
        except GrantError as error:
            found[name] = str(error)
    return found


def without(schema: Schema, tables: Iterable[TableName]) -> Schema:
    """The schema without these tables, and without the foreign keys that lead to them."""
    left = set(tables)
    graph = schema.graph.copy()
    graph.remove_nodes_from(left)
    kept = {name: table for name, table in schema.tables.items() if name not in left}
    return Schema(kept, graph, schema.lower_case_table_names, schema.server_version)
