"""The listener: takes clients, refuses those that are too many, and ends the connections that came through it."""

from __future__ import annotations

import asyncio  # noqa: TID251
import ipaddress
import itertools
import socket  # noqa: TID251
from contextlib import suppress
from pathlib import Path
from typing import cast

from proxy.errors import InputError
from proxy.protocol import ErrorCode, error_payload, packet
from proxy.relay_common import Common
from proxy.relay_connection import Connection
from proxy.relay_options import NO_OPTIONS, RelayOptions
from proxy.sink import Sink
from proxy.unix_socket import UnixListener

BACKLOG = 128

# The server's own words, in the form that it has before a greeting: without sqlstate.
TOO_MANY = packet(0, error_payload(int(ErrorCode.CON_COUNT_ERROR), "Too many connections"))


class Proxy:
    """A listener, and the connections that came through it. `Proxy.start` makes one."""

    def __init__(self, common: Common) -> None:
        self.most = common.options.limits.most
        self.refused = 0
        self.connections_seen = 0
        self.options = common.options
        self._common = common
        self._numbers = itertools.count(1)
        self._open: set[Connection] = set()
        self._listener: asyncio.Server | None = None
        self._unix: UnixListener | None = None
        self._all_closed = asyncio.Event()

    @classmethod
    async def start(
        cls, listen: tuple[str, int], server: tuple[str, int], sink: Sink | None, options: RelayOptions = NO_OPTIONS
    ) -> Proxy:
        """Listen on a host and port and serve until `stop`. Port 0 takes a free one. Without a sink nothing is
        observed.

        OSError when the address cannot be taken; InputError when a certificate cannot be used, or when the server is
        this very proxy.
        """
        proxy = cls(Common.of(server, sink, options))
        loop = asyncio.get_running_loop()
        if options.listen_socket is not None:
            if options.server_socket is not None and _same_file(options.listen_socket, options.server_socket):
                raise InputError(f"the server {options.server_socket} is this proxy itself; name the MySQL server")
            proxy._unix = UnixListener(options.listen_socket, options.socket_mode, BACKLOG)
            proxy._listener = await loop.create_unix_server(proxy._accept, sock=proxy._unix.socket)
            return proxy
        proxy._listener = await loop.create_server(
            proxy._accept, *listen, backlog=BACKLOG, reuse_port=options.shared is not None or None
        )
        if options.server_socket is not None:
            return proxy
        if await proxy._is_own_address(*server):
            await proxy.stop(0)
            raise InputError(f"the server {server[0]}:{server[1]} is this proxy itself; name the MySQL server")
        return proxy

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that clients connect to; a socket's path and 0."""
        assert self._listener is not None
        if self.options.listen_socket is not None:
            return str(self.options.listen_socket), 0
        host, port, *_ = self._listener.sockets[0].getsockname()
        return str(host), int(port)

    async def stop(self, grace: float | None = None) -> None:
        """Take no more clients, close those that wait for no answer and have no transaction open, and the others when
        they have come to that, or when `grace` seconds (by default those of the limits) are over."""
        grace = self.options.limits.grace if grace is None else grace
        if self._listener is not None:
            self._listener.close()
        if self._unix is not None:
            self._unix.close()
        for connection in list(self._open):
            if connection.idle:
                connection.close()
        deadline = asyncio.get_running_loop().time() + grace
        while self._open and (left := deadline - asyncio.get_running_loop().time()) > 0:
            self._all_closed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._all_closed.wait(), min(left, 0.2))
            for connection in list(self._open):
                if connection.idle:
                    connection.close()
        for connection in list(self._open):
            connection.abort()
        # One turn of the loop, for the sockets to be closed and the last events to be written.
        await asyncio.sleep(0)

    def _accept(self) -> asyncio.Protocol:
        if self._is_full():
            self.refused += 1
            return _Refusal()
        self.connections_seen += 1
        connection = Connection(self._common, next(self._numbers), self._closed)
        self._open.add(connection)
        self._tell_count()
        return connection.client

    def _is_full(self) -> bool:
        if len(self._open) >= self.most:
            return True
        shared, most = self.options.shared, self.options.limits.connections
        return shared is not None and bool(most) and shared.total >= most

    def _tell_count(self) -> None:
        if self.options.shared is not None:
            self.options.shared.set(self.options.process, len(self._open))

    def _closed(self, connection: Connection) -> None:
        """A connection is over on both sides."""
        self._open.discard(connection)
        self._tell_count()
        if not self._open:
            self._all_closed.set()

    async def _is_own_address(self, host: str, port: int) -> bool:
        assert self._listener is not None
        own = [bound.getsockname()[:2] for bound in self._listener.sockets]
        if all(port != own_port for _, own_port in own):
            return False
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError:
            return False
        theirs = {address[0] for *_, address in found}
        if theirs & {own_host for own_host, _ in own}:
            return True
        everywhere = any(ipaddress.ip_address(own_host).is_unspecified for own_host, _ in own)
        return everywhere and any(ipaddress.ip_address(address).is_loopback for address in theirs)


class _Refusal(asyncio.Protocol):
    """Tells a client that there are too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        own = cast(asyncio.Transport, transport)
        own.write(TOO_MANY)
        own.close()


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
