"""One client's connection bound to one of the server's, for its whole life.

Two `asyncio.Protocol`s per connection, no tasks and no awaits between a chunk's arrival and its departure. During the
login chunks go through `handshake`; afterwards each is written to the other side as it came, decrypted and encrypted
again where the legs speak TLS, with a look for the observer before (what the server sent) or after (what the client
sent). What the observer has to say goes to the sink, the journal, before the answer goes to the client.

When one side's socket takes no more, the other side is not read until it does. An end of one direction (EOF) is passed
on as such, a broken connection breaks the other. The proxy has no timeouts of its own but for reaching the server and
for clients that say nothing while logging in.
"""

from __future__ import annotations

import asyncio  # noqa: TID251
import ipaddress
import itertools
import socket  # noqa: TID251
import ssl  # noqa: TID251
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from proxy.certificates import Certificate
from proxy.change_packed import user_changes
from proxy.change_user import End, Notice, Pass, Step, UserChanges
from proxy.errors import InputError
from proxy.events import Closed, Connected, Event
from proxy.handshake import Action, Done, Fail, Handshake, Send, StartTls, State
from proxy.leg import Leg
from proxy.observer import Observer
from proxy.protocol import ErrorCode, Side, error_payload, packet
from proxy.relay_options import RelayOptions
from proxy.results import NO_WATCH, Watch
from proxy.security import Legs, ServerTls, ServerTrust
from proxy.sink import GuardedSink, Nowhere, Sink
from proxy.tls import client_contexts, server_context
from proxy.unix_socket import UnixListener

# How long the server may take to refuse the login that ends an unfinished handshake.
FAREWELL_SECONDS = 5.0
BACKLOG = 128

# What MySQL's own clients say, with the same number: https://dev.mysql.com/doc/mysql-errors/en/client-error-reference.html
CANNOT_CONNECT = 2003
# The server's own words, in the form that it has before a greeting: without sqlstate.
TOO_MANY = packet(0, error_payload(int(ErrorCode.CON_COUNT_ERROR), "Too many connections"))


NO_OPTIONS = RelayOptions()


class Proxy:
    """A listener, and the connections that came through it. `Proxy.start` makes one."""

    def __init__(
        self,
        server_host: str,
        server_port: int,
        certificate: Certificate | None,
        sink: Sink | None,
        watch: Watch = NO_WATCH,
        options: RelayOptions = NO_OPTIONS,
    ) -> None:
        self.most = options.limits.most
        self.refused = 0
        self.recording = sink is not None
        self.server = (server_host, server_port)
        self.watch = watch
        self.options = options
        self.connections_seen = 0
        self.offered_tls = _tls_context(certificate)
        self.upstream_tls = _upstream_contexts(options.trust)
        self.legs = legs_of(options, certificate)
        self.journal = GuardedSink(sink or Nowhere())
        self._numbers = itertools.count(1)
        self._open: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        self._unix: UnixListener | None = None
        self._all_closed = asyncio.Event()

    @classmethod
    async def start(
        cls,
        listen_host: str,
        listen_port: int,
        server_host: str,
        server_port: int,
        certificate: Certificate | None,
        sink: Sink | None,
        watch: Watch = NO_WATCH,
        options: RelayOptions = NO_OPTIONS,
    ) -> Proxy:
        """Listen and serve until `stop`. Port 0 takes a free one; `watch` says what is wanted of results. Without a
        sink nothing is observed.

        OSError when the address cannot be taken; InputError when a certificate cannot be used, or when the server is
        this very proxy.
        """
        proxy = cls(server_host, server_port, certificate, sink, watch, options)
        loop = asyncio.get_running_loop()
        if options.listen_socket is not None:
            if options.server_socket is not None and _same_file(options.listen_socket, options.server_socket):
                raise InputError(f"the server {options.server_socket} is this proxy itself; name the MySQL server")
            proxy._unix = UnixListener(options.listen_socket, options.socket_mode, BACKLOG)
            proxy._listener = await loop.create_unix_server(proxy._accept, sock=proxy._unix.socket)
            return proxy
        proxy._listener = await loop.create_server(
            proxy._accept, listen_host, listen_port, backlog=BACKLOG, reuse_port=options.shared is not None or None
        )
        if options.server_socket is not None:
            return proxy
        if await proxy._is_own_address(server_host, server_port):
            await proxy.stop(0)
            raise InputError(f"the server {server_host}:{server_port} is this proxy itself; name the MySQL server")
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
        connection = _Connection(self, next(self._numbers))
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

    def closed(self, connection: _Connection) -> None:
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


class _Connection:
    """A client's leg and a server's leg, and what is between them."""

    def __init__(self, proxy: Proxy, number: int) -> None:
        self.client = Leg(self, Side.CLIENT)
        self.server = Leg(self, Side.SERVER)
        self._proxy = proxy
        self.limits = proxy.options.limits
        self._number = number
        self._handshake: Handshake | None = Handshake(proxy.legs, proxy.options.password_key)
        self._observer: Observer | None = None
        self._user_changes: UserChanges | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._connected = False
        self._closing = False

    @property
    def idle(self) -> bool:
        """Whether closing it now would cut nobody short."""
        observer = self._observer
        return observer is None or observer.lost or (observer.idle and not observer.in_transaction)

    def other(self, leg: Leg) -> Leg:
        return self.server if leg is self.client else self.client

    def close(self) -> None:
        """End both sides when everything is written."""
        self._closing = True
        if self._connecting is not None:
            self._connecting.cancel()
        self.client.close()
        self.server.close()

    def abort(self) -> None:
        """End both sides now."""
        self._closing = True
        if self._connecting is not None:
            self._connecting.cancel()
        self.client.abort()
        self.server.abort()

    # -- what the legs tell

    def made(self, leg: Leg) -> None:
        """A side's socket is there."""
        if leg is self.client:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def received(self, side: Side, data: bytes) -> None:
        """Plain bytes from one side."""
        observer = self._observer
        if observer is None:
            self._log_in(side, data)
        elif self._user_changes is not None and (side is Side.CLIENT or self._user_changes.busy):
            self._take(observer, self._user_changes.receive(side, data))
        elif side is Side.SERVER:
            self._from_server(data)
        else:
            self._from_client(data)

    def _from_client(self, data: bytes) -> None:
        """What the client sent, once it is logged in."""
        self.server.send(data)
        assert self._observer is not None
        if events := self._observer.client_bytes(data):
            self._write(events)

    def _from_server(self, data: bytes) -> None:
        """What the server sent, once the client is logged in."""
        observer = self._observer
        assert observer is not None
        if events := observer.server_bytes(data):
            self._write(events)
        self.client.send(data)
        if observer.behind and (events := observer.catch_up()):
            self._write(events)

    def _take(self, observer: Observer, steps: list[Step]) -> None:
        """Bytes on a connection whose legs are of different kinds."""
        for step in steps:
            match step:
                case Pass(Side.SERVER, data):
                    self.server.send(data)
                case Pass(_, data):
                    self._from_server(data)
                case Notice(data):
                    if events := observer.client_bytes(data):
                        self._write(events)
                case End():
                    self.close()

    def ended(self, leg: Leg) -> bool:
        """One side will send no more. Gives whether its socket stays open for the other direction."""
        if self._closing:
            return False
        if self._observer is None:
            self._ended_early(leg)
            return False
        if leg is self.server:
            self.close()
            return False
        self.server.end(cut=leg.cut)
        return True

    def leg_lost(self, leg: Leg, error: Exception | None) -> None:
        """A side's socket is gone."""
        other = self.other(leg)
        if self._observer is None and leg is self.client:
            self._ended_early(leg)
            self._over_when_gone()
        elif other.transport is None or other.lost:
            self._over_when_gone()
        elif error is not None and (leg is self.client or not other.transport.get_write_buffer_size()):
            other.reset()
        else:
            other.close()

    def tls_failed(self, side: Side, reason: str) -> None:
        """A side's TLS broke."""
        if self._handshake is not None and self._observer is None:
            self._act(self._handshake.tls_failed(side, reason))
        else:
            self.abort()

    # -- the login

    async def _connect(self) -> None:
        host, port = self._proxy.server
        path, seconds = self._proxy.options.server_socket, self._proxy.options.connect_seconds
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                if path is None:
                    await loop.create_connection(lambda: self.server, host, port)
                else:
                    await loop.create_unix_connection(lambda: self.server, str(path))
        except (OSError, UnicodeError) as error:
            # TimeoutError is an OSError without a text.
            self._unreachable(str(error) or f"no answer within {seconds:g} seconds")
        finally:
            self._connected = True
            self._over_when_gone()
        if self._closing:
            asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self.server.close)
        elif self._handshake is not None and self._handshake.state is State.GREETING:
            self._timer = loop.call_later(seconds, self._not_greeted)

    def _unreachable(self, why: str) -> None:
        host, port = self._proxy.server
        where = self._proxy.options.server_socket or f"{host}:{port}"
        message = f"djproxy: cannot connect to the MySQL server at {where} ({why})"
        # No greeting, no capabilities, hence no sqlstate: old clients would show it as part of the message.
        self.client.send(packet(0, error_payload(CANNOT_CONNECT, message)))
        self._closing = True
        self.client.close()

    def _not_greeted(self) -> None:
        if not self._closing:
            self._unreachable(f"no greeting within {self._proxy.options.connect_seconds:g} seconds")
            self.server.close()

    def _silent(self) -> None:
        """Nothing came for `login_seconds`."""
        if self._handshake is not None and not self._closing:
            self._act(self._handshake.timed_out(self._proxy.options.login_seconds))

    def _wait_anew(self) -> None:
        """Something came while logging in."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seconds = self._proxy.options.login_seconds
        if seconds and self._handshake is not None and not self._closing:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._silent)

    def _log_in(self, side: Side, data: bytes) -> None:
        assert self._handshake is not None
        self._act(self._handshake.receive(side, data))
        self._wait_anew()

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(side, data):
                    (self.client if side is Side.CLIENT else self.server).send(data)
                case StartTls(side, early):
                    self._start_tls(side, early)
                case Done():
                    self._logged_in(action)
                case Fail():
                    self._failed()
        if self._observer is not None and self._handshake is not None:
            handshake, self._handshake = self._handshake, None
            for leg in (self.client, self.server):
                if early := handshake.leftover(leg.side):
                    leg.deliver(early)

    def _start_tls(self, side: Side, early: bytes) -> None:
        if side is Side.SERVER:
            # The name that a verified certificate must have; over a socket the server is this machine.
            host = "localhost" if self._proxy.legs.server_socket else self._proxy.server[0]
            verified = self._proxy.legs.server is ServerTls.VERIFY_FULL
            contexts = self._proxy.upstream_tls
            # The client has shaken hands already.
            context = contexts.get(self.client.tls_version, contexts[None])
            self.server.start_tls(context, early, host if verified else None)
        elif self._proxy.offered_tls is not None:
            self.client.start_tls(self._proxy.offered_tls, early)

    def _logged_in(self, done: Done) -> None:
        self._observer = Observer(
            self._number,
            done.capabilities,
            done.extended,
            collation=done.collation,
            status=done.status,
            watch=self._proxy.watch,
        )
        if not self._proxy.recording:
            self._observer.lose("nothing is recorded")
        if done.kinds is not None:
            observer, key = self._observer, self._proxy.options.password_key
            self._user_changes = user_changes(
                done.kinds, done.nonce, key, done.capabilities, idle=lambda: observer.idle
            )
        else:
            self.client.deliver, self.server.deliver = self._from_client, self._from_server
        self._write([Connected(self._number, done.thread_id, done.user, done.schema, done.collation)])

    def _ended_early(self, leg: Leg) -> None:
        if leg is self.client and self._handshake is not None:
            self._act(self._handshake.client_left())
        else:
            self._failed()

    def _failed(self) -> None:
        """The login is over; the server gets the time to refuse what it was sent, and the client its message."""
        if self._closing:
            return
        self._closing = True
        self._wait_anew()
        self.client.close()
        self.server.resume()
        asyncio.get_running_loop().call_later(FAREWELL_SECONDS, self.server.close)

    def _write(self, events: list[Event]) -> None:
        if not self._proxy.journal.write(events) and self._observer is not None:
            # What comes after a gap would be read under a context that lacks what the gap held.
            self._observer.lose("the journal could not be written")

    def _over_when_gone(self) -> None:
        """Tell the end, once neither side's socket is there, nor will be."""
        sockets = any(leg.transport is not None and not leg.lost for leg in (self.client, self.server))
        if sockets or not self._connected:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._observer is not None:
            self._proxy.journal.write([*self._observer.close(), Closed(self._number)])
            self._observer = None
        self._handshake = self._user_changes = None
        self.client.forget()
        self.server.forget()
        self._proxy.closed(self)


def _tls_context(certificate: Certificate | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    try:
        return server_context(certificate.chain, certificate.key)
    except (OSError, ValueError) as error:
        raise InputError(
            f"the certificate {certificate.chain} with the key {certificate.key} cannot be used ({error})"
        ) from error


def legs_of(options: RelayOptions, certificate: Certificate | None) -> Legs:
    """What the handshake has to know of the two legs."""
    return Legs(
        client=options.client_tls,
        server=options.trust.mode,
        offers=certificate is not None,
        client_socket=options.listen_socket is not None,
        server_socket=options.server_socket is not None,
    )


def _upstream_contexts(trust: ServerTrust) -> Mapping[ssl.TLSVersion | None, ssl.SSLContext]:
    try:
        return client_contexts(trust)
    except (OSError, ValueError) as error:
        files = ", ".join(str(path) for path in (trust.authority, trust.certificate, trust.key) if path is not None)
        raise InputError(f"the certificates for the server ({files}) cannot be used ({error})") from error


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
