"""Exports with --direct, one after another, while others write; then each slice in another server."""

from __future__ import annotations

import itertools
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.documents import Judged, Meta
from graph.export import export
from graph.statement import Statement as Recorded
from graph.statement import StatementClass
from tests import harness
from tests.locks.watch import LockWatch
from tests.locks.writers import ACCOUNT, DOWN, ENTRY, UP, Log, Statement, Writers, fill

META = Meta("locks", "localhost", "0")
#: The rows by their keys, and all of them.
QUERIES = (f"SELECT * FROM {ENTRY} WHERE account % 4 <> 3", f"SELECT * FROM {ENTRY}")
_ORPHANS = f"SELECT COUNT(*) FROM {ENTRY} e LEFT JOIN {ACCOUNT} a ON a.id = e.account WHERE a.id IS NULL"
_UNBALANCED = (
    f"SELECT COUNT(*) FROM {ACCOUNT} a JOIN (SELECT account, SUM(amount) AS total FROM {ENTRY} GROUP BY account) e"
    " ON e.account = a.id WHERE a.balance <> e.total"
)


@dataclass(frozen=True, slots=True)
class Waits:
    """Write statements of a phase; milliseconds. `longest` counts COMMITs too."""

    seconds: float
    writes: int
    median: float
    percentile99: float
    longest: float

    @classmethod
    def of(cls, statements: Sequence[Statement], seconds: float) -> Waits:
        waited = sorted(each.waited * 1000 for each in statements)
        if not waited:
            return cls(seconds, 0, 0.0, 0.0, 0.0)
        writes = sum(not each.commit for each in statements)
        return cls(seconds, writes, statistics.median(waited), waited[len(waited) * 99 // 100], waited[-1])


@dataclass(frozen=True, slots=True)
class Taken:
    """An export: its rows, its time, what was committed meanwhile, and what the restored copy says."""

    rows: int
    seconds: float
    commits: int
    orphans: int
    unbalanced: int


@dataclass(frozen=True, slots=True)
class Report:
    """A run on one server."""

    server: str
    quiet: Waits
    busy: Waits
    errors: tuple[str, ...]
    lock_waits: int
    looks: int
    locks_held: int
    exports: tuple[Taken, ...]

    @property
    def passed(self) -> bool:
        """Nobody waited for a lock, nothing failed, each slice is closed and one state."""
        clean = not self.errors and not self.lock_waits and not self.locks_held
        return clean and bool(self.exports) and not any(each.orphans or each.unbalanced for each in self.exports)


def run(
    source: PrivateServer,
    copy: PrivateServer,
    folder: Path,
    *,
    seconds: float,
    rate: float = 1000,
    writers: int = 4,
    accounts: int = 10_000,
    say: Callable[[str], None] = lambda text: None,
) -> Report:
    """Writes for so long without an export, and for at least so long with one after another."""
    connection = source.connect(autocommit=True)
    with connection:
        fill(connection, accounts)
    reader = harness.add_account(source, [UP, DOWN])
    settings = {"host": source.host, "port": source.port, "user": source.user, "password": source.password}
    made: list[tuple[Path, float, float, int]] = []
    try:
        with (
            Writers(settings, number=writers, rate=rate, accounts=accounts) as working,
            LockWatch(source, reader.user) as watch,
        ):
            say(f"{source.version}: {seconds:g} s of writing alone")
            began = time.monotonic()
            time.sleep(seconds)
            exporting = time.monotonic()
            for number in itertools.count():
                if number >= 2 and time.monotonic() - exporting >= seconds:
                    break
                start = time.monotonic()
                out = folder / f"out{number}"
                rows = _export(source, reader, QUERIES[number % 2], out)
                made.append((out, start, time.monotonic(), rows))
                say(f"export {number + 1}: {rows} rows in {made[-1][2] - start:.2f} s")
            ended = time.monotonic()
            logs = working.stop()
        statements = [each for log in logs for each in log.statements]
        taken = [_judged(copy, *each, statements) for each in made]
    finally:
        source.execute(f"DROP USER {reader.at_localhost}")
        harness.drop(source, DOWN, UP)
    quiet = [each for each in statements if began <= each.sent < exporting]
    busy = [each for each in statements if exporting <= each.sent < ended]
    return Report(
        source.version,
        Waits.of(quiet, exporting - began),
        Waits.of(busy, ended - exporting),
        _errors(logs),
        watch.waits,
        watch.seen,
        watch.held,
        tuple(taken),
    )


def _errors(logs: Sequence[Log]) -> tuple[str, ...]:
    return tuple(error for log in logs for error in log.errors)


def _export(source: PrivateServer, reader: harness.Account, sql: str, folder: Path) -> int:
    recorded = [Judged(Recorded(1, sql), StatementClass.DATA, "")]
    address = ServerAddress(source.host, source.port)
    with Database.connect(address, Credentials(reader.user, reader.password)) as database:
        return export(database, recorded, folder, META, direct=True).slice.rows


def _judged(
    copy: PrivateServer, folder: Path, start: float, end: float, rows: int, statements: Sequence[Statement]
) -> Taken:
    """Loads a slice and looks at it."""
    harness.drop(copy, DOWN, UP)
    harness.restore(folder, copy)
    shutil.rmtree(folder)
    orphans, unbalanced, held = (
        copy.rows(sql)[0][0]
        for sql in (_ORPHANS, _UNBALANCED, f"SELECT (SELECT COUNT(*) FROM {ENTRY}) + (SELECT COUNT(*) FROM {ACCOUNT})")
    )
    assert held == rows
    harness.drop(copy, DOWN, UP)
    commits = sum(each.commit and start <= each.sent < end for each in statements)
    return Taken(rows, end - start, commits, orphans, unbalanced)


def document(report: Report) -> dict[str, Any]:
    """The report for programs."""
    phases = {
        name: {
            "seconds": round(waits.seconds, 2),
            "writes": waits.writes,
            "writes_a_second": round(waits.writes / waits.seconds),
            "median_ms": round(waits.median, 3),
            "p99_ms": round(waits.percentile99, 3),
            "longest_ms": round(waits.longest, 3),
        }
        for name, waits in (("writing alone", report.quiet), ("with exports", report.busy))
    }
    return {
        "server": report.server,
        "phases": phases,
        "errors": list(report.errors),
        "row_lock_waits": report.lock_waits,
        "looks_at_the_export": report.looks,
        "locks_held_by_the_export": report.locks_held,
        "exports": len(report.exports),
        "rows": [each.rows for each in report.exports],
        "seconds_an_export": [round(each.seconds, 2) for each in report.exports],
        "commits_during_an_export": [each.commits for each in report.exports],
        "orphans": sum(each.orphans for each in report.exports),
        "unbalanced_accounts": sum(each.unbalanced for each in report.exports),
        "passed": report.passed,
    }
