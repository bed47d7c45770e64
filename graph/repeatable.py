"""Whether a query may answer differently when it is asked again of the same rows, and how to ask it without locks."""

from __future__ import annotations

import re
from typing import Final

from graph.scan import TokenKind, scan
from graph.statement import Statement

_FUNCTIONS: Final = re.compile(
    r"\b(RAND|UUID|UUID_SHORT|RANDOM_BYTES|NOW|SYSDATE|CURDATE|CURTIME|CURRENT_DATE|CURRENT_TIME|CURRENT_TIMESTAMP"
    r"|LOCALTIME|LOCALTIMESTAMP|UTC_DATE|UTC_TIME|UTC_TIMESTAMP|UNIX_TIMESTAMP(?=\s*\(\s*\))|CONNECTION_ID"
    r"|LAST_INSERT_ID|FOUND_ROWS|ROW_COUNT|CURRENT_USER|SESSION_USER|SYSTEM_USER|VERSION|GET_LOCK|RELEASE_LOCK"
    r"|IS_FREE_LOCK|IS_USED_LOCK|LOAD_FILE)\b",
    re.IGNORECASE,
)
_LIMIT: Final = re.compile(r"\bLIMIT\b", re.IGNORECASE)
_LOCK: Final = re.compile(
    r"\s*\b(FOR\s+(UPDATE|SHARE)|LOCK\s+IN\s+SHARE\s+MODE)\b(?:(?!\bINTO\b)[^()])*(?=\)|\Z)", re.IGNORECASE
)
_ORDER: Final = re.compile(r"\bORDER\s+BY\b", re.IGNORECASE)


def ordered(statement: Statement) -> bool:
    """Whether an ORDER BY stands anywhere in it."""
    return _ORDER.search(_code(statement)) is not None


def unrepeatable(statement: Statement) -> str | None:
    """In words, what makes the answer depend on more than the rows; None when nothing does."""
    code = _code(statement)
    if found := _FUNCTIONS.search(code):
        return f"it uses {found.group(1).upper()}"
    if "@@" in code:
        return "it reads a system variable"
    if _LIMIT.search(code) and not _ORDER.search(code):
        return "it has a LIMIT without an ORDER BY"
    return None


def unlocked(statement: Statement) -> str:
    """The text without the `FOR UPDATE` or `FOR SHARE` at the end of its SELECTs: who only looks must keep nobody from
    writing."""
    kept, start = [], 0
    for found in _LOCK.finditer(_code(statement)):
        kept.append(statement.sql[start : found.start()])
        start = found.end()
    return "".join([*kept, statement.sql[start:]])


def _code(statement: Statement) -> str:
    """The text with blanks for strings, names in quotes and comments."""
    tokens = scan(statement.sql, statement.session.sql_mode)
    skipped = {TokenKind.STRING, TokenKind.NAME, TokenKind.COMMENT}
    return "".join(" " * len(token.text) if token.kind in skipped else token.text for token in tokens)
