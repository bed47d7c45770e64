"""Many expressions in one recording, and the counts of what became of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from examples.private_server import PrivateServer
from tests import harness
from tests.harness import Djproxy
from tests.nested.author import OPERATORS, Author, Impossible, triples
from tests.nested.lab import Asked, Client, Lab, Outcome, round_trip


@dataclass
class Report:
    """What became of the expressions of one DataJoint line on one flavour."""

    flavour: str
    line: str
    outcomes: list[Outcome] = field(default_factory=list)
    impossible: int = 0
    differing: list[str] = field(default_factory=list)
    verified: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0

    @property
    def ends(self) -> Counter[str]:
        """Expressions by end."""
        return Counter(outcome.end for outcome in self.outcomes)

    @property
    def failures(self) -> list[Outcome]:
        """What must not be."""
        return [outcome for outcome in self.outcomes if outcome.end in ("failed", "unresolved")]

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """Which operators stood on the result of which, in expressions that were judged."""
        judged = [outcome.asked.kinds for outcome in self.outcomes if outcome.end == "identical"]
        return {pair for kinds in judged for pair in zip(kinds, kinds[1:], strict=False)}

    def document(self) -> dict[str, Any]:
        """All counts, for JSON."""
        exact = Counter(outcome.exact for outcome in self.outcomes)
        refusals = Counter(outcome.reason.split("`")[0][:70] for outcome in self.outcomes if outcome.end == "refused")
        return {
            "flavour": self.flavour,
            "datajoint": self.line,
            "expressions": len(self.outcomes),
            "ends": dict(self.ends.most_common()),
            "with rows": sum(outcome.slice_rows > 0 for outcome in self.outcomes),
            "statements": sum(len(outcome.sql) for outcome in self.outcomes),
            "monotone": sum(outcome.asked.expression.exact for outcome in self.outcomes if outcome.sql),
            "equal to brute force": exact[True],
            "not equal": exact[False],
            "DataJoint answers otherwise": sum(outcome.unlike for outcome in self.outcomes),
            "pairs of operators": f"{len(self.pairs)} of {len(OPERATORS) ** 2}",
            "without operands": self.impossible,
            "round trip": self.verified,
            "different in the restored copy": self.differing,
            "refusals": dict(refusals.most_common()),
            "seconds": round(self.seconds, 1),
        }


def run(
    servers: tuple[PrivateServer, PrivateServer],
    line: str,
    count: int,
    seed: str,
    folder: Path,
    make_lab: Callable[[PrivateServer, PrivateServer, Client], Lab] = Lab,
) -> Report:
    """Records `count` expressions of a line between two servers, judges each alone, then all together."""
    start = time.monotonic()
    report = Report(servers[0].flavour, line)
    client = Client(harness.DATAJOINT_LINES[line](), f"nested_{line.replace('.', '')}")
    try:
        with make_lab(*servers, client) as lab:
            asked = _expressions(lab, line, count, seed, report)
            djproxy = Djproxy(folder / "home")
            direct = lab.direct(asked)
            answers, sent = lab.record(asked, djproxy)
            assert answers == direct
            report.outcomes = [lab.judge(*each) for each in zip(asked, answers, sent, strict=True)]
            if not report.failures:
                result = round_trip(lab, djproxy, asked, answers)
                report.verified, report.differing = result["verified"], [repr(kinds) for kinds in result["differing"]]
    finally:
        client.close()
    report.seconds = time.monotonic() - start
    return report


def _expressions(lab: Lab, line: str, count: int, seed: str, report: Report) -> list[Asked]:
    chance = Random(seed)
    author = Author(lab.tables(), line, seed)
    made: list[Asked] = []
    for kinds in triples(chance):
        if len(made) == count:
            break
        try:
            expression = author.expression(kinds)
        except Impossible:
            report.impossible += 1
            continue
        fetch = chance.choice(("plain", "plain", "ordered", "keys")) if expression.keys else "plain"
        made.append(Asked(kinds, expression, fetch))
    return made
