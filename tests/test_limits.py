"""Limits: what is refused, how, and that all is well again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.events import Closed
from proxy.limits import Limits, allow_descriptors
from proxy.relay import TOO_MANY
from proxy.workers import SharedCount
from tests.relaying import PLAIN, RunningRelay, query, until


def _threads(server: PrivateServer) -> list[int]:
    with server.connect() as root:
        own = root.thread_id()
        return [int(row[0]) for row in query(root, "SHOW PROCESSLIST") if row[0] != own and row[4] != "Daemon"]


def test_too_many_connections_are_refused_as_a_server_does(server: PrivateServer, certificate: Certificate) -> None:
    with RunningRelay((server.host, server.port), certificate, limits=Limits(connections=2)) as relay:
        first, second = relay.connect(server), relay.connect(server)
        for _ in range(2):
            with pytest.raises(pymysql.OperationalError) as refused:
                relay.connect(server)
            assert refused.value.args == (1040, "Too many connections")
        first.close()
        assert relay.proxy is not None
        open_connections = relay.proxy._open
        until(lambda: len(open_connections) < 2)
        with relay.connect(server) as third:
            assert query(third, "SELECT 3") == ((3,),)
        second.close()
        assert relay.proxy.refused == 2


def test_the_refusal_is_mysqls_byte_for_byte() -> None:
    with PrivateServer.start(options=["--max-connections=1"]) as strict:
        if strict.flavour != "mysql":
            pytest.skip("MariaDB greets before it refuses")
        with strict.connect(), strict.connect(), socket.create_connection((strict.host, strict.port)) as raw:
            assert raw.recv(4096) == TOO_MANY


def test_no_more_connections_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert Limits().most == 480
    assert Limits(connections=100).most == 100
    assert Limits(connections=100_000).most == 480
    granted: list[Any] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: granted.append(limits))
    allow_descriptors()
    assert granted == [(4096, 4096)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY,) * 2)
    assert Limits(connections=5).most == 5


_SCARCE = """
import asyncio, resource, sys
from proxy.limits import Limits
from proxy.relay import Proxy
import uvloop

class Nothing:
    def write(self, events): pass

async def main():
    proxy = await Proxy.start(("127.0.0.1", 0), ("127.0.0.1", int(sys.argv[1])), Nothing())
    # Fewer than the proxy counts on, as when something else in the process has taken them.
    proxy.most = 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
    print(proxy.address[1], flush=True)
    await asyncio.sleep(120)

uvloop.run(main())
"""


def test_without_descriptors_clients_are_refused_and_the_proxy_lives(server: PrivateServer) -> None:
    process = subprocess.Popen([sys.executable, "-c", _SCARCE, str(server.port)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())

        def connect() -> Any:
            return pymysql.connect(
                host="127.0.0.1", port=port, user=server.user, password=server.password, connect_timeout=20, **PLAIN
            )

        with contextlib.ExitStack() as stack:
            accepted, refused = 0, 0
            for _ in range(60):
                try:
                    stack.enter_context(connect())
                    accepted += 1
                except pymysql.MySQLError:
                    refused += 1
            assert accepted > 5 and refused > 5

        def serves_again() -> bool:
            with contextlib.suppress(pymysql.MySQLError), connect() as connection:
                return bool(query(connection, "SELECT 1") == ((1,),))
            return False

        until(serves_again)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_a_stop_waits_for_open_transactions(server: PrivateServer, certificate: Certificate, database: str) -> None:
    server.execute(f"CREATE TABLE `{database}`.kept (n INT)")
    relay = RunningRelay((server.host, server.port), certificate)
    with relay:
        idle = relay.connect(server)
        writer = relay.connect(server, database=database)
        reader = relay.connect(server, database=database)
        assert query(idle, "SELECT 1") == ((1,),)
        query(writer, "INSERT INTO kept VALUES (1)")
        assert query(reader, "SELECT COUNT(*) FROM kept") == ((0,),)
        stopper = threading.Thread(target=relay.stop, args=(30,))
        stopper.start()
        with pytest.raises(pymysql.MySQLError):
            for _ in range(1000):
                query(idle, "DO 1")
                time.sleep(0.01)
        assert stopper.is_alive()
        query(writer, "INSERT INTO kept VALUES (2)")
        writer.commit()
        reader.commit()
        stopper.join(timeout=20)
        assert not stopper.is_alive()
    with server.connect(database=database) as connection:
        assert query(connection, "SELECT n FROM kept ORDER BY n") == ((1,), (2,))


def test_both_sockets_are_kept_alive_and_do_not_wait(server: PrivateServer, certificate: Certificate) -> None:
    limits = Limits(keepalive=20, user_timeout=1.5)
    with RunningRelay((server.host, server.port), certificate, limits=limits) as relay, relay.connect(server):
        assert relay.proxy is not None
        (connection,) = relay.proxy._open
        for leg in (connection.client, connection.server):
            assert leg.transport is not None
            own = leg.transport.get_extra_info("socket")
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 20
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 4
            assert own.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1500


def test_the_count_is_of_all() -> None:
    count = SharedCount(3)
    count.set(0, 5)
    count.set(2, 7)
    count.set(0, 4)
    assert count.total == 11


# -- ends in the middle of things

BIG = "SELECT a.n, REPEAT('x', 10000) FROM ({numbers}) AS a CROSS JOIN ({numbers}) AS b CROSS JOIN ({numbers}) AS c"
NUMBERS = " UNION ALL ".join(f"SELECT {number} AS n" for number in range(30))


@pytest.fixture
def lively(server: PrivateServer, certificate: Certificate) -> Iterator[RunningRelay]:
    """A relay that asks silent peers soon."""
    limits = Limits(keepalive=1, user_timeout=2)
    with RunningRelay((server.host, server.port), certificate, limits=limits) as running:
        yield running


def _begin(connection: Any) -> None:
    """A result of 270 MB, of which a little is read."""
    connection._execute_command(3, BIG.format(numbers=NUMBERS))
    assert len(connection._sock.recv(1000)) > 0


TCP_REPAIR = 19


def _vanish(own: socket.socket) -> None:
    """Be gone without a word, as a machine that lost its power."""
    try:
        own.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except PermissionError:
        pytest.skip("to vanish without a word takes CAP_NET_ADMIN")
    own.close()


@pytest.mark.parametrize("security", [PLAIN, {"ssl": {"ca": None}}], ids=["plain", "tls"])
@pytest.mark.parametrize("how", ["hangs up", "resets", "vanishes", "vanishes idle"])
def test_a_client_that_ends_in_the_middle(server: PrivateServer, lively: RunningRelay, how: str, security: Any) -> None:
    """Its server thread ends, and nothing of it stays in the proxy."""
    before = set(_threads(server))
    connection = lively.connect(server, **security)
    own = connection._sock
    if how != "vanishes idle":
        _begin(connection)
    if how.startswith("vanishes"):
        _vanish(own)
    else:
        if how == "resets":
            own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        own.close()
    connection._force_close()
    until(lambda: set(_threads(server)) <= before)
    lively.wait_for(lambda events: bool(events) and isinstance(events[-1], Closed))
    assert lively.proxy is not None and not lively.proxy._open


@pytest.mark.parametrize("security", [PLAIN, {"ssl": {"ca": None}}], ids=["plain", "tls"])
def test_a_server_killed_in_the_middle(certificate: Certificate, server: PrivateServer, security: Any) -> None:
    with (
        PrivateServer.start(server.flavour) as mortal,
        RunningRelay((mortal.host, mortal.port), certificate) as relay,
    ):
        connection = relay.connect(mortal, **security)
        _begin(connection)
        assert mortal._process is not None
        mortal._process.kill()
        connection._sock.settimeout(20)
        with contextlib.suppress(OSError):
            while connection._sock.recv(1 << 20):
                pass
        connection._force_close()
        relay.wait_for(lambda events: isinstance(events[-1], Closed))
        assert relay.proxy is not None and not relay.proxy._open


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_broken_connections_leave_nothing_behind(server: PrivateServer, lively: RunningRelay) -> None:
    """Descriptors, tasks and connections are as many as before; 10 000 of these: make hangups."""
    lively.connect(server, **PLAIN).close()
    lively.wait_for(lambda events: isinstance(events[-1], Closed))
    before = _descriptors()
    for number in range(60):
        connection = lively.connect(server, **PLAIN)
        if number % 3:
            _begin(connection)
        if number % 2:
            connection._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection._force_close()
    assert lively.proxy is not None
    connections = lively.proxy._open
    until(lambda: not connections)
    until(lambda: _descriptors() <= before)
    # The relay's own, which waits for the end.
    assert len(asyncio.all_tasks(lively._loop)) == 1
    assert [type(event) for event in lively.sink.events].count(Closed) == 61
