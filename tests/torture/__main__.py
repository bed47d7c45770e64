"""`python -m tests.torture`: a long run, on servers of its own."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import partial

from examples.private_server import PrivateServer, flavours
from tests.torture.lab import ServerGone
from tests.torture.laws import Judge
from tests.torture.runner import Report, Runner

_ENDS = ("identical", "unresolved", "not data", "failed", "undetermined", "rejected")


def main() -> int:
    """Runs, prints the counts, and gives 1 when a law failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--queries", type=int, default=20_000, help="queries to hold against the laws, per flavour")
    parser.add_argument("--seed", default="1", help="equal seeds make equal cases")
    parser.add_argument("--flavour", choices=("mysql", "mariadb", "both"), default="both")
    parser.add_argument("--shrink-seconds", type=float, default=30, help="for each failure")
    parser.add_argument("--failures", type=int, default=10, help="stop after so many, per flavour")
    parser.add_argument("--strict", action="store_true", help="an unresolved statement is a failure, once a reason")
    parser.add_argument("--json", action="store_true", help="the counts as one JSON document on stdout")
    options = parser.parse_args()
    reports: list[Report] = []
    for flavour in flavours():
        if options.flavour in ("both", flavour):
            with suppress(KeyboardInterrupt):
                _run(flavour, options, reports)
    if options.json:
        print(json.dumps([report.document() for report in reports], indent=1))
    else:
        for report in reports:
            print(_table(report))
    return 1 if not reports or any(report.failures for report in reports) else 0


def _run(flavour: str, options: argparse.Namespace, reports: list[Report]) -> None:
    """One flavour; when a statement brings the server down, another server goes on."""
    runner: Runner | None = None
    progress = _Progress(options.queries)
    while True:
        with PrivateServer.start(flavour) as server:
            if runner is None:
                judge = partial(Judge, strict=options.strict)
                runner = Runner(server, options.seed, judge, options.shrink_seconds, options.failures)
                reports.append(runner.report)
            try:
                runner.server = server
                runner.run(options.queries, progress)
                return
            except ServerGone as gone:
                runner.report.crashes.append(str(gone))


class _Progress:
    def __init__(self, queries: int) -> None:
        self.queries = queries
        self.shown = 0
        self.last = 0.0

    def __call__(self, report: Report) -> None:
        for failure in report.failures[self.shown :]:
            print(f"\n{failure}\n", file=sys.stderr)
        self.shown = len(report.failures)
        if time.monotonic() - self.last > 10 or report.queries >= self.queries:
            self.last = time.monotonic()
            ends = ", ".join(f"{count} {end}" for end, count in report.ends.most_common())
            print(
                f"{report.flavour}: {report.queries}/{self.queries} in {report.seconds:.0f} s: {ends}", file=sys.stderr
            )


def _table(report: Report) -> str:
    lines = [f"# {report.flavour}: {report.queries} queries, {report.recordings} recordings, {report.seconds:.0f} s"]
    lines.append(f"held against brute-force lineage: {report.exact}")
    lines.append(f"rows in slices: {report.slice_rows} of {report.all_rows}")
    lines += ["", f"{'construct':28}" + "".join(f"{end:>14}" for end in _ENDS)]
    rows = [("all", report.ends), *sorted(report.constructs.items())]
    lines += [f"{name:28}" + "".join(f"{ends[end]:14}" for end in _ENDS) for name, ends in rows]
    lines += _listed("unresolved", report.reasons) + _listed("rejected by the server", report.rejections)
    lines += ["", f"statements that brought the server down: {len(report.crashes)}", *report.crashes]
    lines += ["", f"failures: {len(report.failures)}", *report.failures]
    return "\n".join(lines)


def _listed(title: str, counts: Counter[str]) -> list[str]:
    return ["", f"{title}:", *(f"{count:6} {reason}" for reason, count in counts.most_common())]


if __name__ == "__main__":
    sys.exit(main())
