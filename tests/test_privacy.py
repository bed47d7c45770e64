"""What of a statement is kept, what is only noted, and that no password is in what is kept."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.privacy import COMPOUND, UNSURE, Keep, Part, makes_secret, read

SECRET = b"hunter2"


def _one(sql: bytes, *, backslash: bool = True) -> Part:
    (part,) = read(sql, backslash=backslash)
    return part


@pytest.mark.parametrize(
    "sql",
    [
        b"SELECT * FROM t",
        b"  (((select 1) union (select 2)))",
        b"-- note\nSELECT 1",
        b"# note\nSELECT 1",
        b"/* note */SELECT 1",
        b"/**/SELECT 1",
        b"/*!40001 SELECT SQL_NO_CACHE */ * FROM t",
        b"/*M!100100 SELECT 1 */",
        b"SELECT a FROM t WHERE b = 'x;y'",
        b"SELECT a FROM t WHERE b = 'it''s; -- not a comment'",
        b'SELECT a FROM t WHERE b = "say ""hi""; ok"',
        b"SELECT a FROM `semi;colon`",
        b"SELECT a FROM t WHERE b = 'cells identified by hand'",
        b"SELECT `password` FROM t WHERE `password` = 'x'",
        b"WITH c AS (SELECT 1) SELECT * FROM c",
        b"WITH c AS (SELECT 1) UPDATE t, c SET t.x = 1",
        b"TABLE t",
        b"VALUES ROW(1, 2)",
        b"CALL p(1)",
        b"DO sleep(0)",
        b"HANDLER t READ FIRST",
        b"INSERT INTO a SELECT * FROM b",
        b"INSERT INTO a (x) VALUES ((SELECT max(x) FROM b))",
        b"INSERT INTO a TABLE b",
        b"REPLACE a SELECT 1",
        b"CREATE TABLE a AS SELECT 1",
        b"CREATE OR REPLACE TEMPORARY TABLE a (x INT) SELECT 1 AS x",
        b"CREATE TABLE a TABLE b",
        b"UPDATE a, b SET a.x = b.x",
        b"UPDATE a JOIN b USING (k) SET a.x = 1",
        b"UPDATE a SET x = (SELECT 1)",
        b"DELETE a FROM a JOIN b",
        b"DELETE FROM a USING a, b",
        b"DELETE FROM a WHERE x IN (SELECT x FROM b)",
        b"LOAD DATA INFILE 'x' INTO TABLE t SET a = (SELECT 1)",
        b"PREPARE s FROM 'SELECT ?'",
        b"EXECUTE s USING @a",
        b"DEALLOCATE PREPARE s",
        b"DROP PREPARE s",
        b"SET @a = 'text'",
        b"SET SESSION sql_mode = 'ANSI_QUOTES'",
        b"USE lab",
        b"SET STATEMENT max_statement_time = 1 FOR SELECT 1",
    ],
)
def test_what_can_read_rows_is_kept_whole(sql: bytes) -> None:
    part = _one(sql)
    assert (part.keep, part.text.strip()) == (Keep.WHOLE, sql.strip())


@pytest.mark.parametrize(
    ("sql", "verb", "table"),
    [
        (b"INSERT INTO `lab`.`#b` (x) VALUES (' select ')", "INSERT", "lab.#b"),
        (b"insert ignore into Lab.T set x = 1", "INSERT", "Lab.T"),
        (b"REPLACE LOW_PRIORITY t VALUES (1)", "REPLACE", "t"),
        (b"INSERT INTO `we``ird` VALUES ('; DELETE FROM x')", "INSERT", "we`ird"),
        (b"UPDATE `a`.`b` SET x = 'a,b JOIN c' WHERE y = 2", "UPDATE", "a.b"),
        (b"DELETE IGNORE FROM t WHERE x IN (1, 2)", "DELETE", "t"),
        (b"CREATE TABLE IF NOT EXISTS `a`.`b` (x INT)", "CREATE", "a.b"),
        (b"CREATE VIEW v AS SELECT 1", "CREATE", "v"),
        (b"DROP TABLE IF EXISTS t", "DROP", "t"),
        (b"ALTER TABLE t ADD x INT", "ALTER", "t"),
        (b"TRUNCATE t", "TRUNCATE", "t"),
        (b"LOAD DATA LOCAL INFILE 'select' INTO TABLE a.t", "LOAD", "a.t"),
        (b"SHOW TABLES", "SHOW", ""),
        (b"EXPLAIN SELECT 1", "EXPLAIN", ""),
        (b"START TRANSACTION WITH CONSISTENT SNAPSHOT", "START", ""),
        (b"GRANT ALL ON *.* TO u IDENTIFIED BY 'hunter2'", "GRANT", ""),
        (b"ALTER USER u IDENTIFIED BY 'hunter2'", "ALTER", ""),
        (b"CREATE USER u IDENTIFIED WITH p AS 'hunter2'", "CREATE", ""),
        (b"SET PASSWORD = PASSWORD('hunter2')", "SET", ""),
        (b"SET PASSWORD FOR u = 'hunter2'", "SET", ""),
        (b"SET @a = 1, @sql := 'ALTER USER u IDENTIFIED BY ''hunter2'''", "SET", "@a, @sql"),
        (b"PREPARE s FROM 'ALTER USER u IDENTIFIED BY ''hunter2'''", "PREPARE", "s"),
        (b"PREPARE s FROM 'ALTER USER u IDENT\\IFIED BY \"hunter2\"'", "PREPARE", "s"),
        (b"/*!50000 ALTER USER u IDENTIFIED BY 'hunter2' */", "ALTER", ""),
        (b"ALTER USER u IDENTIFIED BY 'hunter2 \\' and more'", "ALTER", ""),
    ],
)
def test_what_reads_nothing_or_holds_a_secret_is_noted(sql: bytes, verb: str, table: str) -> None:
    part = _one(sql)
    assert (part.keep, part.verb, part.table, part.text) == (Keep.NOTE, verb, table, b"")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (b"SELECT PASSWORD('hunter2')", UNSURE),
        (b"EXECUTE IMMEDIATE 'SET PASSWORD = PASSWORD(\"hunter2\")'", UNSURE),
        (b"SET @a = (SELECT password FROM t)", UNSURE),
        (b"SET STATEMENT max_statement_time = 1 FOR SELECT password FROM t", UNSURE),
        (b"SELECT 'ALTER USER u IDENTIFIED BY ''hunter2''' INTO @v", UNSURE),
        (b"SELECT @v := 'SET PASSWORD = ''hunter2'''", UNSURE),
        (b"CREATE TABLE t CONNECTION='mysql://u:hunter2@h/d/t' SELECT 1", UNSURE),
        (b"SELECT 'a\\'; ALTER USER u IDENTIFIED BY \"hunter2\" -- '", UNSURE),
        (b"BEGIN NOT ATOMIC SELECT 1; SET PASSWORD = 'hunter2'; END", COMPOUND),
        (b"IF 1 THEN SELECT 1; END IF", COMPOUND),
    ],
)
def test_what_cannot_be_kept_is_said(sql: bytes, reason: str) -> None:
    part = _one(sql)
    assert (part.keep, part.reason, part.text) == (Keep.UNREAD, reason, b"")


def test_each_statement_of_a_text_stands_for_itself() -> None:
    parts = read(b"SELECT 1; ALTER USER u IDENTIFIED BY 'hunter2' ;; /* end */ ; USE lab;")
    assert [(part.keep, part.verb, part.text) for part in parts] == [
        (Keep.WHOLE, "SELECT", b"SELECT 1"),
        (Keep.NOTE, "ALTER", b""),
        (Keep.WHOLE, "USE", b"USE lab"),
    ]


def test_a_routine_keeps_its_semicolons() -> None:
    part = _one(b"CREATE DEFINER=`a`@`b` PROCEDURE p() BEGIN SELECT 1; SET PASSWORD = 'hunter2'; END")
    assert (part.keep, part.verb) == (Keep.NOTE, "CREATE")


def test_the_session_says_what_a_backslash_is() -> None:
    sql = b"SELECT 'a\\'; DROP TABLE t; -- '"
    assert [part.verb for part in read(sql, backslash=True)] == ["SELECT"]
    assert [part.verb for part in read(sql, backslash=False)] == ["SELECT", "DROP"]


def test_only_calls_give_several_results() -> None:
    assert _one(b"CALL p()").several
    assert not _one(b"SELECT 1").several


@pytest.mark.parametrize("sql", [b"", b" ", b";", b"-- x", b"/* x */", b"/*! */"])
def test_nothing_is_nothing(sql: bytes) -> None:
    assert read(sql) == []


def test_a_blob_that_holds_words_and_semicolons_is_noted() -> None:
    blob = b"; SELECT * FROM t; CALL p(); \\' \\\\" * 2000 + os.urandom(4096).hex().encode()
    part = _one(b"INSERT INTO `lab`.`t` VALUES (1, _binary'" + blob + b"')")
    assert (part.keep, part.verb, part.table) == (Keep.NOTE, "INSERT", "lab.t")
    both = read(b"INSERT INTO t VALUES ('" + blob + b"'); SELECT 1")
    assert [(part.keep, part.verb) for part in both] == [(Keep.NOTE, "INSERT"), (Keep.WHOLE, "SELECT")]


def test_a_table_far_behind_in_an_update_is_seen() -> None:
    names = b", ".join(b"t%d" % number for number in range(500))
    assert _one(b"UPDATE " + names + b" SET x = 1").keep is Keep.WHOLE


_CARRIERS = [
    b"ALTER USER u IDENTIFIED BY '%s'",
    b"CREATE USER u IDENTIFIED WITH mysql_native_password BY '%s'",
    b"GRANT ALL ON *.* TO u IDENTIFIED BY '%s'",
    b"SET PASSWORD = PASSWORD('%s')",
    b"SET PASSWORD FOR u@h = '%s'",
    b"PREPARE s FROM \"ALTER USER u IDENTIFIED BY '%s'\"",
    b"SET @q = \"SET PASSWORD = '%s'\"",
    b"CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (PASSWORD '%s')",
]
_AROUND = st.sampled_from(
    [
        b"",
        b"SELECT 1",
        b"SELECT 'a\\'b'",
        b"SELECT 'a\\\\'",
        b"SELECT 'it''s'",
        b"BEGIN",
        b"SELECT '''' , `a;b`",
        b"INSERT INTO t VALUES ('x; SELECT')",
        b"SET @a = 1",
        b"CALL p('x')",
        b"/* c */",
        b"-- c\n",
        b"UPDATE t SET x = 1",
    ]
)


@given(st.sampled_from(_CARRIERS), st.lists(_AROUND, max_size=3), st.lists(_AROUND, max_size=3), st.booleans())
def test_no_password_is_ever_kept(carrier: bytes, before: list[bytes], after: list[bytes], backslash: bool) -> None:
    sql = b";".join([*before, carrier % SECRET, *after])
    for part in read(sql, backslash=backslash):
        assert SECRET not in part.text
        assert SECRET.decode() not in part.table + part.verb + part.reason


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_parts(data: bytes, backslash: bool) -> None:
    for part in read(data, backslash=backslash):
        assert part.length <= len(data)
        assert (part.keep is Keep.WHOLE) == bool(part.text)


def test_values_that_become_statements() -> None:
    assert makes_secret(b"alter  user x")
    assert not makes_secret(b"Grant lab")


_WRITTEN = st.sampled_from(
    [
        *(b"'", b'"', b"`", b"\\", b"''", b"\\'", b"#", b"-- ", b"/*", b"*/", b"/*!", b"\n", b";", b",", b"(", b")"),
        *(b"SELECT 1", b"TABLE t", b" FROM t", b"SET x = 1", b"x", b" WHERE a = ", b"\xff", b"\0"),
    ]
)
_WRITES = st.sampled_from([b"INSERT INTO a.t VALUES (", b"REPLACE `t` SET x = ", b"UPDATE t SET x = ", b"INSERT t "])


@given(_WRITES, st.lists(_WRITTEN, max_size=14), st.booleans())
def test_a_quick_look_at_a_write_sees_what_the_exact_one_sees(head: bytes, rest: list[bytes], backslash: bool) -> None:
    sql = head + b"".join(rest)
    # A comment that the server executes takes the exact look, and here means nothing.
    exact = read(b"/*!*/" + sql, backslash=backslash)
    kept = [part.keep for part in exact if part.keep is not Keep.NOTE]
    found = read(sql, backslash=backslash)
    assert [part.keep for part in found if part.keep is not Keep.NOTE] == kept
    assert (found[0].verb, found[0].table) == (exact[0].verb, exact[0].table)


@pytest.mark.parametrize("quote", [b"'", b'"'])
def test_a_blob_with_many_quotes_is_noted(quote: bytes) -> None:
    blob = (b"\\" + quote + b"SELECT;\\\\" + quote + quote) * 150_000
    assert read(b"INSERT INTO t VALUES (" + quote + blob + quote + b", 1)") == [
        Part(Keep.NOTE, "INSERT", "t", b"", 24 + len(blob) + 4)
    ]
