"""Which files the rows of a slice name, on real servers with tables as both DataJoint lines make them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import networkx as nx
import pytest

from examples.private_server import PrivateServer
from graph import files_read
from graph.database import Credentials, Database, ServerAddress
from graph.decisions import Decisions
from graph.documents import Judged, Meta
from graph.errors import GrantError, InputError
from graph.export import Export, export
from graph.files import FileRule, Place, StoreSettings, Tally, parse_rule, read
from graph.masks import Masked, MaskKind
from graph.names import TableName
from graph.plan import make_plan
from graph.schema import Column, ForeignKey, Schema, Table
from graph.statement import Statement, StatementClass
from graph.structure import Structure, whole_schemas
from tests.cascading import run

META = Meta("Paper", "db.lab.example:3306", "0.1.0")
HASHES = [bytes([number]) * 16 for number in range(1, 8)]


@pytest.fixture
def lab(server: PrivateServer, database: str) -> str:
    """Tables that name files: four tracked ones (of which nobody refers to the last), described ones, path columns."""
    tracked = ", ".join(
        f"(x'{digest.hex()}', {number}, NULL, 'sub/r{number}.nwb', x'{'ab' * 16}')"
        for number, digest in enumerate(HASHES[:4], 1)
    )
    described = [
        {"path": "_schema/a.zarr", "store": "files", "size": 9, "is_dir": True, "item_count": 2},
        {"path": "/abroad/b", "store": "files", "size": 1},
        {"uri": "own"},
    ]
    values = ", ".join(f"({n}, '{json.dumps(each)}', '{json.dumps(each)}')" for n, each in enumerate(described, 1))
    server.execute(
        f"USE `{database}`",
        "CREATE TABLE `~external_raw` (hash binary(16) PRIMARY KEY, size bigint unsigned NOT NULL,"
        " attachment_name varchar(255), filepath varchar(1000), contents_hash binary(16),"
        " timestamp timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)",
        f"INSERT INTO `~external_raw` (hash, size, attachment_name, filepath, contents_hash) VALUES {tracked}",
        "CREATE TABLE nwbfile (name varchar(20) PRIMARY KEY, path binary(16) NOT NULL COMMENT ':filepath@raw:',"
        " other binary(16), FOREIGN KEY (path) REFERENCES `~external_raw` (hash),"
        " FOREIGN KEY (other) REFERENCES `~external_raw` (hash))",
        f"INSERT INTO nwbfile VALUES ('it''s r1', x'{HASHES[0].hex()}', x'{HASHES[1].hex()}'),"
        f" ('r2', x'{HASHES[1].hex()}', NULL), ('r3', x'{HASHES[2].hex()}', NULL)",
        "CREATE TABLE `_recording` (id int, scan json COMMENT ':<object@files>:of all', plain json COMMENT ':json:',"
        " inner_ longblob COMMENT ':<blob>:', PRIMARY KEY (id))",
        f"INSERT INTO `_recording` (id, scan, plain) VALUES {values}, (4, NULL, NULL)",
        "CREATE TABLE session (day date, n int, video varchar(99), PRIMARY KEY (day, n))",
        "INSERT INTO session VALUES ('2026-01-01', 1, '/data/videos/a/1.avi'), ('2026-01-01', 2, 'rel.avi'),"
        " ('2026-01-02', 1, '/elsewhere/secret.avi'), ('2026-01-03', 1, NULL), ('2026-01-04', 1, '')",
        "CREATE TABLE bare (file varchar(99))",
        "INSERT INTO bare VALUES ('x.bin')",
    )
    return database


Leaves = dict[str, str | None]


def listed(reader: Database, lab: str, leaves: Leaves, *rules: FileRule, **stores: StoreSettings) -> Tally:
    """What the list has and has not."""
    with reader.snapshot():
        found = files_read.take(reader, run(reader, lab, leaves), rules, stores)
    return found.tally


def lines(reader: Database, lab: str, leaves: Leaves, folder: Path, *rules: FileRule) -> list[str]:
    """The lines of the list, without the header and the schema's name."""
    with reader.snapshot():
        found = files_read.take(reader, run(reader, lab, leaves), rules)
    target = folder / "files.tsv"
    found.copy_to(target)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == found.sha256()
    return [line.replace(f"{lab}.", "") for line in target.read_text().splitlines()[1:]]


@pytest.mark.parametrize("page", [1, 2, 900])
def test_tracked_files_stand_under_the_rows_that_name_them(
    lab: str, reader: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Also those of a row that is not in the slice are left out, and a tracking table that was asked for is whole."""
    monkeypatch.setattr(files_read, "_PAGE", page)
    monkeypatch.setattr(files_read, "_SPOOLED", 10)
    first, second, last = (f"raw\tsub/r{n}.nwb\tfile\t{n}\t\tmd5:{'ab' * 16}" for n in (1, 2, 4))
    assert sorted(lines(reader, lab, {"nwbfile": "name LIKE 'it%'"}, tmp_path)) == [
        f"nwbfile\t`name`='it''s r1'\tother\t{second}",
        f"nwbfile\t`name`='it''s r1'\tpath\t{first}",
    ]
    (tmp_path / "files.tsv").unlink()
    everything = lines(reader, lab, {"nwbfile": "name <> 'r3'", "~external_raw": None}, tmp_path)
    assert len(everything) == 5
    assert f"~external_raw\t`hash`=x'{HASHES[3].hex().upper()}'\thash\t{last}" in everything
    assert f"nwbfile\t`name`='r2'\tpath\t{second}" in everything


def test_described_files_come_from_codecs_in_stores_alone(lab: str, reader: Database, tmp_path: Path) -> None:
    assert lines(reader, lab, {"_recording": "id IN (1, 4)"}, tmp_path) == [
        "_recording\t`id`=1\tscan\tfiles\t_schema/a.zarr\tfolder\t9\t2\t"
    ]
    tally = listed(reader, lab, {"_recording": None})
    assert (tally.entries, tally.sizes, tally.missed) == ({"files": 1}, {"files": 9}, 2)
    assert [(each.key, "absolute" in each.reason) for each in tally.examples] == [("`id`=2", True), ("`id`=3", False)]
    known = listed(reader, lab, {"_recording": "id = 2"}, files=StoreSettings(location="/abroad"))
    assert (known.entries, known.missed) == ({"files": 1}, 0)


def test_path_columns_by_rules(lab: str, reader: Database, tmp_path: Path) -> None:
    rule, bare = parse_rule(f"{lab}.session.VIDEO: /data/videos"), parse_rule(f"{lab}.bare.file: logs=/logs")
    found = lines(reader, lab, {"session": None, "bare": None}, tmp_path, rule, bare)
    assert found == [
        "session\t`day`='2026-01-01' AND `n`=1\tvideo\tvideos\ta/1.avi\t\t\t\t",
        "session\t`day`='2026-01-01' AND `n`=2\tvideo\tvideos\trel.avi\t\t\t\t",
        "bare\t\tfile\tlogs\tx.bin\t\t\t\t",
    ]
    with (tmp_path / "files.tsv").open(newline="") as file:
        assert next(read(file)) == Place("videos", "a/1.avi")
    tally = listed(reader, lab, {"session": None}, rule)
    assert [(each.value, each.column) for each in tally.examples] == [("/elsewhere/secret.avi", "video")]


def test_a_rule_may_not_take_the_name_of_a_store(lab: str, reader: Database) -> None:
    rule = parse_rule(f"{lab}.session.video: raw=/data/videos")
    leaves: Leaves = {"session": None, "nwbfile": None}
    with pytest.raises(InputError, match="raw is a store of DataJoint's"):
        listed(reader, lab, leaves, rule)
    same = listed(reader, lab, leaves, rule, raw=StoreSettings(location="/data/videos/"))
    assert same.entries == {"raw": 6}


def made(source: Database, text: str, folder: Path, decisions: Decisions) -> Export:
    return export(source, [Judged(Statement(1, text), StatementClass.DATA, "")], folder, META, decisions=decisions)


def test_the_bundle_has_the_list_and_the_lab_the_rest(lab: str, reader: Database, tmp_path: Path) -> None:
    decisions = Decisions(files=(parse_rule(f"{lab}.session.video: /data/videos"),))
    found = made(reader, f"SELECT * FROM {lab}.session", tmp_path / "out", decisions)
    listing = found.bundle.listing.read_bytes()
    manifest = json.loads((found.bundle.publish / "manifest.json").read_text())
    assert manifest["files"]["files.tsv"] == hashlib.sha256(listing).hexdigest()
    assert any("secret" not in warning and "files.tsv cannot have" in warning for warning in found.slice.warnings)
    for path in found.bundle.publish.iterdir():
        assert b"/data/videos" not in path.read_bytes() and b"elsewhere" not in path.read_bytes()
    review = json.loads((found.bundle.folder / "review.json").read_text())
    assert (review["files"]["entries"], review["files"]["outside"]) == (2, 1)
    assert review["files"]["examples"][0]["value"] == "/elsewhere/secret.avi"
    again = made(reader, f"SELECT * FROM {lab}.bare", tmp_path / "out", Decisions())
    assert not again.bundle.listing.exists()


def test_what_a_plan_hides_is_not_told_by_the_list(lab: str, reader: Database, tmp_path: Path) -> None:
    columns = {"_recording": "scan", "session": "video", "~external_raw": "filepath"}
    decisions = Decisions(
        masked=tuple(Masked(TableName(lab, name), (each,), MaskKind.BLANK) for name, each in columns.items()),
        files=(parse_rule(f"{lab}.session.video: /data/videos"),),
    )
    texts = [f"SELECT id FROM {lab}._recording", f"SELECT n FROM {lab}.session", f"SELECT name FROM {lab}.nwbfile"]
    recorded = [Judged(Statement(n, text), StatementClass.DATA, "") for n, text in enumerate(texts, 1)]
    found = export(reader, recorded, tmp_path / "out", META, decisions=decisions)
    assert found.slice.rows > 10
    assert (found.files.number, found.files.missed) == (0, 2)
    assert not found.bundle.listing.exists()


@pytest.mark.parametrize(
    ("rule", "message"),
    [("{}.nothing.x: /data", "no base table"), ("{}.session.x: /data", "no column 'x'")],
)
def test_a_rule_about_nothing_is_refused(lab: str, reader: Database, tmp_path: Path, rule: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(reader, f"SELECT * FROM {lab}.bare", tmp_path / "out", Decisions(files=(parse_rule(rule.format(lab)),)))
    assert list(tmp_path.iterdir()) == []


def test_a_rule_whose_table_is_not_in_the_slice_is_said(lab: str, reader: Database, tmp_path: Path) -> None:
    decisions = Decisions(files=(parse_rule(f"{lab}.session.video: /data"),))
    found = made(reader, f"SELECT * FROM {lab}.bare WHERE file = 'x.bin'", tmp_path / "out", decisions)
    (warning,) = (each for each in found.slice.warnings if "--files" in each)
    assert "the slice has no row" in warning


def schema_of(*keys: tuple[str, str, str]) -> Schema:
    """Tables of one integer key `k`, and foreign keys (child, child column, parent) to it."""
    graph: nx.MultiDiGraph[TableName] = nx.MultiDiGraph()
    tables = {}
    for child, column, parent in keys:
        for text in (child, parent):
            name = TableName(*text.split("."))
            tables[name] = Table(name, (Column("k", "int", "int", False),), ("k",))
        own, far = TableName(*child.split(".")), TableName(*parent.split("."))
        key = ForeignKey(f"fk_{column}_{parent}", own, (column,), far, ("k",))
        graph.add_edge(own, far, key.name, foreign_key=key)
    return Schema(tables, graph)


CHAIN = schema_of(
    ("asked.trial", "s", "asked.session"),
    ("asked.unused", "r", "rigs.rig"),
    ("rigs.calibration", "r", "rigs.rig"),
    ("rigs.calibration", "p", "parts.part"),
    ("elsewhere.note", "s", "asked.session"),
)


def test_whole_schemas_are_those_that_a_pipelines_modules_declare() -> None:
    """Every schema of the tables and of those that their schemas refer to; not those that refer to them."""
    found = whole_schemas(CHAIN, [TableName("asked", "trial"), TableName("unknown", "x")])
    assert {str(name) for name in found} == {
        *("asked.trial", "asked.session", "asked.unused", "rigs.rig", "rigs.calibration", "parts.part")
    }


def test_empty_tables_are_there_and_not_counted(lab: str, reader: Database, tmp_path: Path) -> None:
    found = made(reader, f"SELECT * FROM {lab}.bare", tmp_path / "out", Decisions(structure=Structure.SCHEMAS))
    rows = {name.name: (sliced.rows, sliced.total) for name, sliced in found.slice.tables.items()}
    empty = dict.fromkeys(["~external_raw", "nwbfile", "_recording", "session"], (0, None))
    assert rows == {"bare": (1, 1), **empty}


def test_every_table_of_whole_schemas_must_be_readable(
    lab: str, server: PrivateServer, reader: Database, tmp_path: Path
) -> None:
    server.execute(
        "CREATE USER only_bare@'%' IDENTIFIED BY 'secret'",
        f"GRANT SELECT ON {lab}.bare TO only_bare@'%'",
        f"GRANT INSERT ON {lab}.session TO only_bare@'%'",
    )
    decisions = Decisions(structure=Structure.SCHEMAS)
    text = f"SELECT * FROM {lab}.bare"
    try:
        address = ServerAddress(server.host, server.port)
        with Database.connect(address, Credentials("only_bare", "secret")) as source:
            with pytest.raises(GrantError, match=f"GRANT SELECT ON `{lab}`.`session`"):
                made(source, text, tmp_path / "out", decisions)
            judged = [Judged(Statement(1, text), StatementClass.DATA, "")]
            plan = make_plan(source, judged, META, decisions=decisions)
    finally:
        server.execute("DROP USER only_bare@'%'")
    assert {name.name for name in plan.computed.missing} == {"session"}
    assert {name.name for name in plan.slice.tables} == {"bare"}
    assert list(tmp_path.iterdir()) == []
