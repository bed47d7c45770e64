"""Whether two answers with the same rows have them in the order that the query asks for.

Rows that its ORDER BY does not tell apart may come in any order, and which these are only the server knows: it has the
collations. So the query is asked once more with the sort keys beside its columns, each as the weight by which the
server compares it; then runs of rows with equal keys are compared, each as a multiset. A key that says less than the
server's own (a FLOAT has six digits in it, a long text 200 characters) makes runs longer, never a false alarm.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from tempfile import TemporaryFile
from typing import Final

from sqlglot import exp

from graph.answer import split_row
from graph.database import Database
from graph.digest import SIZE, ResultDigest
from graph.leaves.parse import parse
from graph.leaves.render import render
from graph.leaves.resolve import rule_session
from graph.leaves.unreadable import Unreadable
from graph.repeatable import ordered
from graph.statement import Statement


class Order(StrEnum):
    """How the order of two equal answers compares.

    TIES: other rows come first where the ORDER BY leaves it open. UNJUDGED: the order differs, and whether the query
    asks for it cannot be told.
    """

    SAME = "same"
    FREE = "not asked for"
    TIES = "same up to ties"
    UNJUDGED = "not judged"
    OTHER = "other"


#: As many characters of a sort key are compared: the server itself compares 1024 bytes.
_KEY: Final = 200


@dataclass(frozen=True, slots=True)
class Judgement:
    """`place` counts the rows before the first in another order, `source` and `copy` show those that come there."""

    order: Order
    place: int = 0
    source: str = ""
    copy: str = ""


def judge(source: Database, copy: Database, statement: Statement, columns: int, expected: str) -> Judgement:
    """For a query whose answers have the same rows in different sequences.

    `columns` is how many it has and `expected` the answers' digest. Raises StatementError, GrantError, ServerError.
    """
    asked = _with_keys(statement)
    if asked is None:
        return Judgement(Order.UNJUDGED if ordered(statement) else Order.FREE)
    if asked is statement:
        return Judgement(Order.FREE)
    rows = ResultDigest()
    with TemporaryFile() as spilled:
        for run in _runs(source, asked, columns, rows):
            spilled.write(run.digest)
        if rows.hexdigest() != expected:
            return Judgement(Order.UNJUDGED)
        spilled.seek(0)
        place = _first_other(iter(lambda: spilled.read(SIZE), b""), _runs(copy, asked, columns, ResultDigest()))
    if place is None:
        return Judgement(Order.TIES)
    return Judgement(Order.OTHER, place, _row(source, statement, place), _row(copy, statement, place))


def _first_other(ours: Iterator[bytes], theirs: Generator[_Run, None, None]) -> int | None:
    """The rows before the first run that differs."""
    with closing(theirs):
        for run in theirs:
            if next(ours, b"") != run.digest:
                return run.place
    return None


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows with equal keys: how many rows come before them, the digest of the rows as a multiset."""

    place: int
    digest: bytes


def _runs(database: Database, asked: Statement, columns: int, rows: ResultDigest) -> Generator[_Run, None, None]:
    """The runs of an answer; `rows` takes its rows without their keys."""
    previous, place, run = b"", 0, ResultDigest()
    with database.answer(asked.sql, asked.session) as answer:
        for payload in answer:
            row, key = split_row(payload, columns)
            if run.rows and key != previous:
                yield _Run(place, bytes.fromhex(run.hexdigest()))
                place, run = place + run.rows, ResultDigest()
            previous = key
            rows.add_payload(row)
            run.add_payload(row)
    if run.rows:
        yield _Run(place, bytes.fromhex(run.hexdigest()))


def _row(database: Database, statement: Statement, place: int) -> str:
    with database.answer(statement.sql, statement.session) as answer:
        return next((answer.show(payload) for payload in islice(answer, place, None)), "")


def _with_keys(statement: Statement) -> Statement | None:
    """The query with its sort keys as further columns; itself when it asks for no order, None when that cannot be
    told."""
    try:
        tree = parse(statement.sql, statement.session).tree
        order = tree.args.get("order")
        if order is None:
            return statement
        if not isinstance(tree, exp.Select) or tree.args.get("distinct") is not None or tree.args.get("into"):
            return None
        keys = [_key(term.this if isinstance(term, exp.Ordered) else term, tree) for term in order.expressions]
        if any(key is None for key in keys):
            return None
        columns = [*tree.expressions, *(exp.Var(this=f"WEIGHT_STRING(RTRIM(LEFT({key}, {_KEY})))") for key in keys)]
        asked = tree.copy()
        asked.set("expressions", [column.copy() for column in columns])
        return Statement(statement.id, render(asked), rule_session(statement.session))
    except (Unreadable, RecursionError):
        return None


def _key(term: exp.Expr, tree: exp.Select) -> str | None:
    """The SQL of what a term of the ORDER BY stands for: a name of the select list goes before a column's."""
    if isinstance(term, exp.Literal) and not term.is_string:
        position = int(term.this)
        if any(column.is_star for column in tree.expressions) or not 0 < position <= len(tree.expressions):
            return None
        return _sql(tree.expressions[position - 1])
    if isinstance(term, exp.Column) and not term.table:
        for column in tree.expressions:
            if isinstance(column, exp.Alias) and column.alias.lower() == term.name.lower():
                return _sql(column)
    aliases = {column.alias.lower() for column in tree.expressions if isinstance(column, exp.Alias)}
    if not isinstance(term, exp.Column) and any(
        not column.table and column.name.lower() in aliases for column in term.find_all(exp.Column)
    ):
        return None
    return _sql(term)


def _sql(term: exp.Expr) -> str:
    return render(term.this if isinstance(term, exp.Alias) else term)
