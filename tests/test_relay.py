"""The relay between real clients and real servers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

import mysql.connector
import pymysql
import pytest
import uvloop

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.errors import InputError
from proxy.events import Closed, Connected, Event, Executed, Lost, Noted, UserChanged
from proxy.leg import WRITE_BUFFER
from proxy.limits import DEFAULT, Limits
from proxy.relay import Proxy
from proxy.relay_options import RelayOptions
from proxy.results import NO_WATCH, Watch
from tests.fault import FaultProxy

# What DataJoint 0.14 gives to PyMySQL by default.
DATAJOINT_TLS: dict[str, Any] = {"ssl": {}}
PLAIN: dict[str, Any] = {"ssl_disabled": True}
LEGS = pytest.mark.parametrize("security", [PLAIN, {"ssl": DATAJOINT_TLS}], ids=["plain", "tls"])


class ListSink:
    """Events as they were written; `fail` makes the next writes raise."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fail = False

    def write(self, events: list[Event]) -> None:
        if self.fail:
            raise OSError("No space left on device")
        self.events += events

    def statements(self) -> list[str]:
        return [event.sql.decode() for event in self.events if isinstance(event, Executed)]


class RunningRelay:
    """A proxy on a loop of its own in a thread, for clients that block."""

    def __init__(
        self,
        server: tuple[str, int],
        certificate: Certificate | None,
        watch: Watch = NO_WATCH,
        limits: Limits = DEFAULT,
    ) -> None:
        self.sink = ListSink()
        self.address = ("", 0)
        self.proxy: Proxy | None = None
        self._server = server
        self._options = RelayOptions(certificate=certificate, watch=watch, limits=limits)
        self._loop = uvloop.new_event_loop()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._grace: Future[float] = Future()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0)

    def stop(self, grace: float) -> None:
        if not self._grace.done():
            self._grace.set_result(grace)
        self._thread.join(timeout=60)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self.proxy = await Proxy.start(("127.0.0.1", 0), self._server, self.sink, self._options)
        self.address = self.proxy.address
        self._started.set_result(None)
        await self.proxy.stop(await asyncio.wrap_future(self._grace))

    def connect(self, server: PrivateServer, **options: Any) -> Any:
        settings: dict[str, Any] = {"user": server.user, "password": server.password, "charset": "utf8mb4"}
        return pymysql.connect(host=self.address[0], port=self.address[1], **(settings | options))

    def wait_for(self, found: Callable[[list[Event]], bool]) -> None:
        """Until the events are such; the relay writes the last ones after the client has gone."""
        deadline = time.monotonic() + 20
        while not found(self.sink.events):
            assert time.monotonic() < deadline, self.sink.events
            time.sleep(0.01)


@pytest.fixture
def relay(server: PrivateServer, certificate: Certificate) -> Iterator[RunningRelay]:
    with RunningRelay((server.host, server.port), certificate) as running:
        yield running


def _query(connection: pymysql.Connection[Any], sql: str, parameters: Any = None) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def _cipher(connection: pymysql.Connection[Any]) -> str:
    return str(_query(connection, "SHOW STATUS LIKE 'Ssl_cipher'")[0][1])


# -- the login


@LEGS
def test_the_server_leg_is_as_secure_as_the_clients(server: PrivateServer, relay: RunningRelay, security: Any) -> None:
    with relay.connect(server, **security) as connection:
        assert bool(_cipher(connection)) == ("ssl" in security)
        ((thread_id,),) = _query(connection, "SELECT CONNECTION_ID()")
        assert connection.server_thread_id == (thread_id,)
        assert server.version in connection.server_version
    relay.wait_for(lambda events: isinstance(events[-1], Closed))
    assert isinstance(relay.sink.events[0], Connected)
    assert relay.sink.events[0].user == server.user
    assert relay.sink.events[0].thread_id == thread_id


def test_without_a_certificate_no_tls_is_offered(server: PrivateServer) -> None:
    with RunningRelay((server.host, server.port), None) as relay:
        with relay.connect(server) as connection:
            assert _cipher(connection) == ""
        with pytest.raises(pymysql.OperationalError, match="SSL"):
            relay.connect(server, ssl={"ca": None, "check_hostname": False}, ssl_verify_cert=False)


def test_a_client_may_verify_the_certificate(
    server: PrivateServer, relay: RunningRelay, certificate: Certificate
) -> None:
    with relay.connect(
        server, ssl_ca=str(certificate.authority), ssl_verify_cert=True, ssl_verify_identity=True
    ) as one:
        assert _cipher(one)


# How each flavour makes accounts with a password; its other plugins are not in every package of it.
ACCOUNTS = {
    "mysql": ["WITH caching_sha2_password BY %s", "WITH sha256_password BY %s"],
    "mariadb": ["VIA mysql_native_password USING PASSWORD(%s)"],
}


@LEGS
def test_every_plugin_logs_in(server: PrivateServer, relay: RunningRelay, security: Any) -> None:
    """Cold, so that caching_sha2 asks for the whole password (RSA without TLS), and warm."""
    password = "correct 'horse\\"
    for clause in ACCOUNTS[server.flavour]:
        with server.connect() as root:
            _query(root, "DROP USER IF EXISTS plugged")
            _query(root, f"CREATE USER plugged IDENTIFIED {clause}", (password,))
            _query(root, "FLUSH PRIVILEGES")
        for _ in range(2):
            with relay.connect(server, user="plugged", password=password, **security) as connection:
                assert _query(connection, "SELECT CURRENT_USER()") == (("plugged@%",),)
        with pytest.raises(pymysql.OperationalError) as refused:
            relay.connect(server, user="plugged", password="wrong", **security)
        assert refused.value.args[0] == 1045
    assert not any("horse" in repr(event) for event in relay.sink.events)


def test_ssl_request_and_client_hello_in_one_segment(server: PrivateServer, relay: RunningRelay) -> None:
    with socket.create_connection(relay.address) as client:
        greeting = client.recv(65536)
        assert greeting[4] == 10
        # PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH
        head = struct.pack("<IIB", 0x00088A00, 1 << 24, 45) + bytes(23)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        tls = context.wrap_bio(incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        client.sendall(b"\x20\0\0\x01" + head + outgoing.read())
        while True:
            incoming.write(client.recv(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        response = head + b"nobody\0\0mysql_native_password\0"
        tls.write(len(response).to_bytes(3, "little") + b"\x02" + response)
        client.sendall(outgoing.read())
        answer = b""
        while not answer:
            incoming.write(client.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                answer = tls.read(65536)
        assert answer[3] == 3


@pytest.mark.parametrize("slow_leg", ["client", "server"])
@LEGS
def test_one_byte_at_a_time(server: PrivateServer, certificate: Certificate, slow_leg: str, security: Any) -> None:
    with contextlib.ExitStack() as stack:
        target = (server.host, server.port)
        if slow_leg == "server":
            target = ("127.0.0.1", stack.enter_context(FaultProxy(target, slice_size=1)).port)
        relay = stack.enter_context(RunningRelay(target, certificate))
        port = relay.address[1]
        if slow_leg == "client":
            port = stack.enter_context(FaultProxy(relay.address, slice_size=1)).port
        connection = pymysql.connect(
            host="127.0.0.1", port=port, user=server.user, password=server.password, **security
        )
        with connection:
            assert _query(connection, "SELECT 'é', NULL, REPEAT('x', 300)") == (("é", None, "x" * 300),)
            with pytest.raises(pymysql.MySQLError, match="nonsense"):
                _query(connection, "SELECT nonsense")
            assert _query(connection, "SELECT 2") == ((2,),)
        assert relay.sink.statements()[-2:] == ["SELECT 'é', NULL, REPEAT('x', 300)", "SELECT 2"]
        assert not any(isinstance(event, Lost) for event in relay.sink.events)


# -- statements


@LEGS
def test_large_packets_both_ways(server: PrivateServer, relay: RunningRelay, database: str, security: Any) -> None:
    blob = os.urandom(1 << 20) * 20
    with relay.connect(server, database=database, max_allowed_packet=64 << 20, **security) as connection:
        _query(connection, "CREATE TABLE big (id INT PRIMARY KEY, content LONGBLOB)")
        _query(connection, "INSERT INTO big VALUES (1, %s)", (blob,))
        ((back,),) = _query(connection, "SELECT content FROM big")
        assert hashlib.sha256(back).digest() == hashlib.sha256(blob).digest()
        # Packets of 16 MB less one byte, exactly, and one more: 18 bytes are the command and the rest of its text.
        for length in (0xFFFFFF - 1, 0xFFFFFF, 0xFFFFFF + 1):
            ((measured,),) = _query(connection, f"SELECT LENGTH('{'x' * (length - 18)}')")
            assert measured == length - 18
    assert [event.table for event in relay.sink.events if isinstance(event, Noted) and event.verb == "INSERT"] == [
        "big"
    ]
    assert len(relay.sink.statements()[-1]) == 0xFFFFFF


def test_errors_are_the_servers_own(server: PrivateServer, relay: RunningRelay) -> None:
    texts = ["SELECT nonsense", "SELECT * FROM nowhere.at_all", "SELEC", "", "KILL 999999999"]
    found = []
    for connection in (server.connect(), relay.connect(server)):
        with connection:
            for text in texts:
                with pytest.raises(pymysql.MySQLError) as refused:
                    _query(connection, text)
                found.append((type(refused.value), refused.value.args))
    assert found[: len(texts)] == found[len(texts) :]
    assert not set(texts) & set(relay.sink.statements())


def test_several_statements_in_one_text(server: PrivateServer, relay: RunningRelay) -> None:
    flag = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with relay.connect(server, client_flag=flag) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1; SET @x = 2; SELECT @x; SELECT nonsense; SELECT 5")
        found = [cursor.fetchall()]
        with pytest.raises(pymysql.MySQLError, match="nonsense"):
            while cursor.nextset():
                found.append(cursor.fetchall())
        assert ((1,),) in found and ((2,),) in found
    assert relay.sink.statements()[-3:] == ["SELECT 1", "SET @x = 2", "SELECT @x"]


@pytest.mark.parametrize("allowed", [True, False])
def test_local_files(server: PrivateServer, relay: RunningRelay, database: str, tmp_path: Path, allowed: bool) -> None:
    (tmp_path / "rows.txt").write_text("".join(f"{number}\n" for number in range(50_000)))
    with relay.connect(server, database=database, local_infile=allowed) as connection:
        _query(connection, "CREATE TABLE numbers (n INT)")
        load = f"LOAD DATA LOCAL INFILE '{tmp_path / 'rows.txt'}' INTO TABLE numbers"
        if allowed:
            _query(connection, load)
            assert _query(connection, "SELECT COUNT(*) FROM numbers") == ((50_000,),)
        else:
            with pytest.raises(pymysql.MySQLError):
                _query(connection, load)
    loads = [event for event in relay.sink.events if isinstance(event, Noted) and event.verb == "LOAD"]
    assert [event.table for event in loads] == (["numbers"] if allowed else [])


def test_prepared_statements_and_another_user(server: PrivateServer, relay: RunningRelay, database: str) -> None:
    client = mysql.connector.connect(
        host=relay.address[0], port=relay.address[1], user=server.user, password=server.password, use_pure=True
    )
    cursor = client.cursor(prepared=True)
    for number in (1, 2):
        cursor.execute("SELECT %s, %s, %s", (number, "it's", None))
        assert cursor.fetchall() == [(number, "it's", None)]
    cursor.close()
    client.cmd_change_user(server.user, server.password, database)
    plain = client.cursor()
    plain.execute("SELECT DATABASE()")
    assert plain.fetchall() == [(database,)]
    client.close()
    prepared = [event for event in relay.sink.events if isinstance(event, Executed) and event.parameters is not None]
    assert [(event.sql, event.parameters) for event in prepared] == [
        (b"SELECT ?, ?, ?", ("1", "'it''s'", "NULL")),
        (b"SELECT ?, ?, ?", ("2", "'it''s'", "NULL")),
    ]
    changed = [event for event in relay.sink.events if isinstance(event, UserChanged)]
    assert [(event.user, event.schema) for event in changed] == [(server.user, database)]
    assert not any(server.password in repr(event) for event in relay.sink.events)


def test_the_command_line_client(server: PrivateServer, relay: RunningRelay) -> None:
    host, port = relay.address
    options = server.defaults_file()
    done = subprocess.run(
        [
            server.tools.client,
            f"--defaults-extra-file={options}",
            f"--host={host}",
            f"--port={port}",
            "-NBe",
            "SELECT 6*7",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr
    assert "SELECT 6*7" in relay.sink.statements()


def test_many_connections_at_once(server: PrivateServer, relay: RunningRelay) -> None:
    def work(number: int) -> None:
        with relay.connect(server) as connection:
            for step in range(25):
                assert _query(connection, f"SELECT {number}, {step}") == ((number, step),)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"SELECT {number}, {step}" for number in range(12) for step in range(25)}
    found = [sql for sql in relay.sink.statements() if sql in expected]
    assert len(found) == len(expected) and set(found) == expected
    assert relay.proxy is not None and relay.proxy.connections_seen == 12


# -- ends


def test_a_statement_is_recorded_before_its_answer_arrives(server: PrivateServer, relay: RunningRelay) -> None:
    with relay.connect(server) as connection:
        for number in range(200):
            _query(connection, f"SELECT {number}")
            assert relay.sink.statements()[-1] == f"SELECT {number}"


def test_a_sink_that_fails_harms_nobody_and_is_told(
    server: PrivateServer, relay: RunningRelay, capfd: pytest.CaptureFixture[str]
) -> None:
    with relay.connect(server) as connection:
        relay.sink.fail = True
        assert _query(connection, "SELECT 1") == ((1,),)
        assert _query(connection, "SELECT 2") == ((2,),)
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
        _until(lambda: transport.get_write_buffer_size() > WRITE_BUFFER)
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
        _until(lambda: thread not in [row[0] for row in _query(root, "SHOW PROCESSLIST")])
    relay.wait_for(lambda events: isinstance(events[-1], Closed))


def test_a_killed_connection_looks_the_same(server: PrivateServer, relay: RunningRelay) -> None:
    found = []
    for connection in (server.connect(), relay.connect(server)):
        with server.connect() as root:
            _query(root, f"KILL {connection.thread_id()}")
            thread = connection.thread_id()
            _until(lambda root=root, thread=thread: thread not in [r[0] for r in _query(root, "SHOW PROCESSLIST")])  # type: ignore[misc]
        with pytest.raises(pymysql.MySQLError) as lost:
            _query(connection, "SELECT 1")
        found.append(lost.value.args[0])
    assert found[0] in (2013, 2006, 4031, 1927) and found[1] in (2013, 2006, 4031, 1927)


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_reset_goes_through(server: PrivateServer, certificate: Certificate, side: str) -> None:
    with contextlib.ExitStack() as stack:
        if side == "server":
            fault = stack.enter_context(FaultProxy((server.host, server.port)))
            relay = stack.enter_context(RunningRelay(("127.0.0.1", fault.port), certificate))
            connection = relay.connect(server)
        else:
            relay = stack.enter_context(RunningRelay((server.host, server.port), certificate))
            fault = stack.enter_context(FaultProxy(relay.address))
            connection = pymysql.connect(host="127.0.0.1", port=fault.port, user=server.user, password=server.password)
        fault.reset_all()
        relay.wait_for(lambda events: isinstance(events[-1], Closed))
        with pytest.raises(pymysql.MySQLError):
            _query(connection, "SELECT 1")


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
                return all(row[1] != "unauthenticated user" for row in _query(root, "SHOW PROCESSLIST"))

        _knock(relay.address, 9)
        _until(nobody_waits)
        with relay.connect(strict, user="guest", password="guest") as connection:
            assert _query(connection, "SELECT 1") == ((1,),)
        _knock(("127.0.0.1", elsewhere.port), 9)
        _until(nobody_waits)
        with pytest.raises(pymysql.MySQLError, match="blocked because of many connection errors"):
            relay.connect(strict, user="guest", password="guest")


def test_stop_closes_the_idle_and_waits_for_the_busy(server: PrivateServer, certificate: Certificate) -> None:
    relay = RunningRelay((server.host, server.port), certificate)
    with relay:
        idle, busy = relay.connect(server), relay.connect(server)
        answers: list[Any] = []
        worker = threading.Thread(target=lambda: answers.append(_query(busy, "SELECT SLEEP(1.5)")))
        worker.start()
        relay.wait_for(lambda _: server.flavour != "" and _is_running(server, "SLEEP(1.5)"))
        relay.stop(20)
        worker.join()
        assert answers == [((0,),)]
        with pytest.raises(pymysql.MySQLError):
            _query(idle, "SELECT 1")
        with pytest.raises(pymysql.MySQLError):
            relay.connect(server)
    assert [type(event) for event in relay.sink.events].count(Closed) == 2


def test_stop_does_not_wait_for_ever(server: PrivateServer, certificate: Certificate) -> None:
    with RunningRelay((server.host, server.port), certificate) as relay:
        busy = relay.connect(server)
        outcome: list[BaseException] = []

        def work() -> None:
            try:
                _query(busy, "SELECT SLEEP(30)")
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
        return any(text in str(row[7]) for row in _query(root, "SHOW PROCESSLIST"))


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
