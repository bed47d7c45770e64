"""Reading and resolving in a process that can be killed."""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Iterator

import networkx as nx
import pytest

from graph import apart
from graph.apart import Apart, ApartError, Failure, serve
from graph.leaves import Reading
from graph.names import TableName
from graph.schema import Schema
from graph.statement import Session, Statement, StatementClass
from proxy.reader import Reader

LAB = Session(schema="lab")
DATA, UNRESOLVED = StatementClass.DATA, StatementClass.UNRESOLVED


@pytest.fixture
def child() -> Iterator[Apart]:
    made = Apart()
    yield made
    made.close()


def read(child: Apart, sql: str, session: Session = LAB) -> Reading | Failure:
    (reading,) = child.read([(sql, session)])
    return reading


def read_well(child: Apart, sql: str) -> Reading:
    reading = read(child, sql)
    assert isinstance(reading, Reading), reading
    assert reading.statement_class is DATA, reading.reason
    return reading


def test_a_statement_is_read(child: Apart) -> None:
    (occurrence,) = read_well(child, "SELECT * FROM t WHERE a = 'é😀'").occurrences
    assert occurrence.table == TableName("lab", "t")
    assert "é😀" in occurrence.restriction


def test_a_statement_is_resolved_under_the_schema_in_use(child: Apart) -> None:
    statement = Statement(1, "SELECT * FROM lab.t", LAB)
    (without,) = child.resolve([statement])
    assert without == Failure("there is no schema to resolve it under")
    child.use(Schema({}, nx.MultiDiGraph()))
    (resolution,) = child.resolve([statement])
    assert not isinstance(resolution, Failure)
    assert "lab.t is not there" in resolution.reason


def test_what_takes_too_long_fails_and_the_next_is_read() -> None:
    child = Apart(time_limit=0.2)
    try:
        read_well(child, "SELECT 1 FROM t")
        terms = " OR ".join(f"(f(a)={number} AND b='{number}')" for number in range(60_000))
        late = read(child, f"SELECT * FROM t WHERE {terms}")
        assert isinstance(late, Failure)
        assert "longer than 0.2 s; ask for less" in late.reason
    finally:
        child.close()


def nested(depth: int, text: str) -> str:
    sql = "SELECT a FROM t"
    for number in range(depth):
        sql = text.format(sql, number)
    return sql


LARGE = {
    "20 000 keys": "SELECT * FROM t WHERE " + " OR ".join(f"((`a`='x{n}')AND(`b`={n}))" for n in range(20_000)),
    "5 000 parentheses": "SELECT * FROM t WHERE " + "(" * 5_000 + "a = 1" + ")" * 5_000,
    "5 000 sums in parentheses": "SELECT * FROM t WHERE " + "(1 + " * 5_000 + "a" + ")" * 5_000,
    "16 MB of a list": "SELECT * FROM t WHERE a IN (" + ",".join(f"'{n:012}'" for n in range(1_100_000)) + ")",
    "60 subqueries": nested(60, "SELECT a FROM t{1} WHERE a IN ({0})"),
    "60 derived tables": nested(60, "SELECT a FROM ({0}) x{1}"),
    "a sum of 10 000": "SELECT * FROM t WHERE " + " + ".join(["a"] * 10_000),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_statements_are_read(child: Apart, name: str) -> None:
    reading = read_well(child, LARGE[name])
    assert len(reading.occurrences[0].restriction) < 120_000


@pytest.mark.parametrize("text", ["(1+", "f(", "NOT ", "-", "CASE WHEN "])
def test_nesting_beyond_all_measure_ends_nothing(text: str) -> None:
    child = Apart(time_limit=3.0)
    try:
        reading = read(child, "SELECT * FROM t WHERE " + text * 100_000 + "a" + ")" * (100_000 * text.count("(")))
        assert isinstance(reading, Failure) or reading.statement_class is UNRESOLVED
        read_well(child, "SELECT * FROM t")
    finally:
        child.close()


def test_a_child_that_dies_is_replaced(child: Apart) -> None:
    read_well(child, "SELECT * FROM t")
    assert child._child is not None
    child._child._process.kill()
    child._child._process.wait()
    assert isinstance(read(child, "SELECT * FROM t"), Failure)
    read_well(child, "SELECT * FROM t")


def test_answers_that_nobody_waits_for_are_not_taken_for_others(child: Apart) -> None:
    abandoned = child.read((f"SELECT * FROM t{number}", LAB) for number in range(50))
    next(abandoned)
    del abandoned
    assert read_well(child, "SELECT * FROM other").occurrences[0].table.name == "other"


def test_a_child_that_cannot_start_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart.sys, "executable", "/bin/false")
    with pytest.raises(ApartError, match="/bin/false"):
        Reader().read("SELECT 1", Session())


def test_many_are_read_in_order_and_one_that_hangs_costs_only_itself() -> None:
    child = Reader(time_limit=1.0)
    child.read("SELECT 1 FROM t", Session())
    slow = " OR ".join(f"(f(a)={number} AND b='{number}')" for number in range(200_000))
    statements = [(f"SELECT * FROM t{number}", Session(schema="lab")) for number in range(400)]
    statements[200] = (f"SELECT * FROM t200 WHERE {slow}", Session())
    try:
        readings = list(child.read_all(statements))
    finally:
        child.close()
    assert (readings[200].verb, readings[200].statement_class) == ("SELECT", UNRESOLVED)
    assert "longer than 1 s" in readings[200].reason
    names = [each.occurrences[0].table.name for each in readings if each is not readings[200]]
    assert names == [f"t{number}" for number in range(400) if number != 200]


def test_requests_and_answers_larger_than_a_pipe_pass_each_other(child: Apart) -> None:
    long = ", ".join(f"f(a{number})" for number in range(9_000))
    statements = [(f"SELECT a FROM t WHERE a IN ({long if number % 3 else 1})", LAB) for number in range(9)]
    readings = list(child.read(statements))
    assert [len(r.occurrences[0].restriction) > 70_000 for r in readings if isinstance(r, Reading)] == [
        bool(number % 3) for number in range(9)
    ]


@pytest.mark.parametrize(
    ("error", "reason", "ends"),
    [
        (KeyError("a"), "it cannot be read: KeyError", False),
        (RecursionError(), "more memory or nesting", False),
        (MemoryError(), "more memory or nesting", True),
    ],
)
def test_an_exception_of_the_parser_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str, ends: bool
) -> None:
    def fails(sql: str, session: Session) -> None:
        raise error

    monkeypatch.setattr(apart, "read", fails)
    request = pickle.dumps((3, ("read", "SELECT 1", Session())))
    source, sink = io.BytesIO((struct.pack(">Q", len(request)) + request) * 2), io.BytesIO()
    alarms: list[int] = []
    serve(source, sink, alarms.append)
    sink.seek(0)
    answers = []
    while head := sink.read(8):
        answers.append(pickle.loads(sink.read(*struct.unpack(">Q", head))))
    assert answers[0] == "ready"
    assert reason in answers[1].result.reason
    assert [answer.last for answer in answers[1:]] == ([True] if ends else [False, False])
    assert alarms == [8, 0] * (len(answers) - 1)
