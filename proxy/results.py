"""Results that are looked into: the keys that went over the wire, the count of rows, their digest.

Most results are passed by without a look (see `observer`). Where a recording asks for more, a `Result` follows one of
them: it is given the column definitions, then everything that comes until the rows end, in chunks of any size, after
these were forwarded. Whole packets of a chunk are cut in one loop; only what keys are made of is cut from a row.

The wire does not say how many columns a table's key has, nor does it flag key columns once a result has gone through a
temporary table (ORDER BY RAND() does). So what is kept are the columns flagged as parts of a primary key, or, where
there is none in a result, those of tables that are NOT NULL and no BLOBs; whoever knows the schema picks from these.
Memory is bounded: beyond `MOST_KEY_BYTES` or `MOST_KEYS` the keys are dropped, and that is said.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from enum import StrEnum

from graph.digest import ResultDigest, encode_row
from graph.scan import TokenKind, scan
from proxy.columns import BLOB, NOT_NULL, PRIMARY_KEY, BinaryRows, Column, read_definition, skip_text
from proxy.events import Answered, Executed, KeyColumn
from proxy.protocol import HEADER, LONGEST_EOF, MAX_PAYLOAD, Header, PacketReader, PeerProtocolError, packet

#: What is kept of the keys of one result.
MOST_KEY_BYTES = 32 << 20
MOST_KEYS = 1_000_000
#: The longest row that is looked into; as long as the longest statement that is kept.
LONGEST_ROW = 64 << 20

#: What can make a statement answer otherwise when it is asked again; for texts in upper case.
_CHANGING = re.compile(
    rb"\b(?:LIMIT|FETCH\s+(?:FIRST|NEXT)|ROWNUM)\b|@"
    rb"|\b(?:NOW|SYSDATE|CURDATE|CURTIME|RAND|UUID|UUID_SHORT|UUID_V4|UUID_V7|SYS_GUID|RANDOM_BYTES|UNIX_TIMESTAMP"
    rb"|LAST_INSERT_ID|FOUND_ROWS|ROW_COUNT|CONNECTION_ID|SESSION_USER|SYSTEM_USER|USER|NEXTVAL|LASTVAL|GET_LOCK"
    rb"|IS_FREE_LOCK|IS_USED_LOCK)\s*\("
    rb"|\b(?:CURRENT_(?:DATE|TIME|TIMESTAMP|USER|ROLE)|LOCALTIME|LOCALTIMESTAMP|UTC_(?:DATE|TIME|TIMESTAMP))\b"
    rb"|\b(?:NEXT|PREVIOUS)\s+VALUE\s+FOR\b|\A\s*EXECUTE\b"
)
#: Every match holds one of these words, which are quick to find, and lies within so many bytes around it.
_HINTS = tuple(
    b"LIMIT FETCH ROWNUM @ NOW SYSDATE CURDATE CURTIME RAND UUID _GUID UNIX_TIMESTAMP LAST_INSERT_ID FOUND_ROWS "
    b"ROW_COUNT CONNECTION_ID USER NEXTVAL LASTVAL _LOCK CURRENT_ LOCALTIME UTC_ VALUE EXECUTE".split()
)
_AROUND = 32
#: A text longer than this, or with more words to look at, is taken to be such without an exact look.
_LONGEST_LOOK = 4096
_MOST_WORDS = 100


class Pin(StrEnum):
    """Which results' keys are kept."""

    OFF = "off"
    AUTO = "auto"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Watch:
    """What a recording wants to know of results."""

    pin: Pin = Pin.OFF
    digest: bool = False

    def pins(self, sql: bytes, *, backslash: bool) -> bool:
        """Whether the keys of a statement's result are to be kept."""
        return self.pin is Pin.ALWAYS or (self.pin is Pin.AUTO and may_change(sql, backslash=backslash))


NO_WATCH = Watch()


def may_change(sql: bytes, *, backslash: bool = True) -> bool:
    """Whether a text has what may make its result another one over the same rows, or over rows added since: a LIMIT,
    a function of time, chance or session, a user variable.

    Told by its words alone, those in strings and names left out. `backslash`: the session takes it for an escape.
    """
    upper = sql.upper()
    if not _finds_change(upper):
        return False
    if len(sql) > _LONGEST_LOOK:
        return True
    mode = "" if backslash else "NO_BACKSLASH_ESCAPES"
    tokens = scan(upper.decode("latin-1"), mode)
    code = "".join([token.text if token.kind in _CODE else " " for token in tokens if token.kind not in _MARKS])
    return _CHANGING.search(code.encode("latin-1")) is not None


def hints_at_change(sql: bytes) -> bool:
    """Whether a text holds any of the words without which `may_change` says no."""
    upper = sql.upper()
    return any(hint in upper for hint in _HINTS)


def _finds_change(upper: bytes) -> bool:
    words = 0
    for hint in _HINTS:
        at = upper.find(hint)
        while at >= 0:
            words += 1
            if words > _MOST_WORDS or _CHANGING.search(upper, max(0, at - _AROUND), at + len(hint) + _AROUND):
                return True
            at = upper.find(hint, at + len(hint))
    return False


_MARKS = frozenset((TokenKind.COMMENT, TokenKind.OPEN, TokenKind.CLOSE))
_CODE = frozenset((TokenKind.CODE, TokenKind.SEMICOLON, TokenKind.PLACEHOLDER))


class Result:
    """Follows one result: `column` for each definition, `begin` before the first row, then `feed`.

    `pins`: its keys are kept; `digest`: its rows are counted and digested.
    """

    def __init__(
        self, executed: Executed, *, pins: bool, digest: bool, binary: bool, deprecate_eof: bool, extended: bool
    ) -> None:
        self.begun = False
        self._executed = executed
        self._pins = pins
        self._counts = digest
        self._binary = binary
        self._longest_end = MAX_PAYLOAD - 1 if deprecate_eof else LONGEST_EOF
        self._extended = extended
        self._columns: list[Column] = []
        self._wanted: list[int] = []
        self._reach = 0
        self._rows = 0
        self._keys = bytearray()
        self._digest = ResultDigest() if digest else None
        self._decoder: BinaryRows | None = None
        self._reader = PacketReader(LONGEST_ROW)
        self._in_pieces = False
        self._undescribed = ""
        self._dropped = ""

    def column(self, payload: bytes) -> None:
        """A column definition."""
        if self._pins or self._binary:
            try:
                self._columns.append(read_definition(payload, self._extended))
            except PeerProtocolError as error:
                self._undescribed = f"a column cannot be read: {error}"

    def begin(self) -> bool:
        """All definitions are there. Gives whether the rows are to be fed."""
        self.begun = True
        based = [(index, column) for index, column in enumerate(self._columns) if column.based]
        if self._pins:
            flagged = [index for index, column in based if column.flags & PRIMARY_KEY]
            self._wanted = flagged or [i for i, column in based if column.flags & (NOT_NULL | BLOB) == NOT_NULL]
            self._reach = max(self._wanted, default=-1) + 1
        if self._binary:
            self._decoder = BinaryRows(self._columns)
            if any(column.floating for column in self._columns):
                # The text that the server would have sent is not known.
                self._digest = None
        if (self._pins or self._binary) and (self._undescribed or not self._columns):
            self._give_up(self._undescribed or "the server did not describe the columns again", rows=self._binary)
        return bool(self._wanted or self._counts or self._dropped)

    def feed(self, data: bytes) -> bytes:
        """Take rows. Gives what begins with the packet that ends them, whole; nothing while there may be more rows."""
        reader = self._reader
        while data:
            if not self._in_pieces:
                data, ended = self._whole_packets(data)
                if ended or not data:
                    return data
            reader.feed(data)
            payload = reader.next_packet()
            self._in_pieces = payload is None
            if payload is None:
                return b""
            if self._is_end(payload[:1], reader.length):
                return packet(reader.sequence, payload) + reader.rest()
            self._rows += 1
            if len(payload) < reader.length:
                self._give_up(f"a row of more than {LONGEST_ROW >> 20} MB")
            else:
                self._take(payload)
            data = reader.rest()
        return b""

    def answered(self, broken: str = "") -> Answered:
        """What is said of the result; `broken`: why it did not come to its end."""
        kept = [] if broken else [self._columns[index] for index in self._wanted]
        return Answered(
            self._executed.connection,
            zlib.crc32(self._executed.sql),
            self._rows,
            self._digest.hexdigest() if self._digest is not None and not broken else None,
            tuple(KeyColumn(c.schema, c.table, c.org_table, c.org_name, c.name, c.charset) for c in kept),
            bytes(self._keys) if kept else None,
            self._dropped,
            broken,
        )

    def _is_end(self, first: bytes, length: int) -> bool:
        return first == _ERR or (first == _EOF and length <= self._longest_end)

    def _whole_packets(self, data: bytes) -> tuple[bytes, bool]:
        """Take the rows that are whole. Gives the rest, and whether it begins with the end of the rows."""
        take = self._take if self._reach or self._digest is not None else None
        longest_end = self._longest_end
        position, size, rows = 0, len(data), 0
        while size - position > HEADER:
            start = position + HEADER
            length = data[position] | data[position + 1] << 8 | data[position + 2] << 16
            end = start + length
            if end > size or length == MAX_PAYLOAD or not length:
                break
            first = data[start]
            if first >= Header.EOF and (first == Header.ERR or length <= longest_end):
                self._rows += rows
                return data[position:], True
            rows += 1
            if take is not None:
                take(data[start:end])
            position = end
        self._rows += rows
        return data[position:], False

    def _take(self, payload: bytes) -> None:
        try:
            self._read(payload)
        except PeerProtocolError as error:
            self._give_up(f"a row cannot be read: {error}")

    def _read(self, payload: bytes) -> None:
        if self._decoder is not None:
            self._take_binary(self._decoder, payload)
            return
        if self._digest is not None:
            self._digest.add_payload(payload)
        if not self._reach:
            return
        offsets = skip_text(payload, self._reach)
        if len(self._wanted) == self._reach:
            self._keep(payload[: offsets[-1]])
        else:
            self._keep(b"".join([payload[offsets[index] : offsets[index + 1]] for index in self._wanted]))

    def _take_binary(self, decoder: BinaryRows, payload: bytes) -> None:
        if self._digest is not None:
            values = decoder.read(payload, len(self._columns))
            self._digest.add(values)
        elif self._reach:
            values = decoder.read(payload, self._reach)
        if self._reach:
            self._keep(encode_row([values[index] for index in self._wanted]))

    def _keep(self, key: bytes) -> None:
        self._keys += key
        if len(self._keys) > MOST_KEY_BYTES or self._rows > MOST_KEYS:
            self._drop_keys(f"more than {MOST_KEYS} rows or {MOST_KEY_BYTES >> 20} MB of keys")

    def _drop_keys(self, why: str) -> None:
        self._wanted, self._reach, self._keys = [], 0, bytearray()
        self._dropped = why

    def _give_up(self, why: str, *, rows: bool = True) -> None:
        """What was kept of the result is of no use; with `rows` its digest, too."""
        self._drop_keys(why)
        if rows:
            self._digest = None


_ERR = bytes((Header.ERR,))
_EOF = bytes((Header.EOF,))
