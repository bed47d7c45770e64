"""Columns whose values do not go out: blanked, or hashed so that equal values stay equal.

A masked table's rows are written by the server itself, with the masked columns as SQL that never shows their values.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from graph import quoting
from graph.errors import InputError
from graph.families import BYTES, DATES, NUMBERS, TEXTS
from graph.names import TableName
from graph.schema import Column, Schema, Table, view_tables

#: What a column that must have a value gets, as SQL.
_BLANKS: Final[Mapping[str, str]] = {
    **dict.fromkeys(TEXTS, "''"),
    **dict.fromkeys(BYTES, "''"),
    **dict.fromkeys(NUMBERS, "0"),
    **dict.fromkeys(DATES, "'1970-01-02'"),
    "time": "'00:00:00'",
    "json": "'null'",
}
#: Hexadecimal digits of a hash, and the fewest that keep values apart.
_LONGEST: Final = 64
_SHORTEST: Final = 16
_LENGTH: Final = re.compile(r"\((\d+)\)")
_COUNT: Final = re.compile(r"\bcount\s*\(\s*\*\s*\)", re.IGNORECASE)
_TABLE: Final = re.compile(r"\btable\b", re.IGNORECASE)
_NATURAL: Final = re.compile(r"\bnatural\b", re.IGNORECASE)


class MaskKind(StrEnum):
    """What becomes of the values."""

    BLANK = "blank"
    HASH = "hash"


@dataclass(frozen=True, slots=True)
class Mask:
    """How a column is masked; the salt makes hashes of one export differ from those of all others."""

    kind: MaskKind
    salt: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Masked:
    """Columns as a plan names them; `at` says where, for people."""

    table: TableName
    columns: tuple[str, ...]
    kind: MaskKind
    at: str = ""


#: By table, the masks of columns.
Masks = Mapping[TableName, Mapping[str, Mask]]


def masks(schema: Schema, masked: Iterable[Masked]) -> dict[TableName, dict[str, Mask]]:
    """What a plan masks. Raises InputError for a column that is not there, is masked twice, or cannot be masked."""
    salt = secrets.token_hex(16)
    found: dict[TableName, dict[str, Mask]] = {}
    for each in masked:
        table = schema.find(*each.table)
        if table is None:
            raise InputError(f"{each.at}: the server has no table {each.table}, or hides it from this account")
        if table.view is not None:
            raise InputError(f"{each.at}: {each.table} is a view; name its base tables")
        for name in each.columns:
            try:
                column = table.column(name)
            except InputError as error:
                raise InputError(f"{each.at}: {error}") from None
            if column.name in found.get(table.name, ()):
                raise InputError(f"{each.at}: column {column.name} of {table.name} is masked twice")
            if why := _obstacle(schema, table, column, each.kind):
                raise InputError(f"{each.at}: column {column.name} of {table.name} cannot be masked: {why}")
            found.setdefault(table.name, {})[column.name] = Mask(each.kind, salt)
    return found


def written(column: Column, mask: Mask) -> str:
    """SQL that gives the masked value as SQL."""
    if mask.kind is MaskKind.BLANK:
        return quoting.string_literal("NULL" if column.nullable else _BLANKS[column.data_type])
    name = quoting.identifier(column.name)
    digest = f"LEFT(SHA2(CONCAT('{mask.salt}', HEX({name})), 256), {_digits(column)})"
    # Not COALESCE: a value that is too long for the server also becomes NULL, and must not pass for one.
    return f"IF({name} IS NULL, 'NULL', CONCAT('''', {digest}, ''''))"


def read_by(sql: str, named: Collection[TableName], schema: Schema, masks: Masks) -> tuple[str, ...]:
    """The masked columns that a statement may look at, from its text; rather one too many.

    `named` are the tables and views that it names.
    """
    tables = [schema.tables[name] for name in named if name in schema.tables]
    shown = {name for table in tables if table.view for name in view_tables(table.view)}
    star = bool(_TABLE.match(sql.lstrip("( \t\r\n"))) or "*" in _COUNT.sub("", sql)
    return tuple(
        f"{name}.{column}"
        for name, columns in masks.items()
        if name in shown or name in named
        for column in columns
        if name in shown or star or _mentions(sql, column, schema.tables[name], tables)
    )


def _mentions(sql: str, column: str, table: Table, tables: Collection[Table]) -> bool:
    # What is computed from the column shows its value, too.
    names = [column, *(each.name for each in table.columns if each.generated)]
    if any(_word(name).search(sql) for name in names):
        return True
    others = (each.name.lower() for other in tables if other.name != table.name for each in other.columns)
    return _NATURAL.search(sql) is not None and column.lower() in others


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(name.replace('`', '``'))}(?!\w)", re.IGNORECASE)


def _obstacle(schema: Schema, table: Table, column: Column, kind: MaskKind) -> str | None:
    if any(column.name in key for key in (table.key, *table.unique)):
        return "it is part of a key"
    if any(column.name in columns for columns in _foreign(schema, table.name)):
        return "it is part of a foreign key"
    if column.generated:
        return "the server computes it; mask what it is computed from"
    if kind is MaskKind.HASH:
        if column.data_type not in TEXTS | BYTES:
            return f"only texts and bytes can be hashed, and it is {column.column_type}; blank it"
        if _digits(column) < _SHORTEST:
            return f"a hash needs room for {_SHORTEST} characters, and it is {column.column_type}; blank it"
    elif not column.nullable and column.data_type not in _BLANKS:
        return f"it must have a value, and none of {column.column_type} says nothing"
    return None


def _foreign(schema: Schema, name: TableName) -> Iterator[tuple[str, ...]]:
    """The columns by which a table refers to others, and by which others refer to it."""
    if name in schema.graph:
        for _, _, data in schema.graph.out_edges(name, data=True):
            yield data["foreign_key"].child_columns
        for _, _, data in schema.graph.in_edges(name, data=True):
            yield data["foreign_key"].parent_columns


def _digits(column: Column) -> int:
    length = _LENGTH.search(column.column_type)
    return min(_LONGEST, int(length.group(1))) if length else _LONGEST
