"""`python -m tests.biglab`: the big lab on servers of its own, the paper's whole way, and what that took."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from examples.private_server import PrivateServer, flavours
from tests.biglab.checks import counts, faults
from tests.biglab.expected import Expected
from tests.biglab.load import load, sessions_for
from tests.biglab.paper import paper
from tests.biglab.shape import build
from tests.biglab.trip import Traveller, Trip

_OPTIONS = ("--innodb-buffer-pool-size=512M",)
#: What each step is compared with, in the same run.
_PEERS = {"dump": "full dump", "restore": "full restore"}


@dataclass(frozen=True, slots=True)
class Run:
    """One flavour's trip."""

    flavour: str
    version: str
    rows: int
    trip: Trip
    faults: list[str]

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        exported = counts(self.trip.export)
        return {
            "flavour": self.flavour,
            "version": self.version,
            "rows": self.rows,
            "slice_rows": sum(exported.values()),
            "slice_tables": len(exported),
            "tables_with_rows": sum(rows > 0 for rows in exported.values()),
            "statements_verified": self.trip.proof["queries"],
            "identical": self.trip.proof["identical"],
            "bytes": self.trip.sizes,
            "steps": [asdict(step) for step in self.trip.steps.values()],
            "faults": self.faults,
        }


def main() -> int:
    """Runs, prints a table, and gives 1 when something is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.biglab", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="about so many rows in the lab")
    parser.add_argument("--seed", type=int, default=1, help="equal seeds make equal labs")
    parser.add_argument("--flavour", choices=("mysql", "mariadb", "both"), default="both")
    parser.add_argument("--json", action="store_true", help="as one JSON document on stdout")
    options = parser.parse_args()
    runs = [
        run(flavour, options.rows, options.seed, _say) for flavour in flavours() if options.flavour in ("both", flavour)
    ]
    if options.json:
        print(json.dumps([each.document() for each in runs], indent=1))
    else:
        print("\n\n".join(map(_table, runs)))
    return 1 if not runs or any(each.faults for each in runs) else 0


def run(flavour: str, rows: int, seed: int, say: Callable[[str], None]) -> Run:
    """One flavour."""
    lab = build(seed)
    sessions = sessions_for(lab, rows)
    queries = paper(lab, sessions)
    with (
        PrivateServer.start(flavour, options=_OPTIONS) as source,
        PrivateServer.start(flavour, options=_OPTIONS) as copy,
        tempfile.TemporaryDirectory() as folder,
    ):
        start = time.perf_counter()
        loaded = load(source, lab, sessions)
        say(f"{flavour}: {loaded} rows in {len(lab.tables)} tables, loaded in {time.perf_counter() - start:.0f} s")
        traveller = Traveller(lab, source, copy, Path(folder), say)
        trip = traveller.travel(queries)
        say(f"{flavour}: looking for faults")
        with Expected(source, lab, queries) as expected:
            found = list(faults(trip, lab, copy, expected))
        with PrivateServer.start(flavour, options=_OPTIONS) as third:
            traveller.dump_all(third)
        return Run(flavour, source.version, loaded, trip, found)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _table(found: Run) -> str:
    document = found.document()
    lines = [
        f"# {found.flavour} {found.version}: {document['slice_rows']} of {found.rows} rows in"
        f" {document['tables_with_rows']} tables, {document['bytes']['slice.sql'] / 1e6:.1f} of"
        f" {document['bytes']['all.sql'] / 1e6:.1f} MB; {document['identical']} of"
        f" {document['statements_verified']} answers identical",
        f"{'step':14}{'s':>8}{'processor s':>13}{'MB':>7}{'to all':>8}",
    ]
    steps = found.trip.steps
    for step in steps.values():
        peer = steps.get(_PEERS.get(step.name, ""))
        ratio = f"{step.seconds / peer.seconds:8.2f}" if peer else ""
        lines.append(f"{step.name:14}{step.seconds:8.2f}{step.processor:13.2f}{step.megabytes:7.0f}{ratio}")
    return "\n".join([*lines, f"faults: {len(found.faults)}", *found.faults])


if __name__ == "__main__":
    sys.exit(main())
