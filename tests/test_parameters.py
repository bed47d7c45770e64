"""COM_STMT_EXECUTE's values as literals: byte by byte, and against what a server makes of both."""

from __future__ import annotations

import datetime
import decimal
import struct
from collections.abc import Iterator
from typing import Any

import mysql.connector
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mysql_mimic.types import Capabilities, ColumnType

from examples.private_server import PrivateServer
from proxy.parameters import Binding, literals, skip_attributes
from proxy.protocol import PeerProtocolError, lenenc

PLAIN = Capabilities.CLIENT_PROTOCOL_41
NAMED = PLAIN | Capabilities.CLIENT_QUERY_ATTRIBUTES


def execute(count: int, rest: bytes, flags: int = 0) -> bytes:
    return b"\x17" + struct.pack("<IBI", 1, flags, 1) + rest


def one(code: int, value: bytes, *, unsigned: bool = False, charset: str | None = "utf8mb4") -> str:
    payload = execute(1, b"\0\x01" + bytes((code, 0x80 if unsigned else 0)) + value)
    (literal,) = literals(payload, Binding(1), PLAIN, charset)
    return literal


@pytest.mark.parametrize(
    ("code", "value", "unsigned", "expected"),
    [
        (ColumnType.TINY, b"\xff", False, "-1"),
        (ColumnType.TINY, b"\xff", True, "255"),
        (ColumnType.SHORT, b"\0\x80", False, "-32768"),
        (ColumnType.LONG, b"\xff\xff\xff\xff", True, "4294967295"),
        (ColumnType.LONGLONG, b"\xff" * 8, True, "18446744073709551615"),
        (ColumnType.LONGLONG, b"\0" * 7 + b"\x80", False, "-9223372036854775808"),
        (ColumnType.FLOAT, struct.pack("<f", 0.1), False, "0.10000000149011612e0"),
        (ColumnType.DOUBLE, struct.pack("<d", 0.1), False, "0.1e0"),
        (ColumnType.DOUBLE, struct.pack("<d", 1e300), False, "1e+300"),
        (ColumnType.DOUBLE, struct.pack("<d", -0.0), False, "-0.0e0"),
        (ColumnType.NEWDECIMAL, lenenc(b"-12.340"), False, "-12.340"),
        (ColumnType.NEWDECIMAL, lenenc(b"1e5"), False, "'1e5'"),
        (ColumnType.NULL, b"", False, "NULL"),
        (ColumnType.DATE, b"\x04\xe4\x07\x02\x1d", False, "'2020-02-29'"),
        (ColumnType.DATE, b"\0", False, "'0000-00-00'"),
        (ColumnType.DATETIME, b"\0", False, "'0000-00-00 00:00:00'"),
        (ColumnType.DATETIME, b"\x04\xe4\x07\x02\x1d", False, "'2020-02-29 00:00:00'"),
        (ColumnType.TIMESTAMP, b"\x07\xe4\x07\x02\x1d\x01\x02\x03", False, "'2020-02-29 01:02:03'"),
        (ColumnType.DATETIME, b"\x0b\xe4\x07\x02\x1d\x01\x02\x03\x06\0\0\0", False, "'2020-02-29 01:02:03.000006'"),
        (ColumnType.TIME, b"\0", False, "'00:00:00'"),
        (ColumnType.TIME, b"\x08\x01\x22\0\0\0\x16\x3b\x3b", False, "'-838:59:59'"),
        (ColumnType.TIME, b"\x0c\0\0\0\0\0\x01\x02\x03\x40\x42\x0f\0", False, "'01:02:03.1000000'"),
        (ColumnType.VAR_STRING, lenenc(b"it's"), False, "'it''s'"),
        (ColumnType.STRING, lenenc("naïve ☃".encode()), False, "'naïve ☃'"),
        (ColumnType.STRING, lenenc(b"back\\slash"), False, "_utf8mb4 x'6261636B5C736C617368'"),
        (ColumnType.STRING, lenenc(b"\xff"), False, "_binary x'FF'"),
        (ColumnType.JSON, lenenc(b'{"a": 1}'), False, "'{\"a\": 1}'"),
        (ColumnType.BLOB, lenenc(b"\0\xff"), False, "_binary x'00FF'"),
        (ColumnType.BLOB, b"\xfc\x2c\x01" + b"a" * 300, False, "_binary x'" + "61" * 300 + "'"),
    ],
)
def test_each_type(code: int, value: bytes, unsigned: bool, expected: str) -> None:
    assert one(code, value, unsigned=unsigned) == expected


@pytest.mark.parametrize(
    ("charset", "data", "expected"),
    [
        ("latin1", b"caf\xe9", "_latin1 x'636166E9'"),
        ("latin1", b"cafe", "'cafe'"),
        ("utf16", b"\0a", "_utf16 x'0061'"),
        ("sjis", b"abc", "_sjis x'616263'"),
        ("binary", b"abc", "_binary x'616263'"),
        (None, "é".encode(), "'é'"),
        (None, b"\xe9", "_binary x'E9'"),
    ],
)
def test_each_kind_of_character_set(charset: str | None, data: bytes, expected: str) -> None:
    assert one(ColumnType.VAR_STRING, lenenc(data), charset=charset) == expected


def test_nulls_and_types_are_remembered() -> None:
    binding = Binding(9)
    types = bytes((ColumnType.TINY, 0)) * 9
    first = literals(execute(9, b"\x01\x01\x01" + types + bytes(range(2, 9))), binding, PLAIN, None)
    assert first == ("NULL", "2", "3", "4", "5", "6", "7", "8", "NULL")
    assert literals(execute(9, b"\0\0\0" + bytes(range(9))), binding, PLAIN, None) == tuple("012345678")


def test_long_data_is_not_in_the_packet() -> None:
    binding = Binding(2, long_data={0: bytearray(b"abc")})
    types = bytes((ColumnType.VAR_STRING, 0, ColumnType.TINY, 0))
    assert literals(execute(2, b"\0\x01" + types + b"\x07"), binding, PLAIN, None) == ("'abc'", "7")


def test_names_and_attributes_are_stepped_over() -> None:
    rest = (
        b"\x02\0\x01" + bytes((ColumnType.TINY, 0, 0)) + bytes((ColumnType.VAR_STRING, 0)) + b"\x03key" + b"\x07\x01v"
    )
    assert literals(execute(1, rest, flags=8), Binding(1), NAMED, None) == ("7",)
    assert literals(execute(0, b"\x01\0\x01\xfd\0\x03key\x01v", flags=8), Binding(0), NAMED, None) == ()
    assert literals(execute(0, b"", flags=0), Binding(0), NAMED, None) == ()


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"\x00",
        b"\x00\x00",
        b"\x00\x01\x99\x00",
        b"\x00\x01\x0d\x00\xe4\x07",
        b"\x00\x01\x09\x00\x01\x00\x00\x00",
        b"\x00\x01\xfd\x00\xfe",
        b"\x00\x01\xfd\x00\x05abc",
        b"\x00\x01\x05\x00\x00",
        b"\x00\x01\x05\x00" + b"\xff" * 8,
        b"\x00\x01\x0c\x00\x07\xe4",
        b"\x00\x01\xfd\x00\xfb",
    ],
)
def test_what_cannot_be_read_is_an_error(rest: bytes) -> None:
    with pytest.raises(PeerProtocolError):
        literals(execute(1, rest), Binding(1), PLAIN, "utf8mb4")


@given(st.binary(max_size=60), st.integers(0, 20), st.sampled_from([PLAIN, NAMED]))
def test_any_bytes_are_literals_or_an_error(rest: bytes, count: int, capabilities: Capabilities) -> None:
    for attempt in (
        lambda: literals(execute(count, rest), Binding(count), capabilities, "utf8mb4"),
        lambda: skip_attributes(rest),
    ):
        try:
            attempt()
        except PeerProtocolError:
            continue


@pytest.fixture(scope="module")
def client(server: PrivateServer) -> Iterator[Any]:
    connection = mysql.connector.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, use_pure=True, charset="utf8mb4"
    )
    yield connection
    connection.close()


VALUES = [
    0,
    -1,
    2**63 - 1,
    -(2**63),
    0.1,
    1e-300,
    -123456789.125,
    decimal.Decimal("12345678901234567890.1234567890"),
    "plain",
    'it\'s "quoted" `x` \\ back % _ ? ; -- #',
    "naïve ☃ 😀\n\t\0end",
    b"\x00\xff\\'\"",
    datetime.date(2020, 2, 29),
    datetime.datetime(2020, 2, 29, 1, 2, 3),
    datetime.datetime(2020, 2, 29, 1, 2, 3, 456),
    datetime.timedelta(hours=-30, minutes=-1, microseconds=-5),
    None,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("sql_mode", ["", "NO_BACKSLASH_ESCAPES,ANSI_QUOTES"])
def test_a_server_sees_the_same_in_literal_and_parameter(
    server: PrivateServer, client: Any, monkeypatch: pytest.MonkeyPatch, value: Any, sql_mode: str
) -> None:
    """What the client puts on the wire is taken from its own encoder, and decoded by ours."""
    packets: list[bytes] = []
    send = client._send_cmd

    def spy(command: int, argument: bytes = b"", **kwargs: Any) -> Any:
        if command == 0x17:
            packets.append(b"\x17" + bytes(kwargs.get("packet", argument)))
        return send(command, argument, **kwargs)

    monkeypatch.setattr(client, "_send_cmd", spy)
    cursor = client.cursor(prepared=True)
    cursor.execute("SELECT HEX(CONCAT(%s)), COALESCE(%s, NULL)", (value, value))
    ((by_parameter, _),) = cursor.fetchall()
    cursor.close()
    capabilities = Capabilities(client._client_flags) & Capabilities(client._handshake["capabilities"])
    literal, again = literals(packets[0], Binding(2), capabilities, "utf8mb4")
    assert literal == again
    with server.connect(charset="utf8mb4", sql_mode=sql_mode) as plain, plain.cursor() as text:
        text.execute(f"SELECT HEX(CONCAT({literal}))")
        ((by_literal,),) = text.fetchall()
    assert _loose(by_literal, value) == _loose(by_parameter, value)


def _loose(written: str | None, value: Any) -> Any:
    """Numbers and moments by value: as text, servers give a parameter more digits than a literal."""
    if written is None:
        return None
    text = bytes.fromhex(written)
    if isinstance(value, float):
        return float(text)
    return text.removesuffix(b".000000") if isinstance(value, datetime.datetime) else text


_KINDS = ((ColumnType.TINY, "<b"), (ColumnType.LONG, "<i"), (ColumnType.LONGLONG, "<q"), (ColumnType.DOUBLE, "<d"))
_ROUND = st.tuples(
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(_KINDS), st.booleans(), st.sampled_from([False, False, True]), st.integers(-9, 9)),
        min_size=2,
        max_size=2,
    ),
)


@given(rounds=st.lists(_ROUND, max_size=8), named=st.booleans())
def test_executions_of_a_form_that_was_seen_read_the_same(rounds: list[Any], named: bool) -> None:
    """Against a binding that remembers the types alone."""
    seen, fresh = Binding(2), Binding(2)
    types: list[Any] = []
    for announces, values in rounds:
        if announces or not types:
            types = [(kind, unsigned) for kind, unsigned, _, _ in values]
            announces = True
        rest = b"\x02" if named else b""
        rest += bytes([sum(null << index for index, (_, _, null, _) in enumerate(values))]) + bytes([announces])
        if announces:
            for (code, _), unsigned in types:
                rest += bytes((code, 0x80 if unsigned else 0)) + (b"\0" if named else b"")
        for ((_, form), _), (_, _, null, value) in zip(types, values, strict=True):
            rest += b"" if null else struct.pack(form, value)
        fresh.numbers.clear()
        capabilities = NAMED if named else PLAIN
        payload = execute(2, rest)
        assert literals(payload, seen, capabilities, "utf8mb4") == literals(payload, fresh, capabilities, "utf8mb4")
        assert seen.types == fresh.types
