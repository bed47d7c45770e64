"""A brute-force closure, which knows nothing of `graph`, and schemas to try it on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pymysql


@dataclass(frozen=True)
class Link:
    """Rows of `child` need the rows of `parent` with equal values."""

    child: str
    child_columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass
class Case:
    """Tables by name with their columns, key and rows; links between them."""

    ddl: list[str]
    keys: dict[str, tuple[str, ...]]
    links: list[Link]
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def load(self, connection: pymysql.Connection[Any], schema: str) -> None:
        """Makes the tables and fills them, cycles included."""
        with connection.cursor() as cursor:
            cursor.execute(f"USE `{schema}`")
            cursor.execute("SET foreign_key_checks=0")
            for statement in self.ddl:
                cursor.execute(statement)
            for table, rows in self.rows.items():
                for row in rows:
                    columns = ", ".join(f"`{column}`" for column in row)
                    values = ", ".join(["%s"] * len(row))
                    cursor.execute(f"INSERT INTO `{table}` ({columns}) VALUES ({values})", list(row.values()))
            cursor.execute("SET foreign_key_checks=1")
        connection.commit()

    def closure(self, leaves: Mapping[str, Iterable[tuple[Any, ...]]]) -> dict[str, set[tuple[Any, ...]]]:
        """The keys of every table's rows that are needed, by looking at all rows until nothing changes."""
        needed = {table: set(leaves.get(table, ())) for table in self.keys}
        changed = True
        while changed:
            changed = False
            for link in self.links:
                wanted = {
                    values
                    for row in self.rows.get(link.child, [])
                    if self._key(link.child, row) in needed[link.child]
                    and None not in (values := _compared(row, link.child_columns))
                }
                for row in self.rows.get(link.parent, []):
                    key = self._key(link.parent, row)
                    if _compared(row, link.parent_columns) in wanted and key not in needed[link.parent]:
                        needed[link.parent].add(key)
                        changed = True
        return needed

    def _key(self, table: str, row: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(row[column] for column in self.keys[table])


def _compared(row: Mapping[str, Any], columns: Sequence[str]) -> tuple[Any, ...]:
    """As a collation that ignores case and trailing spaces compares."""
    values = (row[column] for column in columns)
    return tuple(value.rstrip(" ").lower() if isinstance(value, str) else value for value in values)
