"""Slices that would be larger than allowed, and connections that break: nothing is written, or all is done anew."""

from __future__ import annotations

import socket
from pathlib import Path

import pymysql
import pytest

from examples.private_server import PrivateServer
from graph.cascade import Bounds, cascade
from graph.database import Credentials, Database, ServerAddress
from graph.documents import Judged, Meta
from graph.errors import ConnectionLost, LimitError
from graph.export import export
from graph.leaves.rules import Output, Role, Rule, RuleKind
from graph.names import TableName
from graph.schema import read_schema
from graph.statement import Session
from tests.harness import Djproxy
from tests.slice_example import judged

META = Meta("Paper", "db.lab.example:3306", "0.1.0")
DIGITS = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))


def connect(server: PrivateServer) -> Database:
    return Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password))


def cut(source: Database) -> None:
    """As a network that breaks."""
    source._connection._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]


def chain(server: PrivateServer, schema: str) -> None:
    """10 subjects, 1000 trials."""
    server.execute(
        f"CREATE TABLE {schema}.subject (s int PRIMARY KEY)",
        f"CREATE TABLE {schema}.trial (s int, t int, PRIMARY KEY (s, t), FOREIGN KEY (s) REFERENCES subject (s))",
        f"CREATE TABLE {schema}.loose (s int NULL, FOREIGN KEY (s) REFERENCES subject (s))",
        f"INSERT INTO {schema}.subject SELECT d FROM ({DIGITS}) a",
        f"INSERT INTO {schema}.trial SELECT a.d, 10 * b.d + c.d FROM ({DIGITS}) a JOIN ({DIGITS}) b JOIN ({DIGITS}) c",
        f"INSERT INTO {schema}.loose SELECT s FROM {schema}.trial",
    )


def recorded(schema: str, *tables: str) -> list[Judged]:
    texts = [f"SELECT * FROM {schema}.{table}" for table in tables]
    return judged(*texts)


def test_too_many_rows_end_an_export_before_anything_is_written(
    server: PrivateServer, database: str, tmp_path: Path
) -> None:
    chain(server, database)
    with connect(server) as source, pytest.raises(LimitError) as raised:
        export(source, recorded(database, "trial"), tmp_path / "out", META, bounds=Bounds(rows=1009))
    assert "more than 1009 rows" in str(raised.value)
    assert f"{database}.trial (1000), {database}.subject (10)" in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    with connect(server) as source:
        made = export(source, recorded(database, "trial"), tmp_path / "out", META, bounds=Bounds(rows=1010))
    assert made.slice.rows == 1010


def test_rows_of_tables_without_a_key_count(server: PrivateServer, database: str, tmp_path: Path) -> None:
    chain(server, database)
    with connect(server) as source, pytest.raises(LimitError, match=rf"{database}\.loose \(1000\)"):
        export(source, recorded(database, "loose"), tmp_path / "out", META, bounds=Bounds(rows=1000))


def test_the_rest_of_a_large_answer_is_not_waited_for(server: PrivateServer, database: str) -> None:
    """A thousand million rows would take longer than any test."""
    chain(server, database)
    trial = TableName(database, "trial")
    sql = f"SELECT a.s, a.t FROM {trial} a JOIN {trial} b JOIN {trial} c"
    rule = Rule(RuleKind.LEAF, sql, (Output(trial, Role.TARGET),), Session(), reason="all")
    with connect(server) as source:
        read = read_schema(source, [trial])
        with pytest.raises(LimitError, match="more than 10 rows"):
            cascade(source, read, [rule], bounds=Bounds(rows=10))


def test_the_command_says_which_tables_are_large(
    server: PrivateServer, database: str, djproxy: Djproxy, tmp_path: Path
) -> None:
    chain(server, database)
    with (
        djproxy.recording("paper", server) as recorder,
        pymysql.connect(host=recorder.host, port=recorder.port, user="root", password=server.password) as client,
        client.cursor() as cursor,
    ):
        cursor.execute(f"SELECT * FROM {database}.trial")
    arguments = ["export", "--paper", "paper", "--out", tmp_path / "out", "--defaults-file", server.defaults_file()]
    refused = djproxy.call(*arguments, "--max-rows", "500", status=2)
    assert "more than 500 rows" in refused.stderr and f"{database}.trial" in refused.stderr
    assert not (tmp_path / "out").exists()
    djproxy.call(*arguments, "--max-rows", "1010", "--memory", "1")


def test_a_broken_connection_begins_anew_in_a_new_snapshot(
    server: PrivateServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second state is exported, all of it: nothing of the first one is left."""
    chain(server, database)
    monkeypatch.setattr("graph.restart._WAITS", (0,))
    said = list[str]()
    with connect(server) as source:

        def progress(text: str) -> None:
            said.append(text)
            if text.startswith(f"{database}.trial") and not any("anew" in each for each in said):
                server.execute(f"DELETE FROM {database}.trial WHERE s = 1")
                cut(source)

        made = export(source, recorded(database, "trial"), tmp_path / "out", META, progress=progress)
    assert made.slice.rows == 909
    assert [text for text in said if "all is read anew" in text]


def test_a_connection_that_breaks_again_and_again_is_given_up(
    server: PrivateServer, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain(server, database)
    monkeypatch.setattr("graph.restart._WAITS", (0,))
    broken = list[str]()
    with connect(server) as source:

        def progress(text: str) -> None:
            if text.startswith(f"{database}.trial"):
                broken.append(text)
                cut(source)

        with pytest.raises(ConnectionLost, match="broke"):
            export(source, recorded(database, "trial"), tmp_path / "out", META, progress=progress)
    assert len(broken) == 3 and list(tmp_path.iterdir()) == []
