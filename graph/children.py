"""Child processes that end with this one, also when it is killed, and are given no password that they do not need."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess  # noqa: TID251
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

#: Tells a script of ours that somebody ends its whole process group: its value is the parent's process id.
GUARD: Final = "GUARDED_BY"

#: prctl's option.
_PR_SET_PDEATHSIG: Final = 1

#: Waits until its standard input ends, which also a killed parent's does; then ends the process group whose number came
#: there first, by force after 10 seconds, and removes files.
_WATCHDOG: Final = """
trap '' HUP INT TERM
group=
if read -r group; then
  while read -r _; do :; done
fi
if [ -n "$group" ] && kill -s TERM -- "-$group"; then
  tries=0
  while [ "$tries" -lt 100 ] && kill -s 0 -- "-$group"; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -s KILL -- "-$group"
fi
rm -rf -- "$@"
"""

#: Says its number, before anything else, on the pipe that it has as standard input, and becomes the command.
_START: Final = 'echo "$$" >&0 && exec "$@" </dev/null'


def environment() -> dict[str, str]:
    """Ours, without what may hold a password: DataJoint's settings, and MYSQL_PWD."""
    return {name: value for name, value in os.environ.items() if not (name.startswith("DJ_") or name == "MYSQL_PWD")}


def end_with_parent() -> None:
    """Called by a child: it is killed when the thread that started it ends, where the system can do that (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@contextmanager
def guarded(
    command: Sequence[str], variables: Mapping[str, str], descriptors: Sequence[int] = (), files: Sequence[Path] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Runs a command in a session of its own, whose processes all end with the block, and with this process.

    All that it says is to be read from its stdout. It inherits the descriptors; the files are removed at the end.
    """
    ended, lifeline = os.pipe()
    try:
        watchdog = subprocess.Popen(
            ["sh", "-c", _WATCHDOG, "sh", *map(str, files)],
            stdin=ended,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            start_new_session=True,
        )
    except BaseException:
        os.close(lifeline)
        raise
    finally:
        os.close(ended)
    process = None
    try:
        process = subprocess.Popen(
            ["sh", "-c", _START, "sh", *command],
            env=environment() | dict(variables) | {GUARD: str(os.getpid())},
            stdin=lifeline,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            pass_fds=descriptors,
            start_new_session=True,
        )
        yield process
    finally:
        os.close(lifeline)
        if process is not None:
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        watchdog.wait()
