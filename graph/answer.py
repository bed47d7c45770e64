"""A query's answer as the server sends it: its columns, then one packet per row, read one by one.

By the text protocol, or by the binary one of prepared statements: that one alone gives a FLOAT with all its digits.
PyMySQL speaks the first only and decodes every value; here a row stays the bytes that came, which are digested as they
are and decoded only to be shown.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from pymysql.constants import COMMAND, CR, FIELD_TYPE  # noqa: TID251
from pymysql.err import MySQLError, OperationalError, raise_mysql_exception  # noqa: TID251
from pymysql.protocol import FieldDescriptorPacket, MysqlPacket  # noqa: TID251

from graph.bulk import Integers, IntegerStream
from graph.direct_rows import PacketStream

_STMT_PREPARE: Final = 0x16
_STMT_EXECUTE: Final = 0x17
_STMT_CLOSE: Final = 0x19

#: What a column says of its decimals when it shows as many as there are.
_AS_MANY_AS_THERE_ARE: Final = 31
#: The character set of bytes that are no text.
_BINARY: Final = 63
_LONGEST_VALUE: Final = 60
#: The first byte of an error.
_ERROR: Final = 0xFF
#: So many bytes are read at once, if they have come.
_CHUNK: Final = 1 << 18

_INTEGERS: Final = {
    FIELD_TYPE.TINY: "b",
    FIELD_TYPE.SHORT: "h",
    FIELD_TYPE.YEAR: "h",
    FIELD_TYPE.LONG: "i",
    FIELD_TYPE.INT24: "i",
    FIELD_TYPE.LONGLONG: "q",
}
_FLOATS: Final = {FIELD_TYPE.FLOAT: "f", FIELD_TYPE.DOUBLE: "d"}
_NUMBERS: Final = frozenset({*_INTEGERS, *_FLOATS, FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL})
_TIMES: Final = frozenset({FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP})
_TEXT_THOUGH_BINARY: Final = frozenset({*_TIMES, FIELD_TYPE.TIME, FIELD_TYPE.JSON})


class Protocol(StrEnum):
    """How values are sent."""

    TEXT = "text"
    BINARY = "binary"


@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of an answer; `kind` is the protocol's number of its type, `charset` that of its collation."""

    name: str
    kind: int
    charset: int
    decimals: int
    unsigned: bool

    @property
    def rounded(self) -> bool:
        """Whether its text may have fewer digits than its values."""
        return self.kind == FIELD_TYPE.FLOAT or (
            self.kind == FIELD_TYPE.DOUBLE and self.decimals != _AS_MANY_AS_THERE_ARE
        )

    @classmethod
    def of(cls, field: Any) -> ResultColumn:
        """From PyMySQL's own."""
        return cls(field.name, field.type_code, field.charsetnr, field.scale, bool(field.flags & 32))


class Answer:
    """An answer that is being read: `columns`, and by iteration the payload of each row.

    Raises what PyMySQL raises. The connection is free again when all is read or the answer closed.
    """

    def __init__(self, connection: Any, sql: str, protocol: Protocol) -> None:
        """`connection` is PyMySQL's; its packets are no part of what it promises, hence of no type here."""
        self.protocol = protocol
        self._connection = connection
        self._statement: int | None = None
        self._open = False
        self._stream: IntegerStream | PacketStream | None = None
        try:
            if protocol is Protocol.BINARY:
                self._prepare(sql)
                self._send(_STMT_EXECUTE, struct.pack("<IBI", self._statement, 0, 1))
            else:
                self._send(COMMAND.COM_QUERY, sql.encode("utf-8", "surrogateescape"))
            self.columns = self._read_columns()
        except MySQLError:
            self.close()
            raise

    def __iter__(self) -> Iterator[bytes]:
        while self._open:
            self._open = False
            packet = self._packet()
            if packet.is_eof_packet():
                return
            self._open = True
            yield bytes(packet.get_all_data())

    @property
    def integers(self) -> bool:
        """Whether `pages` can be asked for: rows of integers alone, by the binary protocol."""
        return self.protocol is Protocol.BINARY and all(column.kind in _INTEGERS for column in self.columns)

    def pages(self) -> Iterator[list[Integers]]:
        """The rows, as many at a time as have come."""
        codes = [_INTEGERS[column.kind] for column in self.columns]
        self._stream = IntegerStream(
            [code.upper() if column.unsigned else code for code, column in zip(codes, self.columns, strict=True)]
        )
        while rows := self._page():
            yield rows

    def payloads(self) -> Iterator[list[bytes]]:
        """The payloads of the rows of the text protocol, as many at a time as have come."""
        self._stream = PacketStream()
        while rows := self._page():
            yield rows

    def _page(self) -> list[Any]:
        """Some rows; none at the end."""
        assert self._stream is not None
        while self._open:
            data = self._connection._rfile.read1(_CHUNK)
            if not data:
                self._connection._force_close()
                raise OperationalError(CR.CR_SERVER_LOST, "the server closed the connection in the midst of an answer")
            rows = self._stream.feed(data)
            if self._stream.end is not None:
                self._open = False
                if self._stream.end[0] == _ERROR:
                    raise_mysql_exception(self._stream.end)
            if rows:
                return rows
        return []

    def close(self) -> None:
        """Reads what is left, which no server can be told to keep; nothing of a connection that is closed."""
        if not self._connection.open:
            return
        while self._stream is not None and self._page():
            pass
        for _ in self:
            pass
        if self._statement is not None:
            self._send(_STMT_CLOSE, struct.pack("<I", self._statement))
            self._statement = None

    def show(self, payload: bytes) -> str:
        """A row for people, long values cut."""
        values = _binary_values if self.protocol is Protocol.BINARY else _text_values
        return f"({', '.join(values(payload, self.columns))})"

    def _prepare(self, sql: str) -> None:
        self._send(_STMT_PREPARE, sql.encode("utf-8", "surrogateescape"))
        self._statement, columns, parameters = struct.unpack_from("<xIHH", self._packet().get_all_data())
        for number in (parameters, columns):
            for _ in range(number + 1 if number else 0):
                self._packet()

    def _read_columns(self) -> tuple[ResultColumn, ...]:
        first = self._packet()
        if first.is_ok_packet():
            return ()
        fields = [self._packet(FieldDescriptorPacket) for _ in range(first.read_length_encoded_integer())]
        self._packet()
        self._open = True
        return tuple(ResultColumn.of(field) for field in fields)

    def _send(self, command: int, data: bytes) -> None:
        self._connection._execute_command(command, data)

    def _packet(self, kind: type[MysqlPacket] = MysqlPacket) -> Any:
        return self._connection._read_packet(kind)


def split_row(payload: bytes, columns: int) -> tuple[bytes, bytes]:
    """A row of the text protocol, cut after so many columns."""
    position = 0
    for _ in range(columns):
        start, length = _length(payload, position)
        position = start + length
    return payload[:position], payload[position:]


def _length(payload: bytes, position: int) -> tuple[int, int]:
    """Where the string that begins at a position has its first byte, and its length; NULL has none."""
    first = payload[position]
    if first < 0xFB:
        return position + 1, first
    width = {0xFB: 0, 0xFC: 2, 0xFD: 3, 0xFE: 8}[first]
    start = position + 1 + width
    return start, int.from_bytes(payload[position + 1 : start], "little")


def _text_values(payload: bytes, columns: tuple[ResultColumn, ...]) -> Iterator[str]:
    position = 0
    for column in columns:
        start, length = _length(payload, position)
        null = payload[position] == 0xFB
        position = start + length
        yield "NULL" if null else _show(payload[start:position], column)


def _binary_values(payload: bytes, columns: tuple[ResultColumn, ...]) -> Iterator[str]:
    position = 1 + (len(columns) + 9) // 8
    for number, column in enumerate(columns, 2):
        if payload[1 + number // 8] >> (number % 8) & 1:
            yield "NULL"
        elif column.kind in _FLOATS or column.kind in _INTEGERS:
            code = _FLOATS.get(column.kind) or _INTEGERS[column.kind]
            code = code.upper() if column.unsigned and column.kind in _INTEGERS else code
            (value,) = struct.unpack_from(f"<{code}", payload, position)
            position += struct.calcsize(code)
            yield shortest(value) if code == "f" else repr(value)
        else:
            start, length = _length(payload, position)
            position = start + length
            data = payload[start:position]
            if column.kind in _TIMES:
                yield _moment(data)
            elif column.kind == FIELD_TYPE.TIME:
                yield _duration(data)
            else:
                yield _show(data, column)


def shortest(value: float) -> str:
    """A FLOAT with as few digits as tell it from all others."""
    for digits in range(6, 9):
        text = f"{value:.{digits}g}"
        if struct.pack("<f", float(text)) == struct.pack("<f", value):
            return text
    return f"{value:.9g}"


def _moment(data: bytes) -> str:
    year, month, day, hour, minute, second, micro = struct.unpack("<HBBBBBI", data.ljust(11, b"\0"))
    date = f"{year:04d}-{month:02d}-{day:02d}"
    return f"'{date} {hour:02d}:{minute:02d}:{second:02d}.{micro:06d}'" if len(data) > 4 else f"'{date}'"


def _duration(data: bytes) -> str:
    negative, days, hour, minute, second, micro = struct.unpack("<BIBBBI", data.ljust(12, b"\0"))
    return f"'{'-' if negative else ''}{days * 24 + hour:02d}:{minute:02d}:{second:02d}.{micro:06d}'"


def _show(data: bytes, column: ResultColumn) -> str:
    if column.kind in _NUMBERS:
        return data.decode("ascii", "replace")
    if column.charset == _BINARY and column.kind not in _TEXT_THOUGH_BINARY:
        text = f"x'{data[:_LONGEST_VALUE].hex()}'"
    else:
        text = repr(data[: 4 * _LONGEST_VALUE].decode("utf-8", "replace"))
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
