"""The structure that goes out is the one that was exported, without what names other places than the table."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.private_server import PrivateServer
from graph import cascade as cascade_module
from graph import fingerprint
from graph.bundle import Beside, Bundle, write_bundle
from graph.cascade import cascade, leaf_rule
from graph.database import Database
from graph.direct_write import write_slice
from graph.engines import Engine
from graph.errors import InputError, ServerError
from graph.lookup import Edge
from graph.names import TableName
from graph.schema import read_schema
from graph.slice import Slice
from tests.dumping import META, READER, Pair, assert_copied, call, connect, export, fetch, restored, run, take, tools

T, PARENT, EMPTY = TableName("lab", "t"), TableName("lab", "parent"), TableName("lab", "empty")
W = TableName("lab", "w")
TABLES = (
    "CREATE DATABASE lab",
    "CREATE TABLE lab.parent (id INT PRIMARY KEY)",
    "CREATE TABLE lab.t (id INT PRIMARY KEY AUTO_INCREMENT, p INT, s VARCHAR(10) DEFAULT 'a', KEY k (p),"
    " CONSTRAINT fk FOREIGN KEY (p) REFERENCES lab.parent (id)) COMMENT 'table'",
    "CREATE TABLE lab.empty (id INT PRIMARY KEY, note VARCHAR(10))",
    "INSERT INTO lab.parent VALUES (1), (2)",
    "INSERT INTO lab.t VALUES (1, 1, 'x'), (2, 2, 'y')",
    "CREATE VIEW lab.w AS SELECT id, s FROM lab.t WHERE id > 0",
)


@pytest.fixture
def lab(clean: Pair) -> Iterator[Pair]:
    clean.source.execute(*TABLES, f"GRANT SELECT, SHOW VIEW ON lab.* TO {READER}@'%'")
    yield clean
    clean.source.execute(f"REVOKE SELECT, SHOW VIEW ON lab.* FROM {READER}@'%'")


def dump(bundle: Bundle, server: PrivateServer) -> subprocess.CompletedProcess[str]:
    return call(bundle.dump_script, tools(server))


CHANGES = {
    "a column is added": ("lab.t", "ALTER TABLE lab.t ADD secret VARCHAR(20) DEFAULT 'Anna'"),
    "a column's type changes": ("lab.t", "ALTER TABLE lab.t MODIFY s VARCHAR(40) DEFAULT 'a'"),
    "a default changes": ("lab.t", "ALTER TABLE lab.t ALTER s SET DEFAULT 'Anna'"),
    "a column is dropped": ("lab.t", "ALTER TABLE lab.t DROP s"),
    "a comment changes": ("lab.t", "ALTER TABLE lab.t COMMENT 'Anna'"),
    "a key changes": ("lab.t", "ALTER TABLE lab.t ADD UNIQUE KEY u (s)"),
    "a foreign key goes": ("lab.t", "ALTER TABLE lab.t DROP FOREIGN KEY fk"),
    "an engine changes": ("lab.empty", "ALTER TABLE lab.empty ENGINE=MyISAM"),
    "a table without rows changes": ("lab.empty", "ALTER TABLE lab.empty ADD secret VARCHAR(20)"),
    "a view changes": ("lab.w", "CREATE OR REPLACE VIEW lab.w AS SELECT id, s FROM lab.t WHERE id > 1"),
}


def prepared(lab: Pair, folder: Path) -> Bundle:
    """A bundle whose dump was run once."""
    slice_, fingerprints = take(lab.source, {T: None}, structure=(EMPTY, W))
    bundle = write_bundle(folder, slice_, [], META, fingerprints)
    first = dump(bundle, lab.source)
    assert first.returncode == 0, first.stderr
    return bundle


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_structure_stops_the_dump(lab: Pair, tmp_path: Path, change: str) -> None:
    name, sql = CHANGES[change]
    bundle = prepared(lab, tmp_path / "bundle")
    before = bundle.slice_file.read_bytes()
    lab.source.execute(sql)
    again = dump(bundle, lab.source)
    assert again.returncode == 1
    assert f"the structure of {name} has changed since the export" in again.stderr
    assert bundle.slice_file.read_bytes() == before


def test_the_difference_is_shown(lab: Pair, tmp_path: Path) -> None:
    bundle = prepared(lab, tmp_path / "bundle")
    lab.source.execute("ALTER TABLE lab.t ADD `se\x1b[31mcret` VARCHAR(20) COMMENT '\u202ex', COMMENT 'Anna'")
    shown = dump(bundle, lab.source).stderr
    assert "on this server:   `se\\x1b[31mcret` varchar(20)" in shown
    assert "\x1b" not in shown and "\u202e" not in shown
    # What options say may be a password.
    assert "Anna" not in shown


def test_a_table_that_became_a_view_stops_the_dump(lab: Pair, tmp_path: Path) -> None:
    bundle = prepared(lab, tmp_path / "bundle")
    lab.source.execute("DROP TABLE lab.empty", "CREATE VIEW lab.empty AS SELECT id, s AS note FROM lab.t")
    again = dump(bundle, lab.source)
    assert again.returncode == 1
    assert "the structure of lab.empty has changed since the export" in again.stderr
    assert "on this server: CREATE ALGORITHM" in again.stderr


@pytest.mark.parametrize("sql", ["DROP TABLE lab.t", "DROP VIEW lab.w"])
def test_what_is_gone_stops_the_dump(lab: Pair, tmp_path: Path, sql: str) -> None:
    bundle = prepared(lab, tmp_path / "bundle")
    before = bundle.slice_file.read_bytes()
    lab.source.execute(sql)
    again = dump(bundle, lab.source)
    assert again.returncode == 1
    assert f"the structure of {sql.split()[-1]} cannot be read" in again.stderr
    assert bundle.slice_file.read_bytes() == before


def test_a_view_that_became_a_table_stops_the_dump(lab: Pair, tmp_path: Path) -> None:
    bundle = prepared(lab, tmp_path / "bundle")
    lab.source.execute("DROP VIEW lab.w", "CREATE TABLE lab.w AS SELECT id, s FROM lab.t")
    again = dump(bundle, lab.source)
    assert again.returncode == 1 and "the structure of lab.w cannot be read" in again.stderr


def test_new_rows_that_are_not_in_the_slice_do_not_stop_the_dump(lab: Pair, tmp_path: Path) -> None:
    slice_, fingerprints = take(lab.source, {T: "id = 1"}, structure=(EMPTY, W))
    bundle = write_bundle(tmp_path / "bundle", slice_, [], META, fingerprints)
    lab.source.execute("INSERT INTO lab.t VALUES (900, 1, 'z')")
    assert dump(bundle, lab.source).returncode == 0
    assert "AUTO_INCREMENT=" not in bundle.slice_file.read_text()


def test_an_alteration_while_rows_are_dumped_is_noticed(lab: Pair, tmp_path: Path) -> None:
    """mysqldump's place is taken by one that alters the table when it has written the rows."""
    bundle = prepared(lab, tmp_path / "bundle")
    before = bundle.slice_file.read_bytes()
    environment = tools(lab.source)
    client = f"{environment['MYSQL']} --defaults-file={environment['MYSQL_DEFAULTS_FILE']}"
    tool = tmp_path / "mysqldump"
    tool.write_text(
        f'#!/bin/sh\n{environment["MYSQLDUMP"]} "$@" || exit\n'
        f'case "$*" in *"no-create-info"*" lab t"*) {client} -e "ALTER TABLE lab.t ADD secret INT DEFAULT 7" ;; esac\n'
    )
    tool.chmod(0o755)
    answer = call(bundle.dump_script, {**environment, "MYSQLDUMP": str(tool)})
    assert answer.returncode == 1
    assert "the structure of lab.t has changed since the export" in answer.stderr
    assert bundle.slice_file.read_bytes() == before


def test_a_schema_of_the_option_file_changes_nothing(lab: Pair, tmp_path: Path) -> None:
    """In its own schema the server shows a view without it."""
    bundle = prepared(lab, tmp_path / "bundle")
    environment = tools(lab.source)
    options = tmp_path / "options.cnf"
    options.write_text(Path(environment["MYSQL_DEFAULTS_FILE"]).read_text() + "\n[mysql]\ndatabase=lab\n")
    answer = call(bundle.dump_script, {**environment, "MYSQL_DEFAULTS_FILE": str(options)})
    assert answer.returncode == 0, answer.stderr


# -- at the export itself


def between(monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    """Makes a change when the schema has been read."""
    found = cascade_module.all_edges

    def changed(*arguments: Any) -> list[Edge]:
        change()
        return found(*arguments)

    monkeypatch.setattr(cascade_module, "all_edges", changed)


@pytest.mark.parametrize(
    "sql",
    ["ALTER TABLE lab.empty ADD secret INT", "CREATE OR REPLACE VIEW lab.w AS SELECT id, s FROM lab.t WHERE id > 9"],
)
def test_a_change_between_the_schema_and_the_rows_stops_the_export(
    lab: Pair, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    with connect(lab.source) as database, database.snapshot():
        schema = read_schema(database, [T, W], checked=False)
        between(monkeypatch, lambda: lab.source.execute(sql))
        with pytest.raises(ServerError, match=r"the structure of (lab\.\w+|a table) was changed"):
            cascade(database, schema, [leaf_rule(schema.tables[PARENT])], structure=(EMPTY, W))


def sliced(database: Database, *names: TableName, structure: tuple[TableName, ...] = ()) -> Slice:
    schema = read_schema(database, [*names, *structure])
    return cascade(database, schema, [leaf_rule(schema.tables[name]) for name in names], structure=structure)


@pytest.mark.parametrize("name", [EMPTY, W])
def test_a_change_while_a_direct_export_writes_stops_it(lab: Pair, tmp_path: Path, name: TableName) -> None:
    """What the transaction has read cannot be altered; what it has not, stops it."""
    with connect(lab.source) as database:
        slice_ = sliced(database, T, structure=(EMPTY, W))
        taken = fingerprint.take(database, slice_)
        lab.source.execute(
            "ALTER TABLE lab.empty ADD secret INT"
            if name == EMPTY
            else "CREATE OR REPLACE VIEW lab.w AS SELECT id, s FROM lab.t WHERE id > 9"
        )
        with pytest.raises(ServerError, match=f"the structure of {name} was changed"):
            write_slice(database, slice_, taken, tmp_path / "slice.sql.zst", lambda text: None)


# -- options


def test_places_of_the_source_do_not_go_out(clean: Pair, tmp_path: Path) -> None:
    """Folders, tablespaces, other tables, connections; both from dump.sh and from --direct."""
    clean.source.execute("CREATE DATABASE lab")
    wanted = [
        "CREATE TABLE lab.a (id INT PRIMARY KEY AUTO_INCREMENT, c VARCHAR(30) DEFAULT 'CONNECTION=x' COMMENT"
        " ') ENGINE=x CONNECTION=''mysql://u:visible@h''') ENGINE=MyISAM CONNECTION='mysql://u:s3cret@h/s/t'"
        " AUTO_INCREMENT=4711 COMMENT='fine'",
        "CREATE TABLE lab.m1 (id INT, v INT, KEY (id)) ENGINE=MyISAM",
        "CREATE TABLE lab.m (id INT, v INT, KEY (id)) ENGINE=MERGE UNION=(lab.m1) INSERT_METHOD=LAST COMMENT='merged'",
    ]
    clean.source.execute(*wanted, "INSERT INTO lab.a (c) VALUES ('x')", "INSERT INTO lab.m1 VALUES (1, 2), (3, 4)")
    if clean.source.flavour == "mysql":
        clean.source.execute(
            "CREATE TABLESPACE s3cret ADD DATAFILE 's3cret.ibd'",
            "CREATE TABLE lab.p (id INT PRIMARY KEY AUTO_INCREMENT) TABLESPACE=s3cret AUTO_INCREMENT=4711",
        )
    else:
        folder = tmp_path / "s3cret"
        folder.mkdir()
        clean.source.execute(
            f"CREATE TABLE lab.p (id INT PRIMARY KEY AUTO_INCREMENT) ENCRYPTION_KEY_ID=1 DATA DIRECTORY='{folder}'"
            f" AUTO_INCREMENT=4711 PARTITION BY RANGE (id)"
            f" (PARTITION p0 VALUES LESS THAN (9000) DATA DIRECTORY='{folder}')",
        )
    clean.source.execute("INSERT INTO lab.p VALUES (4712)")
    names = [TableName("lab", name) for name in ("a", "m", "p")]
    try:
        bundle, slice_ = export(tmp_path / "bundle", clean, dict.fromkeys(names))
        restored(bundle, clean.copy)
        with connect(clean.source) as database, database.snapshot():
            whole = sliced(database, *names)
            packed = write_slice(database, whole, {}, tmp_path / "slice.sql.zst", lambda text: None)
        written = subprocess.run(["zstd", "-dc", packed.path], capture_output=True, check=True).stdout.decode()
        for text in (bundle.slice_file.read_text(), written):
            assert "s3cret" not in text and "AUTO_INCREMENT=" not in text and "MRG_MyISAM" not in text
            assert "COMMENT='merged'" in text and "mysql://u:visible@h" in text
        assert_copied(clean, slice_, dict.fromkeys(names, "TRUE"))
        with pytest.raises(InputError, match=r"the structure of lab\.\w has what must not go out"):
            engine = Engine.MYSQLSH if clean.source.flavour == "mysql" else Engine.MYDUMPER
            write_bundle(tmp_path / "other", slice_, [], META, beside=Beside(engine=engine))
    finally:
        clean.source.execute("DROP DATABASE lab")
        if clean.source.flavour == "mysql":
            clean.source.execute("DROP TABLESPACE s3cret")


def test_a_federated_table_goes_out_as_its_rows(tmp_path: Path) -> None:
    """mysqldump leaves out the rows of such a table."""
    with PrivateServer.start("mysql", options=["--federated"]) as source, PrivateServer.start("mysql") as copy:
        there = f"mysql://{source.user}:{source.password}@127.0.0.1:{source.port}/lab/far"
        source.execute(
            "CREATE DATABASE lab",
            "CREATE TABLE lab.far (id INT PRIMARY KEY, f FLOAT, s VARCHAR(9), KEY k (s))",
            "INSERT INTO lab.far VALUES (1, 0.1, 'it''s'), (2, 1.23456789, NULL), (3, -0e0, '')",
            "CREATE TABLE lab.near (id INT PRIMARY KEY, f FLOAT, s VARCHAR(9), KEY k (s)) ENGINE=FEDERATED"
            f" CONNECTION='{there}' COMMENT='rows of another server'",
        )
        pair, name = Pair(source, copy), TableName("lab", "near")
        account = (source.user, source.password)
        slice_, fingerprints = take(source, {name: "id < 3"}, account=account)
        bundle = write_bundle(tmp_path / "bundle", slice_, [], META, fingerprints)
        run(bundle, source, account)
        restored(bundle, copy)
        (made,) = fetch(copy, "SHOW CREATE TABLE lab.near")
        assert "ENGINE=InnoDB" in made[1] and "COMMENT='rows of another server'" in made[1]
        assert_copied(pair, slice_, {name: "id < 3"})
        assert source.password not in bundle.slice_file.read_text()
        assert source.password not in bundle.dump_script.read_text()
        # A difference is shown without what options say.
        source.execute(
            "DROP TABLE lab.near", f"CREATE TABLE lab.near (id INT PRIMARY KEY) ENGINE=FEDERATED CONNECTION='{there}'"
        )
        again = dump(bundle, source)
        assert again.returncode == 1 and "the structure of lab.near has changed" in again.stderr
        assert source.password not in again.stderr
