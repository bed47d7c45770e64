"""Reading in a process that can be killed."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Iterator

import pytest

from graph.names import TableName
from graph.statement import Session, StatementClass
from proxy import reader
from proxy.reader import Reader, ReaderError, serve


@pytest.fixture
def child() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.close()


def test_a_statement_is_read(child: Reader) -> None:
    reading = child.read("SELECT * FROM t WHERE a = 'é😀'", Session(schema="lab"))
    assert reading.statement_class is StatementClass.DATA
    (occurrence,) = reading.occurrences
    assert occurrence.table == TableName("lab", "t")
    assert "é😀" in occurrence.restriction


def test_what_takes_too_long_is_unresolved_and_the_next_is_read() -> None:
    child = Reader(time_limit=0.2)
    try:
        child.read("SELECT 1 FROM t", Session())
        terms = " OR ".join(f"(a={number} AND b='{number}')" for number in range(60_000))
        reading = child.read(f"SELECT * FROM t WHERE {terms}", Session())
        assert (reading.verb, reading.statement_class) == ("SELECT", StatementClass.UNRESOLVED)
        assert "longer than 0.2 s" in reading.reason
    finally:
        child.close()


@pytest.mark.parametrize("depth", [100, 2_000, 100_000])
def test_deep_nesting_ends_nothing(child: Reader, depth: int) -> None:
    sql = f"SELECT * FROM t WHERE {'(' * depth}a = 1{')' * depth}"
    assert child.read(sql, Session()).statement_class in (StatementClass.DATA, StatementClass.UNRESOLVED)
    assert child.read("SELECT * FROM t", Session()).statement_class is StatementClass.DATA


def test_thirty_nested_subqueries_are_read(child: Reader) -> None:
    sql = "SELECT * FROM t0"
    for number in range(1, 31):
        sql = f"SELECT * FROM t{number} WHERE a IN ({sql})"
    assert len(child.read(sql, Session(schema="lab")).occurrences) == 31


def test_a_child_that_dies_is_replaced(child: Reader) -> None:
    child.read("SELECT * FROM t", Session())
    assert child._child is not None
    child._child.kill()
    child._child.wait()
    assert child.read("SELECT * FROM t", Session()).statement_class is StatementClass.UNRESOLVED
    assert child.read("SELECT * FROM t", Session()).statement_class is StatementClass.DATA
    child.close()


def test_a_child_that_cannot_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader.sys, "executable", "/bin/false")
    with pytest.raises(ReaderError, match="/bin/false"):
        Reader().read("SELECT 1", Session())


def test_many_are_read_in_order_and_one_that_hangs_costs_only_itself() -> None:
    child = Reader(time_limit=1.0)
    child.read("SELECT 1 FROM t", Session())
    slow = " OR ".join(f"(a={number} AND b='{number}')" for number in range(200_000))
    statements = [(f"SELECT * FROM t{number}", Session(schema="lab")) for number in range(400)]
    statements[200] = (f"SELECT * FROM t200 WHERE {slow}", Session())
    try:
        readings = list(child.read_all(statements))
    finally:
        child.close()
    assert readings[200].statement_class is StatementClass.UNRESOLVED
    names = [each.occurrences[0].table.name for each in readings if each is not readings[200]]
    assert names == [f"t{number}" for number in range(400) if number != 200]


def test_an_exception_of_the_parser_is_unresolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(sql: str, session: Session) -> None:
        raise KeyError(sql)

    monkeypatch.setattr(reader, "read", fails)
    request = json.dumps({"sql": "SELECT 1", "session": {}, "limit": 3}).encode()
    sink = io.BytesIO()
    alarms: list[int] = []
    serve(io.BytesIO(struct.pack(">I", len(request)) + request), sink, alarms.append)
    answer = json.loads(sink.getvalue().split(b"ready", 1)[1][4:])
    assert (answer["statement_class"], answer["reason"]) == ("unresolved", "it cannot be read: KeyError")
    assert alarms == [8, 0]
