"""Parsed and written again, a statement says what it said: executed both ways on real servers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
from pymysql.cursors import Cursor

from examples.private_server import PrivateServer
from graph.leaves.parse import parse
from graph.leaves.render import render
from graph.leaves.unreadable import Unreadable
from graph.scan import ServerVersion, open_comments
from graph.statement import Session

TABLES = """
CREATE TABLE {S}.e (id INT PRIMARY KEY, i INT, j BIGINT UNSIGNED, d DECIMAL(10,3), f DOUBLE, s VARCHAR(20), c CHAR(5),
  b VARBINARY(10), dt DATETIME(3), da DATE, ti TIME, ts TIMESTAMP NULL, y YEAR, js JSON, en ENUM('x','y'), bi BIT(8))
  DEFAULT CHARSET utf8mb4;
INSERT INTO {S}.e VALUES
  (1, 1, 9, 1.234, 0.1, 'abc', 'c', 'ab', '2020-01-02 03:04:05.678', '2020-01-02', '03:04:05', '2020-01-02 03:04:05',
   2020, '{"a": 1, "b": [1, 2], "c": {"d": "e"}, "x y": 3, "s": "x"}', 'x', b'101'),
  (2, 2, 5, 2.5, 1.5, 'a_c', 'd', 'AB', '2021-12-31 23:59:59.999', '2020-02-29', '23:00:00', '2021-12-31 23:59:59',
   1999, '{"a": null, "b": []}', 'y', b'0'),
  (3, NULL, NULL, -0.5, NULL, 'x', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (4, 7, 1, 100, 2, 'a\\\\c.', '', '', '2000-02-29 00:00:00', '2000-02-29', '00:00:00', '2000-02-29 00:00:00', 2000,
   '[1]', 'x', b'11111111'),
  (5, 2, 2, 0, 0, 'ABC', 'x', 'x', '2020-06-15 12:30:00', '2020-06-15', '12:30:00', '2020-06-15 12:30:00', 2020,
   '{"b": [3]}', 'y', b'1');
CREATE TABLE {S}.p (id INT PRIMARY KEY, v INT) PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (3),
  PARTITION p1 VALUES LESS THAN (100));
INSERT INTO {S}.p VALUES (1, 1), (2, 2), (3, NULL), (50, 5);
CREATE TABLE {S}.x (id INT PRIMARY KEY, t TEXT, FULLTEXT (t));
INSERT INTO {S}.x VALUES (1, 'a word here'), (2, 'word and other'), (3, 'none')
"""


def lines(name: str) -> list[tuple[str | None, str]]:
    """(flavour, "refused" or None; text) of a data file."""
    text = (Path(__file__).parent / "leaves" / name).read_text()
    found: list[tuple[str | None, str]] = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            flavour, colon, rest = line.partition(":")
            found.append((flavour, rest) if colon and flavour in ("mysql", "mariadb", "refused") else (None, line))
    return found


class Table:
    """The sample on a server."""

    def __init__(self, server: PrivateServer) -> None:
        self.flavour = server.flavour
        self.schema = f"sp_{secrets.token_hex(4)}"
        self.connection = server.connect(autocommit=True)
        self.run(f"CREATE DATABASE {self.schema} DEFAULT CHARSET utf8mb4")
        for statement in TABLES.replace("{S}", self.schema).split(";\n"):
            self.run(statement)
        if self.flavour == "mariadb":
            self.run(f"CREATE SEQUENCE {self.schema}.seq")
        ((version,),) = self.run("SELECT VERSION()")
        self.version = ServerVersion.of(str(version))
        self.set_mode("")

    def set_mode(self, sql_mode: str) -> None:
        self.sql_mode = sql_mode
        self.run(f"SET sql_mode = '{sql_mode}', time_zone = '+00:00', @v = 5")
        self.run(f"USE {self.schema}")

    def run(self, sql: str) -> list[tuple[object, ...]]:
        with self.connection.cursor(Cursor) as cursor:
            cursor.execute(sql)
            return [tuple(row) for row in cursor.fetchall()]

    def written_again(self, sql: str) -> str:
        session = Session(schema=self.schema, sql_mode=self.sql_mode)
        return render(parse(open_comments(sql, self.sql_mode, self.version), session).tree)

    def close(self) -> None:
        self.run(f"DROP DATABASE {self.schema}")
        self.connection.close()


@pytest.fixture(scope="module")
def table(server: PrivateServer) -> Iterator[Table]:
    made = Table(server)
    yield made
    made.close()


def asked(text: str, schema: str) -> str:
    """A statement that evaluates an expression for each row."""
    return f"SELECT id, {text.replace('{S}', schema)}\nFROM e ORDER BY id"


def compare(table: Table, sql: str, sql_mode: str = "") -> None:
    """The statement under its mode, and written again under none, give the same."""
    table.set_mode(sql_mode)
    expected = sorted(map(repr, table.run(sql)))
    again = table.written_again(sql)
    table.set_mode("")
    try:
        found = sorted(map(repr, table.run(again)))
    except pymysql.Error as error:
        raise AssertionError(f"{again}: {error}") from None
    assert found == expected, again


def for_server(name: str, flavour: str) -> list[str]:
    return [text for only, text in lines(name) if only in (None, flavour)]


@pytest.mark.parametrize("text", [text for only, text in lines("expressions.txt") if only != "refused"])
def test_an_expression(table: Table, text: str) -> None:
    if text in for_server("expressions.txt", table.flavour):
        compare(table, asked(text, table.schema))
    else:
        with pytest.raises(pymysql.Error):
            table.run(asked(text, table.schema))


@pytest.mark.parametrize("text", [text for only, text in lines("statements.txt") if only != "refused"])
def test_a_statement(table: Table, text: str) -> None:
    sql = text.replace("{S}", table.schema)
    if text in for_server("statements.txt", table.flavour):
        compare(table, sql)
    else:
        with pytest.raises(pymysql.Error):
            table.run(sql)


@pytest.mark.parametrize(
    "text", [text for name in ("expressions.txt", "statements.txt") for only, text in lines(name) if only == "refused"]
)
def test_what_the_parser_does_not_know_is_refused(text: str) -> None:
    sql = text.replace("{S}", "lab")
    with pytest.raises(Unreadable):
        parse(sql if sql.startswith("SELECT") else asked(text, "lab"), Session(schema="lab"))


MODES = [
    tuple(line.split(": ", 1))
    for line in (Path(__file__).parent / "leaves" / "modes.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize(("sql_mode", "text"), MODES)
def test_an_expression_under_a_mode(table: Table, sql_mode: str, text: str) -> None:
    compare(table, asked(text, table.schema), sql_mode)
