"""`graph` alone: rows picked by hand, the script written and run, no recording anywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from tests import harness
from tests.lineage import WholeDatabase

TABLES = (
    "CREATE TABLE maker (name VARCHAR(8) NOT NULL PRIMARY KEY)",
    "CREATE TABLE probe (id INT NOT NULL PRIMARY KEY, maker VARCHAR(8), FOREIGN KEY (maker) REFERENCES maker (name))",
    """CREATE TABLE recording (
        id INT NOT NULL PRIMARY KEY, probe INT NOT NULL, spare INT, repeats INT,
        FOREIGN KEY (probe) REFERENCES probe (id), FOREIGN KEY (spare) REFERENCES probe (id),
        FOREIGN KEY (repeats) REFERENCES recording (id))""",
    "INSERT INTO maker VALUES ('imec'), ('nobody')",
    "INSERT INTO probe VALUES (1, 'imec'), (2, NULL), (3, 'nobody')",
    "INSERT INTO recording VALUES (1, 1, NULL, NULL), (2, 1, 2, 1), (3, 1, NULL, 2), (4, 3, 3, 3)",
)


@pytest.fixture
def rig(server: PrivateServer, restored: PrivateServer, database: str) -> Iterator[str]:
    """Recordings with two foreign keys to one parent and a reference to themselves."""
    connection = server.connect(database=database, autocommit=True)
    with connection, connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)
    yield database
    harness.drop(restored, database)


def test_picked_rows_and_their_ancestors_and_nothing_else(
    rig: str, server: PrivateServer, restored: PrivateServer, tmp_path: Path
) -> None:
    """The example writes the bundle; its script, run with SELECT alone, holds the brute-force closure."""
    reader = harness.add_account(server, [rig])
    bundle = tmp_path / "picked"
    arguments = ["--host", server.host, "--port", str(server.port), "--user", reader.user, "--out", str(bundle)]
    answer = subprocess.run(
        [sys.executable, "-m", "examples.handpicked", *arguments, f"{rig}.recording: id = 3"],
        cwd=harness.ROOT,
        env=os.environ | {"MYSQL_PWD": reader.password},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert f"{rig}.recording: 3 of 4 rows" in answer.stdout
    credentials = {"MYSQL_DEFAULTS_FILE": str(server.defaults_file(reader.user, reader.password))}
    tools = {"MYSQLDUMP": str(server.tools.dump), "MYSQL": str(server.tools.client)}
    subprocess.run(["bash", bundle / "dump.sh"], env=os.environ | credentials | tools, check=True)
    harness.restore(bundle, restored)
    whole = WholeDatabase.read(server, rig)
    picked = whole.tables[f"`{rig}`.`recording`"].where(lambda row: row["id"] == 3)
    assert WholeDatabase.read(restored, rig).rows == whole.closure(server, picked.lineage)
