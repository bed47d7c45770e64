"""Parts of masters in a slice whose rows do not come with their masters' rows: a plan names them for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from graph.database import Database
from graph.datajoint import edges_to_parts
from graph.errors import GrantError
from graph.lookup import Edge
from graph.names import TableName
from graph.quoting import identifier
from graph.quoting import table as quoted
from graph.schema import Schema
from graph.selection import restrictions
from graph.slice import Slice, TableSlice


@dataclass(frozen=True, slots=True)
class OtherPart:
    """A part table that the slice leaves out.

    `rows` counts those that belong to master rows in the slice (None: the account may not read them), `leads_to` are
    the other tables to which its foreign keys lead.
    """

    part: TableName
    master: TableName
    rows: int | None
    leads_to: tuple[TableName, ...]


def other_parts(database: Database, slice_: Slice, followed: Iterable[Edge]) -> Iterator[OtherPart]:
    """The parts that would bring rows and to which none of the edges leads; in the database's snapshot."""
    schema, known = slice_.schema, {(edge.source, edge.target) for edge in followed}
    for name, sliced in slice_.tables.items():
        if not sliced.rows or sliced.table.view is not None:
            continue
        for edge in edges_to_parts(schema, sliced.table):
            if (name, edge.target) in known:
                continue
            part = slice_.tables.get(edge.target)
            rows = _rows(database, sliced, edge)
            more = None if rows is None else rows - (part.rows if part is not None else 0)
            if more != 0:
                yield OtherPart(edge.target, name, more, _leads_to(schema, edge))


def _rows(database: Database, master: TableSlice, edge: Edge) -> int | None:
    own, far = (", ".join(map(identifier, columns)) for columns in (edge.target_columns, edge.source_columns))
    of_master = f"SELECT {far} FROM {quoted(edge.source)} WHERE "
    select = f"SELECT COUNT(*) FROM {quoted(edge.target)} WHERE ({own}) IN ({of_master}"
    try:
        return sum(int(database.value(f"{select}{where or 'TRUE'})")) for where in restrictions(master))
    except GrantError:
        return None


def _leads_to(schema: Schema, edge: Edge) -> tuple[TableName, ...]:
    return tuple(dict.fromkeys(key.parent for key in schema.parents(edge.target) if key.parent != edge.source))
