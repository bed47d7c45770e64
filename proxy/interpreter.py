"""What a journal's entries mean: the statements that they executed, each with its context and its reading."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from graph.leaves import Reading
from graph.statement import Session, StatementClass
from proxy import events
from proxy.context import Context, Resolved
from proxy.journal import Entry
from proxy.reader import Reader, unresolved
from proxy.records import NewLost, NewResult, NewStatement
from proxy.store import Store
from proxy.store_rows import Key, reading_key

_READINGS = 8192
#: Statements that bring rows.
_INSERTING = frozenset({"INSERT", "REPLACE", "LOAD"})
_WRITTEN = "its rows come along only where something fetched them; its text was not kept"

New = NewStatement | NewResult | NewLost


class Readings:
    """Readings by text and context: from memory, else from the store, else from the reader."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader
        self._recent: OrderedDict[Key, Reading] = OrderedDict()
        self._coming: Iterator[tuple[Key, Reading]] = iter(())

    def prefetch(self, statements: Sequence[Resolved]) -> None:
        """Look many statements up in the store at once, and have the others read in this order."""
        keys = {reading_key(each.sql, each.session): each for each in statements}
        if missing := keys.keys() - self._recent.keys():
            self._recent |= self._store.find_readings(missing)
        wanted = [(key, (each.sql, each.session)) for key, each in keys.items() if key not in self._recent]
        self._coming = zip([key for key, _ in wanted], self._reader.read_all([each for _, each in wanted]), strict=True)

    def get(self, sql: str, session: Session) -> Reading:
        """The reading of a statement that was looked up before."""
        key = reading_key(sql, session)
        while key not in self._recent:
            coming, reading = next(self._coming)
            self._recent[coming] = reading
        self._recent.move_to_end(key)
        return self._recent[key]

    def trim(self) -> None:
        """Keep memory bounded; not between `prefetch` and the last `get`."""
        while len(self._recent) > _READINGS:
            self._recent.popitem(last=False)


class Interpreter:
    """Journal entries → what is stored of them. Keeps the context of each connection."""

    def __init__(self) -> None:
        self._contexts: dict[int, Context] = {}
        #: What a result that comes next on a connection belongs to: a text, by its checksum.
        self._asked: dict[int, int] = {}

    def feed(self, event: events.Event) -> list[Resolved] | None:
        """Follow an event; the statements it executed, each with its context. None for the result of a statement that
        is not known."""
        asked = self._asked.pop(event.connection, None)
        match event:
            case events.Answered(statement=statement):
                return [] if asked == statement else None
            case events.Closed(connection):
                self._contexts.pop(connection, None)
                return []
            case events.Lost(connection):
                if not connection:
                    self._asked.clear()
                return []
            case events.Unread():
                return []
        context = self._contexts.setdefault(event.connection, Context())
        match event:
            case events.Connected(schema=schema, collation=collation):
                context.connected(schema, collation)
            case events.UserChanged(schema=schema, collation=collation):
                context.connected(schema, collation)
            case events.SchemaChanged(schema=schema):
                context.schema = schema
            case events.SessionReset():
                context.reset()
            case events.Noted(verb=verb, table=names):
                context.noted(verb, names)
            case events.Executed(connection, sql, parameters):
                resolved = list(context.executed(sql, parameters))
                if len(resolved) == 1:
                    self._asked[connection] = zlib.crc32(sql)
                return resolved
        return []


def interpret(entry: Entry, resolved: list[Resolved] | None, readings: Readings) -> list[New]:
    """What is stored of an entry, of which the `Interpreter` gave `resolved`."""
    if resolved is None:
        return []
    match entry.event:
        case events.Answered(connection):
            return [NewResult(connection, entry.event)]
        case events.Executed(connection=connection):
            return [_executed(connection, entry.time, each, readings) for each in resolved]
        case events.Noted(connection, verb, table, length):
            written = verb in _INSERTING
            statement_class = StatementClass.WRITE if written else StatementClass.NOT_DATA
            reason = _WRITTEN if written else "it reads no rows; its text was not kept"
            return [NewStatement(connection, entry.time, verb, table, length, statement_class, reason)]
        case events.Unread(connection, verb, length, reason):
            return [NewStatement(connection, entry.time, verb, "", length, StatementClass.UNRESOLVED, reason)]
        case events.Lost(connection, reason):
            return [NewLost(connection, entry.time, reason)]
    return []


def _executed(connection: int, moment: int, resolved: Resolved, readings: Readings) -> NewStatement:
    sql, session = resolved.sql, resolved.session
    problem = resolved.problem
    reading = unresolved(sql, session, problem) if problem else readings.get(sql, session)
    statement_class, reason = reading.statement_class, reading.reason
    if statement_class is not StatementClass.NOT_DATA and resolved.notes:
        reason = "; ".join(filter(None, (reason, *resolved.notes)))
        if any(note.startswith("sql_mode") for note in resolved.notes):
            # What is a string and what a column hangs on it.
            statement_class = StatementClass.UNRESOLVED
    return NewStatement(
        connection,
        moment,
        reading.verb,
        str(reading.occurrences[0].table) if len(reading.occurrences) == 1 else "",
        len(sql.encode("utf-8", "surrogatepass")),
        statement_class,
        reason,
        sql=sql,
        session=session,
        reading=reading,
    )
