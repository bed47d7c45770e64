"""Minutes of sysbench through a recording proxy, with logins all the time: errors, memory, and whether the recording
has what the server's general log has.

    python -m benchmarks.wire.soak [--seconds 600] [--threads 32] [--flavour mysql|mariadb] [--workers N]

Prints one JSON document; ends with 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql

from benchmarks.wire.paths import PASSWORD, SCHEMA, USER, Missing, Way, start_djproxy, start_server
from benchmarks.wire.processes import descriptors, end, resident_mb
from examples.private_server import PrivateServer
from proxy import events, journal
from proxy.paths import Home

TABLE_ROWS = 10_000
RUN_SECONDS = 8
LOGINS_A_SECOND = 40
#: By how much the proxy's memory may grow from the first third to the last, in MB.
FLAT_MB = 10
#: What is run in turns, each by text and prepared.
SCRIPTS = ("oltp_point_select", "oltp_read_only", "oltp_insert")


@dataclass(slots=True)
class Seen:
    """What was seen while it ran."""

    errors: list[str] = field(default_factory=list)
    logins: int = 0
    events: int = 0
    runs: int = 0
    memory: list[float] = field(default_factory=list)
    helpers: list[float] = field(default_factory=list)


class Tally:
    """Statements of each of the server's threads: how many, and a sum over their texts."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[int, str]] = Counter()
        self.sums: Counter[int] = Counter()

    def add(self, thread: int, sql: bytes) -> None:
        """A SELECT counts by its text, anything else by its verb, for more is not recorded of it."""
        verb = sql[:12].split(None, 1)[0].upper().decode("ascii", "replace") if sql.strip() else ""
        self.counts[thread, verb] += 1
        if verb == "SELECT":
            self.sums[thread] += zlib.crc32(sql)


def sysbench(port: int, script: str, command: str, *options: str) -> tuple[str, str]:
    """What it says, and what is wrong."""
    told = ["--mysql-host=127.0.0.1", f"--mysql-port={port}", f"--mysql-user={USER}", f"--mysql-password={PASSWORD}"]
    told += [f"--mysql-db={SCHEMA}", f"--table-size={TABLE_ROWS}", *options]
    done = subprocess.run(["sysbench", script, *told, command], capture_output=True, text=True, check=False)
    wrong = "" if done.returncode == 0 and "FATAL" not in done.stdout else (done.stdout + done.stderr)[-500:]
    for name in ("ignored errors", "reconnects"):
        found = re.search(rf"{name}:\s+(\d+)", done.stdout)
        if found and int(found.group(1)):
            wrong += f"{name}: {found.group(1)}"
    return done.stdout, wrong


def load(way: Way, seconds: float, threads: int, seen: Seen) -> None:
    """Runs of sysbench, each of which logs in and out with all of its threads, while single clients come and go."""
    over = threading.Event()

    def come_and_go() -> None:
        while not over.wait(1 / LOGINS_A_SECOND):
            try:
                with way.connect() as connection, connection.cursor() as cursor:
                    cursor.execute(f"SELECT c, {seen.logins} FROM sbtest1 WHERE id = {seen.logins % TABLE_ROWS + 1}")
                    cursor.fetchall()
                seen.logins += 1
            except pymysql.MySQLError as error:
                seen.errors.append(repr(error))

    def watch() -> None:
        assert way.pid is not None
        while not over.wait(0.5):
            seen.memory.append(resident_mb(way.pid))
            seen.helpers.append(sum(resident_mb(pid) for pid in way.helpers))

    helpers = [threading.Thread(target=come_and_go), threading.Thread(target=watch)]
    for helper in helpers:
        helper.start()
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            script = SCRIPTS[seen.runs // 2 % len(SCRIPTS)]
            mode = ("disable", "auto")[seen.runs % 2]
            options = [f"--threads={threads}", f"--time={RUN_SECONDS}", f"--db-ps-mode={mode}", "--skip-trx=on"]
            said, wrong = sysbench(way.port, script, "run", *options)
            seen.runs += 1
            if wrong:
                seen.errors.append(f"{script}: {wrong}")
            if found := re.search(r"total number of events:\s+(\d+)", said):
                seen.events += int(found.group(1))
    finally:
        over.set()
        for helper in helpers:
            helper.join()


def of_general_log(path: Path) -> Tally:
    """What the server's log has of clients' statements."""
    tally = Tally()
    began = re.compile(rb"^\S+\t *(\d+) (Query|Execute)\t(.*)$")
    with path.open("rb") as lines:
        for line in lines:
            if found := began.match(line.rstrip(b"\n")):
                tally.add(int(found.group(1)), found.group(3))
    return tally


def of_journals(paths: Sequence[Path]) -> tuple[Tally, int]:
    """What the journals have, by the server's threads, and the number of connections whose recording was lost."""
    tally, lost = Tally(), 0
    for path in paths:
        threads: dict[int, int] = {}
        for event in _events(path):
            match event:
                case events.Connected(connection=connection, thread_id=thread):
                    threads[connection] = thread
                case events.Executed(connection, sql, parameters, _):
                    tally.add(threads[connection], _filled(sql, parameters or ()))
                case events.Noted(connection, verb, _, _):
                    tally.add(threads[connection], verb.encode())
                case events.Lost():
                    lost += 1
    return tally, lost


def _events(path: Path) -> Iterator[events.Event]:
    _, start = journal.read_header(path)
    for entry in journal.read(path, start):
        yield entry.event


def _filled(sql: bytes, parameters: Sequence[str]) -> bytes:
    pieces = sql.split(b"?")
    filled = pieces[0]
    for piece, parameter in zip(pieces[1:], parameters, strict=False):
        filled += parameter.encode() + piece
    return filled


def compare(log: Tally, recorded: Tally, own: set[int]) -> dict[str, Any]:
    """Where the two differ, for the threads that came through the proxy."""
    expected = {key: count for key, count in log.counts.items() if key[0] in own}
    found = {key: count for key, count in recorded.counts.items() if key[0] in own}
    differing = {key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)}
    texts = {thread for thread in own if log.sums[thread] != recorded.sums[thread]}
    return {
        "threads": len(own),
        "in_general_log": sum(expected.values()),
        "recorded": sum(found.values()),
        "differing_counts": len(differing),
        "differing_texts": len(texts),
        "examples": [[*key, expected.get(key, 0), found.get(key, 0)] for key in sorted(differing)[:5]],
    }


def soak(server: PrivateServer, folder: Path, seconds: float, threads: int, options: Sequence[str]) -> dict[str, Any]:
    """Run it, and see what came of it."""
    _, wrong = sysbench(server.port, "oltp_read_only", "prepare")
    if wrong:
        raise Missing(f"sysbench cannot prepare its table: {wrong}")
    log = server.folder / "general.log"
    server.execute("SET GLOBAL log_output = 'FILE'", "SET GLOBAL general_log = 1")
    home = folder / "home"
    way, process = start_djproxy(server, home, *options)
    seen = Seen()
    try:
        kept = []
        for number, path in enumerate(journal.journals(Home(home).journals)):
            # The worker removes a journal that it has taken; a second name keeps it.
            kept.append(folder / f"kept{number}")
            os.link(path, kept[-1])
        assert way.pid is not None
        before = descriptors(way.pid)
        load(way, seconds, threads, seen)
        time.sleep(1)
        after = descriptors(way.pid)
    finally:
        status = end(process)
    server.execute("SET GLOBAL general_log = 0")
    recorded, lost = of_journals(kept)
    own = {thread for thread, _ in recorded.counts}
    third = max(1, len(seen.memory) // 3)
    growth = statistics.median(seen.memory[-third:]) - statistics.median(seen.memory[:third])
    compared = compare(of_general_log(log), recorded, own)
    right = not seen.errors and not lost and status == 0 and after <= before and growth < FLAT_MB
    right = right and not compared["differing_counts"] and not compared["differing_texts"]
    return {
        "server": server.version,
        "seconds": seconds,
        "threads": threads,
        "sysbench_runs": seen.runs,
        "sysbench_events": seen.events,
        "single_logins": seen.logins,
        "errors": seen.errors[:5],
        "error_count": len(seen.errors),
        "lost": lost,
        "general_log": compared,
        "memory_mb": {
            "first_third": round(statistics.median(seen.memory[:third]), 1),
            "last_third": round(statistics.median(seen.memory[-third:]), 1),
            "most": round(max(seen.memory), 1),
            "worker_most": round(max(seen.helpers), 1),
        },
        "descriptors": {"before": before, "after": after},
        "exit_status": status,
        "right": right,
    }


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire.soak", description="sysbench for minutes.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--flavour", choices=["mysql", "mariadb"], default="mysql")
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    more = ["--workers", str(options.workers)] if options.workers else []
    with tempfile.TemporaryDirectory(prefix="djp-soak-") as folder, start_server(options.flavour) as server:
        try:
            found = soak(server, Path(folder), options.seconds, options.threads, more)
        except (Missing, FileNotFoundError) as error:
            print(f"benchmarks.wire.soak: {error} (sysbench: apt-get install sysbench)", file=sys.stderr)
            return 3
    print(json.dumps(found, indent=2))
    return 0 if found["right"] else 1


if __name__ == "__main__":
    sys.exit(main())
