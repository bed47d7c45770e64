"""dump.sh and restore.sh with real tools: from one server to another of the same flavour, bit for bit."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import networkx as nx
import pytest

from examples.private_server import PrivateServer, find_tools, flavours
from graph.bash import Origin
from graph.bundle import Bundle, write_bundle
from graph.documents import Judged, queries
from graph.errors import ServerError
from graph.names import TableName
from graph.quoting import identifier
from graph.quoting import table as quoted
from graph.replay import Verdict, replay
from graph.schema import Column, Schema, Table
from graph.script import dump_script
from graph.selection import hidden_views
from graph.slice import Slice, TableSlice
from graph.statement import Session, Statement, StatementClass
from tests.dumping import (
    META,
    READER,
    Pair,
    assert_copied,
    call,
    connect,
    drop_schemas,
    export,
    fetch,
    insert,
    restored,
    run,
    shellcheck,
    take,
    tools,
)

NASTY = [
    "it's",
    'say "hi"',
    "back\\slash\\",
    "$HOME ${PATH} $(id)",
    "100% %s",
    "back`tick",
    "new\nline\r\n",
    " AND 1=1 OR ",
    "two  spaces",
    "smile 😀",
    "tab\there",
    "-- comment # too /* x */ ;",
    "ünï \u202e bidi",
    "",
]


def test_every_hostile_key(clean: Pair, tmp_path: Path) -> None:
    """Strings, binary strings, FLOAT, TIMESTAMP, decimals and bits in keys: exactly the picked rows."""
    name = TableName("lab", "keys")
    clean.source.execute(
        "CREATE DATABASE lab CHARACTER SET latin1 COLLATE latin1_bin",
        "CREATE TABLE lab.`keys` (s VARCHAR(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, b VARBINARY(20),"
        " t TIMESTAMP NOT NULL DEFAULT '2020-01-01', picked INT, note TEXT CHARACTER SET utf8mb4, data LONGBLOB,"
        " PRIMARY KEY (s, b, t))",
    )
    binary = [bytes(range(0, 20)), b"", b"\xff\x00'\\", b"abc"]
    times = ["2020-03-29 01:30:00", "2020-10-25 00:30:00", "2020-10-25 01:30:00", "1970-01-01 00:00:01"]
    rows = [
        (s, b, times[(i + j) % 4], (i + j) % 2, s * 2, bytes(range(256)))
        for i, s in enumerate(NASTY)
        for j, b in enumerate(binary)
    ]
    insert(clean.source, name, rows)
    bundle, slice_ = export(tmp_path / "bundle", clean, {name: "picked = 1"})
    restored(bundle, clean.copy)
    assert slice_.tables[name].rows == len(rows) // 2
    assert_copied(clean, slice_, {name: "picked = 1"})
    created = fetch(clean.copy, "SHOW CREATE DATABASE lab")[0][1]
    assert "latin1_bin" in created


def float_literal(value: float | None) -> str:
    """With an exponent: the server reads it as a DOUBLE, minus zero included."""
    return "NULL" if value is None else f"{value:.17e}"


def test_floats_arrive_bit_for_bit(clean: Pair, tmp_path: Path) -> None:
    """FLOAT outside keys, in the primary key, in a unique key, in a table without any key."""
    clean.source.execute(
        "CREATE DATABASE lab",
        "CREATE TABLE lab.plain (id VARCHAR(40) CHARACTER SET utf8mb4, at TIMESTAMP NOT NULL DEFAULT '2020-01-01',"
        " f FLOAT, g FLOAT(9,3), d DOUBLE, m DOUBLE(20,2), h DOUBLE GENERATED ALWAYS AS (f * 2) STORED, b LONGBLOB,"
        " changed TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, PRIMARY KEY (id, at))",
        "CREATE TABLE lab.keyed (f FLOAT, s VARCHAR(40) CHARACTER SET utf8mb4, v INT, b BIT(9), j JSON,"
        " e ENUM('a','b''c'), data VARBINARY(9), t TIMESTAMP NOT NULL DEFAULT '2020-01-01', y YEAR,"
        " n DECIMAL(20,9), h INT GENERATED ALWAYS AS (v + 1) VIRTUAL, PRIMARY KEY (f, s))",
        "CREATE TABLE lab.uniq (id INT PRIMARY KEY, f FLOAT, UNIQUE KEY (f))",
        "CREATE TABLE lab.loose (f FLOAT, s TEXT)",
    )
    values = [1.2345678806304932, -0.0, 0.1, 16777215.0, 1.17549435e-38, 3.4028234e38, -2.5, None, 1e-45]
    text = "CONVERT(X'{}' USING utf8mb4)"
    statements = []
    for i, (value, string) in enumerate(zip(values, NASTY, strict=False)):
        f, s = float_literal(value), text.format(f"{string}{i}".encode().hex())
        statements += [
            f"INSERT INTO lab.plain (id, at, f, g, d, m, b, changed) VALUES ({s}, '2020-10-25 00:30:0{i}', {f},"
            f" 1234.5678, {f}, 12345678901234.56, X'00FF', '2001-02-03 04:05:06')",
            f"INSERT INTO lab.loose VALUES ({f}, {s})",
        ]
    for i in range(40):
        # Six digits do not tell these apart.
        f = float_literal(1.234567 + i * 1.2e-7)
        s, j = NASTY[i % 14].encode().hex(), json.dumps({"a": NASTY[i % 14], "b": [1.5, i]}).encode().hex()
        statements += [
            f"INSERT INTO lab.keyed (f, s, v, b, j, e, data, t, y, n) VALUES ({f}, {text.format(s)}, {i}, {i},"
            f" {text.format(j)}, {1 + i % 2}, X'00275C{i:02x}', '2020-10-25 00:30:{i:02d}', 2001, 1.000000001)",
            f"INSERT INTO lab.uniq VALUES ({i}, {f})",
        ]
    clean.source.execute(*statements)
    picks = {"plain": "id <> ''", "keyed": "v % 2 = 0", "uniq": "id > 3", "loose": None}
    tables = {TableName("lab", name): where for name, where in picks.items()}
    bundle, slice_ = export(tmp_path / "bundle", clean, tables)
    restored(bundle, clean.copy)
    assert_copied(clean, slice_, {name: where or "TRUE" for name, where in tables.items()})


#: A schema's, a table's and a column's name; none of them may end in a space.
NAMES = ["it's", 'a "b"', "back\\slash\\", "$HOME $(id)", "100%s_%", "tick`tock``", "a.b-c", "new\nline", "#t", "ünï"]
#: And all that ASCII has.
NAMES += ["".join(map(chr, range(start or 1, start + 32))) for start in range(0, 128, 32)]
#: And of the greatest length.
NAMES += ["x" * 64, "y" * 63 + "'"]


def hostile_names(server: PrivateServer) -> list[str]:
    """NAMES; without backticks where the server itself does not double those of foreign keys in SHOW CREATE TABLE (some
    MariaDB 10.11), so that no dump of them loads anywhere."""
    server.execute(
        "CREATE DATABASE probe",
        "CREATE TABLE probe.a (`x``y` int PRIMARY KEY)",
        "CREATE TABLE probe.b (`x``y` int, FOREIGN KEY (`x``y`) REFERENCES probe.a (`x``y`))",
    )
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW CREATE TABLE probe.b")
        written = str(cursor.fetchone()[1])
    server.execute("DROP DATABASE probe")
    doubled = "REFERENCES `a` (`x``y`)" in written.replace("`probe`.", "")
    return NAMES if doubled else [name.replace("`", "'") for name in NAMES]


def test_every_hostile_name(clean: Pair, tmp_path: Path) -> None:
    """Schemas, tables, columns and foreign keys of any name."""
    leaves, expected = {}, {}
    names = hostile_names(clean.source)
    clean.source.execute(*(f"CREATE DATABASE {identifier(name)}" for name in names))
    for schema, other in zip(names[::2], names[1::2], strict=True):
        parent, child = TableName(schema, other), TableName(other, schema)
        a, b = identifier(other), identifier(schema)
        create_hostile(clean.source, parent, child, a, b)
        leaves[child] = f"{b} < 3"
        expected |= {child: f"{b} < 3", parent: f"{a} = 2"}
    bundle, slice_ = export(tmp_path / "bundle", clean, leaves)
    restored(bundle, clean.copy)
    assert_copied(clean, slice_, expected)
    assert shellcheck(bundle) == ""


def create_hostile(server: PrivateServer, parent: TableName, child: TableName, a: str, b: str) -> None:
    server.execute(
        f"CREATE TABLE {quoted(parent)} ({a} INT PRIMARY KEY, {b} FLOAT)",
        f"CREATE TABLE {quoted(child)} ({b} INT PRIMARY KEY, {a} INT, f FLOAT, UNIQUE KEY (f),"
        f" CONSTRAINT {a} FOREIGN KEY ({a}) REFERENCES {quoted(parent)} ({a}))",
        f"INSERT INTO {quoted(parent)} VALUES (1, 1.2345678), (2, 2.3456789), (3, 3)",
        f"INSERT INTO {quoted(child)} VALUES (1, 2, 1.2345678), (2, 2, NULL), (3, 1, 0.5)",
    )


def test_names_that_look_like_options() -> None:
    """Only with tools that are not wrapped in something that adds options behind ours."""
    assert "mysqldump --no-create-info -- lab --help\n" in rendered("--help")
    assert "mysqldump --no-create-info lab plain\n" in rendered("plain")


def rendered(name: str) -> str:
    table = Table(TableName("lab", name), (Column("id", "int", "int", False),), ("id",))
    sliced = TableSlice(table, frozenset({(1,)}), True, 1, 1)
    slice_ = Slice(Schema({table.name: table}, nx.MultiDiGraph()), {table.name: sliced})
    return dump_script(slice_, Origin("p", "s", "v"))


def test_structure_without_what_is_not_asked_for(clean: Pair, tmp_path: Path) -> None:
    """Views come with the reader's rights; triggers, routines, definers and AUTO_INCREMENT stay behind."""
    clean.source.execute(
        "CREATE DATABASE lab",
        "CREATE TABLE lab.t (id INT AUTO_INCREMENT PRIMARY KEY, s VARCHAR(40), big LONGBLOB,"
        " g VARCHAR(50) GENERATED ALWAYS AS (CONCAT(s, '!')) VIRTUAL, INDEX (g))"
        " AUTO_INCREMENT = 4711 COMMENT = ') ENGINE=InnoDB AUTO_INCREMENT=12'",
        "CREATE TABLE lab.empty (id INT PRIMARY KEY)",
        "INSERT INTO lab.t (id, s, big) VALUES (1, 'DROP TABLE lab.t; AUTO_INCREMENT=5', X'00FF'), (2, 'b', NULL)",
        "CREATE TRIGGER lab.tr BEFORE INSERT ON lab.t FOR EACH ROW SET NEW.s = 'changed'",
        "CREATE VIEW lab.z_view AS SELECT id, s FROM lab.t WHERE s <> 'it''s'",
        "CREATE VIEW lab.a_view AS SELECT id, s AS `odd name` FROM lab.z_view",
        # MariaDB shows definitions to those only who have both rights by one grant.
        f"GRANT SELECT, SHOW VIEW ON *.* TO {READER}@'%'",
    )
    table, views = TableName("lab", "t"), (TableName("lab", "a_view"), TableName("lab", "z_view"))
    structure = (*views, TableName("lab", "empty"))
    bundle, slice_ = export(tmp_path / "bundle", clean, {table: None}, structure=structure)
    clean.source.execute(f"REVOKE SHOW VIEW ON *.* FROM {READER}@'%'")
    restored(bundle, clean.copy)
    assert_copied(clean, slice_, {table: "TRUE"})
    assert len(fetch(clean.copy, "SELECT * FROM lab.a_view")) == 2
    assert fetch(clean.copy, "SELECT * FROM lab.empty") == []
    created = fetch(clean.copy, "SHOW CREATE TABLE lab.t")[0][1]
    assert "COMMENT=') ENGINE=InnoDB AUTO_INCREMENT=12'" in created
    security = "SELECT SECURITY_TYPE FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'lab'"
    assert set(fetch(clean.copy, security)) == {("INVOKER",)}
    assert fetch(clean.copy, "SHOW TRIGGERS FROM lab") == []
    dumped = (bundle.publish / "slice.sql").read_text()
    assert "4711" not in dumped
    assert "DEFINER" not in dumped
    assert [line for line in dumped.splitlines() if line.startswith("DROP")] == []


def test_a_view_that_the_account_may_not_see_is_named(clean: Pair, tmp_path: Path) -> None:
    clean.source.execute(
        "CREATE DATABASE lab",
        "CREATE TABLE lab.t (id INT PRIMARY KEY)",
        "INSERT INTO lab.t VALUES (1)",
        "CREATE VIEW lab.hidden AS SELECT id FROM lab.t",
    )
    table, view = TableName("lab", "t"), TableName("lab", "hidden")
    bundle, slice_ = export(tmp_path / "bundle", clean, {table: None}, structure=(view,))
    assert [sliced.table.name for sliced in hidden_views(slice_)] == [view]
    assert "#   lab.hidden\n" in bundle.dump_script.read_text()
    restored(bundle, clean.copy)
    assert fetch(clean.copy, "SHOW TABLES FROM lab") == [("t",)]


def test_a_hundred_thousand_keys_are_the_whole_table(clean: Pair, tmp_path: Path) -> None:
    """One mysqldump without any WHERE, by an account that may read this table and nothing else."""
    name = TableName("lab", "big")
    digits = (
        "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6"
        " UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
    )
    clean.source.execute(
        "CREATE DATABASE lab",
        "CREATE TABLE lab.big (s VARCHAR(20), n INT, PRIMARY KEY (s, n))",
        "INSERT INTO lab.big SELECT CONCAT('key', a.d, b.d), c.d * 100 + d.d * 10 + e.d"
        f" FROM {digits} a, {digits} b, {digits} c, {digits} d, {digits} e",
    )
    narrow = "djp_narrow"
    clean.source.execute(
        f"DROP USER IF EXISTS {narrow}@'%'",
        f"CREATE USER {narrow}@'%' IDENTIFIED BY 'x'",
        f"GRANT SELECT ON lab.big TO {narrow}@'%'",
    )
    slice_, fingerprints = take(clean.source, {name: None}, account=(narrow, "x"))
    bundle = write_bundle(tmp_path / "bundle", slice_, [], META, fingerprints)
    run(bundle, clean.source, account=(narrow, "x"))
    assert slice_.tables[name].rows == 100_000
    script = bundle.dump_script.read_text()
    assert script.count("mysqldump --no-create-info ") == 1
    assert "mysqldump --no-create-info lab big\n" in script
    assert len(script) < 20_000
    restored(bundle, clean.copy)
    assert_copied(clean, slice_, {name: "TRUE"})


def test_long_restrictions_take_several_calls(clean: Pair, tmp_path: Path) -> None:
    name = TableName("lab", "scattered")
    clean.source.execute("CREATE DATABASE lab", "CREATE TABLE lab.scattered (s VARCHAR(80) PRIMARY KEY, f FLOAT)")
    insert(clean.source, name, [(f"{i}-{'x' * 60}", i / 3) for i in range(5000)])
    bundle, slice_ = export(tmp_path / "bundle", clean, {name: "s LIKE '%0-x%' OR s LIKE '%1-x%' OR s LIKE '%2-x%'"})
    assert slice_.tables[name].rows == 1500
    script = bundle.dump_script.read_text()
    assert 1 < script.count('mysqldump --no-create-info --where="$where" lab scattered\n') < 4
    restored(bundle, clean.copy)
    assert_copied(clean, slice_, {name: "s LIKE '%0-x%' OR s LIKE '%1-x%' OR s LIKE '%2-x%'"})


def test_restored_tables_have_statistics(clean: Pair, tmp_path: Path) -> None:
    """Which the server by itself would collect some time after the load, or never."""
    name = TableName("lab", "counted")
    clean.source.execute("CREATE DATABASE lab", "CREATE TABLE lab.counted (id INT PRIMARY KEY) STATS_AUTO_RECALC=0")
    insert(clean.source, name, [(i,) for i in range(1000)])
    bundle, _ = export(tmp_path / "bundle", clean, {name: None})
    restored(bundle, clean.copy)
    assert fetch(clean.copy, "SELECT n_rows FROM mysql.innodb_table_stats WHERE table_name = 'counted'") == [(1000,)]


CHILD, PARENT = TableName("lab", "child"), TableName("lab", "parent")
PICKED = {CHILD: "id < 4", PARENT: "id < 3"}
SMALL = (
    "CREATE DATABASE lab",
    "CREATE TABLE lab.parent (id INT PRIMARY KEY, s VARCHAR(20), b BLOB)",
    "CREATE TABLE lab.child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES lab.parent (id))",
    "INSERT INTO lab.parent VALUES (1, 'a', 'x'), (2, 'b', 'y'), (3, 'c', 'z')",
    "INSERT INTO lab.child VALUES (1, 1), (2, 2), (3, NULL), (4, 3)",
)


@pytest.fixture(scope="module")
def dumped(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Slice]:
    """A parent and a child, exported and dumped."""
    drop_schemas(pair.source)
    pair.source.execute(*SMALL)
    return export(tmp_path_factory.mktemp("dumped") / "bundle", pair, {CHILD: PICKED[CHILD]})


@pytest.fixture
def small(dumped: tuple[Bundle, Slice], clean: Pair, tmp_path: Path) -> tuple[Pair, Bundle, Slice]:
    """That bundle and the database as it was then, for each test its own."""
    clean.source.execute(*SMALL)
    folder = shutil.copytree(dumped[0].folder, tmp_path / "bundle")
    return clean, Bundle(folder), dumped[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DELETE FROM lab.child WHERE id = 1", "lab.child has changed since the export: 3 rows were expected, 2"),
        ("UPDATE lab.child SET p = 1 WHERE id = 2", "lab.child has changed since the export: its 3 rows hold other"),
        ("UPDATE lab.parent SET s = 'z' WHERE id = 2", "lab.parent has changed since the export: its 2 rows hold"),
        ("DROP TABLE lab.child", "stopped at the structure"),
    ],
)
def test_a_change_since_the_export_stops_the_dump(small: tuple[Pair, Bundle, Slice], change: str, message: str) -> None:
    pair, bundle, _ = small
    before = {path: path.read_bytes() for path in bundle.publish.iterdir()}
    pair.source.execute(change)
    with pytest.raises(ServerError, match=message):
        run(bundle, pair.source)
    assert {path: path.read_bytes() for path in bundle.publish.iterdir()} == before
    assert sorted(path.name for path in bundle.folder.iterdir()) == ["dump.sh", "publish", "review.json"]


def test_rows_outside_the_slice_may_change(small: tuple[Pair, Bundle, Slice]) -> None:
    pair, bundle, slice_ = small
    pair.source.execute("DELETE FROM lab.child WHERE id = 4", "UPDATE lab.parent SET s = 'new' WHERE id = 3")
    run(bundle, pair.source)
    restored(bundle, pair.copy)
    assert_copied(pair, slice_, PICKED)


def test_a_killed_dump_leaves_nothing(small: tuple[Pair, Bundle, Slice], tmp_path: Path) -> None:
    """The tool is replaced by one that hangs when rows are asked for."""
    pair, bundle, _ = small
    (bundle.publish / "slice.sql").unlink()
    real, hanging, reached = pair.source.tools.dump, tmp_path / "hanging", tmp_path / "reached"
    hanging.write_text(
        f'#!/bin/bash\ncase "$*" in *no-create-info*) : >{reached}; exec sleep 100 ;; esac\nexec {real} "$@"\n'
    )
    hanging.chmod(0o755)
    environment = tools(pair.source) | {"MYSQLDUMP": str(hanging)}
    with subprocess.Popen(["bash", bundle.dump_script], env=environment, start_new_session=True) as process:
        while not reached.exists():
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGTERM)
    assert process.returncode == 143
    assert not (bundle.publish / "slice.sql").exists()
    assert sorted(path.name for path in bundle.folder.iterdir()) == ["dump.sh", "publish", "review.json"]


def test_relative_paths_are_those_of_the_caller(small: tuple[Pair, Bundle, Slice], tmp_path: Path) -> None:
    pair, bundle, _ = small
    (tmp_path / "own.cnf").write_bytes(pair.source.defaults_file().read_bytes())
    (tmp_path / "tool").symlink_to(pair.source.tools.client)
    (tmp_path / "copy.cnf").write_bytes(pair.copy.defaults_file().read_bytes())
    names = {"MYSQL_DEFAULTS_FILE": "own.cnf", "MYSQL": "./tool"}
    for script, server, options in (
        (bundle.dump_script, pair.source, "own.cnf"),
        (bundle.publish / "restore.sh", pair.copy, "copy.cnf"),
    ):
        environment = tools(server) | names | {"MYSQL_DEFAULTS_FILE": options}
        answer = subprocess.run(
            ["bash", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, answer.stderr


def test_a_refused_login_is_explained(small: tuple[Pair, Bundle, Slice]) -> None:
    pair, bundle, _ = small
    options = {"MYSQL_DEFAULTS_FILE": str(pair.source.defaults_file(READER, "wrong"))}
    answer = call(bundle.dump_script, tools(pair.source) | options)
    assert answer.returncode == 1
    assert f"{pair.source.tools.client} could not log in" in answer.stderr
    assert "MYSQLDUMP=" in answer.stderr
    assert "wrong" not in answer.stderr


def test_tools_come_from_path(small: tuple[Pair, Bundle, Slice], tmp_path: Path) -> None:
    """Unless named: the server's own first."""
    pair, bundle, _ = small
    own = find_tools(pair.source.flavour)
    assert own is not None
    names = ("mariadb", "mariadb-dump") if pair.source.flavour == "mariadb" else ("mysql", "mysqldump")
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, tool in zip(names, (own.client, own.dump), strict=True):
        (folder / name).write_text(f'#!/bin/sh\nexec {tool} "$@"\n')
        (folder / name).chmod(0o755)
    for script, server in ((bundle.dump_script, pair.source), (bundle.publish / "restore.sh", pair.copy)):
        options = {"MYSQL_DEFAULTS_FILE": str(server.defaults_file())}
        answer = call(script, {"PATH": f"{folder}:/usr/bin:/bin"} | options)
        assert answer.returncode == 0, answer.stderr
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    for tool in ("bash", "dirname", "sed"):
        (nothing / tool).symlink_to(str(shutil.which(tool)))
    answer = subprocess.run(
        [nothing / "bash", bundle.dump_script], env={"PATH": str(nothing)}, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert "none of these tools is in PATH" in answer.stderr


def test_a_missing_tool_is_named(small: tuple[Pair, Bundle, Slice]) -> None:
    pair, bundle, _ = small
    answer = call(bundle.dump_script, tools(pair.source) | {"MYSQLDUMP": "/no/mysqldump"})
    assert answer.returncode != 0
    assert "/no/mysqldump does not run" in answer.stderr


def test_the_other_flavours_tools_do_or_say_why_not(small: tuple[Pair, Bundle, Slice]) -> None:
    """MySQL's tools with MariaDB, and the other way round."""
    pair, bundle, slice_ = small
    others = [found for name in flavours() if name != pair.source.flavour and (found := find_tools(name))]
    for other in others:
        own = {"MYSQL": str(other.client), "MYSQLDUMP": str(other.dump)}
        answer = call(bundle.dump_script, tools(pair.source) | own)
        if answer.returncode != 0:
            assert "take the tools that go with the server" in answer.stderr
            continue
        loaded = call(bundle.publish / "restore.sh", tools(pair.copy) | {"MYSQL": str(other.client)})
        assert loaded.returncode == 0, loaded.stderr
        assert_copied(pair, slice_, PICKED)


def test_a_row_too_long_for_a_statement_fails_loudly(clean: Pair, tmp_path: Path) -> None:
    """CONCAT gives NULL beyond max_allowed_packet."""
    name = TableName("lab", "keyed")
    clean.source.execute(
        "CREATE DATABASE lab",
        "CREATE TABLE lab.keyed (f FLOAT PRIMARY KEY, data LONGBLOB)",
        "INSERT INTO lab.keyed VALUES (1.23456789e0, REPEAT('x', 700000))",
    )
    slice_, fingerprints = take(clean.source, {name: None})
    bundle = write_bundle(tmp_path / "bundle", slice_, [], META, fingerprints)
    clean.source.execute("SET GLOBAL max_allowed_packet = 1048576")
    try:
        with pytest.raises(ServerError, match="longer than the server's max_allowed_packet"):
            run(bundle, clean.source)
    finally:
        clean.source.execute("SET GLOBAL max_allowed_packet = 67108864")
    assert not (bundle.publish / "slice.sql").exists()


def test_restore_refuses_what_exists(small: tuple[Pair, Bundle, Slice]) -> None:
    pair, bundle, _ = small
    restored(bundle, pair.copy)
    pair.copy.execute("DELETE FROM lab.child WHERE id = 1")
    answer = call(bundle.publish / "restore.sh", tools(pair.copy))
    assert answer.returncode == 1
    assert "lab.child" in answer.stderr
    assert "nothing was loaded" in answer.stderr
    assert len(fetch(pair.copy, "SELECT * FROM lab.child")) == 2


def test_restore_checks_the_file(small: tuple[Pair, Bundle, Slice]) -> None:
    pair, bundle, _ = small
    with (bundle.publish / "slice.sql").open("a") as file:
        file.write("\n")
    answer = call(bundle.publish / "restore.sh", tools(pair.copy))
    assert answer.returncode == 1
    assert "slice.sql is damaged" in answer.stderr
    assert fetch(pair.copy, "SHOW DATABASES LIKE 'lab'") == []


def test_restore_needs_a_dump_and_a_server(small: tuple[Pair, Bundle, Slice]) -> None:
    pair, bundle, slice_ = small
    unnamed = {key: value for key, value in tools(pair.copy).items() if key != "MYSQL_DEFAULTS_FILE"}
    answer = call(bundle.publish / "restore.sh", unnamed)
    assert answer.returncode == 1
    assert "MYSQL_DEFAULTS_FILE" in answer.stderr
    fresh = write_bundle(bundle.folder, slice_, [], META)
    answer = call(fresh.publish / "restore.sh", tools(pair.copy))
    assert answer.returncode == 1
    assert "dump.sh writes it" in answer.stderr


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("DELETE FROM lab.child WHERE id = 1;", "lab.child holds 2 rows instead of 3"),
        ("UPDATE lab.child SET p = 77 WHERE id = 1;", "1 rows of lab.child have no row in lab.parent"),
    ],
)
def test_restore_checks_what_arrived(small: tuple[Pair, Bundle, Slice], row: str, message: str) -> None:
    """A slice that lost something, with a checksum that fits it."""
    pair, bundle, _ = small
    path, manifest = bundle.publish / "slice.sql", bundle.publish / "manifest.json"
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(path.read_text() + f"SET foreign_key_checks = 0; {row}\n")
    manifest.write_text(manifest.read_text().replace(old, hashlib.sha256(path.read_bytes()).hexdigest()))
    answer = call(bundle.publish / "restore.sh", tools(pair.copy))
    assert answer.returncode == 1
    assert message in answer.stderr


def test_the_scripts_are_clean_bash(small: tuple[Pair, Bundle, Slice]) -> None:
    assert shellcheck(small[1]) == ""


def test_the_manifest_gets_the_checksum(small: tuple[Pair, Bundle, Slice]) -> None:
    _, bundle, _ = small
    manifest = json.loads((bundle.publish / "manifest.json").read_text())
    for name, checksum in manifest["files"].items():
        assert hashlib.sha256((bundle.publish / name).read_bytes()).hexdigest() == checksum
    assert stat.S_IMODE((bundle.publish / "slice.sql").stat().st_mode) == 0o644


def test_the_recorded_queries_replay_on_the_copy(small: tuple[Pair, Bundle, Slice]) -> None:
    """Through both servers, and as the file that goes out."""
    pair, bundle, _ = small
    session = Session(schema="lab", sql_mode="ANSI_QUOTES", time_zone="+02:00")
    statements = [
        Statement(1, 'SELECT * FROM child WHERE "id" < 4 ORDER BY 1', session),
        Statement(2, "SELECT s, b FROM lab.parent JOIN lab.child ON p = parent.id WHERE child.id < 4 -- all"),
        Statement(3, "SELECT COUNT(*) FROM lab.child"),
        Statement(4, "SELECT nothing FROM lab.child"),
    ]
    restored(bundle, pair.copy)
    with connect(pair.source) as source, connect(pair.copy, "root", pair.copy.password) as copy:
        verdicts = [outcome.verdict for outcome in replay(source, copy, statements)]
    assert verdicts == [Verdict.IDENTICAL, Verdict.IDENTICAL, Verdict.DIFFERS, Verdict.FAILED_ON_BOTH]
    judged = [Judged(statement, StatementClass.DATA, "") for statement in statements[:2]]
    text = queries(judged, frozenset({StatementClass.DATA}))
    command = [pair.copy.tools.client, f"--defaults-file={pair.copy.defaults_file()}", "--batch"]
    answer = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[:4] == ["id\tp", "1\t1", "2\t2", "3\tNULL"]
    assert len(answer.stdout.splitlines()) == 7
