"""What the wire costs: djproxy against no proxy and against MySQL Router, in turns within one run.

    python -m benchmarks.wire [--quick] [--part text …] [--way djproxy …] [--tls both|on|off] [--json FILE]

Prints a table on stderr and one JSON document on stdout (or into FILE). Each round measures every way once; figures are
medians over the rounds, ratios are medians of the ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.wire.parts import PARTS, Bench, Sample, Task
from benchmarks.wire.paths import DIRECT, NAMES, ROUTER, Missing, Way, start_server, ways

ROUNDS, SECONDS = 9, 2.0
QUICK_ROUNDS, QUICK_SECONDS = 3, 1.0
_BULK = frozenset(("bulk", "blobs", "slow"))
_POINTS = frozenset(("text", "prepared", "latency"))


def say(text: str) -> None:
    """To people."""
    print(text, file=sys.stderr, flush=True)


def run(task: Task, found: Sequence[Way], rounds: int, seconds: float) -> dict[str, list[Sample]]:
    """Samples of each way, round by round; every round begins with another one."""
    samples: dict[str, list[Sample]] = {way.name: [] for way in found}
    for number in range(min(rounds, task.rounds or rounds)):
        turn = number % len(found)
        for way in (*found[turn:], *found[:turn]):
            with way.working():
                samples[way.name].append(task.measure(way, seconds))
    return samples


def summary(task: Task, samples: dict[str, list[Sample]]) -> dict[str, Any]:
    """Medians of each way, and its ratios to no proxy and to MySQL Router."""
    ways_found: dict[str, dict[str, float]] = {}
    for name, each in samples.items():
        if not each or not each[0]:
            continue
        measured = {key: round(statistics.median(sample[key] for sample in each), 3) for key in each[0]}
        for label, other in (("to_direct", DIRECT), ("to_router", ROUTER)):
            theirs = samples.get(other)
            if theirs and theirs[0] and other != name:
                ratios = [own["main"] / their["main"] for own, their in zip(each, theirs, strict=True)]
                measured[label] = round(statistics.median(ratios), 3)
        ways_found[name] = measured
    return {"unit": task.unit, "better": task.better, "rounds": len(next(iter(samples.values()))), "ways": ways_found}


def table(name: str, found: dict[str, Any]) -> str:
    """A task's summary for people."""
    lines = [f"{name} ({found['unit']}, {found['better']} is better, {found['rounds']} rounds)"]
    for way, measured in found["ways"].items():
        rest = ", ".join(f"{key} {value:g}" for key, value in measured.items() if key not in _COLUMNS)
        ratios = "".join(f"{measured.get(key, float('nan')):>8.2f}" for key in ("to_direct", "to_router"))
        lines.append(f"  {way:20}{measured['main']:>12.1f}{ratios.replace('nan', '  –')}  {rest}")
    return "\n".join(lines)


_COLUMNS = frozenset(("main", "to_direct", "to_router"))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All that was asked for."""
    parts = options.part or list(PARTS)
    document: dict[str, Any] = {"load": os.getloadavg(), "processors": os.cpu_count(), "tasks": {}}
    with tempfile.TemporaryDirectory(prefix="djp-wire-") as name, start_server(options.flavour) as server:
        folder = Path(name)
        document["server"] = server.version
        bench = Bench(server, folder)
        if _POINTS & set(parts):
            bench.prepare_points()
        if _BULK & set(parts):
            bench.prepare_bulk()
        with ways(server, folder, options.way or NAMES) as found:
            say(
                f"{server.flavour} {server.version}, {os.cpu_count()} processors; columns: median, to direct, to router"
            )
            for part in parts:
                for tls in {"both": (False, True), "on": (True,), "off": (False,)}[options.tls]:
                    for task in PARTS[part](bench, tls):
                        result = summary(task, run(task, found, options.rounds, options.seconds))
                        document["tasks"][task.name] = result
                        say(table(task.name, result))
    return document


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire", description="Measure what the wire costs.")
    parser.add_argument("--flavour", choices=["mysql", "mariadb"], default="mysql")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds of {QUICK_SECONDS:g} s, for a look"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="how long a round of statements or logins lasts")
    parser.add_argument("--part", choices=list(PARTS), action="append")
    parser.add_argument("--way", choices=list(NAMES), action="append")
    parser.add_argument("--tls", choices=["both", "on", "off"], default="both")
    parser.add_argument("--json", type=Path, help="write the JSON document there")
    options = parser.parse_args()
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    options.seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    began = time.monotonic()
    try:
        document = measure(options)
    except Missing as error:
        say(f"benchmarks.wire: {error}")
        return 3
    document["seconds"] = round(time.monotonic() - began)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if options.json:
        options.json.write_text(text + "\n")
    else:
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
