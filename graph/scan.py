"""MySQL text cut into strings, names, comments and code: what must be known before anything is parsed.

Four things change where a string ends: the quote, doubled quotes, backslashes (not under NO_BACKSLASH_ESCAPES, and
never inside a name), and ANSI_QUOTES, which makes "x" a name. Executable comments (`/*!80000 … */`, MariaDB's
`/*M! … */`) are code; all others, optimizer hints among them, are comments. One regular expression per mode does the
work, with possessive quantifiers: text of megabytes is cut in one pass and nothing backtracks.

Rules: dev.mysql.com/doc/refman/8.4/en/string-literals.html, …/comments.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from graph.errors import InputError


class TokenKind(StrEnum):
    """What a piece of text is."""

    STRING = "string"
    NAME = "name"
    COMMENT = "comment"
    OPEN = "open"
    CLOSE = "close"
    SEMICOLON = "semicolon"
    PLACEHOLDER = "placeholder"
    CODE = "code"


class Token(NamedTuple):
    """A piece of the text; the texts of all tokens joined are the text itself."""

    kind: TokenKind
    text: str


#: The combined modes that hold ANSI_QUOTES (the last five are MariaDB's).
_ANSI_QUOTES = frozenset({"ANSI_QUOTES", "ANSI", "ORACLE", "MSSQL", "DB2", "POSTGRESQL", "MAXDB"})

_BODY = re.compile(
    r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:AGGREGATE\s+)?(?:DEFINER\s*=\s*\S+\s+)?(?:AGGREGATE\s+)?"
    r"(?:PROCEDURE|FUNCTION|TRIGGER|EVENT|PACKAGE)\b|\s*BEGIN\s+NOT\s+ATOMIC\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d]\w*")
_UNDECODABLE = re.compile("[\udc80-\udcff]")
_SIMPLE_ESCAPES = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


def modes(sql_mode: str | None) -> frozenset[str]:
    """The single modes of a sql_mode value, in upper case."""
    return frozenset(mode.strip().upper() for mode in (sql_mode or "").split(",") if mode.strip())


def ansi_quotes(sql_mode: str | None) -> bool:
    """Whether "x" is a name and not a string."""
    return not _ANSI_QUOTES.isdisjoint(modes(sql_mode))


def backslash_escapes(sql_mode: str | None) -> bool:
    """Whether a backslash in a string begins an escape sequence."""
    return "NO_BACKSLASH_ESCAPES" not in modes(sql_mode)


def _quoted(quote: str, escapes: bool) -> str:
    """A quoted token; one that never ends goes on to the end of the text."""
    if not escapes:
        return rf"{quote}[^{quote}]*+(?:{quote}{quote}[^{quote}]*+)*(?:{quote}|\Z)"
    plain = rf"[^{quote}\\]*+"
    return rf"{quote}{plain}(?:(?:\\.|{quote}{quote}){plain})*(?:{quote}|\\?\Z)"


_COMMENT = r"--(?=[\x00-\x20]|\Z)[^\n]*+|#[^\n]*+|/\*(?!M?!)(?s:.*?)(?:\*/|\Z)"


def _strings_and_names(ansi: bool, escapes: bool) -> tuple[str, str]:
    double = _quoted('"', escapes and not ansi)
    single = _quoted("'", escapes)
    backtick = _quoted("`", False)
    return (single, f"{backtick}|{double}") if ansi else (f"{single}|{double}", backtick)


def quoted_tokens(*, ansi: bool, escapes: bool) -> str:
    """A regular expression for strings, quoted names and comments: what must be passed over to find code."""
    strings, names = _strings_and_names(ansi, escapes)
    return f"{strings}|{names}|{_COMMENT}"


@lru_cache(maxsize=4)
def _pattern(ansi: bool, escapes: bool) -> re.Pattern[str]:
    strings, names = _strings_and_names(ansi, escapes)
    return re.compile(
        rf"(?P<string>{strings})|(?P<name>{names})|(?P<comment>{_COMMENT})"
        r"|(?P<open>/\*M?!(?:\d{5,6})?)|(?P<close>\*/)|(?P<semicolon>;)|(?P<placeholder>\?)"
        r"|(?P<code>[^'\"`#/*;?\-]++|.)",
        re.DOTALL,
    )


def scan(sql: str, sql_mode: str | None = None) -> Iterator[Token]:
    """The tokens of a text, in order, nothing left out. Never raises."""
    executable = False
    for match in _pattern(ansi_quotes(sql_mode), backslash_escapes(sql_mode)).finditer(sql):
        kind = TokenKind(match.lastgroup or "code")
        if kind is TokenKind.OPEN:
            executable = True
        elif kind is TokenKind.CLOSE:
            kind, executable = (kind if executable else TokenKind.CODE), False
        yield Token(kind, match.group())


def split(sql: str, sql_mode: str | None = None) -> list[str]:
    """The statements of a text: cut at each `;` outside strings and comments, the empty ones left out.

    The body of a stored program holds `;` of its own: what begins such a definition stays in one piece.
    """
    if ";" not in sql:
        return [sql.strip()] if _has_code(sql, sql_mode) else []
    statements: list[str] = []
    pieces: list[str] = []
    body: bool | None = None
    for kind, text in scan(sql, sql_mode):
        if kind is TokenKind.SEMICOLON:
            if body is None:
                body = _BODY.match(_without_comments(pieces, sql_mode)) is not None
            if not body:
                statements.append("".join(pieces).strip())
                pieces, body = [], None
                continue
        pieces.append(text)
    statements.append("".join(pieces).strip())
    return [statement for statement in statements if _has_code(statement, sql_mode)]


def _without_comments(pieces: Sequence[str], sql_mode: str | None) -> str:
    return "".join(text for kind, text in scan("".join(pieces), sql_mode) if kind is not TokenKind.COMMENT)


def _has_code(sql: str, sql_mode: str | None) -> bool:
    blank = (TokenKind.COMMENT, TokenKind.OPEN, TokenKind.CLOSE)
    return any(kind not in blank and text.strip() for kind, text in scan(sql, sql_mode))


def bind(sql: str, parameters: Sequence[str], sql_mode: str | None = None) -> str:
    """The text with each placeholder `?` replaced by its parameter, an SQL literal.

    Raises InputError when their numbers differ.
    """
    pieces: list[str] = []
    used = 0
    for kind, text in scan(sql, sql_mode):
        if kind is TokenKind.PLACEHOLDER:
            text = parameters[used] if used < len(parameters) else text
            used += 1
        pieces.append(text)
    if used != len(parameters):
        raise InputError(f"a prepared statement has {used} placeholders, but {len(parameters)} parameters came")
    return "".join(pieces)


def verb(sql: str, sql_mode: str | None = None) -> str:
    """The first word of a statement in upper case, opening parentheses and comments passed over; "" if none."""
    for kind, text in scan(sql, sql_mode):
        if kind in (TokenKind.COMMENT, TokenKind.OPEN, TokenKind.CLOSE):
            continue
        stripped = text.lstrip("( \t\r\n\f\v\0")
        if stripped:
            word = _WORD.match(stripped) if kind is TokenKind.CODE else None
            return word.group().upper() if word else ""
    return ""


def plain(sql: str, sql_mode: str | None = None) -> str:
    """The text with comments turned into a space and executable comments opened (their content is code)."""
    blank = (TokenKind.COMMENT, TokenKind.OPEN, TokenKind.CLOSE)
    return "".join(" " if kind in blank else text for kind, text in scan(sql, sql_mode)).strip()


class ServerVersion(NamedTuple):
    """What decides which executable comments a server executes: 80407 is 8.4.7."""

    mariadb: bool
    number: int

    @classmethod
    def of(cls, version: str) -> ServerVersion | None:
        """From `SELECT VERSION()`; None for a text that is none."""
        parts = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
        if parts is None:
            return None
        major, minor, patch = map(int, parts.groups())
        return cls("mariadb" in version.lower(), major * 10000 + minor * 100 + patch)

    def executes(self, opening: str) -> bool:
        """Whether the server executes a comment that begins so."""
        if opening.startswith("/*M") and not self.mariadb:
            return False
        number = opening.partition("!")[2]
        if not number:
            return True
        # Versions of MySQL that MariaDB does not follow.
        newer = self.mariadb and not opening.startswith("/*M") and 50700 <= int(number) <= 99999
        return int(number) <= self.number and not newer


def _comment_end(sql: str, position: int) -> int:
    """Where a comment that is not executed ends; it may hold comments, which hold none."""
    depth = 1
    for match in re.finditer(r"/\*|\*/", sql[position:]):
        depth = 2 if match.group() == "/*" else depth - 1
        if depth == 0:
            return position + match.end()
    return len(sql)


def open_comments(sql: str, sql_mode: str | None = None, server: ServerVersion | None = None) -> str:
    """The text with executable comments as the server reads it: their content, or a space where it does not execute
    them. Without a server all are executed. Other comments stay."""
    if "/*!" not in sql and "/*M!" not in sql:
        return sql
    pattern = _pattern(ansi_quotes(sql_mode), backslash_escapes(sql_mode))
    pieces: list[str] = []
    position, inside = 0, False
    while position < len(sql) and (match := pattern.match(sql, position)) is not None:
        position, kind, text = match.end(), match.lastgroup, match.group()
        if kind == "open" and server is not None and not server.executes(text):
            position, text = _comment_end(sql, position), " "
        elif kind == "open":
            inside, text = True, " "
        elif kind == "close" and inside:
            inside, text = False, " "
        pieces.append(text)
    return "".join(pieces)


def string_value(literal: str, sql_mode: str | None = None) -> str:
    """What a string token, its quotes included, stands for."""
    quote, body = literal[0], literal[1:-1]
    if not backslash_escapes(sql_mode):
        return body.replace(quote * 2, quote)

    def one(match: re.Match[str]) -> str:
        escaped = match.group(1)
        if escaped is None:
            return quote
        # `\%` and `\_` stay as they are: LIKE reads them.
        return "\\" + escaped if escaped in "%_" else _SIMPLE_ESCAPES.get(escaped, escaped)

    return re.sub(rf"{_ESCAPE.pattern}|{quote}{quote}", one, body, flags=re.DOTALL)


def hex_undecodable(sql: str, sql_mode: str | None = None, encoding: str = "utf-8") -> str:
    """The text without surrogate escapes: a string that holds bytes outside its charset becomes a hex literal.

    Clients send blobs as raw bytes (`_binary'…'`); as x'…' the text means the same and can be stored and parsed.
    `encoding` is the codec that the text was decoded with; under any other than UTF-8 every `_binary` string
    outside ASCII is written so, for it holds bytes and not characters. Undecodable bytes outside strings become
    U+FFFD.
    """
    if sql.isascii() or (encoding == "utf-8" and not _UNDECODABLE.search(sql)):
        return sql
    pieces: list[str] = []
    binary = False
    for kind, text in scan(sql, sql_mode):
        undecodable = _UNDECODABLE.search(text)
        if kind is TokenKind.STRING:
            if undecodable or (binary and encoding != "utf-8" and not text.isascii()):
                text = f" x'{string_value(text, sql_mode).encode(encoding, 'surrogateescape').hex().upper()}'"
        elif undecodable:
            text = _UNDECODABLE.sub("\ufffd", text)
        binary = kind is TokenKind.CODE and text.rstrip().lower().endswith("_binary")
        pieces.append(text)
    return "".join(pieces)
