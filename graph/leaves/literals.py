"""Long lists of literals, `x IN (1, 2, 3, …)`, taken out of the text before it is parsed.

A list of a million values is one node in the tree then: the text of the list as it was written, which the generator
puts back as it is. The parser sees a column with a made-up name in its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from sqlglot import exp

from graph.scan import quoted_tokens

#: Shorter lists are parsed as they are.
LONG = 64
_MARK = "djproxy_values_"
#: Elements that one match takes: the regular expression engine keeps a state for each.
_CHUNK = 32


class Values(NamedTuple):
    """The text between the parentheses of a list, and how many values it has."""

    text: str
    number: int


class Folded(NamedTuple):
    """A text whose long lists are names, and the lists by name."""

    sql: str
    lists: dict[str, Values]


class _Patterns(NamedTuple):
    opener: re.Pattern[str]
    chunk: re.Pattern[str]
    element: re.Pattern[str]
    string: re.Pattern[str]


@lru_cache(maxsize=4)
def _patterns(ansi: bool, escapes: bool) -> _Patterns:
    quotes = "'" if ansi else "'\""
    inside = r"[^{q}\\]*(?:(?:\\.|{q}{q})[^{q}\\]*)*" if escapes else r"[^{q}]*(?:{q}{q}[^{q}]*)*"
    # A quote that follows at once would be a doubled one.
    string = "|".join(f"{q}{inside.format(q=q)}{q}(?!{q})" for q in quotes)
    number = r"(?:[-+]\s*)?(?:0x[0-9a-f]+|0b[01]+|(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d+)?)(?![\w.$])"
    prefix = r"(?:(?:DATE|TIME|TIMESTAMP|_[a-z]\w*)\s*|[NXB])?"
    value = rf"(?:{prefix}(?:{string})|{number}|(?:NULL|TRUE|FALSE)\b)"
    row = rf"\(\s*{value}(?:\s*,\s*{value})*\s*\)"
    element = rf"\s*(?:{value}|{row})\s*"
    flags = re.DOTALL | re.IGNORECASE
    skipped = quoted_tokens(ansi=ansi, escapes=escapes)
    return _Patterns(
        re.compile(rf"(?P<skipped>{skipped})|(?P<open>(?<![\w$.@])IN\s*\()", flags),
        re.compile(rf"(?:{element},){{{_CHUNK}}}", flags),
        re.compile(rf"{element}([,)])", flags),
        re.compile(string, flags),
    )


def fold_lists(sql: str, *, ansi: bool = False, escapes: bool = True) -> Folded:
    """Takes the long lists out of a text; `ansi` and `escapes` say how it is read (see graph.scan)."""
    if len(sql) < 2 * LONG:
        return Folded(sql, {})
    patterns = _patterns(ansi, escapes)
    mark = _MARK
    while mark in sql:
        mark += "_"
    pieces: list[str] = []
    lists: dict[str, Values] = {}
    position = written = 0
    while (match := patterns.opener.search(sql, position)) is not None:
        position = match.end()
        if match.lastgroup != "open":
            continue
        found = _list_end(sql, position, patterns)
        if found is None or found[1] <= LONG:
            continue
        end, count = found
        name = f"{mark}{len(lists)}"
        text = sql[position:end]
        lists[name] = Values(text if escapes else _with_escapes(text, patterns.string), count)
        pieces += [sql[written:position], f"`{name}`"]
        written = position = end
    pieces.append(sql[written:])
    return Folded("".join(pieces), lists)


def _list_end(sql: str, start: int, patterns: _Patterns) -> tuple[int, int] | None:
    """Where a list of literals ends (at its closing parenthesis) and its length; None when it holds anything else."""
    position, count = start, 0
    while (match := patterns.chunk.match(sql, position)) is not None:
        position, count = match.end(), count + _CHUNK
    while (match := patterns.element.match(sql, position)) is not None:
        position, count = match.end(), count + 1
        if match.group(1) == ")":
            return position - 1, count
    return None


def _with_escapes(text: str, string: re.Pattern[str]) -> str:
    """The text of a session without backslash escapes as one with them reads it."""
    return string.sub(lambda match: match.group().replace("\\", "\\\\"), text) if "\\" in text else text


def put_back(tree: exp.Expr, lists: Mapping[str, Values]) -> None:
    """Gives the made-up names in a tree their lists, as text; `meta["values"]` is how many values they have."""
    if not lists:
        return
    for column in list(tree.find_all(exp.Column)):
        values = lists.get(column.name)
        if values is not None:
            node = exp.Var(this=values.text)
            node.meta["values"] = values.number
            column.replace(node)


def shortened(values: str, count: int) -> str:
    """A long list for people: how it begins, and how many values it has."""
    begin = values[:40].rsplit(",", 1)[0] if "," in values[:40] else values[:40]
    return f"{begin.strip()}, … {count} values"
