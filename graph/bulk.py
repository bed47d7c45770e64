"""Rows of integers out of a stream of the binary protocol, thousands at a time.

Such rows are all of one length unless a value is NULL, so that their packets can be checked and taken apart by a few
operations on whole buffers instead of packet after packet and value after value.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

#: A row; NULL as None.
Integers = tuple[int | None, ...]

_HEADER: Final = 4
_ROW: Final = 0x00


class IntegerStream:
    """Takes bytes as they come, gives rows. `codes` are `struct`'s letters for the columns.

    When the answer has ended, `end` is the payload of its last packet: an EOF or an error.
    """

    def __init__(self, codes: Sequence[str]) -> None:
        self.end: bytes | None = None
        self._codes = codes
        self._nulls = (len(codes) + 9) // 8
        self._form = struct.Struct(f"<{_HEADER + 1 + self._nulls}x{''.join(codes)}")
        payload = (self._form.size - _HEADER).to_bytes(3, "little")
        # What each row of the common length has, byte by byte; the fourth is a counter.
        self._expected = [*enumerate(payload), *((_HEADER + n, _ROW) for n in range(1 + self._nulls))]
        self._rest = b""

    def feed(self, data: bytes) -> list[Integers]:
        """The rows that are complete with this data."""
        buffer = self._rest + data
        rows: list[Integers] = []
        position = 0
        while self.end is None:
            position = self._common(buffer, position, rows)
            payload = _payload(buffer, position)
            if payload is None:
                break
            position += _HEADER + len(payload)
            if payload[0] == _ROW:
                rows.append(self._with_nulls(payload))
            else:
                self.end = payload
        self._rest = buffer[position:]
        return rows

    def _common(self, buffer: bytes, position: int, rows: list[Integers]) -> int:
        """Takes rows without NULLs, as many as stand one after the other; gives where they end."""
        stride = self._form.size
        number = (len(buffer) - position) // stride
        for offset, byte in self._expected:
            column = buffer[position + offset : position + number * stride : stride]
            number = len(column) - len(column.lstrip(bytes([byte])))
            if not number:
                return position
        end = position + number * stride
        rows.extend(self._form.iter_unpack(memoryview(buffer)[position:end]))
        return end

    def _with_nulls(self, payload: bytes) -> Integers:
        position = 1 + self._nulls
        row: list[int | None] = []
        for number, code in enumerate(self._codes, 2):
            if payload[1 + number // 8] >> (number % 8) & 1:
                row.append(None)
                continue
            row.extend(struct.unpack_from(f"<{code}", payload, position))
            position += struct.calcsize(f"<{code}")
        return tuple(row)


def _payload(buffer: bytes, position: int) -> bytes | None:
    """A packet's payload, if all of it is there."""
    if len(buffer) < position + _HEADER:
        return None
    start = position + _HEADER
    end = start + int.from_bytes(buffer[position : position + 3], "little")
    return buffer[start:end] if len(buffer) >= end else None
