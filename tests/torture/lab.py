"""A source and a copy of it on one server, and what is asked of them."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pymysql

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress, TlsSettings
from graph.names import TableName
from graph.schema import Schema, read_schema
from graph.selection import base_tables, restrictions
from graph.slice import Slice
from tests.torture.model import Model, View, quoted

#: A row of a base table: the table's name and all values as the server writes them.
RowId = tuple[str, tuple[Any, ...]]
#: Longer than any query over a handful of rows should take.
LONGEST_SECONDS = 5
#: What optimizers do to nested queries; without it the same query must give the same rows.
REWRITES = {
    "mysql": "semijoin materialization derived_merge derived_condition_pushdown subquery_to_derived hash_intersect",
    "mariadb": """semijoin materialization derived_merge derived_with_keys condition_pushdown_for_derived
    condition_pushdown_for_subquery condition_pushdown_from_having split_materialized subquery_cache
    exists_to_in join_cache_hashed outer_join_with_cache""",
}


#: What a client says when the server hangs up.
GONE = frozenset({2006, 2013})


@dataclass(frozen=True)
class Answer:
    """What a query gave, in the server's order."""

    rows: tuple[tuple[Any, ...], ...]

    def same(self, other: Answer, *, ordered: bool) -> bool:
        """Whether both are the same list, or the same multiset."""
        return self.rows == other.rows if ordered else Counter(self.rows) == Counter(other.rows)


class ServerGone(Exception):
    """The server died of a statement; the message is that."""


class Lab:
    """Holds one model at a time; a context manager."""

    def __init__(self, server: PrivateServer) -> None:
        suffix = secrets.token_hex(4)
        self.flavour = server.flavour
        self.source, self.copy = f"torture_src_{suffix}", f"torture_cpy_{suffix}"
        self.bare = f"torture_bare_{suffix}"
        self._server = server
        self._options = {"autocommit": True, "conv": {}, "unix_socket": str(server.socket), "ssl_disabled": True}
        self._connection = server.connect(**self._options)
        bound = f"max_execution_time = {LONGEST_SECONDS}000" if server.flavour == "mysql" else "max_statement_time = 5"
        for scope in ("GLOBAL", "SESSION"):
            self.run(f"SET {scope} {bound}")
        self.run("SET foreign_key_checks = 0, @two = 2")
        self.sql_mode = str(self.run("SELECT @@GLOBAL.sql_mode").rows[0][0])
        address = ServerAddress(server.host, server.port, server.socket)
        self.database = Database.connect(address, Credentials(server.user, server.password, TlsSettings(disabled=True)))
        self.schema: Schema
        self.links: dict[RowId, set[RowId]] = {}
        self.rows: set[RowId] = set()
        #: Counts what was held: two answers under one number are about the same rows.
        self.version = 0

    def __enter__(self) -> Lab:
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(ServerGone):
            for name in (self.source, self.copy):
                self.run(f"DROP DATABASE IF EXISTS {name}")
            self._connection.close()
        self.database.close()

    def run(self, sql: str) -> Answer:
        """Runs a statement in the current default schema. Raises ServerGone when there is no server any more."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql)
                return Answer(tuple(cursor.fetchall()))
        except Rejected as error:
            if isinstance(error, pymysql.err.InterfaceError) or error.args[0] in GONE:
                raise ServerGone(sql) from error
            raise

    def ask(self, sql: str, schema: str, mode: str = "") -> Answer:
        """Runs a query in a schema; it writes that schema's name as `{S}` where it qualifies a table.

        `mode` is added to the server's own sql_mode.
        """
        self._connection.select_db(schema)
        if mode:
            self.run(f"SET sql_mode = '{self.sql_mode},{mode}'")
        try:
            return self.run(sql.replace("{S}", schema))
        finally:
            if mode:
                self.run(f"SET sql_mode = '{self.sql_mode}'")

    def ask_plainly(self, sql: str, schema: str, mode: str = "") -> Answer:
        """As `ask`, while the optimizer rewrites as little as it can."""
        known = str(self.run("SELECT @@optimizer_switch").rows[0][0])
        off = [f"{name}=off" for name in REWRITES[self.flavour].split() if f"{name}=" in known]
        self.run(f"SET optimizer_switch = '{','.join(off)}'")
        try:
            return self.ask(sql, schema, mode)
        finally:
            self.run("SET optimizer_switch = DEFAULT")

    def ask_without_indexes(self, sql: str, schema: str, mode: str = "") -> Answer:
        """As `ask`, on tables with the same rows and no index.

        On a connection of its own, which sees what this one has not committed.
        """
        steps = [
            "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
            "SET sql_mode = '', @two = 2",
            f"CREATE DATABASE {self.bare}",
            f"USE {self.bare}",
            *(f"CREATE TABLE {name} AS SELECT * FROM {schema}.{name}" for name in self._names()),
            *(view.sql() for view in self.model.views),
            f"SET sql_mode = '{self.sql_mode},{mode}'" if mode else "SET sql_mode = @@GLOBAL.sql_mode",
            sql.replace("{S}", self.bare),
        ]
        with self._server.connect(**self._options) as other, other.cursor() as cursor:
            try:
                for step in steps:
                    cursor.execute(step)
                return Answer(tuple(cursor.fetchall()))
            finally:
                cursor.execute(f"DROP DATABASE IF EXISTS {self.bare}")

    def _names(self) -> list[str]:
        return [quoted(table.name) for table in self.model.tables]

    def load(self, model: Model) -> None:
        """Builds source and copy anew and fills the source."""
        self.model = model
        for name in (self.source, self.copy):
            self.run(f"DROP DATABASE IF EXISTS {name}")
            self.run(f"CREATE DATABASE {name}")
            self._connection.select_db(name)
            for statement in model.structure():
                self.run(statement)
        self._connection.select_db(self.source)
        for statement in model.inserts():
            self.run(statement)
        self.read()

    def refill(self, model: Model) -> None:
        """Gives the source other rows of the same tables."""
        self.model = model
        self._connection.select_db(self.source)
        for table in model.tables:
            self.run(f"DELETE FROM {quoted(table.name)}")
        for statement in model.inserts():
            self.run(statement)
        self.read()

    def create_view(self, view: View) -> None:
        """Adds a view to both, and reads the schema again."""
        for name in (self.source, self.copy):
            self._connection.select_db(name)
            self.run(view.sql())
        self.model = replace(self.model, views=(*self.model.views, view))
        self._read_schema()

    def drop_view(self, view: View) -> None:
        """Takes a view away where it is."""
        for name in (self.source, self.copy):
            self.run(f"DROP VIEW IF EXISTS {name}.{quoted(view.name)}")

    def read(self) -> None:
        """Reads the schema as `graph` does, and the rows and their parents by the generator's own model."""
        self._read_schema()
        self.rows = self.rows_in(self.source)
        self.links = {}
        for key in self.model.foreign_keys:
            same = " AND ".join(
                f"p.{quoted(far)} = c.{quoted(own)}" for own, far in zip(key.columns, key.parent_columns, strict=True)
            )
            found = self.ask(
                f"SELECT c.*, p.* FROM {quoted(key.child)} c JOIN {quoted(key.parent)} p ON {same}", self.source
            )
            width = len(self.model.table(key.child).columns)
            for row in found.rows:
                child, parent = (key.child, row[:width]), (key.parent, row[width:])
                self.links.setdefault(child, set()).add(parent)

    def _read_schema(self) -> None:
        self.version += 1
        self.schema = read_schema(self.database, [TableName(self.source, table.name) for table in self.model.tables])

    def rows_in(self, schema: str) -> set[RowId]:
        """All rows of all base tables."""
        return {
            (table.name, row)
            for table in self.model.tables
            for row in self.ask(f"SELECT * FROM {quoted(table.name)}", schema).rows
        }

    @contextmanager
    def filled(self, slice_: Slice) -> Iterator[None]:
        """The copy with the rows of a slice; empty again afterwards."""
        statements = []
        for sliced in base_tables(slice_):
            name = quoted(sliced.table.name.name)
            for where in restrictions(sliced):
                tail = "" if where is None else f" WHERE {where}"
                statements.append(f"INSERT INTO {self.copy}.{name} SELECT * FROM {self.source}.{name}{tail}")
        with self._transaction(statements):
            yield

    @contextmanager
    def whole(self) -> Iterator[None]:
        """The copy with all rows, stored in another order; empty again afterwards."""
        with self._transaction(
            f"INSERT INTO {self.copy}.{name} SELECT * FROM {self.source}.{name} ORDER BY 2 DESC, 1 DESC"
            for name in self._names()
        ):
            yield

    @contextmanager
    def _transaction(self, statements: Iterable[str]) -> Iterator[None]:
        self._connection.begin()
        try:
            self.run("SET sql_mode = '', time_zone = '+00:00'")
            for statement in statements:
                self.run(statement)
            self.run("SET sql_mode = @@GLOBAL.sql_mode, time_zone = @@GLOBAL.time_zone")
            yield
        finally:
            self.run("ROLLBACK")


#: What the server says of a statement that it does not take.
Rejected = pymysql.err.MySQLError
