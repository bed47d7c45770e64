"""A small slice and recording, made by hand."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx

from graph.create_table import create_table
from graph.definition import Definition
from graph.documents import Judged, Meta
from graph.names import TableName
from graph.quoting import identifier
from graph.schema import Column, ForeignKey, Schema, Table
from graph.slice import Slice, TableSlice
from graph.statement import Session, Statement, StatementClass

META = Meta("Paper", "db.lab.example:3306", "0.1.0", analyses=("main",))
PARENT, CHILD = TableName("lab", "parent"), TableName("lab", "child")


def example() -> Slice:
    """Two of nine parents, and the only child."""
    integer = Column("id", "int", "int", False)
    parent = Table(PARENT, (integer,), ("id",), (("id",),))
    child = Table(CHILD, (integer, Column("p", "int", "int", True)), ("id",), (("id",),))
    graph: nx.MultiDiGraph[TableName] = nx.MultiDiGraph()
    key = ForeignKey("fk", CHILD, ("p",), PARENT, ("id",))
    graph.add_edge(CHILD, PARENT, "fk", foreign_key=key)
    tables = {
        PARENT: TableSlice(parent, frozenset({(1,), (2,)}), False, 2, 9, ("secret reason\nof two lines",)),
        CHILD: TableSlice(child, frozenset({(5,)}), True, 1, 1, ("picked",)),
    }
    return with_definitions(Slice(Schema({PARENT: parent, CHILD: child}, graph, 0, "8.4.0"), tables))


def with_definitions(slice_: Slice) -> Slice:
    """The slice with structures as a server might show them."""
    return replace(slice_, tables={name: _with_definition(sliced) for name, sliced in slice_.tables.items()})


def _with_definition(sliced: TableSlice) -> TableSlice:
    table = sliced.table
    if table.view is not None:
        shown = f"CREATE ALGORITHM=UNDEFINED DEFINER=`u`@`h` SQL SECURITY DEFINER VIEW `v` AS {table.view}"
        return replace(sliced, definition=Definition(f"{table.name.name}\t{shown}\tutf8mb4\tutf8mb4_bin"))
    columns = ",\n".join(f"  {identifier(column.name)} {column.column_type}" for column in table.columns)
    shown = f"CREATE TABLE {identifier(table.name.name)} (\n{columns}\n) ENGINE=InnoDB"
    made = create_table(shown)
    return replace(sliced, definition=Definition(f"{table.name.name}\t{shown}", made.statement, made.engine))


STATEMENTS = [
    Judged(Statement(1, "SELECT * FROM lab.child", Session(sql_mode="")), StatementClass.DATA, "fetched", "main"),
    Judged(Statement(2, "SELECT COUNT(*) FROM other.secret"), StatementClass.CHECK, "a count", "main"),
]


def judged(*texts: str) -> list[Judged]:
    """SELECTs as statements that were recorded in this order."""
    return [Judged(Statement(n, sql), StatementClass.DATA, "") for n, sql in enumerate(texts, 1)]
