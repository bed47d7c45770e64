"""SQL that adds a slice to tables that exist: from a fresh copy, in schemas whose names have a mark before them.

`n` is a row of the fresh copy, `o` one that was there. A row whose key is there already stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graph.families import ADDRESSES, CHOICES, DATES, NUMBERS, TEXTS
from graph.names import TableName
from graph.quoting import identifier, string_literal
from graph.quoting import table as quoted
from graph.renaming import literal, marked, schemas
from graph.schema import Column, ForeignKey, Table
from graph.selection import base_tables
from graph.slice import Slice
from graph.visible import visible

_TEXTS = TEXTS | CHOICES
_PLAIN = NUMBERS | DATES | ADDRESSES | {"time"}
#: How many of the rows that stay are named.
_EXAMPLES = 5


def checks(labelled: Iterable[tuple[str, str]], mark: str) -> str:
    """Queries that give a line for each problem, as `restore.sh` reads them: each after what it is about."""
    return "\n".join(f"SELECT {literal(f'checking {visible(label)}', mark)};\n{sql}" for label, sql in labelled)


def obstacles(slice_: Slice, foreign_keys: Sequence[ForeignKey], mark: str) -> Iterator[tuple[str, str]]:
    """What keeps the slice from being added at all: nothing is written then."""
    for schema in schemas(slice_):
        yield f"the columns in {schema}", _columns(schema, mark)
    for sliced in base_tables(slice_):
        table = sliced.table
        if not table.key and sliced.rows:
            words = string_literal(f"{table.name} has no key and is not empty, so that its rows cannot be told apart")
            yield f"the key of {table.name}", f"SELECT {words} FROM {quoted(table.name)} LIMIT 1;"
        for unique in table.unique:
            if table.key and unique != table.key:
                yield f"the unique keys of {table.name}", _collision(table, unique, mark)
    for key in foreign_keys:
        parent = slice_.tables.get(key.parent)
        if parent and parent.table.key and not set(parent.table.key) <= set(key.parent_columns):
            yield f"foreign key {key.name} of {key.child}", _changed_parent(key, parent.table, mark)


def kept(slice_: Slice, mark: str) -> Iterator[tuple[str, str]]:
    """The rows that exist with other values: how many, and some of them."""
    for sliced in base_tables(slice_):
        table = sliced.table
        others = [c for c in table.columns if c.name not in table.key and not c.generated]
        if not table.key or not others:
            continue
        differs = f"NOT ({' AND '.join(_same(column) for column in others)})"
        rows = f"FROM {_pair(table, table.key, mark)} WHERE {differs}"
        words = string_literal(" rows exist with other values, which stay as they are:")
        shown = ", ', ', ".join(_shown(table.column(name)) for name in table.key)
        count = f"SELECT CONCAT({string_literal(f'{table.name}: ')}, COUNT(*), {words}) {rows} HAVING COUNT(*) > 0;"
        yield f"the rows of {table.name}", f"{count}\nSELECT CONCAT('  ', {shown}) {rows} LIMIT {_EXAMPLES};"


def merge(slice_: Slice, mark: str) -> str:
    """Adds the rows, all of them or none; gives a line for each table."""
    lines = [
        "SET foreign_key_checks = 0, sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';",
        # What the slice has, its source had: with checks that are not enforced there, or not yet.
        "/*M!100201 SET check_constraint_checks = 0 */;",
        "START TRANSACTION;",
    ]
    for sliced in base_tables(slice_):
        if sliced.rows:
            before = string_literal(f"{sliced.table.name}: added ")
            after = string_literal(f" of {sliced.rows} rows, the others were there")
            lines += [_insert(sliced.table, mark), f"SELECT CONCAT({before}, ROW_COUNT(), {after});"]
    return "\n".join([*lines, "COMMIT;"])


def arrived(slice_: Slice, foreign_keys: Sequence[ForeignKey], mark: str) -> Iterator[tuple[str, str]]:
    """Whether every row of the slice is there, and every foreign key of these rows leads somewhere."""
    for sliced in base_tables(slice_):
        table = sliced.table
        words = [string_literal(text) for text in (f"{table.name} holds ", f" of the {sliced.rows} rows")]
        if not sliced.rows:
            continue
        pairs = _pair(table, table.key, mark) if table.key else quoted(table.name)
        count = f"SELECT CONCAT({words[0]}, COUNT(*), {words[1]}) FROM {pairs} HAVING COUNT(*) <> {sliced.rows};"
        yield f"the rows of {table.name}", count
    for key in foreign_keys:
        if key.parent in slice_.tables:
            words = [string_literal(f" rows of {key.child} have no row in {key.parent} by foreign key {key.name}")]
            given = " AND ".join(f"n.{identifier(column)} IS NOT NULL" for column in key.child_columns)
            search = f"FROM {_fresh(key.child, mark)} WHERE {given} AND {_orphaned(key)}"
            beyond = f"HAVING COUNT(*) > {slice_.dangling_rows(key)};"
            yield f"foreign key {key.name} of {key.child}", f"SELECT CONCAT(COUNT(*), {words[0]}) {search} {beyond}"


_ANY = "HAVING COUNT(*) > 0;"


def _fresh(name: TableName, mark: str) -> str:
    return f"{quoted(marked(name, mark))} AS n"


def _pair(table: Table, columns: Sequence[str], mark: str) -> str:
    """Fresh rows with those that were there and agree with them in these columns."""
    return f"{_fresh(table.name, mark)} JOIN {quoted(table.name)} AS o ON {_equal(columns, columns)}"


def _equal(old: Sequence[str], new: Sequence[str], row: str = "o") -> str:
    return " AND ".join(f"{row}.{identifier(a)} = n.{identifier(b)}" for a, b in zip(old, new, strict=True))


def _columns(schema: str, mark: str) -> str:
    """Columns that are missing or of another kind than in the fresh copy."""
    ours, theirs = string_literal(schema), literal(mark + schema, mark)
    same = "o.COLUMN_TYPE = n.COLUMN_TYPE AND o.COLLATION_NAME <=> n.COLLATION_NAME"
    kind = "CONCAT_WS(' ', {0}.COLUMN_TYPE, {0}.COLLATION_NAME)"
    return (
        f"SELECT CONCAT({ours}, '.', n.TABLE_NAME, ' has the column ', n.COLUMN_NAME, ' as ',"
        f" COALESCE(NULLIF({kind.format('o')}, ''), 'nothing'), ', the slice as ', {kind.format('n')})"
        " FROM information_schema.COLUMNS AS n LEFT JOIN information_schema.COLUMNS AS o"
        f" ON o.TABLE_SCHEMA = {ours} AND o.TABLE_NAME = n.TABLE_NAME AND o.COLUMN_NAME = n.COLUMN_NAME"
        f" WHERE n.TABLE_SCHEMA = {theirs} AND (o.COLUMN_NAME IS NULL OR NOT ({same}));"
    )


def _collision(table: Table, unique: Sequence[str], mark: str) -> str:
    words = string_literal(f" rows have values that others there have in the unique key ({', '.join(unique)})")
    other = f"NOT ({_equal(table.key, table.key)})"
    rows = f"FROM {_pair(table, unique, mark)} WHERE {other}"
    return f"SELECT CONCAT({string_literal(f'{table.name}: ')}, COUNT(*), {words}) {rows} {_ANY}"


def _changed_parent(key: ForeignKey, parent: Table, mark: str) -> str:
    """Rows that refer, by other columns than the parent's key, to one that is there with other values."""
    words = string_literal(f" rows refer to rows of {key.parent} that are there with other values")
    ours = f"{quoted(marked(key.parent, mark))} AS f"
    found = _equal(key.parent_columns, key.child_columns, "f")
    there = " AND ".join(f"o.{identifier(name)} = f.{identifier(name)}" for name in parent.key)
    return (
        f"SELECT CONCAT({string_literal(f'{key.child}: ')}, COUNT(*), {words}) FROM {_fresh(key.child, mark)}"
        f" JOIN {ours} ON {found} JOIN {quoted(key.parent)} AS o ON {there} WHERE {_orphaned(key)} {_ANY}"
    )


def _orphaned(key: ForeignKey) -> str:
    same = _equal(key.parent_columns, key.child_columns, "p")
    return f"NOT EXISTS (SELECT 1 FROM {quoted(key.parent)} AS p WHERE {same})"


def _insert(table: Table, mark: str) -> str:
    stored = [identifier(column.name) for column in table.columns if not column.generated]
    new = ", ".join(f"n.{name}" for name in stored)
    insert = f"INSERT INTO {quoted(table.name)} ({', '.join(stored)}) SELECT {new} FROM {_fresh(table.name, mark)}"
    if not table.key:
        return f"{insert};"
    there = f"LEFT JOIN {quoted(table.name)} AS o ON {_equal(table.key, table.key)}"
    return f"{insert} {there} WHERE o.{identifier(table.key[0])} IS NULL;"


def _same(column: Column) -> str:
    """SQL that is true when both rows have the same value, to the byte."""
    return f"{_value(column, 'n')} <=> {_value(column, 'o')}"


def _value(column: Column, row: str) -> str:
    name = f"{row}.{identifier(column.name)}"
    if column.data_type in _PLAIN:
        return name
    if column.data_type == "json":
        name = f"CAST({name} AS CHAR)"
    if column.data_type in _TEXTS or column.data_type == "json":
        return f"CAST(CONVERT({name} USING utf8mb4) AS BINARY)"
    return f"HEX({name})"


def _shown(column: Column) -> str:
    """SQL that shows a key column of the fresh row to people."""
    name = f"n.{identifier(column.name)}"
    known = column.data_type in _TEXTS or (column.data_type in _PLAIN and column.data_type != "bit")
    value = f"CONVERT({name} USING utf8mb4)" if known else f"HEX({name})"
    return f"{string_literal(f'{column.name}=')}, {value}"
