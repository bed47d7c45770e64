"""The modes of restore.sh on both flavours: into servers that hold something already."""

from __future__ import annotations

from pathlib import Path

import pytest

from graph.bundle import Bundle
from graph.names import TableName
from graph.quoting import identifier
from graph.slice import Slice
from tests.dumping import META, READER, Pair, call, content, export, fetch, shellcheck, tools

VISIT, SUBJECT, NOTE = TableName("lab", "visit"), TableName("other 'x`", "subject"), TableName("lab", "note")
OTHER = identifier(SUBJECT.schema)
TABLES = (
    "CREATE DATABASE lab",
    f"CREATE DATABASE {OTHER} CHARACTER SET latin1",
    f"CREATE TABLE {OTHER}.subject (id INT PRIMARY KEY, name VARCHAR(40) COLLATE latin1_bin NOT NULL,"
    " UNIQUE KEY (name)) COMMENT = 'CONSTRAINT `fk` FOREIGN KEY (`s`) REFERENCES `lab`.`visit`'",
    "CREATE TABLE lab.visit (id INT, n INT, s INT, name VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_bin, f FLOAT,"
    " twice INT GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (id, n),"
    f" CONSTRAINT fk FOREIGN KEY (s) REFERENCES {OTHER}.subject (id),"
    f" CONSTRAINT named FOREIGN KEY (name) REFERENCES {OTHER}.subject (name))",
    "CREATE TABLE lab.note (id INT PRIMARY KEY, before_it INT, j JSON, b BLOB, g POINT,"
    " FOREIGN KEY (before_it) REFERENCES lab.note (id))",
    f"CREATE VIEW lab.seen AS SELECT lab.v.id, s.name FROM lab.visit v JOIN {OTHER}.subject s ON v.s = s.id"
    " WHERE s.name <> 'lab.visit'",
)
ROWS = (
    "SET foreign_key_checks = 0",
    f"INSERT INTO {OTHER}.subject VALUES (1, 'anna'), (2, 'USE `lab`;'), (3, 'carl')",
    "INSERT INTO lab.visit (id, n, s, name, f) VALUES (1, 1, 1, 'anna', 1.2345678), (1, 2, 2, NULL, 0.5),"
    " (2, 1, NULL, 'carl', NULL), (3, 1, 3, NULL, 3)",
    "INSERT INTO lab.note VALUES (1, 2, '{\"a\": 1}', x'00ff', POINT(1, 2)), (2, 1, NULL, NULL, NULL),"
    " (3, 3, '[]', '', NULL)",
)
SEEN = TableName("lab", "seen")


@pytest.fixture
def lab(clean: Pair, tmp_path: Path) -> tuple[Pair, Bundle, Slice]:
    """A slice over two schemas with a cycle, a generated column and a view, dumped."""
    clean.source.execute(*TABLES, *ROWS, f"GRANT SELECT, SHOW VIEW ON *.* TO {READER}@'%'")
    bundle, slice_ = export(tmp_path / "bundle", clean, {VISIT: "id < 3", NOTE: "id < 3"}, structure=(SEEN,))
    clean.source.execute(f"REVOKE SHOW VIEW ON *.* FROM {READER}@'%'")
    return clean, bundle, slice_


def restore(pair: Pair, bundle: Bundle, *options: str) -> tuple[int, str]:
    answer = call(bundle.publish / "restore.sh", tools(pair.copy), *options)
    return answer.returncode, answer.stderr


def schemas(pair: Pair) -> set[str]:
    names = {str(name) for (name,) in fetch(pair.copy, "SHOW DATABASES")}
    return names - {"information_schema", "mysql", "performance_schema", "sys"}


def renamed(name: TableName) -> TableName:
    return TableName(f"mine_{name.schema}", name.name)


def test_schemas_are_renamed_with_their_foreign_keys_and_views(lab: tuple[Pair, Bundle, Slice]) -> None:
    """Beside the original names, which exist already; comments and values stay."""
    pair, bundle, slice_ = lab
    pair.copy.execute("CREATE DATABASE lab", "CREATE TABLE lab.visit (x INT)")
    status, said = restore(pair, bundle, "--mode", "rename", "mine_")
    assert status == 0, said
    assert schemas(pair) == {"lab", "mine_lab", f"mine_{SUBJECT.schema}"}
    for name, where in ((VISIT, "id < 3"), (SUBJECT, "TRUE"), (NOTE, "id < 3")):
        assert content(pair.source, slice_, name, where) == content(pair.copy, slice_, name, at=renamed(name))
    leads = "SELECT DISTINCT REFERENCED_TABLE_SCHEMA FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA"
    found = fetch(pair.copy, f"{leads} = 'mine_lab' AND REFERENCED_TABLE_SCHEMA IS NOT NULL")
    assert {name for (name,) in found} == {"mine_lab", f"mine_{SUBJECT.schema}"}
    assert sorted(fetch(pair.copy, "SELECT * FROM mine_lab.seen")) == [(1, "USE `lab`;"), (1, "anna")]
    comment = "SELECT TABLE_COMMENT FROM information_schema.TABLES WHERE TABLE_NAME = 'subject'"
    assert fetch(pair.copy, comment) == [("CONSTRAINT `fk` FOREIGN KEY (`s`) REFERENCES `lab`.`visit`",)]
    status, said = restore(pair, bundle, "--mode", "rename", "mine_")
    assert status == 1
    assert "mine_lab.visit" in said
    assert "nothing was loaded" in said


def test_rows_are_added_to_tables_that_exist(lab: tuple[Pair, Bundle, Slice]) -> None:
    """Twice; and what only one side has stays."""
    pair, bundle, slice_ = lab
    pair.copy.execute(
        *TABLES[:3],
        f"INSERT INTO {OTHER}.subject VALUES (1, 'anna'), (9, 'zoe')",
    )
    status, said = restore(pair, bundle, "--mode", "append")
    assert status == 0, said
    assert f"{SUBJECT}: added 2 of 3 rows" in said
    assert schemas(pair) == {"lab", SUBJECT.schema}
    status, said = restore(pair, bundle, "--mode", "append")
    assert status == 0, said
    assert "lab.visit: added 0 of 3 rows" in said
    assert "the view lab.seen exists" in said
    for name, where in ((VISIT, "id < 3"), (NOTE, "id < 3")):
        assert content(pair.source, slice_, name, where) == content(pair.copy, slice_, name)
    assert len(fetch(pair.copy, f"SELECT * FROM {OTHER}.subject")) == 4
    assert len(fetch(pair.copy, "SELECT * FROM lab.seen")) == 2


def test_rows_with_other_values_stay_and_are_reported(lab: tuple[Pair, Bundle, Slice]) -> None:
    pair, bundle, _ = lab
    pair.copy.execute(*TABLES, *ROWS[:3])
    changed = "INSERT INTO lab.note VALUES (1, NULL, '{\"a\": 2}', x'00ff', POINT(1, 2))"
    pair.copy.execute(changed, "UPDATE lab.visit SET f = 1.2345679 WHERE id = 1 AND n = 1")
    status, said = restore(pair, bundle, "--mode", "append")
    assert status == 1
    assert "lab.note: 1 rows exist with other values" in said
    assert "lab.visit: 1 rows exist with other values" in said
    assert "id=1, n=1" in said
    assert "subject" not in said.split("other values")[0]
    assert fetch(pair.copy, "SELECT id, before_it FROM lab.note ORDER BY id") == [(1, None), (2, 1)]
    assert schemas(pair) == {"lab", SUBJECT.schema}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("ALTER TABLE lab.visit MODIFY n BIGINT", "lab.visit has the column n as bigint"),
        ("ALTER TABLE lab.note DROP b", "lab.note has the column b as nothing, the slice as blob"),
        ("ALTER TABLE lab.note ADD extra INT NOT NULL", "extra"),
        (f"UPDATE {OTHER}.subject SET id = 7 WHERE id = 3", "1 rows have values that others there have in the unique"),
        (
            f"UPDATE {OTHER}.subject SET name = 'karl' WHERE id = 3",
            "lab.visit: 1 rows refer to rows of other 'x`.subject that are there with other values",
        ),
    ],
)
def test_nothing_is_added_when_not_all_can_be(lab: tuple[Pair, Bundle, Slice], change: str, message: str) -> None:
    pair, bundle, _ = lab
    pair.copy.execute(*TABLES, ROWS[1], change)
    status, said = restore(pair, bundle, "--mode", "append")
    assert status == 1
    assert message in said
    assert "no row was added" in said
    assert fetch(pair.copy, "SELECT * FROM lab.visit") == []
    assert len(fetch(pair.copy, f"SELECT * FROM {OTHER}.subject")) == 3
    assert schemas(pair) == {"lab", SUBJECT.schema}


def test_a_table_without_key_is_added_only_where_empty(clean: Pair, tmp_path: Path) -> None:
    loose = TableName("lab", "loose")
    clean.source.execute(
        "CREATE DATABASE lab", "CREATE TABLE lab.loose (a INT)", "INSERT INTO lab.loose VALUES (1), (1)"
    )
    bundle, _ = export(tmp_path / "bundle", clean, {loose: None})
    status, said = restore(clean, bundle, "--mode", "append")
    assert status == 0, said
    status, said = restore(clean, bundle, "--mode", "append")
    assert status == 1
    assert "lab.loose has no key and is not empty" in said
    assert fetch(clean.copy, "SELECT * FROM lab.loose") == [(1,), (1,)]


def test_a_check_that_takes_too_long_is_named(lab: tuple[Pair, Bundle, Slice]) -> None:
    pair, bundle, _ = lab
    script = bundle.publish / "restore.sh"
    first = "SELECT 'checking the rows of prefix:lab.visit'"
    slow = "SELECT 'checking the slow one';\nSELECT 1 FROM lab.visit WHERE SLEEP(30) = 0;\n"
    script.write_text(script.read_text().replace(first, slow + first, 1))
    status, said = restore(pair, bundle, "--check-seconds", "1")
    assert status == 1
    assert "the slow one could not be checked: ERROR" in said
    assert said.count("could not be checked") == 1


@pytest.mark.parametrize(
    "options",
    [(), ("replace",), ("rename",), ("rename", "a-b"), ("create", "--check-seconds", "x"), ("append", "x")],
)
def test_wrong_usage(lab: tuple[Pair, Bundle, Slice], options: tuple[str, ...]) -> None:
    pair, bundle, _ = lab
    assert restore(pair, bundle, "--mode", *options)[0] == 2


def test_the_script_is_clean_bash_and_explains_itself(lab: tuple[Pair, Bundle, Slice]) -> None:
    pair, bundle, _ = lab
    assert shellcheck(bundle) == ""
    answer = call(bundle.publish / "restore.sh", tools(pair.copy), "--help")
    assert answer.returncode == 0
    assert "--mode rename PREFIX" in answer.stdout
    assert META.version in answer.stdout
