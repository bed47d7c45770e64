"""DataJoint's habits: fetches with a limit and counts that were asked for are in the slice, what it sends by itself is
not, and neither is what its job tables look at."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.private_server import PrivateServer
from tests import harness
from tests.harness import DATAJOINT_LINES, Account, Answer, Djproxy, datajoint_014

CLIENTS = Path(__file__).parent / "clients"
#: How many of 30 rows each habit needs; sessions have 6 rows.
NEEDED = {
    "best_three": 3,
    "first_keys": 4,
    "keys_by_thirteen": 13,
    "rates_by_thirteen": 13,
    "ordered_by_thirteen": 13,
    "head": 5,
    "tail": 5,
    "frame_with_blob": 13,
    "named_count": 6,
    "two_counts": 6,
    "truth": 1,
}
LEFT_OUT = {"display", "display_in_a_notebook_with_blob", "display_of_some", "length"}


class Lab:
    """A schema, an account that owns it, and a way to run a client there, recorded or not."""

    def __init__(self, server: PrivateServer, schema: str, djproxy: Djproxy, folder: Path) -> None:
        self.server, self.schema, self.djproxy, self.folder = server, schema, djproxy, folder
        self.account = harness.add_account(server, [schema, f"{schema}%"], "ALL")

    def _environment(self) -> dict[str, str]:
        account = {"DJ_USER": self.account.user, "DJ_PASS": self.account.password, "SCHEMA": self.schema}
        return {**account, "PYTHONWARNINGS": "ignore"}

    def run(self, python: str, client: str, what: str) -> None:
        """Runs a client with the server itself."""
        place = {"DJ_HOST": self.server.host, "DJ_PORT": str(self.server.port)}
        environment = self.djproxy.environment(**self._environment(), **place)
        answer = subprocess.run(
            [python, CLIENTS / client, what], env=environment, cwd=self.folder, capture_output=True, text=True
        )
        assert answer.returncode == 0, answer

    def record(self, paper: str, python: str, client: str, what: str) -> None:
        """Runs a client through a proxy that records it."""
        server = ("--server", f"{self.server.host}:{self.server.port}")
        command = ("--", python, CLIENTS / client, what)
        self.djproxy.run("record", "--paper", paper, *server, *command, **self._environment())

    def export(self, paper: str, *options: str) -> Answer:
        credentials = self.server.defaults_file(self.account.user, self.account.password)
        out = ("--out", self.folder / f"out-{paper}")
        return self.djproxy.run("export", "--paper", paper, *out, "--defaults-file", credentials, "--json", *options)


@pytest.fixture
def lab(server: PrivateServer, database: str, djproxy: Djproxy, tmp_path: Path) -> Iterator[Lab]:
    yield Lab(server, database, djproxy, tmp_path)


def rows(answer: Answer) -> dict[str, int]:
    """The tables with rows, lineage aside."""
    tables: list[dict[str, Any]] = answer.json()["tables"]
    return {each["name"]: each["rows"] for each in tables if each["rows"] and each["name"] != "~lineage"}


@pytest.mark.parametrize("line", DATAJOINT_LINES)
def test_what_was_asked_for_is_in_the_slice_and_what_was_shown_is_not(lab: Lab, line: str) -> None:
    python = DATAJOINT_LINES[line]()
    lab.run(python, "datajoint_habits.py", "fill")
    lab.record("habits", python, "datajoint_habits.py", "habits")
    answer = lab.export("habits")
    assert rows(answer) == NEEDED
    left_out = {each["class"]: each for each in answer.json()["left_out"]}
    assert left_out["preview"]["statements"] == 3
    review = json.loads((lab.folder / "out-habits" / "review.json").read_text())
    assert review["left_out"] == answer.json()["left_out"]
    assert "displays of DataJoint's own" in answer.stderr and "--include checks would add" in answer.stderr
    with_displays = lab.export("habits", "--include", "previews")
    assert rows(with_displays) == NEEDED | {
        "display": 13,
        "display_in_a_notebook_with_blob": 13,
        "display_of_some": 5,
    }
    with_counts = lab.export("habits", "--include", "checks")
    for kind, more in ("preview", with_displays), ("check", with_counts):
        added = more.json()["rows"] - answer.json()["rows"]
        assert (left_out[kind]["rows"], left_out[kind]["more"]) == (added, False) and added > 0


@pytest.mark.parametrize("line", DATAJOINT_LINES)
def test_reserved_jobs_change_nothing(lab: Lab, line: str) -> None:
    python = DATAJOINT_LINES[line]()
    lab.run(python, "datajoint_habits.py", "fill")
    found = {}
    for what in ("populate_with_jobs", "populate"):
        lab.record(what, python, "datajoint_habits.py", what)
        answer = lab.export(what)
        found[what] = (
            {(each["name"], each["rows"], each["whole"]) for each in answer.json()["tables"] if each["rows"]},
            keys_of(lab, what),
        )
        lab.server.execute(f"DELETE FROM `{lab.schema}`.__seg")
    assert found["populate"] == found["populate_with_jobs"]
    assert ("scan", 3, False) in found["populate"][0]


def keys_of(lab: Lab, paper: str) -> dict[str, Any]:
    """The restriction of each table with rows, lineage aside."""
    review = json.loads((lab.folder / f"out-{paper}" / "review.json").read_text())
    tables = review["tables"]
    return {each["name"]: each["restriction"] for each in tables if each["rows"] and each["name"] != "~lineage"}


@pytest.mark.parametrize("whole_run", [False, True])
def test_a_subject_of_datajoint_elements_brings_no_people(lab: Lab, whole_run: bool) -> None:
    python = datajoint_014()
    if whole_run:
        lab.record("elements", python, "datajoint_elements.py", "fill")
    else:
        lab.run(python, "datajoint_elements.py", "fill")
    lab.record("elements", python, "datajoint_elements.py", "read")
    try:
        answer = lab.export("elements")
        assert rows(answer) == {"subject": 1}
        if not whole_run:
            assert [each["name"] for each in answer.json()["tables"]] == ["subject"]
        plan = lab.djproxy.run(
            *("export", "--paper", "elements", "--plan", "--json", "--defaults-file"),
            lab.server.defaults_file(lab.account.user, lab.account.password),
        ).json()
        others = {each["part"][1]: (each["rows"], each["leads_to"]) for each in plan["other_parts"]}
        assert others["subject__user"] == (1, [[f"{lab.schema}lab", "#user"]])
        assert others.keys() == {"subject__user", "subject__lab", "subject__source"}
    finally:
        harness.drop(lab.server, *(f"{lab.schema}{name}" for name in ("session", "subject", "lab")))


@pytest.fixture
def spyglass(server: PrivateServer, restored: PrivateServer, database: str) -> Iterator[Account]:
    """An account for a table beside a tool's log of what was read."""
    server.execute(
        "CREATE DATABASE IF NOT EXISTS common_usage",
        "CREATE TABLE common_usage.export_selection (id int PRIMARY KEY, restriction varchar(99))",
        "INSERT INTO common_usage.export_selection VALUES (1, 'their own')",
        f"CREATE TABLE {database}.scan (scan int PRIMARY KEY, depth int)",
        f"INSERT INTO {database}.scan VALUES (1, 1), (2, 4), (3, 9)",
    )
    yield harness.add_account(server, [database, "common_usage"], "ALL")
    server.execute("DROP DATABASE common_usage")
    harness.drop(restored, database)


def test_a_tools_log_is_not_read_for_a_paper(
    server: PrivateServer, restored: PrivateServer, database: str, spyglass: Account, djproxy: Djproxy
) -> None:
    statements = [
        f"SELECT * FROM {database}.scan WHERE scan = 2",
        "SELECT max(id) FROM common_usage.export_selection",
        f"INSERT INTO common_usage.export_selection SELECT scan + 10, 'x' FROM {database}.scan",
        f"DELETE FROM common_usage.export_selection WHERE id IN (SELECT scan + 10 FROM {database}.scan)",
    ]
    djproxy.record("log", server, *statements)
    bundle = djproxy.round_trip("log", server, restored, spyglass)
    review = json.loads((bundle / "review.json").read_text())
    assert {each["name"]: each["rows"] for each in review["tables"]} == {"scan": 1}
    reasons = [each["reason"] for each in review["statements"] if "common_usage" in each["sql"]]
    assert len(reasons) == 3 and all("a tool keeps for itself" in reason for reason in reasons)
    assert djproxy.verify("log", server, restored, bundle).json()["identical"] == 1
