"""A small slice and recording, made by hand."""

from __future__ import annotations

import networkx as nx

from graph.documents import Judged, Meta
from graph.names import TableName
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
    return Slice(Schema({PARENT: parent, CHILD: child}, graph, 0, "8.4.0"), tables)


STATEMENTS = [
    Judged(Statement(1, "SELECT * FROM lab.child", Session(sql_mode="")), StatementClass.DATA, "fetched", "main"),
    Judged(Statement(2, "SELECT COUNT(*) FROM other.secret"), StatementClass.CHECK, "a count", "main"),
]


def judged(*texts: str) -> list[Judged]:
    """SELECTs as statements that were recorded in this order."""
    return [Judged(Statement(n, sql), StatementClass.DATA, "") for n, sql in enumerate(texts, 1)]
