"""The file of a unix socket: made with its mode, and only a dead one of its kind is removed."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from proxy.unix_socket import UnixListener


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o777])
def test_it_has_its_mode_and_goes_with_the_listener(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "s"
    listener = UnixListener(path, mode)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.close()
    listener.socket.close()
    assert not path.exists()


def test_a_dead_ones_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    listener = UnixListener(path)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    listener.socket.close()


def test_a_living_one_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as living:
        living.bind(str(path))
        living.listen()
        with pytest.raises(OSError, match="in use"):
            UnixListener(path)
        assert path.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "link", "pipe"])
def test_what_is_no_socket_is_left_alone(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        # To a dead socket, even: somebody has put it there for a reason.
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(tmp_path / "dead"))
        path.symlink_to(tmp_path / "dead")
    else:
        os.mkfifo(path)
    before = path.lstat().st_ino
    with pytest.raises(OSError, match="no socket"):
        UnixListener(path)
    assert path.lstat().st_ino == before


def test_a_file_that_is_not_its_own_any_more_stays(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = UnixListener(path)
    path.unlink()
    path.write_text("somebody else's")
    listener.close()
    listener.socket.close()
    assert path.read_text() == "somebody else's"


def test_paths_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="bytes"):
        UnixListener(tmp_path / ("x" * 110))
    with pytest.raises(FileNotFoundError):
        UnixListener(tmp_path / "nowhere" / "s")
