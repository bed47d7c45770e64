"""Which tables a slice has beside those with rows: only what is needed, or all of the schemas that it touches."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from graph.names import TableName
from graph.schema import Schema


class Structure(StrEnum):
    """NEEDED: the tables that statements name, and ancestors. SCHEMAS: all tables of the schemas of these."""

    NEEDED = "needed"
    SCHEMAS = "schemas"


def whole_schemas(schema: Schema, tables: Iterable[TableName]) -> set[TableName]:
    """All base tables of these tables' schemas, and of the schemas that foreign keys lead to from there.

    Whoever imports a pipeline's module imports those that it refers to, and each declares all of its tables.
    """
    by_schema: dict[str, set[TableName]] = {}
    for table in schema.tables.values():
        if table.view is None:
            by_schema.setdefault(table.name.schema, set()).add(table.name)
    found: set[TableName] = set()
    ahead = schema.ancestors(tables)
    while touched := {name.schema for name in ahead} & by_schema.keys():
        new = set().union(*(by_schema.pop(each) for each in touched))
        found |= new
        ahead = schema.ancestors(new)
    return found
