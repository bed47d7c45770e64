"""How names and values are written in SQL, and words in bash: the one place that knows.

Every text made here means the same under any sql_mode (ANSI_QUOTES and NO_BACKSLASH_ESCAPES included) on any
connection whose character set is utf8mb4, the only one that `graph` and the scripts use.
"""

from __future__ import annotations

import re

from graph.errors import InputError
from graph.names import TableName
from graph.visible import hides, in_bytes

#: Words that bash takes as they are.
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_@%+=:,./-]+", re.ASCII)


def identifier(name: str) -> str:
    """A column's, table's or schema's name in backticks. Raises InputError for what no name can be."""
    if not name or "\0" in name:
        raise InputError(f"{name!r} cannot be the name of anything in a database")
    return "`" + name.replace("`", "``") + "`"


def table(name: TableName) -> str:
    """A table's name with its schema."""
    return f"{identifier(name.schema)}.{identifier(name.name)}"


def string_literal(text: str) -> str:
    """A text value.

    In quotes where these cannot be misread, else (a backslash, which sql_mode may or may not make an escape,
    or any character that cannot be seen) as the hexadecimal of its UTF-8.
    """
    if "\\" in text or "\n" in text or "\t" in text or hides(text):
        return f"_utf8mb4 x'{text.encode('utf-8').hex().upper()}'"
    return "'" + text.replace("'", "''") + "'"


def bytes_literal(data: bytes) -> str:
    """A binary value."""
    return f"x'{data.hex().upper()}'"


def shell_word(text: str) -> str:
    """One word of a bash command that stands for exactly that text. Raises InputError for a NUL in it.

    Hidden characters are written out, in bash's `$'…'`.
    """
    if "\0" in text:
        raise InputError("a NUL character cannot be passed to a command")
    if _PLAIN_WORD.fullmatch(text):
        return text
    if hides(text):
        return f"$'{in_bytes(text)}'"
    return "'" + text.replace("'", "'\\''") + "'"
