"""Packets cut from a stream, and payloads read with every length checked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.protocol import MAX_PAYLOAD, PacketReader, PeerProtocolError, Take, error_payload, lenenc, packet


def _read(reader: PacketReader, data: bytes) -> list[tuple[bytes, int, int]]:
    reader.feed(data)
    found = []
    while (payload := reader.next_packet()) is not None:
        found.append((payload, reader.length, reader.sequence))
    return found


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 50), st.integers(0, 60))
def test_any_chunking_gives_the_same_payloads(payloads: list[bytes], step: int, limit: int) -> None:
    stream = b"".join(packet(number, payload) for number, payload in enumerate(payloads))
    reader = PacketReader(limit)
    found = [one for start in range(0, len(stream), step) for one in _read(reader, stream[start : start + step])]
    assert found == [(payload[:limit], len(payload), number) for number, payload in enumerate(payloads)]
    assert reader.rest() == b""


@pytest.mark.parametrize("length", [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD])
@pytest.mark.parametrize("limit", [100, 1 << 30])
def test_long_payloads_are_joined(length: int, limit: int) -> None:
    payload = bytes(range(256)) * (length // 256 + 1)
    payload = payload[:length]
    pieces = [payload[start : start + MAX_PAYLOAD] for start in range(0, length + 1, MAX_PAYLOAD)]
    stream = b"".join(len(piece).to_bytes(3, "little") + bytes((n,)) + piece for n, piece in enumerate(pieces))
    found = _read(PacketReader(limit), stream + packet(0, b"next"))
    assert found == [(payload[:limit], length, len(pieces) - 1), (b"next", 4, 0)]


def test_a_packet_on_its_way_announces_its_length() -> None:
    reader = PacketReader(10)
    assert _read(reader, b"\x00\x10\x00\x01abc") == []
    assert reader.length == 0x1000


def test_what_was_fed_and_not_given_comes_back() -> None:
    reader = PacketReader(100)
    reader.feed(packet(0, b"one") + packet(1, b"two")[:5])
    assert reader.next_packet() == b"one"
    assert reader.rest() == packet(1, b"two")[:5]
    assert _read(reader, packet(2, b"three")) == [(b"three", 5, 2)]


@pytest.mark.parametrize("length", [0, 250, 251, 0xFFFF, 0x10000, 0xFFFFFF, 0x1000000])
def test_length_encoded_strings(length: int) -> None:
    take = Take(lenenc(b"x" * length) + b"rest")
    assert len(take.string()) == length
    assert take.rest() == b"rest"
    assert take.left == 0


@pytest.mark.parametrize("bad", [b"", b"\x05abc", b"\xfb", b"\xff", b"\xfc\x01", b"\xfe" + b"\xff" * 8])
def test_lengths_that_lie(bad: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        Take(bad).string()


def test_a_string_without_its_end() -> None:
    with pytest.raises(PeerProtocolError):
        Take(b"abc").until_nul()


def test_errors_have_a_state_only_where_there_are_capabilities() -> None:
    assert error_payload(1040, "full") == b"\xff\x10\x04full"
    assert error_payload(1043, "bad", "08S01") == b"\xff\x13\x04#08S01bad"
