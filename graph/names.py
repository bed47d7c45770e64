"""Names of tables, and those that tools keep for themselves."""

from __future__ import annotations

from typing import Final, NamedTuple


class TableName(NamedTuple):
    """A base table or view, by its schema and its name as information_schema spells them."""

    schema: str
    name: str

    def __str__(self) -> str:
        """`schema.name`, for people; SQL is written with `graph.quoting`."""
        return f"{self.schema}.{self.name}"


#: Schemas, in lower case, in which a tool logs what others read: the rows of Spyglass's `common_usage` hold the
#: restrictions of every earlier analysis.
LOG_SCHEMAS: Final = frozenset({"common_usage"})


def is_housekeeping(name: TableName) -> bool:
    """Whether a tool keeps the table for itself: DataJoint's `~log`, `~jobs`, `~~table`, `~lineage` and
    `~external_store`, and a tool's log of what was read."""
    return name.name.startswith("~") or name.schema.lower() in LOG_SCHEMAS


def is_withheld(name: TableName) -> bool:
    """Whether no statement brings rows of the table into a slice; foreign keys and lineage may.

    DataJoint 0.14 lists in `~external_store` the files that rows name: its rows are data.
    """
    return is_housekeeping(name) and not name.name.startswith("~external")
