"""`python -m tests.compat`: each client's own suite, direct and through the proxy; status 1 when a test differs."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from examples.private_server import flavours
from tests.compat.runs import RECORDING, Ran, run, say
from tests.compat.sources import Folder, SourceError
from tests.compat.suites import SUITES, Suite


def main() -> int:
    """Runs, prints the table, and names what is not the same."""
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("--suite", action="append", choices=tuple(SUITES), help="may be given several times")
    parser.add_argument("--flavour", action="append", choices=("mysql", "mariadb"), help="default: all that are here")
    parser.add_argument("--rounds", type=int, default=len(RECORDING), help="of one direct and one proxied run each")
    parser.add_argument(
        "--source", action="append", default=[], metavar="SUITE=DIR", help="a folder with the suite's source"
    )
    options = parser.parse_args()
    folders = dict(each.split("=", 1) for each in options.source)
    wanted = [name for name in flavours() if name in (options.flavour or flavours())]
    done: list[Ran] = []
    missing: list[str] = []
    for name in options.suite or SUITES:
        suite = SUITES[name]
        if name in folders:
            suite = replace(suite, source=Folder(Path(folders[name]).resolve()))
        try:
            done += compared(suite, wanted, options.rounds)
        except SourceError as error:
            missing.append(f"{name}: {error}")
    print(table(done))
    for ran in done:
        print(named(ran), end="")
    for text in missing:
        print(f"not run: {text}")
    return 1 if missing or not done or any(ran.comparison.different for ran in done) else 0


def compared(suite: Suite, wanted: Sequence[str], rounds: int) -> list[Ran]:
    """One suite, on each flavour."""
    say(f"{suite.name}: its source and what that needs")
    with tempfile.TemporaryDirectory() as temporary:
        source = suite.source.fetch(Path(temporary) / "source")
        suite.prepare(source)
        done = []
        for flavour in wanted:
            if flavour in suite.flavours:
                done.append(run(suite, source, flavour, rounds))
                say(row(done[-1]) + "\n" + named(done[-1]))
        return done


def table(done: Sequence[Ran]) -> str:
    """As it stands in docs/compat.md."""
    lines = [
        "| suite | server | tests | of these pass | same | different | unstable | statements recorded | lost |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    return "\n".join([*lines, *map(row, done)])


def row(ran: Ran) -> str:
    """Of that table."""
    found = ran.comparison
    cells = [
        f"{ran.suite.name} {ran.suite.version}",
        f"{ran.flavour} {ran.version}",
        *(found.tests, found.passed, found.same, len(found.different), len(found.unstable)),
        *(ran.statements, len(ran.lost)),
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


def named(ran: Ran) -> str:
    """What is not the same, and why connections were lost."""
    head = f"{ran.suite.name} on {ran.flavour}"
    text = ""
    for what, found in (("different", ran.comparison.different), ("unstable", ran.comparison.unstable)):
        for name, (direct, proxied) in found.items():
            text += f"{head}: {what}: {name}\n    direct:  {' | '.join(direct)}\n    proxied: {' | '.join(proxied)}\n"
    for reason, times in Counter(ran.lost).items():
        text += f"{head}: lost {times} times: {reason}\n"
    return text


if __name__ == "__main__":
    sys.exit(main())
