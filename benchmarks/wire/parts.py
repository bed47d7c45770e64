"""The parts of the benchmark: each makes samples of one way in one round."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.wire.paths import PASSWORD, SCHEMA, USER, Missing, Way
from benchmarks.wire.processes import cpu_seconds, resident_mb
from examples.private_server import PrivateServer

TABLE_ROWS = 10_000
BULK_ROWS = 500_000
#: A row of `bulk` takes about 200 bytes in a result.
BULK_MB = 100
BLOB = 16_000_000
CONNECTS_A_SECOND = 200
IDLE = 1000
SLOW_MB_A_SECOND = 100
#: Of what takes ten seconds and more.
LONG_ROUNDS = 3

Sample = dict[str, float]


#: How often sysbench is started before a way is given up.
_TRIES = 5


class SysbenchError(RuntimeError):
    """sysbench could not do its work."""


@dataclass(frozen=True, slots=True)
class Task:
    """Something to measure. `measure` takes a way and the seconds that it may last; `unit` says what "main" is.

    `better`: whether more of it is better, or less.
    """

    name: str
    unit: str
    better: str
    measure: Callable[[Way, float], Sample]
    rounds: int | None = None


class Bench:
    """The server with its data, and how each task is measured there."""

    def __init__(self, server: PrivateServer, folder: Path) -> None:
        self._server = server
        self._folder = folder
        self._options = self._option_files()

    def prepare_points(self) -> None:
        """sysbench's table."""
        if shutil.which("sysbench") is None:
            raise Missing("sysbench is not in the PATH: apt-get install sysbench")
        self._sysbench("oltp_point_select", self._server.port, "prepare")
        for name in ("client-cert.pem", "client-key.pem"):
            shutil.copy(self._certificate(name), self._folder / name)

    def prepare_bulk(self) -> None:
        """A table of 100 MB, and one for blobs."""
        digits = "(SELECT 0 d UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL "
        digits += "SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9)"
        numbers = " CROSS JOIN ".join(f"{digits} AS d{power}" for power in range(6))
        number = " + ".join(f"d{power}.d * {10**power}" for power in range(6))
        statements = (
            f"CREATE TABLE {SCHEMA}.bulk (id INT PRIMARY KEY, k INT, c VARCHAR(120), pad VARCHAR(60)) CHARSET latin1",
            f"INSERT INTO {SCHEMA}.bulk SELECT n, n * 7, LEFT(REPEAT(SHA2(n, 256), 2), 120), "
            f"LEFT(SHA2(n * 3, 256), 60) FROM (SELECT {number} AS n FROM {numbers}) AS numbers WHERE n < {BULK_ROWS}",
            f"CREATE TABLE {SCHEMA}.blobs (id INT PRIMARY KEY, content LONGBLOB)",
            f"CREATE TABLE {SCHEMA}.tens (d INT)",
            f"INSERT INTO {SCHEMA}.tens VALUES {', '.join(f'({n})' for n in range(10))}",
        )
        # MySQL wants a default schema for derived tables.
        with self._server.connect(database=SCHEMA, autocommit=True) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    # -- tasks

    def points(self, *, prepared: bool, threads: int, tls: bool) -> Task:
        """sysbench's point select: statements a second, median latency, processor time a statement."""

        def measure(way: Way, seconds: float) -> Sample:
            # sysbench looks for this very name.
            shutil.copy(way.authority or self._certificate("ca.pem"), self._folder / "cacert.pem")
            options = [f"--threads={threads}", f"--time={max(1, round(seconds))}", "--percentile=50"]
            options += [f"--db-ps-mode={'auto' if prepared else 'disable'}", f"--mysql-ssl={'on' if tls else 'off'}"]
            failures = 0
            while True:
                before = _cpu(way)
                try:
                    said = self._sysbench("oltp_point_select", way.port, "run", *options)
                    break
                except SysbenchError:
                    # Router breaks some logins when many come at once over TLS.
                    failures += 1
                    if failures == _TRIES:
                        raise
            used = _cpu(way) - before
            done = float(_number(r"total number of events:\s+(\d+)", said))
            took = float(_number(r"total time:\s+([\d.]+)s", said))
            sample = {"main": done / took, "median_ms": float(_number(r"50th percentile:\s+([\d.]+)", said))}
            sample["average_ms"] = float(_number(r"avg:\s+([\d.]+)", said))
            sample["failures"] = failures
            return sample | _proxy(way, used * 1e6 / done, "cpu_us")

        kind = "prepared" if prepared else "text"
        return Task(f"point select, {kind}, {threads} threads{_tls(tls)}", "statements/s", "more", measure)

    def latency(self, *, tls: bool) -> Task:
        """The median round trip of one client, in microseconds, from PyMySQL's side."""

        def measure(way: Way, seconds: float) -> Sample:
            times = []
            with way.connect(**_security(tls)) as connection, connection.cursor() as cursor:
                until = time.perf_counter() + seconds
                number = 0
                while (began := time.perf_counter()) < until:
                    number = number % TABLE_ROWS + 1
                    cursor.execute(f"SELECT c FROM sbtest1 WHERE id={number}")
                    times.append(time.perf_counter() - began)
            return {"main": statistics.median(times) * 1e6, "p99_us": sorted(times)[len(times) * 99 // 100] * 1e6}

        return Task(f"round trip{_tls(tls)}", "µs", "less", measure)

    def bulk(self, *, megabytes: int, tls: bool) -> Task:
        """A result that the command line client streams to nowhere, in MB/s."""
        times = f"CROSS JOIN tens WHERE d < {megabytes // BULK_MB}" if megabytes > BULK_MB else ""
        sql = f"SELECT bulk.* FROM bulk {times}"

        def measure(way: Way, _seconds: float) -> Sample:
            before = _cpu(way)
            began = time.perf_counter()
            self._client(way, sql, tls)
            seconds = time.perf_counter() - began
            sample = {"main": megabytes / seconds}
            return sample | _proxy(way, (_cpu(way) - before) * 1e3 / megabytes, "cpu_ms_per_mb")

        rounds = None if megabytes <= BULK_MB else LONG_ROUNDS
        return Task(f"result of {megabytes} MB{_tls(tls)}", "MB/s", "more", measure, rounds)

    def blobs(self, *, up: bool, tls: bool) -> Task:
        """Blobs of 16 MB, sent or fetched, in MB/s."""

        def measure(way: Way, _seconds: float) -> Sample:
            put = b"REPLACE INTO blobs VALUES (1, '" + b"b" * BLOB + b"')"
            with way.connect(**_security(tls)) as connection, connection.cursor() as cursor:
                if not up:
                    cursor.execute(put)
                before = _cpu(way)
                began = time.perf_counter()
                for _ in range(4):
                    cursor.execute(put if up else "SELECT content FROM blobs WHERE id = 1")
                seconds = time.perf_counter() - began
            megabytes = 4 * BLOB / 1e6
            return {"main": megabytes / seconds} | _proxy(way, (_cpu(way) - before) * 1e3 / megabytes, "cpu_ms_per_mb")

        return Task(f"blobs of 16 MB {'up' if up else 'down'}{_tls(tls)}", "MB/s", "more", measure)

    def connects(self, *, tls: bool) -> Task:
        """200 logins a second, spread over a few clients: the median login."""

        def measure(way: Way, seconds: float) -> Sample:
            number = int(CONNECTS_A_SECOND * seconds)
            before = _cpu(way)
            start = time.perf_counter()

            def one(index: int) -> float:
                time.sleep(max(0.0, start + index / CONNECTS_A_SECOND - time.perf_counter()))
                began = time.perf_counter()
                way.connect(**_security(tls)).close()
                return time.perf_counter() - began

            with ThreadPoolExecutor(8) as pool:
                times = sorted(pool.map(one, range(number)))
            rate = number / (time.perf_counter() - start)
            sample = {"main": statistics.median(times) * 1e3, "p99_ms": times[number * 99 // 100] * 1e3, "rate": rate}
            return sample | _proxy(way, (_cpu(way) - before) * 1e3 / number, "cpu_ms")

        return Task(f"{CONNECTS_A_SECOND} logins a second{_tls(tls)}", "ms", "less", measure)

    def idle(self, *, tls: bool) -> Task:
        """Memory of 1 000 idle connections, above what the proxy had before, in MB."""

        def measure(way: Way, _seconds: float) -> Sample:
            if way.pid is None:
                return {}
            base = resident_mb(way.pid)
            with ExitStack() as stack:
                for _ in range(IDLE):
                    stack.enter_context(way.connect(**_security(tls)))
                found = resident_mb(way.pid)
            return {"main": found - base, "base_mb": base}

        return Task(f"{IDLE} idle connections{_tls(tls)}", "MB", "less", measure, 1)

    def slow(self, *, tls: bool) -> Task:
        """By how much memory moves while 1 GB goes to a client that takes 100 MB a second."""

        def measure(way: Way, _seconds: float) -> Sample:
            if way.pid is None:
                return {}
            pid = way.pid
            with way.connect(**_security(tls)) as connection:
                began = resident_mb(pid)
                seen: list[float] = []
                over = threading.Event()

                def watch() -> None:
                    while not over.wait(0.05):
                        seen.append(resident_mb(pid))

                watcher = threading.Thread(target=watch)
                watcher.start()
                try:
                    read = _read_slowly(connection, "SELECT bulk.* FROM bulk CROSS JOIN tens")
                finally:
                    over.set()
                    watcher.join()
            return {"main": max(seen) - began, "spread_mb": max(seen) - min(seen), "read_mb": read / 1e6}

        return Task(f"1 GB to a slow client{_tls(tls)}", "MB", "less", measure, 1)

    # -- clients

    def _sysbench(self, script: str, port: int, command: str, *options: str) -> str:
        told = ["--mysql-host=127.0.0.1", f"--mysql-port={port}", f"--mysql-user={USER}"]
        told += [f"--mysql-password={PASSWORD}", f"--mysql-db={SCHEMA}", f"--table-size={TABLE_ROWS}", *options]
        done = subprocess.run(
            ["sysbench", script, *told, command], capture_output=True, text=True, check=False, cwd=self._folder
        )
        if done.returncode or "FATAL" in done.stdout:
            raise SysbenchError(f"sysbench failed: {done.stdout[-800:]}{done.stderr[-400:]}")
        return done.stdout

    def _client(self, way: Way, sql: str, tls: bool) -> None:
        mode = ["--ssl-mode=REQUIRED" if tls else "--ssl-mode=DISABLED"]
        if self._server.flavour == "mariadb":
            mode = ["--ssl", "--skip-ssl-verify-server-cert"] if tls else ["--skip-ssl"]
        else:
            mode.append("--get-server-public-key")
        command = [self._server.tools.client, f"--defaults-extra-file={self._options}", f"--port={way.port}", *mode]
        command += ["--quick", "-NB", SCHEMA, "-e", sql]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    def _option_files(self) -> Path:
        path = self._folder / "client.cnf"
        path.touch(mode=0o600)
        path.write_text(f"[client]\nhost=127.0.0.1\nuser={USER}\npassword={PASSWORD}\n")
        return path

    def _certificate(self, name: str) -> Path:
        authority = self._server.certificate_authority
        assert authority is not None
        found = authority.parent / name
        # MariaDB's server has no client's certificate; any will do where none is asked for.
        return found if found.exists() else authority.parent / name.replace("client", "server")


def _read_slowly(connection: Any, sql: str) -> int:
    """Send a query and take its answer at a bounded pace, as it comes over the socket (or through TLS)."""
    own = connection._sock
    connection._execute_command(3, sql)
    taken = 0
    tail = b""
    began = time.perf_counter()
    while not _is_end(tail):
        data = own.recv(1 << 18)
        if not data:
            raise RuntimeError("the connection ended in the middle of the result")
        tail = (tail + data)[-16:]
        taken += len(data)
        time.sleep(max(0.0, began + taken / (SLOW_MB_A_SECOND * 1e6) - time.perf_counter()))
    return taken


def _is_end(tail: bytes) -> bool:
    """Whether these are an EOF packet at the very end; the rows of `bulk` do not look so."""
    return tail[-9:-6] == b"\x05\0\0" and tail[-5] == 0xFE if len(tail) >= 9 else False


def _security(tls: bool) -> dict[str, Any]:
    return {"ssl": {"ca": None}} if tls else {"ssl_disabled": True}


def _tls(tls: bool) -> str:
    return ", TLS" if tls else ""


def _cpu(way: Way) -> float:
    return cpu_seconds(way.pid) if way.pid else 0.0


def _proxy(way: Way, used: float, name: str) -> Sample:
    return {name: used, "rss_mb": resident_mb(way.pid)} if way.pid else {}


def _number(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"sysbench does not say {pattern!r}: {text[-800:]}")
    return found.group(1)


PARTS: dict[str, Callable[[Bench, bool], Iterator[Task]]] = {
    "text": lambda bench, tls: (bench.points(prepared=False, threads=n, tls=tls) for n in (1, 8, 32)),
    "prepared": lambda bench, tls: (bench.points(prepared=True, threads=n, tls=tls) for n in (1, 8, 32)),
    "latency": lambda bench, tls: iter([bench.latency(tls=tls)]),
    "bulk": lambda bench, tls: (bench.bulk(megabytes=size, tls=tls) for size in (100, 1000)),
    "blobs": lambda bench, tls: (bench.blobs(up=up, tls=tls) for up in (True, False)),
    "logins": lambda bench, tls: iter([bench.connects(tls=tls)]),
    "idle": lambda bench, tls: iter([bench.idle(tls=tls)]),
    "slow": lambda bench, tls: iter([bench.slow(tls=tls)]),
}
