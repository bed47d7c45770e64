"""The command `files`: where stores lie, what it prints, its exit codes; no server is needed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import pytest

from graph import files_links
from graph.bundle import Beside, write_bundle
from graph.documents import Meta
from graph.errors import InputError as GraphInputError
from graph.files import FileEntry, Missed, Place, StoreSettings, Tally, write
from graph.files_read import Listing
from graph.names import TableName
from proxy.errors import InputError
from proxy.file_stores import datajoint_stores
from proxy.settings import Surroundings
from tests.harness import Answer, Djproxy
from tests.slice_example import example

PAPER = "A paper"
TABLE = TableName("lab", "t")
ENTRIES = [
    Place("raw", "a/b.nwb", size=3),
    Place("videos", "[red]gone.avi"),
]


def bundle(folder: Path, *places: Place, missed: int = 0, rules: Mapping[str, str] | None = None) -> Path:
    """A bundle whose list has these places."""
    tally = Tally()
    for place in places:
        tally.add(place)
    for _ in range(missed):
        tally.miss(Missed(TABLE, "", "c", "/secret", "why"))
    text = io.StringIO(newline="")
    write([FileEntry(TABLE, "`a`=1", "c", place) for place in places], text)
    meta = Meta(PAPER, "db:3306", "0.1.0", options={"files": [dict([rule]) for rule in (rules or {}).items()]})
    listing = Listing(tally, io.BytesIO(text.getvalue().encode()))
    return write_bundle(folder, example(), [], meta, beside=Beside(listing=listing)).folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "raw" / "a").mkdir(parents=True)
    (tmp_path / "raw" / "a" / "b.nwb").write_bytes(b"nwb")
    return tmp_path / "raw"


def files(djproxy: Djproxy, folder: Path, *options: str, status: int, **environment: str) -> Answer:
    arguments = ("files", "--paper", PAPER, "--bundle", folder, "--copy-to", folder.parent / "copies", *options)
    return djproxy.call(*arguments, status=status, **environment)


def test_stores_come_from_options_rules_and_settings(djproxy: Djproxy, store: Path, tmp_path: Path) -> None:
    places = [Place(name, "a/b.nwb", size=3) for name in ("given", "ruled", "set", "default")]
    folder = bundle(tmp_path / "bundle", *places, rules={"lab.t.c": f"ruled={store}"})
    spec = {"protocol": "file", "location": str(store)}
    stores = json.dumps({"default": "set", "set": spec, "given": {**spec, "location": "/nowhere"}})
    answer = files(djproxy, folder, f"--store=given={store}", "--json", status=0, DJ_STORES=stores)
    document = answer.json()
    assert (document["states"]["copied"], document["bytes"], document["problems"]) == (4, 12, [])
    assert document["stores"]["ruled"] == {"copy": "ruled", "source": str(store)}
    found = {str(path.relative_to(tmp_path / "copies")) for path in (tmp_path / "copies").rglob("*.nwb")}
    assert found == {f"{name}/a/b.nwb" for name in ("given", "ruled", "set", "default")}


def test_what_lacks_is_named(djproxy: Djproxy, store: Path, tmp_path: Path) -> None:
    """Missing files, and stores that are no folders, end with 1; the rest is copied."""
    folder = bundle(tmp_path / "bundle", *ENTRIES, Place("cloud", "x"), missed=2)
    stores = json.dumps({"cloud": {"protocol": "s3", "location": "x", "secret_key": "hush"}})
    options = (f"--store=raw={store}", f"--store=videos={store}")
    answer = files(djproxy, folder, *options, status=1, DJ_STORES=stores)
    assert "MISSING videos: [red]gone.avi: the store does not have it" in answer.stdout
    assert "NOT COPIED cloud: x: its store is kept by s3" in answer.stdout
    assert "1 copied, 1 missing, 1 not copied" in answer.stdout
    assert "2 more that rows name are not in the list" in answer.stdout
    assert "hush" not in answer.stdout + answer.stderr
    document = files(djproxy, folder, *options, "--json", status=1, DJ_STORES=stores).json()
    assert {problem["state"] for problem in document["problems"]} == {"missing", "not copied"}
    assert document["unlisted"] == 2


def test_links(djproxy: Djproxy, store: Path, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "bundle", ENTRIES[0])
    document = files(djproxy, folder, f"--store=raw={store}", "--link", "--json", status=0).json()
    assert document["states"]["linked"] == 1
    assert (tmp_path / "copies" / "raw" / "a" / "b.nwb").samefile(store / "a" / "b.nwb")


@pytest.mark.parametrize("searched", [True, False])
def test_files_that_files_link_to(
    djproxy: Djproxy, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, searched: bool
) -> None:
    """They are copied with them, also when the command is given again; without h5py that is said."""
    with h5py.File(store / "a" / "b_.nwb", "w") as file:
        file["all"] = h5py.ExternalLink("b.nwb", "/")
    folder = bundle(tmp_path / "bundle", Place("raw", "a/b_.nwb"))
    if not searched:
        monkeypatch.setattr(files_links, "_h5py", lambda: None)
    for state in ("copied", "present"):
        answer = files(djproxy, folder, f"--store=raw={store}", "--json", status=0)
        assert answer.json()["states"][state] == (2 if searched else 1)
        assert ("install h5py" in answer.stderr) == (not searched)


def test_a_slice_without_files(djproxy: Djproxy, tmp_path: Path) -> None:
    assert "name no files" in files(djproxy, bundle(tmp_path / "bundle"), status=0).stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "store raw, videos lie is not known: give --store raw=FOLDER"),
        (("--store=raw=/nowhere", "--store=videos=/"), "/nowhere, the folder of store raw, is not there"),
        (("--store=other=/",), "no file of store other; it has raw, videos"),
        (("--store=raw",), "write NAME=FOLDER"),
        (("--store=raw=/", "--store=raw=/"), "once for each store"),
        (("--paper=Other",), "is of paper 'A paper', not of 'Other'"),
    ],
)
def test_wrong_usage(djproxy: Djproxy, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    answer = files(djproxy, bundle(tmp_path / "bundle", *ENTRIES), *options, status=2, DJ_IGNORE_CONFIG_FILE="1")
    assert message in answer.stderr
    assert not (tmp_path / "copies").exists()


def test_no_bundle(djproxy: Djproxy, tmp_path: Path) -> None:
    assert "there is no bundle" in files(djproxy, tmp_path / "bundle", status=2).stderr


def test_a_list_that_was_tampered_with(djproxy: Djproxy, store: Path, tmp_path: Path) -> None:
    folder = bundle(tmp_path / "bundle", ENTRIES[0])
    listing = folder / "publish" / "files.tsv"
    listing.write_text(listing.read_text().replace("a/b.nwb", "../../etc/passwd"))
    answer = files(djproxy, folder, f"--store=raw={store}", status=2)
    assert "files.tsv, line 2, cannot be understood" in answer.stderr


def surroundings(folder: Path, **environment: str) -> Surroundings:
    return Surroundings(environment, folder / "here", folder / "home", folder / "secrets")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("here/datajoint.json", {"stores": {"default": "raw", "raw": {"protocol": "file", "location": "/data"}}}),
        ("here/datajoint.json", {"stores.default": "raw", "stores.raw.location": "/data"}),
        ("here/dj_local_conf.json", {"stores": {"default": "raw", "raw": {"protocol": "file", "location": "/data"}}}),
    ],
)
def test_stores_of_datajoints_settings(tmp_path: Path, name: str, content: dict[str, Any]) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / name).write_text(json.dumps(content))
    raw = StoreSettings("file", "/data")
    assert datajoint_stores(surroundings(tmp_path)) == {"raw": raw, "default": raw}
    assert datajoint_stores(surroundings(tmp_path, DJ_IGNORE_CONFIG_FILE="true")) == {}
    other = {"protocol": "S3", "location": "x", "subfolding": [2, 3]}
    found = datajoint_stores(surroundings(tmp_path, DJ_STORES=json.dumps({"other": other, "x": {"location": "rel"}})))
    assert found == {
        "other": StoreSettings("s3", "x", (2, 3)),
        "x": StoreSettings("file", str(tmp_path / "here" / "rel")),
    }


def test_a_store_named_default_is_one(tmp_path: Path) -> None:
    """0.14 gives no name a meaning."""
    spec = json.dumps({"default": {"protocol": "file", "location": "/data"}})
    assert datajoint_stores(surroundings(tmp_path, DJ_STORES=spec)) == {"default": StoreSettings("file", "/data")}


@pytest.mark.parametrize("text", ["{", "[1", "nothing"])
def test_settings_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    with pytest.raises((InputError, GraphInputError), match="DJ_STORES"):
        datajoint_stores(surroundings(tmp_path, DJ_STORES=text))
