"""What `export --plan` prints."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from graph.documents import Judged, dangling_document
from graph.hints import Hint
from graph.paths import written
from graph.plan import Plan
from graph.plan_file import part_text
from graph.statement import StatementClass
from proxy.cli_report import counted_of, limited_document, masked_document, print_gaps, unresolved_document
from proxy.cli_show import FORMAT
from proxy.page import Column, Page
from proxy.records import Lost

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def plan_document(plan: Plan, paper: str, lost: list[Lost]) -> dict[str, Any]:
    """The document of `export --plan --json`."""
    made = plan.computed
    return {
        "format": FORMAT,
        "paper": paper,
        "rows": plan.slice.rows,
        "bytes": plan.size,
        "tables": [
            {
                "schema": name.schema,
                "name": name.name,
                "view": sliced.table.view is not None,
                "rows": sliced.rows,
                "total": sliced.total,
                "whole": sliced.whole,
                "bytes": plan.sizes.get(name, 0),
                "path": [asdict(step) for step in plan.paths.get(name, ())],
                "reasons": list(sliced.reasons),
            }
            for name, sliced in plan.slice.tables.items()
        ],
        "unrestricted": [
            {"schema": name.schema, "name": name.name, "statement": number}
            for name, number in made.unrestricted.items()
        ],
        "missing": [{"schema": name.schema, "name": name.name, "message": text} for name, text in made.missing.items()],
        "hints": [asdict(hint) for hint in plan.hints],
        "other_parts": [asdict(other) for other in plan.other_parts],
        "left_out": [each.document() for each in made.left_out],
        "limited": limited_document(made.statements),
        "masked": masked_document(made.statements),
        "dangling": [dangling_document(each) for each in plan.slice.dangling],
        "unresolved": [unresolved_document(judged) for judged in unresolved(plan)],
        "lost": [{"analysis": gap.analysis, "reason": gap.reason} for gap in lost],
        "warnings": list(plan.slice.warnings),
    }


def unresolved(plan: Plan) -> list[Judged]:
    """The statements of which rows may be missing."""
    return [
        judged
        for judged in plan.computed.statements
        if judged.kind is StatementClass.UNRESOLVED and not judged.excluded
    ]


def print_plan(plan: Plan, lost: list[Lost]) -> None:
    """The page of `export --plan`."""
    page = Page()
    print_gaps(page, unresolved(plan), lost)
    _print_tables(page, plan)
    about = f", about {human(plan.size)}" if plan.slice.rows else ""
    page.print()
    page.print(f"{plan.slice.rows} rows{about} as SQL; nothing was written")
    for text in plan.computed.missing.values():
        page.print(f"MISSING RIGHT: {text}")
    if plan.computed.missing:
        page.print("The numbers above are without what these tables bring.")
    for hint in plan.hints:
        page.print(f"perhaps a foreign key: {hint_text(hint)}")
    for other in plan.other_parts:
        what_to_do = "name it under with_parts in a plan to include it"
        page.print(f"not included: {part_text(other)}; {what_to_do}")


def _print_tables(page: Page, plan: Plan) -> None:
    rows = []
    for name, sliced in plan.slice.tables.items():
        if sliced.table.view is not None:
            rows.append([str(name), "", "", "", "view"])
            continue
        path = plan.paths.get(name, ())
        asked = "asked for" if sliced.rows else "structure only"
        size = human(plan.sizes[name]) if sliced.rows else ""
        how = written(path) or (f"all rows {asked}" if sliced.rows and sliced.whole else asked)
        rows.append([str(name), str(sliced.rows), counted_of(sliced), size, how])
    numbers = [Column(name, "right") for name in ("rows", "of", "size")]
    page.table([Column("table"), *numbers, Column("by", folds=True)], rows)


def hint_text(hint: Hint) -> str:
    """A foreign key that may be missing, for people."""
    joined = "1 statement joins" if hint.statements == 1 else f"{hint.statements} statements join"
    return (
        f"{hint.child} ({', '.join(hint.child_columns)}) → {hint.parent} ({', '.join(hint.parent_columns)}), "
        f"which is not declared; {joined} by it, the first is statement {hint.first}"
    )


def human(size: int) -> str:
    """A number of bytes for people."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{size} bytes" if unit == 0 else f"{value:.1f} {_UNITS[unit]}"
