"""The journal: an append-only file per run of a proxy, from which nothing written is ever lost.

    file    = magic(8) version(u16) length(u32) crc32(u32) header(JSON: paper, analysis, server, created)
    record  = length(u32) kind(u8) time(i64, ns since 1970) crc32(u32) payload crc32 -- see `_FRAME`

All numbers are big-endian. The frame has a checksum of its own, so that a length can be trusted before it is
followed: a record that ends beyond the end of the file is a write that a `kill -9` cut short, and reading stops there;
any other mismatch is damage, and is said. A writer holds a lock on its file for as long as it lives, which tells
a journal that may still grow from one that is complete. Events are packed by a table of fields, never by pickle.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import struct
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from proxy import events
from proxy.errors import HomeError, JournalError
from proxy.events import Event
from proxy.paths import open_private

MAGIC = b"DJPJRNL\n"
VERSION = 2
SUFFIX = ".journal"

_PREFIX = struct.Struct(">8sHII")
_FRAME = struct.Struct(">IBqI")
_HEAD = struct.Struct(">IBq")
_CHECKSUM = struct.Struct(">I")
#: A number and a length, as an executed statement begins.
_STARTS = struct.Struct(">qI")
_EXECUTED = 5
_NUMBER = struct.Struct(">q")
_LENGTH = struct.Struct(">I")
#: The length that stands for None.
_NONE = 0xFFFFFFFF


class Field(Enum):
    """How a field of an event is packed."""

    NUMBER = "number"
    TEXT = "text"
    BYTES = "bytes"
    TEXTS = "texts"
    TABLE = "table"


#: The record kinds of this format version: number → event, fields in the order of the dataclass.
KINDS: dict[int, tuple[type[Any], tuple[Field, ...]]] = {
    1: (events.Connected, (Field.NUMBER, Field.NUMBER, Field.TEXT, Field.TEXT, Field.NUMBER)),
    2: (events.SchemaChanged, (Field.NUMBER, Field.TEXT)),
    3: (events.SessionReset, (Field.NUMBER,)),
    4: (events.UserChanged, (Field.NUMBER, Field.TEXT, Field.TEXT, Field.NUMBER)),
    5: (events.Executed, (Field.NUMBER, Field.BYTES, Field.TEXTS, Field.NUMBER)),
    6: (events.Noted, (Field.NUMBER, Field.TEXT, Field.TEXT, Field.NUMBER)),
    7: (events.Unread, (Field.NUMBER, Field.TEXT, Field.NUMBER, Field.TEXT)),
    8: (events.Lost, (Field.NUMBER, Field.TEXT)),
    9: (events.Closed, (Field.NUMBER,)),
    # Since version 2.
    10: (
        events.Answered,
        (
            *(Field.NUMBER, Field.NUMBER, Field.NUMBER, Field.TEXT),
            *(Field.TABLE, Field.BYTES, Field.TEXT, Field.TEXT),
        ),
    ),
}
_CODES = {event: (code, tuple(zip(event.__match_args__, kinds, strict=True))) for code, (event, kinds) in KINDS.items()}


@dataclass(frozen=True, slots=True)
class Header:
    """What a journal records: for which paper and analysis, from which server; `created` in ns since 1970."""

    paper: str
    analysis: str
    server: str
    created: int


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, when it was written (ns since 1970), and where in the file the next one begins."""

    event: Event
    time: int
    end: int


# -- packing


def _pack_block(data: bytes | None) -> bytes:
    return _LENGTH.pack(_NONE) if data is None else _LENGTH.pack(len(data)) + data


def _pack_text(text: str | None) -> bytes:
    return _pack_block(None if text is None else text.encode("utf-8", "surrogateescape"))


def _pack_texts(texts: Sequence[str] | None) -> bytes:
    if texts is None:
        return _LENGTH.pack(_NONE)
    packed = [_LENGTH.pack(len(texts))]
    for text in texts:
        data = text.encode("utf-8", "surrogateescape")
        packed += (_LENGTH.pack(len(data)), data)
    return b"".join(packed)


@lru_cache(maxsize=1024)
def _pack_table(rows: tuple[tuple[str, ...], ...]) -> bytes:
    """The same few tables come again and again."""
    return _LENGTH.pack(len(rows)) + b"".join(_pack_texts(row) for row in rows)


_PACK: dict[Field, Callable[[Any], bytes]] = {
    Field.NUMBER: _NUMBER.pack,
    Field.TEXT: _pack_text,
    Field.BYTES: _pack_block,
    Field.TEXTS: _pack_texts,
    Field.TABLE: _pack_table,
}


def pack(event: Event, moment: int) -> bytes:
    """One record."""
    if type(event) is events.Executed:
        return _pack_executed(event, moment)
    code, layout = _CODES[type(event)]
    payload = b"".join(_PACK[kind](getattr(event, name)) for name, kind in layout)
    return _record(code, moment, payload)


def _record(code: int, moment: int, payload: bytes) -> bytes:
    frame = _HEAD.pack(len(payload), code, moment)
    return b"".join((frame, _CHECKSUM.pack(zlib.crc32(frame)), payload, _CHECKSUM.pack(zlib.crc32(payload))))


def _pack_executed(event: events.Executed, moment: int) -> bytes:
    """The same as by the table, for what nearly all records are."""
    connection, sql, parameters, length = event
    # A text statement has no parameters, a prepared one without any an empty list.
    count = _pack_texts(parameters) if parameters else _LENGTH.pack(_NONE if parameters is None else 0)
    payload = b"".join((_STARTS.pack(connection, len(sql)), sql, count, _NUMBER.pack(length)))
    return _record(_EXECUTED, moment, payload)


class _Unpacker:
    """The fields of a payload, one after another. Raises ValueError when it ends early."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._position = 0

    def _take(self, size: int) -> bytes:
        piece = self._payload[self._position : self._position + size]
        if len(piece) != size:
            raise ValueError("a field ends beyond its record")
        self._position += size
        return piece

    def _length(self) -> int | None:
        length: int = _LENGTH.unpack(self._take(_LENGTH.size))[0]
        return None if length == _NONE else length

    def _block(self) -> bytes | None:
        length = self._length()
        return None if length is None else self._take(length)

    def _text(self) -> str | None:
        block = self._block()
        return None if block is None else block.decode("utf-8", "surrogateescape")

    def _texts(self) -> tuple[str | None, ...] | None:
        count = self._length()
        return None if count is None else tuple(self._text() for _ in range(count))

    def field(self, kind: Field) -> object:
        """The next field."""
        if kind is Field.NUMBER:
            return _NUMBER.unpack(self._take(_NUMBER.size))[0]
        if kind is Field.TEXT:
            return self._text()
        if kind is Field.BYTES:
            return self._block()
        if kind is Field.TABLE:
            return tuple(self._texts() or () for _ in range(self._length() or 0))
        return self._texts()


def _unpack(code: int, payload: bytes) -> Event:
    if code not in KINDS:
        raise ValueError(f"a record is of the unknown kind {code}")
    event, kinds = KINDS[code]
    unpacker = _Unpacker(payload)
    made: Event = event(*(unpacker.field(kind) for kind in kinds))
    return made


# -- writing


class JournalWriter:
    """The sink of a relay: `write` appends events with one system call. The file is locked while the writer lives."""

    def __init__(self, folder: Path, header: Header, report: Callable[[str], None]) -> None:
        """Make a new journal in a folder. Raises HomeError when it cannot be written.

        `report` is told, once per trouble, when events cannot be written any more and when they can again.
        """
        body = json.dumps(asdict(header), ensure_ascii=False).encode("utf-8", "surrogatepass")
        start = _PREFIX.pack(MAGIC, VERSION, len(body), zlib.crc32(body)) + body
        self.path = folder / f"{header.created}-{uuid.uuid4().hex[:12]}{SUFFIX}"
        self.connections = 0
        self._report = report
        self._lost = False
        self._size = len(start)
        # Under its final name only with a whole header: no reader ever sees half of one.
        unfinished = self.path.with_suffix(".new")
        try:
            self._file = open_private(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            if os.write(self._file, start) != len(start):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            unfinished.rename(self.path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise HomeError(
                f"the journal {self.path} cannot be written ({error.strerror}): free some space, "
                "or choose another folder with --home"
            ) from error

    def write(self, batch: Sequence[Event]) -> None:
        """Append events. Never raises: what cannot be written is reported once, and marked in the journal later."""
        if not batch:
            return
        moment = time.time_ns()
        if type(batch[0]) is events.Connected:
            self.connections += 1
        records = pack(batch[0], moment) if len(batch) == 1 else b"".join([pack(event, moment) for event in batch])
        if self._lost:
            records = pack(events.Lost(0, "the journal could not be written for some time"), moment) + records
        try:
            written = os.write(self._file, records)
            if written != len(records):
                # Half a record would hide all that come after it.
                os.ftruncate(self._file, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._fail(error.strerror or str(error))
            return
        self._size += written
        if self._lost:
            self._lost = False
            self._report(f"the journal {self.path} can be written again; what came in between is lost")

    def _fail(self, why: str) -> None:
        if not self._lost:
            self._lost = True
            self._report(
                f"RECORDING LOST from here on: the journal {self.path} cannot be written ({why}); "
                "clients go on, unrecorded"
            )

    def close(self) -> None:
        """Release the file: the journal is complete. What is written later is reported as lost."""
        os.close(self._file)
        # The number may soon be another file's.
        self._file = -1


# -- reading


def journals(folder: Path) -> list[Path]:
    """The journals in a folder, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _damage(path: Path, offset: int, what: str) -> JournalError:
    return JournalError(
        f"the journal {path} is damaged at byte {offset} ({what}); nothing was changed. What came before is in the "
        "store; to go on without the rest, move the file away"
    )


def read_header(path: Path) -> tuple[Header, int]:
    """The header, and the offset of the first record.

    Raises JournalError for a file that is no journal, a damaged one, or one of a newer version.
    """
    with path.open("rb") as file:
        prefix = file.read(_PREFIX.size)
        if len(prefix) < _PREFIX.size or not prefix.startswith(MAGIC):
            raise _damage(path, 0, "it does not begin as a journal does")
        _, version, length, checksum = _PREFIX.unpack(prefix)
        if version > VERSION:
            raise JournalError(
                f"the journal {path} has format version {version}, this djproxy reads up to {VERSION}; nothing was "
                "changed. Use the newer djproxy that wrote it"
            )
        body = file.read(length)
    if len(body) != length or zlib.crc32(body) != checksum:
        raise _damage(path, _PREFIX.size, "the header's checksum is wrong")
    try:
        header = Header(**json.loads(body))
    except (ValueError, TypeError) as error:
        raise _damage(path, _PREFIX.size, "the header cannot be read") from error
    return header, _PREFIX.size + length


def read(path: Path, offset: int) -> Iterator[Entry]:
    """The entries from an offset that `read_header` or an earlier entry's `end` gave, up to the last whole one.

    Raises JournalError where a record is damaged, after all entries before it.
    """
    with path.open("rb") as file:
        file.seek(offset)
        while entry := _read_one(path, file, offset):
            yield entry
            offset = entry.end


def _read_one(path: Path, file: BinaryIO, offset: int) -> Entry | None:
    frame = file.read(_FRAME.size)
    if len(frame) < _FRAME.size:
        return None
    length, code, moment, checksum = _FRAME.unpack(frame)
    if zlib.crc32(frame[: -_CHECKSUM.size]) != checksum:
        if _only_zeros(frame, file):
            # A power cut can leave a file longer than what was written to it.
            return None
        raise _damage(path, offset, "a record's frame has a wrong checksum")
    rest = file.read(length + _CHECKSUM.size)
    if len(rest) < length + _CHECKSUM.size:
        return None
    payload = rest[:length]
    if zlib.crc32(payload) != _CHECKSUM.unpack(rest[length:])[0]:
        raise _damage(path, offset, "a record has a wrong checksum")
    try:
        event = _unpack(code, payload)
    except (ValueError, struct.error) as error:
        raise _damage(path, offset, str(error)) from error
    return Entry(event, moment, offset + _FRAME.size + len(rest))


def _only_zeros(frame: bytes, file: BinaryIO) -> bool:
    while not any(frame):
        frame = file.read(1 << 20)
        if not frame:
            return True
    return False


def is_written(path: Path) -> bool:
    """Whether a live proxy may still write this journal."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False
