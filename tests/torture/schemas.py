"""Random tables, foreign keys and rows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

from tests.torture.model import Collation, Column, Domain, ForeignKey, Model, Table, Values, folded, without_orphans

COLLATIONS = {
    "mysql": (
        Collation("utf8mb4_general_ci", folds=True, pads=True),
        Collation("utf8mb4_0900_ai_ci", folds=True, pads=False),
        Collation("utf8mb4_bin", folds=False, pads=True),
        Collation("utf8mb4_0900_bin", folds=False, pads=False),
    ),
    "mariadb": (
        Collation("utf8mb4_general_ci", folds=True, pads=True),
        Collation("utf8mb4_general_nopad_ci", folds=True, pads=False),
        Collation("utf8mb4_bin", folds=False, pads=True),
        Collation("utf8mb4_nopad_bin", folds=False, pads=False),
    ),
}
TEXTS = ("a", "A", "b", "B", "a ", "", "c", "C ")
NAMES = ("alpha", "#beta", "_gamma", "__delta", "Epsilon", "alpha__part", "order")
#: Column names by kind; a name has one type in all tables of a schema, so that they may be joined by it.
COLUMN_NAMES = {
    "int": ("id", "k", "n", "order", "ref", "Rank"),
    "str": ("s", "t", "name"),
    "date": ("d", "since"),
    "dec": ("m",),
    "dbl": ("x",),
    "enum": ("e",),
}
DATES = ("2020-01-01", "2020-01-02", "2021-06-30", "2022-12-31")


def make_model(chance: Random, flavour: str) -> Model:
    """A random database, without views."""
    return _Maker(chance, flavour).make()


class _Maker:
    def __init__(self, chance: Random, flavour: str) -> None:
        self.chance = chance
        self.collations = tuple(chance.sample(COLLATIONS[flavour], chance.choice((1, 2, 2))))
        self.domains: dict[str, Domain] = {}
        self.foreign_keys: list[ForeignKey] = []

    def make(self) -> Model:
        tables: list[Table] = []
        for name in self.chance.sample(NAMES, self.chance.randint(3, 6)):
            tables.append(self._table(name, tables))
        self._close_cycle(tables)
        model = Model(tuple(tables), tuple(self.foreign_keys), {}, collations=self.collations)
        return replace(model, rows=self._rows(model))

    def _domain(self, name: str) -> Domain:
        if name not in self.domains:
            kind = next(kind for kind, names in COLUMN_NAMES.items() if name in names)
            self.domains[name] = self._new_domain(kind)
        return self.domains[name]

    def _new_domain(self, kind: str) -> Domain:
        if kind == "int":
            return Domain(kind, self.chance.choice(("INT", "INT", "SMALLINT")), (0, 1, 2, 3, 4, -1))
        if kind == "str":
            return Domain(kind, "VARCHAR(8)", TEXTS, self.chance.choice(self.collations))
        if kind == "date":
            return Domain(kind, "DATE", DATES)
        if kind == "dec":
            return Domain(kind, "DECIMAL(6,2)", tuple(map(Decimal, ("0.50", "1.00", "2.50", "-1.25"))))
        if kind == "dbl":
            return Domain(kind, "DOUBLE", (0.25, 0.5, 1.75, -2.5))
        return Domain(kind, "ENUM('low','mid','top')", ("low", "mid", "top"), self.collations[0])

    def _table(self, name: str, before: list[Table]) -> Table:
        chance = self.chance
        columns: dict[str, Column] = {}
        primary: list[str] = []
        if before and chance.random() < 0.35:
            # As DataJoint does: the parent's key is part of the child's.
            parent = chance.choice(before)
            if parent.key and not parent.partitions:
                self._refer(name, columns, parent, parent.key, nullable=False, rename=chance.random() < 0.25)
                primary += list(columns)
        wanted = len(primary) + (0 if primary and chance.random() < 0.2 else chance.choice((1, 1, 2)))
        kinds = ("int", "int", "int", "int", "str", "str", "date")
        while len(primary) < wanted:
            column = self._fresh(columns, chance.choice(kinds))
            if column is None:
                break
            columns[column] = Column(column, self._domain(column), nullable=False)
            primary.append(column)
        partitioned = not before[1:] and not self._is_child(name) and chance.random() < 0.12
        for _ in range(chance.choice((1, 2, 2, 3))):
            column = self._fresh(columns, chance.choice((*kinds, "dec", "dbl", "enum")))
            if column is not None:
                columns[column] = Column(column, self._domain(column), nullable=chance.random() < 0.6)
        unique: list[tuple[str, ...]] = []
        spare = [column for column in columns if column not in primary]
        if spare and chance.random() < 0.35 and not partitioned:
            unique.append(tuple(chance.sample(spare, min(len(spare), chance.choice((1, 2))))))
        if not partitioned:
            for parent in chance.sample(before, min(len(before), chance.choice((0, 1, 1, 2)))):
                if parent.partitions:
                    continue
                keys = [key for key in (parent.primary, *parent.unique) if key]
                if keys:
                    key = chance.choice(keys)
                    nullable = chance.random() < 0.6
                    self._refer(name, columns, parent, key, nullable=nullable, rename=chance.random() < 0.6)
        keyless = chance.random() < 0.05 and not partitioned
        table = Table(
            name,
            tuple(columns.values()),
            () if keyless else tuple(primary),
            tuple(unique),
            chance.choice((2, 3)) if partitioned else 0,
        )
        if table.primary and not partitioned and chance.random() < 0.2:
            table = self._refer_to_itself(table)
        return table

    def _is_child(self, name: str) -> bool:
        return any(key.child == name for key in self.foreign_keys)

    def _fresh(self, columns: dict[str, Column], kind: str) -> str | None:
        free = [name for name in COLUMN_NAMES[kind] if name not in columns]
        return self.chance.choice(free) if free else None

    def _refer(
        self,
        child: str,
        columns: dict[str, Column],
        parent: Table,
        key: tuple[str, ...],
        *,
        nullable: bool,
        rename: bool,
    ) -> None:
        """Adds a foreign key and those of its columns that are missing."""
        own: list[str] = []
        for name in key:
            domain = parent.column(name).domain
            new = name
            if rename or (name in columns and self.chance.random() < 0.5):
                new = self._renamed(name, domain)
                while new in columns:
                    new += "_"
                    self.domains.setdefault(new, domain)
            if new in columns and (columns[new].domain != domain or new in own):
                return
            own.append(new)
        for name, far in zip(own, key, strict=True):
            columns.setdefault(name, Column(name, parent.column(far).domain, nullable))
        number = len(self.foreign_keys)
        self.foreign_keys.append(ForeignKey(f"fk{number}", child, tuple(own), parent.name, key))

    def _renamed(self, name: str, domain: Domain) -> str:
        new = f"{name}_{self.chance.choice(('of', 'to'))}"
        self.domains.setdefault(new, domain)
        return new

    def _refer_to_itself(self, table: Table) -> Table:
        columns = {column.name: column for column in table.columns}
        self._refer(table.name, columns, table, table.primary, nullable=True, rename=True)
        return Table(table.name, tuple(columns.values()), table.primary, table.unique)

    def _close_cycle(self, tables: list[Table]) -> None:
        """Sometimes an earlier table refers to a later one that already leads to it."""
        edges = [key for key in self.foreign_keys if key.child != key.parent]
        if not edges or self.chance.random() > 0.3:
            return
        key = self.chance.choice(edges)
        early, late = (next(table for table in tables if table.name == name) for name in (key.parent, key.child))
        if late.primary:
            columns = {column.name: column for column in early.columns}
            self._refer(early.name, columns, late, late.primary, nullable=True, rename=True)
            tables[tables.index(early)] = replace(early, columns=tuple(columns.values()))

    def _rows(self, model: Model) -> dict[str, list[Values]]:
        """Rows whose foreign keys hold; a cycle's missing half is filled in afterwards."""
        rows: dict[str, list[Values]] = {table.name: [] for table in model.tables}
        for table in model.tables:
            for _ in range(self.chance.randint(5, 15)):
                self._add_row(model, table, rows)
        for key in model.foreign_keys:
            self._fill_in(model, key, rows)
        return without_orphans(model, rows)

    def _add_row(self, model: Model, table: Table, rows: dict[str, list[Values]]) -> None:
        values: dict[str, Any] = {}
        for key in model.foreign_keys:
            if key.child != table.name:
                continue
            if all(table.column(name).nullable for name in key.columns) and self.chance.random() < 0.3:
                parents: list[Values] = []
            else:
                parents = rows[key.parent]
            self._take_parent(model, key, parents, values)
        for column in table.columns:
            if column.name not in values:
                missing = column.nullable and self.chance.random() < 0.25
                values[column.name] = None if missing else self.chance.choice(column.domain.values)
        row = tuple(values[column.name] for column in table.columns)
        if self._allowed(model, table, row, rows[table.name]):
            rows[table.name].append(row)

    def _take_parent(self, model: Model, key: ForeignKey, parents: list[Values], values: dict[str, Any]) -> None:
        """Sets the columns of a foreign key that are not yet set, to a parent's values in any spelling."""
        parent, child = model.table(key.parent), model.table(key.child)
        fitting = [
            row
            for row in parents
            if all(
                own not in values
                or child.column(own).domain.fold(values[own]) == folded(model, key.parent, (far,), row)[0]
                for own, far in zip(key.columns, key.parent_columns, strict=True)
            )
        ]
        if not fitting:
            for own in key.columns:
                if child.column(own).nullable:
                    values.setdefault(own, None)
            return
        row = self.chance.choice(fitting)
        for own, far in zip(key.columns, key.parent_columns, strict=True):
            value = row[parent.position(far)]
            if value is None and not child.column(own).nullable:
                return
            values.setdefault(own, self._respelled(child.column(own).domain, value))

    def _respelled(self, domain: Domain, value: Any) -> Any:
        if domain.collation is None or value is None:
            return value
        return self.chance.choice([text for text in domain.values if domain.fold(text) == domain.fold(value)])

    def _allowed(self, model: Model, table: Table, row: Values, others: list[Values]) -> bool:
        for key in (table.primary, *table.unique):
            values = folded(model, table.name, key, row)
            if key and None not in values and any(folded(model, table.name, key, other) == values for other in others):
                return False
        return True

    def _fill_in(self, model: Model, key: ForeignKey, rows: dict[str, list[Values]]) -> None:
        """A reference that was left NULL, for want of parents, gets one in some rows."""
        child, parent = model.table(key.child), model.table(key.parent)
        shared = [other for other in model.foreign_keys if other != key and set(other.columns) & set(key.columns)]
        if shared or set(key.columns) & set(child.primary) or any(set(key.columns) & set(u) for u in child.unique):
            return
        for index, row in enumerate(rows[child.name]):
            if any(row[child.position(name)] is not None for name in key.columns) or self.chance.random() < 0.4:
                continue
            found = self.chance.choice(rows[parent.name] or [None])
            if found is not None:
                values = list(row)
                for own, far in zip(key.columns, key.parent_columns, strict=True):
                    values[child.position(own)] = found[parent.position(far)]
                rows[child.name][index] = tuple(values)
