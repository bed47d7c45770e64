"""What the observer remembers of a command until the server has answered it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from proxy.events import Event
from proxy.responses import Shape


class Said(NamedTuple):
    """An event for one result. `several`: further results may belong to the same statement; `pins`: the keys of the
    result are to be kept."""

    event: Event
    several: bool = False
    pins: bool = False


@dataclass(slots=True)
class Command:
    """A command that waits for its answer. `said` in the order of its results; `then` runs when it succeeds.

    `sequence`: the number of its last packet, the answer's first has the next one. `statement`: the number of the
    prepared statement that it executes; `fetches`: of the one whose cursor it reads.
    """

    shape: Shape
    said: list[Said] = field(default_factory=list)
    then: Callable[[bytes], None] | None = None
    decide: Callable[[], list[Said]] | None = None
    binary: bool = False
    statement: int | None = None
    fetches: int | None = None
    sequence: int = 0
    begun: int = 0
    told: int = 0
