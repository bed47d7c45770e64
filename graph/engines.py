"""A slice as input of other dump programs, which read one consistent state with many threads.

`dump.sh` stays the main way: it repairs what these programs change (FLOAT has six digits with them, too), asks for no
right but SELECT, and compares what it wrote with what was exported. Nothing here holds a login: the programs read it
from the option file in MYSQL_DEFAULTS_FILE.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

from graph.bash import Origin, is_mariadb, render
from graph.definition import definition
from graph.errors import InputError
from graph.exact import Repair, repair
from graph.names import TableName
from graph.quoting import identifier
from graph.quoting import table as quoted
from graph.selection import base_tables, restrictions
from graph.slice import Slice, TableSlice
from graph.visible import hides, json_text, visible


class Engine(StrEnum):
    """Programs that take a WHERE for each table; each writes a folder of its own name."""

    MYSQLSH = "mysqlsh"
    MYDUMPER = "mydumper"

    @property
    def script(self) -> str:
        """The file that runs it."""
        return f"dump_{self.value}.sh"

    @property
    def input(self) -> str:
        """The file that tells it what to dump."""
        return {Engine.MYSQLSH: "mysqlsh.js", Engine.MYDUMPER: "mydumper.cnf"}[self]


#: What people call it, the first version that can do it, and how its dump is loaded.
_WORDS: Final = {
    Engine.MYSQLSH: ("MySQL Shell", "8.0.33", "mysqlsh --defaults-file=FILE -- util load-dump mysqlsh"),
    Engine.MYDUMPER: ("mydumper", "0.14.5", "myloader --defaults-file=FILE --directory=mydumper"),
}

#: What a name may hold in mydumper's configuration: no brackets, backslashes, backticks or dots.
_PLAIN_NAME: Final = re.compile(r"[\w #$~@%&+=:;,!?()/*'\"<>|{}^-]+")


def engine_files(slice_: Slice, origin: Origin, engine: Engine) -> dict[str, tuple[str, int]]:
    """The files beside `dump.sh` by name, each with its mode.

    Raises InputError for a server that the program does not dump, and for a table that it cannot be told of, whose
    columns are masked, or whose structure goes out without some of its options.
    """
    if engine is Engine.MYSQLSH and is_mariadb(slice_):
        raise InputError("MySQL Shell does not dump MariaDB; take --engine mydumper, or dump.sh")
    for sliced in base_tables(slice_):
        if sliced.masks:
            raise InputError(
                f"columns of {sliced.table.name} are masked, and {_WORDS[engine][0]} would write their values;"
                " dump with dump.sh"
            )
        if withheld := definition(sliced).withheld:
            raise InputError(
                f"the structure of {sliced.table.name} has what must not go out ({visible(', '.join(withheld))}), and"
                f" {_WORDS[engine][0]} would write it; dump with dump.sh"
            )
    text = _mysqlsh(slice_) if engine is Engine.MYSQLSH else _mydumper(slice_)
    inexact = [
        visible(str(sliced.table.name))
        for sliced in base_tables(slice_)
        if sliced.rows and repair(sliced.table, mariadb=is_mariadb(slice_)) is not Repair.NONE
    ]
    title, needed, load = _WORDS[engine]
    script = render(
        "dump_engine.sh.j2",
        slice_,
        origin,
        script=engine.script,
        input=engine.input,
        output=engine.value,
        program=engine.value,
        variable=engine.name,
        title=title,
        needed=needed,
        load=load,
        inexact=inexact,
    )
    return {engine.script: (script, 0o700), engine.input: (text, 0o600)}


def condition(sliced: TableSlice) -> str | None:
    """One WHERE for all of a table's rows, in parentheses; None for the whole table."""
    parts = restrictions(sliced)
    if not parts:
        return "(FALSE)"
    return None if parts[0] is None else "(" + " OR ".join(f"({part})" for part in parts) + ")"


def _mysqlsh(slice_: Slice) -> str:
    """The call in JavaScript, of which JSON is a part."""
    tables = base_tables(slice_)
    conditions = {quoted(sliced.table.name): where for sliced in tables if (where := condition(sliced)) is not None}
    options = {
        "includeTables": [quoted(sliced.table.name) for sliced in tables],
        "where": conditions,
        "consistent": True,
        "tzUtc": True,
        "threads": 4,
        "events": False,
        "routines": False,
        "triggers": False,
    }
    schemas = list(dict.fromkeys(sliced.table.name.schema for sliced in tables))
    engine = Engine.MYSQLSH
    return (
        f"// What util.dumpSchemas takes of each table; see {engine.script}.\n"
        f"const options = {json_text(options, 1, ascii_only=True)};\n"
        f"util.dumpSchemas({json_text(schemas, 1, ascii_only=True)}, {json_text(engine.value, 1)}, options);\n"
    )


def _mydumper(slice_: Slice) -> str:
    """A configuration file. The tables are chosen by an expression: in `tables-list`, `_` stands for any character."""
    tables = base_tables(slice_)
    for sliced in tables:
        _require_plain(sliced.table.name)
    by_schema: dict[str, list[str]] = {}
    for sliced in tables:
        by_schema.setdefault(sliced.table.name.schema, []).append(_escaped(sliced.table.name.name))
    choices = "|".join(rf"{_escaped(schema)}(?:\.(?:{'|'.join(names)}))?" for schema, names in by_schema.items())
    lines = [
        f"# What mydumper takes of each table; see {Engine.MYDUMPER.script}.",
        "[mydumper]",
        rf"regex=\A(?-im:{choices})\z",
    ]
    for sliced in tables:
        where = condition(sliced)
        if where is not None:
            name = sliced.table.name
            if hides(where) or "\\" in where or not where.isprintable():
                raise _untold(name)
            lines += ["", f"[{identifier(name.schema)}.{identifier(name.name)}]", f"where={where}"]
    return "\n".join(lines) + "\n"


def _require_plain(name: TableName) -> None:
    for part in name:
        if hides(part) or not _PLAIN_NAME.fullmatch(part):
            raise _untold(name)


def _untold(name: TableName) -> InputError:
    return InputError(
        f"mydumper cannot be told of table {name}: dots, brackets, backslashes and backticks in names, and backslashes"
        " and line breaks in those of columns, mean something else to it, and characters that cannot be seen must not"
        " stand in its file; dump with dump.sh, or with --engine mysqlsh"
    )


def _escaped(name: str) -> str:
    """A name in a PCRE expression."""
    return re.sub(r"([^\w])", r"\\\1", name)
