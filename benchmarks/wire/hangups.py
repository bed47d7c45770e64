"""Connections that break in the middle of a result, thousands of them: how soon the other side knows, and what is left.

    python -m benchmarks.wire.hangups [--number 10000] [--flavour mysql|mariadb]

Clients hang up, reset, or vanish without a word (that takes CAP_NET_ADMIN, and is left out without); servers are reset
by a proxy between, and one is killed. Prints one JSON document; ends with 1 when anything is left behind.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from benchmarks.wire.paths import SCHEMA, USER, Way, start_djproxy, start_server
from benchmarks.wire.processes import descriptors, end, resident_mb, wait_until
from examples.private_server import PrivateServer
from tests.fault import FaultProxy

BATCH = 25
TCP_REPAIR = 19
RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"
#: A result of some hundred megabytes, made on the way.
BIG = "SELECT a.d, REPEAT('x', 20000) FROM tens a, tens b, tens c, tens d, tens e"


def begin(way: Way, *, read: int = 1000, **options: Any) -> Any:
    """A connection that has begun to read a long result."""
    connection = way.connect(**options)
    connection._execute_command(3, BIG)
    assert connection._sock.recv(read)
    return connection


def hang_up(own: socket.socket) -> None:
    """What the end of a process does."""
    own.close()


def reset(own: socket.socket) -> None:
    """RST."""
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    own.close()


def vanish(own: socket.socket) -> None:
    """Be gone without a word; whatever comes for it is answered by RST, as by a machine that was started anew."""
    own.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    own.close()


def may_vanish() -> bool:
    """Whether this process may do that."""
    with socket.socket() as own:
        try:
            own.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except OSError:
            return False
        own.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 0)
    return True


class Watcher:
    """Which of the server's threads are there, asked without the proxy."""

    def __init__(self, server: PrivateServer) -> None:
        self._connection = server.connect(autocommit=True)

    def threads(self) -> set[int]:
        """Of the benchmark's account."""
        with self._connection.cursor() as cursor:
            cursor.execute("SHOW PROCESSLIST")
            return {row[0] for row in cursor.fetchall() if row[1] == USER}


def break_clients(way: Way, watcher: Watcher, number: int) -> dict[str, Any]:
    """Break so many connections from the client's side; the time until the last thread of each batch is gone."""
    ways: list[Callable[[socket.socket], None]] = [hang_up, reset] + ([vanish] if may_vanish() else [])
    securities: list[dict[str, Any]] = [{"ssl_disabled": True}, {"ssl": {"ca": None}}]
    took: dict[str, list[float]] = {each.__name__: [] for each in ways}
    done = 0
    while done < number:
        break_off = ways[done // BATCH % len(ways)]
        batch = [begin(way, **securities[index % 2]) for index in range(min(BATCH, number - done))]
        began = time.perf_counter()
        for connection in batch:
            break_off(connection._sock)
            connection._force_close()
        wait_until(lambda: not watcher.threads(), "the server's threads")
        took[break_off.__name__].append(time.perf_counter() - began)
        done += len(batch)
    return {"number": done, "batch": BATCH, **{name: _seconds(each) for name, each in took.items() if each}}


def break_servers(server: PrivateServer, home: Path, number: int) -> dict[str, Any]:
    """RST from the server's side, by a proxy between: the time until each client knows."""
    took = []
    with FaultProxy((server.host, server.port)) as fault:
        process = None
        try:
            way, process = start_djproxy(server, home, "--server", f"127.0.0.1:{fault.port}")
            for _ in range(number):
                connection = begin(way, ssl_disabled=True)
                began = time.perf_counter()
                fault.reset_all()
                took.append(_until_told(connection) - began)
        finally:
            if process is not None:
                end(process)
    return {"number": number, **_seconds(took)}


def kill_server(flavour: str, home: Path) -> dict[str, Any]:
    """A server killed with half a dozen clients in the middle of a result."""
    with _server(flavour) as server:
        way, process = start_djproxy(server, home)
        try:
            clients = [begin(way, ssl_disabled=True) for _ in range(6)]
            assert server._process is not None
            began = time.perf_counter()
            server._process.kill()
            took = [_until_told(connection) - began for connection in clients]
        finally:
            end(process)
    return {"number": len(took), **_seconds(took)}


def _until_told(connection: Any) -> float:
    """Read to the end; when that was."""
    connection._sock.settimeout(30)
    with suppress(OSError):
        while connection._sock.recv(1 << 20):
            pass
    connection._force_close()
    return time.perf_counter()


def _seconds(took: list[float]) -> dict[str, float]:
    return {"median_s": round(statistics.median(took), 3), "most_s": round(max(took), 3)}


def _server(flavour: str) -> PrivateServer:
    server = start_server(flavour)
    server.execute(
        f"CREATE TABLE {SCHEMA}.tens (d INT)",
        f"INSERT INTO {SCHEMA}.tens VALUES {', '.join(f'({n})' for n in range(10))}",
    )
    return server


def measure(flavour: str, number: int, folder: Path) -> dict[str, Any]:
    """All of it."""
    with ExitStack() as stack:
        server = stack.enter_context(_server(flavour))
        way, process = start_djproxy(server, folder / "home")
        stack.callback(end, process)
        assert way.pid is not None
        watcher = Watcher(server)
        break_clients(way, watcher, 2 * BATCH)
        before = {"descriptors": descriptors(way.pid), "memory_mb": round(resident_mb(way.pid), 1)}
        clients = break_clients(way, watcher, number // 2)
        halfway = round(resident_mb(way.pid), 1)
        more = break_clients(way, watcher, number - number // 2)
        with suppress(TimeoutError):
            wait_until(lambda: descriptors(way.pid or 0) <= before["descriptors"], "descriptors", 10)
        after = {"descriptors": descriptors(way.pid), "memory_mb": round(resident_mb(way.pid), 1)}
        with way.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)
    with _server(flavour) as server:
        resets = break_servers(server, folder / "home2", max(20, number // 100))
    killed = kill_server(flavour, folder / "home3")
    return {
        "server": flavour,
        "clients": [clients, more],
        "before": before,
        "halfway_mb": halfway,
        "after": after,
        "server_reset": resets,
        "server_killed": killed,
        "left_behind": after["descriptors"] > before["descriptors"],
    }


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire.hangups", description="Break connections.")
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--flavour", choices=["mysql", "mariadb"], default="mysql")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="djp-hangups-") as folder:
        found = measure(options.flavour, options.number, Path(folder))
    print(json.dumps(found, indent=2))
    return int(found["left_behind"])


if __name__ == "__main__":
    sys.exit(main())
