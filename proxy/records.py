"""What goes into the store and what comes out of it. All times are in ns since 1970."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from graph.leaves import Reading
from graph.names import TableName
from graph.statement import RecordedResult, Session, Statement, StatementClass
from proxy.events import Answered


@dataclass(frozen=True, slots=True)
class NewStatement:
    """A statement to be stored. `time` in ns since 1970; `sql` None: the text was not kept (then no reading)."""

    connection: int
    time: int
    verb: str
    table: str
    length: int
    statement_class: StatementClass
    reason: str
    sql: str | None = None
    session: Session = field(default_factory=Session)
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class NewResult:
    """The result of the statement before it on the same connection, to be stored."""

    connection: int
    answered: Answered


@dataclass(frozen=True, slots=True)
class NewLost:
    """A gap to be stored."""

    connection: int
    time: int
    reason: str


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen of a statement's result, all of it unless it is `broken`; `pinned`: the keys of its rows were kept.
    See `proxy.events.Answered`."""

    seen: RecordedResult
    pinned: bool
    dropped: str
    broken: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded statement. `statement.sql` is "" when the text was not kept: then `verb`, `table`, `length` say what
    it was. `time` in ns since 1970. `result` None: its result was not looked into; `statement.recorded` has what was
    seen of one that came to its end."""

    statement: Statement
    statement_class: StatementClass
    reason: str
    analysis: str
    time: int
    verb: str
    table: str
    length: int
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """A stretch of a recording that is missing. `time` in ns since 1970."""

    analysis: str
    time: int
    reason: str


@dataclass(frozen=True, slots=True)
class AnalysisSummary:
    """An analysis in numbers: statements by class, gaps; times in ns since 1970 (`last` None: no statement yet)."""

    name: str
    server: str
    created: int
    last: int | None
    classes: Mapping[StatementClass, int]
    lost: int

    @property
    def statements(self) -> int:
        """Statements in all classes."""
        return sum(self.classes.values())


@dataclass(frozen=True, slots=True)
class PaperSummary:
    """A paper and its analyses."""

    name: str
    analyses: tuple[AnalysisSummary, ...]


@dataclass(frozen=True, slots=True)
class TableReaders:
    """How many statements that are data, or unresolved, read a table, the first of them, and how many of them take it
    whole."""

    table: TableName
    statements: int
    first: int
    whole: int


@dataclass(frozen=True, slots=True)
class TableUse:
    """How often statements of a class name a table in a role with a restriction."""

    table: TableName
    role: str
    restriction: str
    statement_class: StatementClass
    statements: int
