"""Every operator of both DataJoint lines: recorded alone, exported, restored, replayed, compared with brute force."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.documents import Judged, Meta
from graph.errors import InputError
from graph.export import Export, export
from graph.proof import Proof, prove, read_review
from tests import harness
from tests.clients import operator_names
from tests.harness import Account, Djproxy, Recorder
from tests.lineage import Relation, WholeDatabase

OPERATORS = operator_names()
PAPER = "operators"
#: Left out of the slice by policy: a recording of nothing else has nothing to export.
LEFT_OUT = {"length", "preview"}
#: What they wrote is undone before they run again.
UNDO = ("DELETE FROM {schema}.__session_stats", "DELETE FROM {schema}.pair WHERE subject = 'a'")

Tables = dict[str, Relation]


def _pairs(t: Tables) -> Relation:
    sessions = t["session"].where(lambda r: r["subject"] == "a")
    both = sessions.renamed(first="session").join(sessions.renamed(second="session"), "subject")
    return both.where(lambda r: r["first"] < r["second"] < 4)


#: For the monotone operators: what they read, in the algebra of tests/lineage.py.
LINEAGE: dict[str, Callable[[Tables], Relation]] = {
    "fetch": lambda t: t["subject"],
    "fetch1": lambda t: t["session"].where(lambda r: (r["subject"], r["session"]) == ("c's", 2)),
    "fetch1_attributes": lambda t: t["session"].where(lambda r: (r["subject"], r["session"]) == ("a", 2)),
    "fetch_columns": lambda t: t["trial"].where(lambda r: r["subject"] == "a"),
    "fetch_keys": lambda t: t["session"].where(lambda r: r["score"] > 2),
    "proj_renamed": lambda t: t["session"].where(lambda r: r["subject"] == "b"),
    "proj_computed": lambda t: t["trial"].where(lambda r: (r["subject"], r["session"]) == ("b", 1)),
    "restricted_after_rename": lambda t: t["session"].where(lambda r: r["session"] == 3),
    "by_dict": lambda t: t["session"].where(lambda r: r["subject"] == "c's"),
    "by_dict_none": lambda t: t["recording"].where(lambda r: r["probe"] is None),
    "by_string": lambda t: t["session"].where(lambda r: r["session_date"] >= date(2025, 2, 1) and r["score"] < 2.5),
    "by_list": lambda t: t["session"].where(
        lambda r: r["score"] > 3 or (r["subject"], r["session"]) in {("a", 1), ("b", 4)}
    ),
    "by_query": lambda t: t["session"].matching(
        t["recording"].where(lambda r: r["probe"] == "p1"), "subject", "session"
    ),
    "by_list_of_queries": lambda t: (
        t["session"].matching(t["recording"].where(lambda r: r["probe"] == "p1"), "subject", "session")
        | t["session"].matching(t["subject"].where(lambda r: r["weight"] < 1), "subject")
    ),
    "by_renamed_query": lambda t: (
        t["session"].renamed(first="session").matching(t["pair"].where(lambda r: r["second"] == 2), "subject", "first")
    ),
    "chained": lambda t: t["trial"].where(lambda r: r["subject"] == "a" and r["rt"] > 0.5 and r["session"] < 4),
    "negated_string": lambda t: t["session"].where(lambda r: not r["score"] > 1),
    "negated_dict": lambda t: t["session"].where(lambda r: r["subject"] != "a" and r["session"] == 1),
    "joined": lambda t: t["session"].where(lambda r: r["score"] > 1.5).join(t["recording"], "subject", "session"),
    "joined_three": lambda t: (
        t["subject"]
        .where(lambda r: r["species"] == "rat")
        .join(t["session"].where(lambda r: r["session"] == 2), "subject")
        .join(t["recording"], "subject", "session")
    ),
    "joined_left": lambda t: (
        t["session"].where(lambda r: r["subject"] == "a").left_join(t["recording"], "subject", "session")
    ),
    "self_joined": _pairs,
    "aggregated": lambda t: t["session"].where(lambda r: r["session"] < 3).join(t["trial"], "subject", "session"),
    "universal": lambda t: t["subject"].where(lambda r: r["weight"] > 1),
    "universal_aggr": lambda t: t["trial"].where(lambda r: r["subject"] == "a"),
    "universal_count": lambda t: t["trial"].where(lambda r: r["subject"] == "b"),
    "union_of_keys": lambda t: t["session"].where(lambda r: r["subject"] == "a" or r["session"] == 1),
    "top": lambda t: (
        t["trial"].where(lambda r: r["subject"] == "b").first(3, by=lambda r: (-r["rt"], r["session"], r["trial"]))
    ),
    # The row that OFFSET skips is needed, too: without it another would be skipped.
    "limit_offset": lambda t: t["session"].where(lambda r: r["subject"] == "b").first(3, by=lambda r: r["session"]),
    "iteration": lambda t: t["session"].where(lambda r: r["subject"] == "a"),
    "insert_select": lambda t: _pairs(t) | t["pair"].where(lambda r: r["subject"] == "a"),
}


class Client:
    """The DataJoint process of one line."""

    def __init__(self, python: str, schema: str) -> None:
        self.schema = schema
        self._process = subprocess.Popen(
            [python, str(harness.ROOT / "tests" / "clients" / "datajoint_operators.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, operator: str, host: str, port: int, account: Account) -> Any:
        """What the operator gives there."""
        assert self._process.stdin and self._process.stdout
        request = {"host": host, "port": port, "user": account.user, "password": account.password}
        document = json.dumps({**request, "schema": self.schema, "operator": operator})
        self._process.stdin.write(document + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, f"{operator}: {answer}"
        return answer["result"]

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module", params=list(harness.DATAJOINT_LINES))
def client(request: pytest.FixtureRequest, server: PrivateServer) -> Iterator[Client]:
    """Each DataJoint line, with a filled schema on the source."""
    running = Client(harness.DATAJOINT_LINES[request.param](), f"ops_{request.param.replace('.', '')}")
    try:
        running.ask("fill", server.host, server.port, Account(server.user, server.password))
        yield running
    finally:
        running.close()
        harness.drop(server, running.schema)


def _tables(database: WholeDatabase, schema: str) -> Tables:
    """The relations by DataJoint's names without the schema and the tier's prefix."""
    prefix = f"`{schema}`.`"
    return {name.removeprefix(prefix).rstrip("`").lstrip("#_"): rows for name, rows in database.tables.items()}


@dataclass(frozen=True)
class Recording:
    """A proxy that records one DataJoint line, operator after operator."""

    client: Client
    proxy: Recorder
    djproxy: Djproxy

    def run(self, operator: str, account: Account) -> tuple[Any, list[Judged]]:
        """What the operator gives through the proxy, and the statements that it sent."""
        begun = time.time_ns()
        result = self.client.ask(operator, self.proxy.host, self.proxy.port, account)
        sent = [each for each in self.djproxy.recorded(PAPER) if each.time >= begun]
        return result, [Judged(e.statement, e.statement_class, e.reason, operator) for e in sent]


@pytest.fixture(scope="module")
def recording(client: Client, server: PrivateServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    """One recording for all operators of a line: each test takes the statements of its own operator."""
    djproxy = Djproxy(tmp_path_factory.mktemp("recording") / "home")
    with djproxy.recording(PAPER, server) as proxy:
        yield Recording(client, proxy, djproxy)


def _export(server: PrivateServer, reader: Account, recorded: list[Judged], folder: Path) -> Export:
    """The bundle of those statements, its dump made with SELECT alone."""
    address = ServerAddress(server.host, server.port)
    meta = Meta(paper=PAPER, source=str(address), version="0")
    with Database.connect(address, Credentials(reader.user, reader.password)) as database:
        made = export(database, recorded, folder, meta)
    options = {"MYSQL_DEFAULTS_FILE": str(server.defaults_file(reader.user, reader.password))}
    tools = {"MYSQLDUMP": str(server.tools.dump), "MYSQL": str(server.tools.client)}
    subprocess.run(["bash", folder / "dump.sh"], env=os.environ | options | tools, check=True)
    return made


def _prove(server: PrivateServer, restored: PrivateServer, made: Export) -> Proof:
    """What `djproxy verify` does, without a process of its own for each operator."""
    review = read_review(made.bundle)
    with (
        Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password)) as source,
        Database.connect(
            ServerAddress(restored.host, restored.port), Credentials(restored.user, restored.password)
        ) as copy,
    ):
        return prove(source, copy, review)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operator_survives_the_round_trip(
    operator: str, recording: Recording, server: PrivateServer, restored: PrivateServer, tmp_path: Path
) -> None:
    """Direct = recorded = restored; every query replays; for monotone operators the slice is the exact closure."""
    client = recording.client
    schema = client.schema
    undo = [statement.format(schema=schema) for statement in UNDO]
    administrator = Account(server.user, server.password)
    server.execute(*undo)
    direct = client.ask(operator, server.host, server.port, administrator)
    server.execute(*undo)
    result, recorded = recording.run(operator, administrator)
    assert result == direct

    harness.drop(restored, schema)
    if operator in LEFT_OUT:
        with pytest.raises(InputError):
            _export(server, harness.add_account(server, [schema]), recorded, tmp_path / "bundle")
        return
    made = _export(server, harness.add_account(server, [schema]), recorded, tmp_path / "bundle")
    assert made.unresolved == []
    harness.restore(made.bundle.folder, restored)
    proof = _prove(server, restored, made)
    assert proof.complete
    assert proof.identical == len(proof.outcomes) > 0
    whole, copy = WholeDatabase.read(server, schema), WholeDatabase.read(restored, schema)
    assert copy.rows <= whole.rows
    if operator in LINEAGE:
        assert copy.rows == whole.closure(server, LINEAGE[operator](_tables(whole, schema)).lineage)
    there = Account(restored.user, restored.password)
    assert client.ask(operator, restored.host, restored.port, there) == direct


def test_lineage_is_written_for_known_operators() -> None:
    """A renamed operator must not silently lose its oracle."""
    assert set(LINEAGE) <= set(OPERATORS)
    assert set(OPERATORS) >= LEFT_OUT
