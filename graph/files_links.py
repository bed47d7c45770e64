"""Files that HDF5 files link to, in stores' folders: a raw NWB file of Spyglass's holds no recording, but links to the
file that does. Rows do not name these.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from graph.files import Kind, Outside, Place, inside
from graph.files_copy import Outcome, State, Wanted, gathered

_SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
#: Where it may stand: users may have put something before it.
_OFFSETS: Final = (0, 512, 1024, 2048)


@dataclass(slots=True)
class Linked:
    """`wanted` is all that is to be copied, what is linked to among it; `problems` are links that no copy can follow,
    `warnings` what may not work, `unread` counts the HDF5 files that nobody looked into, for lack of h5py."""

    wanted: list[Wanted]
    problems: list[Outcome] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unread: int = 0


def linked(
    wanted: list[Wanted], folders: Mapping[str, Path | str], say: Callable[[str], None] = lambda text: None
) -> Linked:
    """Looks into every HDF5 file that is wanted, and into those that these link to.

    `folders` are as for `graph.files_copy.copy`. Files are only read; what cannot be is left to the copying.
    """
    found = Linked(list(wanted))
    h5py = _h5py()
    known = {(each.store, each.path) for each in wanted}
    ahead = [each.places[0] for each in wanted]
    more: list[Place] = []
    while ahead:
        place = ahead.pop()
        folder = folders[place.store]
        if isinstance(folder, str) or not _is_hdf5(folder, place.path):
            continue
        if h5py is None:
            found.unread += 1
            continue
        say(f"looking for links in {place.path}")
        try:
            targets = sorted(set(_targets(h5py, folder / place.path)))
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            found.warnings.append(f"{place.store}: {place.path} cannot be searched for links: {error}")
            continue
        for target in targets:
            new = _followed(place, target, folder, found)
            if new is not None and (new.store, new.path) not in known:
                known.add((new.store, new.path))
                ahead.append(new)
                more.append(new)
    found.wanted += gathered(more)
    return found


def _followed(place: Place, target: str, folder: Path, found: Linked) -> Place | None:
    """The file that a link leads to. As HDF5 has it, a relative one begins in the folder of the file that links."""
    name = (
        target if posixpath.isabs(target) else posixpath.normpath(posixpath.join(posixpath.dirname(place.path), target))
    )
    try:
        path = inside(name, str(folder))
    except Outside:
        reason = f"it links to {target}, which is not in the store's folder; the copy lacks that"
        found.problems.append(Outcome(Wanted((place,)), State.NOT_COPIED, reason))
        return None
    if posixpath.isabs(target):
        found.warnings.append(
            f"{place.store}: {place.path} links to {target} by an absolute path, which others do not have; "
            f"the copy of that file is {path}"
        )
    return Place(place.store, path, Kind.FILE)


def _h5py() -> ModuleType | None:
    try:
        import h5py  # noqa: PLC0415 -- optional, and slow to import
    except ImportError:
        return None
    module: ModuleType = h5py
    return module


def _is_hdf5(folder: Path, path: str) -> bool:
    """Whether there is a regular file with an HDF5 signature in that folder, by whatever links inside it."""
    try:
        real = (folder / path).resolve(strict=True)
        if not real.is_file() or not real.is_relative_to(folder.resolve()):
            return False
        with real.open("rb") as file:
            for offset in _OFFSETS:
                file.seek(offset)
                if file.read(len(_SIGNATURE)) == _SIGNATURE:
                    return True
    except (OSError, RuntimeError):
        # Links in a circle are a RuntimeError to pathlib.
        return False
    return False


def _targets(h5py: Any, path: Path) -> Iterator[str]:
    """The names of other files in a file: of external links, of raw data in other files, of virtual datasets."""
    # Who writes the file meanwhile shall not notice.
    with h5py.File(path, "r", locking=False) as file:
        seen: set[int] = set()
        ahead = [file["/"]]
        while ahead:
            group = ahead.pop()
            for name in group:
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    yield link.filename
                elif isinstance(link, h5py.HardLink):
                    item = group[name]
                    address = h5py.h5o.get_info(item.id).addr
                    if address in seen:
                        continue
                    seen.add(address)
                    if isinstance(item, h5py.Group):
                        ahead.append(item)
                    elif isinstance(item, h5py.Dataset):
                        yield from _sources(item)


def _sources(dataset: Any) -> Iterator[str]:
    for name, _, _ in dataset.external or ():
        yield name
    if dataset.is_virtual:
        # A dot is the file itself.
        yield from (source.file_name for source in dataset.virtual_sources() if source.file_name != ".")
