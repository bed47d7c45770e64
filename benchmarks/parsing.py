"""What reading statements costs: the worker's rate, the worst cases, and what the relay's clients feel of it.

    python -m benchmarks.parsing [--flavour mysql|mariadb] [--rounds 20] [--statements 10000] [--part worker …]

Prints a table on stderr and one JSON document on stdout. The latencies are of a point SELECT through a proxy whose
worker is stopped (idle) or works on a backlog (busy), in turns within one run, and of the same SELECT without proxy.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pymysql

from examples.private_server import PrivateServer
from graph.apart import Apart, Failure
from graph.statement import Session
from proxy import events
from proxy.journal import Header, JournalWriter, journals
from proxy.paths import Home
from proxy.recorder import catch_up
from proxy.store import Store

LAB = Session(schema="lab", sql_mode="", time_zone="+00:00", charset="utf8mb4")


def traffic(number: int) -> str:
    """A statement as DataJoint sends it: one of a few shapes, with its own values."""
    n, key = number, f"`subject`='s{number % 997}' AND `session`={number}"
    shapes = (
        f"SELECT `subject`,`session`,`trial`,`rt` FROM `lab`.`trial` WHERE ( ({key}))",
        f'SELECT `subject`,`session` FROM `lab`.`session` WHERE ( (`subject`="s{n}")AND(`session`={n % 7}))',
        f"SELECT * FROM `lab`.`session` NATURAL JOIN `lab`.`trial` WHERE ( (`rt`>0.{n})) AND ( ({key}))",
        f"SELECT `subject`,`session`,`species` FROM `lab`.`subject` JOIN `lab`.`session` USING (`subject`) "
        f"WHERE ( (species='x{n}'))",
        f"SELECT `subject` FROM `lab`.`session` WHERE ((`subject`,`session`) in (SELECT `subject`,`session` "
        f"FROM `lab`.`trial` WHERE ( (rt > {n}))))",
        f"SELECT `subject`,count(*) as `n` FROM `lab`.`subject` LEFT JOIN `lab`.`session` USING (`subject`) "
        f"WHERE ( ({key})) GROUP BY `subject` HAVING ( (`n`>{n % 5}))",
        f"SELECT `subject`,`s` FROM (SELECT `subject`,`session` as `s` FROM `lab`.`session`) as `$2` WHERE ( (s={n}))",
        f"SELECT `a` FROM `lab`.`t` WHERE ( {' OR '.join(f'((`a`={n + i})AND(`b`={i}))' for i in range(20))})",
    )
    return shapes[number % len(shapes)]


def worst_cases() -> dict[str, str]:
    """Statements that a parser does not like."""
    nested = "SELECT a FROM t"
    for number in range(60):
        nested = f"SELECT a FROM t{number} WHERE a IN ({nested})"
    keys = " OR ".join(f"((`a`='x{n}')AND(`b`={n}))" for n in range(20_000))
    return {
        "20 000 keys": f"SELECT * FROM t WHERE ( ({keys}))",
        "20 000 terms with a function": "SELECT * FROM t WHERE " + " OR ".join(f"f(a)={n}" for n in range(20_000)),
        "5 000 parentheses": "SELECT * FROM t WHERE " + "(" * 5_000 + "a = 1" + ")" * 5_000,
        "5 000 nested sums": "SELECT * FROM t WHERE " + "(1 + " * 5_000 + "a" + ")" * 5_000,
        "list of 1 MB": "SELECT * FROM t WHERE a IN (" + ",".join(f"'{n:012}'" for n in range(70_000)) + ")",
        "list of 16 MB": "SELECT * FROM t WHERE a IN (" + ",".join(f"'{n:012}'" for n in range(1_100_000)) + ")",
        "60 nested subqueries": nested,
        "garbage of 1 MB": "SELECT " + "a ( ' ) , \\ `" * 80_000,
        "100 000 open parentheses": "SELECT " + "(" * 100_000,
        "sums of 16 MB": "SELECT " + ",".join(["a+1"] * 4_000_000) + " FROM t",
    }


def measure_worker(number: int) -> dict[str, Any]:
    """Statements a second from journal to store: each with its own text, then all equal to one of a hundred."""
    found: dict[str, Any] = {}
    for name, distinct in (("distinct", number), ("repeated", 100)):
        with tempfile.TemporaryDirectory() as folder:
            home = Home(Path(folder)).create()
            journal = JournalWriter(home.journals, Header("P", "main", "localhost:3306", time.time_ns()), print)
            journal.write([events.Connected(1, 1, "u", "lab", 255)])
            for index in range(number):
                sql = traffic(index % distinct).encode()
                journal.write([events.Executed(1, sql, None, len(sql))])
            journal.close()
            began = time.perf_counter()
            with Store(home.store) as store:
                catch_up(home, store)
            seconds = time.perf_counter() - began
        found[name] = {"statements": number, "seconds": round(seconds, 2), "per_second": round(number / seconds)}
        say(f"worker, {name}: {number / seconds:.0f} statements/s")
    return found


def measure_worst() -> dict[str, Any]:
    """Time and peak memory of each worst case, in a process of its own; processor seconds include its start."""
    found: dict[str, Any] = {}
    for name, sql in worst_cases().items():
        apart = Apart()
        list(apart.read([("SELECT 1 FROM t", LAB)]))
        began = time.perf_counter()
        (answer,) = apart.read([(sql, LAB)])
        seconds = time.perf_counter() - began
        peak = apart.peak_memory()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        apart.close()
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = ended.ru_utime + ended.ru_stime - used.ru_utime - used.ru_stime
        outcome = answer.reason if isinstance(answer, Failure) else answer.reason or str(answer.statement_class)
        found[name] = {
            "bytes": len(sql),
            "seconds": round(seconds, 2),
            "processor_seconds": round(cpu, 2),
            "peak_mb": peak,
            "outcome": outcome,
        }
        say(f"{name:30} {len(sql) / 1e6:6.2f} MB {seconds:6.2f} s ({cpu:.2f} s CPU) {peak or '?':>6} MB  {outcome}")
    return found


def measure_relay(flavour: str, rounds: int, backlog: int) -> dict[str, Any]:
    """Latency of a point SELECT: without proxy, with an idle worker, with a busy one, in turns."""
    with PrivateServer.start(flavour) as server, tempfile.TemporaryDirectory() as folder:
        server.execute("CREATE DATABASE lab")
        server.execute("CREATE TABLE lab.point (id INT PRIMARY KEY, v INT)")
        server.execute("INSERT INTO lab.point VALUES (1, 1), (2, 2)")
        direct = server.connect()
        server.execute("CREATE TABLE lab.trial (x INT)")
        command = [sys.executable, "-m", "proxy.cli", "--home", folder, "record", "--paper", "P"]
        command += ["--server", f"{server.host}:{server.port}", "--listen", "127.0.0.1:0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as proxy:
            try:
                assert proxy.stderr is not None
                port = int(re.search(r":(\d+) ->", proxy.stderr.readline()).group(1))  # type: ignore[union-attr]
                through = pymysql.connect(
                    host="127.0.0.1", port=port, user=server.user, password=server.password, autocommit=True
                )
                found = _rounds(proxy.pid, Home(Path(folder)), direct, through, rounds, backlog)
                through.close()
            finally:
                for pid in _family(proxy.pid):
                    os.kill(pid, signal.SIGCONT)
                proxy.terminate()
        direct.close()
    return found


def _rounds(proxy: int, home: Home, direct: Any, through: Any, rounds: int, backlog: int) -> dict[str, Any]:
    times: dict[str, list[float]] = {"direct": [], "idle": [], "busy": []}
    ratios: dict[str, list[float]] = {"median": [], "p99": []}
    _select(direct, 500), _select(through, 500)
    sent = 0
    for _ in range(rounds):
        _stop(proxy)
        for number in range(sent, sent + backlog):
            with through.cursor() as cursor:
                cursor.execute(_answerable(number))
        sent += backlog
        times["direct"] += _select(direct, 500)
        idle = _select(through, 500)
        for pid in _family(proxy):
            os.kill(pid, signal.SIGCONT)
        time.sleep(0.3)
        busy = _select(through, 500)
        if not _backlog(home):
            say("the worker was not busy throughout a round: a larger --backlog is needed")
        times["idle"] += idle
        times["busy"] += busy
        ratios["median"].append(statistics.median(busy) / statistics.median(idle))
        ratios["p99"].append(_p99(busy) / _p99(idle))
    found: dict[str, Any] = {
        name: {"median_us": round(statistics.median(each) * 1e6, 1), "p99_us": round(_p99(each) * 1e6, 1)}
        for name, each in times.items()
    }
    found["busy_to_idle"] = {name: round(statistics.median(each), 3) for name, each in ratios.items()}
    found["rounds"] = rounds
    say(json.dumps(found))
    return found


def _answerable(number: int) -> str:
    """A statement that the server answers, with its own text."""
    terms = " OR ".join(f"((`x`={number + n})AND(`x`<>{n}))" for n in range(20))
    return f"SELECT `x` FROM `lab`.`trial` WHERE ( {terms})"


def _select(connection: Any, number: int) -> list[float]:
    found = []
    with connection.cursor() as cursor:
        for index in range(number):
            began = time.perf_counter()
            cursor.execute(f"SELECT v FROM lab.point WHERE id = {index % 2 + 1}")
            cursor.fetchall()
            found.append(time.perf_counter() - began)
    return found


def _p99(times: Sequence[float]) -> float:
    return sorted(times)[int(len(times) * 0.99)]


def _family(pid: int) -> Iterator[int]:
    """The processes below one, the worker and its reader."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            yield child
            yield from _family(child)


def _stop(proxy: int) -> None:
    for pid in _family(proxy):
        os.kill(pid, signal.SIGSTOP)


def _backlog(home: Home) -> int:
    """Bytes that wait for the worker."""
    (journal,) = journals(home.journals)
    with Store(home.store) as store:
        return journal.stat().st_size - (store.offset(journal.name) or 0)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what reading statements costs.")
    parser.add_argument("--flavour", choices=["mysql", "mariadb"], default="mysql")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--backlog", type=int, default=2_000, help="statements that wait for the worker, each round")
    parser.add_argument("--statements", type=int, default=10_000)
    parser.add_argument("--part", choices=["worker", "worst", "relay"], action="append")
    options = parser.parse_args()
    parts = options.part or ["worker", "worst", "relay"]
    found: dict[str, Any] = {"load": os.getloadavg(), "processors": os.cpu_count()}
    if "worker" in parts:
        found["worker"] = measure_worker(options.statements)
    if "worst" in parts:
        found["worst"] = measure_worst()
    if "relay" in parts:
        found["relay"] = measure_relay(options.flavour, options.rounds, options.backlog)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
