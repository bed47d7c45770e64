"""What the text of a statement alone tells: its class, the tables that it names, previews and their counts."""

from __future__ import annotations

import pytest

from graph.leaves import read
from graph.leaves.parse import parse
from graph.leaves.render import render
from graph.names import TableName
from graph.statement import Session, StatementClass

LAB = Session(schema="lab")

DATA, CHECK, WRITE = StatementClass.DATA, StatementClass.CHECK, StatementClass.WRITE
NOT_DATA, UNRESOLVED = StatementClass.NOT_DATA, StatementClass.UNRESOLVED


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT `a` FROM `s`.`t` WHERE ( (`a`=1))", DATA),
        ("SELECT a FROM t LIMIT 3", DATA),
        ("TABLE s.t", DATA),
        ("(SELECT a FROM s.t) UNION (SELECT a FROM s.u)", DATA),
        ("WITH x AS (SELECT a FROM s.t) SELECT * FROM x", DATA),
        ("SELECT EXISTS(SELECT 1 FROM `s`.`t` WHERE ( (`a`=1)))", DATA),
        ("SELECT EXISTS(SELECT 1 FROM `s`.`t`) AS yes", DATA),
        ("INSERT INTO s.u (a) SELECT a FROM s.t ON DUPLICATE KEY UPDATE `a`=`s`.`u`.`a`", DATA),
        ("REPLACE INTO s.u SELECT * FROM s.t", DATA),
        ("CREATE TEMPORARY TABLE x AS SELECT a FROM s.t", DATA),
        ("SELECT count(*) FROM s.t", CHECK),
        ("SELECT count(DISTINCT `a`,`b`) FROM `s`.`t`", CHECK),
        ("SELECT count(*) FROM (SELECT DISTINCT `a`,`b` FROM `s`.`t`) AS distinct_count", CHECK),
        ("SELECT count(1) FROM (SELECT a, count(*) n FROM s.t GROUP BY a) `$1`", CHECK),
        ("SELECT a, count(*) FROM s.t GROUP BY a", DATA),
        ("SELECT count(*), avg(a) FROM s.t", DATA),
        ("SELECT count(*) as `n` FROM `s`.`t` WHERE ( (a>2))", DATA),
        ("SELECT COUNT(*) AS n FROM s.t", DATA),
        ("SELECT count(*), count(*) FROM s.t", DATA),
        ("SELECT count(a) FROM s.t", DATA),
        ("SELECT count(DISTINCT a + 1) FROM s.t", DATA),
        ("SELECT DISTINCT count(*) FROM s.t", DATA),
        ("SELECT count(*) FROM s.t HAVING count(*) > 2", DATA),
        ("SELECT count(*) FROM s.t GROUP BY a", DATA),
        ("SELECT count(*) OVER () FROM s.t", DATA),
        ("SELECT count(*) FROM s.t ORDER BY 1 LIMIT 1", DATA),
        ("SELECT 1 + count(*) FROM s.t", DATA),
        ("SELECT count(*) FROM s.t INTO @n", DATA),
        ("SELECT count(*) INTO OUTFILE '/x' FROM s.t", DATA),
        ("(SELECT count(*) FROM s.t) UNION (SELECT count(*) FROM s.u)", DATA),
        ("SELECT (SELECT count(*) FROM s.t)", DATA),
        ("SELECT connection_id()", NOT_DATA),
        ("SELECT @@version", NOT_DATA),
        ("SELECT CURRENT_TIMESTAMP(3) + INTERVAL -1 SECOND", NOT_DATA),
        ("SELECT table_name FROM information_schema.tables WHERE table_schema='s'", NOT_DATA),
        ("SELECT user FROM mysql.user", NOT_DATA),
        ("SELECT * FROM `s`.`~log`", NOT_DATA),
        ("SELECT * FROM `common_usage`.`export_selection`", NOT_DATA),
        ("SELECT a FROM (SELECT * FROM s.`~~t` WHERE b=1) x WHERE a IN (SELECT a FROM s.t)", NOT_DATA),
        ("WITH j AS (SELECT * FROM s.`~~t`) SELECT * FROM j", NOT_DATA),
        ("SELECT t.a FROM s.t JOIN s.`~~t` USING (a)", DATA),
        ("SELECT j.a FROM (s.`~~t` j JOIN s.t USING (a))", DATA),
        ("SELECT (SELECT max(a) FROM s.t) FROM s.`~log`", DATA),
        ("WITH j AS (SELECT * FROM s.t) SELECT * FROM s.`~log` CROSS JOIN j", DATA),
        ("DELETE FROM s.`~~t` WHERE status='error' AND (a,b) NOT IN (SELECT a,b FROM s.t)", NOT_DATA),
        ("DELETE FROM s.`~~t` WHERE NOT EXISTS (SELECT 1 FROM s.t WHERE t.a = `~~t`.a)", NOT_DATA),
        ("DELETE j FROM s.`~jobs` j JOIN s.t ON t.a = j.a", NOT_DATA),
        ("DELETE FROM j USING s.`~jobs` AS j JOIN s.t ON t.a = j.a", NOT_DATA),
        ("DELETE j, t FROM s.`~jobs` j JOIN s.t ON t.a = j.a JOIN s.u ON t.b = u.b", DATA),
        ("UPDATE s.`~~t` SET status='x' WHERE a IN (SELECT a FROM s.t)", NOT_DATA),
        ("UPDATE s.`~~t` j JOIN s.t ON t.a = j.a SET j.status = t.b", NOT_DATA),
        ("REPLACE INTO s.`~~t` SELECT * FROM s.t", NOT_DATA),
        ("REPLACE s.`~~t` (a) (SELECT a FROM s.t)", NOT_DATA),
        ("INSERT IGNORE INTO `s`.`~~t` (a, b) SELECT a, 'pending' FROM s.t WHERE b > 2", NOT_DATA),
        ("INSERT INTO s.`~log` SELECT a FROM s.t ON DUPLICATE KEY UPDATE a = a", NOT_DATA),
        ("INSERT INTO s.`~lineage` VALUES ('t', (SELECT max(a) FROM s.t))", NOT_DATA),
        ("INSERT INTO s.`~external_raw` SET hash = (SELECT max(a) FROM s.t)", NOT_DATA),
        ("CREATE TABLE s.`~~t` AS SELECT a FROM s.t", NOT_DATA),
        ("INSERT INTO common_usage.export_selection SELECT a FROM s.t", NOT_DATA),
        ("INSERT INTO s.u SELECT a FROM s.`~~t`", WRITE),
        ("DELETE FROM s.`~~t` AS j WHERE j.a IN (SELECT a FROM s.t)", NOT_DATA),
        ("DELETE LOW_PRIORITY QUICK IGNORE FROM s.`~~t` WHERE a IN (SELECT a FROM s.t)", NOT_DATA),
        ("UPDATE LOW_PRIORITY IGNORE s.`~~t` SET b = 1 WHERE a IN (SELECT a FROM s.t)", NOT_DATA),
        ("/* c */ REPLACE INTO s.`~~t` SELECT a FROM s.t", NOT_DATA),
        ("/* c */ REPLACE INTO s.u SELECT a FROM s.t", DATA),
        ("DELETE FROM j, t USING s.`~~t` j JOIN s.t t USING (a) JOIN s.u USING (a)", DATA),
        ("DELETE FROM s.t AS x WHERE x.a = 1", WRITE),
        ("WITH t AS (SELECT * FROM t WHERE a > 1) SELECT * FROM t", DATA),
        ("WITH t AS (SELECT * FROM t), u AS (SELECT * FROM u NATURAL JOIN t) SELECT count(*) AS n FROM u", DATA),
        ("WITH c AS (SELECT a FROM s.t) SELECT count(*) FROM c", DATA),
        ("SELECT EXISTS(SELECT 1 FROM `s`.`~jobs` WHERE ( (`key_hash`='x')))", NOT_DATA),
        ("SELECT attribute_name, lineage FROM `s`.`~lineage` WHERE table_name='t'", NOT_DATA),
        ("SELECT a FROM s.t WHERE a NOT IN (SELECT a FROM `s`.`~~t`)", DATA),
        ("SHOW FULL COLUMNS FROM `t` IN `s`", NOT_DATA),
        ("SET sql_mode='ANSI_QUOTES'", NOT_DATA),
        ("START TRANSACTION WITH CONSISTENT SNAPSHOT", NOT_DATA),
        ("EXPLAIN SELECT a FROM s.t", NOT_DATA),
        ("CREATE TABLE s.t (a int)", NOT_DATA),
        ("CREATE TABLE s.t (a int COMMENT 'a table; select one') COMMENT 'the table'", NOT_DATA),
        ("CREATE TABLE s.t AS TABLE s.u", DATA),
        ("CREATE TABLE IF NOT EXISTS t (TABLE u)", DATA),
        ("INSERT INTO s.t (`table`) TABLE s.u", DATA),
        ("REPLACE t TABLE u ORDER BY 1 LIMIT 2", DATA),
        ("CREATE OR REPLACE VIEW v AS SELECT a FROM t", NOT_DATA),
        ("CREATE PROCEDURE p() BEGIN SELECT a FROM t; END", NOT_DATA),
        ("INSERT INTO s.t SELECT 1, 2", WRITE),
        ("CALL s.p()", UNRESOLVED),
        ("DELETE FROM t USING t JOIN u", DATA),
        ("UPDATE s.t JOIN s.u USING (a) SET t.b = u.b", DATA),
        ("UPDATE s.t JOIN s.u USING (a) SET b = 1", UNRESOLVED),
        ("SELECT a FROM s.t /*!80000 WHERE a = 1 */", DATA),
        ("SELECT /*!40001 SQL_NO_CACHE */ * FROM `t`", DATA),
        ("SELECT a FROM s.t WHERE (((", UNRESOLVED),
        ("EXECUTE x", UNRESOLVED),
    ],
)
def test_class(sql: str, expected: StatementClass) -> None:
    reading = read(sql, LAB)
    assert reading.statement_class is expected, reading.reason
    assert expected is DATA or reading.reason


def test_parentheses_around_parentheses_cost_nothing() -> None:
    reading = read("SELECT a FROM s.t WHERE " + "(" * 5000 + "a" + ")" * 5000, LAB)
    assert [occurrence.restriction for occurrence in reading.occurrences] == ["((a))"]


def test_nesting_beyond_the_parser_is_unresolved_with_a_reason() -> None:
    reading = read("SELECT a FROM s.t WHERE " + "(1 + " * 5000 + "a" + ")" * 5000, LAB)
    assert reading.statement_class is UNRESOLVED
    assert "nested too deeply" in reading.reason


def test_long_lists_and_conditions_are_shown_cut_short() -> None:
    numbers = ", ".join(map(str, range(5000)))
    terms = " OR ".join(f"(`a`={number})AND(`b`='x')" for number in range(5000))
    (occurrence,) = read(f"SELECT a FROM t WHERE c IN ({numbers}) AND ({terms})", LAB).occurrences
    assert "… 5000 values" in occurrence.restriction
    assert "… 5000 terms" in occurrence.restriction
    assert len(occurrence.restriction) < 500


def test_long_previews_are_told_apart() -> None:
    texts = [" OR ".join(f"(`a`={number})AND(`b`='{word}')" for number in range(500)) for word in ("x", "y")]
    shown = [read(f"SELECT a FROM t WHERE {text} ORDER BY a LIMIT 13", LAB).preview_of for text in texts]
    counted = [read(f"SELECT count(DISTINCT a) FROM t WHERE {text}", LAB).count_of for text in texts]
    assert shown == counted
    assert shown[0] != shown[1]


def test_occurrences_carry_the_restriction_as_written_and_the_default_schema() -> None:
    reading = read(
        "SELECT a FROM t WHERE b > 1 AND (a) IN (SELECT a FROM other.u WHERE c = 'x') AND a NOT IN (SELECT a FROM v)",
        LAB,
    )
    found = {occurrence.table: occurrence for occurrence in reading.occurrences}
    assert set(found) == {TableName("lab", "t"), TableName("other", "u"), TableName("lab", "v")}
    assert found[TableName("other", "u")].restriction == "c = 'x'"
    assert [found[TableName(*name)].role for name in (("lab", "t"), ("other", "u"), ("lab", "v"))] == [
        "from",
        "in",
        "not in",
    ]


def test_a_table_without_any_schema_is_named_without_one() -> None:
    (occurrence,) = read("SELECT a FROM t", Session()).occurrences
    assert occurrence.table == TableName("", "t")


def test_names_of_common_table_expressions_are_no_tables() -> None:
    reading = read("WITH x AS (SELECT a FROM s.t) SELECT * FROM x", LAB)
    assert [occurrence.table for occurrence in reading.occurrences] == [TableName("s", "t")]


def test_insert_select_names_what_it_writes() -> None:
    reading = read("INSERT IGNORE INTO `s`.`u` (`a`) SELECT a FROM t", LAB)
    assert [(str(o.table), o.role) for o in reading.occurrences] == [("s.u", "write"), ("lab.t", "from")]


def test_ansi_quotes_make_names_of_double_quotes() -> None:
    ansi = read("SELECT a FROM \"t\" WHERE b = 'x'", Session(schema="lab", sql_mode="ANSI_QUOTES"))
    assert [str(o.table) for o in ansi.occurrences] == ["lab.t"]


def test_no_backslash_escapes_ends_strings_where_the_server_does() -> None:
    session = Session(schema="lab", sql_mode="NO_BACKSLASH_ESCAPES")
    reading = read("SELECT a FROM t WHERE b = 'x\\' AND c = 'y'", session)
    assert reading.statement_class is DATA
    assert read("SELECT a FROM t WHERE b = 'x\\' AND c = 'y'", LAB).statement_class is UNRESOLVED


def test_pipes_are_or_and_under_pipes_as_concat_a_concatenation() -> None:
    sql = "SELECT a FROM t WHERE a || b"
    assert [o.restriction for o in read(sql, LAB).occurrences] == ["a OR b"]
    ansi = Session(schema="lab", sql_mode="ANSI")
    assert [o.restriction for o in read(sql, ansi).occurrences] == ["CONCAT(a, b)"]
    assert read("SELECT a FROM t WHERE a || b ^ c", ansi).statement_class is UNRESOLVED


@pytest.mark.parametrize(
    "tail",
    ["", " FOR UPDATE", " LOCK IN SHARE MODE", " FOR SHARE OF t, u NOWAIT", " INTO @x, @y", " INTO OUTFILE '/x'"],
)
@pytest.mark.parametrize("head", ["", "SQL_NO_CACHE ", "STRAIGHT_JOIN SQL_CALC_FOUND_ROWS "])
def test_what_changes_no_row_is_left_out(head: str, tail: str) -> None:
    tree = parse(f"SELECT {head}a FROM t JOIN u USING (b) WHERE c = 1{tail}", LAB).tree
    assert render(tree) == "SELECT a FROM t JOIN u USING (b) WHERE c = 1"


def test_into_before_from_is_left_out() -> None:
    assert render(parse("SELECT a, b INTO @x, @y FROM t LIMIT 1", LAB).tree) == "SELECT a, b FROM t LIMIT 1"


def test_patterns_that_servers_read_differently_are_not_guessed() -> None:
    session = Session(schema="lab", sql_mode="NO_BACKSLASH_ESCAPES")
    assert read("SELECT a FROM t WHERE b LIKE 'x%'", session).statement_class is DATA
    assert read("SELECT a FROM t WHERE b LIKE 'x\\%' ESCAPE '|'", session).statement_class is DATA
    for pattern in ("'x\\%'", "CONCAT(c, '%')"):
        reading = read(f"SELECT a FROM t WHERE b LIKE {pattern}", session)
        assert (reading.statement_class, "add ESCAPE" in reading.reason) == (UNRESOLVED, True)
