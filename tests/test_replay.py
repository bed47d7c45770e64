"""Comparing answers, with servers of a few lines each; tests/test_dump.py replays on real ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.database import Database
from graph.errors import GrantError, ServerError, StatementError
from graph.replay import Outcome, Verdict, replay
from graph.statement import Session, Statement

Rows = list[tuple[Any, ...]]


class Answers:
    """Answers each statement with the rows, or the error, that it was given."""

    def __init__(self, answers: Mapping[str, Rows | Exception]) -> None:
        self._answers = answers
        self.sessions: list[Session | None] = []

    def rows(self, sql: str, session: Session | None = None) -> Iterator[tuple[Any, ...]]:
        self.sessions.append(session)
        answer = self._answers[sql]
        if isinstance(answer, Exception):
            raise answer
        yield from answer


def compare(ours: Rows | Exception, theirs: Rows | Exception, sql: str = "SELECT a FROM t") -> Outcome:
    source, copy = Answers({sql: ours}), Answers({sql: theirs})
    (outcome,) = replay(cast(Database, source), cast(Database, copy), [Statement(1, sql)])
    return outcome


def test_the_order_is_free_but_not_the_number() -> None:
    assert compare([("1",), ("2",)], [("2",), ("1",)]).verdict is Verdict.IDENTICAL
    outcome = compare([("1",), ("1",), ("2",)], [("1",), ("2",), ("2",)])
    assert outcome.verdict is Verdict.DIFFERS
    assert (outcome.only_source, outcome.only_copy) in [(("('1')",), ()), ((), ("('2')",))]


def test_another_order_is_said_where_one_was_asked_for() -> None:
    ordered = "SELECT a FROM t ORDER BY b"
    assert compare([("1",), ("2",)], [("2",), ("1",)], ordered).reordered
    assert not compare([("1",), ("2",)], [("1",), ("2",)], ordered).reordered
    assert not compare([("1",), ("2",)], [("2",), ("1",)]).reordered


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
    assert outcome.only_source or outcome.only_copy


VALUES = st.one_of(st.none(), st.text(max_size=3), st.binary(max_size=3))
ANSWERS = st.lists(st.tuples(VALUES, VALUES), max_size=6)


@given(ANSWERS, ANSWERS)
def test_multisets_decide(ours: Rows, theirs: Rows) -> None:
    def counted(rows: Rows) -> list[str]:
        return sorted(repr([v.encode() if isinstance(v, str) else v for v in row]) for row in rows)

    assert (compare(ours, theirs).verdict is Verdict.IDENTICAL) == (counted(ours) == counted(theirs))


def test_long_values_are_shown_short() -> None:
    outcome = compare([(b"\xff" * 1000, "y" * 1000, None)], [])
    assert len(outcome.only_source[0]) < 200
    assert outcome.only_source[0].endswith("…, NULL)")


def test_few_rows_are_named_of_many() -> None:
    rows = [(str(number),) for number in range(10_000)]
    outcome = compare(rows, rows[:-1])
    assert outcome.only_source == ("('9999')",)
    assert outcome.only_copy == ()
    assert len(compare(rows, []).only_source) == 3


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


def test_a_broken_connection_ends_it() -> None:
    with pytest.raises(ServerError, match="gone"):
        compare(ServerError("gone"), [])


def test_chance_is_told_from_failure() -> None:
    random = "SELECT a FROM t WHERE RAND() < 0.5"
    assert compare([("1",)], [("1",)], random).verdict is Verdict.IDENTICAL
    outcome = compare([("1",)], [("2",)], random)
    assert (outcome.verdict, outcome.reason) == (Verdict.UNREPEATABLE, "it uses RAND")


def test_sessions_progress_and_what_can_be_read() -> None:
    session = Session(schema="lab")
    statements = [Statement(1, "INSERT INTO t SELECT 1", session), Statement(2, "DELETE FROM t", session)]
    texts = {"INSERT INTO t SELECT 1": "SELECT 1"}
    source, copy = Answers({"SELECT 1": [("1",)]}), Answers({"SELECT 1": [("1",)]})
    seen: list[Outcome] = []
    outcomes = replay(
        cast(Database, source),
        cast(Database, copy),
        statements,
        seen.append,
        readable=lambda sql, _: texts.get(sql),
    )
    assert seen == outcomes
    assert [outcome.statement.id for outcome in outcomes] == [1]
    assert source.sessions == copy.sessions == [session]
