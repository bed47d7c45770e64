"""Views go out as SHOW CREATE VIEW writes them: they load elsewhere, and answer there as they do at the source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.documents import Judged
from graph.export import Export, export
from graph.names import TableName
from graph.replay import Verdict, replay
from graph.statement import Session, Statement, StatementClass
from graph.surplus import Surplus
from graph.view_text import PLAIN, ViewForm, calls_stored_function, has_raw_bytes, view_parts
from tests.dumping import META, READER, Pair, call, connect, fetch, restored, run, tools
from tests.slice_example import judged

TABLES = (
    "CREATE DATABASE lab",
    "CREATE TABLE lab.t (id INT PRIMARY KEY, a INT, b INT, v INT, s VARCHAR(20))",
    "INSERT INTO lab.t VALUES (1,1,1,10,'x'), (2,1,2,20,'y'), (3,2,1,30,'%a_b'), (4,2,2,99,NULL)",
    "CREATE VIEW lab.base AS SELECT a FROM lab.t WHERE a < 2",
)
ROLLUP = "CREATE VIEW lab.w AS SELECT a, SUM(v) s FROM lab.t GROUP BY a WITH ROLLUP"
VIEWS = {
    "rollup": ROLLUP,
    "rollup of two": "CREATE VIEW lab.w AS SELECT a, b, SUM(v) s FROM lab.t GROUP BY a, b WITH ROLLUP",
    "rollup of an expression": "CREATE VIEW lab.w AS SELECT a + 1 x, SUM(v) s FROM lab.t GROUP BY a + 1 WITH ROLLUP",
    "rollup inside": "CREATE VIEW lab.w AS SELECT d.* FROM (SELECT a, SUM(v) s FROM lab.t GROUP BY a WITH ROLLUP) d"
    " WHERE d.a IS NULL",
    "rollup having": "CREATE VIEW lab.w AS SELECT COALESCE(a, 9) x, SUM(v) s, COUNT(*) c FROM lab.t"
    " GROUP BY a WITH ROLLUP HAVING SUM(v) > 31",
    "rollup on a view": "CREATE VIEW lab.w AS SELECT a, COUNT(*) c FROM lab.base GROUP BY a WITH ROLLUP",
    "window": "CREATE VIEW lab.w AS SELECT a, SUM(v) OVER (PARTITION BY a ORDER BY v) s FROM lab.t",
    "cte": "CREATE VIEW lab.w AS WITH x AS (SELECT a, v FROM lab.t WHERE a > 1) SELECT * FROM x",
    "json_table": "CREATE VIEW lab.w AS SELECT j.x, t.a FROM lab.t,"
    " JSON_TABLE('[1,2]', '$[*]' COLUMNS (x INT PATH '$')) j",
    "union": "CREATE VIEW lab.w AS (SELECT a FROM lab.t) UNION ALL (SELECT v FROM lab.t)",
    "check option": "CREATE ALGORITHM=MERGE VIEW lab.w AS SELECT * FROM lab.t WHERE a > 1 WITH LOCAL CHECK OPTION",
    "algorithm": "CREATE ALGORITHM=TEMPTABLE VIEW lab.w AS SELECT a, v FROM lab.t",
    "columns": "CREATE VIEW lab.w (`x ``y`, `q.r`, `b AS ```) AS"
    " SELECT a, a, CONCAT(' AS ', 'DEFINER=`x`@`y` AS ') FROM lab.t",
    "literals": "CREATE VIEW lab.w AS SELECT 'it''s \\\\ \\n' l, _latin1'x' m, x'41' h, 'WITH LOCAL CHECK OPTION' o,"
    " 'ü😀' u, a FROM lab.t WHERE s LIKE '%a\\_b' OR s = 'DEFINER=`x`@`y` SQL SECURITY'",
    "on a view": "CREATE VIEW lab.w AS SELECT base.a, t.v FROM lab.base JOIN lab.t USING (a)",
    "subqueries": "CREATE VIEW lab.w AS SELECT a, (SELECT MAX(v) FROM lab.t u WHERE u.a = t.a) m FROM lab.t"
    " WHERE EXISTS (SELECT 1 FROM lab.base WHERE base.a = t.a)",
}
MYSQL = {
    "rollup in brackets": "CREATE VIEW lab.w AS SELECT a, b, SUM(v) s FROM lab.t GROUP BY ROLLUP (a, b)",
    "grouping": "CREATE VIEW lab.w AS SELECT a, GROUPING(a) g, IF(GROUPING(a), 'all', a) l, SUM(v) s FROM lab.t"
    " GROUP BY a WITH ROLLUP HAVING GROUPING(a) = 1 OR a = 1 ORDER BY GROUPING(a)",
    "rollup ranked": "CREATE VIEW lab.w AS SELECT a, SUM(v) s, RANK() OVER (ORDER BY SUM(v)) r FROM lab.t"
    " GROUP BY a WITH ROLLUP",
}
#: All flavours' views, each by what it shows.
ALL = [*VIEWS, *MYSQL]


@pytest.fixture
def lab(clean: Pair) -> Iterator[Pair]:
    """The tables, and a reader who may see definitions."""
    clean.source.execute(*TABLES, f"GRANT SELECT, SHOW VIEW ON lab.* TO {READER}@'%'")
    yield clean
    clean.source.execute(f"REVOKE SELECT, SHOW VIEW ON lab.* FROM {READER}@'%'")


def exported(source: PrivateServer, folder: Path, *texts: str, direct: bool = False) -> Export:
    with connect(source) as database:
        return export(database, judged(*texts), folder, META, direct=direct)


def copied(pair: Pair, made: Export) -> None:
    run(made.bundle, pair.source)
    restored(made.bundle, pair.copy)


def verdicts(pair: Pair, *texts: str) -> list[tuple[Verdict, str, Surplus, Surplus]]:
    """How both servers answer."""
    with connect(pair.source) as source, connect(pair.copy, pair.copy.user, pair.copy.password) as copy:
        # A pattern's escape is the mode's.
        asked = [Statement(number, text, Session(sql_mode="")) for number, text in enumerate(texts, 1)]
        return [(each.verdict, each.reason, each.only_source, each.only_copy) for each in replay(source, copy, asked)]


def make(pair: Pair, which: str) -> None:
    if which in MYSQL and pair.source.flavour != "mysql":
        pytest.skip("only MySQL has it")
    pair.source.execute((VIEWS | MYSQL)[which])


@pytest.mark.parametrize("which", ALL)
def test_a_view_loads_and_answers_as_at_the_source(lab: Pair, tmp_path: Path, which: str) -> None:
    make(lab, which)
    lab.source.execute("CREATE VIEW lab.z AS SELECT * FROM lab.w")
    texts = ["SELECT * FROM lab.w", "SELECT * FROM lab.z"]
    made = exported(lab.source, tmp_path / "bundle", *texts)
    assert made.unresolved == []
    copied(lab, made)
    assert {found[0] for found in verdicts(lab, *texts)} == {Verdict.IDENTICAL}, verdicts(lab, *texts)
    columns = "SELECT COLUMN_NAME FROM information_schema.COLUMNS WHERE TABLE_NAME = 'w' ORDER BY ORDINAL_POSITION"
    assert fetch(lab.copy, columns) == fetch(lab.source, columns)
    kinds = "SELECT CHECK_OPTION, IS_UPDATABLE FROM information_schema.VIEWS WHERE TABLE_NAME = 'w'"
    assert fetch(lab.copy, kinds) == fetch(lab.source, kinds)
    dumped = made.bundle.slice_file.read_text()
    assert "rollup_" not in dumped and "DEFINER=`root" not in dumped and READER not in dumped


@pytest.mark.parametrize("which", ["rollup", "columns", "check option"])
def test_a_view_loads_with_a_prefix_and_from_a_direct_export(lab: Pair, tmp_path: Path, which: str) -> None:
    make(lab, which)
    made = exported(lab.source, tmp_path / "bundle", "SELECT * FROM lab.w", direct=True)
    answer = call(made.bundle.publish / "restore.sh", tools(lab.copy), "--mode", "rename", "other_")
    assert answer.returncode == 0, answer.stderr
    assert fetch(lab.copy, "SELECT * FROM other_lab.w") == fetch(lab.source, "SELECT * FROM lab.w")


def test_a_condition_on_a_rollup_takes_the_rows_that_the_sums_are_of(lab: Pair, tmp_path: Path) -> None:
    lab.source.execute(ROLLUP, "INSERT INTO lab.t VALUES (5, 3, 1, 7, 'z')")
    text = "SELECT * FROM lab.w WHERE s > 100"
    made = exported(lab.source, tmp_path / "bundle", text)
    assert made.unresolved == []
    copied(lab, made)
    assert fetch(lab.copy, text) == fetch(lab.source, text) != []
    assert verdicts(lab, text)[0][0] is Verdict.IDENTICAL


def test_a_view_that_calls_a_stored_function_is_reported_and_left_out(lab: Pair, tmp_path: Path) -> None:
    lab.source.execute(
        "CREATE FUNCTION lab.twice(x INT) RETURNS INT DETERMINISTIC RETURN 2 * x",
        "CREATE VIEW lab.w AS SELECT id, lab.twice(a) d FROM lab.t",
        f"GRANT EXECUTE ON FUNCTION lab.twice TO {READER}@'%'",
    )
    made = exported(lab.source, tmp_path / "bundle", "SELECT * FROM lab.w", "SELECT * FROM lab.base")
    (missing,) = made.unresolved
    assert missing.statement.id == 1
    assert "lab.w" in missing.reason and "stored function" in missing.reason
    copied(lab, made)
    assert fetch(lab.copy, "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'lab'") == [("base",)]


def test_without_the_right_to_see_it_a_view_stays_unresolved(clean: Pair, tmp_path: Path) -> None:
    clean.source.execute(*TABLES, ROLLUP)
    made = exported(clean.source, tmp_path / "bundle", "SELECT * FROM lab.w", "SELECT * FROM lab.t")
    (missing,) = made.unresolved
    assert "SHOW VIEW" in missing.reason


def test_a_view_of_another_schema_than_the_sessions(lab: Pair, tmp_path: Path) -> None:
    """The server leaves out the name of the schema that is the session's own."""
    lab.source.execute(ROLLUP)
    session = Session(schema="lab")
    recorded = [Judged(Statement(1, "SELECT * FROM w", session), StatementClass.DATA, "")]
    with connect(lab.source) as database:
        list(database.rows("SELECT 1", session))
        made = export(database, recorded, tmp_path / "bundle", META)
    assert made.unresolved == []
    copied(lab, made)
    assert fetch(lab.copy, "SELECT * FROM lab.w") == fetch(lab.source, "SELECT * FROM lab.w")


HEAD = "CREATE ALGORITHM={} DEFINER=`a``) AS `@`%` SQL SECURITY DEFINER VIEW `l``b`.`v AS w`"


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (HEAD.format("UNDEFINED") + " AS select 1 AS `1`", ("select 1 AS `1`", PLAIN)),
        (
            HEAD.format("MERGE") + " (`a`,` AS `) AS select 'x' AS `y` WITH CASCADED CHECK OPTION",
            ("select 'x' AS `y`", ViewForm("MERGE", "(`a`,` AS `)", "WITH CASCADED CHECK OPTION")),
        ),
        (
            HEAD.format("UNDEFINED") + " AS select ' WITH LOCAL CHECK OPTION'",
            ("select ' WITH LOCAL CHECK OPTION'", PLAIN),
        ),
        (
            "CREATE ALGORITHM=UNDEFINED DEFINER=`role` SQL SECURITY INVOKER VIEW `v` AS with x as (select 1)select 2",
            ("with x as (select 1)select 2", PLAIN),
        ),
        ("CREATE TABLE `v` (`a` int)", None),
    ],
)
def test_the_parts_of_a_view(shown: str, expected: tuple[str, ViewForm] | None) -> None:
    assert view_parts(shown) == expected


@pytest.mark.parametrize(
    ("select", "calls"),
    [
        ("select `lab`.`f`(1) AS `x`", True),
        ("select `lab`.`p`.`f`(`lab`.`t`.`a`) AS `x` from `lab`.`t`", True),
        ("select `lab`.`t`.`a` in (1) AS `x`,'`lab`.`f`(1)' AS `y`,count(`t`.`a`) AS `f` from `lab`.`t`", False),
        ("select 1 AS `lab.f` from (`lab`.`t` join `lab`.`u` on((`t`.`a` = `u`.`a`)))", False),
    ],
)
def test_stored_functions_are_told_from_columns(select: str, calls: bool) -> None:
    assert calls_stored_function(select) is calls


def test_texts_of_a_view_keep_their_character_set(lab: Pair, tmp_path: Path) -> None:
    """They have that of the client that made the view."""
    connection = lab.source.connect(charset="latin1", autocommit=True)
    with closing(connection), connection.cursor() as cursor:
        cursor.execute("CREATE VIEW lab.w AS SELECT id, HEX('é') h, 'é' e, COLLATION('é') c FROM lab.t WHERE s <> 'é'")
        cursor.execute("CREATE VIEW lab.z AS SELECT id, HEX(_binary'é') h FROM lab.t")
    text = "SELECT * FROM lab.w"
    made = exported(lab.source, tmp_path / "bundle", text, "SELECT * FROM lab.z")
    (missing,) = made.unresolved
    assert "latin1" in missing.reason
    copied(lab, made)
    assert fetch(lab.copy, text) == fetch(lab.source, text) != []


@pytest.mark.parametrize(
    ("select", "raw"),
    [("select _latin1'é' AS `x`", True), ("select 'é' AS `_latin1`,_latin1'e',_binary x'ff',`a_b` = 'é'", False)],
)
def test_texts_that_are_bytes_are_told_from_others(select: str, raw: bool) -> None:
    assert has_raw_bytes(select) is raw


def test_views_come_in_the_order_in_which_they_read_each_other(lab: Pair, tmp_path: Path) -> None:
    lab.source.execute(ROLLUP, "CREATE VIEW lab.a AS SELECT * FROM lab.w", "CREATE VIEW lab.b AS SELECT * FROM lab.a")
    made = exported(lab.source, tmp_path / "bundle", "SELECT * FROM lab.b")
    assert {name.name for name in made.slice.tables} == {"t", "w", "a", "b"}
    copied(lab, made)
    assert len(fetch(lab.copy, "SELECT * FROM lab.b")) == 3
    assert made.slice.tables[TableName("lab", "t")].rows == 4
