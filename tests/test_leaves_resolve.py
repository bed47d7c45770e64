"""What is refused, and why; what a resolution says besides its rules. No server."""

from __future__ import annotations

import networkx as nx
import pytest

from graph.leaves import Resolution, Role, RuleKind, resolve
from graph.names import TableName
from graph.schema import Column, Schema, Table
from graph.statement import Session, Statement, StatementClass


def table(name: str, key: tuple[str, ...], *columns: str, view: str | None = None, nullable: str = "") -> Table:
    found = tuple(
        Column(column, "int", "int", nullable=column in nullable.split(), charset=None, collation=None)
        for column in (*key, *columns)
    )
    return Table(TableName("lab", name), found, key, view=view)


SCHEMA = Schema(
    {
        each.name: each
        for each in (
            table("a", ("id",), "x", "y", nullable="y"),
            table("b", ("id", "n"), "z", nullable="z"),
            table("nokey", (), "x"),
            table("v", (), "id", "x", view="select `lab`.`a`.`id` AS `id`,`lab`.`a`.`x` AS `x` from `lab`.`a`"),
            table("hidden", (), "id", view=""),
        )
    },
    nx.MultiDiGraph(),
)


def resolved(sql: str, session: Session | None = None) -> Resolution:
    return resolve(Statement(7, sql, session or Session(schema="lab")), SCHEMA)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT id FROM a WHERE EXISTS (SELECT 1 FROM b WHERE b.id = a.w)", "no table of it has the column a.w"),
        ("SELECT id, id FROM a EXCEPT SELECT id, n FROM b", "two columns of one name"),
        (
            "SELECT COUNT(*) AS i FROM a HAVING EXISTS (SELECT 1 FROM (SELECT id FROM b WHERE b.z = i) d)",
            "a derived table inside its subquery looks at the select list",
        ),
        ("SELECT id FROM gone", "lab.gone is not there"),
        ("SELECT id FROM other.a", "other.a is not there"),
        ("SELECT id FROM a WHERE x = @v", "@v is not known"),
        ("SELECT @n := id FROM a", "assigns to a user variable"),
        ("SELECT id FROM hidden", "SHOW VIEW"),
        ("SELECT a.id FROM a JOIN information_schema.tables t ON t.table_name = a.x", "system table"),
        (
            "SELECT a.id FROM (SELECT id FROM a WHERE x IN (SELECT TABLE_ROWS FROM information_schema.tables)) a",
            "system",
        ),
        ("SELECT id FROM a LIMIT 3 OFFSET @o", "@o is not known"),
    ],
)
def test_what_is_not_followed_says_so(sql: str, reason: str) -> None:
    resolution = resolved(sql)
    assert resolution.statement_class is StatementClass.UNRESOLVED
    assert reason in resolution.reason
    assert not resolution.rules


def test_no_schema_at_all() -> None:
    assert "no default schema" in resolved("SELECT id FROM a", Session()).reason


def test_a_known_variable_is_no_obstacle() -> None:
    resolution = resolved("SELECT id FROM a WHERE x = @V", Session(schema="lab", variables={"v": "5"}))
    assert resolution.statement_class is StatementClass.DATA
    assert resolution.rules[0].session.variables == {"v": "5"}


def test_rules_run_without_the_modes_that_change_how_text_is_read() -> None:
    modes = "ANSI_QUOTES,NO_BACKSLASH_ESCAPES,ONLY_FULL_GROUP_BY,NO_ZERO_DATE,STRICT_TRANS_TABLES"
    (rule,) = resolved("SELECT id FROM \"a\" WHERE 'x\\' = x", Session("lab", sql_mode=modes)).rules
    assert rule.session.sql_mode == "NO_ZERO_DATE,STRICT_TRANS_TABLES"
    assert "'x\\\\'" in rule.sql and "`a`" in rule.sql


def test_a_view_is_resolved_to_its_base_table_and_named() -> None:
    resolution = resolved("SELECT id FROM v WHERE x = 1")
    assert resolution.tables == (TableName("lab", "a"),)
    assert resolution.views == (TableName("lab", "v"),)


def test_a_table_without_a_key_is_taken_whole_and_said_so() -> None:
    resolution = resolved("SELECT x FROM nokey WHERE x = 1")
    assert "lab.nokey has no key" in resolution.reason
    (rule,) = resolution.rules
    assert rule.kind is RuleKind.LEAF and "WHERE" not in rule.sql


def test_an_unrestricted_fetch_is_named() -> None:
    assert "whole table" in resolved("SELECT id FROM a").reason


def test_changing_functions_are_named() -> None:
    assert "NOW()" in resolved("SELECT id FROM a WHERE x < NOW()").reason
    assert "ORDER BY" in resolved("SELECT id FROM a LIMIT 2").reason


def test_a_condition_on_housekeeping_is_left_out_and_said() -> None:
    resolution = resolved("SELECT id FROM a WHERE x = 1 AND id NOT IN (SELECT id FROM `~~a`)")
    assert "bookkeeping was left out" in resolution.reason
    assert resolution.replay is not None and "~~a" not in resolution.replay and "x = 1" in resolution.replay
    assert resolution.tables == (TableName("lab", "a"),)


def test_monotone_queries_have_leaves_alone() -> None:
    resolution = resolved("SELECT a.id FROM a JOIN b USING (id) WHERE z = 1 AND x IN (SELECT n FROM b)")
    assert [rule.kind for rule in resolution.rules] == [RuleKind.LEAF] * 3


def test_a_count_above_a_constant_needs_no_whole_groups() -> None:
    grows = resolved("SELECT id, count(*) c FROM b GROUP BY id HAVING c > 2")
    assert {rule.kind for rule in grows.rules} == {RuleKind.LEAF}
    shrinks = resolved("SELECT id, count(*) c FROM b GROUP BY id HAVING c < 2")
    assert {rule.kind for rule in shrinks.rules} == {RuleKind.LEAF, RuleKind.GROUP}


@pytest.mark.parametrize(
    "condition",
    [
        "id NOT IN (SELECT id FROM b)",
        "id NOT IN (SELECT b.id FROM b WHERE b.z = a.x)",
        "NOT EXISTS (SELECT 1 FROM b WHERE b.id = a.id)",
        "EXISTS (SELECT 1 FROM b WHERE b.id = a.id)",
    ],
)
def test_one_row_decides_for_each_candidate(condition: str) -> None:
    resolution = resolved(f"SELECT id FROM a WHERE {condition}")
    kinds = {rule.kind: rule for rule in resolution.rules}
    assert set(kinds) == {RuleKind.LEAF, RuleKind.WITNESS}
    roles = [(str(output.table), output.role) for output in kinds[RuleKind.WITNESS].outputs]
    assert roles == [("lab.a", Role.CONDITION), ("lab.b", Role.TARGET)]


@pytest.mark.parametrize(
    "condition",
    [
        "x > (SELECT MAX(z) FROM b WHERE b.id = a.id)",
        "EXISTS (SELECT z FROM b WHERE b.id = a.id GROUP BY z HAVING COUNT(*) = 1)",
    ],
)
def test_all_rows_of_a_value_come_with_each_candidate(condition: str) -> None:
    resolution = resolved(f"SELECT id FROM a WHERE {condition}")
    assert [rule.kind for rule in resolution.rules] == [RuleKind.LEAF, RuleKind.GUARD]


def test_a_null_in_a_not_in_list_gets_a_witness() -> None:
    resolution = resolved("SELECT id FROM a WHERE x NOT IN (SELECT z FROM b)")
    assert [len(rule.outputs) for rule in resolution.rules if rule.kind is RuleKind.WITNESS] == [2, 1]


def test_the_aggregate_of_no_rows_is_a_row_too() -> None:
    rules = resolved("SELECT AVG(z) FROM b HAVING SUM(n) IS NULL").rules
    assert {rule.kind for rule in rules} == {RuleKind.LEAF}
    assert any("HAVING" not in rule.sql for rule in rules)


def test_reading_what_is_no_data_needs_nothing() -> None:
    assert resolved("SELECT 1").statement_class is StatementClass.NOT_DATA
    assert resolved("SELECT * FROM `~log`").statement_class is StatementClass.NOT_DATA


def test_every_rule_names_its_statement_and_reason() -> None:
    for rule in resolved("SELECT id FROM a WHERE id NOT IN (SELECT id FROM b) ORDER BY id LIMIT 2").rules:
        assert rule.statement == 7
        assert rule.reason
