"""Tables that an export is told to leave out, and the statements that they keep out of the slice with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Final

from graph.errors import InputError
from graph.leaves import Occurrence, Resolution
from graph.names import TableName
from graph.schema import Schema, view_tables

#: Stands for all tables of a schema.
ALL: Final = "*"

_PART: Final = r"(?:`((?:[^`]|``)+)`|([^.`]+))"
_PATTERN: Final = re.compile(rf"{_PART}\.(?:`((?:[^`]|``)+)`|([^`]+))")


def pattern(text: str) -> TableName:
    """`SCHEMA.TABLE` or `SCHEMA.*`; a name may stand in backticks. Raises InputError."""
    found = _PATTERN.fullmatch(text.strip())
    if found is None:
        raise InputError(f"{text!r} names no table: write SCHEMA.TABLE, or SCHEMA.* for all tables of a schema")
    quoted_schema, schema, quoted_name, name = found.groups()
    return TableName(
        schema or quoted_schema.replace("``", "`"), name if quoted_name is None else quoted_name.replace("``", "`")
    )


def excluded_tables(patterns: Iterable[TableName], schema: Schema) -> frozenset[TableName]:
    """The tables and views that patterns stand for. Raises InputError for one that stands for none."""
    found: set[TableName] = set()
    for each in patterns:
        if each.name == ALL:
            tables = {name for name in schema.tables if _same_schema(name.schema, each.schema, schema)}
        else:
            table = schema.find(each.schema, each.name)
            tables = set() if table is None else {table.name}
        if not tables:
            raise InputError(f"cannot exclude {each}: the server has no such table, or hides it from this account")
        found |= tables
    return frozenset(found)


def matches(table: TableName, patterns: Iterable[TableName]) -> bool:
    """Whether a pattern stands for a table of that name, whatever the case of its letters."""
    schema, name = table.schema.lower(), table.name.lower()
    return any(each.schema.lower() == schema and each.name.lower() in (name, ALL) for each in patterns)


def names_any(occurrences: Iterable[Occurrence], patterns: Collection[TableName]) -> bool:
    """Whether a statement reads a table of the patterns, as far as its text tells."""
    return any(matches(each.table, patterns) for each in occurrences if each.role != "write")


def excluded_by(
    resolution: Resolution, occurrences: Sequence[Occurrence], excluded: Collection[TableName], schema: Schema
) -> tuple[TableName, ...]:
    """The excluded tables that a statement reads, through views too. What is not resolved is judged by its text."""
    if not excluded:
        return ()
    named: Iterable[TableName] = (*resolution.tables, *resolution.views)
    if not resolution.rules:
        read = (each.table for each in occurrences if each.role != "write")
        named = [*named, *(name for table in read for name in _shown(table, schema, set()))]
    return tuple(sorted(set(named) & set(excluded)))


def _shown(table: TableName, schema: Schema, seen: set[TableName]) -> Iterator[TableName]:
    """A table as the server spells it; of a view, what it shows too."""
    found = schema.find(table.schema, table.name)
    if found is None or found.name in seen:
        return
    seen.add(found.name)
    yield found.name
    for below in view_tables(found.view) if found.view else ():
        yield from _shown(below, schema, seen)


def _same_schema(one: str, other: str, schema: Schema) -> bool:
    return one == other or (schema.lower_case_table_names != 0 and one.lower() == other.lower())
