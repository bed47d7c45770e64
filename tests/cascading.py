"""For tests of the cascade: cases on a server, and what came of them."""

from __future__ import annotations

from typing import Any

from examples.private_server import PrivateServer
from graph.cascade import cascade, leaf_rule
from graph.database import Database
from graph.names import TableName
from graph.schema import read_schema
from graph.slice import Slice
from tests.closure_cases import Case, Link


def load(server: PrivateServer, schema: str, case: Case) -> None:
    with server.connect() as connection:
        case.load(connection, schema)


def run(reader: Database, schema: str, leaves: dict[str, str | None], **options: Any) -> Slice:
    read = read_schema(reader, [TableName(schema, name) for name in leaves])
    rules = [leaf_rule(read.tables[TableName(schema, name)], where) for name, where in leaves.items()]
    return cascade(reader, read, rules, **options)


def keys(found: Slice) -> dict[str, set[tuple[object, ...]]]:
    """By table, those with rows alone."""
    return {name.name: set(table.keys) for name, table in found.tables.items() if table.keys}


def some(needed: dict[str, set[tuple[Any, ...]]]) -> dict[str, set[tuple[Any, ...]]]:
    return {table: rows for table, rows in needed.items() if rows}


PAIRS = Case(
    ddl=[
        "CREATE TABLE subject (subject int, name varchar(20), PRIMARY KEY (subject))",
        "CREATE TABLE session (subject int, session int, experimenter int NULL, PRIMARY KEY (subject, session),"
        " FOREIGN KEY (subject) REFERENCES subject (subject),"
        " FOREIGN KEY (experimenter) REFERENCES subject (subject))",
        "CREATE TABLE pair (pair int, s1 int, n1 int, s2 int NULL, n2 int NULL, PRIMARY KEY (pair),"
        " FOREIGN KEY (s1, n1) REFERENCES session (subject, session),"
        " FOREIGN KEY (s2, n2) REFERENCES session (subject, session))",
    ],
    keys={"subject": ("subject",), "session": ("subject", "session"), "pair": ("pair",)},
    links=[
        Link("session", ("subject",), "subject", ("subject",)),
        Link("session", ("experimenter",), "subject", ("subject",)),
        Link("pair", ("s1", "n1"), "session", ("subject", "session")),
        Link("pair", ("s2", "n2"), "session", ("subject", "session")),
    ],
    rows={
        "subject": [{"subject": i, "name": f"s{i}"} for i in range(10)],
        "session": [
            {"subject": i, "session": j, "experimenter": (i + j) % 10 if j else None}
            for i in range(8)
            for j in range(3)
        ],
        "pair": [
            {"pair": 0, "s1": 0, "n1": 0, "s2": 3, "n2": 1},
            {"pair": 1, "s1": 1, "n1": 2, "s2": None, "n2": 2},
            {"pair": 2, "s1": 2, "n1": 0, "s2": 2, "n2": 0},
            {"pair": 3, "s1": 7, "n1": 2, "s2": 6, "n2": None},
        ],
    },
)
