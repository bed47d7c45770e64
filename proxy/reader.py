"""Statements read in a process that can be killed; what exceeds its limits is *unresolved*, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import tee

from graph.apart import TIME_LIMIT, Apart, Failure
from graph.leaves import Reading
from graph.scan import verb
from graph.statement import Session, StatementClass


def unresolved(sql: str, session: Session, reason: str) -> Reading:
    """A reading that says why there is none."""
    return Reading(verb(sql, session.sql_mode), StatementClass.UNRESOLVED, reason, (), count_of=None, preview_of=None)


class Reader:
    """Reads statements, one process for many."""

    def __init__(self, time_limit: float = TIME_LIMIT) -> None:
        self._apart = Apart(time_limit)

    def read(self, sql: str, session: Session) -> Reading:
        """What the statement reads. Raises ApartError when no process can be started."""
        (reading,) = self.read_all([(sql, session)])
        return reading

    def read_all(self, statements: Iterable[tuple[str, Session]]) -> Iterator[Reading]:
        """The readings of many, in order. Raises ApartError."""
        asked, sent = tee(statements)
        for answer, (sql, session) in zip(self._apart.read(sent), asked, strict=True):
            yield unresolved(sql, session, answer.reason) if isinstance(answer, Failure) else answer

    def close(self) -> None:
        """End the process."""
        self._apart.close()
