"""COM_CHANGE_USER between legs of unequal security, byte by byte."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from mysql_mimic.types import Capabilities

from proxy.change_user import Agreed, CommandFinder, End, Notice, Pass, UserChanges
from proxy.login_reader import LONGEST_PACKET
from proxy.passwords import PasswordKey, encrypt
from proxy.protocol import Side, packet
from proxy.security import Kind

FLAGS = Capabilities.CLIENT_PROTOCOL_41 | Capabilities.CLIENT_SECURE_CONNECTION | Capabilities.CLIENT_PLUGIN_AUTH
OLD_NONCE, NONCE = b"n" * 20, bytes(range(60, 80))
OWN, SERVERS = (PasswordKey(rsa.generate_private_key(65537, 2048)) for _ in range(2))
PASSWORD = b"correct horse\0"
OK = b"\0\0\0\2\0\0\0"
QUERY = packet(0, b"\x03SELECT 1")
SWITCH = b"\xfecaching_sha2_password\0" + NONCE + b"\0"


def change(answer: bytes, plugin: bytes = b"caching_sha2_password") -> bytes:
    return b"\x11ann\0" + bytes((len(answer),)) + answer + b"lab\0" + b"\x2d\0" + plugin + b"\0attributes"


class Wire:
    """What each end has been sent, and what the observer was shown."""

    def __init__(self, kinds: tuple[Kind, Kind], idle: bool = True) -> None:
        self.changes = UserChanges(Agreed(kinds, OLD_NONCE, OWN, FLAGS), lambda: idle)
        self.sent = {side: b"" for side in Side}
        self.noticed = b""
        self.ended = False

    def feed(self, side: Side, data: bytes, step: int = 1 << 30) -> bytes:
        """Gives what went to the other side, or back, by it."""
        before = {to: len(self.sent[to]) for to in Side}
        for start in range(0, len(data), step):
            chunk = data[start : start + step]
            if side is Side.SERVER and not self.changes.busy:
                self.sent[Side.CLIENT] += chunk
                continue
            for each in self.changes.receive(side, chunk):
                match each:
                    case Pass(to, passed):
                        self.sent[to] += passed
                    case Notice(passed):
                        self.noticed += passed
                    case End():
                        self.ended = True
        return b"".join(self.sent[to][before[to] :] for to in Side)


@pytest.mark.parametrize("step", [1, 5, 1 << 30])
def test_all_else_passes_as_it_came(step: int) -> None:
    wire = Wire((Kind.TLS, Kind.PLAIN))
    upload = b"".join(packet(number & 0xFF, b"\x11 looks like it") for number in range(2, 600)) + packet(0x58, b"")
    sent = QUERY + packet(0, b"\x0e") + packet(0, b"\x03" + b"\x11" * 5000) + upload + packet(0, b"\x01")
    assert wire.feed(Side.CLIENT, sent, step) == sent
    assert wire.noticed == sent and not wire.changes.busy


@pytest.mark.parametrize("step", [1, 5, 1 << 30])
def test_a_clear_password_is_encrypted_with_numbers_of_the_legs_own(step: int) -> None:
    wire = Wire((Kind.TLS, Kind.PLAIN))
    command = packet(0, change(b"s" * 32))
    assert wire.feed(Side.CLIENT, QUERY + command, step) == QUERY + command
    assert wire.changes.busy
    assert wire.feed(Side.SERVER, packet(1, SWITCH), step) == packet(1, SWITCH)
    assert wire.feed(Side.CLIENT, packet(2, b"t" * 32), step) == packet(2, b"t" * 32)
    assert wire.feed(Side.SERVER, packet(3, b"\x01\x04"), step) == packet(3, b"\x01\x04")
    assert wire.feed(Side.CLIENT, packet(4, PASSWORD), step) == packet(4, b"\x02")
    encrypted = wire.feed(Side.SERVER, packet(5, b"\x01" + SERVERS.public_pem), step)
    assert encrypted[3] == 6 and SERVERS.decrypt(encrypted[4:], NONCE) == PASSWORD
    # Two packets fewer on the client's leg.
    assert wire.feed(Side.SERVER, packet(7, OK) + b"\x05\0\0\0rest", step) == packet(5, OK) + b"\x05\0\0\0rest"
    assert not wire.changes.busy
    assert wire.feed(Side.CLIENT, QUERY, step) == QUERY
    assert wire.noticed == QUERY + command + packet(2, b"t" * 32) + packet(4, PASSWORD) + QUERY


def test_the_second_change_begins_with_the_last_nonce() -> None:
    wire = Wire((Kind.PLAIN, Kind.TLS))
    for nonce in (OLD_NONCE, NONCE):
        asked = wire.feed(Side.CLIENT, packet(0, change(b"\x01", b"sha256_password")))
        assert asked == packet(1, b"\x01" + OWN.public_pem)
        encrypted = encrypt(bytearray(PASSWORD), nonce, OWN.public_pem)
        assert wire.feed(Side.CLIENT, packet(2, encrypted)) == packet(0, change(PASSWORD, b"sha256_password"))
        wire.feed(Side.SERVER, packet(1, SWITCH))
        assert wire.feed(Side.CLIENT, packet(4, b"t" * 32)) == packet(2, b"t" * 32)
        assert wire.feed(Side.SERVER, packet(3, OK)) == packet(5, OK)


def test_commands_sent_meanwhile_wait() -> None:
    wire = Wire((Kind.TLS, Kind.PLAIN))
    command = packet(0, change(b"s" * 32))
    assert wire.feed(Side.CLIENT, command + QUERY) == command
    assert wire.feed(Side.SERVER, packet(1, OK)) == packet(1, OK) + QUERY
    assert wire.noticed == command + QUERY


def test_what_is_sent_meanwhile_has_a_limit() -> None:
    wire = Wire((Kind.TLS, Kind.PLAIN))
    wire.feed(Side.CLIENT, packet(0, change(b"s" * 32)))
    query = packet(0, b"\x03" + b"x" * 60_000)
    for _ in range(LONGEST_PACKET // len(query)):
        assert wire.feed(Side.CLIENT, query) == b""
    assert b"djproxy: more than 1048576 bytes" in wire.feed(Side.CLIENT, query)
    assert wire.ended and query not in wire.sent[Side.SERVER]


def test_a_refusal_tells_the_client_and_ends_the_servers_dialogue() -> None:
    wire = Wire((Kind.TLS, Kind.PLAIN))
    wire.feed(Side.CLIENT, packet(0, change(b"s" * 32)))
    wire.feed(Side.SERVER, packet(1, b"\xfemysql_clear_password\0"))
    assert wire.ended
    assert wire.sent[Side.CLIENT].startswith(wire.sent[Side.CLIENT][:3] + b"\x01\xff\x13\x04#08S01djproxy: ")
    assert wire.sent[Side.SERVER].endswith(packet(2, b"\0"))


@pytest.mark.parametrize(
    "command",
    [packet(0, b"\x11ann"), packet(0, b"\x11ann\0\xff"), (1 << 23).to_bytes(3, "little") + b"\0\x11" + bytes(1 << 21)],
    ids=["no nul", "length lies", "too long"],
)
def test_garbage_ends_it_before_the_server_sees_any(command: bytes) -> None:
    wire = Wire((Kind.TLS, Kind.PLAIN))
    wire.feed(Side.CLIENT, command)
    assert wire.ended and wire.sent[Side.SERVER] == b""


def test_a_change_before_the_last_answer_is_refused() -> None:
    wire = Wire((Kind.TLS, Kind.PLAIN), idle=False)
    wire.feed(Side.CLIENT, packet(0, change(b"s" * 32)))
    assert wire.ended and wire.sent[Side.SERVER] == b""


def test_any_chunking_finds_it_at_the_same_place() -> None:
    chance = random.Random(4)
    before = b"".join(packet(0, chance.randbytes(chance.randrange(1, 40)).replace(b"\x11", b"\x03")) for _ in range(50))
    data = before + packet(0, change(b"s" * 32))
    for _ in range(200):
        finder, position, passed = CommandFinder(), 0, b""
        while True:
            size = chance.randrange(1, 60)
            ahead, found = finder.split(data[position : position + size])
            passed += ahead
            position += size
            if found:
                break
        assert passed == before and found[4:5] == b"\x11"
