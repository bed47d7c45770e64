"""The store: papers, analyses, statements and the tables they name, in a SQLite file that several processes share."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, insert, select, text  # noqa: TID251

from graph.leaves import UNRESTRICTED, Occurrence, Reading
from graph.names import TableName
from graph.statement import Pinned, RecordedResult, Session, Statement, StatementClass
from proxy.errors import InputError, StoreError
from proxy.events import KeyColumn
from proxy.pins import Useless, unpack
from proxy.records import (
    AnalysisSummary,
    Lost,
    NewLost,
    NewResult,
    NewStatement,
    PaperSummary,
    Recorded,
    Result,
    TableReaders,
    TableUse,
)
from proxy.store_file import StoreFile
from proxy.store_rows import Key, StatementWriter, add_results, analysis_id, remove, stored_session
from proxy.tables import (
    Analysis,
    Journal,
    KeySet,
    LostRow,
    OccurrenceRow,
    Paper,
    ReadingRow,
    ResultRow,
    SessionContext,
    StatementRow,
    Text,
)


class Store(StoreFile):
    """An open store."""

    def __init__(self, path: Path) -> None:
        """Open or make the store. Raises StoreError for a file that is damaged, of a newer version or not ours."""
        super().__init__(path)
        self._writer = StatementWriter()

    # -- recording

    def add_analysis(self, paper: str, analysis: str, server: str, created: int) -> None:
        """Make sure that the analysis exists; one that does keeps its server and its time."""
        with self.writing() as connection:
            analysis_id(connection, paper, analysis, server, created)

    def server_of(self, paper: str, analysis: str) -> str | None:
        """The server that an analysis was recorded from; None when there is no such analysis."""
        query = select(Analysis.server).join(Paper).where(Paper.name == paper, Analysis.name == analysis)
        with self.reading() as connection:
            return connection.scalar(query)

    def offset(self, journal: str) -> int | None:
        """How far a journal was taken, in bytes; None when nothing was."""
        with self.reading() as connection:
            return connection.scalar(select(Journal.offset).where(Journal.name == journal))

    def find_readings(self, keys: Collection[Key]) -> dict[Key, Reading]:
        """What is known of texts under contexts, by `reading_key`."""
        query = (
            select(Text.digest, SessionContext.digest.label("context"), ReadingRow)
            .join(ReadingRow, ReadingRow.text_id == Text.id)
            .join(SessionContext, ReadingRow.session_id == SessionContext.id)
            .where(Text.digest.in_([text_digest for text_digest, _ in keys]))
        )
        with self.reading() as connection:
            rows = {(row.digest, row.context): row for row in connection.execute(query)}
            wanted = {row.id: key for key, row in rows.items() if key in keys}
            occurrences: dict[int, list[Occurrence]] = {number: [] for number in wanted}
            found = select(OccurrenceRow).where(OccurrenceRow.reading_id.in_(list(wanted))).order_by(OccurrenceRow.id)
            for each in connection.execute(found):
                table = TableName(each.schema_name, each.table_name)
                occurrences[each.reading_id].append(Occurrence(table, each.restriction, each.role))
        return {key: _known_reading(rows[key], occurrences[number]) for number, key in wanted.items()}

    def add(
        self,
        journal: str,
        analysis: tuple[str, str, str, int],
        statements: Sequence[NewStatement],
        lost: Sequence[NewLost],
        offsets: tuple[int | None, int],
        results: Sequence[tuple[int | None, NewResult]] = (),
    ) -> None:
        """Store what a stretch of a journal holds, and that it was taken, in one transaction.

        `analysis`: paper, analysis, server, created, as in the journal's header. `offsets`: where the stretch begins
        (None: nothing was taken before) and ends. `results` come with the place of their statement in `statements`;
        None means the last one that was stored before of their connection.
        Raises StoreError when another process took it meanwhile.
        """
        with self.writing() as connection:
            if connection.scalar(select(Journal.offset).where(Journal.name == journal)) != offsets[0]:
                raise StoreError(f"the journal {journal} is taken by another process; try again")
            number = analysis_id(connection, *analysis)
            first = self._writer.add(connection, journal, number, statements)
            add_results(connection, journal, first, results)
            for gap in lost:
                connection.execute(insert(LostRow).values(analysis_id=number, **asdict(gap)))
            values = {"name": journal, "offset": offsets[1]}
            connection.execute(insert(Journal).prefix_with("OR REPLACE").values(values))

    def forget_journal(self, journal: str) -> None:
        """Drop the note of how far a journal was taken, once its file is gone."""
        with self.writing() as connection:
            connection.execute(delete(Journal).where(Journal.name == journal))

    # -- asking

    def papers(self) -> list[PaperSummary]:
        """All papers by name, their analyses by age."""
        with self.reading() as connection:
            classes: dict[int, Counter[StatementClass]] = {}
            last: dict[int, int] = {}
            counts = select(
                StatementRow.analysis_id, StatementRow.statement_class, func.count(), func.max(StatementRow.time)
            ).group_by(StatementRow.analysis_id, StatementRow.statement_class)
            for analysis_id, name, number, latest in connection.execute(counts):
                classes.setdefault(analysis_id, Counter())[StatementClass(name)] = number
                last[analysis_id] = max(latest, last.get(analysis_id, 0))
            gaps: dict[int, int] = {}
            for analysis_id, number in connection.execute(
                select(LostRow.analysis_id, func.count()).group_by(LostRow.analysis_id)
            ):
                gaps[analysis_id] = number
            found: dict[str, list[AnalysisSummary]] = {}
            columns = (Paper.name, Analysis.id, Analysis.name, Analysis.server, Analysis.created)
            query = select(*columns).join(Analysis).order_by(Paper.name, Analysis.id)
            for paper, number, name, server, created in connection.execute(query):
                found.setdefault(paper, []).append(
                    AnalysisSummary(
                        name, server, created, last.get(number), classes.get(number, Counter()), gaps.get(number, 0)
                    )
                )
        return [PaperSummary(name, tuple(analyses)) for name, analyses in found.items()]

    def paper(self, name: str, analysis: str | None = None) -> PaperSummary:
        """One paper, or of it one analysis. Raises InputError, naming those there are."""
        papers = {paper.name: paper for paper in self.papers()}
        if name not in papers:
            known = ", ".join(repr(each) for each in papers) or "none yet"
            raise InputError(f"there is no recording of the paper {name!r}; recorded papers: {known}")
        paper = papers[name]
        if analysis is None:
            return paper
        chosen = tuple(each for each in paper.analyses if each.name == analysis)
        if not chosen:
            known = ", ".join(repr(each.name) for each in paper.analyses) or "none"
            raise InputError(f"the paper {name!r} has no analysis {analysis!r}; its analyses: {known}")
        return PaperSummary(name, chosen)

    def load(
        self,
        paper: str,
        analysis: str | None = None,
        classes: Sequence[StatementClass] = tuple(StatementClass),
        *,
        results: bool = False,
    ) -> list[Recorded]:
        """The statements of a paper in the order of their recording; `results`: those whose results were looked into.

        Raises InputError for an unknown one.
        """
        self.paper(paper, analysis)
        query = (
            select(StatementRow, Analysis.name.label("analysis"), Text.sql, SessionContext.context, *_RESULT)
            .join(Analysis, StatementRow.analysis_id == Analysis.id)
            .join(Paper, Analysis.paper_id == Paper.id)
            .outerjoin(ReadingRow, StatementRow.reading_id == ReadingRow.id)
            .outerjoin(Text, ReadingRow.text_id == Text.id)
            .outerjoin(SessionContext, ReadingRow.session_id == SessionContext.id)
            .outerjoin(ResultRow, ResultRow.statement_id == StatementRow.id)
            .where(Paper.name == paper, StatementRow.statement_class.in_([each.value for each in classes]))
            .order_by(StatementRow.id)
        )
        if analysis is not None:
            query = query.where(Analysis.name == analysis)
        if results:
            query = query.where(ResultRow.statement_id.is_not(None))
        sessions: dict[str | None, Session] = {None: Session()}
        with self.reading() as connection:
            return [_recorded(row, sessions) for row in connection.execute(query)]

    def pins(self, paper: str) -> dict[int, Pinned | str]:
        """What the results of a paper's statements showed of their rows' keys, by the statement's id; a text says why
        what was kept is of no use."""
        query = (
            select(ResultRow.statement_id, ResultRow.key_columns, KeySet.id, KeySet.data)
            .join(KeySet)
            .join(StatementRow, ResultRow.statement_id == StatementRow.id)
            .join(Analysis, StatementRow.analysis_id == Analysis.id)
            .join(Paper)
            .where(Paper.name == paper)
        )
        known: dict[tuple[int, str], Pinned | str] = {}
        found: dict[int, Pinned | str] = {}
        with self.reading() as connection:
            for number, columns, key_set, data in connection.execute(query):
                described = columns or "[]"
                if (key_set, described) not in known:
                    known[key_set, described] = _unpacked(described, data)
                found[number] = known[key_set, described]
        return found

    def lost(self, paper: str, analysis: str | None = None) -> list[Lost]:
        """The gaps in a paper's recording."""
        query = (
            select(Analysis.name, LostRow.time, LostRow.reason)
            .join(Analysis, LostRow.analysis_id == Analysis.id)
            .join(Paper)
            .where(Paper.name == paper)
            .order_by(LostRow.id)
        )
        if analysis is not None:
            query = query.where(Analysis.name == analysis)
        with self.reading() as connection:
            return [Lost(*row) for row in connection.execute(query)]

    def tables(self, paper: str, analysis: str | None = None) -> list[TableUse]:
        """The tables that a paper's statements name, with the restrictions as recorded, by table."""
        columns = (
            OccurrenceRow.schema_name,
            OccurrenceRow.table_name,
            OccurrenceRow.role,
            OccurrenceRow.restriction,
            StatementRow.statement_class,
        )
        query = (
            select(*columns, func.count(StatementRow.id.distinct()))
            .join(StatementRow, StatementRow.reading_id == OccurrenceRow.reading_id)
            .join(Analysis, StatementRow.analysis_id == Analysis.id)
            .join(Paper)
            .where(Paper.name == paper)
            .group_by(*columns)
            .order_by(*columns)
        )
        if analysis is not None:
            query = query.where(Analysis.name == analysis)
        with self.reading() as connection:
            return [
                TableUse(TableName(schema, table), role, restriction, StatementClass(name), number)
                for schema, table, role, restriction, name, number in connection.execute(query)
            ]

    def readers(self, paper: str, analysis: str | None = None) -> list[TableReaders]:
        """The tables that a paper's data and unresolved statements read, as far as their texts tell, by name."""
        whole = StatementRow.reason.contains(UNRESTRICTED, autoescape=True)
        number = StatementRow.id.distinct()
        columns = (OccurrenceRow.schema_name, OccurrenceRow.table_name)
        query = (
            select(*columns, func.count(number), func.min(StatementRow.id), func.count(number).filter(whole))
            .join(StatementRow, StatementRow.reading_id == OccurrenceRow.reading_id)
            .join(Analysis, StatementRow.analysis_id == Analysis.id)
            .join(Paper)
            .where(Paper.name == paper, OccurrenceRow.role != "write")
            .where(StatementRow.statement_class.in_([StatementClass.DATA.value, StatementClass.UNRESOLVED.value]))
            .group_by(*columns)
            .order_by(*columns)
        )
        if analysis is not None:
            query = query.where(Analysis.name == analysis)
        with self.reading() as connection:
            return [
                TableReaders(TableName(schema, table), *counts) for schema, table, *counts in connection.execute(query)
            ]

    # -- forgetting

    def forget(self, paper: str, analysis: str | None = None, statements: Sequence[int] = ()) -> int:
        """Remove statements by id, else the analysis, else the paper; returns how many statements went.

        Raises InputError for unknown ones; then nothing is removed. What was removed is overwritten in the file.
        """
        self.paper(paper, analysis)
        with self.writing() as connection:
            removed = remove(connection, paper, analysis, statements)
        with self.reading() as connection:
            # The write-ahead log still holds the old pages.
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
        return removed


def _known_reading(row: Any, occurrences: Sequence[Occurrence]) -> Reading:
    return Reading(
        row.verb,
        StatementClass(row.statement_class),
        row.reason,
        tuple(occurrences),
        count_of=row.count_of,
        preview_of=row.preview_of,
    )


def _recorded(row: Any, sessions: dict[str | None, Session]) -> Recorded:
    if row.context not in sessions:
        sessions[row.context] = stored_session(row.context)
    result = None
    if row.rows is not None:
        seen = RecordedResult(row.rows, row.digest)
        result = Result(seen, row.key_set_id is not None, row.dropped, row.broken)
    recorded = result.seen if result is not None and not result.broken else None
    return Recorded(
        statement=Statement(row.id, row.sql or "", sessions[row.context], recorded),
        statement_class=StatementClass(row.statement_class),
        reason=row.reason,
        analysis=row.analysis,
        time=row.time,
        verb=row.verb,
        table=row.table_name,
        length=row.length,
        result=result,
    )


#: What `_recorded` needs of a result.
_RESULT = (ResultRow.rows, ResultRow.digest, ResultRow.key_set_id, ResultRow.dropped, ResultRow.broken)


def _unpacked(columns: str, data: bytes) -> Pinned | str:
    try:
        return unpack([KeyColumn(*column) for column in json.loads(columns)], data)
    except Useless as error:
        return str(error)
