"""A recorded statement and the session context under which its text means what it meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Session:
    """What a session had set when it sent a statement; None means the server's own default.

    `variables` maps user variables (lower case, without `@`) to the SQL literals they were set to.
    """

    schema: str | None = None
    sql_mode: str | None = None
    time_zone: str | None = None
    charset: str | None = None
    collation: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PinnedColumn:
    """A column of a recorded result, as the server described it.

    `source` is the alias of the FROM that it came by, `column` its name there, `label` its name in the result.
    """

    schema: str
    source: str
    column: str
    label: str


@dataclass(frozen=True, slots=True)
class Pinned:
    """Columns of a recorded result that may be keys, and their values in its rows.

    Text is str, everything else as the server writes it, in bytes; NULL is None.
    """

    columns: tuple[PinnedColumn, ...]
    rows: frozenset[tuple[str | bytes | None, ...]]


@dataclass(frozen=True, slots=True)
class RecordedResult:
    """What a result was when it was recorded; `digest` is that of graph.digest, None where only the number of rows is
    known."""

    rows: int
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement, its parameters already written as literals.

    `recorded` is its result as far as that was looked into. `pins` is what its recorded results showed of their rows'
    keys; `unpinned` counts the executions of which that is not known. With pins the rows they name are used, whatever
    the text would give now.
    """

    id: int
    sql: str
    session: Session = field(default_factory=Session)
    recorded: RecordedResult | None = None
    pins: tuple[Pinned, ...] = ()
    unpinned: int = 0


class StatementClass(StrEnum):
    """What a statement is to the slice; see docs/leaves.md."""

    DATA = "data"
    CHECK = "check"
    PREVIEW = "preview"
    WRITE = "write"
    NOT_DATA = "not data"
    UNRESOLVED = "unresolved"
