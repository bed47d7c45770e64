"""Queries that the source answers otherwise at export than while they were recorded.

Only a recording with digests knows all that was edited, added or deleted in between; one without tells other numbers of
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from graph.database import CHARSET, Database
from graph.digest import ResultDigest, Summary
from graph.errors import GrantError, StatementError
from graph.repeatable import unlocked, unrepeatable
from graph.slice import Change
from graph.statement import Statement


def changes(
    database: Database, statements: Iterable[tuple[Statement, bool]], progress: Callable[[str], None]
) -> Iterator[Change]:
    """Asks again those whose result was recorded; each comes with whether it is pinned.

    Passed over is what answers differently by itself, and what the server refuses.
    """
    asked = [(statement, pinned) for statement, pinned in statements if unrepeatable(statement) is None]
    for number, (statement, pinned) in enumerate(asked, 1):
        recorded = statement.recorded
        if recorded is None:
            continue
        progress(f"comparing with the recording: query {number} of {len(asked)}")
        now = _answer(database, statement)
        if now is not None and now.is_recorded(recorded) is False:
            yield Change(statement.id, recorded.rows, now.rows, pinned)


def _answer(database: Database, statement: Statement) -> Summary | None:
    taken = ResultDigest()
    charset = statement.session.charset or CHARSET
    try:
        with database.answer(unlocked(statement), statement.session, charset=charset) as answer:
            for payload in answer:
                taken.add_payload(payload)
    except (StatementError, GrantError):
        return None
    return taken.summary()
