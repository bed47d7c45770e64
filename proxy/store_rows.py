"""Rows into the store and out of it, within a transaction that the caller holds."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, text, update  # noqa: TID251

from graph.leaves import Reading
from graph.statement import Session, StatementClass
from proxy import pins
from proxy.errors import InputError
from proxy.records import NewResult, NewStatement
from proxy.tables import (
    Analysis,
    KeySet,
    Meta,
    OccurrenceRow,
    Paper,
    ReadingRow,
    ResultRow,
    SessionContext,
    StatementRow,
    Text,
)


def digest(content: str) -> bytes:
    """What a text is found by."""
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()


def digest_bytes(content: bytes) -> bytes:
    """What a set of keys is found by."""
    return hashlib.sha256(content).digest()


def session_json(session: Session) -> str:
    """A context as it is stored: equal contexts are equal texts."""
    return json.dumps(asdict(session), sort_keys=True, ensure_ascii=False)


def stored_session(context: str) -> Session:
    """A context from what `session_json` made of it."""
    return Session(**json.loads(context))


#: A text under a context, by the digests of both.
Key = tuple[bytes, bytes]

_KNOWN = 50_000


def reading_key(sql: str, session: Session) -> Key:
    """What a reading is found by."""
    return digest(sql), digest(session_json(session))


class StatementWriter:
    """Stores statements, many at a time; remembers the ids of readings from one transaction to the next."""

    def __init__(self) -> None:
        self._known: dict[Key, int] = {}
        self._generation = ""

    def add(self, connection: Connection, journal: str, analysis: int, statements: Sequence[NewStatement]) -> int:
        """Store statements; one whose rows the next one on its connection counts becomes a preview.

        Returns the id of the first; those that follow have the next ones.
        """
        last = connection.scalar(select(func.max(StatementRow.id))) or 0
        if not statements:
            return last + 1
        self._refresh(connection)
        keys = [None if new.sql is None else reading_key(new.sql, new.session) for new in statements]
        unknown = {
            key: new for key, new in zip(keys, statements, strict=True) if key is not None and key not in self._known
        }
        if unknown:
            self._known |= _add_readings(connection, unknown)
        rows = [
            {
                "id": number,
                "analysis_id": analysis,
                "journal": journal,
                "connection": new.connection,
                "time": new.time,
                "reading_id": None if key is None else self._known[key],
                "verb": new.verb,
                "table_name": new.table,
                "length": new.length,
                "statement_class": new.statement_class.value,
                "reason": new.reason,
            }
            for number, (key, new) in enumerate(zip(keys, statements, strict=True), last + 1)
        ]
        connection.execute(insert(StatementRow), rows)
        if any(new.reading is not None and new.reading.count_of is not None for new in statements):
            pair_previews(connection, last)
        return last + 1

    def _refresh(self, connection: Connection) -> None:
        """Forget the ids known here when rows were removed since they were read."""
        generation = connection.scalar(select(Meta.value).where(Meta.key == "generation")) or ""
        if generation != self._generation or len(self._known) > _KNOWN:
            self._known.clear()
            self._generation = generation


def add_results(
    connection: Connection, journal: str, first: int, results: Sequence[tuple[int | None, NewResult]]
) -> None:
    """Store results, each with the place of its statement among those just stored, of which the first has the id
    `first`; None: it is the last one stored of its connection before."""
    packed = {digest_bytes(keys): keys for _, new in results if (keys := new.answered.keys) is not None}
    sets = _ids(connection, KeySet, {key: {"data": pins.pack(keys)} for key, keys in packed.items()}) if packed else {}
    for place, new in results:
        number = _last_statement(connection, journal, new.connection, first) if place is None else first + place
        if number is None:
            continue
        answered = new.answered
        row = {
            "statement_id": number,
            "rows": answered.rows,
            "digest": answered.digest,
            "key_columns": json.dumps(answered.columns, ensure_ascii=False) if answered.columns else None,
            "key_set_id": None if answered.keys is None else sets[digest_bytes(answered.keys)],
            "dropped": answered.dropped,
            "broken": answered.broken,
        }
        connection.execute(insert(ResultRow).prefix_with("OR REPLACE"), row)


def _last_statement(connection: Connection, journal: str, number: int, before: int) -> int | None:
    query = select(func.max(StatementRow.id)).where(
        StatementRow.journal == journal, StatementRow.connection == number, StatementRow.id < before
    )
    return connection.scalar(query)


def _add_readings(connection: Connection, unknown: Mapping[Key, NewStatement]) -> dict[Key, int]:
    """The ids of readings by their keys; those that are not there are stored."""
    texts = _ids(connection, Text, {key[0]: {"sql": new.sql} for key, new in unknown.items()})
    contexts = {key[1]: {"context": session_json(new.session)} for key, new in unknown.items()}
    sessions = _ids(connection, SessionContext, contexts)
    pairs = {(texts[key[0]], sessions[key[1]]): key for key in unknown}
    found = _find_readings(connection, pairs)
    missing = [(pair, reading) for pair, key in pairs.items() if key not in found and (reading := unknown[key].reading)]
    if missing:
        connection.execute(insert(ReadingRow), [_reading_row(pair, reading) for pair, reading in missing])
        found = _find_readings(connection, pairs)
    occurrences = [row for pair, reading in missing for row in occurrence_rows(found[pairs[pair]], reading)]
    if occurrences:
        connection.execute(insert(OccurrenceRow), occurrences)
    return found


def occurrence_rows(number: int, reading: Reading) -> list[dict[str, Any]]:
    """The tables of the reading with that id, as they are stored."""
    return [
        {
            "reading_id": number,
            "schema_name": occurrence.table.schema,
            "table_name": occurrence.table.name,
            "restriction": occurrence.restriction,
            "role": occurrence.role,
        }
        for occurrence in reading.occurrences
    ]


def _ids(connection: Connection, table: Any, rows: Mapping[bytes, Mapping[str, Any]]) -> dict[bytes, int]:
    """The ids of rows by their digests; those that are not there are stored."""
    connection.execute(
        insert(table).prefix_with("OR IGNORE"), [{"digest": digest, **row} for digest, row in rows.items()]
    )
    query = select(table.digest, table.id).where(table.digest.in_(list(rows)))
    return {found: int(number) for found, number in connection.execute(query)}


def _find_readings(connection: Connection, pairs: Mapping[tuple[int, int], Key]) -> dict[Key, int]:
    texts = sorted({text_id for text_id, _ in pairs})
    query = select(ReadingRow.text_id, ReadingRow.session_id, ReadingRow.id).where(ReadingRow.text_id.in_(texts))
    return {
        pairs[text_id, session_id]: number
        for text_id, session_id, number in connection.execute(query)
        if (text_id, session_id) in pairs
    }


def _reading_row(pair: tuple[int, int], reading: Reading) -> dict[str, Any]:
    return {
        "text_id": pair[0],
        "session_id": pair[1],
        "verb": reading.verb,
        "statement_class": reading.statement_class.value,
        "reason": reading.reason,
        "count_of": reading.count_of,
        "preview_of": reading.preview_of,
    }


#: The statement directly before a count on its connection, where it shows rows of exactly what is counted.
_PREVIEWS = text("""
UPDATE statements SET statement_class = :preview, reason = :reason
WHERE statement_class = :data AND id IN (
    SELECT shown.id
    FROM statements counted
    JOIN readings count ON count.id = counted.reading_id AND count.count_of IS NOT NULL
    JOIN statements shown ON shown.id = (
        SELECT max(earlier.id) FROM statements earlier
        WHERE earlier.journal = counted.journal AND earlier.connection = counted.connection AND earlier.id < counted.id
    )
    JOIN readings preview ON preview.id = shown.reading_id AND preview.preview_of = count.count_of
    WHERE counted.id > :last
)""")


def pair_previews(connection: Connection, last: int) -> None:
    """Class the displays that statements after the id `last` have shown to be such."""
    values = {
        "preview": StatementClass.PREVIEW.value,
        "data": StatementClass.DATA.value,
        "reason": "DataJoint's display of a query, followed by its count",
        "last": last,
    }
    connection.execute(_PREVIEWS, values)


def analysis_id(connection: Connection, paper: str, analysis: str, server: str, created: int) -> int:
    """The id of an analysis, which is made when need be; one that exists keeps its server and its time."""
    paper_id = _find_or_add(connection, Paper, {"name": paper}, {})
    return _find_or_add(
        connection, Analysis, {"paper_id": paper_id, "name": analysis}, {"server": server, "created": created}
    )


def _find_or_add(connection: Connection, table: Any, key: dict[str, Any], rest: dict[str, Any]) -> int:
    found = connection.scalar(select(table.id).filter_by(**key))
    return int(found) if found is not None else _insert(connection, table, key | rest)


def _insert(connection: Connection, table: Any, row: dict[str, Any]) -> int:
    (key,) = connection.execute(insert(table).values(row)).inserted_primary_key or (0,)
    return int(key)


def remove(connection: Connection, paper: str, analysis: str | None, statements: Sequence[int]) -> int:
    """Remove statements by id, else the analysis, else the paper; returns how many statements went.

    Raises InputError, before anything is removed, for statements that the paper does not have.
    """
    chosen = select(StatementRow.id).join(Analysis).join(Paper).where(Paper.name == paper)
    if analysis is not None:
        chosen = chosen.where(Analysis.name == analysis)
    ids = set(connection.scalars(chosen))
    if missing := sorted(set(statements) - ids):
        raise InputError(f"the paper {paper!r} has no statement {', '.join(map(str, missing))}")
    removed = sorted(set(statements) or ids)
    connection.execute(text("CREATE TEMP TABLE IF NOT EXISTS removed (id INTEGER PRIMARY KEY)"))
    connection.execute(text("DELETE FROM removed"))
    if removed:
        connection.execute(text("INSERT INTO removed VALUES (:id)"), [{"id": each} for each in removed])
    connection.execute(text("DELETE FROM statements WHERE id IN (SELECT id FROM removed)"))
    if not statements:
        _remove_analyses(connection, paper, analysis)
    for orphans in _ORPHANS:
        connection.execute(text(orphans))
    bump = str(int(connection.scalar(select(Meta.value).where(Meta.key == "generation")) or 0) + 1)
    connection.execute(update(Meta).where(Meta.key == "generation").values(value=bump))
    return len(removed)


_ORPHANS = (
    "DELETE FROM occurrences WHERE reading_id NOT IN (SELECT reading_id FROM statements WHERE reading_id IS NOT NULL)",
    "DELETE FROM readings WHERE id NOT IN (SELECT reading_id FROM statements WHERE reading_id IS NOT NULL)",
    "DELETE FROM texts WHERE id NOT IN (SELECT text_id FROM readings)",
    "DELETE FROM sessions WHERE id NOT IN (SELECT session_id FROM readings)",
    "DELETE FROM key_sets WHERE id NOT IN (SELECT key_set_id FROM results WHERE key_set_id IS NOT NULL)",
)


def _remove_analyses(connection: Connection, paper: str, analysis: str | None) -> None:
    paper_id = connection.scalar(select(Paper.id).where(Paper.name == paper))
    doomed = delete(Analysis).where(Analysis.paper_id == paper_id)
    connection.execute(doomed if analysis is None else doomed.where(Analysis.name == analysis))
    left = connection.scalar(select(func.count()).select_from(Analysis).where(Analysis.paper_id == paper_id))
    if not left:
        connection.execute(delete(Paper).where(Paper.id == paper_id))
