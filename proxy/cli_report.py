"""What `export` and `verify` print: tables for people, one JSON document for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graph.documents import Judged, dangling_document, limited, lost_document, pin_document
from graph.export import Export
from graph.left_out import LeftOut
from graph.names import TableName
from graph.order import Order
from graph.proof import Proof
from graph.replay import Outcome, Verdict
from graph.slice import Slice, TableSlice
from graph.statement import StatementClass
from graph.visible import flat
from graph.words import counted
from proxy.cli_show import FORMAT
from proxy.page import Column, Page
from proxy.records import Lost

_LONGEST_TEXT = 300


def _shortened(text: str) -> str:
    line = flat(text)
    return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"


def export_document(made: Export, paper: str, lost: list[Lost], *, dumped: bool) -> dict[str, Any]:
    """The document of `export --json`."""
    return {
        "format": FORMAT,
        "paper": paper,
        "bundle": str(made.bundle.folder),
        "dumped": dumped,
        "rows": made.slice.rows,
        "tables": [
            {
                "schema": name.schema,
                "name": name.name,
                "view": sliced.table.view is not None,
                "rows": sliced.rows,
                "total": sliced.total,
                "whole": sliced.whole,
                "reasons": list(sliced.reasons),
            }
            for name, sliced in made.slice.tables.items()
        ],
        "classes": {kind.value: made.classes[kind] for kind in StatementClass},
        "left_out": [each.document() for each in made.left_out],
        "excluded": _excluded_document(made.excluded),
        "limited": limited_document(made.statements),
        "masked": masked_document(made.statements),
        "dangling": [dangling_document(each) for each in made.slice.dangling],
        "unresolved": [unresolved_document(judged) for judged in made.unresolved],
        "lost": [{"analysis": gap.analysis, "reason": gap.reason} for gap in lost],
        "pins": [pin_document(check) for check in made.slice.pins],
        "changes": [asdict(change) for change in made.slice.changes],
        "files": made.files.document(),
        "warnings": list(made.slice.warnings),
    }


#: What people call what a class leaves out, and the word for it that `--include` takes.
_LEFT_OUT = {StatementClass.PREVIEW: ("display", "previews"), StatementClass.CHECK: ("count", "checks")}


def left_out_lines(found: Iterable[LeftOut]) -> Iterator[str]:
    """What is left out by class, and what that would add, in words."""
    for each in found:
        word, option = _LEFT_OUT[each.kind]
        statements = counted(each.statements, word)
        if each.rows is None:
            adds = f"the rows that --include {option} would add are not known: {each.reason}"
        elif not each.rows:
            adds = f"--include {option} would add {'few rows or none' if each.more else 'no row'}"
        else:
            adds = f"--include {option} would add {'at least ' if each.more else ''}{counted(each.rows)}"
            if each.kind is StatementClass.CHECK:
                adds = f"on the copy they may give other numbers; {adds}"
        yield f"left out: {statements} of DataJoint's own ({adds})"


def counted_of(sliced: TableSlice) -> str:
    """How many rows a table has, as far as they were counted."""
    return "" if sliced.total is None else str(sliced.total)


def limited_document(statements: Iterable[Judged]) -> list[dict[str, Any]]:
    """The statements that lose rows to limits, as documents have them."""
    return [{"id": judged.statement.id, "lost": lost_document(judged)} for judged in limited(statements)]


def limited_lines(statements: Iterable[Judged]) -> Iterator[str]:
    """The statements that lose rows to limits, in words."""
    for judged in limited(statements):
        lost = ", ".join(f"{counted(rows)} of {name}" for name, rows in judged.lost)
        yield f"limited: statement {judged.statement.id} loses {lost}; the slice does not answer it"


def masked_document(statements: Iterable[Judged]) -> list[dict[str, Any]]:
    """The statements that may look at masked columns, as documents have them."""
    return [{"id": judged.statement.id, "columns": list(judged.masked)} for judged in _masked(statements)]


def masked_lines(slice_: Slice, statements: Iterable[Judged]) -> Iterator[str]:
    """What is masked, and the statements that may look at it, in words."""
    for name, sliced in slice_.tables.items():
        for column, mask in sliced.masks.items():
            yield f"masked: {name}.{column} ({mask.kind.value})"
    for judged in _masked(statements):
        columns = ", ".join(judged.masked)
        yield f"masked: statement {judged.statement.id} may look at {columns}; the slice does not answer it"


def _masked(statements: Iterable[Judged]) -> list[Judged]:
    """One for each text."""
    found = {(judged.statement.sql, judged.statement.session.schema): judged for judged in statements if judged.masked}
    return list(found.values())


def dangling_lines(slice_: Slice) -> Iterator[str]:
    """What refers to rows that the slice does not have, in words."""
    for each in slice_.dangling:
        key = each.foreign_key
        name = key.name if key.declared else "which the plan declares"
        yield (
            f"dangling: {counted(each.rows)} of {key.child} ({', '.join(key.child_columns)}) in the slice refer"
            f" to rows of {key.parent} that it does not have (foreign key {name}): {each.reason}"
        )


def unresolved_document(judged: Judged) -> dict[str, Any]:
    """An unresolved statement, as documents have it."""
    return {
        "id": judged.statement.id,
        "analysis": judged.analysis,
        "sql": judged.statement.sql or None,
        "reason": judged.reason,
    }


def change_lines(slice_: Slice) -> Iterator[str]:
    """Where recorded results and the source part, in words: what is missing first."""
    for check in slice_.pins:
        if check.missing:
            yield (
                f"MISSING: {check.missing} of {counted(check.pinned)} of {check.table} that statement "
                f"{check.statement} fetched while recording are no longer in the source; the slice cannot have them"
            )
    for change in slice_.changes:
        if change.recorded == change.now:
            parted = f"{counted(change.recorded)}, not with the same values"
        else:
            parted = f"{counted(change.recorded)} then, {change.now} now"
        has = "its rows of the recording, with their values of now" if change.pinned else "what it fetches now"
        yield (
            f"CHANGED: the result of statement {change.statement} is not what it was while recording ({parted}); "
            f"the slice has {has}"
        )
    for check in slice_.pins:
        if check.gone or check.new:
            yield (
                f"warning: statement {check.statement} would fetch other rows of {check.table} now ({check.new} that "
                f"it did not fetch, {check.gone} fewer of those it did); the slice has those of the recording"
            )


def print_export(made: Export, lost: list[Lost], *, dumped: bool) -> None:
    """The page of `export`."""
    page = Page()
    print_gaps(page, made.unresolved, lost)
    rows = []
    for name, sliced in made.slice.tables.items():
        why = "; ".join(dict.fromkeys(sliced.reasons)) or (
            "view" if sliced.table.view is not None else "structure only"
        )
        rows.append([str(name), str(sliced.rows), counted_of(sliced), _shortened(why)])
    page.table([Column("table"), Column("rows", "right"), Column("of", "right"), Column("why")], rows)
    counts = ", ".join(f"{made.classes[kind]} {kind.value}" for kind in StatementClass if made.classes[kind])
    excluded = sum(bool(judged.excluded) for judged in made.statements)
    kept_out = {
        "excluded": excluded,
        "limited": sum(bool(judged.lost) for judged in made.statements),
        "masked": sum(bool(judged.masked) for judged in made.statements),
    }
    page.print()
    page.print(
        f"{made.slice.rows} rows for {counts}"
        + "".join(f"; {number} of these {word}" for word, number in kept_out.items() if number)
    )
    folder = str(made.bundle.folder)
    if made.files.number:
        named = counted(made.files.number, "file")
        page.print(f"rows name {named} outside the database, see {folder}/publish/files.tsv")
    if dumped:
        page.print(f"the slice is in {folder}/publish, which may go out; the rest of {folder} stays in the lab")
    else:
        page.print(f"next: read {folder}/dump.sh, then run it; {folder}/publish may go out")


def print_gaps(page: Page, unresolved: list[Judged], lost: list[Lost]) -> None:
    """What the slice may lack, on top."""
    for gap in lost:
        page.print(f"LOST in analysis {gap.analysis}: {flat(gap.reason)}")
    for judged in unresolved:
        page.print(f"UNRESOLVED statement {judged.statement.id}: {flat(judged.reason)}")
        if judged.statement.sql:
            page.print(f"    {_shortened(judged.statement.sql)}")
    if unresolved or lost:
        page.print("The slice may lack rows of these.")
        page.print()


def proof_document(proof: Proof, file: Path) -> dict[str, Any]:
    """The document of `verify --json`; `file` is where the proof goes."""
    return {
        "format": FORMAT,
        "paper": proof.review.paper,
        "verification": str(file),
        "queries": len(proof.outcomes),
        "identical": proof.identical,
        "failures": [_failure(outcome) for outcome in proof.failures],
        "reordered": [outcome.statement.id for outcome in proof.outcomes if _reordered(outcome)],
        "verdicts": {verdict.value: number for verdict, number in _verdicts(proof).items()},
        "left_out": {kind.value: number for kind, number in proof.review.left_out.items()},
        "excluded": _excluded_document(_excluded(proof)),
        "limited": proof.review.limited,
        "masked": proof.review.masked,
        "unresolved": list(proof.review.unresolved),
        "tables": len(proof.review.tables),
        "miscounts": [
            {"schema": m.table.schema, "name": m.table.name, "expected": m.expected, "found": m.found}
            for m in proof.miscounts
        ],
    }


def _failure(outcome: Outcome) -> dict[str, Any]:
    return {
        "id": outcome.statement.id,
        "verdict": outcome.verdict.value,
        "sql": outcome.statement.sql,
        "source_rows": outcome.source_rows,
        "copy_rows": outcome.copy_rows,
        "only_source": list(outcome.only_source.first),
        "only_copy": list(outcome.only_copy.first),
        "only_source_rows": outcome.only_source.rows,
        "only_copy_rows": outcome.only_copy.rows,
        "order": outcome.order.value,
        "source_as_recorded": outcome.recorded_source,
        "copy_as_recorded": outcome.recorded_copy,
        "reason": outcome.reason,
    }


def _verdicts(proof: Proof) -> Counter[Verdict]:
    return Counter(outcome.verdict for outcome in proof.outcomes)


def _reordered(outcome: Outcome) -> bool:
    """Whether equal rows came in another order where the query has an ORDER BY."""
    return outcome.order in (Order.TIES, Order.UNJUDGED, Order.OTHER)


def _excluded(proof: Proof) -> Counter[TableName]:
    return Counter(name for names in proof.review.excluded for name in names)


def _excluded_document(counts: Counter[TableName]) -> list[dict[str, Any]]:
    return [{"schema": name.schema, "name": name.name, "statements": number} for name, number in sorted(counts.items())]


def print_proof(proof: Proof) -> None:
    """The page of `verify`."""
    page = Page()
    for miscount in proof.miscounts:
        found = "is not there" if miscount.found is None else f"holds {miscount.found} rows"
        page.print(f"TABLE {miscount.table} {found}, the slice {miscount.expected}")
    for outcome in proof.failures:
        _print_failure(page, outcome)
    for reason in proof.review.unresolved:
        page.print(f"UNRESOLVED: {flat(reason)}")
    left_out = [f"{number} {kind.value}" for kind, number in sorted(proof.review.left_out.items())]
    if proof.review.excluded:
        left_out.append(f"{len(proof.review.excluded)} excluded")
    if proof.review.limited:
        left_out.append(f"{proof.review.limited} limited")
    if proof.review.masked:
        left_out.append(f"{proof.review.masked} masked")
    others = [
        f"{number} {verdict.value}" for verdict, number in _verdicts(proof).items() if verdict is not Verdict.IDENTICAL
    ]
    page.print(
        f"{proof.identical} of {len(proof.outcomes)} queries identical on source and copy"
        + "".join(f", {each}" for each in others)
        + (f"; left out: {', '.join(left_out)}" if left_out else "")
    )
    for name, number in sorted(_excluded(proof).items()):
        page.print(f"excluded table {name}: {counted(number, 'statement')} not asked")
    known = [outcome for outcome in proof.outcomes if outcome.recorded_source is not None]
    if known:
        same = sum(outcome.recorded_source is True for outcome in known)
        page.print(f"{same} of {len(known)} queries whose recording has a digest answer on the source as recorded")
    reordered = [str(outcome.statement.id) for outcome in proof.outcomes if _reordered(outcome)]
    if reordered:
        page.print(f"in another order where ORDER BY leaves it open or could not be judged: {', '.join(reordered)}")
    tables = len(proof.review.tables)
    page.print(f"{tables - len(proof.miscounts)} of {tables} tables hold the slice's rows")


def _print_failure(page: Page, outcome: Outcome) -> None:
    reason = f": {flat(outcome.reason)}" if outcome.reason else ""
    page.print(f"{outcome.verdict.value.upper()}, statement {outcome.statement.id}{reason}")
    page.print(f"    {_shortened(outcome.statement.sql)}")
    rows = {"source": outcome.source_rows, "copy": outcome.copy_rows}
    counts = [f"{name} {number}" for name, number in rows.items() if number is not None]
    if outcome.statement.recorded is not None:
        counts.append(f"recorded {outcome.statement.recorded.rows}")
    if counts:
        page.print(f"    rows: {', '.join(counts)}")
    if outcome.order is Order.OTHER:
        for name, surplus in (("source", outcome.only_source), ("copy", outcome.only_copy)):
            page.print(f"    there in {name}: {''.join(surplus.first)}")
        return
    for name, surplus in (("source", outcome.only_source), ("copy", outcome.only_copy)):
        if surplus.rows:
            first = " (the first of them)" if surplus.rows > len(surplus.first) else ""
            page.print(f"    only in {name}: {counted(surplus.rows)}{first}")
        for row in surplus.first:
            page.print(f"        {row}")
