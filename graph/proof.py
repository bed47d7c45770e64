"""The proof that a restored copy holds what a bundle promises: its row counts, and the answers to its queries."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from graph import quoting
from graph.bundle import Bundle
from graph.database import Database
from graph.documents import published_text
from graph.errors import InputError, StatementError
from graph.names import TableName
from graph.replay import Outcome, Progress, Verdict, replay
from graph.slice import PinCheck
from graph.statement import RecordedResult, Session, Statement, StatementClass


@dataclass(frozen=True, slots=True)
class Review:
    """What a bundle's review.json says, as far as the proof needs it.

    `statements` are the SELECTs that the copy must answer, each once, in the order of queries.sql; `left_out` counts
    the others by class; `excluded` has for each statement that excluded tables keep out these tables; `tables` maps
    each base table to its rows in the slice; `pins` compares pinned rows with the source as it was at the export;
    `limited` counts the statements that limits keep rows from, `masked` those that may look at masked columns.
    """

    paper: str
    server: str
    statements: tuple[Statement, ...]
    left_out: Mapping[StatementClass, int]
    unresolved: tuple[str, ...]
    tables: Mapping[TableName, int]
    excluded: tuple[tuple[TableName, ...], ...] = ()
    pins: tuple[PinCheck, ...] = ()
    limited: int = 0
    masked: int = 0


@dataclass(frozen=True, slots=True)
class Miscount:
    """A table that does not hold the slice's rows; `found` None: it is not there or cannot be read."""

    table: TableName
    expected: int
    found: int | None


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of a verification."""

    review: Review
    outcomes: tuple[Outcome, ...]
    miscounts: tuple[Miscount, ...]

    @property
    def identical(self) -> int:
        """How many queries gave the same on both."""
        return sum(outcome.verdict is Verdict.IDENTICAL for outcome in self.outcomes)

    @property
    def failures(self) -> list[Outcome]:
        """The queries that did not."""
        return [outcome for outcome in self.outcomes if outcome.verdict is not Verdict.IDENTICAL]

    @property
    def complete(self) -> bool:
        """Whether nothing differs, and nothing that was recorded is unresolved."""
        return not self.failures and not self.miscounts and not self.review.unresolved


def read_review(bundle: Bundle) -> Review:
    """Raises InputError for a review.json that cannot be understood."""
    try:
        document = json.loads((bundle.folder / "review.json").read_text("utf-8"))
        return _review(document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{bundle.folder}/review.json cannot be understood ({error}); export again") from error


def prove(source: Database, copy: Database, review: Review, progress: Progress | None = None) -> Proof:
    """Counts the tables of the copy, replays the queries on both. Raises ServerError when a connection breaks."""
    miscounts = tuple(_miscounts(copy, review.tables))
    outcomes = replay(source, copy, review.statements, progress)
    return Proof(review, tuple(_explained(outcome, review.pins) for outcome in outcomes), miscounts)


def _explained(outcome: Outcome, pins: Sequence[PinCheck]) -> Outcome:
    """The outcome in the light of what the export found: where the source gave other rows than the recorded ones by
    then, and no more differ than it counted, it is not the slice that differs."""
    checks = [check for check in pins if check.statement == outcome.statement.id and check.differs]
    if not checks or outcome.verdict not in (Verdict.DIFFERS, Verdict.UNREPEATABLE, Verdict.SOURCE_CHANGED):
        return outcome
    said = "; ".join(f"at the export {_parted(check)}" for check in checks)
    outcome = replace(outcome, reason="; ".join(part for part in (outcome.reason, said) if part))
    new, gone = sum(check.new or 0 for check in checks), sum(check.gone or 0 for check in checks)
    surplus = outcome.only_source.rows, outcome.only_copy.rows
    if any(surplus) and surplus[0] <= new and surplus[1] <= gone and outcome.recorded_source is not True:
        return replace(outcome, verdict=Verdict.SOURCE_CHANGED)
    return outcome


def _parted(check: PinCheck) -> str:
    if check.missing:
        return f"{check.missing} of the {check.pinned} rows of {check.table} that it had fetched were gone"
    return (
        f"{check.new or 0} more rows of {check.table} were in its result than the {check.pinned} recorded ones, and "
        f"{check.gone or 0} fewer of these; the slice has the recorded ones"
    )


def _review(document: Mapping[str, Any]) -> Review:
    included = {StatementClass(name) for name in document["included"]}
    found: dict[str, Statement] = {}
    left_out: Counter[StatementClass] = Counter()
    unresolved = []
    excluded = []
    limited = masked = 0
    for item in document["statements"]:
        kind = StatementClass(item["class"])
        if left := item.get("excluded"):
            excluded.append(tuple(TableName(*name) for name in left))
            continue
        if item.get("lost"):
            limited += 1
            continue
        if item.get("masked"):
            masked += 1
            continue
        if kind is StatementClass.UNRESOLVED:
            unresolved.append(item["reason"])
        if kind not in included:
            left_out[kind] += 1
            continue
        text = item["answers"] or item["sql"]
        key = json.dumps([published_text(text), item["session"]], sort_keys=True)
        # Of a query that was recorded more than once, the last answer counts; another text has other answers.
        answer = item.get("recorded") if text == item["sql"] else None
        recorded = RecordedResult(**answer) if answer else None
        first = found.setdefault(key, Statement(item["id"], text, Session(**item["session"])))
        found[key] = replace(first, recorded=recorded or first.recorded)
    tables = {
        TableName(table["schema"], table["name"]): int(table["rows"])
        for table in document["tables"]
        if not table["view"]
    }
    return Review(
        document["paper"],
        document["server"]["address"],
        tuple(found.values()),
        left_out,
        tuple(unresolved),
        tables,
        tuple(excluded),
        tuple(_pin_check(item) for item in document.get("pins", ())),
        limited,
        masked,
    )


def _pin_check(item: Mapping[str, Any]) -> PinCheck:
    table = TableName(item["schema"], item["name"])
    return PinCheck(item["statement"], table, item["pinned"], item["missing"], item["gone"], item["new"])


def _miscounts(copy: Database, tables: Mapping[TableName, int]) -> Iterator[Miscount]:
    for name, expected in tables.items():
        try:
            found = int(copy.value(f"SELECT COUNT(*) FROM {quoting.table(name)}"))
        except StatementError:
            yield Miscount(name, expected, None)
            continue
        if found != expected:
            yield Miscount(name, expected, found)
