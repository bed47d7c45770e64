"""Names of tables."""

from __future__ import annotations

from typing import NamedTuple


class TableName(NamedTuple):
    """A base table or view, by its schema and its name as information_schema spells them."""

    schema: str
    name: str

    def __str__(self) -> str:
        """`schema.name`, for people; SQL is written with `graph.quoting`."""
        return f"{self.schema}.{self.name}"
