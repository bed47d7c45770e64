"""The law of leaves, on real servers: any set of rows that obeys the rules of a statement answers it as the source
does; and for queries that only select, project and join, the rules ask for the lineage and for nothing else."""

from __future__ import annotations

import random
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.leaves import Resolution, Role, Rule, RuleKind, resolve
from graph.names import TableName
from graph.schema import Schema, read_schema
from graph.statement import Session, Statement, StatementClass

TABLES = {
    "subject": "subject VARCHAR(16) NOT NULL, species VARCHAR(16), weight FLOAT, PRIMARY KEY (subject)",
    "session": "subject VARCHAR(16) NOT NULL, session INT NOT NULL, session_date DATE, experimenter VARCHAR(16), "
    "PRIMARY KEY (subject, session)",
    "trial": "subject VARCHAR(16) NOT NULL, session INT NOT NULL, trial INT NOT NULL, rt DOUBLE, choice VARCHAR(8), "
    "PRIMARY KEY (subject, session, trial)",
    "probe": "probe INT NOT NULL, kind VARCHAR(8), meta JSON, PRIMARY KEY (probe)",
    "pair": "subject VARCHAR(16) NOT NULL, s1 INT NOT NULL, s2 INT NOT NULL, PRIMARY KEY (subject, s1, s2)",
    "noted": "subject VARCHAR(16) NOT NULL, session INT INVISIBLE, note VARCHAR(8), PRIMARY KEY (subject)",
}
ROWS: dict[str, list[tuple[Any, ...]]] = {
    "subject": [("a", "mouse", 1.5), ("b", "rat", 2.5), ("c", "mouse", None), ("d", None, 0.1)],
    "session": [
        ("a", 1, "2020-01-01", "eve"),
        ("a", 2, "2020-01-02", None),
        ("b", 1, "2020-01-03", "eve"),
        ("b", 2, "2021-01-01", "bob"),
        ("c", 1, None, "bob"),
        ("c", 2, "2021-01-05", "eve"),
        ("d", 3, "2020-01-06", None),
    ],
    "trial": [
        ("a", 1, 1, 0.1, "left"),
        ("a", 1, 2, 0.9, "right"),
        ("a", 1, 3, 0.5, None),
        ("a", 2, 1, 0.4, "left"),
        ("b", 1, 1, 0.6, "left"),
        ("b", 1, 2, None, "right"),
        ("c", 2, 1, 0.2, "LEFT"),
        ("c", 2, 2, 0.7, None),
    ],
    "probe": [(1, "np1", '{"a": {"b": 3}}'), (2, "np2", '{"a": {"b": 4}}'), (3, "np2", None)],
    "pair": [("a", 1, 2), ("b", 2, 1), ("c", 1, 2)],
    "noted": [("a", 7, "x"), ("b", 8, "y"), ("c", 1, None)],
}
VIEWS = {
    "fast": "SELECT subject, session, trial FROM `{S}`.trial WHERE rt < 0.5",
    "named": "SELECT t.subject, t.trial, s.experimenter AS who FROM `{S}`.session s "
    "JOIN `{S}`.trial t USING (subject, session)",
    "old": "SELECT f.trial, s.* FROM `{S}`.fast f JOIN `{S}`.session s ON s.subject = f.subject "
    "WHERE session_date < '2020-06-01'",
}


def queries() -> list[tuple[str, str, str]]:
    """(name, law, SQL) of the golden file."""
    text = (Path(__file__).parent / "leaves" / "queries.sql").read_text()
    found = re.findall(r"^-- ([^\n:]+): (exact|replay|mysql)\n(.+?)(?=^-- |\Z)", text, re.MULTILINE | re.DOTALL)
    return [(name, law, sql.strip()) for name, law, sql in found]


Rows = dict[str, set[tuple[Any, ...]]]


class Lab:
    """A source schema, a copy schema with the same empty tables, and a connection for each purpose."""

    def __init__(self, server: PrivateServer) -> None:
        suffix = secrets.token_hex(4)
        self.source, self.copy = f"src_{suffix}", f"cpy_{suffix}"
        self.server = server
        self.connection = server.connect(autocommit=True)
        for name in (self.source, self.copy):
            self.run(f"CREATE DATABASE {name}")
            for table, columns in TABLES.items():
                self.run(f"CREATE TABLE {name}.`{table}` ({columns})")
            for view, select in VIEWS.items():
                self.run(f"CREATE VIEW {name}.{view} AS " + select.replace("{S}", name))
        for table, rows in ROWS.items():
            self.fill(self.source, table, set(rows))
        address = ServerAddress(server.host, server.port)
        self.database = Database.connect(address, Credentials(server.user, server.password))
        self.schema: Schema = read_schema(self.database, [TableName(self.source, table) for table in TABLES])

    def close(self) -> None:
        for name in (self.source, self.copy):
            self.run(f"DROP DATABASE {name}")
        self.connection.close()
        self.database.close()

    def run(self, sql: str, *arguments: Any) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, arguments or None)
            return list(cursor.fetchall())

    def fill(self, schema: str, table: str, rows: set[tuple[Any, ...]]) -> None:
        self.run(f"DELETE FROM {schema}.`{table}`")
        if rows:
            names = [column.split()[0] for column in TABLES[table].split(", PRIMARY")[0].split(", ")]
            into, marks = ", ".join(names), ", ".join(["%s"] * len(names))
            with self.connection.cursor() as cursor:
                cursor.executemany(f"INSERT INTO {schema}.`{table}` ({into}) VALUES ({marks})", sorted(rows, key=repr))

    def fill_copy(self, rows: Rows) -> None:
        for table in TABLES:
            self.fill(self.copy, table, rows.get(table, set()))

    def resolve(self, sql: str) -> Resolution:
        return resolve(Statement(1, sql.replace("{S}", self.source), Session()), self.schema)

    def keys(self, rule: Rule) -> list[tuple[tuple[Any, ...], list[tuple[str, tuple[Any, ...] | None]]]]:
        """The rule's rows as (group, [(table, key or None), …])."""
        if rule.keys is not None:
            (output,) = rule.outputs
            return [((), [(output.table.name, tuple(map(str, key)))]) for key in rule.keys]
        found = []
        for row in self.database.rows(rule.sql, rule.session):
            position, outputs = rule.group, []
            for output in rule.outputs:
                size = len(self.schema.tables[output.table].key)
                key = tuple(str(value) for value in row[position : position + size])
                missing = all(value is None for value in row[position : position + size])
                outputs.append((output.table.name, None if missing else key))
                position += size
            assert position == len(row), rule.sql
            found.append((tuple(row[: rule.group]), outputs))
        return found

    def obey(self, rules: tuple[Rule, ...], start: Rows) -> Rows:
        """The least superset of some rows that the rules ask for, by a naive loop."""
        have: Rows = {table: set(rows) for table, rows in start.items()}
        answers = [(rule, self.keys(rule)) for rule in rules]
        while True:
            before = sum(map(len, have.values()))
            for rule, rows in answers:
                for table, key in self._asked(rule, rows, have):
                    have.setdefault(table, set()).add(self._row(table, key))
            if sum(map(len, have.values())) == before:
                return have

    def _asked(self, rule: Rule, rows: Any, have: Rows) -> Iterator[tuple[str, tuple[Any, ...]]]:
        def held(table: str, key: tuple[Any, ...] | None) -> bool:
            return key is None or self._row(table, key) in have.get(table, set())

        roles = [output.role for output in rule.outputs]
        if rule.kind is RuleKind.WITNESS:
            choices: dict[Any, list[Any]] = {}
            for _, outputs in rows:
                pairs = list(zip(outputs, roles, strict=True))
                asked = tuple(output for output, role in pairs if role is Role.CONDITION)
                choices.setdefault(asked, []).append([output for output, role in pairs if role is Role.TARGET])
            for asked, candidates in choices.items():
                if all(held(*o) for o in asked) and not any(all(held(*o) for o in each) for each in candidates):
                    yield from ((table, key) for table, key in candidates[0] if key is not None)
            return
        touched = [
            all(held(*o) for o, role in zip(outputs, roles, strict=True) if role is Role.CONDITION)
            for _, outputs in rows
        ]
        groups = {group for (group, _), yes in zip(rows, touched, strict=True) if yes}
        for (group, outputs), yes in zip(rows, touched, strict=True):
            if yes or (rule.kind is RuleKind.GROUP and group in groups):
                for (table, key), role in zip(outputs, roles, strict=True):
                    if key is not None and role is Role.TARGET:
                        yield table, key

    @staticmethod
    def _row(table: str, key: tuple[Any, ...]) -> tuple[Any, ...]:
        (row,) = [row for row in ROWS[table] if tuple(str(value) for value in row[: len(key)]) == key]
        return row

    def answer(self, sql: str, schema: str) -> list[str]:
        return sorted(map(repr, self.run(sql.replace("{S}", schema))))


@pytest.fixture(scope="module")
def lab(server: PrivateServer) -> Iterator[Lab]:
    made = Lab(server)
    yield made
    made.close()


def replay_text(lab: Lab, resolution: Resolution) -> str:
    assert resolution.replay is not None
    return resolution.replay.replace(lab.source, "{S}")


@pytest.mark.parametrize(("name", "law", "sql"), queries(), ids=[name for name, _, _ in queries()])
def test_rules_answer_as_the_source(lab: Lab, name: str, law: str, sql: str) -> None:
    if law == "mysql" and lab.server.flavour != "mysql":
        with pytest.raises((pymysql.err.ProgrammingError, pymysql.err.OperationalError), match=r"\((1064|1054|4078),"):
            lab.answer(sql, lab.source)
        return
    resolution = lab.resolve(sql)
    assert resolution.statement_class in (StatementClass.DATA, StatementClass.CHECK), resolution.reason
    text = replay_text(lab, resolution)
    expected = lab.answer(text, lab.source)
    chance = random.Random(name)
    everything = [(table, row) for table, rows in ROWS.items() for row in rows]
    for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8):
        start: Rows = {}
        for table, row in everything:
            if chance.random() < share:
                start.setdefault(table, set()).add(row)
        slice_rows = lab.obey(resolution.rules, start)
        lab.fill_copy(slice_rows)
        assert lab.answer(text, lab.copy) == expected, (share, start, slice_rows)


@pytest.mark.parametrize(
    ("name", "sql"),
    [(name, sql) for name, law, sql in queries() if law == "exact"],
    ids=[name for name, law, _ in queries() if law == "exact"],
)
def test_rules_ask_for_the_lineage_alone(lab: Lab, name: str, sql: str) -> None:
    """A row takes part in a monotone query just when the query gives something with that row alone in its table."""
    resolution = lab.resolve(sql)
    slice_rows = lab.obey(resolution.rules, {})
    text = replay_text(lab, resolution)
    named = {table.name for table in resolution.tables}
    lab.fill_copy({table: set(rows) for table, rows in ROWS.items()})
    lineage: Rows = {}
    for table in sorted(named):
        for row in ROWS[table]:
            lab.fill(lab.copy, table, {row})
            own = lab.answer(text, lab.copy)
            lab.fill(lab.copy, table, set())
            if own != lab.answer(text, lab.copy):
                lineage.setdefault(table, set()).add(row)
        lab.fill(lab.copy, table, set(ROWS[table]))
    assert {table: rows for table, rows in slice_rows.items() if rows} == lineage
