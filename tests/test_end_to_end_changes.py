"""A recording whose source changes before the export: what the export says of it, and what verify tells apart."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest

from examples.private_server import PrivateServer
from tests.harness import DATAJOINT_LINES, Answer, Djproxy, drop, restore, rows_of

TABLES = (
    "CREATE TABLE {S}.subject (subject VARCHAR(16) PRIMARY KEY, species VARCHAR(16))",
    "CREATE TABLE {S}.session (subject VARCHAR(16), session INT, weight DECIMAL(4,1), PRIMARY KEY (subject, session), "
    "FOREIGN KEY (subject) REFERENCES {S}.subject (subject))",
    "INSERT INTO {S}.subject VALUES ('m1', 'mouse'), ('m2', 'mouse'), ('r1', 'rat'), ('r2', 'rat')",
    "INSERT INTO {S}.session VALUES "
    "('m1', 1, 0.5), ('m1', 2, 1.5), ('m2', 1, 2.5), ('r1', 1, 3.5), ('r1', 2, 4.5), ('r2', 1, 5.5)",
)
#: A row edited, rows added, a row deleted.
CHANGES = (
    "UPDATE {S}.session SET weight = 9 WHERE subject = 'm1' AND session = 2",
    "INSERT INTO {S}.subject VALUES ('a0', 'mouse')",
    "INSERT INTO {S}.session VALUES ('a0', 1, 0), ('a0', 2, 0)",
    "DELETE FROM {S}.session WHERE subject = 'r1' AND session = 2",
)
QUERIES = {
    "first": "SELECT * FROM {S}.session ORDER BY subject, session LIMIT 3",
    "edited": "SELECT * FROM {S}.session WHERE subject = 'm1'",
    "added": "SELECT * FROM {S}.subject WHERE species = 'mouse'",
    "deleted": "SELECT * FROM {S}.session WHERE subject = 'r1'",
    "same": "SELECT * FROM {S}.session WHERE subject = 'r2'",
}


@pytest.fixture
def lab(server: PrivateServer, restored: PrivateServer, database: str) -> Iterator[str]:
    server.execute(*(sql.format(S=database) for sql in TABLES))
    yield database
    drop(restored, database)


def record(djproxy: Djproxy, server: PrivateServer, lab: str, *options: str, prepared: bool = False) -> dict[int, str]:
    """Records the queries by one client; gives their names by the statements' ids."""
    with djproxy.recording("P", server, *options) as recorder:
        address = {"host": recorder.host, "port": recorder.port}
        account = {"user": server.user, "password": server.password}
        with contextlib.closing(mysql.connector.connect(**address, **account, use_pure=True)) as session:
            for sql in QUERIES.values():
                with contextlib.closing(session.cursor(prepared=prepared)) as cursor:
                    cursor.execute(sql.format(S=lab))
                    assert cursor.fetchall()
    names = {sql.format(S=lab): name for name, sql in QUERIES.items()}
    recorded = djproxy.recorded("P")
    return {each.statement.id: names[each.statement.sql] for each in recorded if each.statement.sql in names}


def export(djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, status: int) -> tuple[Path, Answer]:
    bundle = djproxy.home.parent / "bundle"
    tools = {"MYSQLDUMP": str(server.tools.dump), "MYSQL": str(server.tools.client)}
    options = ["--out", bundle, "--defaults-file", server.defaults_file(), "--run"]
    answer = djproxy.call("export", "--paper", "P", *options, status=status, **tools)
    restore(bundle, restored)
    return bundle, answer


def verified(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, bundle: Path, names: dict[int, str]
) -> dict[str, str]:
    """The verdict on each query, by its name."""
    report = djproxy.verify("P", server, restored, bundle, status=1).json()
    failed = {names[each["id"]]: each["verdict"] for each in report["failures"]}
    return {name: failed.get(name, "identical") for name in names.values()}


BOTH = pytest.mark.parametrize("prepared", [False, True], ids=["text", "prepared"])
CHANGED = "source changed since the recording"


@BOTH
def test_what_a_predicate_gives_now_is_flagged_and_pinned_rows_hold(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, prepared: bool
) -> None:
    names = record(djproxy, server, lab, "--digest", prepared=prepared)
    ids = {name: number for number, name in names.items()}
    server.execute(*(sql.format(S=lab) for sql in CHANGES))
    bundle, answer = export(djproxy, server, restored, status=1)
    review = json.loads((bundle / "review.json").read_text())
    assert review["changes"] == [
        {"statement": ids["edited"], "recorded": 2, "now": 2, "pinned": False},
        {"statement": ids["added"], "recorded": 2, "now": 3, "pinned": False},
        {"statement": ids["deleted"], "recorded": 2, "now": 1, "pinned": False},
    ]
    (pin,) = review["pins"]
    assert (pin["statement"], pin["missing"], pin["gone"], pin["new"]) == (ids["first"], 0, 2, 2)
    assert (
        f"CHANGED: the result of statement {ids['added']} is not what it was while recording (2 rows then, 3 now); "
        "the slice has what it fetches now\n"
    ) in answer.stderr
    assert "(2 rows, not with the same values)" in answer.stderr
    kept = [row[:2] for row in rows_of(restored, f"{lab}.session")]
    assert kept == [("m1", 1), ("m1", 2), ("m2", 1), ("r1", 1), ("r2", 1)]
    assert [row[0] for row in rows_of(restored, f"{lab}.subject")] == ["a0", "m1", "m2", "r1", "r2"]

    wrong = dict.fromkeys(("first", "edited", "added", "deleted"), CHANGED)
    assert verified(djproxy, server, restored, bundle, names) == {**wrong, "same": "identical"}
    restored.execute(f"UPDATE {lab}.session SET weight = 7 WHERE subject LIKE 'r%'")
    broken = {**wrong, "deleted": "differs", "same": "differs"}
    assert verified(djproxy, server, restored, bundle, names) == broken
    restored.execute(f"UPDATE {lab}.session SET weight = 7 WHERE subject = 'm1' AND session = 1")
    assert verified(djproxy, server, restored, bundle, names) == {**broken, "first": "differs", "edited": "differs"}


@BOTH
def test_what_is_pinned_holds_and_what_is_gone_is_named(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, prepared: bool
) -> None:
    names = record(djproxy, server, lab, "--digest", "--pin", "always", prepared=prepared)
    ids = {name: number for number, name in names.items()}
    server.execute(*(sql.format(S=lab) for sql in CHANGES))
    bundle, answer = export(djproxy, server, restored, status=1)
    review = json.loads((bundle / "review.json").read_text())
    assert review["changes"] == [{"statement": ids["edited"], "recorded": 2, "now": 2, "pinned": True}]
    assert f"MISSING: 1 of 2 rows of {lab}.session that statement {ids['deleted']} fetched" in answer.stderr
    assert [row[0] for row in rows_of(restored, f"{lab}.subject")] == ["m1", "m2", "r1", "r2"]

    report = djproxy.verify("P", server, restored, bundle, status=1).json()
    said = {names[each["id"]]: (each["verdict"], each["copy_as_recorded"]) for each in report["failures"]}
    assert said == {
        "first": (CHANGED, False),
        "edited": (CHANGED, False),
        "added": (CHANGED, True),
        "deleted": (CHANGED, False),
    }
    restored.execute(f"UPDATE {lab}.session SET weight = 7 WHERE subject LIKE 'r%'")
    broken = {**dict.fromkeys(("first", "edited", "added"), CHANGED), "deleted": "differs", "same": "differs"}
    assert verified(djproxy, server, restored, bundle, names) == broken


def test_without_digests_pins_alone_tell_what_changed(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str
) -> None:
    names = record(djproxy, server, lab)
    server.execute(*(sql.format(S=lab) for sql in CHANGES))
    bundle, answer = export(djproxy, server, restored, status=0)
    assert "CHANGED" not in answer.stderr
    assert verified(djproxy, server, restored, bundle, names) == {
        "first": CHANGED,
        **dict.fromkeys(("edited", "added", "deleted", "same"), "identical"),
    }


def test_nothing_is_flagged_where_nothing_changed(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str
) -> None:
    record(djproxy, server, lab, "--digest", "--pin", "always")
    bundle, answer = export(djproxy, server, restored, status=0)
    assert "CHANGED" not in answer.stderr
    assert json.loads((bundle / "review.json").read_text())["changes"] == []
    djproxy.verify("P", server, restored, bundle)
    proof = json.loads((bundle / "publish" / "verification.json").read_text())
    assert [query["source_as_recorded"] for query in proof["queries"]] == [True] * len(QUERIES)


_FETCH = """
import sys
import datajoint as dj
if dj.__version__.startswith("0"):
    lab = dj.create_virtual_module("lab", sys.argv[1])
else:
    lab = dj.virtual_schema(sys.argv[1])
print(len(lab.Session.fetch(limit=3, order_by="KEY")), len((lab.Session & 'subject="r1"').fetch()))
"""


@pytest.mark.parametrize("line", DATAJOINT_LINES)
def test_a_limit_of_datajoint(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str, line: str, tmp_path: Path
) -> None:
    script = tmp_path / "fetch.py"
    script.write_text(_FETCH)
    environment = {"DJ_USER": server.user, "DJ_PASS": server.password}
    address = ["--server", f"{server.host}:{server.port}", "--digest"]
    python = DATAJOINT_LINES[line]()
    fetched = djproxy.run("record", "--paper", "P", *address, "--", python, script, lab, **environment)
    assert fetched.stdout.split() == ["3", "2"]
    server.execute(*(sql.format(S=lab) for sql in CHANGES))
    bundle, answer = export(djproxy, server, restored, status=1)
    assert "(2 rows then, 1 now)" in answer.stderr
    kept = [row[:2] for row in rows_of(restored, f"{lab}.session")]
    assert kept == [("m1", 1), ("m1", 2), ("m2", 1), ("r1", 1)]
    report = djproxy.verify("P", server, restored, bundle, status=1).json()
    assert report["verdicts"] == {CHANGED: 2}
    assert any("the slice has the recorded ones" in failure["reason"] for failure in report["failures"])
