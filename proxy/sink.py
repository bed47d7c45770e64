"""Where events go, and what becomes of the relay when they cannot."""

from __future__ import annotations

from typing import Protocol

from proxy.events import Closed, Event, Lost
from proxy.terminal import say


class Sink(Protocol):
    """Where events go. `write` is called before the answer is forwarded, so it is to be quick."""

    def write(self, events: list[Event]) -> None: ...


class Nowhere:
    """The sink of a relay that records nothing."""

    def write(self, events: list[Event]) -> None:
        """Forget them."""


class GuardedSink:
    """A sink that never raises: when it fails the relay goes on, and the gap is told as soon as it works again."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._gaps: dict[int, Event] = {}
        self._complained = False

    def write(self, events: list[Event]) -> bool:
        """Whether they were written."""
        try:
            self._sink.write([*self._gaps.values(), *events] if self._gaps else events)
        except Exception as error:
            reason = f"the journal could not be written ({type(error).__name__}: {error})"
            for event in events:
                if not isinstance(event, Closed):
                    self._gaps.setdefault(event.connection, Lost(event.connection, reason))
            if not self._complained:
                self._complained = True
                say(f"{reason}; clients go on, but this is not recorded")
            return False
        self._gaps.clear()
        return True
