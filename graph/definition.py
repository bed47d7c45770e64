"""The structure of a slice's tables and views: what the server shows of it, and what goes out.

The export takes it inside its snapshot, when a slice is computed. `dump.sh` and `export --direct` write the statements
that are made of it here, and compare by its digest whether the server still shows the same.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from graph.create_table import create_table
from graph.errors import InputError, ServerError
from graph.names import TableName
from graph.pieces import UnknownFormError
from graph.shown import show_create
from graph.slice import Slice, TableSlice

if TYPE_CHECKING:
    from graph.database import Database

#: Of a table's options: how many rows it has had.
_COUNTER: Final = re.compile(r" AUTO_INCREMENT=[0-9]+")


@dataclass(frozen=True, slots=True)
class Definition:
    """A table's or view's structure.

    `shown` is what SHOW CREATE says, as clients print it; `statement` makes the table, without `;`, and is empty for a
    view. `withheld` and `elsewhere` are those of `CreateTable`.
    """

    shown: str
    statement: str = ""
    engine: str = ""
    withheld: tuple[str, ...] = ()
    elsewhere: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of what is shown, without counters: they change with each new row. `dump.sh` makes the same."""
        lines = [_COUNTER.sub("", line) if line.startswith(")") else line for line in self.shown.split("\n")]
        text = "\n".join(lines).rstrip("\n") + "\n"
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def defined(database: Database, slice_: Slice) -> Slice:
    """The slice with the structure of its tables and views, in the snapshot in which it was computed.

    Raises ServerError for what is not as it was when the schema was read.
    """
    tables = {name: _defined(database, sliced) for name, sliced in slice_.tables.items()}
    return replace(slice_, tables=tables)


def definition(sliced: TableSlice) -> Definition:
    """The structure of a table or view. Raises InputError where it was not taken."""
    if sliced.definition is None:
        raise InputError(f"the structure of {sliced.table.name} was not read")
    return sliced.definition


def require_same(database: Database, sliced: TableSlice) -> None:
    """Raises ServerError unless the server shows the table or view as it did when the slice was computed."""
    name = sliced.table.name
    view = sliced.table.view is not None
    if definition(sliced).digest != Definition(_line(show_create(database, name, view=view))).digest:
        raise _changed(name)


def _defined(database: Database, sliced: TableSlice) -> TableSlice:
    table = sliced.table
    if table.view is not None:
        shown = _line(show_create(database, table.name, view=True)) if table.view else ""
        if table.shown and shown != table.shown:
            raise _changed(table.name)
        return replace(sliced, definition=Definition(shown))
    if not sliced.rows:
        # Once it was read in the snapshot, it cannot be altered.
        database.require_select(table.name)
    row = show_create(database, table.name, view=False)
    try:
        made = create_table(row[1])
    except UnknownFormError:
        raise _changed(table.name) from None
    if list(made.columns) != [(column.name, column.data_type) for column in table.columns]:
        raise _changed(table.name)
    found = Definition(_line(row), made.statement, made.engine, made.withheld, made.elsewhere)
    return replace(sliced, definition=found)


def _changed(name: TableName) -> ServerError:
    return ServerError(f"the structure of {name} was changed while the slice was computed. Export again")


def _line(row: tuple[str, ...]) -> str:
    return "\t".join(row)
