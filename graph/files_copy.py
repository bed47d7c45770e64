"""Copying the files that rows name from the folders of their stores, checked on the way.

A copy has its final name only once its size and checksum are right, so whatever has that name need not be read again.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from io import FileIO
from pathlib import Path
from typing import Any, Final

from graph.bundle import safe_name
from graph.errors import InputError
from graph.files import Checksum, Digest, Kind, Place

FORMAT: Final = "djproxy files"
FORMAT_VERSION: Final = 1
#: What makes a folder one of ours; no store's folder can have this name.
MARKER: Final = ".djproxy-files.json"
_PART: Final = ".djproxy-part"
#: What DataJoint 2.x keeps beside a folder.
_SIDECAR: Final = ".manifest.json"
_CHUNK: Final = 1 << 20
#: Why a hard link may be impossible where a copy is not: another file system, none at all there, forbidden, too many.
_NO_LINK: Final = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.EACCES, errno.ENOSYS})


class State(StrEnum):
    """What became of a file or folder."""

    COPIED = "copied"
    LINKED = "linked"
    PRESENT = "present"
    MISSING = "missing"
    DIFFERS = "differs"
    NOT_COPIED = "not copied"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file or folder: the different things that rows say of it, all of one store and path."""

    places: tuple[Place, ...]

    @property
    def store(self) -> str:
        """The store's name."""
        return self.places[0].store

    @property
    def path(self) -> str:
        """The path in the store."""
        return self.places[0].path

    @property
    def kinds(self) -> set[Kind]:
        """What it must be; nothing where no row says."""
        return {place.kind for place in self.places} - {Kind.UNKNOWN}

    @property
    def sizes(self) -> set[int]:
        """The bytes that it must have."""
        return {place.size for place in self.places if place.size is not None}

    @property
    def items(self) -> set[int]:
        """The number of files that it must hold."""
        return {place.items for place in self.places if place.items is not None}

    @property
    def checksums(self) -> set[Checksum]:
        """What its contents must give."""
        return {place.checksum for place in self.places if place.checksum is not None}

    @property
    def copy(self) -> str:
        """Where the copy lies in the target folder."""
        return f"{safe_name(self.store)}/{self.path}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`size` counts the bytes that were copied or linked."""

    wanted: Wanted
    state: State
    reason: str = ""
    size: int = 0

    @property
    def failed(self) -> bool:
        """Whether the copy lacks it."""
        return self.state not in (State.COPIED, State.LINKED, State.PRESENT)


class _Problem(Exception):
    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


def gathered(places: Iterable[Place]) -> list[Wanted]:
    """Each file or folder once, by store and path."""
    found: dict[tuple[str, str], tuple[Place, ...]] = {}
    for place in places:
        known = found.get((place.store, place.path), ())
        if place not in known:
            found[place.store, place.path] = (*known, place)
    return [Wanted(found[key]) for key in sorted(found)]


def copy(
    wanted: Iterable[Wanted],
    folders: Mapping[str, Path | str],
    target: Path,
    *,
    link: bool = False,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[Outcome]:
    """Copies what is wanted, or with `link` makes hard links where that is possible, and says what became of each.

    `folders` has for each store its folder, or the reason why it has none. Raises InputError when the target cannot be
    written.
    """
    all_wanted = list(wanted)
    size = 0
    for number, each in enumerate(all_wanted, 1):
        say(f"file {number} of {len(all_wanted)}, {size >> 20} MB copied")
        folder = folders[each.store]
        if isinstance(folder, str):
            yield Outcome(each, State.NOT_COPIED, folder)
            continue
        outcome = _Copier(Path(os.path.realpath(folder)), target, link).copy(each)
        size += outcome.size
        yield outcome


@dataclass(slots=True)
class _Copier:
    """`states` and `size` are of what was copied so far."""

    root: Path
    target: Path
    link: bool
    states: set[State] = field(default_factory=set)
    size: int = 0

    def copy(self, wanted: Wanted) -> Outcome:
        try:
            self._copy(wanted)
        except _Problem as problem:
            return Outcome(wanted, problem.state, str(problem), self.size)
        state = next((each for each in (State.COPIED, State.LINKED) if each in self.states), State.PRESENT)
        return Outcome(wanted, state, "", self.size)

    def _copy(self, wanted: Wanted) -> None:
        source = self._real(self.root / wanted.path)
        status = _status(source)
        if stat.S_ISDIR(status.st_mode):
            if Kind.FILE in wanted.kinds:
                raise _Problem(State.DIFFERS, "it is a folder, the database says a file")
            self._copy_folder(source, wanted)
        elif Kind.FOLDER in wanted.kinds:
            raise _Problem(State.DIFFERS, "it is no folder, the database says one")
        else:
            for size in wanted.sizes - {status.st_size}:
                raise _Problem(State.DIFFERS, f"it has {status.st_size} bytes, the database says {size}")
            self._copy_file(source, status, self.target / wanted.copy, wanted.checksums)

    def _copy_folder(self, source: Path, wanted: Wanted) -> None:
        target = self.target / wanted.copy
        names: set[str] = set()
        size = 0
        self._make_folder(target)
        for path, status in self._walk(source):
            name = path.relative_to(source)
            names.add(str(name))
            size += status.st_size
            self._copy_file(self._real(path), status, target / name, set())
        for items in wanted.items - {len(names)}:
            raise _Problem(State.DIFFERS, f"it holds {len(names)} files, the database says {items}")
        for known in wanted.sizes - {size}:
            raise _Problem(State.DIFFERS, f"its files have {size} bytes, the database says {known}")
        for extra in sorted({str(path.relative_to(target)) for path in _files(target)} - names - {_PART}):
            raise _Problem(State.DIFFERS, f"the copy holds {extra}, which the store does not have")
        sidecar = source.with_name(source.name + _SIDECAR)
        if sidecar.is_file():
            real = self._real(sidecar)
            self._copy_file(real, _status(real), self.target / (wanted.copy + _SIDECAR), set())

    def _walk(self, folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
        """The files in a folder; empty folders are made on the way."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise _unreadable(error) from None
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path))
                continue
            real = self._real(Path(entry.path))
            if real.is_dir():
                raise _Problem(State.NOT_COPIED, f"{entry.name} in it is a symbolic link to a folder")
            yield Path(entry.path), _status(real)

    def _real(self, path: Path) -> Path:
        """The file that a path of the store leads to, which must be in the store's folder."""
        try:
            real = Path(os.path.realpath(path, strict=True))
        except (FileNotFoundError, NotADirectoryError):
            raise _Problem(State.MISSING, "the store does not have it") from None
        except OSError as error:
            raise _unreadable(error) from None
        if not real.is_relative_to(self.root):
            raise _Problem(State.NOT_COPIED, "a symbolic link leads out of the store's folder")
        return real

    def _copy_file(self, source: Path, status: os.stat_result, target: Path, checksums: set[Checksum]) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise _Problem(State.NOT_COPIED, f"{source.name} is neither a file nor a folder")
        if _same(status, target):
            self.states.add(State.PRESENT)
            return
        self._make_folder(target.parent)
        part = target.with_name(_PART)
        with _writing(self.target):
            part.unlink(missing_ok=True)
        linked = self.link and _linked(source, part)
        try:
            with _reading(source) as file:
                digests = {checksum: _start(checksum, source.name) for checksum in checksums}
                self._transfer(file, None if linked else part, status, digests)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        with _writing(self.target):
            if not linked:
                os.utime(part, ns=(status.st_atime_ns, status.st_mtime_ns))
            part.replace(target)
        self.size += status.st_size
        self.states.add(State.LINKED if linked else State.COPIED)

    def _transfer(
        self, source: FileIO, part: Path | None, status: os.stat_result, digests: Mapping[Checksum, Any]
    ) -> None:
        """Reads a file once, into the copy if there is to be one; raises _Problem unless it is as the database says."""
        size = 0
        if part is not None or digests:
            with _writing(self.target):
                target = None if part is None else part.open("xb")
            try:
                for data in _chunks(source):
                    size += len(data)
                    for digest in digests.values():
                        digest.update(data)
                    if target is not None:
                        with _writing(self.target):
                            target.write(data)
            finally:
                if target is not None:
                    with _writing(self.target):
                        target.close()
            if size != status.st_size:
                raise _Problem(State.DIFFERS, "it changed while it was read")
        for checksum, digest in digests.items():
            if digest.hexdigest() != checksum.value:
                raise _Problem(State.DIFFERS, f"its checksum is not {checksum}, as the database says")

    def _make_folder(self, folder: Path) -> None:
        with _writing(self.target):
            folder.mkdir(parents=True, exist_ok=True)
        if not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(self.target)):
            raise InputError(f"{folder} is a symbolic link that leads out of {self.target}; remove it")


def _start(checksum: Checksum, name: str) -> Any:
    digest = hashlib.md5(usedforsecurity=False)
    if checksum.digest is Digest.NAMED_MD5:
        # The file's name is the checksum, a dot and the attachment's own.
        digest.update(name.partition(".")[2].encode("utf-8") + b"\0")
    return digest


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise _unreadable(error) from None


def _unreadable(error: OSError) -> _Problem:
    return _Problem(State.NOT_COPIED, f"it cannot be read: {error.strerror}")


@contextmanager
def _reading(path: Path) -> Iterator[FileIO]:
    try:
        # No link that was put there meanwhile, and no waiting for the other end of a pipe.
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _unreadable(error) from None
    with open(number, "rb", buffering=0) as file:
        yield file


def _chunks(file: FileIO) -> Iterator[bytes]:
    while True:
        try:
            data = file.read(_CHUNK)
        except OSError as error:
            raise _unreadable(error) from None
        if not data:
            return
        yield data


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write into {target}: {error.strerror or error}") from error


def _linked(source: Path, part: Path) -> bool:
    try:
        os.link(source, part, follow_symlinks=False)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise InputError(f"cannot write into {part.parent}: {error.strerror}") from error
    return True


def _same(status: os.stat_result, target: Path) -> bool:
    """Whether the target is that file, or an earlier copy of it."""
    try:
        found = target.lstat()
    except OSError:
        return False
    if not stat.S_ISREG(found.st_mode):
        return False
    # Some file systems keep no more than microseconds, or seconds.
    times = {status.st_mtime_ns // unit * unit for unit in (1, 1_000, 1_000_000_000)}
    return found.st_size == status.st_size and found.st_mtime_ns in times


def _files(folder: Path) -> Iterator[Path]:
    """All that is no folder below one; links are not followed."""
    for current, folders, names in os.walk(folder):
        links = [name for name in folders if Path(current, name).is_symlink()]
        yield from (Path(current, name) for name in (*names, *links))


@contextmanager
def opened(target: Path, paper: str, wanted: Iterable[Wanted]) -> Iterator[None]:
    """Makes the target folder ours, for us alone as long as the context lasts.

    Raises InputError when it holds anything else than copies of what is wanted, belongs to another paper or to another
    process, or cannot be written.
    """
    with _writing(target):
        if target.exists() and not target.is_dir():
            raise InputError(f"{target} is not a folder; choose another one with --copy-to")
        target.mkdir(parents=True, exist_ok=True)
        marker = target / MARKER
        if any(target.iterdir()):
            _require_ours(target, paper, wanted)
        else:
            text = json.dumps({"format": FORMAT, "format_version": FORMAT_VERSION, "paper": paper}, ensure_ascii=True)
            marker.write_text(text + "\n", "utf-8")
        lock = marker.open("rb")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"another djproxy copies into {target} now; let it end first") from None
        for path in _files(target):
            if path.name == _PART:
                with _writing(target):
                    path.unlink()
        yield


def _require_ours(target: Path, paper: str, wanted: Iterable[Wanted]) -> None:
    try:
        found = json.loads((target / MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise InputError(f"{target} holds files that djproxy did not put there; choose another folder with --copy-to")
    if found.get("format_version") != FORMAT_VERSION:
        raise InputError(f"the files in {target} were copied by another version of djproxy; choose another folder")
    if found.get("paper") != paper:
        raise InputError(f"{target} holds the files of paper {found.get('paper')!r}; choose another folder")
    known = {each.copy for each in wanted}
    known |= {f"{name}{_SIDECAR}" for name in known} | {MARKER}
    others = [
        str(name)
        for name in (path.relative_to(target) for path in _files(target))
        if name.name != _PART and known.isdisjoint(map(str, (name, *name.parents)))
    ]
    if others:
        raise InputError(
            f"{target} holds files that are not in the list ({', '.join(sorted(others)[:5])}); move them away, or "
            "choose another folder with --copy-to"
        )
