"""What breaks clients behind MySQL proxies, a test each: on every server, whole, and with every byte by itself on both
legs. Each asserts what the client sees, as without the proxy, and what the recording holds, as the general log has it.

Sets of capabilities (the first and second of the fifteen) have `test_wire_agreements` to themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import mysql.connector
import pymysql
import pytest
from mysql_mimic.types import Capabilities

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.events import Closed, Connected, Event, Executed, Lost
from proxy.handshake import Greeting
from tests.relaying import query
from tests.wire import (
    BASE,
    RawClient,
    Route,
    statements,
)

PLAIN: dict[str, Any] = {"ssl_disabled": True}
TLS: dict[str, Any] = {"ssl": {"ssl": {}}}
LEGS = pytest.mark.parametrize("security", [PLAIN, TLS], ids=["plain", "tls"])
SECONDS = 20


def connect(server: PrivateServer, address: tuple[str, int], **options: Any) -> Any:
    settings: dict[str, Any] = {"user": server.user, "password": server.password, "charset": "utf8mb4"}
    return pymysql.connect(host=address[0], port=address[1], **(settings | options))


def command_line(lane: Route, address: tuple[str, int], *more: str) -> list[str]:
    """The command line client of the server's flavour."""
    options = f"--defaults-extra-file={lane.server.defaults_file()}"
    return [str(lane.server.tools.client), options, f"--host={address[0]}", f"--port={address[1]}", *more]


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def threads(server: PrivateServer) -> list[int]:
    with server.connect() as root:
        return [int(row[0]) for row in query(root, "SHOW PROCESSLIST")]


# -- 2, 9: who the server is


def test_the_server_is_who_it_is(lane: Route) -> None:
    """The greeting is the server's own but for thread id and nonce, MariaDB's bytes and all capabilities with it."""

    def greeting(address: tuple[str, int]) -> tuple[bytes, bytes]:
        with RawClient(address) as client:
            parsed = Greeting.parse(client.greeting)
            assert client.query("SELECT CONNECTION_ID()")[-2] == b"%c%d" % (
                len(str(client.thread_id)),
                client.thread_id,
            )
            version, rest = client.greeting.split(b"\0", 1)
            assert version.decode().endswith(lane.server.version) and parsed.low_at == len(version) + 14
            plugin = rest[12 + 19 :].split(b"\0", 1)[-1]
            return version, rest[12:31] + plugin

    lane.both(greeting)


def test_the_command_line_clients_status_is_the_servers(lane: Route) -> None:
    # MySQL's client has commands of its own only when asked.
    more = ["--commands"] if lane.server.flavour == "mysql" else []

    def status(address: tuple[str, int]) -> str:
        done = subprocess.run(
            command_line(lane, address, *more, "-e", "status"),
            capture_output=True,
            text=True,
            check=True,
        )
        return re.sub(r"(?m)^(Connection id|Uptime|TCP port|Threads|SSL|Cert).*$", "", done.stdout)

    assert "Server version" in lane.both(status)


# -- 3: passwords

ACCOUNTS = {
    "mysql": ["WITH caching_sha2_password BY %s", "WITH sha256_password BY %s"],
    "mariadb": ["VIA mysql_native_password USING PASSWORD(%s)"],
}


@LEGS
def test_passwords_of_every_plugin(lane: Route, security: Any) -> None:
    """Cold, where caching_sha2 wants the whole password, and warm."""
    password = "correct 'horse\\"
    for clause in ACCOUNTS[lane.server.flavour]:
        with lane.server.connect() as root:
            query(root, "DROP USER IF EXISTS plugged")
            query(root, f"CREATE USER plugged IDENTIFIED {clause}", (password,))

        def log_in(address: tuple[str, int]) -> Any:
            with lane.server.connect() as root:
                query(root, "FLUSH PRIVILEGES")
            found: list[Any] = []
            for _ in range(2):
                with connect(lane.server, address, user="plugged", password=password, **security) as client:
                    found.append(query(client, "SELECT CURRENT_USER()"))
            with pytest.raises(pymysql.OperationalError) as refused:
                connect(lane.server, address, user="plugged", password="wrong", **security)
            return [*found, refused.value.args]

        assert lane.both(log_in)[:2] == [(("plugged@%",),)] * 2
    events = lane.relay.sink.events
    assert [event.user for event in events if isinstance(event, Connected)] == ["plugged"] * 2 * len(
        ACCOUNTS[lane.server.flavour]
    )
    assert len([event for event in events if isinstance(event, Executed) and b"CURRENT_USER" in event.sql]) == 2 * len(
        ACCOUNTS[lane.server.flavour]
    )
    assert not any("horse" in repr(event) for event in events)


# -- 4: TLS bytes together with the request for it


def test_ssl_request_and_client_hello_in_one_segment(lane: Route) -> None:
    def talk(address: tuple[str, int]) -> bytes:
        with socket.create_connection(address, timeout=SECONDS) as client:
            greeting = b""
            while len(greeting) < 5 or len(greeting) < 4 + greeting[0]:
                greeting += client.recv(1)
            flags = BASE | Capabilities.CLIENT_SSL | Capabilities.CLIENT_LONG_PASSWORD
            head = struct.pack("<IIB23x", int(flags), 1 << 24, 45)
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            tls = context.wrap_bio(incoming, outgoing)
            first = b"\x20\0\0\x01" + head

            def until_done(attempt: Callable[[], Any]) -> Any:
                nonlocal first
                while True:
                    with contextlib.suppress(ssl.SSLWantReadError):
                        done = attempt()
                        client.sendall(first + outgoing.read())
                        return done
                    client.sendall(first + outgoing.read())
                    first = b""
                    incoming.write(client.recv(65536))

            until_done(tls.do_handshake)
            plugin = greeting[:-1].rsplit(b"\0", 1)[-1]
            response = head + b"raw\0\0" + plugin + b"\0"
            until_done(lambda: tls.write(len(response).to_bytes(3, "little") + b"\x02" + response))
            answers = until_done(lambda: tls.read(11))
            command = b"\x03SELECT 'in one segment'"
            until_done(lambda: tls.write(len(command).to_bytes(3, "little") + b"\0" + command))
            while b"in one segment" not in answers.split(b"\x0ein one segment", 1)[-1]:
                answers += until_done(lambda: tls.read(65536))
            return answers

    assert b"\x0ein one segment" in lane.both(talk)
    until(lambda: any(isinstance(event, Closed) for event in lane.relay.sink.events))
    assert "SELECT 'in one segment'" in lane.relay.sink.statements()


# -- 8: thread ids, KILL, Ctrl-C


def test_kill_by_the_servers_own_ids(lane: Route) -> None:
    def talk(address: tuple[str, int]) -> Any:
        with (
            connect(lane.server, address) as victim,
            connect(lane.server, address) as killer,
        ):
            assert victim.thread_id() == query(victim, "SELECT CONNECTION_ID()")[0][0]
            outcome: list[Any] = []

            def work() -> None:
                try:
                    outcome.append(query(victim, "SELECT SLEEP(20)"))
                except pymysql.MySQLError as error:
                    outcome.append(error.args)

            worker = threading.Thread(target=work)
            worker.start()
            until(
                lambda: any(
                    "SLEEP" in str(row[7]) for row in query(killer, "SHOW PROCESSLIST") if row[0] == victim.thread_id()
                )
            )
            query(killer, f"KILL QUERY {victim.thread_id()}")
            worker.join()
            outcome.append(query(victim, "SELECT 'still there'"))
            query(killer, f"KILL {victim.thread_id()}")
            until(lambda: victim.thread_id() not in threads(lane.server))
            with pytest.raises(pymysql.MySQLError):
                query(victim, "SELECT 1")
            return outcome

    lane.both(talk)
    assert {"SELECT CONNECTION_ID()", "SELECT 'still there'"} <= set(lane.relay.sink.statements())


def test_ctrl_c_in_the_command_line_client(lane: Route) -> None:
    """The client kills its query by a second connection, and says so."""

    def interrupt(address: tuple[str, int]) -> tuple[int, str]:
        # A marker that the process list shows, and no other run's.
        marker = f"by {address[1]}"
        child = subprocess.Popen(
            command_line(lane, address, "-e", f"SELECT SLEEP(30), '{marker}'"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with lane.server.connect() as root:
            until(lambda: any(marker in str(row[7]) for row in query(root, "SHOW PROCESSLIST")))
            child.send_signal(signal.SIGINT)
            output, _ = child.communicate(timeout=SECONDS)
            until(lambda: not any(marker in str(row[7]) for row in query(root, "SHOW PROCESSLIST")))
        return child.returncode, output.replace(marker, "")

    lane.both(interrupt)
    until(lambda: all(isinstance(events[-1], Closed) for events in by_connection(lane)))
    assert not any(isinstance(event, Lost) for event in lane.relay.sink.events)


def by_connection(lane: Route) -> list[list[Event]]:
    found: dict[int, list[Event]] = {}
    for event in lane.relay.sink.events:
        found.setdefault(event.connection, []).append(event)
    return list(found.values())


# -- 13: compression


@LEGS
def test_clients_that_compress(lane: Route, security: Any) -> None:
    """Python's connectors and the command line, zlib and zstd; each gets what it asks for."""
    mode = ["--ssl-mode=DISABLED"] if security is PLAIN else []
    ways = [["--compression-algorithms=zlib", *mode], ["--compression-algorithms=zstd", *mode]]
    if lane.server.flavour == "mariadb":
        ways = [["--compress", *(["--skip-ssl"] if mode else [])]]

    def talk(address: tuple[str, int]) -> Any:
        found: list[Any] = []
        for way in ways:
            done = subprocess.run(
                command_line(lane, address, *way, "-NBe", "SHOW STATUS LIKE 'Compression'; SELECT REPEAT('xyz', 9000)"),
                capture_output=True,
                text=True,
                check=True,
            )
            assert done.stdout.startswith("Compression\tON\nxyzxyz")
            found.append(done.stdout)
        settings = {"user": lane.server.user, "password": lane.server.password, "compress": True, "use_pure": True}
        plain = security is PLAIN
        with mysql.connector.connect(host=address[0], port=address[1], ssl_disabled=plain, **settings) as client:
            cursor = client.cursor()
            cursor.execute("SELECT REPEAT('abc', 20000), ''")
            found.append(cursor.fetchall())
        return found

    lane.both(talk)
    texts = lane.relay.sink.statements()
    assert texts.count("SELECT REPEAT('xyz', 9000)") == len(ways)
    assert texts.count("SELECT REPEAT('abc', 20000), ''") == 1
    assert not any(isinstance(event, Lost) for event in lane.relay.sink.events)


# -- 14: idle and half-dead connections


def test_an_idle_connection_ends_when_the_server_says(lane: Route) -> None:
    def wait(address: tuple[str, int]) -> tuple[Any, ...]:
        with RawClient(address) as client:
            client.query("SET SESSION wait_timeout = 1")
            found: list[bytes] = []
            with contextlib.suppress(ConnectionError):
                while True:
                    found.append(client.receive())
            return client.thread_id in threads(lane.server), found

    assert not lane.both(wait)[0]
    until(lambda: isinstance(lane.relay.sink.events[-1], Closed))
    assert not any(isinstance(event, Lost) for event in lane.relay.sink.events)


def test_a_client_that_is_killed_takes_its_thread_along(lane: Route) -> None:
    script = (
        "import pymysql, time\n"
        f"c = pymysql.connect(host={lane.address[0]!r}, port={lane.address[1]}, user={lane.server.user!r},"
        f" password={lane.server.password!r}, ssl_disabled=True)\n"
        "c.cursor().execute('SELECT 5')\n"
        "print(c.thread_id(), flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    thread = int(child.stdout.readline())
    child.kill()
    child.wait()
    child.stdout.close()
    until(lambda: thread not in threads(lane.server))
    assert ("SELECT 5",) in statements(lane.closed(thread))


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_reset_reaches_the_other_side(lane: Route, side: str) -> None:
    with lane.server.connect() as root, RawClient(lane.address) as client:
        client.query("SELECT 'before'")
        if side == "server":
            query(root, f"KILL {client.thread_id}")
        else:
            client.reset()
        until(lambda: client.thread_id not in threads(lane.server))
        assert statements(lane.closed(client.thread_id)) == [("SELECT 'before'",)]


# -- 15: certificates, and TLS that ends without a goodbye


def test_a_client_that_checks_the_certificate(lane: Route, certificate: Certificate) -> None:
    checks = {"ssl_ca": str(certificate.authority), "ssl_verify_cert": True, "ssl_verify_identity": True}
    with connect(lane.server, lane.address, **checks) as client:
        assert query(client, "SHOW STATUS LIKE 'Ssl_cipher'")[0][1]
        thread = client.thread_id()
    lane.closed(thread)
    other = str(lane.server.certificate_authority)
    with pytest.raises(pymysql.OperationalError, match="certificate verify failed"):
        connect(lane.server, lane.address, **(checks | {"ssl_ca": other}))
    until(lambda: len(threads(lane.server)) <= 3)


def test_tls_that_ends_without_a_goodbye(lane: Route) -> None:
    client = connect(lane.server, lane.address, **TLS)
    thread = client.thread_id()
    query(client, "SELECT 'over TLS'")
    # The socket under the TLS, without its close_notify.
    socket.socket(fileno=os.dup(client._sock.fileno())).shutdown(socket.SHUT_RDWR)
    until(lambda: thread not in threads(lane.server))
    assert ("SELECT 'over TLS'",) in statements(lane.closed(thread))
