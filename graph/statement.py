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
class Statement:
    """One SQL statement, its parameters already written as literals."""

    id: int
    sql: str
    session: Session = field(default_factory=Session)


class StatementClass(StrEnum):
    """What a statement is to the slice; see docs/leaves.md."""

    DATA = "data"
    CHECK = "check"
    PREVIEW = "preview"
    WRITE = "write"
    NOT_DATA = "not data"
    UNRESOLVED = "unresolved"
