"""What is fuzzed. A target takes any bytes and returns; whatever it raises is a mistake of ours.

Only events, actions and PeerProtocolError may come of hostile bytes. The observer turns every other exception into
"lost" so that no client suffers; here it is raised on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping

from mysql_mimic.types import Capabilities

from proxy.events import Event, Lost
from proxy.handshake import Action, Done, Fail, Handshake, Send, StartTls
from proxy.observer import Observer
from proxy.protocol import ExtendedCapabilities, PeerProtocolError, Side
from proxy.results import Pin, Watch
from tests.fuzz.script import OFFER_TLS, Happening, Script, Step

#: A login may add our own texts to what came in, never a multiple of it.
MOST_ADDED = 4096
_PINS = tuple(Pin)
SIDES = {Happening.CLIENT: Side.CLIENT, Happening.SERVER: Side.SERVER}


class BrokenLaw(AssertionError):
    """Nothing was raised that must not be, but what came out cannot be."""


class StrictObserver(Observer):
    """Raises the mistakes that an observer hides from its client."""

    def lose(self, reason: str) -> list[Event]:
        """Gives up only for what the peers did."""
        error = sys.exception()
        if error is not None and not isinstance(error, PeerProtocolError):
            raise error
        return super().lose(reason)


def watch_of(number: int) -> Watch:
    """One of the ways to look into results."""
    return Watch(_PINS[number % len(_PINS)], digest=bool(number & 0x80))


def observer(data: bytes) -> list[Event]:
    """The command phase alone."""
    script = Script.parse(data)
    watched = StrictObserver(
        1,
        Capabilities(script.capabilities),
        ExtendedCapabilities(script.extended),
        collation=script.collation,
        status=script.status,
        watch=watch_of(script.watch),
    )
    return _observe(watched, script.chunks())


def handshake(data: bytes) -> list[Action]:
    """The login alone."""
    script = Script.parse(data)
    login = Login(script)
    for step in script.chunks():
        login.take(step)
    login.check()
    return login.actions


def session(data: bytes) -> list[Event]:
    """A login, and then what it agreed on decides how the rest is read."""
    script = Script.parse(data)
    login = Login(script)
    chunks = script.chunks()
    for step in chunks:
        if (done := login.take(step)) is not None:
            break
    else:
        return []
    watched = StrictObserver(
        1,
        done.capabilities,
        done.extended,
        collation=done.collation,
        status=done.status,
        watch=watch_of(script.watch),
    )
    early = [Step(happening, login.handshake.leftover(side)) for happening, side in SIDES.items()]
    return _observe(watched, early) + _observe(watched, chunks)


class Login:
    """A handshake that is acted upon as the relay does, TLS taken for granted."""

    def __init__(self, script: Script) -> None:
        self.handshake = Handshake(offer_tls=bool(script.form & OFFER_TLS))
        self.actions: list[Action] = []
        self._received = 0

    def take(self, step: Step) -> Done | None:
        """Lets it happen; gives what was agreed on when the login is done."""
        self._received += len(step.data)
        match step.happening:
            case Happening.LEFT:
                todo = self.handshake.client_left()
            case Happening.TLS_FAILED:
                todo = self.handshake.tls_failed(Side(len(step.data) % len(Side)), "as the script says")
            case _:
                todo = self.handshake.receive(SIDES[step.happening], step.data)
        done = None
        while todo:
            self.actions += todo
            early: list[Action] = []
            for action in todo:
                if isinstance(action, Done):
                    done = action
                elif isinstance(action, StartTls) and action.early:
                    early += self.handshake.receive(action.side, action.early)
            todo = early
        return done

    def check(self) -> None:
        """What holds for every login."""
        sent = sum(len(action.data) for action in self.actions if isinstance(action, Send))
        steps = sum(isinstance(action, Send) for action in self.actions)
        if sent > self._received + MOST_ADDED + 64 * steps:
            raise BrokenLaw(f"{sent} bytes sent for {self._received}")
        failed = next((at for at, action in enumerate(self.actions) if isinstance(action, Fail)), None)
        if failed is not None and any(isinstance(action, Done) for action in self.actions[failed:]):
            raise BrokenLaw("a login that failed is done")


def _observe(watched: Observer, chunks: Iterable[Step]) -> list[Event]:
    events: list[Event] = []
    for happening, data in chunks:
        if happening is Happening.CLIENT:
            events += watched.client_bytes(data)
        elif happening is Happening.SERVER:
            events += watched.server_bytes(data)
            if watched.behind:
                events += watched.catch_up()
        else:
            events += watched.close()
            break
    lost = [at for at, event in enumerate(events) if isinstance(event, Lost)]
    if lost not in ([], [len(events) - 1]):
        raise BrokenLaw("events after the recording was lost")
    return events


TARGETS: Mapping[str, Callable[[bytes], object]] = {
    "handshake": handshake,
    "observer": observer,
    "session": session,
}
