"""SET statements: which settings and variables they change, and to what, as far as a reader can tell.

Sans-IO. Values are evaluated only where they are literals, known variables, or CONCAT and REPLACE of such (the way
in which clients add a mode to sql_mode); everything else is `Unknown` with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from graph.scan import TokenKind, ansi_quotes, plain, scan, string_value


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that cannot be told."""

    why: str


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A literal that is best left as written: a number, hexadecimal, a string with an introducer."""

    text: str

    def __str__(self) -> str:
        """The literal."""
        return self.text


Value = str | None | Verbatim | Unknown
Lookup = Callable[[str], Value]


@dataclass(frozen=True, slots=True)
class Names:
    """SET NAMES, or SET CHARACTER SET (whose connection character set is the schema's: None)."""

    charset: str | None
    collation: str | None


@dataclass(frozen=True, slots=True)
class Variable:
    """SET @name = expression."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Setting:
    """SET [SESSION] name = expression; the name in lower case."""

    name: str
    expression: str


Change = Names | Variable | Setting

_NAMES = re.compile(
    r"(?:NAMES|CHARACTER\s+SET|CHARSET)\s+(?:'([^']*)'|\"([^\"]*)\"|(\w+))(?:\s+COLLATE\s+['\"]?(\w+)['\"]?)?\s*\Z",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"@(?!@)([\w.$]+|'[^']*'|\"[^\"]*\"|`[^`]*`)\s*:?=\s*(.+)\Z", re.DOTALL)
_SETTING = re.compile(
    r"(?:(SESSION|LOCAL|GLOBAL|PERSIST|PERSIST_ONLY)\s+|@@(?:(SESSION|LOCAL|GLOBAL|PERSIST|PERSIST_ONLY)\s*\.\s*)?)?"
    r"`?(\w+)`?\s*:?=\s*(.+)\Z",
    re.IGNORECASE | re.DOTALL,
)
_ELSEWHERE = frozenset({"GLOBAL", "PERSIST", "PERSIST_ONLY"})

_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\Z")
_HEXADECIMAL = re.compile(r"(?:0x[0-9A-Fa-f]+|[xX]'[0-9A-Fa-f]*'|0b[01]+|[bB]'[01]*')\Z")
_INTRODUCED = re.compile(r"(?:_[A-Za-z]\w*|[nN])\s*(?:'(?:[^'\\]|'')*'|[xX]'[0-9A-Fa-f]*'|0x[0-9A-Fa-f]+)\Z")
_SYSTEM = re.compile(r"@@(?:(\w+)\s*\.\s*)?(\w+)\Z")
_USER = re.compile(r"@(?!@)([\w.$]+|'[^']*'|\"[^\"]*\"|`[^`]*`)\Z")
_CALL = re.compile(r"(CONCAT|REPLACE)\s*\((.*)\)\Z", re.IGNORECASE | re.DOTALL)
_BARE = re.compile(r"[A-Za-z_]\w*\Z")
_WORDS: dict[str, Value] = {"NULL": None, "TRUE": Verbatim("1"), "FALSE": Verbatim("0")}


def comma_list(text: str, sql_mode: str | None = None) -> list[str]:
    """The parts of a list, cut at commas outside strings and parentheses."""
    parts: list[str] = [""]
    depth = 0
    for kind, token in scan(text, sql_mode):
        if kind is not TokenKind.CODE:
            parts[-1] += token
            continue
        for piece in re.split(r"([(),])", token):
            depth += (piece == "(") - (piece == ")")
            if piece == "," and depth == 0:
                parts.append("")
            else:
                parts[-1] += piece
    return [part.strip() for part in parts if part.strip()]


def parse(sql: str, sql_mode: str | None = None) -> Iterator[Change]:
    """What a SET statement changes in its own session, in order; what it does elsewhere is left out."""
    body = re.sub(r"\A\(*\s*SET\s+(?:STATEMENT\b.*)?", "", plain(sql, sql_mode), flags=re.IGNORECASE | re.DOTALL)
    scope = ""
    for part in comma_list(body.rstrip("; \n\t"), sql_mode):
        if names := _NAMES.match(part):
            single, double, bare, collation = names.groups()
            charset = single or double or bare
            known = part[:5].upper() == "NAMES" and charset.upper() != "DEFAULT"
            yield Names(charset.lower() if known else None, collation)
            if not known and charset.upper() != "DEFAULT":
                yield Setting("character_set_client", f"'{charset}'")
        elif variable := _VARIABLE.match(part):
            yield Variable(variable.group(1), variable.group(2).strip())
        elif setting := _SETTING.match(part):
            word, prefix, name, expression = setting.groups()
            # GLOBAL and its like hold for the plain names that follow.
            scope = (word or scope).upper()
            if (prefix or ("" if part.startswith("@@") else scope)).upper() not in _ELSEWHERE:
                yield Setting(name.lower(), expression.strip())


def evaluate(
    expression: str, sql_mode: str | None = None, lookup: Lookup | None = None, *, bare: bool = False
) -> Value:
    """The value of an expression: text, None for NULL, a literal to be left as it is, or `Unknown`.

    `bare`: a word is a string, as in `SET sql_mode = ANSI` or `SET time_zone = SYSTEM`.
    """
    text = _unwrapped(expression, sql_mode)
    if _NUMBER.match(text) or _HEXADECIMAL.match(text) or _INTRODUCED.match(text):
        return _utf8mb4_text(text)
    if text.upper() in _WORDS:
        return _WORDS[text.upper()]
    strings = _string(text, sql_mode)
    if strings is not None:
        return strings
    if (system := _SYSTEM.match(text)) and lookup:
        scope = (system.group(1) or "session").lower()
        return lookup(f"@@{scope}.{system.group(2).lower()}")
    if (user := _USER.match(text)) and lookup:
        return lookup("@" + user.group(1))
    if call := _CALL.match(text):
        return _call(call.group(1).upper(), comma_list(call.group(2), sql_mode), sql_mode, lookup)
    if bare and _BARE.match(text):
        return text
    return Unknown("it is computed by the server")


def _unwrapped(expression: str, sql_mode: str | None) -> str:
    """The expression without the parentheses around it, and without the SELECT of `(SELECT expression)`."""
    text = expression.strip()
    while text.startswith("(") and text.endswith(")") and len(comma_list(text[1:-1], sql_mode)) == 1:
        inner = text[1:-1].strip()
        if not _balanced(inner, sql_mode):
            break
        text = re.sub(r"\ASELECT\s+", "", inner, flags=re.IGNORECASE)
    return text


def _balanced(text: str, sql_mode: str | None) -> bool:
    depth = 0
    for kind, token in scan(text, sql_mode):
        if kind is TokenKind.CODE:
            for character in token:
                depth += (character == "(") - (character == ")")
                if depth < 0:
                    return False
    return depth == 0


def _utf8mb4_text(text: str) -> Value:
    """A `_utf8mb4 x'…'` literal, which is how `graph.quoting` writes some text, as that text."""
    match = re.match(r"_utf8mb4\s*x'([0-9A-Fa-f]*)'\Z", text, re.IGNORECASE)
    if match is None or len(match.group(1)) % 2:
        return Verbatim(text)
    return bytes.fromhex(match.group(1)).decode("utf-8", "replace")


def _string(text: str, sql_mode: str | None) -> str | None:
    """The value of one string literal, or of several in a row, which MySQL joins."""
    if not text or text[0] not in "'\"" or (text[0] == '"' and ansi_quotes(sql_mode)):
        return None
    value = ""
    for kind, token in scan(text, sql_mode):
        if kind is TokenKind.STRING:
            value += string_value(token, sql_mode)
        elif token.strip():
            return None
    return value


def _call(function: str, arguments: list[str], sql_mode: str | None, lookup: Lookup | None) -> Value:
    values: list[str] = []
    for argument in arguments:
        value = evaluate(argument, sql_mode, lookup)
        if isinstance(value, Unknown):
            return value
        if value is None:
            return None
        if isinstance(value, Verbatim) and not _NUMBER.match(value.text):
            return Unknown(f"{value} stands in {function}")
        values.append(str(value))
    if function == "CONCAT":
        return "".join(values)
    if len(values) != 3:
        return Unknown("REPLACE takes three arguments")
    return values[0].replace(values[1], values[2]) if values[1] else values[0]
