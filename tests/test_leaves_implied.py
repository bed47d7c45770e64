"""Rows that need no rule of their own: parents that a query's own join finds by a declared foreign key."""

from __future__ import annotations

import networkx as nx
import pytest

from graph.leaves import RuleKind, resolve
from graph.names import TableName
from graph.schema import Column, ForeignKey, Schema, Table
from graph.statement import Pinned, PinnedColumn, Session, Statement


def table(name: str, columns: str, key: str) -> Table:
    made = tuple(Column(each, "int", "int", False) for each in columns.split())
    return Table(TableName("lab", name), made, tuple(key.split()))


TABLES = [
    table("lab", "lab", "lab"),
    table("subject", "subject lab", "subject"),
    table("session", "subject session boss", "subject session"),
    table("trial", "subject session trial", "subject session trial"),
    table("egg", "egg hen", "egg"),
    table("hen", "hen egg", "hen"),
]
KEYS = [
    ("subject", "lab", "lab", "lab"),
    ("session", "subject", "subject", "subject"),
    ("session", "subject boss", "session", "subject session"),
    ("trial", "subject session", "session", "subject session"),
    ("egg", "hen", "hen", "hen"),
    ("hen", "egg", "egg", "egg"),
]


def schema() -> Schema:
    graph: nx.MultiDiGraph[TableName] = nx.MultiDiGraph()
    graph.add_nodes_from(each.name for each in TABLES)
    for number, (child, own, parent, far) in enumerate(KEYS):
        names = TableName("lab", child), TableName("lab", parent)
        key = ForeignKey(f"k{number}", names[0], tuple(own.split()), names[1], tuple(far.split()))
        graph.add_edge(*names, key=key.name, foreign_key=key)
    return Schema({each.name: each for each in TABLES}, graph)


def leaves(sql: str, *, pins: tuple[Pinned, ...] = ()) -> list[str]:
    """The tables that have a leaf rule of their own."""
    resolution = resolve(Statement(1, sql, Session(schema="lab"), pins=pins), schema())
    assert resolution.rules, resolution.reason
    return sorted(
        output.table.name for rule in resolution.rules if rule.kind is RuleKind.LEAF for output in rule.outputs
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM trial t JOIN session s ON t.subject = s.subject AND s.session = t.session",
        "SELECT 1 FROM session s, trial t WHERE (t.subject = s.subject) AND t.session = s.session AND t.trial > 3",
        "SELECT 1 FROM session NATURAL JOIN trial",
        "SELECT 1 FROM trial JOIN session USING (session, subject)",
        "SELECT 1 FROM trial t JOIN session s USING (subject, session) JOIN subject u ON u.subject = t.subject"
        " JOIN lab l USING (lab)",
        "SELECT COUNT(*) FROM (SELECT subject AS u, session AS v, trial FROM trial) d JOIN session s"
        " ON s.subject = d.u AND s.session = d.v GROUP BY s.boss HAVING d.v > 1",
        "SELECT 1 FROM (SELECT t.*, s.boss FROM trial t JOIN session s USING (subject, session)) d"
        " RIGHT JOIN trial x ON x.trial = d.boss WHERE x.subject IN (SELECT subject FROM trial)",
    ],
)
def test_parents_need_no_rule(sql: str) -> None:
    assert set(leaves(sql)) == {"trial"}


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        # Part of the key, or another condition than that both are true.
        ("SELECT 1 FROM trial t JOIN session s ON t.subject = s.subject", ["session", "trial"]),
        (
            "SELECT 1 FROM trial t JOIN session s ON t.subject = s.subject AND (t.session = s.session OR s.boss = 1)",
            ["session", "trial"],
        ),
        (
            "SELECT 1 FROM trial t JOIN session s ON t.subject = s.subject AND t.session <=> s.session",
            ["session", "trial"],
        ),
        # A parent that may be there without the child.
        ("SELECT 1 FROM session s LEFT JOIN trial t USING (subject, session)", ["session", "trial"]),
        (
            "SELECT 1 FROM trial t RIGHT JOIN session s ON s.subject = t.subject AND s.session = t.session",
            ["session", "trial"],
        ),
        # Parentheses and commas say what a NATURAL JOIN compares.
        ("SELECT 1 FROM trial t JOIN (lab l NATURAL JOIN session s) ON l.lab = 1", ["lab", "session", "trial"]),
        ("SELECT 1 FROM trial t, lab l NATURAL JOIN session s", ["lab", "session", "trial"]),
        # Another occurrence of the parent.
        (
            "SELECT 1 FROM trial t JOIN session s USING (subject, session) JOIN session x ON x.boss = s.boss",
            ["session", "trial"],
        ),
        (
            "SELECT 1 FROM session s JOIN session b ON b.subject = s.subject AND b.session = s.boss",
            ["session"],
        ),
        # Each is the other's parent: one rule stays.
        ("SELECT 1 FROM egg JOIN hen USING (egg, hen)", ["hen"]),
        (
            "SELECT subject FROM trial UNION SELECT s.subject FROM session s",
            ["session", "trial"],
        ),
    ],
)
def test_others_keep_theirs(sql: str, tables: list[str]) -> None:
    assert leaves(sql) == tables


def test_where_results_name_rows_each_table_has_its_rule() -> None:
    columns = tuple(PinnedColumn("lab", "s", name, name) for name in ("subject", "session"))
    pins = (Pinned(columns, frozenset({(b"1", b"2")})),)
    sql = "SELECT s.subject, s.session FROM trial t JOIN session s USING (subject, session)"
    assert leaves(sql, pins=pins) == ["session", "trial"]
