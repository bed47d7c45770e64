"""`export --run --direct`: with SELECT alone, all or nothing, again when the connection breaks."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.documents import Judged, Meta
from graph.errors import GrantError, InputError, ServerError
from graph.export import Export, export
from graph.runner import run_dump
from graph.statement import Statement, StatementClass
from proxy.signals import terminable
from tests import harness
from tests.harness import Djproxy
from tests.test_bounds import cut

META = Meta("Paper", "db.lab.example:3306", "0.1.0")
ROWS = 1500


class Lab(NamedTuple):
    """Children with a parent in another schema, and an account that may read both."""

    server: PrivateServer
    schemas: tuple[str, str]
    account: harness.Account

    @property
    def child(self) -> str:
        return f"{self.schemas[1]}.child"

    def connect(self) -> Database:
        address = ServerAddress(self.server.host, self.server.port)
        return Database.connect(address, Credentials(self.account.user, self.account.password))

    def export(self, folder: Path, *, direct: bool, **more: object) -> Export:
        """Children of every second parent."""
        sql = f"SELECT * FROM {self.child} WHERE p % 2 = 0"
        recorded = [Judged(Statement(1, sql), StatementClass.DATA, "")]
        with self.connect() as database:
            made = export(database, recorded, folder, META, direct=direct, **more)  # type: ignore[arg-type]
            if not direct:
                credentials = Credentials(self.account.user, self.account.password)
                run_dump(made.bundle, database.address, credentials, database.flavour)
        return made


@pytest.fixture
def lab(server: PrivateServer, restored: PrivateServer) -> Iterator[Lab]:
    schemas = (f"up_{secrets.token_hex(3)}", f"down_{secrets.token_hex(3)}")
    up, down = schemas
    server.execute(
        *(f"CREATE DATABASE {schema}" for schema in schemas),
        f"CREATE TABLE {up}.parent (id INT PRIMARY KEY, f FLOAT, b LONGBLOB)",
        f"CREATE TABLE {down}.child (id INT PRIMARY KEY, p INT NOT NULL, FOREIGN KEY (p) REFERENCES {up}.parent (id))",
        f"INSERT INTO {up}.parent VALUES " + ", ".join(f"({n}, {n} / 7e0, x'{n:04x}')" for n in range(10)),
        f"INSERT INTO {down}.child VALUES " + ", ".join(f"({n}, {n % 10})" for n in range(ROWS)),
    )
    account = harness.add_account(server, schemas)
    yield Lab(server, schemas, account)
    server.execute(f"DROP USER {account.at_localhost}")
    for each in (server, restored):
        each.execute("SET foreign_key_checks = 0", *(f"DROP DATABASE IF EXISTS {schema}" for schema in schemas))


def contents(server: PrivateServer, lab: Lab) -> list[list[tuple[object, ...]]]:
    up, down = lab.schemas
    exact = "id, CAST(CAST(f AS DOUBLE) AS CHAR), HEX(b)"
    where = "WHERE {} % 2 = 0 ORDER BY id"
    return [
        server.rows(f"SELECT {exact} FROM {up}.parent {where.format('id')}"),
        server.rows(f"SELECT * FROM {down}.child {where.format('p')}"),
    ]


@pytest.mark.parametrize("direct", [False, True], ids=["dump.sh", "direct"])
def test_select_alone_is_enough(
    lab: Lab, server: PrivateServer, restored: PrivateServer, tmp_path: Path, direct: bool
) -> None:
    made = lab.export(tmp_path / "out", direct=direct)
    name = "slice.sql.zst" if direct else "slice.sql"
    assert made.bundle.slice_file == tmp_path / "out" / "publish" / name
    manifest = json.loads((made.bundle.publish / "manifest.json").read_text())
    assert manifest["files"][name] == hashlib.sha256(made.bundle.slice_file.read_bytes()).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    harness.restore(made.bundle.folder, restored)
    assert contents(restored, lab) == contents(server, lab)
    for table, rows in (("parent", 5), ("child", ROWS // 2)):
        schema = lab.schemas[table == "child"]
        assert restored.rows(f"SELECT COUNT(*) FROM {schema}.{table}") == [(rows,)]


@pytest.mark.parametrize("direct", [False, True], ids=["dump.sh", "direct"])
def test_a_missing_right_is_named_and_nothing_is_written(lab: Lab, tmp_path: Path, direct: bool) -> None:
    """With an earlier bundle in the folder, which stays as it was."""
    up, at = lab.schemas[0], lab.account.at_localhost
    made = lab.export(tmp_path / "out", direct=direct)
    before = {path: path.read_bytes() for path in made.bundle.folder.rglob("*") if path.is_file()}
    lab.server.execute(f"REVOKE SELECT ON `{up}`.* FROM {at}")
    for folder in ("out", "new"):
        with pytest.raises(GrantError, match=f"GRANT SELECT ON `{up}`.`parent` TO '{lab.account.user}'@"):
            lab.export(tmp_path / folder, direct=direct)
    assert {path: path.read_bytes() for path in made.bundle.folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_connection_that_breaks_while_rows_are_written_begins_anew(
    lab: Lab, restored: PrivateServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.restart._WAITS", (0,))
    said = list[str]()
    recorded = [Judged(Statement(1, f"SELECT * FROM {lab.child} WHERE p % 2 = 0"), StatementClass.DATA, "")]
    with lab.connect() as source:

        def progress(text: str) -> None:
            said.append(text)
            if text.startswith(f"{lab.schemas[0]}.parent: writing") and "anew" not in "".join(said):
                lab.server.execute(f"DELETE FROM {lab.child} WHERE id < 1000")
                cut(source)

        made = export(source, recorded, tmp_path / "out", META, direct=True, progress=progress)
    assert [text for text in said if "all is read anew" in text]
    assert made.slice.rows == 5 + 250
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    harness.restore(made.bundle.folder, restored)


def test_nothing_is_left_of_an_export_that_is_ended(lab: Lab, tmp_path: Path) -> None:
    """By SIGTERM, in the midst of the rows."""
    found = list[str]()

    def progress(text: str) -> None:
        if text.startswith(f"{lab.child}: writing"):
            found.extend(path.name for path in tmp_path.rglob("*"))
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"), terminable():
        lab.export(tmp_path / "out", direct=True, progress=progress)
    assert "slice.sql.zst" in found
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) is before


def test_rows_that_change_where_no_snapshot_holds_them(lab: Lab, tmp_path: Path) -> None:
    """MyISAM: another number of rows, other values."""
    lab.server.execute(f"CREATE TABLE {lab.schemas[1]}.loose (id INT PRIMARY KEY, v INT) ENGINE = MyISAM")
    lab.server.execute(f"INSERT INTO {lab.schemas[1]}.loose VALUES (1, 1), (2, 2)")
    for change in ("UPDATE {}.loose SET v = v + 1", "INSERT INTO {}.loose VALUES (3, 3)"):
        recorded = [Judged(Statement(1, f"SELECT * FROM {lab.schemas[1]}.loose"), StatementClass.DATA, "")]

        def progress(text: str, change: str = change) -> None:
            if "loose: writing" in text:
                lab.server.execute(change.format(lab.schemas[1]))

        with lab.connect() as source, pytest.raises(ServerError, match=r"loose changed while it was read"):
            export(source, recorded, tmp_path / "out", META, direct=True, progress=progress)
        assert list(tmp_path.iterdir()) == []


def test_a_row_longer_than_the_server_writes(lab: Lab, tmp_path: Path) -> None:
    lab.server.execute(
        f"CREATE TABLE {lab.schemas[1]}.wide (id INT PRIMARY KEY, v VARBINARY(60000))",
        f"INSERT INTO {lab.schemas[1]}.wide VALUES (1, REPEAT('x', 60000))",
    )
    recorded = [Judged(Statement(1, f"SELECT * FROM {lab.schemas[1]}.wide"), StatementClass.DATA, "")]
    (limit,) = lab.server.rows("SELECT @@GLOBAL.max_allowed_packet")[0]
    lab.server.execute("SET GLOBAL max_allowed_packet = 65536")
    try:
        with lab.connect() as source, pytest.raises(InputError, match=r"a row of .*wide, written as SQL, is longer"):
            export(source, recorded, tmp_path / "out", META, direct=True)
    finally:
        lab.server.execute(f"SET GLOBAL max_allowed_packet = {limit}")
    assert list(tmp_path.iterdir()) == []


def test_the_command(
    lab: Lab, djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, tmp_path: Path
) -> None:
    djproxy.record("P", server, f"SELECT * FROM {lab.child} WHERE p = 3")
    credentials = server.defaults_file(lab.account.user, lab.account.password)
    folder = tmp_path / "new" / "out"
    options = ("export", "--paper", "P", "--out", folder, "--defaults-file", credentials)
    refused = djproxy.call(*options, "--direct", status=2)
    assert "--run" in refused.stderr and not folder.parent.exists()
    answer = djproxy.call(*options, "--run", "--direct", MYSQLDUMP="/bin/false", MYSQL="/bin/false")
    assert "the slice is in" in answer.stdout
    assert sorted(path.name for path in folder.parent.iterdir()) == ["out"]
    harness.restore(folder, restored)
    report = djproxy.verify("P", server, restored, folder).json()
    assert (report["queries"], report["identical"]) == (1, 1)
    proof = json.loads((folder / "publish" / "verification.json").read_text())
    assert (
        proof["files"]["slice.sql.zst"]
        == hashlib.sha256((folder / "publish" / "slice.sql.zst").read_bytes()).hexdigest()
    )
