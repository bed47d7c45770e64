"""Which repair a table needs, and literals that bring any value back; tests/test_dump.py carries them over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.exact import Repair, literal, loses, repair, statement
from graph.names import TableName
from graph.quoting import identifier
from graph.schema import Column, Table, read_schema

ID, F = Column("id", "int", "int", False), Column("f", "float", "float", True)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (Table(TableName("s", "t"), (ID,), ("id",)), Repair.NONE),
        (Table(TableName("s", "t"), (ID, F), ("id",), (("id",),)), Repair.UPDATE),
        (Table(TableName("s", "t"), (ID, F), ("id", "f"), (("id", "f"),)), Repair.INSERT),
        (Table(TableName("s", "t"), (ID, F), ("id",), (("id",), ("f",))), Repair.INSERT),
        (Table(TableName("s", "t"), (ID, F), ()), Repair.INSERT),
        (Table(TableName("s", "t"), (ID, Column("f", "float", "float", True, generated=True)), ()), Repair.NONE),
    ],
)
def test_the_repair_depends_on_the_keys(table: Table, expected: Repair) -> None:
    assert repair(table) is expected


@pytest.fixture
def connection(server: PrivateServer) -> Iterator[Database]:
    credentials = Credentials(server.user, server.password)
    with Database.connect(ServerAddress(server.host, server.port), credentials) as opened:
        yield opened


def read(connection: Database, name: TableName) -> Table:
    return read_schema(connection, [name]).tables[name]


@pytest.mark.parametrize(
    ("value", "lost"),
    [("1.2345678e0", 1), ("0.1", 0), ("16777215", 1), ("1.1754943e-38", 1), ("100000", 0), ("NULL", 0), ("0.3e0", 0)],
)
def test_what_six_digits_lose(
    server: PrivateServer, database: str, connection: Database, value: str, lost: int
) -> None:
    name = TableName(database, "t")
    server.execute(
        f"CREATE TABLE `{database}`.t (id INT PRIMARY KEY, f FLOAT)",
        f"INSERT INTO `{database}`.t VALUES (1, {value})",
    )
    found = connection.value(f"SELECT {loses(read(connection, name))} FROM `{database}`.t")
    assert int(found) == lost


def test_an_update_leaves_times_alone(server: PrivateServer, database: str, connection: Database) -> None:
    server.execute(f"CREATE TABLE `{database}`.t (id INT PRIMARY KEY, f FLOAT, t TIMESTAMP, d DATETIME)")
    server.execute(f"INSERT INTO `{database}`.t VALUES (7, 1.5, '2020-01-01', NULL)")
    table = read(connection, TableName(database, "t"))
    text = connection.value(f"SELECT {statement(table)} FROM `{database}`.t")
    assert text == "UPDATE `t` SET `f`=1.5, `t`=`t`, `d`=`d` WHERE `id`=7;"


VALUES = {
    "TINYINT": ["-128", "0", "NULL"],
    "BIGINT UNSIGNED": ["18446744073709551615"],
    "DECIMAL(30,15)": ["-123456789012345.123456789012345"],
    "FLOAT": ["1.2345678e0", "-0e0"],
    "DOUBLE": ["0.1e0 + 0.2e0", "1e308", "-0e0"],
    "BIT(64)": ["b'1000000000000000000000000000000000000000000000000000000000000001'", "0"],
    "YEAR": ["2001", "0"],
    "DATE": ["'2020-02-29'"],
    "TIME(6)": ["'-838:59:58.000001'"],
    "DATETIME(6)": ["'9999-12-31 23:59:59.999999'"],
    "TIMESTAMP(6) NULL": ["'2020-10-25 00:30:00.000001'"],
    "CHAR(10)": ["'it''s '", "''"],
    "VARCHAR(20) CHARACTER SET latin1": ["X'E9E8'"],
    "VARCHAR(20) CHARACTER SET utf8mb4": ["_utf8mb4 X'F09F98800A0D5C2722'"],
    "TEXT": ["'NULL'", "NULL"],
    "ENUM('a','it''s')": ["'it''s'"],
    "SET('a','b')": ["'a,b'", "''"],
    "JSON": ['\'{"a": [1, 2.5, "x\\\'"]}\''],
    "BINARY(4)": ["X'00FF'"],
    "VARBINARY(20)": ["X'00275C220A'", "''"],
    "LONGBLOB": ["X'00FF'"],
    "POINT": ["ST_GeomFromText('POINT(1.1 2.2)')"],
}


@pytest.mark.parametrize("kind", VALUES)
def test_literals_bring_values_back(server: PrivateServer, database: str, connection: Database, kind: str) -> None:
    """What the literal inserts has the same literal, and the same bytes."""
    name = identifier(database)
    server.execute(f"CREATE TABLE {name}.t (v {kind})", f"CREATE TABLE {name}.copy LIKE {name}.t")
    table = read(connection, TableName(database, "t"))
    text = literal(table.columns[0])
    utc = "SET time_zone='+00:00', sql_mode=''"
    for value in VALUES[kind]:
        writer = server.connect(autocommit=True, init_command=utc)
        with writer.cursor() as cursor:
            cursor.execute(f"DELETE FROM {name}.t")
            cursor.execute(f"DELETE FROM {name}.copy")
            cursor.execute(f"INSERT INTO {name}.t VALUES ({value})")
            written = connection.value(f"SELECT {text} FROM {name}.t")
            cursor.execute(f"INSERT INTO {name}.copy VALUES ({written})")
        writer.close()
        assert connection.value(f"SELECT {text} FROM {name}.copy") == written
        ours, theirs = (list(connection.rows(f"SELECT v FROM {name}.{t}")) for t in ("t", "copy"))
        assert ours == theirs
