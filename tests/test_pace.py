"""Progress of long reading: rows and rate, once a second."""

from __future__ import annotations

from graph.names import TableName
from graph.pace import Pace

TRIAL = TableName("lab", "trial")


def test_rows_and_rate_are_said_once_a_second() -> None:
    said, now = list[str](), [100.0]
    pace = Pace(said.append, lambda: now[0])
    for step in range(8):
        now[0] += 0.25
        pace.tell(TRIAL, 1000, 900 * (step + 1))
    assert said == [
        "lab.trial: 3600 rows so far, reading 4000 a second",
        "lab.trial: 7200 rows so far, reading 4000 a second",
    ]
    pace.end(TRIAL, 7200)
    assert said[-1] == "lab.trial: 7200 rows"
