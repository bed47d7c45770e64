"""Escape sequences and marks that turn the direction of writing, in every name and text, from record to verify.

No terminal and no file but the slice gets one as it is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.quoting import identifier
from tests.dumping import tools
from tests.harness import Account, Answer, Djproxy, add_account
from tests.hidden import assert_files_harmless, assert_harmless

PAPER = "a [red]paper[/red]"
#: One schema that USE can name in plain text, and one that it cannot.
LAB, ODD = "lab_hidden", "od\x1b[2Jd\u202e"
PARENT, CHILD, VIEW, GONE = "par\u202e\u2066ent\x08", "ch\x1b]0;x\x07\x7f'`\\", "vi\u200f\u061cew", "g\x9b\r\u2028one"
KEY, TEXT, FILE = "k\x1b[31m", "te\u2069\u200bxt\x85", "fi\x1b\u202ele"
VALUES = ("a\x1b[1mb\\", "c\u202ed", "\u200e", "plain", "x\r\x08\x9b\x7f")
PATHS = ("sub\x1b[31m/f\u202eile\\x41.dat", "plain.dat")


def quoted(*names: str) -> str:
    return ".".join(map(identifier, names))


def literal(text: str) -> str:
    return f"_utf8mb4 x'{text.encode().hex()}'"


def schema_of() -> list[str]:
    child, parent, view = quoted(LAB, CHILD), quoted(ODD, PARENT), quoted(LAB, VIEW)
    key, file = quoted(KEY), quoted(FILE)
    rows = [
        f"({literal(value)}, {number % 2}, 0.1, {literal(PATHS[number % 2])})" for number, value in enumerate(VALUES)
    ]
    return [
        f"CREATE DATABASE {quoted(LAB)}",
        f"CREATE DATABASE {quoted(ODD)}",
        f"CREATE TABLE {parent} (id INT PRIMARY KEY,"
        f" {quoted(TEXT)} VARCHAR(40) DEFAULT '\x1b\u202e' COMMENT '\x1b[5m\u2067') COMMENT 'c\x1b[7m'",
        f"CREATE TABLE {child} ({key} VARCHAR(40) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY,"
        f" p INT, f FLOAT, {file} VARCHAR(200),"
        f" CONSTRAINT `fk\x1b]8;;\x07\u200b` FOREIGN KEY (p) REFERENCES {parent} (id),"
        f" CONSTRAINT `ck\u2029\x1b` CHECK ({file} <> '\x1b\u202e'))",
        f"INSERT INTO {parent} VALUES (0, {literal(VALUES[0])}), (1, {literal(VALUES[1])}), (2, 'unused')",
        f"INSERT INTO {child} VALUES {', '.join(rows)}",
        f"CREATE VIEW {view} AS SELECT {key} AS `al\x1bias` FROM {child} WHERE {key} <> '\x1b\u202e'",
        f"CREATE TABLE {quoted(LAB, GONE)} (id INT PRIMARY KEY)",
    ]


@dataclass(frozen=True)
class Lab:
    """The servers, an account that reads, and the files that rows name."""

    source: PrivateServer
    restored: PrivateServer
    reader: Account
    files: Path

    @property
    def options(self) -> list[str | Path]:
        """What every export is told."""
        rule = f"{quoted(LAB, CHILD, FILE)}: st={self.files}"
        defaults = self.source.defaults_file(self.reader.user, self.reader.password)
        return ["--paper", PAPER, "--defaults-file", defaults, "--files", rule]

    @property
    def tools(self) -> dict[str, str]:
        return {"MYSQLDUMP": str(self.source.tools.dump), "MYSQL": str(self.source.tools.client)}


@pytest.fixture
def lab(server: PrivateServer, restored: PrivateServer, djproxy: Djproxy, tmp_path: Path) -> Iterator[Lab]:
    """Recorded, one statement of each kind."""
    forget(server, restored)
    server.execute(*schema_of())
    files = tmp_path / "st\x1b[31m\u202eore"
    for path in PATHS:
        (files / path).parent.mkdir(parents=True, exist_ok=True)
        (files / path).write_text(path)
    reader = add_account(server, ["lab_hidden"], "SELECT, SHOW VIEW")
    server.execute(f"GRANT SELECT ON {quoted(ODD)}.* TO {reader.at_localhost}")
    with djproxy.recording(PAPER, server) as proxy:
        connection = server.connect(host=proxy.host, port=proxy.port, charset="utf8mb4")
        with connection, connection.cursor() as cursor:
            cursor.execute(f"USE {quoted(LAB)}")
            cursor.execute("SET @`v\x1b\u202e` = 'x\x1b\u2066'")
            for sql in texts():
                cursor.execute(sql)
                cursor.fetchall()
            cursor.execute(f"USE {quoted(ODD)}")
            cursor.execute(f"SELECT * FROM {quoted(PARENT)} WHERE id = 1")
            cursor.fetchall()
    assert_harmless(proxy.log.read_bytes())
    yield Lab(server, restored, reader, files)
    forget(server, restored)


def texts() -> list[str]:
    child, key = quoted(CHILD), quoted(KEY)
    return [
        f"SELECT *, '\x1b]0;pwned\x07' AS `co\x1b\u202el` FROM {child} WHERE {key} = '{VALUES[1]}' /* \u202e */",
        f"SELECT {key} FROM {child}\r\n\t WHERE {key} IN ('a\x1b[1mb\\\\', '\u200e', 'x\r\x08\x9b\x7f')\n -- \x1b[2J",
        f"SELECT * FROM {child} WHERE f > 0 AND {key} <> @`v\x1b\u202e`",
        f"SELECT * FROM {quoted(VIEW)} WHERE `al\x1bias` <> '\u2066'",
        f"SELECT COUNT(*) FROM {quoted(GONE)} WHERE id > 0",
        f"SELECT * FROM {quoted(GONE)}",
        "SELECT 'plain ä'",
    ]


def forget(source: PrivateServer, restored: PrivateServer) -> None:
    for server in (source, restored):
        for schema in (LAB, ODD, f"copy_{LAB}", f"copy_{ODD}"):
            server.execute("SET foreign_key_checks = 0", f"DROP DATABASE IF EXISTS {quoted(schema)}")


def harmless(answer: Answer) -> Answer:
    assert_harmless(answer.stdout + answer.stderr, answer)
    return answer


def script(path: Path, server: PrivateServer, *options: str, status: int | None = 0, **environment: str) -> Answer:
    """Runs a script of the bundle; all that it prints is harmless."""
    answer = subprocess.run(["bash", path, *options], env=tools(server) | environment, capture_output=True, check=False)
    assert_harmless(answer.stdout + answer.stderr, path)
    assert status is None or answer.returncode == status, answer
    return Answer(answer.returncode, answer.stdout.decode(), answer.stderr.decode())


def test_what_is_recorded_is_listed_and_planned_harmlessly(lab: Lab, djproxy: Djproxy, tmp_path: Path) -> None:
    harmless(djproxy.call("list"))
    harmless(djproxy.call("show", "--paper", PAPER))
    found = harmless(djproxy.call("show", "--paper", PAPER, "--json")).json()
    assert CHILD in {each["table"] for each in found["tables"]}
    plan = tmp_path / "plan.yaml"
    options = ("export", *lab.options)
    first = harmless(djproxy.call(*options, "--write-plan", plan, "--json", status=None))
    assert_harmless(plan.read_bytes())
    assert {each["name"] for each in first.json()["tables"]} >= {CHILD, PARENT}
    again = harmless(djproxy.call("export", *lab.options[:4], "--use-plan", plan, "--plan", "--json", status=None))
    assert again.json()["tables"] == first.json()["tables"]
    page = harmless(djproxy.call(*options, "--plan", "--exclude", f"{LAB}.*", status=None))
    assert page.stdout + page.stderr


@pytest.mark.parametrize("direct", [False, True], ids=["mysqldump", "direct"])
def test_a_slice_is_written_loaded_and_proven_without_a_dangerous_byte(
    lab: Lab, djproxy: Djproxy, tmp_path: Path, direct: bool
) -> None:
    bundle = tmp_path / "bundle\u202e\x1b[31m"
    more = ["--direct"] if direct else []
    exported = djproxy.call("export", *lab.options, "--out", bundle, "--run", *more, status=None, **lab.tools)
    harmless(exported)
    assert (bundle / "publish" / ("slice.sql.zst" if direct else "slice.sql")).exists(), exported
    assert_files_harmless(bundle)
    loaded = script(bundle / "publish" / "restore.sh", lab.restored)
    assert "done: " in loaded.stderr
    verified = djproxy.verify(PAPER, lab.source, lab.restored, bundle)
    harmless(verified)
    assert verified.json()["failures"] == [] and verified.json()["identical"] >= 5
    assert_files_harmless(bundle)
    existing = script(bundle / "publish" / "restore.sh", lab.restored, status=1)
    assert "ch\\x1b]0;x\\x07\\x7f" in existing.stderr
    script(bundle / "publish" / "restore.sh", lab.restored, "--mode", "append")
    script(bundle / "publish" / "restore.sh", lab.restored, "--mode", "rename", "copy_", status=None)
    shellcheck = subprocess.run(
        ["shellcheck", bundle / "dump.sh", bundle / "publish" / "restore.sh"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert shellcheck.stdout == ""


def test_files_with_such_names_are_listed_copied_and_named_harmlessly(
    lab: Lab, djproxy: Djproxy, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    harmless(djproxy.call("export", *lab.options, "--out", bundle, status=None))
    assert_files_harmless(bundle)
    options = ("files", "--paper", PAPER, "--bundle", bundle, "--copy-to", tmp_path / "copies\x1b")
    copied = harmless(djproxy.call(*options, "--json")).json()
    assert copied["states"]["copied"] == len(PATHS)
    assert (tmp_path / "copies\x1b" / "st" / PATHS[0]).read_text() == PATHS[0]
    (tmp_path / "copies\x1b" / "st" / PATHS[0]).write_text("other")
    (lab.files / PATHS[0]).unlink()
    harmless(djproxy.call(*options, status=None))


def test_the_queries_file_gives_the_answers_of_the_recording(lab: Lab, djproxy: Djproxy, tmp_path: Path) -> None:
    """Run by the client, which sends each text to the server as it was recorded."""
    bundle = tmp_path / "bundle"
    djproxy.call("export", *lab.options, "--out", bundle, status=None)
    answer = subprocess.run(
        [lab.source.tools.client, f"--defaults-file={lab.source.defaults_file()}", "--batch", "--raw"],
        input=(bundle / "publish" / "queries.sql").read_bytes(),
        capture_output=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "co\x1b\u202el".encode() in answer.stdout and VALUES[1].encode() in answer.stdout
    assert VALUES[4].encode() in answer.stdout


def test_a_dump_that_stops_says_so_harmlessly(lab: Lab, djproxy: Djproxy, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    djproxy.call("export", *lab.options, "--out", bundle, status=None)
    lab.source.execute(f"UPDATE {quoted(ODD, PARENT)} SET {quoted(TEXT)} = 'other' WHERE id = 1")
    changed = script(bundle / "dump.sh", lab.source, status=1)
    assert "has changed since the export" in changed.stderr and "par\\u202e\\u2066ent" in changed.stderr
    lab.source.execute("SET foreign_key_checks = 0", f"DROP TABLE {quoted(ODD, PARENT)}")
    script(bundle / "dump.sh", lab.source, status=None)
    run = djproxy.call("export", *lab.options, "--out", bundle, "--run", status=None, **lab.tools)
    harmless(run)
    missing = script(bundle / "dump.sh", lab.source, status=None, MYSQL_DEFAULTS_FILE="/no\x1b\u202ewhere")
    assert "/no\\x1b\\u202ewhere" in missing.stderr


def test_other_programs_get_such_names_written_out(lab: Lab, djproxy: Djproxy, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    for engine in ("mysqlsh", "mydumper"):
        harmless(djproxy.call("export", *lab.options, "--out", bundle, "--engine", engine, status=None))
        if bundle.exists():
            assert_files_harmless(bundle)
        if (bundle / "mysqlsh.js").exists():
            text = (bundle / "mysqlsh.js").read_text()
            options = json.loads(text[text.index("{") : text.rindex("};") + 1])
            assert quoted(LAB, CHILD) in options["includeTables"]
