"""A whole conversation in any pieces, compressed or not, and bytes that are none."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mysql_mimic.types import Capabilities

from proxy.compression import ALGORITHMS, Zlib, Zstd
from proxy.events import Event, Lost, Noted, UserChanged
from proxy.protocol import Side, packet
from tests.conversation import (
    DENIED,
    INT_7,
    MORE,
    NEW,
    OLD,
    Talk,
    execute,
    executed,
    frames,
    ok,
    prepare,
    prepared,
    query,
    rows,
)
from tests.test_compression import packed


@pytest.mark.parametrize("unpacker", [Zlib, Zstd])
@pytest.mark.parametrize("step", [1, 11, 1 << 20])
def test_a_compressed_conversation_says_the_same(unpacker: type[Zlib] | type[Zstd], step: int) -> None:
    flag = next(flag for flag, own in ALGORITHMS.items() if own is unpacker)
    talk = Talk(OLD | flag)
    for side, data in CONVERSATION:
        stream = b"".join(packed(unpacker, data[start : start + 30]) for start in range(0, len(data), 30))
        for start in range(0, len(stream), step):
            (talk.client if side is Side.CLIENT else talk.server)(stream[start : start + step])
    assert talk.events == EVENTS
    talk.client(query(b"not compressed"))
    assert isinstance(talk.events[-1], Lost)


CONVERSATION: list[tuple[Side, bytes]] = [
    (Side.CLIENT, query(b"SELECT 1")),
    (Side.SERVER, rows(OLD, b"\x011", b"\0", b"\xfb")),
    (Side.CLIENT, query(b"SELECT 1; USE x; bad")),
    (Side.SERVER, rows(OLD, b"\x011", status=MORE) + frames(ok(MORE)) + frames(DENIED)),
    (Side.CLIENT, prepare(b"SELECT ?") + execute(0xFFFFFFFF, INT_7)),
    (Side.SERVER, prepared(OLD, 3, 1, 1) + rows(OLD, b"\0\0\x07")),
    (Side.CLIENT, frames(b"\x19" + struct.pack("<I", 3), start=0) + query(b"LOAD DATA LOCAL INFILE 'f' INTO TABLE t")),
    (Side.SERVER, frames(b"\xfbf")),
    (Side.CLIENT, packet(2, b"\x03x") + packet(3, b"")),
    (Side.SERVER, packet(4, ok())),
    (Side.CLIENT, frames(b"\x11bob\0\x01xlab\0\x21\0", start=0)),
    (Side.SERVER, packet(1, b"\xfeplugin\0nonce")),
    (Side.CLIENT, packet(2, b"secret")),
    (Side.SERVER, packet(3, ok())),
    (Side.CLIENT, query(b"INSERT INTO t VALUES ('x')")),
    (Side.SERVER, frames(ok())),
]
EVENTS: list[Event] = [
    executed(b"SELECT 1"),
    executed(b"SELECT 1"),
    executed(b"USE x"),
    executed(b"SELECT ?", ("7",)),
    Noted(1, "LOAD", "t", 39),
    UserChanged(1, "bob", "lab", 0x21),
    Noted(1, "INSERT", "t", 26),
]


def _chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def test_one_byte_at_a_time() -> None:
    talk = Talk(OLD)
    for side, data in CONVERSATION:
        for byte in data:
            (talk.client if side is Side.CLIENT else talk.server)(bytes((byte,)))
    assert talk.events == EVENTS


@given(st.lists(st.lists(st.integers(0, 1000), max_size=6), min_size=len(CONVERSATION), max_size=len(CONVERSATION)))
def test_any_chunking_gives_the_same_events(cuts: list[list[int]]) -> None:
    talk = Talk(OLD)
    for (side, data), places in zip(CONVERSATION, cuts, strict=True):
        for chunk in _chunks(data, places):
            (talk.client if side is Side.CLIENT else talk.server)(chunk)
    assert talk.events == EVENTS


@settings(max_examples=300)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(Side),
            st.one_of(st.binary(max_size=40), st.sampled_from(CONVERSATION).map(lambda turn: turn[1])),
        )
    ),
    st.sampled_from([OLD, NEW, NEW | Capabilities.CLIENT_QUERY_ATTRIBUTES, *(OLD | flag for flag in ALGORITHMS)]),
)
def test_any_bytes_are_survived(chunks: list[tuple[Side, bytes]], capabilities: Capabilities) -> None:
    talk = Talk(capabilities)
    for side, data in chunks:
        (talk.client if side is Side.CLIENT else talk.server)(data)
    lost = [index for index, event in enumerate(talk.events) if isinstance(event, Lost)]
    assert lost in ([], [len(talk.events) - 1])
    assert not any(isinstance(event, Lost) and "observer" in event.reason for event in talk.events)
