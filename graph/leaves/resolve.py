"""A statement and the schema → the rules by which its rows enter the slice. One pure function, no database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from sqlglot import exp

from graph.leaves.classify import UNRESTRICTED, Verdict, classify, exists_query, is_unrestricted
from graph.leaves.displays import counts_rows, displayed_query, shows_every_attribute
from graph.leaves.expose import expose, group_expressions
from graph.leaves.guards import Draft, guards
from graph.leaves.implied import implied
from graph.leaves.links import (
    LinkKind,
    from_occurrences,
    in_occurrences,
    link,
    positive_ins,
    under_or,
)
from graph.leaves.owners import is_correlated
from graph.leaves.parse import LEXICAL_MODES, Query, modes, parse
from graph.leaves.pins import NO_PINS, find_pins, pinned_rules
from graph.leaves.prepare import prepare
from graph.leaves.render import render
from graph.leaves.rules import Output, Role, Rule, RuleKind
from graph.leaves.scope import Prepared, is_grouped, is_limited, is_rolled_up
from graph.leaves.unreadable import ReadsNothing, Unreadable
from graph.names import TableName
from graph.schema import Schema, Table
from graph.statement import Session, Statement, StatementClass


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a statement is and needs.

    `tables` are the base tables that it names (their structure is needed even without rows), `views` the views,
    outer ones first; `replay` is the SELECT that a restored copy must answer as the source does, None for nothing.
    `complete`: it lists every attribute of its query, blobs aside, as DataJoint's display does.
    """

    statement_class: StatementClass
    reason: str = ""
    rules: tuple[Rule, ...] = ()
    tables: tuple[TableName, ...] = ()
    views: tuple[TableName, ...] = ()
    replay: str | None = None
    complete: bool = False


def resolve(statement: Statement, schema: Schema) -> Resolution:
    """The rules of a statement. Never raises for a statement: what cannot be followed is UNRESOLVED, with the
    reason."""
    try:
        query = parse(statement.sql, statement.session)
        verdict = classify(query, statement.session.schema)
        if verdict.statement_class is StatementClass.CHECK and not counts_rows(
            query.tree, schema, statement.session.schema
        ):
            verdict = Verdict(StatementClass.DATA, "counts the values of a column")
        if verdict.statement_class not in (StatementClass.DATA, StatementClass.CHECK):
            return Resolution(verdict.statement_class, verdict.reason)
        return _resolve(statement, query, verdict, schema)
    except ReadsNothing as nothing:
        return Resolution(StatementClass.NOT_DATA, str(nothing))
    except Unreadable as error:
        return Resolution(StatementClass.UNRESOLVED, str(error))
    except RecursionError:
        return Resolution(StatementClass.UNRESOLVED, "it is nested too deeply to be followed")


def _resolve(statement: Statement, query: Query, verdict: Verdict, schema: Schema) -> Resolution:
    _check_variables(query.tree, statement.session)
    asked = exists_query(query.tree)
    prepared = prepare(asked if asked is not None else query.tree, schema, statement.session.schema)
    drafts = [*guards(prepared)]
    for root, exists in _independent(prepared):
        drafts += _lineage(root, prepared, exists=exists)
    session = rule_session(statement.session)
    make = partial(_rule, prepared=prepared, session=session, statement=statement.id)
    pins = find_pins(statement, prepared) if asked is None else NO_PINS
    lineage = _lineage(prepared.tree, prepared, exists=asked is not None, each=bool(pins.keys))
    rules = (*pinned_rules(prepared, pins, lineage, make), *map(make, drafts))
    reason = "; ".join(part for part in (verdict.reason, *_notes(prepared, asked), *pins.notes) if part)
    tables = tuple(dict.fromkeys(table.name for table in prepared.tables))
    views = tuple(dict.fromkeys(view.name for view in prepared.views))
    replay = _replay(statement, query, prepared, asked)
    complete = displayed_query(query.tree) is not None and shows_every_attribute(
        query.tree, schema, statement.session.schema
    )
    return Resolution(verdict.statement_class, reason, rules, tables, views, replay, complete)


def rule_session(session: Session) -> Session:
    """The session under which rules are evaluated: the recorded one, without the modes that change how text is read
    (rules are written for none of them) or refuse an ungrouped column."""
    if session.sql_mode is None:
        return session
    kept = sorted(modes(session) - LEXICAL_MODES - {"ONLY_FULL_GROUP_BY", "ANSI"})
    return replace(session, sql_mode=",".join(kept))


def _check_variables(tree: exp.Expr, session: Session) -> None:
    if tree.find(exp.PropertyEQ) is not None:
        raise Unreadable("it assigns to a user variable while it reads")
    for parameter in tree.find_all(exp.Parameter):
        if parameter.parent is not None and isinstance(parameter.parent.parent, exp.Into):
            continue
        name = parameter.name.lower()
        if name not in session.variables:
            raise Unreadable(f"the value of the user variable @{name} is not known")


def _independent(prepared: Prepared) -> Iterator[tuple[exp.Query, bool]]:
    """The queries that must answer as on the source, whatever the query around them does: those that stand for a value
    and do not look outwards, those with a LIMIT (a row that it lets in keeps another one out), and what opaque parts
    are made of. With each, whether only the existence of a row is asked."""
    for root in prepared.roots[1:]:
        yield root, False
    for query in (node for root in prepared.roots for node in root.find_all(exp.Query, bfs=False)):
        nested = query not in prepared.roots and not isinstance(query, exp.Subquery | exp.Table)
        if nested and is_limited(query) and not is_correlated(query):
            yield query, False
    for select in prepared.blocks():
        place = link(select)
        if place is None or place.correlated or place.kind not in (LinkKind.EXISTS, LinkKind.VALUE):
            continue
        if next(iter(place.query.find_all(exp.Select, bfs=False))) is select:
            yield place.query, place.kind is LinkKind.EXISTS


def _lineage(root: exp.Query, prepared: Prepared, *, exists: bool, each: bool = False) -> Iterator[Draft]:
    """The rows that the result of a query is made of; with `exists` one of its rows is enough (not so after an
    OFFSET, which skips rows that must be there). With `each` no rule is left out because another implies it."""
    if exists and not _skips(root):
        root = _first_only(root)
        if not _is_alternative(root) and not (isinstance(root, exp.Select) and is_grouped(root)):
            numbers = [*from_occurrences(root), *in_occurrences(root)]
            if not numbers:
                return
            yield Draft(
                RuleKind.WITNESS,
                expose(root, numbers, prepared),
                (),
                tuple(numbers),
                reason="shows that a row exists, as statements asked",
            )
            return
    numbers = [*from_occurrences(root), *in_occurrences(root)]
    left_out = set() if each else implied(root, numbers, prepared)
    for number in numbers:
        if number in left_out:
            continue
        query = expose(root, [number], prepared)
        yield Draft(RuleKind.LEAF, query, (), (number,), reason="used by recorded statements")


def _skips(query: exp.Expr) -> bool:
    """Whether an OFFSET, of the query or of a branch of it, leaves out rows that must be there all the same."""
    if isinstance(query, exp.Subquery):
        return query.args.get("offset") is not None or _skips(query.this)
    if isinstance(query, exp.SetOperation):
        return query.args.get("offset") is not None or _skips(query.this) or _skips(query.expression)
    return query.args.get("offset") is not None


def _first_only(root: exp.Query) -> exp.Query:
    """One group stands for all when only existence is asked; a LIMIT changes nothing then."""
    root = root.copy()
    root.set("limit", None)
    if isinstance(root, exp.Select) and is_grouped(root) and not is_rolled_up(root):
        groups = group_expressions(root)
        if groups:
            root.set("order", exp.Order(expressions=[exp.Ordered(this=node) for node in groups]))
            root.set("limit", exp.Limit(expression=exp.Literal.number(1)))
    return root


def _is_alternative(root: exp.Query) -> bool:
    return any(under_or(condition) for select in root.find_all(exp.Select) for condition in positive_ins(select))


def _rule(draft: Draft, prepared: Prepared, session: Session, statement: int) -> Rule:
    names = [prepared.tables[number].name for number in (*draft.conditions, *draft.targets)]
    roles = [Role.CONDITION] * len(draft.conditions) + [Role.TARGET] * len(draft.targets)
    outputs = tuple(Output(name, role) for name, role in zip(names, roles, strict=True))
    keyless = [prepared.tables[number] for number in draft.targets if not prepared.tables[number].key]
    if keyless and len(outputs) == 1:
        return Rule(draft.kind, _any_row(keyless[0]), outputs, session, 0, statement, draft.reason)
    return Rule(draft.kind, render(draft.query), outputs, session, draft.group, statement, draft.reason)


def _any_row(table: Table) -> str:
    """A table without a key is taken whole: no column tells one of its rows from another."""
    return (
        f"SELECT 1 FROM {exp.table_(table.name.name, db=table.name.schema, quoted=True).sql(dialect='mysql')} LIMIT 1"
    )


def _notes(prepared: Prepared, asked: exp.Query | None) -> Iterator[str]:
    if prepared.dropped:
        yield "a condition on DataJoint's bookkeeping was left out"
        if is_unrestricted(prepared.tree):
            yield UNRESTRICTED
    for table in prepared.tables:
        if not table.key:
            yield f"{table.name} has no key: it is taken whole"
    if asked is None and is_limited(prepared.tree) and prepared.tree.args.get("order") is None:
        yield "LIMIT without ORDER BY: the server may choose other rows"
    for node in prepared.tree.find_all(exp.Func):
        name = node.name.upper() if isinstance(node, exp.Anonymous) else node.sql_name()
        if name in _CHANGING:
            yield f"{name}() is evaluated again when the slice is computed"


_CHANGING = frozenset(
    """RAND UUID UUID_SHORT NOW SYSDATE CURRENT_TIMESTAMP CURRENT_DATE CURRENT_TIME CURDATE CURTIME LOCALTIME
    LOCALTIMESTAMP UTC_TIMESTAMP UTC_DATE UTC_TIME LAST_INSERT_ID ROW_COUNT FOUND_ROWS CONNECTION_ID GET_LOCK
    CURRENT_USER SESSION_USER USER SLEEP""".split()
)


def _replay(statement: Statement, query: Query, prepared: Prepared, asked: exp.Query | None) -> str | None:
    if not prepared.dropped and query.only_reads:
        return statement.sql
    if not prepared.dropped:
        return render(query.tree)
    if asked is not None:
        return f"SELECT EXISTS({render(prepared.tree)})"
    return render(prepared.tree)
