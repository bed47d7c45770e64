"""What makes a query's answer depend on more than the rows."""

from __future__ import annotations

import pytest

from graph.repeatable import ordered, unlocked, unrepeatable
from graph.statement import Session, Statement


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM t WHERE a < now()", "it uses NOW"),
        ("SELECT * FROM t WHERE a < CURRENT_TIMESTAMP", "it uses CURRENT_TIMESTAMP"),
        ("SELECT * FROM t ORDER BY rand() LIMIT 3", "it uses RAND"),
        ("SELECT UNIX_TIMESTAMP( )", "it uses UNIX_TIMESTAMP"),
        ("SELECT @@hostname", "it reads a system variable"),
        ("SELECT * FROM t LIMIT 5", "it has a LIMIT without an ORDER BY"),
        ("SELECT * FROM t WHERE 'order by' = b LIMIT 5", "it has a LIMIT without an ORDER BY"),
    ],
)
def test_not_repeatable(sql: str, reason: str) -> None:
    assert unrepeatable(Statement(1, sql)) == reason


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM t WHERE a = 'now()' -- RAND()",
        "SELECT `now`, `limit` FROM t",
        "SELECT UNIX_TIMESTAMP(a) FROM t",
        "SELECT * FROM t ORDER BY a LIMIT 5",
        "SELECT brand, nowhere FROM t",
    ],
)
def test_repeatable(sql: str) -> None:
    assert unrepeatable(Statement(1, sql)) is None


def test_quotes_follow_the_sql_mode() -> None:
    sql = 'SELECT "now()" FROM t'
    assert unrepeatable(Statement(1, sql, Session(sql_mode="ANSI_QUOTES"))) is None
    assert unrepeatable(Statement(1, sql)) is None


@pytest.mark.parametrize(
    ("sql", "asked"),
    [
        ("SELECT a FROM t FOR UPDATE", "SELECT a FROM t"),
        ("SELECT a FROM t\nfor share of `t` skip locked -- FOR UPDATE", "SELECT a FROM t"),
        ("SELECT a FROM t LOCK IN SHARE MODE;", "SELECT a FROM t"),
        ("SELECT 'FOR UPDATE' FROM t", "SELECT 'FOR UPDATE' FROM t"),
        ("SELECT * FROM (SELECT a FROM t FOR UPDATE) q", "SELECT * FROM (SELECT a FROM t) q"),
        (
            "SELECT a FROM t WHERE a IN (SELECT b FROM u FOR SHARE OF u NOWAIT) FOR UPDATE",
            "SELECT a FROM t WHERE a IN (SELECT b FROM u)",
        ),
        ("SELECT a FROM t FOR UPDATE INTO @x", "SELECT a FROM t FOR UPDATE INTO @x"),
    ],
)
def test_locks_are_left_away(sql: str, asked: str) -> None:
    assert unlocked(Statement(1, sql)) == asked


def test_an_order_is_seen() -> None:
    assert ordered(Statement(1, "SELECT a FROM t order\nby a"))
    assert not ordered(Statement(1, "SELECT 'order by' FROM t"))
