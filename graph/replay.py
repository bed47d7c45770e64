"""The proof: each recorded query gives on the copy what it gives on the source.

Rows are compared as a multiset, value by value, as the server sends them. Memory is bounded whatever the number of
rows: each row is reduced to a digest, and each side to a table of sums of digests. Only when these differ are the
queries asked again, to name rows of one bucket that differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from itertools import islice
from typing import Any, Final

from graph.database import Database
from graph.errors import GrantError, StatementError
from graph.repeatable import ordered, unrepeatable
from graph.statement import Session, Statement

_BUCKETS: Final = 256
_DIGEST_BYTES: Final = 16
_MODULUS: Final = 1 << 8 * _DIGEST_BYTES
_NAMED_ROWS: Final = 3
_LONGEST_VALUE: Final = 60


class Verdict(StrEnum):
    """How a statement's answers compare."""

    IDENTICAL = "identical"
    DIFFERS = "differs"
    UNREPEATABLE = "not repeatable"
    FAILED_ON_SOURCE = "failed on source"
    FAILED_ON_COPY = "failed on copy"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The comparison for one statement.

    `source_rows` and `copy_rows` count the answers' rows, None where the server refused. `only_source` and
    `only_copy` show some rows that only one side gave. `reordered`: the same rows, but not in the same order though
    the statement asks for one. `reason` says why a failure failed, or why the statement is not repeatable.
    """

    statement: Statement
    verdict: Verdict
    source_rows: int | None = None
    copy_rows: int | None = None
    only_source: tuple[str, ...] = ()
    only_copy: tuple[str, ...] = ()
    reordered: bool = False
    reason: str = ""


def itself(sql: str, session: Session) -> str | None:
    """The text to replay for a statement that is a SELECT: its own."""
    return sql


def replay(
    source: Database,
    copy: Database,
    statements: Iterable[Statement],
    progress: Callable[[Outcome], None] | None = None,
    readable: Callable[[str, Session], str | None] = itself,
) -> list[Outcome]:
    """Runs each statement on both, in its own session's settings; those without a `readable` text are passed over.

    Raises ServerError when a connection breaks.
    """
    outcomes: list[Outcome] = []
    for statement in statements:
        text = readable(statement.sql, statement.session)
        if text is None:
            continue
        outcome = _compare(source, copy, statement, text)
        outcomes.append(outcome)
        if progress is not None:
            progress(outcome)
    return outcomes


@dataclass(slots=True)
class _Answer:
    """A query's answer in digests: bucket by bucket the sum, and one of all rows in their order."""

    rows: int = 0
    sums: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
    order: bytes = b""


def _compare(source: Database, copy: Database, statement: Statement, text: str) -> Outcome:
    answers: list[_Answer] = []
    for database, failure in ((source, Verdict.FAILED_ON_SOURCE), (copy, Verdict.FAILED_ON_COPY)):
        try:
            answers.append(_answer(database.rows(text, statement.session)))
        except (StatementError, GrantError) as error:
            rows = answers[0].rows if answers else None
            return Outcome(statement, failure, source_rows=rows, reason=str(error))
    ours, theirs = answers
    asked = Statement(statement.id, text, statement.session)
    if ours.rows == theirs.rows and ours.sums == theirs.sums:
        reordered = ours.order != theirs.order and ordered(asked)
        return Outcome(statement, Verdict.IDENTICAL, ours.rows, theirs.rows, reordered=reordered)
    reason = unrepeatable(asked)
    if reason is not None:
        return Outcome(statement, Verdict.UNREPEATABLE, ours.rows, theirs.rows, reason=reason)
    bucket = next(number for number in range(_BUCKETS) if ours.sums[number] != theirs.sums[number])
    only_source, only_copy = _differing_rows(source, copy, text, statement.session, bucket)
    return Outcome(statement, Verdict.DIFFERS, ours.rows, theirs.rows, only_source, only_copy)


def _answer(rows: Iterable[tuple[Any, ...]]) -> _Answer:
    answer = _Answer()
    order = blake2b(digest_size=_DIGEST_BYTES)
    for row in rows:
        digest = _digest(row)
        order.update(digest)
        answer.rows += 1
        answer.sums[digest[0]] = (answer.sums[digest[0]] + int.from_bytes(digest)) % _MODULUS
    answer.order = order.digest()
    return answer


def _digest(row: tuple[Any, ...]) -> bytes:
    """A row's digest; its first byte is the row's bucket. Lengths keep ('ab', 'c') and ('a', 'bc') apart."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    for value in row:
        if value is None:
            digest.update(b"-")
            continue
        data = _bytes(value)
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")


def _differing_rows(
    source: Database, copy: Database, text: str, session: Session, bucket: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Some rows of a bucket that only the source, and that only the copy gives."""
    ours, ours_shown = _bucket(source.rows(text, session), bucket)
    theirs, theirs_shown = _bucket(copy.rows(text, session), bucket)
    return _named(ours - theirs, ours_shown), _named(theirs - ours, theirs_shown)


def _bucket(rows: Iterator[tuple[Any, ...]], bucket: int) -> tuple[Counter[bytes], dict[bytes, str]]:
    counts: Counter[bytes] = Counter()
    shown: dict[bytes, str] = {}
    for row in rows:
        digest = _digest(row)
        if digest[0] == bucket:
            counts[digest] += 1
            shown.setdefault(digest, _show(row))
    return counts, shown


def _named(counts: Counter[bytes], shown: dict[bytes, str]) -> tuple[str, ...]:
    return tuple(shown[digest] for digest in islice(counts, _NAMED_ROWS))


def _show(row: tuple[Any, ...]) -> str:
    return f"({', '.join(_show_value(value) for value in row)})"


def _show_value(value: Any) -> str:
    if value is None:
        return "NULL"
    text = f"x'{value.hex()}'" if isinstance(value, bytes) else repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
