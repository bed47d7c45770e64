"""DataJoint's own displays and counts, and what only looks like them."""

from __future__ import annotations

from dataclasses import replace

import networkx as nx
import pytest

from graph.leaves import read, resolve
from graph.names import TableName
from graph.schema import Column, Schema, Table
from graph.statement import Session, Statement, StatementClass

NOWHERE = Session()

#: What DataJoint 0.14.6 and 2.3.5 send for the display of a query, and for the count that follows; tables as in LAB.
DISPLAYS = {
    "a table with a blob": (
        "SELECT `subject`,`sex` FROM `lab`.`subject` ORDER BY `subject` LIMIT 13",
        "SELECT count(DISTINCT `subject`) FROM `lab`.`subject`",
    ),
    "a restriction (2)": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` WHERE ( (sess=3)) ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(*) FROM (SELECT DISTINCT `subject`,`sess` FROM `lab`.`session` WHERE ( (sess=3))) "
        "AS distinct_count",
    ),
    "a restriction (0.14)": (
        'SELECT `subject`,`sess`,`rate` FROM `lab`.`session` WHERE ( (`subject`="a")) ORDER BY `subject`, `sess` '
        "LIMIT 13",
        'SELECT count(DISTINCT `subject`,`sess`) FROM `lab`.`session` WHERE ( (`subject`="a"))',
    ),
    "a join (2)": (
        "SELECT `subject`,`sess`,`rate`,`sex` FROM `lab`.`session` JOIN `lab`.`subject` USING (`subject`) "
        "ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(*) FROM (SELECT DISTINCT `subject`,`sess` FROM `lab`.`session` JOIN `lab`.`subject` "
        "USING (`subject`)) AS distinct_count",
    ),
    "a join (0.14)": (
        "SELECT `subject`,`sess`,`rate`,`sex` FROM `lab`.`session` NATURAL JOIN `lab`.`subject` "
        "ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(DISTINCT `subject`,`sess`) FROM `lab`.`session` NATURAL JOIN `lab`.`subject`",
    ),
    "a renamed key": (
        "SELECT `subject`,`sess` as `s`,`rate` FROM `lab`.`session` ORDER BY `subject`, `s` LIMIT 13",
        "SELECT count(DISTINCT `subject`,`sess`) FROM `lab`.`session`",
    ),
    "a computed attribute": (
        "SELECT `subject`,`sess`,`rate`,rate*2 as `y` FROM `lab`.`session` ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(DISTINCT `subject`,`sess`) FROM `lab`.`session`",
    ),
    "an aggregation (2)": (
        "SELECT `subject`,count(*) as `n`,avg(rate) as `m` FROM `lab`.`subject` LEFT JOIN `lab`.`session` "
        "USING (`subject`) GROUP BY `subject` ORDER BY `subject` LIMIT 13",
        "SELECT count(1) FROM (SELECT `subject`,count(*) as `n`,avg(rate) as `m` FROM `lab`.`subject` "
        "LEFT JOIN `lab`.`session` USING (`subject`) GROUP BY `subject`) `$0`",
    ),
    "an aggregation over U (0.14)": (
        "SELECT `sess`,count(*) as `n` FROM `lab`.`session` GROUP BY `sess` ORDER BY `sess` LIMIT 13",
        "SELECT count(1) FROM (SELECT `sess`,count(*) as `n` FROM `lab`.`session` GROUP BY `sess`) `$3`",
    ),
    "the values of U": (
        "SELECT DISTINCT `sess` FROM `lab`.`session` ORDER BY `sess` LIMIT 13",
        "SELECT count(DISTINCT `sess`) FROM `lab`.`session`",
    ),
    "a union (2)": (
        "SELECT `subject`,`sess` FROM (SELECT * FROM ((SELECT `subject`,`sess` FROM `lab`.`session`) UNION "
        "(SELECT `subject`,`sess` FROM `lab`.`__seg`)) as `_u0`) as `$0` ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(*) FROM (SELECT DISTINCT `subject`,`sess` FROM (SELECT * FROM ((SELECT `subject`,`sess` FROM "
        "`lab`.`session`) UNION (SELECT `subject`,`sess` FROM `lab`.`__seg`)) as `_u1`) as `$1`) AS distinct_count",
    ),
    "a union with attributes (0.14)": (
        "SELECT `subject`,`sess`,`rate` FROM ((SELECT `subject`,`sess`,`rate` FROM `lab`.`session` NATURAL LEFT JOIN "
        "`lab`.`__seg`) UNION (SELECT `subject`,`sess`,NULL as `rate` FROM `lab`.`__seg` WHERE ((`subject`,`sess`) "
        "not in (SELECT `subject`,`sess` FROM `lab`.`session`)))) as `$2` ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(DISTINCT `subject`,`sess`) FROM ((SELECT `subject`,`sess`,`rate` FROM `lab`.`session` NATURAL "
        "LEFT JOIN `lab`.`__seg`) UNION (SELECT `subject`,`sess`,NULL as `rate` FROM `lab`.`__seg` WHERE "
        "((`subject`,`sess`) not in (SELECT `subject`,`sess` FROM `lab`.`session`)))) as `$3`",
    ),
    "a restricted projection": (
        "SELECT `subject`,`sess`,`rate`,`y` FROM (SELECT `subject`,`sess`,`rate`,rate*2 as `y` FROM `lab`.`session`) "
        "as `$4` WHERE ( (y>3)) ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(DISTINCT `subject`,`sess`) FROM (SELECT `subject`,`sess`,`rate`,rate*2 as `y` FROM "
        "`lab`.`session`) as `$5` WHERE ( (y>3))",
    ),
    "a join of derived tables, a blob in one": (
        "SELECT `subject`,`n`,`sex` FROM (SELECT `subject`,count(*) as `n` FROM `lab`.`subject` NATURAL JOIN "
        "`lab`.`session` GROUP BY `subject`) as `$a` NATURAL JOIN (SELECT `subject`,`sex`,`note` FROM "
        "`lab`.`subject`) as `$b` ORDER BY `subject` LIMIT 13",
        "SELECT count(DISTINCT `subject`) FROM (SELECT `subject`,count(*) as `n` FROM `lab`.`subject` NATURAL JOIN "
        "`lab`.`session` GROUP BY `subject`) as `$c` NATURAL JOIN (SELECT `subject`,`sex`,`note` FROM "
        "`lab`.`subject`) as `$d`",
    ),
}

COUNT = "SELECT count(DISTINCT `subject`,`sess`) FROM `lab`.`session`"
#: What a person asked for, before the count of the same query, with the count.
FETCHES = {
    "another limit": ("SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `subject`, `sess` LIMIT 3", COUNT),
    "a head of 25": ("SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `subject`, `sess` LIMIT 25", COUNT),
    "the last by a value": ("SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `rate` desc LIMIT 13", COUNT),
    "the first by a value": ("SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `rate` LIMIT 13", COUNT),
    "a part of the key": ("SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `subject` LIMIT 13", COUNT),
    "the key the other way": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `sess`, `subject` LIMIT 13",
        COUNT,
    ),
    "a tail": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `subject` DESC, `sess` DESC LIMIT 13",
        COUNT,
    ),
    "an explicit direction": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `subject` ASC, `sess` ASC LIMIT 13",
        COUNT,
    ),
    "keys": ("SELECT `subject`,`sess` FROM `lab`.`session` ORDER BY `subject`, `sess` LIMIT 13", COUNT),
    "one attribute of a join": (
        "SELECT `subject`,`sess`,`sex` FROM `lab`.`session` NATURAL JOIN `lab`.`subject` "
        "ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(DISTINCT `subject`,`sess`) FROM `lab`.`session` NATURAL JOIN `lab`.`subject`",
    ),
    "one value of an aggregation": (
        "SELECT `subject`,count(*) as `n` FROM `lab`.`session` GROUP BY `subject` ORDER BY `subject` LIMIT 13",
        "SELECT count(1) FROM (SELECT `subject`,count(*) as `n`,avg(rate) as `m` FROM `lab`.`session` "
        "GROUP BY `subject`) `$0`",
    ),
    "all columns": ("SELECT * FROM lab.session ORDER BY subject, sess LIMIT 13", COUNT),
    "a blob": (
        "SELECT `subject`,`sex`,`note` FROM `lab`.`subject` ORDER BY `subject` LIMIT 13",
        "SELECT count(DISTINCT `subject`) FROM `lab`.`subject`",
    ),
    "a blob beside a count": (
        "SELECT `subject`,`note`,count(*) as `n` FROM `lab`.`subject` NATURAL JOIN `lab`.`session` GROUP BY `subject` "
        "ORDER BY `subject` LIMIT 13",
        "SELECT count(1) FROM (SELECT `subject`,`note`,count(*) as `n` FROM `lab`.`subject` NATURAL JOIN "
        "`lab`.`session` GROUP BY `subject`) `$0`",
    ),
    "no order": ("SELECT `subject`,`sess`,`rate` FROM `lab`.`session` LIMIT 13", COUNT),
    "an offset": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `subject`, `sess` LIMIT 13 OFFSET 2",
        COUNT,
    ),
    "an expression as order": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY abs(`subject`), `sess` LIMIT 13",
        COUNT,
    ),
    "the count of another query": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` WHERE sess = 1 ORDER BY `subject`, `sess` LIMIT 13",
        COUNT,
    ),
    "a count by hand": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(*) FROM `lab`.`session`",
    ),
    "a count under a name": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(DISTINCT `subject`,`sess`) AS n FROM `lab`.`session`",
    ),
    "a join by a condition": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` JOIN `lab`.`__seg` ON x = rate "
        "ORDER BY `subject`, `sess` LIMIT 13",
        "SELECT count(DISTINCT `subject`,`sess`) FROM `lab`.`session` JOIN `lab`.`__seg` ON x = rate",
    ),
    "a value of another query": (
        "SELECT `subject`,`sess`,`rate`,(SELECT max(x) FROM `lab`.`__seg`) AS m FROM `lab`.`session` "
        "ORDER BY `subject`, `sess` LIMIT 13",
        COUNT,
    ),
    "a window": (
        "SELECT `subject`,`sess`,`rate`,row_number() OVER (ORDER BY rate) AS m FROM `lab`.`session` "
        "ORDER BY `subject`, `sess` LIMIT 13",
        COUNT,
    ),
    "a name twice": (
        "SELECT `subject`,`sess`,`rate`,`rate` FROM `lab`.`session` ORDER BY `subject`, `sess` LIMIT 13",
        COUNT,
    ),
    "an order that is not the key": (
        "SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `rate`, `sess` LIMIT 13",
        "SELECT count(DISTINCT `rate`,`sess`) FROM `lab`.`session`",
    ),
    "other rows under one name": (
        "WITH session AS (SELECT * FROM lab.session WHERE rate > 3) SELECT `subject`,`sess`,`rate` FROM session "
        "ORDER BY `subject`, `sess` LIMIT 13",
        "WITH session AS (SELECT * FROM lab.session WHERE rate < 3) SELECT count(DISTINCT `subject`,`sess`) "
        "FROM session",
    ),
    "another aggregate under one name": (
        "SELECT `subject`,max(rate) as `m` FROM `lab`.`session` GROUP BY `subject` ORDER BY `subject` LIMIT 13",
        "SELECT count(1) FROM (SELECT `subject`,min(rate) as `m` FROM `lab`.`session` GROUP BY `subject`) `$0`",
    ),
    "rows kept aside": (
        "CREATE TABLE x AS SELECT `subject`,`sess`,`rate` FROM `lab`.`session` ORDER BY `subject`, `sess` LIMIT 13",
        COUNT,
    ),
}


def table(name: str, key: tuple[str, ...], **types: str) -> Table:
    columns = tuple(Column(column, kind, kind, False) for column, kind in types.items())
    return Table(TableName("lab", name), columns, key)


def lab() -> Schema:
    tables = [
        table("subject", ("subject",), subject="varchar", sex="char", note="longblob"),
        table("session", ("subject", "sess"), subject="varchar", sess="int", rate="double"),
        table("__seg", ("subject", "sess"), subject="varchar", sess="int", x="double"),
    ]
    graph: nx.MultiDiGraph[TableName] = nx.MultiDiGraph()
    graph.add_nodes_from(each.name for each in tables)
    return Schema({each.name: each for each in tables}, graph)


def is_display(shown: str, counted: str) -> bool:
    """Whether a statement and the one that follows it are a display of DataJoint's."""
    first, second = read(shown, NOWHERE), read(counted, NOWHERE)
    pair = first.preview_of is not None and first.preview_of == second.count_of
    return pair and resolve(Statement(1, shown), lab()).complete


@pytest.mark.parametrize("what", DISPLAYS)
def test_what_datajoint_displays_is_told_as_a_display(what: str) -> None:
    shown, counted = DISPLAYS[what]
    assert is_display(shown, counted)
    assert read(counted, NOWHERE).statement_class is StatementClass.CHECK


@pytest.mark.parametrize("what", FETCHES)
def test_what_a_person_may_have_asked_for_is_no_display(what: str) -> None:
    assert not is_display(*FETCHES[what])


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT count(DISTINCT `subject`,`sess`) FROM `lab`.`session`", StatementClass.CHECK),
        ("SELECT count(*) FROM (SELECT DISTINCT `subject`,`sess` FROM `lab`.`session`) AS x", StatementClass.CHECK),
        ("SELECT count(DISTINCT `subject`) FROM `lab`.`session`", StatementClass.DATA),
        ("SELECT count(DISTINCT `rate`,`sess`) FROM `lab`.`session`", StatementClass.DATA),
        ("SELECT count(*) FROM (SELECT DISTINCT `rate` FROM `lab`.`session`) AS x", StatementClass.DATA),
    ],
)
def test_a_count_of_values_is_data(sql: str, expected: StatementClass) -> None:
    assert resolve(Statement(1, sql), lab()).statement_class is expected


def test_hidden_attributes_are_not_displayed() -> None:
    schema = lab()
    seg = schema.tables[TableName("lab", "__seg")]
    hidden = Column("_job_start_time", "datetime", "datetime(3)", True)
    tables = {**schema.tables, seg.name: replace(seg, columns=(*seg.columns, hidden))}
    shown = "SELECT `subject`,`sess`,`x` FROM `lab`.`__seg` ORDER BY `subject`, `sess` LIMIT 13"
    assert resolve(Statement(1, shown), replace(schema, tables=tables)).complete


def test_each_query_has_a_display_of_its_own() -> None:
    shown = [read(display, NOWHERE).preview_of for display, _ in DISPLAYS.values()]
    same = {"a renamed key", "a computed attribute"}
    assert len(set(shown)) == len(shown) - len(same) + 1


def test_progress_of_datajoint_2_is_a_check() -> None:
    progress = """
                SELECT
                    COUNT(DISTINCT CONCAT_WS('|', `$ks`.`subject`, `$ks`.`sess`)) AS total,
                    COUNT(DISTINCT CASE WHEN `$tgt`.`subject` IS NULL THEN CONCAT_WS('|', `$ks`.`subject`,
                    `$ks`.`sess`) END) AS remaining
                FROM (SELECT `subject`,`sess` FROM `lab`.`session`) AS `$ks`
                LEFT JOIN (SELECT `subject`,`sess`,`x` FROM `lab`.`__seg`) AS `$tgt` ON
                `$ks`.`subject` = `$tgt`.`subject` AND `$ks`.`sess` = `$tgt`.`sess`"""
    assert read(progress, NOWHERE).statement_class is StatementClass.CHECK
    for other in ("AS total", "`$ks`"), ("total", "`$tgt`"):
        assert read(progress.replace(other[0], "AS n", 1), NOWHERE).statement_class is not StatementClass.CHECK
