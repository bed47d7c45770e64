"""Sets of keys in bounded memory: what is beyond the bound waits in a temporary file.

The sets are tables of a SQLite database without a name. SQLite keeps its pages in memory up to the bound, writes others
to a file that it has unlinked as soon as it was opened (nobody else can read it, and no crash leaves it behind), and
computes with whole sets without a Python object for each key: 10 to 16 bytes for a key of one to five integers, 42 for
one of a text of 32 characters.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Any, Final

from graph.keys import key_columns
from graph.schema import Column, Table
from graph.slice import Key

#: Bytes of keys that stay in memory.
DEFAULT_MEMORY: Final = 128 << 20

#: SQLite's integers have a sign.
_HALF: Final = 1 << 63

#: So many keys at a time are Python objects.
_PAGE: Final = 20_000


@dataclass(frozen=True, slots=True)
class _Codec:
    """How SQLite holds a key column's values; None: as they are."""

    encode: Callable[[Any], Any] | None = None
    decode: Callable[[Any], Any] | None = None


def _shifted(value: int) -> int:
    return value - _HALF


def _unshifted(value: int) -> int:
    return value + _HALF


def _digits(value: Decimal) -> str:
    """One text for equal numbers."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


_PLAIN: Final = _Codec()
_UNSIGNED: Final = _Codec(_shifted, _unshifted)
_DECIMAL: Final = _Codec(_digits, Decimal)


def _codec(column: Column) -> _Codec:
    if column.data_type in ("decimal", "timestamp"):
        return _DECIMAL
    if column.data_type == "bit" or (column.data_type == "bigint" and "unsigned" in column.column_type):
        return _UNSIGNED
    return _PLAIN


class KeyStore:
    """Where sets of keys live: in about `memory` bytes, and beyond in a temporary file. `page` keys at a time come out.

    It is closed when nobody refers to it or to one of its sets any more.
    """

    def __init__(self, memory: int = DEFAULT_MEMORY, page: int = _PAGE) -> None:
        self.page = page
        self.connection = sqlite3.connect("", isolation_level=None, cached_statements=512)
        settings = (f"cache_size = -{max(1, memory >> 10)}", "journal_mode = OFF", "temp_store = FILE")
        for setting in settings:
            self.connection.execute(f"PRAGMA {setting}")
        self.connection.execute("BEGIN")
        self._number = 0

    def keys(self, table: Table) -> KeySet:
        """A new set of keys of that table, empty."""
        self._number += 1
        return KeySet(self, table, f"k{self._number}")


class KeySet(Set[Key]):
    """A set of keys of one table that has one. Iteration is in the order of the values, of integers by size.

    Keys belong to generations: to the one that is open when they are added.
    """

    def __init__(self, store: KeyStore, table: Table, name: str) -> None:
        self.store = store
        self.table = table
        self.name = name
        self._run = store.connection.execute
        self._codecs = [_codec(column) for column in key_columns(table)]
        self._plain = all(codec is _PLAIN for codec in self._codecs)
        self._counts = [0]
        self._number = 0
        self._find = f"SELECT 1 FROM {name} WHERE {self._same('?{}', 1)}"
        columns = self._listed(range(len(self._codecs)))
        self._run(f"CREATE TABLE {name} ({columns}, g, PRIMARY KEY ({columns})) WITHOUT ROWID")
        # Nearly all keys are of the first generation, which is not looked for by its number.
        self._run(f"CREATE INDEX {name}g ON {name} (g) WHERE g > 0")

    # Two sets are equal when they hold the same; a dict finds one by what it is.
    __hash__ = object.__hash__

    def __len__(self) -> int:
        return self._number

    def __iter__(self) -> Iterator[Key]:
        return iter(self.since(0))

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, tuple) or len(key) != len(self._codecs):
            return False
        return self._run(self._find, self._encoded(key)).fetchone() is not None

    @classmethod
    def _from_iterable(cls, iterable: Iterable[Key]) -> set[Key]:  # type: ignore[override]
        return set(iterable)

    def next_generation(self) -> int:
        """Closes the open generation, if it has keys; gives the number of the one that is open then."""
        if self._counts[-1]:
            self._counts.append(0)
        return len(self._counts) - 1

    def since(self, generation: int) -> Batch:
        """The keys of that generation and of those after it up to now."""
        return Batch(self, generation, len(self._counts) - 1)

    def count(self, first: int, last: int) -> int:
        """How many keys are of these generations."""
        return sum(self._counts[first : last + 1])

    def add(self, keys: Iterable[Key]) -> int:
        """Adds keys; how many are new."""
        marks = ", ".join("?" * len(self._codecs))
        return self._insert(f"VALUES ({marks}, {self._open})", keys if self._plain else map(self._encoded, keys))

    def add_where(self, pairs: Iterable[tuple[Key, Key]], batch: Batch) -> int:
        """Adds the second of each pair whose first is in the batch; how many are new."""
        width, other = len(self._codecs), batch.keys
        marks = ", ".join(f"?{number}" for number in range(1, width + 1))
        held = f"SELECT 1 FROM {other.name} WHERE {other._same('?{}', width + 1)} AND {batch.condition}"
        rows = ((*self._encoded(wanted), *other._encoded(key)) for key, wanted in pairs)
        return self._insert(f"SELECT {marks}, {self._open} WHERE EXISTS ({held})", rows)

    def add_projected(self, batch: Batch, positions: Sequence[int], among: KeySet | None = None) -> int:
        """Adds the values at these positions of the batch's keys, where they are keys `among` others; how many are new.

        Columns there and here hold values alike, see `alike`.
        """
        source = f"SELECT {self._listed(positions)}, {self._open} FROM {batch.source} WHERE {batch.condition}"
        if among is not None:
            same = " AND ".join(f"a.c{own}=s.c{position}" for own, position in enumerate(positions))
            source += f" AND EXISTS (SELECT 1 FROM {among.name} AS a WHERE {same})"
        return self._insert(source)

    def without(self, existing: KeySet, batch: Batch) -> KeySet:
        """The batch's keys, of this set, that are not among the existing ones."""
        missing = self.store.keys(self.table)
        columns = self._listed(range(len(self._codecs)))
        found = f"SELECT 1 FROM {existing.name} AS e WHERE {existing._same('s.c{}', 0, 'e.')}"
        source = f"SELECT {columns}, 0 FROM {batch.source} WHERE {batch.condition} AND NOT EXISTS ({found})"
        missing._insert(source)
        return missing

    def remove(self, others: KeySet) -> None:
        """Takes the keys of another set out."""
        held = f"EXISTS (SELECT 1 FROM {others.name} AS o WHERE {others._same(f'{self.name}.c{{}}', 0, 'o.')})"
        for generation, number in self._run(f"SELECT g, COUNT(*) FROM {self.name} WHERE {held} GROUP BY g").fetchall():
            self._counts[generation] -= number
            self._number -= number
        self._run(f"DELETE FROM {self.name} WHERE {held}")

    def drop(self) -> None:
        """Frees the room that the set takes; it must not be used any more."""
        self._run(f"DROP TABLE {self.name}")

    @property
    def _open(self) -> int:
        return len(self._counts) - 1

    def _insert(self, source: str, rows: Iterable[Sequence[Any]] | None = None) -> int:
        connection = self.store.connection
        before = connection.total_changes
        sql = f"INSERT OR IGNORE INTO {self.name} {source}"
        if rows is None:
            self._run(sql)
        else:
            connection.executemany(sql, rows)
        new = connection.total_changes - before
        self._counts[-1] += new
        self._number += new
        return new

    def _encoded(self, key: Key) -> Key:
        if self._plain:
            return key
        codecs = zip(self._codecs, key, strict=True)
        return tuple([value if codec.encode is None else codec.encode(value) for codec, value in codecs])

    def decoded(self, rows: Iterable[Key]) -> Iterable[Key]:
        """Keys from what SQLite holds of them."""
        if self._plain:
            return rows
        decoders = [codec.decode for codec in self._codecs]
        return (
            tuple([value if decode is None else decode(value) for decode, value in zip(decoders, row, strict=True)])
            for row in rows
        )

    def _listed(self, positions: Iterable[int]) -> str:
        return ", ".join(f"c{position}" for position in positions)

    def _same(self, other: str, start: int = 0, prefix: str = "") -> str:
        """A condition that every column is equal to another thing, written with its number from `start` on."""
        return " AND ".join(f"{prefix}c{n}={other.format(start + n)}" for n in range(len(self._codecs)))


@dataclass(frozen=True, slots=True)
class Batch:
    """The keys of some generations of a set; it does not change when the set grows."""

    keys: KeySet
    first: int
    last: int

    def __len__(self) -> int:
        return self.keys.count(self.first, self.last)

    def __iter__(self) -> Iterator[Key]:
        return chain.from_iterable(self.pages())

    @property
    def source(self) -> str:
        """SQL for the set's table, `s`, where this batch is to be found in it."""
        return f"{self.keys.name} AS s{f' INDEXED BY {self.keys.name}g' if self.first else ''}"

    @property
    def condition(self) -> str:
        """SQL over the set's table for what is in the batch."""
        if self.first == 0:
            return f"g <= {self.last}"
        return f"g > 0 AND g BETWEEN {self.first} AND {self.last}"

    def pages(self) -> Iterator[list[Key]]:
        """The keys in order, a page of the store at a time."""
        width = len(self.keys.table.key)
        columns = ", ".join(f"c{number}" for number in range(width))
        cursor = self.keys.store.connection.cursor()
        cursor.execute(f"SELECT {columns} FROM {self.source} WHERE {self.condition} ORDER BY {columns}")
        while page := cursor.fetchmany(self.keys.store.page):
            yield list(self.keys.decoded(page))


def alike(one: Column, other: Column) -> bool:
    """Whether keys hold equal values of the two columns in the same way."""
    return _codec(one) is _codec(other)
