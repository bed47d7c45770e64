"""How the worker keeps out of the way of those it records for.

Niceness alone does not: on a machine whose processors are all busy, a process that is always ready to run fills every
gap, and each time another has to be switched to and back. Whoever works off a long backlog there rests in between.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import NamedTuple

#: Processor time that a backlog may take at once, in seconds: what is recorded of a person's work is taken at once.
FREE_SECONDS = 1.0
#: Of so many times the processor had to be given up, for each second on it: others want it.
CROWDED = 20.0
#: Rest as many times as long as the last stretch took, and no longer at once than so many seconds.
REST, LONGEST_REST = 15.0, 5.0


class Usage(NamedTuple):
    """A moment on a clock, and since the process began: seconds on a processor, and how often it was taken away."""

    moment: float
    seconds: float
    taken_away: int


def own_usage() -> Usage:
    """Of this process."""
    found = resource.getrusage(resource.RUSAGE_SELF)
    return Usage(time.monotonic(), found.ru_utime + found.ru_stime, found.ru_nivcsw)


class Courtesy:
    """Tells after each stretch of work how long to rest."""

    def __init__(self, usage: Callable[[], Usage] = own_usage) -> None:
        self._usage = usage
        self._last = usage()
        self._worked = 0.0

    def caught_up(self) -> None:
        """There is nothing more to do for now."""
        self._worked = 0.0
        self._last = self._usage()

    def pause(self) -> None:
        """Rest after a stretch of work, if need be."""
        if seconds := self.rest():
            time.sleep(seconds)
            self._last = self._usage()

    def rest(self) -> float:
        """Seconds to rest now, after a stretch of work."""
        now, last = self._usage(), self._last
        self._last = now
        seconds = now.seconds - last.seconds
        self._worked += seconds
        if self._worked < FREE_SECONDS or now.taken_away - last.taken_away <= CROWDED * seconds:
            return 0.0
        # By the clock: the process that reads the statements for this one works, too.
        return min(REST * (now.moment - last.moment), LONGEST_REST)
