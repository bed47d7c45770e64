"""What DataJoint keeps beside foreign keys: parts of merge tables, lineage, housekeeping."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import Final

from graph import quoting
from graph.database import Database
from graph.keys import decode, key_columns, key_expression
from graph.lookup import Edge
from graph.names import TableName
from graph.schema import Column, Schema, Table
from graph.slice import Key

LINEAGE = "~lineage"


class Parts(StrEnum):
    """Which part tables' rows come with the rows of their master.

    MERGE: those of merge tables, see `is_merge_table`: their parts lead to the sources. ALL: those of every master.
    NONE: none that no rule or foreign key asks for.
    """

    MERGE = "merge"
    ALL = "all"
    NONE = "none"


def part_edges(schema: Schema, parts: Parts, chosen: Collection[TableName] = ()) -> list[Edge]:
    """What brings a master's part rows into the slice; `chosen` parts come in any case."""
    return [
        edge
        for master in schema.tables.values()
        for edge in edges_to_parts(schema, master)
        if edge.target in chosen
        or parts is Parts.ALL
        or (parts is Parts.MERGE and is_merge_table(schema, master, edges_to_parts(schema, master)))
    ]


def is_merge_table(schema: Schema, master: Table, edges: Sequence[Edge]) -> bool:
    """Whether rows of a master stand for rows of other tables, to which its parts lead, as Spyglass's merge tables do:
    a UUID identifies them, a column names the source, and they have no foreign key of their own; each part has exactly
    the master's key as its primary key, and outside it one foreign key, to the source.

    Any other master says something by itself, and its parts may be about people.
    """
    if len(master.key) != 1 or not _is_uuid(master.column(master.key[0])) or schema.parents(master.name):
        return False
    names_source = any(c.name.lower() == _SOURCE and c.data_type in _SOURCE_TYPES for c in master.columns)
    return names_source and bool(edges) and all(_is_source_part(schema, edge) for edge in edges)


#: The column of a merge table that names the source of a row, and the types that it may have.
_SOURCE: Final = "source"
_SOURCE_TYPES: Final = frozenset({"char", "varchar", "enum"})


def _is_uuid(column: Column) -> bool:
    """DataJoint keeps a UUID in 16 bytes; MariaDB has a type for it."""
    return column.column_type == "binary(16)" or column.data_type == "uuid"


def _is_source_part(schema: Schema, edge: Edge) -> bool:
    part = schema.tables.get(edge.target)
    if part is None or set(part.key) != set(edge.target_columns):
        return False
    others = [key for key in schema.parents(part.name) if key.parent != edge.source]
    return len(others) == 1 and set(others[0].child_columns).isdisjoint(part.key)


def edges_to_parts(schema: Schema, master: Table) -> list[Edge]:
    """What leads from a master to its parts: a part is in its master's schema, has its name in front of its own, and
    refers to its whole key."""
    if not master.key or master.view is not None:
        return []
    return [
        Edge(master.name, key.parent_columns, child, key.child_columns, f"parts of {master.name}")
        for child in sorted(set(schema.graph.predecessors(master.name)))
        if child.schema == master.name.schema and child.name.startswith(f"{master.name.name}__")
        for key in schema.parents(child)
        if key.parent == master.name and set(key.parent_columns) >= set(master.key)
    ]


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
