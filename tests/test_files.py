"""What rows say of files, and the list: without a database and without a disk."""

from __future__ import annotations

import base64
import hashlib
import io
import os.path
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.errors import InputError
from graph.files import (
    Checksum,
    Codec,
    Digest,
    FileEntry,
    FileRule,
    Kind,
    Outside,
    Place,
    StoreSettings,
    check_rules,
    codec_of,
    external_store,
    from_external,
    from_json,
    from_path,
    inside,
    parse_rule,
    read,
    write,
)
from graph.names import TableName

TABLE = TableName("lab", "session")
MD5 = hashlib.md5(b"contents").digest()
BASE32 = base64.b32encode(MD5).decode().rstrip("=").lower()


@pytest.mark.parametrize(
    ("path", "folder", "expected"),
    [
        ("a/b.nwb", "", "a/b.nwb"),
        ("./a//b", "", "a/b"),
        ("/data/raw/a/b", "/data/raw", "a/b"),
        ("/data/raw/a/b", "/data/raw/", "a/b"),
        ("a b\tc", "", "a b\tc"),
        ("a..b/...", "", "a..b/..."),
        (r"Z:\videos\rig 1\v.avi", r"Z:\videos", "rig 1/v.avi"),
        (r"z:/Videos/v.avi", r"Z:\videos", "v.avi"),
        (r"rig1\v.avi", r"\\nas\share\videos", "rig1/v.avi"),
        (r"back\slash", "/data", r"back\slash"),
        ("a:b", "", "a:b"),
    ],
)
def test_a_path_becomes_relative_to_its_store(path: str, folder: str, expected: str) -> None:
    assert inside(path, folder) == expected


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("", ""),
        (".", ""),
        ("..", ""),
        ("a/../../b", ""),
        ("a/../b", ""),
        ("/a", ""),
        ("/data/rawer/a", "/data/raw"),
        ("/data/raw", "/data/raw"),
        ("/data/raw/../secret", "/data/raw"),
        ("a\0b", ""),
        (r"Z:\videos\v.avi", "/data"),
        (r"C:\secret", r"Z:\videos"),
        (r"C:secret", r"Z:\videos"),
        (r"\secret", r"Z:\videos"),
    ],
)
def test_a_path_out_of_its_store_is_refused(path: str, folder: str) -> None:
    with pytest.raises(Outside) as refused:
        inside(path, folder)
    assert "secret" not in str(refused.value)


@given(st.text(st.sampled_from("/.a\\:C\0 "), max_size=12), st.sampled_from(["", "/store", "C:\\store"]))
def test_no_path_leads_out(path: str, folder: str) -> None:
    """Whatever is accepted lies below the store's folder, and is accepted again as it is."""
    try:
        found = inside(path, folder)
    except Outside:
        return
    assert os.path.normpath(PurePosixPath("/store", found)).startswith("/store/")
    assert inside(found) == found


@pytest.mark.parametrize(
    ("comment", "expected"),
    [
        (":<blob@files>:traces", Codec("blob", "files")),
        (":<object@>:", Codec("object", "")),
        (":<blob>:", Codec("blob", None)),
        (":< npy@x >:", Codec("npy", "x ")),
        (":json:", None),
        (":filepath@raw:", None),
        ("about <blob@files>:", None),
        ("", None),
    ],
)
def test_the_codec_in_a_comment(comment: str, expected: Codec | None) -> None:
    assert codec_of(comment) == expected


def test_tracking_tables() -> None:
    assert external_store(TableName("lab", "~external_raw")) == "raw"
    assert external_store(TableName("lab", "~external")) is None
    assert external_store(TableName("lab", "external_raw")) is None


def tracked(**values: Any) -> dict[str, Any]:
    return {"hash": MD5, "size": "8", "attachment_name": None, "filepath": None, "contents_hash": None} | values


@pytest.mark.parametrize(
    ("row", "settings", "path", "checksum"),
    [
        (tracked(), StoreSettings(), f"lab/{MD5.hex()[:2]}/{MD5.hex()[2:4]}/{MD5.hex()}", f"md5:{MD5.hex()}"),
        (tracked(), StoreSettings(subfolding=()), f"lab/{MD5.hex()}", f"md5:{MD5.hex()}"),
        (
            tracked(attachment_name="my notes.tar.gz"),
            StoreSettings(subfolding=(3,)),
            f"lab/{MD5.hex()[:3]}/{MD5.hex()}.my notes.tar.gz",
            f"named-md5:{MD5.hex()}",
        ),
        (tracked(filepath="sub/a.nwb", contents_hash=b"\1" * 16), StoreSettings(), "sub/a.nwb", "md5:" + "01" * 16),
        (tracked(filepath="sub/a.nwb"), StoreSettings(), "sub/a.nwb", ""),
    ],
)
def test_what_datajoint_014_tracks(row: dict[str, Any], settings: StoreSettings, path: str, checksum: str) -> None:
    assert from_external("lab", "raw", row, settings) == Place(
        "raw", path, Kind.FILE, 8, None, Checksum.parse(checksum)
    )


@pytest.mark.parametrize("row", [tracked(filepath="../a"), tracked(attachment_name="x/../../../../../a")])
def test_a_tracked_path_out_of_the_store_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(Outside):
        from_external("lab", "raw", row, StoreSettings())


@pytest.mark.parametrize(
    ("text", "codec", "expected"),
    [
        (
            f'{{"hash": "{BASE32}", "path": "_hash/lab/x", "schema": "lab", "store": "files", "size": 8}}',
            Codec("blob", "files"),
            Place("files", "_hash/lab/x", Kind.FILE, 8, None, Checksum(Digest.MD5, MD5.hex())),
        ),
        (
            '{"path": "_schema/lab/S/a=1/z_x.zarr", "store": null, "size": 7, "is_dir": true, "item_count": 2}',
            Codec("object", ""),
            Place("default", "_schema/lab/S/a=1/z_x.zarr", Kind.FOLDER, 7, 2),
        ),
        ('{"path": "a.npy", "store": "", "shape": [2]}', Codec("npy", "x"), Place("x", "a.npy", Kind.FILE)),
        (
            '{"path": "/data/raw/a", "store": "raw", "size": null}',
            Codec("filepath", "raw"),
            Place("raw", "a", Kind.FILE),
        ),
        (
            '{"path": "a", "store": "s", "hash": "no base 32, is this one"}',
            Codec("b", "s"),
            Place("s", "a", Kind.FILE),
        ),
        ('{"path": "a"}', Codec("own"), None),
        ('{"url": "a"}', Codec("own", "s"), None),
        ('["path"]', Codec("own", "s"), None),
        ("no JSON", Codec("own", "s"), None),
    ],
)
def test_what_datajoint_2_describes(text: str, codec: Codec, expected: Place | None) -> None:
    assert from_json(text, codec, {"raw": StoreSettings(location="/data/raw")}) == expected


def test_a_described_path_out_of_the_store_is_refused() -> None:
    with pytest.raises(Outside):
        from_json('{"path": "/etc/passwd", "store": "raw"}', Codec("filepath", "raw"), {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lab.session.video: /data/videos", FileRule(TABLE, "video", "videos", "/data/videos")),
        (" lab.session.video : all-of_it=/data ", FileRule(TABLE, "video", "all-of_it", "/data")),
        ("lab.session.video: a=b=c", FileRule(TABLE, "video", "a", "b=c")),
        (r"lab.session.video: Z:\videos", FileRule(TABLE, "video", "videos", r"Z:\videos")),
        ("`l.b`.`#s:``x`.`v o`: x=/", FileRule(TableName("l.b", "#s:`x"), "v o", "x", "/")),
    ],
)
def test_rules(text: str, expected: FileRule) -> None:
    assert parse_rule(text) == expected
    ((column, folder),) = expected.document().items()
    assert parse_rule(f"{column}: {folder}") == expected


@pytest.mark.parametrize("text", ["lab.session: /data", "lab.session.video", "a.b.c: ", "a.b.c: /", "a.b.c: .."])
def test_wrong_rules(text: str) -> None:
    with pytest.raises(InputError, match="SCHEMA"):
        parse_rule(text)


def test_two_folders_of_one_name_are_refused() -> None:
    first, second = parse_rule("a.b.c: /x/raw"), parse_rule("a.b.d: /y/raw")
    check_rules([first, first, parse_rule("a.b.d: other=/y/raw")])
    with pytest.raises(InputError, match="/y/raw and of /x/raw"):
        check_rules([first, second])


def test_empty_values_name_nothing() -> None:
    rule = FileRule(TABLE, "video", "videos", "/data/videos")
    assert from_path(" ", rule) is None
    assert from_path("/data/videos/a", rule) == from_path("a", rule) == Place("videos", "a")


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=9).filter(
    lambda name: name not in (".", "..")
)
PLACES = st.builds(
    Place,
    NAMES,
    st.lists(NAMES, min_size=1, max_size=3).map("/".join).filter(lambda path: path == _kept(path)),
    st.sampled_from(Kind),
    st.none() | st.integers(0, 2**63),
    st.none() | st.integers(0, 9),
    st.none() | st.builds(Checksum, st.sampled_from(Digest), st.binary(min_size=16, max_size=16).map(bytes.hex)),
)


def _kept(path: str) -> str | None:
    try:
        return inside(path)
    except Outside:
        return None


@given(st.lists(PLACES, max_size=4), NAMES)
def test_the_list_is_read_as_it_was_written(places: list[Place], word: str) -> None:
    file = io.StringIO(newline="")
    write([FileEntry(TableName("lab", word), f"`k`='{word}'", word, place) for place in places], file)
    file.seek(0)
    assert list(read(file)) == places


@pytest.mark.parametrize(
    "text",
    [
        "",
        "table\tkey\n",
        "{header}a\tb\tc\td\t../e\tfile\t1\t\t\n",
        "{header}a\tb\tc\td\te\tdoor\t1\t\t\n",
        "{header}a\tb\tc\td\te\tfile\t1\t\tmd5:xyz\n",
        "{header}a\tb\n",
        '{header}a\tb\tc\td\t"e\n',
    ],
)
def test_what_is_no_list_is_refused(text: str) -> None:
    header = io.StringIO(newline="")
    write([], header)
    with pytest.raises(InputError, match=r"files\.tsv"):
        list(read(io.StringIO(text.replace("{header}", header.getvalue()), newline="")))
