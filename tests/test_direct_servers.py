"""A slice that is written in the snapshot holds what one written by dump.sh holds: every type of column, to the bit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from examples.private_server import PrivateServer, flavours
from graph import fingerprint
from graph.bundle import Beside, Bundle, write_bundle
from graph.direct_write import write_slice, zstd
from graph.names import TableName
from graph.slice import Slice
from tests.dumping import META, call, connect, drop_schemas, fetch, run, shellcheck, tools
from tests.test_round_trip import EVERYWHERE, OWN, VIEW, assert_alike, assert_works, checksums, fill, load, picked
from tests.test_round_trip import servers as servers

pytestmark = pytest.mark.skipif(len(flavours()) < 2, reason="needs MySQL and MariaDB")

SETTINGS = "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00', NAMES utf8mb4"


class Both(NamedTuple):
    """One slice, written in both ways."""

    flavour: str
    slice: Slice
    direct: Bundle
    dumped: Bundle


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def both(
    request: pytest.FixtureRequest, servers: dict[str, PrivateServer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    source = servers[request.param]
    for server in servers.values():
        drop_schemas(server)
    tables = EVERYWHERE | OWN[request.param]
    statements = ["CREATE DATABASE lab", "CREATE DATABASE `other lab`"]
    for name, (columns, options, rows) in tables.items():
        statements.append(f"CREATE TABLE lab.{name} ({columns}) {options}")
        statements += [f"INSERT INTO lab.{name} {row if row[0] == '(' else f'VALUES ({row})'}" for row in rows]
    key = "FOREIGN KEY (n) REFERENCES lab.cascading (id) ON DELETE CASCADE"
    far = f"CREATE TABLE `other lab`.`far` (n INT PRIMARY KEY, {key})"
    fill(source, SETTINGS, [*statements, VIEW, far, "INSERT INTO `other lab`.`far` VALUES (2)"])
    names = [TableName("lab", name) for name in tables] + [TableName("other lab", "far")]
    folder = tmp_path_factory.mktemp("both")
    with connect(source, "root", source.password) as database, database.snapshot():
        slice_ = picked(database, names, (TableName("lab", "seen"),))
        taken = fingerprint.take(database, slice_)
        packed = write_slice(database, slice_, taken, folder / "slice.sql.zst", lambda text: None)
        direct = write_bundle(folder / "direct", slice_, [], META, taken, Beside(packed=packed))
        dumped = write_bundle(folder / "dumped", slice_, [], META, taken)
    run(dumped, source, ("root", source.password))
    yield Both(request.param, slice_, direct, dumped)


def unpacked(bundle: Bundle) -> str:
    return zstd.decompress(bundle.slice_file.read_bytes()).decode()


def test_both_hold_the_same_to_the_bit(both: Both, servers: dict[str, PrivateServer]) -> None:
    source = servers[both.flavour]
    load(both.direct, source, "--mode", "rename", "direct_")
    load(both.dumped, source, "--mode", "rename", "dumped_")
    ours = checksums(source, both.slice)
    assert len(ours) == len(both.slice.tables) - 1
    assert checksums(source, both.slice, "direct_") == checksums(source, both.slice, "dumped_") == ours
    for name in both.slice.tables:
        texts = [
            fetch(source, f"SHOW CREATE TABLE `{prefix}{name.schema}`.`{name.name}`")[0][1].replace(prefix, "")
            for prefix in ("direct_", "dumped_")
        ]
        assert texts[0] == texts[1]
    assert_alike(source, source, both.slice, "direct_")
    assert_works(source, "direct_lab")


def test_both_write_the_same_structure(both: Both) -> None:
    created = re.compile(r"^CREATE .*?;$", re.MULTILINE | re.DOTALL)
    texts = [unpacked(both.direct), both.dumped.slice_file.read_text()]
    ours, theirs = (created.findall(text) for text in texts)
    assert ours == theirs
    assert len(ours) == len(both.slice.tables) + 2
    marks = re.compile(r"^-- (?:begin|end) `.*`$", re.MULTILINE)
    assert marks.findall(texts[0]) == marks.findall(texts[1])
    assert "DEFINER" not in texts[0]
    # The one that stands there is in a comment.
    assert re.findall(r"AUTO_INCREMENT=\d+", texts[0]) == ["AUTO_INCREMENT=5"]


def test_odd_texts_in_the_structure(both: Both, servers: dict[str, PrivateServer], tmp_path: Path) -> None:
    """Bytes that are no UTF-8, characters beyond the server's own character set."""
    source = servers[both.flavour]
    source.execute(
        "DROP DATABASE IF EXISTS odd",
        "CREATE DATABASE odd",
        "CREATE TABLE odd.t (id INT PRIMARY KEY COMMENT 'smile 😀', e ENUM('😀','ü') CHARACTER SET utf8mb4,"
        " b BINARY(3) DEFAULT x'FF00FE', v VARBINARY(9) DEFAULT x'C328', l VARCHAR(9) CHARACTER SET latin1 DEFAULT 'é')"
        " COMMENT 'ü'",
    )
    with connect(source, "root", source.password) as database, database.snapshot():
        slice_ = picked(database, [TableName("odd", "t")], ())
        packed = write_slice(database, slice_, {}, tmp_path / "slice.sql.zst", lambda text: None)
    ours = zstd.decompress(packed.path.read_bytes())
    bundle = write_bundle(tmp_path / "dumped", slice_, [], META)
    run(bundle, source, ("root", source.password))
    created = re.compile(rb"^CREATE TABLE .*?;$", re.MULTILINE | re.DOTALL)
    assert created.findall(ours) == created.findall(bundle.slice_file.read_bytes())
    assert created.findall(ours)
    source.execute("DROP DATABASE odd")


def test_it_loads_into_the_other_flavour_and_can_be_added(both: Both, servers: dict[str, PrivateServer]) -> None:
    copy = servers["mariadb" if both.flavour == "mysql" else "mysql"]
    load(both.direct, copy)
    assert_alike(servers[both.flavour], copy, both.slice)
    assert "done: all" in load(both.direct, copy, "--mode", "append")


def test_what_restore_says_of_a_packed_slice(both: Both, servers: dict[str, PrivateServer], tmp_path: Path) -> None:
    for tool in ("bash", "dirname", "sed", "sha256sum"):
        found = next(Path(folder, tool) for folder in os.environ["PATH"].split(":") if Path(folder, tool).exists())
        (tmp_path / tool).symlink_to(found)
    restore = both.direct.publish / "restore.sh"
    environment = tools(servers[both.flavour])
    answer = call(restore, {**environment, "PATH": str(tmp_path)})
    assert answer.returncode == 1
    assert "slice.sql.zst is packed, and the program zstd is not in PATH: install it" in answer.stderr
    path = both.direct.slice_file
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1])
        answer = call(restore, environment)
        assert answer.returncode == 1 and "slice.sql.zst is damaged" in answer.stderr
        path.unlink()
        answer = call(restore, environment)
        assert answer.returncode == 1 and "slice.sql.zst is not here" in answer.stderr
    finally:
        path.write_bytes(whole)
    assert shellcheck(both.direct) == ""


def test_dump_sh_replaces_a_packed_slice(both: Both, servers: dict[str, PrivateServer], tmp_path: Path) -> None:
    source = servers[both.flavour]
    with connect(source, "root", source.password) as database, database.snapshot():
        slice_ = picked(database, [TableName("lab", "cascading")], ())
        packed = write_slice(database, slice_, {}, tmp_path / "slice.sql.zst", lambda text: None)
        bundle = write_bundle(tmp_path / "bundle", slice_, [], META, beside=Beside(packed=packed))
    assert not (tmp_path / "slice.sql.zst").exists()
    assert bundle.slice_file.name == "slice.sql.zst" and bundle.slice_file.stat().st_mode & 0o777 == 0o644
    run(bundle, source, ("root", source.password))
    assert not (bundle.publish / "slice.sql.zst").exists() and bundle.slice_file.name == "slice.sql"
    assert '"slice.sql.zst"' not in (bundle.publish / "manifest.json").read_text()
    load(bundle, source, "--mode", "rename", "again_")
