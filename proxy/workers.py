"""More processes that serve one address, each with a loop, a journal and a worker of its own.

The first process forks the others before it starts its own loop; the system spreads new connections over all that
listen (SO_REUSEPORT). A pipe to each tells it when the first process is gone, one from each says that it listens, and
in the end how many logins it saw. Nothing else is shared but the count of open connections.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket  # noqa: TID251
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from proxy.errors import ListenError
from proxy.terminal import say

_READY = b"+"
_POLL_SECONDS = 0.05


class SharedCount:
    """How many connections all processes have open: each sets its own number and reads them all."""

    def __init__(self, processes: int) -> None:
        self._memory = mmap.mmap(-1, 8 * processes)
        self._numbers = memoryview(self._memory).cast("q")

    def set(self, process: int, number: int) -> None:
        """The number of one process."""
        self._numbers[process] = number

    @property
    def total(self) -> int:
        """Of all processes."""
        return sum(self._numbers)


def reserve(host: str, port: int) -> socket.socket:
    """A socket that holds an address for all processes, without listening. Raises OSError."""
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Without it another program's listener goes unnoticed.
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            address = probe.getsockname()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(address)
    except OSError:
        held.close()
        raise
    return held


@dataclass(frozen=True, slots=True)
class Beside:
    """What a further process is given: its number, the pipe that ends when the first one does, and one to answer by."""

    number: int
    lifeline: int
    answers: int

    def ready(self) -> None:
        """Clients may connect."""
        os.write(self.answers, _READY)

    def over(self, logins: int) -> None:
        """All is put away."""
        with suppress(OSError):
            os.write(self.answers, f"{logins}\n".encode())


class Team:
    """The processes beside the first one."""

    def __init__(self, number: int, serve: Callable[[Beside], None]) -> None:
        """Fork so many; each calls `serve` and ends with it."""
        self._members: dict[int, int] = {}
        self._lifeline, self._kept = os.pipe()
        for index in range(1, number + 1):
            self._fork(index, serve)
        os.close(self._lifeline)

    def _fork(self, index: int, serve: Callable[[Beside], None]) -> None:
        answers, own = os.pipe()
        pid = os.fork()
        if pid:
            os.close(own)
            self._members[pid] = answers
            return
        status = 1
        try:
            os.close(self._kept)
            os.close(answers)
            for other in self._members.values():
                os.close(other)
            serve(Beside(index, self._lifeline, own))
            status = 0
        except BaseException as error:
            say(f"a worker process ended: {type(error).__name__}: {error}")
        finally:
            # What the first process has open (its store) is not ours to put away.
            os._exit(status)

    @property
    def answers(self) -> list[int]:
        """The pipes from the others; one that ends tells that its process did."""
        return list(self._members.values())

    def wait_ready(self) -> None:
        """Until all listen. Raises ListenError."""
        for answers in self._members.values():
            if os.read(answers, 1) != _READY:
                raise ListenError("a worker process could not start; what it says is above")

    def ask_to_stop(self) -> None:
        """Let them put things away; they end by themselves."""
        for pid in self._members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def wait(self, seconds: float) -> int:
        """Until they have ended, which is made sure of after so many seconds. Gives the logins that they saw."""
        os.close(self._kept)
        deadline = time.monotonic() + seconds
        logins = 0
        for pid, answers in self._members.items():
            while os.waitpid(pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                    break
                time.sleep(_POLL_SECONDS)
            said = os.read(answers, 64).strip()
            logins += int(said) if said.isdigit() else 0
            os.close(answers)
        self._members.clear()
        return logins
