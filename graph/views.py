"""The views of a slice as SQL."""

from __future__ import annotations

from graph.names import TableName
from graph.quoting import string_literal
from graph.quoting import table as quoted
from graph.schema import Table, view_tables
from graph.selection import present
from graph.slice import Slice


def views(slice_: Slice) -> list[Table]:
    """The views whose definitions are known, those that others read first."""
    waiting = {sliced.table.name: sliced.table for sliced in present(slice_) if sliced.table.view}
    found: list[Table] = []

    def add(name: TableName) -> None:
        view = waiting.pop(name, None)
        if view is None:
            return
        for other in sorted(view_tables(view.view or "")):
            add(other)
        found.append(view)

    for name in list(waiting):
        add(name)
    return found


def create(view: Table, name: TableName | None = None, select: str | None = None) -> str:
    """The statement that makes a view, with the rights of who reads it instead of the source's definer.

    It may get another name and another SELECT.
    """
    form = view.form
    words = [
        *("CREATE", f"ALGORITHM={form.algorithm}" if form.algorithm else ""),
        *("SQL SECURITY INVOKER VIEW", quoted(name or view.name), form.columns, "AS"),
        *(view.view if select is None else select, form.check),
    ]
    statement = f"{' '.join(word for word in words if word)};"
    if not form.collation:
        return statement
    return f"SET collation_connection = {string_literal(form.collation)};\n{statement}\nSET NAMES utf8mb4;"
