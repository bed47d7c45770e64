"""How far long reading is, and how fast: said now and then."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from graph.names import TableName

_SECONDS: Final = 1.0


class Pace:
    """Says what is being read, at most once a second while rows come."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._since = clock()
        self._read = 0

    def tell(self, name: TableName, read: int, held: int) -> None:
        """So many more rows were read for a table, of which so many are held now."""
        self._read += read
        now = self._clock()
        if now - self._since >= _SECONDS:
            rate = round(self._read / (now - self._since))
            self._say(f"{name}: {held} rows so far, reading {rate} a second")
            self._since, self._read = now, 0

    def end(self, name: TableName, held: int) -> None:
        """All rows of a table are held that are known to be needed."""
        self._say(f"{name}: {held} rows")
