"""COM_CHANGE_USER of a connection that compresses, where the legs are of different kinds.

Both ends compress with each other, as they have agreed; what they send passes as it came, and only a copy of the
client's stream is unpacked to find the command. It begins a compressed packet, for a client that waits for answers
sends what it has; one that puts it behind other commands in the same compressed packet is refused. From there to the
server's OK or ERR both streams are unpacked, and the packets go on framed and stored, not packed. Such a compressed
packet has the number of the packet in it, as both ends count.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.change_user import Agreed, CommandFinder, UserChanges
from proxy.compression import COMPRESSED_HEADER, Decompressor, Zlib, Zstd, stored, unpacker_of
from proxy.login_reader import LONGEST_PACKET
from proxy.protocol import HEADER, PeerProtocolError, Side, packet


def user_changes(agreed: Agreed, idle: Callable[[], bool]) -> UserChanges:
    """What a connection that agreed on this needs, compressed or not."""
    if unpacker := unpacker_of(agreed.capabilities):
        return PackedUserChanges(agreed, idle, unpacker)
    return UserChanges(agreed, idle)


class PackedFinder:
    """Cuts the client's compressed stream before the compressed packet that begins with a COM_CHANGE_USER."""

    def __init__(self, unpacker: type[Zlib] | type[Zstd]) -> None:
        self._unpack = Decompressor(unpacker)
        self._commands = CommandFinder()
        self._held = b""
        self._missing = 0
        self._plain = 0

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """As `CommandFinder`'s; a compressed packet is held back until its first bytes are unpacked.

        Raises PeerProtocolError for a stream that cannot be unpacked, and for a command amid a compressed packet.
        """
        start, position = 0, len(self._held)
        data = self._held + data
        while position < len(data):
            if not self._missing:
                if len(data) - start < COMPRESSED_HEADER:
                    break
                self._missing = int.from_bytes(data[start : start + 3], "little")
                self._plain = 0
                position = start + COMPRESSED_HEADER
                self._look(data[start:position])
            part = data[position : position + self._missing]
            position += len(part)
            self._missing -= len(part)
            if self._look(part):
                return data[:start], data[start:]
            if not self._missing or self._plain > HEADER:
                start = position
        self._held = data[start:]
        return data[:start], b""

    def _look(self, part: bytes) -> bool:
        """Whether the command begins the compressed packet that this is the next part of."""
        for piece in self._unpack.feed(part):
            self._plain += len(piece)
            if found := self._commands.split(piece)[1]:
                if len(found) != self._plain:
                    raise PeerProtocolError("the client changes the user behind other commands in a compressed packet")
                return True
        return False


class PackedUserChanges(UserChanges):
    """`UserChanges` of a connection that compresses."""

    def __init__(self, agreed: Agreed, idle: Callable[[], bool], unpacker: type[Zlib] | type[Zstd]) -> None:
        self._unpacker = unpacker
        self._packed = {side: b"" for side in Side}
        super().__init__(agreed, idle)

    def _new_finder(self) -> PackedFinder:
        return PackedFinder(self._unpacker)

    def _feed(self, side: Side, data: bytes) -> None:
        self._packed[side] += data

    def _more(self, side: Side) -> bool:
        packed = self._packed[side]
        if len(packed) < COMPRESSED_HEADER:
            return False
        length, before = int.from_bytes(packed[:3], "little"), int.from_bytes(packed[4:COMPRESSED_HEADER], "little")
        if max(length, before) > LONGEST_PACKET:
            raise PeerProtocolError(f"a compressed packet of {max(length, before)} bytes while logging in")
        end = COMPRESSED_HEADER + length
        if len(packed) < end:
            return False
        self._packed[side] = packed[end:]
        for piece in Decompressor(self._unpacker).feed(packed[:end]):
            self._readers[side].feed(piece)
        return True

    def _rest(self, side: Side) -> bytes:
        plain, packed = super()._rest(side), self._packed[side]
        self._packed[side] = b""
        sequence = self._next[Side.CLIENT] if side is Side.SERVER else 0
        return (stored(sequence, plain) if plain else b"") + packed

    def _packet(self, sequence: int, payload: bytes) -> bytes:
        return stored(sequence, packet(sequence, payload))
