"""The command phase, seen from outside: both directions' bytes in, events out.

The observer looks over the relay's shoulder. It is given what the client sent after that was forwarded, and what the
server sent just before that is forwarded, in chunks of any size; it gives events for statements that the server has
begun to answer with anything but an error. It changes nothing, waits for nothing, and when it cannot follow, the
connection's recording is `Lost` from there on, once, and the relay goes on.

Commands wait in a queue until their answers come: mostly one, more when a client sends several without waiting.
A command's shape (see `responses`) tells how its answer goes. Of an ordinary query's answer only the first packet
matters: OK or a result's head means success. What follows it, perhaps a gigabyte of rows, is passed by without a look,
and the next command ends it; that what came last looks like the end of an answer is checked then. A client that did
not wait is followed as long as the answer is short (see `passing`). Answers are walked packet by packet only where the
end must be known: when more commands wait already, for texts of several statements (each stands for itself, and what
comes behind an error was never executed), and for COM_STMT_PREPARE. An answer's first packet has the number after its
command's last: a step missed is noticed there.

What is said of a statement is decided by `privacy` when it is sent, while the server works on it, and given out when it
succeeds. Prepared statements keep their text, where it may be kept, and what the server remembers of their parameters.
Where the recording asks for more of a result (`results.Watch`), its rows are looked into; where nothing else
waits, only after they were forwarded: `server_bytes` keeps them, `catch_up` takes them (see `following`).
Where the two ends compress, both methods unpack a copy first (see `compression`).
Secrets pass through unread: in an authentication dialogue (COM_CHANGE_USER) nothing is looked at but who it is for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain

from mysql_mimic.types import Capabilities, ServerStatus

from proxy import session_track
from proxy.asking import LONGEST_STATEMENT, CommandReader
from proxy.commands import Command, Said
from proxy.compression import Decompressor, unpacker_of
from proxy.events import Event, Executed, Lost, SchemaChanged
from proxy.following import Following
from proxy.passing import Passing
from proxy.protocol import HEADER, MAX_PAYLOAD, ExtendedCapabilities, Header, PacketReader, PeerProtocolError
from proxy.quick import has_quick
from proxy.responses import Mark, ResponseTracker, Shape
from proxy.results import NO_WATCH, Result, Watch

# The longest first packet that is looked at; OK packets with session tracking stay far below.
LONGEST_ANSWER = 1 << 16
# The short way is for what comes in one chunk, and for so many columns that one byte tells.
LONGEST_QUICK = 1 << 14
MOST_QUICK_COLUMNS = 250
# The header of an answer's first packet when that is a result's head: count of columns, and flags.
_HEADS = frozenset(bytes((length, 0, 0, 1)) for length in range(1, 4))
# Commands sent without waiting; a client that has more in flight is not followed.
MOST_WAITING = 4096

# Of a packet; the next is 0.
LAST_NUMBER = 0xFF

IN_TRANSACTION = int(ServerStatus.SERVER_STATUS_IN_TRANS)
NO_EXTENDED = ExtendedCapabilities(0)

#: Follows what one side sent, and adds to the events.
_Process = Callable[[Iterator[bytes], list[Event]], None]


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
        self.behind: Iterator[bytes] | None = None
        self._watch = watch
        self._connection = connection
        self._capabilities = capabilities
        self._tracks_session = bool(capabilities & Capabilities.CLIENT_SESSION_TRACK)
        self._client = PacketReader(LONGEST_STATEMENT)
        self._server = PacketReader(LONGEST_ANSWER)
        self._extended = extended
        self._tracker = ResponseTracker(capabilities, extended)
        self._tracker.status = status
        self._following = Following(self._tracker)
        self._waiting: deque[Command] = deque()
        self._unanswered = False
        self._passing = False
        self._passed = Passing()
        self._rest = b""
        # Local files that the client has yet to end, and the number of its last packet.
        self._uploading = 0
        self._uploaded = 0
        self._asked = CommandReader(connection, capabilities, self._tracker, collation=collation, watch=watch)
        unpacker = unpacker_of(capabilities)
        self._unpack_client = Decompressor(unpacker) if unpacker else None
        self._unpack_server = Decompressor(unpacker) if unpacker else None
        self._quick: Executed | None = None
        self._has_quick = unpacker is None and has_quick(capabilities, extended, watch)
        self._numbers_eof = not capabilities & Capabilities.CLIENT_DEPRECATE_EOF

    @property
    def idle(self) -> bool:
        """Whether no answer is under way, as far as can be told."""
        if self._passing:
            return self._passed.may_be_over
        return not self._waiting and self._quick is None and not self._uploading

    @property
    def in_transaction(self) -> bool:
        """Whether the session has begun what it has not yet committed, as the server said last."""
        status = self._passed.status if self._passing else self._tracker.status
        return bool(status & IN_TRANSACTION)

    def lose(self, reason: str) -> list[Event]:
        """Stop following."""
        if self.lost:
            return []
        self.lost = True
        self._waiting.clear()
        self._asked.forget()
        self._client = PacketReader(0)
        self._server = PacketReader(0)
        self._passed.forget()
        self._rest = b""
        self._quick = None
        self.behind = self._unpack_client = self._unpack_server = None
        self._following.stop()
        return [Lost(self._connection, reason)]

    def close(self) -> list[Event]:
        """The connection is over."""
        events = self.catch_up()
        return events + self._following.forget("the connection ended")

    def client_bytes(self, data: bytes) -> list[Event]:
        """What the client sent; call it when the bytes have been forwarded."""
        if self.lost or (self._has_quick and self._took_quick(data)):
            return []
        pieces = iter((data,)) if self._unpack_client is None else self._unpack_client.feed(data)
        return self._guarded(self._process_commands, pieces, [])

    def server_bytes(self, data: bytes) -> list[Event]:
        """What the server sent; write the events, forward the bytes, then `catch_up` where something is `behind`."""
        if self.lost:
            return []
        if self._unpack_server is None:
            if self._passing:
                self._passed.take(data)
                return []
            if self._quick is not None:
                # A result's head: one packet of a few bytes that begins with the count of columns.
                if len(data) > HEADER and data[HEADER] - 1 < MOST_QUICK_COLUMNS and data[:HEADER] in _HEADS:
                    return self._begin_quick(data)
                self._go_long()
            pieces: Iterator[bytes] = iter((data,))
        else:
            pieces = self._unpack_server.feed(data)
        events = self.catch_up() if self.behind is not None else []
        if self._following.result is not None and self._alone():
            self.behind = pieces
            return events
        return self._guarded(self._process_answers, pieces, events)

    def catch_up(self) -> list[Event]:
        """Look into what is `behind`: bytes of the server that were to be forwarded first."""
        events: list[Event] = []
        while self.behind is not None:
            pieces, self.behind = self.behind, None
            self._guarded(self._process_answers, pieces, events)
        return events

    def _guarded(self, process: _Process, pieces: Iterator[bytes], events: list[Event]) -> list[Event]:
        try:
            process(pieces, events)
        except PeerProtocolError as error:
            events += self.lose(str(error))
        except Exception as error:
            # A mistake of ours must not cost the client its connection; the text may hold secrets, so only its kind.
            events += self.lose(f"an error in the observer: {type(error).__name__}")
        return events

    # -- the short way: a plain statement, whole in its chunk, with nothing else under way

    def _took_quick(self, data: bytes) -> bool:
        """Take a client's chunk when it is such a statement, by text or prepared."""
        size = len(data) - HEADER
        if not 1 < size <= LONGEST_QUICK or data[:HEADER] != size.to_bytes(HEADER, "little"):
            return False
        if self._passing:
            if not self._passed.is_over:
                return False
        elif self._waiting or self._quick is not None or not self._server.at_rest:
            return False
        if self._uploading or self._following.has_cursor or self.behind is not None or not self._client.at_rest:
            return False
        try:
            self._quick = self._asked.plain(data)
        except Exception:
            # The long way meets it again, and says so.
            return False
        if self._quick is None:
            return False
        if self._passing:
            self._passing = False
            self._waiting.clear()
        return True

    def _begin_quick(self, data: bytes) -> list[Event]:
        """Its answer begins, with a result."""
        event = self._quick
        assert event is not None
        self._passing = True
        # Behind the head come so many columns, then perhaps an EOF packet.
        metadata_end = bytes(((data[HEADER] + 2) & 0xFF,)) if self._numbers_eof else b""
        if self._passed.begin_whole(data, metadata_end):
            self._quick = None
        return [event]

    def _go_long(self, *, begun: bool = False) -> None:
        """Follow it as any other: its answer is none of the ordinary, or another command comes before the end."""
        event, self._quick = self._quick, None
        if event is not None:
            binary = event.parameters is not None
            command = Command(Shape.RESULTS, [Said(event)], binary=binary, told=int(begun))
            self._begin(command)
            self._waiting.append(command)

    # -- the server's packets

    def _process_answers(self, pieces: Iterator[bytes], events: list[Event]) -> None:
        for piece in pieces:
            if self._passing:
                self._passed.take(piece)
                continue
            self._process_server(piece, events)
            if self._rest:
                self.behind, self._rest = chain((self._rest,), pieces), b""
                break

    def _process_server(self, data: bytes, events: list[Event]) -> None:
        while data:
            result = self._following.result
            if result is not None and self._tracker.in_rows:
                data = result.feed(data)
            if data:
                data = self._process_packets(data, events)

    def _process_packets(self, data: bytes, events: list[Event]) -> bytes:
        """Follow the server's packets. Gives the bytes that come next where these are rows to be looked into."""
        reader = self._server
        reader.feed(data)
        while (payload := reader.next_packet()) is not None:
            if not self._waiting:
                if payload[:1] != _ERR:
                    raise PeerProtocolError("an answer without a command")
                # The server says why it is going to close the connection.
                continue
            command = self._waiting[0]
            if self._unanswered:
                self._check_number(command, payload)
            mark = self._tracker.packet(payload, reader.length)
            if mark & Mark.BEGUN:
                self._begun(command, payload, bool(mark & Mark.OK), events)
            followed = self._following.result is not None
            if followed:
                events += self._following.heed(mark, payload, command.statement or 0)
            if mark & Mark.END:
                self._waiting.popleft()
                if self._waiting:
                    self._begin(self._waiting[0])
                    if self._following.result is not None:
                        return reader.rest()
            elif mark & Mark.UPLOAD:
                self._uploading += 1
                self._uploaded = 0
            elif self._following.result is not None:
                if mark & Mark.BEGUN and self._alone():
                    self._rest = reader.rest()
                    break
                if self._tracker.in_rows:
                    return reader.rest()
            elif self._alone() and (mark & Mark.BEGUN or followed):
                self._passing = True
                self._passed.begin(reader.rest(), self._tracker.metadata_end(reader.sequence))
                break
        if self._unanswered and self._waiting and reader.under_way:
            self._check_number(self._waiting[0], b"")
        return b""

    def _check_number(self, command: Command, payload: bytes) -> None:
        """Whether an answer's first packet is the one that follows its command; an error may come at any time."""
        reader = self._server
        self._unanswered = reader.under_way
        if reader.length < MAX_PAYLOAD and payload[:1] != _ERR and reader.sequence != (command.sequence + 1) & 0xFF:
            raise PeerProtocolError("an answer that does not follow its command")

    def _begin(self, command: Command) -> None:
        """The answer to this command comes next."""
        self._tracker.begin(command.shape)
        # Where they compress, the answer goes on from the number of the compressed packets.
        self._unanswered = self._unpack_server is None
        if self._following.fetch(command.fetches):
            self._tracker.begin_rows()
            self._unanswered = False

    def _alone(self) -> bool:
        """Whether what comes belongs to the answer of one command that is one result, and can be looked at later."""
        if len(self._waiting) != 1:
            return False
        command = self._waiting[0]
        return command.shape in (Shape.RESULTS, Shape.ROWS) and len(command.said) <= 1

    def _begun(self, command: Command, payload: bytes, ok: bool, events: list[Event]) -> None:
        if command.then is not None:
            command.then(payload)
            command.then = None
        if command.decide is not None:
            command.said = command.decide()
            command.decide = None
        if command.said and self._following.has_cursor:
            events += self._following.forget("other statements came before the last row of its cursor")
        if command.begun < len(command.said):
            event, several, pins = command.said[command.begun]
            if command.told == command.begun:
                events.append(event)
                command.told += 1
            if ok or not several:
                command.begun += 1
            if isinstance(event, Executed):
                self._asked.heed(event)
                if (pins or self._watch.digest) and not several and self._tracker.in_result:
                    self._following.result = self._follow(event, pins, command.binary)
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
                        self._asked.charset = value

    # -- the client's packets

    def _process_commands(self, pieces: Iterator[bytes], events: list[Event]) -> None:
        reader = self._client
        for piece in pieces:
            reader.feed(piece)
            while (payload := reader.next_packet()) is not None:
                self._process_client(payload, events)

    def _process_client(self, payload: bytes, events: list[Event]) -> None:
        if self._uploading and not self._has_given_up():
            self._uploaded = self._client.sequence
            if not payload:
                self._uploading -= 1
                self._tracker.uploaded()
            return
        if self._waiting and self._waiting[-1].shape is Shape.LOGIN:
            return
        command = self._asked.read(payload, self._client.length)
        if command.shape is not Shape.NONE:
            command.sequence = self._client.sequence
            self._wait(command, events)

    def _has_given_up(self) -> bool:
        """Whether the client, which has its answer, leaves its local file without an end: this is a command. One that
        would begin where numbers wrap is taken for the file, and its answer then has no command."""
        first = self._client.sequence - self._client.length // MAX_PAYLOAD
        if self._waiting or first or self._uploaded == LAST_NUMBER:
            return False
        self._uploading = 0
        return True

    def _wait(self, command: Command, events: list[Event]) -> None:
        if self._passing:
            self._passing = False
            held = self._passed.end()
            if held is None:
                self._waiting.clear()
                self._quick = None
            else:
                self._go_long(begun=True)
                # Where it ends matters now: it is followed.
                self._waiting.append(command)
                self._process_server(held, events)
                return
        else:
            self._go_long()
        if not self._waiting:
            self._begin(command)
        elif len(self._waiting) >= MOST_WAITING:
            raise PeerProtocolError(f"more than {MOST_WAITING} commands without an answer")
        self._waiting.append(command)


_ERR = bytes((Header.ERR,))
