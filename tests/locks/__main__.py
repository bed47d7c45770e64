"""`python -m tests.locks --seconds 20 --flavour both`: starts private servers, prints a table, or JSON with --json."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from examples.private_server import PrivateServer, flavours
from tests.locks.runner import document, run


def main() -> int:
    """Status 1 when somebody waited, something failed, or a slice is torn."""
    parser = argparse.ArgumentParser(prog="python -m tests.locks", description="An export blocks no writer.")
    parser.add_argument("--seconds", type=float, default=20, help="of each phase")
    parser.add_argument("--flavour", choices=["mysql", "mariadb", "both"], default="both")
    parser.add_argument("--rate", type=float, default=1000, help="writes a second, of all writers together")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--accounts", type=int, default=10_000, help="parents at the start, each with ten children")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = []
    for flavour in flavours() if options.flavour == "both" else [options.flavour]:
        with (
            PrivateServer.start(flavour) as source,
            PrivateServer.start(flavour) as copy,
            tempfile.TemporaryDirectory() as folder,
        ):
            report = run(
                source,
                copy,
                Path(folder),
                seconds=options.seconds,
                rate=options.rate,
                writers=options.writers,
                accounts=options.accounts,
                say=lambda text: print(text, file=sys.stderr),
            )
            found.append(document(report))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        _print(found)
    return 0 if all(each["passed"] for each in found) else 1


def _print(found: list[dict[str, Any]]) -> None:
    console = Console()
    waits = Table("server", "phase", box=None, pad_edge=False)
    for heading in ("writes/s", "median ms", "p99 ms", "longest ms"):
        waits.add_column(heading, justify="right")
    for report in found:
        for phase, each in report["phases"].items():
            times = (f"{each[name]:.2f}" for name in ("median_ms", "p99_ms", "longest_ms"))
            waits.add_row(report["server"], phase, str(each["writes_a_second"]), *times)
    console.print(waits)
    for report in found:
        console.print(
            f"\n{report['server']}: {report['exports']} exports of {min(report['rows'])} to {max(report['rows'])} rows"
            f" in {min(report['seconds_an_export'])} to {max(report['seconds_an_export'])} s, at least"
            f" {min(report['commits_during_an_export'])} transactions committed during each;"
            f" {len(report['errors'])} errors, {report['row_lock_waits']} waits for row locks,"
            f" {report['locks_held_by_the_export']} locks held by the export in {report['looks_at_the_export']} looks;"
            f" {report['orphans']} orphans, {report['unbalanced_accounts']} torn accounts",
            highlight=False,
        )


if __name__ == "__main__":
    sys.exit(main())
