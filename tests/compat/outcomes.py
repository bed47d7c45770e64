"""What became of a suite's tests, and how two ways of running it compare."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

#: By the test's name "passed", "skipped", or "failed: " with the first line of why.
Outcomes = Mapping[str, str]

PASSED = "passed"
SKIPPED = "skipped"
_LONGEST_REASON = 200
#: Ports, ids, addresses, times: what differs from run to run without meaning anything.
_CHANGING = re.compile(
    r"0x[0-9a-f]{6,}|\b\d{4}-\d\d-\d\d[ T][\d:.]+|\d+\.\d+ ?m?s\b|\d{5,}|/tmp/[^\s'\"]*", re.IGNORECASE
)


def failed(reason: str, *names: str) -> str:
    """A failure. `names` are words of the reason that are of this run alone."""
    first = next((line for line in reason.splitlines() if line.strip()), "").strip()
    for name in names:
        first = first.replace(name, "…")
    return f"failed: {_CHANGING.sub('…', first)[:_LONGEST_REASON]}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """`different` and `unstable` hold what direct and proxied runs said, by the test's name."""

    tests: int
    passed: int
    different: Mapping[str, tuple[list[str], list[str]]]
    unstable: Mapping[str, tuple[list[str], list[str]]]

    @property
    def same(self) -> int:
        """Tests with one outcome in all runs."""
        return self.tests - len(self.different) - len(self.unstable)


def compare(direct: Sequence[Outcomes], proxied: Sequence[Outcomes]) -> Comparison:
    """A test whose direct runs disagree is unstable; else it differs when any proxied run says something else.

    What a failure says counts only where the direct runs agree on it.
    """
    names = sorted({name for outcomes in (*direct, *proxied) for name in outcomes})
    different, unstable = {}, {}
    passed = 0
    for name in names:
        told = [outcomes.get(name, "missing") for outcomes in direct]
        through = [outcomes.get(name, "missing") for outcomes in proxied]
        kinds = {_kind(outcome) for outcome in told}
        if len(kinds) > 1:
            unstable[name] = (told, through)
        elif {_kind(outcome) for outcome in through} != kinds or (len(set(told)) == 1 and set(through) != set(told)):
            different[name] = (told, through)
        passed += set(told) == {PASSED}
    return Comparison(len(names), passed, different, unstable)


def _kind(outcome: str) -> str:
    return outcome.partition(":")[0]


def from_junit(report: Path, *names: str) -> dict[str, str]:
    """The outcomes in a JUnit report, as pytest writes it."""
    found: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        trouble = next((each for each in case if each.tag in ("failure", "error")), None)
        if trouble is not None:
            found[name] = failed(trouble.get("message") or trouble.tag, *names)
        elif name not in found:
            found[name] = SKIPPED if case.find("skipped") is not None else PASSED
    return found
