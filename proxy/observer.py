"""The command phase, seen from outside: both directions' bytes in, events out.

The observer looks over the relay's shoulder. It is given what the client sent after that was forwarded, and what the
server sent just before that is forwarded, in chunks of any size; it gives events for statements that the server has
begun to answer with anything but an error. It changes nothing, waits for nothing, and when it cannot follow, the
connection's recording is `Lost` from there on, once, and the relay goes on.

Commands wait in a queue until their answers come: mostly one, more when a client sends several without waiting.
A command's shape (see `responses`) tells how its answer goes. Of an ordinary query's answer only the first packet
matters: OK or a result's head means success. What follows it, perhaps a gigabyte of rows, is passed by without a look,
and the next command ends it; that what came last looks like the end of an answer is checked then, so that a client that
did not wait is noticed. Answers are walked packet by packet only where the end must be known: when more commands
wait already, for texts of several statements (each stands for itself, and what comes behind an error was never
executed), and for COM_STMT_PREPARE.

What is said of a statement is decided by `privacy` when it is sent, while the server works on it, and given out when it
succeeds. Prepared statements keep their text, where it may be kept, and what the server remembers of their parameters.
Where the recording asks for more of a result (`results.Watch`), its rows are looked into; where nothing else
waits, only after they were forwarded: `server_bytes` keeps them, `catch_up` takes them.
Secrets pass through unread: in an authentication dialogue (COM_CHANGE_USER) nothing is looked at but who it is for.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from mysql_mimic.types import Capabilities, Commands, ServerStatus

from proxy import privacy, session_track
from proxy.charsets import charset_of
from proxy.commands import Command, Said
from proxy.events import (
    Event,
    Executed,
    Lost,
    Noted,
    SchemaChanged,
    SessionReset,
    Unread,
    UserChanged,
)
from proxy.parameters import skip_attributes
from proxy.prepared import PreparedStatements
from proxy.privacy import Keep, Part
from proxy.protocol import HEADER, ExtendedCapabilities, Header, PacketReader, PeerProtocolError, Take
from proxy.quick import is_plain
from proxy.responses import COM_STMT_BULK_EXECUTE, SHAPES, Mark, ResponseTracker, Shape, may_end_response, status_at_end
from proxy.results import NO_WATCH, Pin, Result, Watch

# A statement beyond is not kept: MySQL's own default for max_allowed_packet, and no analysis writes such a SELECT.
LONGEST_STATEMENT = 64 << 20
# The longest first packet that is looked at; OK packets with session tracking stay far below.
LONGEST_ANSWER = 1 << 16
# What is kept of an answer that is passed by: room for an OK packet with session tracking.
TAIL = 1024
# Commands sent without waiting; a client that has more in flight is not followed.
MOST_WAITING = 4096

IN_TRANSACTION = int(ServerStatus.SERVER_STATUS_IN_TRANS)
NO_BACKSLASH_ESCAPES = int(ServerStatus.SERVER_STATUS_NO_BACKSLASH_ESCAPES)
LONGEST_QUICK = 1 << 14
_QUERY, _EXECUTE = int(Commands.COM_QUERY), int(Commands.COM_STMT_EXECUTE)
_QUICK = (_QUERY, _EXECUTE)
_CURSOR_FLAGS = 7

NO_EXTENDED = ExtendedCapabilities(0)

_SETS_CHARSET = re.compile(
    rb"\b(?:NAMES|CHARSET|CHARACTER\s+SET|CHARACTER_SET_CLIENT\s*:?=)\s*['\"]?(\w+)", re.IGNORECASE
)


class Observer:
    """Follows one connection from its login on.

    `collation` and `status` are those of the login. Both `…_bytes` methods and `catch_up` return the events to be
    written now, and never raise.
    """

    def __init__(
        self,
        connection: int,
        capabilities: Capabilities,
        extended: ExtendedCapabilities = NO_EXTENDED,
        *,
        collation: int = 0,
        status: int = 0,
        watch: Watch = NO_WATCH,
    ) -> None:
        self.lost = False
        self.behind = b""
        self._watch = watch
        self._result: Result | None = None
        self._connection = connection
        self._capabilities = capabilities
        self._has_attributes = bool(capabilities & Capabilities.CLIENT_QUERY_ATTRIBUTES)
        self._tracks_session = bool(capabilities & Capabilities.CLIENT_SESSION_TRACK)
        self._charset = charset_of(collation)[0]
        self._client = PacketReader(LONGEST_STATEMENT)
        self._server = PacketReader(LONGEST_ANSWER)
        self._extended = extended
        self._tracker = ResponseTracker(capabilities, extended)
        self._tracker.status = status
        self._waiting: deque[Command] = deque()
        self._passing = False
        self._tail = b""
        self._uploading = False
        self._prepared = PreparedStatements(capabilities)
        self._quick: Executed | None = None
        self._has_quick = not watch.digest and watch.pin is not Pin.ALWAYS

    @property
    def idle(self) -> bool:
        """Whether no answer is under way, as far as can be told."""
        if self._passing:
            return may_end_response(self._tail)
        return not self._waiting and self._quick is None

    @property
    def in_transaction(self) -> bool:
        """Whether the session has begun what it has not yet committed, as the server said last."""
        status = status_at_end(self._tail) if self._passing else self._tracker.status
        return bool(status & IN_TRANSACTION)

    def lose(self, reason: str) -> list[Event]:
        """Stop following."""
        if self.lost:
            return []
        self.lost = True
        self._waiting.clear()
        self._prepared.forget()
        self._client = PacketReader(0)
        self._server = PacketReader(0)
        self._tail = self.behind = b""
        self._quick = None
        self._result = None
        return [Lost(self._connection, reason)]

    def close(self) -> list[Event]:
        """The connection is over."""
        events = self.catch_up()
        if self._result is not None:
            events.append(self._result.answered("the connection ended"))
            self._result = None
        return events

    def client_bytes(self, data: bytes) -> list[Event]:
        """What the client sent; call it when the bytes have been forwarded."""
        if self.lost:
            return []
        reader = self._client
        try:
            if self._has_quick and self._take_quick(data):
                return []
            reader.feed(data)
            while (payload := reader.next_packet()) is not None:
                self._process_client(payload)
        except PeerProtocolError as error:
            return self.lose(str(error))
        except Exception as error:
            # A mistake of ours must not cost the client its connection; the text may hold secrets, so only its kind.
            return self.lose(f"an error in the observer: {type(error).__name__}")
        return []

    def server_bytes(self, data: bytes) -> list[Event]:
        """What the server sent; write the events, then forward the bytes."""
        if self.lost:
            return []
        if self._passing:
            self._tail = data[-TAIL:] if len(data) >= TAIL else (self._tail + data)[-TAIL:]
            return []
        if self._quick is not None:
            # A result's head: one packet of a few bytes that begins with the count of columns.
            if len(data) > HEADER and 0 < data[0] < 11 and data[HEADER] - 1 < 250 and not data[1] | data[2]:
                return self._begin_quick(data)
            self._slow_down()
        events = self.catch_up()
        if self._result is not None and self._alone():
            self.behind = data
            return events
        return events + self._guarded(data)

    def catch_up(self) -> list[Event]:
        """Look into what `behind` holds: bytes of the server that were to be forwarded first."""
        data, self.behind = self.behind, b""
        return self._guarded(data) if data else []

    def _guarded(self, data: bytes) -> list[Event]:
        try:
            return self._process_server(data)
        except PeerProtocolError as error:
            return self.lose(str(error))
        except Exception as error:
            return self.lose(f"an error in the observer: {type(error).__name__}")

    # -- the short way: a plain SELECT, whole in its chunk, with nothing else under way

    def _take_quick(self, data: bytes) -> bool:
        """Take a client's chunk when it is such a statement, by text or prepared."""
        size = len(data) - HEADER
        if not 1 < size <= LONGEST_QUICK or data[:HEADER] != size.to_bytes(HEADER, "little"):
            return False
        if self._passing:
            if not may_end_response(self._tail):
                return False
        elif self._waiting or self._quick is not None or not self._server.at_rest:
            return False
        code = data[HEADER]
        if code not in _QUICK or self._uploading or not self._client.at_rest:
            return False
        if code == _QUERY:
            start = HEADER + 1
            if self._has_attributes:
                if data[start : start + 2] != b"\0\1":
                    return False
                start += 2
            sql = data[start:]
            if not is_plain(sql):
                return False
            self._quick = Executed(self._connection, sql, None, len(sql))
        else:
            # A cursor's rows come otherwise.
            if size < 10 or data[HEADER + 5] & _CURSOR_FLAGS:
                return False
            found = self._prepared.plain(data[HEADER:], self._charset)
            if found is None:
                return False
            part, parameters = found
            self._quick = Executed(self._connection, part.text, parameters, part.length)
        if self._passing:
            self._passing = False
            self._tail = b""
            self._waiting.clear()
        return True

    def _begin_quick(self, data: bytes) -> list[Event]:
        """Its answer begins, with a result."""
        event = self._quick
        assert event is not None
        self._quick = None
        self._passing = True
        self._tail = data[-TAIL:]
        return [event]

    def _slow_down(self) -> None:
        """Go the long way with it: its answer is none of the ordinary, or another command comes behind it."""
        event, self._quick = self._quick, None
        if event is not None:
            self._tracker.begin(Shape.RESULTS)
            binary = event.parameters is not None
            self._waiting.append(Command(Shape.RESULTS, [Said(event)], binary=binary))

    # -- the server's packets

    def _process_server(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        while data:
            if self._result is not None and self._tracker.in_rows:
                data = self._result.feed(data)
            if data:
                data = self._process_packets(data, events)
        return events

    def _process_packets(self, data: bytes, events: list[Event]) -> bytes:
        """Follow the server's packets. Gives the bytes that come next where these are rows to be looked into."""
        reader = self._server
        reader.feed(data)
        while (payload := reader.next_packet()) is not None:
            if not self._waiting:
                if payload[:1] != bytes((Header.ERR,)):
                    raise PeerProtocolError("an answer without a command")
                # The server says why it is going to close the connection.
                continue
            command = self._waiting[0]
            mark = self._tracker.packet(payload, reader.length)
            if mark & Mark.BEGUN:
                self._begun(command, payload, bool(mark & Mark.OK), events)
            followed = self._result is not None
            if self._result is not None:
                self._heed_result(self._result, mark, payload, events)
            if mark & Mark.END:
                self._waiting.popleft()
                if self._waiting:
                    self._tracker.begin(self._waiting[0].shape)
            elif mark & Mark.UPLOAD:
                self._uploading = True
            elif self._result is not None:
                if mark & Mark.BEGUN and self._alone():
                    self.behind = reader.rest()
                    break
                if self._tracker.in_rows:
                    return reader.rest()
            elif self._alone() and (mark & Mark.BEGUN or followed):
                self._passing = True
                self._tail = reader.rest()[-TAIL:]
                break
        return b""

    def _alone(self) -> bool:
        """Whether what comes belongs to the answer of one command that is one result, and can be looked at later."""
        if len(self._waiting) != 1:
            return False
        command = self._waiting[0]
        return command.shape in (Shape.RESULTS, Shape.ROWS) and len(command.said) <= 1

    def _heed_result(self, result: Result, mark: int, payload: bytes, events: list[Event]) -> None:
        """Look into what came of a result that is followed."""
        if mark & Mark.COLUMN:
            result.column(payload)
        if mark & (Mark.OVER | Mark.CURSOR | Mark.END):
            broken = "" if mark & Mark.OVER else "its rows come by a cursor"
            if not mark & (Mark.OVER | Mark.CURSOR):
                broken = f"the server broke off with error {int.from_bytes(payload[1:3], 'little')}"
            events.append(result.answered(broken))
            self._result = None
        elif self._tracker.in_rows and not result.begun and not result.begin():
            self._result = None

    def _begun(self, command: Command, payload: bytes, ok: bool, events: list[Event]) -> None:
        if command.then is not None:
            command.then(payload)
            command.then = None
        if command.decide is not None:
            command.said = command.decide()
            command.decide = None
        if command.begun < len(command.said):
            event, several, pins = command.said[command.begun]
            if command.told == command.begun:
                events.append(event)
                command.told += 1
            if ok or not several:
                command.begun += 1
            if isinstance(event, Executed):
                self._heed(event)
                if (pins or self._watch.digest) and not several and self._tracker.in_result:
                    self._result = self._follow(event, pins, command.binary)
        if ok and self._tracks_session:
            self._process_changes(payload, events)

    def _follow(self, event: Executed, pins: bool, binary: bool) -> Result:
        return Result(
            event,
            pins=pins,
            digest=self._watch.digest,
            binary=binary,
            deprecate_eof=bool(self._capabilities & Capabilities.CLIENT_DEPRECATE_EOF),
            extended=bool(self._extended & ExtendedCapabilities.EXTENDED_METADATA),
        )

    def _process_changes(self, payload: bytes, events: list[Event]) -> None:
        for kind, data in session_track.changes(payload):
            if kind == session_track.SCHEMA:
                event = SchemaChanged(self._connection, session_track.schema(data))
                if event not in events:
                    events.append(event)
            elif kind == session_track.SYSTEM_VARIABLES:
                for name, value in session_track.variables(data):
                    if name == "character_set_client":
                        self._charset = value

    def _heed(self, event: Executed) -> None:
        """Notice the character set that parameters will be written in."""
        if event.sql[:3].upper() == b"SET" and (found := _SETS_CHARSET.search(event.sql)):
            name = found.group(1).decode().lower()
            self._charset = None if name == "default" else name

    # -- the client's packets

    def _process_client(self, payload: bytes) -> None:
        if self._uploading:
            if not payload:
                self._uploading = False
                self._tracker.uploaded()
            return
        if self._waiting and self._waiting[-1].shape is Shape.LOGIN:
            return
        if not payload:
            raise PeerProtocolError("an empty command")
        code = payload[0]
        shape = SHAPES.get(code)
        if shape is None:
            raise PeerProtocolError(f"unknown command 0x{code:02x}")
        if shape is Shape.OPAQUE:
            raise PeerProtocolError("a replication stream")
        handler = _HANDLERS.get(code)
        command = handler(self, payload) if handler else Command(shape)
        if shape is not Shape.NONE:
            self._wait(command)

    def _wait(self, command: Command) -> None:
        if self._passing:
            if not may_end_response(self._tail):
                raise PeerProtocolError("the client did not wait for the end of an answer")
            self._passing = False
            self._tail = b""
            self._waiting.clear()
        elif self._quick is not None:
            self._slow_down()
        if not self._waiting:
            self._tracker.begin(command.shape)
        elif len(self._waiting) >= MOST_WAITING:
            raise PeerProtocolError(f"more than {MOST_WAITING} commands without an answer")
        self._waiting.append(command)

    def _process_query(self, payload: bytes) -> Command:
        start = 1
        if self._has_attributes:
            try:
                start = skip_attributes(payload)
            except PeerProtocolError as error:
                return Command(Shape.RESULTS, [self._unread("QUERY", len(payload), str(error))])
        return Command(Shape.RESULTS, [self._said(part) for part in self._read(payload[start:])])

    def _read(self, sql: bytes) -> list[Part]:
        length = self._client.length
        if length > LONGEST_STATEMENT:
            verb = re.sub(rb"\W.*", b"", sql[:64].strip(), flags=re.DOTALL).decode("ascii", "replace").upper()
            return [Part(Keep.UNREAD, verb or "?", "", b"", length, f"longer than {LONGEST_STATEMENT >> 20} MB")]
        return privacy.read(sql, backslash=self._escapes)

    @property
    def _escapes(self) -> bool:
        return not self._tracker.status & NO_BACKSLASH_ESCAPES

    def _said(self, part: Part, parameters: tuple[str, ...] | None = None) -> Said:
        if part.keep is Keep.WHOLE:
            event = Executed(self._connection, part.text, parameters, part.length)
            return Said(event, part.several, self._watch.pins(part.text, backslash=self._escapes))
        if part.keep is Keep.NOTE:
            return Said(Noted(self._connection, part.verb, part.table, part.length))
        return self._unread(part.verb, part.length, part.reason)

    def _unread(self, verb: str, length: int, reason: str) -> Said:
        return Said(Unread(self._connection, verb, length, reason))

    def _process_init_db(self, payload: bytes) -> Command:
        schema = payload[1:].decode(errors="replace")
        return Command(Shape.ONE, [Said(SchemaChanged(self._connection, schema or None))])

    def _process_drop_db(self, payload: bytes) -> Command:
        schema = payload[1:].decode(errors="replace")
        return Command(Shape.ONE, [Said(Noted(self._connection, "DROP", schema, len(payload)))])

    def _process_change_user(self, payload: bytes) -> Command:
        take = Take(payload, 1)
        user = take.until_nul().decode(errors="replace")
        if self._capabilities & Capabilities.CLIENT_SECURE_CONNECTION:
            take.fixed(take.integer(1))
        else:
            take.until_nul()
        schema = take.until_nul().decode(errors="replace")
        collation = take.integer(2) if take.left >= 2 else 0

        def changed(_payload: bytes) -> None:
            self._prepared.forget()
            self._charset = charset_of(collation)[0]

        event = UserChanged(self._connection, user, schema or None, collation)
        return Command(Shape.LOGIN, [Said(event)], changed)

    def _process_reset(self, _payload: bytes) -> Command:
        def reset(_payload: bytes) -> None:
            self._prepared.forget()
            self._charset = None

        return Command(Shape.ONE, [Said(SessionReset(self._connection))], reset)

    # -- prepared statements

    def _process_prepare(self, payload: bytes) -> Command:
        parts = self._read(payload[1:])
        if len(parts) == 1:
            part = parts[0]
        else:
            part = Part(Keep.UNREAD, "PREPARE", "", b"", len(payload), "several statements where one may stand")
        self._prepared.expect()
        return Command(Shape.PREPARED, then=lambda answer: self._prepared.remember(part, answer))

    def _process_execute(self, payload: bytes) -> Command:
        length = self._client.length

        def decide() -> list[Said]:
            return [self._said(*self._prepared.execute(payload, length, self._charset))]

        if self._prepared.is_known(payload):
            return Command(Shape.RESULTS, decide(), binary=True)
        # Its COM_STMT_PREPARE may still be on its way; by the time of the answer it has been answered too.
        return Command(Shape.RESULTS, decide=decide, binary=True)

    def _process_long_data(self, payload: bytes) -> Command:
        self._prepared.add_long_data(payload, self._client.length)
        return Command(Shape.NONE)

    def _process_close(self, payload: bytes) -> Command:
        self._prepared.close(payload)
        return Command(Shape.NONE)

    def _process_stmt_reset(self, payload: bytes) -> Command:
        self._prepared.reset(payload)
        return Command(Shape.ONE)


_HANDLERS: dict[int, Callable[[Observer, bytes], Command]] = {
    Commands.COM_QUERY: Observer._process_query,
    Commands.COM_INIT_DB: Observer._process_init_db,
    Commands.COM_DROP_DB: Observer._process_drop_db,
    Commands.COM_CHANGE_USER: Observer._process_change_user,
    Commands.COM_RESET_CONNECTION: Observer._process_reset,
    Commands.COM_STMT_PREPARE: Observer._process_prepare,
    Commands.COM_STMT_EXECUTE: Observer._process_execute,
    COM_STMT_BULK_EXECUTE: Observer._process_execute,
    Commands.COM_STMT_SEND_LONG_DATA: Observer._process_long_data,
    Commands.COM_STMT_CLOSE: Observer._process_close,
    Commands.COM_STMT_RESET: Observer._process_stmt_reset,
}
