"""The text of the scripts; tests/test_dump.py runs them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.bash import Origin, use
from graph.dangling import orphans
from graph.names import TableName
from graph.quoting import identifier
from graph.quoting import table as quoted
from graph.renaming import literal, mark, renamed_view, rows_program, structure_program
from graph.restore import restore_script
from graph.schema import Column, ForeignKey, Schema, Table
from graph.script import dump_script
from graph.slice import Slice, TableSlice
from tests.slice_example import CHILD, PARENT, example, with_definitions

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
    slice_ = with_definitions(Slice(Schema({table.name: table}, nx.MultiDiGraph()), {table.name: sliced}))
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
    script = dump_script(with_definitions(replace(slice_, tables={**views, **slice_.tables})), ORIGIN)
    order = [script.index(f"CREATE SQL SECURITY INVOKER VIEW `lab`.`{name}` AS {texts[name]};") for name in "bac"]
    assert order == sorted(order)


def test_a_heredoc_ends_where_it_should() -> None:
    table = Table(TableName("lab", "SQL\nSQL\nx"), (Column("SQL\nSQL\nid", "int", "int", False),), ("SQL\nSQL\nid",))
    sliced = TableSlice(table, frozenset({(1,)}), False, 1, 2)
    slice_ = with_definitions(Slice(Schema({table.name: table}, nx.MultiDiGraph()), {table.name: sliced}))
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
    assert "FROM `prefix:lab`.`child` AS c WHERE c.`p` IS NOT NULL HAVING" in restore_script(alone, ORIGIN)


def test_names_may_hold_what_stands_for_the_prefix() -> None:
    table = Table(TableName("prefix:a", "t"), (Column("prefix_:b", "int", "int", False),), ("prefix_:b",))
    slice_ = Slice(
        Schema({table.name: table}, nx.MultiDiGraph()), {table.name: TableSlice(table, frozenset(), True, 1, 1)}
    )
    assert mark(slice_) == "prefix__:"
    assert "`prefix__:prefix:a`.`t`" in restore_script(slice_, ORIGIN)


@pytest.mark.parametrize(("schema", "literal_"), [("lab", "'P:lab'"), ("a\\b", "CONCAT('', 'P:', _utf8mb4 x'615C62')")])
def test_the_prefix_can_be_put_into_every_literal(schema: str, literal_: str) -> None:
    assert literal(f"P:{schema}", "P:") == literal_


KNOWN = [TableName("läb", "ü"), TableName("lab", "u")]


@pytest.mark.parametrize(
    ("view", "renamed"),
    [
        ("select `läb`.`ü`.`a` AS `a` from `läb`.`ü`", "select `P:läb`.`ü`.`a` AS `a` from `P:läb`.`ü`"),
        (
            "select 'from `lab`.`u`' AS `x`,`lab`.`u` AS `u` from `lab`.`u` `lab`",
            "select 'from `lab`.`u`' AS `x`,`lab`.`u` AS `u` from `P:lab`.`u` `lab`",
        ),
        ("select 1 from `other`.`t`", None),
        ("select `lab`.`f`(1) AS `x` from `lab`.`u`", None),
        ("select from where", None),
        ("select 1 AS `1`", "select 1 AS `1`"),
    ],
)
def test_views_are_renamed_where_that_is_sure(view: str, renamed: str | None) -> None:
    assert renamed_view(view, "P:", KNOWN) == renamed


NAMES = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(NAMES, NAMES, NAMES)
def test_sed_renames_schemas_of_any_name(schema: str, other: str, name: str) -> None:
    """Nothing else changes, and no name is mistaken for what it holds."""
    child, parent = TableName(schema, name), TableName(other, name)
    tables = {each: TableSlice(Table(each, (), ()), frozenset(), True, 1, 1) for each in (child, parent)}
    key = ForeignKey(name, child, (name,), parent, (name,))
    slice_ = Slice(Schema({}, nx.MultiDiGraph()), tables)

    def written(prefix: str) -> str:
        lines = ["SET x;"]
        for each in dict.fromkeys((schema, other)):
            lines += [f"CREATE DATABASE IF NOT EXISTS {identifier(prefix + each)} CHARACTER SET x;", use(prefix + each)]
        if schema != other:
            reference = f"{identifier(name)}) REFERENCES {quoted(TableName(prefix + other, name))} ("
            lines.append(f"  CONSTRAINT {identifier(name)} FOREIGN KEY ({reference}{identifier(name)})")
        return "\n".join([*lines, identifier(name), "end"]) + "\n"

    def sed(program: str, text: str) -> str:
        command = ["sed", "-e", program]
        environment = {"LC_ALL": "C", "PATH": os.environ["PATH"]}
        return subprocess.run(
            command, input=text.encode(), env=environment, capture_output=True, check=True
        ).stdout.decode()

    assert sed(structure_program(slice_, [key], "new ~"), written("")) == written("new ~")
    insert = f"INSERT {identifier(name)}\n"
    rows = f"-- begin `schema 1`\n{use(schema)}\n-- end `schema 1`\n{insert}"
    assert sed(rows_program(slice_, "new ~"), rows) == f"{use('new ~' + schema)}\n{insert}"
