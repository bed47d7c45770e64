"""The folder that an export writes: the scripts, what they are about, and what is to be published."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from graph.bash import Origin
from graph.direct_write import Packed
from graph.documents import FORMAT, FORMAT_VERSION, Judged, Meta, manifest, queries, review
from graph.engines import Engine, engine_files
from graph.errors import InputError
from graph.files_read import Listing
from graph.fingerprint import Fingerprint
from graph.names import TableName
from graph.restore import restore_script
from graph.script import KEY_FOLDER, dump_script, key_files
from graph.slice import Slice
from graph.visible import hides

#: The list of files that rows name.
LISTING: Final = "files.tsv"

#: All that may lie in a bundle; anything else in the folder is somebody's own and keeps us from replacing it.
_FILES: Final = frozenset(
    {"dump.sh", "review.json", "report.html"}
    # The last is the folder that the program writes.
    | {name for engine in Engine for name in (engine.script, engine.input, engine.value)}
)
_PUBLISHED: Final = frozenset(
    {"slice.sql", "slice.sql.zst", "restore.sh", "manifest.json", "queries.sql", LISTING, "verification.json"}
)
_KEY_FILE: Final = re.compile(r"[0-9]+\.sql", re.ASCII)
#: What a dump that was killed leaves behind.
_LEFT_OVER: Final = ".dump."

_LONGEST_NAME: Final = 80


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk."""

    folder: Path

    @property
    def dump_script(self) -> Path:
        """What writes the slice."""
        return self.folder / "dump.sh"

    @property
    def publish(self) -> Path:
        """The folder that may go out."""
        return self.folder / "publish"

    @property
    def listing(self) -> Path:
        """The list of files that rows name; there is none when they name none."""
        return self.publish / LISTING

    @property
    def slice_file(self) -> Path:
        """The slice, whichever way it was written."""
        packed = self.publish / "slice.sql.zst"
        return packed if packed.exists() else self.publish / "slice.sql"


@dataclass(frozen=True, slots=True)
class Beside:
    """What a bundle has that not every bundle has.

    With a scratch schema, `dump.sh` puts long lists of keys into a table there. `engine` is a program whose input lies
    beside it. A `listing` without entries is left out. A `packed` slice is moved in. `left_out` are documents of what
    is left out by class.
    """

    scratch_schema: str | None = None
    engine: Engine | None = None
    listing: Listing | None = None
    packed: Packed | None = None
    left_out: tuple[Mapping[str, Any], ...] = ()


NOTHING_BESIDE: Final = Beside()


def safe_name(paper: str) -> str:
    """A folder's name for a paper: letters, digits, `-`, `_` and `.` only.

    Where that changes the name, a part of its SHA-256 keeps different papers apart.
    """
    composed = unicodedata.normalize("NFC", paper)
    kept = "".join(c if (c.isalnum() and not hides(c)) or c in "-_." else "_" for c in composed)
    kept = kept.lstrip(".-")
    while len(kept.encode("utf-8", "replace")) > _LONGEST_NAME:
        kept = kept[:-1]
    if kept and kept == paper:
        return kept
    digest = hashlib.sha256(paper.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{kept.strip('_') or 'paper'}-{digest}"


def open_bundle(folder: Path) -> Bundle:
    """The bundle that lies in a folder. Raises InputError when there is none, or one of a newer format."""
    if not folder.exists():
        raise InputError(f"there is no bundle in {folder}: write it with export, or name another folder with --bundle")
    _require_ours(folder)
    return Bundle(folder)


def write_bundle(
    folder: Path,
    slice_: Slice,
    statements: Sequence[Judged],
    meta: Meta,
    fingerprints: Mapping[TableName, Fingerprint] | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> Bundle:
    """Writes a bundle, complete or not at all; an earlier bundle in that folder is replaced.

    Raises InputError, and changes nothing, when the folder holds anything else or cannot be written, or the engine
    cannot dump the slice.
    """
    target = folder.absolute()
    require_writable(target, meta.paper)
    known = fingerprints or {}
    files = _contents(slice_, statements, meta, known, beside)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            _write(fresh, files, beside)
            _put_in_place(fresh, target)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise InputError(f"cannot write the bundle into {target}: {error.strerror or error}") from error
    return Bundle(target)


def require_writable(folder: Path, paper: str) -> None:
    """Raises InputError unless a bundle may be written there: into nothing, an empty folder, or that paper's bundle."""
    try:
        if not os.path.lexists(folder):
            return
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder; choose another one with --out")
        if any(folder.iterdir()):
            found = _require_ours(folder)
            if found.get("paper") != paper:
                raise InputError(
                    f"{folder} holds the bundle of paper {found.get('paper')!r}; choose another folder with --out"
                )
            _require_nothing_else(folder)
    except OSError as error:
        raise InputError(f"cannot look into {folder}: {error.strerror or error}") from error


def _require_ours(folder: Path) -> dict[str, Any]:
    """What the review.json of our bundle says."""
    try:
        text = (folder / "review.json").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{folder} is no bundle of djproxy's (it has no readable review.json)") from None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{folder} is no bundle of djproxy's (its review.json says nothing of the kind)")
    version = found.get("format_version")
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise InputError(f"the bundle in {folder} was written by a newer djproxy (format {version})")
    return found


def _require_nothing_else(folder: Path) -> None:
    others = [path.name for path in folder.iterdir() if path.name not in {*_FILES, "publish", KEY_FOLDER}]
    others = [name for name in others if not name.startswith(_LEFT_OVER)]
    publish = folder / "publish"
    if publish.is_dir():
        others += [f"publish/{path.name}" for path in publish.iterdir() if path.name not in _PUBLISHED]
    keys = folder / KEY_FOLDER
    if keys.is_dir():
        others += [f"{KEY_FOLDER}/{path.name}" for path in keys.iterdir() if not _KEY_FILE.fullmatch(path.name)]
    if others:
        raise InputError(
            f"{folder} holds files that djproxy did not write ({', '.join(sorted(others)[:5])});"
            " move them away, or choose another folder with --out"
        )


def _contents(
    slice_: Slice,
    statements: Sequence[Judged],
    meta: Meta,
    fingerprints: Mapping[TableName, Fingerprint],
    beside: Beside,
) -> dict[str, tuple[str, int]]:
    """Each file's text and mode; the listing and a packed slice are files already."""
    version = slice_.schema.server_version
    lab = Origin(meta.paper, f"{meta.source}, {version}" if version else meta.source, meta.version)
    public = Origin(meta.paper, version, meta.version)
    published = {
        "restore.sh": restore_script(slice_, public),
        "queries.sql": queries(statements, meta.included),
    }
    checksums: dict[str, str | None] = {"slice.sql": None}
    if beside.packed is not None:
        checksums = {"slice.sql.zst": beside.packed.sha256}
    checksums |= {name: _sha256(text) for name, text in published.items()}
    listing = beside.listing
    if listing is not None and listing.tally.number:
        checksums[LISTING] = listing.sha256()
    engine = beside.engine
    tally = listing.tally if listing is not None else None
    return {
        "dump.sh": (dump_script(slice_, lab, fingerprints, beside.scratch_schema), 0o700),
        **{name: (text, 0o600) for name, text in key_files(slice_, beside.scratch_schema).items()},
        **({} if engine is None else engine_files(slice_, lab, engine)),
        "review.json": (review(slice_, statements, meta, fingerprints, tally, beside.left_out), 0o600),
        "publish/restore.sh": (published["restore.sh"], 0o755),
        "publish/queries.sql": (published["queries.sql"], 0o644),
        "publish/manifest.json": (manifest(slice_, meta, checksums), 0o644),
    }


def _encode(text: str) -> bytes:
    """Recorded texts may hold bytes that are no UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def _sha256(text: str) -> str:
    return hashlib.sha256(_encode(text)).hexdigest()


def _write(folder: Path, files: Mapping[str, tuple[str, int]], beside: Beside) -> None:
    for name, (text, mode) in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_bytes(_encode(text))
        path.chmod(mode)
    listing, packed = beside.listing, beside.packed
    if listing is not None and listing.tally.number:
        listing.copy_to(folder / "publish" / LISTING)
        (folder / "publish" / LISTING).chmod(0o644)
    if packed is not None:
        packed.path.chmod(0o644)
        packed.path.rename(folder / "publish" / "slice.sql.zst")
    (folder / "publish").chmod(0o755)
    folder.chmod(0o700)


def _put_in_place(fresh: Path, target: Path) -> None:
    """Renames the fresh folder to its name. What was there before comes back should that fail."""
    if not target.exists():
        fresh.rename(target)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    try:
        target.rename(old)
        fresh.rename(target)
    finally:
        # Whatever came between, a signal for instance.
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                old.rename(target)
