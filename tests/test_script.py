"""The text of the scripts; tests/test_dump.py runs them."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import networkx as nx
import pytest

from graph.names import TableName
from graph.schema import Column, ForeignKey, Schema, Table
from graph.script import Origin, dump_script, orphans, restore_script, use
from graph.slice import Slice, TableSlice
from tests.slice_example import CHILD, PARENT, example

ORIGIN = Origin("Paper", "db:3306", "0.1.0")


def test_a_block_says_what_and_why() -> None:
    script = dump_script(example(), ORIGIN)
    assert "# `lab`.`parent`: 2 of 9 rows\n#   secret reason of two lines\n" in script
    assert "# `lab`.`child`: the whole table, 1 row\n#   picked\n" in script
    assert script.index("# `lab`.`parent`") < script.index("# `lab`.`child`")


def test_text_stays_in_comments_and_words() -> None:
    """No paper's name, reason or table's name becomes a command."""
    evil = "x\ntouch /nowhere/evil\r\u2028$(touch evil)`touch evil`'\"\\"
    table = Table(TableName(evil, evil), (Column(evil, "int", "int", False),), (evil,))
    sliced = TableSlice(table, frozenset({(1,)}), False, 1, 2, (evil,))
    slice_ = Slice(Schema({table.name: table}, nx.MultiDiGraph()), {table.name: sliced})
    origin = Origin(evil, evil, evil)
    for script in (dump_script(slice_, origin), restore_script(slice_, origin)):
        assert subprocess.run(["bash", "-n"], input=script.encode(), check=False).returncode == 0
        found = subprocess.run(["shellcheck", "-"], input=script.encode(), capture_output=True, check=False)
        assert found.stdout == b""


def test_the_servers_own_tools_come_first() -> None:
    slice_ = example()
    mariadb = replace(slice_, schema=replace(slice_.schema, server_version="10.11.6-MariaDB"))
    assert "first_in_path mysqldump mariadb-dump" in dump_script(slice_, ORIGIN)
    assert "first_in_path mariadb-dump mysqldump" in dump_script(mariadb, ORIGIN)


def test_views_come_after_those_they_read() -> None:
    slice_ = example()
    texts = {"a": "select 1 from `lab`.`b`", "b": "select `x` from `lab`.`child`", "c": "select 2"}
    views = {
        TableName("lab", name): TableSlice(Table(TableName("lab", name), (), (), view=text), frozenset(), False, 0, 0)
        for name, text in texts.items()
    }
    script = dump_script(replace(slice_, tables={**views, **slice_.tables}), ORIGIN)
    order = [script.index(f"CREATE SQL SECURITY INVOKER VIEW `lab`.`{name}` AS {texts[name]};") for name in "bac"]
    assert order == sorted(order)


def test_a_heredoc_ends_where_it_should() -> None:
    table = Table(TableName("lab", "SQL\nSQL\nx"), (Column("SQL\nSQL\nid", "int", "int", False),), ("SQL\nSQL\nid",))
    sliced = TableSlice(table, frozenset({(1,)}), False, 1, 2)
    slice_ = Slice(Schema({table.name: table}, nx.MultiDiGraph()), {table.name: sliced})
    assert "take where <<'SQL_'\n`SQL\nSQL\nid`=1\nSQL_\n" in dump_script(slice_, ORIGIN)


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("lab_1", "USE `lab_1`;"),
        ("a b", "/*!40000 USE `a b` */;"),
        ("a`b", "/*!40000 USE `a``b` */;"),
    ],
)
def test_use(name: str, statement: str) -> None:
    assert use(name) == statement


def test_orphans_by_every_column() -> None:
    key = ForeignKey("fk", CHILD, ("a", "b"), PARENT, ("x", "y"))
    found = "FROM `lab`.`child` AS c WHERE c.`a` IS NOT NULL AND c.`b` IS NOT NULL"
    assert orphans(key, parent=False) == found
    assert orphans(key) == (
        f"{found} AND NOT EXISTS (SELECT 1 FROM `lab`.`parent` AS p WHERE p.`x` = c.`a` AND p.`y` = c.`b`)"
    )


def test_a_parent_that_is_not_in_the_slice_is_checked_too() -> None:
    slice_ = example()
    alone = replace(slice_, tables={CHILD: slice_.tables[CHILD]})
    assert "FROM `lab`.`child` AS c WHERE c.`p` IS NOT NULL HAVING" in restore_script(alone, ORIGIN)
