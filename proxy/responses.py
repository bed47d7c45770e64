"""How the server answers each command, and a tracker that follows an answer packet by packet.

A response is one of the shapes below. The first byte of a packet tells its kind only together with where it stands:

* 0x00 is an OK packet where a result may begin, but a row whose first column is empty among rows.
* 0xFE is an EOF packet (or, under DEPRECATE_EOF, an OK packet) among rows, but only when it is short enough: a row may
  begin with it when its first column takes more than 16 MB.
* 0xFB asks for a local file where a result may begin; among rows it is a NULL in the first column. The file is
  answered by OK or an error, mostly behind its end, but the server need not wait for that.
* 0xFF is an error everywhere: no row can begin with it. With MariaDB's PROGRESS and error number 0xFFFF it is none,
  but a note that the server is still at it.

A result set's column definitions are counted. Behind them comes an EOF packet unless DEPRECATE_EOF is agreed on;
when its status says CURSOR_EXISTS, the response ends there, for rows come by COM_STMT_FETCH. The packet that ends a
result announces another by SERVER_MORE_RESULTS_EXISTS.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from mysql_mimic.types import Capabilities, Commands, ServerStatus

from proxy.protocol import LONGEST_EOF, MAX_PAYLOAD, SHORTEST_OK, ExtendedCapabilities, Header, PeerProtocolError, Take

# Newer than, or foreign to, mysql-mimic's list.
COM_CLONE = 0x20
COM_SUBSCRIBE_GROUP_REPLICATION_STREAM = 0x21
COM_STMT_BULK_EXECUTE = 0xFA

PROGRESS_NUMBER = 0xFFFF
# An EOF packet as it was before DEPRECATE_EOF.
EOF_LENGTH = 5

_MORE_RESULTS = int(ServerStatus.SERVER_MORE_RESULTS_EXISTS)
_CURSOR = int(ServerStatus.SERVER_STATUS_CURSOR_EXISTS)
_LAST_ROW = int(ServerStatus.SERVER_STATUS_LAST_ROW_SENT)


class Shape(Enum):
    """What the server answers to a command."""

    NONE = auto()
    """Nothing at all; the next answer belongs to the next command."""
    ONE = auto()
    """One packet: OK, EOF, ERR, or (COM_STATISTICS) bare text."""
    RESULTS = auto()
    """OK, ERR, a request for a local file, or a result set; then more of these where announced."""
    ROWS = auto()
    """Packets up to EOF or ERR, without a head: COM_STMT_FETCH's rows, COM_FIELD_LIST's columns."""
    PREPARED = auto()
    """COM_STMT_PREPARE's OK with counts, then so many definitions."""
    LOGIN = auto()
    """An authentication dialogue up to OK or ERR."""
    OPAQUE = auto()
    """Something of which only the end of the connection is the end."""


SHAPES: Mapping[int, Shape] = {
    Commands.COM_SLEEP: Shape.ONE,
    Commands.COM_QUIT: Shape.NONE,
    Commands.COM_INIT_DB: Shape.ONE,
    Commands.COM_QUERY: Shape.RESULTS,
    Commands.COM_FIELD_LIST: Shape.ROWS,
    Commands.COM_CREATE_DB: Shape.ONE,
    Commands.COM_DROP_DB: Shape.ONE,
    Commands.COM_REFRESH: Shape.ONE,
    Commands.COM_SHUTDOWN: Shape.ONE,
    Commands.COM_STATISTICS: Shape.ONE,
    Commands.COM_PROCESS_INFO: Shape.RESULTS,
    Commands.COM_CONNECT: Shape.ONE,
    Commands.COM_PROCESS_KILL: Shape.ONE,
    Commands.COM_DEBUG: Shape.ONE,
    Commands.COM_PING: Shape.ONE,
    Commands.COM_TIME: Shape.ONE,
    Commands.COM_DELAYED_INSERT: Shape.ONE,
    Commands.COM_CHANGE_USER: Shape.LOGIN,
    Commands.COM_BINLOG_DUMP: Shape.OPAQUE,
    Commands.COM_TABLE_DUMP: Shape.OPAQUE,
    Commands.COM_CONNECT_OUT: Shape.ONE,
    Commands.COM_REGISTER_SLAVE: Shape.ONE,
    Commands.COM_STMT_PREPARE: Shape.PREPARED,
    Commands.COM_STMT_EXECUTE: Shape.RESULTS,
    Commands.COM_STMT_SEND_LONG_DATA: Shape.NONE,
    Commands.COM_STMT_CLOSE: Shape.NONE,
    Commands.COM_STMT_RESET: Shape.ONE,
    Commands.COM_SET_OPTION: Shape.ONE,
    Commands.COM_STMT_FETCH: Shape.ROWS,
    Commands.COM_DAEMON: Shape.ONE,
    Commands.COM_BINLOG_DUMP_GTID: Shape.OPAQUE,
    Commands.COM_RESET_CONNECTION: Shape.ONE,
    COM_CLONE: Shape.OPAQUE,
    COM_SUBSCRIBE_GROUP_REPLICATION_STREAM: Shape.OPAQUE,
    COM_STMT_BULK_EXECUTE: Shape.RESULTS,
}


class Mark:
    """What a packet meant: bits. Plain integers, because every answer makes some and an enum's arithmetic is slow."""

    NOTHING = 0
    BEGUN = 1
    """A result begins: the command, or this part of it, succeeded."""
    OK = 2
    """… and it is an OK packet."""
    END = 4
    """The response is over."""
    UPLOAD = 8
    """The client's turn: packets of a local file, up to an empty one."""
    COLUMN = 16
    """The definition of one of a result's columns."""
    OVER = 32
    """A result set is over, as it should be."""
    CURSOR = 64
    """… or will be: its rows come by COM_STMT_FETCH."""


class _State(Enum):
    BEGIN = auto()
    UPLOAD = auto()
    COLUMNS = auto()
    COLUMNS_EOF = auto()
    ROWS = auto()
    DEFINITIONS = auto()


class ResponseTracker:
    """Follows responses: `begin` with a command's shape, then `packet` for each of the server's packets."""

    def __init__(self, capabilities: Capabilities, extended: ExtendedCapabilities) -> None:
        self.status = 0
        self._deprecate_eof = bool(capabilities & Capabilities.CLIENT_DEPRECATE_EOF)
        self._optional_metadata = bool(capabilities & Capabilities.CLIENT_OPTIONAL_RESULTSET_METADATA)
        self._cached_metadata = bool(extended & ExtendedCapabilities.CACHE_METADATA)
        self._progress = bool(extended & ExtendedCapabilities.PROGRESS)
        self._shape = Shape.ONE
        self._state = _State.BEGIN
        self._left = 0

    def begin(self, shape: Shape) -> None:
        """A command was sent that is answered like this."""
        self._shape = shape
        self._state = _State.BEGIN

    def begin_rows(self) -> None:
        """A COM_STMT_FETCH was sent, whose rows somebody else is going to look into."""
        self._shape = Shape.ROWS
        self._state = _State.ROWS

    def metadata_end(self, sequence: int) -> bytes:
        """The number of the EOF packet that comes behind the columns, as a byte, when `sequence` is that of the last
        packet; nothing when there will be none."""
        ahead = {_State.COLUMNS: self._left + 1, _State.COLUMNS_EOF: 1}.get(self._state)
        return b"" if ahead is None or self._deprecate_eof else bytes(((sequence + ahead) & 0xFF,))

    @property
    def last_row_sent(self) -> bool:
        """Whether a cursor has no more rows."""
        return bool(self.status & _LAST_ROW)

    @property
    def in_result(self) -> bool:
        """Whether the head of a result set was the last that came, or what belongs to it."""
        return self._state in (_State.COLUMNS, _State.COLUMNS_EOF, _State.ROWS)

    @property
    def in_rows(self) -> bool:
        """Whether rows of a result come next."""
        return self._state is _State.ROWS

    def uploaded(self) -> None:
        """The client has sent its local file, which may have been answered before."""
        if self._state is _State.UPLOAD:
            self._state = _State.BEGIN

    def packet(self, payload: bytes, length: int) -> int:
        """The server's next packet: its payload, or the first bytes of it, and its true length."""
        first = payload[0] if payload else -1
        if first == Header.ERR:
            return Mark.NOTHING if self._is_progress(payload) else Mark.END
        return _PROCESS[self._state](self, first, payload, length)

    def _process_begin(self, first: int, payload: bytes, length: int) -> int:
        match self._shape:
            case Shape.RESULTS:
                return self._process_result_head(first, payload, length)
            case Shape.ONE:
                if first == Header.OK and length >= SHORTEST_OK:
                    self.status = _ok_status(payload)
                    return Mark.BEGUN | Mark.OK | Mark.END
                return Mark.BEGUN | Mark.END
            case Shape.ROWS:
                self._state = _State.ROWS
                return Mark.BEGUN | self._process_rows(first, payload, length)
            case Shape.PREPARED:
                return self._process_prepared(first, payload)
            case Shape.LOGIN:
                if first != Header.OK:
                    return Mark.NOTHING
                self.status = _ok_status(payload)
                return Mark.BEGUN | Mark.OK | Mark.END
        raise PeerProtocolError(f"an answer to a command that has none ({self._shape.name})")

    def _process_result_head(self, first: int, payload: bytes, length: int) -> int:
        if first == Header.OK:
            self.status = _ok_status(payload)
            return Mark.BEGUN | Mark.OK | self._next_result()
        if first == Header.LOCAL_INFILE:
            self._state = _State.UPLOAD
            return Mark.UPLOAD
        if first == Header.EOF and length <= LONGEST_EOF:
            self.status = Take(payload, 3).integer(2)
            return Mark.BEGUN | self._next_result()
        take = Take(payload)
        columns = take.length_encoded()
        # MySQL's reference has the flag before the count, its servers send it as MariaDB's do.
        described = take.integer(1) if self._optional_metadata or self._cached_metadata else 1
        self._left = columns if described else 0
        self._state = _State.COLUMNS
        if not self._left:
            self._columns_over()
        return Mark.BEGUN

    def _process_upload(self, first: int, payload: bytes, length: int) -> int:
        """The server has its answer before the client has sent everything."""
        if first != Header.OK:
            raise PeerProtocolError("a local file answered by neither OK nor ERR")
        return self._process_result_head(first, payload, length)

    def _process_columns(self, _first: int, _payload: bytes, _length: int) -> int:
        self._left -= 1
        if not self._left:
            self._columns_over()
        return Mark.COLUMN

    def _columns_over(self) -> None:
        self._state = _State.ROWS if self._deprecate_eof else _State.COLUMNS_EOF

    def _process_columns_eof(self, first: int, payload: bytes, length: int) -> int:
        if first != Header.EOF or length > LONGEST_EOF:
            raise PeerProtocolError("no EOF packet behind the column definitions")
        self.status = Take(payload, 3).integer(2)
        if self.status & _CURSOR:
            return Mark.CURSOR | self._next_result()
        self._state = _State.ROWS
        return Mark.NOTHING

    def _process_rows(self, first: int, payload: bytes, length: int) -> int:
        longest = MAX_PAYLOAD - 1 if self._deprecate_eof else LONGEST_EOF
        if first != Header.EOF or length > longest:
            return Mark.NOTHING
        self.status = _ok_status(payload) if self._deprecate_eof else Take(payload, 3).integer(2)
        if self._shape is not Shape.RESULTS:
            return Mark.END
        return (Mark.CURSOR if self.status & _CURSOR else Mark.OVER) | self._next_result()

    def _process_prepared(self, first: int, payload: bytes) -> int:
        if first != Header.OK:
            raise PeerProtocolError("COM_STMT_PREPARE answered by neither OK nor ERR")
        take = Take(payload, 5)
        groups = [take.integer(2), take.integer(2)]
        take.fixed(3)
        described = not (self._optional_metadata and take.left and not take.integer(1))
        ends = 0 if self._deprecate_eof else 1
        self._left = sum(count * described + ends for count in groups if count)
        self._state = _State.DEFINITIONS
        return Mark.BEGUN | (Mark.NOTHING if self._left else Mark.END)

    def _process_definitions(self, _first: int, _payload: bytes, _length: int) -> int:
        self._left -= 1
        return Mark.NOTHING if self._left else Mark.END

    def _next_result(self) -> int:
        self._state = _State.BEGIN
        return Mark.NOTHING if self.status & _MORE_RESULTS else Mark.END

    def _is_progress(self, payload: bytes) -> bool:
        return self._progress and int.from_bytes(payload[1:3], "little") == PROGRESS_NUMBER


def _ok_status(payload: bytes) -> int:
    take = Take(payload, 1)
    take.length_encoded()
    take.length_encoded()
    return take.integer(2)


_PROCESS = {
    _State.BEGIN: ResponseTracker._process_begin,
    _State.UPLOAD: ResponseTracker._process_upload,
    _State.COLUMNS: ResponseTracker._process_columns,
    _State.COLUMNS_EOF: ResponseTracker._process_columns_eof,
    _State.ROWS: ResponseTracker._process_rows,
    _State.DEFINITIONS: ResponseTracker._process_definitions,
}


def may_end_response(tail: bytes) -> bool:
    """Whether the last bytes of a stream may be a packet that ends a response: EOF, OK or ERR, with no more to come.

    Only that: a row can be made to look like one. Who asks has seen the client speak again, which a client does when
    the response is over.
    """
    return looks_over(tail) or any(
        int.from_bytes(tail[-length - 4 : -length - 1], "little") == length and _ends(tail[-length:])
        for length in range(1, len(tail) - 3)
    )


def status_at_end(tail: bytes) -> int:
    """The status in the packet that ends a result set, of which these are the last bytes; 0 when it tells none."""
    if len(tail) >= 9 and tail[-9:-6] == b"\x05\0\0" and tail[-5] == Header.EOF:
        return int.from_bytes(tail[-2:], "little")
    if len(tail) >= 11 and tail[-11:-8] == b"\x07\0\0" and tail[-7] == Header.EOF:
        return int.from_bytes(tail[-4:-2], "little")
    return 0


def looks_over(tail: bytes) -> bool:
    """The same at a glance: whether there is an EOF, or what stands for it, without more to say."""
    if tail[-9:-6] == b"\x05\0\0" and tail[-5:-4] == _EOF:
        return not tail[-2] & _MORE_RESULTS
    return tail[-11:-8] == b"\x07\0\0" and tail[-7:-6] == _EOF and not tail[-4] & _MORE_RESULTS


def _ends(payload: bytes) -> bool:
    if payload[0] == Header.ERR:
        return True
    if payload[0] not in (Header.OK, Header.EOF):
        return False
    try:
        status = Take(payload, 3).integer(2) if len(payload) == EOF_LENGTH else _ok_status(payload)
    except PeerProtocolError:
        return False
    return not status & _MORE_RESULTS


_EOF = bytes((Header.EOF,))
