"""Reading from the server which files the rows of a slice name; what a row means is in graph.files."""

from __future__ import annotations

import hashlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final

from graph import files, quoting
from graph.database import Database
from graph.errors import InputError
from graph.files import Codec, FileEntry, FileRule, Missed, Outside, Place, StoreSettings, Tally
from graph.keys import decoder, key_columns, key_expression, literal, restriction
from graph.names import TableName
from graph.schema import Schema, Table
from graph.selection import base_tables, restrictions
from graph.slice import Key, Slice, TableSlice

#: Columns of a tracking table of DataJoint 0.14, whose key is the first.
_TRACKING: Final = ("hash", "size", "attachment_name", "filepath", "contents_hash")
#: So many rows of a tracking table at a time; MariaDB reads lists of a thousand by a temporary table.
_PAGE: Final = 900
#: MariaDB has JSON as text.
_JSON_TYPES: Final = frozenset({"json", "longtext"})
#: Bytes of a list that stay in memory.
_SPOOLED: Final = 8 << 20

#: What the plan hides, the list must not tell.
_MASKED: Final = "the plan blanks or hashes it"

_Found = FileEntry | Missed


@dataclass(frozen=True)
class Listing:
    """A list of files as text, in a temporary file that vanishes with it."""

    tally: Tally
    _file: IO[bytes] = field(repr=False)

    def sha256(self) -> str:
        """The digest of the text."""
        self._file.seek(0)
        digest = hashlib.sha256()
        while data := self._file.read(1 << 20):
            digest.update(data)
        return digest.hexdigest()

    def copy_to(self, path: Path) -> None:
        """Writes the text into a new file."""
        self._file.seek(0)
        with path.open("xb") as target:
            shutil.copyfileobj(self._file, target)


def check_rules(schema: Schema, rules: Sequence[FileRule]) -> None:
    """Raises InputError for a rule about a table or column that is not there."""
    files.check_rules(rules)
    for rule in rules:
        table = schema.find(*rule.table)
        if table is None or table.view is not None:
            raise InputError(f"the server has no base table {rule.table} for --files, or hides it from this account")
        table.column(rule.column)


def take(
    database: Database,
    slice_: Slice,
    rules: Sequence[FileRule] = (),
    stores: Mapping[str, StoreSettings] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Listing:
    """The files that the slice's rows name, as they are in the database's snapshot, if it has one open.

    `stores` are DataJoint's own settings, as far as they are known.
    Raises InputError for a rule with the name of a store that lies elsewhere, ServerError.
    """
    # Not closed here: the listing holds it.
    spool = tempfile.SpooledTemporaryFile(_SPOOLED)  # noqa: SIM115
    tally = Tally()
    reader = _Reader(database, slice_, stores or {}, say)
    ruled = {rule.store: rule for rule in rules}

    def entries() -> Iterator[FileEntry]:
        for found in chain(reader.tracked(), reader.described()):
            if isinstance(found, FileEntry) and (rule := ruled.get(found.place.store)):
                _require_same_folder(rule, (stores or {}).get(rule.store))
            yield from _counted(found, tally)
        for found in reader.ruled(rules):
            yield from _counted(found, tally)

    text = io.TextIOWrapper(spool, encoding="utf-8", newline="", write_through=True)
    files.write(entries(), text)
    text.detach()
    return Listing(tally, spool)


def _counted(found: _Found, tally: Tally) -> Iterator[FileEntry]:
    if isinstance(found, Missed):
        tally.miss(found)
    else:
        tally.add(found.place)
        yield found


def _require_same_folder(rule: FileRule, settings: StoreSettings | None) -> None:
    """A rule may name one of DataJoint's stores if it means that one's folder."""
    if settings is None or Path(settings.location) != Path(rule.folder):
        raise InputError(
            f"{rule.store} is a store of DataJoint's: give the folder {rule.folder} of --files another name, "
            "SCHEMA.TABLE.COLUMN: NAME=FOLDER"
        )


@dataclass(frozen=True, slots=True)
class _Reader:
    database: Database
    slice_: Slice
    stores: Mapping[str, StoreSettings]
    say: Callable[[str], None]

    def tracked(self) -> Iterator[_Found]:
        """What tracking tables of DataJoint 0.14 name, under the rows that refer to them where the slice has such."""
        for sliced in self._filled():
            name = sliced.table.name
            store = files.external_store(name)
            if store is None:
                continue
            self.say(f"listing files of {name}")
            known = {column.name for column in sliced.table.columns}
            if sliced.table.key != _TRACKING[:1] or not known.issuperset(_TRACKING):
                yield Missed(name, "", "", "", "it has not the columns by which DataJoint 0.14 tracks files")
                continue
            if not sliced.masks.keys().isdisjoint(_TRACKING):
                yield Missed(name, "", "", "", _MASKED)
                continue
            hashes = self._hashes(sliced)
            while page := list(islice(hashes, _PAGE)):
                yield from self._tracked_page(sliced.table, store, page)

    def _hashes(self, sliced: TableSlice) -> Iterator[bytes]:
        """The keys of a tracking table's rows. Between two of them the connection is free."""
        if not sliced.whole:
            yield from (key[0] for key in sliced.keys)  # type: ignore[misc]
            return
        table, last = sliced.table, b""
        column = quoting.identifier(table.key[0])
        start = f"SELECT {column} FROM {quoting.table(table.name)} WHERE {column} > "
        while page := [
            row[0]
            for row in self.database.rows(f"{start}{quoting.bytes_literal(last)} ORDER BY {column} LIMIT {_PAGE}")
        ]:
            yield from page
            last = page[-1]

    def _tracked_page(self, table: Table, store: str, page: Sequence[bytes]) -> Iterator[_Found]:
        (column,) = key_columns(table)
        among = ", ".join(literal(column, each) for each in page)
        selected = ", ".join(map(quoting.identifier, _TRACKING))
        sql = f"SELECT {selected} FROM {quoting.table(table.name)} WHERE {quoting.identifier(column.name)} IN ({among})"
        rows = {row[0]: dict(zip(_TRACKING, row, strict=True)) for row in self.database.rows(sql)}
        naming: dict[bytes, list[tuple[TableName, str, str]]] = {}
        for child, own in self._references(table):
            name = quoting.identifier(own)
            for key, (digest,) in self._rows(child, (own,), f"{name} IN ({among})"):
                naming.setdefault(digest, []).append((child.table.name, key, own))
        settings = self.stores.get(store, StoreSettings())
        for digest, row in rows.items():
            itself = (table.name, restriction(table, [(digest,)])[0], column.name)
            for where in naming.get(digest, [itself]):
                try:
                    yield FileEntry(*where, files.from_external(table.name.schema, store, row, settings))
                except Outside as error:
                    yield Missed(*where, str(row["filepath"] or row["attachment_name"]), str(error))

    def _references(self, table: Table) -> Iterator[tuple[TableSlice, str]]:
        """The tables of the slice that refer to a tracking table, each with the column."""
        for name in sorted(set(self.slice_.schema.graph.predecessors(table.name))):
            sliced = self.slice_.tables.get(name)
            if sliced is None or not sliced.rows:
                continue
            for key in self.slice_.schema.parents(name):
                if key.parent == table.name and key.parent_columns == table.key:
                    yield sliced, key.child_columns[0]

    def described(self) -> Iterator[_Found]:
        """What JSON columns of DataJoint 2.x describe."""
        for sliced, codecs in self._codecs():
            self.say(f"listing files of {sliced.table.name}")
            for key, values in self._slice_rows(sliced, tuple(codecs)):
                for (column, codec), value in zip(codecs.items(), values, strict=True):
                    if value is not None:
                        yield from _described(sliced.table.name, key, column, codec, value, self.stores)

    def _codecs(self) -> Iterator[tuple[TableSlice, dict[str, Codec]]]:
        """The tables of the slice with columns that a codec of DataJoint 2.x may write JSON into."""
        filled = {sliced.table.name: sliced for sliced in self._filled()}
        found: dict[TableName, dict[str, Codec]] = {}
        schemas = ", ".join(quoting.string_literal(name) for name in sorted({name.schema for name in filled}))
        if not schemas:
            return
        for schema, table, column, comment in self.database.rows(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, COLUMN_COMMENT FROM information_schema.COLUMNS"
            f" WHERE TABLE_SCHEMA IN ({schemas}) AND COLUMN_COMMENT LIKE ':<%'"
        ):
            name, codec = TableName(schema, table), files.codec_of(comment)
            if name not in filled or column in filled[name].masks:
                continue
            if codec and filled[name].table.column(column).data_type in _JSON_TYPES:
                found.setdefault(name, {})[column] = codec
        for name in filled:
            if name in found:
                yield filled[name], found[name]

    def ruled(self, rules: Iterable[FileRule]) -> Iterator[_Found]:
        """What path columns name."""
        for rule in rules:
            table = self.slice_.schema.find(*rule.table)
            sliced = self.slice_.tables.get(table.name) if table else None
            if table is None or sliced is None or not sliced.rows:
                continue
            self.say(f"listing files of {table.name}")
            column = table.column(rule.column).name
            if column in sliced.masks:
                yield Missed(table.name, "", column, "", _MASKED)
                continue
            for key, (value,) in self._slice_rows(sliced, (column,)):
                if value is None:
                    continue
                text = _text(value)
                try:
                    place = files.from_path(text, rule)
                except Outside as error:
                    yield Missed(table.name, key, column, text, str(error))
                    continue
                if place is not None:
                    yield FileEntry(table.name, key, column, place)

    def _filled(self) -> list[TableSlice]:
        return [sliced for sliced in base_tables(self.slice_) if sliced.rows]

    def _slice_rows(self, sliced: TableSlice, columns: Sequence[str]) -> Iterator[tuple[str, tuple[Any, ...]]]:
        for where in restrictions(sliced):
            yield from self._select(sliced.table, columns, where or "TRUE", None)

    def _rows(self, sliced: TableSlice, columns: Sequence[str], where: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """The rows of the slice among those for which a condition holds."""
        yield from self._select(sliced.table, columns, where, None if sliced.whole else sliced.keys)

    def _select(
        self, table: Table, columns: Sequence[str], where: str, keys: object
    ) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Each row's key as a WHERE, and the values of columns. With `keys` only rows of these."""
        own = key_columns(table)
        selected = [key_expression(column, quoting.identifier(column.name)) for column in own]
        selected += [quoting.identifier(name) for name in columns]
        sql = f"SELECT {', '.join(selected)} FROM {quoting.table(table.name)} WHERE ({where})"
        decode = decoder(table)
        for row in self.database.rows(sql):
            key: Key = decode(row[: len(own)]) if own else ()
            if keys is None or key in keys:  # type: ignore[operator]
                yield restriction(table, [key])[0] if own else "", row[len(own) :]


def _described(
    table: TableName, key: str, column: str, codec: Codec, value: Any, stores: Mapping[str, StoreSettings]
) -> Iterator[_Found]:
    text = _text(value)
    try:
        place: Place | None = files.from_json(text, codec, stores)
    except Outside as error:
        yield Missed(table, key, column, text, str(error))
        return
    if place is not None:
        yield FileEntry(table, key, column, place)
    elif codec.store is not None:
        yield Missed(table, key, column, text, f"what the codec <{codec.name}@> wrote names no path")


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
