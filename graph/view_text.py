"""What SHOW CREATE VIEW says, cut into its parts.

information_schema.VIEWS has other texts: MySQL's hold functions that only the server itself may call, and they lack the
names that a view gives its columns.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from graph.scan import TokenKind, scan

_NAME: Final = r"`(?:[^`]|``)*`"
_HEAD: Final = re.compile(
    rf"CREATE (?:ALGORITHM=(?P<algorithm>\w+) )?DEFINER={_NAME}(?:@{_NAME})? SQL SECURITY \w+"
    rf" VIEW (?:{_NAME}\.)?{_NAME}(?: (?P<columns>\((?:{_NAME},?)+\)))? AS "
)
_INTRODUCER: Final = re.compile(r"(?<!\w)_\w+\Z")
#: No text ends so: its last sign is a quote.
_CHECK: Final = re.compile(r" WITH (?:LOCAL|CASCADED) CHECK OPTION\Z")


@dataclass(frozen=True, slots=True)
class ViewForm:
    """What belongs to a view beside its SELECT: its ALGORITHM if it has one, its columns in parentheses if they have
    names of their own, its WITH … CHECK OPTION, and the collation of its texts where that is not one of utf8mb4."""

    algorithm: str = ""
    columns: str = ""
    check: str = ""
    collation: str = ""


PLAIN: Final = ViewForm()


def view_parts(shown: str) -> tuple[str, ViewForm] | None:
    """A view's SELECT and form, from what SHOW CREATE VIEW says in another default schema than the view's; None for
    what is no such text."""
    head = _HEAD.match(shown)
    if head is None:
        return None
    check = _CHECK.search(shown, head.end())
    select = shown[head.end() : check.start() if check else len(shown)].strip()
    algorithm = head["algorithm"] or ""
    return select, ViewForm(
        "" if algorithm == "UNDEFINED" else algorithm, head["columns"] or "", check.group().strip() if check else ""
    )


def has_raw_bytes(select: str) -> bool:
    """Whether a text says of which character set its bytes are, and has some beyond ASCII: `_latin1'é'`."""
    introduced = False
    for kind, text in scan(select, ""):
        if kind is TokenKind.STRING and introduced and not text.isascii():
            return True
        introduced = kind is TokenKind.CODE and _INTRODUCER.search(text) is not None
    return False


def calls_stored_function(select: str) -> bool:
    """Whether a view's SELECT calls a function of a schema, which the server writes as `schema`.`name`(…)."""
    dotted = called = False
    previous = ""
    for kind, text in scan(select, ""):
        if kind is TokenKind.NAME:
            called, dotted = dotted, False
        elif kind is TokenKind.CODE:
            if called and text.startswith("("):
                return True
            called, dotted = False, text == "." and previous == TokenKind.NAME
        else:
            called = dotted = False
        previous = kind
    return False
