"""What refers to rows that a slice does not have on purpose, counted."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from graph.database import Database
from graph.keys import restriction
from graph.names import TableName
from graph.quoting import identifier, table
from graph.schema import ForeignKey
from graph.slice import Dangling, Slice


def dangling(database: Database, slice_: Slice, left_out: Collection[TableName]) -> Iterator[Dangling]:
    """The foreign keys of the slice's tables by which rows refer to left-out tables, and the undeclared ones by which
    rows refer to nothing."""
    for name in slice_.tables:
        for key in slice_.schema.parents(name):
            if name in left_out or (key.declared and key.parent not in left_out):
                continue
            if rows := _counted(database, slice_, key, parent=key.parent not in left_out):
                reason = "the source does not have them either" if key.parent not in left_out else "they are left out"
                yield Dangling(key, rows, reason)


def orphans(foreign_key: ForeignKey, *, parent: bool = True, mark: str = "") -> str:
    """FROM and WHERE for the child rows (alias `c`) whose foreign key finds no parent.

    With `parent` False there is no such table, and every row that refers to one is an orphan. `mark` stands before the
    names of schemas.
    """
    pairs = list(zip(foreign_key.child_columns, foreign_key.parent_columns, strict=True))
    conditions = [f"c.{identifier(column)} IS NOT NULL" for column, _ in pairs]
    if parent:
        same = " AND ".join(f"p.{identifier(theirs)} = c.{identifier(ours)}" for ours, theirs in pairs)
        conditions.append(f"NOT EXISTS (SELECT 1 FROM {_marked(foreign_key.parent, mark)} AS p WHERE {same})")
    return f"FROM {_marked(foreign_key.child, mark)} AS c WHERE {' AND '.join(conditions)}"


def _marked(name: TableName, mark: str) -> str:
    return table(TableName(mark + name.schema, name.name))


def _counted(database: Database, slice_: Slice, key: ForeignKey, *, parent: bool) -> int:
    """The rows of the slice that refer to a parent, with `parent` those whose parent is not in the source."""
    sliced = slice_.tables[key.child]
    if not sliced.rows:
        return 0
    search = f"SELECT COUNT(*) {orphans(key, parent=parent)}"
    if sliced.whole:
        return int(database.value(search))
    texts = restriction(sliced.table, sliced.keys, qualifier="c.")
    return sum(int(database.value(f"{search} AND ({text})")) for text in texts)
