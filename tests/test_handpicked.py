"""The example that needs no recording: hand-picked rows in, a dump out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from examples import handpicked
from examples.private_server import PrivateServer


@pytest.fixture
def lab(server: PrivateServer, database: str) -> str:
    server.execute(
        f"CREATE TABLE {database}.subject (subject varchar(20) PRIMARY KEY)",
        f"CREATE TABLE {database}.session (subject varchar(20), session int, PRIMARY KEY (subject, session),"
        f" FOREIGN KEY (subject) REFERENCES {database}.subject (subject))",
        f"INSERT INTO {database}.subject VALUES ('anna'), ('bert'), ('it''s')",
        f"INSERT INTO {database}.session VALUES ('anna', 1), ('anna', 2), ('bert', 1), ('it''s', 3)",
    )
    return database


def arguments(server: PrivateServer, out: Path, *picks: str) -> list[str]:
    where = ["--host", server.host, "--port", str(server.port), "--user", server.user, "--out", str(out)]
    return [*where, *picks]


def test_the_script_dumps_the_picked_rows_and_what_they_refer_to(
    server: PrivateServer,
    lab: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MYSQL_PWD", server.password)
    status = handpicked.main(arguments(server, tmp_path / "out", f"{lab}.session: session = 3 OR subject='anna'"))
    assert status == 0
    assert capsys.readouterr().out == f"{lab}.subject: 2 of 3 rows\n{lab}.session: 3 of 4 rows\n"
    environment = {
        **os.environ,
        "MYSQL_DEFAULTS_FILE": str(server.defaults_file()),
        "MYSQLDUMP": str(server.tools.dump),
        "MYSQL": str(server.tools.client),
    }
    environment.pop("MYSQL_PWD")
    subprocess.run([tmp_path / "out" / "dump.sh"], check=True, env=environment)
    dump = (tmp_path / "out" / "publish" / "slice.sql").read_text()
    assert "'it''s'" in dump or "'it\\'s'" in dump
    assert "anna" in dump and "bert" not in dump


@pytest.mark.parametrize(
    ("pick", "status", "message"),
    [("session", 2, "schema.table"), ("{lab}.nothing", 2, "no table"), ("{lab}.session: nix = 1", 1, "nix")],
)
def test_mistakes_are_named(
    server: PrivateServer,
    lab: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    pick: str,
    status: int,
    message: str,
) -> None:
    monkeypatch.setenv("MYSQL_PWD", server.password)
    assert handpicked.main(arguments(server, tmp_path / "out", pick.format(lab=lab))) == status
    assert message in capsys.readouterr().err
