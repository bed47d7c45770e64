"""What is fuzzed. A target takes any bytes and returns; whatever it raises is a mistake of ours.

Only events, actions and PeerProtocolError may come of hostile bytes. The observer turns every other exception into
"lost" so that no client suffers; here it is raised on.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, product

from cryptography.hazmat.primitives.asymmetric import rsa
from mysql_mimic.types import Capabilities

from proxy.change_packed import user_changes
from proxy.change_user import Agreed, End, Notice, Pass, UserChanges
from proxy.events import Event, Lost
from proxy.handshake import Action, Done, Fail, Handshake, Send, StartTls
from proxy.observer import Observer
from proxy.passwords import PasswordKey
from proxy.protocol import ExtendedCapabilities, PeerProtocolError, Side
from proxy.results import Pin, Watch
from proxy.security import ClientTls, Legs, ServerTls
from tests.fuzz.script import Happening, Script, Step

#: What a login adds at most to what came in, with each packet: a public key, a message.
MOST_ADDED = 2048
_PINS = tuple(Pin)
#: As few bits as the library makes: it is only ever handed garbage.
_KEY = PasswordKey(rsa.generate_private_key(public_exponent=65537, key_size=1024))
_LEGS = tuple(
    Legs(client=client, server=server, offers=offers, client_socket=sockets & 1 > 0, server_socket=sockets & 2 > 0)
    for sockets, server, client, offers in product(
        range(4), ServerTls, (ClientTls.PREFER, ClientTls.REQUIRE, ClientTls.DISABLE), (True, False)
    )
)
"""The first is the default."""
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
    rest = chain(early, chunks)
    if done.kinds is not None:
        changes = user_changes(Agreed(done.kinds, done.nonce, _KEY, done.capabilities), lambda: watched.idle)
        rest = _translated(changes, rest)
    return _observe(watched, rest)


class Login:
    """A handshake that is acted upon as the relay does, TLS taken for granted."""

    def __init__(self, script: Script) -> None:
        self.handshake = Handshake(_LEGS[script.legs % len(_LEGS)], _KEY)
        self.actions: list[Action] = []
        self._received = 0

    def take(self, step: Step) -> Done | None:
        """Lets it happen; gives what was agreed on when the login is done."""
        self._received += len(step.data)
        match step.happening:
            case Happening.LEFT:
                todo = self.handshake.client_left()
            case Happening.TLS_FAILED if len(step.data) % 3 == len(Side):
                todo = self.handshake.timed_out(len(step.data))
            case Happening.TLS_FAILED:
                todo = self.handshake.tls_failed(Side(len(step.data) % 3), "as the script says")
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
        if sent > self._received + MOST_ADDED * steps:
            raise BrokenLaw(f"{sent} bytes sent for {self._received}")
        failed = next((at for at, action in enumerate(self.actions) if isinstance(action, Fail)), None)
        if failed is not None and any(isinstance(action, Done) for action in self.actions[failed:]):
            raise BrokenLaw("a login that failed is done")


def _translated(changes: UserChanges, chunks: Iterable[Step]) -> Iterator[Step]:
    """What an observer is shown of a connection whose legs are of different kinds."""
    for happening, data in chunks:
        if happening not in SIDES or (happening is Happening.SERVER and not changes.busy):
            yield Step(happening, data)
            continue
        for step in changes.receive(SIDES[happening], data):
            match step:
                case Notice(noticed):
                    yield Step(Happening.CLIENT, noticed)
                case Pass(Side.CLIENT, passed):
                    yield Step(Happening.SERVER, passed)
                case End():
                    yield Step(Happening.LEFT, b"")


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
