"""The ways to the server that are compared: direct, through MySQL Router, through djproxy."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from benchmarks.wire.processes import end, family, wait_until
from examples.private_server import PrivateServer
from proxy.certificates import AUTHORITY_FILE, default_certificate
from proxy.paths import Home

DIRECT, PASSTHROUGH, ROUTER, BARE, DJPROXY = "direct", "router passthrough", "router", "djproxy bare", "djproxy"
NAMES = (DIRECT, PASSTHROUGH, ROUTER, BARE, DJPROXY)

USER, PASSWORD, SCHEMA = "bench", "bench", "bench"
MOST_CONNECTIONS = 1500

_ROUTER = """[DEFAULT]
logging_folder={folder}
runtime_folder={folder}
data_folder={folder}
{plugins}max_total_connections=4096
[logger]
level=WARNING
[routing]
bind_address=127.0.0.1
bind_port={port}
destinations=127.0.0.1:{server_port}
routing_strategy=first-available
protocol=classic
max_connections=2000
client_ssl_mode={client_ssl_mode}
{certificate}server_ssl_mode=AS_CLIENT
server_ssl_verify=DISABLED
"""


class Missing(Exception):
    """A program that a part needs is not here; the message says which and where to get it."""


@dataclass(slots=True)
class Way:
    """A way to the server: `pid` is the proxy's, None for the direct one; `helpers` are processes that work for it.

    `authority` is what its clients trust, None where that is the server's.
    """

    name: str
    port: int
    pid: int | None = None
    helpers: list[int] = field(default_factory=list)
    authority: Path | None = None

    def connect(self, **options: Any) -> Any:
        """A PyMySQL connection through it."""
        settings: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "user": USER, "password": PASSWORD}
        return pymysql.connect(**(settings | {"database": SCHEMA, "autocommit": True} | options))

    @contextmanager
    def working(self) -> Iterator[None]:
        """Let the helpers run; outside of this they are stopped, so that one way's work is not another's burden."""
        self.signal(signal.SIGCONT)
        yield
        self.signal(signal.SIGSTOP)

    def signal(self, number: int) -> None:
        """Send a signal to all helpers."""
        for pid in self.helpers:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def start_server(flavour: str) -> PrivateServer:
    """A private server with the account and schema of the benchmarks."""
    options = [f"--max-connections={MOST_CONNECTIONS}", "--max-allowed-packet=64M", "--skip-log-bin"]
    options += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=512M"]
    server = PrivateServer.start(flavour, options=options)
    server.execute(
        f"CREATE DATABASE {SCHEMA}",
        f"CREATE USER {USER}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
        f"GRANT ALL ON *.* TO {USER}@'127.0.0.1'",
    )
    return server


@contextmanager
def ways(server: PrivateServer, folder: Path, names: Sequence[str] = NAMES) -> Iterator[list[Way]]:
    """Start all that are named. Raises Missing."""
    starters: dict[str, Callable[[], tuple[Way, subprocess.Popen[str]]]] = {
        PASSTHROUGH: lambda: _start_router(PASSTHROUGH, server, folder, "PASSTHROUGH"),
        ROUTER: lambda: _start_router(ROUTER, server, folder, "PREFERRED"),
        BARE: lambda: _start_bare(server, folder),
        DJPROXY: lambda: start_djproxy(server, folder / "home"),
    }
    processes: list[subprocess.Popen[str]] = []
    found: list[Way] = []
    try:
        for name in names:
            if name == DIRECT:
                found.append(Way(DIRECT, server.port))
                continue
            way, process = starters[name]()
            processes.append(process)
            way.signal(signal.SIGSTOP)
            found.append(way)
        for way in found:
            # The first login fills the server's cache of passwords.
            way.connect(ssl={"ca": None}).close()
        yield found
    finally:
        for way in found:
            way.signal(signal.SIGCONT)
        for process in processes:
            end(process)


def start_djproxy(server: PrivateServer, home: Path, *options: str) -> tuple[Way, subprocess.Popen[str]]:
    """`djproxy record` with its worker."""
    command = [sys.executable, "-m", "proxy.cli", "--home", str(home), "record", "--paper", "bench"]
    command += ["--server", f"127.0.0.1:{server.port}", "--listen", "127.0.0.1:0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    way = Way(DJPROXY, _announced_port(process), process.pid)
    way.authority = Home(home).certificates / AUTHORITY_FILE
    wait_until(lambda: bool(list(family(process.pid))), "the worker")
    # The worker starts its reader with the first statement.
    with way.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT TABLE_NAME FROM information_schema.TABLES LIMIT 1")
    with suppress(TimeoutError):
        wait_until(lambda: len(list(family(process.pid))) > 1, "the reader", 15)
    way.helpers = list(family(process.pid))
    return way, process


def _start_bare(server: PrivateServer, folder: Path) -> tuple[Way, subprocess.Popen[str]]:
    certificates = folder / "certificates"
    certificates.mkdir(mode=0o700, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.wire.bare", str(server.port), str(certificates)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    way = Way(BARE, _announced_port(process), process.pid)
    way.authority = certificates / AUTHORITY_FILE
    return way, process


def _announced_port(process: subprocess.Popen[str]) -> int:
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r":(\d+) ->", line)
    if found is None:
        raise Missing(f"the proxy does not start: {line}{process.stderr.read()}")
    return int(found.group(1))


def _start_router(name: str, server: PrivateServer, folder: Path, mode: str) -> tuple[Way, subprocess.Popen[str]]:
    program = shutil.which("mysqlrouter") or shutil.which(
        "mysqlrouter", path=str(Path.home() / ".cache/mysql-server/bin")
    )
    if program is None:
        raise Missing("mysqlrouter is not in the PATH: install MySQL Router, or leave it out with --way")
    own = folder / name.replace(" ", "-")
    own.mkdir(mode=0o700)
    port = _free_port()
    certificate, authority = "", None
    if mode != "PASSTHROUGH":
        shown = default_certificate(own)
        authority = shown.authority
        certificate = f"client_ssl_cert={shown.chain}\nclient_ssl_key={shown.key}\n"
    (own / "router.conf").write_text(
        _ROUTER.format(
            folder=own,
            port=port,
            server_port=server.port,
            client_ssl_mode=mode,
            certificate=certificate,
            plugins=_plugins(Path(program)),
        )
    )
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    with (own / "said.log").open("w") as said:
        process = subprocess.Popen(
            [program, "-c", str(own / "router.conf"), *as_root], stdout=said, stderr=subprocess.STDOUT, text=True
        )
    deadline = time.monotonic() + 30
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return Way(name, port, process.pid, authority=authority), process
        if process.poll() is not None or time.monotonic() > deadline:
            end(process)
            log = "".join(path.read_text() for path in own.glob("*.log"))
            raise Missing(f"mysqlrouter does not start: {log[-500:]}")
        time.sleep(0.05)


def _plugins(program: Path) -> str:
    """Where its plugins are, for one that was unpacked beside its program rather than installed."""
    found = next(program.parent.parent.rglob("routing.so"), None) if program.parent != Path("/usr/bin") else None
    return f"plugin_folder={found.parent}\n" if found else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
