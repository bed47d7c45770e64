"""What `export` and `verify` print: tables for people, one JSON document for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graph.documents import Judged, pin_document
from graph.export import Export
from graph.proof import Proof
from graph.replay import Outcome
from graph.slice import PinCheck
from graph.statement import StatementClass
from proxy.cli_show import FORMAT, page
from proxy.records import Lost

_LONGEST_TEXT = 300


def _shortened(text: str) -> str:
    line = " ".join(text.split())
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
        "unresolved": [_unresolved(judged) for judged in made.unresolved],
        "lost": [{"analysis": gap.analysis, "reason": gap.reason} for gap in lost],
        "pins": [pin_document(check) for check in made.slice.pins],
        "warnings": list(made.slice.warnings),
    }


def _unresolved(judged: Judged) -> dict[str, Any]:
    return {
        "id": judged.statement.id,
        "analysis": judged.analysis,
        "sql": judged.statement.sql or None,
        "reason": judged.reason,
    }


def pin_lines(pins: Sequence[PinCheck]) -> Iterator[str]:
    """Where recorded results and the source part, in words: what is missing first."""
    for check in pins:
        if check.missing:
            yield (
                f"MISSING: {check.missing} of {check.pinned} rows of {check.table} that statement {check.statement} "
                "fetched while recording are no longer in the source; the slice cannot have them"
            )
    for check in pins:
        if check.gone or check.new:
            yield (
                f"warning: statement {check.statement} would fetch other rows of {check.table} now ({check.new} that "
                f"it did not fetch, {check.gone} fewer of those it did); the slice has those of the recording"
            )


def print_export(made: Export, lost: list[Lost], *, dumped: bool) -> None:
    """The page of `export`."""
    console = page()
    _print_gaps(console, made.unresolved, lost)
    table = Table("table", box=None, pad_edge=False)
    table.add_column("rows", justify="right")
    table.add_column("of", justify="right")
    table.add_column("why")
    for name, sliced in made.slice.tables.items():
        why = "; ".join(dict.fromkeys(sliced.reasons)) or (
            "view" if sliced.table.view is not None else "structure only"
        )
        table.add_row(escape(str(name)), str(sliced.rows), str(sliced.total), escape(_shortened(why)))
    console.print(table)
    counts = ", ".join(f"{made.classes[kind]} {kind.value}" for kind in StatementClass if made.classes[kind])
    console.print(f"\n{made.slice.rows} rows for {counts}")
    folder = escape(str(made.bundle.folder))
    if dumped:
        console.print(f"the slice is in {folder}/publish, which may go out; the rest of {folder} stays in the lab")
    else:
        console.print(f"next: read {folder}/dump.sh, then run it; {folder}/publish may go out")


def _print_gaps(console: Console, unresolved: list[Judged], lost: list[Lost]) -> None:
    for gap in lost:
        console.print(f"LOST in analysis {escape(gap.analysis)}: {escape(gap.reason)}")
    for judged in unresolved:
        console.print(f"UNRESOLVED statement {judged.statement.id}: {escape(judged.reason)}")
        if judged.statement.sql:
            console.print(f"    {escape(_shortened(judged.statement.sql))}")
    if unresolved or lost:
        console.print("The slice may lack rows of these.\n")


def proof_document(proof: Proof) -> dict[str, Any]:
    """The document of `verify --json`."""
    return {
        "format": FORMAT,
        "paper": proof.review.paper,
        "queries": len(proof.outcomes),
        "identical": proof.identical,
        "failures": [_failure(outcome) for outcome in proof.failures],
        "reordered": [outcome.statement.id for outcome in proof.outcomes if outcome.reordered],
        "left_out": {kind.value: number for kind, number in proof.review.left_out.items()},
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
        "only_source": list(outcome.only_source),
        "only_copy": list(outcome.only_copy),
        "reason": outcome.reason,
    }


def print_proof(proof: Proof) -> None:
    """The page of `verify`."""
    console = page()
    for miscount in proof.miscounts:
        found = "is not there" if miscount.found is None else f"holds {miscount.found} rows"
        console.print(f"TABLE {escape(str(miscount.table))} {found}, the slice {miscount.expected}")
    for outcome in proof.failures:
        console.print(f"{outcome.verdict.value.upper()}: statement {outcome.statement.id} {escape(outcome.reason)}")
        console.print(f"    {escape(_shortened(outcome.statement.sql))}")
        console.print(f"    rows: source {outcome.source_rows}, copy {outcome.copy_rows}")
        for label, rows in (("source", outcome.only_source), ("copy", outcome.only_copy)):
            for row in rows:
                console.print(f"    only in {label}: {escape(row)}")
    for reason in proof.review.unresolved:
        console.print(f"UNRESOLVED: {escape(reason)}")
    left_out = ", ".join(f"{number} {kind.value}" for kind, number in sorted(proof.review.left_out.items()))
    console.print(
        f"{proof.identical} of {len(proof.outcomes)} queries identical on source and copy"
        + (f"; left out: {left_out}" if left_out else "")
    )
    tables = len(proof.review.tables)
    console.print(f"{tables - len(proof.miscounts)} of {tables} tables hold the slice's rows")
