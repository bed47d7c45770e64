"""The values of COM_STMT_EXECUTE as SQL literals.

    statement id(4) flags(1) iterations(4)
    [parameter count, where QUERY_ATTRIBUTES is agreed on]
    null bitmap, new-types flag(1) [types: type(1) unsigned(1) [name]], values

Types are sent once and remembered by the server; values sent before by COM_STMT_SEND_LONG_DATA are not in the packet.
Literals are such that the server, reading them in the place of the `?`, sees the same value: floats with all their
digits and an exponent (without one they would be DECIMAL), decimals as they came, text by `graph.quoting` or with its
character set's name before its bytes where only the server can read it, everything binary as `_binary x'…'` (a bare
`x'…'` is a number wherever one is wanted).

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_stmt_execute.html
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from mysql_mimic.types import Capabilities, ColumnType, ComStmtExecuteFlags

from graph.quoting import bytes_literal, string_literal
from proxy.protocol import PeerProtocolError, Take

# https://dev.mysql.com/doc/dev/mysql-server/latest/field__types_8h.html: newer than mysql-mimic's list.
VECTOR = 0xF2
UNSIGNED = 0x80
ITERATIONS = 4
_HEAD = 1 + 4 + 1 + ITERATIONS
# What says how the rest is to be read begins behind the statement's number.
_FORM = 1 + 4
_MOST_FORMS = 4

_UTF8 = frozenset(("utf8mb4", "utf8mb3", "utf8", "ascii"))
# In these a byte below 0x80 may be half of a character, or not be ASCII.
_NOT_ASCII = frozenset(("ucs2", "utf16", "utf16le", "utf32", "sjis", "cp932", "big5", "gbk", "gb18030", "swe7"))

_DECIMAL = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)")


#: Reads a value: the packet, its type, the client's character set.
_Read = Callable[[Take, "Type", str | None], str]


@dataclass(frozen=True, slots=True)
class Type:
    """A parameter's type as the client bound it."""

    code: int
    unsigned: bool


@dataclass(slots=True)
class Binding:
    """What the server remembers of a prepared statement's parameters between executions.

    `numbers` is for the next execution of the same form: by its length, what stands before the values, and how these
    are read when they are integers all.
    """

    count: int
    types: tuple[Type, ...] = ()
    long_data: dict[int, bytearray] = field(default_factory=dict)
    numbers: dict[int, tuple[bytes, struct.Struct]] = field(default_factory=dict)


def literals(payload: bytes, binding: Binding, capabilities: Capabilities, charset: str | None) -> tuple[str, ...]:
    """The parameters of a COM_STMT_EXECUTE, whole packet with its command byte, as SQL literals.

    Remembers the types in `binding`. `charset`: MySQL's name of what the client writes in, None when not known.
    Raises PeerProtocolError for what cannot be read.
    """
    form = binding.numbers.get(len(payload))
    if form is not None and not binding.long_data and payload.startswith(form[0], _FORM):
        return tuple(map(str, form[1].unpack_from(payload, _FORM + len(form[0]))))
    take = Take(payload, _HEAD)
    if take.left < 0:
        raise PeerProtocolError("truncated packet: an execution without its head")
    flags = payload[_HEAD - ITERATIONS - 1]
    named = bool(capabilities & Capabilities.CLIENT_QUERY_ATTRIBUTES)
    announced = named and bool(flags & ComStmtExecuteFlags.PARAMETER_COUNT_AVAILABLE)
    if not binding.count and not announced:
        return ()
    # The flag matters only where there is no placeholder: attributes may be all there is.
    count = take.length_encoded() if named else binding.count
    if count < binding.count:
        raise PeerProtocolError(f"{count} parameters for {binding.count} placeholders")
    if not count:
        return ()
    nulls = take.fixed((count + 7) // 8)
    if take.fixed(1) != b"\0":
        binding.types = _types(take, count, named)
        binding.numbers.clear()
    if len(binding.types) < count:
        raise PeerProtocolError("parameters without types")
    values = take.position
    found = []
    for index in range(binding.count):
        type_ = binding.types[index]
        read = _reader(type_.code)
        if (long_data := binding.long_data.get(index)) is not None:
            found.append(_long_literal(type_, bytes(long_data), charset))
        elif nulls[index // 8] >> (index % 8) & 1:
            found.append("NULL")
        else:
            found.append(read(take, type_, charset))
    if not any(nulls) and not binding.long_data and not take.left and len(binding.numbers) < _MOST_FORMS:
        codes = "".join([_INTEGERS.get((type_.code, type_.unsigned), "?") for type_ in binding.types[:count]])
        if "?" not in codes and count == binding.count:
            binding.numbers[len(payload)] = payload[_FORM:values], struct.Struct("<" + codes)
    return tuple(found)


def skip_attributes(payload: bytes) -> int:
    """Where the SQL begins in a COM_QUERY under QUERY_ATTRIBUTES: behind the attributes, mostly none."""
    take = Take(payload, 1)
    count = take.length_encoded()
    take.length_encoded()
    if count:
        nulls = take.fixed((count + 7) // 8)
        if not take.integer(1):
            raise PeerProtocolError("query attributes without types")
        for index, type_ in enumerate(_types(take, count, named=True)):
            if not nulls[index // 8] >> (index % 8) & 1:
                _reader(type_.code)(take, type_, None)
    return take.position


def _types(take: Take, count: int, named: bool) -> tuple[Type, ...]:
    # Each takes two bytes at least: a count beyond that is a lie, told before anything is allocated.
    if count > take.left // 2:
        raise PeerProtocolError(f"{count} parameters in {take.left} bytes")
    if not named:
        return _plain_types(take.fixed(2 * count))
    types = []
    for _ in range(count):
        code = take.integer(1)
        types.append(Type(code, bool(take.integer(1) & UNSIGNED)))
        take.string()
    return tuple(types)


@lru_cache(maxsize=256)
def _plain_types(block: bytes) -> tuple[Type, ...]:
    """Many clients send the same few again with every execution."""
    return tuple(Type(code, bool(flags & UNSIGNED)) for code, flags in zip(block[::2], block[1::2], strict=True))


def _reader(code: int) -> _Read:
    try:
        return _READERS[code]
    except KeyError:
        raise PeerProtocolError(f"unknown parameter type 0x{code:02x}") from None


def _text(data: bytes, charset: str | None) -> str:
    if charset == "binary":
        return "_binary " + bytes_literal(data)
    if data.isascii() and charset not in _NOT_ASCII:
        return string_literal(data.decode("ascii"))
    if charset in _UTF8 or charset is None:
        try:
            return string_literal(data.decode())
        except UnicodeDecodeError:
            # As a parameter the server takes such bytes, as a literal of that character set it does not.
            return "_binary " + bytes_literal(data)
    return f"_{charset} {bytes_literal(data)}"


def _long_literal(type_: Type, data: bytes, charset: str | None) -> str:
    return "_binary " + bytes_literal(data) if type_.code in _BINARY else _text(data, charset)


def _string(take: Take, _type: Type, charset: str | None) -> str:
    return _text(take.string(), charset)


def _bytes(take: Take, _type: Type, _charset: str | None) -> str:
    return "_binary " + bytes_literal(take.string())


def _decimal(take: Take, _type: Type, charset: str | None) -> str:
    data = take.string()
    return data.decode("ascii") if _DECIMAL.fullmatch(data) else _text(data, charset)


def _integer(width: int) -> _Read:
    def read(take: Take, type_: Type, _charset: str | None) -> str:
        return str(int.from_bytes(take.fixed(width), "little", signed=not type_.unsigned))

    return read


def _floating(form: str, width: int) -> _Read:
    def read(take: Take, _type: Type, _charset: str | None) -> str:
        (value,) = struct.unpack(form, take.fixed(width))
        if not math.isfinite(value):
            raise PeerProtocolError(f"{value} is no value in SQL")
        written = repr(value)
        return written if "e" in written else written + "e0"

    return read


def _null(_take: Take, _type: Type, _charset: str | None) -> str:
    return "NULL"


def _moment(take: Take, type_: Type, _charset: str | None) -> str:
    data = Take(take.fixed(take.integer(1)))
    date = "0000-00-00"
    if data.left:
        date = f"{data.integer(2):04d}-{data.integer(1):02d}-{data.integer(1):02d}"
    if type_.code in (ColumnType.DATE, ColumnType.NEWDATE):
        return f"'{date}'"
    return f"'{date} {_clock(data, 0)}'"


def _duration(take: Take, _type: Type, _charset: str | None) -> str:
    data = Take(take.fixed(take.integer(1)))
    if not data.left:
        return "'00:00:00'"
    sign = "-" if data.integer(1) else ""
    return f"'{sign}{_clock(data, data.integer(4))}'"


def _clock(data: Take, days: int) -> str:
    if not data.left:
        return "00:00:00"
    clock = f"{data.integer(1) + 24 * days:02d}:{data.integer(1):02d}:{data.integer(1):02d}"
    return f"{clock}.{data.integer(4):06d}" if data.left else clock


_BINARY = frozenset(
    (
        ColumnType.TINY_BLOB,
        ColumnType.MEDIUM_BLOB,
        ColumnType.LONG_BLOB,
        ColumnType.BLOB,
        VECTOR,
    )
)

# How `struct` writes the integers, by type and whether they are unsigned.
_INTEGERS: Mapping[tuple[int, bool], str] = {
    (int(code), unsigned): letter.upper() if unsigned else letter
    for letter, codes in {
        "b": (ColumnType.TINY, ColumnType.BOOL),
        "h": (ColumnType.SHORT,),
        "i": (ColumnType.LONG,),
        "q": (ColumnType.LONGLONG,),
    }.items()
    for code in codes
    for unsigned in (False, True)
}

# YEAR, INT24, BIT and GEOMETRY are missing: MySQL refuses them, MariaDB takes NULL for them.
_READERS: Mapping[int, _Read] = {
    ColumnType.TINY: _integer(1),
    ColumnType.BOOL: _integer(1),
    ColumnType.SHORT: _integer(2),
    ColumnType.LONG: _integer(4),
    ColumnType.LONGLONG: _integer(8),
    ColumnType.FLOAT: _floating("<f", 4),
    ColumnType.DOUBLE: _floating("<d", 8),
    ColumnType.NULL: _null,
    ColumnType.DECIMAL: _decimal,
    ColumnType.NEWDECIMAL: _decimal,
    ColumnType.DATE: _moment,
    ColumnType.NEWDATE: _moment,
    ColumnType.DATETIME: _moment,
    ColumnType.TIMESTAMP: _moment,
    ColumnType.TIME: _duration,
    ColumnType.VARCHAR: _string,
    ColumnType.VAR_STRING: _string,
    ColumnType.STRING: _string,
    ColumnType.ENUM: _string,
    ColumnType.SET: _string,
    ColumnType.JSON: _string,
    **dict.fromkeys(_BINARY, _bytes),
}
