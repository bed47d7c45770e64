"""Pinned leaves, on real servers: the keys that a result shows are the lineage of its tables, no more and no less."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import networkx as nx
import pymysql
import pytest

from examples.private_server import PrivateServer
from graph.leaves import Resolution, RuleKind, resolve
from graph.names import TableName
from graph.schema import Column, Schema, Table
from graph.statement import Pinned, PinnedColumn, Session, Statement, StatementClass
from tests.pinning import pin
from tests.test_leaves_replay import ROWS, Lab, Rows, queries, replay_text


@pytest.fixture(scope="module")
def lab(server: PrivateServer) -> Iterator[Lab]:
    made = Lab(server)
    yield made
    made.close()


def pinned(lab: Lab, sql: str) -> Resolution:
    """The statement as it is resolved when its result has been recorded."""
    text = sql.replace("{S}", lab.source)
    shown = pin(lab.server, text)
    return resolve(Statement(1, text, Session(), pins=() if shown is None else (shown,)), lab.schema)


def keys(resolution: Resolution) -> dict[str, list[set[tuple[str, ...]]]]:
    """The keys of the pinned rules, by table."""
    found: dict[str, list[set[tuple[str, ...]]]] = {}
    for rule in resolution.rules:
        if rule.keys is not None:
            found.setdefault(rule.outputs[0].table.name, []).append({tuple(map(str, key)) for key in rule.keys})
    return found


def now(lab: Lab, resolution: Resolution) -> dict[str, list[set[tuple[str, ...]]]]:
    """What the SELECTs of the pinned rules give."""
    found: dict[str, list[set[tuple[str, ...]]]] = {}
    for rule in resolution.rules:
        if rule.keys is not None:
            rows = {key for _, ((_, key),) in lab.keys(replace(rule, keys=None)) if key is not None}
            found.setdefault(rule.outputs[0].table.name, []).append(rows)
    return found


@pytest.mark.parametrize(("name", "law", "sql"), queries(), ids=[name for name, _, _ in queries()])
def test_what_is_pinned_is_the_lineage_and_answers_as_the_source(lab: Lab, name: str, law: str, sql: str) -> None:
    if law == "mysql" and lab.server.flavour != "mysql":
        pytest.skip("MariaDB does not know it")
    if not sql.lstrip("( ").upper().startswith(("SELECT", "WITH")):
        pytest.skip("it has no result")
    try:
        resolution = pinned(lab, sql)
    except pymysql.err.ProgrammingError:
        pytest.skip("it asks for tables that are not here")
    assert resolution.statement_class is not StatementClass.UNRESOLVED
    if " OFFSET " not in sql:
        assert keys(resolution) == now(lab, resolution)
    chance = random.Random(name)
    expected = lab.answer(replay_text(lab, resolution), lab.source)
    for share in (0.0, 0.3):
        start: Rows = {}
        for table, rows in ROWS.items():
            start[table] = {row for row in rows if chance.random() < share}
        lab.fill_copy(lab.obey(resolution.rules, start))
        assert lab.answer(replay_text(lab, resolution), lab.copy) == expected


#: (statement, the tables whose rows are pinned)
SHAPES = [
    ("SELECT * FROM `{S}`.session", "session"),
    ("SELECT x.* FROM `{S}`.session AS x LIMIT 3", "session"),
    ("SELECT session AS n, subject AS s FROM `{S}`.session", "session"),
    ("SELECT subject FROM `{S}`.session", ""),
    ("SELECT subject, session + 0 AS session FROM `{S}`.session", ""),
    ("SELECT * FROM `{S}`.session NATURAL JOIN `{S}`.trial", "session trial"),
    ("SELECT * FROM `{S}`.session JOIN `{S}`.trial USING (subject, session)", "session trial"),
    ("SELECT trial, session, subject FROM `{S}`.trial JOIN `{S}`.session USING (subject, session)", "session trial"),
    ("SELECT * FROM `{S}`.session s JOIN `{S}`.trial t ON s.subject = t.subject", "session trial"),
    ("SELECT t.* FROM `{S}`.session s JOIN `{S}`.trial t ON s.subject = t.subject", "trial"),
    ("SELECT * FROM `{S}`.session a JOIN `{S}`.session b ON a.session = b.session + 1", "session session"),
    ("SELECT a.* FROM `{S}`.session a JOIN `{S}`.session b ON a.session = b.session + 1", "session"),
    ("SELECT * FROM `{S}`.session LEFT JOIN `{S}`.trial USING (subject, session)", "session"),
    ("SELECT s.*, t.* FROM `{S}`.session s LEFT JOIN `{S}`.trial t USING (subject, session)", "session trial"),
    ("SELECT t.subject, t.session FROM `{S}`.session s LEFT JOIN `{S}`.trial t USING (subject, session)", ""),
    ("SELECT s.*, t.* FROM `{S}`.trial t RIGHT JOIN `{S}`.session s USING (subject, session)", "session trial"),
    ("SELECT * FROM `{S}`.trial NATURAL RIGHT JOIN `{S}`.session", "session"),
    ("SELECT * FROM (SELECT * FROM `{S}`.session) d", "session"),
    ("SELECT s, n FROM (SELECT subject AS s, session AS n FROM `{S}`.session) d", "session"),
    ("SELECT n AS s, s AS n FROM (SELECT subject AS s, session AS n FROM `{S}`.session) d ORDER BY RAND()", "session"),
    ("SELECT * FROM (SELECT * FROM `{S}`.session LIMIT 3) d", ""),
    ("SELECT * FROM (SELECT DISTINCT subject, session FROM `{S}`.session) d", "session"),
    ("SELECT * FROM `{S}`.fast", "trial"),
    ("SELECT f.trial, f.subject, f.session FROM `{S}`.fast f ORDER BY RAND()", "trial"),
    ("SELECT * FROM `{S}`.old", "session"),
    ("WITH w AS (SELECT subject, session FROM `{S}`.session) SELECT * FROM w", "session"),
    ("SELECT * FROM `{S}`.session ORDER BY RAND() LIMIT 7", "session"),
    ("SELECT DISTINCT subject, session FROM `{S}`.session ORDER BY session", "session"),
    (
        "SELECT subject, session, COUNT(*) FROM `{S}`.session NATURAL JOIN `{S}`.trial GROUP BY subject, session",
        "session",
    ),
    ("SELECT subject, session, COUNT(*) FROM `{S}`.session GROUP BY session, subject", "session"),
    ("SELECT subject, session, COUNT(*) FROM `{S}`.session GROUP BY subject, session WITH ROLLUP", ""),
    ("SELECT MIN(subject) AS subject, MIN(session) AS session FROM `{S}`.session", ""),
    ("SELECT subject, session FROM `{S}`.session UNION SELECT subject, s1 FROM `{S}`.pair", ""),
    ("SELECT (SELECT MIN(probe) FROM `{S}`.probe) AS probe, kind FROM `{S}`.probe", ""),
    ("SELECT probe FROM `{S}`.probe WHERE probe IN (SELECT session FROM `{S}`.session)", "probe"),
    ("SELECT subject, session, ROW_NUMBER() OVER (ORDER BY session) FROM `{S}`.session", ""),
    ("SELECT probe FROM `{S}`.probe WHERE FALSE", "probe"),
]


@pytest.mark.parametrize(("sql", "tables"), SHAPES, ids=[sql for sql, _ in SHAPES])
def test_which_tables_are_pinned(lab: Lab, sql: str, tables: str) -> None:
    resolution = pinned(lab, sql)
    found = keys(resolution)
    assert sorted(name for name, pins in found.items() for _ in pins) == tables.split()
    if "LIMIT" not in sql:
        assert found == now(lab, resolution)


def test_a_group_shows_one_row_of_several(lab: Lab) -> None:
    """Without ONLY_FULL_GROUP_BY a key may stand beside a GROUP BY that is not over it."""
    lab.run("SET SESSION sql_mode = ''")
    sql = "SELECT subject, session, COUNT(*) FROM `{S}`.session GROUP BY experimenter".replace("{S}", lab.source)
    shown = Pinned(
        (PinnedColumn(lab.source, "session", "subject", "subject"), PinnedColumn("", "session", "session", "session")),
        frozenset({("a", b"1"), ("a", b"2"), ("b", b"2")}),
    )
    resolution = resolve(Statement(1, sql, Session(), pins=(shown,)), lab.schema)
    assert keys(resolution) == {}
    assert any(rule.kind is RuleKind.LEAF for rule in resolution.rules)


PROBE = (PinnedColumn("{S}", "probe", "probe", "probe"),)


def of_probe(
    lab: Lab, *rows: frozenset[tuple[str | bytes | None, ...]], unpinned: int = 0, more: str = ""
) -> Resolution:
    columns = tuple(replace(column, schema=lab.source) for column in PROBE)
    pins = tuple(Pinned(columns, each) for each in rows)
    sql = f"SELECT probe FROM {lab.source}.probe ORDER BY probe LIMIT 2{more}"
    return resolve(Statement(1, sql, Session(), pins=pins, unpinned=unpinned), lab.schema)


def test_results_of_one_text_are_taken_together(lab: Lab) -> None:
    (rule,) = of_probe(lab, frozenset({(b"1",), (b"2",)}), frozenset({(b"2",), (b"9",)})).rules
    assert rule.keys == {(1,), (2,), (9,)}
    assert rule.sql


@pytest.mark.parametrize(("unpinned", "more"), [(1, ""), (0, " OFFSET 1")])
def test_pins_and_the_text_are_both_taken_where_pins_are_not_all(lab: Lab, unpinned: int, more: str) -> None:
    first, second = of_probe(lab, frozenset({(b"1",)}), unpinned=unpinned, more=more).rules
    assert (first.keys, first.sql) == (frozenset({(1,)}), "")
    assert second.keys is None
    assert second.sql


def test_values_that_no_key_can_have_pin_nothing(lab: Lab) -> None:
    resolution = of_probe(lab, frozenset({(b"x",)}))
    (rule,) = resolution.rules
    assert rule.keys is None
    assert f"its rows of {lab.source}.probe are not pinned: invalid literal" in resolution.reason


def test_the_reason_says_what_is_pinned(lab: Lab) -> None:
    resolution = of_probe(lab, frozenset({(b"1",)}))
    assert f"its rows of {lab.source}.probe are those that its recorded result named" in resolution.reason


def table(kind: str) -> Schema:
    column = Column("k", kind, kind, nullable=False, charset="latin1" if kind == "varchar" else None)
    name = TableName("lab", "t")
    return Schema({name: Table(name, (column,), ("k",))}, nx.MultiDiGraph())


@pytest.mark.parametrize(
    ("kind", "value", "time_zone", "key"),
    [
        ("timestamp", b"1970-01-02 00:00:00", "+00:00", Decimal(86400)),
        ("timestamp", b"1970-01-02 05:30:00.25", "+05:30", Decimal("86400.25")),
        ("timestamp", b"1970-01-01 19:00:00", "-05:00", Decimal(86400)),
        ("timestamp", b"0000-00-00 00:00:00", "utc", Decimal(0)),
        ("timestamp", b"1970-01-02 00:00:00", None, None),
        ("timestamp", b"1970-01-02 00:00:00", "Europe/Vienna", None),
        ("double", b"0.1", "+00:00", None),
        ("float", b"0.1", "+00:00", None),
        ("varchar", "é", None, "é"),
        ("varchar", b"\xe9", None, None),
        ("varbinary", b"\xe9", None, b"\xe9"),
        ("bit", b"\x01\x00", None, 256),
        ("decimal", b"-1.50", None, Decimal("-1.5")),
        ("int", b"007", None, 7),
    ],
)
def test_values_become_keys_or_a_reason(kind: str, value: str | bytes, time_zone: str | None, key: object) -> None:
    shown = Pinned((PinnedColumn("lab", "t", "k", "k"),), frozenset({(value,)}))
    statement = Statement(1, "SELECT k FROM lab.t LIMIT 1", Session(time_zone=time_zone), pins=(shown,))
    resolution = resolve(statement, table(kind))
    (rule,) = resolution.rules
    assert rule.keys == (None if key is None else {(key,)})
    assert ("are not pinned: " in resolution.reason) == (key is None)
