"""Which rows only one of two answers has, in memory that does not grow with them.

Digests of rows are counted in a temporary SQLite file, and only those of the buckets whose sums differ.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from typing import Final

from graph.answer import Answer
from graph.digest import row_digest

#: How many buckets rows fall into, by the first bytes of their digests.
BUCKETS: Final = 1024
_NAMED: Final = 3

#: Asks a query anew.
Ask = Callable[[], AbstractContextManager[Answer]]


@dataclass(frozen=True, slots=True)
class Surplus:
    """The rows that only one side gave: how many, and the first of them, for people."""

    rows: int = 0
    first: tuple[str, ...] = ()


NONE: Final = Surplus()


def bucket(digest: bytes) -> int:
    """The bucket of a row, by its digest."""
    return int.from_bytes(digest[:2], "little") % BUCKETS


def surplus(ask_source: Ask, ask_copy: Ask, buckets: Collection[int]) -> tuple[Surplus, Surplus]:
    """What only the source and what only the copy gives, among the rows of these buckets."""
    with closing(_Counts()) as counts:
        with ask_source() as answer:
            counts.add(digest for digest, _ in _rows(answer, buckets))
        with ask_copy() as answer:
            only_copy = _unmatched(answer, buckets, counts, matched=False)
        if not counts.left():
            return NONE, only_copy
        with ask_source() as answer:
            return _unmatched(answer, buckets, counts, matched=True), only_copy


def _rows(answer: Answer, buckets: Collection[int]) -> Iterator[tuple[bytes, bytes]]:
    for payload in answer:
        digest = row_digest(payload)
        if bucket(digest) in buckets:
            yield digest, payload


def _unmatched(answer: Answer, buckets: Collection[int], counts: _Counts, *, matched: bool) -> Surplus:
    """The rows that take one off the counts (`matched`), or that find none to take off."""
    rows, first = 0, list[str]()
    for digest, payload in _rows(answer, buckets):
        if counts.take(digest) is matched:
            rows += 1
            if len(first) < _NAMED:
                first.append(answer.show(payload))
    return Surplus(rows, tuple(first))


class _Counts:
    """How often each row is still to be matched. SQLite deletes a database without a name when it is closed."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE rows (digest BLOB PRIMARY KEY, number INTEGER) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def add(self, digests: Iterable[bytes]) -> None:
        self._database.executemany(
            "INSERT INTO rows VALUES (?, 1) ON CONFLICT (digest) DO UPDATE SET number = number + 1",
            ((digest,) for digest in digests),
        )

    def take(self, digest: bytes) -> bool:
        """Takes one off; False when there is none."""
        taken = self._database.execute("UPDATE rows SET number = number - 1 WHERE digest = ? AND number > 0", [digest])
        return taken.rowcount == 1

    def left(self) -> bool:
        return self._database.execute("SELECT 1 FROM rows WHERE number > 0 LIMIT 1").fetchone() is not None

    def close(self) -> None:
        self._database.close()
