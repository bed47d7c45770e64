"""What looking into results costs: CPU time of the proxy and time of the client, by `--pin` and `--digest`.

    python -m benchmarks.pins [ROWS]

Starts a private server, fetches one table of that many rows through a proxy with each setting, and one row many times.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from examples.private_server import PrivateServer, flavours
from tests.harness import Djproxy, Recorder

REPEATS = 3
POINTS = 3000
TICK = os.sysconf("SC_CLK_TCK")
SETTINGS: tuple[tuple[str, ...], ...] = (
    ("--pin", "off"),
    ("--pin", "auto"),
    ("--pin", "always"),
    ("--pin", "off", "--digest"),
    ("--pin", "always", "--digest"),
)


def cpu(process: int) -> float:
    """Seconds of CPU time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def ask(server: PrivateServer, host: str, port: int, sql: str) -> float:
    """Runs SQL with the server's own client, output thrown away; how long it took."""
    began = time.perf_counter()
    subprocess.run(
        [server.tools.client, f"--defaults-file={server.defaults_file()}", "-q", f"-h{host}", f"-P{port}"],
        input=sql.encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - began


def measure(server: PrivateServer, recorder: Recorder, sql: str, units: int) -> str:
    best, used = float("inf"), float("inf")
    for _ in range(REPEATS):
        before = cpu(recorder.process.pid)
        best = min(best, ask(server, recorder.host, recorder.port, sql))
        used = min(used, cpu(recorder.process.pid) - before)
    return f"{best:7.2f} s, proxy CPU {used:6.2f} s = {used / units * 1e6:6.2f} µs each"


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    with PrivateServer.start(flavours()[0]) as server, tempfile.TemporaryDirectory() as folder:
        server.execute(
            "CREATE DATABASE b",
            "CREATE TABLE b.t (subject VARCHAR(16), session INT, trial INT, rt DOUBLE, note VARCHAR(40), "
            "PRIMARY KEY (subject, session, trial))",
            "SET SESSION cte_max_recursion_depth = 1000000000",
            "INSERT INTO b.t WITH RECURSIVE n AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM n WHERE i < "
            f"{rows - 1}) SELECT CONCAT('subject', i DIV 10000), i DIV 100 MOD 100, i MOD 100, i / 7, "
            "REPEAT('x', i MOD 40) FROM n",
        )
        whole = "SELECT * FROM b.t;"
        points = "".join(
            f"SELECT * FROM b.t WHERE subject='subject{i % 7}' AND session={i % 100} AND trial=3;\n"
            for i in range(POINTS)
        )
        for name, sql in (("whole table", whole), ("single rows", points)):
            direct = min(ask(server, server.host, server.port, sql) for _ in range(REPEATS))
            print(f"{name}, direct: {direct:7.2f} s")
        for number, options in enumerate(SETTINGS):
            home = Path(folder) / f"home{number}" / "home"
            home.parent.mkdir()
            with Djproxy(home).recording("P", server, *options) as recorder:
                print(f"{' '.join(options):28} {rows} rows: {measure(server, recorder, whole, rows)}")
                print(f"{' '.join(options):28} {POINTS} single rows: {measure(server, recorder, points, POINTS)}")


if __name__ == "__main__":
    main()
