"""SHOW CREATE TABLE and SHOW CREATE VIEW."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graph.direct_rows import values
from graph.names import TableName
from graph.quoting import table as quoted

if TYPE_CHECKING:
    from graph.database import Database

#: How many columns the answers have, for tables and for views.
_WIDTHS = {False: 2, True: 4}


def show_create(database: Database, name: TableName, *, view: bool) -> tuple[str, ...]:
    """The row of the answer; a default may have bytes that are no UTF-8."""
    if view:
        # In a view's own schema, the server leaves out its name.
        database.use_system_schema()
    ((payload,),) = database.payloads(f"SHOW CREATE {'VIEW' if view else 'TABLE'} {quoted(name)}")
    row = values(payload, _WIDTHS[view])
    return tuple(bytes(value or b"").decode("utf-8", "surrogateescape") for value in row)
