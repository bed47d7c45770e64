"""The exceptions of `graph`. Each carries the exit code that the command line gives for it."""

from __future__ import annotations

from collections.abc import Sequence


class GraphError(Exception):
    """Something that a person can act on; the message says what happened, to what, and what to do."""

    exit_code = 2


class InputError(GraphError):
    """The caller asked for something that cannot be: an unknown table, a folder that is not ours."""


class LimitError(InputError):
    """A slice would have more rows than the caller allows; the message names the largest tables."""


class ServerError(GraphError):
    """A server that cannot be reached, refuses the login or breaks the connection."""

    exit_code = 3


class ScriptError(ServerError):
    """A script that stopped; `lines` are the last that it and its tools said."""

    def __init__(self, message: str, lines: Sequence[str]) -> None:
        super().__init__("\n".join([message, *lines]))
        self.message = message
        self.lines = tuple(lines)


class ConnectionLost(ServerError):
    """The connection broke, and nobody is known to have ended it on purpose."""


class GrantError(ServerError):
    """The account lacks a right; the message holds the GRANT statement that gives it."""


class StatementError(GraphError):
    """The server refused one statement; it says nothing about any other."""
