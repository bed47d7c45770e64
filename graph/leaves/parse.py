"""Text to syntax tree: the query inside a statement, as sqlglot reads it under the session's sql_mode.

Executable comments are opened as the server does. Long lists of literals and long conditions are taken out before the
parser sees them and put back as single nodes, so that what a client writes by the thousand costs next to nothing.
What sqlglot would change silently is kept from it, or refused rather than guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.dialects.mysql import MySQL
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from graph.leaves.changes import changed_tables, reading_side
from graph.leaves.conditions import TokenText, fold_conditions
from graph.leaves.conditions import put_back as conditions_put_back
from graph.leaves.literals import Values, fold_lists
from graph.leaves.literals import put_back as lists_put_back
from graph.leaves.spelling import respell
from graph.leaves.tokens import (
    balance,
    concatenations,
    has_unclear_pattern,
    high_not,
    keep_functions,
    pipes_as_concat,
    restore,
    single_parentheses,
)
from graph.leaves.unreadable import ReadsNothing, Unreadable
from graph.names import TableName, is_housekeeping
from graph.scan import ansi_quotes, backslash_escapes, open_comments
from graph.statement import Session


class _AnsiQuotes(MySQL):
    """MySQL under ANSI_QUOTES: double quotes enclose identifiers."""

    class Tokenizer(MySQL.Tokenizer):
        QUOTES = ["'"]  # noqa: RUF012
        IDENTIFIERS = ["`", '"']  # noqa: RUF012


class _NoBackslash(MySQL):
    """MySQL under NO_BACKSLASH_ESCAPES."""

    class Tokenizer(MySQL.Tokenizer):
        STRING_ESCAPES = ["'", '"']  # noqa: RUF012


class _AnsiNoBackslash(MySQL):
    """MySQL under both."""

    class Tokenizer(MySQL.Tokenizer):
        QUOTES = ["'"]  # noqa: RUF012
        IDENTIFIERS = ["`", '"']  # noqa: RUF012
        STRING_ESCAPES = ["'"]  # noqa: RUF012


#: Modes that change how text is read. The rules that we write are evaluated without them: they are written for none.
LEXICAL_MODES = frozenset({"ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT", "HIGH_NOT_PRECEDENCE"})
#: Combination modes that switch ANSI_QUOTES and PIPES_AS_CONCAT on.
ANSI_MODES = frozenset({"ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"})

#: First words of statements that write what their query gives.
WRITING_VERBS = frozenset({"INSERT", "REPLACE", "CREATE", "UPDATE", "DELETE"})

_REPLACE = re.compile(r"\A(?:\s|/\*(?!!).*?\*/|(?:--\s|#)[^\n]*\n)*REPLACE\b", re.IGNORECASE | re.DOTALL)
#: What may stand between UPDATE or DELETE and the tables.
_MODIFIERS = frozenset({"LOW_PRIORITY", "QUICK", "IGNORE"})


@dataclass(frozen=True, slots=True)
class Query:
    """The reading part of a statement.

    `verb` is the statement's first word, `tree` its SELECT (or set operation), `target` the table that an
    INSERT … SELECT, a CREATE TABLE … SELECT, an UPDATE or a DELETE writes. `stores` says that its rows go elsewhere
    than to the client (INTO @v, INTO OUTFILE).
    """

    verb: str
    tree: exp.Query
    target: exp.Table | None = None
    stores: bool = False

    @property
    def only_reads(self) -> bool:
        """Whether the statement itself does nothing but give the query's rows."""
        return not self.stores and self.verb not in WRITING_VERBS


def modes(session: Session) -> frozenset[str]:
    """The sql_mode's words, combination modes spelled out as far as they change how text is read."""
    words = frozenset(word.strip().upper() for word in (session.sql_mode or "").split(",") if word.strip())
    if words & ANSI_MODES:
        return words | {"ANSI_QUOTES", "PIPES_AS_CONCAT"}
    return words


def parse(sql: str, session: Session) -> Query:
    """The query that a SELECT-like statement holds.

    Raises Unreadable with a reason: a syntax that sqlglot does not know, nesting beyond its depth, a statement that is
    no query. Raises ReadsNothing for a CREATE that takes its rows from nowhere, and for what changes only tables that a
    tool keeps for itself: what it looks at for that is nothing that the paper read.
    """
    words = modes(session)
    try:
        text = _Text.of(sql, words)
        return _parse(text, session.schema)
    except SqlglotError as error:
        raise Unreadable(f"the text cannot be split into words: {_first_line(error)}") from None
    except RecursionError:
        raise Unreadable(
            "it is nested too deeply to be parsed; write it with joins, or as several statements"
        ) from None


def _parse(text: _Text, default_schema: str | None) -> Query:
    tokens = _strip_semicolon(text.tokens)
    if not tokens:
        raise Unreadable("it is empty")
    verb = next((token.text.upper() for token in tokens if token.text != "("), "")
    if verb == "INSERT" and text.replaces:
        verb = "REPLACE"
    if verb in ("INSERT", "REPLACE", "CREATE"):
        return _written_query(verb, tokens, text, default_schema)
    if verb in ("UPDATE", "DELETE"):
        tokens = _without_modifiers(tokens)
    tree = _parse_tokens(tokens, text)
    if isinstance(tree, exp.Subquery):
        tree = _unwrapped(tree)
    if isinstance(tree, exp.Update | exp.Delete):
        changed = changed_tables(tree)
        _require_data(changed, default_schema)
        return Query(tree.key.upper(), reading_side(tree), changed[0] if changed else None)
    if not isinstance(tree, exp.Query):
        raise Unreadable(f"{verb} is no query that can be followed")
    return Query(verb, tree, stores=any(token.text.upper() == "INTO" and _is_word(token) for token in tokens))


def _without_modifiers(tokens: Sequence[Token]) -> list[Token]:
    start = next((i for i, token in enumerate(tokens) if token.text.upper() in ("UPDATE", "DELETE")), 0) + 1
    end = start
    while end < len(tokens) and tokens[end].text.upper() in _MODIFIERS and _is_word(tokens[end]):
        end += 1
    return [*tokens[:start], *tokens[end:]]


def _is_word(token: Token) -> bool:
    return token.token_type not in (TokenType.IDENTIFIER, TokenType.STRING)


@dataclass(frozen=True, slots=True)
class _Text:
    """A text made ready for the parser: executable comments open, long lists folded, cut into tokens.

    `sql` is what the tokens were cut from; in it, a REPLACE statement begins with INSERT.
    """

    sql: str
    replaces: bool
    words: frozenset[str]
    dialect: MySQL
    tokens: Sequence[Token]
    lists: Mapping[str, Values]

    @classmethod
    def of(cls, sql: str, words: frozenset[str]) -> _Text:
        sql_mode = ",".join(words)
        dialect = _dialect(words)
        opened = open_comments(sql, sql_mode)
        folded = fold_lists(opened, ansi=ansi_quotes(sql_mode), escapes=backslash_escapes(sql_mode))
        # sqlglot's tokenizer takes a REPLACE statement for a command that it does not look into.
        text, replaced = _REPLACE.subn("INSERT", folded.sql, count=1)
        return cls(text, bool(replaced), words, dialect, dialect.tokenize(text), folded.lists)


def _dialect(words: frozenset[str]) -> MySQL:
    ansi, plain_backslash = "ANSI_QUOTES" in words, "NO_BACKSLASH_ESCAPES" in words
    if ansi and plain_backslash:
        return _AnsiNoBackslash()
    if ansi:
        return _AnsiQuotes()
    return _NoBackslash() if plain_backslash else MySQL()


def _parse_tokens(tokens: Sequence[Token], text: _Text) -> exp.Expr:
    if "HIGH_NOT_PRECEDENCE" in text.words:
        tokens = high_not(tokens)
    concatenates = "PIPES_AS_CONCAT" in text.words and any(t.token_type is TokenType.DPIPE for t in tokens)
    if concatenates:
        if any(token.token_type is TokenType.CARET for token in tokens):
            raise Unreadable("it uses both || and ^ under PIPES_AS_CONCAT; write CONCAT instead")
        tokens = pipes_as_concat(tokens)
    tokens = single_parentheses(respell(tokens, text.sql))
    token_text = TokenText(text.sql, text.lists, escapes="NO_BACKSLASH_ESCAPES" not in text.words)
    tokens, conditions = fold_conditions(tokens, token_text)
    tree = _tree(keep_functions(tokens), text)
    restore(tree)
    conditions_put_back(tree, conditions)
    lists_put_back(tree, text.lists)
    balance(tree)
    if "NO_BACKSLASH_ESCAPES" in text.words and has_unclear_pattern(tree):
        raise Unreadable("under NO_BACKSLASH_ESCAPES servers differ on backslashes in a LIKE; add ESCAPE to it")
    return concatenations(tree) if concatenates else tree


def _tree(tokens: list[Token], text: _Text) -> exp.Expr:
    try:
        trees = text.dialect.parser().parse(tokens, text.sql)
    except SqlglotError as error:
        raise Unreadable(f"sqlglot cannot parse it: {_first_line(error)} Write it in another way") from None
    if len(trees) != 1 or trees[0] is None:
        raise Unreadable("it is more than one statement")
    tree = trees[0]
    if not isinstance(tree, exp.Expr):
        raise Unreadable("it is no statement that can be followed")
    return tree


def _unwrapped(tree: exp.Subquery) -> exp.Expr:
    """The query of `(SELECT …)`; a LIMIT outside the parentheses stays outside, around a derived table."""
    if any(tree.args.get(part) for part in ("order", "limit", "offset", "with_")):
        inner = tree.copy()
        parts = {part: inner.args.get(part) for part in ("order", "limit", "offset", "with_")}
        for part in parts:
            inner.set(part, None)
        inner.set("alias", exp.TableAlias(this=exp.to_identifier("djproxy_q", quoted=True)))
        outer = exp.select("*").from_(inner)
        for part, value in parts.items():
            outer.set(part, value)
        return outer
    inside = tree.this
    return _unwrapped(inside) if isinstance(inside, exp.Subquery) else inside


def _require_data(changed: Sequence[exp.Table], default_schema: str | None) -> None:
    """Raises ReadsNothing where all these tables are ones that a tool keeps for itself."""
    names = [TableName(table.db or default_schema or "", table.name) for table in changed]
    if names and all(map(is_housekeeping, names)):
        raise ReadsNothing(f"changes what a tool keeps for itself ({names[0]})")


def _written_query(verb: str, tokens: Sequence[Token], text: _Text, default_schema: str | None) -> Query:
    """INSERT/REPLACE/CREATE TABLE … SELECT: the SELECT alone is parsed, so that what surrounds it (ON DUPLICATE KEY
    UPDATE, table options) cannot fail it."""
    if verb == "CREATE" and not _creates_table(tokens):
        raise ReadsNothing("CREATE reads no rows")
    start = _query_start(tokens)
    target = _target(tokens[:start])
    _require_data([] if target is None else [target], default_schema)
    if start is None and verb == "CREATE":
        raise ReadsNothing("CREATE reads no rows")
    if start is None:
        raise Unreadable(f"{verb} with no SELECT at its top level")
    end = _duplicate_clause(tokens, start)
    tree = _parse_tokens(tokens[start:end], text)
    if isinstance(tree, exp.Subquery):
        tree = _unwrapped(tree)
    if not isinstance(tree, exp.Query):
        raise Unreadable(f"the reading part of this {verb} is no SELECT")
    return Query(verb, tree, target)


def _creates_table(tokens: Sequence[Token]) -> bool:
    kinds = [token.token_type for token in tokens[:5] if token.token_type not in _BEFORE_TABLE]
    return kinds[:2] == [TokenType.CREATE, TokenType.TABLE]


_BEFORE_TABLE = frozenset({TokenType.OR, TokenType.REPLACE, TokenType.TEMPORARY})
#: What a query begins with; the first TABLE of a CREATE TABLE names what is made.
_QUERY_WORDS = frozenset({TokenType.SELECT, TokenType.WITH, TokenType.TABLE})


def _query_start(tokens: Sequence[Token]) -> int | None:
    depth = 0
    creates = tokens[0].token_type is TokenType.CREATE
    made = next((i for i, token in enumerate(tokens) if creates and token.token_type is TokenType.TABLE), 0)
    for index, token in enumerate(tokens):
        if token.token_type in _QUERY_WORDS and index and index != made:
            while depth and index and tokens[index - 1].token_type == TokenType.L_PAREN:
                index, depth = index - 1, depth - 1
            if depth == 0:
                return index
        if token.token_type == TokenType.L_PAREN:
            depth += 1
        elif token.token_type == TokenType.R_PAREN:
            depth -= 1
    return None


def _duplicate_clause(tokens: Sequence[Token], start: int) -> int:
    depth = 0
    for index in range(start, len(tokens)):
        kind = tokens[index].token_type
        depth += (kind == TokenType.L_PAREN) - (kind == TokenType.R_PAREN)
        following = " ".join(token.text.upper() for token in tokens[index : index + 3])
        if depth == 0 and following == "ON DUPLICATE KEY":
            return index
    return len(tokens)


def _target(tokens: Sequence[Token]) -> exp.Table | None:
    """The table between INTO or TABLE (or the verb) and the first parenthesis or SELECT."""
    words = {"INSERT", "REPLACE", "CREATE", "TABLE", "TEMPORARY", "INTO", "IGNORE", "LOW_PRIORITY", "DELAYED"}
    words |= {"HIGH_PRIORITY", "IF", "NOT", "EXISTS", "OR"}
    parts: list[str] = []
    for token in tokens:
        if token.token_type == TokenType.DOT:
            continue
        if token.token_type != TokenType.IDENTIFIER and token.text.upper() in words and not parts:
            continue
        if token.token_type == TokenType.L_PAREN or len(parts) == 2 or token.token_type == TokenType.ALIAS:
            break
        if parts and tokens[tokens.index(token) - 1].token_type != TokenType.DOT:
            break
        parts.append(token.text)
    if not parts:
        return None
    name = exp.to_identifier(parts[-1], quoted=True)
    schema = exp.to_identifier(parts[0], quoted=True) if len(parts) == 2 else None
    return exp.Table(this=name, db=schema)


def _strip_semicolon(tokens: Sequence[Token]) -> list[Token]:
    kept = list(tokens)
    while kept and kept[-1].token_type == TokenType.SEMICOLON:
        kept.pop()
    return kept


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def parse_view(definition: str) -> exp.Query:
    """The query of a view, as SHOW CREATE VIEW has it (always in the server's own spelling)."""
    return parse(definition, Session()).tree
