"""What `list` and `show` print: tables for people, one JSON document for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graph.exclusion import matches
from graph.names import TableName
from graph.statement import StatementClass
from proxy.records import AnalysisSummary, Lost, PaperSummary, Recorded, Result, TableReaders, TableUse
from proxy.store import Store

#: Version of the JSON documents.
FORMAT = 1
_LONGEST_TEXT = 2000
#: Columns of a page that is no terminal: lines there are not broken to fit.
_WIDE = 200


@dataclass(frozen=True, slots=True)
class Shown:
    """What `show` shows of a paper."""

    paper: PaperSummary
    analysis: str | None
    unresolved: list[Recorded]
    lost: list[Lost]
    tables: list[TableUse]
    results: list[Recorded]
    readers: list[TableReaders] = field(default_factory=list)
    exclude: tuple[TableName, ...] = ()

    @property
    def whole(self) -> list[TableReaders]:
        """The tables that statements take whole."""
        return [each for each in self.readers if each.whole]

    @property
    def excluded(self) -> list[TableReaders]:
        """The tables that an export with these exclusions leaves out, and the statements that read them."""
        return [each for each in self.readers if matches(each.table, self.exclude)]

    @property
    def classes(self) -> Counter[StatementClass]:
        """Statements by class, over the analyses."""
        return sum((Counter(dict(analysis.classes)) for analysis in self.paper.analyses), Counter())


def gather(store: Store, paper: str, analysis: str | None, exclude: tuple[TableName, ...] = ()) -> Shown:
    """Raises InputError for an unknown paper or analysis."""
    return Shown(
        paper=store.paper(paper, analysis),
        analysis=analysis,
        unresolved=store.load(paper, analysis, [StatementClass.UNRESOLVED]),
        lost=store.lost(paper, analysis),
        tables=store.tables(paper, analysis),
        results=store.load(paper, analysis, results=True),
        readers=store.readers(paper, analysis),
        exclude=exclude,
    )


def moment(nanoseconds: int) -> str:
    """A time, in UTC."""
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def described(statement: Recorded) -> str:
    """The text of a statement, or what is known of one whose text was not kept."""
    return statement.statement.sql or " ".join(
        filter(None, (statement.verb, statement.table, f"({statement.length} bytes, text not kept)"))
    )


# -- JSON


def _analysis_document(analysis: AnalysisSummary) -> dict[str, Any]:
    return {
        "analysis": analysis.name,
        "server": analysis.server,
        "created": moment(analysis.created),
        "last": None if analysis.last is None else moment(analysis.last),
        "statements": analysis.statements,
        "classes": {each.value: analysis.classes.get(each, 0) for each in StatementClass},
        "lost": analysis.lost,
    }


def papers_document(papers: list[PaperSummary]) -> dict[str, Any]:
    """The document of `list --json`."""
    return {
        "format": FORMAT,
        "papers": [
            {"paper": paper.name, "analyses": [_analysis_document(each) for each in paper.analyses]} for paper in papers
        ],
    }


def paper_document(shown: Shown) -> dict[str, Any]:
    """The document of `show --json`."""
    return {
        "format": FORMAT,
        "paper": shown.paper.name,
        "analyses": [_analysis_document(each) for each in shown.paper.analyses],
        "classes": {each.value: shown.classes[each] for each in StatementClass},
        "unresolved": [
            {
                "id": each.statement.id,
                "analysis": each.analysis,
                "time": moment(each.time),
                "sql": each.statement.sql or None,
                "verb": each.verb,
                "length": each.length,
                "reason": each.reason,
            }
            for each in shown.unresolved
        ],
        "lost": [{"analysis": each.analysis, "time": moment(each.time), "reason": each.reason} for each in shown.lost],
        "whole": [
            {"schema": each.table.schema, "table": each.table.name, "statements": each.whole} for each in shown.whole
        ],
        "excluded": [
            {"schema": each.table.schema, "table": each.table.name, "statements": each.statements}
            for each in shown.excluded
        ],
        "tables": [
            {
                "schema": use.table.schema,
                "table": use.table.name,
                "role": use.role,
                "restriction": use.restriction,
                "class": use.statement_class.value,
                "statements": use.statements,
            }
            for use in shown.tables
        ],
        "results": [_result_document(each, each.result) for each in shown.results if each.result is not None],
    }


def _result_document(statement: Recorded, result: Result) -> dict[str, Any]:
    return {
        "id": statement.statement.id,
        "analysis": statement.analysis,
        "sql": statement.statement.sql,
        "class": statement.statement_class.value,
        **asdict(result.seen),
        "pinned": result.pinned,
        "dropped": result.dropped,
        "broken": result.broken,
    }


# -- for people


def page() -> Console:
    """Where tables for people go; lines are not broken to fit a page that is no terminal."""
    console = Console(highlight=False, emoji=False)
    return console if console.is_terminal else Console(highlight=False, emoji=False, width=_WIDE)


def print_papers(papers: list[PaperSummary]) -> None:
    """The page of `list`."""
    console = page()
    if not papers:
        console.print("nothing is recorded yet: djproxy record --paper NAME -- COMMAND")
        return
    table = Table("paper", "analysis", "server", "begun", box=None, pad_edge=False)
    for name in StatementClass:
        table.add_column(name.value, justify="right")
    table.add_column("lost", justify="right")
    for paper in papers:
        for analysis in paper.analyses:
            counts = (str(analysis.classes.get(each, 0)) for each in StatementClass)
            table.add_row(
                escape(paper.name),
                escape(analysis.name),
                escape(analysis.server),
                moment(analysis.created),
                *counts,
                str(analysis.lost),
            )
    console.print(table)


def _print_trouble(console: Console, shown: Shown) -> None:
    for gap in shown.lost:
        console.print(
            f"[bold red]LOST[/] analysis {escape(gap.analysis)}, {moment(gap.time)}: {escape(printable(gap.reason))}"
        )
    if not shown.unresolved:
        return
    console.print(f"[bold red]{len(shown.unresolved)} unresolved[/] (what they read is not in the slice):")
    for statement in shown.unresolved:
        text = described(statement)
        cut = f" … ({len(text)} characters)" if len(text) > _LONGEST_TEXT else ""
        console.print(f"  [bold]{statement.statement.id}[/]  {escape(printable(statement.reason))}", soft_wrap=True)
        console.print(f"      {escape(printable(text[:_LONGEST_TEXT]))}{cut}", soft_wrap=True)
    console.print()


def _print_results(console: Console, results: list[Result]) -> None:
    """How many results were looked into, and why of some nothing was kept."""
    if not results:
        return
    pinned = sum(result.pinned for result in results)
    digested = sum(result.seen.digest is not None for result in results)
    console.print(f"results: {pinned} with the keys of their rows, {digested} with a digest")
    for why, number in Counter(result.broken or result.dropped for result in results).items():
        if why:
            console.print(f"  {number} not: {escape(printable(why))}", soft_wrap=True)


def _print_policies(console: Console, shown: Shown) -> None:
    for each in shown.whole:
        name, number = escape(printable(_name(each.table))), _statements(each.whole, "fetch", "fetches")
        console.print(f"[bold yellow]whole table[/] {name}: {number} it without a restriction", soft_wrap=True)
    for each in shown.excluded:
        name, number = escape(printable(_name(each.table))), _statements(each.statements, "read", "reads")
        console.print(f"[bold]excluded[/] {name}: {number} it and would not be in the slice", soft_wrap=True)
    if shown.whole or shown.excluded:
        console.print()


def _name(table: TableName) -> str:
    return str(table) if table.schema else table.name


def _statements(number: int, many: str, one: str) -> str:
    return f"1 statement {one}" if number == 1 else f"{number} statements {many}"


def printable(text: str) -> str:
    """The text on one line, and nothing in it that a terminal would obey."""
    return "".join(each if each.isprintable() else " " if each.isspace() else repr(each)[1:-1] for each in text)


def print_paper(shown: Shown) -> None:
    """The page of `show`: trouble first."""
    console = page()
    _print_trouble(console, shown)
    _print_policies(console, shown)
    counts = ", ".join(f"{shown.classes[each]} {each.value}" for each in StatementClass)
    names = ", ".join(f"{each.name} ({each.server})" for each in shown.paper.analyses)
    console.print(f"paper {escape(shown.paper.name)}, analyses: {escape(names)}", soft_wrap=True)
    console.print(f"statements: {counts}", soft_wrap=True)
    _print_results(console, [each.result for each in shown.results if each.result is not None])
    # Clients ask the server's own tables at every turn; the JSON document has these, too.
    uses = [use for use in shown.tables if use.statement_class is not StatementClass.NOT_DATA]
    if not uses:
        return
    console.print()
    table = Table("table", "role", "class", box=None, pad_edge=False)
    table.add_column("statements", justify="right")
    table.add_column("restriction as recorded", overflow="fold")
    previous = ""
    for use in uses:
        name = _name(use.table)
        table.add_row(
            "" if name == previous else escape(printable(name)),
            use.role,
            use.statement_class.value,
            str(use.statements),
            escape(printable(use.restriction[:_LONGEST_TEXT])) or "(no WHERE)",
        )
        previous = name
    console.print(table)
