"""Results that are looked into, byte by byte: which keys, counts and digests come of what a server sends."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mysql_mimic.types import Capabilities, ColumnType

from graph.digest import ResultDigest, encode_row
from proxy import results
from proxy.events import Answered, Event, Executed, KeyColumn
from proxy.journal import pack
from proxy.observer import Observer
from proxy.protocol import ExtendedCapabilities, lenenc
from proxy.results import Pin, Result, Watch, may_change
from tests.test_observer import BOTH, CURSOR, DENIED, MORE, NEW, OLD, eof, frames, ok, query

ALWAYS = Watch(Pin.ALWAYS, digest=True)
PRIMARY = 0x5003
Row = tuple[bytes | None, ...]


def definition(
    name: str,
    *,
    table: str = "t",
    flags: int = 0,
    code: int = ColumnType.VAR_STRING,
    collation: int = 255,
    decimals: int = 0,
    length: int = 40,
    org_table: str | None = None,
    extended: bytes | None = None,
) -> bytes:
    origin = table if org_table is None else org_table
    texts = (b"def", b"lab" if origin else b"", table.encode(), origin.encode(), name.encode())
    head = b"".join(map(lenenc, (*texts, name.encode() if origin else b"")))
    more = b"" if extended is None else lenenc(extended)
    return head + more + b"\x0c" + struct.pack("<HIBHB", collation, length, code, flags, decimals) + b"\0\0"


ID = definition("id", flags=PRIMARY, code=ColumnType.LONG, collation=63)
NAME = definition("name")
KEY_ID = KeyColumn("lab", "t", "t", "id", "id", "binary")


def result(
    capabilities: Capabilities,
    columns: Sequence[bytes],
    rows: Iterable[Row | bytes],
    *,
    status: int = 2,
    end: bytes | None = None,
) -> bytes:
    """A result set; rows as text rows, or as they are."""
    payloads = [bytes((len(columns),)), *columns]
    if not capabilities & Capabilities.CLIENT_DEPRECATE_EOF:
        payloads.append(eof(capabilities))
    payloads += [row if isinstance(row, bytes) else encode_row(row) for row in rows]
    return frames(*payloads, eof(capabilities, status) if end is None else end)


def digest(rows: Iterable[Row]) -> str:
    taken = ResultDigest()
    for row in rows:
        taken.add(row)
    return taken.hexdigest()


class Talk:
    """A conversation as the relay has it: what a server's bytes gave is asked for once they are forwarded."""

    def __init__(self, capabilities: Capabilities = NEW, watch: Watch = ALWAYS, extended: int = 0) -> None:
        self.observer = Observer(1, capabilities, ExtendedCapabilities(extended), collation=255, status=2, watch=watch)
        self.events: list[Event] = []

    def client(self, data: bytes) -> Talk:
        self.events += self.observer.client_bytes(data)
        return self

    def server(self, data: bytes, piece: int = 1 << 30) -> Talk:
        for start in range(0, len(data), piece):
            self.events += self.observer.server_bytes(data[start : start + piece])
            self.events += self.observer.catch_up()
        return self

    @property
    def answered(self) -> list[Answered]:
        return [event for event in self.events if isinstance(event, Answered)]


ROWS: list[Row] = [(b"1", b"a"), (b"22", None), (b"333", b"x" * 300)]
SELECT = b"SELECT * FROM t"


def whole(rows: Sequence[Row] = ROWS, sql: bytes = SELECT) -> Answered:
    """What is said of a result with the columns id and name."""
    keys = b"".join(encode_row(row[:1]) for row in rows)
    return Answered(1, zlib.crc32(sql), len(rows), digest(rows), (KEY_ID,), keys, "", "")


@BOTH
@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 1 << 20])
def test_keys_count_and_digest_in_pieces_of_any_size(capabilities: Capabilities, piece: int) -> None:
    talk = Talk(capabilities).client(query(SELECT)).server(result(capabilities, [ID, NAME], ROWS), piece)
    assert talk.events == [Executed(1, SELECT, None, len(SELECT)), whole()]
    assert talk.observer.idle
    talk.client(query(b"SELECT 2")).server(result(capabilities, [ID, NAME], []), piece)
    assert talk.answered[1:] == [whole([], b"SELECT 2")]


@given(st.data())
def test_random_rows_in_random_pieces(data: st.DataObject) -> None:
    values = st.one_of(st.none(), st.binary(max_size=300))
    rows = data.draw(st.lists(st.tuples(st.binary(min_size=1, max_size=20), values), max_size=30))
    capabilities = data.draw(st.sampled_from([OLD, NEW]))
    talk = Talk(capabilities).client(query(SELECT))
    talk.server(result(capabilities, [ID, NAME], rows), data.draw(st.integers(1, 200)))
    assert talk.answered == [whole(rows)]


def test_the_statement_is_said_before_and_the_result_after_it_was_forwarded() -> None:
    talk = Talk().client(query(SELECT))
    data = result(NEW, [ID, NAME], ROWS)
    assert talk.observer.server_bytes(data) == [Executed(1, SELECT, None, len(SELECT))]
    assert talk.observer.behind
    assert talk.observer.catch_up() == [whole()]
    assert not talk.observer.behind


@BOTH
def test_rows_as_long_as_several_packets(capabilities: Capabilities) -> None:
    rows: list[Row] = [(b"1", b"x" * (0xFFFFFF - 7)), (b"2", b"y" * 0x1800000), (b"3", b"z")]
    assert len(encode_row(rows[0])) == 0xFFFFFF - 7 + 2 + 4
    rows.append((b"4", b"w" * (0xFFFFFF - 6)))
    assert len(encode_row(rows[3])) == 0xFFFFFF
    talk = Talk(capabilities).client(query(SELECT)).server(result(capabilities, [ID, NAME], rows), 1 << 18)
    assert talk.answered == [whole(rows)]


def test_a_row_that_begins_as_an_end_does() -> None:
    columns = [NAME, ID]
    rows: list[Row] = [(b"x" * (1 << 24), b"7"), (None, b"8"), (b"", b"9")]
    talk = Talk(OLD).client(query(SELECT)).server(result(OLD, columns, rows), 1 << 20)
    (answer,) = talk.answered
    assert (answer.rows, answer.digest) == (3, digest(rows))
    assert answer.keys == b"".join(encode_row((row[1],)) for row in rows)


def test_several_key_columns_apart_and_of_several_tables() -> None:
    columns = [
        definition("a", flags=PRIMARY),
        NAME,
        definition("b", table="x", org_table="u", flags=PRIMARY, collation=8),
        definition("1 + 1", table="", flags=1),
    ]
    rows: list[Row] = [(b"1", b"n", b"2", b"2"), (None, b"n", b"", b"2")]
    (answer,) = Talk().client(query(SELECT)).server(result(NEW, columns, rows)).answered
    assert answer.columns == (
        KeyColumn("lab", "t", "t", "a", "a", "utf8mb4"),
        KeyColumn("lab", "x", "u", "b", "b", "latin1"),
    )
    assert answer.keys == encode_row((b"1", b"2")) + encode_row((None, b""))


def test_without_flagged_columns_those_that_may_be_keys_are_kept() -> None:
    columns = [definition("id", flags=0x1001), NAME, definition("blob", flags=0x11), definition("1", table="", flags=1)]
    (answer,) = Talk().client(query(SELECT)).server(result(NEW, columns, [(b"1", b"a", b"b", b"1")])).answered
    assert [column.name for column in answer.columns] == ["id"]
    assert answer.keys == encode_row((b"1",))


def test_a_result_without_anything_to_keep_is_passed_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Result, "feed", lambda *_: pytest.fail("its rows were looked at"))
    talk = Talk(watch=Watch(Pin.ALWAYS)).client(query(SELECT)).server(result(NEW, [NAME], [(b"1",)]), 5)
    assert talk.answered == []
    assert talk.observer.idle
    talk.client(query(SELECT)).server(result(NEW, [NAME], [(b"1",)]))
    assert [type(event) for event in talk.events] == [Executed, Executed]


@pytest.mark.parametrize("watch", [Watch(), Watch(Pin.AUTO)])
def test_no_row_is_looked_at_unless_asked(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "read_definition", lambda *_: pytest.fail("a column was looked at"))
    talk = Talk(watch=watch).client(query(SELECT)).server(result(NEW, [ID, NAME], ROWS), 5)
    assert talk.events == [Executed(1, SELECT, None, len(SELECT))]
    assert talk.observer.behind is None


def test_auto_keeps_the_keys_of_a_limit() -> None:
    sql = b"SELECT * FROM t LIMIT 3"
    talk = Talk(watch=Watch(Pin.AUTO)).client(query(sql)).server(result(NEW, [ID, NAME], ROWS))
    (answer,) = talk.answered
    assert (answer.rows, answer.digest, answer.keys) == (3, None, whole().keys)


def test_digest_alone_keeps_no_keys() -> None:
    (answer,) = Talk(watch=Watch(digest=True)).client(query(SELECT)).server(result(NEW, [ID, NAME], ROWS)).answered
    assert (answer.rows, answer.digest, answer.columns, answer.keys) == (3, digest(ROWS), (), None)


@BOTH
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_an_error_among_the_rows(capabilities: Capabilities, piece: int) -> None:
    killed = b"\xff\x25\x05#70100Query execution was interrupted"
    talk = Talk(capabilities).client(query(SELECT))
    talk.server(result(capabilities, [ID, NAME], ROWS, end=killed), piece)
    why = "the server broke off with error 1317"
    assert talk.answered == [Answered(1, zlib.crc32(SELECT), 3, None, (), None, "", why)]
    talk.client(query(SELECT)).server(result(capabilities, [ID, NAME], ROWS), piece)
    assert talk.answered[1:] == [whole()]


def test_a_refused_statement_says_nothing() -> None:
    talk = Talk().client(query(SELECT)).server(frames(DENIED))
    assert talk.events == []


def test_a_connection_that_ends_among_the_rows() -> None:
    talk = Talk().client(query(SELECT)).server(result(NEW, [ID, NAME], ROWS)[:-20])
    (answer,) = talk.observer.close()
    assert isinstance(answer, Answered)
    assert (answer.broken, answer.keys, answer.digest) == ("the connection ended", None, None)
    assert talk.observer.close() == []


@BOTH
def test_statements_of_one_text_each_with_its_result_before_the_next(capabilities: Capabilities) -> None:
    answer = result(capabilities, [ID, NAME], ROWS, status=MORE) + result(capabilities, [ID, NAME], ROWS[:1])
    for piece in (1, 1 << 20):
        talk = Talk(capabilities).client(query(b"SELECT 1; SELECT 2")).server(answer, piece)
        assert talk.events == [
            Executed(1, b"SELECT 1", None, 8),
            whole(ROWS, b"SELECT 1"),
            Executed(1, b"SELECT 2", None, 8),
            whole(ROWS[:1], b"SELECT 2"),
        ]


def test_commands_sent_without_waiting() -> None:
    answer = result(NEW, [ID, NAME], ROWS) + frames(ok()) + result(NEW, [ID, NAME], ROWS[:2])
    for piece in (1, 50, 1 << 20):
        talk = Talk().client(query(b"SELECT 1") + frames(b"\x0e", start=0) + query(b"SELECT 2")).server(answer, piece)
        assert talk.answered == [whole(ROWS, b"SELECT 1"), whole(ROWS[:2], b"SELECT 2")]


def test_a_command_that_comes_among_the_rows() -> None:
    data = result(NEW, [ID, NAME], ROWS)
    talk = Talk().client(query(SELECT)).server(data[:-30]).client(query(b"SELECT 2"))
    talk.server(data[-30:]).server(data)
    assert [event for event in talk.events if isinstance(event, Executed | Answered)] == [
        Executed(1, SELECT, None, len(SELECT)),
        whole(),
        Executed(1, b"SELECT 2", None, 8),
        whole(sql=b"SELECT 2"),
    ]


def test_the_results_of_a_procedure_are_not_looked_into() -> None:
    talk = Talk().client(query(b"CALL p()"))
    talk.server(result(NEW, [ID], [(b"1",)], status=MORE) + frames(ok()))
    assert talk.answered == []


def test_progress_notes_of_mariadb_among_the_rows() -> None:
    progress = b"\xff\xff\xff\x01\x01\x01" + b"\0" * 3 + b"\x00"
    data = result(OLD, [ID, NAME], [encode_row(ROWS[0]), progress, encode_row(ROWS[1]), encode_row(ROWS[2])])
    for piece in (1, 1 << 20):
        talk = Talk(OLD, extended=ExtendedCapabilities.PROGRESS).client(query(SELECT)).server(data, piece)
        assert talk.answered == [whole()]


def test_extended_metadata_of_mariadb() -> None:
    columns = [definition("id", flags=PRIMARY, collation=63, extended=b"\x00\x04json"), definition("n", extended=b"")]
    talk = Talk(OLD, extended=ExtendedCapabilities.EXTENDED_METADATA).client(query(SELECT))
    assert talk.server(result(OLD, columns, ROWS)).answered == [whole()]


def test_too_many_keys_are_dropped_and_the_digest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "MOST_KEY_BYTES", 5)
    (answer,) = Talk().client(query(SELECT)).server(result(NEW, [ID, NAME], ROWS)).answered
    assert (answer.rows, answer.digest, answer.keys) == (3, digest(ROWS), None)
    assert answer.dropped.startswith("more than")


def test_a_row_too_long_to_be_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    talk = Talk().client(query(SELECT))
    talk.server(result(NEW, [ID, NAME], []), 1)
    monkeypatch.setattr(results, "LONGEST_ROW", 100)
    talk.client(query(SELECT)).server(result(NEW, [ID, NAME], ROWS), 64)
    answer = talk.answered[1]
    assert (answer.rows, answer.digest, answer.keys) == (3, None, None)
    assert answer.dropped.startswith("a row of more than")


@pytest.mark.parametrize("row", [b"\x05ab", b"\xfc\x01", b"\x01"])
def test_a_row_that_cannot_be_read_costs_the_keys_and_nothing_else(row: bytes) -> None:
    columns = [definition("a", flags=PRIMARY), definition("b", flags=PRIMARY)]
    talk = Talk().client(query(SELECT)).server(result(NEW, columns, [encode_row((b"1", b"2")), row]))
    (answer,) = talk.answered
    assert (answer.rows, answer.digest, answer.keys) == (2, None, None)
    assert answer.dropped.startswith("a row cannot be read")
    assert not talk.observer.lost
    talk.client(query(SELECT)).server(result(NEW, [ID, NAME], ROWS))
    assert talk.answered[1:] == [whole()]


def test_a_column_that_cannot_be_read_costs_the_keys_and_nothing_else() -> None:
    talk = Talk().client(query(SELECT)).server(result(NEW, [ID, b"\x03def\x05x"], ROWS))
    (answer,) = talk.answered
    assert (answer.rows, answer.digest, answer.keys) == (3, digest(ROWS), None)
    assert answer.dropped.startswith("a column cannot be read")
    assert not talk.observer.lost


@given(st.data())
def test_whatever_comes_ends_and_what_comes_of_it_can_be_written(data: st.DataObject) -> None:
    capabilities = data.draw(st.sampled_from([OLD, NEW]))
    talk = bytearray(result(capabilities, [ID, NAME], ROWS) + result(capabilities, [ID], ROWS, end=DENIED))
    for _ in range(data.draw(st.integers(1, 4))):
        talk[data.draw(st.integers(0, len(talk) - 1))] = data.draw(st.integers(0, 255))
    prepared = data.draw(st.booleans())
    conversation = Talk(capabilities)
    if prepared:
        conversation.client(prepare(SELECT)).server(PREPARED)
    for _ in range(2):
        conversation.client(execute() if prepared else query(SELECT))
    conversation.server(bytes(talk), data.draw(st.integers(1, 200)))
    for event in [*conversation.events, *conversation.observer.close()]:
        assert pack(event, 0)


# -- the binary protocol


def prepare(sql: bytes) -> bytes:
    return frames(b"\x16" + sql, start=0)


def execute(number: int = 1, flags: int = 0) -> bytes:
    return frames(b"\x17" + struct.pack("<IBI", number, flags, 1), start=0)


PREPARED = frames(b"\0" + struct.pack("<IHHBH", 1, 0, 0, 0, 0))


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
        talk = Talk().client(prepare(SELECT)).server(PREPARED).client(execute())
        (answer,) = talk.server(result(NEW, columns, rows), piece).answered
        assert (answer.rows, answer.digest) == (2, digest(expected))
        assert answer.keys == encode_row((b"-5", b"end")) + encode_row((None, None))


def test_a_width_that_no_column_has_is_not_believed() -> None:
    columns = [definition("z", flags=PRIMARY | 32 | 64, code=ColumnType.LONG, collation=63, length=0xFFFFFFFF)]
    rows = [binary(1, struct.pack("<I", 7))]
    talk = Talk().client(prepare(SELECT)).server(PREPARED).client(execute()).server(result(NEW, columns, rows))
    assert talk.answered[0].keys == encode_row((b"7".zfill(255),))


def test_floating_point_in_binary_gives_a_count_and_no_digest() -> None:
    columns = [ID, definition("f", code=ColumnType.DOUBLE)]
    rows = [binary(2, struct.pack("<id", 1, 0.1)), binary(2, struct.pack("<id", 2, 1e300))]
    talk = Talk().client(prepare(SELECT)).server(PREPARED).client(execute()).server(result(NEW, columns, rows))
    (answer,) = talk.answered
    assert (answer.rows, answer.digest, answer.keys) == (2, None, encode_row((b"1",)) + encode_row((b"2",)))


def test_a_key_behind_a_float() -> None:
    columns = [definition("f", code=ColumnType.FLOAT), ID]
    rows = [binary(2, struct.pack("<fi", 1.5, 3))]
    talk = Talk().client(prepare(SELECT)).server(PREPARED).client(execute()).server(result(NEW, columns, rows))
    assert talk.answered[0].keys == encode_row((b"3",))


LAST_ROW = 0x0080


def fetch(number: int = 1, most: int = 2) -> bytes:
    return frames(b"\x1c" + struct.pack("<II", number, most), start=0)


def int_row(number: int) -> bytes:
    return binary(1, struct.pack("<i", number))


def opened(capabilities: Capabilities, piece: int = 1 << 30) -> Talk:
    """A cursor over integers."""
    talk = Talk(capabilities).client(prepare(SELECT)).server(PREPARED)
    return talk.client(execute(flags=1)).server(frames(b"\x01", ID, eof(capabilities, CURSOR)), piece)


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
    talk.client(execute(flags=1) + fetch() + fetch() + query(b"SELECT 2"))
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
    talk = Talk(OLD, extended=cached).client(prepare(SELECT)).server(PREPARED).client(execute())
    talk.server(frames(b"\x02\x00", eof(OLD), binary(2, struct.pack("<i", 1) + b"\x01a"), eof(OLD)))
    (answer,) = talk.answered
    assert (answer.rows, answer.digest, answer.keys) == (1, None, None)
    assert answer.dropped == "the server did not describe the columns again"


# -- which statements


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t LIMIT 3",
        "select * from t limit 3",
        "SELECT * FROM t ORDER BY id FETCH FIRST 3 ROWS ONLY",
        "SELECT * FROM t WHERE day < NOW()",
        "SELECT * FROM t WHERE day < now ()",
        "SELECT * FROM t WHERE day < CURRENT_DATE",
        "SELECT * FROM t ORDER BY RAND(3)",
        "SELECT * FROM t WHERE id = LAST_INSERT_ID()",
        "SELECT * FROM t WHERE id > @a",
        "SELECT * FROM t WHERE a = 'x' /*!80000 LIMIT 3 */",
        "EXECUTE s USING @a",
        "SELECT * FROM t WHERE s IN (" + ", ".join(f"'{i}'" for i in range(3000)) + ") LIMIT 3",
    ],
)
def test_what_may_change(sql: str) -> None:
    assert may_change(sql.encode())


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t",
        "SELECT `limit`, now, `rand()` FROM t WHERE s = 'LIMIT 3' AND mail = 'a@b'",
        'SELECT session_date, known FROM t WHERE s = "NOW()"',
        "SELECT * FROM t -- LIMIT 3",
        "SELECT * FROM t /* LIMIT 3 */ WHERE user = 3 AND utc_offset = 1 AND limits = 3",
        "SELECT `current_date` FROM t WHERE s = 'x\\' LIMIT 3'",
    ],
)
def test_what_may_not_change(sql: str) -> None:
    assert not may_change(sql.encode())


def test_a_backslash_that_is_no_escape_hides_no_limit() -> None:
    sql = rb"SELECT * FROM t WHERE s = 'x\' LIMIT 3 -- '"
    assert may_change(sql, backslash=False)
    assert not may_change(sql)
