"""Results of prepared statements: the binary protocol, and cursors."""

from __future__ import annotations

import struct
from collections.abc import Iterable

import pytest
from mysql_mimic.types import Capabilities, ColumnType

from graph.digest import encode_row
from proxy.events import Answered, Executed
from proxy.protocol import ExtendedCapabilities, lenenc
from tests.conversation import BOTH, CURSOR, DENIED, NEW, OLD, eof, execute, frames, ok, prepare, query
from tests.watching import ID, NAME, PREPARED, PRIMARY, ROWS, SELECT, Row, Talk, definition, digest, result, whole


def binary(columns: int, values: bytes, nulls: Iterable[int] = ()) -> bytes:
    bitmap = bytearray((columns + 9) // 8)
    for index in nulls:
        bitmap[(index + 2) // 8] |= 1 << ((index + 2) % 8)
    return b"\0" + bytes(bitmap) + values


EXACT = [
    (ColumnType.LONG, 0, 0, struct.pack("<i", -5), b"-5"),
    (ColumnType.LONGLONG, 32, 0, struct.pack("<Q", 2**64 - 1), b"18446744073709551615"),
    (ColumnType.TINY, 0, 0, b"\x80", b"-128"),
    (ColumnType.SHORT, 32, 0, struct.pack("<H", 65535), b"65535"),
    (ColumnType.INT24, 32 | 64, 0, struct.pack("<I", 7), b"00007"),
    (ColumnType.YEAR, 32 | 64, 0, struct.pack("<H", 1999), b"01999"),
    (ColumnType.NEWDECIMAL, 0, 2, lenenc(b"-1.50"), b"-1.50"),
    (ColumnType.VAR_STRING, 0, 0, lenenc(b"x" * 300), b"x" * 300),
    (ColumnType.DATE, 0, 0, b"\x04\xe8\x07\x02\x1d", b"2024-02-29"),
    (ColumnType.DATE, 0, 0, b"\x00", b"0000-00-00"),
    (ColumnType.DATETIME, 0, 0, b"\x04\xe8\x07\x02\x1d", b"2024-02-29 00:00:00"),
    (ColumnType.DATETIME, 0, 3, b"\x07\xe8\x07\x02\x1d\x01\x02\x03", b"2024-02-29 01:02:03.000"),
    (ColumnType.TIMESTAMP, 0, 6, b"\x0b\xe8\x07\x02\x1d\x01\x02\x03\x05\0\0\0", b"2024-02-29 01:02:03.000005"),
    (ColumnType.TIME, 0, 0, b"\x00", b"00:00:00"),
    (ColumnType.TIME, 0, 1, b"\x0c\x01\x22\0\0\0\x16\x3b\x3b" + struct.pack("<I", 900000), b"-838:59:59.9"),
    (ColumnType.BIT, 32, 0, lenenc(b"\x01\xff"), b"\x01\xff"),
]


def test_binary_values_are_the_texts_that_the_server_would_send() -> None:
    columns = [
        definition(f"c{index}", code=code, flags=flags, decimals=decimals, length=5)
        for index, (code, flags, decimals, _, _) in enumerate(EXACT)
    ]
    columns[0] = definition("c0", code=ColumnType.LONG, flags=PRIMARY, collation=63)
    columns.append(definition("last", flags=PRIMARY))
    count = len(columns)
    values = b"".join(each[3] for each in EXACT)
    rows = [binary(count, values + lenenc(b"end")), binary(count, b"", range(count))]
    expected: list[Row] = [(*(each[4] for each in EXACT), b"end"), (None,) * count]
    for piece in (1, 1 << 20):
        talk = Talk().client(prepare(SELECT)).server(PREPARED).client(execute(1))
        (answer,) = talk.server(result(NEW, columns, rows), piece).answered
        assert (answer.rows, answer.digest) == (2, digest(expected))
        assert answer.keys == encode_row((b"-5", b"end")) + encode_row((None, None))


def test_a_width_that_no_column_has_is_not_believed() -> None:
    columns = [definition("z", flags=PRIMARY | 32 | 64, code=ColumnType.LONG, collation=63, length=0xFFFFFFFF)]
    rows = [binary(1, struct.pack("<I", 7))]
    talk = Talk().client(prepare(SELECT)).server(PREPARED).client(execute(1)).server(result(NEW, columns, rows))
    assert talk.answered[0].keys == encode_row((b"7".zfill(255),))


def test_floating_point_in_binary_gives_a_count_and_no_digest() -> None:
    columns = [ID, definition("f", code=ColumnType.DOUBLE)]
    rows = [binary(2, struct.pack("<id", 1, 0.1)), binary(2, struct.pack("<id", 2, 1e300))]
    talk = Talk().client(prepare(SELECT)).server(PREPARED).client(execute(1)).server(result(NEW, columns, rows))
    (answer,) = talk.answered
    assert (answer.rows, answer.digest, answer.keys) == (2, None, encode_row((b"1",)) + encode_row((b"2",)))


def test_a_key_behind_a_float() -> None:
    columns = [definition("f", code=ColumnType.FLOAT), ID]
    rows = [binary(2, struct.pack("<fi", 1.5, 3))]
    talk = Talk().client(prepare(SELECT)).server(PREPARED).client(execute(1)).server(result(NEW, columns, rows))
    assert talk.answered[0].keys == encode_row((b"3",))


LAST_ROW = 0x0080


def fetch(number: int = 1, most: int = 2) -> bytes:
    return frames(b"\x1c" + struct.pack("<II", number, most), start=0)


def int_row(number: int) -> bytes:
    return binary(1, struct.pack("<i", number))


def opened(capabilities: Capabilities, piece: int = 1 << 30) -> Talk:
    """A cursor over integers."""
    talk = Talk(capabilities).client(prepare(SELECT)).server(PREPARED)
    return talk.client(execute(1, flags=1)).server(frames(b"\x01", ID, eof(capabilities, CURSOR)), piece)


@BOTH
@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
def test_the_rows_of_a_cursor_are_its_statements(capabilities: Capabilities, piece: int) -> None:
    talk = opened(capabilities, piece)
    talk.client(fetch()).server(frames(int_row(1), int_row(2), eof(capabilities, CURSOR)), piece)
    talk.client(frames(b"\x0e", start=0)).server(frames(ok()))
    assert talk.answered == []
    talk.client(fetch()).server(frames(int_row(3), eof(capabilities, LAST_ROW)), piece)
    (answer,) = talk.answered
    assert (answer.rows, answer.broken) == (3, "")
    assert answer.digest == digest([(b"1",), (b"2",), (b"3",)])
    assert answer.keys == b"".join(encode_row((b"%d" % number,)) for number in (1, 2, 3))
    talk.client(query(SELECT)).server(result(capabilities, [ID, NAME], ROWS))
    assert talk.answered[1:] == [whole()]


@BOTH
def test_a_cursor_of_no_rows_and_one_in_a_pipeline(capabilities: Capabilities) -> None:
    talk = opened(capabilities).client(fetch()).server(frames(eof(capabilities, LAST_ROW)))
    assert [(answer.rows, answer.broken) for answer in talk.answered] == [(0, "")]
    talk.client(execute(1, flags=1) + fetch() + fetch() + query(b"SELECT 2"))
    talk.server(frames(b"\x01", ID, eof(capabilities, CURSOR)) + frames(int_row(1), eof(capabilities, CURSOR)), 5)
    talk.server(frames(int_row(2), eof(capabilities, LAST_ROW)) + result(capabilities, [ID, NAME], ROWS), 5)
    assert [(answer.rows, answer.broken) for answer in talk.answered[1:]] == [(2, ""), (3, "")]
    assert talk.observer.idle


@BOTH
def test_a_cursor_that_is_not_read_to_its_end(capabilities: Capabilities) -> None:
    for client, server, reason in (
        (query(b"SELECT 2"), result(capabilities, [ID, NAME], ROWS), "other statements came before the last row"),
        (fetch(), frames(DENIED), "the server broke off with error 1045"),
        (b"", b"", "the connection ended"),
    ):
        talk = opened(capabilities)
        talk.client(fetch()).server(frames(int_row(1), eof(capabilities, CURSOR)))
        talk.client(client).server(server)
        talk.events += talk.observer.close()
        assert (talk.answered[0].rows, talk.answered[0].keys) == (1, None)
        assert talk.answered[0].broken.startswith(reason)
        assert [type(event) for event in talk.events[:2]] == [Executed, Answered]


def test_columns_that_are_not_described_again() -> None:
    cached = ExtendedCapabilities.CACHE_METADATA
    talk = Talk(OLD, extended=cached).client(prepare(SELECT)).server(PREPARED).client(execute(1))
    talk.server(frames(b"\x02\x00", eof(OLD), binary(2, struct.pack("<i", 1) + b"\x01a"), eof(OLD)))
    (answer,) = talk.answered
    assert (answer.rows, answer.digest, answer.keys) == (1, None, None)
    assert answer.dropped == "the server did not describe the columns again"
