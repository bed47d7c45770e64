"""One client's connection bound to one of the server's, for its whole life.

Two `asyncio.Protocol`s per connection, no tasks and no awaits between a chunk's arrival and its departure. During the
login chunks go through `relay_login`; afterwards each is written to the other side as it came, decrypted and encrypted
again where the legs speak TLS, with a look for the observer before (what the server sent) or after (what the client
sent). What the observer has to say goes to the sink, the journal, before the answer goes to the client.

When one side's socket takes no more, the other side is not read until it does. An end of one direction (EOF) is passed
on as such, a broken connection breaks the other. The proxy has no timeouts of its own but for reaching the server and
for clients that say nothing while logging in.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.change_packed import user_changes
from proxy.change_user import Agreed, End, Notice, Pass, Step, UserChanges
from proxy.events import Closed, Connected, Event
from proxy.handshake import Done
from proxy.leg import Leg
from proxy.observer import Observer
from proxy.protocol import Side
from proxy.relay_common import Common
from proxy.relay_login import Login


class Connection:
    """A client's leg and a server's leg, and what is between them; `gone` is told when both sides are over."""

    def __init__(self, common: Common, number: int, gone: Callable[[Connection], None]) -> None:
        self.client = Leg(self, Side.CLIENT)
        self.server = Leg(self, Side.SERVER)
        self.limits = common.options.limits
        self.closing = False
        self._common = common
        self._number = number
        self._gone = gone
        self._login = Login(self, common)
        self._observer: Observer | None = None
        self._user_changes: UserChanges | None = None

    @property
    def idle(self) -> bool:
        """Whether closing it now would cut nobody short."""
        observer = self._observer
        return observer is None or observer.lost or (observer.idle and not observer.in_transaction)

    def other(self, leg: Leg) -> Leg:
        return self.server if leg is self.client else self.client

    def close(self) -> None:
        """End both sides when everything is written."""
        self.closing = True
        self._login.cancel()
        self.client.close()
        self.server.close()

    def abort(self) -> None:
        """End both sides now."""
        self.closing = True
        self._login.cancel()
        self.client.abort()
        self.server.abort()

    # -- what the legs tell

    def made(self, leg: Leg) -> None:
        """A side's socket is there."""
        if leg is self.client:
            self._login.begin()

    def received(self, side: Side, data: bytes) -> None:
        """Plain bytes from one side."""
        observer = self._observer
        if observer is None:
            self._login.receive(side, data)
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
        if self.closing:
            return False
        if self._observer is None:
            self._login.left(leg)
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
            self._login.left(leg)
            self.over_when_gone()
        elif other.transport is None or other.lost:
            self.over_when_gone()
        elif error is not None and (leg is self.client or not other.transport.get_write_buffer_size()):
            other.reset()
        else:
            other.close()

    def tls_failed(self, side: Side, reason: str) -> None:
        """A side's TLS broke."""
        if not self._login.tls_failed(side, reason):
            self.abort()

    # -- what the login tells

    def logged_in(self, done: Done) -> None:
        """The server has let the client in."""
        self._observer = Observer(
            self._number,
            done.capabilities,
            done.extended,
            collation=done.collation,
            status=done.status,
            watch=self._common.options.watch,
        )
        if not self._common.recording:
            self._observer.lose("nothing is recorded")
        if done.kinds is not None:
            observer = self._observer
            agreed = Agreed(done.kinds, done.nonce, self._common.options.password_key, done.capabilities)
            self._user_changes = user_changes(agreed, lambda: observer.idle)
        else:
            self.client.deliver, self.server.deliver = self._from_client, self._from_server
        self._write([Connected(self._number, done.thread_id, done.user, done.schema, done.collation)])

    def over_when_gone(self) -> None:
        """Tell the end, once neither side's socket is there, nor will be."""
        sockets = any(leg.transport is not None and not leg.lost for leg in (self.client, self.server))
        if sockets or not self._login.settled:
            return
        if self._observer is not None:
            self._common.journal.write([*self._observer.close(), Closed(self._number)])
            self._observer = None
        self._user_changes = None
        self._login.forget()
        self.client.forget()
        self.server.forget()
        self._gone(self)

    def _write(self, events: list[Event]) -> None:
        if not self._common.journal.write(events) and self._observer is not None:
            # What comes after a gap would be read under a context that lacks what the gap held.
            self._observer.lose("the journal could not be written")
