"""The result whose rows are looked into, of a plain answer or of a cursor.

Rows of a cursor belong to the statement that opened it as long as nothing else is said in between, for an `Answered`
follows its statement.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.events import Event
from proxy.protocol import Header
from proxy.responses import Mark, ResponseTracker
from proxy.results import Result


class _Cursor(NamedTuple):
    """A cursor whose rows are looked into, and the statement that opened it."""

    statement: int
    result: Result


class Following:
    """Follows one result at a time. `result` is the one that comes now, if any."""

    __slots__ = ("_cursor", "_tracker", "result")

    def __init__(self, tracker: ResponseTracker) -> None:
        self.result: Result | None = None
        self._cursor: _Cursor | None = None
        self._tracker = tracker

    @property
    def has_cursor(self) -> bool:
        """Whether rows of a cursor are still to come."""
        return self._cursor is not None

    def fetch(self, statement: int | None) -> bool:
        """The next rows are those that a client fetches of this statement; whether they are looked into."""
        if self._cursor is None or statement != self._cursor.statement:
            return False
        self.result = self._cursor.result
        return True

    def heed(self, mark: int, payload: bytes, statement: int) -> list[Event]:
        """Look at a packet of the result. `statement`: the number of the prepared one that it answers, or 0."""
        result, tracker = self.result, self._tracker
        if result is None:
            return []
        if mark & Mark.COLUMN:
            result.column(payload)
        error = payload[:1] == _ERR
        cursor = self._cursor is not None and self._cursor.result is result
        if mark & Mark.OVER or (cursor and not error and tracker.last_row_sent):
            self.stop()
            return [result.answered()]
        if mark & Mark.CURSOR or (cursor and not error and mark & Mark.END):
            self.result = None
            if not cursor and (result.begun or result.begin()):
                self._cursor = _Cursor(statement, result)
        elif mark & Mark.END:
            return self.forget(f"the server broke off with error {int.from_bytes(payload[1:3], 'little')}")
        elif tracker.in_rows and not result.begun and not result.begin():
            self.result = None
        return []

    def forget(self, why: str) -> list[Event]:
        """No more will come of the result that is followed, or of the cursor."""
        result = self.result or (self._cursor.result if self._cursor is not None else None)
        self.stop()
        return [result.answered(why)] if result is not None else []

    def stop(self) -> None:
        """Nobody is going to ask any more."""
        self.result = self._cursor = None


_ERR = bytes((Header.ERR,))
