"""The compressed protocol, read: a stream of compressed packets in, the bytes of ordinary packets out.

    packet = compressed length(3) sequence(1) length before(3) payload

From the login's OK on, where it is agreed on, both directions are cut into these without regard to where ordinary
packets begin. Each is a whole zlib stream or zstd frame of its own; what was not worth it is stored as it is, with a
"length before" of 0. They are numbered by themselves.

The proxy relays them as they came; only the observer's copy is unpacked. Nobody's word is taken for a length: what is
held is `PIECE` bytes of output and what the decompressor itself needs, at most 16 MB.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_compression_packet.html
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Iterator
from typing import Protocol

from mysql_mimic.types import Capabilities

from proxy.protocol import PeerProtocolError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESSED_HEADER = 7
PIECE = 1 << 18
# A payload has less than 1 << 24 bytes, and no frame needs to remember more.
ZSTD_WINDOW: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 24}


class Unpacker(Protocol):
    """Unpacks one payload."""

    @property
    def ended(self) -> bool:
        """Whether all of it was unpacked, and nothing else came."""

    def unpack(self, data: bytes) -> Iterator[bytes]:
        """What comes of the payload's next bytes, in pieces."""


class Zlib:
    """A zlib stream."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()

    @property
    def ended(self) -> bool:
        return self._stream.eof and not self._stream.unused_data

    def unpack(self, data: bytes) -> Iterator[bytes]:
        while True:
            plain = self._stream.decompress(data, PIECE)
            yield plain
            data = self._stream.unconsumed_tail
            if self._stream.eof or (not data and len(plain) < PIECE):
                return


class Zstd:
    """A zstd frame."""

    def __init__(self) -> None:
        self._frame = zstd.ZstdDecompressor(options=ZSTD_WINDOW)

    @property
    def ended(self) -> bool:
        return self._frame.eof and not self._frame.unused_data

    def unpack(self, data: bytes) -> Iterator[bytes]:
        yield self._frame.decompress(data, PIECE)
        while not self._frame.needs_input and not self._frame.eof:
            yield self._frame.decompress(b"", PIECE)


#: What unpacks each payload; the server, offered both, takes zlib.
ALGORITHMS: dict[Capabilities, type[Zlib] | type[Zstd]] = {
    Capabilities.CLIENT_COMPRESS: Zlib,
    Capabilities.CLIENT_ZSTD_COMPRESSION_ALGORITHM: Zstd,
}


def unpacker_of(capabilities: Capabilities) -> type[Zlib] | type[Zstd] | None:
    """How the two ends compress; None when they do not."""
    return next((unpacker for flag, unpacker in ALGORITHMS.items() if capabilities & flag), None)


def stored(sequence: int, data: bytes) -> bytes:
    """Less than 16 MB as a compressed packet that is none."""
    return len(data).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + bytes(3) + data


class Decompressor:
    """One direction of a compressed connection."""

    def __init__(self, unpacker: type[Zlib] | type[Zstd]) -> None:
        self._new = unpacker
        self._header = b""
        self._unpacker: Unpacker | None = None
        self._packed = 0
        self._plain = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The ordinary bytes that the stream's next bytes hold, in pieces. To be taken to its end before the next
        call. Raises PeerProtocolError, after which nothing more can be read."""
        position = 0
        while position < len(data):
            if not self._packed:
                wanted = COMPRESSED_HEADER - len(self._header)
                self._header += data[position : position + wanted]
                position += wanted
                if len(self._header) < COMPRESSED_HEADER:
                    return
                self._begin()
            part = data[position : position + self._packed]
            position += len(part)
            yield from self._part(part)

    def _begin(self) -> None:
        self._packed = int.from_bytes(self._header[:3], "little")
        before = int.from_bytes(self._header[4:], "little")
        self._header = b""
        self._unpacker = self._new() if before else None
        self._plain = before or self._packed
        if before and not self._packed:
            raise PeerProtocolError("a compressed packet of no bytes")

    def _part(self, part: bytes) -> Iterator[bytes]:
        """The payload's next bytes."""
        self._packed -= len(part)
        if self._unpacker is None:
            if part:
                yield part
            return
        try:
            for plain in self._unpacker.unpack(part):
                self._plain -= len(plain)
                if self._plain < 0:
                    raise PeerProtocolError("a compressed packet holds more than it says")
                if plain:
                    yield plain
        except (zlib.error, zstd.ZstdError, EOFError) as error:
            raise PeerProtocolError(f"a compressed packet cannot be unpacked ({error})") from error
        if not self._packed and (self._plain or not self._unpacker.ended):
            raise PeerProtocolError("a compressed packet holds something other than it says")
