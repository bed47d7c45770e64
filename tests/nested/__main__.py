"""`python -m tests.nested`: many expressions, on servers of its own; both DataJoint lines, all flavours found here."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from examples.private_server import PrivateServer, flavours
from tests import harness
from tests.nested.lab import Outcome
from tests.nested.runner import Report, run


def main() -> int:
    """Runs, prints the counts as JSON, what failed on stderr, and gives 1 when something did."""
    parser = argparse.ArgumentParser(prog="python -m tests.nested", description=__doc__)
    parser.add_argument("--count", type=int, default=1000, help="expressions per flavour and DataJoint line")
    parser.add_argument("--seed", default="1", help="equal seeds make equal expressions")
    parser.add_argument("--flavour", choices=flavours(), action="append")
    parser.add_argument("--line", choices=list(harness.DATAJOINT_LINES), action="append")
    options = parser.parse_args()
    reports: list[Report] = []
    for flavour in options.flavour or flavours():
        with PrivateServer.start(flavour) as server, PrivateServer.start(flavour) as copy:
            for line in options.line or harness.DATAJOINT_LINES:
                with tempfile.TemporaryDirectory() as folder:
                    where = (server, copy), line
                    reports.append(run(*where, options.count, options.seed, Path(folder), _show))
                print(json.dumps(reports[-1].document(), indent=1), flush=True)
    return 1 if any(report.failures or report.trip is None or report.trip.differing for report in reports) else 0


def _show(outcome: Outcome) -> None:
    if outcome.failed or outcome.unlike:
        kinds = " of ".join(reversed(outcome.asked.kinds))
        end = "answered otherwise" if outcome.unlike else outcome.end
        lines = (f"{end}: {kinds}", outcome.reason, json.dumps(outcome.asked.document), *outcome.sql)
        print("\n  ".join(lines), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
