"""One side of a connection: a socket, and TLS over it when that side speaks it."""

from __future__ import annotations

import asyncio  # noqa: TID251
import os
import socket  # noqa: TID251
import ssl  # noqa: TID251
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

from proxy.limits import Limits
from proxy.protocol import Side
from proxy.tls import TlsError, TlsLeg

WRITE_BUFFER = 1 << 18
# Unanswered questions whether a silent peer is still there: so many, a few seconds apart.
KEEPALIVE_PROBES = 5


class Owner(Protocol):
    """What a leg tells the connection that it belongs to."""

    limits: Limits

    def made(self, leg: Leg) -> None:
        """The socket is there."""

    def received(self, side: Side, data: bytes) -> None:
        """Plain bytes came."""

    def ended(self, leg: Leg) -> bool:
        """No more will come. Gives whether the socket stays open for the other direction."""

    def leg_lost(self, leg: Leg, error: Exception | None) -> None:
        """The socket is gone."""

    def tls_failed(self, side: Side, reason: str) -> None:
        """TLS broke."""

    def other(self, leg: Leg) -> Leg:
        """The other side."""


class Leg(asyncio.Protocol):
    """One side of a connection: its socket, and its TLS when it has one.

    `deliver` is given the plain bytes that come; `writable` tells whether there is a socket to be written to.
    """

    def __init__(self, owner: Owner, side: Side) -> None:
        self.side = side
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self.writable = False
        self.deliver: Callable[[bytes], None] = lambda data: owner.received(side, data)
        self._owner = owner
        self._tls: TlsLeg | None = None
        self._ended = False
        self._descriptor = -1

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's in all but name.
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(WRITE_BUFFER)
        self.writable = True
        _set_options(self.transport, self._owner.limits)
        own = self.transport.get_extra_info("socket")
        self._descriptor = own.fileno() if own is not None else -1
        self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        if self._tls is None:
            self.deliver(data)
        else:
            self._receive_encrypted(data)

    def eof_received(self) -> bool:
        return self._owner.ended(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self.writable = False
        self._owner.leg_lost(self, error)

    def pause_writing(self) -> None:
        self._owner.other(self).pause()

    def resume_writing(self) -> None:
        self._owner.other(self).resume()

    # -- what the connection calls

    def send(self, data: bytes) -> None:
        """Write, encrypted where this side is."""
        if not self.writable:
            return
        if self._tls is None:
            self._put(data)
            return
        self._tls.send(data)
        self._flush()

    @property
    def tls_version(self) -> ssl.TLSVersion | None:
        """The version of TLS that this side speaks, if any."""
        return self._tls.version if self._tls is not None else None

    def start_tls(self, context: ssl.SSLContext, early: bytes, host: str | None = None) -> None:
        """Speak TLS from here on; the client leg answers a handshake, the server leg begins one with `host`."""
        self._tls = TlsLeg(context, server_side=self.side is Side.CLIENT, host=host)
        if self.side is Side.SERVER:
            self._tls.start()
            self._flush()
        if early:
            self._receive_encrypted(early)

    @property
    def cut(self) -> bool:
        """Whether this side has ended without TLS's goodbye, which would have come before."""
        return self._tls is not None and not self._tls.ended

    def end(self, *, cut: bool = False) -> None:
        """Nothing more will be sent; the other direction stays. `cut`: without TLS's goodbye, as the other side."""
        if self._ended or self.transport is None or self.lost or self.transport.is_closing():
            return
        self._ended = True
        self.writable = False
        if self._tls is not None and not cut:
            self._tls.close()
            self._flush()
        # The event loop would do it in its next turn, after what others say in this one.
        if self.transport.get_write_buffer_size() or not _ended_now(self._descriptor):
            self.transport.write_eof()

    def close(self) -> None:
        """Close when everything is written."""
        if self.transport is None or self.lost:
            return
        if self._tls is not None and not self._ended:
            self._tls.close()
            self._flush()
        self.writable = False
        self.transport.close()

    def reset(self) -> None:
        """Break the connection, as a crash of the other side would."""
        if self.transport is None or self.lost:
            return
        if own := self.transport.get_extra_info("socket"):
            with suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def abort(self) -> None:
        """Close now, without what is not yet written."""
        if self.transport is not None and not self.lost:
            self.writable = False
            self.transport.abort()

    def forget(self) -> None:
        """Let go of everything large: objects that know each other are only freed when Python looks for such."""
        self._tls = self.transport = None
        self.deliver = _nobody

    def pause(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _receive_encrypted(self, data: bytes) -> None:
        assert self._tls is not None
        try:
            plain = self._tls.receive(data)
        except TlsError as error:
            self._flush()
            self._owner.tls_failed(self.side, str(error))
            return
        self._flush()
        if plain:
            self.deliver(plain)
        if self._tls is not None and self._tls.ended and self.transport is not None and not self.transport.is_closing():
            self._owner.ended(self)

    def _flush(self) -> None:
        assert self._tls is not None
        if self.transport is not None and not self.transport.is_closing() and (out := self._tls.outgoing()):
            self._put(out)

    def _put(self, data: bytes) -> None:
        """Write to the socket at once; the loop would only do it when all that came in this turn has been looked at.

        What the socket does not take, and whatever goes wrong, is left to the transport, which says so in its own time.
        """
        transport = self.transport
        assert transport is not None
        # The number of a socket that is being closed may be another's already.
        if self._descriptor >= 0 and not transport.is_closing() and not transport.get_write_buffer_size():
            try:
                sent = os.write(self._descriptor, data)
            except OSError:
                sent = 0
            if sent == len(data):
                return
            if sent:
                data = data[sent:]
        transport.write(data)


def _nobody(_data: bytes) -> None:
    """The connection is over."""


def _ended_now(descriptor: int) -> bool:
    """End the direction to the peer at once, with nothing left to write; whether that could be done."""
    try:
        # uvloop lends its socket for reading options alone.
        with socket.socket(fileno=os.dup(descriptor)) as twin:
            twin.shutdown(socket.SHUT_WR)
    except OSError:
        return False
    return True


def _set_options(transport: asyncio.Transport, limits: Limits) -> None:
    own = transport.get_extra_info("socket")
    if own is None or own.family not in (socket.AF_INET, socket.AF_INET6):
        return
    own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = max(1, round(limits.keepalive))
    wanted = {
        "TCP_KEEPIDLE": idle,
        "TCP_KEEPINTVL": max(1, min(10, idle // KEEPALIVE_PROBES)),
        "TCP_KEEPCNT": KEEPALIVE_PROBES,
        "TCP_USER_TIMEOUT": round(limits.user_timeout * 1000),
    }
    # Not every system has them all.
    for name, value in wanted.items():
        if value and (option := getattr(socket, name, None)) is not None:
            own.setsockopt(socket.IPPROTO_TCP, option, value)
