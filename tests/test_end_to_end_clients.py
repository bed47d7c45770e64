"""Clients without DataJoint: PyMySQL, prepared statements, the command-line client; recorded, restored, replayed."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import mysql.connector
import pymysql
import pytest

from examples.private_server import PrivateServer
from tests import harness
from tests.harness import Account, Djproxy
from tests.lineage import WholeDatabase

HOSTILE = (
    "it's",
    'say "x"',
    "back\\slash",
    "$HOME `id` $(id)",
    "100%",
    "tick`tick",
    "two\nlines\r",
    "a AND b",
    "😀 é",
    " space ",
)
TABLES = (
    """CREATE TABLE animal (
        name VARCHAR(40) COLLATE utf8mb4_bin NOT NULL PRIMARY KEY, born DATE, tag VARBINARY(8), weight FLOAT)""",
    """CREATE TABLE visit (
        id INT NOT NULL PRIMARY KEY, name VARCHAR(40) COLLATE utf8mb4_bin NOT NULL, at DATETIME(3), price DECIMAL(10,4),
        FOREIGN KEY (name) REFERENCES animal (name))""",
)


@pytest.fixture
def zoo(server: PrivateServer, restored: PrivateServer, database: str) -> Iterator[str]:
    """Animals with names that quoting must survive, and two visits to each."""
    connection = server.connect(database=database, autocommit=True)
    with contextlib.closing(connection), connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(table)
        for number, name in enumerate(HOSTILE):
            tag = bytes((0, 39, 92, number, 255))
            cursor.execute(
                "INSERT INTO animal VALUES (%s, %s, %s, %s)", (name, date(2020, 1, 1 + number), tag, 0.1 * number)
            )
            for visit in (number, 100 + number):
                moment = datetime(2024, 5, 1, 12, 0, number, 123000)
                cursor.execute("INSERT INTO visit VALUES (%s, %s, %s, %s)", (visit, name, moment, "1.2300"))
    yield database
    harness.drop(restored, database)


def plain(host: str, port: int, account: Account, database: str) -> list[Any]:
    """PyMySQL: the default schema at login, USE, COM_INIT_DB; values written into the text."""
    connection = pymysql.connect(host=host, port=port, user=account.user, password=account.password)
    with contextlib.closing(connection), connection.cursor() as cursor:
        found = []
        for use in (lambda: connection.select_db(database), lambda: cursor.execute(f"USE `{database}`")):
            use()
            for name in HOSTILE[::2]:
                cursor.execute("SELECT * FROM visit WHERE name = %s ORDER BY id", (name,))
                found.append(cursor.fetchall())
        cursor.execute("SELECT v.id FROM visit v JOIN animal a USING (name) WHERE a.tag = %s", (b"\0'\\\3\xff",))
        found.append(cursor.fetchall())
    return found


def prepared(host: str, port: int, account: Account, database: str) -> list[Any]:
    """mysql-connector-python: server-side prepared statements, one of them executed with several sets of values."""
    connection = mysql.connector.connect(
        host=host,
        port=port,
        user=account.user,
        password=account.password,
        database=database,
        use_pure=True,
        charset="utf8mb4",
        collation="utf8mb4_general_ci",
    )
    found = []
    with contextlib.closing(connection):
        cursor: Any = connection.cursor(prepared=True)
        for name in HOSTILE[::2]:
            cursor.execute("SELECT id, price FROM visit WHERE name = %s ORDER BY id", (name,))
            found.append(cursor.fetchall())
        others: list[tuple[str, tuple[Any, ...]]] = [
            ("SELECT name FROM animal WHERE born < %s ORDER BY name", (date(2020, 1, 4),)),
            ("SELECT name FROM animal WHERE tag = %s", (b"\0'\\\3\xff",)),
            (
                "SELECT id FROM visit WHERE price = %s AND at <= %s AND id > %s ORDER BY id",
                (Decimal("1.23"), datetime(2024, 5, 1, 12, 0, 2, 123000), 99),
            ),
            ("SELECT name FROM animal WHERE name <=> %s", (None,)),
        ]
        for statement, values in others:
            cursor.execute(statement, values)
            found.append([tuple(map(str, row)) for row in cursor.fetchall()])
        cursor.close()
    return [[tuple(map(str, row)) for row in rows] for rows in found]


CLIENTS: dict[str, Callable[[str, int, Account, str], list[Any]]] = {
    "pymysql": plain,
    "prepared": prepared,
}


@pytest.mark.parametrize("name", CLIENTS)
def test_client_reads_the_same_direct_through_the_proxy_and_from_the_copy(
    name: str, server: PrivateServer, restored: PrivateServer, zoo: str, djproxy: Djproxy
) -> None:
    """And the copy holds no row that was not read and is no ancestor of one."""
    client, reader = CLIENTS[name], harness.add_account(server, [zoo])
    direct = client(server.host, server.port, reader, zoo)
    with djproxy.recording("zoo", server) as proxy:
        assert client(proxy.host, proxy.port, reader, zoo) == direct
    bundle = djproxy.round_trip("zoo", server, restored, reader)
    djproxy.verify("zoo", server, restored, bundle)
    there = Account(restored.user, restored.password)
    assert client(restored.host, restored.port, there, zoo) == direct
    whole, copy = WholeDatabase.read(server, zoo), WholeDatabase.read(restored, zoo)
    assert copy.rows < whole.rows
    visits = {values[0] for table, values in copy.rows if "visit" in table}
    read = {row for row in range(200) if row % 100 in range(0, len(HOSTILE), 2)}
    extra = {3, 103} if name == "pymysql" else {100, 101, 102}
    assert visits == (read | extra) & {values[0] for table, values in whole.rows if "visit" in table}


def test_command_line_client_under_record(
    server: PrivateServer, restored: PrivateServer, zoo: str, djproxy: Djproxy, tmp_path: Path
) -> None:
    """`djproxy record -- mysql -e …` finds the proxy by the environment; output and exit status pass through."""
    reader = harness.add_account(server, [zoo])
    options = tmp_path / "login.cnf"
    options.write_text(f"[client]\nuser={reader.user}\npassword={reader.password}\n")
    options.chmod(0o600)
    sql = f"SELECT * FROM {zoo}.visit WHERE id IN (3, 104) ORDER BY id"
    direct = subprocess.run(
        [server.tools.client, f"--defaults-file={server.defaults_file()}", "--batch", "-e", sql],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    address = ["--server", f"{server.host}:{server.port}"]
    command = ["--", server.tools.client, f"--defaults-file={options}", "--batch", "-e"]
    answer = djproxy.run("record", "--paper", "by hand", *address, *command, sql)
    assert answer.stdout == direct
    assert "104" in direct
    assert answer.stderr.startswith("djproxy: listening on 127.0.0.1:")
    refused = djproxy.run("record", "--paper", "by hand", *address, *command, "SELECT * FROM nowhere.t", status=1)
    assert "denied" in refused.stderr

    bundle = djproxy.round_trip("by hand", server, restored, reader)
    djproxy.verify("by hand", server, restored, bundle)
    assert [row[0] for row in harness.rows_of(restored, f"`{zoo}`.visit")] == [104, 3]
    names = {row[0] for row in harness.rows_of(restored, f"`{zoo}`.animal")}
    assert names == {HOSTILE[3], HOSTILE[4]}
