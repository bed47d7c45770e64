"""Characters that a terminal obeys or that a reader cannot see: which these are, and how they are written out.

Names, recorded texts and what servers say may hold escape sequences, marks that turn the direction of writing, and
characters without any width. What people look at (the terminal, scripts, documents) has none of them as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby
from typing import Final

#: By Unicode: controls, formats, surrogates, line separators, and what is by default not shown.
_RANGES: Final = (
    *((0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x34F, 0x34F), (0x600, 0x605), (0x61C, 0x61C), (0x6DD, 0x6DD)),
    *((0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180E, 0x180E)),
    *((0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xD800, 0xDFFF), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD), (0x13430, 0x1343F)),
    *((0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE00FF), (0xE01F0, 0xE0FFF)),
)
#: They choose among the shapes of the character before them.
_SELECTORS: Final = "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_JOINER: Final = 0x200D
#: What the joiner makes one picture of.
_PICTURES: Final = "\u2190-\u2bff\U0001f000-\U0001faff"
#: Ends a line, or sets things apart in it: everywhere but in what must stay on one line.
_ORDINARY: Final = (0x09, 0x0A)


def _class(ordinary: tuple[int, ...]) -> str:
    """What is hidden wherever it stands, as a class of a regular expression."""
    points = [point for first, last in _RANGES for point in range(first, last + 1)]
    kept = [point for point in points if point not in (*ordinary, _JOINER)]
    return "[" + "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in _runs(kept)) + "]"


def _runs(points: list[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as ranges."""
    for _, group in groupby(enumerate(points), lambda each: each[1] - each[0]):
        run = [point for _, point in group]
        yield run[0], run[-1]


#: A joiner between pictures and a selector after a letter or picture are a part of these.
_IN_CONTEXT: Final = (
    rf"(?<![{_PICTURES}\ufe0f])\u200d|\u200d(?![{_PICTURES}])"
    rf"|(?:(?<=[\0-\x7f{_SELECTORS}])|\A)(?!\ufe0f\u20e3)[{_SELECTORS}]"
)
_HIDDEN: Final = re.compile(f"{_class(_ORDINARY)}|{_IN_CONTEXT}")
_HIDDEN_OR_BREAK: Final = re.compile(f"{_class(())}|{_IN_CONTEXT}")
_WHITE: Final = re.compile(r"(?:[ \t\n]|\r\n)+")
#: What `escaped` writes.
_ESCAPE: Final = re.compile(r"\\(?:(\\)|x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))")


def hides(text: str) -> bool:
    """Whether a text has characters that must be written out; line breaks and tabs need not be."""
    return not (text.isascii() and text.isprintable()) and _HIDDEN.search(text) is not None


def visible(text: str) -> str:
    """A text for people, in one line: hidden characters as `\\x1b` or `\\u202e`, bytes that are no UTF-8 as `\\xff`."""
    return text if text.isascii() and text.isprintable() else _HIDDEN_OR_BREAK.sub(_spelled, text)


def visible_lines(text: str) -> str:
    """The same for a text of several lines, which it keeps."""
    return _HIDDEN.sub(_spelled, text)


def flat(text: str) -> str:
    """The same with runs of spaces and line breaks as one space: SQL and other texts of several lines in one."""
    return visible(_WHITE.sub(" ", text).strip(" "))


def _spelled(found: re.Match[str]) -> str:
    point = ord(found[0])
    if point in _ORDINARY:
        return "\\t" if point == 0x09 else "\\n"
    if 0xDC80 <= point <= 0xDCFF:
        # How `surrogateescape` keeps a byte.
        return f"\\x{point - 0xDC00:02x}"
    if point <= 0x7F:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def escaped(text: str) -> str:
    """A text of which `unescaped` makes the same: hidden characters written out, and backslashes where they mislead."""
    if not hides(text) and _ESCAPE.search(text) is None:
        return text
    return visible_lines(text.replace("\\", "\\\\"))


def unescaped(text: str) -> str:
    """What `escaped` was given. Raises ValueError for the number of no character."""
    return _ESCAPE.sub(_meant, text)


def _meant(found: re.Match[str]) -> str:
    backslash, byte, *points = found.groups()
    if backslash:
        return "\\"
    if byte:
        return bytes.fromhex(byte).decode("utf-8", "surrogateescape")
    return chr(int(points[0] or points[1], 16))


def json_text(document: object, indent: int = 2, *, ascii_only: bool = False) -> str:
    """A document as JSON that hides nothing, and reads back as the same."""
    text = json.dumps(document, indent=indent, ensure_ascii=ascii_only)
    return _HIDDEN.sub(lambda found: _units("\\u", found[0]), text)


def _units(sign: str, character: str) -> str:
    """A character's UTF-16, as JSON has it."""
    data = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"{sign}{data[start : start + 2].hex()}" for start in range(0, len(data), 2))


def written_in_yaml(text: str) -> str:
    """YAML in which hidden characters, which stand in double quotes there, are written out."""
    return _HIDDEN.sub(lambda found: _yaml_escape(ord(found[0])), text)


def _yaml_escape(point: int) -> str:
    if point <= 0xFF:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


def in_bytes(text: str) -> str:
    """A text in bash's `$'…'`, without the quotes: hidden characters as their bytes in octal."""
    return _HIDDEN.sub(_octal, text.replace("\\", "\\\\").replace("'", "\\'"))


def _octal(found: re.Match[str]) -> str:
    return "".join(f"\\{byte:03o}" for byte in found[0].encode("utf-8", "surrogateescape"))


def byte_patterns() -> list[str]:
    """Patterns for single bytes, for bash's `$'…'`, of the hidden characters beyond ASCII in UTF-8."""
    points = [p for first, last in _RANGES for p in range(first, last + 1) if p > 0x7F and not 0xD800 <= p <= 0xDFFF]
    last_bytes: dict[bytes, list[int]] = {}
    for data in (chr(point).encode("utf-8") for point in points):
        last_bytes.setdefault(data[:-1], []).append(data[-1])
    return ["".join(f"\\{byte:03o}" for byte in head) + _one_of(ends) for head, ends in last_bytes.items()]


def _one_of(ends: list[int]) -> str:
    return "[" + "".join(f"\\{first:03o}-\\{last:03o}" for first, last in _runs(ends)) + "]"
