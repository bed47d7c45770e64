"""dump.sh and restore.sh with real tools: from one server to another of the same flavour, bit for bit."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import pytest

from examples.private_server import PrivateServer
from graph.bash import Origin
from graph.bundle import write_bundle
from graph.errors import ServerError
from graph.names import TableName
from graph.quoting import identifier
from graph.quoting import table as quoted
from graph.schema import Column, Schema, Table
from graph.script import dump_script
from graph.selection import hidden_views
from graph.slice import Slice, TableSlice
from tests.dumping import META, READER, Pair, assert_copied, export, fetch, insert, restored, run, shellcheck, take
from tests.slice_example import with_definitions

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
    slice_ = with_definitions(Slice(Schema({table.name: table}, nx.MultiDiGraph()), {table.name: sliced}))
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
    assert len(script) < 30_000
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
