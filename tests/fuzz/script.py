"""A conversation as a flat string of bytes, which is what a fuzzer mutates.

    head    capabilities(4) extended(1) collation(2) status(2) watch(1) slices(1) form(1) legs(1)
    step    tag(1) [length(2)] data                     tag: what happens in its low bits, length above (63: two bytes)

Every string of bytes is a script: what is missing reads as nothing. In *packets* form a step's data is a sequence
number and a payload and becomes a packet with the right length; otherwise it is a chunk of the stream as it stands.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from proxy.protocol import HEADER, packet

_HEAD = struct.Struct("<IBHHBBBB")
_KINDS = 4
_LONG = 63
PACKETS = 1


class Happening(IntEnum):
    """What a step is."""

    CLIENT = 0
    SERVER = 1
    LEFT = 2
    TLS_FAILED = 3


class Step(NamedTuple):
    """One thing that happens, with the bytes that come."""

    happening: Happening
    data: bytes


@dataclass(frozen=True, slots=True)
class Script:
    """A conversation. `slices`: chunks of so many bytes, 0 for whole steps; `form`: PACKETS or not; `legs`: one of the
    ways that the two legs may be secured."""

    capabilities: int
    extended: int
    collation: int
    status: int
    watch: int
    slices: int
    form: int
    legs: int
    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, data: bytes) -> Script:
        """Reads any bytes."""
        head = _HEAD.unpack(data[: _HEAD.size].ljust(_HEAD.size, b"\0"))
        return cls(*head, steps=tuple(_steps(data[_HEAD.size :])))

    def encode(self) -> bytes:
        """What `parse` reads."""
        head = (
            self.capabilities,
            self.extended,
            self.collation,
            self.status,
            self.watch,
            self.slices,
            self.form,
            self.legs,
        )
        return _HEAD.pack(*head) + b"".join(map(_encode, self.steps))

    def chunks(self) -> Iterator[Step]:
        """The steps as they reach the one who reads them."""
        for happening, data in self.steps:
            if happening in (Happening.CLIENT, Happening.SERVER) and self.form & PACKETS and data:
                data = packet(data[0], data[1:])
            size = self.slices or len(data)
            for start in range(0, len(data), size) if size else (0,):
                yield Step(happening, data[start : start + size])


def in_packets(happening: Happening, stream: bytes) -> Iterator[Step]:
    """Cuts whole packets into steps of *packets* form."""
    while stream:
        end = HEADER + int.from_bytes(stream[:3], "little")
        yield Step(happening, stream[3:end])
        stream = stream[end:]


def joined(steps: Iterable[Step]) -> list[Step]:
    """Neighbours of one side as one step."""
    found: list[Step] = []
    for step in steps:
        if found and found[-1].happening is step.happening:
            found[-1] = Step(step.happening, found[-1].data + step.data)
        else:
            found.append(step)
    return found


def _steps(data: bytes) -> Iterator[Step]:
    position = 0
    while position < len(data):
        tag = data[position]
        position += 1
        length = tag // _KINDS
        if length == _LONG:
            length = int.from_bytes(data[position : position + 2], "little")
            position += 2
        yield Step(Happening(tag % _KINDS), data[position : position + length])
        position += length


def _encode(step: Step) -> bytes:
    length = len(step.data)
    if length < _LONG:
        return bytes((length * _KINDS + step.happening,)) + step.data
    return bytes((_LONG * _KINDS + step.happening,)) + length.to_bytes(2, "little") + step.data
