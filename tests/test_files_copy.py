"""Copying: what is copied, what is refused, and that nothing of anybody else's is touched."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from graph import files_copy
from graph.errors import InputError
from graph.files import Checksum, Digest, Kind, Place
from graph.files_copy import MARKER, Outcome, State, gathered, opened

PAPER = "Paper"


def md5(data: bytes, digest: Digest = Digest.MD5) -> Checksum:
    return Checksum(digest, hashlib.md5(data).hexdigest())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store's folder with some files."""
    folder = tmp_path / "store"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a").write_bytes(b"aaa")
    (folder / "zarr" / "0").mkdir(parents=True)
    (folder / "zarr" / "0" / "0.0").write_bytes(b"12")
    (folder / "zarr" / ".zgroup").write_bytes(b"{}!")
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


def copy(tmp_path: Path, places: Iterable[Place], *, link: bool = False) -> list[Outcome]:
    """Copies from the store `s` into the folder `copies`."""
    wanted, target = gathered(places), tmp_path / "copies"
    with opened(target, PAPER, wanted):
        return list(files_copy.copy(wanted, {"s": tmp_path / "store", "cloud": "it is far away"}, target, link=link))


def states(outcomes: Iterable[Outcome]) -> list[tuple[str, State]]:
    return [(outcome.wanted.path, outcome.state) for outcome in outcomes]


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MARKER)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


FILE = Place("s", "sub/a", Kind.FILE, 3, None, md5(b"aaa"))
FOLDER = Place("s", "zarr", Kind.FOLDER, 5, 2)


@pytest.mark.parametrize("link", [False, True])
def test_files_and_folders_are_copied_once(store: Path, tmp_path: Path, link: bool) -> None:
    (store / "zarr.manifest.json").write_text("{}")
    done = State.LINKED if link else State.COPIED
    assert states(copy(tmp_path, [FILE, FOLDER, FILE], link=link)) == [("sub/a", done), ("zarr", done)]
    copies = tmp_path / "copies"
    expected = {"s/sub/a": b"aaa", "s/zarr/.zgroup": b"{}!", "s/zarr/0/0.0": b"12", "s/zarr.manifest.json": b"{}"}
    assert contents(copies) == expected
    assert (copies / "s/sub/a").samefile(store / "sub/a") == link
    again = copy(tmp_path, [FILE, FOLDER], link=link)
    assert states(again) == [("sub/a", State.PRESENT), ("zarr", State.PRESENT)]
    assert sum(outcome.size for outcome in again) == 0


def test_what_was_ended_goes_on(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended within a file: no file has its name before it is whole, and the next run copies what lacks."""
    (store / "b").write_bytes(bytes(5000))
    places = [Place("s", "b"), FILE]

    def broken(file: object) -> Iterable[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(files_copy, "_chunks", broken)
        copy(tmp_path, places)
    assert contents(tmp_path / "copies") == {}
    assert states(copy(tmp_path, places)) == [("b", State.COPIED), ("sub/a", State.COPIED)]
    assert contents(tmp_path / "copies") == {"s/b": bytes(5000), "s/sub/a": b"aaa"}


def test_a_changed_file_is_copied_again(store: Path, tmp_path: Path) -> None:
    place = Place("s", "sub/a")
    copy(tmp_path, [place])
    (store / "sub" / "a").write_bytes(b"bbb")
    os.utime(store / "sub" / "a", ns=(0, 10**18))
    assert states(copy(tmp_path, [place])) == [("sub/a", State.COPIED)]
    assert contents(tmp_path / "copies") == {"s/sub/a": b"bbb"}


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(
    ("place", "state", "reason"),
    [
        (Place("s", "sub/b"), State.MISSING, "the store does not have it"),
        (Place("s", "sub/a/b"), State.MISSING, "the store does not have it"),
        (Place("s", "sub/a", Kind.FILE, 4), State.DIFFERS, "3 bytes, the database says 4"),
        (Place("s", "sub/a", Kind.FILE, 3, None, md5(b"aab")), State.DIFFERS, "checksum"),
        (Place("s", "sub/a", Kind.FOLDER), State.DIFFERS, "no folder"),
        (Place("s", "zarr", Kind.FILE), State.DIFFERS, "a folder"),
        (Place("cloud", "x"), State.NOT_COPIED, "far away"),
    ],
)
def test_what_is_not_as_the_database_says(
    store: Path, tmp_path: Path, place: Place, state: State, reason: str, link: bool
) -> None:
    (outcome,) = copy(tmp_path, [place], link=link)
    assert outcome.state is state
    assert outcome.failed
    assert reason in outcome.reason
    assert contents(tmp_path / "copies") == {}


@pytest.mark.parametrize(("items", "size"), [(3, 5), (2, 6)])
def test_a_folder_that_lacks_a_file_differs(store: Path, tmp_path: Path, items: int, size: int) -> None:
    (outcome,) = copy(tmp_path, [Place("s", "zarr", Kind.FOLDER, size, items)])
    assert outcome.state is State.DIFFERS


def test_a_copy_of_a_folder_with_more_in_it_differs(store: Path, tmp_path: Path) -> None:
    copy(tmp_path, [FOLDER])
    (store / "zarr" / ".zgroup").unlink()
    (outcome,) = copy(tmp_path, [Place("s", "zarr", Kind.FOLDER)])
    assert (outcome.state, ".zgroup" in outcome.reason) == (State.DIFFERS, True)


def test_rows_that_contradict_each_other_are_a_difference(store: Path, tmp_path: Path) -> None:
    (outcome,) = copy(tmp_path, [FILE, Place("s", "sub/a", Kind.FILE, 4)])
    assert outcome.state is State.DIFFERS


def test_the_checksum_of_an_attachment_is_of_its_name_too(store: Path, tmp_path: Path) -> None:
    good, bad = md5(b"my notes.tar.gz\0x", Digest.NAMED_MD5), md5(b"x", Digest.NAMED_MD5)
    for checksum in (good, bad):
        (store / f"{checksum.value}.my notes.tar.gz").write_bytes(b"x")
    places = [Place("s", f"{checksum.value}.my notes.tar.gz", checksum=checksum) for checksum in (good, bad)]
    outcomes = {outcome.wanted.path[:32]: outcome.state for outcome in copy(tmp_path, places)}
    assert outcomes == {good.value: State.COPIED, bad.value: State.DIFFERS}


@pytest.mark.parametrize("link", [False, True])
def test_links_lead_nowhere_else(store: Path, tmp_path: Path, link: bool) -> None:
    """A symbolic link inside the store is followed to its file; one that leads out is refused, at any depth."""
    (store / "inner").symlink_to("sub/a")
    (store / "leaf").symlink_to(tmp_path / "secret")
    (store / "up").symlink_to(tmp_path)
    (store / "mixed").mkdir()
    (store / "mixed" / "x").symlink_to(tmp_path / "secret")
    (store / "looped").mkdir()
    (store / "looped" / "again").symlink_to(store / "looped")
    (store / "self").symlink_to("self")
    paths = ["inner", "leaf", "up/secret", "mixed", "looped", "self"]
    outcomes = {
        outcome.wanted.path: outcome for outcome in copy(tmp_path, [Place("s", path) for path in paths], link=link)
    }
    assert {path for path, outcome in outcomes.items() if not outcome.failed} == {"inner"}
    assert "leads out" in outcomes["up/secret"].reason
    assert contents(tmp_path / "copies") == {"s/inner": b"aaa"}
    assert not (tmp_path / "copies" / "s" / "inner").is_symlink()


def test_a_pipe_is_not_waited_for(store: Path, tmp_path: Path) -> None:
    os.mkfifo(store / "pipe")
    (outcome,) = copy(tmp_path, [Place("s", "pipe")])
    assert outcome.state is State.NOT_COPIED


def test_a_link_in_the_copy_is_not_written_through(store: Path, tmp_path: Path) -> None:
    copy(tmp_path, [FOLDER])
    (tmp_path / "copies" / "s" / "sub").symlink_to(tmp_path)
    with pytest.raises(InputError, match="not in the list"):
        copy(tmp_path, [FILE, FOLDER])
    with pytest.raises(InputError, match="leads out"):
        list(files_copy.copy(gathered([FILE]), {"s": store}, tmp_path / "copies"))
    assert not (tmp_path / "a").exists()


def test_hard_links_fall_back_to_copies(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    assert states(copy(tmp_path, [FILE], link=True)) == [("sub/a", State.COPIED)]
    assert not (tmp_path / "copies" / "s" / "sub" / "a").samefile(store / "sub" / "a")


@pytest.mark.parametrize("name", ["notes.txt", "s/other", "s/sub/b", ".hidden"])
def test_a_folder_with_somebodys_files_is_refused(store: Path, tmp_path: Path, name: str) -> None:
    copy(tmp_path, [FILE, FOLDER])
    (tmp_path / "copies" / name).write_bytes(b"mine")
    with pytest.raises(InputError, match=name):
        copy(tmp_path, [FILE, FOLDER])
    assert (tmp_path / "copies" / name).read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        (None, "did not put there"),
        ("{", "did not put there"),
        ('{"format": "other"}', "did not put there"),
        ('{"format": "djproxy files", "format_version": 9, "paper": "Paper"}', "another version"),
        ('{"format": "djproxy files", "format_version": 1, "paper": "Other"}', "paper 'Other'"),
    ],
)
def test_other_folders_are_refused(store: Path, tmp_path: Path, marker: str | None, message: str) -> None:
    target = tmp_path / "copies"
    target.mkdir()
    (target / ("mine" if marker is None else MARKER)).write_text(marker or "mine")
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    with pytest.raises(InputError, match=message):
        copy(tmp_path, [FILE])
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


def test_a_file_is_no_target(store: Path, tmp_path: Path) -> None:
    (tmp_path / "copies").write_text("mine")
    with pytest.raises(InputError, match="not a folder"):
        copy(tmp_path, [FILE])


def test_one_at_a_time(store: Path, tmp_path: Path) -> None:
    wanted = gathered([FILE])
    with opened(tmp_path / "copies", PAPER, wanted), pytest.raises(InputError, match="another djproxy"):
        copy(tmp_path, [FILE])


def test_a_stores_odd_name_is_one_safe_folder(store: Path, tmp_path: Path) -> None:
    wanted = gathered([Place("../odd", "sub/a")])
    target = tmp_path / "copies"
    with opened(target, PAPER, wanted):
        (outcome,) = files_copy.copy(wanted, {"../odd": store}, target)
    assert outcome.state is State.COPIED
    assert len(contents(target)) == 1
    assert not (tmp_path / "odd").exists()


def test_the_marker_says_what_it_is(store: Path, tmp_path: Path) -> None:
    copy(tmp_path, [])
    marker = json.loads((tmp_path / "copies" / MARKER).read_text())
    assert marker == {"format": "djproxy files", "format_version": 1, "paper": PAPER}
