"""Rows of the text protocol out of a stream of bytes, thousands at a time: each packet's payload, and its values.

row = value…    value = length(1, 3, 4 or 9 bytes) bytes    NULL = 0xFB
"""

from __future__ import annotations

from typing import Final

_HEADER: Final = 4
#: A payload of this length goes on in the next packet.
_FULL: Final = 0xFFFFFF
_END: Final = 0xFE
_NULL: Final = 0xFB
#: By the first byte of a value: how many bytes of length follow.
_WIDTHS: Final = {0xFC: 2, 0xFD: 3, 0xFE: 8}

#: Long ones as views, which are not copied; NULL as None.
Value = bytes | memoryview | None


class PacketStream:
    """Takes bytes as they come, gives the payloads of rows.

    When the answer has ended, `end` is the payload of its last packet: an EOF or an error.
    """

    def __init__(self) -> None:
        self.end: bytes | None = None
        self._chunks: list[bytes] = []
        self._held = 0
        # So many bytes have the next packet.
        self._wanted = _HEADER
        # Of a payload that needs more than one packet, what came.
        self._begun: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The rows that are complete with this data."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held < self._wanted:
            return []
        buffer = b"".join(self._chunks)
        rows: list[bytes] = []
        position, size = 0, len(buffer)
        self._wanted = _HEADER
        while size - position >= _HEADER and self.end is None:
            length = int.from_bytes(buffer[position : position + 3], "little")
            start = position + _HEADER
            if size - start < length:
                self._wanted = _HEADER + length
                break
            position = start + length
            payload = buffer[start:position]
            if length == _FULL or self._begun:
                self._begun.append(payload)
                if length < _FULL:
                    rows.append(b"".join(self._begun))
                    self._begun = []
            elif payload[0] >= _END:
                # A row that begins with this byte has more than one packet.
                self.end = payload
            else:
                rows.append(payload)
        self._chunks = [buffer[position:]]
        self._held = size - position
        return rows


def values(payload: bytes, number: int) -> list[Value]:
    """The values of a row."""
    found: list[Value] = []
    position = 0
    for _ in range(number):
        first = payload[position]
        position += 1
        if first == _NULL:
            found.append(None)
            continue
        if first < _NULL:
            length = first
        else:
            width = _WIDTHS[first]
            length = int.from_bytes(payload[position : position + width], "little")
            position += width
        end = position + length
        found.append(payload[position:end] if first <= 0xFC else memoryview(payload)[position:end])
        position = end
    return found


def only_value(payload: bytes) -> bytes | None:
    """The value of a row that has one."""
    first = payload[0]
    if first < _NULL:
        return payload[1:]
    return None if first == _NULL else payload[1 + _WIDTHS[first] :]
