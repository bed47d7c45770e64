"""What other dump programs get: a WHERE for each table, and nothing that they would misread."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from configparser import RawConfigParser
from dataclasses import replace
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.bash import Origin
from graph.bundle import Beside, require_writable, write_bundle
from graph.engines import Engine, condition, engine_files
from graph.errors import InputError
from graph.masks import Mask, MaskKind
from graph.names import TableName
from graph.schema import Column
from graph.slice import Slice, TableSlice
from tests.harness import Djproxy
from tests.slice_example import CHILD, META, PARENT, example

ORIGIN = Origin("Paper\n$(rm -rf /)", "db.lab.example, 8.4.0", "0.1.0")


def renamed(slice_: Slice, old: TableName, new: TableName) -> Slice:
    sliced = slice_.tables[old]
    table = replace(sliced.table, name=new)
    tables = {name: each for name, each in slice_.tables.items() if name != old}
    return replace(slice_, tables={new: replace(sliced, table=table), **tables})


def without_rows(sliced: TableSlice) -> TableSlice:
    return replace(sliced, keys=frozenset(), whole=False, rows=0)


def options(script: str) -> dict[str, object]:
    """What mysqlsh.js hands over."""
    found = json.loads(script[script.index("{") : script.index("};") + 1])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", ["a\x1b", "a\u202eb", "\u3164"])
def test_mydumper_is_not_told_of_names_that_cannot_be_seen(name: str) -> None:
    with pytest.raises(InputError, match="mydumper cannot be told"):
        engine_files(renamed(example(), PARENT, TableName("lab", name)), ORIGIN, Engine.MYDUMPER)


def test_conditions_hold_together() -> None:
    """An AND behind them, as mydumper adds one, must not reach into them."""
    tables = example().tables
    assert condition(tables[PARENT]) == "((`id` IN (1,2)))"
    assert condition(tables[CHILD]) is None
    assert condition(without_rows(tables[PARENT])) == "(FALSE)"


def test_mysql_shell_gets_one_call() -> None:
    text = engine_files(example(), ORIGIN, Engine.MYSQLSH)["mysqlsh.js"][0]
    found = options(text)
    assert found["includeTables"] == ["`lab`.`parent`", "`lab`.`child`"]
    assert found["where"] == {"`lab`.`parent`": "((`id` IN (1,2)))"}
    assert found["consistent"] is True
    call = re.search(r"^util\.dumpSchemas\((.*), options\);$", text, re.M | re.S)
    assert call
    assert json.loads(f"[{call[1]}]") == [["lab"], "mysqlsh"]


def test_odd_names_are_quoted_for_mysql_shell() -> None:
    odd = renamed(example(), PARENT, TableName("l'a`b", 'p".\\é'))
    found = options(engine_files(odd, ORIGIN, Engine.MYSQLSH)["mysqlsh.js"][0])
    assert found["where"] == {"`l'a``b`.`p\".\\é`": "((`id` IN (1,2)))"}


def configuration(text: str) -> RawConfigParser:
    parser = RawConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=True)
    parser.read_string(text)
    return parser


def test_mydumper_gets_a_section_for_each_table() -> None:
    parser = configuration(engine_files(example(), ORIGIN, Engine.MYDUMPER)["mydumper.cnf"][0])
    assert parser.sections() == ["mydumper", "`lab`.`parent`"]
    assert parser["`lab`.`parent`"]["where"] == "((`id` IN (1,2)))"


def test_mydumper_takes_these_tables_and_no_others() -> None:
    """An underscore is one, and case counts."""
    odd = renamed(example(), PARENT, TableName("my_lab", "#p_1"))
    expression = configuration(engine_files(odd, ORIGIN, Engine.MYDUMPER)["mydumper.cnf"][0])["mydumper"]["regex"]
    # PCRE's \z is Python's \Z.
    matches = re.compile(expression.replace("(?-im:", "(?:").replace(r"\z", r"\Z")).match
    for taken in ("my_lab", "my_lab.#p_1", "lab", "lab.child"):
        assert matches(taken)
    for other in (
        "my_lab.#p_11",
        "myxlab.#p_1",
        "my_lab.#px1",
        "lab.childs",
        "a.lab.child",
        "MY_LAB.#p_1",
        "lab.",
        "lab.#p_1",
    ):
        assert not matches(other)


@pytest.mark.parametrize("name", ["a.b", "a[b", "a]b", "a`b", "a\\b"])
def test_names_that_mydumper_would_misread_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="mydumper cannot be told of table"):
        engine_files(renamed(example(), PARENT, TableName("lab", name)), ORIGIN, Engine.MYDUMPER)


def test_what_these_programs_round_is_named() -> None:
    slice_ = example()
    inexact = Column("f", "float", "float", True)
    table = replace(slice_.tables[CHILD].table, columns=(*slice_.tables[CHILD].table.columns, inexact))
    slice_ = replace(slice_, tables={**slice_.tables, CHILD: replace(slice_.tables[CHILD], table=table)})
    for engine in Engine:
        script = engine_files(slice_, ORIGIN, engine)[engine.script][0]
        assert "FLOAT with six digits" in script
        assert "#   lab.child\n" in script
        assert "FLOAT" not in engine_files(example(), ORIGIN, engine)[engine.script][0]


@pytest.mark.parametrize("engine", Engine)
def test_masked_columns_are_not_handed_over(engine: Engine) -> None:
    masked = example().masked({CHILD: {"p": Mask(MaskKind.BLANK)}})
    with pytest.raises(InputError, match=r"columns of lab\.child are masked"):
        engine_files(masked, ORIGIN, engine)


@pytest.mark.parametrize("engine", Engine)
def test_scripts_hand_the_files_over(engine: Engine, tmp_path: Path) -> None:
    """To a program that says what it got; there is no login in any file."""
    bundle = write_bundle(tmp_path / "bundle", example(), [], META, beside=Beside(engine=engine))
    script = bundle.folder / engine.script
    assert (stat.S_IMODE(script.stat().st_mode), stat.S_IMODE((bundle.folder / engine.input).stat().st_mode)) == (
        0o700,
        0o600,
    )
    program, login = tmp_path / "program", tmp_path / "login.cnf"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$PWD" "$@"\n')
    program.chmod(0o755)
    login.write_text("[client]\nuser=u\n")

    def call(**more: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", engine.name: str(program), **more}
        return subprocess.run(
            ["bash", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    answer = call(MYSQL_DEFAULTS_FILE="login.cnf")
    assert answer.returncode == 0, answer.stderr
    folder, *words = answer.stdout.splitlines()
    assert folder == str(bundle.folder)
    if engine is Engine.MYDUMPER:
        # The login is that of the second file.
        assert words[:2] == [f"--defaults-file={folder}/mydumper.cnf", f"--defaults-extra-file={login}"]
    else:
        assert words == [f"--defaults-file={login}", "--javascript", "--file=mysqlsh.js"]
    assert "MYSQL_DEFAULTS_FILE" in call().stderr
    assert f"name it by {engine.name}" in call(MYSQL_DEFAULTS_FILE="login.cnf", **{engine.name: "/no/program"}).stderr
    (bundle.folder / engine.value).mkdir()
    assert "exists; move it away first" in call(MYSQL_DEFAULTS_FILE="login.cnf").stderr
    require_writable(bundle.folder, META.paper)
    checked = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)
    assert checked.stdout == ""


def test_mysql_shell_is_not_for_mariadb(tmp_path: Path) -> None:
    slice_ = replace(example(), schema=replace(example().schema, server_version="10.11.19-MariaDB"))
    write_bundle(tmp_path / "bundle", slice_, [], META)
    before = (tmp_path / "bundle").stat().st_ino
    with pytest.raises(InputError, match="MySQL Shell does not dump MariaDB"):
        write_bundle(tmp_path / "bundle", slice_, [], META, beside=Beside(engine=Engine.MYSQLSH))
    assert (tmp_path / "bundle").stat().st_ino == before


def test_the_command(djproxy: Djproxy, server: PrivateServer, database: str) -> None:
    server.execute(f"CREATE TABLE {database}.t (a int PRIMARY KEY)", f"INSERT INTO {database}.t VALUES (1), (2)")
    djproxy.record("P", server, f"SELECT a FROM {database}.t WHERE a = 1")
    folder = djproxy.home.parent / "bundle"
    options = ("export", "--paper", "P", "--out", folder, "--defaults-file", server.defaults_file())
    refused = djproxy.call(*options, "--plan", "--engine", "mydumper", status=2)
    assert "give --engine and --scratch-schema without --plan" in refused.stderr
    if server.flavour == "mariadb":
        refused = djproxy.call(*options, "--engine", "mysqlsh", status=2)
        assert "MySQL Shell does not dump MariaDB" in refused.stderr
    assert not folder.exists()
    answer = djproxy.call(*options, "--engine", "mydumper")
    assert f"djproxy: {folder}/dump_mydumper.sh dumps the slice with mydumper" in answer.stderr
    assert {"dump.sh", "dump_mydumper.sh", "mydumper.cnf"} <= {path.name for path in folder.iterdir()}
    djproxy.call(*options)
    assert not (folder / "mydumper.cnf").exists()
