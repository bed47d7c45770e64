"""What refers to rows that a slice does not have on purpose, counted."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from graph import quoting
from graph.database import Database
from graph.keys import restriction
from graph.names import TableName
from graph.schema import ForeignKey
from graph.slice import Dangling, Slice


def dangling(database: Database, slice_: Slice, left_out: Collection[TableName]) -> Iterator[Dangling]:
    """The foreign keys of the slice's tables by which rows refer to left-out tables, and the undeclared ones by which
    rows refer to nothing."""
    for name in slice_.tables:
        for key in slice_.schema.parents(name):
            if name in left_out or (key.declared and key.parent not in left_out):
                continue
            if rows := _orphans(database, slice_, key, parent=key.parent not in left_out):
                reason = "the source does not have them either" if key.parent not in left_out else "they are left out"
                yield Dangling(key, rows, reason)


def _orphans(database: Database, slice_: Slice, key: ForeignKey, *, parent: bool) -> int:
    """The rows of the slice that refer to a parent, with `parent` those whose parent is not in the source."""
    sliced = slice_.tables[key.child]
    if not sliced.rows:
        return 0
    pairs = [
        (f"c.{quoting.identifier(own)}", f"p.{quoting.identifier(far)}")
        for own, far in zip(key.child_columns, key.parent_columns, strict=True)
    ]
    conditions = [f"{own} IS NOT NULL" for own, _ in pairs]
    if parent:
        same = " AND ".join(f"{far} = {own}" for own, far in pairs)
        conditions.append(f"NOT EXISTS (SELECT 1 FROM {quoting.table(key.parent)} p WHERE {same})")
    search = f"SELECT COUNT(*) FROM {quoting.table(key.child)} c WHERE {' AND '.join(conditions)}"
    if sliced.whole:
        return int(database.value(search))
    texts = restriction(sliced.table, sliced.keys, qualifier="c.")
    return sum(int(database.value(f"{search} AND ({text})")) for text in texts)
