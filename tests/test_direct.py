"""The text of a slice that is written without mysqldump: laws, no server."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import direct_rows
from graph.direct import TooLong, hexadecimal, inserts, quoted_text, row_form
from graph.direct_rows import PacketStream, only_value, values
from graph.names import TableName
from graph.schema import Column, Table

ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.none() | st.binary(max_size=30), min_size=width, max_size=width), min_size=0, max_size=12
    )
)
EOF_PACKET = b"\xfe\0\0\2\0"
UNESCAPED = {b"0": b"\0", b"n": b"\n", b"r": b"\r", b"Z": b"\x1a"}


def payload_of(row: list[bytes | None]) -> bytes:
    return b"".join(b"\xfb" if value is None else bytes([len(value)]) + value for value in row)


def packets_of(payload: bytes, full: int) -> bytes:
    pieces = [payload[start : start + full] for start in range(0, len(payload) + 1, full)]
    return b"".join(len(piece).to_bytes(3, "little") + b"\7" + piece for piece in pieces)


def read(stream: PacketStream, data: bytes, sizes: list[int]) -> list[bytes]:
    found = []
    position = 0
    for size in [*sizes, len(data)]:
        found += stream.feed(data[position : position + size])
        position += size
    return found


@given(rows=ROWS, sizes=st.lists(st.integers(1, 40)), full=st.sampled_from([7, 31, 0xFFFFFF]))
def test_rows_come_as_they_were_sent_however_they_are_cut(
    rows: list[list[bytes | None]], sizes: list[int], full: int
) -> None:
    sent = [payload_of(row) for row in rows]
    data = b"".join(packets_of(payload, full) for payload in sent) + packets_of(EOF_PACKET, 0xFFFFFF)
    stream = PacketStream()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(direct_rows, "_FULL", full)
        assert read(stream, data, sizes) == sent
    assert stream.end == EOF_PACKET
    for row, payload in zip(rows, sent, strict=True):
        assert values(payload, len(row)) == row
        if len(row) == 1:
            assert only_value(payload) == row[0]


@pytest.mark.parametrize("length", [250, 251, 65_535, 65_536, 0xFFFFFF - 4, 0xFFFFFF, 0x1000000 + 5])
def test_long_values(length: int) -> None:
    value = b"\xfe" * length
    prefix = next(
        bytes([first]) * bool(first) + length.to_bytes(width, "little")
        for first, width, below in ((0, 1, 251), (0xFC, 2, 1 << 16), (0xFD, 3, 1 << 24), (0xFE, 8, 1 << 64))
        if length < below
    )
    payload = prefix + value
    stream = PacketStream()
    data = packets_of(payload, 0xFFFFFF) + packets_of(b"\xff\x15\x04#42000no", 0xFFFFFF)
    (row,) = read(stream, data, [1 << 18] * (length >> 18))
    assert values(row, 1) == [value] and only_value(row) == value
    assert stream.end is not None and stream.end[0] == 0xFF


@given(st.binary())
def test_a_text_in_quotes_is_one_line_and_means_what_it_was(text: bytes) -> None:
    written = quoted_text(text)
    inside = re.fullmatch(rb"'((?:[^'\\\n\r\0\x1a]|\\.)*)'", written)
    assert inside is not None
    assert re.sub(rb"\\(.)", lambda found: UNESCAPED.get(found[1], found[1]), inside[1]) == text


@given(st.binary())
def test_bytes_are_hexadecimal(data: bytes) -> None:
    assert hexadecimal(memoryview(data)) == (b"0x" + data.hex().encode() if data else b"''")


def test_null() -> None:
    assert quoted_text(None) == hexadecimal(None) == b"NULL"


PIECES = st.lists(st.binary(max_size=20).filter(lambda piece: b"\n" not in piece), min_size=1, max_size=3)


@given(rows=st.lists(PIECES, max_size=20), longest=st.integers(1, 60))
def test_statements_hold_all_rows_in_order_and_keep_to_their_length(rows: list[list[bytes]], longest: int) -> None:
    counts = list[int]()
    texts = b"".join(inserts(b"HEAD ", rows, longest)).split(b"\n")
    assert texts.pop() == b""
    remaining = [b"".join(row) for row in rows]
    for text in texts:
        assert text.startswith(b"HEAD ") and text.endswith(b";")
        number = next(n for n in range(1, len(remaining) + 1) if b"HEAD " + b",".join(remaining[:n]) + b";" == text)
        taken, remaining = remaining[:number], remaining[number:]
        counts.append(number)
        assert number == 1 or sum(len(row) + 1 for row in taken) <= longest + number
    assert remaining == [] and all(counts)


def test_a_row_that_the_server_could_not_write_is_no_null() -> None:
    table = Table(TableName("s", "t"), (Column("a", "int", "int", False), Column("b", "blob", "blob", True)), ("a",))
    form = row_form(table)
    assert [write(b"x") for write in form.writers] == [b"x", b"0x78", b"x"]
    assert form.writers[1](None) == b"NULL"
    for write in (form.writers[0], form.writers[2]):
        with pytest.raises(TooLong):
            write(None)
