"""COM_CHANGE_USER between legs of unequal security, of a connection that compresses."""

from __future__ import annotations

import random

import pytest

from proxy.change_packed import PackedFinder, user_changes
from proxy.change_user import LONGEST_PACKET, Agreed
from proxy.compression import ALGORITHMS, Zlib, Zstd
from proxy.protocol import Side, packet
from proxy.security import Kind
from tests.test_change_user import FLAGS, OK, OLD_NONCE, OWN, PASSWORD, QUERY, SERVERS, SWITCH, Wire, change
from tests.test_compression import framed, packed, unpacked

Unpacker = type[Zlib] | type[Zstd]
BOTH = pytest.mark.parametrize("unpacker", [Zlib, Zstd])
STEPS = pytest.mark.parametrize("step", [1, 5, 1 << 30])


class PackedWire(Wire):
    """Sends each packet compressed, and unpacks what each end was sent."""

    def __init__(self, unpacker: Unpacker, kinds: tuple[Kind, Kind] = (Kind.TLS, Kind.PLAIN)) -> None:
        super().__init__(kinds)
        flag = next(flag for flag, own in ALGORITHMS.items() if own is unpacker)
        self.changes = user_changes(Agreed(kinds, OLD_NONCE, OWN, FLAGS | flag), lambda: True)
        self.unpacker = unpacker

    def tell(self, side: Side, sequence: int, payload: bytes, step: int = 1 << 30) -> bytes:
        """Gives the packets that went somewhere by it."""
        sent = self.feed(side, packed(self.unpacker, packet(sequence, payload), sequence), step)
        # A compressed packet each, of the same number.
        assert not sent or sent[3] == unpacked(self.unpacker, sent)[3]
        return unpacked(self.unpacker, sent)


@BOTH
@STEPS
def test_all_else_passes_as_it_came(unpacker: Unpacker, step: int) -> None:
    wire = PackedWire(unpacker)
    upload = [packet(number & 0xFF, b"\x11 looks like it") for number in range(2, 600)] + [packet(0x58, b"")]
    commands = [QUERY, packet(0, b"\x0e"), packet(0, b"\x03" + b"\x11" * 5000), *upload, packet(0, b"\x01")]
    # Each by itself, stored as short ones are, and cut without regard to where packets begin.
    sent = b"".join(packed(unpacker, each) for each in commands) + framed(QUERY, 0) + framed(b"", 0)
    plain = b"".join(commands)
    sent += b"".join(packed(unpacker, plain[start : start + 37]) for start in range(0, len(plain), 37))
    assert wire.feed(Side.CLIENT, sent, step) == sent
    assert wire.noticed == sent and not wire.changes.busy and not wire.ended
    assert wire.feed(Side.SERVER, b"anything") == b"anything"


@BOTH
@STEPS
def test_a_clear_password_is_encrypted(unpacker: Unpacker, step: int) -> None:
    wire = PackedWire(unpacker)
    for _ in range(2):
        assert wire.tell(Side.CLIENT, 0, QUERY[4:], step) == QUERY
        assert wire.tell(Side.CLIENT, 0, change(b"s" * 32), step) == packet(0, change(b"s" * 32))
        assert wire.changes.busy
        assert wire.tell(Side.SERVER, 1, SWITCH, step) == packet(1, SWITCH)
        assert wire.tell(Side.CLIENT, 2, b"t" * 32, step) == packet(2, b"t" * 32)
        assert wire.tell(Side.SERVER, 3, b"\x01\x04", step) == packet(3, b"\x01\x04")
        assert wire.tell(Side.CLIENT, 4, PASSWORD, step) == packet(4, b"\x02")
        encrypted = wire.tell(Side.SERVER, 5, b"\x01" + SERVERS.public_pem, step)
        assert encrypted[3] == 6 and SERVERS.decrypt(encrypted[4:], SWITCH[-21:-1]) == PASSWORD
        assert wire.tell(Side.SERVER, 7, OK, step) == packet(5, OK)
        assert not wire.changes.busy and not wire.ended
    told = QUERY + packet(0, change(b"s" * 32)) + packet(2, b"t" * 32) + packet(4, PASSWORD)
    assert unpacked(unpacker, wire.noticed) == told * 2
    assert PASSWORD not in unpacked(unpacker, wire.sent[Side.SERVER])


@BOTH
@STEPS
def test_what_is_sent_meanwhile_waits(unpacker: Unpacker, step: int) -> None:
    wire = PackedWire(unpacker)
    later = packed(unpacker, QUERY) + packed(unpacker, QUERY)
    cut = len(later) - 3
    wire.feed(Side.CLIENT, packed(unpacker, packet(0, change(b"s" * 32))) + later[:cut], step)
    before = len(wire.sent[Side.SERVER])
    last = packed(unpacker, packet(1, OK), 1)
    # Something behind the answer, which no server sends.
    assert wire.feed(Side.SERVER, last + b"rest", step).startswith(framed(packet(1, OK), 0, 1))
    assert wire.sent[Side.CLIENT].endswith(b"rest")
    wire.feed(Side.CLIENT, later[cut:], step)
    assert unpacked(unpacker, wire.sent[Side.SERVER][before:]) == QUERY * 2


@BOTH
def test_a_change_amid_a_compressed_packet_is_refused(unpacker: Unpacker) -> None:
    command = packet(0, change(b"s" * 32))
    for sent in (
        packed(unpacker, QUERY + command),
        packed(unpacker, command[:4]) + packed(unpacker, command[4:]),
        packed(unpacker, QUERY[:-1]) + packed(unpacker, QUERY[-1:] + command),
    ):
        wire = PackedWire(unpacker)
        wire.feed(Side.CLIENT, sent)
        assert wire.ended and b"behind other commands" in wire.sent[Side.CLIENT]
        assert wire.sent[Side.CLIENT][3] == 1
        assert command not in unpacked(unpacker, wire.sent[Side.SERVER])


@BOTH
def test_hostile_bytes_end_it(unpacker: Unpacker) -> None:
    wire = PackedWire(unpacker)
    wire.feed(Side.CLIENT, framed(b"not packed", 100))
    assert wire.ended and b"cannot be unpacked" in wire.sent[Side.CLIENT] and wire.sent[Side.SERVER] == b""
    long = LONGEST_PACKET + 1
    for data in (packed(unpacker, packet(2, bytes(long))), framed(packet(2, bytes(long)), 0)):
        wire = PackedWire(unpacker)
        wire.tell(Side.CLIENT, 0, change(b"s" * 32))
        wire.feed(Side.CLIENT, data)
        assert wire.ended and b"a compressed packet of" in wire.sent[Side.CLIENT]
    wire = PackedWire(unpacker)
    wire.tell(Side.CLIENT, 0, change(b"s" * 32))
    wire.feed(Side.CLIENT, packed(unpacker, packet(0, b"\x03" + bytes(60_000))) * 20)
    assert wire.ended and b"more than 1048576 bytes" in wire.sent[Side.CLIENT]


@BOTH
def test_any_chunking_finds_it_at_the_same_place(unpacker: Unpacker) -> None:
    chance = random.Random(4)
    before = b"".join(packed(unpacker, packet(0, b"\x03" + chance.randbytes(40))) for _ in range(20))
    data = before + packed(unpacker, packet(0, change(b"s" * 32)))
    for _ in range(100):
        finder, position, passed, found = PackedFinder(unpacker), 0, b"", b""
        while not found:
            size = chance.randrange(1, 60)
            ahead, found = finder.split(data[position : position + size])
            passed += ahead
            position += size
        assert passed == before and data[len(before) :].startswith(found)
