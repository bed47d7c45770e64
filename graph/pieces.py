"""What SHOW CREATE TABLE says in pieces, and where what begins in one ends."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from graph.scan import TokenKind, scan

_PIECE: Final = re.compile(r"\w+|\s+|.", re.DOTALL)


class UnknownFormError(ValueError):
    """The text is no CREATE TABLE."""


class Piece(NamedTuple):
    """A token, code as single words, spaces and signs. `kind` is a token's, or `word`, `space` or `sign`."""

    kind: str
    text: str

    @property
    def word(self) -> str:
        """A word in upper case, or a name in its backticks, which is none of the server's words; empty for all else."""
        return self.text.upper() if self.kind in ("word", TokenKind.NAME) else ""


def unquoted(name: str) -> str:
    """A name in backticks without these."""
    return name[1:-1].replace("``", "`")


def pieces_of(text: str) -> Iterator[Piece]:
    for kind, token in scan(text, ""):
        if kind in (TokenKind.CODE, TokenKind.SEMICOLON, TokenKind.PLACEHOLDER):
            for found in _PIECE.findall(token):
                yield Piece(
                    "space" if found.isspace() else "word" if found[0].isalnum() or found[0] == "_" else "sign", found
                )
        else:
            yield Piece(kind, token)


def text_of(pieces: Sequence[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def is_sign(piece: Piece, sign: str) -> bool:
    return piece.kind == "sign" and piece.text == sign


def find_sign(pieces: Sequence[Piece], sign: str) -> int | None:
    return next((index for index, piece in enumerate(pieces) if is_sign(piece, sign)), None)


def closing(pieces: Sequence[Piece], start: int) -> int:
    """Where the parenthesis closes that opens at `start`. Raises UnknownFormError."""
    depth = 0
    for index in range(start, len(pieces)):
        depth += is_sign(pieces[index], "(") - is_sign(pieces[index], ")")
        if not depth:
            return index
    raise UnknownFormError(text_of(pieces))


def split(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Cut at commas outside parentheses."""
    depth = begin = 0
    for index, piece in enumerate(pieces):
        depth += is_sign(piece, "(") - is_sign(piece, ")")
        if not depth and is_sign(piece, ","):
            yield list(pieces[begin:index])
            begin = index + 1
    yield list(pieces[begin:])


def after_spaces(pieces: Sequence[Piece], index: int) -> int:
    """The first place from there on that is no space; the end where there is none."""
    while index < len(pieces) and pieces[index].kind == "space":
        index += 1
    return index


def value_end(pieces: Sequence[Piece], index: int) -> int | None:
    """Where `= value` ends that begins at or after `index`; None where there is no `=`."""
    index = after_spaces(pieces, index)
    if index == len(pieces) or not is_sign(pieces[index], "="):
        return None
    return operand_end(pieces, index + 1)


def operand_end(pieces: Sequence[Piece], index: int) -> int:
    """Where the value ends that begins at or after `index`."""
    index = after_spaces(pieces, index)
    if index < len(pieces) and is_sign(pieces[index], "("):
        return closing(pieces, index) + 1
    return min(index + 1, len(pieces))


def comment_end(pieces: Sequence[Piece], index: int) -> int:
    """Where the executable comment ends that opens at `index`."""
    while index < len(pieces) and pieces[index].kind != TokenKind.CLOSE:
        index += 1
    return min(index + 1, len(pieces))


def words_of(pieces: Sequence[Piece]) -> str:
    return " ".join(piece.word for piece in pieces if piece.word)
