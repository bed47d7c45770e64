"""Recorded statements → leaves → cascade → bundle: the one way from a recording to what is published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from graph import notices
from graph.apart import Apart, Failure
from graph.bundle import Bundle, require_writable, write_bundle
from graph.cascade import UNBOUNDED, Bounds, Parts, all_edges, cascade
from graph.dangling import dangling
from graph.database import Database
from graph.decisions import NOTHING, Decisions, extended, whole_rules
from graph.decisions import left_out as left_out_tables
from graph.documents import Judged, Meta, excluded_counts, limited
from graph.errors import InputError, StatementError
from graph.exclusion import excluded_by, excluded_tables, names_any
from graph.fingerprint import take
from graph.grants import missing_grants, without
from graph.leaves import UNRESTRICTED, Occurrence, Resolution
from graph.masks import Masks, masks, read_by
from graph.names import TableName
from graph.restart import anew
from graph.scan import ServerVersion, open_comments
from graph.schema import SYSTEM_SCHEMAS, Schema, read_schema
from graph.since import changes
from graph.slice import Slice
from graph.statement import Pinned, Statement, StatementClass

Progress = Callable[[str], None]

#: Why the rows of a plain INSERT cannot be taken along.
_WRITES_UNKNOWN = (
    "which rows it wrote is not known: a recording keeps no inserted values; SELECT them while recording instead"
)


@dataclass(frozen=True, slots=True)
class Export:
    """An export as it was made: `statements` with their final classes and reasons."""

    bundle: Bundle
    slice: Slice
    statements: tuple[Judged, ...]

    @property
    def classes(self) -> Counter[StatementClass]:
        """Statements by class."""
        return Counter(judged.kind for judged in self.statements)

    @property
    def excluded(self) -> Counter[TableName]:
        """How many statements each excluded table keeps out."""
        return excluded_counts(self.statements)

    @property
    def unresolved(self) -> list[Judged]:
        """The statements whose rows may be missing."""
        return [
            judged for judged in self.statements if judged.kind is StatementClass.UNRESOLVED and not judged.excluded
        ]

    @property
    def limited(self) -> list[Judged]:
        """The statements of which limits keep rows out of the slice, each text once."""
        return limited(self.statements)

    @property
    def missing(self) -> int:
        """How many rows that recorded results named are no longer in the source."""
        return sum(check.missing for check in self.slice.pins)

    @property
    def complete(self) -> bool:
        """Whether the slice has all that was recorded, as it was as far as that is known."""
        return not (self.unresolved or self.missing or self.slice.changes)


def export(
    database: Database,
    recorded: Sequence[Judged],
    folder: Path,
    meta: Meta,
    *,
    parts: Parts = Parts.MERGE,
    exclude: Collection[TableName] = (),
    decisions: Decisions = NOTHING,
    scratch_schema: str | None = None,
    progress: Progress | None = None,
    bounds: Bounds = UNBOUNDED,
) -> Export:
    """Writes the bundle for recorded statements, each with the class that it got while recording.

    `meta.included` are the classes taken into the slice; statements that read a table of `exclude` (patterns, see
    graph.exclusion) are not; see graph.decisions for the others. `dump.sh` may make tables of
    keys in `scratch_schema`. Raises InputError when there is nothing to export, the
    folder is not ours, a pattern stands for no table or a decision cannot be carried out, LimitError when the
    slice exceeds `bounds`, GrantError for a missing right, ServerError, ApartError; nothing is written then.
    """
    say = progress or (lambda text: None)
    return anew(
        database,
        partial(
            _export,
            database,
            recorded,
            folder,
            meta,
            parts=parts,
            exclude=exclude,
            decisions=decisions,
            scratch_schema=scratch_schema,
            say=say,
            bounds=bounds,
        ),
        say,
    )


def _export(
    database: Database,
    recorded: Sequence[Judged],
    folder: Path,
    meta: Meta,
    *,
    parts: Parts,
    exclude: Collection[TableName],
    decisions: Decisions,
    scratch_schema: str | None,
    say: Progress,
    bounds: Bounds,
) -> Export:
    require_writable(folder.absolute(), meta.paper)
    with closing(Apart()) as apart, database.snapshot():
        made = compute(
            database,
            apart,
            recorded,
            meta,
            parts=parts,
            exclude=exclude,
            decisions=decisions,
            say=say,
            bounds=bounds,
        )
        say("taking fingerprints of the rows")
        fingerprints = take(database, made.slice)
        changed = tuple(changes(database, _comparable(made.statements, meta.included, made.slice), say))
    slice_ = replace(made.slice, changes=changed)
    bundle = write_bundle(folder, slice_, made.statements, meta, fingerprints, scratch_schema)
    return Export(bundle, slice_, made.statements)


@dataclass(frozen=True, slots=True)
class Computed:
    """What an export decides before it writes anything.

    `unrestricted` has for each table that a statement takes whole the first such statement, `missing` what the account
    lacks for each table that it may not read.
    """

    slice: Slice
    statements: tuple[Judged, ...]
    unrestricted: Mapping[TableName, int]
    missing: Mapping[TableName, str] = field(default_factory=dict)


def compute(
    database: Database,
    apart: Apart,
    recorded: Sequence[Judged],
    meta: Meta,
    *,
    parts: Parts,
    exclude: Collection[TableName],
    decisions: Decisions,
    say: Progress,
    bounds: Bounds = UNBOUNDED,
    forgiving: bool = False,
) -> Computed:
    """The slice of recorded statements, in the database's snapshot. Raises as `export` does.

    With `forgiving` no missing right ends it: the slice then lacks the rows of what may not be read.
    """
    exclude, within = [*exclude, *decisions.exclude], decisions.within
    if not recorded:
        raise InputError(f"the recording of paper {meta.paper} is empty: no statement went through the proxy")
    say("reading the schema")
    occurrences = _occurrences(recorded, apart)
    named = _named_tables(recorded, meta.included, occurrences, exclude)
    # Of what is excluded only the names are read: it needs no right to SELECT.
    names = [*named, *(TableName(each.schema, "") for each in exclude), *(each.table for each in within)]
    names += decisions.schemas
    schema = read_schema(database, names, checked=not forgiving)
    excluded = excluded_tables(exclude, schema)
    full, without_rows = extended(schema, decisions), left_out_tables(schema, decisions)
    masked = masks(full, decisions.masked)
    # Statements are resolved without the plan's foreign keys, and without those that lead to what is left out: their
    # rows must not rest on these.
    apart.use(schema.cut(without_rows))
    missing: dict[TableName, str] = {}
    if forgiving:
        needed = [name for name, taken in named.items() if taken or schema.find(*name) is not None]
        needed += [named.table for named in decisions.whole]
        missing = missing_grants(database, full, needed, all_edges(full, parts))
    else:
        _require_visible(database, schema, (name for name, taken in named.items() if taken))
    own_mode = str(database.value("SELECT @@GLOBAL.sql_mode"))
    resolutions = _resolve_all(recorded, apart, schema, meta.included, own_mode, say)
    for text, resolution in resolutions.items():
        if lacking := [missing[name] for name in resolution.tables if name in missing]:
            resolutions[text] = Resolution(StatementClass.UNRESOLVED, lacking[0])
    left_out = _exclude(recorded, resolutions, occurrences, excluded, schema, meta.included)
    wanted = _needed(resolutions)
    rules = [rule for resolution in wanted for rule in resolution.rules]
    rules += [rule for rule in whole_rules(schema, decisions) if rule.outputs[0].table not in missing]
    if not missing and not rules:
        raise InputError(notices.nothing_to_export(recorded, resolutions.values(), meta.paper, left_out.values()))
    structure = {name for r in wanted for name in (*r.tables, *r.views)}
    slice_ = cascade(
        database,
        without(full, missing) if missing else full,
        rules,
        parts=parts,
        structure=structure,
        without_parts=excluded,
        within=within,
        leave_out=without_rows,
        progress=say,
        bounds=bounds,
    )
    slice_ = slice_.masked(masked)
    statements = tuple(_judge(judged, resolutions, slice_, left_out, masked) for judged in recorded)
    unrestricted = _unrestricted(recorded, resolutions, meta.included)
    warnings = [
        *notices.taken_whole(unrestricted, slice_),
        *notices.needed_anyway(excluded, slice_),
        *notices.needless(exclude, schema, left_out.values()),
    ]
    gaps = tuple(dangling(database, slice_, without_rows))
    slice_ = replace(slice_, warnings=(*slice_.warnings, *warnings), dangling=gaps)
    return Computed(slice_, statements, unrestricted, missing)


def _occurrences(recorded: Sequence[Judged], apart: Apart) -> dict[_Text, tuple[Occurrence, ...]]:
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


def _named_tables(
    recorded: Sequence[Judged],
    included: Collection[StatementClass],
    occurrences: Mapping[_Text, Sequence[Occurrence]],
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


def _require_visible(database: Database, schema: Schema, tables: Iterable[TableName]) -> None:
    """Raises GrantError for a table that information_schema hides because the account has no right on it at all."""
    for name in tables:
        if schema.find(name.schema, name.name) is None and name.schema.lower() not in SYSTEM_SCHEMAS:
            # What is really not there makes its statements unresolved.
            with suppress(StatementError):
                database.require_select(name)


#: Statements with equal text, context and class mean the same.
_Text = tuple[object, ...]


def _text(judged: Judged) -> _Text:
    session = judged.statement.session
    settings = (session.schema, session.sql_mode, session.time_zone, session.charset, session.collation)
    return judged.statement.sql, judged.kind, settings, tuple(sorted(session.variables.items()))


def _resolve_all(
    recorded: Sequence[Judged],
    apart: Apart,
    schema: Schema,
    included: Collection[StatementClass],
    own_mode: str,
    say: Progress,
) -> dict[_Text, Resolution]:
    """What each distinct statement is and needs. `own_mode` is the sql_mode of sessions that set none."""
    found: dict[_Text, Resolution] = {}
    pins = _pins(recorded)
    asked: dict[_Text, Judged] = {}
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
            found[text] = Resolution(StatementClass.UNRESOLVED, answer.reason)
        elif answer.statement_class in (StatementClass.UNRESOLVED, StatementClass.NOT_DATA):
            found[text] = answer
        else:
            kind = judged.kind if judged.kind in included else answer.statement_class
            found[text] = replace(answer, statement_class=kind)
    return found


def _pins(recorded: Iterable[Judged]) -> dict[_Text, tuple[tuple[Pinned, ...], int]]:
    """What all executions of a text showed, and how many showed nothing; no entry where all did not."""
    found: dict[_Text, tuple[dict[Pinned, None], int]] = {}
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
    if kind in (StatementClass.PREVIEW, StatementClass.CHECK) and kind not in included:
        return Resolution(kind, judged.reason)
    return None


def readable(statement: Statement, own_mode: str, server: ServerVersion | None) -> Statement:
    """The statement with the sql_mode that it had, and executable comments as the server read them."""
    session = statement.session
    if session.sql_mode is None:
        session = replace(session, sql_mode=own_mode)
    return replace(statement, session=session, sql=open_comments(statement.sql, session.sql_mode, server))


def _exclude(
    recorded: Sequence[Judged],
    resolutions: dict[_Text, Resolution],
    occurrences: Mapping[_Text, Sequence[Occurrence]],
    excluded: Collection[TableName],
    schema: Schema,
    included: Collection[StatementClass],
) -> dict[_Text, tuple[TableName, ...]]:
    """For each text that would be in the slice, or is unresolved, the excluded tables that it reads; such a text then
    asks for nothing in `resolutions`."""
    found: dict[_Text, tuple[TableName, ...]] = {}
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


def _needed(resolutions: dict[_Text, Resolution]) -> list[Resolution]:
    return [resolution for resolution in resolutions.values() if resolution.rules]


def _unrestricted(
    recorded: Sequence[Judged], resolutions: dict[_Text, Resolution], included: Collection[StatementClass]
) -> dict[TableName, int]:
    """Each table that a statement takes whole, whoever put its rows there, with the first such statement."""
    found: dict[TableName, int] = {}
    for judged in recorded:
        resolution = resolutions[_text(judged)]
        if resolution.statement_class in included and UNRESTRICTED in resolution.reason:
            for name in resolution.tables:
                found.setdefault(name, judged.statement.id)
    return found


def _judge(
    judged: Judged,
    resolutions: dict[_Text, Resolution],
    slice_: Slice,
    left_out: Mapping[_Text, tuple[TableName, ...]],
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


def _comparable(
    statements: Sequence[Judged], included: Collection[StatementClass], slice_: Slice
) -> Iterable[tuple[Statement, bool]]:
    """The statements of the slice to be compared with what was recorded, each once with the last result, and whether
    it is pinned. Left out is where pinned rows tell of changes already."""
    told = {check.statement for check in slice_.pins if check.differs}
    found: dict[_Text, tuple[Statement, bool]] = {}
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
