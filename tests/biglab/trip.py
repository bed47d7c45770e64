"""The whole way of a paper, by the commands that people use; time and memory of each step."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from examples.private_server import PrivateServer
from tests.biglab.model import PEOPLE
from tests.biglab.paper import AUTHOR, Query
from tests.biglab.shape import Lab

ROOT: Final = Path(__file__).parents[2]
PAPER: Final = "The big lab's paper"


class Failed(RuntimeError):
    """A step that ended otherwise than it may; the message has its output."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a command took: seconds, seconds of processor time, and MB of the largest of its processes."""

    name: str
    seconds: float
    processor: float
    megabytes: float


@dataclass(slots=True)
class Trip:
    """The steps, and what the commands said."""

    steps: dict[str, Step] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)
    proof: dict[str, Any] = field(default_factory=dict)
    bundle: Path = Path()
    sizes: dict[str, int] = field(default_factory=dict)


class Traveller:
    """Runs the steps between two servers, as an account that may read what is shared and the author's own."""

    def __init__(
        self, lab: Lab, source: PrivateServer, copy: PrivateServer, folder: Path, say: Callable[[str], None]
    ) -> None:
        self.lab = lab
        self.source = source
        self.copy = copy
        self.folder = folder
        self._say = say
        self.trip = Trip(bundle=folder / "bundle")
        self._user, self._password = f"reader_{secrets.token_hex(4)}", secrets.token_hex(12)
        others = tuple(f"{person}_" for person in PEOPLE if person != AUTHOR)
        account = f"{self._user}@127.0.0.1"
        readable = [schema for schema in lab.schemas if not schema.startswith(others)]
        source.execute(
            f"CREATE USER {account} IDENTIFIED BY '{self._password}'",
            *(f"GRANT SELECT ON `{schema}`.* TO {account}" for schema in readable),
        )
        self._defaults = source.defaults_file(self._user, self._password)

    def travel(self, queries: Sequence[Query]) -> Trip:
        """All steps. Raises Failed."""
        texts = self.folder / "queries.json"
        texts.write_text(json.dumps([query.sql for query in queries]))
        address = f"{self.source.host}:{self.source.port}"
        client = [sys.executable, "-m", "tests.biglab.client", str(texts)]
        self._djproxy("record", "record", "--paper", PAPER, "--server", address, "--", *client)
        login = ["--paper", PAPER, "--defaults-file", str(self._defaults)]
        self.trip.plan = json.loads(self._djproxy("plan", "export", *login, "--plan", "--json"))
        written = ["--out", str(self.trip.bundle), "--engine", "mydumper", "--json"]
        self.trip.export = json.loads(self._djproxy("export", "export", *login, *written))
        self._bash("dump", self.trip.bundle / "dump.sh", self._defaults)
        publish = self.trip.bundle / "publish"
        options = self.copy.defaults_file()
        self._bash("restore", publish / "restore.sh", options)
        copied = ["--restored", f"{self.copy.host}:{self.copy.port}", "--restored-defaults-file", str(options)]
        verify = ["verify", *login, "--bundle", str(self.trip.bundle), *copied, "--json"]
        self.trip.proof = json.loads(self._djproxy("verify", *verify))
        self.trip.sizes["slice.sql"] = (publish / "slice.sql").stat().st_size
        return self.trip

    def dump_all(self, target: PrivateServer) -> None:
        """What the tools take for everything: a dump of all schemas, and its load into a third server."""
        file = self.folder / "all.sql"
        options = ["--single-transaction", "--no-tablespaces", "--hex-blob", "--complete-insert"]
        login = f"--defaults-file={self.source.defaults_file()}"
        command = [str(self.source.tools.dump), login, *options, "--databases", *self.lab.schemas]
        self._step("full dump", command, {}, stdout=file)
        self.trip.sizes["all.sql"] = file.stat().st_size
        load = [str(target.tools.client), f"--defaults-file={target.defaults_file()}"]
        self._step("full restore", load, {}, stdin=file)

    def _djproxy(self, name: str, *arguments: str) -> str:
        return self._step(name, [sys.executable, "-m", "proxy.cli", *arguments], {})

    def _bash(self, name: str, script: Path, options: Path) -> None:
        self._step(name, ["bash", str(script)], {"MYSQL_DEFAULTS_FILE": str(options)})

    def _environment(self, more: dict[str, str]) -> dict[str, str]:
        """Ours, without what would point a command at somebody's server."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJ_", "MYSQL"))}
        tools = {"MYSQLDUMP": str(self.source.tools.dump), "MYSQL": str(self.source.tools.client)}
        account = {"BIGLAB_USER": self._user, "BIGLAB_PASSWORD": self._password}
        places = {"DJPROXY_HOME": str(self.folder / "home"), "PYTHONPATH": str(ROOT)}
        return kept | tools | account | places | more

    def _step(
        self,
        name: str,
        command: Sequence[str],
        more: dict[str, str],
        *,
        stdin: Path | None = None,
        stdout: Path | None = None,
    ) -> str:
        """Runs a command to its end; gives its output. Raises Failed."""
        with (
            open(stdin or os.devnull, "rb") as given,
            open(stdout, "wb") if stdout else tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            start = time.perf_counter()
            process = subprocess.Popen(
                command, env=self._environment(more), cwd=self.folder, stdin=given, stdout=out, stderr=err
            )
            # Popen.wait does not tell what the process took.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - start
            texts = []
            for file in (out, err):
                if file.name != str(stdout):
                    file.seek(0)
                    texts.append(file.read().decode())
        if process.returncode != 0:
            raise Failed(f"{name} ended with {process.returncode}:\n" + "\n".join(texts)[-4000:])
        self._say(f"{name}: {seconds:.1f} s")
        self.trip.steps[name] = Step(name, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
        return texts[0]
