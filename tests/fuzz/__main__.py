"""`python -m tests.fuzz`: coverage-guided fuzzing of each target in turn, for so many seconds each."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.corpus import seeds
from tests.fuzz.targets import TARGETS

#: One input may take so long (s); of a few kB each, the slowest ones take milliseconds.
TIME_LIMIT = 10
LONGEST = 1 << 14
MEMORY_MB = 1024
_RUNS = re.compile(r"^(?:#|stat::number_of_executed_units:\s*)(\d+)", re.MULTILINE)
_COVERED = re.compile(r"\bcov: (\d+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a target fared."""

    target: str
    inputs: int
    covered: int
    seconds: float
    findings: tuple[Path, ...]
    log: str


def main() -> int:
    """Fuzzes, prints the counts, and gives 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--target", action="append", choices=tuple(TARGETS), help="may be given several times")
    parser.add_argument("--corpus", type=Path, help="a folder that is kept and grown; default: one for this run alone")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"), help="where inputs that fail are written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        corpus = options.corpus or Path(temporary)
        found = [fuzz(name, options.seconds, corpus / name, options.findings) for name in options.target or TARGETS]
    print(f"{'target':<12}{'inputs':>12}{'covered':>10}{'seconds':>10}{'findings':>10}")
    for each in found:
        print(f"{each.target:<12}{each.inputs:>12}{each.covered:>10}{each.seconds:>10.0f}{len(each.findings):>10}")
    for each in found:
        for path in each.findings:
            print(f"{each.target}: {path}; python -m tests.fuzz.run {each.target} {path} shows what it does")
    return int(any(each.findings for each in found))


def fuzz(target: str, seconds: int, corpus: Path, findings: Path) -> Outcome:
    """Runs one target in a process of its own, which libFuzzer ends at the first finding."""
    corpus.mkdir(parents=True, exist_ok=True)
    findings.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds(target)):
        (corpus / f"seed-{number:03d}").write_bytes(seed)
    before = set(findings.iterdir())
    options = {
        "max_total_time": seconds,
        "max_len": LONGEST,
        "timeout": TIME_LIMIT,
        "rss_limit_mb": MEMORY_MB,
        "print_final_stats": 1,
        "artifact_prefix": f"{findings}/{target}-",
    }
    began = time.monotonic()
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.run", target),
            *(f"-{name}={value}" for name, value in options.items()),
            str(corpus),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=os.environ | {"PYTHONHASHSEED": "0"},
        check=False,
    )
    new = tuple(sorted(set(findings.iterdir()) - before))
    if answer.returncode and not new:
        raise SystemExit(f"the fuzzer itself failed:\n{answer.stderr[-4000:]}")
    counts = [int(number) for number in _RUNS.findall(answer.stderr)]
    covered = [int(number) for number in _COVERED.findall(answer.stderr)]
    print(answer.stderr[-3000:] if new else "", end="", file=sys.stderr)
    return Outcome(
        target, max(counts, default=0), max(covered, default=0), time.monotonic() - began, new, answer.stderr
    )


if __name__ == "__main__":
    sys.exit(main())
