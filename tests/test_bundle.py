"""The folder: what is in it, that it is written whole or not at all, and that nothing of anybody else's is lost."""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph import bundle, selection
from graph.bundle import Beside, open_bundle, require_writable, safe_name, write_bundle
from graph.errors import InputError
from graph.fingerprint import Fingerprint
from tests.slice_example import CHILD, META, STATEMENTS, example


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_files_and_their_modes(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "out", example(), STATEMENTS, META, {CHILD: Fingerprint(1, 77)})
    modes = {
        str(path.relative_to(written.folder)): stat.S_IMODE(path.stat().st_mode)
        for path in (written.folder, *written.folder.rglob("*"))
    }
    assert modes == {
        ".": 0o700,
        "dump.sh": 0o700,
        "review.json": 0o600,
        "publish": 0o755,
        "publish/restore.sh": 0o755,
        "publish/manifest.json": 0o644,
        "publish/queries.sql": 0o644,
    }
    assert list(tmp_path.iterdir()) == [written.folder]


def test_long_lists_of_keys_lie_beside_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "LONGEST_RESTRICTIONS", 0)
    written = write_bundle(tmp_path / "out", example(), STATEMENTS, META, beside=Beside(scratch_schema="scratch"))
    (keys,) = (written.folder / "keys").iterdir()
    assert (keys.name, keys.read_text(), stat.S_IMODE(keys.stat().st_mode)) == ("1.sql", "(1),(2)\n", 0o600)
    write_bundle(tmp_path / "out", example(), STATEMENTS, META)
    assert not keys.parent.exists()


def test_what_is_published_names_nothing_else(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "out", example(), STATEMENTS, META)
    published = b"".join(path.read_bytes() for path in written.publish.iterdir())
    for private in (b"secret", b"db.lab.example", b"picked", b"9 rows"):
        assert private not in published
    assert b"SELECT * FROM lab.child" in published


def test_the_checksums_of_the_manifest(tmp_path: Path) -> None:
    written = write_bundle(tmp_path / "out", example(), STATEMENTS, META)
    manifest = json.loads((written.publish / "manifest.json").read_text())
    checksums = manifest["files"]
    assert checksums.pop("slice.sql") is None
    for name, checksum in checksums.items():
        assert hashlib.sha256((written.publish / name).read_bytes()).hexdigest() == checksum


def test_an_own_bundle_is_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    first = write_bundle(folder, example(), STATEMENTS, META)
    (first.publish / "slice.sql").write_text("old")
    (folder / ".dump.x1y2z3").mkdir()
    write_bundle(folder, example(), [], META)
    assert "publish/slice.sql" not in contents(folder)
    assert json.loads((folder / "review.json").read_text())["statements"] == []
    assert list(tmp_path.iterdir()) == [folder]
    assert open_bundle(folder).folder == folder


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("notes.txt", "mine", "no bundle"),
        ("review.json", '{"format": "other"}', "no bundle"),
        ("review.json", "[1]", "no bundle"),
        ("review.json", "{", "no bundle"),
        ("review.json", '{"format": "djproxy bundle", "format_version": 99}', "newer"),
    ],
)
def test_other_folders_are_refused(tmp_path: Path, file: str, text: str, message: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / file).write_text(text)
    with pytest.raises(InputError, match=message):
        write_bundle(folder, example(), [], META)
    assert contents(folder) == {file: text.encode()}


def test_the_bundle_of_another_paper_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_bundle(folder, example(), STATEMENTS, META)
    before = contents(folder)
    with pytest.raises(InputError, match="the bundle of paper 'Paper'"):
        write_bundle(folder, example(), STATEMENTS, replace(META, paper="Other"))
    assert contents(folder) == before


def test_a_folder_that_is_not_there_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no bundle"):
        open_bundle(tmp_path / "out")


@pytest.mark.parametrize("name", ["notes.txt", "publish/extra.csv", "keys/mine.sql", ".hidden"])
def test_a_bundle_with_somebodys_files_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    write_bundle(folder, example(), [], META)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    before = contents(folder)
    with pytest.raises(InputError, match=name):
        write_bundle(folder, example(), STATEMENTS, META)
    assert contents(folder) == before


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="not a folder"):
        require_writable(tmp_path / "out", "Paper")
    with pytest.raises(InputError, match="cannot write"):
        write_bundle(tmp_path / "out" / "deeper", example(), [], META)
    assert (tmp_path / "out").read_text() == "mine"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert "dump.sh" in contents(write_bundle(tmp_path / "out", example(), [], META).folder)


def test_a_failure_on_the_way_leaves_the_earlier_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "out"
    write_bundle(folder, example(), STATEMENTS, META)
    before = contents(folder)
    rename = Path.rename

    def fail_on_the_last(self: Path, target: Path) -> Path:
        if target == folder and not self.name.startswith(".out.old."):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(bundle.Path, "rename", fail_on_the_last)
    with pytest.raises(InputError, match="No space left"):
        write_bundle(folder, example(), [], META)
    assert contents(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["paper", "Smith_2026.v2", "größe-1"])
def test_plain_names_stay(name: str) -> None:
    assert safe_name(name) == name


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "a b", "it's", '"', "-rf", ".hidden", "x" * 300, "a\nb"])
def test_other_names_are_made_safe(name: str) -> None:
    made = safe_name(name)
    assert made != name
    assert made[0] not in ".-"
    assert Path("top", made).name == made
    assert not set(made) & set("/\\ '\"\n\0")


@given(st.text(), st.text())
def test_different_papers_get_different_folders(one: str, other: str) -> None:
    assert len(safe_name(one).encode("utf-8", "replace")) < 100
    assert (safe_name(one) == safe_name(other)) == (one == other)
