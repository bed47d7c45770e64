"""Every set of capabilities that two ends may agree on: the client sees what it would see without the proxy, and the
recording has what the server's general log has; whole, and with every byte by itself on both legs."""

from __future__ import annotations

import itertools
import struct
from typing import Any

from mysql_mimic.types import Capabilities

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.events import Closed
from proxy.protocol import ExtendedCapabilities, lenenc
from proxy.results import NO_WATCH
from tests.wire import (
    BASE,
    RAW_USER,
    RawClient,
    Route,
    add_raw_user,
    assert_logged,
    change_user,
    execute,
    fetch,
    general_log,
    long_data,
    route,
    short,
)

NOTHING = ExtendedCapabilities(0)
FLAGS = (
    Capabilities.CLIENT_DEPRECATE_EOF,
    Capabilities.CLIENT_OPTIONAL_RESULTSET_METADATA,
    Capabilities.CLIENT_QUERY_ATTRIBUTES,
    Capabilities.CLIENT_SESSION_TRACK,
)
EXTENDED = (
    ExtendedCapabilities.PROGRESS,
    ExtendedCapabilities.EXTENDED_METADATA,
    ExtendedCapabilities.CACHE_METADATA,
)
ZLIB = Capabilities.CLIENT_COMPRESS
ZSTD = Capabilities.CLIENT_ZSTD_COMPRESSION_ALGORITHM
FAILS = "SELECT * FROM nowhere"


def bound(client: RawClient, text: bytes | None, limit: int, *, new: bool = True) -> bytes:
    """A VAR_STRING, None when it was sent before, and a LONGLONG as the parameters of an execution."""
    named = b"\0" if client.agreed & Capabilities.CLIENT_QUERY_ATTRIBUTES else b""
    types = b"\x01\xfd\0" + named + b"\x08\0" + named if new else b"\0"
    values = (b"" if text is None else lenenc(text)) + limit.to_bytes(8, "little")
    return (b"\x02" if named else b"") + b"\0" + types + values


def conversation(client: RawClient, database: str) -> list[Any]:
    """Commands of every shape; gives what the server answers."""
    answers = [
        client.ask(b"\x02" + database.encode()),
        client.query("CREATE TEMPORARY TABLE t (id INT PRIMARY KEY, a VARCHAR(300), b LONGBLOB)"),
        client.query("INSERT INTO t VALUES (1, '', NULL), (2, NULL, 'x'), (3, REPEAT('y', 260), REPEAT('z', 5000))"),
        client.query("SELECT a, b, id FROM t ORDER BY id"),
        client.query("SELECT NULL"),
        client.query("SELECT ''"),
        client.query("SELECT id FROM t WHERE id > 9"),
        client.query(FAILS),
        client.query("SELECT 1; SET @v = 2; UPDATE t SET a = 'u' WHERE id = 2; SELECT @v"),
        client.query(f"SELECT 1; {FAILS}; SELECT 3"),
        client.query("DO 1"),
        client.ask(b"\x0e"),
        client.ask(b"\x1b\x01\0"),
        client.ask(b"\x1b\0\0"),
        client.ask(b"\x04nowhere\0"),
    ]
    statement, prepared = client.prepare("SELECT id, ? AS p FROM t WHERE id <= ? ORDER BY id")
    answers.append(prepared)
    answers.append(client.ask(execute(statement, bound(client, b"it's", 3))))
    answers.append(client.ask(execute(statement, bound(client, b"again", 2, new=False))))
    answers.append(client.ask(execute(statement, bound(client, b"cursor", 3), flags=1)))
    answers += [client.ask(fetch(statement, 2)), client.ask(fetch(statement, 2))]
    client.command(long_data(statement, 0, b"long "), long_data(statement, 0, b"data"))
    answers.append(client.ask(execute(statement, bound(client, None, 1))))
    answers.append(client.ask(b"\x1a" + struct.pack("<I", statement)))
    client.command(b"\x19" + struct.pack("<I", statement))
    answers.append(client.ask(b"\x0e"))
    client.ask(b"\x09")
    if client.agreed & Capabilities.CLIENT_OPTIONAL_RESULTSET_METADATA:
        answers.append(client.query("SET resultset_metadata = NONE"))
        answers.append(client.query("SELECT 1, 2"))
        statement, prepared = client.prepare("SELECT ?, ?")
        answers += [prepared, client.ask(execute(statement, bound(client, b"x", 4)))]
        answers.append(client.query("SET resultset_metadata = FULL"))
    answers.append(client.query("CREATE TEMPORARY TABLE u AS SELECT id FROM t"))
    answers.append(client.ask(b"\x1f"))
    answers.append(client.query("SELECT @v, DATABASE()"))
    plugin = "caching_sha2_password" if b"sha2" in client.greeting else "mysql_native_password"
    client.ask(change_user(RAW_USER, "", plugin))
    answers.append(client.query("SELECT DATABASE()"))
    return answers


def said(database: str, flags: Capabilities) -> list[tuple[Any, ...]]:
    without_metadata = [
        ("SET resultset_metadata = NONE",),
        ("SELECT 1, 2",),
        ("rows", 1),
        ("SELECT ?, ?", "'x'", "4"),
        ("rows", 1),
        ("SET resultset_metadata = FULL",),
    ]
    prepared = "SELECT id, ? AS p FROM t WHERE id <= ? ORDER BY id"
    inserted = "INSERT INTO t VALUES (1, '', NULL), (2, NULL, 'x'), (3, REPEAT('y', 260), REPEAT('z', 5000))"
    return [
        ("schema", database),
        ("noted", "CREATE", "t", 73),
        ("noted", "INSERT", "t", len(inserted)),
        ("SELECT a, b, id FROM t ORDER BY id",),
        ("rows", 3),
        ("SELECT NULL",),
        ("rows", 1),
        ("SELECT ''",),
        ("rows", 1),
        ("SELECT id FROM t WHERE id > 9",),
        ("rows", 0),
        ("SELECT 1",),
        ("rows", 1),
        ("SET @v = 2",),
        ("noted", "UPDATE", "t", 33),
        ("SELECT @v",),
        ("rows", 1),
        ("SELECT 1",),
        ("rows", 1),
        ("DO 1",),
        (prepared, "'it''s'", "3"),
        ("rows", 3),
        (prepared, "'again'", "2"),
        ("rows", 2),
        (prepared, "'cursor'", "3"),
        ("rows", 3),
        (prepared, "'long data'", "1"),
        ("rows", 1),
        *(without_metadata if flags & Capabilities.CLIENT_OPTIONAL_RESULTSET_METADATA else []),
        ("CREATE TEMPORARY TABLE u AS SELECT id FROM t",),
        ("reset",),
        ("SELECT @v, DATABASE()",),
        ("rows", 1),
        ("user", RAW_USER, None),
        ("SELECT DATABASE()",),
        ("rows", 1),
    ]


def check(
    lane: Route, database: str, flags: Capabilities, extended: ExtendedCapabilities, *, watched: bool = True
) -> None:
    threads = []

    def talk(address: tuple[str, int]) -> Any:
        with RawClient(address, BASE | flags, extended) as client:
            threads.append(client.thread_id)
            assert client.agreed & flags == flags and client.extended == extended
            return conversation(client, database)

    lane.both(talk)
    events = lane.closed(threads[-1])
    expected = [each for each in said(database, flags) if watched or each[0] != "rows"]
    assert [short(event) for event in events if not isinstance(event, Closed)] == expected
    assert_logged(lane.server, threads[-1], events, failed=[FAILS, "SELECT 3"])


def combinations(flags: tuple[Any, ...], none: Any) -> list[Any]:
    chosen = itertools.chain.from_iterable(itertools.combinations(flags, size) for size in range(len(flags) + 1))
    found = []
    for group in chosen:
        joined = none
        for flag in group:
            joined |= flag
        found.append(joined)
    return found


#: What each flavour may agree on with a client beyond what all have.
AGREEMENTS: dict[str, list[tuple[Capabilities, ExtendedCapabilities]]] = {
    "mysql": [(flags, NOTHING) for flags in combinations((*FLAGS[:3], ZSTD), Capabilities(0))],
    "mariadb": [
        (flags, extended)
        for extended in combinations(EXTENDED, NOTHING)
        for flags in (Capabilities(0), FLAGS[0] | FLAGS[3], FLAGS[0] | ZLIB)
    ],
}
COMMON = [(flags, NOTHING) for flags in combinations((FLAGS[0], FLAGS[3], ZLIB), Capabilities(0))]


def test_every_agreement(lane: Route, database: str) -> None:
    for flags, extended in COMMON + AGREEMENTS[lane.server.flavour]:
        check(lane, database, flags, extended)


def test_every_agreement_when_rows_are_passed_by(
    server: PrivateServer, certificate: Certificate, database: str
) -> None:
    add_raw_user(server)
    with general_log(server), route(server, certificate, sliced=False, watch=NO_WATCH) as lane:
        for flags, extended in COMMON + AGREEMENTS[server.flavour]:
            check(lane, database, flags, extended, watched=False)
