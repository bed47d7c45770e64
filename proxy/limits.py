"""How many connections a proxy takes, and how it treats silent peers and its own end."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass

#: A connection takes two descriptors, its client's socket and its server's.
_DESCRIPTORS_EACH = 2
#: What else a process needs: journal, log, certificates, the loop's own, one more to refuse a client with.
_DESCRIPTORS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """What operators may set. Times are in seconds; 0 means none where it says so.

    `connections`: more are refused as the server would, error 1040; 0 means as many as the system has descriptors for.
    `keepalive`: after how much silence a peer is asked whether it is still there.
    `user_timeout`: how long sent bytes may wait for the other end's kernel before it counts as gone; 0 for the
    system's own, which is minutes. `grace`: how long a stop waits for statements and transactions to end. `workers`:
    how many processes serve clients.
    """

    connections: int = 0
    keepalive: float = 60.0
    user_timeout: float = 0.0
    grace: float = 10.0
    workers: int = 1

    @property
    def most(self) -> int:
        """The number of connections of one process beyond which clients are refused."""
        affordable = (_descriptors() - _DESCRIPTORS_KEPT) // _DESCRIPTORS_EACH
        return max(1, min(self.connections or affordable, affordable))


DEFAULT = Limits()


def allow_descriptors() -> None:
    """Let this process have as many descriptors as the system grants without asking."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Where the hard limit is "unlimited", some systems still refuse it.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft
