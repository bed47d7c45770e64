"""Many expressions in one recording, and the counts of what became of them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from examples.private_server import PrivateServer
from proxy.records import Recorded
from tests import harness
from tests.harness import Djproxy
from tests.nested.author import OPERATORS, Author, Impossible, triples
from tests.nested.lab import Asked, Client, Lab, Outcome, RoundTrip, round_trip


@dataclass
class Report:
    """What became of the expressions of one DataJoint line on one flavour."""

    flavour: str
    line: str
    outcomes: list[Outcome] = field(default_factory=list)
    impossible: int = 0
    trip: RoundTrip | None = None
    seconds: float = 0

    @property
    def ends(self) -> Counter[str]:
        """Expressions by end."""
        return Counter(outcome.end for outcome in self.outcomes)

    @property
    def failures(self) -> list[Outcome]:
        """What must not be."""
        return [outcome for outcome in self.outcomes if outcome.failed]

    @property
    def pairs(self) -> set[tuple[str, str]]:
        """Which operators stood on the result of which, in expressions that were judged."""
        judged = [outcome.asked.kinds for outcome in self.outcomes if outcome.end == "identical"]
        return {pair for kinds in judged for pair in pairwise(kinds)}

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
            "round trip": self.trip
            and {
                "queries": self.trip.verified["queries"],
                "identical": self.trip.verified["identical"],
                "other rows for DataJoint": [repr(kinds) for kinds in self.trip.differing],
            },
            "refusals": dict(refusals.most_common()),
            "seconds": round(self.seconds, 1),
        }


@dataclass(frozen=True)
class Recording:
    """Expressions that went through the proxy: what DataJoint got, and what each sent."""

    lab: Lab
    djproxy: Djproxy
    asked: list[Asked]
    answers: list[dict[str, Any]]
    sent: list[list[Recorded]]
    impossible: int

    def judge(self) -> Iterator[Outcome]:
        """What becomes of each expression alone."""
        for each in zip(self.asked, self.answers, self.sent, strict=True):
            yield self.lab.judge(*each)

    def round_trip(self) -> RoundTrip:
        """What becomes of all together; the lab's copy is then the restored one."""
        return round_trip(self.lab, self.djproxy, self.asked, self.answers)


@contextmanager
def recorded(
    servers: tuple[PrivateServer, PrivateServer], line: str, count: int, seed: str, folder: Path
) -> Iterator[Recording]:
    """Records `count` expressions of a DataJoint line; the first server is the source."""
    client = Client(harness.DATAJOINT_LINES[line](), f"nested_{line.replace('.', '')}")
    try:
        with Lab(*servers, client) as lab:
            asked, impossible = _expressions(lab, line, count, seed)
            djproxy = Djproxy(folder / "home")
            direct = lab.direct(asked)
            answers, sent = lab.record(asked, djproxy)
            both = zip(asked, direct, answers, strict=True)
            different = [each.document for each, one, other in both if one.get("rows") != other.get("rows")]
            assert not different, f"other rows through the proxy: {different}"
            yield Recording(lab, djproxy, asked, answers, sent, impossible)
    finally:
        client.close()


def run(
    servers: tuple[PrivateServer, PrivateServer],
    line: str,
    count: int,
    seed: str,
    folder: Path,
    progress: Callable[[Outcome], None],
) -> Report:
    """Records expressions of a line, judges each alone, then all together."""
    start = time.monotonic()
    report = Report(servers[0].flavour, line)
    with recorded(servers, line, count, seed, folder) as recording:
        report.impossible = recording.impossible
        for outcome in recording.judge():
            report.outcomes.append(outcome)
            progress(outcome)
        if not report.ends["unresolved"]:
            report.trip = recording.round_trip()
    report.seconds = time.monotonic() - start
    return report


def _expressions(lab: Lab, line: str, count: int, seed: str) -> tuple[list[Asked], int]:
    """So many expressions, and how many triples of operators found no operands."""
    chance = Random(seed)
    author = Author(lab.tables(), line, seed)
    made: list[Asked] = []
    impossible = 0
    for kinds in triples(chance):
        if len(made) == count:
            break
        try:
            expression = author.expression(kinds)
        except Impossible:
            impossible += 1
            continue
        fetch = chance.choice(("plain", "plain", "ordered", "keys")) if expression.keys else "plain"
        made.append(Asked(kinds, expression, fetch))
    return made, impossible
