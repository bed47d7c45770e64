"""What a session had set when it sent a statement."""

from __future__ import annotations

import pytest

from graph.statement import Session
from proxy.assignments import Names, Setting, Unknown, Variable, Verbatim, evaluate, parse
from proxy.charsets import charset_of, decode
from proxy.context import Context, Resolved

UTF8MB4 = 255
LATIN1 = 8


def connected(collation: int = UTF8MB4, schema: str | None = None) -> Context:
    """A fresh session."""
    context = Context()
    context.connected(schema, collation)
    return context


def after(*statements: str, sql: str = "SELECT * FROM t", collation: int = UTF8MB4) -> Resolved:
    """The last of some statements, resolved."""
    context = connected(collation)
    for each in statements:
        list(context.executed(each.encode(), None))
    (resolved,) = context.executed(sql.encode(), None)
    return resolved


def test_a_fresh_session_has_the_charset_of_its_login() -> None:
    assert after().session == Session(charset="utf8mb4", collation="utf8mb4_0900_ai_ci")


@pytest.mark.parametrize(
    ("number", "known"),
    [
        (8, ("latin1", "latin1_swedish_ci")),
        (45, ("utf8mb4", "utf8mb4_general_ci")),
        (309, ("utf8mb4", None)),
        (2304, ("utf8mb4", None)),
        (0, (None, None)),
        (99999, (None, None)),
    ],
)
def test_collation_numbers(number: int, known: tuple[str | None, str | None]) -> None:
    assert charset_of(number) == known


@pytest.mark.parametrize("use", ["USE lab", "use `lab`", "USE  lab ;", "/* c */ USE `lab` -- d"])
def test_use(use: str) -> None:
    assert after(use).session.schema == "lab"


def test_use_of_a_quoted_name() -> None:
    assert after("USE `l``a b`").session.schema == "l`a b"
    assert after("SET sql_mode='ANSI_QUOTES'", 'USE "l""b"').session.schema == 'l"b'


@pytest.mark.parametrize(
    "statement",
    [
        "SET sql_mode='ANSI_QUOTES'",
        "SET SESSION sql_mode = 'ANSI_QUOTES'",
        'SET @@session.sql_mode := "ANSI_QUOTES"',
        "SET @@SQL_MODE=ANSI_QUOTES",
        "SET LOCAL `sql_mode` = ANSI_QUOTES",
        "SET autocommit = 0, sql_mode = 'ANSI_QUOTES'",
        "SET sql_mode = CONCAT('ANSI_', 'QUOTES')",
        "/*!40101 SET sql_mode='ANSI_QUOTES' */",
        "set @x = 1; set sql_mode='ANSI_QUOTES'",
    ],
)
def test_sql_mode(statement: str) -> None:
    assert after(statement).session.sql_mode == "ANSI_QUOTES"


@pytest.mark.parametrize(
    "statement",
    [
        "SET GLOBAL sql_mode='X'",
        "SET @@global.sql_mode='X'",
        "SET PERSIST sql_mode='X'",
        "SET GLOBAL a=1, sql_mode='X'",
    ],
)
def test_what_is_set_elsewhere_changes_nothing_here(statement: str) -> None:
    assert after(statement).session.sql_mode is None


def test_a_mode_added_to_a_known_one() -> None:
    resolved = after("SET sql_mode='ANSI_QUOTES'", "SET sql_mode=CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")
    assert resolved.session.sql_mode == "ANSI_QUOTES,STRICT_ALL_TABLES"


def test_a_mode_added_to_or_taken_from_the_servers_own() -> None:
    assert after("SET SESSION sql_mode=CONCAT(@@sql_mode, ',ANSI_QUOTES')").session.sql_mode == "ANSI_QUOTES"
    taken = after("SET sql_mode=(SELECT REPLACE(@@sql_mode,'ONLY_FULL_GROUP_BY',''))")
    assert taken.session.sql_mode == ""
    assert taken.notes == ()


@pytest.mark.parametrize("sql", ['SELECT "x"', "SELECT a || b", r"SELECT '\n'"])
def test_an_unknown_mode_is_noted_where_it_matters(sql: str) -> None:
    setting = "SET sql_mode = (SELECT mode FROM settings)"
    assert after(setting, sql="SELECT 'x' FROM t").notes == ()
    (note,) = after(setting, sql=sql).notes
    assert note.startswith("sql_mode is not known")
    assert after(setting, "SET sql_mode=''", sql=sql).notes == ()
    assert after(setting, "SET sql_mode=DEFAULT", sql=sql).notes == ()


def test_time_zone() -> None:
    assert after("SET time_zone='+02:00'").session.time_zone == "+02:00"
    assert after("SET time_zone='+02:00'", "SET time_zone=@@global.time_zone").session.time_zone is None
    assert after("SET time_zone = SYSTEM").session.time_zone == "SYSTEM"
    assert "time_zone is not known" in after("SET time_zone = f()").notes[0]


def test_names() -> None:
    session = after("SET NAMES latin1 COLLATE latin1_bin").session
    assert (session.charset, session.collation) == ("latin1", "latin1_bin")
    assert after("SET NAMES 'utf8mb4'").session.charset == "utf8mb4"
    assert after("SET collation_connection = utf8mb4_bin").session.collation == "utf8mb4_bin"
    assert after("SET NAMES DEFAULT", collation=LATIN1).session.charset is None


def test_text_is_decoded_by_the_charset_of_the_client() -> None:
    context = connected(LATIN1)
    assert next(context.executed(b"SELECT '\xe9\x81'", None)).sql == "SELECT 'é\x81'"
    list(context.executed(b"SET NAMES utf8mb4", None))
    assert next(context.executed("SELECT 'é'".encode(), None)).sql == "SELECT 'é'"
    assert decode("Ж".encode("koi8_r"), "koi8r")[0] == "Ж"


def test_a_charset_unknown_here_is_noted() -> None:
    context = connected()
    list(context.executed(b"SET character_set_client = dec8", None))
    assert next(context.executed(b"SELECT 'a'", None)).notes == ()
    assert "dec8" in next(context.executed(b"SELECT '\xe9'", None)).notes[0]


def test_user_variables() -> None:
    sql = "SELECT * FROM t WHERE a = @A AND b = @`b`"
    variables = after("SET @a = 5, @b := 'it''s', @c = 1", sql=sql).session.variables
    assert variables == {"a": "5", "b": "'it''s'"}
    assert after("SET @a = 5").session.variables == {}


@pytest.mark.parametrize(
    "statement",
    [
        "SET @a = (SELECT max(x) FROM t)",
        "SET @a = NOW()",
        "SET @a = CURRENT_DATE",
        "SELECT @a := x FROM t",
        "SELECT x INTO @a FROM t",
        "SELECT x, y FROM t INTO @b, @a",
        "CALL p(@a)",
    ],
)
def test_a_variable_that_nobody_knows(statement: str) -> None:
    assert after("SET @a = 5", statement, sql="SELECT @a").session.variables == {}


def test_a_variable_in_a_string_is_not_assigned() -> None:
    assert after("SET @a = 5", "SELECT 'into @a', ' @a := '", sql="SELECT @a").session.variables == {"a": "5"}


def test_a_variable_means_the_same_under_another_mode() -> None:
    resolved = after(r"SET @a = 'x\\y'", "SET sql_mode='NO_BACKSLASH_ESCAPES'", sql="SELECT @a")
    assert resolved.session.variables == {"a": "_utf8mb4 x'785C79'"}


def test_text_prepared_statements() -> None:
    prepare = "PREPARE S FROM 'SELECT * FROM t WHERE a = ? AND b = ?'"
    resolved = after(prepare, "SET @a=1, @b='x'", sql="EXECUTE s USING @a, @b")
    assert (resolved.sql, resolved.problem) == ("SELECT * FROM t WHERE a = 1 AND b = 'x'", "")
    assert after("SET @q = 'SELECT 1'", "PREPARE s FROM @q", sql="EXECUTE s").sql == "SELECT 1"
    assert after(prepare, "SET @a=1, @b=f()", sql="EXECUTE s USING @a, @b").sql.endswith("a = 1 AND b = @b")
    assert after(sql="EXECUTE IMMEDIATE 'SELECT ?' USING 5").sql == "SELECT 5"


@pytest.mark.parametrize(
    "statements",
    [
        ["PREPARE s FROM @q"],
        ["SET @q = (SELECT x FROM t)", "PREPARE s FROM @q"],
        ["PREPARE s FROM 'SELECT 1'", "DEALLOCATE PREPARE s"],
        ["PREPARE s FROM 'SELECT 1'", "DROP PREPARE s"],
        ["PREPARE s FROM 'SELECT ?'"],
        [],
    ],
)
def test_a_prepared_statement_that_nobody_knows(statements: list[str]) -> None:
    assert after(*statements, sql="EXECUTE s").problem


def test_an_executed_statement_changes_the_session_too() -> None:
    assert after("PREPARE s FROM 'USE lab'", "EXECUTE s").session.schema == "lab"


def test_parameters_of_the_binary_protocol() -> None:
    context = connected()
    (resolved,) = context.executed(b"SELECT ';' FROM t WHERE a = ?", ("'?'",))
    assert resolved.sql == "SELECT ';' FROM t WHERE a = '?'"
    (wrong,) = context.executed(b"SELECT ?", ())
    assert "1 placeholders" in wrong.problem


def test_several_statements_at_once() -> None:
    context = connected(schema="a")
    got = list(context.executed(b"SELECT 1; USE b; SELECT 2", None))
    assert [(each.sql, each.session.schema) for each in got] == [("SELECT 1", "a"), ("USE b", "a"), ("SELECT 2", "b")]


def test_a_reset_keeps_the_schema_only() -> None:
    context = connected(LATIN1)
    for sql in ("USE lab", "SET @a=1", "SET sql_mode=''", "SET NAMES utf8mb4", "PREPARE s FROM 'SELECT 1'"):
        list(context.executed(sql.encode(), None))
    context.reset()
    (resolved,) = context.executed(b"SELECT @a", None)
    assert resolved.session == Session(schema="lab", charset="latin1", collation="latin1_swedish_ci")
    assert next(context.executed(b"EXECUTE s", None)).problem


def test_changes_of_a_set_in_order() -> None:
    assert list(parse("SET @a = f(1, 2), NAMES utf8 COLLATE 'utf8_bin', time_zone = 'x,y', SESSION b = 1;")) == [
        Variable("a", "f(1, 2)"),
        Names("utf8", "utf8_bin"),
        Setting("time_zone", "'x,y'"),
        Setting("b", "1"),
    ]


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("5", Verbatim("5")),
        ("-1.5e3", Verbatim("-1.5e3")),
        ("x'0A'", Verbatim("x'0A'")),
        ("_latin1'x'", Verbatim("_latin1'x'")),
        ("_utf8mb4 x'785C79'", "x\\y"),
        ("'a' \"b\"", "ab"),
        ("NULL", None),
        ("true", Verbatim("1")),
        ("((('x')))", "x"),
        ("CONCAT('a', NULL)", None),
        ("REPLACE('aba', 'a', '')", "b"),
    ],
)
def test_values(expression: str, value: object) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression", ["1 + 1", "NOW()", "word", "'a' + 1", "@x", "CONCAT(x'00', 'a')", "('a') = ('b')"]
)
def test_what_only_the_server_can_tell(expression: str) -> None:
    assert isinstance(evaluate(expression), Unknown)
