"""Cutting MySQL text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import InputError
from graph.scan import (
    ServerVersion,
    TokenKind,
    bind,
    hex_undecodable,
    open_comments,
    plain,
    scan,
    split,
    string_value,
    verb,
)

ALPHABET = st.text(alphabet="ab'\"`\\;?-#/*! \n1M@(),é", max_size=40)
MODES = st.sampled_from([None, "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "ANSI,NO_BACKSLASH_ESCAPES"])
PIECES = st.lists(
    st.sampled_from(
        ["SELECT 1", "'a;b'", '"c;?d"', "`e;`", "-- f;\n", "# g;\n", "/* h; */", "''", "'it''s'", "/*!80000 x */", " "]
    ),
    min_size=1,
    max_size=6,
).map("".join)


@given(ALPHABET, MODES)
def test_tokens_joined_are_the_text(sql: str, sql_mode: str | None) -> None:
    assert "".join(token.text for token in scan(sql, sql_mode)) == sql


@given(st.lists(PIECES, min_size=1, max_size=4))
def test_split_undoes_join(statements: list[str]) -> None:
    wanted = [each for statement in statements for each in split(statement)]
    assert split(";".join(statements)) == wanted


@given(ALPHABET, MODES)
def test_splitting_what_was_split_changes_nothing(sql: str, sql_mode: str | None) -> None:
    for statement in split(sql, sql_mode):
        if ";" not in statement:
            assert split(statement, sql_mode) == [statement]


@given(st.text(max_size=30), st.booleans())
def test_a_quoted_string_is_one_token_with_its_value(value: str, backslashes: bool) -> None:
    sql_mode = None if backslashes else "NO_BACKSLASH_ESCAPES"
    escaped = value.replace("'", "''")
    literal = "'" + (escaped.replace("\\", "\\\\") if backslashes else escaped) + "'"
    tokens = [token for token in scan(f"SELECT {literal};", sql_mode) if token.kind is TokenKind.STRING]
    assert [token.text for token in tokens] == [literal]
    assert string_value(literal, sql_mode) == value


@given(st.lists(st.integers(0, 99).map(str), max_size=5), PIECES)
def test_bind_puts_each_parameter_in_its_place(parameters: list[str], noise: str) -> None:
    template = f"{noise} ".join("?" for _ in parameters)
    assert bind(template, parameters) == f"{noise} ".join(parameters)


@pytest.mark.parametrize(
    ("sql", "sql_mode", "statements"),
    [
        ("SELECT 1", None, ["SELECT 1"]),
        (" ; ;SELECT 1;;", None, ["SELECT 1"]),
        ("SELECT ';' ; SELECT 2", None, ["SELECT ';'", "SELECT 2"]),
        (r"SELECT '\'; x'; SELECT 2", None, [r"SELECT '\'; x'", "SELECT 2"]),
        (r"SELECT '\'; SELECT 2", "NO_BACKSLASH_ESCAPES", [r"SELECT '\'", "SELECT 2"]),
        (r'SELECT "\"; SELECT 2', "ANSI_QUOTES", [r'SELECT "\"', "SELECT 2"]),
        ("SELECT 1--1; SELECT 2", None, ["SELECT 1--1", "SELECT 2"]),
        ("SELECT 1 -- a; b\n; SELECT 2", None, ["SELECT 1 -- a; b", "SELECT 2"]),
        ("SELECT 1 /* ; */ ; /* only a comment */", None, ["SELECT 1 /* ; */"]),
        ("/*!80000 SELECT ';' */; SELECT 2", None, ["/*!80000 SELECT ';' */", "SELECT 2"]),
        ("SELECT 'never closed; SELECT 2", None, ["SELECT 'never closed; SELECT 2"]),
        (
            "SELECT 0; CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END",
            None,
            ["SELECT 0", "CREATE PROCEDURE p() BEGIN SELECT 1; SELECT 2; END"],
        ),
        ("", None, []),
        ("-- nothing", None, []),
    ],
)
def test_split(sql: str, sql_mode: str | None, statements: list[str]) -> None:
    assert split(sql, sql_mode) == statements


def test_bind_leaves_strings_and_comments_alone() -> None:
    sql = "SELECT '?', `?`, ? /* ? */ FROM t -- ?\n WHERE a = ? # ?"
    assert bind(sql, ["1", "'?'"]) == "SELECT '?', `?`, 1 /* ? */ FROM t -- ?\n WHERE a = '?' # ?"


@pytest.mark.parametrize("parameters", [["1"], ["1", "2", "3"]])
def test_bind_refuses_another_number(parameters: list[str]) -> None:
    with pytest.raises(InputError, match="2 placeholders"):
        bind("SELECT ?, ?", parameters)


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("select 1", "SELECT"),
        ("((SELECT 1))", "SELECT"),
        (" /* hint */ -- x\n(WITH a AS (SELECT 1) SELECT * FROM a)", "WITH"),
        ("/*!40101 SET NAMES utf8 */", "SET"),
        ("/*M!100100 INSERT INTO t */", "INSERT"),
        ("# c\nuse `x`", "USE"),
        ("'x'", ""),
        ("1", ""),
        ("", ""),
    ],
)
def test_verb(sql: str, word: str) -> None:
    assert verb(sql) == word


def test_plain_opens_executable_comments_and_drops_the_others() -> None:
    assert plain("/*!40101 SET */ NAMES /* c */ 'utf8 /* s */'").split() == ["SET", "NAMES", "'utf8", "/*", "s", "*/'"]


@pytest.mark.parametrize(
    ("literal", "sql_mode", "value"),
    [
        (r"'a\'b''c\\'", None, "a'b'c\\"),
        (r"'\0\n\Z\%\_\q'", None, "\0\n\x1a\\%\\_q"),
        (r"'\n'", "NO_BACKSLASH_ESCAPES", r"\n"),
        ('"a""b\'\'"', None, "a\"b''"),
    ],
)
def test_string_value(literal: str, sql_mode: str | None, value: str) -> None:
    assert string_value(literal, sql_mode) == value


def test_bytes_that_are_no_text_become_hex() -> None:
    sql = b"SELECT * FROM t WHERE a = _binary'\xff\\'\\0;' AND b = 'x'".decode("utf-8", "surrogateescape")
    assert hex_undecodable(sql) == "SELECT * FROM t WHERE a = _binary x'FF27003B' AND b = 'x'"


def test_binary_strings_keep_their_bytes_under_other_charsets() -> None:
    sql = b"SELECT _binary'\xe9', '\xe9'".decode("cp1252")
    assert hex_undecodable(sql, None, "cp1252") == "SELECT _binary x'E9', 'é'"


def test_undecodable_names_are_replaced() -> None:
    assert hex_undecodable("SELECT `\udcff`") == "SELECT `\ufffd`"


def test_megabytes_are_cut_in_one_pass() -> None:
    """Anything quadratic or exponential would run into the time limit of the tests."""
    keys = " OR ".join(f"(`a`='it''s {number}' AND `b`=\"x\\\"\")" for number in range(60_000))
    sql = f"SELECT * FROM t WHERE {keys}; SELECT '{'x' * 3_000_000}' -- {'c' * 1_000_000}"
    assert len(split(sql)) == 2


MYSQL, MARIADB = ServerVersion.of("8.4.7"), ServerVersion.of("10.11.14-MariaDB-0+deb12u2")


@pytest.mark.parametrize(
    ("sql", "mysql", "mariadb"),
    [
        ("a /*!80000 b */ c", "a   b   c", "a   c"),
        ("a /*!40001 b */ c", "a   b   c", "a   b   c"),
        ("a /*!99999 it's */ c", "a   c", "a   c"),
        ("a /*! b */ c", "a   b   c", "a   b   c"),
        ("a /*M! b */ c", "a   c", "a   b   c"),
        ("a /*M!100100 b */ c", "a   c", "a   b   c"),
        ("a /*M!110000 b */ c", "a   c", "a   c"),
        ("a /*!100100 b */ c", "a   c", "a   b   c"),
        ("'/*! b */' /* x */ `/*!` -- /*! z", "'/*! b */' /* x */ `/*!` -- /*! z", "'/*! b */' /* x */ `/*!` -- /*! z"),
        ("a /*!40001 'b */' */ c", "a   'b */'   c", "a   'b */'   c"),
        ("a /*!99999 b", "a  ", "a  "),
        ("a /*!99999 /* b */ c */ d", "a   d", "a   d"),
    ],
)
def test_executable_comments_are_opened_as_the_server_does(sql: str, mysql: str, mariadb: str) -> None:
    assert open_comments(sql, None, MYSQL) == mysql
    assert open_comments(sql, None, MARIADB) == mariadb


def test_without_a_server_all_executable_comments_are_opened() -> None:
    assert open_comments("a /*!99999 b */ /*M!999999 c */") == "a   b     c  "
    assert open_comments("\"/*!1 b */\" 'x\\' /*! y */", "NO_BACKSLASH_ESCAPES") == "\"/*!1 b */\" 'x\\'   y  "
    assert ServerVersion.of("unknown") is None
