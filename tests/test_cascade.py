"""The cascade against a closure that the test computes by itself, on real servers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.private_server import PrivateServer
from graph.cascade import Parts, cascade, leaf_rule
from graph.database import Credentials, Database, ServerAddress
from graph.errors import GrantError, InputError
from graph.keys import key_columns, key_expression
from graph.leaves.rules import Output, Role, Rule, RuleKind
from graph.names import TableName
from graph.schema import Schema, read_schema
from graph.slice import PinCheck, Slice
from tests.closure_cases import Case, Link


@pytest.fixture
def reader(server: PrivateServer) -> Iterator[Database]:
    """A connection of an account that may SELECT and nothing more."""
    user = f"r_{secrets.token_hex(4)}"
    server.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'", f"GRANT SELECT ON *.* TO '{user}'@'%'")
    with Database.connect(ServerAddress(server.host, server.port), Credentials(user, "secret")) as database:
        yield database
    server.execute(f"DROP USER '{user}'@'%'")


def load(server: PrivateServer, schema: str, case: Case) -> None:
    with server.connect() as connection:
        case.load(connection, schema)


def run(reader: Database, schema: str, leaves: dict[str, str | None], **options: Any) -> Slice:
    read = read_schema(reader, [TableName(schema, name) for name in leaves])
    rules = [leaf_rule(read.tables[TableName(schema, name)], where) for name, where in leaves.items()]
    return cascade(reader, read, rules, **options)


def keys(found: Slice) -> dict[str, set[tuple[object, ...]]]:
    """By table, those with rows alone."""
    return {name.name: set(table.keys) for name, table in found.tables.items() if table.keys}


def some(needed: dict[str, set[tuple[Any, ...]]]) -> dict[str, set[tuple[Any, ...]]]:
    return {table: rows for table, rows in needed.items() if rows}


PAIRS = Case(
    ddl=[
        "CREATE TABLE subject (subject int, name varchar(20), PRIMARY KEY (subject))",
        "CREATE TABLE session (subject int, session int, experimenter int NULL, PRIMARY KEY (subject, session),"
        " FOREIGN KEY (subject) REFERENCES subject (subject),"
        " FOREIGN KEY (experimenter) REFERENCES subject (subject))",
        "CREATE TABLE pair (pair int, s1 int, n1 int, s2 int NULL, n2 int NULL, PRIMARY KEY (pair),"
        " FOREIGN KEY (s1, n1) REFERENCES session (subject, session),"
        " FOREIGN KEY (s2, n2) REFERENCES session (subject, session))",
    ],
    keys={"subject": ("subject",), "session": ("subject", "session"), "pair": ("pair",)},
    links=[
        Link("session", ("subject",), "subject", ("subject",)),
        Link("session", ("experimenter",), "subject", ("subject",)),
        Link("pair", ("s1", "n1"), "session", ("subject", "session")),
        Link("pair", ("s2", "n2"), "session", ("subject", "session")),
    ],
    rows={
        "subject": [{"subject": i, "name": f"s{i}"} for i in range(10)],
        "session": [
            {"subject": i, "session": j, "experimenter": (i + j) % 10 if j else None}
            for i in range(8)
            for j in range(3)
        ],
        "pair": [
            {"pair": 0, "s1": 0, "n1": 0, "s2": 3, "n2": 1},
            {"pair": 1, "s1": 1, "n1": 2, "s2": None, "n2": 2},
            {"pair": 2, "s1": 2, "n1": 0, "s2": 2, "n2": 0},
            {"pair": 3, "s1": 7, "n1": 2, "s2": 6, "n2": None},
        ],
    },
)


@pytest.mark.parametrize("pair", range(4))
def test_two_renamed_foreign_keys_to_one_parent(
    server: PrivateServer, database: str, reader: Database, pair: int
) -> None:
    load(server, database, PAIRS)
    found = run(reader, database, {"pair": f"pair={pair}"})
    assert keys(found) == some(PAIRS.closure({"pair": {(pair,)}}))
    assert not found.warnings


def test_parents_come_before_children_and_reasons_are_given(
    server: PrivateServer, database: str, reader: Database
) -> None:
    load(server, database, PAIRS)
    found = run(reader, database, {"pair": "pair = 0 -- the first"})
    assert [name.name for name in found.tables] == ["subject", "session", "pair"]
    assert found.tables[TableName(database, "pair")].reasons == ("picked: pair = 0 -- the first",)
    assert found.tables[TableName(database, "session")].reasons == (
        f"referenced by {database}.pair (s1, n1)",
        f"referenced by {database}.pair (s2, n2)",
    )


def test_a_table_taken_entirely_is_whole(server: PrivateServer, database: str, reader: Database) -> None:
    load(server, database, PAIRS)
    found = run(reader, database, {"session": None})
    sessions = found.tables[TableName(database, "session")]
    assert (sessions.whole, sessions.rows, sessions.total) == (True, 24, 24)
    assert not found.tables[TableName(database, "subject")].rows - 10
    assert found.rows == 34


def test_no_rows_still_need_the_structure(server: PrivateServer, database: str, reader: Database) -> None:
    load(server, database, PAIRS)
    found = run(reader, database, {"pair": "FALSE"})
    assert [(name.name, table.rows, table.whole) for name, table in found.tables.items()] == [
        ("subject", 0, False),
        ("session", 0, False),
        ("pair", 0, False),
    ]
    named = run(reader, database, {"subject": "subject=1"}, structure=[TableName(database, "session")])
    assert [(name.name, table.rows) for name, table in named.tables.items()] == [("subject", 1), ("session", 0)]


CYCLES = Case(
    ddl=[
        "CREATE TABLE a (a int PRIMARY KEY, b int NULL, boss int NULL, FOREIGN KEY (boss) REFERENCES a (a))",
        "CREATE TABLE b (b int PRIMARY KEY, c int NULL)",
        "CREATE TABLE c (c int PRIMARY KEY, a int NULL, FOREIGN KEY (a) REFERENCES a (a))",
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b (b)",
        "ALTER TABLE b ADD FOREIGN KEY (c) REFERENCES c (c)",
    ],
    keys={"a": ("a",), "b": ("b",), "c": ("c",)},
    links=[
        Link("a", ("boss",), "a", ("a",)),
        Link("a", ("b",), "b", ("b",)),
        Link("b", ("c",), "c", ("c",)),
        Link("c", ("a",), "a", ("a",)),
    ],
    rows={
        "a": [{"a": i, "b": (i * 7) % 30 if i % 4 else None, "boss": i // 2 if i > 20 else None} for i in range(40)],
        "b": [{"b": i, "c": (i * 11) % 25 if i % 5 else None} for i in range(30)],
        "c": [{"c": i, "a": (i * 13) % 40 if i % 3 else None} for i in range(25)],
    },
)


@pytest.mark.parametrize("leaf", ["a", "b", "c"])
@pytest.mark.parametrize("number", [1, 6, 22])
def test_cycle_and_self_reference(
    server: PrivateServer, database: str, reader: Database, leaf: str, number: int
) -> None:
    load(server, database, CYCLES)
    found = run(reader, database, {leaf: f"{leaf}={number}"})
    assert keys(found) == some(CYCLES.closure({leaf: {(number,)}}))
    assert {name.name for name in found.tables} == {"a", "b", "c"}


MERGE = Case(
    ddl=[
        "CREATE TABLE source (s int PRIMARY KEY)",
        "CREATE TABLE other (o int PRIMARY KEY)",
        "CREATE TABLE `merge` (m int PRIMARY KEY)",
        "CREATE TABLE merge__source (m int PRIMARY KEY, s int NOT NULL,"
        " FOREIGN KEY (m) REFERENCES `merge` (m), FOREIGN KEY (s) REFERENCES source (s))",
        "CREATE TABLE merge__other (m int PRIMARY KEY, o int NOT NULL,"
        " FOREIGN KEY (m) REFERENCES `merge` (m), FOREIGN KEY (o) REFERENCES other (o))",
        "CREATE TABLE downstream (d int PRIMARY KEY, m int NOT NULL, FOREIGN KEY (m) REFERENCES `merge` (m))",
        "CREATE TABLE lookup (l int PRIMARY KEY)",
        "CREATE TABLE lookup__item (l int, i int, PRIMARY KEY (l, i), FOREIGN KEY (l) REFERENCES lookup (l))",
        "CREATE TABLE user (u int PRIMARY KEY, d int, l int, FOREIGN KEY (d) REFERENCES downstream (d),"
        " FOREIGN KEY (l) REFERENCES lookup (l))",
        "CREATE TABLE user__part (u int, p int, PRIMARY KEY (u, p), FOREIGN KEY (u) REFERENCES user (u))",
    ],
    keys={
        "source": ("s",),
        "other": ("o",),
        "merge": ("m",),
        "merge__source": ("m",),
        "merge__other": ("m",),
        "downstream": ("d",),
        "lookup": ("l",),
        "lookup__item": ("l", "i"),
        "user": ("u",),
        "user__part": ("u", "p"),
    },
    links=[
        Link("merge__source", ("m",), "merge", ("m",)),
        Link("merge__source", ("s",), "source", ("s",)),
        Link("merge__other", ("m",), "merge", ("m",)),
        Link("merge__other", ("o",), "other", ("o",)),
        Link("downstream", ("m",), "merge", ("m",)),
        Link("lookup__item", ("l",), "lookup", ("l",)),
        Link("user", ("d",), "downstream", ("d",)),
        Link("user", ("l",), "lookup", ("l",)),
        Link("user__part", ("u",), "user", ("u",)),
    ],
    rows={
        "source": [{"s": i} for i in range(5)],
        "other": [{"o": i} for i in range(5)],
        "merge": [{"m": i} for i in range(6)],
        "merge__source": [{"m": i, "s": i} for i in range(3)],
        "merge__other": [{"m": i, "o": i - 2} for i in range(3, 6)],
        "downstream": [{"d": i, "m": i} for i in range(6)],
        "lookup": [{"l": i} for i in range(3)],
        "lookup__item": [{"l": i, "i": j} for i in range(3) for j in range(2)],
        "user": [{"u": i, "d": i, "l": i % 3} for i in range(6)],
        "user__part": [{"u": i, "p": j} for i in range(6) for j in range(2)],
    },
)
MERGE_PARTS = [
    Link("merge", ("m",), "merge__source", ("m",)),
    Link("merge", ("m",), "merge__other", ("m",)),
]
OTHER_PARTS = [Link("lookup", ("l",), "lookup__item", ("l",)), Link("user", ("u",), "user__part", ("u",))]


@pytest.mark.parametrize(
    ("parts", "links"),
    [(Parts.MERGE, MERGE_PARTS), (Parts.ALL, MERGE_PARTS + OTHER_PARTS), (Parts.NONE, [])],
)
def test_merge_table_is_followed_through_its_parts(
    server: PrivateServer, database: str, reader: Database, parts: Parts, links: list[Link]
) -> None:
    load(server, database, MERGE)
    found = run(reader, database, {"user": "u IN (1, 4)"}, parts=parts)
    expected = Case(MERGE.ddl, MERGE.keys, MERGE.links + links, MERGE.rows)
    assert keys(found) == some(expected.closure({"user": {(1,), (4,)}}))


STRINGS = Case(
    ddl=[
        "CREATE TABLE mouse (mouse varchar(20), PRIMARY KEY (mouse)) COLLATE utf8mb4_general_ci",
        "CREATE TABLE run (mouse varchar(20), run int, PRIMARY KEY (mouse, run),"
        " FOREIGN KEY (mouse) REFERENCES mouse (mouse)) COLLATE utf8mb4_general_ci",
    ],
    keys={"mouse": ("mouse",), "run": ("mouse", "run")},
    links=[Link("run", ("mouse",), "mouse", ("mouse",))],
    rows={
        "mouse": [{"mouse": "Mouse1"}, {"mouse": 'it\'s \\ "odd" `$%\n'}, {"mouse": "MOUSE3 "}],
        "run": [
            {"mouse": "MOUSE1 ", "run": 1},
            {"mouse": "mouse1", "run": 2},
            {"mouse": 'it\'s \\ "odd" `$%\n', "run": 1},
            {"mouse": "mouse3", "run": 1},
        ],
    },
)


@pytest.mark.parametrize("where", ["run=1", "run=2", None])
def test_a_foreign_key_may_differ_in_case_and_spaces(
    server: PrivateServer, database: str, reader: Database, where: str | None
) -> None:
    load(server, database, STRINGS)
    found = run(reader, database, {"run": where})
    leaves = {(row["mouse"], row["run"]) for row in STRINGS.rows["run"] if where in (None, f"run={row['run']}")}
    assert keys(found) == some(STRINGS.closure({"run": leaves}))
    assert not found.warnings


UNIQUE = Case(
    ddl=[
        "CREATE TABLE p (id int PRIMARY KEY, x int, y varbinary(4), UNIQUE (x, y))",
        "CREATE TABLE q (id int PRIMARY KEY, y varbinary(9), x int, FOREIGN KEY (x, y) REFERENCES p (x, y))",
        "CREATE TABLE f (t timestamp(3) NOT NULL, f float NOT NULL, PRIMARY KEY (t, f))",
        "CREATE TABLE g (f float NOT NULL, t timestamp(3) NOT NULL, n int, PRIMARY KEY (f, t, n),"
        " FOREIGN KEY (t, f) REFERENCES f (t, f))",
    ],
    keys={"p": ("id",), "q": ("id",)},
    links=[Link("q", ("x", "y"), "p", ("x", "y"))],
    rows={
        "p": [{"id": i, "x": i % 3 or None, "y": bytes([i, 0])} for i in range(9)],
        "q": [{"id": i, "x": i % 3 or None, "y": bytes([i, 0])} for i in range(9)],
    },
)


def test_foreign_keys_to_unique_keys(server: PrivateServer, database: str, reader: Database) -> None:
    load(server, database, UNIQUE)
    found = run(reader, database, {"q": "id < 5"})
    assert keys(found) == some(UNIQUE.closure({"q": {(i,) for i in range(5)}}))


def test_keys_of_float_and_timestamp(server: PrivateServer, database: str, reader: Database) -> None:
    load(server, database, UNIQUE)
    server.execute(
        f"INSERT INTO {database}.f VALUES ('2024-01-01', 0.1), ('2024-06-01 00:00:00.125', 1e30), ('2000-01-01', 3)",
        f"INSERT INTO {database}.g SELECT f, t, 1 FROM {database}.f",
    )
    found = run(reader, database, {"g": "f < 1 OR f > 1e29"})
    moments, floats = found.tables[TableName(database, "f")], found.tables[TableName(database, "g")]
    assert moments.rows == floats.rows == 2
    assert {key[1] for key in moments.keys} == {key[0] for key in floats.keys}
    assert not found.warnings


def test_across_schemas(server: PrivateServer, database: str, reader: Database) -> None:
    other = f"{database}_o"
    server.execute(
        f"CREATE DATABASE {other}",
        f"CREATE TABLE {other}.grandparent (g int PRIMARY KEY)",
        f"CREATE TABLE {other}.parent (p int PRIMARY KEY, g int, FOREIGN KEY (g) REFERENCES grandparent (g))",
        f"CREATE TABLE {database}.child (c int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES {other}.parent (p))",
        f"INSERT INTO {other}.grandparent VALUES (1), (2)",
        f"INSERT INTO {other}.parent VALUES (1, 2), (2, 1)",
        f"INSERT INTO {database}.child VALUES (1, 1), (2, 2)",
    )
    try:
        found = run(reader, database, {"child": "c=1"})
    finally:
        server.execute(f"DROP DATABASE {database}", f"DROP DATABASE {other}", f"CREATE DATABASE {database}")
    assert keys(found) == {"child": {(1,)}, "parent": {(1,)}, "grandparent": {(2,)}}


def test_tables_without_a_key_are_whole(server: PrivateServer, database: str, reader: Database) -> None:
    server.execute(
        f"CREATE TABLE {database}.parent (u int NULL, UNIQUE (u))",
        f"CREATE TABLE {database}.loose (p int NULL, FOREIGN KEY (p) REFERENCES {database}.parent (u))",
        f"INSERT INTO {database}.parent VALUES (1), (2), (NULL)",
        f"INSERT INTO {database}.loose VALUES (1), (1), (NULL)",
    )
    found = run(reader, database, {"loose": "p=1"})
    assert [(name.name, table.whole, table.rows) for name, table in found.tables.items()] == [
        ("parent", True, 3),
        ("loose", True, 3),
    ]
    assert len(found.warnings) == 2 and all("no key" in warning for warning in found.warnings)


def test_no_row_of_a_table_without_a_key_is_none(server: PrivateServer, database: str, reader: Database) -> None:
    server.execute(f"CREATE TABLE {database}.loose (p int)", f"INSERT INTO {database}.loose VALUES (1)")
    found = run(reader, database, {"loose": "p=2"})
    loose = found.tables[TableName(database, "loose")]
    assert (loose.whole, loose.rows, loose.total) == (False, 0, 1)


@pytest.mark.parametrize("by_projection", [True, False])
def test_orphans_of_the_source_are_named(
    server: PrivateServer, database: str, reader: Database, by_projection: bool
) -> None:
    key = "c, p" if by_projection else "c"
    server.execute(
        f"CREATE TABLE {database}.g (g int PRIMARY KEY)",
        f"CREATE TABLE {database}.p (g int, p int, PRIMARY KEY (p), FOREIGN KEY (g) REFERENCES {database}.g (g))",
        f"CREATE TABLE {database}.c (c int, p int, PRIMARY KEY ({key}), FOREIGN KEY (p) REFERENCES {database}.p (p))",
        "SET foreign_key_checks=0",
        f"INSERT INTO {database}.g VALUES (1), (2)",
        f"INSERT INTO {database}.p VALUES (1, 1), (2, 2), (7, 9)",
        f"INSERT INTO {database}.c VALUES (1, 1), (2, 5), (3, 9)",
        "SET foreign_key_checks=1",
    )
    found = run(reader, database, {"c": None})
    assert keys(found) == {"c": keys(found)["c"], "p": {(1,), (9,)}, "g": {(1,)}}
    assert len(found.warnings) == 2
    assert f"{database}.p" in found.warnings[0] and "5" in found.warnings[0]
    assert f"{database}.g" in found.warnings[1] and "7" in found.warnings[1]


def test_a_missing_grant_is_named_before_anything_else(server: PrivateServer, database: str) -> None:
    load(server, database, PAIRS)
    user = f"u_{secrets.token_hex(4)}"
    server.execute(
        f"CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'",
        f"GRANT SELECT ON {database}.pair TO '{user}'@'%'",
        f"GRANT SELECT ON {database}.session TO '{user}'@'%'",
    )
    with (
        Database.connect(ServerAddress(server.host, server.port), Credentials(user, "secret")) as poor,
        pytest.raises(GrantError) as raised,
    ):
        run(poor, database, {"pair": None})
    server.execute(f"DROP USER '{user}'@'%'")
    assert f"GRANT SELECT ON `{database}`.`subject` TO '{user}'@'%'" in str(raised.value)


@pytest.mark.parametrize(("where", "runs"), [("run % 2 = 0", 3000), (None, 6000)])
def test_more_keys_than_one_statement_holds(
    server: PrivateServer, database: str, reader: Database, where: str | None, runs: int
) -> None:
    """Long names, so that the restriction of the children takes several statements."""
    digits = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
    server.execute(
        f"CREATE TABLE {database}.mouse (mouse varchar(60) PRIMARY KEY, x int)",
        f"CREATE TABLE {database}.run (mouse varchar(60), run int, PRIMARY KEY (mouse, run),"
        f" FOREIGN KEY (mouse) REFERENCES {database}.mouse (mouse))",
        f"INSERT INTO {database}.mouse SELECT CONCAT('a mouse with quite a long name ', a.d, b.d, c.d), 1"
        f" FROM ({digits}) a JOIN ({digits}) b JOIN ({digits}) c",
        f"INSERT INTO {database}.run SELECT mouse, 100 * n.d + ORD(RIGHT(mouse, 1)) + ORD(MID(mouse, 33, 1)) * n.d"
        f" FROM {database}.mouse JOIN ({digits}) n WHERE n.d < 6",
        f"UPDATE {database}.run SET run = run * 2",
        f"UPDATE {database}.run SET run = run + 1 WHERE RIGHT(mouse, 1) < '5'",
    )
    found = run(reader, database, {"run": where})
    children = found.tables[TableName(database, "run")]
    assert (children.rows, children.whole) == (runs, where is None)
    expected = {key[:1] for key in children.keys}
    assert found.tables[TableName(database, "mouse")].keys == expected
    assert len(expected) == runs // 6


# Rules


def selection(schema: Schema, name: TableName, alias: str) -> str:
    columns = key_columns(schema.tables[name])
    return ", ".join(key_expression(column, f"{alias}.`{column.name}`") for column in columns)


@pytest.fixture
def blocks(server: PrivateServer, database: str, reader: Database) -> Schema:
    """Tables `x` and `y` of numbers; y refers to nothing."""
    server.execute(
        f"CREATE TABLE {database}.x (x int PRIMARY KEY, g int)",
        f"CREATE TABLE {database}.y (y int PRIMARY KEY, x int)",
        f"INSERT INTO {database}.x VALUES (1, 1), (2, 1), (3, 2), (4, 2), (5, 3)",
        f"INSERT INTO {database}.y VALUES (10, 1), (11, 3), (12, 3), (13, 5)",
    )
    return read_schema(reader, [TableName(database, "x")])


def test_guard_brings_targets_of_rows_that_are_there(database: str, reader: Database, blocks: Schema) -> None:
    x, y = TableName(database, "x"), TableName(database, "y")
    guard = Rule(
        RuleKind.GUARD,
        f"SELECT {selection(blocks, x, 'x')}, {selection(blocks, y, 'y')}"
        f" FROM {database}.x LEFT JOIN {database}.y ON x.x = y.x",
        (Output(x, Role.CONDITION), Output(y, Role.TARGET)),
        reason="blocking rows",
    )
    found = cascade(reader, blocks, [leaf_rule(blocks.tables[x], "x IN (2, 3)"), guard])
    assert keys(found) == {"x": {(2,), (3,)}, "y": {(11,), (12,)}}
    assert found.tables[y].reasons == ("blocking rows",)


def test_guards_feed_each_other(database: str, reader: Database, blocks: Schema) -> None:
    x = TableName(database, "x")
    chain = Rule(
        RuleKind.GUARD,
        f"SELECT {selection(blocks, x, 'a')}, {selection(blocks, x, 'b')}"
        f" FROM {database}.x a JOIN {database}.x b ON b.x = a.x + 1",
        (Output(x, Role.CONDITION), Output(x, Role.TARGET)),
    )
    found = cascade(reader, blocks, [chain, leaf_rule(blocks.tables[x], "x=3")])
    assert keys(found) == {"x": {(3,), (4,), (5,)}}


def test_group_is_completed(database: str, reader: Database, blocks: Schema) -> None:
    x = TableName(database, "x")
    group = Rule(
        RuleKind.GROUP,
        f"SELECT g, {selection(blocks, x, 'x')}, {selection(blocks, x, 'x')} FROM {database}.x",
        (Output(x, Role.CONDITION), Output(x, Role.TARGET)),
        group=1,
    )
    found = cascade(reader, blocks, [leaf_rule(blocks.tables[x], "x IN (4, 5)"), group])
    assert keys(found) == {"x": {(3,), (4,), (5,)}}


def test_witness_is_taken_from_the_slice_or_added(database: str, reader: Database, blocks: Schema) -> None:
    x, y = TableName(database, "x"), TableName(database, "y")

    def witness(where: str) -> Rule:
        sql = f"SELECT {selection(blocks, x, 'x')} FROM {database}.x WHERE {where} ORDER BY x"
        return Rule(RuleKind.WITNESS, sql, (Output(x, Role.TARGET),), reason="exists")

    leaf = leaf_rule(blocks.tables[x], "x=4")
    assert keys(cascade(reader, blocks, [witness("x > 1"), leaf])) == {"x": {(4,)}}
    assert keys(cascade(reader, blocks, [witness("x < 3"), witness("x < 4"), leaf])) == {"x": {(1,), (4,)}}
    assert keys(cascade(reader, blocks, [witness("x > 9"), leaf], structure=[y])) == {"x": {(4,)}}


def test_a_witness_for_each_row_that_is_judged(database: str, reader: Database, blocks: Schema) -> None:
    """Two branches of a union are two rows, though both are made of one row of the same table."""
    x, y = TableName(database, "x"), TableName(database, "y")
    judged = Output(x, Role.CONDITION)
    sql = (
        f"SELECT {selection(blocks, x, 'x')}, NULL, {selection(blocks, y, 'y')} FROM {database}.x, {database}.y"
        f" WHERE x.x = 1 AND y.y = 10 UNION ALL SELECT NULL, {selection(blocks, x, 'x')}, {selection(blocks, y, 'y')}"
        f" FROM {database}.x, {database}.y WHERE x.x = 1 AND y.y = 11"
    )
    rule = Rule(RuleKind.WITNESS, sql, (judged, judged, Output(y, Role.TARGET)), reason="decides")
    found = cascade(reader, blocks, [rule, leaf_rule(blocks.tables[x], "x=1")])
    assert keys(found)["y"] == {(10,), (11,)}
    assert "y" not in keys(cascade(reader, blocks, [rule, leaf_rule(blocks.tables[x], "x=4")]))


def test_a_refused_rule_ends_nothing(database: str, reader: Database, blocks: Schema) -> None:
    x = TableName(database, "x")
    outputs = (Output(x, Role.TARGET),)
    bad = [
        Rule(kind, f"SELECT nonsense FROM {database}.x", outputs, statement=number)
        for number, kind in enumerate(RuleKind, 1)
    ]
    picked = leaf_rule(blocks.tables[x], "no_such_column = 1")
    found = cascade(reader, blocks, [*bad, picked, leaf_rule(blocks.tables[x], "x=1")])
    assert keys(found) == {"x": {(1,)}}
    assert sorted(found.refused) == [1, 2, 3, 4]
    assert "nonsense" in found.refused[1]
    assert len(found.warnings) == 1 and "no_such_column" in found.warnings[0]


def test_unknown_tables_and_views_are_refused(
    server: PrivateServer, database: str, reader: Database, blocks: Schema
) -> None:
    server.execute(f"CREATE VIEW {database}.v AS SELECT * FROM {database}.x")
    schema = read_schema(reader, [TableName(database, "x")])
    with pytest.raises(InputError, match="is a view"):
        leaf_rule(schema.tables[TableName(database, "v")])
    unknown = Rule(RuleKind.LEAF, "SELECT 1", (Output(TableName(database, "nowhere"), Role.TARGET),))
    with pytest.raises(InputError, match="nowhere"):
        cascade(reader, schema, [unknown])


def test_lineage_rows_of_exported_tables(server: PrivateServer, database: str, reader: Database) -> None:
    load(server, database, PAIRS)
    server.execute(
        f"CREATE TABLE {database}.`~lineage` (table_name varchar(64) NOT NULL,"
        " attribute_name varchar(64) NOT NULL, lineage varchar(255) NOT NULL,"
        " PRIMARY KEY (table_name, attribute_name))",
        f"CREATE TABLE {database}.`~log` (id int PRIMARY KEY)",
        f"INSERT INTO {database}.`~log` VALUES (1)",
        f"INSERT INTO {database}.`~lineage` VALUES ('subject', 'subject', 's'), ('session', 'session', 's'),"
        " ('pair', 'pair', 's'), ('SUBJECT', 'other', 's')",
    )
    found = run(reader, database, {"session": "subject=1", "~log": None})
    lineage = found.tables[TableName(database, "~lineage")]
    assert lineage.keys == {("subject", "subject"), ("session", "session")}
    assert found.tables[TableName(database, "~log")].rows == 0


# Random schemas


@st.composite
def random_cases(draw: st.DrawFn) -> tuple[Case, dict[str, set[tuple[Any, ...]]]]:
    """Tables of one- or two-column integer keys, with foreign keys anywhere: cycles, to themselves, NULLs, to parts
    of keys."""
    count = draw(st.integers(1, 5))
    tables = [f"t{number}" for number in range(count)]
    widths = {table: draw(st.integers(1, 2)) for table in tables}
    case_keys = {table: tuple(f"k{i}" for i in range(widths[table])) for table in tables}
    values = st.integers(0, 4)
    rows: dict[str, list[dict[str, Any]]] = {}
    for table in tables:
        found = draw(st.sets(st.tuples(*[values] * widths[table]), min_size=1, max_size=12))
        rows[table] = [dict(zip(case_keys[table], key, strict=True)) for key in sorted(found)]
    links, ddl, constraints = [], [], []
    columns = {table: [f"{name} int NOT NULL" for name in case_keys[table]] for table in tables}
    for number in range(draw(st.integers(0, 7))):
        child, parent = draw(st.sampled_from(tables)), draw(st.sampled_from(tables))
        parents = [tuple(row[name] for name in case_keys[parent]) for row in rows[parent]]
        own = []
        inherited = draw(st.booleans()) and child != parent and widths[child] >= widths[parent]
        if inherited:
            own = list(case_keys[child][: widths[parent]])
            rows[child] = [row for row in rows[child] if tuple(row[name] for name in own) in parents]
        else:
            for position in range(widths[parent]):
                name = f"f{number}_{position}"
                own.append(name)
                columns[child].append(f"{name} int NULL")
            for row in rows[child]:
                chosen = draw(st.sampled_from(parents)) if parents else (None,) * widths[parent]
                nulls = draw(st.sampled_from([(), (0,), tuple(range(widths[parent]))]))
                for position, name in enumerate(own):
                    row[name] = None if position in nulls else chosen[position]
        links.append(Link(child, tuple(own), parent, case_keys[parent]))
        constraints.append(
            f"ALTER TABLE {child} ADD FOREIGN KEY ({', '.join(own)})"
            f" REFERENCES {parent} ({', '.join(case_keys[parent])})"
        )
    for table in tables:
        key = ", ".join(case_keys[table])
        ddl.append(f"CREATE TABLE {table} ({', '.join(columns[table])}, PRIMARY KEY ({key}))")
    case = Case(ddl + constraints, case_keys, links, rows)
    leaf = draw(st.sampled_from(tables))
    picked = draw(st.sets(st.sampled_from(rows[leaf]).map(lambda row: case._key(leaf, row)))) if rows[leaf] else set()
    return case, {leaf: picked}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=random_cases())
def test_random_schemas_against_brute_force(
    server: PrivateServer, reader: Database, random: tuple[Case, dict[str, set[tuple[Any, ...]]]]
) -> None:
    case, leaves = random
    schema = f"t_{secrets.token_hex(4)}"
    server.execute(f"CREATE DATABASE {schema}")
    try:
        load(server, schema, case)
        wheres = {
            table: " OR ".join(
                " AND ".join(f"{name}={value}" for name, value in zip(case.keys[table], key, strict=True))
                for key in sorted(picked)
            )
            or "FALSE"
            for table, picked in leaves.items()
        }
        found = run(reader, schema, wheres, parts=Parts.NONE)
    finally:
        server.execute(f"DROP DATABASE {schema}")
    assert keys(found) == some(case.closure(leaves))


def pinned(schema: str, table: str, keys: set[tuple[Any, ...]], sql: str = "") -> Rule:
    """The rule for rows that recorded results named."""
    output = Output(TableName(schema, table), Role.TARGET)
    return Rule(RuleKind.LEAF, sql, (output,), statement=7, reason="named", keys=frozenset(keys))


def test_pinned_rows_are_taken_as_far_as_they_are_there(server: PrivateServer, reader: Database, database: str) -> None:
    load(server, database, PAIRS)
    read = read_schema(reader, [TableName(database, "session")])
    sql = f"SELECT subject, session FROM {database}.session WHERE session = 1 AND subject < 2"
    found = cascade(reader, read, [pinned(database, "session", {(0, 1), (3, 2), (99, 1)}, sql)])
    assert keys(found)["session"] == {(0, 1), (3, 2)}
    assert keys(found)["subject"] == {(0,), (3,), (1,), (5,)}
    assert found.pins == (PinCheck(7, TableName(database, "session"), pinned=3, missing=1, gone=1, new=1),)
    assert found.tables[TableName(database, "session")].reasons == ("named",)


def test_pinned_rows_alone_are_compared_with_nothing(server: PrivateServer, reader: Database, database: str) -> None:
    load(server, database, PAIRS)
    read = read_schema(reader, [TableName(database, "session")])
    found = cascade(reader, read, [pinned(database, "session", {(0, 1)}), pinned(database, "session", set())])
    assert [(check.pinned, check.missing, check.gone, check.new) for check in found.pins] == [
        (1, 0, None, None),
        (0, 0, None, None),
    ]
    assert not any(check.differs for check in found.pins)


def test_a_comparison_that_the_server_refuses_ends_nothing(
    server: PrivateServer, reader: Database, database: str
) -> None:
    load(server, database, PAIRS)
    read = read_schema(reader, [TableName(database, "session")])
    found = cascade(reader, read, [pinned(database, "session", {(0, 1)}, "SELECT nothing")])
    assert keys(found)["session"] == {(0, 1)}
    assert found.refused == {}
    assert found.pins[0].gone is None


def test_a_pinned_key_that_is_written_otherwise_now_is_not_missing(
    server: PrivateServer, reader: Database, database: str
) -> None:
    server.execute(
        f"CREATE TABLE {database}.mouse (name VARCHAR(9) COLLATE utf8mb4_general_ci PRIMARY KEY)",
        f"INSERT INTO {database}.mouse VALUES ('mouse1')",
    )
    read = read_schema(reader, [TableName(database, "mouse")])
    found = cascade(reader, read, [pinned(database, "mouse", {("Mouse1",), ("Mouse2",)})])
    assert keys(found)["mouse"] == {("mouse1",)}
    assert (found.pins[0].pinned, found.pins[0].missing) == (2, 1)
