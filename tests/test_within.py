"""Limits by intersection against their definition, computed by brute force; and what statements lose."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.private_server import PrivateServer
from graph.cascade import Parts, cascade, leaf_rule
from graph.database import Credentials, Database, ServerAddress
from graph.decisions import Decisions
from graph.documents import Meta
from graph.errors import InputError
from graph.export import Export, export
from graph.limits import Within, parse_within
from graph.names import TableName
from graph.schema import read_schema
from graph.slice import Slice
from tests import harness
from tests.closure_cases import Case
from tests.harness import Djproxy, drop
from tests.slice_example import judged
from tests.test_cascade import keys, random_cases, some

META = Meta("Paper", "db.lab.example:3306", "0.1.0")


@pytest.mark.parametrize(
    ("text", "within"),
    [
        ("lab.t: a = 1", Within(TableName("lab", "t"), "a = 1")),
        ("  `l.b`.`t:x`:a=':'", Within(TableName("l.b", "t:x"), "a=':'")),
        ("lab.t:\n a = 1 -- why", Within(TableName("lab", "t"), "a = 1 -- why")),
    ],
)
def test_limits_as_written(text: str, within: Within) -> None:
    assert parse_within(text) == within


@pytest.mark.parametrize("text", ["", "lab.t", "lab.t:", "lab.t: ", "t: a=1", "lab.*: a=1", ": a=1"])
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(InputError, match="is no limit"):
        parse_within(text)


# Against the definition


@pytest.fixture(scope="module")
def reader(server: PrivateServer) -> Iterator[Database]:
    with Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password)) as found:
        yield found


_Keys = dict[str, set[tuple[Any, ...]]]


def expected(
    case: Case, leaves: Mapping[str, set[tuple[Any, ...]]], limits: Mapping[str, set[tuple[Any, ...]]]
) -> _Keys:
    """Row by row: a row that is asked for is kept when it needs rows of each limited table that its table leads to, and
    none but the allowed ones; then what the kept rows need."""
    graph = nx.DiGraph((link.child, link.parent) for link in case.links)
    graph.add_nodes_from(case.keys)
    kept: _Keys = {}
    for table, picked in leaves.items():
        limited = [name for name in limits if table == name or name in nx.descendants(graph, table)]
        for key in picked:
            needed = case.closure({table: {key}})
            if all(needed[name] and needed[name] <= limits[name] for name in limited):
                kept.setdefault(table, set()).add(key)
    return case.closure(kept)


def condition(case: Case, table: str, picked: set[tuple[Any, ...]]) -> str:
    return (
        " OR ".join(
            " AND ".join(f"{name}={value}" for name, value in zip(case.keys[table], key, strict=True))
            for key in sorted(picked)
        )
        or "FALSE"
    )


@st.composite
def limited_cases(draw: st.DrawFn) -> tuple[Case, _Keys, list[tuple[str, set[tuple[Any, ...]]]]]:
    """A random case with leaves in several tables, and up to three limits, perhaps two on one table."""
    case, leaves = draw(random_cases())

    def some_rows(table: str) -> set[tuple[Any, ...]]:
        rows = [tuple(row[name] for name in case.keys[table]) for row in case.rows[table]]
        return draw(st.sets(st.sampled_from(rows))) if rows else set()

    for table in draw(st.sets(st.sampled_from(sorted(case.keys)))):
        leaves.setdefault(table, set()).update(some_rows(table))
    tables = draw(st.lists(st.sampled_from(sorted(case.keys)), min_size=1, max_size=3))
    return case, leaves, [(table, some_rows(table)) for table in tables]


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(random=limited_cases())
def test_random_schemas_against_the_definition(
    server: PrivateServer, reader: Database, random: tuple[Case, _Keys, list[tuple[str, set[tuple[Any, ...]]]]]
) -> None:
    case, leaves, limits = random
    schema = f"t_{secrets.token_hex(4)}"
    server.execute(f"CREATE DATABASE {schema}")
    try:
        with server.connect() as connection:
            case.load(connection, schema)
        read = read_schema(reader, [TableName(schema, name) for name in case.keys])
        rules = [
            leaf_rule(read.tables[TableName(schema, table)], condition(case, table, picked))
            for table, picked in leaves.items()
        ]
        within = [Within(TableName(schema, table), condition(case, table, rows)) for table, rows in limits]
        found = cascade(reader, read, rules, parts=Parts.NONE, within=within)
    finally:
        server.execute(f"DROP DATABASE {schema}")
    allowed: _Keys = {}
    for table, rows in limits:
        allowed.setdefault(table, set()).update(rows)
    assert keys(found) == some(expected(case, leaves, allowed))


# Statements


@pytest.fixture
def lab(server: PrivateServer, database: str) -> str:
    """Two owners' sessions with trials; a lookup table; a merge table over trials; a table without a key."""
    server.execute(
        *(
            text.format(s=database)
            for text in (
                "CREATE TABLE {s}.rig (rig INT PRIMARY KEY)",
                "CREATE TABLE {s}.session (id INT PRIMARY KEY, owner VARCHAR(9), rig INT,"
                " FOREIGN KEY (rig) REFERENCES {s}.rig (rig))",
                "CREATE TABLE {s}.trial (id INT, nr INT, PRIMARY KEY (id, nr),"
                " FOREIGN KEY (id) REFERENCES {s}.session (id))",
                "CREATE TABLE {s}.output (m BINARY(16) PRIMARY KEY, source VARCHAR(32))",
                "CREATE TABLE {s}.output__trial (m BINARY(16) PRIMARY KEY, id INT, nr INT,"
                " FOREIGN KEY (m) REFERENCES {s}.output (m), FOREIGN KEY (id, nr) REFERENCES {s}.trial (id, nr))",
                "CREATE TABLE {s}.log (id INT, FOREIGN KEY (id) REFERENCES {s}.session (id))",
                "INSERT INTO {s}.rig VALUES (1), (2), (3)",
                "INSERT INTO {s}.session VALUES (1, 'me', 1), (2, 'me', 1), (3, 'them', 2)",
                "INSERT INTO {s}.trial VALUES (1, 1), (1, 2), (2, 1), (3, 1), (3, 2), (3, 3)",
                "INSERT INTO {s}.output VALUES ('10', 'Trial'), ('30', 'Trial')",
                "INSERT INTO {s}.output__trial VALUES ('10', 1, 1), ('30', 3, 1)",
                "INSERT INTO {s}.log VALUES (1), (2)",
            )
        )
    )
    return database


def run(server: PrivateServer, folder: Path, texts: list[str], *within: str) -> Export:
    recorded = judged(*texts)
    with Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password)) as source:
        return export(
            source, recorded, folder / "out", META, decisions=Decisions(within=tuple(map(parse_within, within)))
        )


def rows(found: Slice) -> dict[str, int]:
    return {name.name: sliced.rows for name, sliced in found.tables.items() if sliced.rows}


def test_what_statements_lose_is_named(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    texts = [
        f"SELECT * FROM {lab}.trial WHERE nr < 3",
        f"SELECT * FROM {lab}.trial WHERE id = 2",
        f"SELECT COUNT(*), id FROM {lab}.trial GROUP BY id",
        f"SELECT * FROM {lab}.rig WHERE rig = 3",
    ]
    made = run(server, tmp_path, texts, f"{lab}.session: owner = 'me'")
    assert rows(made.slice) == {"trial": 3, "session": 2, "rig": 2}
    trial = TableName(lab, "trial")
    assert [judged.lost for judged in made.statements] == [((trial, 2),), (), ((trial, 3),), ()]
    assert [judged.statement.id for judged in made.limited] == [1, 3]
    review = json.loads((made.bundle.folder / "review.json").read_text())
    assert review["statements"][0]["lost"] == [{"schema": lab, "name": "trial", "rows": 2}]
    queries = (made.bundle.publish / "queries.sql").read_text()
    assert [text in queries for text in texts] == [False, True, False, True]
    published = b"".join(path.read_bytes() for path in made.bundle.publish.iterdir())
    assert b"owner = " not in published


def test_a_merge_master_descends_by_its_parts(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    made = run(server, tmp_path, [f"SELECT * FROM {lab}.output"], f"{lab}.session: owner = 'me'")
    assert rows(made.slice) == {"output": 1, "output__trial": 1, "trial": 1, "session": 1, "rig": 1}
    assert made.statements[0].lost == ((TableName(lab, "output"), 1),)


def test_a_table_without_a_key_is_kept_whole_or_lost(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    texts = [f"SELECT * FROM {lab}.log", f"SELECT * FROM {lab}.rig WHERE rig = 3"]
    assert rows(run(server, tmp_path, texts, f"{lab}.session: owner = 'me'").slice)["log"] == 2
    server.execute(f"INSERT INTO {lab}.log VALUES (3)")
    made = run(server, tmp_path, texts, f"{lab}.session: owner = 'me'")
    assert rows(made.slice) == {"rig": 1}
    assert made.statements[0].lost == ((TableName(lab, "log"), 1),)
    server.execute(f"DELETE FROM {lab}.log WHERE id = 3", f"INSERT INTO {lab}.log VALUES (NULL)")
    assert rows(run(server, tmp_path, texts, f"{lab}.session: owner = 'me'").slice) == {"rig": 1}


def test_limits_of_one_table_add_up_and_those_of_two_intersect(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    texts = [f"SELECT * FROM {lab}.trial"]
    one = run(server, tmp_path, texts, f"{lab}.session: id = 1", f"{lab}.session: id = 3")
    assert rows(one.slice) == {"trial": 5, "session": 2, "rig": 2}
    two = run(server, tmp_path, texts, f"{lab}.session: id < 3", f"{lab}.rig: rig = 2")
    assert rows(two.slice) == {}
    both = run(server, tmp_path, texts, f"{lab}.session: id < 3", f"{lab}.rig: rig = 1")
    assert rows(both.slice) == {"trial": 3, "session": 2, "rig": 1}


def test_existence_is_shown_by_a_row_that_is_allowed(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    texts = [
        f"SELECT * FROM {lab}.rig WHERE rig = 3 AND EXISTS (SELECT 1 FROM {lab}.trial)",
        f"SELECT * FROM {lab}.rig WHERE rig = 2 AND EXISTS (SELECT 1 FROM {lab}.trial WHERE id < 3)",
    ]
    made = run(server, tmp_path, texts, f"{lab}.session: owner = 'them'")
    assert rows(made.slice) == {"rig": 2, "trial": 1, "session": 1}
    assert [judged.lost for judged in made.statements] == [(), ((TableName(lab, "trial"), 1),)]


def test_an_anti_join_that_would_answer_more_is_limited(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    sql = f"SELECT * FROM {lab}.rig r WHERE NOT EXISTS (SELECT 1 FROM {lab}.session s WHERE s.rig = r.rig)"
    made = run(server, tmp_path, [sql, f"SELECT * FROM {lab}.rig"], f"{lab}.session: owner = 'me'")
    assert made.statements[0].lost == ((TableName(lab, "session"), 1),)


@pytest.mark.parametrize(
    ("within", "message"),
    [
        ("{s}.nothing: TRUE", "no such table"),
        ("{s}.log: TRUE", "has no key"),
        ("{s}.v: TRUE", "is a view"),
        ("{s}.session: owner = ", "the limit .* is no condition on .*session"),
        ("{s}.session: nobody = 1", "the limit .* is no condition on .*session"),
    ],
)
def test_bad_limits_are_refused(server: PrivateServer, reader: Database, lab: str, within: str, message: str) -> None:
    server.execute(f"CREATE VIEW {lab}.v AS SELECT * FROM {lab}.rig")
    schema = read_schema(reader, [TableName(lab, "trial")])
    with pytest.raises(InputError, match=message):
        rules = [leaf_rule(schema.tables[TableName(lab, "trial")])]
        cascade(reader, schema, rules, within=[parse_within(within.format(s=lab))])


def test_limits_that_limit_nothing_or_leave_nothing_are_warned_of(
    server: PrivateServer, lab: str, tmp_path: Path
) -> None:
    made = run(server, tmp_path, [f"SELECT * FROM {lab}.rig WHERE rig = 1"], f"{lab}.session: TRUE")
    assert made.slice.warnings == (
        f"the limit to {lab}.session (TRUE) limits nothing: no row of the slice descends from {lab}.session",
    )
    made = run(server, tmp_path, [f"SELECT * FROM {lab}.trial WHERE id = 1"], f"{lab}.session: owner = 'nobody'")
    assert f"the limit to {lab}.session (owner = 'nobody') holds for none of its rows" in made.slice.warnings[0]


def test_the_command_names_losses_and_verify_leaves_these_out(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str
) -> None:
    texts = [f"SELECT * FROM {lab}.trial", f"SELECT nr FROM {lab}.trial WHERE id = 1"]
    djproxy.record("P", server, *texts)
    out = djproxy.home.parent / "bundle"
    within = ("--within", f"{lab}.session: owner = 'me'")
    options = ("export", "--paper", "P", "--defaults-file", server.defaults_file(), *within)
    planned = djproxy.call(*options, "--plan", "--json").json()
    assert [each["lost"] for each in planned["limited"]] == [[{"schema": lab, "name": "trial", "rows": 3}]]
    tools = {"MYSQLDUMP": str(server.tools.dump), "MYSQL": str(server.tools.client)}
    answer = djproxy.call(*options, "--out", out, "--run", **tools)
    assert f"loses 3 rows of {lab}.trial; the slice does not answer it" in answer.stderr
    assert "; 1 of these limited\n" in answer.stdout
    harness.restore(out, restored)
    try:
        assert len(harness.rows_of(restored, f"{lab}.session")) == 2
        report = djproxy.verify("P", server, restored, out).json()
        assert (report["queries"], report["identical"], report["limited"]) == (1, 1, 1)
    finally:
        drop(restored, lab)
    refused = djproxy.call(*options[:5], "--within", "session", status=2)
    assert "SCHEMA.TABLE: WHERE" in refused.stderr
