"""Exports beside writers, shortly: `python -m tests.locks` is the long run, and says how long anybody waits."""

from __future__ import annotations

from pathlib import Path

from examples.private_server import PrivateServer
from tests.locks.runner import run


def test_an_export_blocks_nobody_and_takes_one_state(
    server: PrivateServer, restored: PrivateServer, tmp_path: Path
) -> None:
    report = run(server, restored, tmp_path, seconds=0.5, rate=400, writers=2, accounts=500)
    assert report.errors == ()
    assert (report.lock_waits, report.locks_held) == (0, 0)
    assert report.quiet.writes and report.busy.writes
    assert len(report.exports) >= 2
    for taken in report.exports:
        assert (taken.orphans, taken.unbalanced) == (0, 0)
        assert taken.rows > 1000 and taken.commits
    assert report.passed
