"""The one place that prints. Nothing that it is given reaches a terminal as anything but text.

Names, recorded statements and what servers say may hold escape sequences and marks that turn the direction of writing.
Whatever else in this process writes to stdout or stderr (tracebacks, warnings, logs, click) passes here, too.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import traceback
from collections.abc import Iterator
from typing import Any, TextIO, cast

import click

from graph.visible import json_text, visible, visible_lines

#: How Python itself ends at an exception.
CRASHED = 1


class _Shown:
    """A stream that shows what it is given, and is the stream that it covers in all else."""

    def __init__(self, covered: TextIO) -> None:
        self.covered = covered

    def write(self, text: str) -> int:
        """Write a text of any number of lines."""
        shown = visible_lines(text)
        try:
            self.covered.write(shown)
        except UnicodeEncodeError as error:
            self.covered.write(shown.encode(error.encoding, "backslashreplace").decode(error.encoding))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.covered, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Show all that is written to stdout and stderr meanwhile; what child processes write is theirs."""
    out, err = cast("TextIO", _Shown(sys.stdout)), cast("TextIO", _Shown(sys.stderr))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def stream(*, err: bool = False) -> TextIO:
    """stdout or stderr as it is, for a writer that makes texts visible itself and moves the cursor."""
    found = sys.stderr if err else sys.stdout
    return found.covered if isinstance(found, _Shown) else found


def _put(text: str, *, err: bool = False) -> None:
    found = _Shown(stream(err=err))
    found.write(text)
    found.flush()


def say(message: str) -> None:
    """One line on stderr."""
    _put(f"djproxy: {visible(message)}\n", err=True)


def say_lines(message: str, lines: tuple[str, ...]) -> None:
    """A message and lines that belong to it, such as another program's last words."""
    say(message)
    _put("".join(f"{visible(line)}\n" for line in lines), err=True)


def log(line: str) -> None:
    """One line on stderr where that is a log."""
    _put(f"{visible(line)}\n", err=True)


def document(value: object) -> None:
    """A JSON document on stdout."""
    _put(f"{json_text(value)}\n")


def text(lines: str) -> None:
    """A text of several lines on stdout, as it ends."""
    _put(lines)


def finish() -> None:
    """All that was printed is on its way. Raises BrokenPipeError."""
    sys.stdout.flush()


def abandon() -> None:
    """The reader has closed our output; stdout must not complain again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(error: click.ClickException) -> None:
    """Why a command line is not understood, and how it is used."""
    words = io.StringIO()
    error.show(words)
    _put(words.getvalue(), err=True)


def crash() -> None:
    """The traceback of the exception that is being handled."""
    _put(traceback.format_exc(), err=True)


def ask(question: str, hidden: bool) -> str | None:
    """Ask on the terminal; None when there is none."""
    if not sys.stdin.isatty():
        return None
    shown = visible(question)
    answer: str = click.prompt(shown, hide_input=hidden, default="", show_default=False, err=True)
    return answer
