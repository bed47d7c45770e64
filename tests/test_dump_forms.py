"""Each form in which dump.sh selects a table's rows, on both flavours, and names made of every legal character."""

from __future__ import annotations

from pathlib import Path

import pytest

from graph import selection
from graph.bundle import Beside, write_bundle
from graph.errors import ServerError
from graph.names import TableName
from graph.quoting import identifier
from graph.quoting import table as quoted
from tests.dumping import (
    META,
    READER,
    Pair,
    assert_copied,
    export,
    fetch,
    insert,
    restored,
    run,
    shellcheck,
    take,
)

SCRATCH = "scratch 'n' `key`"
R = range(60)
#: A key of each kind whose values a client, a session or a collation may change.
KEYED = {
    "floats": ("f FLOAT, s VARCHAR(9) COLLATE utf8mb4_unicode_ci", "f, s", [(i / 7, f"A{i}") for i in R]),
    "times": ("t TIMESTAMP NOT NULL DEFAULT '2020-01-01', n TINYINT", "t, n", []),
    "texts": (
        "s VARCHAR(40) CHARACTER SET latin1, e ENUM('2', '1')",
        "s, e",
        [(f"é'{i}\\", "12"[i % 2]) for i in R],
    ),
    "bytes": ("b BINARY(4), c BIT(9)", "b, c", [(i.to_bytes(4, "little"), i) for i in R]),
    "numbers": ("d DECIMAL(20,9), y YEAR", "d, y", [(f"-{i}.000000001", 1990 + i) for i in R]),
}
TIMES = ["0000-00-00 00:00:00", "2020-03-29 01:30:00", "2020-10-25 00:30:00", "2020-10-25 01:30:00"]
KEYED["times"] = (*KEYED["times"][:2], [(TIMES[i % 4], i) for i in R])


@pytest.fixture
def keyed(clean: Pair) -> dict[TableName, str]:
    """The tables of KEYED, of which half the rows are picked."""
    utf8 = "CHARACTER SET utf8mb4"
    clean.source.execute(f"CREATE DATABASE lab {utf8}")
    for table, (columns, key, rows) in KEYED.items():
        name = TableName("lab", table)
        connection = clean.source.connect(init_command="SET time_zone='+00:00', sql_mode=''", autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE lab.{table} ({columns}, g FLOAT, picked INT, PRIMARY KEY ({key})) {utf8}")
        insert(clean.source, name, [(*row, 1.2345678, i % 2) for i, row in enumerate(rows)])
    return {TableName("lab", table): "picked = 1" for table in KEYED}


@pytest.mark.parametrize(
    ("longest", "all_longest"),
    [(100_000, 100_000), (150, 100_000), (100_000, 0)],
    ids=["one text", "several calls", "key table"],
)
def test_every_form_takes_the_same_rows(
    clean: Pair,
    keyed: dict[TableName, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    longest: int,
    all_longest: int,
) -> None:
    monkeypatch.setattr(selection, "LONGEST_RESTRICTION", longest)
    monkeypatch.setattr(selection, "LONGEST_RESTRICTIONS", all_longest)
    clean.source.execute(
        f"CREATE DATABASE {identifier(SCRATCH)}",
        f"GRANT CREATE, INSERT, SELECT, DROP ON {identifier(SCRATCH)}.* TO {READER}@'%'",
    )
    bundle, slice_ = export(tmp_path / "bundle", clean, keyed, scratch_schema=SCRATCH)
    text = bundle.dump_script.read_text()
    assert text.count("\nuse_keys keys/") == (0 if all_longest else len(keyed))
    assert (text.count("\nmysqldump --no-create-info ") > len(keyed)) == (longest == 150)
    restored(bundle, clean.copy)
    assert_copied(clean, slice_, keyed)
    assert shellcheck(bundle) == ""
    assert fetch(clean.source, f"SHOW TABLES FROM {identifier(SCRATCH)}") == []


def test_a_scratch_schema_is_made_and_goes(
    clean: Pair, keyed: dict[TableName, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the dump stops half way; and an account that may not make it is told so."""
    monkeypatch.setattr(selection, "LONGEST_RESTRICTIONS", 0)
    slice_, fingerprints = take(clean.source, keyed)
    bundle = write_bundle(tmp_path / "bundle", slice_, [], META, fingerprints, Beside(scratch_schema="fresh"))
    with pytest.raises(ServerError, match="may not create the schema `fresh`"):
        run(bundle, clean.source)
    clean.source.execute(f"GRANT CREATE, INSERT, SELECT, DROP ON fresh.* TO {READER}@'%'")
    run(bundle, clean.source)
    restored(bundle, clean.copy)
    assert_copied(clean, slice_, keyed)
    clean.source.execute("DELETE FROM lab.texts WHERE picked = 1 LIMIT 1")
    with pytest.raises(ServerError, match=r"lab.texts has changed"):
        run(bundle, clean.source)
    assert fetch(clean.source, "SHOW DATABASES LIKE 'fresh'") == []
    clean.source.execute(f"REVOKE ALL ON fresh.* FROM {READER}@'%'")


def legal_names() -> list[str]:
    """Every character that a name in backticks may have, in names of the greatest length."""
    text = "".join(chr(code) for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000)
    return [text[start : start + 64] for start in range(0, len(text), 64)]


def test_columns_of_every_legal_character(clean: Pair, tmp_path: Path) -> None:
    """Some are rounded, some in the key; MariaDB holds so many bytes of names in a table."""
    names, picked = legal_names(), {}
    clean.source.execute("CREATE DATABASE lab")
    for number, some in enumerate(names[start : start + 100] for start in range(0, len(names), 100)):
        name = TableName("lab", f"t{number}")
        columns = ", ".join(f"{identifier(column)} INT" for column in some[1:])
        first, last = identifier(some[0]), identifier(some[-1])
        clean.source.execute(
            f"CREATE TABLE {quoted(name)} ({columns}, {first} FLOAT, PRIMARY KEY ({last}))",
            *(f"INSERT INTO {quoted(name)} ({first}, {last}) VALUES (1.2345678, {row})" for row in (1, 2, 3)),
        )
        picked[name] = f"{last} <> 2"
    bundle, slice_ = export(tmp_path / "bundle", clean, picked)
    assert sum(len(column.name) for sliced in slice_.tables.values() for column in sliced.table.columns) == 63_487
    restored(bundle, clean.copy)
    assert_copied(clean, slice_, picked)
