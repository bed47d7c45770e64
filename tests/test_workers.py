"""Several processes that serve one address: what is recorded is as complete, and they end together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pymysql
import pytest

from examples.private_server import PrivateServer, flavours
from proxy.journal import is_written, journals
from proxy.paths import Home
from tests import harness
from tests.harness import Account, Djproxy, Recorder
from tests.relaying import until

CLIENTS, EACH = 24, 20

# Nothing here depends on the kind of server.
pytestmark = pytest.mark.parametrize("server", flavours()[:1], indirect=True)


@pytest.fixture
def account(server: PrivateServer, database: str) -> Account:
    server.execute(
        f"CREATE TABLE `{database}`.numbers (n INT PRIMARY KEY)", f"INSERT INTO `{database}`.numbers VALUES (1)"
    )
    return harness.add_account(server, [database])


def _connect(proxy: Recorder, account: Account, database: str) -> pymysql.Connection:
    return pymysql.connect(
        host=proxy.host, port=proxy.port, user=account.user, password=account.password, database=database
    )


def _ask(proxy: Recorder, account: Account, database: str, client: int) -> list[str]:
    texts = [f"SELECT n, {client}, {number} FROM numbers" for number in range(EACH)]
    with contextlib.closing(_connect(proxy, account, database)) as connection, connection.cursor() as cursor:
        for text in texts:
            cursor.execute(text)
            assert len(cursor.fetchall()) == 1
    return texts


def _children(pid: int) -> list[int]:
    """The other relays: children that run the same program."""
    found = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    own = Path(f"/proc/{pid}/cmdline").read_bytes()
    return [child for child in found if Path(f"/proc/{child}/cmdline").read_bytes() == own]


def _recorded(djproxy: Djproxy, paper: str) -> Counter[str]:
    texts = (each.statement.sql for each in djproxy.recorded(paper))
    return Counter(text for text in texts if "FROM numbers" in text)


def test_all_is_recorded_and_all_end(server: PrivateServer, database: str, account: Account, djproxy: Djproxy) -> None:
    with djproxy.recording("p", server, "--workers", "3") as proxy, ThreadPoolExecutor(8) as pool:
        others = _children(proxy.process.pid)
        assert len(others) == 2
        asked = list(pool.map(lambda client: _ask(proxy, account, database, client), range(CLIENTS)))
        live = [path for path in journals(Home(djproxy.home).journals) if is_written(path)]
        assert len(live) == 3
        used = sum(path.stat().st_size > 2000 for path in live)
        assert used > 1
        assert proxy.stop() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in others)
    assert _recorded(djproxy, "p") == Counter(text for texts in asked for text in texts)


def test_the_limit_holds_for_all_together(
    server: PrivateServer, database: str, account: Account, djproxy: Djproxy
) -> None:
    options = ("--workers", "3", "--max-connections", "4")
    with djproxy.recording("p", server, *options) as proxy, contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(contextlib.closing(_connect(proxy, account, database)))
        for _ in range(6):
            with pytest.raises(pymysql.OperationalError) as refused:
                _connect(proxy, account, database)
            assert refused.value.args[0] == 1040


def test_when_the_first_is_killed_the_others_end_and_nothing_is_lost(
    server: PrivateServer, database: str, account: Account, djproxy: Djproxy
) -> None:
    with djproxy.recording("p", server, "--workers", "3", stop=False) as proxy:
        others = _children(proxy.process.pid)
        with ThreadPoolExecutor(4) as pool:
            asked = list(pool.map(lambda client: _ask(proxy, account, database, client), range(CLIENTS)))
        proxy.kill()
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in others))
    assert _recorded(djproxy, "p") == Counter(text for texts in asked for text in texts)


def test_when_one_dies_the_others_go_on_and_it_is_said(
    server: PrivateServer, database: str, account: Account, djproxy: Djproxy
) -> None:
    with djproxy.recording("p", server, "--workers", "2") as proxy:
        (other,) = _children(proxy.process.pid)
        os.kill(other, signal.SIGKILL)
        until(lambda: "a worker process ended" in proxy.log.read_text())
        asked = [_ask(proxy, account, database, client) for client in range(4)]
        assert proxy.stop() == 0
    assert _recorded(djproxy, "p") == Counter(text for texts in asked for text in texts)


def test_an_address_in_use_is_said(server: PrivateServer, djproxy: Djproxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = djproxy.run(
            *("record", "--paper", "p", "--server", f"{server.host}:{server.port}"),
            *("--listen", f"127.0.0.1:{port}", "--workers", "2"),
            status=2,
        )
        assert "in use" in answer.stderr
