"""A connection until its client is logged in: the way to the server, the handshake, and the clocks of both."""

from __future__ import annotations

import asyncio  # noqa: TID251
from collections.abc import Callable
from typing import Protocol

from proxy.handshake import Action, Done, Fail, Handshake, Send, StartTls, State
from proxy.leg import Leg
from proxy.protocol import Side, error_payload, packet
from proxy.relay_common import Common
from proxy.security import ServerTls

# How long the server may take to refuse the login that ends an unfinished handshake.
FAREWELL_SECONDS = 5.0

# Enough for a turn of the loop.
LAST_SECONDS = 0.1

# What MySQL's own clients say, with the same number: https://dev.mysql.com/doc/mysql-errors/en/client-error-reference.html
CANNOT_CONNECT = 2003


class Owner(Protocol):
    """The connection that logs in."""

    client: Leg
    server: Leg
    closing: bool

    def logged_in(self, done: Done) -> None:
        """The server has let the client in."""

    def over_when_gone(self) -> None:
        """The server's socket may be the last that was waited for."""


class Login:
    """Reaches the server and lets the client log in; `settled` when the server's socket is there or never will be."""

    def __init__(self, owner: Owner, common: Common) -> None:
        self.settled = False
        self._owner = owner
        self._common = common
        self._handshake: Handshake | None = Handshake(common.legs, common.options.password_key)
        self._done = False
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The client is there."""
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def cancel(self) -> None:
        """Do not reach for the server any more."""
        if self._connecting is not None:
            self._connecting.cancel()

    def forget(self) -> None:
        """The connection is over."""
        if self._timer is not None:
            self._timer.cancel()
        self._handshake = None

    def receive(self, side: Side, data: bytes) -> None:
        """Plain bytes from one side."""
        assert self._handshake is not None
        self._act(self._handshake.receive(side, data))
        self._wait_anew()

    def tls_failed(self, side: Side, reason: str) -> bool:
        """A side's TLS broke. Gives whether that is for the login to tell."""
        if self._handshake is None or self._done:
            return False
        self._act(self._handshake.tls_failed(side, reason))
        return True

    def left(self, leg: Leg) -> None:
        """One side will send no more."""
        if leg is self._owner.client and self._handshake is not None:
            self._act(self._handshake.client_left())
        else:
            self._failed()

    # -- the way to the server

    async def _connect(self) -> None:
        owner, (host, port) = self._owner, self._common.server
        path, seconds = self._common.options.server_socket, self._common.options.connect_seconds
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                if path is None:
                    await loop.create_connection(lambda: owner.server, host, port)
                else:
                    await loop.create_unix_connection(lambda: owner.server, str(path))
        except (OSError, UnicodeError) as error:
            # TimeoutError is an OSError without a text.
            self._unreachable(str(error) or f"no answer within {seconds:g} seconds")
        finally:
            self.settled = True
            owner.over_when_gone()
        if owner.closing:
            loop.call_later(FAREWELL_SECONDS, owner.server.close)
        elif self._handshake is not None and self._handshake.state is State.GREETING:
            self._timer = loop.call_later(seconds, self._listen_once_more, self._not_greeted)

    def _unreachable(self, why: str) -> None:
        host, port = self._common.server
        where = self._common.options.server_socket or f"{host}:{port}"
        message = f"djproxy: cannot connect to the MySQL server at {where} ({why})"
        # No greeting, no capabilities, hence no sqlstate: old clients would show it as part of the message.
        self._owner.client.send(packet(0, error_payload(CANNOT_CONNECT, message)))
        self._owner.closing = True
        self._owner.client.close()

    def _not_greeted(self) -> None:
        if not self._owner.closing:
            self._unreachable(f"no greeting within {self._common.options.connect_seconds:g} seconds")
            self._owner.server.close()

    # -- the handshake

    def _wait_anew(self) -> None:
        """Something came while logging in."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        seconds = self._common.options.login_seconds
        if seconds and self._handshake is not None and not self._owner.closing:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._listen_once_more, self._silent)

    def _listen_once_more(self, then: Callable[[], None]) -> None:
        """Time is up; but where this process was kept from running, what came in time is still to be read."""
        self._timer = asyncio.get_running_loop().call_later(LAST_SECONDS, then)

    def _silent(self) -> None:
        """Nothing came for `login_seconds`."""
        if self._handshake is not None and not self._owner.closing:
            self._act(self._handshake.timed_out(self._common.options.login_seconds))

    def _act(self, actions: list[Action]) -> None:
        owner = self._owner
        for action in actions:
            match action:
                case Send(side, data):
                    (owner.client if side is Side.CLIENT else owner.server).send(data)
                case StartTls(side, early):
                    self._start_tls(side, early)
                case Done():
                    self._done = True
                    owner.logged_in(action)
                case Fail():
                    self._failed()
        if self._done and self._handshake is not None:
            handshake, self._handshake = self._handshake, None
            for leg in (owner.client, owner.server):
                if early := handshake.leftover(leg.side):
                    leg.deliver(early)

    def _start_tls(self, side: Side, early: bytes) -> None:
        common, owner = self._common, self._owner
        if side is Side.SERVER:
            # The name that a verified certificate must have; over a socket the server is this machine.
            host = "localhost" if common.legs.server_socket else common.server[0]
            verified = common.legs.server is ServerTls.VERIFY_FULL
            # The client has shaken hands already.
            context = common.upstream_tls.get(owner.client.tls_version, common.upstream_tls[None])
            owner.server.start_tls(context, early, host if verified else None)
        elif common.offered_tls is not None:
            owner.client.start_tls(common.offered_tls, early)

    def _failed(self) -> None:
        """The login is over; the server gets the time to refuse what it was sent, and the client its message."""
        owner = self._owner
        if owner.closing:
            return
        owner.closing = True
        self._wait_anew()
        owner.client.close()
        owner.server.resume()
        asyncio.get_running_loop().call_later(FAREWELL_SECONDS, owner.server.close)
