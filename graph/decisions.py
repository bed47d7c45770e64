"""What a person decides in a plan: undeclared foreign keys, tables to take whole or to leave out, limits, structure,
columns that hold paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from graph import quoting
from graph.cascade import leaf_rule
from graph.datajoint import edges_to_parts
from graph.errors import InputError
from graph.families import BYTES, CHOICES, DATES, NUMBERS, TEXTS
from graph.files import FileRule
from graph.leaves.rules import Rule
from graph.limits import Within
from graph.masks import Masked, MaskKind
from graph.names import TableName
from graph.schema import Column, ForeignKey, Schema, Table
from graph.structure import Structure

#: Types whose values compare with each other as people expect.
_FAMILIES: Final = (NUMBERS, TEXTS | CHOICES, BYTES, DATES)


@dataclass(frozen=True, slots=True)
class Named:
    """A table as a plan names it; `at` says where, for people."""

    table: TableName
    at: str = ""


@dataclass(frozen=True, slots=True)
class ExtraKey:
    """A foreign key as a plan declares it."""

    child: TableName
    child_columns: tuple[str, ...]
    parent: TableName
    parent_columns: tuple[str, ...]
    at: str = ""


@dataclass(frozen=True, slots=True)
class Decisions:
    """All that a plan decides. `with_parts` are parts whose rows come with their masters'; `exclude` are patterns, see
    graph.exclusion; `files` are columns that hold paths."""

    foreign_keys: tuple[ExtraKey, ...] = ()
    whole: tuple[Named, ...] = ()
    leave_out: tuple[Named, ...] = ()
    within: tuple[Within, ...] = ()
    exclude: tuple[TableName, ...] = ()
    masked: tuple[Masked, ...] = ()
    structure: Structure = Structure.NEEDED
    files: tuple[FileRule, ...] = ()
    with_parts: tuple[Named, ...] = ()

    @property
    def schemas(self) -> list[TableName]:
        """What must be read of the server's schema, as names without a table."""
        tables = [name for key in self.foreign_keys for name in (key.child, key.parent)]
        tables += [named.table for named in (*self.whole, *self.leave_out, *self.with_parts)]
        tables += [each.table for each in self.masked]
        tables += [rule.table for rule in self.files]
        return [TableName(schema, "") for schema in sorted({table.schema for table in tables})]

    def document(self) -> dict[str, Any]:
        """As documents have it."""
        return {
            "foreign_keys": [
                {
                    "child": written(key.child),
                    "child_columns": list(key.child_columns),
                    "parent": written(key.parent),
                    "parent_columns": list(key.parent_columns),
                }
                for key in self.foreign_keys
            ],
            "whole": [written(named.table) for named in self.whole],
            "leave_out": [written(named.table) for named in self.leave_out],
            "with_parts": [written(named.table) for named in self.with_parts],
            "within": [{written(each.table): each.where} for each in self.within],
            "exclude": [written(name) for name in self.exclude],
            **{kind.value: self._masked(kind) for kind in MaskKind},
            "structure": self.structure.value,
            "files": [rule.document() for rule in self.files],
        }

    def _masked(self, kind: MaskKind) -> list[dict[str, list[str]]]:
        return [{written(each.table): list(each.columns)} for each in self.masked if each.kind is kind]


NOTHING: Final = Decisions()


def written(name: TableName) -> str:
    """A table's name so that `graph.exclusion.pattern` reads it as it is."""
    plain = name.schema.strip() and not set(name.schema) & set(".`:") and not set(name.name) & set("`:")
    return str(name) if plain and str(name) == str(name).strip() and name.name else quoting.table(name)


def extended(schema: Schema, decisions: Decisions) -> Schema:
    """The schema with the foreign keys of a plan. Raises InputError for one that cannot be."""
    if not decisions.foreign_keys:
        return schema
    graph = schema.graph.copy()
    for number, key in enumerate(decisions.foreign_keys, 1):
        child, parent = _base_table(key.child, key.at, schema), _base_table(key.parent, key.at, schema)
        pairs = list(_pairs(key, child, parent))
        name = f"plan_{number}"
        while graph.has_edge(child.name, parent.name, name):
            name = f"{name}_"
        own, far = tuple(own.name for own, _ in pairs), tuple(far.name for _, far in pairs)
        foreign_key = ForeignKey(name, child.name, own, parent.name, far, declared=False)
        graph.add_edge(child.name, parent.name, name, foreign_key=foreign_key)
    return replace(schema, graph=graph)


def left_out(schema: Schema, decisions: Decisions) -> frozenset[TableName]:
    """The tables that a plan leaves out. Raises InputError for an unknown one, and one that it takes whole too."""
    names = {_base_table(named.table, named.at, schema).name: named for named in decisions.leave_out}
    for named in decisions.whole:
        if (twice := names.get(_base_table(named.table, named.at, schema).name)) is not None:
            raise InputError(f"{named.at}: the plan takes {named.table} whole and leaves it out ({twice.at})")
    return frozenset(names)


def chosen_parts(schema: Schema, decisions: Decisions) -> frozenset[TableName]:
    """The parts that a plan takes with their masters. Raises InputError for what is not a part."""
    parts = {edge.target for master in schema.tables.values() for edge in edges_to_parts(schema, master)}
    found = {_base_table(named.table, named.at, schema).name: named for named in decisions.with_parts}
    for name, named in found.items():
        if name not in parts:
            raise InputError(f"{named.at}: {name} is not a part table: no master's name is in front of its own")
    return frozenset(found)


def whole_rules(schema: Schema, decisions: Decisions) -> Iterator[Rule]:
    """The rules for tables that a plan takes whole."""
    for named in decisions.whole:
        rule = leaf_rule(_base_table(named.table, named.at, schema))
        yield replace(rule, reason="taken whole, as the plan says")


def _base_table(name: TableName, at: str, schema: Schema) -> Table:
    table = schema.find(*name)
    if table is None:
        raise InputError(f"{at}: the server has no table {name}, or hides it from this account")
    if table.view is not None:
        raise InputError(f"{at}: {name} is a view; name its base tables")
    return table


def _pairs(key: ExtraKey, child: Table, parent: Table) -> Iterable[tuple[Column, Column]]:
    if len(key.child_columns) != len(key.parent_columns):
        raise InputError(
            f"{key.at}: a foreign key has as many columns on both sides, not {len(key.child_columns)} of {child.name}"
            f" and {len(key.parent_columns)} of {parent.name}"
        )
    for own_name, far_name in zip(key.child_columns, key.parent_columns, strict=True):
        try:
            own, far = child.column(own_name), parent.column(far_name)
        except InputError as error:
            raise InputError(f"{key.at}: {error}") from None
        alike = any(own.data_type in family and far.data_type in family for family in _FAMILIES)
        if not alike and own.data_type != far.data_type:
            raise InputError(
                f"{key.at}: column {own.name} of {child.name} is {own.column_type} and column {far.name} of"
                f" {parent.name} is {far.column_type}: their values cannot be compared"
            )
        yield own, far
