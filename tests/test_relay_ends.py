"""The relay where a side ends, breaks or fails, and at its own end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pymysql
import pytest

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.errors import InputError
from proxy.events import Closed, Lost
from proxy.leg import WRITE_BUFFER
from proxy.relay import Proxy
from proxy.relay_options import RelayOptions
from tests.fault import FaultProxy
from tests.relaying import PLAIN, ListSink, RunningRelay, query, until


def test_a_statement_is_recorded_before_its_answer_arrives(server: PrivateServer, relay: RunningRelay) -> None:
    with relay.connect(server) as connection:
        for number in range(200):
            query(connection, f"SELECT {number}")
            assert relay.sink.statements()[-1] == f"SELECT {number}"


def test_a_sink_that_fails_harms_nobody_and_is_told(
    server: PrivateServer, relay: RunningRelay, capfd: pytest.CaptureFixture[str]
) -> None:
    with relay.connect(server) as connection:
        relay.sink.fail = True
        assert query(connection, "SELECT 1") == ((1,),)
        assert query(connection, "SELECT 2") == ((2,),)
        relay.sink.fail = False
    with relay.connect(server):
        pass
    relay.wait_for(lambda events: any(isinstance(event, Lost) for event in events))
    (lost,) = [event for event in relay.sink.events if isinstance(event, Lost)]
    assert lost.connection == 1 and "No space left" in lost.reason
    assert capfd.readouterr().err.count("No space left") == 1


def test_a_client_that_does_not_read_holds_the_server_back(server: PrivateServer, relay: RunningRelay) -> None:
    """The relay holds a little of what the client does not take, and the client gets it all in the end."""
    numbers = " UNION ALL ".join(f"SELECT {number} AS n" for number in range(100))
    with relay.connect(server, cursorclass=pymysql.cursors.SSCursor, **PLAIN) as connection:
        cursor = connection.cursor()
        cursor.execute(f"SELECT n, REPEAT('x', 1000000) FROM ({numbers}) AS numbers")
        assert cursor.fetchone()[0] == 0
        assert relay.proxy is not None
        (open_connection,) = relay.proxy._open
        transport = open_connection.client.transport
        assert transport is not None
        until(lambda: transport.get_write_buffer_size() > WRITE_BUFFER)
        time.sleep(0.3)
        assert transport.get_write_buffer_size() < 4_000_000
        rest = cursor.fetchall()
        assert [len(text) for _, text in rest] == [1_000_000] * 99


def test_a_server_that_cannot_be_reached(certificate: Certificate) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host, port = taken.getsockname()
        with RunningRelay((host, port), certificate) as relay, pytest.raises(pymysql.OperationalError) as refused:
            pymysql.connect(host=relay.address[0], port=relay.address[1], user="u", password="p")
    number, message = refused.value.args
    assert number == 2003
    assert f"cannot connect to the MySQL server at {host}:{port}" in message


def test_a_client_that_dies_takes_its_server_thread_along(server: PrivateServer, relay: RunningRelay) -> None:
    script = (
        "import pymysql, time\n"
        f"c = pymysql.connect(host={relay.address[0]!r}, port={relay.address[1]}, user={server.user!r},"
        f" password={server.password!r}, ssl_disabled=True)\n"
        "print(c.thread_id(), flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    thread = int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with server.connect() as root:
        until(lambda: thread not in [row[0] for row in query(root, "SHOW PROCESSLIST")])
    relay.wait_for(lambda events: isinstance(events[-1], Closed))


def test_a_killed_connection_looks_the_same(server: PrivateServer, relay: RunningRelay) -> None:
    found = []
    for connection in (server.connect(), relay.connect(server)):
        with server.connect() as root:
            query(root, f"KILL {connection.thread_id()}")
            thread = connection.thread_id()
            until(lambda root=root, thread=thread: thread not in [r[0] for r in query(root, "SHOW PROCESSLIST")])  # type: ignore[misc]
        with pytest.raises(pymysql.MySQLError) as lost:
            query(connection, "SELECT 1")
        found.append(lost.value.args[0])
    assert found[0] in (2013, 2006, 4031, 1927) and found[1] in (2013, 2006, 4031, 1927)


@pytest.mark.parametrize("size", [None, 1], ids=["whole", "sliced"])
@pytest.mark.parametrize("side", ["client", "server"])
def test_a_reset_goes_through(server: PrivateServer, certificate: Certificate, side: str, size: int | None) -> None:
    with contextlib.ExitStack() as stack:
        if side == "server":
            fault = stack.enter_context(FaultProxy((server.host, server.port), slice_size=size))
            relay = stack.enter_context(RunningRelay(("127.0.0.1", fault.port), certificate))
            connection = relay.connect(server)
        else:
            relay = stack.enter_context(RunningRelay((server.host, server.port), certificate))
            fault = stack.enter_context(FaultProxy(relay.address, slice_size=size))
            connection = pymysql.connect(host="127.0.0.1", port=fault.port, user=server.user, password=server.password)
        fault.reset_all()
        relay.wait_for(lambda events: isinstance(events[-1], Closed))
        with pytest.raises(pymysql.MySQLError):
            query(connection, "SELECT 1")


def _knock(address: tuple[str, int], times: int) -> None:
    """As port scanners do: hang up at once, after the greeting, with nonsense."""
    for number in range(times):
        with socket.create_connection(address) as knock:
            if number % 3:
                knock.recv(65536)
            if number % 3 == 2:
                knock.sendall(b"GET / HTTP/1.1\r\n\r\n")
                knock.recv(65536)


def test_who_only_knocks_is_not_held_against_the_proxy(server: PrivateServer, certificate: Certificate) -> None:
    """Servers count broken handshakes per host, and shut a host out; 127.0.0.1 is the one that they never count."""
    with contextlib.ExitStack() as stack:
        strict = stack.enter_context(PrivateServer.start(server.flavour, options=["--max-connect-errors=2"]))
        strict.execute("CREATE USER guest@'%' IDENTIFIED BY 'guest'")
        elsewhere = stack.enter_context(FaultProxy((strict.host, strict.port), source="127.0.0.2"))
        relay = stack.enter_context(RunningRelay(("127.0.0.1", elsewhere.port), certificate))

        def nobody_waits() -> bool:
            with strict.connect() as root:
                return all(row[1] != "unauthenticated user" for row in query(root, "SHOW PROCESSLIST"))

        _knock(relay.address, 9)
        until(nobody_waits)
        with relay.connect(strict, user="guest", password="guest") as connection:
            assert query(connection, "SELECT 1") == ((1,),)
        _knock(("127.0.0.1", elsewhere.port), 9)
        until(nobody_waits)
        with pytest.raises(pymysql.MySQLError, match="blocked because of many connection errors"):
            relay.connect(strict, user="guest", password="guest")


def test_stop_closes_the_idle_and_waits_for_the_busy(server: PrivateServer, certificate: Certificate) -> None:
    relay = RunningRelay((server.host, server.port), certificate)
    with relay:
        idle, busy = relay.connect(server), relay.connect(server)
        answers: list[Any] = []
        worker = threading.Thread(target=lambda: answers.append(query(busy, "SELECT SLEEP(1.5)")))
        worker.start()
        relay.wait_for(lambda _: server.flavour != "" and _is_running(server, "SLEEP(1.5)"))
        relay.stop(20)
        worker.join()
        assert answers == [((0,),)]
        with pytest.raises(pymysql.MySQLError):
            query(idle, "SELECT 1")
        with pytest.raises(pymysql.MySQLError):
            relay.connect(server)
    assert [type(event) for event in relay.sink.events].count(Closed) == 2


def test_stop_does_not_wait_for_ever(server: PrivateServer, certificate: Certificate) -> None:
    with RunningRelay((server.host, server.port), certificate) as relay:
        busy = relay.connect(server)
        outcome: list[BaseException] = []

        def work() -> None:
            try:
                query(busy, "SELECT SLEEP(30)")
            except pymysql.MySQLError as error:
                outcome.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        relay.wait_for(lambda _: _is_running(server, "SLEEP(30)"))
        relay.stop(0.2)
        worker.join(timeout=20)
        assert outcome


def test_a_proxy_to_itself_is_refused(certificate: Certificate) -> None:
    async def start() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        await Proxy.start(("127.0.0.1", port), ("localhost", port), ListSink(), RelayOptions(certificate=certificate))

    with pytest.raises(InputError, match="this proxy itself"):
        asyncio.run(start())


def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    wrong = Certificate(tmp_path / "x.pem", tmp_path / "x.pem")
    with pytest.raises(InputError, match="cannot be used"):
        asyncio.run(Proxy.start(("127.0.0.1", 0), ("127.0.0.1", 1), ListSink(), RelayOptions(certificate=wrong)))


def _is_running(server: PrivateServer, text: str) -> bool:
    with server.connect() as root:
        return any(text in str(row[7]) for row in query(root, "SHOW PROCESSLIST"))
