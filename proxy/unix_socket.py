"""A unix socket to listen on: its file is made with its mode at once, and nothing else is ever removed for it.

A file that is in the way is removed only when it is a socket that nobody listens on any more, as a killed proxy leaves
one behind. A lock on the folder keeps two proxies that start at once from taking each other's file for such.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket  # noqa: TID251
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PRIVATE = 0o600
# Linux takes 107 bytes, the BSDs 103.
_LONGEST_PATH = 103
_KNOCK_SECONDS = 2.0


class UnixListener:
    """A socket that listens at `path`; `close` removes its file."""

    def __init__(self, path: Path, mode: int = PRIVATE, backlog: int = 128) -> None:
        """Raises OSError; its text says what is in the way."""
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise OSError(errno.ENAMETOOLONG, f"a socket's path may have {_LONGEST_PATH} bytes")
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _locked(path.parent):
                _remove_dead(path)
                _bind(self.socket, path, mode)
                self.socket.listen(backlog)
                self._file = _identity(path)
        except BaseException:
            self.socket.close()
            raise
        self.socket.setblocking(False)

    def close(self) -> None:
        """Remove the file, if it is this listener's still. The socket belongs to whoever serves it."""
        with suppress(OSError):
            if _identity(self.path) == self._file:
                self.path.unlink()


def _bind(listener: socket.socket, path: Path, mode: int) -> None:
    # The mode of the file is what the mask leaves: nobody may slip in before a chmod.
    mask = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
    finally:
        os.umask(mask)


def _remove_dead(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "there is a file that is no socket, and it is left alone")
    if not _is_dead(path):
        raise OSError(errno.EADDRINUSE, "it is in use")
    if _identity(path) == (found.st_dev, found.st_ino):
        path.unlink()


def _is_dead(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knock:
        knock.settimeout(_KNOCK_SECONDS)
        try:
            knock.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            # Busy, or not ours to touch.
            return False
    return False


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
