"""Plans: how rows come in, how large they are, which rights and foreign keys are missing; nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.documents import Meta
from graph.errors import InputError
from graph.export import export
from graph.hints import Hint
from graph.names import TableName
from graph.other_parts import OtherPart
from graph.paths import Step, written
from graph.plan import Plan, make_plan
from graph.plan_file import read_plan
from graph.runner import run_dump
from graph.statement import StatementClass
from tests import harness
from tests.harness import Account, Djproxy
from tests.slice_example import judged

META = Meta("Paper", "db.lab.example:3306", "0.1.0")


@pytest.fixture
def lab(server: PrivateServer, database: str) -> str:
    """subject ← session ← recording; session refers to subject twice; `note` refers to session without a key."""
    server.execute(
        *(
            text.format(s=database)
            for text in (
                "CREATE TABLE {s}.subject (id INT PRIMARY KEY, name VARCHAR(9))",
                "CREATE TABLE {s}.session (subject INT, nr INT, who INT, PRIMARY KEY (subject, nr),"
                " CONSTRAINT of_subject FOREIGN KEY (subject) REFERENCES {s}.subject (id),"
                " CONSTRAINT by_whom FOREIGN KEY (who) REFERENCES {s}.subject (id))",
                "CREATE TABLE {s}.recording (id INT PRIMARY KEY, subject INT, nr INT, trace BLOB,"
                " CONSTRAINT of_session FOREIGN KEY (subject, nr) REFERENCES {s}.session (subject, nr))",
                "CREATE TABLE {s}.spikes (id INT PRIMARY KEY, subject INT, nr INT,"
                " CONSTRAINT spikes_of FOREIGN KEY (subject, nr) REFERENCES {s}.session (subject, nr))",
                "CREATE TABLE {s}.note (id INT PRIMARY KEY, about INT, session INT, text TEXT)",
                "INSERT INTO {s}.subject VALUES (1, 'a'), (2, 'b'), (3, 'c')",
                "INSERT INTO {s}.session VALUES (1, 1, 2), (1, 2, NULL), (2, 1, NULL)",
                "INSERT INTO {s}.recording VALUES (1, 1, 1, REPEAT('x', 100)), (2, 1, 2, NULL), (3, 2, 1, 'y')",
                "INSERT INTO {s}.spikes VALUES (1, 1, 1)",
                "INSERT INTO {s}.note VALUES (1, 1, 1, 'it''s'), (2, 2, 1, NULL)",
            )
        )
    )
    return database


def plan(server: PrivateServer, texts: list[str], account: Account | None = None) -> Plan:
    credentials = Credentials(account.user, account.password) if account else Credentials(server.user, server.password)
    with Database.connect(ServerAddress(server.host, server.port), credentials) as source:
        return make_plan(source, judged(*texts), META)


def test_each_ancestor_has_its_shortest_path(server: PrivateServer, lab: str) -> None:
    found = plan(server, [f"SELECT * FROM {lab}.recording WHERE id < 3"])
    recording, session, subject = (TableName(lab, name) for name in ("recording", "session", "subject"))
    assert {name: sliced.rows for name, sliced in found.slice.tables.items()} == {subject: 2, session: 2, recording: 2}
    to_session = Step(recording, "of_session", session)
    assert found.paths == {
        recording: (),
        session: (to_session,),
        subject: (to_session, Step(session, "by_whom", subject)),
    }
    assert written(found.paths[subject]) == f"{recording} →of_session→ {session} →by_whom→ {subject}"


def test_a_table_that_is_asked_for_needs_no_path(server: PrivateServer, lab: str) -> None:
    texts = [f"SELECT * FROM {lab}.recording WHERE id = 2", f"SELECT * FROM {lab}.subject WHERE id = 3"]
    found = plan(server, texts)
    assert found.paths[TableName(lab, "subject")] == ()
    # Session (1, 2) has no experimenter: `by_whom` brought nothing.
    alone = plan(server, texts[:1])
    assert [step.foreign_key for step in alone.paths[TableName(lab, "subject")]] == ["of_session", "of_subject"]


def test_sizes_are_near_what_is_dumped(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    server.execute(f"UPDATE {lab}.note SET text = REPEAT('long ', 2000)")
    texts = [f"SELECT * FROM {lab}.note", f"SELECT * FROM {lab}.recording"]
    found = plan(server, texts)
    address, credentials = ServerAddress(server.host, server.port), Credentials(server.user, server.password)
    with Database.connect(address, credentials) as source:
        made = export(source, judged(*texts), tmp_path / "out", META)
    dumped = run_dump(made.bundle, address, credentials, server.flavour).read_text()
    rows = sum(len(line) for line in dumped.splitlines() if line.startswith(("INSERT INTO", "(")))
    assert found.size == sum(found.sizes.values())
    assert 0.9 * rows < found.size < 1.1 * rows


def test_whole_tables_are_listed(server: PrivateServer, lab: str) -> None:
    found = plan(server, [f"SELECT * FROM {lab}.note WHERE id = 1", f"SELECT * FROM {lab}.note"])
    assert found.computed.unrestricted == {TableName(lab, "note"): 2}


def test_joins_without_a_key_are_hints(server: PrivateServer, lab: str) -> None:
    joins = [
        "SELECT * FROM {s}.note n JOIN {s}.session s ON n.about = s.subject AND s.nr = n.session WHERE n.id = 1",
        "SELECT n.id FROM {s}.session s LEFT JOIN {s}.note n ON s.subject = n.about AND s.nr = n.session",
        "SELECT * FROM {s}.session s, {s}.note n WHERE s.subject = n.about AND s.nr = n.session",
        "SELECT * FROM {s}.note WHERE (about, session) IN (SELECT subject, nr FROM {s}.session)",
        "SELECT * FROM {s}.session NATURAL JOIN (SELECT about AS subject, session AS nr FROM {s}.note) n",
    ]
    found = plan(server, [f"SELECT * FROM {lab}.subject", *(join.format(s=lab) for join in joins)])
    note, session = TableName(lab, "note"), TableName(lab, "session")
    assert found.hints == (Hint(note, ("about", "session"), session, ("subject", "nr"), 5, 2),)


def test_parts_that_are_left_out_are_named_with_their_rows(server: PrivateServer, lab: str, tmp_path: Path) -> None:
    server.execute(
        f"CREATE TABLE {lab}.subject__person (id INT, person INT, PRIMARY KEY (id, person),"
        f" FOREIGN KEY (id) REFERENCES {lab}.subject (id), FOREIGN KEY (person) REFERENCES {lab}.recording (id))",
        f"INSERT INTO {lab}.subject__person VALUES (1, 1), (1, 2), (2, 3), (3, 1)",
    )
    part, subject, recording = (TableName(lab, name) for name in ("subject__person", "subject", "recording"))
    found = plan(server, [f"SELECT name FROM {lab}.subject WHERE id <= 2"])
    assert found.other_parts == (OtherPart(part, subject, 3, (recording,)),)
    some = plan(
        server, [f"SELECT name FROM {lab}.subject WHERE id = 1", f"SELECT * FROM {lab}.subject__person LIMIT 1"]
    )
    assert [(other.part, other.rows) for other in some.other_parts] == [(part, 2)]
    every = plan(server, [f"SELECT name FROM {lab}.subject"])
    assert [(other.part, other.rows) for other in every.other_parts] == [(part, 4)]
    assert plan(server, [f"SELECT * FROM {lab}.subject__person"]).other_parts == ()
    # What a plan names comes, and is then no longer left out.
    (tmp_path / "plan.yaml").write_text(f"version: 1\npaper: Paper\nwith_parts: [{part}]\n")
    chosen = read_plan(tmp_path / "plan.yaml", "Paper")
    with Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password)) as source:
        taken = make_plan(source, judged(f"SELECT name FROM {lab}.subject WHERE id <= 2"), META, decisions=chosen)
    assert taken.other_parts == ()
    assert {name.name: sliced.rows for name, sliced in taken.slice.tables.items()} == {
        "subject": 2,
        "session": 3,
        "recording": 3,
        "subject__person": 3,
    }


def test_declared_keys_common_ancestors_and_parts_of_keys_are_no_hints(server: PrivateServer, lab: str) -> None:
    joins = [
        "SELECT * FROM {s}.recording NATURAL JOIN {s}.session",
        "SELECT * FROM {s}.recording r JOIN {s}.spikes k ON r.subject = k.subject AND r.nr = k.nr",
        "SELECT * FROM {s}.recording r JOIN {s}.subject s ON r.subject = s.id",
        "SELECT * FROM {s}.session a JOIN {s}.session b ON a.subject = b.subject AND a.nr = b.nr",
        "SELECT * FROM {s}.note n JOIN {s}.session s ON n.about = s.subject",
    ]
    assert plan(server, [join.format(s=lab) for join in joins]).hints == ()


@pytest.fixture
def poor(server: PrivateServer, lab: str) -> Iterator[Account]:
    """An account that may read recording and note."""
    account = harness.add_account(server, [])
    server.execute(*(f"GRANT SELECT ON {lab}.{table} TO {account.at_localhost}" for table in ("recording", "note")))
    yield account
    server.execute(f"DROP USER {account.at_localhost}")


def test_all_missing_rights_are_told_and_the_rest_is_planned(server: PrivateServer, lab: str, poor: Account) -> None:
    texts = [f"SELECT * FROM {lab}.{table}" for table in ("recording", "spikes", "note WHERE id = 2")]
    found = plan(server, texts, poor)
    session, spikes = TableName(lab, "session"), TableName(lab, "spikes")
    assert set(found.computed.missing) == {session, spikes}
    assert f"GRANT SELECT ON `{lab}`.`session` TO " in found.computed.missing[session]
    assert {name.name: sliced.rows for name, sliced in found.slice.tables.items()} == {"recording": 3, "note": 1}
    server.execute(f"GRANT SELECT ON {lab}.session TO {poor.at_localhost}")
    # What a table leads to that could not be seen shows now.
    found = plan(server, texts, poor)
    assert set(found.computed.missing) == {TableName(lab, "subject"), spikes}
    (statement,) = [each for each in found.computed.statements if each.kind is StatementClass.UNRESOLVED]
    assert statement.statement.id == 2


def test_an_empty_recording_has_no_plan(server: PrivateServer) -> None:
    with pytest.raises(InputError, match="is empty"):
        plan(server, [])


def test_the_command_prints_a_plan_and_writes_nothing(
    djproxy: Djproxy, server: PrivateServer, lab: str, poor: Account
) -> None:
    texts = [f"SELECT * FROM {lab}.recording WHERE id = 1", f"SELECT * FROM {lab}.note"]
    djproxy.record("P", server, *texts)
    before = _files(djproxy)
    options = ("export", "--paper", "P", "--plan", "--defaults-file")
    shown = djproxy.call(*options, server.defaults_file())
    assert f"{lab}.recording →of_session→ {lab}.session" in shown.stdout
    assert "nothing was written" in shown.stdout
    assert f"warning: all of {lab}.note (2 rows) is in the slice" in shown.stderr
    document = djproxy.call(*options, server.defaults_file(), "--json").json()
    tables = {table["name"]: table for table in document["tables"]}
    assert tables["session"]["path"] == [
        {"source": [lab, "recording"], "foreign_key": "of_session", "target": [lab, "session"]}
    ]
    assert document["bytes"] == sum(table["bytes"] for table in document["tables"])
    (whole,) = document["unrestricted"]
    assert (whole["schema"], whole["name"]) == (lab, "note")
    refused = djproxy.call(*options, server.defaults_file(poor.user, poor.password), status=3)
    assert f"MISSING RIGHT: a right is missing: GRANT SELECT ON `{lab}`.`session`" in refused.stdout
    assert "--run" in djproxy.call(*options, server.defaults_file(), "--run", status=2).stderr
    assert not _files(djproxy) - before


def _files(djproxy: Djproxy) -> set[Path]:
    """All that the command may have written, but for the store's own and the test's option files."""
    found = {path for path in djproxy.home.parent.rglob("*") if path.suffix != ".cnf"}
    return {path for path in found if not path.name.endswith(("-shm", "-wal"))}
