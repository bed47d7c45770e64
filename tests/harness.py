"""The command `djproxy` as tests use it: a home of its own, recordings, exports, restored copies."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from examples.private_server import PrivateServer
from proxy.cli import main
from proxy.paths import Home
from proxy.records import Recorded
from proxy.store import Store

ROOT = Path(__file__).parent.parent
STOP_SECONDS = 30
LISTENING = re.compile(r"djproxy: listening on (?P<host>.+):(?P<port>\d+) -> ")


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.stdout)


@dataclass(frozen=True, slots=True)
class Account:
    """Who logs in."""

    user: str
    password: str

    @property
    def at_localhost(self) -> str:
        """The account's name in SQL."""
        return f"`{self.user}`@`127.0.0.1`"


class Recorder:
    """A `djproxy record` that serves."""

    def __init__(self, process: subprocess.Popen[str], host: str, port: int, log: Path) -> None:
        self.process = process
        self.host = host
        self.port = port
        self.log = log

    def stop(self) -> int:
        """SIGTERM, then its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()


class Djproxy:
    """Runs the command with a home of its own and without the user's settings."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._logs = 0

    @property
    def command(self) -> list[str]:
        """The program, whether installed or not."""
        return [sys.executable, "-m", "proxy.cli"]

    def environment(self, **more: str) -> dict[str, str]:
        """Ours, without what would point the command at somebody's server."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJ_", "MYSQL"))}
        places = {"DJPROXY_HOME": str(self.home), "HOME": str(self.home.parent), "PYTHONPATH": str(ROOT)}
        quiet = {"DJ_LOG_STREAM": "stderr", "DJ_LOG_LEVEL": "WARNING"}
        return kept | places | quiet | more

    def run(self, *arguments: str | Path, status: int | None = 0, **environment: str) -> Answer:
        """Runs to the end; any other status than the expected one (None: all are welcome) fails the test."""
        answer = subprocess.run(
            [*self.command, *map(str, arguments)],
            env=self.environment(**environment),
            cwd=self.home.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        found = Answer(answer.returncode, answer.stdout, answer.stderr)
        assert status is None or found.status == status, f"djproxy {arguments}: {found}"
        return found

    def call(self, *arguments: str | Path, status: int | None = 0, **environment: str) -> Answer:
        """As `run`, in this process: a test that exports a hundred times shall not import a hundred times."""
        out, err = io.StringIO(), io.StringIO()
        words = ["djproxy", *map(str, arguments)]
        with (
            mock.patch.dict(os.environ, self.environment(**environment), clear=True),
            mock.patch.object(sys, "argv", words),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        found = Answer(int(ended.value.code or 0), out.getvalue(), err.getvalue())
        assert status is None or found.status == status, f"djproxy {arguments}: {found}"
        return found

    def record(self, paper: str, server: PrivateServer, *texts: str) -> None:
        """Sends SELECTs through a proxy that records them."""
        with self.recording(paper, server) as proxy:
            connection = server.connect(host=proxy.host, port=proxy.port)
            with connection, connection.cursor() as cursor:
                for sql in texts:
                    cursor.execute(sql)
                    cursor.fetchall()

    @contextlib.contextmanager
    def recording(self, paper: str, server: PrivateServer, *options: str, stop: bool = True) -> Iterator[Recorder]:
        """A proxy that serves at a free port within the block; at its end it must stop with 0."""
        self._logs += 1
        log = self.home.parent / f"record{self._logs}.log"
        address = ["--server", f"{server.host}:{server.port}", "--listen", "127.0.0.1:0"]
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [*self.command, "record", "--paper", paper, *address, *options],
                env=self.environment(),
                cwd=self.home.parent,
                stdin=subprocess.DEVNULL,
                stderr=stderr,
                text=True,
            )
        recorder = None
        try:
            recorder = Recorder(process, *_listening(process, log), log)
            yield recorder
            if stop:
                assert recorder.stop() == 0, log.read_text()
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()

    def recorded(self, paper: str, analysis: str | None = None) -> list[Recorded]:
        """All statements of a paper, after the command has taken what the journals hold."""
        self.call("list")
        with Store(Home(self.home).store) as store:
            return store.load(paper, analysis)

    def round_trip(
        self,
        paper: str,
        source: PrivateServer,
        restored: PrivateServer,
        reader: Account,
        *options: str,
        status: int = 0,
    ) -> Path:
        """Exports with that account, dumps, loads into the other server; gives the bundle."""
        bundle = self.home.parent / f"bundle-{secrets.token_hex(3)}"
        credentials = source.defaults_file(reader.user, reader.password)
        tools = {"MYSQLDUMP": str(source.tools.dump), "MYSQL": str(source.tools.client)}
        arguments = ["--out", bundle, "--defaults-file", credentials, *options, "--run"]
        self.call("export", "--paper", paper, *arguments, status=status, **tools)
        restore(bundle, restored)
        return bundle

    def verify(
        self,
        paper: str,
        source: PrivateServer,
        restored: PrivateServer,
        bundle: Path,
        status: int | None = 0,
    ) -> Answer:
        """Replays the recorded queries on both servers."""
        return self.call(
            *("verify", "--paper", paper, "--restored", f"{restored.host}:{restored.port}", "--json"),
            *("--bundle", bundle, "--defaults-file", source.defaults_file()),
            *("--restored-defaults-file", restored.defaults_file()),
            status=status,
        )


def _listening(process: subprocess.Popen[str], log: Path) -> tuple[str, int]:
    """Waits for the line that says where it listens."""
    while True:
        ended = process.poll() is not None
        found = LISTENING.search(log.read_text())
        if found:
            return found["host"], int(found["port"])
        assert not ended, f"djproxy record ended: {log.read_text()}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)


def restore(bundle: Path, restored: PrivateServer, status: int = 0) -> Answer:
    """Runs the bundle's restore.sh against a server."""
    answer = subprocess.run(
        ["bash", bundle / "publish" / "restore.sh"],
        env=os.environ | {"MYSQL_DEFAULTS_FILE": str(restored.defaults_file()), "MYSQL": str(restored.tools.client)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = Answer(answer.returncode, answer.stdout, answer.stderr)
    assert found.status == status, found
    return found


def add_account(server: PrivateServer, schemas: Sequence[str], rights: str = "SELECT") -> Account:
    """An account with those rights on those schemas and no others."""
    account = Account(f"reader_{secrets.token_hex(4)}", secrets.token_hex(12))
    server.execute(
        f"CREATE USER {account.at_localhost} IDENTIFIED BY '{account.password}'",
        *(f"GRANT {rights} ON `{schema}`.* TO {account.at_localhost}" for schema in schemas),
    )
    return account


def rows_of(server: PrivateServer, table: str) -> list[tuple[Any, ...]]:
    """All rows of a table, sorted by their text."""
    connection = server.connect()
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table}")
        return sorted(cursor.fetchall(), key=repr)


def drop(server: PrivateServer, *schemas: str) -> None:
    """Drops schemas that may exist."""
    server.execute(*(f"DROP DATABASE IF EXISTS `{schema}`" for schema in schemas))


def datajoint_014() -> str:
    """The Python that has DataJoint 0.14. Fails the test that asks when there is none."""
    python = os.environ.get("DJPROXY_DJ014_PYTHON", "")
    found = shutil.which(python) if python else None
    assert found, "set DJPROXY_DJ014_PYTHON to a Python with DataJoint 0.14; scripts/test does"
    return found


#: The Pythons of both DataJoint lines, by name; called within the test, so that a missing one fails it.
DATAJOINT_LINES: dict[str, Callable[[], str]] = {"2.3": lambda: sys.executable, "0.14": datajoint_014}
