"""Long conditions over a table's own columns, as DataJoint's `& keys` writes them, taken out before they are parsed:

    (`a`="x")AND(`b`=1) OR (`a`="y")AND(`b`=2) OR … some thousand terms

Such a condition is one node in the tree: its columns, each once, as nodes that can be looked up, qualified and renamed,
and its text cut at the columns. Nothing about its meaning changes; only the columns in the text are written anew.

The node is a call of a made-up function. Whoever writes it as it is gets an error from the server, and two of them are
equal only where their texts are: the name holds a digest. `graph.leaves.render` writes the condition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlglot import exp
from sqlglot.tokenizer_core import Token, TokenType

from graph.leaves.literals import Values

#: Tokens from which on a condition is taken out.
LONG = 512
#: With more columns than this, the condition is parsed as it is.
_COLUMNS = 256
_MARK = "djproxy_condition_"
#: How much of a condition is shown to people.
_SHOWN_PIECES = 8

_NAMES = frozenset({TokenType.VAR, TokenType.IDENTIFIER})
_LITERALS = frozenset(
    {TokenType.NUMBER, TokenType.STRING, TokenType.HEX_STRING, TokenType.BIT_STRING}
    | {TokenType.NULL, TokenType.TRUE, TokenType.FALSE}
)
_OPERATORS = frozenset(
    {TokenType.EQ, TokenType.NEQ, TokenType.LT, TokenType.LTE, TokenType.GT, TokenType.GTE, TokenType.NULLSAFE_EQ}
    | {TokenType.AND, TokenType.DAMP, TokenType.OR, TokenType.NOT, TokenType.IS, TokenType.IN, TokenType.BETWEEN}
    | {TokenType.LIKE, TokenType.DASH, TokenType.COMMA, TokenType.L_PAREN, TokenType.R_PAREN, TokenType.DOT}
)
_FLAT = _NAMES | _LITERALS | _OPERATORS
#: What a parenthesised condition follows; anything else may be a function's name or an IN.
_BEFORE = frozenset(
    {TokenType.WHERE, TokenType.HAVING, TokenType.ON, TokenType.AND, TokenType.DAMP, TokenType.OR, TokenType.NOT}
    | {TokenType.L_PAREN}
)
#: Words that are no columns, though the tokenizer takes them for names.
_WORDS = frozenset({"UNKNOWN", "UTC_DATE", "UTC_TIME", "UTC_TIMESTAMP", "DEFAULT"})
_CLAUSES = frozenset({TokenType.WHERE, TokenType.HAVING, TokenType.ON})
#: What may follow a condition that stands in a clause without parentheses.
_AFTER = frozenset(
    {TokenType.R_PAREN, TokenType.GROUP_BY, TokenType.HAVING, TokenType.ORDER_BY, TokenType.LIMIT, TokenType.UNION}
    | {TokenType.EXCEPT, TokenType.INTERSECT, TokenType.WHERE, TokenType.COMMA, TokenType.JOIN, TokenType.INNER}
    | {TokenType.LEFT, TokenType.RIGHT, TokenType.NATURAL, TokenType.CROSS, TokenType.STRAIGHT_JOIN, TokenType.FOR}
    | {TokenType.WINDOW, TokenType.OFFSET}
)


class Condition(NamedTuple):
    """The pieces of a condition: text, and between them numbers of columns; and how many terms its OR has."""

    pieces: tuple[str | int, ...]
    terms: int


def fold_conditions(tokens: Sequence[Token], token_text: TokenText) -> tuple[list[Token], dict[str, Condition]]:
    """Takes long conditions out of a statement's tokens: the tokens that are left, and the conditions by the name of
    the function that stands for them."""
    if len(tokens) < LONG:
        return list(tokens), {}
    mark = _MARK
    while mark in token_text.sql:
        mark += "_"
    kept: list[Token] = []
    conditions: dict[str, Condition] = {}
    position = 0
    for start, end in _long_conditions(tokens):
        folded = _fold(tokens[start:end], token_text)
        if folded is None:
            continue
        condition, columns = folded
        digest = hashlib.sha256(repr(condition.pieces).encode("utf-8", "surrogatepass")).hexdigest()
        name = f"{mark}{digest[:32]}"
        conditions[name] = condition
        kept += tokens[position:start]
        kept += _call(name, columns, tokens[start])
        position = end
    return [*kept, *tokens[position:]], conditions


class TokenText:
    """The text of a token, as a session with backslash escapes and without ANSI_QUOTES reads it."""

    def __init__(self, sql: str, lists: Mapping[str, Values], *, escapes: bool) -> None:
        self.sql = sql
        self._lists = lists
        self._escapes = escapes

    def list_text(self, name: str) -> str | None:
        """The text of a list that was taken out before, by its made-up name."""
        values = self._lists.get(name)
        return values.text if values is not None else None

    def __call__(self, token: Token) -> str:
        if token.token_type not in _LITERALS:
            return token.text
        if token.token_type is TokenType.STRING and not self._escapes:
            return "'" + token.text.replace("\\", "\\\\").replace("'", "''") + "'"
        return self.sql[token.start : token.end + 1]

    def is_safe(self, token: Token) -> bool:
        """Whether the token's text means the same in all sessions; without escapes, LIKE patterns have none either."""
        return self._escapes or token.token_type is not TokenType.LIKE


def _long_conditions(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Where conditions stand that can be taken out, from … to, the outermost ones, in order."""
    partners, flat = _groups(tokens)
    index = 0
    while index < len(tokens):
        kind = tokens[index].token_type
        end = None
        if kind in _CLAUSES:
            end = _clause_end(tokens, index + 1, partners, flat)
            start = index + 1
        elif kind is TokenType.L_PAREN and flat.get(index) and index and tokens[index - 1].token_type in _BEFORE:
            start, end = index, partners[index] + 1
        if end is not None and end - start >= LONG and _is_alternative(tokens, start, end, partners):
            yield start, end
            index = end
        else:
            index += 1


def _groups(tokens: Sequence[Token]) -> tuple[dict[int, int], dict[int, bool]]:
    """For each opening parenthesis where it closes, and whether all between is flat."""
    partners: dict[int, int] = {}
    flat: dict[int, bool] = {}
    open_groups: list[int] = []
    good: list[bool] = []
    for index, token in enumerate(tokens):
        kind = token.token_type
        if kind is TokenType.L_PAREN:
            open_groups.append(index)
            # A name before a parenthesis is a function's.
            if good and index and tokens[index - 1].token_type in _NAMES:
                good[-1] = False
            good.append(True)
        elif kind is TokenType.R_PAREN:
            if open_groups:
                start, inside = open_groups.pop(), good.pop()
                partners[start], flat[start] = index, inside
                if good:
                    good[-1] = good[-1] and inside
        elif good and not _is_flat(tokens, index):
            good[-1] = False
    return partners, flat


def _is_flat(tokens: Sequence[Token], index: int) -> bool:
    kind = tokens[index].token_type
    if kind not in _FLAT:
        return False
    if kind in _NAMES or kind in _LITERALS:
        if kind is TokenType.VAR and tokens[index].text.upper() in _WORDS:
            return False
        # Two in a row are an introducer, a typed literal, strings to be joined: left to the parser.
        following = tokens[index + 1].token_type if index + 1 < len(tokens) else None
        return following not in _NAMES and following not in _LITERALS
    return True


def _clause_end(tokens: Sequence[Token], start: int, partners: dict[int, int], flat: dict[int, bool]) -> int | None:
    """Where the condition of a clause ends, None when it is not flat."""
    index = start
    while index < len(tokens):
        kind = tokens[index].token_type
        if kind is TokenType.L_PAREN:
            if not flat.get(index) or tokens[index - 1].token_type in _NAMES:
                return None
            index = partners[index] + 1
        elif kind in (TokenType.R_PAREN, TokenType.COMMA):
            return index
        elif kind in _FLAT:
            if not _is_flat(tokens, index):
                return None
            index += 1
        else:
            return index if kind in _AFTER else None
    return index


def _is_alternative(tokens: Sequence[Token], start: int, end: int, partners: dict[int, int]) -> bool:
    """Whether a condition is an OR of terms. An AND is left as it is: its parts are looked at one by one."""
    while tokens[start].token_type is TokenType.L_PAREN and partners.get(start) == end - 1:
        start, end = start + 1, end - 1
    return _terms(tokens, start, end, partners) > 1


def _terms(tokens: Sequence[Token], start: int, end: int, partners: dict[int, int]) -> int:
    terms, index = 1, start
    while index < end:
        kind = tokens[index].token_type
        if kind is TokenType.COMMA:
            return 0
        terms += kind is TokenType.OR
        index = partners[index] + 1 if kind is TokenType.L_PAREN else index + 1
    return terms


def _fold(tokens: Sequence[Token], token_text: TokenText) -> tuple[Condition, list[list[Token]]] | None:
    """A condition's pieces and its columns, as the tokens of their names; None with too many columns."""
    pieces: list[str | int] = []
    text: list[str] = []
    columns: dict[tuple[str, ...], int] = {}
    names: list[list[Token]] = []
    index = 0
    while index < len(tokens):
        token = tokens[index]
        listed = token_text.list_text(token.text) if token.token_type is TokenType.IDENTIFIER else None
        if listed is not None:
            text.append(listed)
            index += 1
        elif token.token_type in _NAMES:
            end = index + 1
            while end + 1 < len(tokens) and tokens[end].token_type is TokenType.DOT:
                end += 2
            name = list(tokens[index:end])
            number = columns.setdefault(tuple(each.text for each in name), len(columns))
            if number == len(names):
                names.append(name)
            pieces += [" ".join(text), number]
            text = []
            index = end
        elif token.token_type is TokenType.DOT or not token_text.is_safe(token):
            return None
        else:
            text.append(token_text(token))
            index += 1
    if not names or len(names) > _COLUMNS:
        return None
    terms = 1 + sum(token.token_type is TokenType.OR for token in tokens)
    return Condition((*pieces, " ".join(text)), terms), names


def _call(name: str, columns: Sequence[Sequence[Token]], place: Token) -> Iterator[Token]:
    def made(kind: TokenType, text: str) -> Token:
        return Token(kind, text, place.line, place.col, place.start, place.end, [])

    yield made(TokenType.L_PAREN, "(")
    yield made(TokenType.VAR, name)
    yield made(TokenType.L_PAREN, "(")
    for number, column in enumerate(columns):
        if number:
            yield made(TokenType.COMMA, ",")
        yield from column
    yield made(TokenType.R_PAREN, ")")
    yield made(TokenType.R_PAREN, ")")


def put_back(tree: exp.Expr, conditions: Mapping[str, Condition]) -> None:
    """Gives the calls of the made-up functions their conditions."""
    if not conditions:
        return
    for node in tree.find_all(exp.Anonymous):
        condition = conditions.get(node.name)
        if condition is not None:
            node.args["pieces"] = condition.pieces
            node.meta["terms"] = condition.terms


def is_condition(node: exp.Expr) -> bool:
    """Whether a node stands for a condition that was taken out."""
    return isinstance(node, exp.Anonymous) and "pieces" in node.args


def written(node: exp.Expr, columns: Sequence[str]) -> str:
    """The condition that a node stands for, with its columns (the node's `expressions`) written so."""
    return "(" + " ".join(columns[each] if isinstance(each, int) else each for each in node.args["pieces"]) + ")"


def shortened(node: exp.Expr) -> str:
    """The condition that a node stands for, for people: how it begins, and how many terms it has."""
    columns = [column.sql(dialect="mysql") for column in node.expressions]
    begin = " ".join(columns[each] if isinstance(each, int) else each for each in node.args["pieces"][:_SHOWN_PIECES])
    return f"({begin} … {node.meta['terms']} terms)"
