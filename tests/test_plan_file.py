"""The plan as a file: what it decides, how it is written and read, and what its mistakes are told as."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.decisions import Decisions, ExtraKey, Named, chosen_parts, extended, left_out, whole_rules, written
from graph.documents import Meta
from graph.errors import InputError
from graph.exclusion import pattern
from graph.export import Computed, Export, export
from graph.files import FileRule
from graph.hints import Hint
from graph.limits import Within
from graph.names import TableName
from graph.other_parts import OtherPart
from graph.plan import Plan
from graph.plan_file import plan_text, read_plan, write_plan
from graph.runner import run_dump
from graph.schema import read_schema
from graph.structure import Structure
from tests import harness
from tests.harness import Djproxy, drop
from tests.slice_example import CHILD, PARENT, example, judged

META = Meta("Paper", "db.lab.example:3306", "0.1.0")

_names = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=8)


@given(st.builds(TableName, _names, _names))
def test_any_name_is_read_as_it_is_written(name: TableName) -> None:
    assert pattern(written(name)) == name


def plan_file(folder: Path, text: str) -> Path:
    path = folder / "plan.yaml"
    path.write_text(f"version: 1\npaper: Paper\n{text}")
    return path


def test_all_decisions_are_read(tmp_path: Path) -> None:
    path = plan_file(
        tmp_path,
        """foreign_keys:
  - child: lab.no
    child_columns: [on, 2024]
    parent: "`l.b`.`a``b`"
    parent_columns: [a, b]
whole: [lab.rig]
leave_out:
  - lab.log   # what everybody did
within:
  - lab.session: owner = 'me'
  - 'lab.session: id IN (1, 2)'
exclude: [lab.*]
with_parts: [lab.session__epoch]
structure: schemas
files:
  - lab.session.video: /data/videos
  - '`l.b`.t.c: logs=/data/2026/logs'
found: {whatever: [1, 2]}
""",
    )
    assert read_plan(path, "Paper") == Decisions(
        (ExtraKey(TableName("lab", "no"), ("on", "2024"), TableName("l.b", "a`b"), ("a", "b"), "plan.yaml, line 4"),),
        (Named(TableName("lab", "rig"), "plan.yaml, line 8"),),
        (Named(TableName("lab", "log"), "plan.yaml, line 10"),),
        (Within(TableName("lab", "session"), "owner = 'me'"), Within(TableName("lab", "session"), "id IN (1, 2)")),
        (TableName("lab", "*"),),
        structure=Structure.SCHEMAS,
        files=(
            FileRule(TableName("lab", "session"), "video", "videos", "/data/videos"),
            FileRule(TableName("l.b", "t"), "c", "logs", "/data/2026/logs"),
        ),
        with_parts=(Named(TableName("lab", "session__epoch"), "plan.yaml, line 15"),),
    )


def test_decisions_left_empty_decide_nothing(tmp_path: Path) -> None:
    assert (
        read_plan(plan_file(tmp_path, "whole:\nwithin: []\nleave_out: ~\nstructure:\nfiles:\n"), "Paper") == Decisions()
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hole: [lab.t]", "line 3: 'hole' is none of blank, exclude, files, foreign_keys, "),
        ("whole: [lab.t]\nwhole: []", "line 4: 'whole' stands here twice"),
        ("whole: lab.t", "line 3: here must be a list"),
        ("whole:\n  - [lab.t]", "line 4: here must be a single value"),
        ("whole:\n  - t", "line 4: 't' names no table"),
        ("whole:\n  - lab.*", "line 4: here must be one table"),
        ("within:\n  - lab.t", "line 4: 'lab.t' is no limit"),
        ("within:\n  - lab.t:", "line 4: a limit is"),
        ("foreign_keys:\n  - child: lab.t", "line 4: child_columns, parent, parent_columns is missing"),
        ("foreign_keys:\n  - lab.t", "line 4: here must be a mapping"),
        (
            "foreign_keys:\n  - {child: lab.t, child_columns: [], parent: lab.u, parent_columns: [a]}",
            "line 4: a foreign key needs columns",
        ),
        ("structure: all", "line 3: here must be needed or schemas, not 'all'"),
        ("files:\n  - lab.t: /data", "line 4: 'lab.t: /data' is no rule for files"),
        ("whole: [lab.t", "is no YAML: .* line 3"),
        ("\x00", "is no YAML"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_plan(plan_file(tmp_path, text), "Paper")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "here must be a mapping with paper, version"),
        ("paper: Paper", "line 1: version is missing"),
        ("version: 2\npaper: Paper", "line 1: the plan has version 2; it was written by a newer djproxy"),
        ("version: x\npaper: Paper", "line 1: the plan has version x; this djproxy knows version 1"),
        ("version: 1\npaper: Other", "line 2: this is the plan of paper 'Other', not of 'Paper'"),
    ],
)
def test_what_is_no_plan_of_the_paper_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_plan(tmp_path / "plan.yaml", "Paper")


def test_a_plan_is_never_written_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    write_plan(path, "one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(InputError, match="exists and may hold decisions"):
        write_plan(path, "two")
    assert path.read_text() == "one"
    with pytest.raises(InputError, match="cannot write the plan"):
        write_plan(tmp_path / "nowhere" / "plan.yaml", "text")


@pytest.mark.parametrize(
    "decided",
    [
        "",
        "within: [{lab.child: p > 0}]\nwhole: [lab.parent]\nexclude: [lab.*]\nleave_out: ['`l.b`.x']",
        "structure: schemas\nfiles: ['`l.b`.x.y: z=/data']\nwith_parts: ['`l.b`.x__y']",
        "foreign_keys: [{child: lab.a, child_columns: [a, b], parent: lab.b, parent_columns: [c, d]}]",
    ],
)
def test_a_written_plan_reads_back(tmp_path: Path, decided: str) -> None:
    decisions = read_plan(plan_file(tmp_path, decided), "Paper")
    hint = Hint(CHILD, ("no",), PARENT, ("id",), 2, 7)
    other = OtherPart(TableName("lab", "parent__person"), PARENT, 4, (TableName("lab", "person"),))
    plan = Plan(Computed(example(), (), {CHILD: 7}), {CHILD: ()}, {CHILD: 10, PARENT: 20}, (hint,), (other,))
    text = plan_text(plan, "Paper", decisions)
    (tmp_path / "again.yaml").write_text(text)
    assert read_plan(tmp_path / "again.yaml", "Paper").document() == decisions.document()
    found = yaml.safe_load(text)["found"]
    assert (found["rows"], found["bytes"], found["unrestricted"]) == (3, 30, [{"table": "lab.child", "statement": 7}])
    # A suggestion becomes a decision by taking its comment signs away.
    assert "lab.parent__person, a part of lab.parent (4 rows, leading to lab.person)" in text
    suggested = re.sub("^# (- |  child_columns:|  parent)", r"\1", text, flags=re.MULTILINE)
    (tmp_path / "more.yaml").write_text(suggested)
    more = read_plan(tmp_path / "more.yaml", "Paper")
    assert more.with_parts[-1].table == other.part
    *others, last = more.foreign_keys
    assert (last.child, last.child_columns) == (CHILD, ("no",))
    assert (last.parent, last.parent_columns) == (PARENT, ("id",))
    assert len(others) == len(decisions.foreign_keys)


# On servers


@pytest.fixture
def lab(server: PrivateServer, database: str) -> str:
    """subject ← session ← trial; notes refer to sessions by no key; rig stands apart."""
    server.execute(
        *(
            text.format(s=database)
            for text in (
                "CREATE TABLE {s}.subject (id INT PRIMARY KEY)",
                "CREATE TABLE {s}.session (id INT PRIMARY KEY, subject INT,"
                " CONSTRAINT of_subject FOREIGN KEY (subject) REFERENCES {s}.subject (id))",
                "CREATE TABLE {s}.trial (id INT, nr INT, PRIMARY KEY (id, nr),"
                " CONSTRAINT of_session FOREIGN KEY (id) REFERENCES {s}.session (id))",
                "CREATE TABLE {s}.note (note INT PRIMARY KEY, about BIGINT, text VARCHAR(9))",
                "CREATE TABLE {s}.rig (rig INT PRIMARY KEY)",
                "CREATE VIEW {s}.v AS SELECT * FROM {s}.rig",
                "INSERT INTO {s}.subject VALUES (1), (2)",
                "INSERT INTO {s}.session VALUES (1, 1), (2, 2), (3, NULL)",
                "INSERT INTO {s}.trial VALUES (1, 1), (1, 2), (3, 1)",
                "INSERT INTO {s}.note VALUES (1, 2, 'a'), (2, 99, 'b'), (3, NULL, 'c')",
                "INSERT INTO {s}.rig VALUES (1), (2)",
            )
        )
    )
    return database


def run(server: PrivateServer, folder: Path, texts: list[str], plan: str) -> Export:
    decisions = read_plan(plan_file(folder, plan), "Paper")
    with Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password)) as source:
        return export(source, judged(*texts), folder / "out", META, decisions=decisions)


def restored_rows(server: PrivateServer, restored: PrivateServer, made: Export, schema: str) -> tuple[str, list[int]]:
    """Dumps and restores; what restore.sh said last, and the trials' numbers."""
    address, credentials = ServerAddress(server.host, server.port), Credentials(server.user, server.password)
    run_dump(made.bundle, address, credentials, server.flavour)
    try:
        said = harness.restore(made.bundle.folder, restored)
        return said.stdout + said.stderr, [row[0] for row in harness.rows_of(restored, f"{schema}.trial")]
    finally:
        drop(restored, schema)


def rows(made: Export) -> dict[str, int]:
    return {name.name: sliced.rows for name, sliced in made.slice.tables.items() if sliced.rows}


KEY = "foreign_keys: [{{child: {s}.note, child_columns: [about], parent: {s}.session, parent_columns: [id]}}]"


def test_an_extra_foreign_key_is_followed_and_checked(
    server: PrivateServer, restored: PrivateServer, lab: str, tmp_path: Path
) -> None:
    texts = [f"SELECT * FROM {lab}.note WHERE note <> 3", f"SELECT * FROM {lab}.trial WHERE id = 1"]
    made = run(server, tmp_path, texts, KEY.format(s=lab))
    assert rows(made) == {"note": 2, "session": 2, "subject": 2, "trial": 2}
    (gap,) = made.slice.dangling
    assert (gap.rows, gap.foreign_key.child, gap.foreign_key.declared) == (1, TableName(lab, "note"), False)
    said, trials = restored_rows(server, restored, made, lab)
    assert trials == [1, 1]
    assert f"1 row of {lab}.note to {lab}.session" in said


def test_limits_follow_extra_foreign_keys(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    plan = f"{KEY.format(s=lab)}\nwithin: [{{{lab}.subject: id = 2}}]"
    made = run(server, tmp_path, [f"SELECT * FROM {lab}.note", f"SELECT * FROM {lab}.trial"], plan)
    assert rows(made) == {"note": 1, "session": 1, "subject": 1}
    assert [each.lost for each in made.statements] == [((TableName(lab, "note"), 2),), ((TableName(lab, "trial"), 3),)]


def test_a_table_is_taken_whole(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    made = run(server, tmp_path, [f"SELECT * FROM {lab}.note WHERE note = 1"], f"whole: [{lab}.session]")
    assert rows(made) == {"note": 1, "session": 3, "subject": 2}
    assert made.slice.tables[TableName(lab, "session")].reasons == ("taken whole, as the plan says",)
    limited = run(
        server, tmp_path, [f"SELECT * FROM {lab}.note"], f"whole: [{lab}.session]\nwithin: [{lab}.subject: id = 1]"
    )
    assert rows(limited) == {"note": 3, "session": 1, "subject": 1}
    assert f"limits keep 2 rows of {lab}.session out (taken whole, as the plan says)" in limited.slice.warnings


def test_what_refers_to_a_left_out_table_is_named(
    server: PrivateServer, restored: PrivateServer, lab: str, tmp_path: Path
) -> None:
    texts = [
        f"SELECT * FROM {lab}.trial",
        f"SELECT * FROM {lab}.session WHERE id = 2",
        f"SELECT * FROM {lab}.rig WHERE rig = 1",
        f"SELECT * FROM {lab}.trial JOIN {lab}.session USING (id)",
    ]
    made = run(server, tmp_path, texts, f"leave_out: [{lab}.session]")
    assert rows(made) == {"trial": 3, "rig": 1}
    (gap,) = made.slice.dangling
    assert (gap.rows, gap.foreign_key.name, gap.reason) == (3, "of_session", "they are left out")
    session = TableName(lab, "session")
    assert [each.lost for each in made.statements] == [(), ((session, 1),), (), ((session, 2),)]
    review = json.loads((made.bundle.folder / "review.json").read_text())
    assert [each["rows"] for each in review["dangling"]] == [3]
    said, trials = restored_rows(server, restored, made, lab)
    assert trials == [1, 1, 3]
    assert f"3 rows of {lab}.trial to {lab}.session" in said


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("whole:\n  - {s}.nothing", "line 4: the server has no table"),
        ("leave_out:\n  - {s}.v", "line 4: .* is a view"),
        ("with_parts:\n  - {s}.rig", "line 4: .*rig is not a part table"),
        (
            "leave_out:\n  - {s}.rig\nwhole:\n  - {s}.rig",
            r"line 6: the plan takes .*rig whole and leaves it out \(.*4\)",
        ),
        (
            "foreign_keys:\n  - {{child: {s}.note, child_columns: [nix], parent: {s}.session, parent_columns: [id]}}",
            "line 4: table .*note has no column 'nix'",
        ),
        (
            "foreign_keys:\n  - {{child: {s}.note, child_columns: [text], parent: {s}.session, parent_columns: [id]}}",
            "line 4: column text .* cannot be compared",
        ),
        (
            "foreign_keys:\n  - {{child: {s}.note, child_columns: [about], parent: {s}.trial,\n"
            "     parent_columns: [id, nr]}}",
            "line 4: a foreign key has as many columns",
        ),
    ],
)
def test_decisions_that_the_server_contradicts_are_named(
    server: PrivateServer, lab: str, tmp_path: Path, plan: str, message: str
) -> None:
    decisions = read_plan(plan_file(tmp_path, plan.format(s=lab)), "Paper")
    with Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password)) as source:
        schema = read_schema(source, [TableName(lab, "rig")])
    with pytest.raises(InputError, match=message):
        extended(schema, decisions)
        left_out(schema, decisions)
        chosen_parts(schema, decisions)
        list(whole_rules(schema, decisions))


def test_the_command_writes_a_plan_and_uses_it(djproxy: Djproxy, server: PrivateServer, lab: str) -> None:
    djproxy.record("P", server, f"SELECT * FROM {lab}.trial")
    plan = djproxy.home.parent / "plan.yaml"
    options = ("export", "--paper", "P", "--defaults-file", server.defaults_file())
    answer = djproxy.call(*options, "--write-plan", plan)
    assert f"djproxy: the plan is in {plan}" in answer.stderr
    assert "exists and may hold decisions" in djproxy.call(*options, "--write-plan", plan, status=2).stderr
    plan.write_text(plan.read_text().replace("leave_out: []", f"leave_out: [{lab}.session]"))
    changed = djproxy.call(*options, "--plan", "--use-plan", plan)
    assert f"dangling: 3 rows of {lab}.trial (id) in the slice refer to rows of {lab}.session" in changed.stderr
    out = djproxy.home.parent / "bundle"
    document = djproxy.call(*options, "--use-plan", plan, "--out", out, "--json").json()
    assert [gap["rows"] for gap in document["dangling"]] == [3]
    review = json.loads((out / "review.json").read_text())
    assert review["options"]["leave_out"] == [f"{lab}.session"]
    plan.write_text("version: 1\npaper: Q\n")
    assert "plan.yaml, line 2" in djproxy.call(*options, "--use-plan", plan, status=2).stderr
