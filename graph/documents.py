"""What a bundle holds beside its scripts: `review.json`, `publish/manifest.json` and `publish/queries.sql`."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from graph import quoting
from graph.bash import use
from graph.files import Tally
from graph.fingerprint import Fingerprint
from graph.names import TableName
from graph.schema import ForeignKey, Table
from graph.selection import present, restrictions
from graph.slice import Dangling, PinCheck, Slice, TableSlice
from graph.statement import Session, Statement, StatementClass
from graph.structure import Structure
from graph.visible import flat, hides, json_text, visible_lines

FORMAT: Final = "djproxy bundle"
FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Judged:
    """A recorded statement and what became of it.

    `answers` is the SELECT that the slice answers for it, where that is not the statement itself (the SELECT of an
    `INSERT … SELECT`). `pinned` says whether its rows are those that its recorded results named. `excluded` are the
    tables that keep it out of the slice because the export was told to leave them out; its class stays what it is.
    `lost` counts by table the rows that it needs and that limits keep out, `masked` names columns that it may look at
    and that the slice does not show: the slice does not answer it then.
    """

    statement: Statement
    kind: StatementClass
    reason: str
    analysis: str = ""
    answers: str | None = None
    pinned: bool = False
    excluded: tuple[TableName, ...] = ()
    lost: tuple[tuple[TableName, int], ...] = ()
    masked: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Meta:
    """What the documents say about the export as a whole.

    `source` names the server (host and port), `versions` maps programs to their versions, `options` holds the export's
    own; `included` are the classes of statements that the slice was computed from.
    """

    paper: str
    source: str
    version: str
    analyses: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    included: frozenset[StatementClass] = frozenset({StatementClass.DATA})


def review(
    slice_: Slice,
    statements: Sequence[Judged],
    meta: Meta,
    fingerprints: Mapping[TableName, Fingerprint],
    files: Tally | None = None,
    left_out: Sequence[Mapping[str, Any]] = (),
) -> str:
    """All that was decided, for the lab: texts of statements and restrictions among it; `left_out` says what is left
    out by class."""
    return _json(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "paper": meta.paper,
            "analyses": list(meta.analyses),
            "server": {"address": meta.source, "version": slice_.schema.server_version},
            "versions": {"djproxy": meta.version, **meta.versions},
            "options": dict(meta.options),
            "included": sorted(str(kind) for kind in meta.included),
            "rows": slice_.rows,
            "warnings": list(slice_.warnings),
            "excluded": [
                {"schema": name.schema, "name": name.name, "statements": number}
                for name, number in sorted(excluded_counts(statements).items())
            ],
            "tables": [_reviewed_table(s, slice_, fingerprints) for s in slice_.tables.values()],
            "dangling": [dangling_document(each) for each in slice_.dangling],
            "pins": [pin_document(check) for check in slice_.pins],
            "changes": [asdict(change) for change in slice_.changes],
            "left_out": list(left_out),
            "files": None if files is None else files.document(),
            "statements": [_reviewed_statement(judged) for judged in statements],
        }
    )


def manifest(slice_: Slice, meta: Meta, checksums: Mapping[str, str | None]) -> str:
    """What goes out with the slice.

    `checksums` maps files to their SHA-256; None for what is not yet written. Both scripts find the one of slice.sql by
    its line: four spaces, the name as key, the value.
    """
    return _json(
        {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "paper": meta.paper,
            "versions": {"djproxy": meta.version, "server": slice_.schema.server_version},
            "structure": meta.options.get("structure", Structure.NEEDED.value),
            "files": dict(checksums),
            "rows": slice_.rows,
            "tables": [_published_table(sliced) for sliced in present(slice_)],
            "foreign_keys": [_foreign_key(key) for key in slice_.foreign_keys],
            "dangling": [dangling_document(each) for each in slice_.dangling],
        }
    )


def dangling_document(gap: Dangling) -> dict[str, Any]:
    """Rows that refer to what is left out, as documents have it."""
    return {"foreign_key": _foreign_key(gap.foreign_key), "rows": gap.rows, "reason": gap.reason}


def queries(statements: Iterable[Judged], included: frozenset[StatementClass]) -> str:
    """The statements that the slice answers, each once, as SQL that a client can run after the restore."""
    lines = [
        "-- The recorded queries that this slice answers, each with the settings of the session that sent it.",
        "SET NAMES utf8mb4;",
    ]
    current: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for judged in statements:
        if judged.kind not in included or judged.excluded or judged.lost or judged.masked:
            continue
        session = judged.statement.session
        settings = list(_settings(session))
        text = published_text(judged.answers or judged.statement.sql)
        if (text, *settings) in seen:
            continue
        seen.add((text, *settings))
        lines += ["", f"-- {_context(session)}"]
        if hides(session.schema or ""):
            lines += [f"-- {_UNREACHABLE}", *_shown(text)]
            continue
        if settings != current:
            lines += [line for each in settings for line in (_prepared(each) if hides(each) else [f"{each};"])]
            current = settings
        # The end on a line of its own: the statement may end in a comment.
        lines += _prepared(text) if hides(text) else [text, ";"]
    return "\n".join(lines) + "\n"


#: USE cannot be prepared on MySQL, and a name in backticks has no escapes.
_UNREACHABLE: Final = "Left out here, since USE takes that schema's name only as it is; djproxy verify asks this query:"


def _prepared(sql: str) -> list[str]:
    """A statement with hidden characters, prepared from its bytes: the server gets the same text."""
    return [
        "-- With hidden characters, which are written out here:",
        *_shown(sql),
        f"SET @djproxy_query = X'{sql.encode('utf-8', 'surrogateescape').hex().upper()}';",
        "PREPARE djproxy_query FROM @djproxy_query;",
        "EXECUTE djproxy_query;",
        "DEALLOCATE PREPARE djproxy_query;",
    ]


def _shown(sql: str) -> list[str]:
    return [f"--   {line}" for line in visible_lines(sql).split("\n")]


def published_text(sql: str) -> str:
    """A statement as it stands in queries.sql."""
    return sql.strip().rstrip(";").rstrip()


def excluded_counts(statements: Iterable[Judged]) -> Counter[TableName]:
    """How many statements each excluded table keeps out of the slice; a statement may name several."""
    return Counter(name for judged in statements for name in judged.excluded)


def limited(statements: Iterable[Judged]) -> list[Judged]:
    """The statements that lose rows to limits, one for each text and what it loses."""
    found = {(judged.statement.sql, judged.statement.session.schema, judged.lost): judged for judged in statements}
    return [judged for judged in found.values() if judged.lost]


def lost_document(judged: Judged) -> list[dict[str, Any]]:
    """What limits keep out of a statement's rows, as documents have it."""
    return [{"schema": name.schema, "name": name.name, "rows": rows} for name, rows in judged.lost]


def masked_document(sliced: TableSlice) -> dict[str, str]:
    """How columns are masked, as documents have it."""
    return {name: mask.kind.value for name, mask in sliced.masks.items()}


def structure_digest(table: Table) -> str:
    """SHA-256 of what a table's columns and keys are."""
    columns = [[c.name, c.column_type, c.nullable, c.charset, c.collation, c.generated] for c in table.columns]
    text = json.dumps([columns, table.key, sorted(table.unique), table.view], ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _json(document: Mapping[str, Any]) -> str:
    return json_text(document, ascii_only=True) + "\n"


def _reviewed_table(sliced: TableSlice, slice_: Slice, fingerprints: Mapping[TableName, Fingerprint]) -> dict[str, Any]:
    name = sliced.table.name
    taken = fingerprints.get(name)
    view = sliced.table.view is not None
    return {
        "schema": name.schema,
        "name": name.name,
        "view": view,
        "rows": sliced.rows,
        "total": sliced.total,
        "whole": sliced.whole,
        "restriction": None if view or sliced.whole else restrictions(sliced),
        "values": None if taken is None else taken.values,
        "reasons": list(sliced.reasons),
        "masked": masked_document(sliced),
        "foreign_keys": [_foreign_key(key) for key in slice_.schema.parents(name)],
    }


def _reviewed_statement(judged: Judged) -> dict[str, Any]:
    session, recorded = judged.statement.session, judged.statement.recorded
    return {
        "id": judged.statement.id,
        "analysis": judged.analysis,
        "class": str(judged.kind),
        "reason": judged.reason,
        "sql": judged.statement.sql,
        "answers": judged.answers,
        "pinned": judged.pinned,
        "excluded": [list(name) for name in judged.excluded],
        "lost": lost_document(judged),
        "masked": list(judged.masked),
        "recorded": None if recorded is None else asdict(recorded),
        "session": {
            "schema": session.schema,
            "sql_mode": session.sql_mode,
            "time_zone": session.time_zone,
            "charset": session.charset,
            "collation": session.collation,
            "variables": dict(session.variables),
        },
    }


def pin_document(check: PinCheck) -> dict[str, Any]:
    """A comparison of recorded rows with the source, as documents have it."""
    return {
        "statement": check.statement,
        "schema": check.table.schema,
        "name": check.table.name,
        "pinned": check.pinned,
        "missing": check.missing,
        "gone": check.gone,
        "new": check.new,
    }


def _published_table(sliced: TableSlice) -> dict[str, Any]:
    name = sliced.table.name
    return {
        "schema": name.schema,
        "name": name.name,
        "view": sliced.table.view is not None,
        "rows": sliced.rows,
        "masked": masked_document(sliced),
        "structure": structure_digest(sliced.table),
    }


def _foreign_key(key: ForeignKey) -> dict[str, Any]:
    return {
        "name": key.name,
        "child": list(key.child),
        "child_columns": list(key.child_columns),
        "parent": list(key.parent),
        "parent_columns": list(key.parent_columns),
        **({} if key.declared else {"declared": False}),
    }


def _settings(session: Session) -> Iterator[str]:
    """The statements that give a session its settings; what it did not set is the server's default."""
    if session.schema is not None:
        yield use(session.schema).removesuffix(";")
    yield f"SET sql_mode = {_literal(session.sql_mode)}, time_zone = {_literal(session.time_zone)}"
    if session.collation is not None:
        yield f"SET collation_connection = {_literal(session.collation)}"
    elif session.charset is not None:
        yield f"SET character_set_connection = {_literal(session.charset)}"
    else:
        yield "SET NAMES utf8mb4"
    for name, literal in session.variables.items():
        yield f"SET @{quoting.identifier(name)} = {literal}"


def _literal(value: str | None) -> str:
    return "DEFAULT" if value is None else quoting.string_literal(value)


def _context(session: Session) -> str:
    """The session's settings for people, in one line."""
    parts = {
        "schema": session.schema,
        "sql_mode": session.sql_mode,
        "time_zone": session.time_zone,
        "charset": session.charset,
        "collation": session.collation,
    }
    said = [f"{name} {flat(value) or '(empty)'}" for name, value in parts.items() if value is not None]
    return ", ".join(said) or "the server's own settings"
