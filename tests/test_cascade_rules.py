"""The cascade of rules: guards, groups, witnesses, pinned rows."""

from __future__ import annotations

from typing import Any

import pytest

from examples.private_server import PrivateServer
from graph.cascade import cascade, leaf_rule
from graph.database import Database
from graph.errors import InputError
from graph.keys import key_columns, key_expression
from graph.leaves.rules import Output, Role, Rule, RuleKind
from graph.names import TableName
from graph.schema import Schema, read_schema
from graph.slice import PinCheck
from tests.cascading import PAIRS, keys, load, run


def selection(schema: Schema, name: TableName, alias: str) -> str:
    columns = key_columns(schema.tables[name])
    return ", ".join(key_expression(column, f"{alias}.`{column.name}`") for column in columns)


@pytest.fixture
def blocks(server: PrivateServer, database: str, reader: Database) -> Schema:
    """Tables `x` and `y` of numbers; y refers to nothing."""
    server.execute(
        f"CREATE TABLE {database}.x (x int PRIMARY KEY, g int)",
        f"CREATE TABLE {database}.y (y int PRIMARY KEY, x int)",
        f"INSERT INTO {database}.x VALUES (1, 1), (2, 1), (3, 2), (4, 2), (5, 3)",
        f"INSERT INTO {database}.y VALUES (10, 1), (11, 3), (12, 3), (13, 5)",
    )
    return read_schema(reader, [TableName(database, "x")])


def test_guard_brings_targets_of_rows_that_are_there(database: str, reader: Database, blocks: Schema) -> None:
    x, y = TableName(database, "x"), TableName(database, "y")
    guard = Rule(
        RuleKind.GUARD,
        f"SELECT {selection(blocks, x, 'x')}, {selection(blocks, y, 'y')}"
        f" FROM {database}.x LEFT JOIN {database}.y ON x.x = y.x",
        (Output(x, Role.CONDITION), Output(y, Role.TARGET)),
        reason="blocking rows",
    )
    found = cascade(reader, blocks, [leaf_rule(blocks.tables[x], "x IN (2, 3)"), guard])
    assert keys(found) == {"x": {(2,), (3,)}, "y": {(11,), (12,)}}
    assert found.tables[y].reasons == ("blocking rows",)


def test_guards_feed_each_other(database: str, reader: Database, blocks: Schema) -> None:
    x = TableName(database, "x")
    chain = Rule(
        RuleKind.GUARD,
        f"SELECT {selection(blocks, x, 'a')}, {selection(blocks, x, 'b')}"
        f" FROM {database}.x a JOIN {database}.x b ON b.x = a.x + 1",
        (Output(x, Role.CONDITION), Output(x, Role.TARGET)),
    )
    found = cascade(reader, blocks, [chain, leaf_rule(blocks.tables[x], "x=3")])
    assert keys(found) == {"x": {(3,), (4,), (5,)}}


def test_group_is_completed(database: str, reader: Database, blocks: Schema) -> None:
    x = TableName(database, "x")
    group = Rule(
        RuleKind.GROUP,
        f"SELECT g, {selection(blocks, x, 'x')}, {selection(blocks, x, 'x')} FROM {database}.x",
        (Output(x, Role.CONDITION), Output(x, Role.TARGET)),
        group=1,
    )
    found = cascade(reader, blocks, [leaf_rule(blocks.tables[x], "x IN (4, 5)"), group])
    assert keys(found) == {"x": {(3,), (4,), (5,)}}


def test_witness_is_taken_from_the_slice_or_added(database: str, reader: Database, blocks: Schema) -> None:
    x, y = TableName(database, "x"), TableName(database, "y")

    def witness(where: str) -> Rule:
        sql = f"SELECT {selection(blocks, x, 'x')} FROM {database}.x WHERE {where} ORDER BY x"
        return Rule(RuleKind.WITNESS, sql, (Output(x, Role.TARGET),), reason="exists")

    leaf = leaf_rule(blocks.tables[x], "x=4")
    assert keys(cascade(reader, blocks, [witness("x > 1"), leaf])) == {"x": {(4,)}}
    assert keys(cascade(reader, blocks, [witness("x < 3"), witness("x < 4"), leaf])) == {"x": {(1,), (4,)}}
    assert keys(cascade(reader, blocks, [witness("x > 9"), leaf], structure=[y])) == {"x": {(4,)}}


def test_a_witness_for_each_row_that_is_judged(database: str, reader: Database, blocks: Schema) -> None:
    """Two branches of a union are two rows, though both are made of one row of the same table."""
    x, y = TableName(database, "x"), TableName(database, "y")
    judged = Output(x, Role.CONDITION)
    sql = (
        f"SELECT {selection(blocks, x, 'x')}, NULL, {selection(blocks, y, 'y')} FROM {database}.x, {database}.y"
        f" WHERE x.x = 1 AND y.y = 10 UNION ALL SELECT NULL, {selection(blocks, x, 'x')}, {selection(blocks, y, 'y')}"
        f" FROM {database}.x, {database}.y WHERE x.x = 1 AND y.y = 11"
    )
    rule = Rule(RuleKind.WITNESS, sql, (judged, judged, Output(y, Role.TARGET)), reason="decides")
    found = cascade(reader, blocks, [rule, leaf_rule(blocks.tables[x], "x=1")])
    assert keys(found)["y"] == {(10,), (11,)}
    assert "y" not in keys(cascade(reader, blocks, [rule, leaf_rule(blocks.tables[x], "x=4")]))


def test_a_refused_rule_ends_nothing(database: str, reader: Database, blocks: Schema) -> None:
    x = TableName(database, "x")
    outputs = (Output(x, Role.TARGET),)
    bad = [
        Rule(kind, f"SELECT nonsense FROM {database}.x", outputs, statement=number)
        for number, kind in enumerate(RuleKind, 1)
    ]
    picked = leaf_rule(blocks.tables[x], "no_such_column = 1")
    found = cascade(reader, blocks, [*bad, picked, leaf_rule(blocks.tables[x], "x=1")])
    assert keys(found) == {"x": {(1,)}}
    assert sorted(found.refused) == [1, 2, 3, 4]
    assert "nonsense" in found.refused[1]
    assert len(found.warnings) == 1 and "no_such_column" in found.warnings[0]


def test_unknown_tables_and_views_are_refused(
    server: PrivateServer, database: str, reader: Database, blocks: Schema
) -> None:
    server.execute(f"CREATE VIEW {database}.v AS SELECT * FROM {database}.x")
    schema = read_schema(reader, [TableName(database, "x")])
    with pytest.raises(InputError, match="is a view"):
        leaf_rule(schema.tables[TableName(database, "v")])
    unknown = Rule(RuleKind.LEAF, "SELECT 1", (Output(TableName(database, "nowhere"), Role.TARGET),))
    with pytest.raises(InputError, match="nowhere"):
        cascade(reader, schema, [unknown])


def test_lineage_rows_of_exported_tables(server: PrivateServer, database: str, reader: Database) -> None:
    load(server, database, PAIRS)
    server.execute(
        f"CREATE TABLE {database}.`~lineage` (table_name varchar(64) NOT NULL,"
        " attribute_name varchar(64) NOT NULL, lineage varchar(255) NOT NULL,"
        " PRIMARY KEY (table_name, attribute_name))",
        f"CREATE TABLE {database}.`~log` (id int PRIMARY KEY)",
        f"INSERT INTO {database}.`~log` VALUES (1)",
        f"INSERT INTO {database}.`~lineage` VALUES ('subject', 'subject', 's'), ('session', 'session', 's'),"
        " ('pair', 'pair', 's'), ('SUBJECT', 'other', 's')",
    )
    found = run(reader, database, {"session": "subject=1", "~log": None})
    lineage = found.tables[TableName(database, "~lineage")]
    assert lineage.keys == {("subject", "subject"), ("session", "session")}
    assert found.tables[TableName(database, "~log")].rows == 0


def pinned(schema: str, table: str, keys: set[tuple[Any, ...]], sql: str = "") -> Rule:
    """The rule for rows that recorded results named."""
    output = Output(TableName(schema, table), Role.TARGET)
    return Rule(RuleKind.LEAF, sql, (output,), statement=7, reason="named", keys=frozenset(keys))


def test_pinned_rows_are_taken_as_far_as_they_are_there(server: PrivateServer, reader: Database, database: str) -> None:
    load(server, database, PAIRS)
    read = read_schema(reader, [TableName(database, "session")])
    sql = f"SELECT subject, session FROM {database}.session WHERE session = 1 AND subject < 2"
    found = cascade(reader, read, [pinned(database, "session", {(0, 1), (3, 2), (99, 1)}, sql)])
    assert keys(found)["session"] == {(0, 1), (3, 2)}
    assert keys(found)["subject"] == {(0,), (3,), (1,), (5,)}
    assert found.pins == (PinCheck(7, TableName(database, "session"), pinned=3, missing=1, gone=1, new=1),)
    assert found.tables[TableName(database, "session")].reasons == ("named",)


def test_pinned_rows_alone_are_compared_with_nothing(server: PrivateServer, reader: Database, database: str) -> None:
    load(server, database, PAIRS)
    read = read_schema(reader, [TableName(database, "session")])
    found = cascade(reader, read, [pinned(database, "session", {(0, 1)}), pinned(database, "session", set())])
    assert [(check.pinned, check.missing, check.gone, check.new) for check in found.pins] == [
        (1, 0, None, None),
        (0, 0, None, None),
    ]
    assert not any(check.differs for check in found.pins)


def test_a_comparison_that_the_server_refuses_ends_nothing(
    server: PrivateServer, reader: Database, database: str
) -> None:
    load(server, database, PAIRS)
    read = read_schema(reader, [TableName(database, "session")])
    found = cascade(reader, read, [pinned(database, "session", {(0, 1)}, "SELECT nothing")])
    assert keys(found)["session"] == {(0, 1)}
    assert found.refused == {}
    assert found.pins[0].gone is None


def test_a_pinned_key_that_is_written_otherwise_now_is_not_missing(
    server: PrivateServer, reader: Database, database: str
) -> None:
    server.execute(
        f"CREATE TABLE {database}.mouse (name VARCHAR(9) COLLATE utf8mb4_general_ci PRIMARY KEY)",
        f"INSERT INTO {database}.mouse VALUES ('mouse1')",
    )
    read = read_schema(reader, [TableName(database, "mouse")])
    found = cascade(reader, read, [pinned(database, "mouse", {("Mouse1",), ("Mouse2",)})])
    assert keys(found)["mouse"] == {("mouse1",)}
    assert (found.pins[0].pinned, found.pins[0].missing) == (2, 1)
