"""COM_CHANGE_USER where the legs are of different kinds: the login's dialogue, in the command phase.

Such connections, and only such, have their client's packets looked at for this one command. Everything else passes as
it came, in the chunks it came in; a COM_CHANGE_USER and what follows up to the server's OK or ERR goes through
`dialogue`, with numbers of their own on each leg. Commands that the client sends in between wait for the end. Of
connections that compress see `change_packed`.

A command begins with number 0. So may a packet in the middle of a long upload (LOCAL INFILE), for numbers wrap; it
comes after number 255, and the packet before it was not empty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mysql_mimic.types import Capabilities, Commands

from proxy.dialogue import Dialogue, DialogueError, Say
from proxy.login import MULTI_FACTOR, counted
from proxy.login_reader import LONGEST_PACKET, LoginReader
from proxy.passwords import PasswordKey
from proxy.protocol import HEADER, ErrorCode, PeerProtocolError, Side, Take, error_payload, packet
from proxy.security import Kind

_COMMAND = int(Commands.COM_CHANGE_USER)
_LAST_NUMBER = 0xFF
# Of the packets that go to each side, when the command has come.
_FIRST = {Side.CLIENT: 1, Side.SERVER: 0}


@dataclass(frozen=True, slots=True)
class Pass:
    """Write these bytes to that side."""

    side: Side
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Notice:
    """The observer is to see these bytes of the client, which may have gone on in another form."""

    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class End:
    """The connection cannot go on; the client has been told why."""


Step = Pass | Notice | End


class Finder(Protocol):
    """Cuts the client's stream."""

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """What passes as it came, and what begins with a COM_CHANGE_USER."""


class CommandFinder:
    """Cuts the client's stream where a COM_CHANGE_USER begins."""

    __slots__ = ("_head", "_length", "_missing", "_sequence")

    def __init__(self) -> None:
        self._head = b""
        self._missing = 0
        self._sequence = 0
        self._length = 0

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """What comes before the command, and the command's first bytes on, if it begins in here.

        Up to four bytes are held back where it takes the next one to tell.
        """
        data = self._head + data
        self._head = b""
        position = 0
        while True:
            step = min(self._missing, len(data) - position)
            position += step
            self._missing -= step
            if self._missing or position == len(data):
                return data, b""
            left = len(data) - position
            if left < HEADER:
                break
            length = int.from_bytes(data[position : position + 3], "little")
            sequence = data[position + 3]
            if sequence == 0 and length and not self._goes_on():
                if left == HEADER:
                    break
                if data[position + HEADER] == _COMMAND:
                    return data[:position], data[position:]
            self._sequence, self._length = sequence, length
            self._missing = length
            position += HEADER
        self._head = data[position:]
        return data[:position], b""

    def _goes_on(self) -> bool:
        """Whether the packet after the last one belongs to the same payload or upload."""
        return self._sequence == _LAST_NUMBER and self._length > 0


@dataclass(frozen=True, slots=True)
class Agreed:
    """What a login between legs of two kinds ended with, and the key that clients encrypt a password for."""

    kinds: tuple[Kind, Kind]
    nonce: bytes
    key: PasswordKey | None
    capabilities: Capabilities


class UserChanges:
    """The client's stream of a connection whose legs differ, and the server's while `busy`.

    `idle` tells whether all commands so far are answered.
    """

    def __init__(self, agreed: Agreed, idle: Callable[[], bool]) -> None:
        self._agreed = agreed
        self._nonce = agreed.nonce
        self._idle = idle
        self._finder = self._new_finder()
        self._dialogue: Dialogue | None = None
        self._readers = {side: LoginReader() for side in Side}
        self._next = dict(_FIRST)
        self._early = b""

    @property
    def busy(self) -> bool:
        """Whether the server's bytes are for us, too."""
        return self._dialogue is not None

    def receive(self, side: Side, data: bytes) -> list[Step]:
        """Take bytes of one side; the server's only while `busy`."""
        steps: list[Step] = []
        try:
            self._receive(side, data, steps)
        except PeerProtocolError as error:
            self._fail(str(error), steps)
        return steps

    def _receive(self, side: Side, data: bytes, steps: list[Step]) -> None:
        if self._dialogue is None:
            before, data = self._finder.split(data)
            if before:
                steps += (Pass(Side.SERVER, before), Notice(before))
            if not data:
                return
            self._dialogue = Dialogue(
                *self._agreed.kinds, self._agreed.key, factors=bool(self._agreed.capabilities & MULTI_FACTOR)
            )
            self._next = dict(_FIRST)
        reader = self._readers[side]
        self._feed(side, data)
        while self._dialogue is not None:
            payload = reader.next_packet()
            if payload is None:
                if self._more(side):
                    continue
                break
            if side is Side.SERVER:
                self._process_server(self._dialogue, payload, steps)
            else:
                self._process_client(self._dialogue, payload, steps)

    def _process_client(self, dialogue: Dialogue, payload: bytes, steps: list[Step]) -> None:
        sequence = self._readers[Side.CLIENT].sequence
        if sequence == 0 and self._next[Side.SERVER]:
            self._early += self._packet(0, payload)
            if len(self._early) > LONGEST_PACKET:
                self._early = b""
                raise PeerProtocolError(f"more than {LONGEST_PACKET} bytes before the server has changed the user")
            return
        steps.append(Notice(self._packet(sequence, payload)))
        self._next[Side.CLIENT] = sequence + 1
        if sequence == 0:
            self._say(self._begin(dialogue, payload), steps)
        else:
            self._say(dialogue.client(payload), steps)

    def _process_server(self, dialogue: Dialogue, payload: bytes, steps: list[Step]) -> None:
        self._next[Side.SERVER] = self._readers[Side.SERVER].sequence + 1
        self._say(dialogue.server(payload), steps)
        if not dialogue.over:
            return
        self._dialogue = None
        self._nonce = dialogue.nonce
        self._finder = self._new_finder()
        if rest := self._rest(Side.SERVER):
            steps.append(Pass(Side.CLIENT, rest))
        self._next = dict(_FIRST)
        early, self._early = self._early + self._rest(Side.CLIENT), b""
        if early:
            self._receive(Side.CLIENT, early, steps)

    def _begin(self, dialogue: Dialogue, payload: bytes) -> list[Say]:
        if not self._idle():
            raise DialogueError("the client changes the user before it has the answers to its commands")
        take = Take(payload, 1)
        take.until_nul()
        start = take.position
        short = bool(self._agreed.capabilities & Capabilities.CLIENT_SECURE_CONNECTION)
        answer = take.fixed(take.integer(1)) if short else take.until_nul()
        end = take.position
        take.until_nul()
        plugin = b""
        if take.left > 2 and self._agreed.capabilities & Capabilities.CLIENT_PLUGIN_AUTH:
            take.fixed(2)
            plugin = take.rest().partition(b"\0")[0]

        def envelope(changed: bytes) -> bytes:
            written = counted(changed) if short else changed.partition(b"\0")[0] + b"\0"
            return payload[:start] + written + payload[end:]

        return dialogue.begin(plugin, self._nonce, answer, envelope)

    def _say(self, said: list[Say], steps: list[Step]) -> None:
        for each in said:
            steps.append(Pass(each.side, self._packet(self._next[each.side], each.payload)))
            self._next[each.side] += 1

    def _fail(self, reason: str, steps: list[Step]) -> None:
        dialogue, self._dialogue = self._dialogue, None
        error = error_payload(int(ErrorCode.HANDSHAKE_ERROR), f"djproxy: {reason}", "08S01")
        steps.append(Pass(Side.CLIENT, self._packet(self._next[Side.CLIENT], error)))
        if dialogue is not None and self._next[Side.SERVER]:
            # The server refuses a login without a password; one that breaks off it would count against this host.
            steps.append(Pass(Side.SERVER, self._packet(self._next[Side.SERVER], b"\0")))
        steps.append(End())

    # -- what packets are wrapped in: nothing

    def _new_finder(self) -> Finder:
        return CommandFinder()

    def _feed(self, side: Side, data: bytes) -> None:
        """Take in what came during a dialogue."""
        self._readers[side].feed(data)

    def _more(self, _side: Side) -> bool:
        """Give the reader what was taken in and held back; whether there was any."""
        return False

    def _rest(self, side: Side) -> bytes:
        """What came behind the dialogue's last packet, as it goes on."""
        return self._readers[side].rest()

    def _packet(self, sequence: int, payload: bytes) -> bytes:
        return packet(sequence, payload)
