"""Results that are looked into, byte by byte: which keys, counts and digests come of what a server sends."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mysql_mimic.types import Capabilities

from graph.digest import encode_row
from proxy import results
from proxy.events import Answered, Executed, KeyColumn
from proxy.journal import pack
from proxy.protocol import ExtendedCapabilities
from proxy.results import Pin, Result, Watch, may_change
from tests.conversation import BOTH, DENIED, MORE, NEW, OLD, execute, frames, ok, prepare, query
from tests.watching import ID, NAME, PREPARED, PRIMARY, ROWS, SELECT, Row, Talk, definition, digest, result, whole


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
        conversation.client(execute(1) if prepared else query(SELECT))
    conversation.server(bytes(talk), data.draw(st.integers(1, 200)))
    for event in [*conversation.events, *conversation.observer.close()]:
        assert pack(event, 0)


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
