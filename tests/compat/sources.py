"""Where the suites come from: a folder that is named, a source package of PyPI, or a clone of a public repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path


class SourceError(Exception):
    """A suite that cannot be had; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Package:
    """A source distribution."""

    name: str
    version: str

    def fetch(self, folder: Path) -> Path:
        """Downloads and unpacks it; gives the unpacked folder."""
        folder.mkdir(parents=True, exist_ok=True)
        wanted = f"{self.name}=={self.version}"
        # Not in here: a source package is asked for its metadata, which takes what it needs for its build.
        _run(
            (sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"),
            ("--no-binary", ":all:", "--dest", str(folder), wanted),
            why=f"pip cannot download {wanted}",
        )
        (archive,) = folder.glob("*.tar.gz")
        with tarfile.open(archive) as tar:
            # Python 3.11.4 brought the filter, and Debian's is older.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(folder)
        return next(path for path in folder.iterdir() if path.is_dir())


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository at a tag; `part` is the folder in it that counts."""

    url: str
    tag: str
    part: str = "."

    def fetch(self, folder: Path) -> Path:
        """Clones it."""
        _run(
            ("git", "clone", "--quiet", "--depth", "1", "--branch", self.tag, self.url, str(folder)),
            why=f"git cannot clone {self.url} at {self.tag}; name a folder that holds it by --source",
        )
        return folder / self.part


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is here; it is copied, for suites write into theirs."""

    path: Path

    def fetch(self, folder: Path) -> Path:
        """Copies it."""
        if not self.path.is_dir():
            raise SourceError(f"there is no folder {self.path}")
        shutil.copytree(self.path, folder, symlinks=True, ignore=shutil.ignore_patterns(".git", "node_modules"))
        return folder


Source = Package | Repository | Folder


def _run(*command: tuple[str, ...], why: str) -> None:
    words = [word for part in command for word in part]
    try:
        answer = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError as error:
        raise SourceError(f"{why}: {error}") from error
    if answer.returncode:
        raise SourceError(f"{why}:\n{answer.stderr.strip()[-2000:]}")
