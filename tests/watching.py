"""For tests of results: packets of result sets, and an observer that is asked as the relay asks it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

from mysql_mimic.types import Capabilities, ColumnType

from graph.digest import ResultDigest, encode_row
from proxy.events import Answered, Event, KeyColumn
from proxy.observer import Observer
from proxy.protocol import ExtendedCapabilities, lenenc
from proxy.results import Pin, Watch
from tests.conversation import NEW, eof, frames

ALWAYS = Watch(Pin.ALWAYS, digest=True)
PRIMARY = 0x5003
Row = tuple[bytes | None, ...]


def definition(
    name: str,
    *,
    table: str = "t",
    flags: int = 0,
    code: int = ColumnType.VAR_STRING,
    collation: int = 255,
    decimals: int = 0,
    length: int = 40,
    org_table: str | None = None,
    extended: bytes | None = None,
) -> bytes:
    origin = table if org_table is None else org_table
    texts = (b"def", b"lab" if origin else b"", table.encode(), origin.encode(), name.encode())
    head = b"".join(map(lenenc, (*texts, name.encode() if origin else b"")))
    more = b"" if extended is None else lenenc(extended)
    return head + more + b"\x0c" + struct.pack("<HIBHB", collation, length, code, flags, decimals) + b"\0\0"


ID = definition("id", flags=PRIMARY, code=ColumnType.LONG, collation=63)
NAME = definition("name")
KEY_ID = KeyColumn("lab", "t", "t", "id", "id", "binary")


def result(
    capabilities: Capabilities,
    columns: Sequence[bytes],
    rows: Iterable[Row | bytes],
    *,
    status: int = 2,
    end: bytes | None = None,
) -> bytes:
    """A result set; rows as text rows, or as they are."""
    payloads = [bytes((len(columns),)), *columns]
    if not capabilities & Capabilities.CLIENT_DEPRECATE_EOF:
        payloads.append(eof(capabilities))
    payloads += [row if isinstance(row, bytes) else encode_row(row) for row in rows]
    return frames(*payloads, eof(capabilities, status) if end is None else end)


def digest(rows: Iterable[Row]) -> str:
    taken = ResultDigest()
    for row in rows:
        taken.add(row)
    return taken.hexdigest()


class Talk:
    """A conversation as the relay has it: what a server's bytes gave is asked for once they are forwarded."""

    def __init__(self, capabilities: Capabilities = NEW, watch: Watch = ALWAYS, extended: int = 0) -> None:
        self.observer = Observer(1, capabilities, ExtendedCapabilities(extended), collation=255, status=2, watch=watch)
        self.events: list[Event] = []

    def client(self, data: bytes) -> Talk:
        self.events += self.observer.client_bytes(data)
        return self

    def server(self, data: bytes, piece: int = 1 << 30) -> Talk:
        for start in range(0, len(data), piece):
            self.events += self.observer.server_bytes(data[start : start + piece])
            self.events += self.observer.catch_up()
        return self

    @property
    def answered(self) -> list[Answered]:
        return [event for event in self.events if isinstance(event, Answered)]


ROWS: list[Row] = [(b"1", b"a"), (b"22", None), (b"333", b"x" * 300)]
SELECT = b"SELECT * FROM t"


def whole(rows: Sequence[Row] = ROWS, sql: bytes = SELECT) -> Answered:
    """What is said of a result with the columns id and name."""
    keys = b"".join(encode_row(row[:1]) for row in rows)
    return Answered(1, zlib.crc32(sql), len(rows), digest(rows), (KEY_ID,), keys, "", "")


PREPARED = frames(b"\0" + struct.pack("<IHHBH", 1, 0, 0, 0, 0))
