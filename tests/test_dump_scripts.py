"""dump.sh and restore.sh where something is not as it should be, or is elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from examples.private_server import find_tools, flavours
from graph.bundle import Bundle, write_bundle
from graph.documents import Judged, queries
from graph.errors import ServerError
from graph.names import TableName
from graph.replay import Verdict, replay
from graph.slice import Slice
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
    restored,
    run,
    shellcheck,
    tools,
)
from tests.harness import add_account

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


def test_a_dump_by_select_alone_complains_of_nothing(small: tuple[Pair, Bundle, Slice]) -> None:
    """What the tools would say for each table, people would have to read."""
    pair, bundle, _ = small
    reader = add_account(pair.source, ["lab"])
    options = {"MYSQL_DEFAULTS_FILE": str(pair.source.defaults_file(reader.user, reader.password))}
    answer = call(bundle.dump_script, tools(pair.source) | options)
    assert answer.returncode == 0, answer.stderr
    assert [line for line in answer.stderr.splitlines() if not line.startswith("dump.sh: ")] == []


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


@pytest.mark.parametrize("closed", ["<&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_caller_may_have_closed_its_streams(small: tuple[Pair, Bundle, Slice], closed: str) -> None:
    """As some daemons and job schedulers start programs."""
    pair, bundle, _ = small
    for script, server in (bundle.dump_script, pair.source), (bundle.publish / "restore.sh", pair.copy):
        answer = subprocess.run(
            ["bash", "-c", f'bash "$0" {closed}', script],
            env=tools(server),
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == 0, answer
    drop_schemas(pair.copy)


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


def test_a_session_that_the_server_ends_is_no_failure(small: tuple[Pair, Bundle, Slice], tmp_path: Path) -> None:
    """The tool is replaced by one that has the server end all idle sessions before it reads rows."""
    pair, bundle, slice_ = small
    real, client = pair.source.tools.dump, pair.source.tools.client
    options = pair.source.defaults_file()
    ending = tmp_path / "ending"
    listing = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND = 'Sleep' AND USER NOT LIKE 'event%'"
    ask = f"{client} --defaults-file={options} --skip-column-names -e"
    ending.write_text(
        '#!/bin/bash\ncase "$*" in *no-create-info*)\n'
        f'  for id in $({ask} "{listing}"); do {ask} "KILL $id"; done >&2\n'
        f'esac\nexec {real} "$@"\n'
    )
    ending.chmod(0o755)
    answer = call(bundle.dump_script, tools(pair.source) | {"MYSQLDUMP": str(ending)})
    assert answer.returncode == 0, answer.stderr
    restored(bundle, pair.copy)
    assert_copied(pair, slice_, PICKED)
