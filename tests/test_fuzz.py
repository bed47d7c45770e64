"""Hostile bytes, a small budget of what `scripts/fuzz` does at length: only events, actions or the protocol's error."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mysql_mimic.types import Capabilities

from proxy import privacy
from proxy.compression import ALGORITHMS
from proxy.events import Answered, Lost, UserChanged
from proxy.handshake import Done, Fail, Handshake
from proxy.observer import LONGEST_STATEMENT, Observer
from proxy.protocol import MAX_PAYLOAD, PeerProtocolError, Side, packet
from proxy.security import Legs
from tests.fuzz import targets
from tests.fuzz.corpus import as_stream, compressed, mutated, seeds, sessions, split
from tests.fuzz.script import Happening, Script, Step
from tests.fuzz.targets import TARGETS, observer

SESSIONS = sessions()
PIECE = bytes(1 << 20)


def garble(data: bytes, longest: int, random: Random) -> bytes:
    """What a fuzzer does to bytes: flips, cuts, repeats, and numbers that hurt."""
    changed = bytearray(data or b"\0")
    for _ in range(random.randrange(1, 5)):
        at = random.randrange(len(changed) + 1)
        match random.randrange(4):
            case 0:
                changed[at : at + 1] = bytes((random.randrange(256),))
            case 1:
                del changed[at : at + random.randrange(1, 9)]
            case 2:
                changed[at:at] = changed[at : at + random.randrange(1, 40)]
            case _:
                hurting = random.choice((b"\xfe" + b"\xff" * 8, b"\0\0\0", b"\xfb", b"\xff\xff\xff", b"\x80"))
                changed[at : at + len(hurting)] = hurting
    return bytes(changed[:longest])


@pytest.mark.parametrize("name", SESSIONS)
def test_a_recorded_session_is_followed_to_its_end(name: str) -> None:
    login, commands = split(SESSIONS[name])
    actions = targets.handshake(login.encode())
    assert any(isinstance(action, Done) for action in actions)
    assert not any(isinstance(action, Fail) for action in actions)
    events = observer(commands.encode())
    assert not any(isinstance(event, Lost) for event in events)
    assert events == targets.session(SESSIONS[name].encode())
    assert events == observer(as_stream(commands).encode())
    if "prepared" in name:
        assert any(isinstance(event, UserChanged) for event in events)
    answered = [event for event in events if isinstance(event, Answered)]
    assert answered or "raw" in name
    if "texts" in name:
        assert any(answer.keys and answer.digest for answer in answered)


@pytest.mark.parametrize("name", SESSIONS)
@pytest.mark.parametrize("slices", [1, 2, 3, 5, 7])
def test_a_recorded_session_reads_the_same_in_slices(name: str, slices: int) -> None:
    _, commands = split(SESSIONS[name])
    assert observer(replace(commands, slices=slices).encode()) == observer(commands.encode())


@pytest.mark.parametrize("name", SESSIONS)
@pytest.mark.parametrize("flag", ALGORITHMS)
def test_a_recorded_session_reads_the_same_compressed(name: str, flag: Capabilities) -> None:
    _, commands = split(SESSIONS[name])
    assert observer(compressed(commands, flag).encode()) == observer(commands.encode())


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=500)
@given(st.data())
def test_mutated_sessions_are_survived(target: str, data: st.DataObject) -> None:
    random = data.draw(st.randoms(use_true_random=False))
    script = random.choice(SEEDS[target])
    for _ in range(random.randrange(1, 6)):
        script = mutated(script, 1 << 14, random, lambda chosen, longest: garble(chosen, longest, random))
    TARGETS[target](script)


SEEDS = {target: list(seeds(target)) for target in TARGETS}


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=300)
@given(data=st.binary(max_size=600))
def test_any_bytes_are_survived(target: str, data: bytes) -> None:
    TARGETS[target](data)


@given(st.binary(max_size=400))
def test_every_string_of_bytes_is_a_script(data: bytes) -> None:
    script = Script.parse(data)
    assert Script.parse(script.encode()) == script


def test_a_mistake_of_ours_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_sql: bytes, *, backslash: bool = True) -> list[privacy.Part]:
        raise IndexError(backslash)

    monkeypatch.setattr(privacy, "read", broken)
    with pytest.raises(IndexError):
        observer(split(SESSIONS["mysql-texts-0"])[1].encode())


def test_a_lost_connection_is_no_mistake() -> None:
    _, commands = split(SESSIONS["mysql-texts-0"])
    cut = replace(commands, steps=(Step(Happening.CLIENT, b"\0\x99no such command"), *commands.steps))
    (event,) = observer(cut.encode())
    assert event == Lost(1, "unknown command 0x99")


def endless(first: bytes, pieces: int) -> Iterator[bytes]:
    """Packets that go on and on as one payload, one MB a time."""
    yield packet(0, b"")[3:4].join((MAX_PAYLOAD.to_bytes(3, "little"), first))
    sent = len(first)
    for _ in range(pieces):
        left = MAX_PAYLOAD - sent
        if left > len(PIECE):
            sent += len(PIECE)
            yield PIECE
        else:
            sent = len(PIECE) - left
            yield PIECE[:left] + MAX_PAYLOAD.to_bytes(3, "little") + b"\0" + PIECE[left:]


@pytest.mark.parametrize(("side", "most"), [(Side.CLIENT, 2 * LONGEST_STATEMENT), (Side.SERVER, 8 << 20)])
def test_an_endless_packet_takes_no_endless_memory(side: Side, most: int) -> None:
    watched = Observer(1, Capabilities.CLIENT_PROTOCOL_41)
    watched.client_bytes(packet(0, b"\x03SELECT 1; SELECT 2"))
    tracemalloc.start()
    for data in endless(b"\x03SELECT ", 200):
        (watched.client_bytes if side is Side.CLIENT else watched.server_bytes)(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < most


@pytest.mark.parametrize("first", [b"", b"\x99", packet(0, b"\xff\0\0no")], ids=["nothing", "garbage", "refused"])
@pytest.mark.parametrize("side", Side)
def test_a_login_takes_no_endless_memory(side: Side, first: bytes) -> None:
    login = Handshake(Legs())
    login.receive(Side.SERVER, first)
    tracemalloc.start()
    for _ in range(30):
        login.receive(side, b"\x99" * len(PIECE))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_the_protocols_error_is_not_raised_by_an_observer() -> None:
    watched = targets.StrictObserver(1, Capabilities(0))
    assert watched.lose("as the test says") == [Lost(1, "as the test says")]
    assert watched.lose("again") == []
    assert issubclass(PeerProtocolError, Exception)
