"""Prepared statements byte by byte, and what is to be said of them."""

from __future__ import annotations

import struct

import pytest
from mysql_mimic.types import Capabilities

from proxy import prepared as prepared_module
from proxy.events import Executed, Noted, Unread
from proxy.protocol import lenenc
from tests.conversation import (
    BOTH,
    COLUMN,
    CURSOR,
    DENIED,
    INT_7,
    INT_8,
    NEW,
    OLD,
    Talk,
    eof,
    execute,
    executed,
    frames,
    long_data,
    ok,
    prepare,
    prepared,
    query,
    rows,
)


@BOTH
def test_a_prepared_statement_with_its_values(capabilities: Capabilities) -> None:
    talk = Talk(capabilities).client(prepare(b"SELECT ?")).server(prepared(capabilities, 5, 1, 1))
    assert talk.events == []
    talk.client(execute(5, INT_7)).server(rows(capabilities))
    talk.client(execute(5, INT_8)).server(rows(capabilities))
    talk.client(execute(5, b"\x01\0")).server(rows(capabilities))
    assert talk.events == [
        executed(b"SELECT ?", ("7",)),
        executed(b"SELECT ?", ("8",)),
        executed(b"SELECT ?", ("NULL",)),
    ]


def test_prepare_and_execute_in_one_breath() -> None:
    """MariaDB's statement id 0xFFFFFFFF means the last one prepared, which the server has not named yet."""
    talk = Talk(OLD).client(prepare(b"SELECT ?") + execute(0xFFFFFFFF, INT_7))
    talk.server(prepared(OLD, 9, 1, 1) + rows(OLD))
    assert talk.events == [executed(b"SELECT ?", ("7",))]
    failed = Talk(OLD).client(prepare(b"SELECT nonsense") + execute(0xFFFFFFFF))
    failed.server(frames(DENIED) + frames(DENIED))
    assert failed.events == []


def test_long_data_comes_before_and_is_used_once() -> None:
    talk = Talk().client(prepare(b"SELECT ?, ?")).server(prepared(NEW, 5, 2, 2))
    talk.client(long_data(5, 0, b"abc") + long_data(5, 0, b"def") + execute(5, b"\0\x01\xfc\0\x08\0" + INT_7[4:]))
    talk.server(rows(NEW))
    talk.client(execute(5, b"\x01\0" + INT_7[4:])).server(rows(NEW))
    talk.client(long_data(5, 0, b"gone") + frames(b"\x1a" + struct.pack("<I", 5), start=0)).server(frames(ok()))
    talk.client(execute(5, b"\x01\0" + INT_7[4:])).server(rows(NEW))
    assert talk.events == [
        executed(b"SELECT ?, ?", ("_binary x'616263646566'", "7")),
        executed(b"SELECT ?, ?", ("NULL", "7")),
        executed(b"SELECT ?, ?", ("NULL", "7")),
    ]


@BOTH
def test_a_cursor_ends_its_execute_and_rows_come_by_fetch(capabilities: Capabilities) -> None:
    talk = Talk(capabilities).client(prepare(b"SELECT 1")).server(prepared(capabilities, 5, 0, 1))
    talk.client(execute(5, flags=1)).server(frames(b"\x01", COLUMN, eof(capabilities, CURSOR)))
    for status in (CURSOR, 0x0080):
        talk.client(frames(b"\x1c" + struct.pack("<II", 5, 1), start=0))
        talk.server(frames(b"\0\0\x01", eof(capabilities, status)))
    talk.client(query(b"SELECT 2")).server(rows(capabilities))
    assert talk.events == [executed(b"SELECT 1", ()), executed(b"SELECT 2")]


def test_a_cursor_in_a_pipeline() -> None:
    talk = Talk(OLD).client(prepare(b"SELECT 1")).server(prepared(OLD, 5, 0, 1))
    fetch = frames(b"\x1c" + struct.pack("<II", 5, 1), start=0)
    talk.client(execute(5, flags=1) + fetch + query(b"SELECT 2"))
    talk.server(frames(b"\x01", COLUMN, eof(OLD, CURSOR)) + frames(b"\0\0\x01", eof(OLD, 0x80)) + rows(OLD))
    assert talk.events == [executed(b"SELECT 1", ()), executed(b"SELECT 2")]


def test_closing_and_unknown_statements() -> None:
    talk = Talk().client(prepare(b"SELECT 1")).server(prepared(NEW, 5, 0, 1))
    talk.client(frames(b"\x19" + struct.pack("<I", 5), start=0) + execute(5)).server(rows(NEW))
    assert talk.events == [Unread(1, "EXECUTE", 10, "an unknown prepared statement")]


def test_prepared_writes_are_noted_whatever_their_values() -> None:
    talk = Talk().client(prepare(b"INSERT INTO t VALUES (?)")).server(prepared(NEW, 5, 1, 0))
    talk.client(execute(5, b"nonsense")).server(frames(ok()))
    talk.client(execute(5, b"bulk", command=0xFA)).server(frames(ok()))
    assert talk.events == [Noted(1, "INSERT", "t", 24)] * 2


def test_what_cannot_be_kept_of_prepared_statements() -> None:
    talk = Talk().client(prepare(b"SELECT ?")).server(prepared(NEW, 5, 1, 1))
    talk.client(execute(5, b"\0\x01\x99\0")).server(rows(NEW))
    talk.client(execute(5, b"\0\0")).server(rows(NEW))
    talk.client(execute(5, b"bulk", command=0xFA)).server(rows(NEW))
    reasons = [event.reason for event in talk.events if isinstance(event, Unread)]
    assert len(reasons) == len(talk.events) == 3
    assert "0x99" in reasons[0] and reasons[2] == "parameters in bulk"


def test_a_password_in_a_parameter_is_not_kept() -> None:
    talk = Talk().client(prepare(b"SET @q = ?")).server(prepared(NEW, 5, 1, 0))
    talk.client(execute(5, b"\0\x01\xfd\0" + lenenc(b"ALTER USER u IDENTIFIED BY 'hunter2'"))).server(frames(ok()))
    talk.client(execute(5, b"\0\0" + lenenc(b"harmless"))).server(frames(ok()))
    assert talk.events == [Noted(1, "SET", "@q", 10), executed(b"SET @q = ?", ("'harmless'",))]


def test_parameters_are_read_in_the_clients_character_set() -> None:
    talk = Talk().client(prepare(b"SELECT ?")).server(prepared(NEW, 5, 1, 1))
    talk.client(query(b"SET NAMES latin1")).server(frames(ok()))
    talk.client(execute(5, b"\0\x01\xfd\0\x01\xe9")).server(rows(NEW))
    tracked = b"\0" + lenenc(lenenc(b"character_set_client") + lenenc(b"utf8mb4"))
    talk.client(query(b"SET @@character_set_client = DEFAULT")).server(frames(ok(changes=tracked)))
    talk.client(execute(5, b"\0\0\x02\xc3\xa9")).server(rows(NEW))
    found = [event.parameters for event in talk.events if isinstance(event, Executed) and event.parameters]
    assert found == [("_latin1 x'E9'",), ("'é'",)]


def test_long_data_that_is_too_long_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_module, "MOST_BYTES", 1 << 10)
    talk = Talk().client(prepare(b"SELECT ?")).server(prepared(NEW, 5, 1, 1))
    for _ in range(3):
        talk.client(long_data(5, 0, b"x" * 500))
    talk.client(execute(5, b"\0\x01\xfc\0")).server(rows(NEW))
    assert isinstance(talk.events[0], Unread)


def test_too_many_prepared_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_module, "MOST_BYTES", 10)
    talk = Talk()
    for number in (1, 2):
        talk.client(prepare(b"SELECT 1")).server(prepared(NEW, number, 0, 1))
    for number in (1, 2):
        talk.client(execute(number)).server(rows(NEW))
    assert talk.events[0] == executed(b"SELECT 1", ())
    assert isinstance(talk.events[1], Unread)
