"""Rows that a recording pinned are the slice's, whatever happens to the source before the export."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mysql.connector
import pytest

from examples.private_server import PrivateServer
from graph.digest import ResultDigest
from graph.statement import RecordedResult
from tests.harness import DATAJOINT_LINES, Account, Djproxy, Recorder, add_account, drop, rows_of

TABLES = (
    "CREATE TABLE {S}.subject (subject VARCHAR(16) PRIMARY KEY, species VARCHAR(16))",
    "CREATE TABLE {S}.session (subject VARCHAR(16), session INT, weight DOUBLE, PRIMARY KEY (subject, session), "
    "FOREIGN KEY (subject) REFERENCES {S}.subject (subject))",
    "INSERT INTO {S}.subject VALUES ('m1', 'mouse'), ('m2', 'mouse'), ('r1', 'rat')",
    "INSERT INTO {S}.session VALUES ('m1', 1, 0.5), ('m1', 2, 1.5), ('m2', 1, 2.5), ('r1', 1, 3.5), ('r1', 2, 4.5)",
)
#: Rows edited, added and deleted, of which no fetched one.
CHANGES = (
    "UPDATE {S}.session SET weight = 9 WHERE subject = 'm1' AND session = 2",
    "INSERT INTO {S}.subject VALUES ('a0', 'mouse')",
    "INSERT INTO {S}.session VALUES ('a0', 1, 0), ('a0', 2, 0)",
    "DELETE FROM {S}.session WHERE subject = 'r1' AND session = 2",
)
Ask = Callable[[Any, str], Sequence[tuple[Any, ...]]]


@pytest.fixture
def lab(server: PrivateServer, restored: PrivateServer, database: str) -> Iterator[str]:
    server.execute(*(sql.format(S=database) for sql in TABLES))
    yield database
    drop(restored, database)


def text(connection: Any, sql: str) -> Sequence[tuple[Any, ...]]:
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(sql)
        return sorted(cursor.fetchall())


def prepared(connection: Any, sql: str) -> Sequence[tuple[Any, ...]]:
    with contextlib.closing(connection.cursor(prepared=True)) as cursor:
        cursor.execute(sql)
        return sorted(cursor.fetchall())


def connect(recorder: Recorder, server: PrivateServer) -> Any:
    return mysql.connector.connect(
        host=recorder.host, port=recorder.port, user=server.user, password=server.password, use_pure=True
    )


@pytest.fixture
def reader(server: PrivateServer, lab: str) -> Account:
    return add_account(server, [lab])


def record(
    djproxy: Djproxy, server: PrivateServer, ask: Ask, *statements: str, options: Sequence[str] = ()
) -> list[Any]:
    with djproxy.recording("P", server, *options) as recorder, contextlib.closing(connect(recorder, server)) as session:
        return [ask(session, sql) for sql in statements]


@pytest.mark.parametrize("ask", [text, prepared])
def test_the_rows_of_a_limit_are_those_that_were_fetched(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, reader: Account, ask: Ask
) -> None:
    (fetched,) = record(djproxy, server, ask, f"SELECT * FROM {lab}.session ORDER BY subject, session LIMIT 3")
    assert [row[:2] for row in fetched] == [("m1", 1), ("m1", 2), ("m2", 1)]
    server.execute(*(sql.format(S=lab) for sql in CHANGES))
    bundle = djproxy.round_trip("P", server, restored, reader)
    assert rows_of(restored, f"{lab}.session") == [("m1", 1, 0.5), ("m1", 2, 9.0), ("m2", 1, 2.5)]
    assert rows_of(restored, f"{lab}.subject") == [("m1", "mouse"), ("m2", "mouse")]
    review = json.loads((bundle / "review.json").read_text())
    assert [(pin["pinned"], pin["missing"], pin["gone"], pin["new"]) for pin in review["pins"]] == [(3, 0, 2, 2)]
    (statement,) = [each for each in review["statements"] if each["pinned"]]
    assert statement["recorded"] == {"rows": 3, "digest": None}


@pytest.mark.parametrize("ask", [text, prepared])
def test_a_disagreement_is_named(
    djproxy: Djproxy, server: PrivateServer, tmp_path: Path, lab: str, reader: Account, ask: Ask
) -> None:
    record(djproxy, server, ask, f"SELECT subject, session FROM {lab}.session LIMIT 4")
    credentials = server.defaults_file(reader.user, reader.password)

    def export(status: int) -> tuple[str, dict[str, Any]]:
        out = ["--out", tmp_path / "bundle", "--defaults-file", credentials, "--json"]
        answer = djproxy.call("export", "--paper", "P", *out, status=status)
        return answer.stderr, answer.json()["pins"][0]

    said, pin = export(0)
    assert (pin["pinned"], pin["missing"], pin["gone"], pin["new"]) == (4, 0, 0, 0)
    assert "MISSING" not in said and "would fetch" not in said
    server.execute(f"INSERT INTO {lab}.session VALUES ('m1', 0, 0)")
    said, pin = export(0)
    assert (pin["missing"], pin["gone"], pin["new"]) == (0, 1, 1)
    assert f"would fetch other rows of {lab}.session now (1 that it did not fetch, 1 fewer" in said
    server.execute(f"DELETE FROM {lab}.session WHERE subject = 'm1' AND session = 2")
    said, pin = export(1)
    assert (pin["pinned"], pin["missing"]) == (4, 1)
    assert f"MISSING: 1 of 4 rows of {lab}.session" in said


def test_verify_tells_apart_what_changed(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, reader: Account
) -> None:
    """Rows are edited, added and deleted between recording and export; then one of the copy is."""
    first = f"SELECT subject, session FROM {lab}.session ORDER BY subject, session LIMIT 3"
    edited = f"SELECT * FROM {lab}.session ORDER BY subject, session LIMIT 2"
    mice = f"SELECT * FROM {lab}.subject WHERE species = 'mouse'"
    rats = f"SELECT * FROM {lab}.subject WHERE species = 'rat'"
    record(djproxy, server, text, first, edited, mice, rats, options=["--digest"])
    server.execute(*(sql.format(S=lab) for sql in CHANGES))
    bundle = djproxy.round_trip("P", server, restored, reader, status=1)
    changed = "source changed since the recording"
    report = djproxy.verify("P", server, restored, bundle, status=1).json()
    assert {(each["sql"], each["verdict"], each["copy_as_recorded"]) for each in report["failures"]} == {
        (first, changed, True),
        # The rows that were fetched, with a value that they did not have then: neither the recorded answer nor today's.
        (edited, changed, False),
        (mice, changed, False),
    }
    assert not any(each["source_as_recorded"] for each in report["failures"])
    assert (report["queries"], report["identical"]) == (4, 1)
    restored.execute(f"UPDATE {lab}.subject SET subject = 'r2' WHERE subject = 'r1'")
    report = djproxy.verify("P", server, restored, bundle, status=1).json()
    (wrong,) = [each for each in report["failures"] if each["source_as_recorded"]]
    assert (wrong["sql"], wrong["verdict"], wrong["copy_as_recorded"]) == (rats, "differs", False)


def test_a_predicate_is_the_leaf_where_nothing_is_pinned(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, reader: Account
) -> None:
    sql = f"SELECT * FROM {lab}.session ORDER BY subject, session LIMIT 3"
    record(djproxy, server, text, sql, options=["--pin", "off"])
    server.execute(*(sql.format(S=lab) for sql in CHANGES))
    djproxy.round_trip("P", server, restored, reader)
    assert [row[:2] for row in rows_of(restored, f"{lab}.session")] == [("a0", 1), ("a0", 2), ("m1", 1)]


def test_an_execution_without_pins_adds_what_the_text_gives_now(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, reader: Account
) -> None:
    sql = f"SELECT * FROM {lab}.session ORDER BY subject, session LIMIT 3"
    record(djproxy, server, text, sql, options=["--pin", "off"])
    record(djproxy, server, text, sql)
    server.execute(*(sql.format(S=lab) for sql in CHANGES))
    djproxy.round_trip("P", server, restored, reader)
    found = [row[:2] for row in rows_of(restored, f"{lab}.session")]
    assert found == [("a0", 1), ("a0", 2), ("m1", 1), ("m1", 2), ("m2", 1)]


def test_the_executions_of_a_text_are_taken_together(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, reader: Account
) -> None:
    sql = f"SELECT subject, session FROM {lab}.session ORDER BY weight DESC LIMIT 1"
    with djproxy.recording("P", server) as recorder, contextlib.closing(connect(recorder, server)) as session:
        first = text(session, sql)
        server.execute(f"UPDATE {lab}.session SET weight = 99 WHERE subject = 'm1' AND session = 1")
        session.rollback()
        second = text(session, sql)
    assert (first, second) == ([("r1", 2)], [("m1", 1)])
    server.execute(f"UPDATE {lab}.session SET weight = 100 WHERE subject = 'm2'")
    djproxy.round_trip("P", server, restored, reader)
    assert [row[:2] for row in rows_of(restored, f"{lab}.session")] == [("m1", 1), ("r1", 2)]


def test_what_pinned_rows_were_joined_with_comes_along(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, reader: Account
) -> None:
    """Of tables whose keys no result shows, the rows that belong to the pinned ones are taken: not what the LIMIT
    would choose now."""
    server.execute(
        f"CREATE TABLE {lab}.note (note INT PRIMARY KEY, subject VARCHAR(16), words TEXT)",
        f"INSERT INTO {lab}.note VALUES (1, 'm1', 'x'), (2, 'm1', 'y'), (3, 'm2', 'z'), (4, 'r1', 'w')",
    )
    sql = (
        f"SELECT s.subject, s.session FROM {lab}.session s WHERE s.subject IN (SELECT subject FROM {lab}.note) "
        "ORDER BY subject, session LIMIT 2"
    )
    (fetched,) = record(djproxy, server, text, sql)
    assert fetched == [("m1", 1), ("m1", 2)]
    server.execute(*(sql.format(S=lab) for sql in CHANGES), f"INSERT INTO {lab}.note VALUES (0, 'a0', 'v')")
    djproxy.round_trip("P", server, restored, reader)
    assert [row[:2] for row in rows_of(restored, f"{lab}.session")] == [("m1", 1), ("m1", 2)]
    assert [row[0] for row in rows_of(restored, f"{lab}.note")] == [1, 2]


def test_prepared_as_text_and_several_in_one_text(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, reader: Account
) -> None:
    with djproxy.recording("P", server) as recorder, contextlib.closing(connect(recorder, server)) as session:
        session.cmd_query(f"PREPARE s FROM 'SELECT * FROM {lab}.session ORDER BY subject, session LIMIT ?'")
        session.cmd_query("SET @n = 1")
        assert [row[:2] for row in text(session, "EXECUTE s USING @n")] == [("m1", 1)]
        descending = f"SELECT * FROM {lab}.session ORDER BY subject DESC, session LIMIT 1"
        for _ in session.cmd_query_iter(f"{descending}; SELECT subject FROM {lab}.subject LIMIT 1"):
            session.get_rows()
    server.execute(
        *(sql.format(S=lab) for sql in CHANGES),
        f"INSERT INTO {lab}.subject VALUES ('z', 'zebra')",
        f"INSERT INTO {lab}.session VALUES ('z', 1, 1)",
    )
    djproxy.round_trip("P", server, restored, reader)
    assert [row[:2] for row in rows_of(restored, f"{lab}.session")] == [("m1", 1), ("r1", 1)]
    assert {row[0] for row in rows_of(restored, f"{lab}.subject")} == {"m1", "r1"}


def test_rows_that_an_offset_skipped_are_there_as_well(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, reader: Account
) -> None:
    sql = f"SELECT * FROM {lab}.session ORDER BY subject, session LIMIT 2 OFFSET 1"
    record(djproxy, server, text, sql)
    server.execute(f"DELETE FROM {lab}.session WHERE subject = 'm1' AND session = 1")
    djproxy.round_trip("P", server, restored, reader)
    assert [row[:2] for row in rows_of(restored, f"{lab}.session")] == [("m1", 2), ("m2", 1), ("r1", 1)]


def test_chance_and_keys_of_many_types(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, reader: Account
) -> None:
    types = {
        "b": ("BINARY(3)", "x'00FF41'", "x'00FF42'"),
        "v": ("VARCHAR(20) CHARACTER SET latin1", "'é?'", "'ü'"),
        "c": ("CHAR(5)", "'😀'", "'a'"),
        "n": ("DECIMAL(8,3)", "1.500", "-2.25"),
        "d": ("DATE", "'2020-02-29'", "'1999-12-31'"),
        "m": ("DATETIME(3)", "'2020-02-29 01:02:03.004'", "'2020-02-29 00:00:00'"),
        "t": ("TIME", "'-12:00:01'", "'838:59:59'"),
        "y": ("YEAR", "1999", "2155"),
        "i": ("BIGINT UNSIGNED", "18446744073709551615", "0"),
        "z": ("INT(8) ZEROFILL", "7", "8"),
        "e": ("ENUM('x', 'y')", "'x'", "'y'"),
        "s": ("TIMESTAMP(2)", "'2020-10-25 02:30:00.25'", "'2021-01-01'"),
        "w": ("BIT(12)", "b'101010101010'", "b'1'"),
    }
    for name, (kind, first, second) in types.items():
        server.execute(
            "SET SESSION time_zone = '+02:00'",
            f"CREATE TABLE {lab}.key_{name} (k {kind}, PRIMARY KEY (k))",
            f"INSERT INTO {lab}.key_{name} VALUES ({first}), ({second})",
        )
    with djproxy.recording("P", server) as recorder, contextlib.closing(connect(recorder, server)) as session:
        session.cmd_query("SET time_zone = '+05:30'")
        fetched = {}
        for number, name in enumerate(types):
            ask = text if number % 2 else prepared
            fetched[name] = ask(session, f"SELECT k FROM {lab}.key_{name} ORDER BY RAND() LIMIT 1")
    bundle = djproxy.round_trip("P", server, restored, reader)
    review = json.loads((bundle / "review.json").read_text())
    assert {pin["name"] for pin in review["pins"]} == {f"key_{name}" for name in types}
    assert sum(pin["missing"] for pin in review["pins"]) == 0
    with contextlib.closing(restored.connect()) as copy, copy.cursor() as cursor:
        cursor.execute("SET time_zone = '+05:30'")
        for name in types:
            cursor.execute(f"SELECT COUNT(*) FROM {lab}.key_{name}")
            assert cursor.fetchone() == (1,), name


ALL_EXACT = {
    "TINYINT": "-128",
    "SMALLINT UNSIGNED": "65535",
    "MEDIUMINT ZEROFILL": "5",
    "INT": "-7",
    "BIGINT": "-9223372036854775808",
    "BOOL": "TRUE",
    "YEAR": "0",
    "DECIMAL(20,6)": "-12345678.901234",
    "DATE": "'2024-02-29'",
    "DATETIME": "'2024-02-29 00:00:00'",
    "DATETIME(6)": "'2024-02-29 01:02:03.000400'",
    "TIMESTAMP(3)": "'2024-02-29 01:02:03.5'",
    "TIME": "'-838:59:59'",
    "TIME(2)": "'00:00:00.25'",
    "CHAR(4)": "'é'",
    "VARCHAR(300)": "REPEAT('ü', 300)",
    "TEXT CHARACTER SET latin1": "'ö'",
    "BINARY(4)": "'ab'",
    "VARBINARY(9)": "x'00FFFE'",
    "MEDIUMBLOB": "REPEAT('x', 70000)",
    "ENUM('a', 'b')": "'b'",
    "SET('a', 'b')": "'a,b'",
    "BIT(9)": "b'100000001'",
    "JSON": "'{\"a\": [1, 2]}'",
    "POINT": "ST_GeomFromText('POINT(1 2)')",
}


def test_both_protocols_give_one_digest(djproxy: Djproxy, server: PrivateServer, lab: str) -> None:
    """Every exact type in binary is told as the server would have told it as text."""
    columns = ", ".join(f"c{number} {kind} NULL" for number, kind in enumerate(ALL_EXACT))
    nulls = ", ".join(["NULL"] * len(ALL_EXACT))
    server.execute(
        f"CREATE TABLE {lab}.exact (id INT PRIMARY KEY, {columns})",
        f"INSERT INTO {lab}.exact VALUES (1, {', '.join(ALL_EXACT.values())}), (2, {nulls})",
    )
    names = ["id", *(f"c{number}" for number in range(len(ALL_EXACT)))]
    statements = [f"SELECT id, {name} FROM {lab}.exact" for name in names]
    statements.append(f"SELECT COUNT(*), SUM(id), NOW() > 0, 1.50, 'x', NULL FROM {lab}.exact")
    with (
        djproxy.recording("P", server, "--digest", "--pin", "always") as recorder,
        contextlib.closing(connect(recorder, server)) as session,
    ):
        for options in ({"raw": True}, {"prepared": True}):
            for sql in statements:
                with contextlib.closing(session.cursor(**options)) as cursor:
                    cursor.execute(sql)
                    cursor.fetchall()
    seen = [each.result for each in djproxy.recorded("P") if each.statement.sql.startswith("SELECT")]
    half = len(statements)
    digests = [result.seen.digest for result in seen if result is not None]
    assert len(digests) == 2 * half
    assert None not in digests
    differing = [
        kind for kind, a, b in zip(["INT", *ALL_EXACT, "others"], digests[:half], digests[half:], strict=True) if a != b
    ]
    assert differing == []


def test_the_digest_is_that_of_the_rows(djproxy: Djproxy, server: PrivateServer, lab: str) -> None:
    sql = f"SELECT * FROM {lab}.session"
    record(djproxy, server, text, sql, options=["--digest"])
    taken = ResultDigest()
    with contextlib.closing(server.connect(conv={}, autocommit=None)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        for row in cursor.fetchall():
            taken.add([value.encode() for value in row])
    assert djproxy.recorded("P")[-1].statement.recorded == RecordedResult(5, taken.hexdigest())


def test_rows_that_come_by_a_cursor_are_pinned_and_what_comes_after_is(
    djproxy: Djproxy, server: PrivateServer, lab: str
) -> None:
    sql = f"SELECT subject FROM {lab}.subject LIMIT 2"
    with djproxy.recording("P", server) as recorder, contextlib.closing(connect(recorder, server)) as session:
        number = session.cmd_stmt_prepare(sql.encode())["statement_id"]
        session.cmd_stmt_execute(number, flags=1)
        session.cmd_stmt_fetch(number, 10)
        packets = [bytes(session._socket.recv()) for _ in range(3)]
        session.unread_result = False
        assert text(session, sql) == [("m1",), ("m2",)]
    assert [packet[4] for packet in packets] == [0, 0, 0xFE]
    cursor, after = (each.result for each in djproxy.recorded("P")[-2:])
    for result in (cursor, after):
        assert result is not None and (result.seen.rows, result.pinned, result.broken) == (2, True, "")


@pytest.mark.parametrize("ask", [text, prepared])
def test_show_says_what_is_pinned(djproxy: Djproxy, server: PrivateServer, lab: str, ask: Ask) -> None:
    record(
        djproxy,
        server,
        ask,
        f"SELECT subject FROM {lab}.subject LIMIT 2",
        f"SELECT subject FROM {lab}.subject",
        f"SELECT species FROM {lab}.subject LIMIT 2",
        options=["--digest"],
    )
    document = djproxy.call("show", "--paper", "P", "--json").json()
    found = [each for each in document["results"] if each["sql"].startswith("SELECT s")]
    assert [(each["rows"], each["pinned"], each["dropped"], each["broken"]) for each in found] == [
        (2, True, "", ""),
        (3, False, "", ""),
        (2, False, "", ""),
    ]
    assert all(len(each["digest"]) == 32 for each in found)


_FETCH = """
import sys
import datajoint as dj
dj.config["safemode"] = False
schema = sys.argv[1]
module = (dj.create_virtual_module if dj.__version__.startswith("0") else dj.virtual_schema)
lab = module("lab", schema) if dj.__version__.startswith("0") else module(schema)
print(len(lab.Session.fetch(limit=3, order_by="KEY")))
print(len((lab.Session * lab.Subject & 'species="mouse"').fetch(limit=2, order_by="KEY")))
print(len((lab.Session & (lab.Subject & 'species="rat"')).fetch("KEY", limit=1)))
"""


@pytest.mark.parametrize("line", DATAJOINT_LINES)
def test_a_limit_of_datajoint(
    djproxy: Djproxy,
    server: PrivateServer,
    restored: PrivateServer,
    lab: str,
    reader: Account,
    line: str,
    tmp_path: Path,
) -> None:
    script = tmp_path / "fetch.py"
    script.write_text(_FETCH)
    environment = {"DJ_USER": server.user, "DJ_PASS": server.password}
    address = ["--server", f"{server.host}:{server.port}"]
    python = DATAJOINT_LINES[line]()
    answer = djproxy.run("record", "--paper", "P", *address, "--", python, script, lab, **environment)
    assert answer.stdout.split() == ["3", "2", "1"]
    server.execute(*(sql.format(S=lab) for sql in CHANGES))
    bundle = djproxy.round_trip("P", server, restored, reader)
    found = [row[:2] for row in rows_of(restored, f"{lab}.session")]
    assert found == [("m1", 1), ("m1", 2), ("m2", 1), ("r1", 1)]
    review = json.loads((bundle / "review.json").read_text())
    assert {(pin["name"], pin["pinned"], pin["missing"]) for pin in review["pins"]} == {
        ("session", 3, 0),
        ("session", 2, 0),
        ("session", 1, 0),
        ("subject", 1, 0),
    }
