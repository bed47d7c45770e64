"""What is started ends with what started it, and no password is left anywhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.bundle import Bundle
from graph.database import Credentials, ServerAddress
from graph.runner import option_file
from tests.dumping import drop_schemas, tools
from tests.harness import ROOT, Account, Djproxy, add_account
from tests.test_dump_scripts import SMALL

SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
VARIABLE = "DJPROXY_TEST_MARK"


def until(reached: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def living(mark: str) -> dict[int, str]:
    """The command lines of processes that were started with the mark, but for those that only wait to be reaped."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and f"{VARIABLE}={mark}".encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return {pid: line for pid, line in found.items() if line}


def everything(*folders: Path) -> bytes:
    return b"".join(path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def account(server: PrivateServer) -> Iterator[Account]:
    drop_schemas(server)
    server.execute(*SMALL)
    yield add_account(server, ["lab"])
    drop_schemas(server)


@pytest.fixture
def exported(djproxy: Djproxy, server: PrivateServer, account: Account, tmp_path: Path) -> Bundle:
    """A bundle that was dumped once."""
    djproxy.record("P", server, "SELECT * FROM lab.child WHERE id < 4")
    defaults = server.defaults_file(account.user, account.password)
    own = {"MYSQL": str(server.tools.client), "MYSQLDUMP": str(server.tools.dump)}
    djproxy.call("export", "--paper", "P", "--out", tmp_path / "bundle", "--defaults-file", defaults, "--run", **own)
    return Bundle(tmp_path / "bundle")


@pytest.fixture
def hanging(server: PrivateServer, tmp_path: Path) -> tuple[Path, Path]:
    """A mysqldump that, asked for rows, has the server sleep, in a process beside; and the file that it makes then."""
    program, reached = tmp_path / "hanging", tmp_path / "reached"
    program.write_text(
        f'#!/bin/bash\ncase "$*" in *no-create-info*)\n  : >{reached}\n'
        f'  {server.tools.client} "$1" -e "SELECT SLEEP(1000)" >/dev/null\n  exit ;;\n'
        f'esac\nexec {server.tools.dump} "$@"\n'
    )
    program.chmod(0o755)
    return program, reached


def sleeping(server: PrivateServer) -> bool:
    return bool(server.rows("SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE 'SELECT SLEEP%'"))


@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGKILL], ids=lambda number: number.name)
def test_a_dump_ends_with_its_export(
    djproxy: Djproxy,
    server: PrivateServer,
    account: Account,
    exported: Bundle,
    hanging: tuple[Path, Path],
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    defaults = server.defaults_file(account.user, account.password)
    program, reached = hanging
    own = {"MYSQL": str(server.tools.client), "MYSQLDUMP": str(program), "TMPDIR": str(temporary)}
    mark = account.user
    process = subprocess.Popen(
        [
            *djproxy.command,
            "export",
            "--paper",
            "P",
            "--out",
            str(exported.folder),
            "--defaults-file",
            defaults,
            "--run",
        ],
        env=djproxy.environment(**own, **{VARIABLE: mark, "MYSQL_PWD": account.password, "DJ_PASS": account.password}),
        cwd=djproxy.home.parent,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        until(lambda: reached.exists() and sleeping(server), 60)
        # A fresh bundle has no slice until its dump is complete.
        before = {path.name for path in exported.folder.rglob("*") if ".dump." not in str(path)}
        others = living(mark).keys() - {process.pid}
        assert len(others) > 3
        for pid in others:
            assert account.password.encode() not in Path(f"/proc/{pid}/environ").read_bytes()
            assert account.password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        assert account.password.encode() not in everything(temporary, exported.folder, djproxy.home)
        process.send_signal(number)
        assert process.wait(timeout=30) == (-number if number == signal.SIGKILL else 128 + number)
        until(lambda: not living(mark))
        until(lambda: not sleeping(server))
        assert {path.name for path in exported.folder.rglob("*")} == before
        assert list(temporary.iterdir()) == []
        assert account.password.encode() not in everything(exported.folder)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_to_the_dump_alone_ends_it_with_its_tools(
    server: PrivateServer, exported: Bundle, hanging: tuple[Path, Path], number: signal.Signals
) -> None:
    program, reached = hanging
    before = {path: path.read_bytes() for path in exported.folder.rglob("*") if path.is_file()}
    environment = tools(server) | {"MYSQLDUMP": str(program), VARIABLE: "dump.sh alone"}
    process = subprocess.Popen(
        ["bash", exported.dump_script], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    until(lambda: reached.exists() and sleeping(server), 60)
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 128 + number
    assert "stopped at" in said
    until(lambda: not living("dump.sh alone"))
    until(lambda: not sleeping(server))
    assert {path: path.read_bytes() for path in exported.folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("options", [(), ("--mode", "append")], ids=" ".join)
def test_a_signal_to_the_restore_alone_ends_it_with_its_tools(
    server: PrivateServer,
    exported: Bundle,
    restored: PrivateServer,
    tmp_path: Path,
    number: signal.Signals,
    options: tuple[str, ...],
) -> None:
    drop_schemas(restored)
    temporary, hanging = tmp_path / "temporary", tmp_path / "client"
    temporary.mkdir()
    # Loads, and then has the server sleep.
    hanging.write_text(
        f'#!/bin/bash\nsql=$(cat)\nif [[ $sql == *"INSERT INTO"* && ! -e {tmp_path}/loaded ]]; then\n'
        f"  : >{tmp_path}/loaded\n  sql+=$'\\nSELECT SLEEP(1000);\\n'\nfi\n"
        f'{server.tools.client} "$@" <<<"$sql"\n'
    )
    hanging.chmod(0o755)
    environment = tools(restored) | {"MYSQL": str(hanging), VARIABLE: "restore.sh alone", "TMPDIR": str(temporary)}
    process = subprocess.Popen(
        ["bash", exported.publish / "restore.sh", *options],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until(lambda: sleeping(restored), 60)
    process.send_signal(number)
    process.communicate(timeout=15)
    assert process.returncode == 128 + number
    until(lambda: not living("restore.sh alone"))
    until(lambda: not sleeping(restored))
    assert list(temporary.iterdir()) == []
    left = [name for (name,) in restored.rows("SHOW DATABASES") if name.startswith("append~")]
    assert left == []
    drop_schemas(restored)


def test_an_ignored_hangup_ends_no_dump(server: PrivateServer, exported: Bundle, hanging: tuple[Path, Path]) -> None:
    """As nohup starts it."""
    program, reached = hanging
    environment = tools(server) | {"MYSQLDUMP": str(program)}
    command = ["sh", "-c", "trap '' HUP; exec bash \"$1\"", "sh", exported.dump_script]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    until(lambda: reached.exists() and sleeping(server), 60)
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert process.poll() is None
    process.terminate()
    assert process.wait(timeout=10) == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_the_process_that_reads_statements_ends_with_its_parent(tmp_path: Path, number: signal.Signals) -> None:
    """While it reads, which may take half a minute."""
    code = (
        "import sys; from graph.apart import Apart; from graph.statement import Session; from proxy.signals import *\n"
        "with terminable():\n"
        "  apart = Apart(); print('ready', flush=True)\n"
        "  list(apart.read([('SELECT ' + '(' * 20000, Session())] * 200))\n"
        "  list(apart.read([('SELECT 1' + ' + 1' * 500000, Session())]))\n"
        "  sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT), VARIABLE: "apart"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    until(lambda: any("apart import main" in line for line in living("apart").values()))
    process.send_signal(number)
    process.wait(timeout=10)
    until(lambda: not living("apart"), 3)
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_recorded_command_ends_with_its_recording(
    djproxy: Djproxy, server: PrivateServer, tmp_path: Path, number: signal.Signals
) -> None:
    started = tmp_path / "started"
    recording = ["record", "--paper", "P", "--server", f"{server.host}:{server.port}"]
    command = ["--", "sh", "-c", f": >{started}; exec sleep 1000"]
    process = subprocess.Popen(
        [*djproxy.command, *recording, *command],
        env=djproxy.environment(**{VARIABLE: "recording"}),
        stderr=subprocess.PIPE,
    )
    until(started.exists, 30)
    process.send_signal(number)
    assert process.wait(timeout=30) == 143
    until(lambda: not living("recording"))
    process.communicate()


def test_an_option_file_is_nowhere_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with option_file(ServerAddress(), Credentials("u", "secret"), "mysql") as options:
        assert list(tmp_path.iterdir()) == []
        assert [b"secret" in options.path.read_bytes() for _ in range(3)] == [True] * 3
        readers = [
            subprocess.Popen(["cat", options.path], stdout=subprocess.PIPE, pass_fds=options.descriptors)
            for _ in range(5)
        ]
        assert all(b"secret" in reader.communicate()[0] for reader in readers)
    with pytest.raises(OSError):
        options.path.read_bytes()


def test_without_files_in_memory_the_option_file_goes_with_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it is killed."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "dump.sh").write_text(f": >{tmp_path}/reached; sleep 1000\n")
    code = (
        "from pathlib import Path\nfrom graph import runner\nfrom graph.bundle import Bundle\n"
        "from graph.database import Credentials, ServerAddress\nrunner._in_memory = lambda data: None\n"
        f"runner.run_dump(Bundle(Path({str(tmp_path)!r})), ServerAddress(), Credentials('u', 'secret'), 'mysql')\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / "temporary"), VARIABLE: "file"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    until((tmp_path / "reached").exists, 30)
    (path,) = (tmp_path / "temporary").rglob("client.cnf")
    assert path.stat().st_mode & 0o777 == 0o600
    process.kill()
    process.wait()
    until(lambda: not living("file"))
    until(lambda: list((tmp_path / "temporary").iterdir()) == [])
    assert shutil.which("sh")
