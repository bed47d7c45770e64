"""What is changed in a statement's tokens before sqlglot's parser sees them, so that the tree says what the text said.

The parser knows hundreds of functions by name and writes many of them as another expression (`LEFT(a, 2)` as a
substring, `MONTHNAME(d)` as a format). A function that no rule looks into is called by a made-up name, which the
parser leaves alone; `restore` gives it its own name again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from sqlglot import exp
from sqlglot.parsers.mysql import MySQLParser
from sqlglot.tokenizer_core import Token, TokenType

from graph.leaves.spelling import changed

_FUNCTION = "djproxy_function_"

#: Functions that rules look into: aggregates and window functions.
_KNOWN = frozenset(
    """COUNT SUM MIN MAX AVG BIT_AND BIT_OR BIT_XOR STD STDDEV STDDEV_POP STDDEV_SAMP VAR_POP VAR_SAMP VARIANCE
    GROUP_CONCAT JSON_ARRAYAGG JSON_OBJECTAGG ROW_NUMBER RANK DENSE_RANK PERCENT_RANK CUME_DIST NTILE LAG LEAD
    FIRST_VALUE LAST_VALUE NTH_VALUE""".split()
)
#: Functions whose arguments are written with words of their own; the parser has a method for each.
_WITH_SYNTAX = frozenset(
    """CAST CONVERT EXTRACT POSITION TRIM SUBSTRING SUBSTR MID CHAR MATCH JSON_VALUE JSON_TABLE WEIGHT_STRING
    VALUES ROW TIMESTAMPADD TIMESTAMPDIFF""".split()
)
#: Words before a parenthesis that call nothing.
_OPERATORS = frozenset("LIKE EXISTS CASE AND OR XOR UNNEST DATETIME".split())
_PARSED = (
    (frozenset(MySQLParser.FUNCTIONS) | frozenset(MySQLParser.FUNCTION_PARSERS)) - _KNOWN - _WITH_SYNTAX - _OPERATORS
)
#: Types that CONVERT(x, TIME(3)) and functions of the same name share.
_SIZED_TYPES = frozenset({"TIME", "YEAR", "TIMESTAMP", "DATE"})
#: What ends an operand: NOT after it belongs to NOT IN, NOT LIKE, NOT BETWEEN, IS NOT.
_OPERAND_ENDS = frozenset(
    {TokenType.VAR, TokenType.IDENTIFIER, TokenType.NUMBER, TokenType.STRING, TokenType.R_PAREN, TokenType.NULL}
    | {TokenType.TRUE, TokenType.FALSE, TokenType.HEX_STRING, TokenType.BIT_STRING, TokenType.IS}
)
#: Shorter chains of AND or OR stay as the parser leaves them.
_LONG_CHAIN = 32


def keep_functions(tokens: Sequence[Token]) -> list[Token]:
    """Calls of functions that the parser would take apart are given names that it does not know."""
    kept = list(tokens)
    for index, (token, following) in enumerate(pairwise(tokens)):
        if following.token_type is not TokenType.L_PAREN or token.token_type is TokenType.IDENTIFIER:
            continue
        if token.text.upper() in _PARSED and token.token_type in MySQLParser.FUNC_TOKENS and _calls(tokens, index):
            kept[index] = changed(token, TokenType.VAR, _FUNCTION + token.text)
    return kept


def _calls(tokens: Sequence[Token], index: int) -> bool:
    """Whether a name before a parenthesis is a function's: neither an infix operator (a MOD (b)) nor a type."""
    before = tokens[index - 1] if index else None
    if before is None:
        return True
    if before.token_type in _OPERAND_ENDS or before.token_type is TokenType.ALIAS or before.text.upper() == "RETURNING":
        return False
    kinds = [token.token_type for token in tokens[index + 2 : index + 5]]
    size = [TokenType.NUMBER, TokenType.R_PAREN, TokenType.R_PAREN]
    return not (before.token_type is TokenType.COMMA and tokens[index].text.upper() in _SIZED_TYPES and kinds == size)


def restore(tree: exp.Expr) -> None:
    """Gives functions their own names again."""
    for node in tree.find_all(exp.Anonymous, exp.Identifier):
        name = node.this
        if isinstance(name, str) and name.startswith(_FUNCTION):
            node.set("this", name.removeprefix(_FUNCTION))


def single_parentheses(tokens: Sequence[Token]) -> list[Token]:
    """(((((x))))) with two pairs of parentheses around x: a call's or an IN's, and those of what stands in it."""
    openings = [token.token_type is TokenType.L_PAREN for token in tokens]
    if not any(openings[i] and openings[i + 1] and openings[i + 2] for i in range(len(tokens) - 2)):
        return list(tokens)
    partners: dict[int, int] = {}
    stack: list[int] = []
    for index, token in enumerate(tokens):
        if token.token_type is TokenType.L_PAREN:
            stack.append(index)
        elif token.token_type is TokenType.R_PAREN and stack:
            partners[stack.pop()] = index
    dropped: set[int] = set()
    for start, end in partners.items():
        if partners.get(start + 1) == end - 1 and partners.get(start + 2) == end - 2:
            dropped |= {start, end}
    return [token for index, token in enumerate(tokens) if index not in dropped]


def pipes_as_concat(tokens: Sequence[Token]) -> list[Token]:
    """`||` under PIPES_AS_CONCAT, as the operator `^`: it binds as strongly. `concatenations` makes it CONCAT."""
    return [changed(t, TokenType.CARET, "^") if t.token_type is TokenType.DPIPE else t for t in tokens]


def concatenations(tree: exp.Expr) -> exp.Expr:
    """The tree with each `^` (there are no others) as CONCAT."""
    for node in list(tree.find_all(exp.BitwiseXor))[::-1]:
        call = exp.Anonymous(this="CONCAT", expressions=[node.this, node.expression])
        if node is tree:
            return call
        node.replace(call)
    return tree


def high_not(tokens: Sequence[Token]) -> list[Token]:
    """Prefix NOT under HIGH_NOT_PRECEDENCE, as `!`: it binds as strongly."""
    kept = list(tokens)
    for index, token in enumerate(tokens):
        before = tokens[index - 1].token_type if index else None
        if token.token_type is TokenType.NOT and before not in _OPERAND_ENDS:
            kept[index] = changed(token, TokenType.NOT, "!")
    return kept


def balance(tree: exp.Expr) -> None:
    """Long chains of AND and OR as trees of little depth: (((a OR b) OR c) OR d) as (a OR b) OR (c OR d).

    The parser leans them to the left, and whatever walks the tree by recursion would run out of stack.
    """
    for node in list(tree.find_all(exp.And, exp.Or)):
        kind = type(node)
        if type(node.parent) is kind or type(node.this) is not kind:
            continue
        operands: list[exp.Expr] = []
        spine: exp.Expr = node
        while type(spine) is kind:
            operands.append(spine.expression)
            spine = spine.this
        operands.append(spine)
        if len(operands) > _LONG_CHAIN:
            operands.reverse()
            half = len(operands) // 2
            node.set("this", _balanced(kind, operands[:half]))
            node.set("expression", _balanced(kind, operands[half:]))


def _balanced(kind: type[exp.Expr], operands: Sequence[exp.Expr]) -> exp.Expr:
    if len(operands) == 1:
        return operands[0]
    half = len(operands) // 2
    return kind(this=_balanced(kind, operands[:half]), expression=_balanced(kind, operands[half:]))


def has_unclear_pattern(tree: exp.Expr) -> bool:
    """Whether a LIKE has a pattern with a backslash, or one that may have: without backslash escapes, MySQL takes it
    for itself and MariaDB for the escape character."""
    return any(
        not isinstance(node.expression, exp.Literal) or "\\" in node.expression.name
        for node in tree.find_all(exp.Like)
        if not isinstance(node.parent, exp.Escape)
    )
