"""The files outside the database that rows name: from DataJoint's columns and from path columns to a list, and back.

DataJoint 0.14 tracks files in tables `~external_STORE`, 2.x describes them in JSON columns. Nothing here reads a
database or a disk.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Final, TextIO

from graph.errors import InputError
from graph.names import TableName
from graph.visible import escaped, unescaped

#: The store of DataJoint 2.x that is meant where none is named. No store there can have this name.
DEFAULT_STORE: Final = "default"
#: How DataJoint 0.14 spreads files over folders unless its settings say otherwise.
DEFAULT_SUBFOLDING: Final = (2, 2)

_EXTERNAL: Final = "~external_"
_SPECIAL: Final = re.compile('[\t\r\n"]')
_COLUMNS: Final = ("table", "key", "column", "store", "path", "kind", "size", "items", "checksum")


class Kind(StrEnum):
    """What lies at a path; UNKNOWN: the database does not say."""

    FILE = "file"
    FOLDER = "folder"
    UNKNOWN = ""


class Digest(StrEnum):
    """What a checksum is of: a file's bytes, or an attachment's name, a zero byte and the bytes."""

    MD5 = "md5"
    NAMED_MD5 = "named-md5"


@dataclass(frozen=True, slots=True)
class Checksum:
    """`value` in lower-case hexadecimal."""

    digest: Digest
    value: str

    def __str__(self) -> str:
        return f"{self.digest.value}:{self.value}"

    @classmethod
    def parse(cls, text: str) -> Checksum | None:
        """What `str` wrote; None for an empty text. Raises ValueError."""
        if not text:
            return None
        digest, _, value = text.partition(":")
        if not re.fullmatch("[0-9a-f]{32}", value):
            raise ValueError(f"{text!r} is no checksum")
        return cls(Digest(digest), value)


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder in a store; `items` counts the files in a folder."""

    store: str
    path: str
    kind: Kind = Kind.UNKNOWN
    size: int | None = None
    items: int | None = None
    checksum: Checksum | None = None


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A place, and the row that names it: `key` is its WHERE (empty for a table without a key)."""

    table: TableName
    key: str
    column: str
    place: Place


class Outside(ValueError):
    """A path that does not lie in its store's folder; the message says so without the path."""


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """What DataJoint's settings say of a store; `location` is its folder where `protocol` is `file`."""

    protocol: str = "file"
    location: str = ""
    subfolding: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class FileRule:
    """A column that holds paths of files in a folder; in the list that folder is a store of that name."""

    table: TableName
    column: str
    store: str
    folder: str

    def document(self) -> dict[str, str]:
        """As documents have it: what `parse_rule` reads, in two parts."""
        names = (_written(name) for name in (*self.table, self.column))
        return {".".join(names): f"{self.store}={self.folder}"}


_PART: Final = r"(?:`((?:[^`]|``)+)`|([^.:`\s][^.:`]*))"
_RULE: Final = re.compile(rf"\s*{_PART}\.{_PART}\.{_PART}\s*:\s*(?:([\w-]+)=)?(\S.*?)\s*", re.DOTALL)
_PLAIN: Final = re.compile(r"[^.:`\s][^.:`]*")


def parse_rule(text: str) -> FileRule:
    """`SCHEMA.TABLE.COLUMN: FOLDER`, or `… : NAME=FOLDER`; a name may stand in backticks. Raises InputError."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise InputError(
            f"{text!r} is no rule for files: write SCHEMA.TABLE.COLUMN: FOLDER, or SCHEMA.TABLE.COLUMN: NAME=FOLDER"
        )
    *names, store, folder = found.groups()
    quoted, plain = names[0::2], names[1::2]
    schema, table, column = (
        (bare or "").rstrip() or (ticked or "").replace("``", "`") for ticked, bare in zip(quoted, plain, strict=True)
    )
    store = store or _pure(folder).name
    if not store or store == "..":
        raise InputError(f"the folder of {text!r} has no name of its own: write SCHEMA.TABLE.COLUMN: NAME=FOLDER")
    return FileRule(TableName(schema, table), column, store, folder)


def check_rules(rules: Iterable[FileRule]) -> None:
    """Raises InputError for two folders of one name."""
    folders: dict[str, str] = {}
    for rule in rules:
        if folders.setdefault(rule.store, rule.folder) != rule.folder:
            raise InputError(
                f"files of {rule.folder} and of {folders[rule.store]} would both lie in {rule.store}: give one of them "
                "another name, SCHEMA.TABLE.COLUMN: NAME=FOLDER"
            )


def _written(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name == name.strip() else "`" + name.replace("`", "``") + "`"


_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def _pure(path: str) -> PurePath:
    """A path as its writer's system reads it: one that begins with a drive or a server is Windows'."""
    return PureWindowsPath(path) if _WINDOWS.match(path) else PurePosixPath(path)


def inside(path: str, folder: str = "") -> str:
    """A path relative to its store's folder, with `/` between its parts. Raises Outside for one that is not in it.

    An absolute path becomes relative to `folder`, where it lies in that.
    """
    base = _pure(folder)
    found = PureWindowsPath(path) if isinstance(base, PureWindowsPath) else _pure(path)
    if found.is_absolute():
        if not folder or type(found) is not type(base) or not found.is_relative_to(base):
            raise Outside("it is an absolute path that does not lie in the store's folder")
        found = found.relative_to(base)
    if not found.parts or found.anchor or "\0" in path:
        raise Outside("it is no path of anything in the store's folder")
    if ".." in found.parts:
        raise Outside("it leads out of the store's folder by '..'")
    return found.as_posix()


@dataclass(frozen=True, slots=True)
class Codec:
    """The type that DataJoint notes in a column's comment; `store` is None where it names none."""

    name: str
    store: str | None = None


_COMMENT: Final = re.compile(r":(<?)([^:<>@]+)(?:@([^:<>]*))?>?:", re.ASCII)


def codec_of(comment: str) -> Codec | None:
    """The codec of a JSON column of DataJoint 2.x (`:<object@raw>:…`), None for any other comment."""
    found = _COMMENT.match(comment)
    return Codec(found[2].strip(), found[3]) if found and found[1] else None


def external_store(table: TableName) -> str | None:
    """The store of a tracking table of DataJoint 0.14, else None."""
    return table.name.removeprefix(_EXTERNAL) if table.name.startswith(_EXTERNAL) else None


def from_external(
    schema: str,
    store: str,
    row: Mapping[str, Any],
    settings: StoreSettings,
) -> Place:
    """The file that a row of `~external_STORE` tracks: a blob, an attachment or a filepath.

    Raises Outside.
    """
    size = int(row["size"])
    name, path = row["attachment_name"], row["filepath"]
    digest: bytes = row["hash"]
    if path is not None:
        contents: bytes | None = row["contents_hash"]
        checksum = Checksum(Digest.MD5, contents.hex()) if contents else None
        return Place(store, inside(path, settings.location), Kind.FILE, size, None, checksum)
    folds = DEFAULT_SUBFOLDING if settings.subfolding is None else settings.subfolding
    stem = digest.hex()
    folders = "/".join([schema, *_subfolders(stem, folds)])
    if name is None:
        return Place(store, inside(f"{folders}/{stem}"), Kind.FILE, size, None, Checksum(Digest.MD5, stem))
    checksum = Checksum(Digest.NAMED_MD5, stem)
    return Place(store, inside(f"{folders}/{stem}.{name}"), Kind.FILE, size, None, checksum)


def _subfolders(stem: str, folds: Iterable[int]) -> Iterator[str]:
    start = 0
    for length in folds:
        yield stem[start : start + length]
        start += length


def from_json(text: str, codec: Codec, stores: Mapping[str, StoreSettings]) -> Place | None:
    """The file or folder that a value of a codec's JSON column describes; None for JSON that describes none.

    Raises Outside.
    """
    try:
        value = json.loads(text)
    except ValueError:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("path"), str):
        return None
    if codec.store is None and "store" not in value:
        return None
    named = value.get("store") or codec.store
    store = named if isinstance(named, str) and named else DEFAULT_STORE
    folder = stores.get(store, StoreSettings()).location
    kind = Kind.FOLDER if value.get("is_dir") is True else Kind.FILE
    size, items = _number(value.get("size")), _number(value.get("item_count"))
    return Place(store, inside(value["path"], folder), kind, size, items, _base32(value.get("hash")))


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _base32(value: object) -> Checksum | None:
    """DataJoint 2.x writes an MD5 in base 32, in lower case and without padding."""
    if not isinstance(value, str) or len(value) != 26:
        return None
    try:
        digest = base64.b32decode(value.upper() + "======")
    except (binascii.Error, ValueError):
        return None
    return Checksum(Digest.MD5, digest.hex())


def from_path(value: str, rule: FileRule) -> Place | None:
    """The file or folder that a value of a path column means; None for an empty one. Raises Outside."""
    return Place(rule.store, inside(value, rule.folder)) if value.strip() else None


def write(entries: Iterable[FileEntry], file: TextIO) -> None:
    """Writes the list: tab-separated values with a header, quoted as spreadsheets do, hidden characters written out."""
    file.write(_line(_COLUMNS))
    for entry in entries:
        place = entry.place
        facts = (place.store, place.path, place.kind.value, _text(place.size), _text(place.items))
        file.write(_line((str(entry.table), entry.key, entry.column, *facts, str(place.checksum or ""))))


def _line(fields: Iterable[str]) -> str:
    """Not by the csv module: under Python 3.11 it writes a carriage return without quotes."""
    written = map(escaped, fields)
    return "\t".join(f'"{_doubled(each)}"' if _SPECIAL.search(each) else each for each in written) + "\n"


def _doubled(text: str) -> str:
    return text.replace('"', '""')


def read(file: TextIO) -> Iterator[Place]:
    """The places of a list, each as often as rows name it. Raises InputError for what is no list of ours."""
    rows = csv.reader(file, "excel-tab", strict=True)
    try:
        if tuple(next(rows, ())) != _COLUMNS:
            raise InputError("files.tsv has not the columns that this djproxy knows; export again")
        for row in rows:
            _, _, _, store, path, kind, size, items, checksum = map(unescaped, row)
            yield Place(
                store,
                inside(path),
                Kind(kind),
                int(size) if size else None,
                int(items) if items else None,
                Checksum.parse(checksum),
            )
    except (csv.Error, ValueError) as error:
        raise InputError(f"files.tsv, line {rows.line_num}, cannot be understood: {error}") from None


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


@dataclass(frozen=True, slots=True)
class Missed:
    """A value that names a file which the list cannot have."""

    table: TableName
    key: str
    column: str
    value: str
    reason: str


@dataclass(slots=True)
class Tally:
    """What a list holds: entries and bytes by store (where the database knows them), and what it cannot have.

    Of that, the first examples are kept.
    """

    entries: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    missed: int = 0
    examples: list[Missed] = field(default_factory=list)

    def add(self, place: Place) -> None:
        """Counts an entry."""
        self.entries[place.store] = self.entries.get(place.store, 0) + 1
        self.sizes[place.store] = self.sizes.get(place.store, 0) + (place.size or 0)

    def miss(self, missed: Missed, keep: int = 20) -> None:
        """Counts what is no entry."""
        self.missed += 1
        if len(self.examples) < keep:
            self.examples.append(missed)

    @property
    def number(self) -> int:
        """Entries over all stores."""
        return sum(self.entries.values())

    def document(self) -> dict[str, Any]:
        """As review.json has it."""
        return {
            "entries": self.number,
            "stores": {
                store: {"entries": number, "bytes": self.sizes[store]} for store, number in self.entries.items()
            },
            "outside": self.missed,
            "examples": [
                {
                    "table": str(each.table),
                    "key": each.key,
                    "column": each.column,
                    "value": each.value,
                    "reason": each.reason,
                }
                for each in self.examples
            ],
        }
