"""A statement read without a schema, for the recorder: its class and the tables it names, with their restrictions as
they were written."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sqlglot import exp

from graph.leaves.classify import NOT_DATA_VERBS, classify, exists_query, is_cte
from graph.leaves.displays import counted_query, displayed_query
from graph.leaves.parse import Query, parse
from graph.leaves.render import render_for_people
from graph.leaves.unreadable import ReadsNothing, Unreadable
from graph.names import TableName
from graph.scan import verb as first_word
from graph.statement import Session, StatementClass

#: The version of the rules by which `read` classes statements; it grows with them.
READING_RULES: Final = 2

#: Characters of an expression that is compared as it is.
_LONGEST_COMPARED = 4096


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A table as a statement names it: `table.schema` is empty where neither the statement nor its session says;
    `restriction` is the WHERE of the SELECT that it stands in, long lists cut short; `role` is from, in, not in,
    exists, subquery, write."""

    table: TableName
    restriction: str
    role: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a statement's text tells.

    A statement with `preview_of` directly followed, on its connection, by one whose `count_of` is equal is DataJoint's
    display of a query, if it shows every attribute, which only the schema tells.
    """

    verb: str
    statement_class: StatementClass
    reason: str = ""
    occurrences: tuple[Occurrence, ...] = ()
    count_of: str | None = None
    preview_of: str | None = None


def read(sql: str, session: Session) -> Reading:
    """Reads one statement. Never raises: what cannot be read is UNRESOLVED, with the reason."""
    verb = first_word(sql).upper()
    if verb in NOT_DATA_VERBS and not (verb == "CREATE" and _MAY_COPY.search(sql)):
        return Reading(verb, StatementClass.NOT_DATA, f"{verb} reads no rows")
    if verb in _UNFOLLOWED:
        return Reading(verb, StatementClass.UNRESOLVED, _UNFOLLOWED[verb])
    try:
        query = parse(sql, session)
        verdict = classify(query, session.schema)
        found = tuple(_occurrences(query, session.schema or ""))
        return Reading(
            verb,
            verdict.statement_class,
            verdict.reason,
            found,
            _bounded(counted_query(query.tree)),
            _bounded(displayed_query(query.tree) if query.only_reads else None),
        )
    except ReadsNothing as nothing:
        return Reading(verb, StatementClass.NOT_DATA, str(nothing))
    except Unreadable as error:
        return Reading(verb, StatementClass.UNRESOLVED, str(error))
    except RecursionError:
        return Reading(verb, StatementClass.UNRESOLVED, "it is nested too deeply to be parsed")


#: A CREATE TABLE that may take rows from a SELECT, or from another TABLE.
_MAY_COPY = re.compile(r"\bselect\b|\btable\b.*\btable\b", re.IGNORECASE | re.DOTALL)
_UNFOLLOWED = {
    "CALL": "a stored procedure: what it reads does not show on the wire; run its SELECTs by themselves",
    "DO": "DO may read rows through a function or subquery; use SELECT instead",
    "EXECUTE": "the text of the prepared statement is not known",
}


def _bounded(text: str | None) -> str | None:
    """A long text by its digest: it is only compared."""
    if text is None or len(text) <= _LONGEST_COMPARED:
        return text
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _occurrences(query: Query, default_schema: str) -> Iterator[Occurrence]:
    if query.target is not None:
        target = query.target
        yield Occurrence(TableName(target.db or default_schema, target.name), "", "write")
    names = {cte.alias.lower() for cte in query.tree.find_all(exp.CTE)}
    asked = exists_query(query.tree)
    for table in query.tree.find_all(exp.Table, bfs=False):
        if not table.name or isinstance(table.this, exp.Parameter) or is_cte(table, names):
            continue
        select = table.find_ancestor(exp.Select)
        where = select.args.get("where") if select is not None else None
        text = render_for_people(where.this) if where is not None else ""
        role = _role(table, asked)
        yield Occurrence(TableName(table.db or default_schema, table.name), text, role)


def _role(table: exp.Table, asked: exp.Query | None) -> str:
    node: exp.Expr | None = table
    while node is not None:
        if isinstance(node, exp.In):
            return "not in" if isinstance(node.parent, exp.Not) else "in"
        if isinstance(node, exp.Exists):
            return "exists"
        if isinstance(node, exp.Where | exp.Having) or node.arg_key == "expressions":
            return "subquery"
        if node is asked:
            return "exists"
        node = node.parent
    return "from"
