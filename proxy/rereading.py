"""What an older djproxy recorded, classed by the rules of this one: the texts in the store are read again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select, update  # noqa: TID251

from graph.leaves import READING_RULES, Reading
from graph.statement import Session, StatementClass
from graph.words import counted
from proxy.reader import Reader
from proxy.store import Store
from proxy.store_rows import occurrence_rows, pair_previews, stored_session
from proxy.tables import Meta, OccurrenceRow, ReadingRow, SessionContext, StatementRow, Text

#: Of a store that does not name the rules.
_FIRST = 1
#: From this number of texts on, reading them is announced.
_MANY = 200


@dataclass(frozen=True, slots=True)
class _Stored:
    """A reading as it is stored."""

    id: int
    sql: str
    session: Session
    statement_class: StatementClass
    reason: str


def reread(store: Store, reader: Reader, say: Callable[[str], None] = lambda text: None) -> None:
    """Read all texts again if older rules read them, and class their statements. Raises StoreError, ApartError."""
    with store.reading() as connection:
        if _rules(connection) >= READING_RULES:
            return
        known = _all_readings(connection)
    if len(known) >= _MANY:
        say(f"reading {counted(len(known), 'recorded text')} again, by the rules of this version")
    found = list(zip(known, reader.read_all([(each.sql, each.session) for each in known]), strict=True))
    with store.writing() as connection:
        if _rules(connection) >= READING_RULES:
            return
        for stored, reading in found:
            _replace(connection, stored, reading)
        pair_previews(connection, 0)
        connection.execute(insert(Meta).prefix_with("OR REPLACE").values(key="rules", value=str(READING_RULES)))


def _rules(connection: Connection) -> int:
    return int(connection.scalar(select(Meta.value).where(Meta.key == "rules")) or _FIRST)


def _all_readings(connection: Connection) -> Sequence[_Stored]:
    query = (
        select(ReadingRow.id, Text.sql, SessionContext.context, ReadingRow.statement_class, ReadingRow.reason)
        .join(Text, ReadingRow.text_id == Text.id)
        .join(SessionContext, ReadingRow.session_id == SessionContext.id)
        .order_by(ReadingRow.id)
    )
    return [
        _Stored(number, sql, stored_session(context), StatementClass(name), reason)
        for number, sql, context, name, reason in connection.execute(query)
    ]


def _replace(connection: Connection, stored: _Stored, reading: Reading) -> None:
    """Store a reading in place of the old one, and class the statements of its text."""
    values = {
        "verb": reading.verb,
        "statement_class": reading.statement_class.value,
        "reason": reading.reason,
        "count_of": reading.count_of,
        "preview_of": reading.preview_of,
    }
    connection.execute(update(ReadingRow).where(ReadingRow.id == stored.id).values(values))
    connection.execute(delete(OccurrenceRow).where(OccurrenceRow.reading_id == stored.id))
    if rows := occurrence_rows(stored.id, reading):
        connection.execute(insert(OccurrenceRow), rows)
    for name, reason in _classes(connection, stored.id):
        old = StatementClass(name)
        new = _new_class(old, stored, reading)
        text = reason if new is old is StatementClass.UNRESOLVED else _new_reason(old, reason, stored, reading)
        connection.execute(
            update(StatementRow)
            .where(StatementRow.reading_id == stored.id)
            .where(StatementRow.statement_class == name, StatementRow.reason == reason)
            .values(statement_class=new.value, reason=text)
        )


def _classes(connection: Connection, reading: int) -> Iterable[tuple[str, str]]:
    query = select(StatementRow.statement_class, StatementRow.reason).where(StatementRow.reading_id == reading)
    return [(name, reason) for name, reason in connection.execute(query.distinct())]


def _new_class(old: StatementClass, stored: _Stored, reading: Reading) -> StatementClass:
    """What the session left unresolved stays so, unless nothing is read."""
    by_session = old is StatementClass.UNRESOLVED and stored.statement_class is not StatementClass.UNRESOLVED
    if by_session and reading.statement_class is not StatementClass.NOT_DATA:
        return old
    return reading.statement_class


def _new_reason(old: StatementClass, reason: str, stored: _Stored, reading: Reading) -> str:
    """The reading's reason, and after it what the session added."""
    if old is StatementClass.PREVIEW or reading.statement_class is StatementClass.NOT_DATA:
        return reading.reason
    added = reason.removeprefix(stored.reason).removeprefix("; ") if reason.startswith(stored.reason) else ""
    return "; ".join(filter(None, (reading.reason, added)))
