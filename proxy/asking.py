"""What a client's commands ask for, and what is to be said of them once the server has answered.

What is said of a statement is decided by `privacy` when it is sent, while the server works on it. Prepared statements
keep their text, where it may be kept, and what the server remembers of their parameters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from mysql_mimic.types import Capabilities, Commands, ServerStatus

from proxy import privacy
from proxy.charsets import charset_of
from proxy.commands import Command, Said
from proxy.events import Executed, Noted, SchemaChanged, SessionReset, Unread, UserChanged
from proxy.parameters import skip_attributes
from proxy.prepared import PreparedStatements
from proxy.privacy import Keep, Part
from proxy.protocol import HEADER, PeerProtocolError, Take
from proxy.quick import is_plain
from proxy.responses import COM_STMT_BULK_EXECUTE, SHAPES, ResponseTracker, Shape
from proxy.results import Watch

# A statement beyond is not kept: MySQL's own default for max_allowed_packet, and no analysis writes such a SELECT.
LONGEST_STATEMENT = 64 << 20

_QUERY, _EXECUTE = int(Commands.COM_QUERY), int(Commands.COM_STMT_EXECUTE)
_NO_ATTRIBUTES = b"\0\1"
# In COM_STMT_EXECUTE's packet: the flags, and how much comes before the parameters.
_FLAGS_AT, _EXECUTE_HEAD = HEADER + 5, HEADER + 9
_CURSOR = 7

NO_BACKSLASH_ESCAPES = int(ServerStatus.SERVER_STATUS_NO_BACKSLASH_ESCAPES)

_SETS_CHARSET = re.compile(
    rb"\b(?:NAMES|CHARSET|CHARACTER\s+SET|CHARACTER_SET_CLIENT\s*:?=)\s*['\"]?(\w+)", re.IGNORECASE
)


class CommandReader:
    """Reads the commands of one connection. `charset`: what the client writes in, None when not known."""

    def __init__(
        self,
        connection: int,
        capabilities: Capabilities,
        tracker: ResponseTracker,
        *,
        collation: int,
        watch: Watch,
    ) -> None:
        self.charset = charset_of(collation)[0]
        self._connection = connection
        self._capabilities = capabilities
        self._has_attributes = bool(capabilities & Capabilities.CLIENT_QUERY_ATTRIBUTES)
        self._tracker = tracker
        self._watch = watch
        self._prepared = PreparedStatements(capabilities)
        self._length = 0

    def read(self, payload: bytes, length: int) -> Command:
        """A command from its payload, which may be cut short, and its true length. Raises PeerProtocolError."""
        if not payload:
            raise PeerProtocolError("an empty command")
        code = payload[0]
        shape = SHAPES.get(code)
        if shape is None:
            raise PeerProtocolError(f"unknown command 0x{code:02x}")
        if shape is Shape.OPAQUE:
            raise PeerProtocolError("a replication stream")
        self._length = length
        handler = _HANDLERS.get(code)
        return handler(self, payload) if handler else Command(shape)

    def plain(self, command: bytes) -> Executed | None:
        """What is said of a command, one whole packet, when it is a plain statement (see `quick`); else None."""
        start = HEADER + 1
        if command[HEADER] == _QUERY:
            if self._has_attributes:
                if command[start : start + 2] != _NO_ATTRIBUTES:
                    return None
                start += len(_NO_ATTRIBUTES)
            sql = command[start:]
            return Executed(self._connection, sql, None, len(sql)) if is_plain(sql) else None
        # A cursor's rows come otherwise.
        if command[HEADER] == _EXECUTE and len(command) > _EXECUTE_HEAD and not command[_FLAGS_AT] & _CURSOR:
            found = self._prepared.plain(command[HEADER:], self.charset)
            if found is not None:
                part, parameters = found
                return Executed(self._connection, part.text, parameters, part.length)
        return None

    def heed(self, event: Executed) -> None:
        """Notice the character set that parameters will be written in."""
        if event.sql[:3].upper() == b"SET" and (found := _SETS_CHARSET.search(event.sql)):
            name = found.group(1).decode().lower()
            self.charset = None if name == "default" else name

    def forget(self) -> None:
        """Nobody is going to ask any more."""
        self._prepared.forget()

    def _process_query(self, payload: bytes) -> Command:
        start = 1
        if self._has_attributes:
            try:
                start = skip_attributes(payload)
            except PeerProtocolError as error:
                return Command(Shape.RESULTS, [self._unread("QUERY", len(payload), str(error))])
        return Command(Shape.RESULTS, [self._said(part) for part in self._read(payload[start:])])

    def _read(self, sql: bytes) -> list[Part]:
        length = self._length
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
            self.charset = charset_of(collation)[0]

        event = UserChanged(self._connection, user, schema or None, collation)
        return Command(Shape.LOGIN, [Said(event)], changed)

    def _process_reset(self, _payload: bytes) -> Command:
        def reset(_payload: bytes) -> None:
            self._prepared.forget()
            self.charset = None

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
        length = self._length

        def decide() -> list[Said]:
            return [self._said(*self._prepared.execute(payload, length, self.charset))]

        if self._prepared.is_known(payload):
            return Command(Shape.RESULTS, decide(), binary=True, statement=self._prepared.number(payload))
        # Its COM_STMT_PREPARE may still be on its way; by the time of the answer it has been answered too.
        return Command(Shape.RESULTS, decide=decide, binary=True)

    def _process_fetch(self, payload: bytes) -> Command:
        return Command(Shape.ROWS, fetches=self._prepared.number(payload))

    def _process_long_data(self, payload: bytes) -> Command:
        self._prepared.add_long_data(payload, self._length)
        return Command(Shape.NONE)

    def _process_close(self, payload: bytes) -> Command:
        self._prepared.close(payload)
        return Command(Shape.NONE)

    def _process_stmt_reset(self, payload: bytes) -> Command:
        self._prepared.reset(payload)
        return Command(Shape.ONE)


_HANDLERS: dict[int, Callable[[CommandReader, bytes], Command]] = {
    Commands.COM_QUERY: CommandReader._process_query,
    Commands.COM_INIT_DB: CommandReader._process_init_db,
    Commands.COM_DROP_DB: CommandReader._process_drop_db,
    Commands.COM_CHANGE_USER: CommandReader._process_change_user,
    Commands.COM_RESET_CONNECTION: CommandReader._process_reset,
    Commands.COM_STMT_PREPARE: CommandReader._process_prepare,
    Commands.COM_STMT_EXECUTE: CommandReader._process_execute,
    COM_STMT_BULK_EXECUTE: CommandReader._process_execute,
    Commands.COM_STMT_FETCH: CommandReader._process_fetch,
    Commands.COM_STMT_SEND_LONG_DATA: CommandReader._process_long_data,
    Commands.COM_STMT_CLOSE: CommandReader._process_close,
    Commands.COM_STMT_RESET: CommandReader._process_stmt_reset,
}
