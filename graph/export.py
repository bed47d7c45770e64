"""Recorded statements → leaves → cascade → bundle: the one way from a recording to what is published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from graph import files_read, notices
from graph.apart import Apart
from graph.bundle import Beside, Bundle, require_writable, write_bundle
from graph.cascade import UNBOUNDED, Bounds, Parts, all_edges, cascade
from graph.dangling import dangling
from graph.database import Database
from graph.decisions import NOTHING, Decisions, chosen_parts, extended, whole_rules
from graph.decisions import left_out as tables_left_out
from graph.direct_write import room_beside, write_slice
from graph.documents import Judged, Meta, excluded_counts, limited
from graph.engines import Engine
from graph.errors import InputError, StatementError
from graph.exclusion import excluded_tables
from graph.files import StoreSettings, Tally
from graph.fingerprint import take
from graph.grants import missing_grants, without
from graph.judging import (
    Text,
    comparable,
    judge,
    left_out_by,
    named_tables,
    occurrences_of,
    resolve_all,
    unrestricted_tables,
)
from graph.leaves import Resolution
from graph.left_out import LeftOut, left_out
from graph.masks import masks
from graph.names import TableName
from graph.restart import anew
from graph.schema import SYSTEM_SCHEMAS, Schema, read_schema
from graph.since import changes
from graph.slice import Slice
from graph.statement import StatementClass
from graph.structure import Structure, whole_schemas

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Export:
    """An export as it was made: `statements` with their final classes and reasons, `files` that rows name, and what is
    `left_out` by class."""

    bundle: Bundle
    slice: Slice
    statements: tuple[Judged, ...]
    files: Tally
    left_out: tuple[LeftOut, ...] = ()

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


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be exported: recorded statements, each with the class that it got while recording, and how.

    `meta.included` are the classes taken into the slice.
    """

    recorded: Sequence[Judged]
    meta: Meta
    parts: Parts = Parts.MERGE
    decisions: Decisions = NOTHING
    bounds: Bounds = UNBOUNDED


def export(
    database: Database,
    recorded: Sequence[Judged],
    folder: Path,
    meta: Meta,
    *,
    parts: Parts = Parts.MERGE,
    decisions: Decisions = NOTHING,
    scratch_schema: str | None = None,
    engine: Engine | None = None,
    stores: Mapping[str, StoreSettings] | None = None,
    direct: bool = False,
    progress: Progress | None = None,
    bounds: Bounds = UNBOUNDED,
) -> Export:
    """Writes the bundle for recorded statements, see `Asked` and graph.decisions.

    `dump.sh` may make tables of keys in `scratch_schema`; what `engine` needs is written beside it. `stores` are
    DataJoint's settings of stores. With `direct` the bundle has its slice at once, written in the snapshot in which it
    was computed. Raises InputError when there is nothing to export, the folder is not ours, a pattern stands for no
    table, a decision cannot be carried out or the engine cannot dump the slice, LimitError when the slice exceeds
    `bounds`, GrantError for a missing right, ServerError, ApartError; nothing is written then.
    """
    say = progress or (lambda text: None)
    asked = Asked(recorded, meta, parts, decisions, bounds)

    def once() -> Export:
        require_writable(folder.absolute(), meta.paper)
        with ExitStack() as stack:
            room = stack.enter_context(room_beside(folder)) if direct else None
            with closing(Apart()) as apart, database.snapshot():
                made = compute(database, apart, asked, say)
                say("taking fingerprints of the rows")
                fingerprints = take(database, made.slice)
                listing = files_read.take(database, made.slice, decisions.files, stores, say)
                changed = tuple(changes(database, comparable(made.statements, meta.included, made.slice), say))
                warnings = (*made.slice.warnings, *notices.unlisted(listing.tally, decisions.files, made.slice))
                slice_ = replace(made.slice, changes=changed, warnings=warnings)
                packed = None
                if room is not None:
                    packed = write_slice(database, slice_, fingerprints, room / "slice.sql.zst", say)
            not_taken = tuple(each.document() for each in made.left_out)
            beside = Beside(scratch_schema, engine, listing, packed, not_taken)
            bundle = write_bundle(folder, slice_, made.statements, meta, fingerprints, beside)
        return Export(bundle, slice_, made.statements, listing.tally, made.left_out)

    return anew(database, once, say)


@dataclass(frozen=True, slots=True)
class Computed:
    """What an export decides before it writes anything.

    `unrestricted` has for each table that a statement takes whole the first such statement, `missing` what the account
    lacks for each table that it may not read, `left_out` what is left out by class, `with_parts` the parts that the
    plan takes with their masters.
    """

    slice: Slice
    statements: tuple[Judged, ...]
    unrestricted: Mapping[TableName, int]
    missing: Mapping[TableName, str] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    with_parts: frozenset[TableName] = frozenset()


def compute(database: Database, apart: Apart, asked: Asked, say: Progress, *, forgiving: bool = False) -> Computed:
    """The slice of recorded statements, in the database's snapshot. Raises as `export` does.

    With `forgiving` no missing right ends it: the slice then lacks the rows of what may not be read.
    """
    recorded, meta, decisions = asked.recorded, asked.meta, asked.decisions
    exclude, within = decisions.exclude, decisions.within
    if not recorded:
        raise InputError(f"the recording of paper {meta.paper} is empty: no statement went through the proxy")
    say("reading the schema")
    occurrences = occurrences_of(recorded, apart)
    named = named_tables(recorded, meta.included, occurrences, exclude)
    # Of what is excluded only the names are read: it needs no right to SELECT.
    names = [*named, *(TableName(each.schema, "") for each in exclude), *(each.table for each in within)]
    names += decisions.schemas
    schema = read_schema(database, names, checked=not forgiving)
    excluded = excluded_tables(exclude, schema)
    full, without_rows = extended(schema, decisions), tables_left_out(schema, decisions)
    with_parts = chosen_parts(full, decisions)
    files_read.check_rules(schema, decisions.files)
    masked = masks(full, decisions.masked)
    # Statements are resolved without the plan's foreign keys, and without those that lead to what is left out: their
    # rows must not rest on these.
    apart.use(schema.cut(without_rows))
    if not forgiving:
        _require_visible(database, schema, (name for name, taken in named.items() if taken))
    own_mode = str(database.value("SELECT @@GLOBAL.sql_mode"))
    resolved = resolve_all(recorded, apart, schema, meta.included, own_mode, say)
    resolutions = resolved.resolutions
    missing: dict[TableName, str] = {}
    if forgiving:
        needed = [name for name, taken in named.items() if taken or schema.find(*name) is not None]
        needed += [name for resolution in _needed(resolutions) for name in resolution.tables]
        needed += [named.table for named in decisions.whole]
        if decisions.structure is Structure.SCHEMAS:
            needed += whole_schemas(full, needed)
        missing = missing_grants(database, full, needed, all_edges(full, asked.parts, with_parts))
    for text, resolution in resolutions.items():
        if lacking := [missing[name] for name in resolution.tables if name in missing]:
            resolutions[text] = Resolution(StatementClass.UNRESOLVED, lacking[0])
    kept_out = left_out_by(recorded, resolutions, occurrences, excluded, schema, meta.included)
    wanted = _needed(resolutions)
    rules = [rule for resolution in wanted for rule in resolution.rules]
    rules += [rule for rule in whole_rules(schema, decisions) if rule.outputs[0].table not in missing]
    if not missing and not rules:
        raise InputError(notices.nothing_to_export(recorded, resolutions.values(), meta.paper, kept_out.values()))
    structure = {name for r in wanted for name in (*r.tables, *r.views)}
    empty: set[TableName] = set()
    if decisions.structure is Structure.SCHEMAS:
        empty = whole_schemas(full, structure.union(output.table for rule in rules for output in rule.outputs))
        empty -= missing.keys()
    close = partial(
        cascade,
        database,
        without(full, missing) if missing else full,
        parts=asked.parts,
        with_parts=with_parts,
        without_parts=excluded,
        within=within,
        leave_out=without_rows,
    )
    slice_ = close(rules, structure=structure, empty=empty, progress=say, bounds=asked.bounds)
    slice_ = slice_.masked(masked)
    statements = tuple(judge(judged, resolutions, slice_, kept_out, masked) for judged in recorded)
    unrestricted = unrestricted_tables(recorded, resolutions, meta.included)
    warnings = [
        *notices.taken_whole(unrestricted, slice_),
        *notices.needed_anyway(excluded, slice_),
        *notices.needless(exclude, schema, kept_out.values()),
    ]
    gaps = tuple(dangling(database, slice_, without_rows))
    slice_ = replace(slice_, warnings=(*slice_.warnings, *warnings), dangling=gaps)
    say("looking for the rows of what is left out by class")
    others = {
        kind: [rule for each in left if excluded.isdisjoint((*each.tables, *each.views)) for rule in each.rules]
        for kind, left in resolved.left_out.items()
    }
    alike = partial(close, bounds=Bounds(asked.bounds.memory))
    unknown = {kind for kind, left in resolved.left_out.items() if any(_is_unresolved(each) for each in left)}
    not_taken = left_out(database, statements, others, slice_, alike, unknown)
    return Computed(slice_, statements, unrestricted, missing, tuple(not_taken), with_parts)


def _require_visible(database: Database, schema: Schema, tables: Iterable[TableName]) -> None:
    """Raises GrantError for a table that information_schema hides because the account has no right on it at all."""
    for name in tables:
        if schema.find(name.schema, name.name) is None and name.schema.lower() not in SYSTEM_SCHEMAS:
            # What is really not there makes its statements unresolved.
            with suppress(StatementError):
                database.require_select(name)


def _is_unresolved(resolution: Resolution) -> bool:
    return resolution.statement_class is StatementClass.UNRESOLVED


def _needed(resolutions: Mapping[Text, Resolution]) -> list[Resolution]:
    return [resolution for resolution in resolutions.values() if resolution.rules]
