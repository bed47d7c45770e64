"""Forms of MySQL that sqlglot does not know or writes as something else, respelt in a statement's tokens as forms that
it knows and that mean the same. What only asks for speed, a lock or a place for the result is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot.tokenizer_core import Token, TokenType

#: Words between SELECT and its list that change no result.
_MODIFIERS = frozenset(
    """HIGH_PRIORITY SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT SQL_CACHE SQL_NO_CACHE SQL_CALC_FOUND_ROWS
    STRAIGHT_JOIN""".split()
)
#: Functions that are called without parentheses, too.
_BARE_CALLS = frozenset({"UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP"})
_ODBC = {
    "D": (TokenType.DATE, "DATE"),
    "T": (TokenType.TIME, "TIME"),
    "TS": (TokenType.TIMESTAMP, "TIMESTAMP"),
}
_FIRST = frozenset({"FOR", "LOCK", "INTO", "FROM", "SELECT", "MATCH", "VALUES", "{"} | _BARE_CALLS)


def changed(token: Token, kind: TokenType, text: str) -> Token:
    """A token that stands for another one."""
    return Token(kind, text, token.line, token.col, token.start, token.end, [])


def respell(tokens: Sequence[Token], sql: str) -> list[Token]:
    """The tokens of a query in forms that the parser knows. `sql` is what they were cut from."""
    kept: list[Token] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        word = "" if token.token_type in (TokenType.IDENTIFIER, TokenType.STRING) else token.text.upper()
        if token.token_type is TokenType.HEX_STRING and sql[token.start : token.start + 2].lower() == "0x":
            # MariaDB takes x'41' for a string everywhere, 0x41 for a number beside numbers.
            kept.append(changed(token, TokenType.NUMBER, sql[token.start : token.end + 1]))
            index += 1
            continue
        if word not in _FIRST or (kept and kept[-1].token_type in (TokenType.DOT, TokenType.ALIAS)):
            kept.append(token)
            index += 1
            continue
        new, index = _respelt(tokens, index, word)
        kept += new
    return kept


def _respelt(tokens: Sequence[Token], index: int, word: str) -> tuple[list[Token], int]:
    """What stands for the form that begins here, and where the next one begins."""
    token, rest = tokens[index], tokens[index + 1 :][:4]
    words = [each.text.upper() for each in rest]
    if (word == "FOR" and words[:1] in (["UPDATE"], ["SHARE"])) or (word == "LOCK" and words[:2] == ["IN", "SHARE"]):
        return [], _lock_end(tokens, index + (2 if word == "FOR" else 4))
    if word == "INTO":
        end = _into_end(tokens, index + 1)
        return ([token], index + 1) if end is None else ([], end)
    if word == "FROM" and words[:1] == ["DUAL"] and rest[0].token_type is TokenType.VAR:
        return [], index + 2
    if word == "SELECT":
        return [token, *_select_words(tokens, index + 1)], _modifiers_end(tokens, index + 1)
    if word == "MATCH" and words[:1] != ["("]:
        return _match(tokens, index)
    if word == "VALUES" and words[:2] == ["ROW", "("]:
        return _rows(tokens, index, ["ROW", "("])
    if word == "VALUES" and words[:1] == ["("] and _word(tokens, index - 1) == "(":
        return _rows(tokens, index, ["("])
    if word == "{" and words[:1] and words[0] in _ODBC and words[2:3] == ["}"]:
        return [changed(rest[0], *_ODBC[words[0]]), rest[1]], index + 4
    if word in _BARE_CALLS and words[:1] != ["("]:
        return [token, changed(token, TokenType.L_PAREN, "("), changed(token, TokenType.R_PAREN, ")")], index + 1
    return [token], index + 1


def _lock_end(tokens: Sequence[Token], index: int) -> int:
    """Behind a locking clause: OF t, u · NOWAIT · SKIP LOCKED · WAIT n."""
    if _word(tokens, index) == "OF":
        index += 2
        while _word(tokens, index) in (",", "."):
            index += 2
    if _word(tokens, index) == "NOWAIT":
        return index + 1
    return index + 2 if _word(tokens, index) in ("SKIP", "WAIT") else index


def _into_end(tokens: Sequence[Token], index: int) -> int | None:
    """Behind INTO @a, @b or INTO OUTFILE '…' …; None where INTO is something else."""
    if _word(tokens, index) == "@":
        index += 2
        while _word(tokens, index) == "," and _word(tokens, index + 1) == "@":
            index += 3
        return index
    if _word(tokens, index) in ("OUTFILE", "DUMPFILE"):
        while index < len(tokens) and _word(tokens, index) not in ("FROM", "FOR", "LOCK", ";", ")"):
            index += 1
        return index
    return None


def _select_words(tokens: Sequence[Token], index: int) -> Iterator[Token]:
    for token in tokens[index : _modifiers_end(tokens, index)]:
        if token.text.upper() not in _MODIFIERS:
            yield token


def _modifiers_end(tokens: Sequence[Token], index: int) -> int:
    while _word(tokens, index) in _MODIFIERS | {"ALL", "DISTINCT", "DISTINCTROW"}:
        index += 1
    return index


def _match(tokens: Sequence[Token], index: int) -> tuple[list[Token], int]:
    """MATCH a, b AGAINST → MATCH (a, b) AGAINST."""
    end = index + 1
    while end < len(tokens) and tokens[end].text.upper() != "AGAINST":
        end += 1
    opening, closing = changed(tokens[index], TokenType.L_PAREN, "("), changed(tokens[index], TokenType.R_PAREN, ")")
    return [tokens[index], opening, *tokens[index + 1 : end], closing], end


def _rows(tokens: Sequence[Token], index: int, before: list[str]) -> tuple[list[Token], int]:
    """VALUES ROW(1, 2), ROW(3, 4) → SELECT 1 AS column_0, 2 AS column_1 UNION ALL SELECT 3, 4.

    `before` is what a row begins with: ROW( in MySQL, ( in MariaDB, whose columns are called by the first row's texts.
    """
    values, kept = tokens[index], [changed(tokens[index], TokenType.SELECT, "SELECT")]
    index += 1 + len(before)
    depth = row = column = 0
    while index < len(tokens):
        token = tokens[index]
        ends = depth == 0 and token.token_type in (TokenType.COMMA, TokenType.R_PAREN)
        if ends and row == 0 and len(before) > 1:
            kept += [changed(values, TokenType.ALIAS, "AS"), changed(values, TokenType.VAR, f"column_{column}")]
            column += 1
        depth += (token.token_type is TokenType.L_PAREN) - (token.token_type is TokenType.R_PAREN)
        index += 1
        if depth >= 0:
            kept.append(token)
            continue
        if [_word(tokens, index + n) for n in range(1 + len(before))] != [",", *before]:
            break
        kept += [
            changed(values, TokenType.UNION, "UNION"),
            changed(values, TokenType.ALL, "ALL"),
            changed(values, TokenType.SELECT, "SELECT"),
        ]
        index, depth, row = index + 1 + len(before), 0, row + 1
    return kept, index


def _word(tokens: Sequence[Token], index: int) -> str:
    """The word at an index, "" for a string or quoted name, or behind the end."""
    if index >= len(tokens) or tokens[index].token_type in (TokenType.IDENTIFIER, TokenType.STRING):
        return ""
    return tokens[index].text.upper()
