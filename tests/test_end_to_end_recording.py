"""What a recording promises: nothing lost, nothing in the wrong paper, also when the proxy is killed."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pymysql
import pytest

from examples.private_server import PrivateServer
from tests import harness
from tests.harness import Account, Djproxy, Recorder

STATEMENTS = 10_000
EACH = 400


@pytest.fixture
def numbers(server: PrivateServer, database: str) -> Account:
    """A table of two hundred numbers, and who may read it."""
    values = ", ".join(f"({number})" for number in range(200))
    server.execute(
        f"CREATE TABLE `{database}`.numbers (n INT NOT NULL PRIMARY KEY)",
        f"INSERT INTO `{database}`.numbers VALUES {values}",
    )
    return harness.add_account(server, [database])


@pytest.fixture
def general_log(server: PrivateServer) -> Iterator[None]:
    """The server writes every statement with its thread into mysql.general_log."""
    server.execute("TRUNCATE mysql.general_log", "SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = 1")
    yield
    server.execute("SET GLOBAL general_log = 0", "SET GLOBAL log_output = 'FILE'")


def _connect(proxy: Recorder, account: Account, database: str) -> pymysql.Connection:
    return pymysql.connect(
        host=proxy.host, port=proxy.port, user=account.user, password=account.password, database=database
    )


def _read(proxy: Recorder, account: Account, database: str, label: str) -> int:
    """Many SELECTs of its own; gives the server's thread."""
    connection = _connect(proxy, account, database)
    with contextlib.closing(connection), connection.cursor() as cursor:
        for number in range(EACH):
            cursor.execute(f"SELECT n, '{label}' FROM numbers WHERE n = {number % 200}")
            assert cursor.fetchall() == ((number % 200, label),)
        return int(connection.thread_id())


def test_two_papers_at_once_from_four_clients(
    server: PrivateServer, database: str, numbers: Account, general_log: None, djproxy: Djproxy
) -> None:
    """Each paper has exactly the statements that the server's general log has of its clients' connections."""
    with (
        djproxy.recording("left", server) as left,
        djproxy.recording("right", server) as right,
        ThreadPoolExecutor(4) as pool,
    ):
        clients = {
            (paper, number): pool.submit(_read, proxy, numbers, database, f"{paper} {number}")
            for paper, proxy in (("left", left), ("right", right))
            for number in (1, 2)
        }
        threads = {key: client.result() for key, client in clients.items()}
    logged = server.rows("SELECT thread_id, argument FROM mysql.general_log WHERE command_type = 'Query'")
    texts = [(thread, sql.decode() if isinstance(sql, bytes) else sql) for thread, sql in logged]
    for paper in ("left", "right"):
        own = {thread for (name, _), thread in threads.items() if name == paper}
        expected = Counter(sql for thread, sql in texts if thread in own and "FROM numbers" in sql)
        recorded = Counter(
            each.statement.sql for each in djproxy.recorded(paper) if "FROM numbers" in each.statement.sql
        )
        assert recorded == expected
        assert sum(recorded.values()) == 2 * EACH
        assert not [sql for sql in recorded if f"'{paper} " not in sql]


def test_killed_proxy_has_recorded_every_answered_statement(
    server: PrivateServer, database: str, numbers: Account, djproxy: Djproxy
) -> None:
    """kill -9 in the middle of a stream; a second proxy takes the rest, then everything is in the recording."""
    answered: list[int] = []
    halfway = threading.Event()

    def stream(proxy: Recorder) -> None:
        connection = _connect(proxy, numbers, database)
        with contextlib.closing(connection), connection.cursor() as cursor:
            for number in range(len(answered), STATEMENTS):
                cursor.execute(f"SELECT {number}, n FROM numbers WHERE n = {number % 200}")
                assert cursor.fetchall() == ((number, number % 200),)
                answered.append(number)
                if number == STATEMENTS // 2:
                    halfway.set()

    with djproxy.recording("killed", server, stop=False) as proxy, ThreadPoolExecutor(1) as pool:
        client = pool.submit(stream, proxy)
        assert halfway.wait(timeout=120)
        proxy.kill()
        assert isinstance(client.exception(), pymysql.err.Error)
    before = len(answered)
    assert STATEMENTS // 2 < before < STATEMENTS
    with djproxy.recording("killed", server) as proxy:
        stream(proxy)
    found = Counter(
        int(each.statement.sql.split()[1].rstrip(","))
        for each in djproxy.recorded("killed")
        if "FROM numbers" in each.statement.sql
    )
    assert set(found) == set(range(STATEMENTS))
    # The statement under way at the kill was sent again.
    assert {number for number, times in found.items() if times > 1} <= {before}
