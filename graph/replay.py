"""The proof: each recorded query gives on the copy what it gives on the source.

Answers are compared as multisets of rows, byte by byte as the server sends them, those with FLOATs in the binary
protocol too; and as lists up to ties where the query has an ORDER BY (graph.order). Nothing is held in memory: each row
is reduced to a digest, and each side to a table of sums of digests. Only when these differ are the queries asked again,
to name the rows (graph.surplus). With the digest of what came while recording, a source that has changed since is told
from a slice that differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from hashlib import blake2b
from typing import Final

from graph.answer import Answer, Protocol, ResultColumn
from graph.database import CHARSET, Database
from graph.digest import SIZE, Summary, row_digest
from graph.errors import GrantError, StatementError
from graph.order import Order, judge
from graph.repeatable import unlocked, unrepeatable
from graph.statement import Session, Statement
from graph.surplus import BUCKETS, NONE, Surplus, bucket, surplus

_MODULUS: Final = 1 << 8 * SIZE
#: Progress is told each time so many rows were read.
_ROWS_BETWEEN: Final = 20_000

Progress = Callable[[str], None]


class Verdict(StrEnum):
    """How a statement's answers compare."""

    IDENTICAL = "identical"
    DIFFERS = "differs"
    SOURCE_CHANGED = "source changed since the recording"
    UNREPEATABLE = "not repeatable"
    FAILED_ON_SOURCE = "failed on source"
    FAILED_ON_COPY = "failed on copy"
    FAILED_ON_BOTH = "failed on source and copy"


@dataclass(frozen=True, slots=True)
class Way:
    """How a query is asked: by which protocol, and in which character set its texts come."""

    protocol: Protocol = Protocol.TEXT
    charset: str = CHARSET


@dataclass(frozen=True, slots=True)
class Compared:
    """The answers of both sides, asked in one way."""

    way: Way
    source: Summary
    copy: Summary

    @property
    def equal(self) -> bool:
        return self.source == self.copy


@dataclass(frozen=True, slots=True)
class Outcome:
    """The comparison for one statement.

    `compared` has the answers in each way that they were asked for, the plain one first. `only_source` and `only_copy`
    are the rows that only one side gave. `recorded_source` and `recorded_copy` say whether a side answers as it was
    recorded, None where that is not known (nothing was, or only as many rows). `reason` says why a failure failed, why
    the statement is not repeatable, or where another order begins.
    """

    statement: Statement
    verdict: Verdict
    compared: tuple[Compared, ...] = ()
    only_source: Surplus = NONE
    only_copy: Surplus = NONE
    order: Order = Order.SAME
    recorded_source: bool | None = None
    recorded_copy: bool | None = None
    reason: str = ""
    source_rows: int | None = None
    copy_rows: int | None = None


def itself(sql: str, session: Session) -> str | None:
    """The text to replay for a statement that is a SELECT: its own."""
    return sql


def replay(
    source: Database,
    copy: Database,
    statements: Iterable[Statement],
    progress: Progress | None = None,
    readable: Callable[[str, Session], str | None] = itself,
) -> list[Outcome]:
    """Runs each statement on both, in its own session's settings; those without a `readable` text are passed over.

    Each statement sees one READ ONLY state of each side. Raises ServerError when a connection breaks.
    """
    asked = [
        (statement, text)
        for statement in statements
        if (text := readable(statement.sql, statement.session)) is not None
    ]
    outcomes: list[Outcome] = []
    for number, (statement, text) in enumerate(asked, 1):
        say = partial(_say, progress, f"query {number} of {len(asked)}")
        say("")
        with source.snapshot(), copy.snapshot():
            outcome = _Replay(source, copy, replace(statement, sql=text), say).outcome()
        outcomes.append(replace(outcome, statement=statement))
    return outcomes


def _say(progress: Progress | None, what: str, more: str) -> None:
    if progress is not None:
        progress(f"{what}{more}")


@dataclass(slots=True)
class _Taken:
    """A query's answer in digests: bucket by bucket the sum, and one of all rows in their order."""

    columns: tuple[ResultColumn, ...]
    rows: int = 0
    sums: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    order: bytes = b""

    @property
    def summary(self) -> Summary:
        return Summary(self.rows, f"{sum(self.sums) % _MODULUS:0{2 * SIZE}x}")


@dataclass(frozen=True, slots=True)
class _Pair:
    """What both sides answered."""

    way: Way
    source: _Taken
    copy: _Taken

    @property
    def compared(self) -> Compared:
        return Compared(self.way, self.source.summary, self.copy.summary)

    @property
    def differing(self) -> frozenset[int]:
        """The buckets whose rows differ."""
        both = enumerate(zip(self.source.sums, self.copy.sums, strict=True))
        return frozenset(number for number, (ours, theirs) in both if ours != theirs)


class _Refused(Exception):
    """A side did not answer; `source` and `copy` are what each said."""

    def __init__(self, source: Summary | str, copy: Summary | str) -> None:
        super().__init__()
        self.source = source
        self.copy = copy


@dataclass(frozen=True, slots=True)
class _Replay:
    source: Database
    copy: Database
    statement: Statement
    say: Callable[[str], None]

    def outcome(self) -> Outcome:
        try:
            pairs = self._pairs()
            recorded = self._recorded(pairs)
        except _Refused as refused:
            return self._failed(refused)
        plain = pairs[0]
        outcome = Outcome(
            self.statement,
            Verdict.IDENTICAL,
            tuple(pair.compared for pair in pairs),
            source_rows=plain.source.rows,
            copy_rows=plain.copy.rows,
            recorded_source=recorded[0],
            recorded_copy=recorded[1],
        )
        differing = next((pair for pair in pairs if not pair.compared.equal), None)
        if differing is not None:
            return self._differs(outcome, differing)
        if outcome.recorded_source is False and unrepeatable(self.statement) is None:
            return replace(outcome, verdict=Verdict.SOURCE_CHANGED, reason=self._since())
        if plain.source.order != plain.copy.order:
            return self._ordered(outcome, plain)
        return outcome

    def _pairs(self) -> list[_Pair]:
        """Both answers as text, and when these are equal but may be rounded, in the binary protocol too."""
        pairs = [self._ask(Way())]
        if pairs[0].compared.equal and any(column.rounded for column in pairs[0].source.columns):
            pairs.append(self._ask(Way(Protocol.BINARY)))
        return pairs

    def _recorded(self, pairs: list[_Pair]) -> tuple[bool | None, bool | None]:
        """Whether source and copy answer as it was recorded, in the character set that the client had."""
        recorded = self.statement.recorded
        if recorded is None:
            return None, None
        way = Way(Protocol.TEXT, self.statement.session.charset or CHARSET)
        if all(pair.way != way for pair in pairs):
            pairs.append(self._ask(way))
        compared = next(pair.compared for pair in pairs if pair.way == way)
        return compared.source.is_recorded(recorded), compared.copy.is_recorded(recorded)

    def _ask(self, way: Way) -> _Pair:
        """Both sides, whatever either says. Raises _Refused."""
        found = [self._take(database, name, way) for database, name in ((self.source, "source"), (self.copy, "copy"))]
        match found:
            case [_Taken() as ours, _Taken() as theirs]:
                return _Pair(way, ours, theirs)
        ours_said, theirs_said = (each.summary if isinstance(each, _Taken) else each for each in found)
        raise _Refused(ours_said, theirs_said)

    def _take(self, database: Database, name: str, way: Way) -> _Taken | str:
        """The answer in digests, or what the server said instead."""
        order = blake2b(digest_size=SIZE)
        try:
            with self._asked(database, way) as answer:
                taken = _Taken(answer.columns)
                for payload in answer:
                    digest = row_digest(payload)
                    order.update(digest)
                    number = bucket(digest)
                    taken.sums[number] = (taken.sums[number] + int.from_bytes(digest, "little")) % _MODULUS
                    taken.rows += 1
                    if taken.rows % _ROWS_BETWEEN == 0:
                        self.say(f": {taken.rows} rows of the {name}")
        except (StatementError, GrantError) as error:
            return str(error)
        taken.order = order.digest()
        return taken

    def _asked(self, database: Database, way: Way) -> AbstractContextManager[Answer]:
        return database.answer(unlocked(self.statement), self.statement.session, way.protocol, way.charset)

    def _failed(self, refused: _Refused) -> Outcome:
        ours, theirs = refused.source, refused.copy
        if isinstance(ours, Summary):
            return Outcome(self.statement, Verdict.FAILED_ON_COPY, reason=str(theirs), source_rows=ours.rows)
        if isinstance(theirs, Summary):
            return Outcome(self.statement, Verdict.FAILED_ON_SOURCE, reason=ours, copy_rows=theirs.rows)
        reason = ours if ours == theirs else f"source: {ours}; copy: {theirs}"
        return Outcome(self.statement, Verdict.FAILED_ON_BOTH, reason=reason)

    def _differs(self, outcome: Outcome, pair: _Pair) -> Outcome:
        reason = unrepeatable(self.statement)
        if reason is not None:
            as_recorded = "; the copy answers as it was recorded" if outcome.recorded_copy else ""
            return replace(outcome, verdict=Verdict.UNREPEATABLE, reason=reason + as_recorded)
        self.say(": looking for the rows that differ")
        ask_source, ask_copy = (partial(self._asked, database, pair.way) for database in (self.source, self.copy))
        only_source, only_copy = surplus(ask_source, ask_copy, pair.differing)
        changed = outcome.recorded_copy is True and outcome.recorded_source is False
        return replace(
            outcome,
            verdict=Verdict.SOURCE_CHANGED if changed else Verdict.DIFFERS,
            only_source=only_source,
            only_copy=only_copy,
            reason="; ".join(_remarks(outcome, pair)),
        )

    def _ordered(self, outcome: Outcome, plain: _Pair) -> Outcome:
        """The verdict on answers whose rows are the same, but come in another sequence."""
        statement = replace(self.statement, sql=unlocked(self.statement))
        columns, digest = len(plain.source.columns), plain.source.summary.digest
        try:
            judgement = judge(self.source, self.copy, statement, columns, digest)
        except (StatementError, GrantError):
            return replace(outcome, order=Order.UNJUDGED)
        if judgement.order is not Order.OTHER:
            return replace(outcome, order=judgement.order)
        return replace(
            outcome,
            verdict=Verdict.DIFFERS,
            order=Order.OTHER,
            only_source=Surplus(0, (judgement.source,)),
            only_copy=Surplus(0, (judgement.copy,)),
            reason=f"the same rows in another order, from row {judgement.place + 1} on",
        )

    def _since(self) -> str:
        recorded = self.statement.recorded
        return "" if recorded is None else f"recorded {recorded.rows} rows; the copy answers as the source does now"


def _remarks(outcome: Outcome, pair: _Pair) -> Iterator[str]:
    if pair.way.protocol is Protocol.BINARY:
        yield "floating-point values differ in digits that their text does not show"
    if outcome.recorded_source is False:
        if outcome.recorded_copy:
            yield "the copy answers as it was recorded"
        else:
            yield "the source has changed since the recording, and the copy does not answer as recorded either"
    elif outcome.recorded_source:
        yield "the source answers as it was recorded"
