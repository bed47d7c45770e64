"""The look at the server before recording."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.database import ServerAddress
from proxy.errors import InputError, ServerError
from proxy.paths import Home, RunningProxy, announce, running
from proxy.probe import probe, refuse_own

#: Version 10, no TLS among the capabilities, the login plugin of old.
GREETING = (
    b"\x0a8.0.0\0\x01\0\0\0nonce678\0\xff\xf7\x2d\x02\0\xff\xc1\x15"
    + bytes(10)
    + b"901234567890\0mysql_native_password\0"
)


class Script:
    """A server that says its packets in turn and keeps what it got in between, up to the client's farewell."""

    def __init__(self, listener: socket.socket, packets: list[bytes], raw: bool) -> None:
        self.got: list[tuple[int, bytes]] = []
        self._listener = listener
        self._packets = packets
        self._raw = raw
        self._sequence = 0

    def run(self) -> None:
        connection, _ = self._listener.accept()
        # A client that has seen enough leaves without reading the rest.
        with connection, suppress(ConnectionResetError):
            for packet in self._packets:
                head = len(packet).to_bytes(3, "little") + bytes([self._sequence])
                connection.sendall(packet if self._raw else head + packet)
                self._receive(connection)

    def _receive(self, connection: socket.socket) -> None:
        head = connection.recv(4, socket.MSG_WAITALL)
        if len(head) == 4:
            body = connection.recv(int.from_bytes(head[:3], "little"), socket.MSG_WAITALL) if any(head[:3]) else b""
            self.got.append((head[3], body))
            self._sequence = head[3] + 1


@contextmanager
def scripted(*packets: bytes, raw: bool = False) -> Iterator[tuple[ServerAddress, Script]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = Script(listener, list(packets), raw)
        thread = threading.Thread(target=script.run)
        thread.start()
        yield ServerAddress("127.0.0.1", listener.getsockname()[1]), script
        thread.join()


def test_it_ends_with_a_refused_login_and_not_by_hanging_up() -> None:
    """After `max_connect_errors` clients that leave in the handshake the server would shut this host out."""
    denied = b"\xff\x15\x04#28000Access denied"
    with scripted(GREETING, b"\xfecaching_sha2_password\0nonce\0", denied) as (server, script):
        probe(server)
    (first, login), (second, answer) = script.got
    assert (first, second, answer) == (1, 3, b"")
    assert login[32:].startswith(b"djproxy\0\0")


def test_an_anonymous_account_is_left_by_a_quit() -> None:
    with scripted(GREETING, b"\0\0\0\x02\0\0\0") as (server, script):
        probe(server)
    assert script.got[1] == (0, b"\x01")


@pytest.mark.parametrize(
    ("packet", "raw", "message"),
    [
        (b"\xff\x10\x04Too many connections", False, "Too many connections .error 1040"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", True, "no MySQL server"),
        (b"\x05\0\0\0\x09abcd", True, "no MySQL server"),
        (b"", True, "no MySQL server|cannot be reached"),
        (b"\0\0\0\0", True, "no MySQL server"),
    ],
)
def test_what_serves_nobody(packet: bytes, raw: bool, message: str) -> None:
    with scripted(packet, raw=raw) as (server, _), pytest.raises(ServerError, match=message):
        # A server that says nothing is left in time.
        probe(server, seconds=0.5)


def test_a_real_server_is_one(server: PrivateServer) -> None:
    probe(ServerAddress(server.host, server.port))


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    with pytest.raises(ServerError, match="cannot be reached") as caught:
        probe(ServerAddress("127.0.0.1", port))
    assert caught.value.exit_code == 3


def test_every_interface_is_every_address_of_this_machine(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    announce(home, RunningProxy(os.getpid(), "0.0.0.0", 3307, "P", "main"))
    with pytest.raises(InputError, match="itself a djproxy"):
        refuse_own(ServerAddress("127.0.0.1", 3307), running(home))
    refuse_own(ServerAddress("127.0.0.1", 3306), running(home))
    refuse_own(ServerAddress("192.0.2.1", 3307), running(home))


def test_notes_of_dead_proxies_are_removed(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").create()
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    note = announce(home, RunningProxy(int(process.stdout), "127.0.0.1", 1, "P", "main"))
    assert running(home) == []
    assert not note.exists()
