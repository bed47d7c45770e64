"""review.json, manifest.json and queries.sql."""

from __future__ import annotations

import json
from dataclasses import replace

from graph.documents import Judged, Meta, manifest, queries, review, structure_digest
from graph.fingerprint import Fingerprint
from graph.schema import Column
from graph.statement import Session, Statement, StatementClass
from tests.slice_example import CHILD, META, PARENT, STATEMENTS, example

DATA = frozenset({StatementClass.DATA})


def judged(sql: str, session: Session | None = None, **more: str) -> Judged:
    return Judged(Statement(1, sql, session or Session()), StatementClass.DATA, "", **more)


def test_the_review_holds_everything() -> None:
    document = json.loads(review(example(), STATEMENTS, META, {CHILD: Fingerprint(1, 77)}))
    assert document["format_version"] == 1
    assert document["paper"] == "Paper"
    assert document["server"] == {"address": "db.lab.example:3306", "version": "8.4.0"}
    assert [s["class"] for s in document["statements"]] == ["data", "check"]
    assert document["statements"][0]["session"]["sql_mode"] == ""
    parent, child = document["tables"]
    assert parent["restriction"] == ["`id` IN (1,2)"]
    assert child["restriction"] is None
    assert child["values"] == 77
    assert child["foreign_keys"] == [
        {
            "name": "fk",
            "child": list(CHILD),
            "child_columns": ["p"],
            "parent": list(PARENT),
            "parent_columns": ["id"],
        }
    ]


def test_the_manifest_has_the_checksum_on_its_line() -> None:
    text = manifest(example(), Meta('a "paper"\n    "slice.sql": x', "", "1"), {"slice.sql": None, "b": "c"})
    assert [line for line in text.splitlines() if line.startswith('    "slice.sql": ')] == ['    "slice.sql": null,']
    assert json.loads(text)["files"] == {"slice.sql": None, "b": "c"}


def test_queries_are_in_order_and_once_under_their_settings() -> None:
    lab = Session(schema="lab", sql_mode="ANSI_QUOTES", time_zone="+02:00")
    statements = [
        judged('SELECT "a" FROM t;', lab),
        judged("SELECT 2 -- no end"),
        judged('SELECT "a" FROM t', lab),
        Judged(Statement(9, "SELECT secret"), StatementClass.UNRESOLVED, "why"),
        judged("INSERT INTO x SELECT 3", answers="SELECT 3"),
    ]
    assert queries(statements, DATA).splitlines() == [
        "-- The recorded queries that this slice answers, each with the settings of the session that sent it.",
        "SET NAMES utf8mb4;",
        "",
        "-- schema lab, sql_mode ANSI_QUOTES, time_zone +02:00",
        "USE `lab`;",
        "SET sql_mode = 'ANSI_QUOTES', time_zone = '+02:00';",
        "SET NAMES utf8mb4;",
        'SELECT "a" FROM t',
        ";",
        "",
        "-- the server's own settings",
        "SET sql_mode = DEFAULT, time_zone = DEFAULT;",
        "SET NAMES utf8mb4;",
        "SELECT 2 -- no end",
        ";",
        "",
        "-- the server's own settings",
        "SELECT 3",
        ";",
    ]


def test_queries_set_user_variables_and_collations() -> None:
    text = queries([judged("SELECT @x", Session(collation="latin1_bin", variables={"x": "'it''s'"}))], DATA)
    assert "SET collation_connection = 'latin1_bin';\nSET @`x` = 'it''s';\nSELECT @x\n;\n" in text


def test_a_context_stays_in_its_comment() -> None:
    text = queries([judged("SELECT 1", Session(schema="a\nDROP TABLE x;"))], DATA)
    assert "-- schema a DROP TABLE x;\n" in text
    assert "/*!40000 USE `a\nDROP TABLE x;` */;" in text


def test_a_query_with_hidden_characters_is_prepared_from_its_bytes() -> None:
    text = queries([judged("SELECT '\x1b\u202e'\n", Session(schema="lab"))], DATA)
    lines = text.split("USE `lab`;\n")[1].splitlines()[2:]
    assert lines[1:4] == [
        "--   SELECT '\\x1b\\u202e'",
        "SET @djproxy_query = X'53454C45435420271BE280AE27';",
        "PREPARE djproxy_query FROM @djproxy_query;",
    ]
    assert judged("SELECT 'ä\t\n'").statement.sql in queries([judged("SELECT 'ä\t\n'")], DATA)


def test_a_query_in_a_schema_that_use_cannot_name_is_a_comment() -> None:
    """What follows keeps its own schema."""
    lab, odd = Session(schema="lab"), Session(schema="o\x1b")
    text = queries([judged("SELECT 1", lab), judged("SELECT 2\nFROM t", odd), judged("SELECT 3", lab)], DATA)
    assert "--   SELECT 2\n--   FROM t\n" in text and "o\\x1b" in text
    assert text.count("USE ") == 2 and "SELECT 1\n;" in text and "SELECT 3\n;" in text


def test_documents_hold_no_delete_character() -> None:
    meta = replace(META, paper="a\x7f\x1b\u202e")
    text = review(example(), STATEMENTS, meta, {}) + manifest(example(), meta, {})
    assert "\x7f" not in text and json.loads(manifest(example(), meta, {}))["paper"] == meta.paper


def test_the_digest_follows_the_structure() -> None:
    table = example().tables[CHILD].table
    other = replace(table, columns=(*table.columns, Column("x", "int", "int", True)))
    assert structure_digest(table) == structure_digest(replace(table))
    assert structure_digest(table) != structure_digest(other)
