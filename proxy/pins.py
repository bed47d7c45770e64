"""Keys that results showed: how they are packed in the store, and what `graph` is given of them.

Values come as the server sent them, in the character set of the connection. One that cannot hold every character gives
`?` for those that it lacks, and such a key is no longer the row's: these keys are of no use, and that is said.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence

from graph.statement import Pinned, PinnedColumn
from proxy.charsets import codec, decode
from proxy.events import KeyColumn
from proxy.protocol import Take

#: Character sets that hold every character.
_WHOLE = frozenset(("utf8mb4", "gb18030"))
_UNDECODABLE = re.compile("[\udc80-\udcff]")


class Useless(Exception):
    """Why kept keys say nothing; the message is for people."""


def pack(keys: bytes) -> bytes:
    """As the store keeps them."""
    return zlib.compress(keys, 1)


def unpack(columns: Sequence[KeyColumn], data: bytes) -> Pinned:
    """What a statement's result showed. Raises Useless."""
    readers = [_reader(column) for column in columns]
    rows = frozenset(
        tuple([None if raw is None else read(raw) for read, raw in zip(readers, row, strict=True)])
        for row in _rows(zlib.decompress(data), len(columns))
    )
    return Pinned(tuple(PinnedColumn(c.schema, c.table, c.org_name, c.name) for c in columns), rows)


def _reader(column: KeyColumn) -> Callable[[bytes], str | bytes]:
    charset = column.charset
    if charset == "binary":
        return lambda raw: raw
    if codec(charset or "?") is None:
        raise Useless(f"keys came in the character set {charset or 'of an unknown number'}, which is not known here")
    lossy = charset not in _WHOLE

    def read(raw: bytes) -> str:
        text, _ = decode(raw, charset)
        if (lossy and "?" in text) or _UNDECODABLE.search(text):
            raise Useless(f"keys came in the character set {charset}, which may lack characters of theirs")
        return text

    return read


def _rows(data: bytes, width: int) -> Iterator[list[bytes | None]]:
    """The rows of that many values that make up the data."""
    position = 0
    while position < len(data):
        row: list[bytes | None] = []
        for _ in range(width):
            start, size = position + 1, data[position]
            if size == _NULL:
                row.append(None)
                position = start
                continue
            if size > _NULL:
                take = Take(data, position)
                size = take.length_encoded()
                start = take.position
            position = start + size
            row.append(data[start:position])
        yield row


_NULL = 0xFB
