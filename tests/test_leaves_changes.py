"""The reading side of UPDATE and DELETE."""

from __future__ import annotations

import pytest

from graph.leaves import Resolution, read, resolve
from graph.statement import Session, Statement, StatementClass
from tests.test_leaves_resolve import SCHEMA


def resolved(sql: str) -> Resolution:
    return resolve(Statement(7, sql, Session(schema="lab")), SCHEMA)


@pytest.mark.parametrize(
    ("sql", "tables", "holds", "lacks"),
    [
        ("UPDATE a JOIN b ON a.id = b.id SET a.x = b.z WHERE b.n > 1 AND a.y = 2", ["b"], "b.n > 1", "a.y"),
        ("UPDATE a, b SET a.x = 1 WHERE a.id = b.id AND b.z = 3", ["b"], "b.z = 3", "a.id"),
        ("UPDATE a AS c JOIN a AS d ON c.x = d.id SET c.y = 1 WHERE d.y = 5", ["a"], "d.y = 5", "c.x"),
        ("UPDATE a SET x = (SELECT MAX(z) FROM b WHERE n = 4)", ["b"], "n = 4", "UPDATE"),
        (
            "UPDATE a SET x = 1 WHERE id IN (SELECT id FROM b WHERE z = 1) OR y IN (SELECT z FROM b)",
            ["b", "b"],
            "z = 1",
            "UPDATE",
        ),
        ("DELETE a FROM a JOIN b USING (id) WHERE b.z = 9", ["b"], "b.z = 9", "DELETE"),
        ("DELETE FROM a USING a JOIN b ON b.id = a.id WHERE b.z = 9", ["b"], "b.z = 9", "a.id"),
        ("DELETE FROM a WHERE id IN (SELECT id FROM b WHERE z = 8)", ["b"], "z = 8", "DELETE"),
        ("DELETE FROM a WHERE id NOT IN (SELECT id FROM b WHERE z = 8) AND x = 1", ["b"], "z = 8", "x = 1"),
    ],
)
def test_what_is_read_and_not_changed(sql: str, tables: list[str], holds: str, lacks: str) -> None:
    resolution = resolved(sql)
    assert resolution.statement_class is StatementClass.DATA
    assert "read to change" in resolution.reason
    assert [output.table.name for rule in resolution.rules for output in rule.outputs] == tables
    assert any(holds in rule.sql for rule in resolution.rules)
    assert not any(lacks in rule.sql for rule in resolution.rules)


def test_the_changed_table_is_named_as_written() -> None:
    reading = read("UPDATE lab.a JOIN lab.b USING (id) SET a.x = 1 WHERE b.z = 2", Session())
    assert [(str(each.table), each.role) for each in reading.occurrences] == [("lab.a", "write"), ("lab.b", "from")]


def test_a_change_that_reads_only_itself_is_a_write() -> None:
    assert resolved("DELETE c FROM a AS c JOIN a AS d ON d.id = c.id").statement_class is StatementClass.DATA
    assert resolved("UPDATE a SET x = (SELECT 1)").statement_class is StatementClass.WRITE


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE a JOIN b USING (id) SET x = 1", "write table.column"),
        ("UPDATE a SET x = (SELECT MAX(z) FROM b WHERE b.id = a.id)", "looks at a, whose rows are not known any more"),
        ("UPDATE a SET x = 1 WHERE EXISTS (SELECT 1 FROM b WHERE b.id = a.id)", "looks at a, whose rows"),
        ("DELETE c FROM a AS c JOIN b USING (id) WHERE c.x IN (SELECT z FROM b AS d WHERE d.n = c.y)", "looks at c,"),
    ],
)
def test_what_cannot_be_told_says_so(sql: str, reason: str) -> None:
    resolution = resolved(sql)
    assert resolution.statement_class is StatementClass.UNRESOLVED
    assert reason in resolution.reason


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE a, b SET a.x = 1 WHERE a.id = b.id AND b.z = 3",
        "DELETE a FROM a JOIN b USING (id) WHERE b.z = 9",
        "INSERT INTO a SELECT id, z, 1 FROM b WHERE n = 4",
        "SELECT x INTO @v FROM a WHERE id = 3",
        "SELECT x FROM a WHERE id = 3 INTO OUTFILE '/tmp/x'",
    ],
)
def test_what_is_asked_again_only_reads(sql: str) -> None:
    replay = resolved(sql).replay
    assert replay is not None
    assert replay.startswith("SELECT")
    assert "INTO" not in replay
