"""The views of a slice as SQL."""

from __future__ import annotations

from graph.names import TableName
from graph.quoting import table as quoted
from graph.schema import view_tables
from graph.selection import present
from graph.slice import Slice


def views(slice_: Slice) -> dict[TableName, str]:
    """The SELECT of each view whose definition is known, those that others read first."""
    waiting = {sliced.table.name: sliced.table.view for sliced in present(slice_) if sliced.table.view}
    found: dict[TableName, str] = {}

    def add(name: TableName) -> None:
        text = waiting.pop(name, None)
        if text is None:
            return
        for other in sorted(view_tables(text)):
            add(other)
        found[name] = text

    for name in list(waiting):
        add(name)
    return found


def create(name: TableName, text: str) -> str:
    """The statement that makes a view, with the rights of who reads it instead of the source's definer."""
    return f"CREATE SQL SECURITY INVOKER VIEW {quoted(name)} AS {text.rstrip().rstrip(';')};"
