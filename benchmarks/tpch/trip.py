"""One paper on its whole way: recorded through the proxy, exported, dumped, restored, verified; each step timed."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.tpch.data import SCHEMA, TABLES
from examples.private_server import PrivateServer

#: Of `djproxy export` and `verify`: done, but something is unresolved or differs.
INCOMPLETE = 1


@dataclass(slots=True)
class Trip:
    """What became of a paper: the slice's rows by table, seconds by step, what did not come out as it should."""

    paper: str
    queries: list[str]
    rows: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    answered: dict[str, int] = field(default_factory=dict)
    identical: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Rows over all tables."""
        return sum(self.rows.values())

    @property
    def good(self) -> bool:
        """Whether every query was followed and gave the same on the restored copy."""
        return not self.faults and self.identical == len(self.queries)


class Failed(RuntimeError):
    """A step that ended otherwise than it may; the message has its output."""


class Bench:
    """Two servers, the data in the first, and a folder for recordings and bundles."""

    def __init__(self, source: PrivateServer, restored: PrivateServer, folder: Path, scale: float) -> None:
        self.source = source
        self.restored = restored
        self.folder = folder
        self.scale = scale
        self._user = f"reader_{secrets.token_hex(4)}"
        self._password = secrets.token_hex(12)
        account = f"{self._user}@127.0.0.1"
        source.execute(
            f"CREATE USER {account} IDENTIFIED BY '{self._password}'",
            # A view that has a definer is expanded from its text, which SHOW VIEW shows.
            f"GRANT SELECT, SHOW VIEW ON {SCHEMA}.* TO {account}",
        )
        self._defaults = source.defaults_file(self._user, self._password)

    def trip(self, paper: str, numbers: Sequence[str]) -> Trip:
        """The whole way of a paper that sends these queries. Raises Failed."""
        trip = Trip(paper, list(numbers))
        bundle = self.folder / f"bundle-{paper}"
        address = f"{self.source.host}:{self.source.port}"
        analysis = [sys.executable, "-m", "benchmarks.tpch.client", f"{self.scale:g}", *numbers]
        output = self._step(trip, "record", ["record", "--paper", paper, "--server", address, "--", *analysis])[1]
        trip.answered = {number: int(rows) for number, rows in (line.split() for line in output.splitlines())}
        credentials = ["--defaults-file", str(self._defaults)]
        export = ["export", "--paper", paper, "--out", str(bundle), *credentials, "--json"]
        status, output = self._step(trip, "export", export, INCOMPLETE, 2)
        if status == 2:
            trip.faults.append("nothing could be exported")
            return trip
        self._note_export(trip, json.loads(output))
        self._bash(trip, "dump", bundle / "dump.sh", self._defaults)
        options = self.restored.defaults_file()
        try:
            self._bash(trip, "restore", bundle / "publish" / "restore.sh", options)
            copy = f"{self.restored.host}:{self.restored.port}"
            verify = ["verify", "--paper", paper, "--bundle", str(bundle), "--restored", copy, *credentials, "--json"]
            verify += ["--restored-defaults-file", str(options)]
            self._note_proof(trip, json.loads(self._step(trip, "verify", verify, INCOMPLETE)[1]))
        finally:
            self.restored.execute(f"DROP DATABASE IF EXISTS {SCHEMA}")
        return trip

    def full(self) -> dict[str, int]:
        """The rows of the full database."""
        connection = self.source.connect(database=SCHEMA)
        with connection, connection.cursor() as cursor:
            found = {}
            for table in TABLES:
                cursor.execute(f"SELECT COUNT(*) FROM {table}")
                (found[table],) = cursor.fetchone()
            return found

    def _note_export(self, trip: Trip, document: dict[str, Any]) -> None:
        trip.rows = {table["name"]: table["rows"] for table in document["tables"] if not table["view"]}
        trip.faults += [f"unresolved: {statement['reason']}" for statement in document["unresolved"]]
        trip.faults += [f"lost: {gap['reason']}" for gap in document["lost"]]

    def _note_proof(self, trip: Trip, document: dict[str, Any]) -> None:
        trip.identical = document["identical"]
        trip.faults += [f"{failure['verdict']}: {failure['sql']}" for failure in document["failures"]]
        trip.faults += [f"reordered: statement {number}" for number in document["reordered"]]
        trip.faults += [f"{m['name']} has {m['found']} rows, not {m['expected']}" for m in document["miscounts"]]

    def _environment(self, **more: str) -> dict[str, str]:
        """Ours, without what would point a command at somebody's server."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJ_", "MYSQL"))}
        tools = {"MYSQLDUMP": str(self.source.tools.dump), "MYSQL": str(self.source.tools.client)}
        account = {"TPCH_USER": self._user, "TPCH_PASSWORD": self._password}
        places = {"DJPROXY_HOME": str(self.folder / "home"), "PYTHONPATH": str(Path(__file__).parents[2])}
        return kept | tools | account | places | more

    def _step(self, trip: Trip, name: str, arguments: list[str], *allowed: int) -> tuple[int, str]:
        return self._run(trip, name, [sys.executable, "-m", "proxy.cli", *arguments], self._environment(), *allowed)

    def _bash(self, trip: Trip, name: str, script: Path, defaults_file: Path) -> None:
        self._run(trip, name, ["bash", str(script)], self._environment(MYSQL_DEFAULTS_FILE=str(defaults_file)))

    @staticmethod
    def _run(trip: Trip, name: str, command: list[str], environment: dict[str, str], *allowed: int) -> tuple[int, str]:
        start = time.perf_counter()
        answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        trip.seconds[name] = round(time.perf_counter() - start, 2)
        if answer.returncode not in (0, *allowed):
            raise Failed(f"{trip.paper}: {name} ended with {answer.returncode}:\n{answer.stdout}{answer.stderr}")
        return answer.returncode, answer.stdout
