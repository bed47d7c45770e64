"""HDF5 files that link to others: Spyglass's raw files are such."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from graph import files_links
from graph.files import Place
from graph.files_copy import State, gathered
from graph.files_links import linked


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """`a_.nwb` links to `a.nwb`, that to raw data and, by a virtual dataset, to a part; and in a circle."""
    folder = tmp_path / "raw"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "data.bin").write_bytes(bytes(80))
    with h5py.File(folder / "part.h5", "w") as file:
        file["x"] = np.arange(10.0)
    with h5py.File(folder / "sub" / "a.nwb", "w") as file:
        file.create_dataset("deep/er/raw", (10,), "f8", external=[("data.bin", 0, 80)])
        layout = h5py.VirtualLayout((10,), "f8")
        layout[:] = h5py.VirtualSource("../part.h5", "x", (10,))
        file.create_virtual_dataset("virtual", layout)
        file["back"] = h5py.ExternalLink("a_.nwb", "/")
        file["deep/self"] = file["deep"]
        file["soft"] = h5py.SoftLink("/deep")
    with h5py.File(folder / "sub" / "a_.nwb", "w", userblock_size=512) as file:
        file["acquisition/all"] = h5py.ExternalLink("a.nwb", "/deep")
    return folder


def paths(store: Path, *names: str) -> list[str]:
    found = linked(gathered(Place("raw", name) for name in names), {"raw": store})
    assert (found.problems, found.warnings, found.unread) == ([], [], 0)
    return [each.path for each in found.wanted]


def test_everything_that_is_linked_to_is_wanted(store: Path) -> None:
    assert paths(store, "sub/a_.nwb") == ["sub/a_.nwb", "part.h5", "sub/a.nwb", "sub/data.bin"]
    assert paths(store, "part.h5", "sub/data.bin", "sub", "nothing") == ["nothing", "part.h5", "sub", "sub/data.bin"]


def test_links_that_no_copy_can_follow_are_named(store: Path, tmp_path: Path) -> None:
    with h5py.File(store / "bad.h5", "w") as file:
        file["out"] = h5py.ExternalLink("../elsewhere.h5", "/")
        file["absolute"] = h5py.ExternalLink("/elsewhere.h5", "/")
        file["known"] = h5py.ExternalLink(str(store / "part.h5"), "/")
    (store / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\nand no more")
    (tmp_path / "outside.h5").write_bytes((store / "sub" / "a_.nwb").read_bytes())
    (store / "leads_out.h5").symlink_to(tmp_path / "outside.h5")
    wanted = gathered(Place("raw", name) for name in ("bad.h5", "broken.h5", "leads_out.h5"))
    found = linked([*wanted, *gathered([Place("cloud", "x.h5")])], {"raw": store, "cloud": "far away"})
    assert [(each.wanted.path, each.state) for each in found.problems] == [("bad.h5", State.NOT_COPIED)] * 2
    assert all("elsewhere.h5" in each.reason for each in found.problems)
    assert [each.path for each in found.wanted] == ["bad.h5", "broken.h5", "leads_out.h5", "x.h5", "part.h5"]
    assert len(found.warnings) == 2


def test_without_h5py_that_is_said(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_links, "_h5py", lambda: None)
    found = linked(gathered([Place("raw", "sub/a_.nwb"), Place("raw", "sub/data.bin")]), {"raw": store})
    assert ([each.path for each in found.wanted], found.unread) == (["sub/a_.nwb", "sub/data.bin"], 1)
