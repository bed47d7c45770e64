"""What `list` and `show` print: tables for people, one JSON document for programs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from graph.exclusion import matches
from graph.names import TableName
from graph.statement import StatementClass
from graph.visible import flat
from proxy.page import Column, Page, Styled
from proxy.records import AnalysisSummary, Lost, PaperSummary, Recorded, Result, TableReaders, TableUse
from proxy.store import Store

#: Version of the JSON documents.
FORMAT = 1
_LONGEST_TEXT = 2000


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


def print_papers(papers: list[PaperSummary]) -> None:
    """The page of `list`."""
    page = Page()
    if not papers:
        page.print("nothing is recorded yet: djproxy record --paper NAME -- COMMAND")
        return
    columns = [Column(title) for title in ("paper", "analysis", "server", "begun")]
    columns += [Column(each.value, "right") for each in StatementClass]
    page.table(
        [*columns, Column("lost", "right")],
        [
            [
                *(paper.name, analysis.name, analysis.server, moment(analysis.created)),
                *(str(analysis.classes.get(each, 0)) for each in StatementClass),
                str(analysis.lost),
            ]
            for paper in papers
            for analysis in paper.analyses
        ],
    )


def _print_trouble(page: Page, shown: Shown) -> None:
    for gap in shown.lost:
        page.print(Styled("LOST", "bold red"), f" analysis {gap.analysis}, {moment(gap.time)}: {flat(gap.reason)}")
    if not shown.unresolved:
        return
    number = Styled(f"{len(shown.unresolved)} unresolved", "bold red")
    page.print(number, " (what they read is not in the slice):")
    for statement in shown.unresolved:
        text = described(statement)
        cut = f" … ({len(text)} characters)" if len(text) > _LONGEST_TEXT else ""
        page.print("  ", Styled(str(statement.statement.id), "bold"), f"  {flat(statement.reason)}")
        page.print(f"      {flat(text[:_LONGEST_TEXT])}{cut}")
    page.print()


def _print_results(page: Page, results: list[Result]) -> None:
    """How many results were looked into, and why of some nothing was kept."""
    if not results:
        return
    pinned = sum(result.pinned for result in results)
    digested = sum(result.seen.digest is not None for result in results)
    page.print(f"results: {pinned} with the keys of their rows, {digested} with a digest")
    for why, number in Counter(result.broken or result.dropped for result in results).items():
        if why:
            page.print(f"  {number} not: {flat(why)}")


def _print_policies(page: Page, shown: Shown) -> None:
    for each in shown.whole:
        name, number = _name(each.table), _statements(each.whole, "fetch", "fetches")
        page.print(Styled("whole table", "bold yellow"), f" {name}: {number} it without a restriction")
    for each in shown.excluded:
        name, number = _name(each.table), _statements(each.statements, "read", "reads")
        page.print(Styled("excluded", "bold"), f" {name}: {number} it and would not be in the slice")
    if shown.whole or shown.excluded:
        page.print()


def _name(table: TableName) -> str:
    return str(table) if table.schema else table.name


def _statements(number: int, many: str, one: str) -> str:
    return f"1 statement {one}" if number == 1 else f"{number} statements {many}"


def print_paper(shown: Shown) -> None:
    """The page of `show`: trouble first."""
    page = Page()
    _print_trouble(page, shown)
    _print_policies(page, shown)
    counts = ", ".join(f"{shown.classes[each]} {each.value}" for each in StatementClass)
    names = ", ".join(f"{each.name} ({each.server})" for each in shown.paper.analyses)
    page.print(f"paper {shown.paper.name}, analyses: {names}")
    page.print(f"statements: {counts}")
    _print_results(page, [each.result for each in shown.results if each.result is not None])
    # Clients ask the server's own tables at every turn; the JSON document has these, too.
    uses = [use for use in shown.tables if use.statement_class is not StatementClass.NOT_DATA]
    if not uses:
        return
    page.print()
    rows = []
    previous = ""
    for use in uses:
        name = _name(use.table)
        rows.append(
            [
                "" if name == previous else name,
                use.role,
                use.statement_class.value,
                str(use.statements),
                flat(use.restriction[:_LONGEST_TEXT]) or "(no WHERE)",
            ]
        )
        previous = name
    columns = [Column("table"), Column("role"), Column("class"), Column("statements", "right")]
    page.table([*columns, Column("restriction as recorded", folds=True)], rows)
