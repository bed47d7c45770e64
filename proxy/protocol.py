"""The alphabet of the MySQL protocol: packets, integers, strings, each read with its length checked first.

A packet is a 3-byte length, a sequence number, and so many bytes; a payload of 0xFFFFFF bytes goes on in the
next packet. Nothing here trusts a length or a NUL that the other end sent: what would run over the end is a
PeerProtocolError.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

from mysql_mimic.errors import ErrorCode
from mysql_mimic.types import uint_len

HEADER = 4
MAX_PAYLOAD = 0xFFFFFF

# A lone OK packet cannot be shorter: header, two length-encoded integers, status, warnings.
SHORTEST_OK = 7
# A longer packet that starts with 0xFE is a row whose first column takes an 8-byte length.
LONGEST_EOF = 8


class Side(IntEnum):
    """The two ends of a connection, as the proxy sees them."""

    CLIENT = 0
    SERVER = 1


class ExtendedCapabilities(IntFlag):
    """MariaDB's own capabilities: https://mariadb.com/kb/en/connection/ (the greeting's last reserved bytes)."""

    PROGRESS = 1
    COM_MULTI = 2
    STMT_BULK_OPERATIONS = 4
    EXTENDED_METADATA = 8
    CACHE_METADATA = 16
    BULK_UNIT_RESULTS = 32


class Header(IntEnum):
    """The first byte of a server's packet where it tells the kind."""

    OK = 0x00
    MORE_DATA = 0x01
    LOCAL_INFILE = 0xFB
    EOF = 0xFE
    ERR = 0xFF


class PeerProtocolError(Exception):
    """The other end sent bytes that the protocol does not allow."""


class Take:
    """Reads a payload from front to back; whatever would run over its end raises PeerProtocolError."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def fixed(self, length: int) -> bytes:
        """The next `length` bytes."""
        start = self.position
        end = start + length
        if length < 0 or end > len(self.data):
            raise PeerProtocolError(f"truncated packet: {length} bytes wanted at {start} of {len(self.data)}")
        self.position = end
        return self.data[start:end]

    def integer(self, length: int) -> int:
        """A little-endian unsigned integer of `length` bytes."""
        return int.from_bytes(self.fixed(length), "little")

    def length_encoded(self) -> int:
        """A length-encoded integer."""
        first = self.integer(1)
        if first < 0xFB:
            return first
        width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
        if width is None:
            raise PeerProtocolError(f"0x{first:02x} is no length-encoded integer")
        return self.integer(width)

    def string(self) -> bytes:
        """A length-encoded string."""
        return self.fixed(self.length_encoded())

    def until_nul(self) -> bytes:
        """A string that ends with a NUL, without it."""
        end = self.data.find(b"\0", self.position)
        if end < 0:
            raise PeerProtocolError("truncated packet: no NUL at the end of a string")
        found = self.data[self.position : end]
        self.position = end + 1
        return found

    def rest(self) -> bytes:
        """Everything that is left."""
        found = self.data[self.position :]
        self.position = len(self.data)
        return found

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self.data) - self.position


def packet(sequence: int, payload: bytes) -> bytes:
    """Frame a payload of less than 16 MB."""
    return len(payload).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + payload


def lenenc(value: bytes) -> bytes:
    """A length-encoded string."""
    return bytes(uint_len(len(value))) + value


def error_payload(code: int, message: str, sqlstate: str | None = None) -> bytes:
    """An ERR packet's payload. Before the greeting there is no sqlstate: no capabilities are agreed on yet."""
    marker = f"#{sqlstate}" if sqlstate is not None else ""
    return b"\xff" + code.to_bytes(2, "little") + (marker + message).encode()


class PacketReader:
    """Cuts a stream into payloads, continuations joined, and holds no more than `limit` bytes of each.

    Feed chunks as they come, then call `next_packet` until it gives None. `length` and `sequence` describe the
    payload just given: its true length (the payload itself is cut off at `limit`), and its last packet's number; while
    a payload is on its way, what its headers have announced so far.
    """

    __slots__ = (
        "_chunk",
        "_held",
        "_joining",
        "_missing",
        "_position",
        "_room",
        "_start",
        "length",
        "limit",
        "sequence",
    )

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.length = 0
        self.sequence = 0
        self._chunk = b""
        self._position = 0
        self._start = b""
        self._held: list[bytes] = []
        self._room = limit
        self._missing = -1
        self._joining = False

    def feed(self, chunk: bytes) -> None:
        """Take the stream's next bytes."""
        self._chunk = self._chunk[self._position :] + chunk if self._position < len(self._chunk) else chunk
        self._position = 0

    def next_packet(self) -> bytes | None:
        """The next payload, or None until more bytes come."""
        if self._missing < 0 and not self._start and not self._joining:
            # Nearly every packet comes in one piece.
            chunk, position = self._chunk, self._position
            available = len(chunk) - position - HEADER
            if available >= 0:
                length = chunk[position] | chunk[position + 1] << 8 | chunk[position + 2] << 16
                if length <= available and length < MAX_PAYLOAD:
                    start = position + HEADER
                    self.sequence = chunk[position + 3]
                    self.length = length
                    self._position = start + length
                    return chunk[start : start + min(length, self.limit)]
            elif available == -HEADER:
                return None
        return self._next_in_pieces()

    def _next_in_pieces(self) -> bytes | None:
        while True:
            if self._missing < 0 and not self._begin_packet():
                return None
            if not self._collect():
                return None
            if not self._joining:
                found = b"".join(self._held)
                self._held.clear()
                self._room = self.limit
                return found

    def _begin_packet(self) -> bool:
        """Read a header, when all of it is there."""
        wanted = HEADER - len(self._start)
        found = self._chunk[self._position : self._position + wanted]
        self._position += len(found)
        header = self._start + found
        if len(header) < HEADER:
            self._start = header
            return False
        self._start = b""
        self._missing = int.from_bytes(header[:3], "little")
        self.sequence = header[3]
        self.length = self._missing + (self.length if self._joining else 0)
        self._joining = self._missing == MAX_PAYLOAD
        return True

    @property
    def at_rest(self) -> bool:
        """Whether nothing was fed that has not been given: the next byte begins a packet."""
        return self._missing < 0 and not self._joining and not self._start and self._position >= len(self._chunk)

    @property
    def under_way(self) -> bool:
        """Whether a payload has begun to come and is not yet whole."""
        return self._missing >= 0 or self._joining

    def rest(self) -> bytes:
        """Whatever was fed and not yet given, as it came, and forget it. Not in the middle of a payload."""
        left = self._start + self._chunk[self._position :]
        self._chunk = self._start = b""
        self._position = 0
        return left

    def _collect(self) -> bool:
        """Move what there is of the current packet into `_held`; True when the packet is complete."""
        available = min(self._missing, len(self._chunk) - self._position)
        if wanted := min(available, self._room):
            # A chunk that is all payload is kept as it is, without a copy.
            self._held.append(self._chunk[self._position : self._position + wanted])
            self._room -= wanted
        self._position += available
        self._missing -= available
        if self._missing:
            return False
        self._missing = -1
        return True


__all__ = [
    "HEADER",
    "LONGEST_EOF",
    "MAX_PAYLOAD",
    "SHORTEST_OK",
    "ErrorCode",
    "ExtendedCapabilities",
    "Header",
    "PacketReader",
    "PeerProtocolError",
    "Side",
    "Take",
    "error_payload",
    "lenenc",
    "packet",
]
