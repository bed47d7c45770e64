"""Pages for people: lines, tables and progress, by rich. Every text is shown as it is, never as rich's markup."""

from __future__ import annotations

import time
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from rich.console import Console
from rich.status import Status
from rich.table import Table as RichTable
from rich.text import Text

from graph.visible import visible
from proxy import terminal

#: Columns of a page that is no terminal: lines there are not broken to fit.
_WIDE = 200
_SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True, slots=True)
class Styled:
    """A text in a style of rich's."""

    text: str
    style: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; one that folds shows all of a long text."""

    title: str
    justify: Literal["left", "right"] = "left"
    folds: bool = False


class Page:
    """Where a command prints its result: stdout."""

    def __init__(self) -> None:
        console = _console()
        self._console = console if console.is_terminal else _console(_WIDE)

    def print(self, *pieces: str | Styled) -> None:
        """One line; the terminal breaks it where it is too long."""
        self._console.print(_line(*pieces), soft_wrap=True)

    def table(self, columns: list[Column], rows: list[list[str]]) -> None:
        """A table with a head."""
        table = RichTable(box=None, pad_edge=False)
        for column in columns:
            overflow: Literal["fold", "ellipsis"] = "fold" if column.folds else "ellipsis"
            table.add_column(column.title, justify=column.justify, overflow=overflow)
        for row in rows:
            table.add_row(*(_line(cell) for cell in row))
        self._console.print(table)


class Progress:
    """Progress of long work on stderr: a live line on a terminal, else a line now and then.

    Call it with what is being done; a context manager.
    """

    def __init__(self) -> None:
        self._console = _console(err=True)
        self._status: Status | None = None
        self._last = time.monotonic()

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._status is not None:
            self._status.stop()

    def __call__(self, text: str) -> None:
        if self._status is not None:
            self._status.update(_line(text))
            return
        now = time.monotonic()
        if now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            terminal.say(text)


def _console(width: int | None = None, *, err: bool = False) -> Console:
    return Console(file=terminal.stream(err=err), stderr=err, highlight=False, emoji=False, markup=False, width=width)


def _line(*pieces: str | Styled) -> Text:
    line = Text()
    for piece in pieces:
        if isinstance(piece, Styled):
            line.append(visible(piece.text), style=piece.style)
        else:
            line.append(visible(piece))
    return line
