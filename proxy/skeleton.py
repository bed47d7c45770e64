"""A statement's skeleton: what is left of its text when strings are blanked, names numbered, comments taken out.

Works on bytes that nobody has decoded yet, 16 MB of them in good time. A comment that the server executes
(`/*!80000 … */`, MariaDB's `/*M! … */`) is opened: its words count, and so do its semicolons. What is not closed
goes to the end of the text. A string is read with or without escaping backslashes, as the session's sql_mode has it;
double quotes are always taken for a string's, which under ANSI_QUOTES costs no more than a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# So many quotes are found faster one by one than by reading all of the text.
_MOST_QUOTES = 100_000
_QUOTE = re.compile(rb"['\"]")
_BACKSLASH = ord("\\")


@dataclass(frozen=True, slots=True)
class Skeleton:
    """One statement of a text: `text[start:end]`.

    `code` is in upper case, with `''` for each string and `` `N` `` for the name `names[N]`; `written` is the same in
    the case that the client used.
    """

    code: bytes
    written: bytes
    names: tuple[bytes, ...]
    start: int
    end: int

    def unquoted(self, start: int, end: int) -> str:
        """The name that stands in `code[start:end]`, as its owner would say it."""
        named = _NUMBERED.sub(lambda found: self.names[int(found.group(1))], self.written[start:end])
        return named.decode(errors="replace")


def _constructs(inside: bytes) -> re.Pattern[bytes]:
    """`inside` is the pattern of what may stand between two quotes, with %s for the quote."""
    return re.compile(
        rb"(?P<string>'" + inside.replace(b"%s", b"'") + rb"(?:'|\\?\Z)"
        rb'|"' + inside.replace(b"%s", b'"') + rb'(?:"|\\?\Z))'
        rb"|(?P<name>`[^`]*+(?:``[^`]*+)*(?:`|\Z))"
        rb"|(?P<opener>/\*M?![0-9]*+)"
        rb"|(?P<comment>/\*(?s:.*?)(?:\*/|\Z)|\#[^\n]*+|--(?=[\x00-\x20]|\Z)[^\n]*+)"
        rb"|(?P<closer>\*/)"
        rb"|(?P<end>;)",
        re.DOTALL,
    )


_NUMBERED = re.compile(rb"`(\d+)`")
_WITH_ESCAPES = _constructs(rb"[^%s\\]*+(?:\\.[^%s\\]*+)*")
_WITHOUT_ESCAPES = _constructs(rb"[^%s]*+")


def skeletons(sql: bytes, *, backslash: bool) -> Iterator[Skeleton]:
    """The statements of a text, one after the other; empty ones are left out.

    `backslash`: whether a backslash in a string escapes what follows (it does not under NO_BACKSLASH_ESCAPES).
    """
    pieces: list[bytes] = []
    names: list[bytes] = []
    start = at = 0
    for found in (_WITH_ESCAPES if backslash else _WITHOUT_ESCAPES).finditer(sql):
        pieces.append(sql[at : found.start()])
        at = found.end()
        match found.lastgroup:
            case "string":
                pieces.append(b"''")
            case "name":
                pieces.append(b"`%d`" % len(names))
                names.append(found.group()[1:].removesuffix(b"`").replace(b"``", b"`"))
            case "end":
                yield from _statement(pieces, names, start, found.start())
                pieces, names, start = [], [], at
            case _:
                pieces.append(b" ")
    pieces.append(sql[at:])
    yield from _statement(pieces, names, start, len(sql))


def outside_strings(sql: bytes, *, backslash: bool) -> bytes | None:
    """A text with nothing between its quotes, found by its few quotes: most of a blob's bytes are never looked at.

    None where that tells nothing sure (a quote may belong to a comment or a name), or where there are many strings.
    """
    pieces: list[bytes] = []
    at = 0
    for _ in range(_MOST_QUOTES):
        quote = _QUOTE.search(sql, at)
        piece = sql[at : quote.start() if quote else len(sql)]
        if b"#" in piece or b"--" in piece or b"/*" in piece or piece.count(b"`") % 2:
            return None
        pieces.append(piece)
        if quote is None:
            return b"''".join(pieces)
        end = _end_of_string(sql, quote.end(), quote.group(), backslash)
        if end is None:
            return None
        at = end + 1
    return None


def _end_of_string(sql: bytes, at: int, quote: bytes, backslash: bool) -> int | None:
    """Where the quote is that ends the string whose text begins at `at`; None for one that is not closed, or has many
    escaped quotes."""
    for _ in range(_MOST_QUOTES):
        end = sql.find(quote, at)
        if end < 0:
            return None
        before = end
        while backslash and before > at and sql[before - 1] == _BACKSLASH:
            before -= 1
        if (end - before) % 2 == 0:
            return end
        at = end + 1
    return None


def _statement(pieces: list[bytes], names: list[bytes], start: int, end: int) -> Iterator[Skeleton]:
    written = b"".join(pieces)
    if written.strip():
        yield Skeleton(written.upper(), written, tuple(names), start, end)
