"""The tables, keys and foreign keys of a database: a node per table, an edge per foreign-key constraint."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import networkx as nx
import sqlglot

from graph import quoting
from graph.errors import GrantError, InputError, StatementError
from graph.names import TableName
from graph.scan import hex_undecodable
from graph.shown import show_create
from graph.view_text import PLAIN, ViewForm, calls_stored_function, has_raw_bytes, view_parts

if TYPE_CHECKING:
    from graph.database import Database


@dataclass(frozen=True, slots=True)
class Column:
    """A column as information_schema.COLUMNS describes it (`data_type` and `column_type` in lower case).

    `invisible`: neither `*` nor NATURAL JOIN means it.
    """

    name: str
    data_type: str
    column_type: str
    nullable: bool
    charset: str | None = None
    collation: str | None = None
    generated: bool = False
    invisible: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A base table or a view.

    `key` identifies a row: the primary key, else the first unique key without NULLs, else empty.
    `unique` holds the columns of every unique key. `view` is the text of a view's SELECT, None for base tables; it is
    empty when the account may not see it, or when the view cannot be part of a slice, for which `hidden` says why.
    `form` is the rest of a view's definition, and `shown` all that SHOW CREATE VIEW says.
    """

    name: TableName
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    view: str | None = None
    form: ViewForm = PLAIN
    shown: str = ""
    hidden: str = ""

    def column(self, name: str) -> Column:
        """The column of that name, in any case. Raises InputError for an unknown one."""
        for column in self.columns:
            if column.name.lower() == name.lower():
                return column
        raise InputError(f"table {self.name} has no column {name!r}")


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """One constraint; `child_columns` and `parent_columns` correspond by position. `declared`: the database has it."""

    name: str
    child: TableName
    child_columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    declared: bool = True


@dataclass(frozen=True)
class Schema:
    """Tables by name; `graph` has an edge child → parent per constraint, keyed by its name,
    with the `ForeignKey` as attribute `foreign_key`."""

    tables: Mapping[TableName, Table]
    graph: nx.MultiDiGraph[TableName]
    lower_case_table_names: int = 0
    server_version: str = ""

    def find(self, schema: str | None, name: str) -> Table | None:
        """The table that a statement means by that name, by the server's rules on letter case, or None."""
        if schema is None:
            return None
        if self.lower_case_table_names == 0:
            return self.tables.get(TableName(schema, name))
        wanted = (schema.lower(), name.lower())
        for table in self.tables.values():
            if (table.name.schema.lower(), table.name.name.lower()) == wanted:
                return table
        return None

    def parents(self, child: TableName) -> list[ForeignKey]:
        """The foreign keys of a table, by constraint name."""
        if child not in self.graph:
            return []
        edges: list[tuple[TableName, TableName, str, ForeignKey]] = list(
            self.graph.out_edges(child, keys=True, data="foreign_key")
        )
        return [foreign_key for _, _, _, foreign_key in sorted(edges, key=lambda edge: edge[2])]

    def cut(self, tables: Iterable[TableName]) -> Schema:
        """The same tables, without the foreign keys from and to these."""
        left = list(tables)
        if not left:
            return self
        graph = self.graph.copy()
        graph.remove_nodes_from(left)
        graph.add_nodes_from(left)
        return replace(self, graph=graph)

    def ancestors(self, tables: Iterable[TableName]) -> set[TableName]:
        """These tables and all that they reach by foreign keys; unknown ones are left out."""
        reached: set[TableName] = set()
        ahead = [name for name in tables if name in self.graph]
        while ahead:
            name = ahead.pop()
            if name not in reached:
                reached.add(name)
                ahead.extend(self.graph.successors(name))
        return reached


#: Schemas of the server itself, in lower case.
SYSTEM_SCHEMAS: Final = frozenset({"information_schema", "mysql", "performance_schema", "sys"})


def read_schema(database: Database, tables: Iterable[TableName], *, checked: bool = True) -> Schema:
    """The whole schemas of these tables, and those that foreign keys and views lead to from there.

    A foreign key's parent that does not exist, or that the account cannot see, is a node of the graph
    without a table. Unless `checked` is False, raises GrantError for a table among these, or an ancestor of one, that
    the account may not read.
    """
    wanted = list(dict.fromkeys(tables))
    case = int(database.value("SELECT @@lower_case_table_names"))
    reader = _Reader(database, case, {}, [], set(), set())
    ahead = {name.schema for name in wanted}
    while ahead:
        reader.read(ahead)
        ahead = reader.show_views(wanted)
    schema = Schema(reader.tables, _graph(reader, case), case, database.version)
    if not checked:
        return schema
    named = (schema.find(name.schema, name.name) for name in wanted)
    require_select(database, schema, (table.name for table in named if table is not None))
    return schema


def _shown_view(database: Database, table: Table) -> Table:
    name = table.name
    try:
        row = show_create(database, name, view=True)
    except GrantError:
        return replace(table, view="")
    except StatementError as error:
        return _hidden(table, f"the definition of view {name} cannot be read: {error}")
    parts = view_parts(row[1])
    if parts is None:
        return _hidden(table, f"the definition of view {name} has a form that djproxy does not know")
    select, form = hex_undecodable(parts[0], ""), parts[1]
    _, _, charset, collation = row
    if not charset.startswith("utf8") and has_raw_bytes(select):
        return _hidden(table, f"view {name} was made in the character set {charset}, with texts that only it can write")
    if not collation.startswith("utf8mb4_"):
        form = replace(form, collation=collation)
    if calls_stored_function(select):
        return _hidden(table, f"view {name} calls a stored function, and these are not part of a slice")
    try:
        database.require_readable(select)
    except StatementError as error:
        return _hidden(table, f"the server does not take back the definition that it shows of view {name}: {error}")
    except GrantError:
        # Its tables are asked for where they are needed.
        pass
    return replace(table, view=select, form=form, shown="\t".join(row))


def _hidden(table: Table, why: str) -> Table:
    return replace(table, view="", hidden=why)


def require_select(database: Database, schema: Schema, tables: Iterable[TableName]) -> None:
    """Raises GrantError for the first of these tables and their ancestors that the account may not read.

    information_schema shows foreign keys to tables that the account cannot read, so only asking tells.
    """
    for name in sorted(schema.ancestors(tables)):
        table = schema.tables.get(name)
        if table is not None and table.view is not None:
            continue
        try:
            database.require_select(name)
        except StatementError:
            # A parent that does not exist: dropped while foreign key checks were off.
            if table is not None:
                raise


@dataclass(frozen=True, slots=True)
class _Reader:
    """`schemas` have been read, and of `shown` views the definitions."""

    database: Database
    case: int
    tables: dict[TableName, Table]
    foreign_keys: list[ForeignKey]
    schemas: set[str]
    shown: set[TableName]

    def read(self, schemas: Iterable[str]) -> None:
        """Reads these schemas, then those that they newly refer to, until there are none."""
        ahead = set(schemas)
        while new := {name for name in ahead - self.schemas if name.lower() not in SYSTEM_SCHEMAS}:
            self.schemas.update(new)
            ahead = self._read_round(", ".join(quoting.string_literal(name) for name in sorted(new)))

    def show_views(self, named: Iterable[TableName]) -> set[str]:
        """Reads how the named views are defined, and those that these read; returns the schemas that are still to be
        read for them.

        information_schema has other texts, and MariaDB's shows them to fewer accounts.
        """
        known = Schema(self.tables, nx.MultiDiGraph(), self.case)
        ahead = list(named)
        reached: set[TableName] = set()
        while ahead:
            table = known.find(*ahead.pop())
            if table is None or table.view is None or table.name in reached:
                continue
            reached.add(table.name)
            if table.name not in self.shown:
                self.shown.add(table.name)
                self.tables[table.name] = table = _shown_view(self.database, table)
            ahead += view_tables(table.view or "")
        names = {name.schema for view in reached for name in view_tables(self.tables[view].view or "")}
        return {name for name in names - self.schemas if name.lower() not in SYSTEM_SCHEMAS}

    def _read_round(self, schemas: str) -> set[str]:
        """Reads schemas given as a list of literals; gives the schemas that they refer to."""
        kinds = {
            TableName(row[0], row[1]): row[2]
            for row in self.database.rows(
                "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES"
                f" WHERE TABLE_SCHEMA IN ({schemas}) ORDER BY 1, 2"
            )
        }
        columns = self._columns(schemas)
        unique = self._unique_keys(schemas)
        views = self._views(schemas)
        for name, kind in kinds.items():
            if kind == "VIEW" or kind in _BASE_TABLES:
                own = tuple(columns.get(name, ()))
                keys = unique.get(name, [])
                view = views.get(name, "") if kind == "VIEW" else None
                self.tables[name] = Table(name, own, _row_key(own, keys), tuple(keys), view)
        found = self._foreign_keys(schemas)
        self.foreign_keys.extend(found)
        return {key.parent.schema for key in found} | {
            name.schema for text in views.values() for name in view_tables(text)
        }

    def _columns(self, schemas: str) -> dict[TableName, list[Column]]:
        columns: dict[TableName, list[Column]] = {}
        for row in self.database.rows(
            "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE,"
            " CHARACTER_SET_NAME, COLLATION_NAME, EXTRA FROM information_schema.COLUMNS"
            f" WHERE TABLE_SCHEMA IN ({schemas}) ORDER BY TABLE_SCHEMA, TABLE_NAME, ORDINAL_POSITION"
        ):
            schema, table, name, data_type, column_type, nullable, charset, collation, extra = row
            columns.setdefault(TableName(schema, table), []).append(
                Column(
                    name,
                    data_type.lower(),
                    column_type.lower(),
                    nullable == "YES",
                    charset,
                    collation,
                    bool(_GENERATED.search(extra or "")),
                    "INVISIBLE" in (extra or "").upper(),
                )
            )
        return columns

    def _unique_keys(self, schemas: str) -> dict[TableName, list[tuple[str, ...]]]:
        """The columns of each unique key, the primary key first."""
        indexes: dict[TableName, dict[str, list[str | None]]] = {}
        for schema, table, index, column in self.database.rows(
            "SELECT TABLE_SCHEMA, TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS"
            f" WHERE NON_UNIQUE = 0 AND TABLE_SCHEMA IN ({schemas})"
            " ORDER BY TABLE_SCHEMA, TABLE_NAME, INDEX_NAME <> 'PRIMARY', INDEX_NAME, SEQ_IN_INDEX"
        ):
            indexes.setdefault(TableName(schema, table), {}).setdefault(index, []).append(column)
        # An index over an expression has a part without a column.
        return {
            table: [tuple(filter(None, parts)) for parts in keys.values() if None not in parts]
            for table, keys in indexes.items()
        }

    def _views(self, schemas: str) -> dict[TableName, str]:
        """The SELECT of each view; empty without the right SHOW VIEW."""
        return {
            TableName(row[0], row[1]): row[2] or ""
            for row in self.database.rows(
                "SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM information_schema.VIEWS"
                f" WHERE TABLE_SCHEMA IN ({schemas})"
            )
        }

    def _foreign_keys(self, schemas: str) -> list[ForeignKey]:
        """From KEY_COLUMN_USAGE alone: REFERENTIAL_CONSTRAINTS asks for other rights, a join loses rows."""
        pairs: dict[tuple[str, TableName, TableName], list[tuple[str, str]]] = {}
        for row in self.database.rows(
            "SELECT CONSTRAINT_NAME, TABLE_SCHEMA, TABLE_NAME, REFERENCED_TABLE_SCHEMA,"
            " REFERENCED_TABLE_NAME, COLUMN_NAME, REFERENCED_COLUMN_NAME"
            " FROM information_schema.KEY_COLUMN_USAGE"
            f" WHERE TABLE_SCHEMA IN ({schemas}) AND REFERENCED_TABLE_NAME IS NOT NULL"
            " ORDER BY TABLE_SCHEMA, TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"
        ):
            constraint = (row[0], TableName(row[1], row[2]), TableName(row[3], row[4]))
            pairs.setdefault(constraint, []).append((row[5], row[6]))
        return [
            ForeignKey(name, child, tuple(own for own, _ in columns), parent, tuple(far for _, far in columns))
            for (name, child, parent), columns in pairs.items()
        ]


_BASE_TABLES: Final = frozenset({"BASE TABLE", "SYSTEM VERSIONED"})

#: MySQL also says DEFAULT_GENERATED, of a column whose default is an expression.
_GENERATED: Final = re.compile(r"\b(VIRTUAL|STORED|PERSISTENT)( GENERATED)?\b", re.IGNORECASE)


def _row_key(columns: Sequence[Column], unique: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    nullable = {column.name for column in columns if column.nullable}
    known = {column.name for column in columns}
    for key in unique:
        if known.issuperset(key) and nullable.isdisjoint(key):
            return key
    return ()


def view_tables(view: str) -> set[TableName]:
    """The tables and views that a view's SELECT names; the server keeps it with every name qualified."""
    try:
        tree = sqlglot.parse_one(view, dialect="mysql") if view else None
    except sqlglot.errors.SqlglotError:
        return set()
    if tree is None:
        return set()
    return {TableName(table.db, table.name) for table in tree.find_all(sqlglot.exp.Table) if table.db}


def _graph(reader: _Reader, case: int) -> nx.MultiDiGraph[TableName]:
    """One node per table and one edge per constraint, its names spelled as the tables and columns are."""
    graph: nx.MultiDiGraph[TableName] = nx.MultiDiGraph()
    graph.add_nodes_from(reader.tables)
    spelled = {_folded(name): name for name in reader.tables} if case else {}
    for key in reader.foreign_keys:
        parent = spelled.get(_folded(key.parent), key.parent)
        child = spelled.get(_folded(key.child), key.child)
        key = ForeignKey(
            key.name,
            child,
            _spelled_columns(reader.tables.get(child), key.child_columns),
            parent,
            _spelled_columns(reader.tables.get(parent), key.parent_columns),
        )
        graph.add_edge(child, parent, key.name, foreign_key=key)
    return graph


def _folded(name: TableName) -> TableName:
    return TableName(name.schema.lower(), name.name.lower())


def _spelled_columns(table: Table | None, names: tuple[str, ...]) -> tuple[str, ...]:
    """A foreign key may spell its columns in another case than the tables."""
    if table is None:
        return names
    spelled = {column.name.lower(): column.name for column in table.columns}
    return tuple(spelled.get(name.lower(), name) for name in names)
