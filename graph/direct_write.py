"""`export --run --direct`: the slice into a file, by the connection and in the snapshot in which it was computed."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from graph import fingerprint
from graph.bash import use
from graph.database import Database
from graph.definition import definition, require_same
from graph.direct import RowForm, TooLong, insert_head, inserts, mark, row_form, schema_mark
from graph.direct_rows import only_value, values
from graph.errors import InputError, ServerError
from graph.fingerprint import Fingerprint
from graph.names import TableName
from graph.pace import Pace
from graph.quoting import table as quoted
from graph.renaming import schemas
from graph.script import FOOTER, HEADER, create_database
from graph.selection import base_tables, restrictions
from graph.slice import Slice, TableSlice
from graph.views import create, views
from graph.words import counted

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_OPTIONS: Final[dict[int, int]] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,
    # Compresses beside the reading.
    zstd.CompressionParameter.nb_workers: 1,
}


@dataclass(frozen=True, slots=True)
class Packed:
    """A slice in a file, compressed, and the file's SHA-256."""

    path: Path
    sha256: str


@contextmanager
def room_beside(folder: Path) -> Iterator[Path]:
    """A folder for a file that is to be moved into that one, which need not exist; gone with all in it at the end.

    Raises InputError when it cannot be made.
    """
    target = folder.absolute()
    parent = next(path for path in target.parents if path.is_dir())
    try:
        room = tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=parent, ignore_cleanup_errors=True)
    except OSError as error:
        raise InputError(f"cannot write into {parent}: {error.strerror or error}") from error
    with room as name:
        yield Path(name)


def write_slice(
    database: Database,
    slice_: Slice,
    fingerprints: Mapping[TableName, Fingerprint],
    path: Path,
    say: Callable[[str], None],
) -> Packed:
    """Writes a slice, in the database's snapshot, into a new file.

    Raises InputError when it cannot be written, ServerError, also for rows that changed in a table whose engine has no
    snapshots, and GrantError.
    """
    try:
        with _Writer(path) as writer:
            _write(_Reading(database, slice_, fingerprints, say, Pace(say)), writer)
    except OSError as error:
        raise InputError(f"cannot write the slice into {path.parent}: {error.strerror or error}") from error
    return Packed(path, writer.sha256)


class _Writer:
    """A file that is compressed as it is written."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._packer = zstd.ZstdCompressor(options=_OPTIONS)
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._put(self._packer.flush())

    @property
    def sha256(self) -> str:
        """Of what is in the file."""
        return self._digest.hexdigest()

    def text(self, text: str) -> None:
        self.write(text.encode("utf-8", "surrogateescape"))

    def write(self, data: bytes) -> None:
        self._put(self._packer.compress(data))

    def _put(self, packed: bytes) -> None:
        self._digest.update(packed)
        self._file.write(packed)


@dataclass(frozen=True, slots=True)
class _Reading:
    database: Database
    slice: Slice
    fingerprints: Mapping[TableName, Fingerprint]
    say: Callable[[str], None]
    pace: Pace


def _write(reading: _Reading, writer: _Writer) -> None:
    slice_ = reading.slice
    writer.text(f"{HEADER}\n{mark('begin', 'structure')}")
    _write_structure(reading, writer)
    writer.text(mark("end", "structure"))
    numbers = {schema: number for number, schema in enumerate(schemas(slice_), 1)}
    for sliced in base_tables(slice_):
        if sliced.rows:
            name = sliced.table.name
            writer.text(schema_mark(numbers[name.schema], name.schema))
            _write_rows(reading, sliced, writer)
            if definition(sliced).engine.lower() != "innodb":
                _require_unchanged(reading, sliced)
        require_same(reading.database, sliced)
    made = views(slice_)
    statements = [create(view) for view in made]
    if statements:
        writer.text("\n".join([mark("begin", "views").rstrip(), *statements, mark("end", "views")]))
    for view in made:
        require_same(reading.database, slice_.tables[view.name])
    writer.text(f"{FOOTER}\n")


def _write_structure(reading: _Reading, writer: _Writer) -> None:
    """Schemas and tables."""
    for schema in schemas(reading.slice):
        beginning, query = create_database(schema)
        rest = reading.database.value(query)
        if rest is None:
            raise InputError(f"this account sees no database {schema} on this server")
        writer.text(f"{beginning}{rest}\n{use(schema)}\n")
        for sliced in base_tables(reading.slice):
            if sliced.table.name.schema == schema:
                writer.text(f"{definition(sliced).statement};\n")


def _write_rows(reading: _Reading, sliced: TableSlice, writer: _Writer) -> None:
    name = sliced.table.name
    reading.say(f"{name}: writing {counted(sliced.rows)}")
    counter = _Counter(reading.pace, name)
    form = row_form(sliced.table, sliced.masks)
    select = f"SELECT {form.select} FROM {quoted(name)} WHERE "
    texts = (select + (where or "TRUE") for where in restrictions(sliced))
    try:
        for data in inserts(insert_head(sliced.table), counter.counted(_rows(reading.database, texts, form))):
            writer.write(data)
    except TooLong:
        raise InputError(
            f"a row of {name}, written as SQL, is longer than the server's max_allowed_packet; raise that limit"
        ) from None
    reading.pace.end(name, counter.rows)
    if counter.rows != sliced.rows:
        raise ServerError(
            f"{name} changed while it was read: {sliced.rows} rows were expected, {counter.rows} came. Export again"
        )


def _rows(database: Database, queries: Iterator[str], form: RowForm) -> Iterator[list[Sequence[bytes]]]:
    """The rows in pieces, as many at a time as have come."""
    number = len(form.writers)
    for sql in queries:
        with closing(database.payloads(sql)) as pages:
            for page in pages:
                if number == 1:
                    (write,) = form.writers
                    yield [(write(only_value(payload)),) for payload in page]
                else:
                    yield [
                        [write(value) for write, value in zip(form.writers, values(payload, number), strict=True)]
                        for payload in page
                    ]


class _Counter:
    """Counts rows on their way, and says how fast they come."""

    def __init__(self, pace: Pace, name: TableName) -> None:
        self.rows = 0
        self._pace = pace
        self._name = name

    def counted(self, pages: Iterator[list[Sequence[bytes]]]) -> Iterator[Sequence[bytes]]:
        """The rows one by one."""
        for page in pages:
            self.rows += len(page)
            self._pace.tell(self._name, len(page), self.rows)
            yield from page


def _require_unchanged(reading: _Reading, sliced: TableSlice) -> None:
    """Of a table whose engine has no snapshots."""
    name = sliced.table.name
    if name in reading.fingerprints and fingerprint.of(reading.database, sliced) != reading.fingerprints[name]:
        raise ServerError(f"{name} changed while it was read, and its engine has no snapshots. Export again")
