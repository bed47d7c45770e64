"""Parts and housekeeping; the rows that come by them are in test_cascade.py."""

from __future__ import annotations

from dataclasses import dataclass

import networkx as nx
import pytest

from graph.datajoint import Parts, part_edges
from graph.names import TableName, is_housekeeping, is_withheld
from graph.schema import Column, ForeignKey, Schema, Table


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("~log", True),
        ("~jobs", True),
        ("~~spikes", True),
        ("~lineage", True),
        ("~external", False),
        ("~external_raw", False),
        ("session", False),
        ("#probe", False),
        ("__spikes__unit", False),
    ],
)
def test_no_statement_brings_rows_of_housekeeping(name: str, expected: bool) -> None:
    assert is_withheld(TableName("lab", name)) == expected
    assert is_housekeeping(TableName("lab", name)) == name.startswith("~")


def test_a_tools_log_is_housekeeping() -> None:
    for schema in ("common_usage", "COMMON_USAGE"):
        assert is_housekeeping(TableName(schema, "export_selection"))
    assert not is_housekeeping(TableName("common_usages", "export_selection"))


@dataclass(frozen=True)
class Shape:
    """A master, and a part that may lead to a source, as a merge table has them unless told otherwise."""

    key_type: str = "binary(16)"
    key: tuple[str, ...] = ("merge_id",)
    source_column: str = "source"
    source_type: str = "varchar"
    master_refers: bool = False
    part_key: tuple[str, ...] = ("merge_id",)
    #: The part's columns that refer elsewhere, with the tables that they refer to.
    part_refers: tuple[tuple[str, str], ...] = (("unit", "unit"),)
    #: A second part, which leads nowhere.
    note: bool = False


def _column(name: str, column_type: str) -> Column:
    return Column(name, column_type.partition("(")[0], column_type, False)


def schema_of(shape: Shape) -> Schema:
    """The schema of a shape, with a table that is in the way of names."""
    key = tuple(_column(name, shape.key_type) for name in shape.key)
    others = tuple(_column(name, "int") for name, _ in shape.part_refers)
    extra = tuple(_column(name, "int") for name in shape.part_key if name not in {c.name for c in (*key, *others)})
    tables = {
        "output": ((*key, _column(shape.source_column, shape.source_type), _column("owner", "int")), shape.key),
        "output__unit": ((*key, *others, *extra), shape.part_key),
        "outputs": (key, shape.key),
        **{table: ((_column(table, "int"),), (table,)) for table in ("unit", "person")},
    }
    keys = [("output__unit", shape.key, "output", shape.key), ("outputs", shape.key, "output", shape.key)]
    keys += [("output__unit", (column,), table, (table,)) for column, table in shape.part_refers]
    if shape.master_refers:
        keys.append(("output", ("owner",), "person", ("person",)))
    if shape.note:
        tables["output__note"] = ((*key, _column("note", "int")), shape.key)
        keys.append(("output__note", shape.key, "output", shape.key))
    graph: nx.MultiDiGraph[TableName] = nx.MultiDiGraph()
    found = {}
    for name, (columns, row_key) in tables.items():
        found[TableName("lab", name)] = Table(TableName("lab", name), columns, row_key)
        graph.add_node(TableName("lab", name))
    for child, own, parent, far in keys:
        foreign_key = ForeignKey(f"{child}_{parent}", TableName("lab", child), own, TableName("lab", parent), far)
        graph.add_edge(foreign_key.child, foreign_key.parent, foreign_key.name, foreign_key=foreign_key)
    return Schema(found, graph)


def edges(shape: Shape, parts: Parts, *chosen: str) -> set[tuple[str, str]]:
    found = part_edges(schema_of(shape), parts, [TableName("lab", name) for name in chosen])
    assert all(edge.foreign_key is None for edge in found)
    return {(edge.source.name, edge.target.name) for edge in found}


UNIT, NOTE = ("output", "output__unit"), ("output", "output__note")


@pytest.mark.parametrize(
    "shape",
    [Shape(), Shape(key_type="uuid"), Shape(source_type="enum"), Shape(source_column="Source")],
)
def test_parts_of_a_merge_table_come_with_it(shape: Shape) -> None:
    assert edges(shape, Parts.MERGE) == {UNIT}
    assert edges(shape, Parts.NONE) == set()


@pytest.mark.parametrize(
    "shape",
    [
        Shape(key_type="int"),
        Shape(key_type="varchar(36)"),
        Shape(key_type="binary(20)"),
        Shape(key=("merge_id", "other_id"), part_key=("merge_id", "other_id")),
        Shape(source_column="origin"),
        Shape(source_type="int"),
        Shape(master_refers=True),
        Shape(part_key=("merge_id", "unit")),
        Shape(part_key=("unit",)),
        Shape(part_refers=()),
        Shape(part_refers=(("unit", "unit"), ("person", "person"))),
        Shape(part_refers=(("merge_id", "unit"),)),
        Shape(note=True),
    ],
)
def test_parts_of_any_other_master_do_not(shape: Shape) -> None:
    assert edges(shape, Parts.MERGE) == set()
    assert UNIT in edges(shape, Parts.ALL)


def test_all_parts_or_chosen_ones_come_where_a_person_said_so() -> None:
    assert edges(Shape(note=True), Parts.ALL) == {UNIT, NOTE}
    assert edges(Shape(note=True), Parts.NONE, "output__note", "outputs") == {NOTE}
    assert edges(Shape(note=True), Parts.MERGE, "output__unit") == {UNIT}
