"""What DataJoint keeps beside foreign keys: parts of merge tables, lineage, housekeeping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from graph import quoting
from graph.database import Database
from graph.keys import decode, key_columns, key_expression
from graph.lookup import Edge
from graph.names import TableName
from graph.schema import Schema, Table
from graph.slice import Key

LINEAGE = "~lineage"


class Parts(StrEnum):
    """Which part tables' rows come with the rows of their master.

    MERGE: those of merge tables, which have no foreign key of their own: their parts carry them.
    ALL: those of every master. NONE: none that no rule or foreign key asks for.
    """

    MERGE = "merge"
    ALL = "all"
    NONE = "none"


def is_housekeeping(name: TableName) -> bool:
    """Whether DataJoint keeps the table for itself (log, jobs, lineage); `~external_*` hold users' data."""
    return name.name.startswith("~") and not name.name.startswith("~external")


def part_edges(schema: Schema, parts: Parts) -> list[Edge]:
    """What brings a master's part rows into the slice."""
    if parts is Parts.NONE:
        return []
    return [
        edge
        for master in schema.tables.values()
        if master.key and (parts is Parts.ALL or not schema.parents(master.name))
        for edge in _edges_to_parts(schema, master)
        if parts is Parts.ALL or _refers_elsewhere(schema, edge.target, master.name)
    ]


def _edges_to_parts(schema: Schema, master: Table) -> Iterator[Edge]:
    """A part is in its master's schema, has its name in front of its own, and refers to its whole key."""
    for child in sorted(set(schema.graph.predecessors(master.name))):
        if child.schema != master.name.schema or not child.name.startswith(f"{master.name.name}__"):
            continue
        for key in schema.parents(child):
            if key.parent == master.name and set(key.parent_columns) >= set(master.key):
                reason = f"parts of {master.name}"
                yield Edge(master.name, key.parent_columns, child, key.child_columns, reason)


def _refers_elsewhere(schema: Schema, part: TableName, master: TableName) -> bool:
    return any(key.parent != master for key in schema.parents(part))


def lineage_rows(database: Database, schema: Schema, exported: Iterable[TableName]) -> Iterator[tuple[Table, set[Key]]]:
    """Each schema's lineage table with the keys of its rows about exported tables.

    DataJoint 2.x refuses joins without these.
    """
    names: dict[str, set[str]] = {}
    for name in exported:
        names.setdefault(name.schema, set()).add(name.name)
    for schema_name, tables in sorted(names.items()):
        lineage = schema.find(schema_name, LINEAGE)
        if lineage is None or not lineage.key or "table_name" not in {c.name for c in lineage.columns}:
            continue
        columns = [key_expression(column, quoting.identifier(column.name)) for column in key_columns(lineage)]
        # Compared here: the column's collation does not tell `_trial` from `_Trial`.
        yield (
            lineage,
            {
                decode(lineage, key)
                for name, *key in database.rows(
                    f"SELECT table_name, {', '.join(columns)} FROM {quoting.table(lineage.name)}"
                )
                if name in tables
            },
        )
