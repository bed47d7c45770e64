"""Floating-point values that arrive bit for bit.

mysqldump writes what the server shows: a FLOAT has six digits there (1.2345678806 becomes 1.23457), DOUBLE(M,D)
its decimals, and minus zero turns into an integer. The text of a value cast to DOUBLE is exact, so the rows that
would lose something get a statement of their own, written by the server itself: SQL that yields SQL.

Where such a column is outside every key, mysqldump writes the row and an UPDATE corrects it. Where it is in a
key, rounded values may collide or lead an UPDATE astray, so mysqldump leaves the row out and an INSERT brings it.

MariaDB's mysqldump writes generated columns too, which MySQL takes for an error: all rows of such a table get an
INSERT, unless one may be too long for the server to write. So do all rows of a table with masked columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from graph import quoting
from graph.families import ADDRESSES, APPROXIMATE, CHOICES, DATES, NUMBERS, TEXTS
from graph.masks import Mask, written
from graph.schema import Column, Table

_NUMBERS = NUMBERS - APPROXIMATE - {"bit"}
_TEXTS = TEXTS | CHOICES | {"json"}
_TIMES = DATES | ADDRESSES | {"time"}
#: What ON UPDATE CURRENT_TIMESTAMP may change behind an UPDATE's back.
_TOUCHED = frozenset({"timestamp", "datetime"})

#: Values that may be longer than a server can write as SQL.
_LARGE = frozenset({"mediumtext", "longtext", "mediumblob", "longblob", "json"})

_END = "';'"
_END_OF_VALUES = "');'"


class Repair(StrEnum):
    """What brings the rows of a table whose floating-point values mysqldump would change."""

    NONE = "none"
    UPDATE = "update"
    INSERT = "insert"


def repair(table: Table, *, mariadb: bool = False, masked: bool = False) -> Repair:
    """Which of them a table needs. `mariadb`: it is a MariaDB server's; `masked`: some of its columns are, or mysqldump
    cannot write its rows for another reason."""
    if masked or (mariadb and _without_generated(table)):
        return Repair.INSERT
    approximate = {column.name for column in _approximate(table)}
    if not approximate:
        return Repair.NONE
    keyed = {name for key in (table.key, *table.unique) for name in key}
    return Repair.UPDATE if table.key and not approximate & keyed else Repair.INSERT


def loses(table: Table, *, mariadb: bool = False, masked: bool = False) -> str:
    """SQL that is true for the rows that mysqldump would not write as they are to be, else false (never NULL)."""
    if masked or (mariadb and _without_generated(table)):
        return "TRUE"
    return " OR ".join(f"COALESCE({_differs(column)}, FALSE)" for column in _approximate(table))


def statement(
    table: Table, *, mariadb: bool = False, masked: bool = False, masks: Mapping[str, Mask] = MappingProxyType({})
) -> str:
    """SQL that gives, for one row, the statement that brings its exact values, but for those of masked columns, for a
    session that uses its schema.

    NULL when that is longer than the server's max_allowed_packet.
    """
    kind = repair(table, mariadb=mariadb, masked=masked or bool(masks))
    return _update(table) if kind is Repair.UPDATE else _insert(table, masks)


def literal(column: Column) -> str:
    """SQL that gives a column's value as SQL, exact in a session in UTC."""
    name = quoting.identifier(column.name)
    value = _value(column, name)
    # Not COALESCE: a value that is too long for the server also becomes NULL, and must not pass for one.
    return f"IF({name} IS NULL, 'NULL', {value})" if column.nullable else value


def double(name: str) -> str:
    """SQL that gives the exact text of a floating-point column."""
    return f"CAST(CAST({name} AS DOUBLE) AS CHAR)"


def _without_generated(table: Table) -> bool:
    """Whether the rows are to be written without the table's generated columns."""
    return any(c.generated for c in table.columns) and not any(c.data_type in _LARGE for c in table.columns)


def _approximate(table: Table) -> list[Column]:
    return [column for column in _stored(table) if column.data_type in APPROXIMATE]


def _stored(table: Table) -> list[Column]:
    return [column for column in table.columns if not column.generated]


def _differs(column: Column) -> str:
    name = quoting.identifier(column.name)
    shown = f"CAST({name} AS CHAR)"
    return f"CAST({shown} AS {column.data_type.upper()}) <> {name} OR {shown} = '-0'"


def _value(column: Column, name: str) -> str:
    kind = column.data_type
    if kind in APPROXIMATE:
        exact = double(name)
        # The text is dear; only what is equal to zero may be minus zero.
        return f"IF({name} = 0 AND {exact} = '-0', '-0e0', {exact})"
    if kind in _NUMBERS:
        return f"CAST({name} AS CHAR)"
    if kind == "bit":
        return f"CONCAT('b''', BIN({name} + 0), '''')"
    if kind in _TIMES:
        return f"CONCAT('''', CAST({name} AS CHAR), '''')"
    if kind in _TEXTS:
        return f"CONCAT('_utf8mb4 x''', HEX(CONVERT({name} USING utf8mb4)), '''')"
    return f"CONCAT('x''', HEX({name}), '''')"


def _update(table: Table) -> str:
    untouched = [
        f"{name}={name}" for name in (quoting.identifier(c.name) for c in _stored(table) if c.data_type in _TOUCHED)
    ]
    parts = [quoting.string_literal(f"UPDATE {quoting.identifier(table.name.name)} SET ")]
    parts += _assignments(_approximate(table), ", ")
    if untouched:
        parts.append(quoting.string_literal(", " + ", ".join(untouched)))
    parts.append("' WHERE '")
    parts += _assignments([table.column(name) for name in table.key], " AND ")
    return f"CONCAT({', '.join([*parts, _END])})"


def _assignments(columns: Iterable[Column], separator: str) -> list[str]:
    """`name=value` for each column, as arguments of a CONCAT."""
    parts: list[str] = []
    for column in columns:
        between = separator if parts else ""
        parts += [quoting.string_literal(f"{between}{quoting.identifier(column.name)}="), literal(column)]
    return parts


def _insert(table: Table, masks: Mapping[str, Mask]) -> str:
    columns = _stored(table)
    names = ", ".join(quoting.identifier(column.name) for column in columns)
    parts = [quoting.string_literal(f"INSERT INTO {quoting.identifier(table.name.name)} ({names}) VALUES (")]
    for position, column in enumerate(columns):
        mask = masks.get(column.name)
        value = literal(column) if mask is None else written(column, mask)
        parts += [value] if position == 0 else ["','", value]
    return f"CONCAT({', '.join([*parts, _END_OF_VALUES])})"
