"""The demo of two labs, end to end, on every flavour."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.private_server import flavours
from tests.harness import ROOT

#: What lab Aster's analysis reads, with all ancestors: two rats, their nine early sessions, 21 units above 5 Hz.
EXPECTED_SLICE = {
    "shared_lab.#species": 1,
    "shared_lab.lab": 1,
    "shared_lab.member": 3,
    "shared_lab.subject": 2,
    "shared_lab.session": 9,
    "aster_ephys.#probe": 1,
    "aster_ephys.recording": 8,
    "aster_ephys.recording__channel": 4,
    "aster_ephys.__spike_sorting": 8,
    "aster_ephys.__spike_sorting__unit": 21,
}


@pytest.mark.parametrize("flavour", flavours())
def test_demo_reproduces_the_paper_and_publishes_nothing_of_the_other_lab(flavour: str, tmp_path: Path) -> None:
    """Every claim of the demo's summary."""
    out = tmp_path / "demo"
    answer = subprocess.run(
        [sys.executable, "-m", "examples.two_labs.demo", "--flavour", flavour, "--out", str(out), "--json"],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    summary = json.loads(answer.stdout)
    slices = {row["table"]: row["slice"] for row in summary["tables"] if row["slice"]}
    assert slices == EXPECTED_SLICE
    assert all(row["slice"] == row["restored"] for row in summary["tables"])
    assert {row["table"]: row["source"] for row in summary["tables"]}["birch_imaging.two_photon_scan"] == 25
    assert summary["orphans"] == 0
    assert summary["same_output"]
    assert summary["verify_exit"] == 0
    assert summary["verify"]["identical"] == summary["verify"]["queries"] == 10
    assert summary["other_lab_rows"] == 0
    assert summary["other_lab_words"] == []
    assert (out / "bundle" / "publish" / "restore.sh").is_file()
