"""The compressed protocol: any stream of packets in any chunking gives back what was packed, or an error."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mysql_mimic.types import Capabilities

from proxy.compression import PIECE, Decompressor, Zlib, Zstd, unpacker_of, zstd
from proxy.protocol import PeerProtocolError

Unpacker = type[Zlib] | type[Zstd]
PACK: dict[Unpacker, Callable[[bytes], bytes]] = {Zlib: zlib.compress, Zstd: zstd.compress}
BOTH = pytest.mark.parametrize("unpacker", [Zlib, Zstd])


def framed(payload: bytes, before: int, sequence: int = 0) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes((sequence & 0xFF,)) + before.to_bytes(3, "little") + payload


def packed(unpacker: Unpacker, plain: bytes, sequence: int = 0) -> bytes:
    return framed(PACK[unpacker](plain), len(plain), sequence)


def unpacked(unpacker: Unpacker, *chunks: bytes) -> bytes:
    stream = Decompressor(unpacker)
    return b"".join(b"".join(stream.feed(chunk)) for chunk in chunks)


@BOTH
@given(st.lists(st.tuples(st.binary(max_size=200), st.booleans()), max_size=8), st.lists(st.integers(0, 2000)))
def test_what_was_packed_comes_out(unpacker: Unpacker, parts: list[tuple[bytes, bool]], cuts: list[int]) -> None:
    data = b"".join(
        packed(unpacker, part, number) if pack and part else framed(part, 0, number)
        for number, (part, pack) in enumerate(parts)
    )
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    chunks = [data[start:end] for start, end in itertools.pairwise(edges)]
    plain = b"".join(part for part, _ in parts)
    assert unpacked(unpacker, *chunks) == plain
    assert unpacked(unpacker, *(bytes((byte,)) for byte in data)) == plain


@BOTH
def test_a_payload_comes_in_pieces(unpacker: Unpacker) -> None:
    plain = bytes(0xFFFFFF)
    pieces = list(Decompressor(unpacker).feed(packed(unpacker, plain)))
    assert max(map(len, pieces)) <= PIECE
    assert b"".join(pieces) == plain


@BOTH
@pytest.mark.parametrize(
    "spoil",
    [
        lambda payload, before: framed(payload + b"xx", before),
        lambda payload, before: framed(payload[:-1], before),
        lambda payload, before: framed(payload, before + 1),
        lambda payload, before: framed(payload, before - 1),
        lambda payload, before: framed(payload + payload, 2 * before),
        lambda _payload, before: framed(b"", before),
        lambda _payload, before: framed(b"garbage", before),
        lambda payload, before: framed(payload[:6] + b"garbage" + payload[6:], before),
    ],
)
@pytest.mark.parametrize("size", [100, 3 * PIECE])
def test_a_packet_that_lies_is_an_error(unpacker: Unpacker, spoil: Callable[[bytes, int], bytes], size: int) -> None:
    data = spoil(PACK[unpacker](bytes(size)), size)
    for chunks in ([data], [bytes((byte,)) for byte in data]):
        with pytest.raises(PeerProtocolError):
            unpacked(unpacker, *chunks)


@BOTH
def test_a_bomb_is_stopped_at_the_length_that_it_announces(unpacker: Unpacker) -> None:
    pieces = Decompressor(unpacker).feed(framed(PACK[unpacker](bytes(200 << 20)), 1000))
    with pytest.raises(PeerProtocolError):
        next(pieces)


def test_a_frame_that_wants_more_memory_than_a_packet_has_is_an_error() -> None:
    options = {zstd.CompressionParameter.window_log: 27}
    compressor = zstd.ZstdCompressor(options=options)
    frame = compressor.compress(b"x", mode=compressor.FLUSH_BLOCK) + compressor.flush()
    with pytest.raises(PeerProtocolError):
        unpacked(Zstd, framed(frame, 1))


@BOTH
@given(st.lists(st.binary(max_size=40)))
def test_any_bytes_are_unpacked_or_an_error(unpacker: Unpacker, chunks: list[bytes]) -> None:
    try:
        unpacked(unpacker, *chunks)
    except PeerProtocolError:
        return


def test_zlib_goes_before_zstd() -> None:
    both = Capabilities.CLIENT_COMPRESS | Capabilities.CLIENT_ZSTD_COMPRESSION_ALGORITHM
    assert unpacker_of(both) is Zlib
    assert unpacker_of(Capabilities.CLIENT_ZSTD_COMPRESSION_ALGORITHM) is Zstd
    assert unpacker_of(Capabilities.CLIENT_PROTOCOL_41) is None
