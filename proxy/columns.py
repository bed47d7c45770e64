"""The columns of a result: what the server says of them, and the values of its binary rows as the text it would have
sent in the text protocol.

    definition = catalog schema table org_table name org_name [extended] 0x0c
                 charset(2) length(4) type(1) flags(2) decimals(1)      (all before 0x0c are length-encoded strings)
    binary row = 0x00 null bitmap (offset 2) values

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_column_definition.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from mysql_mimic.types import ColumnType

from proxy.charsets import charset_of
from proxy.protocol import PeerProtocolError, Take

NOT_NULL = 1
PRIMARY_KEY = 2
BLOB = 16
UNSIGNED = 32
ZEROFILL = 64

_FLOATING = frozenset((ColumnType.FLOAT, ColumnType.DOUBLE))
_MOST_DECIMALS = 6
# The widest that the server lets an integer be shown; a longer one would be padded with gigabytes.
_MOST_DIGITS = 255

#: Reads a value at a position: its text, and where the next one begins.
Read = Callable[[bytes, int], tuple[bytes, int]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column definition. `charset` is MySQL's name of the character set that values come in, "" if unknown."""

    schema: str
    table: str
    org_table: str
    name: str
    org_name: str
    charset: str
    length: int
    code: int
    flags: int
    decimals: int

    @property
    def floating(self) -> bool:
        """Whether its text depends on the server's way of writing floating-point numbers."""
        return self.code in _FLOATING

    @property
    def based(self) -> bool:
        """Whether it is a table's column, and not an expression."""
        return bool(self.org_table and self.org_name)


@lru_cache(maxsize=1024)
def read_definition(payload: bytes, extended: bool) -> Column:
    """Raises PeerProtocolError. `extended`: MariaDB's extended metadata is agreed on."""
    # Remembered: a client asks for the same few columns again and again.
    take = Take(payload)
    take.string()
    schema, table, org_table, name, org_name = (take.string().decode("utf-8", "replace") for _ in range(5))
    if extended:
        take.string()
    take.length_encoded()
    charset = charset_of(take.integer(2))[0] or ""
    length, code, flags, decimals = take.integer(4), take.integer(1), take.integer(2), take.integer(1)
    return Column(schema, table, org_table, name, org_name, charset, length, code, flags, decimals)


def skip_text(payload: bytes, columns: int) -> list[int]:
    """Where in a text row its first `columns` values begin, length included, and where the next one would."""
    offsets = [0]
    position = 0
    try:
        for _ in range(columns):
            size = payload[position]
            if size < 0xFB:
                position += 1 + size
            elif size == 0xFB:
                position += 1
            else:
                take = Take(payload, position)
                position = take.length_encoded() + take.position
            offsets.append(position)
    except IndexError:
        raise PeerProtocolError("a row ends before its last column") from None
    if position > len(payload):
        raise PeerProtocolError("a value ends beyond its row")
    return offsets


class BinaryRows:
    """Reads binary rows of these columns."""

    def __init__(self, columns: list[Column]) -> None:
        self._start = 1 + (len(columns) + 9) // 8
        self._readers = [_reader(column) for column in columns]

    def read(self, payload: bytes, columns: int) -> list[bytes | None]:
        """The first `columns` values as text. Raises PeerProtocolError."""
        position = self._start
        values: list[bytes | None] = []
        try:
            for index in range(columns):
                bit = index + 2
                if payload[1 + (bit >> 3)] >> (bit & 7) & 1:
                    values.append(None)
                    continue
                value, position = self._readers[index](payload, position)
                values.append(value)
        except (IndexError, struct.error):
            raise PeerProtocolError("a row ends before its last column") from None
        if position > len(payload):
            raise PeerProtocolError("a value ends beyond its row")
        return values


def _reader(column: Column) -> Read:
    code = column.code
    if code in _WIDTHS:
        return _integers(column, _WIDTHS[code])
    if code in _FLOATING:
        return _floats("<f" if code == ColumnType.FLOAT else "<d")
    if code in (ColumnType.DATE, ColumnType.NEWDATE, ColumnType.DATETIME, ColumnType.TIMESTAMP):
        return _moments(column, with_time=code in (ColumnType.DATETIME, ColumnType.TIMESTAMP))
    if code == ColumnType.TIME:
        return _durations(column)
    return _string


_WIDTHS = {
    ColumnType.TINY: 1,
    ColumnType.BOOL: 1,
    ColumnType.SHORT: 2,
    ColumnType.YEAR: 2,
    ColumnType.INT24: 4,
    ColumnType.LONG: 4,
    ColumnType.LONGLONG: 8,
}


def _string(payload: bytes, position: int) -> tuple[bytes, int]:
    size = payload[position]
    if size < 0xFB:
        end = position + 1 + size
        return payload[position + 1 : end], end
    take = Take(payload, position)
    return take.string(), take.position


def _integers(column: Column, width: int) -> Read:
    signed = not column.flags & UNSIGNED
    digits = min(column.length, _MOST_DIGITS) if column.flags & ZEROFILL else 0

    def read(payload: bytes, position: int) -> tuple[bytes, int]:
        end = position + width
        return b"%0*d" % (digits, int.from_bytes(payload[position:end], "little", signed=signed)), end

    return read


def _floats(form: str) -> Read:
    """All digits of the value, though not always as the server writes them."""
    size = struct.calcsize(form)

    def read(payload: bytes, position: int) -> tuple[bytes, int]:
        (value,) = struct.unpack_from(form, payload, position)
        return repr(value).encode(), position + size

    return read


def _moments(column: Column, *, with_time: bool) -> Read:
    decimals = _decimals(column)

    def read(payload: bytes, position: int) -> tuple[bytes, int]:
        end = position + 1 + payload[position]
        data = Take(payload[position + 1 : end])
        date = b"0000-00-00"
        if data.left:
            date = b"%04d-%02d-%02d" % (data.integer(2), data.integer(1), data.integer(1))
        return (date + b" " + _clock(data, 0, decimals) if with_time else date), end

    return read


def _durations(column: Column) -> Read:
    decimals = _decimals(column)

    def read(payload: bytes, position: int) -> tuple[bytes, int]:
        end = position + 1 + payload[position]
        data = Take(payload[position + 1 : end])
        sign = b"-" if data.left and data.integer(1) else b""
        return sign + _clock(data, data.integer(4) if data.left else 0, decimals), end

    return read


def _decimals(column: Column) -> int:
    return column.decimals if column.decimals <= _MOST_DECIMALS else 0


def _clock(data: Take, days: int, decimals: int) -> bytes:
    hours = minutes = seconds = micro = 0
    if data.left:
        hours, minutes, seconds = data.integer(1), data.integer(1), data.integer(1)
    if data.left:
        micro = data.integer(4)
    clock = b"%02d:%02d:%02d" % (hours + 24 * days, minutes, seconds)
    return clock + b"." + (b"%06d" % micro)[:decimals] if decimals else clock
