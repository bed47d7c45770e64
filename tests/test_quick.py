"""The observer's short way says what its long way says."""

from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mysql_mimic.types import Capabilities

from proxy import quick
from proxy.events import Event, Executed
from proxy.observer import Observer
from proxy.privacy import Keep, read
from proxy.quick import is_plain
from proxy.results import Pin, Watch, may_change
from tests.conversation import DENIED, NEW, OLD, frames, ok, query, rows

PLAIN = (b"SELECT 1", b"select a from t where id=%d", b"(SELECT a FROM `t1`) UNION (SELECT 'x%d')", b"SELECT ?, %d")
OTHERS = (
    *(b"SELECT %d; SELECT 2", b"SELECT %d;", b"SELECT a FROM t LIMIT %d", b"SELECT NOW(), %d", b"SELECT @x, %d"),
    *(b"SELECT /*!50000 1 */ + %d", b"INSERT INTO t VALUES (%d)", b"SET @a = %d", b"CALL p(%d)", b"TABLE t%d"),
    *(b"SELECT UUID_V4(), %d", b"SELECT 'password %d'", b"SELEC %d", b" ", b"SELECT RAND(%d)"),
)


@pytest.mark.parametrize("sql", PLAIN)
def test_plain(sql: bytes) -> None:
    for number in (1, 7, 77):
        text = sql.replace(b"%d", b"%d" % number)
        assert is_plain(text) and is_plain(text)
        (part,) = read(text)
        assert (part.keep, part.text, part.several, part.length) == (Keep.WHOLE, text, False, len(text))
        assert not may_change(text)


@pytest.mark.parametrize("sql", OTHERS)
def test_not_plain(sql: bytes) -> None:
    assert not is_plain(sql.replace(b"%d", b"1"))


@given(sql=st.binary(max_size=60) | st.text("SELECT1 uidv4_(4);/*!@'`\\#-password", max_size=60).map(str.encode))
def test_plain_means_kept_whole_and_not_followed(sql: bytes) -> None:
    for text in (sql, b"SELECT " + sql):
        if is_plain(text):
            for backslash in (True, False):
                (part,) = read(text, backslash=backslash)
                assert (part.keep, part.text, part.several) == (Keep.WHOLE, text, False)
                assert not may_change(text, backslash=backslash)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "_MOST", 10)
    monkeypatch.setattr(quick, "_plain", set())
    for number in range(100):
        assert is_plain(b"SELECT " + b"x" * number)
        assert len(quick._plain) <= 10
    assert not is_plain(b"SELECT '" + b"x" * quick.LONGEST + b"'")


def prepare(sql: bytes) -> bytes:
    return frames(b"\x16" + sql, start=0)


def execute(number: int, value: int, *, cursor: int = 0, fresh: bool = True) -> bytes:
    types = b"\1\3\0" if fresh else b"\0"
    return frames(struct.pack("<BIBI", 0x17, number, cursor, 1) + b"\0" + types + struct.pack("<i", value), start=0)


ANSWERS = ("rows", "many", "ok", "error", "more", "empty-looking")
STEP = st.tuples(
    st.sampled_from(PLAIN + OTHERS + (b"prepare", b"execute", b"execute again", b"cursor", b"ping", b"close")),
    st.integers(1, 999),
    st.sampled_from(ANSWERS),
    st.lists(st.integers(0, 400), max_size=3),
    st.booleans(),
)


def _command(kind: bytes, number: int) -> bytes:
    named = {
        b"prepare": prepare(b"SELECT a FROM t WHERE id=?"),
        b"execute": execute(5, number),
        b"execute again": execute(5, number, fresh=False),
        b"cursor": execute(5, number, cursor=1),
        b"ping": frames(b"\x0e", start=0),
        b"close": frames(b"\x19" + struct.pack("<I", 6), start=0),
    }
    return named.get(kind) or query(kind.replace(b"%d", b"%d" % number))


def _answer(kind: bytes, chosen: str, capabilities: Capabilities) -> bytes:
    if kind == b"prepare":
        definition = [b"\x03def" + b"\0" * 20] + ([] if capabilities & Capabilities.CLIENT_DEPRECATE_EOF else [EOF])
        return frames(struct.pack("<BIHHBH", 0, 5, 1, 1, 0, 0), *definition, *definition)
    if kind == b"close":
        return b""
    if kind == b"ping":
        return frames(ok())
    return {
        "rows": rows(capabilities, b"\x011"),
        "many": rows(capabilities, *[b"\xc8" + b"x" * 200] * 20),
        "ok": frames(ok()),
        "error": frames(DENIED),
        "more": rows(capabilities, b"\x011", status=2 | 8) + frames(ok()),
        "empty-looking": rows(capabilities, b"\0", b"\xfb", b"\0\0\0\2\0\0\0"),
    }[chosen]


EOF = b"\xfe\0\0\2\0"


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(
    steps=st.lists(STEP, max_size=12),
    capabilities=st.sampled_from([OLD, NEW, NEW | Capabilities.CLIENT_QUERY_ATTRIBUTES]),
    pin=st.sampled_from([Pin.OFF, Pin.AUTO]),
)
def test_the_short_way_says_what_the_long_way_says(
    steps: list[tuple[bytes, int, str, list[int], bool]], capabilities: Capabilities, pin: Pin
) -> None:
    said: list[list[Event]] = []
    idle: list[list[bool]] = []
    for has_quick in (True, False):
        observer = Observer(1, capabilities, collation=255, watch=Watch(pin))
        observer._has_quick = has_quick
        events: list[Event] = []
        states: list[bool] = []
        waiting = b""
        for kind, number, chosen, cuts, pipelined in steps:
            for piece in _pieces(_command(kind, number), cuts):
                events += observer.client_bytes(piece)
            states.append(observer.idle)
            waiting += _answer(kind, chosen, capabilities)
            if pipelined:
                continue
            for piece in _pieces(waiting, cuts):
                events += observer.server_bytes(piece)
                events += observer.catch_up()
            waiting = b""
            states.append(observer.idle)
        said.append(events)
        idle.append(states)
    assert said[0] == said[1]
    assert idle[0] == idle[1]


def test_the_short_way_is_taken() -> None:
    observer = Observer(1, NEW)
    for number in range(3):
        assert observer.client_bytes(query(b"SELECT %d" % number)) == []
        assert observer._quick is not None and not observer._waiting
        assert observer.server_bytes(rows(NEW)) == [Executed(1, b"SELECT %d" % number, None, 8)]
        assert observer._quick is None and observer.idle
