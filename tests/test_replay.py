"""Comparing answers, with servers of a few lines each; tests/test_verify.py replays on real ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.answer import Protocol, ResultColumn
from graph.database import Database
from graph.digest import ResultDigest, encode_row
from graph.errors import GrantError, ServerError, StatementError
from graph.replay import Outcome, Verdict, replay
from graph.statement import RecordedResult, Session, Statement

Rows = list[tuple[Any, ...]]
FLOAT, TEXT = 4, 253


@dataclass
class FakeAnswer:
    """Rows that are already here."""

    rows: Rows
    columns: tuple[ResultColumn, ...]

    def __iter__(self) -> Iterator[bytes]:
        return (payload(row) for row in self.rows)

    def show(self, shown: bytes) -> str:
        return next(repr(row) for row in self.rows if payload(row) == shown)


def payload(row: tuple[Any, ...]) -> bytes:
    return encode_row(value.encode() if isinstance(value, str) else value for value in row)


class Answers:
    """Answers each statement with the rows, or the error, that it was given for a protocol."""

    def __init__(self, answers: Mapping[tuple[str, Protocol], Rows | Exception], kind: int = TEXT) -> None:
        self._answers = answers
        self._column = ResultColumn("c", kind, 255, 31, False)
        self.sessions: list[Session] = []
        self.charsets: list[str] = []

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        yield

    @contextmanager
    def answer(
        self, sql: str, session: Session, protocol: Protocol = Protocol.TEXT, charset: str = "utf8mb4"
    ) -> Iterator[FakeAnswer]:
        self.sessions.append(session)
        self.charsets.append(charset)
        answer = self._answers[sql, protocol]
        if isinstance(answer, Exception):
            raise answer
        yield FakeAnswer(answer, (self._column,) * len(answer[0] if answer else ()))


def compare(
    ours: Rows | Exception,
    theirs: Rows | Exception,
    sql: str = "SELECT a FROM t",
    recorded: RecordedResult | None = None,
) -> Outcome:
    source, copy = Answers({(sql, Protocol.TEXT): ours}), Answers({(sql, Protocol.TEXT): theirs})
    return ask(source, copy, Statement(1, sql, recorded=recorded))


def ask(source: Answers, copy: Answers, statement: Statement) -> Outcome:
    (outcome,) = replay(cast(Database, source), cast(Database, copy), [statement])
    return outcome


def recorded(rows: Rows) -> RecordedResult:
    digest = ResultDigest()
    for row in rows:
        digest.add_payload(payload(row))
    return RecordedResult(digest.rows, digest.hexdigest())


def test_the_order_is_free_but_not_the_number() -> None:
    assert compare([("1",), ("2",)], [("2",), ("1",)]).verdict is Verdict.IDENTICAL
    outcome = compare([("1",), ("1",), ("2",)], [("1",), ("2",), ("2",)])
    assert outcome.verdict is Verdict.DIFFERS
    assert (outcome.only_source.first, outcome.only_copy.first) == (("('1',)",), ("('2',)",))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ([("ab", "c")], [("a", "bc")]),
        ([(None,)], [("NULL",)]),
        ([(None,)], [("-",)]),
        ([("",)], [(None,)]),
        ([("1.2345678",)], [("1.23457",)]),
        ([(b"\x00",)], [(b"\x00\x00",)]),
        ([("a",), ("b",)], [("a",)]),
        ([], [("a",)]),
    ],
)
def test_what_is_not_the_same(ours: Rows, theirs: Rows) -> None:
    outcome = compare(ours, theirs)
    assert outcome.verdict is Verdict.DIFFERS
    assert (outcome.source_rows, outcome.copy_rows) == (len(ours), len(theirs))
    assert outcome.only_source.rows - outcome.only_copy.rows == len(ours) - len(theirs)


VALUES = st.one_of(st.none(), st.text(max_size=3), st.binary(max_size=3))
ANSWERS = st.lists(st.tuples(VALUES, VALUES), max_size=6)


@given(ANSWERS, ANSWERS)
def test_multisets_decide(ours: Rows, theirs: Rows) -> None:
    left, right = [payload(row) for row in ours], [payload(row) for row in theirs]
    outcome = compare(ours, theirs)
    assert (outcome.verdict is Verdict.IDENTICAL) == (sorted(left) == sorted(right))
    missing = sum(max(left.count(row) - right.count(row), 0) for row in set(left))
    added = sum(max(right.count(row) - left.count(row), 0) for row in set(right))
    assert (outcome.only_source.rows, outcome.only_copy.rows) == (missing, added)


def test_few_rows_are_named_of_many_the_first_first() -> None:
    rows = [(str(number),) for number in range(10_000)]
    outcome = compare(rows, rows[:-1])
    assert (outcome.only_source.rows, outcome.only_source.first) == (1, ("('9999',)",))
    assert (outcome.only_copy.rows, outcome.only_copy.first) == (0, ())
    none = compare(rows, [])
    assert (none.only_source.rows, none.only_source.first) == (10_000, ("('0',)", "('1',)", "('2',)"))


def test_refusals_say_on_which_side() -> None:
    refused = StatementError("no such function")
    assert compare(refused, []).verdict is Verdict.FAILED_ON_SOURCE
    assert compare(GrantError("missing"), []).verdict is Verdict.FAILED_ON_SOURCE
    outcome = compare([("1",)], refused)
    assert (outcome.verdict, outcome.reason, outcome.source_rows) == (
        Verdict.FAILED_ON_COPY,
        "no such function",
        1,
    )


def test_two_refusals_are_both_named() -> None:
    outcome = compare(StatementError("no table"), StatementError("no column"))
    assert (outcome.verdict, outcome.reason) == (Verdict.FAILED_ON_BOTH, "source: no table; copy: no column")
    assert compare(StatementError("no table"), StatementError("no table")).reason == "no table"


def test_a_broken_connection_ends_it() -> None:
    with pytest.raises(ServerError, match="gone"):
        compare(ServerError("gone"), [])


def test_chance_is_told_from_failure() -> None:
    random = "SELECT a FROM t WHERE RAND() < 0.5"
    assert compare([("1",)], [("1",)], random).verdict is Verdict.IDENTICAL
    outcome = compare([("1",)], [("2",)], random)
    assert (outcome.verdict, outcome.reason) == (Verdict.UNREPEATABLE, "it uses RAND")


OLD, NEW, WRONG = [("1",), ("2",)], [("1",), ("3",)], [("1",)]


@pytest.mark.parametrize(
    ("source", "copy", "verdict", "as_recorded"),
    [
        (OLD, OLD, Verdict.IDENTICAL, (True, True)),
        (NEW, NEW, Verdict.SOURCE_CHANGED, (False, False)),
        (NEW, OLD, Verdict.SOURCE_CHANGED, (False, True)),
        (OLD, NEW, Verdict.DIFFERS, (True, False)),
        (NEW, WRONG, Verdict.DIFFERS, (False, False)),
    ],
)
def test_the_recorded_answer_tells_a_changed_source_from_a_wrong_slice(
    source: Rows, copy: Rows, verdict: Verdict, as_recorded: tuple[bool, bool]
) -> None:
    outcome = compare(source, copy, recorded=recorded(OLD))
    assert outcome.verdict is verdict
    assert (outcome.recorded_source, outcome.recorded_copy) == as_recorded
    assert (outcome.reason == "") == (verdict is Verdict.IDENTICAL)
    assert (outcome.only_source.rows > 0) == (source != copy)


def test_without_a_digest_the_recorded_number_of_rows_still_tells() -> None:
    assert compare(NEW, NEW, recorded=RecordedResult(2)).verdict is Verdict.IDENTICAL
    assert compare(NEW, NEW, recorded=RecordedResult(5)).verdict is Verdict.SOURCE_CHANGED


def test_as_many_rows_as_were_recorded_are_not_yet_the_same_answer() -> None:
    outcome = compare(NEW, OLD, recorded=RecordedResult(2))
    assert (outcome.verdict, outcome.reason) == (Verdict.DIFFERS, "")
    assert (outcome.recorded_source, outcome.recorded_copy) == (None, None)


def test_what_changes_by_itself_is_not_held_against_the_recording() -> None:
    assert compare(NEW, NEW, "SELECT NOW()", recorded(OLD)).verdict is Verdict.IDENTICAL
    outcome = compare(NEW, OLD, "SELECT a FROM t LIMIT 2", recorded(OLD))
    assert outcome.verdict is Verdict.UNREPEATABLE
    assert outcome.reason == "it has a LIMIT without an ORDER BY; the copy answers as it was recorded"


def test_the_recorded_answer_is_compared_in_its_character_set() -> None:
    answers = {("SELECT a", Protocol.TEXT): OLD}
    source, copy = Answers(answers), Answers(answers)
    statement = Statement(1, "SELECT a", Session(charset="latin1"), recorded=recorded(OLD))
    assert ask(source, copy, statement).verdict is Verdict.IDENTICAL
    assert source.charsets == copy.charsets == ["utf8mb4", "latin1"]


def test_floats_are_asked_for_in_binary_too() -> None:
    text, binary = ("SELECT f", Protocol.TEXT), ("SELECT f", Protocol.BINARY)
    source = Answers({text: [("0.1",)], binary: [("0.100000001",)]}, FLOAT)
    same = Answers({text: [("0.1",)], binary: [("0.100000001",)]}, FLOAT)
    other = Answers({text: [("0.1",)], binary: [("0.100000009",)]}, FLOAT)
    assert ask(source, same, Statement(1, "SELECT f")).verdict is Verdict.IDENTICAL
    outcome = ask(source, other, Statement(1, "SELECT f"))
    assert outcome.verdict is Verdict.DIFFERS
    assert "floating-point" in outcome.reason
    assert outcome.only_copy.first == ("('0.100000009',)",)


def test_sessions_progress_and_what_can_be_read() -> None:
    session = Session(schema="lab")
    statements = [Statement(1, "INSERT INTO t SELECT 1", session), Statement(2, "DELETE FROM t", session)]
    texts = {"INSERT INTO t SELECT 1": "SELECT 1"}
    answers = {("SELECT 1", Protocol.TEXT): [("1",)]}
    source, copy = Answers(answers), Answers(answers)
    seen: list[str] = []
    outcomes = replay(
        cast(Database, source),
        cast(Database, copy),
        statements,
        seen.append,
        readable=lambda sql, _: texts.get(sql),
    )
    assert seen == ["query 1 of 1"]
    assert [outcome.statement for outcome in outcomes] == statements[:1]
    assert source.sessions == copy.sessions == [session]


def test_progress_tells_the_rows_of_a_long_answer() -> None:
    answers = {("SELECT 1", Protocol.TEXT): [("1",)] * 25_000}
    seen: list[str] = []
    replay(cast(Database, Answers(answers)), cast(Database, Answers(answers)), [Statement(1, "SELECT 1")], seen.append)
    assert seen == ["query 1 of 1", "query 1 of 1: 20000 rows of the source", "query 1 of 1: 20000 rows of the copy"]
