"""The suites: how each is set up, pointed at an address, and asked what became of its tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import venv
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from examples.private_server import PrivateServer
from tests.compat.outcomes import PASSED, SKIPPED, failed, from_junit
from tests.compat.sources import Package, Repository, Source, SourceError

#: One run of a whole suite may take so long (s), and one file of node-mysql2's; then it is interrupted.
TIME_LIMIT = 1800
FILE_LIMIT = 180
LAST_WORDS = 20
FILES_AT_ONCE = 4
TEST_SCHEMAS = ("test", "test1", "test2")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a suite connects to; `authority` signs what is shown there, `folder` is for files of this run."""

    server: PrivateServer
    port: int
    authority: Path
    folder: Path

    @property
    def private(self) -> tuple[str, ...]:
        """What stands in messages and is of this run alone."""
        return (f":{self.port}", str(self.port), str(self.folder), self.server.password)

    def environment(self, **more: str) -> dict[str, str]:
        """For a suite's processes."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJ_", "MYSQL", "PYTEST"))}
        return kept | {"HOME": str(self.folder), "CI": "1", "PYTHONDONTWRITEBYTECODE": "1"} | more


@dataclass(frozen=True, slots=True)
class Suite:
    """One client's tests. `prepare` is given the source once; `run` the same folder for each run."""

    name: str
    version: str
    source: Source
    run: Callable[[Path, Target], dict[str, str]]
    prepare: Callable[[Path], None] = lambda folder: None
    flavours: tuple[str, ...] = ("mysql", "mariadb")
    options: Mapping[str, tuple[str, ...]] | None = None

    def server_options(self, flavour: str) -> tuple[str, ...]:
        """What the server is to be started with."""
        return (self.options or {}).get(flavour, ())


def set_up(server: PrivateServer) -> None:
    """Schemas and accounts that the suites expect of a server."""
    server.execute(
        *(f"CREATE DATABASE IF NOT EXISTS {schema} DEFAULT CHARACTER SET utf8mb4" for schema in TEST_SCHEMAS),
        "CREATE USER test2 IDENTIFIED BY 'some password'",
        "GRANT ALL ON test2.* TO test2",
    )
    if server.flavour == "mysql":
        server.execute(
            "CREATE USER user_sha256 IDENTIFIED WITH sha256_password BY 'pass_sha256_01234567890123456789',"
            " nopass_sha256 IDENTIFIED WITH sha256_password,"
            " user_caching_sha2 IDENTIFIED WITH caching_sha2_password BY 'pass_caching_sha2_01234567890123456789',"
            " nopass_caching_sha2 IDENTIFIED WITH caching_sha2_password",
            "GRANT RELOAD ON *.* TO user_caching_sha2",
        )


def _call(words: list[str], cwd: Path, environment: Mapping[str, str], limit: float = TIME_LIMIT) -> tuple[int, str]:
    """The status, and everything that was printed. What hangs is interrupted, and says what it has found so far."""
    with subprocess.Popen(
        words,
        cwd=cwd,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            said, _ = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                said, _ = process.communicate(timeout=LAST_WORDS)
            except subprocess.TimeoutExpired:
                process.kill()
                said, _ = process.communicate()
    return process.returncode, said


def _pytest(python: str, source: Path, tests: str, target: Target, environment: Mapping[str, str]) -> dict[str, str]:
    report = target.folder / f"{tests.replace('/', '-')}.xml"
    options = ["-q", "-c", os.devnull, "--rootdir", str(source), "-p", "no:cacheprovider", "-p", "no:randomly"]
    _, said = _call([python, "-m", "pytest", *options, f"--junitxml={report}", tests], source, environment)
    if not report.exists():
        raise SourceError(f"pytest made no report of {tests}:\n{said[-2000:]}")
    return from_junit(report, *target.private)


# -- PyMySQL


def run_pymysql(source: Path, target: Target) -> dict[str, str]:
    """Its tests with its own code; those of authentication too, where the source has them."""
    login = {"host": target.server.host, "port": target.port}
    databases = [
        {
            **login,
            "user": target.server.user,
            "password": target.server.password,
            "database": "test1",
            "use_unicode": True,
            "local_infile": True,
        },
        {**login, "user": "test2", "password": "some password", "database": "test2"},
    ]
    environment = target.environment(PYTHONPATH=str(source))
    outcomes: dict[str, str] = {}
    if (source / "pymysql/tests").is_dir():
        (source / "pymysql/tests/databases.json").write_text(json.dumps(databases))
        outcomes |= _pytest(sys.executable, source, "pymysql/tests", target, environment)
    if (source / "tests/test_auth.py").exists() and target.server.flavour == "mysql":
        _certificates(target)
        script = source / "tests/test_auth.py"
        script.write_text(re.sub(r"^port = \d+$", f"port = {target.port}", script.read_text(), flags=re.MULTILINE))
        outcomes |= _pytest(sys.executable, source, "tests/test_auth.py", target, environment)
    return outcomes


def _certificates(target: Target) -> None:
    """What tests of authentication look for in the home folder."""
    data = target.server.folder / "data"
    for name in ("public_key.pem", "server-cert.pem", "client-key.pem", "client-cert.pem"):
        shutil.copy(data / name, target.folder / name)
    shutil.copy(target.authority, target.folder / "ca.pem")


# -- mysqlclient


def _environment(folder: Path, *requirements: str) -> None:
    """A virtual environment beside the source, with these."""
    place = folder.parent / "venv"
    venv.create(place, with_pip=True)
    quiet = ["--disable-pip-version-check", "install", "--quiet"]
    status, said = _call([str(place / "bin/pip"), *quiet, *requirements], folder, os.environ)
    if status:
        raise SourceError(f"pip cannot install {' '.join(requirements)}:\n{said[-2000:]}")


def _python(folder: Path) -> str:
    return str(folder.parent / "venv/bin/python")


def prepare_mysqlclient(source: Path) -> None:
    """Builds it, for which it needs the headers of a client library."""
    _environment(source, str(source), "pytest>=8.2", "sqlalchemy>=2")


def run_mysqlclient(source: Path, target: Target) -> dict[str, str]:
    """Its tests, by an option file."""
    login = {
        "host": target.server.host,
        "port": target.port,
        "user": target.server.user,
        "password": target.server.password,
        "database": "test",
        "default-character-set": "utf8mb4",
        "local-infile": 1,
    }
    file = target.folder / "mysqlclient.cnf"
    file.write_text("".join(["[MySQLdb-tests]\n", *(f"{name}={value}\n" for name, value in login.items())]))
    return _pytest(_python(source), source, "tests", target, target.environment(TESTDB=str(file)))


# -- mysql-connector-python


def prepare_connector(source: Path) -> None:
    """Its pure Python is taken from where it lies."""
    _environment(source, "dnspython", "cryptography")


def run_connector(source: Path, target: Target) -> dict[str, str]:
    """Its tests, with a server of ours."""
    report = target.folder / "connector.json"
    script = Path(__file__).parent / "unittest_outcomes.py"
    login = ["--host", target.server.host, "--port", str(target.port), "--user", target.server.user]
    words = [_python(source), str(script), str(report), str(source / "unittests.py"), "--use-external-server"]
    words += [*login, "--password", target.server.password, "--skip-install", "--verbosity", "2"]
    _, said = _call(words, source, target.environment())
    if not report.exists():
        raise SourceError(f"its tests ended early:\n{said[-2000:]}")
    found = json.loads(report.read_text())
    return {
        name: failed(outcome.partition(":")[2], *target.private) if outcome.startswith("failed") else outcome
        for name, outcome in found.items()
    }


# -- node-mysql2

_TOLD = re.compile(r"\x1b\[[\d;]*m")
_TEST = re.compile(r"^\s*(?P<mark>[●✔✘]) (?P<name>.*?) › [\d.]+ms$")


def prepare_node(source: Path) -> None:
    """What it needs, by its own lock file."""
    status, said = _call(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], source, os.environ)
    if status:
        raise SourceError(f"npm cannot install what node-mysql2's tests need:\n{said[-2000:]}")


def run_node(source: Path, target: Target) -> dict[str, str]:
    """Its files that talk to a server: some at a time, then one by one those that change the server itself."""
    environment = target.environment(
        MYSQL_HOST=target.server.host,
        MYSQL_PORT=str(target.port),
        MYSQL_USER=target.server.user,
        MYSQL_PASSWORD=target.server.password,
        MYSQL_DATABASE="test",
    )

    def run(file: Path) -> dict[str, str]:
        name = str(file.relative_to(source / "test"))
        status, said = _call(["node", "--import", "tsx", str(file)], source, environment, FILE_LIMIT)
        return {name: _node_outcome(status, said, target), **node_tests(name, said)}

    outcomes: dict[str, str] = {}
    with ThreadPoolExecutor(FILES_AT_ONCE) as pool:
        for found in pool.map(run, sorted((source / "test/integration").rglob("*.test.mts"))):
            outcomes |= found
    for file in sorted((source / "test/global").rglob("*.test.mts")):
        outcomes |= run(file)
    return outcomes


def _node_outcome(status: int, said: str, target: Target) -> str:
    if status:
        error = re.search(r"^.*Error\b.*$", _TOLD.sub("", said), re.MULTILINE)
        return failed(error[0] if error else f"status {status}", *target.private)
    return PASSED if _TOLD.sub("", said).strip() else SKIPPED


def node_tests(file: str, said: str) -> dict[str, str]:
    """A file's tests: what has ended says so with a mark of its own."""
    found = (_TEST.match(line) for line in _TOLD.sub("", said).splitlines())
    return {f"{file}: {test['name']}": failed("") if test["mark"] == "✘" else PASSED for test in found if test}


SUITES = {
    suite.name: suite
    for suite in (
        Suite("pymysql", "1.2.0", Repository("https://github.com/PyMySQL/PyMySQL", "v1.2.0"), run_pymysql),
        Suite("mysqlclient", "2.3.2", Package("mysqlclient", "2.3.2"), run_mysqlclient, prepare_mysqlclient),
        Suite(
            "mysql-connector-python",
            "8.3.0",
            Repository("https://github.com/mysql/mysql-connector-python", "8.3.0", "mysql-connector-python"),
            run_connector,
            prepare_connector,
            options={"mysql": ("--performance-schema=ON",)},
        ),
        Suite(
            "node-mysql2",
            "3.23.4",
            Repository("https://github.com/sidorares/node-mysql2", "v3.23.4"),
            run_node,
            prepare_node,
        ),
    )
}
