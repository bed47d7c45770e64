"""Connections that end: what the server learns of it, and when."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from mysql_mimic.types import Capabilities

from proxy.certificates import Certificate
from proxy.protocol import packet
from proxy.tls import server_context
from tests.handshaking import CLIENT_FLAGS, MYSQL, OK, greeting, head, response
from tests.relaying import RunningRelay

SECONDS = 20
QUERY = packet(0, b"\x03SELECT 1")
SSL = Capabilities.CLIENT_SSL


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Where a server by hand accepts."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        found.settimeout(SECONDS)
        yield found


def logged_in(listener: socket.socket, address: tuple[str, int]) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection through the proxy, behind its login."""
    client = socket.create_connection(address, timeout=SECONDS)
    server, _ = listener.accept()
    server.settimeout(SECONDS)
    server.sendall(packet(0, greeting(MYSQL & ~SSL)))
    client.recv(1000)
    client.sendall(packet(1, response()))
    server.recv(1000)
    server.sendall(packet(2, OK))
    client.recv(1000)
    return client, server


def test_an_end_is_not_overtaken_by_what_others_say_after_it(listener: socket.socket) -> None:
    """Both come to the proxy at once; the server may have been told to count such ends."""
    address = listener.getsockname()
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(RunningRelay(address, None))
        ends = [logged_in(listener, relay.address) for _ in range(2)]
        for end in (*ends[0], *ends[1]):
            stack.enter_context(end)
        (leaving, left), (asking, asked) = ends
        busy, go = threading.Event(), threading.Event()
        relay._loop.call_soon_threadsafe(lambda: (busy.set(), go.wait(SECONDS)))
        assert busy.wait(SECONDS)
        leaving.close()
        asking.sendall(QUERY)
        go.set()
        assert asked.recv(100) == QUERY
        assert select.select([left], [], [], 0)[0]
        assert left.recv(100) == b""


@pytest.mark.parametrize("goodbye", [True, False])
def test_a_client_that_is_cut_off_in_tls_is_so_for_the_server(
    listener: socket.socket, certificate: Certificate, goodbye: bool
) -> None:
    flags = CLIENT_FLAGS | SSL
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(RunningRelay(listener.getsockname(), certificate))
        plain = socket.create_connection(relay.address, timeout=SECONDS)
        raw, _ = listener.accept()
        raw.settimeout(SECONDS)
        raw.sendall(packet(0, greeting(MYSQL)))
        plain.recv(1000)
        plain.sendall(packet(1, head(flags)))
        client = stack.enter_context(trusting.wrap_socket(plain, suppress_ragged_eofs=False))
        client.sendall(packet(2, response(flags)))
        assert raw.recv(36) == packet(1, head(flags))
        context = server_context(certificate.chain, certificate.key)
        # Some versions of Python set it, and take a cut for a goodbye.
        context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
        server = stack.enter_context(context.wrap_socket(raw, server_side=True, suppress_ragged_eofs=False))
        server.recv(1000)
        server.sendall(packet(3, OK))
        client.recv(1000)
        if goodbye:
            # Without waiting for the other end's.
            client.setblocking(False)
            with contextlib.suppress(ssl.SSLWantReadError):
                client._sslobj.shutdown()  # type: ignore[attr-defined]
        client.shutdown(socket.SHUT_RDWR)
        if goodbye:
            assert server.recv(100) == b""
        else:
            with pytest.raises(ssl.SSLError, match="EOF"):
                server.recv(100)
