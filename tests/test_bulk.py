"""Rows of integers out of bytes: the same however the bytes are cut."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from graph.bulk import Integers, IntegerStream

RANGES = {"b": 8, "h": 16, "i": 32, "q": 64}
EOF = b"\xfe\x00\x00\x02\x00"


def packet(payload: bytes, number: int) -> bytes:
    return len(payload).to_bytes(3, "little") + bytes([number % 256]) + payload


def encoded(codes: str, rows: list[Integers]) -> bytes:
    packets = []
    for number, row in enumerate(rows):
        nulls = sum(1 << (n + 2) for n, value in enumerate(row) if value is None)
        values = b"".join(struct.pack(f"<{code}", v) for code, v in zip(codes, row, strict=True) if v is not None)
        packets.append(packet(b"\0" + nulls.to_bytes((len(codes) + 9) // 8, "little") + values, number + 5))
    return b"".join(packets) + packet(EOF, len(rows) + 5)


@st.composite
def answers(draw: st.DrawFn) -> tuple[str, list[Integers]]:
    codes = draw(st.text(st.sampled_from("bhiqBHIQ"), min_size=1, max_size=9))
    values = []
    for code in codes:
        bits = RANGES[code.lower()]
        low, high = (0, 2**bits - 1) if code.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        values.append(st.integers(low, high) | st.sampled_from([0, -1 if low else 0]) | st.none())
    # Mostly rows without NULLs, and some with.
    full = st.tuples(*(each.filter(lambda value: value is not None) for each in values))
    return codes, draw(st.lists(full | full | st.tuples(*values), max_size=40))


@given(answers(), st.lists(st.integers(1, 60), min_size=1))
def test_rows_come_out_however_bytes_come_in(answer: tuple[str, list[Integers]], cuts: list[int]) -> None:
    codes, rows = answer
    stream, data = IntegerStream(codes), encoded(codes, rows)
    found: list[Integers] = []
    position, turn = 0, 0
    while position < len(data):
        assert stream.end is None
        size = cuts[turn % len(cuts)]
        found += stream.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    assert (found, stream.end) == (rows, EOF)
    assert IntegerStream(codes).feed(data) == rows


def test_an_error_ends_the_rows() -> None:
    stream = IntegerStream("q")
    assert stream.feed(encoded("q", [(1,), (2,)])[: -len(packet(EOF, 0))]) == [(1,), (2,)]
    assert stream.feed(packet(b"\xff\x26\x07#70100gone", 9)) == []
    assert stream.end == b"\xff\x26\x07#70100gone"
