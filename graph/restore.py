"""A slice's `publish/restore.sh`: it loads the slice into a server, in one of three ways, and checks it."""

from __future__ import annotations

from dataclasses import dataclass

from graph import append
from graph.bash import Heredoc, Origin, render
from graph.dangling import orphans
from graph.names import TableName
from graph.quoting import identifier, shell_word, string_literal
from graph.quoting import table as quoted
from graph.renaming import literal, mark, marked, renamed_view, rows_program, schemas, structure_program
from graph.schema import ForeignKey
from graph.selection import base_tables, present
from graph.slice import Slice, TableSlice
from graph.views import create, views
from graph.visible import visible
from graph.words import counted


@dataclass(frozen=True, slots=True)
class _View:
    """A view's name for people, as bash, its statement, and whether that can be had with a prefix."""

    label: str
    create: Heredoc
    renamable: bool


def restore_script(slice_: Slice, origin: Origin) -> str:
    """The text of `publish/restore.sh`."""
    keys = slice_.foreign_keys
    sign = mark(slice_)
    tables = base_tables(slice_)
    names = [(s.table.name, marked(s.table.name, sign)) for s in present(slice_)]
    checks = [_count_check(sliced, sign) for sliced in tables] + [_orphan_check(key, slice_, sign) for key in keys]
    return render(
        "restore.sh.j2",
        slice_,
        origin,
        mark=sign,
        tables=tables,
        existing=Heredoc("\n".join(_existence(str(new), new, sign) for _, new in names)),
        leftovers=Heredoc("\n".join(_schema_existence(sign + schema, sign) for schema in schemas(slice_))),
        structure_program=Heredoc(structure_program(slice_, keys, sign)),
        rows_program=Heredoc(rows_program(slice_, sign)),
        views=list(_views(slice_, sign)),
        existing_views=Heredoc(
            "\n".join(_existence(str(number), view.name, sign) for number, view in enumerate(views(slice_), 1))
        ),
        statistics=Heredoc("\n".join(f"ANALYZE TABLE {quoted(marked(s.table.name, sign))};" for s in tables)),
        strays=Heredoc("\n".join(_strays(slice_, schema, sign) for schema in schemas(slice_))),
        checks=Heredoc(append.checks(checks, sign)),
        obstacles=Heredoc(append.checks(append.obstacles(slice_, keys, sign), sign)),
        kept=Heredoc(append.checks(append.kept(slice_, sign), sign)),
        merge=Heredoc(append.merge(slice_, sign)),
        arrived=Heredoc(append.checks(append.arrived(slice_, keys, sign), sign)),
        drop=Heredoc("\n".join(f"DROP DATABASE IF EXISTS {identifier(sign + name)};" for name in schemas(slice_))),
        foreign_keys=len(keys) - len(slice_.dangling),
        dangling=shell_word(visible(_left_out(slice_))) if slice_.dangling else "",
    )


def _left_out(slice_: Slice) -> str:
    """What refers to rows that the slice leaves out, in words."""
    found = [
        f"{counted(each.rows)} of {each.foreign_key.child} to {each.foreign_key.parent}" for each in slice_.dangling
    ]
    return f"left out by choice is what these refer to: {', '.join(found)}."


def _views(slice_: Slice, sign: str) -> list[_View]:
    found = []
    for view in views(slice_):
        renamed = renamed_view(view.view or "", sign, slice_.tables)
        statement = create(view) if renamed is None else create(view, marked(view.name, sign), renamed)
        found.append(_View(shell_word(visible(str(view.name))), Heredoc(statement), renamed is not None))
    return found


def _existence(answer: str, name: TableName, sign: str) -> str:
    """SQL that gives the answer when the server has the table."""
    return (
        f"SELECT {literal(answer, sign)} FROM information_schema.TABLES"
        f" WHERE TABLE_SCHEMA = {literal(name.schema, sign)} AND TABLE_NAME = {string_literal(name.name)};"
    )


def _schema_existence(schema: str, sign: str) -> str:
    written = literal(schema, sign)
    return f"SELECT {written} FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {written};"


def _strays(slice_: Slice, schema: str, sign: str) -> str:
    """SQL for the foreign keys of renamed tables that still lead to where these have their old names.

    In HAVING: a quote in a condition that MySQL pushes into this view is an error under NO_BACKSLASH_ESCAPES.
    """
    old = ", ".join(map(string_literal, schemas(slice_)))
    return (
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME, ': foreign key ', CONSTRAINT_NAME, ' leads to'),"
        " REFERENCED_TABLE_SCHEMA FROM information_schema.KEY_COLUMN_USAGE"
        f" WHERE TABLE_SCHEMA = {literal(sign + schema, sign)} HAVING REFERENCED_TABLE_SCHEMA IN ({old});"
    )


def _count_check(sliced: TableSlice, sign: str) -> tuple[str, str]:
    name = marked(sliced.table.name, sign)
    before, after = literal(f"{name} holds ", sign), string_literal(f" rows instead of {sliced.rows}")
    sql = f"SELECT CONCAT({before}, COUNT(*), {after}) FROM {quoted(name)} HAVING COUNT(*) <> {sliced.rows};"
    return f"the rows of {name}", sql


def _orphan_check(key: ForeignKey, slice_: Slice, sign: str) -> tuple[str, str]:
    child, parent = marked(key.child, sign), marked(key.parent, sign)
    words = literal(f" rows of {child} have no row in {parent} by foreign key {key.name}", sign)
    search = orphans(key, parent=key.parent in slice_.tables, mark=sign)
    sql = f"SELECT CONCAT(COUNT(*), {words}) {search} HAVING COUNT(*) > {slice_.dangling_rows(key)};"
    return f"foreign key {key.name} of {child}", sql
