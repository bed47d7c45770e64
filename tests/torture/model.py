"""The generator's own picture of a database: what it created, independent of what `graph` reads back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

#: A row's values, in the order of its table's columns.
Values = tuple[Any, ...]


def quoted(name: str) -> str:
    """A name in backticks."""
    return "`" + name.replace("`", "``") + "`"


def literal(value: Any) -> str:
    """A value as SQL; strings hold neither quotes nor backslashes."""
    if value is None:
        return "NULL"
    return f"'{value}'" if isinstance(value, str) else str(value)


@dataclass(frozen=True, slots=True)
class Collation:
    """What a collation takes for equal: letters of either case, and trailing spaces."""

    name: str
    folds: bool
    pads: bool

    @property
    def loose(self) -> bool:
        """Whether different texts may be equal."""
        return self.folds or self.pads

    def fold(self, text: str) -> str:
        """The same text for all that are equal."""
        text = text.upper() if self.folds else text
        return text.rstrip(" ") if self.pads else text


@dataclass(frozen=True, slots=True)
class Domain:
    """A type and the few values that its columns hold; `kind` is int, str, date, dec, dbl or enum."""

    kind: str
    sql: str
    values: tuple[Any, ...]
    collation: Collation | None = None

    def fold(self, value: Any) -> Any:
        """The same for all values that the server takes for equal."""
        return self.collation.fold(value) if self.collation is not None and value is not None else value


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a base table."""

    name: str
    domain: Domain
    nullable: bool

    def sql(self) -> str:
        """As CREATE TABLE has it."""
        collation = f" COLLATE {self.domain.collation.name}" if self.domain.collation is not None else ""
        return f"{quoted(self.name)} {self.domain.sql}{collation} {'NULL' if self.nullable else 'NOT NULL'}"


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A constraint; its columns correspond by position."""

    name: str
    child: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]

    def sql(self) -> str:
        """The statement that adds it."""
        own, far = (", ".join(map(quoted, names)) for names in (self.columns, self.parent_columns))
        return (
            f"ALTER TABLE {quoted(self.child)} ADD CONSTRAINT {quoted(self.name)} FOREIGN KEY ({own})"
            f" REFERENCES {quoted(self.parent)} ({far})"
        )


@dataclass(frozen=True, slots=True)
class Table:
    """A base table; `unique` holds further unique keys, `partitions` their number (0: none)."""

    name: str
    columns: tuple[Column, ...]
    primary: tuple[str, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    partitions: int = 0

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(column for column in self.columns if column.name == name)

    def position(self, name: str) -> int:
        """Where that column stands."""
        return next(index for index, column in enumerate(self.columns) if column.name == name)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that tell a row from others; empty where none do."""
        if self.primary:
            return self.primary
        strict = (key for key in self.unique if not any(self.column(name).nullable for name in key))
        return next(strict, ())

    def sql(self) -> str:
        """The statement that creates it, without foreign keys."""
        lines = [column.sql() for column in self.columns]
        if self.primary:
            lines.append(f"PRIMARY KEY ({', '.join(map(quoted, self.primary))})")
        for number, key in enumerate(self.unique):
            lines.append(f"UNIQUE KEY `u{number}` ({', '.join(map(quoted, key))})")
        tail = f" PARTITION BY KEY () PARTITIONS {self.partitions}" if self.partitions else ""
        return f"CREATE TABLE {quoted(self.name)} ({', '.join(lines)}){tail}"


@dataclass(frozen=True, slots=True)
class View:
    """A view; its SELECT names tables of the default schema."""

    name: str
    select: str
    columns: tuple[str, ...] = ()

    def sql(self) -> str:
        """The statement that creates it."""
        names = f" ({', '.join(map(quoted, self.columns))})" if self.columns else ""
        return f"CREATE VIEW {quoted(self.name)}{names} AS {self.select}"


@dataclass(frozen=True)
class Model:
    """A database with its rows."""

    tables: tuple[Table, ...]
    foreign_keys: tuple[ForeignKey, ...]
    rows: dict[str, list[Values]]
    views: tuple[View, ...] = ()
    collations: tuple[Collation, ...] = field(default=())

    def table(self, name: str) -> Table:
        """The table of that name."""
        return next(table for table in self.tables if table.name == name)

    def structure(self) -> Iterator[str]:
        """The statements that create the tables and views."""
        yield from (table.sql() for table in self.tables)
        yield from (key.sql() for key in self.foreign_keys)
        yield from (view.sql() for view in self.views)

    def inserts(self) -> Iterator[str]:
        """The statements that fill the tables; foreign keys have to be off."""
        for table in self.tables:
            rows = ", ".join(f"({', '.join(map(literal, row))})" for row in self.rows[table.name])
            if rows:
                yield f"INSERT INTO {quoted(table.name)} VALUES {rows}"

    def with_rows(self, rows: dict[str, list[Values]]) -> Model:
        """The same tables with those of the rows that still find their parents."""
        return replace(self, rows=without_orphans(self, rows))


def without_orphans(model: Model, rows: dict[str, list[Values]]) -> dict[str, list[Values]]:
    """The greatest subset of the rows in which every foreign key finds its parent."""
    rows = {name: list(found) for name, found in rows.items()}
    while True:
        removed = False
        for key in model.foreign_keys:
            parents = {folded(model, key.parent, key.parent_columns, row) for row in rows[key.parent]}
            kept = [
                row
                for row in rows[key.child]
                if None in (values := folded(model, key.child, key.columns, row)) or values in parents
            ]
            removed = removed or len(kept) < len(rows[key.child])
            rows[key.child] = kept
        if not removed:
            return rows


def folded(model: Model, table: str, columns: tuple[str, ...], row: Values) -> Values:
    """The values of some columns, equal where the server takes them for equal."""
    shape = model.table(table)
    return tuple(shape.column(name).domain.fold(row[shape.position(name)]) for name in columns)
