"""What of a statement may be kept: its text where it can read rows or sets what later ones mean, else only verb
and table.

The text comes as bytes of which nothing is known; it may hold 16 MB of blobs, several statements, comments that the
server executes, and strings that look like all of these. Decisions look at its skeleton (see `skeleton`); only what
is kept is cut from the text itself. Two quick looks come before: an ordinary SELECT is kept without a skeleton, and an
INSERT or UPDATE in which nothing can read rows is noted without one.

Passwords. MySQL's grammar takes an account's secret only together with one of the words IDENTIFIED and PASSWORD, so a
text without them holds none. A text with one is kept only when the word does not stand outside of the strings as it
does before a secret, and, where the statement may make SQL of a string (PREPARE, SET, SELECT … INTO @v), not
inside of them either. Whether a backslash escapes depends on the session; where the two readings part and such a word
is about, nothing is kept.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import NamedTuple

from proxy.skeleton import Skeleton, outside_strings, skeletons


class Keep(Enum):
    """What becomes of a statement."""

    WHOLE = auto()
    NOTE = auto()
    UNREAD = auto()


class Part(NamedTuple):
    """One statement of a text (a tuple, for every statement makes one while its client waits).

    `text` is empty unless it is kept whole; `reason` is set when it is unread. `table` is what a noted statement is
    about; for SET the user variables that it sets. `several`: the statement may give more than one result (CALL).
    """

    keep: Keep
    verb: str
    table: str
    text: bytes
    length: int
    reason: str = ""
    several: bool = False


UNSURE = "its text may hold a password"
COMPOUND = "a compound statement"

# Enough of an INSERT to find its table in.
_HEAD = 1024

_ORDINARY = re.compile(rb"[\s(]*+SELECT\b", re.IGNORECASE)
_WRITE = re.compile(rb"\s*+(?:INSERT|REPLACE|UPDATE)\b", re.IGNORECASE)
# After a `;` in such a write: any of these may begin what is kept, so the exact look is needed.
_ANOTHER = re.compile(
    rb";(?:[\s(]|/\*[^*]{0,999}+\*/|--[^\n]{0,999}+\n|#[^\n]{0,999}+\n|/\*M?![0-9]*+)*"
    rb"(?:WITH|VALUES|CALL|DO|EXECUTE|DEALLOCATE|USE|HANDLER|SET|PREPARE|UPDATE|DELETE|DROP|BEGIN)[\s(/@'\"`+-]"
)

_SECRET_CODE = re.compile(
    rb"\bIDENTIFIED\s+(?:BY|WITH|VIA|AS)\b|\bSET\s+PASSWORD\b|PASSWORD\s*\(|\b(?:CREATE|ALTER)\s+USER\b"
)
_SECRET_TEXT = re.compile(rb"IDENTIFIED|PASSWORD|\b(?:CREATE|ALTER)\s+USER\b")
# A table elsewhere: CONNECTION='mysql://user:password@host/…'.
_CONNECTION = re.compile(rb"\bCONNECTION\s*=?\s*''")
_ASSIGNS = re.compile(rb":=|\bINTO\s+@")

_VERB = re.compile(rb"[\s(]*+([A-Z_]{1,32})")
_READS = re.compile(rb"\b(?:SELECT|TABLE)\b")
_CREATE_TABLE = re.compile(rb"[\s(]*CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMPORARY\s+)?TABLE\b")
# The semicolons of a routine are its own, up to an END that only a parser finds.
_ROUTINE = re.compile(
    rb"[\s(]*(?:CREATE|ALTER)\b(?:(?!\b(?:TABLE|VIEW|SELECT)\b).)*?"
    rb"\b(?:PROCEDURE|FUNCTION|TRIGGER|EVENT|PACKAGE)\b",
    re.DOTALL,
)
_COMPOUND = re.compile(rb"[\s(]*(?:BEGIN\s+NOT\b|(?:IF|CASE|LOOP|REPEAT|WHILE|FOR|DECLARE)\b|[\w$]+\s*:(?!=))")

# No possessive groups here: Python 3.11 before 3.11.5 matches them wrongly.
_MODIFIERS = rb"(?:(?:LOW_PRIORITY|HIGH_PRIORITY|DELAYED|QUICK|IGNORE)\s+)*"
_UPDATES_SEVERAL = re.compile(rb"[\s(]*UPDATE\b(?:(?!\bSET\b).)*?(?:,|\bJOIN\b|\bSTRAIGHT_JOIN\b)", re.DOTALL)
_DELETES_SEVERAL = re.compile(
    rb"[\s(]*DELETE\s++(?!" + _MODIFIERS + rb"FROM\b)"
    rb"|[\s(]*DELETE\b(?:(?!\bWHERE\b).)*?(?:,|\bJOIN\b|\bUSING\b)",
    re.DOTALL,
)
_UPDATE_HEAD = re.compile(rb"[\s(]*UPDATE\b(?:(?!,|\bJOIN\b|\bSTRAIGHT_JOIN\b).)*?\bSET\b", re.DOTALL)

_WHOLE = frozenset(
    ("SELECT", "WITH", "TABLE", "VALUES", "CALL", "DO", "EXECUTE", "DEALLOCATE", "USE", "HANDLER", "SET", "PREPARE")
)
_MAKES_SQL = frozenset(("SET", "PREPARE", "EXECUTE"))

_PIECE = rb"(?:`\d+`|[\w$\x80-\xff]+)"
_NAME = rb"(" + _PIECE + rb"(?:\." + _PIECE + rb")?)"
_EXISTS = rb"(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"
_OBJECT = rb"(?:OR\s+REPLACE\s+)?(?:TEMPORARY\s+)?(?:TABLES?|VIEW|DATABASE|SCHEMA)\s+"
_TABLES = {
    verb: re.compile(rb"[\s(]*" + verb.encode() + rb"\s+" + pattern + _NAME, re.DOTALL)
    for verb, pattern in {
        "INSERT": _MODIFIERS + rb"(?:INTO\s+)?",
        "REPLACE": _MODIFIERS + rb"(?:INTO\s+)?",
        "UPDATE": _MODIFIERS,
        "DELETE": _MODIFIERS + rb"FROM\s+",
        "CREATE": _OBJECT + _EXISTS,
        "ALTER": _OBJECT + _EXISTS,
        "DROP": _OBJECT + _EXISTS,
        "TRUNCATE": rb"(?:TABLE\s+)?",
        "RENAME": rb"TABLES?\s+" + _EXISTS,
        "LOAD": rb".*?\bINTO\s+TABLE\s+",
        "PREPARE": rb"",
    }.items()
}
_VARIABLES = re.compile(rb"@(?!@)\s*" + _PIECE + rb"(?=\s*:?=)")


def read(sql: bytes, *, backslash: bool = True) -> list[Part]:
    """The statements of a text, in order. `backslash`: whether the session takes a backslash for an escape."""
    if _ORDINARY.match(sql):
        ends = sql.find(b";")
        if (ends < 0 or not sql[ends + 1 :].strip()) and b"/*" not in sql and not _names_secret(sql):
            return [Part(Keep.WHOLE, "SELECT", "", sql if ends < 0 else sql[:ends], len(sql))]
    elif _WRITE.match(sql) and (noted := _plain_write(sql, backslash)):
        return [noted]
    return _read_exactly(sql, backslash)


def is_ordinary(sql: bytes) -> bool:
    """Whether a text is one SELECT that is kept whole, as it stands, whatever its numbers."""
    return _ORDINARY.match(sql) is not None and b";" not in sql and b"/*" not in sql and not _names_secret(sql)


def makes_secret(text: bytes) -> bool:
    """Whether a text, were it executed, may set a password."""
    return _SECRET_TEXT.search(text.upper().replace(b"\\", b"")) is not None


def _names_secret(text: bytes) -> bool:
    upper = text.upper()
    return b"PASSWORD" in upper or b"IDENTIFIED" in upper


def _plain_write(sql: bytes, backslash: bool) -> Part | None:
    """The note of a write that cannot read rows by any word in it; None when that takes a closer look."""
    upper = (outside_strings(sql, backslash=backslash) or sql).upper()
    if b"SELECT" in upper or b"TABLE" in upper or _ANOTHER.search(upper):
        return None
    head = next(skeletons(sql[:_HEAD], backslash=backslash), None)
    if head is None:
        return None
    verb = _verb(head)
    if verb == "UPDATE" and not _UPDATE_HEAD.match(head.code):
        return None
    return Part(Keep.NOTE, verb, _table(verb, head), b"", len(sql))


def _read_exactly(sql: bytes, backslash: bool) -> list[Part]:
    found = list(skeletons(sql, backslash=backslash))
    parts = _parts(found, sql)
    if b"\\" in sql and _names_secret(sql):
        other = skeletons(sql, backslash=not backslash)
        if [one.code for one in found] != [one.code for one in other]:
            return _doubted(parts, len(sql))
    return parts


def _doubted(parts: list[Part], length: int) -> list[Part]:
    """What is said of a text that reads otherwise when a backslash is taken otherwise, and that names a secret."""
    if any(part.keep is not Keep.NOTE for part in parts):
        return [_unread(parts[0].verb, length, UNSURE)]
    return [part._replace(table="", length=length) for part in parts[:1]]


def _parts(found: list[Skeleton], sql: bytes) -> list[Part]:
    parts: list[Part] = []
    for skeleton in found:
        rest = len(sql) - skeleton.start
        if _ROUTINE.match(skeleton.code):
            parts.append(Part(Keep.NOTE, _verb(skeleton), "", b"", rest))
            break
        if _COMPOUND.match(skeleton.code):
            parts.append(_unread(_verb(skeleton), rest, COMPOUND))
            break
        parts.append(_decide(skeleton, sql[skeleton.start : skeleton.end].strip()))
    return parts


def _decide(skeleton: Skeleton, text: bytes) -> Part:
    verb = _verb(skeleton)
    if not _may_read(verb, skeleton.code):
        return Part(Keep.NOTE, verb, _table(verb, skeleton), b"", len(text))
    if verb in _MAKES_SQL and makes_secret(text):
        if verb == "EXECUTE" or _READS.search(skeleton.code):
            return _unread(verb, len(text), UNSURE)
        return Part(Keep.NOTE, verb, _table(verb, skeleton), b"", len(text))
    if _tells_secret(verb, skeleton.code, text):
        return _unread(verb, len(text), UNSURE)
    table = _table(verb, skeleton) if verb == "SET" else ""
    return Part(Keep.WHOLE, verb, table, text, len(text), several=verb == "CALL")


def _may_read(verb: str, code: bytes) -> bool:
    match verb:
        case _ if verb in _WHOLE:
            return True
        case "DROP":
            return code.split()[1:2] == [b"PREPARE"]
        case "CREATE":
            table = _CREATE_TABLE.match(code)
            return table is not None and _READS.search(code, table.end()) is not None
        case "INSERT" | "REPLACE":
            return _READS.search(code) is not None
        case "UPDATE":
            return _READS.search(code) is not None or _UPDATES_SEVERAL.match(code) is not None
        case "DELETE":
            return _READS.search(code) is not None or _DELETES_SEVERAL.match(code) is not None
        case "LOAD":
            return b"SELECT" in code
    return False


def _tells_secret(verb: str, code: bytes, text: bytes) -> bool:
    if verb == "CREATE" and _CONNECTION.search(code):
        return True
    return _names_secret(text) and (
        _SECRET_CODE.search(code) is not None or (_ASSIGNS.search(code) is not None and makes_secret(text))
    )


def _unread(verb: str, length: int, reason: str) -> Part:
    return Part(Keep.UNREAD, verb, "", b"", length, reason)


def _verb(skeleton: Skeleton) -> str:
    found = _VERB.match(skeleton.code)
    return found.group(1).decode() if found else "?"


def _table(verb: str, skeleton: Skeleton) -> str:
    """The table that a statement is about, as `schema.table` without quotes; for SET the user variables it sets."""
    if verb == "SET":
        found = _VARIABLES.finditer(skeleton.code)
        return ", ".join(skeleton.unquoted(*variable.span()) for variable in found)
    pattern = _TABLES.get(verb)
    named = pattern.match(skeleton.code) if pattern else None
    return skeleton.unquoted(*named.span(1)) if named else ""
