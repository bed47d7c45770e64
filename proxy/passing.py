"""An answer that is passed by without a look, and how the observer finds back into step behind it.

Most answers end before the client speaks again: then it is enough that what came last may be an end. A client that
sends its next command before (it pipelines) makes the end something to be looked for, packet by packet from where the
look stopped; so that much of an answer is kept, while it is short and cannot be over yet.
"""

from __future__ import annotations

from proxy.protocol import PeerProtocolError
from proxy.responses import looks_over, may_end_response, status_at_end

# What is kept of the end: room for an OK packet with session tracking.
TAIL = 1024
# What is kept to go back to: more than a pipelining client has in flight, and little for a thousand connections.
HELD = 1 << 18


class Passing:
    """What is known of the answer that passes. `begin`, then `take` what comes."""

    __slots__ = ("_held", "_metadata_end", "_size", "_tail")

    def __init__(self) -> None:
        self._tail = b""
        self._size = 0
        self._held: list[bytes] | None = None
        self._metadata_end = b""

    def begin(self, rest: bytes, metadata_end: bytes) -> None:
        """From here on nobody looks; `rest` has come already, and begins with a packet. `metadata_end`: the number of
        the EOF packet behind the column definitions, which is not the end; empty where there is none."""
        self._metadata_end = metadata_end
        self._tail = b""
        self._size = 0
        self._held = []
        if rest:
            self.take(rest)

    def begin_whole(self, data: bytes, metadata_end: bytes) -> bool:
        """The same for an answer that mostly comes in one piece. Gives whether that was all, as far as can be told."""
        if looks_over(data) and data[-6:-5] != metadata_end:
            self._held = None
            self._tail = data[-TAIL:]
            return True
        self.begin(data, metadata_end)
        return False

    def take(self, data: bytes) -> None:
        """The server's next bytes."""
        self._tail = data[-TAIL:] if len(data) >= TAIL else (self._tail + data)[-TAIL:]
        if self._held is None:
            return
        self._size += len(data)
        if self._size > HELD or (looks_over(self._tail) and not self._in_metadata):
            self._held = None
        else:
            self._held.append(data)

    @property
    def is_over(self) -> bool:
        """Whether the end was seen, as far as can be told, and nothing came behind it."""
        return self._held is None and looks_over(self._tail)

    @property
    def status(self) -> int:
        """The status at the end, 0 when it is not known."""
        return status_at_end(self._tail)

    @property
    def may_be_over(self) -> bool:
        """Whether what came last looks like the end of an answer."""
        return may_end_response(self._tail) and not self._in_metadata

    @property
    def _in_metadata(self) -> bool:
        # After so many rows numbers come again, and what is held tells more.
        return self._held is not None and self._tail[-6:-5] == self._metadata_end

    def end(self) -> bytes | None:
        """Look again. Gives what came since `begin` where it is to be looked into; None when it was the end, as far as
        can be told. Raises PeerProtocolError when it was not, and is no longer there."""
        held, tail = self._held, self._tail
        self._held, self._tail = None, b""
        if held is not None:
            return b"".join(held)
        if not may_end_response(tail):
            raise PeerProtocolError("the client did not wait for the end of a long answer")
        return None

    def forget(self) -> None:
        """Nobody is going to ask."""
        self._held, self._tail = None, b""
