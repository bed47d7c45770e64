"""The cascade against a closure that the test computes by itself, on real servers."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.private_server import PrivateServer
from graph.cascade import Parts
from graph.database import Credentials, Database, ServerAddress
from graph.errors import GrantError
from graph.names import TableName
from tests.cascading import PAIRS, keys, load, run, some
from tests.closure_cases import Case, Link


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


def _uuid(number: int) -> bytes:
    return number.to_bytes(16, "big")


MERGE = Case(
    ddl=[
        "CREATE TABLE source (s int PRIMARY KEY)",
        "CREATE TABLE other (o int PRIMARY KEY)",
        "CREATE TABLE `merge` (m binary(16) PRIMARY KEY COMMENT ':uuid:', source varchar(32) NOT NULL)",
        "CREATE TABLE merge__source (m binary(16) PRIMARY KEY, s int NOT NULL,"
        " FOREIGN KEY (m) REFERENCES `merge` (m), FOREIGN KEY (s) REFERENCES source (s))",
        "CREATE TABLE merge__other (m binary(16) PRIMARY KEY, o int NOT NULL,"
        " FOREIGN KEY (m) REFERENCES `merge` (m), FOREIGN KEY (o) REFERENCES other (o))",
        "CREATE TABLE downstream (d int PRIMARY KEY, m binary(16) NOT NULL, FOREIGN KEY (m) REFERENCES `merge` (m))",
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
        "merge": [{"m": _uuid(i), "source": "Source" if i < 3 else "Other"} for i in range(6)],
        "merge__source": [{"m": _uuid(i), "s": i} for i in range(3)],
        "merge__other": [{"m": _uuid(i), "o": i - 2} for i in range(3, 6)],
        "downstream": [{"d": i, "m": _uuid(i)} for i in range(6)],
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


def test_parts_that_a_person_chose_come_with_their_masters(
    server: PrivateServer, database: str, reader: Database
) -> None:
    load(server, database, MERGE)
    chosen = [TableName(database, "lookup__item")]
    found = run(reader, database, {"user": "u IN (1, 4)"}, parts=Parts.NONE, with_parts=chosen)
    expected = Case(MERGE.ddl, MERGE.keys, MERGE.links + OTHER_PARTS[:1], MERGE.rows)
    assert keys(found) == some(expected.closure({"user": {(1,), (4,)}}))


def test_people_do_not_come_with_a_subject(server: PrivateServer, database: str, reader: Database) -> None:
    server.execute(
        *(
            text.format(s=database)
            for text in (
                "CREATE TABLE {s}.person (person varchar(20) PRIMARY KEY, email varchar(40))",
                "CREATE TABLE {s}.subject (subject varchar(8) PRIMARY KEY, sex char(1))",
                "CREATE TABLE {s}.subject__person (subject varchar(8), person varchar(20),"
                " PRIMARY KEY (subject, person),"
                " FOREIGN KEY (subject) REFERENCES {s}.subject (subject),"
                " FOREIGN KEY (person) REFERENCES {s}.person (person))",
                "INSERT INTO {s}.person VALUES ('Anna', 'anna@lab.org')",
                "INSERT INTO {s}.subject VALUES ('s0', 'm'), ('s1', 'f')",
                "INSERT INTO {s}.subject__person VALUES ('s0', 'Anna')",
            )
        )
    )
    found = run(reader, database, {"subject": "subject = 's0'"})
    assert {name.name: sliced.rows for name, sliced in found.tables.items()} == {"subject": 1}


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
