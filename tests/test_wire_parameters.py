"""Parameters of every type, as both servers take them: what is recorded means what the server's own log says, and what
the statement itself got."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from mysql_mimic.types import ColumnType

from examples.private_server import PrivateServer
from graph.scan import bind
from proxy.certificates import Certificate
from proxy.columns import BinaryRows, read_definition
from proxy.events import Executed
from proxy.parameters import VECTOR
from proxy.protocol import Take, lenenc
from tests.wire import RawClient, Route, add_raw_user, execute, general_log, logged, long_data, route, statements

DAY = struct.pack("<HBB", 2020, 2, 29)
CLOCK = bytes((13, 4, 5))
MICRO = struct.pack("<I", 678)
SPAN = struct.pack("<BI", 1, 2)
POINT = struct.pack("<IBIdd", 0, 1, 1, 1.5, -2.0)

#: Type, unsigned, value as it goes over the wire, and a placeholder that says what it is to be.
VALUES: list[tuple[int, bool, bytes, str]] = [
    (ColumnType.TINY, False, b"\x80", "?"),
    (ColumnType.TINY, True, b"\xff", "?"),
    (ColumnType.SHORT, False, struct.pack("<h", -32768), "?"),
    (ColumnType.SHORT, True, struct.pack("<H", 65535), "?"),
    (ColumnType.LONG, False, struct.pack("<i", -(2**31)), "?"),
    (ColumnType.LONG, True, struct.pack("<I", 2**32 - 1), "?"),
    (ColumnType.LONGLONG, False, struct.pack("<q", -(2**63)), "?"),
    (ColumnType.LONGLONG, True, struct.pack("<Q", 2**64 - 1), "?"),
    (ColumnType.FLOAT, False, struct.pack("<f", 1.5), "?"),
    (ColumnType.DOUBLE, False, struct.pack("<d", -1.25e300), "?"),
    (ColumnType.DOUBLE, False, struct.pack("<d", 0.1), "CAST(? AS DECIMAL(10,3))"),
    (ColumnType.DECIMAL, False, lenenc(b"-12345678901234567890.123456789"), "CAST(? AS DECIMAL(40,10))"),
    (ColumnType.NEWDECIMAL, False, lenenc(b"0.10"), "CAST(? AS DECIMAL(40,10))"),
    (ColumnType.NULL, False, b"", "?"),
    (ColumnType.DATE, False, b"\x04" + DAY, "CAST(? AS DATE)"),
    (ColumnType.DATETIME, False, b"\x07" + DAY + CLOCK, "CAST(? AS DATETIME(6))"),
    (ColumnType.DATETIME, False, b"\x0b" + DAY + CLOCK + MICRO, "CAST(? AS DATETIME(6))"),
    (ColumnType.DATETIME, False, b"\x04" + DAY, "CAST(? AS DATETIME(6))"),
    (ColumnType.TIMESTAMP, False, b"\x07" + DAY + CLOCK, "CAST(? AS DATETIME(6))"),
    (ColumnType.TIME, False, b"\x08" + SPAN + CLOCK, "CAST(? AS TIME(6))"),
    (ColumnType.TIME, False, b"\x0c" + SPAN + CLOCK + MICRO, "CAST(? AS TIME(6))"),
    (ColumnType.TIME, False, b"\0", "CAST(? AS TIME(6))"),
    (ColumnType.VARCHAR, False, lenenc(b"varchar"), "?"),
    (ColumnType.VAR_STRING, False, lenenc(b'it\'s "x" \\ ? ; -- # `'), "?"),
    (ColumnType.STRING, False, lenenc("naïve ☃\n\0".encode()), "?"),
    (ColumnType.ENUM, False, lenenc(b"enum"), "?"),
    (ColumnType.SET, False, lenenc(b"a,b"), "?"),
    (ColumnType.JSON, False, lenenc(b'{"a": "it\'s"}'), "JSON_EXTRACT(?, '$.a')"),
    (ColumnType.TINY_BLOB, False, lenenc(b"\x00\xff'"), "HEX(?)"),
    (ColumnType.MEDIUM_BLOB, False, lenenc(b"\x00\xff\\"), "HEX(?)"),
    (ColumnType.LONG_BLOB, False, lenenc(b"\x80" * 300), "HEX(?)"),
    (ColumnType.BLOB, False, lenenc(b""), "HEX(?)"),
    (ColumnType.BLOB, False, lenenc(POINT), "ST_AsText(?)"),
    (VECTOR, False, lenenc(struct.pack("<ff", 1.5, 2)), "HEX(?)"),
]
#: What MariaDB takes for NULL, and MySQL refuses.
NOWHERE = (ColumnType.YEAR, ColumnType.INT24, ColumnType.BIT, ColumnType.GEOMETRY)
#: What a server refuses to bind, and what it refuses only when it is sent ahead.
REFUSED = {"mysql": (ColumnType.ENUM, ColumnType.SET), "mariadb": (ColumnType.JSON, VECTOR)}
NOT_AHEAD = {"mysql": (ColumnType.VARCHAR, ColumnType.JSON), "mariadb": ()}
#: What may be sent ahead.
TEXTS = (ColumnType.VARCHAR, ColumnType.VAR_STRING, ColumnType.STRING, ColumnType.JSON)
BLOBS = (ColumnType.TINY_BLOB, ColumnType.MEDIUM_BLOB, ColumnType.LONG_BLOB, ColumnType.BLOB)


@pytest.fixture(scope="module", params=[False, True], ids=["whole", "sliced"])
def parameters(request: pytest.FixtureRequest, server: PrivateServer, certificate: Certificate) -> Iterator[Route]:
    add_raw_user(server)
    with general_log(server), route(server, certificate, sliced=request.param) as found:
        yield found


def bound(code: int, unsigned: bool, value: bytes) -> bytes:
    null = b"\1" if code is ColumnType.NULL else b"\0"
    return null + b"\1" + bytes((code, 0x80 if unsigned else 0)) + value


def value_of(server: PrivateServer, text: bytes) -> bytes | None:
    """The one value that a text gives, in the text protocol."""
    with RawClient((server.host, server.port)) as client:
        try:
            text.decode()
        except UnicodeDecodeError:
            # The log has bytes as they are.
            client.query("SET NAMES binary")
        row = client.ask(b"\x03" + text)[-2]
    return None if row == b"\xfb" else Take(row).string()


@pytest.mark.parametrize(
    ("code", "unsigned", "value", "placeholder", "ahead"),
    [(*case, False) for case in VALUES] + [(*case, True) for case in VALUES if case[0] in TEXTS + BLOBS],
)
def test_every_type(parameters: Route, code: int, unsigned: bool, value: bytes, placeholder: str, ahead: bool) -> None:
    """The recorded text and the log's text mean the same, and what the statement itself got."""
    server = parameters.server
    with RawClient(parameters.address) as client:
        statement, _ = client.prepare(f"SELECT {placeholder} AS v")
        if ahead:
            content = Take(value).string()
            client.command(long_data(statement, 0, content[:2]), long_data(statement, 0, content[2:]))
        answer = client.ask(execute(statement, bound(code, unsigned, b"" if ahead else value)))
    events = [event for event in parameters.closed(client.thread_id) if isinstance(event, Executed)]
    if answer[-1][:1] == b"\xff":
        assert not events
        assert code in REFUSED[server.flavour] or (ahead and code in NOT_AHEAD[server.flavour])
        return
    (event,) = events
    (by_server,) = [text for kind, text in logged(server, client.thread_id) if kind == "Execute"]
    assert event.parameters is not None
    recorded = value_of(server, bind(event.sql.decode(), event.parameters, None).encode())
    # MariaDB's log has bytes that are no text as letters.
    if b"\\x" not in by_server:
        assert recorded == value_of(server, by_server)
    # The answer's one row is a binary one.
    (answered,) = BinaryRows([read_definition(answer[1], False)]).read(answer[-2], 1)
    assert _by_value(recorded, code) == _by_value(answered, code)


@pytest.mark.parametrize("code", NOWHERE)
def test_types_that_no_server_takes(parameters: Route, code: int) -> None:
    with RawClient(parameters.address) as client:
        statement, _ = client.prepare("SELECT ? AS v")
        answer = client.ask(execute(statement, bound(code, False, b"\x03\x07\0\0")))
    found = statements(parameters.closed(client.thread_id))
    if parameters.server.flavour == "mysql":
        assert answer[-1][:1] == b"\xff" and not found
    else:
        assert [said[:2] for said in found] == [("unread", "SELECT")]


def _by_value(written: bytes | None, code: int) -> Any:
    """Not every server and protocol writes a number of one value alike."""
    return float(written or b"") if code in (ColumnType.FLOAT, ColumnType.DOUBLE) else written
