"""information_schema as a graph."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.errors import GrantError, InputError
from graph.names import TableName
from graph.schema import Schema, read_schema, view_tables


@pytest.fixture
def reader(server: PrivateServer) -> Iterator[Database]:
    with Database.connect(
        ServerAddress(server.host, server.port), Credentials(server.user, server.password)
    ) as database:
        yield database


def make(server: PrivateServer, schema: str, *tables: str) -> None:
    server.execute(*(f"CREATE TABLE {schema}.{table}" for table in tables))


def test_columns(server: PrivateServer, database: str, reader: Database) -> None:
    make(
        server,
        database,
        "t (Id int unsigned PRIMARY KEY, name VARCHAR(5) CHARACTER SET latin1 NULL,"
        " f float DEFAULT (1 + 1), g int AS (Id + 1) STORED)",
    )
    table = read_schema(reader, [TableName(database, "t")]).tables[TableName(database, "t")]
    assert [(one.name, one.data_type, one.nullable, one.generated) for one in table.columns] == [
        ("Id", "int", False, False),
        ("name", "varchar", True, False),
        ("f", "float", True, False),
        ("g", "int", True, True),
    ]
    assert table.column("NAME").charset == "latin1"
    assert table.column("name").column_type == "varchar(5)"
    with pytest.raises(InputError, match="no column 'nix'"):
        table.column("nix")


@pytest.mark.parametrize(
    ("definition", "key"),
    [
        ("(b int, a int, PRIMARY KEY (b, a), UNIQUE (a))", ("b", "a")),
        ("(a int NOT NULL, b int NULL, UNIQUE A1 (b), UNIQUE Z9 (a))", ("a",)),
        ("(a int NULL, UNIQUE (a))", ()),
        ("(a int, KEY (a))", ()),
    ],
)
def test_what_identifies_a_row(
    server: PrivateServer, database: str, reader: Database, definition: str, key: tuple[str, ...]
) -> None:
    make(server, database, f"t {definition}")
    assert read_schema(reader, [TableName(database, "t")]).tables[TableName(database, "t")].key == key


def test_foreign_keys_by_constraint(server: PrivateServer, database: str, reader: Database) -> None:
    make(
        server,
        database,
        "p (a int, b int, PRIMARY KEY (a, b), u int, UNIQUE (u))",
        "c (x int, y int, z int, CONSTRAINT two FOREIGN KEY (Y, X) REFERENCES p (A, B),"
        " CONSTRAINT one FOREIGN KEY (z) REFERENCES p (u), CONSTRAINT self FOREIGN KEY (z) REFERENCES p (u))",
    )
    schema = read_schema(reader, [TableName(database, "c")])
    parent, child = TableName(database, "p"), TableName(database, "c")
    assert [(key.name, key.child_columns, key.parent_columns) for key in schema.parents(child)] == [
        ("one", ("z",), ("u",)),
        ("self", ("z",), ("u",)),
        ("two", ("y", "x"), ("a", "b")),
    ]
    assert schema.graph.number_of_edges(child, parent) == 3
    assert schema.ancestors([child]) == {child, parent}
    assert schema.parents(TableName("no", "where")) == []


def test_schemas_are_followed_and_read_whole(server: PrivateServer, database: str, reader: Database) -> None:
    others = [f"{database}_{number}" for number in range(3)]
    server.execute(*(f"CREATE DATABASE {other}" for other in others))
    try:
        make(server, others[0], "g (g int PRIMARY KEY)", "beside (b int)")
        make(server, others[1], f"p (p int PRIMARY KEY, FOREIGN KEY (p) REFERENCES {others[0]}.g (g))")
        make(server, others[2], "seen (s int)")
        make(server, database, f"c (c int PRIMARY KEY, FOREIGN KEY (c) REFERENCES {others[1]}.p (p))")
        server.execute(f"CREATE VIEW {database}.v AS SELECT s FROM {others[2]}.seen JOIN {database}.c")
        schema = read_schema(reader, [TableName(database, "c"), TableName(database, "no_such_table")])
        text = schema.tables[TableName(database, "v")].view
    finally:
        server.execute(f"DROP DATABASE {database}", *(f"DROP DATABASE {other}" for other in reversed(others)))
        server.execute(f"CREATE DATABASE {database}")
    assert {(name.schema, name.name) for name in schema.tables} == {
        (database, "c"),
        (database, "v"),
        (others[0], "g"),
        (others[0], "beside"),
        (others[1], "p"),
        (others[2], "seen"),
    }
    assert text and view_tables(text) == {TableName(others[2], "seen"), TableName(database, "c")}


def test_names_by_the_servers_rules(server: PrivateServer, database: str, reader: Database) -> None:
    make(server, database, "Mixed (a int)")
    schema = read_schema(reader, [TableName(database, "Mixed")])
    assert schema.find(database, "Mixed") is not None
    assert schema.find(None, "Mixed") is None
    assert (schema.find(database, "mixed") is None) == (schema.lower_case_table_names == 0)
    folded = Schema(schema.tables, schema.graph, 1)
    assert folded.find(database.upper(), "MIXED") is not None


def test_system_schemas_are_not_read(reader: Database) -> None:
    assert not read_schema(reader, [TableName("mysql", "user"), TableName("information_schema", "TABLES")]).tables


def test_a_parent_that_was_dropped_is_a_node_without_a_table(
    server: PrivateServer, database: str, reader: Database
) -> None:
    make(server, database, "p (p int PRIMARY KEY)", "c (c int PRIMARY KEY, FOREIGN KEY (c) REFERENCES p (p))")
    server.execute("SET foreign_key_checks=0", f"DROP TABLE {database}.p", "SET foreign_key_checks=1")
    schema = read_schema(reader, [TableName(database, "c")])
    assert TableName(database, "p") in schema.graph and TableName(database, "p") not in schema.tables


@pytest.mark.parametrize("everything_else", [True, False])
def test_a_parent_that_cannot_be_read_names_the_grant(
    server: PrivateServer, database: str, everything_else: bool
) -> None:
    other, user = f"{database}_o", f"u_{secrets.token_hex(4)}"
    server.execute(f"CREATE DATABASE {other}", f"CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'")
    try:
        make(server, other, "p (p int PRIMARY KEY)")
        make(server, database, f"c (c int PRIMARY KEY, FOREIGN KEY (c) REFERENCES {other}.p (p))")
        granted = f"{database}.*" if everything_else else f"{database}.c"
        server.execute(f"GRANT SELECT ON {granted} TO '{user}'@'%'")
        with (
            Database.connect(ServerAddress(server.host, server.port), Credentials(user, "secret")) as poor,
            pytest.raises(GrantError) as raised,
        ):
            read_schema(poor, [TableName(database, "c")])
    finally:
        server.execute(f"DROP DATABASE {database}", f"DROP DATABASE {other}", f"DROP USER '{user}'@'%'")
        server.execute(f"CREATE DATABASE {database}")
    assert f"GRANT SELECT ON `{other}`.`p` TO '{user}'@'%'" in str(raised.value)
