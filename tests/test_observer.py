"""The command phase byte by byte: what clients and servers send, and what is to be said of it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from mysql_mimic.types import Capabilities

from proxy import asking, privacy
from proxy.compression import Zlib
from proxy.events import Lost, Noted, SchemaChanged, SessionReset, Unread, UserChanged
from proxy.protocol import ExtendedCapabilities, lenenc, packet
from tests.conversation import (
    BOTH,
    COLUMN,
    DENIED,
    LONG,
    LONG_ROW,
    MORE,
    NEW,
    NO_BACKSLASH,
    OLD,
    Talk,
    eof,
    execute,
    executed,
    frames,
    ok,
    prepare,
    prepared,
    query,
    rows,
)
from tests.test_compression import packed


@BOTH
def test_a_query_that_succeeds_is_said_with_its_answers_first_packet(capabilities: Capabilities) -> None:
    talk = Talk(capabilities).client(query(b"SELECT 1"))
    assert talk.events == []
    answer = rows(capabilities, b"\x011")
    talk.server(answer[:4])
    assert talk.events == []
    talk.server(answer[4:5])
    assert talk.events == [executed(b"SELECT 1")]
    assert not talk.observer.idle
    talk.server(answer[5:])
    assert talk.observer.idle
    talk.client(query(b"SELECT 2")).server(rows(capabilities, b"\x012"))
    assert talk.events[1:] == [executed(b"SELECT 2")]


def test_a_query_that_fails_is_not() -> None:
    talk = Talk().client(query(b"SELECT nonsense")).server(frames(DENIED))
    talk.client(query(b"SELECT 1")).server(rows(NEW))
    assert talk.events == [executed(b"SELECT 1")]


def test_what_reads_nothing_leaves_verb_and_table() -> None:
    talk = Talk().client(query(b"INSERT INTO lab.t VALUES ('blob')")).server(frames(ok()))
    assert talk.events == [Noted(1, "INSERT", "lab.t", 33)]


@BOTH
def test_rows_that_look_like_something_else(capabilities: Capabilities) -> None:
    """Walked, because a second command waits: an empty, a NULL, a 16 MB column first."""
    values = [b"\0", b"\xfb", b"\xfc\x00\x01" + b"x" * 256, LONG_ROW, b"\0\0\0\2\0\0\0"]
    talk = Talk(capabilities).client(query(b"SELECT 1") + query(b"SELECT 2"))
    talk.server(rows(capabilities, *values) + rows(capabilities, b"\x011"))
    assert talk.events == [executed(b"SELECT 1"), executed(b"SELECT 2")]
    assert talk.observer.idle


@BOTH
def test_each_statement_of_a_text_is_said_when_its_own_result_begins(capabilities: Capabilities) -> None:
    talk = Talk(capabilities).client(query(b"SELECT 1; INSERT INTO t VALUES (2); SELECT 3; SELECT 4"))
    talk.server(rows(capabilities, b"\x011", status=2 | MORE))
    assert talk.events == [executed(b"SELECT 1")]
    talk.server(frames(ok(2 | MORE)))
    assert talk.events[1:] == [Noted(1, "INSERT", "t", 24)]
    talk.server(frames(DENIED))
    talk.client(query(b"SELECT 5")).server(rows(capabilities))
    assert talk.events[2:] == [executed(b"SELECT 5")]


@BOTH
def test_a_call_in_a_text_takes_results_up_to_its_ok(capabilities: Capabilities) -> None:
    talk = Talk(capabilities).client(query(b"CALL p(); SELECT 1"))
    talk.server(rows(capabilities, b"\x011", status=2 | MORE) + rows(capabilities, b"\x011", status=2 | MORE))
    assert talk.events == [executed(b"CALL p()")]
    talk.server(frames(ok(2 | MORE)) + frames(DENIED))
    assert talk.events == [executed(b"CALL p()")]


def test_a_call_alone() -> None:
    talk = Talk().client(query(b"CALL p()"))
    talk.server(rows(NEW, b"\x011", status=2 | MORE) + rows(NEW, status=2 | MORE) + frames(ok()))
    talk.client(query(b"SELECT 1")).server(rows(NEW))
    assert talk.events == [executed(b"CALL p()"), executed(b"SELECT 1")]


def test_the_password_of_a_text_never_shows() -> None:
    talk = Talk().client(query(b"SELECT 1; ALTER USER u IDENTIFIED BY 'hunter2'"))
    talk.server(rows(NEW, status=2 | MORE) + frames(ok()))
    assert talk.events == [executed(b"SELECT 1"), Noted(1, "ALTER", "", 36)]


def test_a_local_file_is_not_taken_for_commands() -> None:
    talk = Talk().client(query(b"LOAD DATA LOCAL INFILE 'f' INTO TABLE t")).server(frames(b"\xfbf"))
    talk.client(packet(2, b"\x03SELECT 'from the file'") + packet(3, b"\x01") + packet(4, b""))
    assert talk.events == []
    talk.server(packet(5, ok()))
    talk.client(query(b"SELECT 1")).server(rows(NEW))
    assert talk.events == [Noted(1, "LOAD", "t", 39), executed(b"SELECT 1")]


def test_a_refused_local_file() -> None:
    talk = Talk().client(query(b"LOAD DATA LOCAL INFILE 'f' INTO TABLE t")).server(frames(b"\xfbf"))
    talk.client(packet(2, b"")).server(packet(3, DENIED)).client(query(b"SELECT 1")).server(rows(NEW))
    assert talk.events == [executed(b"SELECT 1")]


LOAD = b"LOAD DATA LOCAL INFILE 'f' INTO TABLE t"
FILE = [packet(number, b"\x03SELECT 'from the file'") for number in range(2, 5)]


@pytest.mark.parametrize("step", [1, 1 << 20])
@pytest.mark.parametrize("sent", range(len(FILE) + 1))
@pytest.mark.parametrize("answer", [ok(), DENIED], ids=["ok", "error"])
def test_a_local_file_that_is_answered_before_its_end(answer: bytes, sent: int, step: int) -> None:
    """After each part of the file; the client sends the rest, and its next command is one again."""
    noted = [Noted(1, "LOAD", "t", len(LOAD))] if answer == ok() else []
    talk = Talk().client(query(LOAD)).server(frames(b"\xfbf")).client(b"".join(FILE[:sent]))
    rest = b"".join(FILE[sent:]) + packet(5, b"")
    for send, data in ((talk.server, packet(sent + 2, answer)), (talk.client, rest + query(b"SELECT 1"))):
        for start in range(0, len(data), step):
            send(data[start : start + step])
    talk.server(rows(NEW)).client(query(b"SELECT 2")).server(rows(NEW))
    assert talk.events == [*noted, executed(b"SELECT 1"), executed(b"SELECT 2")]
    assert talk.observer.idle


def test_a_client_that_gives_up_its_local_file_once_it_is_answered() -> None:
    """No empty packet: what begins at 0 again is a command, unless the number before was the last one."""
    for last in (4, 255):
        talk = Talk().client(query(LOAD)).server(frames(b"\xfbf"))
        talk.client(b"".join(packet(number, b"\x03 a line") for number in range(2, last + 1)))
        talk.server(packet(last + 1, DENIED))
        assert not talk.observer.idle
        talk.client(query(b"SELECT 1")).server(rows(NEW))
        lost = Lost(1, "an answer without a command")
        assert talk.events == [executed(b"SELECT 1") if last == 4 else lost]


def test_two_local_files_of_a_text_the_first_answered_early() -> None:
    talk = Talk().client(query(LOAD + b"; " + LOAD + b"; SELECT 1")).server(frames(b"\xfbf"))
    talk.server(packet(2, ok(MORE)) + packet(3, b"\xfbf")).client(FILE[0] + packet(3, b""))
    talk.client(packet(4, b"\x03SELECT 'from the second file'") + packet(5, b""))
    talk.server(packet(6, ok(MORE)) + rows(NEW, start=7)).client(query(b"SELECT 2")).server(rows(NEW))
    noted = Noted(1, "LOAD", "t", len(LOAD))
    assert talk.events == [noted, noted, executed(b"SELECT 1"), executed(b"SELECT 2")]


def test_progress_of_a_local_file_is_no_answer() -> None:
    progress = b"\xff\xff\xff\x01\x01\x02" + bytes(6)
    talk = Talk(extended=int(ExtendedCapabilities.PROGRESS)).client(query(LOAD)).server(frames(b"\xfbf"))
    talk.client(FILE[0]).server(packet(3, progress)).client(FILE[1] + packet(4, b"")).server(packet(5, ok()))
    assert talk.events == [Noted(1, "LOAD", "t", len(LOAD))]


def test_a_local_file_is_answered_by_ok_or_an_error() -> None:
    talk = Talk().client(query(LOAD)).server(frames(b"\xfbf") + frames(b"\x01", start=2))
    assert talk.events == [Lost(1, "a local file answered by neither OK nor ERR")]


def test_query_attributes_are_stepped_over() -> None:
    capabilities = NEW | Capabilities.CLIENT_QUERY_ATTRIBUTES
    none = frames(b"\x03\0\x01SELECT 1", start=0)
    one = frames(b"\x03\x01\x01\0\x01\xfd\0\x03key\x05valueSELECT 2", start=0)
    null = frames(b"\x03\x01\x01\x01\x01\x06\0\x03keySELECT 3", start=0)
    cut = frames(b"\x03\x01\x01\0\x01\xfd\0\x03key\xfe", start=0)
    talk = Talk(capabilities)
    for command in (none, one, null, cut):
        talk.client(command).server(rows(NEW))
    assert talk.events[:3] == [executed(b"SELECT 1"), executed(b"SELECT 2"), executed(b"SELECT 3")]
    assert isinstance(talk.events[3], Unread)
    assert not talk.observer.lost


@BOTH
def test_metadata_that_is_left_out(capabilities: Capabilities) -> None:
    """SET resultset_metadata = NONE: the definitions are missing, but not the EOF packet behind them."""
    end = [] if capabilities & Capabilities.CLIENT_DEPRECATE_EOF else [eof(capabilities)]
    talk = Talk(capabilities | Capabilities.CLIENT_OPTIONAL_RESULTSET_METADATA)
    talk.client(query(b"SELECT 1, 2; SELECT 2; SELECT 3"))
    talk.server(frames(b"\x02\0", *end, b"\x011\x012", eof(capabilities, MORE)))
    talk.server(frames(b"\x01\1", COLUMN, *end, b"\x011", eof(capabilities, MORE)))
    talk.server(frames(ok()))
    assert talk.events == [executed(b"SELECT 1, 2"), executed(b"SELECT 2"), executed(b"SELECT 3")]
    assert talk.observer.idle
    talk.client(prepare(b"SELECT ?, ?") + query(b"SELECT 4"))
    talk.server(frames(b"\0" + struct.pack("<IHHBHB", 1, 2, 2, 0, 0, 0), *end, *end) + frames(b"\x01\0", *end))
    assert talk.events[3:] == [executed(b"SELECT 4")]


def test_metadata_that_mariadb_knows_the_client_has() -> None:
    extended = int(ExtendedCapabilities.CACHE_METADATA | ExtendedCapabilities.PROGRESS)
    talk = Talk(OLD, extended).client(query(b"SELECT 1; SELECT 2"))
    progress = b"\xff\xff\xff\x01\x01\x02" + bytes(6)
    talk.server(frames(progress, b"\x01\x00", eof(OLD), b"\x011", eof(OLD, MORE)))
    talk.server(frames(progress, b"\x01\x01", COLUMN, eof(OLD), progress, b"\x011", eof(OLD)))
    assert talk.events == [executed(b"SELECT 1"), executed(b"SELECT 2")]
    assert talk.observer.idle


@BOTH
@pytest.mark.parametrize("step", [1, 50, 1 << 20])
def test_a_client_that_speaks_in_the_middle_of_an_answer(capabilities: Capabilities, step: int) -> None:
    """The second command comes after each possible first part of the first answer."""
    answer = rows(capabilities, b"\x011", b"\0", b"\xfb", b"\xfc\x00\x01" + b"x" * 256)
    after = rows(capabilities, b"\x012") + frames(ok())
    for cut in range(5, len(answer) + 1):
        talk = Talk(capabilities).client(query(b"SELECT 1"))
        for start in range(0, cut, step):
            talk.server(answer[start : min(start + step, cut)])
        talk.client(query(b"SELECT 2")).server(answer[cut:]).client(query(b"SET @x = 1")).server(after)
        assert talk.events == [executed(b"SELECT 1"), executed(b"SELECT 2"), executed(b"SET @x = 1")], cut
        assert talk.observer.idle
        talk.client(query(b"SELECT 3")).server(rows(capabilities, b"\x013"))
        assert talk.events[3:] == [executed(b"SELECT 3")]


def test_a_row_that_is_taken_for_the_end_of_its_answer() -> None:
    """Only of a client that does not wait, and just there; it is noticed."""
    fake = b"\x0b" + b"xx" + packet(9, eof(OLD))
    answer = rows(OLD, fake, b"\x011")
    cut = answer.index(fake) + len(fake)
    talk = Talk(OLD).client(query(b"SELECT 1")).server(answer[:cut])
    assert talk.observer.idle
    waited = talk.server(answer[cut:]).client(query(b"SELECT 2")).server(rows(OLD))
    assert waited.events == [executed(b"SELECT 1"), executed(b"SELECT 2")]
    talk = Talk(OLD).client(query(b"SELECT 1")).server(answer[:cut]).client(query(b"SELECT 2")).server(answer[cut:])
    assert talk.events == [executed(b"SELECT 1"), Lost(1, "an answer that does not follow its command")]


def test_what_was_said_before_the_connection_got_lost_is_said() -> None:
    talk = Talk().client(query(b"SELECT 1") + query(b"SELECT 2")).server(rows(NEW) + frames(ok(), start=7))
    assert talk.events == [executed(b"SELECT 1"), Lost(1, "an answer that does not follow its command")]


def test_a_long_compressed_statement_is_answered_by_the_number_of_its_compressed_packets() -> None:
    talk = Talk(OLD | Capabilities.CLIENT_COMPRESS)
    sql = b"SELECT '" + b"x" * 500 + b"'"
    command = query(sql)
    for start in range(0, len(command), 100):
        talk.client(packed(Zlib, command[start : start + 100], start // 100))
    talk.server(packed(Zlib, rows(OLD, start=6), 6)).client(packed(Zlib, query(b"SELECT 1")))
    talk.server(packed(Zlib, rows(OLD), 1))
    assert talk.events == [executed(sql), executed(b"SELECT 1")]


# -- the session


def test_the_default_schema() -> None:
    talk = Talk().client(frames(b"\x02lab", start=0)).server(frames(ok(changes=b"\x01" + lenenc(lenenc(b"lab")))))
    talk.client(frames(b"\x02nowhere", start=0)).server(frames(DENIED))
    talk.client(query(b"USE other")).server(frames(ok(changes=b"\x01" + lenenc(lenenc(b"other")))))
    talk.client(query(b"DROP DATABASE other")).server(frames(ok(changes=b"\x01" + lenenc(lenenc(b"")))))
    assert talk.events == [
        SchemaChanged(1, "lab"),
        executed(b"USE other"),
        SchemaChanged(1, "other"),
        Noted(1, "DROP", "other", 19),
        SchemaChanged(1, None),
    ]


def test_another_user() -> None:
    change = frames(b"\x11bob\0\x07hunter2lab\0\x21\0caching_sha2_password\0", start=0)
    talk = Talk().client(prepare(b"SELECT 1")).server(prepared(NEW, 5, 0, 1)).client(change)
    talk.server(packet(1, b"\xfecaching_sha2_password\0nonce")).client(packet(2, b"\x03SELECT 'hunter2'"))
    talk.server(packet(3, b"\x01\x04")).client(packet(4, b"hunter2\0"))
    assert talk.events == []
    talk.server(packet(5, ok()))
    talk.client(execute(5)).server(rows(NEW))
    assert talk.events == [
        UserChanged(1, "bob", "lab", 0x21),
        Unread(1, "EXECUTE", 10, "an unknown prepared statement"),
    ]


def test_a_refused_change_of_user() -> None:
    talk = Talk().client(frames(b"\x11bob\0\0\0", start=0)).server(packet(1, DENIED))
    assert talk.events == []
    assert talk.observer.idle


def test_a_reset_connection() -> None:
    talk = Talk().client(prepare(b"SELECT 1")).server(prepared(NEW, 5, 0, 1))
    talk.client(frames(b"\x1f", start=0)).server(frames(ok())).client(execute(5)).server(rows(NEW))
    assert talk.events == [SessionReset(1), Unread(1, "EXECUTE", 10, "an unknown prepared statement")]


def test_the_session_says_how_strings_are_read() -> None:
    sql = b"SELECT 'a\\'; DROP TABLE t; -- '"
    assert Talk().client(query(sql)).server(rows(NEW)).events == [executed(sql)]
    talk = Talk().client(query(b"SET sql_mode = 'NO_BACKSLASH_ESCAPES'")).server(frames(ok(NO_BACKSLASH)))
    talk.client(query(sql)).server(rows(NEW, status=MORE) + frames(ok(NO_BACKSLASH)))
    assert talk.events[1:] == [executed(b"SELECT 'a\\'"), Noted(1, "DROP", "t", 12)]
    assert Talk(status=NO_BACKSLASH).client(query(sql)).server(rows(NEW, status=MORE)).events == [
        executed(b"SELECT 'a\\'")
    ]


# -- the rest of the commands, and what cannot be followed


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"\x0e", frames(ok())),
        (b"\x09", frames(b"Uptime: 1  Threads: 2")),
        (b"\x0d", frames(eof(OLD))),
        (b"\x1b\0\0", frames(eof(OLD))),
        (b"\x04t\0", frames(COLUMN, COLUMN, eof(OLD))),
        (b"\x0a", rows(OLD, b"\x011")),
        (b"\x0c\x01\0\0\0", frames(DENIED)),
        (b"\x05new", frames(ok())),
        (b"\x1d", frames(DENIED)),
    ],
)
def test_commands_that_say_nothing(command: bytes, answer: bytes) -> None:
    for pipelined in (False, True):
        talk = Talk(OLD)
        if pipelined:
            talk.client(frames(command, start=0) + query(b"SELECT 1")).server(answer + rows(OLD))
        else:
            talk.client(frames(command, start=0)).server(answer).client(query(b"SELECT 1")).server(rows(OLD))
        assert talk.events == [executed(b"SELECT 1")]


def test_an_error_out_of_the_blue_is_the_servers_farewell() -> None:
    talk = Talk().server(packet(0, b"\xff\xbf\x0f#HY000The client was disconnected by the server"))
    assert talk.events == []


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (lambda: Talk().client(frames(b"\x12" + bytes(10), start=0)), "a replication stream"),
        (lambda: Talk().client(frames(b"\xee", start=0)), "unknown command 0xee"),
        (lambda: Talk().client(packet(0, b"")), "an empty command"),
        (lambda: Talk().server(packet(1, b"\0\0\0\2\0\0\0")), "an answer without a command"),
        (
            lambda: Talk().client(query(b"SELECT 1")).server(rows(NEW, *LONG)[:-20]).client(query(b"SELECT 2")),
            "the client did not wait for the end of a long answer",
        ),
        (
            lambda: Talk().client(query(b"SELECT 1")).server(rows(NEW, start=2)),
            "an answer that does not follow its command",
        ),
        (
            lambda: Talk(OLD).client(query(b"SELECT 1") * 2).server(frames(b"\x01", COLUMN, b"no eof")),
            "no EOF packet behind the column definitions",
        ),
    ],
)
def test_what_cannot_be_followed_is_said_once(talk: Callable[[], Talk], reason: str) -> None:
    lost = talk()
    lost.client(query(b"SELECT 3")).server(rows(NEW)).client(b"\xff" * 9)
    assert lost.events[-1] == Lost(1, reason)
    assert sum(isinstance(event, Lost) for event in lost.events) == 1
    assert lost.observer.idle or lost.observer.lost


def test_a_mistake_of_ours_is_no_leak_and_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> list[object]:
        raise RuntimeError("hunter2")

    monkeypatch.setattr(privacy, "read", broken)
    talk = Talk().client(query(b"DO 1"))
    assert talk.events == [Lost(1, "an error in the observer: RuntimeError")]


def test_what_is_too_long_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LONGEST_STATEMENT", 1 << 20)
    sql = b"SELECT '" + b"x" * (1 << 20) + b"'"
    talk = Talk().client(query(sql)).server(rows(NEW)).client(query(b"SELECT 1")).server(rows(NEW))
    assert talk.events == [Unread(1, "SELECT", len(sql) + 1, "longer than 1 MB"), executed(b"SELECT 1")]


@BOTH
@pytest.mark.parametrize("length", [0xFFFFFE, 0xFFFFFF, 0x1000000])
def test_statements_around_16_mb(capabilities: Capabilities, length: int) -> None:
    sql = b"SELECT '" + b"x" * (length - 10) + b"'"
    command = frames(b"\x03" + sql, start=0)
    talk = Talk(capabilities)
    for start in range(0, len(command), 65536):
        talk.client(command[start : start + 65536])
    answer = rows(capabilities, start=1 + length // 0xFFFFFF)
    talk.server(answer).client(query(b"SELECT 1")).server(rows(capabilities))
    assert talk.events == [executed(sql), executed(b"SELECT 1")]
