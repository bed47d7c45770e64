"""What is done when the connection breaks in the midst of a long reading.

A new connection has a new snapshot, and rows read in the old one may be other rows now: what one snapshot began another
cannot end. So everything is read anew, from the schema on, and only so many times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from graph.database import Database
from graph.errors import ConnectionLost, ServerError

_TIMES: Final = 3
#: How long a server that does not answer is given to come back, in seconds.
_WAITS: Final = (1, 2, 4, 8, 15)

_Result = TypeVar("_Result")


def anew(database: Database, work: Callable[[], _Result], say: Callable[[str], None]) -> _Result:
    """The result of work within one snapshot, begun again when its connection breaks.

    Raises what the work raises; ConnectionLost when it broke the third time, ServerError when the server stays away.
    """
    for time_left in reversed(range(_TIMES)):
        try:
            return work()
        except ConnectionLost as error:
            if not time_left:
                raise
            say(f"{error}; its snapshot is gone, so all is read anew")
            _reconnect(database)
    raise AssertionError


def _reconnect(database: Database) -> None:
    for seconds in _WAITS:
        time.sleep(seconds)
        try:
            database.reconnect()
        except ServerError:
            continue
        return
    database.reconnect()
