"""What `verify` compares, on real servers: answers, order, digests."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from examples.private_server import PrivateServer
from graph.answer import Protocol, split_row
from graph.database import Database
from graph.errors import StatementError
from graph.order import Order
from graph.replay import Outcome, Verdict, replay
from graph.statement import Session, Statement
from tests.harness import drop
from tests.verifying import TABLES, answered, connect


@pytest.fixture
def pair(server: PrivateServer, restored: PrivateServer, database: str) -> Iterator[str]:
    """A schema with the same rows on both servers."""
    restored.execute(f"CREATE DATABASE `{database}`")
    for each in (server, restored):
        each.execute(*(text.format(s=database) for text in TABLES))
    yield database
    drop(restored, database)


@contextmanager
def both(server: PrivateServer, restored: PrivateServer) -> Iterator[tuple[Database, Database]]:
    with connect(server) as source, connect(restored) as copy:
        yield source, copy


def compare(server: PrivateServer, restored: PrivateServer, statement: Statement | str) -> Outcome:
    asked = Statement(1, statement) if isinstance(statement, str) else statement
    with both(server, restored) as (source, copy):
        (outcome,) = replay(source, copy, [asked])
    return outcome


# -- answers


def test_an_answer_shows_the_same_values_in_both_protocols(server: PrivateServer, pair: str) -> None:
    sql = f"SELECT a, d, g, b, s, u, m, w, y, n FROM {pair}.t ORDER BY a"
    shown = {}
    with connect(server) as database:
        for protocol in Protocol:
            with database.answer(sql, Session(), protocol) as answer:
                shown[protocol] = [answer.show(payload) for payload in answer]
    text, binary = shown[Protocol.TEXT], shown[Protocol.BINARY]
    assert text[0].startswith("(1, 0.1, 1.500, x'00ff', 'ä', 18446744073709551615, 1.5000, '2020-02-29 12:34:56.789")
    assert binary[0].startswith("(1, 0.1, 1.5, x'00ff', 'ä', 18446744073709551615, 1.5000, '2020-02-29 12:34:56.789")
    assert text[2].startswith("(3, -2.5, 3.000, x'616263', 'a', 3, 3.0000, NULL, NULL, 'yyy")
    assert binary[2].startswith("(3, -2.5, 3.0, x'616263', 'a', 3, 3.0000, NULL, NULL, 'yyy")
    assert all(len(line) < 400 for line in (*text, *binary))


def test_a_time_and_a_float_in_binary(server: PrivateServer, pair: str) -> None:
    with (
        connect(server) as database,
        database.answer(f"SELECT h, f FROM {pair}.t ORDER BY a", Session(), Protocol.BINARY) as answer,
    ):
        shown = [answer.show(payload) for payload in answer]
    assert shown == ["('-30:00:01.000000', 0.1)", "('00:00:00.000000', 3e+30)", "(NULL, -1.1754944e-38)"]


@pytest.mark.parametrize("protocol", Protocol)
def test_an_answer_that_nobody_reads_to_its_end_frees_the_connection(
    server: PrivateServer, pair: str, protocol: Protocol
) -> None:
    with connect(server) as database:
        with database.answer(f"SELECT * FROM {pair}.t", Session(), protocol) as answer:
            assert next(iter(answer))
        with pytest.raises(ValueError), database.answer(f"SELECT * FROM {pair}.t", Session(), protocol):
            raise ValueError
        with pytest.raises(StatementError, match="no_such"), database.answer("SELECT no_such", Session(), protocol):
            pass
        assert database.value("SELECT 1") == "1"


@pytest.mark.parametrize("protocol", Protocol)
def test_an_error_in_the_middle_of_an_answer(server: PrivateServer, pair: str, protocol: Protocol) -> None:
    sql = f"SELECT EXP(IF(a = 3, 1000, 1)), (SELECT n FROM {pair}.t x WHERE x.a >= t.a) FROM {pair}.t ORDER BY a DESC"
    with connect(server) as database:
        with pytest.raises(StatementError), database.answer(sql, Session(), protocol) as answer:
            list(answer)
        assert database.value("SELECT 1") == "1"


def test_a_row_is_cut_between_columns(server: PrivateServer, pair: str) -> None:
    sql = f"SELECT n, s, a FROM {pair}.t ORDER BY a"
    with connect(server) as database, database.answer(sql, Session()) as answer:
        rows = [split_row(payload, 2) for payload in answer]
    assert [key for _, key in rows] == [b"\x011", b"\x012", b"\x013"]
    assert rows[0][0] == b"\xfb\x02" + "ä".encode()
    assert rows[2][0].startswith(b"\xfd" + (70_000).to_bytes(3, "little") + b"yyy")


# -- comparing


def test_the_same_rows_are_identical_in_every_type(server: PrivateServer, restored: PrivateServer, pair: str) -> None:
    outcome = compare(server, restored, f"SELECT * FROM {pair}.t")
    assert outcome.verdict is Verdict.IDENTICAL
    assert [compared.way.protocol for compared in outcome.compared] == [Protocol.TEXT, Protocol.BINARY]
    assert [compared.source.rows for compared in outcome.compared] == [3, 3]


@pytest.mark.parametrize(
    ("change", "source", "copy"),
    [
        ("UPDATE {s}.t SET s = 'ae' WHERE a = 1", "'ä'", "'ae'"),
        ("UPDATE {s}.t SET s = 'a ' WHERE a = 3", "'a'", "'a '"),
        ("UPDATE {s}.t SET b = NULL WHERE a = 2", "x''", "NULL"),
        ("UPDATE {s}.t SET b = x'61626300' WHERE a = 3", "x'616263'", "x'61626300'"),
        ("UPDATE {s}.t SET f = 0.10000001 WHERE a = 1", "0.1", "0.10000001"),
        ("UPDATE {s}.t SET d = 0.10000000000000002 WHERE a = 1", "0.1", "0.10000000000000002"),
        ("DELETE FROM {s}.t WHERE a = 1", "18446744073709551615", ""),
    ],
)
def test_a_broken_copy_is_named(
    server: PrivateServer, restored: PrivateServer, pair: str, change: str, source: str, copy: str
) -> None:
    restored.execute(change.format(s=pair))
    outcome = compare(server, restored, f"SELECT a, s, b, f, d, u FROM {pair}.t")
    assert outcome.verdict is Verdict.DIFFERS
    (missing,) = outcome.only_source.first
    assert source in missing
    if copy:
        (added,) = outcome.only_copy.first
        assert f"{copy}," in added
    else:
        assert outcome.only_copy.rows == 0


def test_errors_are_named_with_their_side(server: PrivateServer, restored: PrivateServer, pair: str) -> None:
    restored.execute(f"ALTER TABLE {pair}.t DROP COLUMN n")
    assert compare(server, restored, f"SELECT n FROM {pair}.t").verdict is Verdict.FAILED_ON_COPY
    server.execute(f"ALTER TABLE {pair}.t DROP COLUMN y")
    assert compare(server, restored, f"SELECT y FROM {pair}.t").verdict is Verdict.FAILED_ON_SOURCE
    outcome = compare(server, restored, f"SELECT y, n FROM {pair}.t")
    assert outcome.verdict is Verdict.FAILED_ON_BOTH
    assert "source: " in outcome.reason and "copy: " in outcome.reason


def test_a_locking_read_locks_nothing(server: PrivateServer, restored: PrivateServer, pair: str) -> None:
    for lock in ("FOR UPDATE", "LOCK IN SHARE MODE -- all"):
        assert compare(server, restored, f"SELECT a FROM {pair}.t {lock}").verdict is Verdict.IDENTICAL


def test_a_statement_that_would_write_is_refused(server: PrivateServer, restored: PrivateServer, pair: str) -> None:
    for each in (server, restored):
        each.execute(f"CREATE FUNCTION {pair}.w() RETURNS INT BEGIN DELETE FROM {pair}.t; RETURN 1; END")
    outcome = compare(server, restored, f"SELECT {pair}.w()")
    assert outcome.verdict is Verdict.FAILED_ON_BOTH
    assert compare(server, restored, f"SELECT a FROM {pair}.t").source_rows == 3


def test_sessions_are_those_of_the_recording(server: PrivateServer, restored: PrivateServer, pair: str) -> None:
    session = Session(pair, "ANSI_QUOTES", "+05:00", "latin1", "latin1_swedish_ci", {"x": "'1'"})
    statement = Statement(1, 'SELECT "s", @x, @@time_zone FROM "t"', session)
    assert compare(server, restored, statement).verdict is Verdict.IDENTICAL


# -- order


def reinserted(server: PrivateServer, table: str) -> None:
    """A heap without a key gives its rows in the order in which they came; here it is turned round."""
    server.execute(
        f"CREATE TABLE {table}_2 LIKE {table}",
        f"INSERT INTO {table}_2 SELECT * FROM {table} ORDER BY x DESC",
        f"DROP TABLE {table}",
        f"RENAME TABLE {table}_2 TO {table}",
    )


@pytest.fixture
def heap(server: PrivateServer, restored: PrivateServer, pair: str) -> str:
    """A table without a key, its rows the other way round on the copy."""
    for each in (server, restored):
        each.execute(
            f"CREATE TABLE {pair}.h (x INT, k VARCHAR(9) COLLATE utf8mb4_general_ci, v INT)",
            f"INSERT INTO {pair}.h VALUES (1,'a',1), (2,'A',2), (3,'b',3), (4,'á',4), (5,'B ',5)",
        )
    reinserted(restored, f"{pair}.h")
    return f"{pair}.h"


@pytest.mark.parametrize(
    ("sql", "order"),
    [
        ("SELECT x FROM {h}", Order.FREE),
        ("SELECT x FROM (SELECT x FROM {h} ORDER BY x) q", Order.FREE),
        ("SELECT x FROM {h} ORDER BY x", Order.SAME),
        ("SELECT x, k FROM {h} ORDER BY k", Order.TIES),
        ("SELECT * FROM {h} ORDER BY k", Order.TIES),
        ("SELECT x, UPPER(k) AS k FROM {h} ORDER BY k", Order.TIES),
        ("SELECT x, k FROM {h} ORDER BY 2", Order.TIES),
        ("SELECT k, x FROM {h} AS `o``p` ORDER BY CONCAT(`o``p`.k, '') DESC", Order.TIES),
        ("SELECT MIN(x), k FROM {h} GROUP BY x, k ORDER BY LOWER(k)", Order.TIES),
        ("SELECT k, x FROM {h} UNION ALL SELECT k, x FROM {h} ORDER BY 1", Order.UNJUDGED),
        ("SELECT DISTINCT x, k FROM {h} ORDER BY k", Order.UNJUDGED),
    ],
)
def test_the_order_counts_up_to_ties(
    server: PrivateServer, restored: PrivateServer, heap: str, sql: str, order: Order
) -> None:
    outcome = compare(server, restored, sql.format(h=heap))
    assert outcome.verdict is Verdict.IDENTICAL
    if order in (Order.UNJUDGED, Order.FREE):
        # The server may happen to give both in one sequence.
        assert outcome.order in (order, Order.SAME)
    else:
        assert outcome.order is order


def test_another_order_is_a_difference(server: PrivateServer, restored: PrivateServer, heap: str) -> None:
    """The rows that the query shows are equal; what it orders them by is not."""
    restored.execute(f"UPDATE {heap} SET v = 9 WHERE x = 2")
    outcome = compare(server, restored, f"SELECT x FROM {heap} ORDER BY v")
    assert outcome.verdict is Verdict.DIFFERS
    assert outcome.order is Order.OTHER
    assert outcome.reason == "the same rows in another order, from row 2 on"
    assert (outcome.only_source.first, outcome.only_copy.first) == (("(2)",), ("(3)",))


# -- with the digest of the recording


def test_three_things_are_told_apart(server: PrivateServer, restored: PrivateServer, pair: str) -> None:
    session = Session(schema=pair, charset="latin1", collation="latin1_swedish_ci")
    sql = "SELECT a, s FROM t"
    statement = Statement(1, sql, session, recorded=answered(server, sql, session))
    same = compare(server, restored, statement)
    assert (same.verdict, same.recorded_source, same.recorded_copy) == (Verdict.IDENTICAL, True, True)

    server.execute(f"UPDATE {pair}.t SET s = 'new' WHERE a = 1")
    changed = compare(server, restored, statement)
    assert changed.verdict is Verdict.SOURCE_CHANGED
    assert changed.reason == "the copy answers as it was recorded"
    assert (changed.only_source.first, changed.only_copy.first) == (("(1, 'new')",), ("(1, 'ä')",))

    restored.execute(f"UPDATE {pair}.t SET s = 'new' WHERE a = 1")
    exported_later = compare(server, restored, statement)
    assert exported_later.verdict is Verdict.SOURCE_CHANGED
    assert "the copy answers as the source does now" in exported_later.reason

    server.execute(f"UPDATE {pair}.t SET s = 'ä' WHERE a = 1")
    wrong = compare(server, restored, statement)
    assert (wrong.verdict, wrong.reason) == (Verdict.DIFFERS, "the source answers as it was recorded")
    assert wrong.only_copy.first == ("(1, 'new')",)


def test_memory_does_not_grow_with_the_answer(server: PrivateServer, restored: PrivateServer, pair: str) -> None:
    """What the counted rows take is far less than their digests alone."""
    numbers = " UNION ALL ".join(f"SELECT {number}" for number in range(28))
    large = f"SELECT p.*, q.*, r.*, t.a FROM {pair}.t, ({numbers}) p, ({numbers}) q, ({numbers}) r"
    restored.execute(f"UPDATE {pair}.t SET a = 4 WHERE a = 3")
    with both(server, restored) as (source, copy):
        tracemalloc.start()
        try:
            (outcome,) = replay(source, copy, [Statement(1, large)])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert (outcome.source_rows, outcome.only_source.rows, outcome.only_copy.rows) == (65_856, 21_952, 21_952)
    assert peak < 500_000
