"""What becomes of each recorded statement: the tables that it names, how it is resolved, its final class."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from graph.apart import Apart, Failure
from graph.documents import Judged
from graph.exclusion import excluded_by, names_any
from graph.leaves import UNRESTRICTED, Occurrence, Resolution
from graph.masks import Masks, read_by
from graph.names import TableName
from graph.scan import ServerVersion, open_comments
from graph.schema import Schema
from graph.slice import Slice
from graph.statement import Pinned, Statement, StatementClass

#: Why the rows of a plain INSERT cannot be taken along.
_WRITES_UNKNOWN = (
    "which rows it wrote is not known: a recording keeps no inserted values; SELECT them while recording instead"
)

#: Statements with equal text, context and class mean the same.
Text = tuple[object, ...]

#: What DataJoint sends by itself: left out of the slice unless it is asked for.
LEFT_OUT: Final = (StatementClass.PREVIEW, StatementClass.CHECK)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What each distinct statement is and needs; `left_out` has, by class, what those that are left out would need."""

    resolutions: dict[Text, Resolution]
    left_out: dict[StatementClass, list[Resolution]]


def _text(judged: Judged) -> Text:
    session = judged.statement.session
    settings = (session.schema, session.sql_mode, session.time_zone, session.charset, session.collation)
    return judged.statement.sql, judged.kind, settings, tuple(sorted(session.variables.items()))


def occurrences_of(recorded: Sequence[Judged], apart: Apart) -> dict[Text, tuple[Occurrence, ...]]:
    """The tables that statements name, as far as their texts tell."""
    texts = {
        _text(judged): judged.statement
        for judged in recorded
        if judged.statement.sql and judged.kind is not StatementClass.NOT_DATA
    }
    readings = apart.read((statement.sql, statement.session) for statement in texts.values())
    return {
        text: () if isinstance(reading, Failure) else reading.occurrences
        for text, reading in zip(texts, readings, strict=True)
    }


def named_tables(
    recorded: Sequence[Judged],
    included: Collection[StatementClass],
    occurrences: Mapping[Text, Sequence[Occurrence]],
    exclude: Collection[TableName],
) -> dict[TableName, bool]:
    """The tables that statements name, as far as their text tells the schema; True for those that the slice needs.
    Statements that read what is excluded are passed over."""
    taken = {*included, StatementClass.UNRESOLVED}
    kinds = {_text(judged): judged.kind for judged in recorded}
    found: dict[TableName, bool] = {}
    for text, named in occurrences.items():
        if names_any(named, exclude):
            continue
        for occurrence in named:
            name = occurrence.table
            if name.schema and name.name:
                found[name] = found.get(name, False) or (kinds[text] in taken and occurrence.role != "write")
    return found


def resolve_all(
    recorded: Sequence[Judged],
    apart: Apart,
    schema: Schema,
    included: Collection[StatementClass],
    own_mode: str,
    say: Callable[[str], None],
) -> Resolved:
    """What each distinct statement is and needs. `own_mode` is the sql_mode of sessions that set none."""
    found: dict[Text, Resolution] = {}
    left_out: dict[StatementClass, list[Resolution]] = {}
    pins = _pins(recorded)
    asked: dict[Text, Judged] = {}
    for judged in recorded:
        text = _text(judged)
        if text not in asked and text not in found:
            known = _known(judged, included)
            if known is None:
                asked[text] = _pinned(judged, pins.get(text))
            else:
                found[text] = known
    server = ServerVersion.of(schema.server_version)
    answers = apart.resolve(readable(judged.statement, own_mode, server) for judged in asked.values())
    for number, ((text, judged), answer) in enumerate(zip(asked.items(), answers, strict=True)):
        if number % 200 == 0:
            say(f"statement {number + 1} of {len(asked)}")
        if isinstance(answer, Failure):
            answer = Resolution(StatementClass.UNRESOLVED, answer.reason)
        kind = _kind(judged, answer, included)
        if kind in LEFT_OUT and kind not in included:
            found[text] = Resolution(kind, judged.reason)
            left_out.setdefault(kind, []).append(answer)
        else:
            found[text] = replace(answer, statement_class=kind)
    return Resolved(found, left_out)


def _kind(judged: Judged, answer: Resolution, included: Collection[StatementClass]) -> StatementClass:
    """The class of a statement that was resolved. A display that may be a fetch of some attributes is data, and so is a
    count of a column's values."""
    if judged.kind is StatementClass.CHECK and judged.kind not in included:
        return StatementClass.DATA if answer.statement_class is StatementClass.DATA else judged.kind
    if answer.statement_class in (StatementClass.UNRESOLVED, StatementClass.NOT_DATA):
        return answer.statement_class
    if judged.kind is StatementClass.PREVIEW:
        return judged.kind if answer.complete else StatementClass.DATA
    return judged.kind if judged.kind in included else answer.statement_class


def _pins(recorded: Iterable[Judged]) -> dict[Text, tuple[tuple[Pinned, ...], int]]:
    """What all executions of a text showed, and how many showed nothing; no entry where all did not."""
    found: dict[Text, tuple[dict[Pinned, None], int]] = {}
    for judged in recorded:
        if not judged.statement.sql:
            continue
        named, unpinned = found.setdefault(_text(judged), ({}, 0))
        named.update(dict.fromkeys(judged.statement.pins))
        found[_text(judged)] = named, unpinned + judged.statement.unpinned + (not judged.statement.pins)
    return {text: (tuple(named), unpinned) for text, (named, unpinned) in found.items() if named}


def _pinned(judged: Judged, pins: tuple[tuple[Pinned, ...], int] | None) -> Judged:
    if pins is None:
        return judged
    named, unpinned = pins
    return replace(judged, statement=replace(judged.statement, pins=named, unpinned=unpinned))


def _known(judged: Judged, included: Collection[StatementClass]) -> Resolution | None:
    """What a statement is and needs where its class tells already, else None."""
    kind = judged.kind
    if kind is StatementClass.WRITE and kind in included:
        return Resolution(StatementClass.UNRESOLVED, _WRITES_UNKNOWN)
    if not judged.statement.sql or kind in (StatementClass.NOT_DATA, StatementClass.WRITE):
        return Resolution(kind, judged.reason)
    return None


def readable(statement: Statement, own_mode: str, server: ServerVersion | None) -> Statement:
    """The statement with the sql_mode that it had, and executable comments as the server read them."""
    session = statement.session
    if session.sql_mode is None:
        session = replace(session, sql_mode=own_mode)
    return replace(statement, session=session, sql=open_comments(statement.sql, session.sql_mode, server))


def left_out_by(
    recorded: Sequence[Judged],
    resolutions: dict[Text, Resolution],
    occurrences: Mapping[Text, Sequence[Occurrence]],
    excluded: Collection[TableName],
    schema: Schema,
    included: Collection[StatementClass],
) -> dict[Text, tuple[TableName, ...]]:
    """For each text that would be in the slice, or is unresolved, the excluded tables that it reads; such a text then
    asks for nothing in `resolutions`."""
    found: dict[Text, tuple[TableName, ...]] = {}
    for judged in recorded if excluded else ():
        text = _text(judged)
        resolution = resolutions[text]
        if text in found or resolution.statement_class not in {*included, StatementClass.UNRESOLVED}:
            continue
        tables = excluded_by(resolution, occurrences.get(text, ()), excluded, schema)
        if tables:
            found[text] = tables
            resolutions[text] = replace(resolution, rules=(), tables=(), views=())
    return found


def unrestricted_tables(
    recorded: Sequence[Judged], resolutions: dict[Text, Resolution], included: Collection[StatementClass]
) -> dict[TableName, int]:
    """Each table that a statement takes whole, whoever put its rows there, with the first such statement."""
    found: dict[TableName, int] = {}
    for judged in recorded:
        resolution = resolutions[_text(judged)]
        if resolution.statement_class in included and UNRESTRICTED in resolution.reason:
            for name in resolution.tables:
                found.setdefault(name, judged.statement.id)
    return found


def judge(
    judged: Judged,
    resolutions: dict[Text, Resolution],
    slice_: Slice,
    left_out: Mapping[Text, tuple[TableName, ...]],
    masked: Masks,
) -> Judged:
    """The final class of a statement. What the server refused to evaluate is unresolved."""
    resolution = resolutions[_text(judged)]
    ids = {rule.statement for rule in resolution.rules if rule.statement is not None}
    refused = [slice_.refused[number] for number in ids if number in slice_.refused]
    if refused:
        reason = f"the server refused to compute its rows: {refused[0]}"
        return replace(judged, kind=StatementClass.UNRESOLVED, reason=reason)
    return replace(
        judged,
        kind=resolution.statement_class,
        reason=resolution.reason or judged.reason,
        answers=resolution.replay,
        pinned=any(rule.keys is not None for rule in resolution.rules),
        excluded=left_out.get(_text(judged), ()),
        lost=tuple((name, rows) for number in ids for name, rows in slice_.lost.get(number, {}).items()),
        masked=read_by(judged.statement.sql, (*resolution.tables, *resolution.views), slice_.schema, masked),
    )


def comparable(
    statements: Sequence[Judged], included: Collection[StatementClass], slice_: Slice
) -> Iterable[tuple[Statement, bool]]:
    """The statements of the slice to be compared with what was recorded, each once with the last result, and whether
    it is pinned. Left out is where pinned rows tell of changes already."""
    told = {check.statement for check in slice_.pins if check.differs}
    found: dict[Text, tuple[Statement, bool]] = {}
    for judged in statements:
        statement = judged.statement
        if judged.kind not in included or judged.excluded or judged.answers not in (None, statement.sql):
            continue
        first, _ = found.setdefault(_text(judged), (statement, judged.pinned))
        if statement.recorded is not None:
            found[_text(judged)] = replace(first, recorded=statement.recorded), judged.pinned
    return [
        (statement, pinned)
        for statement, pinned in found.values()
        if statement.id not in told and statement.recorded and (statement.recorded.digest or not pinned)
    ]
