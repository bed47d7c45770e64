"""Every type of column and option of a table, from each flavour to both: to the bit, a checksum per table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.private_server import PrivateServer, flavours
from graph import fingerprint
from graph.bundle import Bundle, write_bundle
from graph.cascade import cascade, leaf_rule
from graph.database import Database
from graph.names import TableName
from graph.schema import read_schema
from graph.slice import Slice
from tests.dumping import META, call, connect, content, drop_schemas, fetch, run, tools

pytestmark = pytest.mark.skipif(len(flavours()) < 2, reason="needs MySQL and MariaDB")

#: By table: what stands between the parentheses, what behind them, and rows as SQL.
Tables = dict[str, tuple[str, str, list[str]]]

EVERYWHERE: Tables = {
    "numbers": (
        "id TINYINT UNSIGNED PRIMARY KEY, t TINYINT, s SMALLINT, m MEDIUMINT, i INT UNSIGNED ZEROFILL, b BIGINT,"
        " bu BIGINT UNSIGNED, d DECIMAL(65,30), f FLOAT, fm FLOAT(9,3), w DOUBLE, wm DOUBLE(20,2), o BIT(1), x BIT(64),"
        " l BOOL",
        "",
        [
            "1, -128, -32768, -8388608, 0, -9223372036854775808, 18446744073709551615,"
            " -12345678901234567890123456789012345.123456789012345678901234567890, 1.2345678e0, 1234.567,"
            " 0.1e0 + 0.2e0, 12345678901234.56, b'1', 0xFFFFFFFFFFFFFFFF, TRUE",
            "0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 3.4028234e38, NULL, 1.7976931348623157e308, NULL, NULL, 0, 0",
        ],
    ),
    "times": (
        "id INT PRIMARY KEY, d DATE, t TIME(6), a DATETIME(6), s TIMESTAMP(6) NULL, y YEAR",
        "",
        [
            "1, '0000-00-00', '-838:59:58.999999', '0000-00-00 00:00:00', '0000-00-00 00:00:00', 0",
            "2, '2020-00-00', '838:59:59', '9999-12-31 23:59:59.999999', '2020-10-25 00:30:00.000001', 2155",
            "3, NULL, NULL, NULL, NULL, NULL",
        ],
    ),
    "texts": (
        "id INT PRIMARY KEY, c CHAR(9), v VARCHAR(99) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin, t TINYTEXT,"
        " x TEXT CHARACTER SET latin1 COLLATE latin1_german1_ci, m MEDIUMTEXT CHARACTER SET utf8mb3,"
        " l LONGTEXT CHARACTER SET cp1251, u VARCHAR(9) CHARACTER SET ucs2, e ENUM('a','it''s','ü'),"
        " s SET('x','y','z') CHARACTER SET utf8mb4",
        "COMMENT = 'a \"comment\"; it''s COLLATE utf8mb4_0900_ai_ci, \\\\ and ) ENGINE=x AUTO_INCREMENT=5'",
        [
            "1, ' a ', 'smile 😀 \\\\ ''\\n\\r\\0\\Z', '', x'E9E8', 'ü€', x'EFF0', 'ű', 'it''s', 'x,z'",
            "2, '', NULL, REPEAT('t', 255), '', NULL, NULL, NULL, 'ü', ''",
        ],
    ),
    "bytes": (
        "id BINARY(4), v VARBINARY(9), t TINYBLOB, b BLOB, m MEDIUMBLOB, l LONGBLOB, PRIMARY KEY (id, v)",
        "",
        [
            "x'00FF0000', '', x'00275C220A0D1A', '', NULL, REPEAT(x'00FF', 50000)",
            "x'00000001', x'00', NULL, NULL, '', ''",
        ],
    ),
    "documents": (
        "id INT PRIMARY KEY, j JSON, k JSON",
        "COMMENT 'DataJoint: stimulus # 1'",
        ['1, \'{"a": [1, 2.5, "x\\\\"ü😀"], "b": null}\', \'"text"\'', "2, '[]', NULL"],
    ),
    "places": (
        "id INT PRIMARY KEY, g GEOMETRY, p POINT NOT NULL, l LINESTRING, y POLYGON, mp MULTIPOINT, ml MULTILINESTRING,"
        " my MULTIPOLYGON, c GEOMETRYCOLLECTION, SPATIAL KEY (p)",
        "",
        [
            "1, POINT(1.5, -2), POINT(0.1, 0.2), ST_GeomFromText('LINESTRING(0 0,1 1)'),"
            " ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))'), ST_GeomFromText('MULTIPOINT(0 0,1 1)'),"
            " ST_GeomFromText('MULTILINESTRING((0 0,1 1),(2 2,3 3))'),"
            " ST_GeomFromText('MULTIPOLYGON(((0 0,1 0,1 1,0 0)))'), ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 1))')",
            "2, ST_GeomFromText('POINT(5 6)', 4326), POINT(3, 4), NULL, NULL, NULL, NULL, NULL, NULL",
        ],
    ),
    "made": (
        "id INT AUTO_INCREMENT PRIMARY KEY, a INT INVISIBLE DEFAULT 7, n INT,"
        " v INT GENERATED ALWAYS AS (n + 1) VIRTUAL, s VARCHAR(20) GENERATED ALWAYS AS (CONCAT('n-', n)) STORED,"
        " KEY (v), UNIQUE KEY (s)",
        "AUTO_INCREMENT = 99",
        ["(id, a, n) VALUES (0, 1, 10)", "(id, a, n) VALUES (5, NULL, 11)"],
    ),
    "checked": (
        "id INT PRIMARY KEY, c INT CHECK (c > 0), d INT, CONSTRAINT small CHECK (d < 10 OR c IS NULL)",
        "",
        ["1, 1, 9", "2, NULL, 99"],
    ),
    "ranges": (
        "id INT, at DATE, PRIMARY KEY (id, at)",
        "PARTITION BY RANGE (YEAR(at)) (PARTITION p0 VALUES LESS THAN (2020), PARTITION p1 VALUES LESS THAN MAXVALUE)",
        ["1, '2019-01-01'", "2, '2021-01-01'"],
    ),
    "hashed": (
        "id INT PRIMARY KEY, v VARCHAR(9)",
        "PARTITION BY KEY () PARTITIONS 3",
        ["1, 'x'", "2, 'y'", "3, 'z'"],
    ),
    "listed": (
        "id INT PRIMARY KEY",
        "PARTITION BY LIST (id) (PARTITION a VALUES IN (1, 3), PARTITION b VALUES IN (2, NULL))",
        ["1", "2"],
    ),
    "defaults": (
        "id INT PRIMARY KEY, n INT NOT NULL DEFAULT 5, t VARCHAR(9) DEFAULT 'it''s', u VARCHAR(36) DEFAULT (UUID()),"
        " c DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3), b BIT(3) DEFAULT b'101',"
        " x TEXT DEFAULT ('it''s (x)'), e INT DEFAULT (1 + 2)",
        "ROW_FORMAT = COMPRESSED KEY_BLOCK_SIZE = 8",
        ["(id, u) VALUES (1, 'x')"],
    ),
    "indexed": (
        "id INT PRIMARY KEY, a VARCHAR(99), b TEXT, UNIQUE KEY (a(10)), KEY (b(20) DESC, a),"
        " FULLTEXT KEY (b) COMMENT 'words'",
        "ENGINE = InnoDB COMMENT 'x'",
        ["1, 'a', 'some words'", "2, NULL, NULL"],
    ),
    "cascading": (
        "id INT PRIMARY KEY, up INT, FOREIGN KEY (up) REFERENCES cascading (id) ON DELETE CASCADE ON UPDATE SET NULL",
        "",
        ["1, NULL", "2, 1"],
    ),
    "ours": ("id INT PRIMARY KEY, v VARCHAR(9)", "ENGINE = MyISAM", ["1, 'x'"]),
}
OWN: dict[str, Tables] = {
    "mysql": {
        "ordered": (
            "v VARCHAR(20) COLLATE utf8mb4_0900_as_cs, b VARCHAR(20) COLLATE utf8mb4_0900_bin,"
            " j VARCHAR(20) COLLATE utf8mb4_ja_0900_as_cs, d VARCHAR(20) COLLATE utf8mb4_de_pb_0900_ai_ci,"
            " PRIMARY KEY (v, b)",
            "DEFAULT CHARSET = utf8mb4",
            ["'Mouse', 'x', 'あ', 'ß'", "'mouse', 'x ', NULL, NULL", "'mouse ', 'x', NULL, NULL"],
        ),
        "enforced": (
            "id INT PRIMARY KEY, p POINT NOT NULL SRID 4326, CONSTRAINT never CHECK (id < 0) NOT ENFORCED,"
            " SPATIAL KEY (p), KEY hidden (id) INVISIBLE",
            "",
            ["1, ST_GeomFromText('POINT(5 6)', 4326)"],
        ),
    },
    "mariadb": {
        "ordered": (
            "v VARCHAR(20) COLLATE utf8mb4_uca1400_as_cs, b VARCHAR(20) COLLATE utf8mb4_nopad_bin, "
            "n VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_nopad_ci,"
            " a VARCHAR(20) COLLATE utf8mb4_uca1400_ai_ci, PRIMARY KEY (v, b)",
            "DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_uca1400_nopad_ai_ci",
            ["'Mouse', 'x', 'ü', 'ß'", "'mouse', 'x ', NULL, NULL"],
        ),
        "aria": (
            "id INT PRIMARY KEY, t TEXT DEFAULT 'a (b)', u VARCHAR(36) DEFAULT UUID(), KEY hidden (id) IGNORED",
            "ENGINE = Aria TRANSACTIONAL = 1 COMMENT = 'DEFAULT 5'",
            ["(id, u) VALUES (1, 'x')"],
        ),
    },
}
#: What the other flavour has not.
FOREIGN = {
    "mysql": (
        "CREATE TABLE lab.odd (id INT PRIMARY KEY, s VARCHAR(9), KEY ((LOWER(s))))",
        "INSERT INTO lab.odd VALUES (1, 'A')",
    ),
    "mariadb": ("CREATE TABLE lab.odd (id UUID PRIMARY KEY, a INET6)", "INSERT INTO lab.odd VALUES (UUID(), '::1')"),
}
VIEW = (
    "CREATE VIEW lab.seen AS SELECT n.id, t.c FROM lab.numbers n JOIN lab.texts t ON t.id = n.id"
    " WHERE t.v COLLATE utf8mb4_unicode_ci LIKE 'SMILE%'"
)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, PrivateServer]]:
    """One of each flavour, neither in UTC."""
    options = ["--default-time-zone=+05:00"]
    with (
        PrivateServer.start("mysql", options=options) as mysql,
        PrivateServer.start("mariadb", options=options) as mariadb,
    ):
        yield {"mysql": mysql, "mariadb": mariadb}


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def dumped(
    request: pytest.FixtureRequest, servers: dict[str, PrivateServer], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Bundle, Slice]:
    """All tables of a flavour, exported and dumped."""
    source = servers[request.param]
    for server in servers.values():
        drop_schemas(server)
    tables = EVERYWHERE | OWN[request.param]
    settings = "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', NAMES utf8mb4"
    statements = ["CREATE DATABASE lab"]
    for name, (columns, options, rows) in tables.items():
        statements.append(f"CREATE TABLE lab.{name} ({columns}) {options}")
        statements += [f"INSERT INTO lab.{name} {row if row[0] == '(' else f'VALUES ({row})'}" for row in rows]
    fill(source, settings, [*statements, VIEW])
    names = [TableName("lab", name) for name in tables]
    bundle = bundled(source, tmp_path_factory.mktemp("trip") / "bundle", names, (TableName("lab", "seen"),))
    return request.param, *bundle


def fill(server: PrivateServer, settings: str, statements: list[str]) -> None:
    connection = server.connect(database=None, init_command=settings, autocommit=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET default_storage_engine = InnoDB")
        for statement in statements:
            if statement.startswith("CREATE TABLE"):
                cursor.execute("USE lab")
            cursor.execute(statement)


def bundled(
    source: PrivateServer, folder: Path, names: list[TableName], structure: tuple[TableName, ...] = ()
) -> tuple[Bundle, Slice]:
    with connect(source, "root", source.password) as database:
        slice_ = picked(database, names, structure)
        bundle = write_bundle(folder, slice_, [], META, fingerprint.take(database, slice_))
    run(bundle, source, ("root", source.password))
    return bundle, slice_


def picked(database: Database, names: list[TableName], structure: tuple[TableName, ...]) -> Slice:
    schema = read_schema(database, [*names, *structure])
    return cascade(database, schema, [leaf_rule(schema.tables[name]) for name in names], structure=structure)


def checksums(server: PrivateServer, slice_: Slice, prefix: str = "") -> dict[str, str]:
    """A digest of the values of each table, to the bit."""
    found = {}
    for name, sliced in slice_.tables.items():
        if sliced.table.view is None:
            rows = content(server, slice_, name, at=TableName(prefix + name.schema, name.name))
            assert rows, f"nothing to compare in {name}"
            found[name.name] = hashlib.sha256(repr(rows).encode()).hexdigest()
    return found


def load(bundle: Bundle, server: PrivateServer, *options: str) -> str:
    answer = call(bundle.publish / "restore.sh", tools(server), *options)
    assert answer.returncode == 0, answer.stderr
    return answer.stderr


def extras(server: PrivateServer, schema: str) -> set[tuple[str, str, str]]:
    """Which columns are generated or invisible."""
    rows = fetch(
        server, f"SELECT TABLE_NAME, COLUMN_NAME, EXTRA FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{schema}'"
    )
    kinds = ("INVISIBLE", "VIRTUAL GENERATED", "STORED GENERATED", "auto_increment")
    return {(table, column, kind) for table, column, extra in rows for kind in kinds if kind in extra}


def partitions(server: PrivateServer, schema: str) -> set[tuple[str, str]]:
    columns = "TABLE_NAME, PARTITION_NAME FROM information_schema.PARTITIONS"
    return set(fetch(server, f"SELECT {columns} WHERE TABLE_SCHEMA = '{schema}' AND PARTITION_NAME IS NOT NULL"))


def comments(server: PrivateServer, schema: str) -> set[tuple[str, str]]:
    columns = "TABLE_NAME, TABLE_COMMENT FROM information_schema.TABLES"
    return set(fetch(server, f"SELECT {columns} WHERE TABLE_SCHEMA = '{schema}' AND TABLE_TYPE = 'BASE TABLE'"))


def assert_alike(source: PrivateServer, copy: PrivateServer, slice_: Slice, prefix: str = "") -> None:
    lab = f"{prefix}lab"
    ours, theirs = checksums(source, slice_), checksums(copy, slice_, prefix)
    assert [name for name in ours if ours[name] != theirs[name]] == []
    assert extras(source, "lab") == extras(copy, lab)
    assert {kind for _, _, kind in extras(copy, lab)} >= {"INVISIBLE", "VIRTUAL GENERATED", "STORED GENERATED"}
    assert partitions(source, "lab") == partitions(copy, lab) and len(partitions(copy, lab)) == 7
    assert comments(source, "lab") == comments(copy, lab)
    assert fetch(copy, f"SELECT c FROM {lab}.seen") == [(" a",)]


def test_the_other_flavour(dumped: tuple[str, Bundle, Slice], servers: dict[str, PrivateServer]) -> None:
    flavour, bundle, slice_ = dumped
    other = "mariadb" if flavour == "mysql" else "mysql"
    copy = servers[other]
    said = load(bundle, copy)
    assert_alike(servers[flavour], copy, slice_)
    wanted = {"mysql": "utf8mb4_uca1400_nopad_as_cs", "mariadb": "utf8mb4_0900_as_cs"}[flavour]
    assert f"taking {wanted}" in said
    assert_works(copy, "lab")
    # What exists under the names that the slice has, with the collations that it got, can be added to.
    assert "done: all" in load(bundle, copy, "--mode", "append")


def test_the_same_flavour(dumped: tuple[str, Bundle, Slice], servers: dict[str, PrivateServer]) -> None:
    """Beside the original."""
    flavour, bundle, slice_ = dumped
    copy = servers[flavour]
    said = load(bundle, copy, "--mode", "rename", "copy_")
    assert "taking" not in said
    assert_alike(copy, copy, slice_, "copy_")
    assert_works(copy, "copy_lab")
    collations = "SELECT COLUMN_NAME, COLLATION_NAME FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = '{}'"
    assert set(fetch(copy, collations.format("lab"))) == set(fetch(copy, collations.format("copy_lab")))


def assert_works(copy: PrivateServer, lab: str) -> None:
    """Defaults, checks, counters and keys do what they did."""
    connection = copy.connect(database=lab, autocommit=True)
    with connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO defaults (id) VALUES (9)")
        cursor.execute("SELECT n, t, LENGTH(u), c IS NOT NULL, b + 0, x, e FROM defaults WHERE id = 9")
        assert cursor.fetchall() == ((5, "it's", 36, 1, 5, "it's (x)", 3),)
        cursor.execute("INSERT INTO made () VALUES ()")
        cursor.execute("SELECT id, a FROM made WHERE s IS NULL")
        assert cursor.fetchall() == ((6, 7),)
        for broken in ("INSERT INTO checked VALUES (5, 0, 0)", "INSERT INTO checked VALUES (6, 1, 10)"):
            with pytest.raises(Exception, match=r"[Cc]heck|CONSTRAINT"):
                cursor.execute(broken)
        cursor.execute("DELETE FROM cascading WHERE id = 1")
        cursor.execute("SELECT COUNT(*) FROM cascading")
        assert cursor.fetchall() == ((0,),)
        cursor.execute("DELETE FROM defaults WHERE id = 9")
        cursor.execute("DELETE FROM made WHERE id = 6")
        cursor.execute("INSERT INTO cascading VALUES (1, NULL), (2, 1)")


def test_what_the_other_flavour_has_not_stops_the_load(servers: dict[str, PrivateServer], tmp_path: Path) -> None:
    for flavour, (create, insert) in FOREIGN.items():
        source, copy = servers[flavour], servers["mariadb" if flavour == "mysql" else "mysql"]
        for server in (source, copy):
            drop_schemas(server)
        source.execute("CREATE DATABASE lab", create, insert)
        bundle, _ = bundled(source, tmp_path / flavour, [TableName("lab", "odd")])
        answer = call(bundle.publish / "restore.sh", tools(copy))
        assert answer.returncode == 1
        assert "ERROR 1064" in answer.stderr
        assert "the load stopped" in answer.stderr
