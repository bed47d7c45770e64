"""Long lists and long conditions: taken out before the parser sees them, and put back as they were."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from examples.private_server import PrivateServer
from graph.leaves.conditions import is_condition
from graph.leaves.literals import fold_lists
from graph.leaves.parse import parse
from graph.leaves.render import render
from graph.leaves.unreadable import Unreadable
from graph.statement import Session, StatementClass
from tests.test_leaves_replay import ROWS, Lab

ANY = Session(schema="lab")
NO_ESCAPES = Session(schema="lab", sql_mode="NO_BACKSLASH_ESCAPES")
ANSI = Session(schema="lab", sql_mode="ANSI_QUOTES")

KEYS = " OR ".join(f"((`a`='k{number}')AND(`b`={number}))" for number in range(200))


def plain(text: str) -> str:
    """Without white space and the parentheses that hold nothing but parentheses."""
    text = re.sub(r"\s", "", text)
    while (shorter := re.sub(r"\(\((.*)\)\)$", r"(\1)", text)) != text:
        text = shorter
    return text


@pytest.mark.parametrize(
    "value",
    ["7", "-1.5e3", "'it''s \\' so'", '"q""q"', "NULL", "x'AB'", "0xAB", "b'01'", "_utf8mb4'x'", "N'x'", "(1, 'a')"],
)
def test_a_long_list_is_one_node_and_its_text_stays(value: str) -> None:
    values = ", ".join([value] * 100)
    tree = parse(f"SELECT a FROM t WHERE a IN ({values}) AND b = 1", ANY).tree
    (found,) = tree.find_all(exp.In)
    (node,) = found.expressions
    assert (node.name, node.meta["values"]) == (values, 100)
    assert f"IN ({values})" in render(tree)


def test_what_is_no_list_of_literals_stays() -> None:
    values = ", ".join(map(str, range(100)))
    for text in (f"a IN ({values}, c)", f"a IN ({values}, 1 + 1)", f"f({values})", f"'a IN ({values})'", "a IN (1, 2)"):
        assert fold_lists(text).lists == {}


def test_a_list_under_other_modes_is_read_as_the_session_reads_it() -> None:
    values = ", ".join(["'a\\'"] * 100)
    assert "'a\\\\', 'a\\\\'" in render(parse(f"SELECT a FROM t WHERE a IN ({values})", NO_ESCAPES).tree)
    names = ", ".join(['"b"'] * 100)
    assert "`b`, `b`" in render(parse(f"SELECT a FROM t WHERE a IN ({names})", ANSI).tree)


@pytest.mark.parametrize("clause", [f"WHERE {KEYS}", f"WHERE ( ({KEYS}))", f"WHERE c = 1 AND ({KEYS}) ORDER BY a"])
def test_a_long_condition_is_one_node_with_its_columns(clause: str) -> None:
    tree = parse(f"SELECT a FROM t {clause}", ANY).tree
    (node,) = [node for node in tree.find_all(exp.Anonymous) if is_condition(node)]
    assert [column.name for column in node.expressions] == ["a", "b"]
    assert plain(KEYS) in plain(render(tree)).replace("a=", "`a`=").replace("b=", "`b`=").replace("``", "`")


def test_columns_of_a_long_condition_can_be_renamed() -> None:
    tree = parse(f"SELECT a FROM t WHERE {KEYS}", ANY).tree.copy()
    for column in list(tree.find_all(exp.Column)):
        if column.name == "b":
            column.replace(exp.Paren(this=exp.column("c", "x")))
    assert "( `a` = 'k7' ) AND ( (x.c) = 7 )" in render(tree)


@pytest.mark.parametrize(
    "clause",
    [
        f"WHERE f({KEYS})",
        f"WHERE a IN ({KEYS})",
        "WHERE " + " OR ".join(f"a = {number} AND f(b) = 2" for number in range(200)),
        "WHERE " + " OR ".join(f"a IS UNKNOWN AND b = {number}" for number in range(200)),
        "WHERE " + " OR ".join(f"a = DATE '2020-01-01' AND b = {number}" for number in range(200)),
        "WHERE " + " AND ".join(f"a <> {number} AND b <> 2" for number in range(200)),
    ],
)
def test_what_is_no_plain_alternative_is_parsed(clause: str) -> None:
    tree = parse(f"SELECT a FROM t {clause}", ANY).tree
    assert not any(is_condition(node) for node in tree.walk())


def test_patterns_without_escapes_are_not_taken_out() -> None:
    terms = " OR ".join(f"a LIKE 'x_{number}' AND b = 1" for number in range(200))
    tree = parse(f"SELECT a FROM t WHERE {terms}", NO_ESCAPES).tree
    assert not any(is_condition(node) for node in tree.walk())


def depth(node: exp.Expr) -> int:
    deepest, level = 0, [node]
    while level:
        deepest, level = deepest + 1, [child for each in level for child in each.iter_expressions()]
    return deepest


@pytest.mark.parametrize("word", ["OR", "AND"])
def test_long_chains_lean_to_no_side(word: str) -> None:
    terms = [f"f(a) = {number}" for number in range(3000)]
    tree = parse(f"SELECT a FROM t WHERE {f' {word} '.join(terms)}", ANY).tree
    assert depth(tree) < 30
    assert [int(node.name) for node in tree.find_all(exp.Literal, bfs=False)] == list(range(3000))


@given(st.text(alphabet="(),'\"`\\ ab1=<>.-*/!#;@?\n", max_size=300), st.sampled_from([ANY, NO_ESCAPES, ANSI]))
def test_any_garbage_is_read_or_refused(text: str, session: Session) -> None:
    for sql in (text, f"SELECT a FROM t WHERE {text}"):
        try:
            query = parse(sql, session)
        except Unreadable as error:
            assert str(error)
        else:
            assert isinstance(query.tree, exp.Query)


WORDS = """SELECT FROM WHERE t a b `c` s.t IN EXISTS ( ( ) ) , = <> AND OR NOT NULL 1 'x' "y" GROUP_BY ORDER_BY LIMIT
UNION JOIN USING ON LEFT INTERVAL CASE WHEN THEN END AS WITH @v ? := -> DATE IF BETWEEN LIKE * . COUNT( VALUES ROW(
INTO OUTFILE FOR UPDATE PARTITION OVER""".split()


@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    sql = "SELECT a FROM t " + " ".join(words).replace("_BY", " BY")
    try:
        query = parse(sql, ANY)
    except Unreadable as error:
        assert str(error)
    else:
        assert render(query.tree)


STATEMENTS = [
    f"SELECT a, DATE_FORMAT(d, '%Y') FROM t JOIN (SELECT b FROM u WHERE {KEYS}) x USING (b) WHERE a IN (1, 2) LIMIT 3",
    "SELECT a FROM t WHERE a IN (" + ", ".join(f"('x{number}', {number})" for number in range(100)) + ") ORDER BY a",
    "WITH x AS (SELECT 'it''s' AS s, `b` FROM t /*!80000 WHERE c */) SELECT * FROM x WHERE s LIKE 'a\\_%' -- end",
]


@given(st.sampled_from(STATEMENTS), st.integers(0, 10_000), st.integers(0, 5))
def test_truncated_statements_are_read_or_refused(sql: str, end: int, hole: int) -> None:
    text = sql[: end % len(sql)] + sql[end % len(sql) + hole :] if hole else sql[: end % len(sql)]
    try:
        query = parse(text, ANY)
    except Unreadable as error:
        assert str(error)
    else:
        assert render(query.tree)


# -- on servers


@pytest.fixture(scope="module")
def lab(server: PrivateServer) -> Iterator[Lab]:
    made = Lab(server)
    yield made
    made.close()


def long_queries() -> list[str]:
    """Statements with long lists and conditions, each of which picks a few of the sample's rows."""
    keys = " OR ".join(
        f"((`subject`='{subject}')AND(`session`={session})AND(`trial`={trial}))"
        for subject, session, trial in [("a", 1, 2), ("b", 1, 1), ("c", 2, 2)] + [("z", n, n) for n in range(200)]
    )
    pairs = ", ".join(f"('{subject}', {n})" for n in range(3) for subject in "abcdefghijklmnopqrstuvwxyz")
    numbers = ", ".join(map(str, range(1, 200)))
    return [
        f"SELECT `subject`,`rt` FROM `{{S}}`.`trial` WHERE ( ({keys}))",
        f"SELECT subject, n FROM (SELECT subject, session, trial AS n FROM `{{S}}`.trial) x "
        f"WHERE {keys.replace('`trial`', 'x.n')}",
        f"SELECT s.experimenter FROM `{{S}}`.session s JOIN `{{S}}`.trial t USING (subject, session) "
        f"WHERE t.trial IN ({numbers}) AND (s.subject, s.session) IN ({pairs})",
        f"SELECT session_date FROM `{{S}}`.session WHERE (subject, session) IN "
        f"(SELECT subject, session FROM `{{S}}`.trial WHERE {keys})",
        f"SELECT subject, count(*) AS n FROM `{{S}}`.trial WHERE trial IN ({numbers}) GROUP BY subject "
        f"HAVING n IN ({numbers})",
    ]


@pytest.mark.parametrize("sql", long_queries(), ids=["keys", "renamed", "lists", "subquery", "having"])
def test_rules_answer_as_the_source(lab: Lab, sql: str) -> None:
    resolution = lab.resolve(sql)
    assert resolution.statement_class is StatementClass.DATA, resolution.reason
    expected = lab.answer(sql, lab.source)
    assert expected
    chance = random.Random(sql)
    for share in (0.0, 0.3):
        start = {table: {row for row in rows if chance.random() < share} for table, rows in ROWS.items()}
        lab.fill_copy(lab.obey(resolution.rules, start))
        assert lab.answer(sql, lab.copy) == expected
