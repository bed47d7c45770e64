"""The home folder: where recordings live, and which proxies run. Everything in it is private to the user."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from proxy.errors import HomeError

FOLDER_MODE = 0o700
FILE_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Home:
    """The home folder by its parts; nothing is made before `create`."""

    folder: Path

    @property
    def journals(self) -> Path:
        """The folder of the journals, one per run of a proxy."""
        return self.folder / "journal"

    @property
    def store(self) -> Path:
        """The store, a SQLite file."""
        return self.folder / "store.sqlite"

    @property
    def proxies(self) -> Path:
        """The folder of the notes of running proxies, `<pid>.json`."""
        return self.folder / "proxies"

    @property
    def certificates(self) -> Path:
        """The folder of the certificates that the proxy offers."""
        return self.folder / "certificates"

    @property
    def worker_log(self) -> Path:
        """What worker processes have to say; never a statement's text."""
        return self.folder / "worker.log"

    def create(self) -> Home:
        """Make the folders, mode 0700.

        Raises HomeError when that cannot be done, the folder is not writable, or is somebody's for other things.
        """
        self._refuse_foreign()
        for folder in (self.folder, self.journals, self.proxies, self.certificates):
            try:
                folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                if folder.stat().st_mode & 0o077:
                    folder.chmod(FOLDER_MODE)
            except OSError as error:
                raise HomeError(
                    f"the folder {folder} cannot be made ({error.strerror}): choose another with --home or DJPROXY_HOME"
                ) from error
            if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
                raise HomeError(
                    f"the folder {folder} is not writable: make it so, or choose another with --home or DJPROXY_HOME"
                )
        return self

    def _refuse_foreign(self) -> None:
        """A folder that others may enter and that holds other things (/tmp, a project) would be shut to them."""
        try:
            status = self.folder.stat()
            if not stat.S_ISDIR(status.st_mode) or not status.st_mode & 0o077:
                return
            foreign = not (self.journals.exists() or self.store.exists()) and any(self.folder.iterdir())
        except OSError:
            return
        if foreign:
            raise HomeError(
                f"the folder {self.folder} holds other files, and recordings must be private: choose another with "
                "--home or DJPROXY_HOME"
            )


def find_home(option: str | None, environment: Mapping[str, str]) -> Home:
    """The home folder: the option, else DJPROXY_HOME, else the platform's user data folder. Raises HomeError."""
    chosen = option or environment.get("DJPROXY_HOME")
    try:
        folder = Path(chosen).expanduser() if chosen else platformdirs.user_data_path("djproxy", appauthor=False)
    except RuntimeError as error:
        raise HomeError(f"the folder {chosen} is not known ({error}): choose another with --home") from error
    return Home(folder.absolute())


def open_private(path: Path, flags: int) -> int:
    """A file descriptor of a file that only the user can read (`flags` as for os.open); not passed to children."""
    return os.open(path, flags | os.O_CLOEXEC, FILE_MODE)


@dataclass(frozen=True, slots=True)
class RunningProxy:
    """A proxy of this home that is serving now."""

    pid: int
    host: str
    port: int
    paper: str
    analysis: str


def announce(home: Home, proxy: RunningProxy) -> Path:
    """Leave a note that this proxy serves; the caller removes it at the end."""
    path = home.proxies / f"{proxy.pid}.json"
    note = {"host": proxy.host, "port": proxy.port, "paper": proxy.paper, "analysis": proxy.analysis}
    descriptor = open_private(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(note, file)
    return path


def running(home: Home) -> list[RunningProxy]:
    """The proxies of this home that serve now; notes of dead ones are removed."""
    found: list[RunningProxy] = []
    for path in sorted(home.proxies.glob("*.json")):
        if not path.stem.isdigit() or not _alive(int(path.stem)):
            path.unlink(missing_ok=True)
            continue
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            found.append(
                RunningProxy(
                    int(path.stem), str(note["host"]), int(note["port"]), str(note["paper"]), str(note["analysis"])
                )
            )
        except (OSError, ValueError, KeyError, TypeError):
            # Being written at this moment, or not one of ours: no reason to stop.
            continue
    return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
