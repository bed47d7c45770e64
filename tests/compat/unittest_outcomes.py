"""`python unittest_outcomes.py FILE SCRIPT [ARGUMENT…]`: runs a script that runs unittest, and writes what became of
its tests into FILE as JSON. Needs the standard library alone, for it runs in the suite's own environment.
"""

from __future__ import annotations

import json
import runpy
import sys
import unittest
from pathlib import Path
from typing import Any

outcomes: dict[str, str] = {}


def _watch(method: str, outcome: str) -> None:
    original = getattr(unittest.TestResult, method)

    def told(self: Any, test: Any, *more: Any) -> None:
        error = more[0] if more else None
        said = f"{outcome}: {error[0].__name__}: {error[1]}" if isinstance(error, tuple) else outcome
        outcomes[test.id()] = said
        original(self, test, *more)

    setattr(unittest.TestResult, method, told)


def main() -> None:
    """Ends as the script does."""
    file, script = sys.argv[1:3]
    start = unittest.TestResult.startTest

    current = ""

    def started(self: Any, test: Any) -> None:
        nonlocal current
        current = test.id()
        # Its result class may keep a skip to itself.
        outcomes.setdefault(current, "skipped")
        start(self, test)

    unittest.TestResult.startTest = started  # type: ignore[method-assign]
    for method, outcome in (
        ("addSuccess", "passed"),
        ("addFailure", "failed"),
        ("addError", "failed"),
        ("addSkip", "skipped"),
        ("addExpectedFailure", "skipped"),
        ("addUnexpectedSuccess", "failed"),
    ):
        _watch(method, outcome)
    sys.argv = sys.argv[2:]
    sys.path[0] = str(Path(script).parent)
    try:
        runpy.run_path(script, run_name="__main__")
    except KeyboardInterrupt:
        outcomes[current] = "failed: it does not end"
        raise
    finally:
        Path(file).write_text(json.dumps(outcomes))


if __name__ == "__main__":
    main()
