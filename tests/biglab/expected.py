"""The rows that a slice must hold: what the paper's statements fetch, closed by plain SQL on the source, table by
table, until nothing is new. Nothing of `graph` is used, and the foreign keys are the model's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from examples.private_server import PrivateServer
from tests.biglab.model import Table, listed
from tests.biglab.paper import Query
from tests.biglab.shape import Lab

_SCHEMA = "biglab_expected"


class Expected:
    """Tables of keys in a schema of the source, dropped at the end of a `with` block."""

    def __init__(self, server: PrivateServer, lab: Lab, queries: Sequence[Query]) -> None:
        self._lab = lab
        self._server = server
        self._connection = server.connect(autocommit=True, database="mysql")
        self._numbers = {id(table): number for number, table in enumerate(lab.tables)}
        self._held: dict[int, Table] = {}
        self._steps: dict[int, list[tuple[Table, tuple[str, ...], tuple[str, ...]]]] = defaultdict(list)
        for table, key in lab.foreign_keys:
            self._steps[id(table)].append((key.parent, key.parent_columns, key.columns))
            if table.name.startswith(f"{key.parent.name}__") and not key.parent.foreign_keys and not key.parent.lookup:
                # A merge table: who has its row needs the part that says where it comes from.
                self._steps[id(key.parent)].append((table, key.columns, key.parent_columns))
        self._run(f"CREATE DATABASE {_SCHEMA} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
        self._close(queries)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Drops the schema."""
        self._run(f"DROP DATABASE {_SCHEMA}")
        self._connection.close()

    @property
    def tables(self) -> list[Table]:
        """Those that have rows, parents before children."""
        return [table for table in self._lab.tables if id(table) in self._held]

    def rows(self, table: Table) -> list[tuple[Any, ...]]:
        """A table's rows."""
        return sorted(
            self._fetch(f"SELECT {values(table)} FROM {table.quoted} JOIN {self._keys(table)} USING ({key_of(table)})")
        )

    def _close(self, queries: Sequence[Query]) -> None:
        ahead: set[int] = set()
        for query in queries:
            for table, sql in query.rows:
                if self._insert(table, sql):
                    ahead.add(self._numbers[id(table)])
        while ahead:
            # Children first: most tables then have all their rows when they are looked at.
            number = max(ahead)
            ahead.discard(number)
            table = self._lab.tables[number]
            for other, theirs, ours in self._steps[id(table)]:
                same = " AND ".join(f"o.`{a}` = t.`{b}`" for a, b in zip(theirs, ours, strict=True))
                keys = ", ".join(f"o.`{name}`" for name in other.key_names)
                sql = (
                    f"SELECT DISTINCT {keys} FROM {self._keys(table)} JOIN {table.quoted} t USING ({key_of(table)})"
                    f" JOIN {other.quoted} o ON {same}"
                )
                if self._insert(other, sql):
                    ahead.add(self._numbers[id(other)])

    def _insert(self, table: Table, sql: str) -> int:
        if id(table) not in self._held:
            self._held[id(table)] = table
            key = key_of(table)
            self._run(
                f"CREATE TABLE {self._keys(table)} (PRIMARY KEY ({key})) SELECT {key} FROM {table.quoted} WHERE FALSE"
            )
        return self._run(f"INSERT IGNORE INTO {self._keys(table)} {sql}")

    def _keys(self, table: Table) -> str:
        return f"{_SCHEMA}.k{self._numbers[id(table)]}"

    def _run(self, sql: str) -> int:
        with self._connection.cursor() as cursor:
            return int(cursor.execute(sql))

    def _fetch(self, sql: str) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())


def key_of(table: Table) -> str:
    """Its key in SQL."""
    return listed(table.key_names)


def values(table: Table) -> str:
    """Its columns as texts that tell every value from every other."""
    return ", ".join(_text(f"{table.quoted}.`{column.name}`", column.type) for column in table.columns)


def _text(name: str, kind: str) -> str:
    if kind in ("float", "double"):
        name = f"CAST({name} AS DOUBLE)"
    return f"COALESCE(HEX({name}), '')" if "b" in kind and kind != "double" else f"COALESCE(CAST({name} AS CHAR), '')"
