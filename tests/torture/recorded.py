"""One statement of a recording."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.torture.build import Flat


@dataclass(frozen=True)
class Recorded:
    """A statement as a client would send it; `reading` is the query that it holds.

    `ordered`: the whole order of its rows is asked for. `flat`: its lineage, for select-project-join queries. `mode` is
    what the session's sql_mode has beside the server's own. `changes`: an UPDATE or DELETE; `graph` follows what it
    reads without the rows that it changes, while `reading` shows these too.
    """

    sql: str
    reading: str
    ordered: bool = False
    flat: Flat | None = None
    tags: frozenset[str] = field(default_factory=frozenset)
    mode: str = ""
    changes: bool = False
