"""For tests of the command phase: packets of both ends, and an observer that is given them."""

from __future__ import annotations

import struct

import pytest
from mysql_mimic.types import Capabilities

from proxy.events import Event, Executed
from proxy.observer import Observer
from proxy.protocol import ExtendedCapabilities, lenenc, packet

OLD = Capabilities.CLIENT_PROTOCOL_41 | Capabilities.CLIENT_SECURE_CONNECTION
NEW = OLD | Capabilities.CLIENT_DEPRECATE_EOF | Capabilities.CLIENT_SESSION_TRACK
MORE = 0x0008
CURSOR = 0x0040
NO_BACKSLASH = 0x0200
TRACKED = 0x4000
LONG = [b"\xfc\x00\x10" + b"x" * 4096] * 100
DENIED = b"\xff\x15\x04#28000Access denied"
COLUMN = b"\x03def" + b"\0" * 20
LONG_ROW = b"\xfe" + (1 << 24).to_bytes(8, "little") + b"x" * (1 << 24)


def ok(status: int = 2, changes: bytes | None = None) -> bytes:
    head = b"\0\0\0" + struct.pack("<HH", status | (TRACKED if changes is not None else 0), 0)
    return head if changes is None else head + lenenc(b"") + lenenc(changes)


def eof(capabilities: Capabilities, status: int = 2) -> bytes:
    if capabilities & Capabilities.CLIENT_DEPRECATE_EOF:
        return b"\xfe\0\0" + struct.pack("<HH", status, 0)
    return b"\xfe" + struct.pack("<HH", 0, status)


def frames(*payloads: bytes, start: int = 1) -> bytes:
    """Packets as a server numbers them; long ones in pieces."""
    out = b""
    sequence = start
    for payload in payloads:
        while len(payload) >= 0xFFFFFF:
            out += packet(sequence, payload[:0xFFFFFF])
            payload = payload[0xFFFFFF:]
            sequence += 1
        out += packet(sequence, payload)
        sequence += 1
    return out


def rows(capabilities: Capabilities, *values: bytes, status: int = 2, start: int = 1, columns: int = 1) -> bytes:
    definitions = [COLUMN] * columns
    if not capabilities & Capabilities.CLIENT_DEPRECATE_EOF:
        definitions.append(eof(capabilities))
    return frames(bytes((columns,)), *definitions, *values, eof(capabilities, status), start=start)


def query(sql: bytes) -> bytes:
    return frames(b"\x03" + sql, start=0)


def executed(sql: bytes, parameters: tuple[str, ...] | None = None) -> Executed:
    return Executed(1, sql, parameters, len(sql))


class Talk:
    """A conversation: who sends what, and the events of it all."""

    def __init__(self, capabilities: Capabilities = NEW, extended: int = 0, status: int = 2) -> None:
        self.observer = Observer(1, capabilities, ExtendedCapabilities(extended), collation=255, status=status)
        self.events: list[Event] = []

    def client(self, data: bytes) -> Talk:
        self.events += self.observer.client_bytes(data)
        return self

    def server(self, data: bytes) -> Talk:
        self.events += self.observer.server_bytes(data)
        return self


BOTH = pytest.mark.parametrize("capabilities", [OLD, NEW], ids=["eof", "deprecate_eof"])


def prepare(sql: bytes) -> bytes:
    return frames(b"\x16" + sql, start=0)


def prepared(capabilities: Capabilities, number: int, parameters: int, columns: int) -> bytes:
    definitions: list[bytes] = []
    for count in (parameters, columns):
        definitions += [COLUMN] * count
        if count and not capabilities & Capabilities.CLIENT_DEPRECATE_EOF:
            definitions.append(eof(capabilities))
    return frames(b"\0" + struct.pack("<IHHBH", number, columns, parameters, 0, 0), *definitions)


def execute(number: int, rest: bytes = b"", flags: int = 0, command: int = 0x17) -> bytes:
    return frames(bytes((command,)) + struct.pack("<IBI", number, flags, 1) + rest, start=0)


def long_data(number: int, index: int, data: bytes) -> bytes:
    return frames(b"\x18" + struct.pack("<IH", number, index) + data, start=0)


INT_7 = b"\0\x01\x08\0" + (7).to_bytes(8, "little")
INT_8 = b"\0\0" + (8).to_bytes(8, "little")
