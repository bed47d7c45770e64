"""Logins that do not end: clients that leave or say nothing, servers that do not greet."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.passwords import password_key
from proxy.relay_options import RelayOptions
from proxy.security import ServerTls, ServerTrust
from tests.fault import FaultProxy
from tests.relaying import Relay, until

PLAIN: dict[str, Any] = {"ssl_disabled": True}
TLS: dict[str, Any] = {"ssl": {"ssl": {}}}


def _packet(sequence: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([sequence]) + payload


def _response(plugin: bytes, answer: bytes, *, tls: bool = False) -> bytes:
    flags = 0x1 | 0x200 | 0x8000 | 0x80000 | (0x800 if tls else 0)
    head = struct.pack("<IIB23x", flags, 1 << 24, 45)
    return head if tls else head + b"guest\0" + bytes([len(answer)]) + answer + plugin + b"\0"


def _leave(address: tuple[str, int], flavour: str, when: str) -> None:
    """A client that hangs up somewhere in its login."""
    with socket.create_connection(address) as client:
        client.recv(65536)
        if when == "its TLS":
            client.sendall(_packet(1, _response(b"", b"", tls=True)))
        elif when == "the server's answer":
            client.sendall(_packet(1, _response(b"mysql_native_password", b"x" * 20)))
        elif when == "its own answer":
            plugin = b"caching_sha2_password" if flavour == "mysql" else b"client_ed25519"
            client.sendall(_packet(1, _response(plugin, b"x" * 32)))
            client.recv(65536)


@pytest.fixture(scope="module")
def strict(server: PrivateServer) -> Iterator[PrivateServer]:
    """A server that shuts a host out after two broken handshakes; it never counts 127.0.0.1."""
    with PrivateServer.start(server.flavour, options=["--max-connect-errors=2"]) as running:
        running.execute("CREATE USER guest@'%' IDENTIFIED BY 'guest'")
        yield running


@pytest.mark.parametrize("server_tls", [ServerTls.AS_CLIENT, ServerTls.REQUIRE])
@pytest.mark.parametrize("when", ["its TLS", "the server's answer", "its own answer"])
def test_who_leaves_in_the_middle_is_not_held_against_the_proxy(
    strict: PrivateServer, certificate: Certificate, tmp_path: Path, when: str, server_tls: ServerTls
) -> None:
    with contextlib.ExitStack() as stack:
        elsewhere = stack.enter_context(FaultProxy((strict.host, strict.port), source="127.0.0.2"))
        options = RelayOptions(trust=ServerTrust(server_tls), password_key=password_key(tmp_path))
        relay = stack.enter_context(Relay(("127.0.0.1", elsewhere.port), certificate, options))
        strict.execute("FLUSH HOSTS" if strict.flavour == "mariadb" else "SELECT 1", "FLUSH PRIVILEGES")
        for _ in range(9):
            _leave(relay.address, strict.flavour, when)
        until(lambda: _nobody_waits(strict))
        relay.connect(strict, user="guest", password="guest").close()


def _nobody_waits(server: PrivateServer) -> bool:
    with server.connect() as root, root.cursor() as cursor:
        cursor.execute("SHOW PROCESSLIST")
        return all(row[1] != "unauthenticated user" for row in cursor.fetchall())


@pytest.mark.parametrize("after", ["greeting", "TLS request", "response"])
def test_a_client_that_says_nothing(strict: PrivateServer, certificate: Certificate, after: str) -> None:
    with contextlib.ExitStack() as stack:
        elsewhere = stack.enter_context(FaultProxy((strict.host, strict.port), source="127.0.0.2"))
        options = RelayOptions(login_seconds=0.3)
        relay = stack.enter_context(Relay(("127.0.0.1", elsewhere.port), certificate, options))
        for _ in range(4):
            with socket.create_connection(relay.address) as client:
                client.settimeout(20)
                client.recv(65536)
                plugin = b"caching_sha2_password" if strict.flavour == "mysql" else b"client_ed25519"
                if after == "response":
                    client.sendall(_packet(1, _response(plugin, b"x" * 32)))
                    client.recv(65536)
                elif after == "TLS request":
                    client.sendall(_packet(1, _response(b"", b"", tls=True)))
                said = b""
                while data := client.recv(65536):
                    said += data
                if after != "TLS request":
                    assert b"\xff\x87\x04#08S01djproxy: got timeout" in said
        until(lambda: _nobody_waits(strict))
        relay.connect(strict, user="guest", password="guest").close()
        assert not any(event.user == "" for event in relay.sink.events if hasattr(event, "user"))


def test_a_slow_client_is_waited_for(server: PrivateServer, certificate: Certificate) -> None:
    """0 is no limit but the server's."""
    with contextlib.ExitStack() as stack:
        options = RelayOptions(login_seconds=0)
        relay = stack.enter_context(Relay((server.host, server.port), certificate, options))
        client = stack.enter_context(socket.create_connection(relay.address))
        client.recv(65536)
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_server_that_does_not_greet(certificate: Certificate) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        options = RelayOptions(connect_seconds=0.3)
        with (
            Relay(mute.getsockname(), certificate, options) as relay,
            socket.create_connection(relay.address) as client,
        ):
            client.settimeout(20)
            said = b""
            while data := client.recv(65536):
                said += data
            assert said[4:].startswith(b"\xff\xd3\x07djproxy: cannot connect to the MySQL server at 127.0.0.1:")
            assert said.endswith(b"(no greeting within 0.3 seconds)")


def test_a_timeout_over_tls_reaches_the_client(server: PrivateServer, certificate: Certificate) -> None:
    with contextlib.ExitStack() as stack:
        options = RelayOptions(login_seconds=0.3)
        relay = stack.enter_context(Relay((server.host, server.port), certificate, options))
        client = stack.enter_context(socket.create_connection(relay.address))
        client.recv(65536)
        client.sendall(_packet(1, _response(b"", b"", tls=True)))
        context = ssl.create_default_context(cafile=str(certificate.authority))
        secure = stack.enter_context(context.wrap_socket(client, server_hostname="localhost"))
        secure.settimeout(20)
        assert b"#08S01djproxy: got timeout" in secure.recv(65536)
