"""Tables that an export leaves out: names, what stays in the slice for foreign keys, what is said and published."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.cascade import Parts
from graph.database import Credentials, Database, ServerAddress
from graph.decisions import Decisions
from graph.documents import Meta
from graph.errors import InputError
from graph.exclusion import matches, pattern
from graph.export import Export, export
from graph.names import TableName
from graph.statement import StatementClass
from tests import harness
from tests.harness import Account, Djproxy, drop
from tests.slice_example import judged

META = Meta("Paper", "db.lab.example:3306", "0.1.0")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("lab.t", TableName("lab", "t")),
        ("lab.#probe", TableName("lab", "#probe")),
        (" lab.* ", TableName("lab", "*")),
        ("lab.a.b", TableName("lab", "a.b")),
        ("`l.b`.`t``x`", TableName("l.b", "t`x")),
        ("`a``b`.t", TableName("a`b", "t")),
    ],
)
def test_names(text: str, name: TableName) -> None:
    assert pattern(text) == name


@pytest.mark.parametrize("text", ["", "t", ".t", "lab.", "`lab.t", "lab.`t"])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(InputError, match=r"SCHEMA\.TABLE"):
        pattern(text)


def test_patterns_match_whatever_the_case() -> None:
    assert matches(TableName("Lab", "T"), [TableName("lab", "t")])
    assert matches(TableName("lab", "t"), [TableName("LAB", "*")])
    assert not matches(TableName("lab", "t"), [TableName("lab", "u"), TableName("other", "*")])


@pytest.fixture
def lab(server: PrivateServer, database: str) -> str:
    """subject ← session ← recording (with a part); rig stands apart; `v` is a view of rig."""
    server.execute(
        *(
            text.format(s=database)
            for text in (
                "CREATE TABLE {s}.subject (id INT PRIMARY KEY, name VARCHAR(9))",
                "CREATE TABLE {s}.session (id INT PRIMARY KEY, subject INT NOT NULL,"
                " FOREIGN KEY (subject) REFERENCES {s}.subject (id))",
                "CREATE TABLE {s}.session__part (id INT, part INT, PRIMARY KEY (id, part),"
                " FOREIGN KEY (id) REFERENCES {s}.session (id))",
                "CREATE TABLE {s}.rig (id INT PRIMARY KEY, x INT)",
                "CREATE VIEW {s}.v AS SELECT id FROM {s}.rig",
                "INSERT INTO {s}.subject VALUES (1, 'a'), (2, 'b'), (3, 'c')",
                "INSERT INTO {s}.session VALUES (1, 1), (2, 1), (3, 2)",
                "INSERT INTO {s}.session__part VALUES (1, 1), (1, 2)",
                "INSERT INTO {s}.rig VALUES (1, 10), (2, 20)",
            )
        )
    )
    return database


def run(
    server: PrivateServer,
    folder: Path,
    texts: list[str],
    exclude: list[str],
    parts: Parts = Parts.MERGE,
    account: Account | None = None,
) -> Export:
    recorded = judged(*texts)
    credentials = Credentials(account.user, account.password) if account else Credentials(server.user, server.password)
    with Database.connect(ServerAddress(server.host, server.port), credentials) as source:
        patterns = [pattern(text) for text in exclude]
        return export(source, recorded, folder / "out", META, parts=parts, decisions=Decisions(exclude=tuple(patterns)))


def rows(made: Export) -> dict[str, int]:
    return {name.name: sliced.rows for name, sliced in made.slice.tables.items() if sliced.rows}


def test_statements_that_read_an_excluded_table_stay_out(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    texts = [
        f"SELECT * FROM {lab}.rig",
        f"SELECT * FROM {lab}.session WHERE id = 1",
        f"SELECT s.id FROM {lab}.session s JOIN {lab}.rig r ON r.id = s.id WHERE s.id = 3",
        f"SELECT id FROM {lab}.v WHERE id = 2",
        f"INSERT INTO {lab}.rig SELECT id, 1 FROM {lab}.session WHERE id = 2",
    ]
    made = run(server, tmp_path, texts, [f"{lab}.rig"])
    rig = TableName(lab, "rig")
    assert [judged.excluded for judged in made.statements] == [(rig,), (), (rig,), (rig,), ()]
    assert {judged.kind for judged in made.statements} == {StatementClass.DATA}
    assert made.excluded == {rig: 3}
    assert rows(made) == {"subject": 1, "session": 2}
    assert made.slice.warnings == ()
    review = json.loads((made.bundle.folder / "review.json").read_text())
    assert review["excluded"] == [{"schema": lab, "name": "rig", "statements": 3}]
    assert [statement["excluded"] for statement in review["statements"]] == [[[*rig]], [], [[*rig]], [[*rig]], []]
    published = b"".join(path.read_bytes() for path in made.bundle.publish.iterdir())
    assert b"rig" not in published
    assert f"SELECT * FROM {lab}.session WHERE id = 1".encode() in published


def test_rows_that_foreign_keys_need_stay_and_are_named(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    texts = [f"SELECT * FROM {lab}.subject", f"SELECT * FROM {lab}.session WHERE subject = 1"]
    made = run(server, tmp_path, texts, [f"{lab}.subject"])
    assert rows(made) == {"subject": 1, "session": 2}
    (warning,) = made.slice.warnings
    assert warning.startswith(f"the slice holds 1 row of the excluded table {lab}.subject all the same")
    assert f"referenced by {lab}.session (subject)" in warning


def test_parts_that_are_excluded_do_not_come_along(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    texts = [f"SELECT * FROM {lab}.session WHERE id = 1"]
    assert rows(run(server, tmp_path, texts, [], Parts.ALL)) == {"subject": 1, "session": 1, "session__part": 2}
    made = run(server, tmp_path, texts, [f"{lab}.session__part"], Parts.ALL)
    assert rows(made) == {"subject": 1, "session": 1}
    (warning,) = made.slice.warnings
    assert warning == f"no statement of the slice reads {lab}.session__part: excluding it kept none out"


def test_what_is_unresolved_may_be_excluded(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    texts = [f"SELECT id FROM {lab}.v WHERE id = @unknown", f"SELECT * FROM {lab}.session"]
    assert [judged.statement.id for judged in run(server, tmp_path, texts, []).unresolved] == [1]
    made = run(server, tmp_path, texts, [f"{lab}.rig"])
    assert made.unresolved == []
    assert made.statements[0].kind is StatementClass.UNRESOLVED
    assert made.excluded == {TableName(lab, "rig"): 1}


def test_a_whole_schema(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    other = f"{lab}_o"
    server.execute(f"CREATE DATABASE {other}", f"CREATE TABLE {other}.t (a INT PRIMARY KEY)")
    try:
        texts = [f"SELECT * FROM {other}.t", f"SELECT * FROM {lab}.rig WHERE id = 1"]
        made = run(server, tmp_path, texts, [f"{other}.*"])
        assert made.excluded == {TableName(other, "t"): 1}
        assert rows(made) == {"rig": 1}
        with pytest.raises(InputError, match=f"nothing of paper Paper is left to export.*{lab}.rig"):
            run(server, tmp_path / "none", texts[1:], [f"{lab}.*"])
    finally:
        drop(server, other)


@pytest.mark.parametrize("exclude", ["{s}.no_such", "no_such_schema.t", "no_such_schema.*"])
def test_an_unknown_table_is_refused(server: PrivateServer, lab: str, tmp_path: Path, exclude: str) -> None:
    name = exclude.format(s=lab)
    with pytest.raises(InputError, match="cannot exclude " + name.replace("*", r"\*")):
        run(server, tmp_path, [f"SELECT * FROM {lab}.rig"], [name])
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def no_rig(server: PrivateServer, lab: str) -> Iterator[Account]:
    """An account that may read all tables but rig, whose columns alone it sees."""
    account = harness.add_account(server, [])
    tables = ("subject", "session", "session__part")
    server.execute(*(f"GRANT SELECT ON {lab}.{table} TO {account.at_localhost}" for table in tables))
    server.execute(f"GRANT INSERT ON {lab}.rig TO {account.at_localhost}")
    yield account
    server.execute(f"DROP USER {account.at_localhost}")


def test_an_excluded_table_needs_no_right(server: PrivateServer, lab: str, tmp_path: Path, no_rig: Account) -> None:
    texts = [f"SELECT * FROM {lab}.rig", f"SELECT * FROM {lab}.session WHERE id = 1"]
    made = run(server, tmp_path, texts, [f"{lab}.rig"], account=no_rig)
    assert rows(made) == {"subject": 1, "session": 1}


def test_the_command_says_what_is_excluded(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, lab: str
) -> None:
    texts = [f"SELECT * FROM {lab}.rig", f"SELECT * FROM {lab}.rig WHERE id = 1", f"SELECT id FROM {lab}.session"]
    djproxy.record("P", server, *texts)
    shown = djproxy.call("show", "--paper", "P", "--exclude", f"{lab}.rig").stdout.splitlines()
    assert f"whole table {lab}.rig: 1 statement fetches it without a restriction" in shown
    assert f"whole table {lab}.session: 1 statement fetches it without a restriction" in shown
    assert f"excluded {lab}.rig: 2 statements read it and would not be in the slice" in shown
    document = djproxy.call("show", "--paper", "P", "--exclude", f"{lab}.*", "--json").json()
    assert document["excluded"] == [
        {"schema": lab, "table": "rig", "statements": 2},
        {"schema": lab, "table": "session", "statements": 1},
    ]

    out = djproxy.home.parent / "bundle"
    options = ("--out", out, "--defaults-file", server.defaults_file(), "--exclude", f"{lab}.rig", "--run")
    tools = {"MYSQLDUMP": str(server.tools.dump), "MYSQL": str(server.tools.client)}
    answer = djproxy.call("export", "--paper", "P", *options, **tools)
    assert f"djproxy: excluded {lab}.rig: 2 statements that read it are not in the slice\n" in answer.stderr
    assert f"warning: all of {lab}.session (3 rows) is in the slice: statement " in answer.stderr
    assert "; 2 of these excluded\n" in answer.stdout
    harness.restore(out, restored)
    try:
        report = djproxy.verify("P", server, restored, out).json()
        assert (report["queries"], report["identical"]) == (1, 1)
        assert report["excluded"] == [{"schema": lab, "name": "rig", "statements": 2}]
        proof = json.loads((out / "publish" / "verification.json").read_text())
        assert (proof["proven"], proof["totals"]["excluded"]) == (True, 2)
    finally:
        drop(restored, lab)

    refused = djproxy.call("export", "--paper", "P", *options[:4], "--exclude", "nowhere.t", status=2)
    assert "cannot exclude nowhere.t" in refused.stderr
    assert "SCHEMA.TABLE" in djproxy.call("export", "--paper", "P", "--exclude", "rig", status=2).stderr
