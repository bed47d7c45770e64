"""For tests: characters that a terminal obeys or that nobody sees, and whether a text shows any as it is."""

from __future__ import annotations

import unicodedata
from pathlib import Path

#: An escape sequence, a title, a bell, a backspace, a carriage return, DEL and CSI as one character.
CONTROLS = "\x1b[31m\x1b]0;x\x07\x08\r\x7f\x9b"
#: Overrides, isolates, marks, spaces without width, line separators, a byte order mark, a tag.
FORMATS = "\u202e\u202d\u2066\u2069\u200e\u061c\u200b\u2060\u00ad\u2028\u2029\ufeff"
TAG = "\U000e0041"
DANGEROUS = CONTROLS + FORMATS

_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def dangerous(text: str) -> str:
    """The characters of a text that must not reach a terminal."""
    return "".join(sorted({each for each in text if unicodedata.category(each) in _CATEGORIES and each not in "\n\t"}))


def assert_harmless(output: str | bytes, what: object = "") -> None:
    """A text that may be printed as it is; bytes must be UTF-8."""
    text = output if isinstance(output, str) else output.decode("utf-8")
    assert dangerous(text) == "", (what, text)


def assert_files_harmless(folder: Path) -> None:
    """All files of a bundle but the slice may be printed."""
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith("slice.sql"):
            assert_harmless(path.read_bytes(), path)
