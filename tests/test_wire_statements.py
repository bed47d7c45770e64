"""What breaks statements behind MySQL proxies, a test each: long packets, local files, cursors, rows that look like
something else, prepared statements that change, clients that do not wait. As `test_wire_breakages`."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from mysql_mimic.types import Capabilities

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.context import Context
from proxy.events import Answered, Event
from proxy.protocol import ExtendedCapabilities, lenenc
from proxy.results import NO_WATCH, Watch
from tests.relaying import query
from tests.wire import (
    ALL,
    BASE,
    RawClient,
    Route,
    add_raw_user,
    assert_logged,
    execute,
    fetch,
    long_data,
    route,
    short,
    statements,
)

NEW = BASE | Capabilities.CLIENT_DEPRECATE_EOF | Capabilities.CLIENT_SESSION_TRACK
OLD_AND_NEW = pytest.mark.parametrize("capabilities", [BASE, NEW], ids=["eof", "deprecate_eof"])
MAX = 0xFFFFFF


@dataclass
class Talked:
    """What the client saw, the same both ways, and what was said of the proxied connection."""

    seen: Any
    events: list[Event]
    thread_id: int


def talked(lane: Route, talk: Callable[[RawClient], Any], capabilities: Capabilities = BASE) -> Talked:
    """A conversation both ways, of which nothing gets lost."""
    ids = []

    def once(address: tuple[str, int]) -> Any:
        with RawClient(address, capabilities) as client:
            ids.append(client.thread_id)
            return talk(client)

    seen = lane.both(once)
    return Talked(seen, lane.closed(ids[-1]), ids[-1])


def digests(packets: list[bytes]) -> list[str]:
    return [hashlib.sha256(packet).hexdigest() for packet in packets]


# -- 5: packets of 16 MB and beyond


@pytest.mark.parametrize("length", [MAX - 1, MAX, MAX + 1])
def test_long_packets_both_ways(lane: Route, length: int) -> None:
    """A command of that length, and a row: 4 bytes of it are the length of its column (9 beyond 16 MB)."""
    text = "SELECT LENGTH('" + "x" * (length - 18) + "')"
    size = length - 4 if length - 4 < 1 << 24 else length - 9
    result = f"SELECT REPEAT('y', {size}) AS y"
    quiet = "SET SESSION sql_log_off = 1"

    def talk(client: RawClient) -> Any:
        # A log of such statements takes longer than they do.
        client.query(quiet)
        answers = [client.query(text), client.query(result), client.query("SELECT 1")]
        assert length in map(len, answers[1])
        statement, _ = client.prepare("SELECT LENGTH(?)")
        answers.append(client.ask(execute(statement, b"\0\x01\xfd\0" + lenenc(b"z" * (length - 30)))))
        client.command(long_data(statement, 0, b"l" * (length - 7)))
        answers.append(client.ask(execute(statement, b"\0\0")))
        return [digests(answer) for answer in answers]

    events = talked(lane, talk).events
    said = [said for said in statements(events) if said[0] != "SELECT LENGTH(?)"]
    assert said == [(quiet,), (text,), (result,), ("SELECT 1",)]
    parameters = [len(said[1]) for said in statements(events) if said[0] == "SELECT LENGTH(?)"]
    assert parameters == [length - 30 + 2, length - 7 + 2]


# -- 6: local files


def test_local_files(lane: Route, database: str) -> None:
    """One that is taken, one of more than 16 MB, one that is refused, one with an error in it."""
    table = f"{database}.numbers"
    load = f"LOAD DATA LOCAL INFILE 'f' INTO TABLE {table}"
    strict = (
        f"LOAD DATA LOCAL INFILE 'f' INTO TABLE {table} (n) SET n = (SELECT n FROM (SELECT 1 AS n UNION SELECT 2) AS u)"
    )
    long = b"7" * (MAX + 10) + b"\n"

    def talk(client: RawClient) -> Any:
        client.query(f"DROP TABLE IF EXISTS {table}")
        client.query(f"CREATE TABLE {table} (n LONGTEXT)")
        return [
            client.query(load, b"1\n2\n", b"3\n"),
            client.query(load, long),
            client.query(f"SELECT COUNT(*) FROM {table}"),
            client.query(load),
            client.query(strict, b"1\n" * 50_000, b"2\n" * 50_000),
            client.query(f"SELECT LENGTH(n), COUNT(*) FROM {table} GROUP BY n ORDER BY n"),
        ]

    found = talked(lane, talk)
    assert found.seen[4][-1][:1] == b"\xff"
    loads = ("noted", "LOAD", table, len(load))
    assert statements(found.events)[2:] == [
        loads,
        loads,
        (f"SELECT COUNT(*) FROM {table}",),
        loads,
        (f"SELECT LENGTH(n), COUNT(*) FROM {table} GROUP BY n ORDER BY n",),
    ]
    assert_logged(lane.server, found.thread_id, found.events, failed=[strict])


def test_a_local_file_whose_query_is_killed(lane: Route, database: str) -> None:
    """The error comes when the file has ended, or before."""
    with lane.server.connect() as root:
        query(root, f"CREATE TABLE {database}.slow (n INT)")
        with RawClient(lane.address) as client:
            client.command(client.text(f"LOAD DATA LOCAL INFILE 'f' INTO TABLE {database}.slow"))
            assert client.receive()[:1] == b"\xfb"
            client.send(b"1\n")
            query(root, f"KILL QUERY {client.thread_id}")
            client.send(*[b"1\n" * 1000] * 20, b"")
            answer = client.receive()
            assert answer[:1] == b"\xff"
            assert client.query("SELECT 'still there'")[-2] == b"\x0bstill there"
    assert statements(lane.events(client.thread_id))[-1:] == [("SELECT 'still there'",)]


# -- 7: cursors


@OLD_AND_NEW
def test_cursors(lane: Route, capabilities: Capabilities) -> None:
    numbers = "SELECT n, ? AS p FROM (SELECT 1 AS n UNION ALL SELECT 2 UNION ALL SELECT 3) AS numbers"

    def talk(client: RawClient) -> Any:
        statement, prepared = client.prepare(numbers)
        first = execute(statement, b"\0\x01\xfd\0\x01a", flags=1)
        other, _ = client.prepare("SELECT 'other'")
        answers = [prepared, client.ask(first)]
        answers += [client.ask(fetch(statement, 1)), client.ask(fetch(statement, 5))]
        # Nothing is left; then one that is left early, one that was closed, one that nobody has.
        answers += [client.ask(first), client.ask(fetch(statement, 1)), client.ask(execute(other))]
        answers += [
            client.ask(fetch(statement, 5)),
            client.ask(first),
            client.ask(b"\x1a" + struct.pack("<I", statement)),
        ]
        # MariaDB names the statement in its error by a number that hangs on who had the thread before.
        (refused,) = client.ask(fetch(statement, 1))
        return [*answers, refused[:9], client.ask(fetch(99, 1))]

    events = talked(lane, talk, capabilities).events
    early = "other statements came before the last row of its cursor"
    found = [short(event) for event in events][:-1]
    assert found[:5] == [(numbers, "'a'"), ("rows", 3), (numbers, "'a'"), ("rows", 1, early), ("SELECT 'other'",)]
    assert found[5:7] == [("rows", 1), (numbers, "'a'")]
    assert len(found) == 8 and found[7][:2] == ("rows", 0)


# -- 10: rows that look like something else

SHORT_LOOKS = [
    "''",
    "NULL",
    "CONCAT(CHAR(254 USING binary), 'x')",
    "x'FFFF'",
    "x'FE00000200'",
    "x'0000000200'",
    "REPEAT('z', 251)",
]
LOOKS = " UNION ALL ".join(f"SELECT {value} AS v, 1 AS w" for value in SHORT_LOOKS)


@OLD_AND_NEW
@pytest.mark.parametrize("watch", [ALL, NO_WATCH], ids=["watched", "passed"])
@pytest.mark.parametrize("sliced", [False, True], ids=["whole", "sliced"])
def test_rows_that_look_like_something_else(
    server: PrivateServer, certificate: Certificate, sliced: bool, watch: Watch, capabilities: Capabilities
) -> None:
    add_raw_user(server)
    first = "SELECT REPEAT('a', 16777300) AS v UNION ALL SELECT ''"
    with route(server, certificate, sliced=sliced, watch=watch) as lane:

        def talk(client: RawClient) -> Any:
            answers = [client.query(LOOKS), digests(client.query(first))]
            statement, _ = client.prepare(LOOKS)
            answers += [client.ask(execute(statement)), client.query("SELECT NULL"), client.query("SELECT ''")]
            client.command(client.text(LOOKS), client.text("SELECT 1"), execute(statement), b"\x0e")
            answers += [
                client.answer(client.text("")),
                client.answer(client.text("")),
                client.answer(b"\x17"),
                client.answer(b"\x0e"),
            ]
            return answers

        events = talked(lane, talk, capabilities).events
    said = [(LOOKS,), (first,), (LOOKS,), ("SELECT NULL",), ("SELECT ''",), (LOOKS,), ("SELECT 1",), (LOOKS,)]
    assert statements(events) == said
    if watch is ALL:
        rows = [short(event) for event in events if short(event)[0] == "rows"]
        assert rows == [("rows", rows) for rows in (7, 2, 7, 1, 1, 7, 1, 7)]


# -- 12: prepared statements whose metadata changes, and errors where rows were expected


@OLD_AND_NEW
def test_prepared_statements_whose_table_changes(lane: Route, database: str, capabilities: Capabilities) -> None:
    table = f"{database}.t"
    scalar = f"SELECT (SELECT id FROM {table}), ?"

    def talk(client: RawClient) -> Any:
        client.query(f"DROP TABLE IF EXISTS {table}")
        client.query(f"CREATE TABLE {table} (id INT PRIMARY KEY)")
        client.query(f"INSERT INTO {table} VALUES (1)")
        every, _ = client.prepare(f"SELECT * FROM {table}")
        one, _ = client.prepare(scalar)
        parameter = b"\0\x01\xfd\0\x01a"
        answers = [client.ask(execute(every)), client.ask(execute(one, parameter))]
        client.query(f"ALTER TABLE {table} ADD COLUMN name VARCHAR(20) DEFAULT 'new'")
        client.query(f"INSERT INTO {table} VALUES (2, 'two')")
        answers += [client.ask(execute(every)), client.ask(execute(one, parameter))]
        answers.append(client.ask(b"\x1a" + struct.pack("<I", one)))
        answers.append(client.query(f"DELETE FROM {table} WHERE id = 2"))
        answers.append(client.ask(execute(one, b"\0\0\x01b")))
        client.query(f"DROP TABLE {table}")
        answers += [client.ask(execute(every)), client.ask(b"\x16SELECT nonsense"), client.ask(b"\x0e")]
        return answers

    events = talked(lane, talk, capabilities).events
    # Its result had begun, and then broke off.
    failing = (scalar, "'a'")
    reads = [said for said in statements(events) if said[0].startswith("SELECT")]
    assert reads == [
        (f"SELECT * FROM {table}",),
        (scalar, "'a'"),
        (f"SELECT * FROM {table}",),
        failing,
        (scalar, "'b'"),
    ]


# -- clients that do not wait


@OLD_AND_NEW
def test_a_client_that_sends_all_at_once(lane: Route, capabilities: Capabilities) -> None:
    texts = [f"SELECT {number}, REPEAT('x', {number * 7})" for number in range(60)]

    def talk(client: RawClient) -> Any:
        client.command(*map(client.text, texts))
        return [client.answer(b"\x03") for _ in texts]

    found = talked(lane, talk, capabilities)
    assert statements(found.events) == [(text,) for text in texts]
    assert_logged(lane.server, found.thread_id, found.events)


@OLD_AND_NEW
def test_a_client_that_speaks_in_the_middle_of_an_answer(lane: Route, capabilities: Capabilities) -> None:
    """The server holds the first answer half way, in a function that sleeps."""
    first = "SELECT REPEAT('x', 50000) UNION ALL SELECT SLEEP(0.2)"

    def talk(client: RawClient) -> Any:
        receive = client.receive

        def interrupt() -> bytes:
            payload = receive()
            if len(payload) > 50_000:
                client.receive = receive
                client.command(client.text("SELECT 'second'"))
            return payload

        client.receive = interrupt
        return [client.query(first), client.answer(b"\x03"), client.query("SELECT 'third'")]

    found = talked(lane, talk, capabilities)
    assert statements(found.events) == [(first,), ("SELECT 'second'",), ("SELECT 'third'",)]
    assert_logged(lane.server, found.thread_id, found.events)


# -- KILL within a result


def test_a_connection_that_is_killed_within_a_result(lane: Route) -> None:
    numbers = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900)"
    endless = f"{numbers} SELECT REPEAT('x', 50000), SLEEP(0.05) FROM n"
    with RawClient(lane.address) as client, lane.server.connect() as root:
        client.command(client.text(endless))
        while len(client.receive()) < 50_000:
            pass
        query(root, f"KILL {client.thread_id}")
        with pytest.raises(ConnectionError):
            while True:
                client.receive()
        events = lane.closed(client.thread_id)
    assert statements(events) == [(endless,)]
    (answered,) = [event for event in events if isinstance(event, Answered)]
    assert answered.broken and answered.rows < 900


# -- statements that are prepared by text, columns of a table, replication


def test_statements_prepared_by_text(lane: Route) -> None:
    """What they read is known to who reads the recording: every text has come."""
    texts = ["SET @n = 2", "PREPARE s FROM 'SELECT ? + 1 AS v'", "EXECUTE s USING @n", "DEALLOCATE PREPARE s"]
    found = talked(lane, lambda client: [client.query(text) for text in texts])
    assert found.seen[2][-2] == b"\x013"
    assert statements(found.events) == [(text,) for text in texts]
    context = Context()
    sqls = [each.sql for text in texts for each in context.executed(text.encode(), None)]
    assert sqls[2] == "SELECT 2 + 1 AS v"


@OLD_AND_NEW
def test_columns_of_a_table(lane: Route, database: str, capabilities: Capabilities) -> None:
    lane.server.execute(f"CREATE TABLE {database}.t (id INT PRIMARY KEY, name VARCHAR(20) DEFAULT 'x')")

    def talk(client: RawClient) -> Any:
        client.ask(b"\x02" + database.encode())
        client.command(b"\x04t\0", client.text("SELECT 1"))
        return [client.answer(b"\x04"), client.answer(b"\x03"), client.ask(b"\x04t\0na%"), client.ask(b"\x04none\0")]

    found = talked(lane, talk, capabilities)
    assert len(found.seen[0]) == 3 and len(found.seen[2]) == 2
    assert statements(found.events) == [("schema", database), ("SELECT 1",)]


@pytest.mark.parametrize(
    "command",
    [b"\x12" + struct.pack("<IHI", 4, 0, 77), b"\x1e" + struct.pack("<HIIQI", 4, 77, 0, 4, 0)],
    ids=["binlog_dump", "binlog_dump_gtid"],
)
def test_replicas_pass_and_are_named(lane: Route, command: bytes) -> None:
    """The server has no binary log, says so and hangs up, or does not know the command; the recording ends there."""

    def talk(address: tuple[str, int]) -> Any:
        with RawClient(address) as client:
            registered = client.ask(b"\x15" + struct.pack("<IBBBHII", 77, 0, 0, 0, 0, 0, 0))
            client.query("SELECT 'before'")
            client.command(command)
            found = [registered, client.receive()]
            with contextlib.suppress(ConnectionError, BrokenPipeError):
                found.append(client.query("SELECT 'behind'"))
            return found, client.thread_id

    direct, proxied = talk(lane.direct), talk(lane.address)
    assert direct[0] == proxied[0] and direct[0][1][:1] == b"\xff"
    said = statements(lane.events(proxied[1]))
    assert said == [("SELECT 'before'",), ("Lost", "a replication stream")]


def test_executions_in_bulk(lane: Route, database: str) -> None:
    """MariaDB's own, with its number for what was prepared last, in one breath. MySQL does not know the command."""
    lane.server.execute(f"CREATE TABLE {database}.t (n INT)")
    insert = f"INSERT INTO {database}.t VALUES (?)"

    def talk(address: tuple[str, int]) -> Any:
        with RawClient(address, BASE, ExtendedCapabilities.STMT_BULK_OPERATIONS) as client:
            values = b"".join(b"\0" + struct.pack("<i", number) for number in range(3))
            bulk = b"\xfa" + struct.pack("<IH", 0xFFFFFFFF, 128) + b"\x03\0" + values
            client.command(b"\x16" + insert.encode(), bulk)
            prepared = client.answer(b"\x16")
            answers = [prepared[0][5:], *prepared[1:], client.answer(b"\xfa")]
            return client.thread_id, [*answers, client.query(f"SELECT COUNT(*) FROM {database}.t")]

    (_, direct), (thread_id, proxied) = talk(lane.direct), talk(lane.address)
    read = (f"SELECT COUNT(*) FROM {database}.t",)
    if lane.server.flavour == "mariadb":
        assert direct[:-1] == proxied[:-1] and (direct[-1][-2], proxied[-1][-2]) == (b"\x013", b"\x016")
        assert statements(lane.closed(thread_id)) == [("noted", "INSERT", f"{database}.t", len(insert)), read]
    else:
        assert direct == proxied and direct[-2][0][:1] == b"\xff"
        assert statements(lane.closed(thread_id)) == [read]
