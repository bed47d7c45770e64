"""Schemas under other names: what `restore.sh` changes in `slice.sql` to put a prefix before the names of all schemas.

In what is written here, a mark stands where the prefix is to stand; the script puts it in.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

import sqlglot
from sqlglot import exp

from graph.bash import use
from graph.names import TableName
from graph.quoting import identifier, string_literal
from graph.quoting import table as quoted
from graph.schema import ForeignKey
from graph.slice import Slice

_MARK: Final = "prefix:"
#: What basic regular expressions, and the delimiter, make special.
_SPECIAL: Final = re.compile(r"[\\/.*\[\]^$]")


def mark(slice_: Slice) -> str:
    """A text that is in no name of the slice and in no view's text."""
    texts = [text for name, sliced in slice_.tables.items() for text in (*name, sliced.table.view or "")]
    texts += [column.name for sliced in slice_.tables.values() for column in sliced.table.columns]
    found = _MARK
    while any(found in text for text in texts):
        found = f"{found[:-1]}_:"
    return found


def marked(name: TableName, mark: str) -> TableName:
    """The table's name with the mark before that of its schema."""
    return TableName(mark + name.schema, name.name)


def literal(text: str, mark: str) -> str:
    """A text value in which the mark, if it has one, can be found."""
    written = string_literal(text)
    if mark not in text or mark in written:
        return written
    pieces = [string_literal(piece) for piece in text.split(mark)]
    return f"CONCAT({f', {string_literal(mark)}, '.join(pieces)})"


def schemas(slice_: Slice) -> list[str]:
    """The slice's schemas, in the order of their first tables; `slice.sql` counts them from 1."""
    return list(dict.fromkeys(name.schema for name in slice_.tables))


def structure_program(slice_: Slice, foreign_keys: Iterable[ForeignKey], mark: str) -> str:
    """A program for sed that renames the schemas in the structure.

    It takes all lines at once, since names may hold line breaks. What it looks for cannot be part of a name, where
    backticks are doubled, nor of a text, where line breaks are escaped.
    """
    lines = [":all", "$!{", "N", "b all", "}"]
    for schema in schemas(slice_):
        create = "\nCREATE DATABASE IF NOT EXISTS {} CHARACTER SET "
        lines.append(_swap(create.format(identifier(schema)), create.format(identifier(mark + schema))))
        lines.append(_swap(f"\n{use(schema)}\n", f"\n{use(mark + schema)}\n"))
    for key in foreign_keys:
        if key.parent.schema != key.child.schema:
            columns = ", ".join(map(identifier, key.child_columns))
            start = f"\n  CONSTRAINT {identifier(key.name)} FOREIGN KEY ({columns}) REFERENCES "
            lines.append(_swap(start + quoted(key.parent), start + quoted(marked(key.parent, mark))))
    return "\n".join(lines)


def rows_program(slice_: Slice, mark: str) -> str:
    """A program for sed that renames the schemas in what follows the structure, and leaves out the views."""
    lines = ["/^-- begin `views`$/,/^-- end `views`$/d", "/^-- begin `schema /,/^-- end `schema /{"]
    for number, schema in enumerate(schemas(slice_), 1):
        text = use(mark + schema).replace("\\", "\\\\").replace("\n", "\\\n")
        lines += [f"/^-- end `schema {number}`$/c\\", text]
    return "\n".join([*lines, "d", "}"])


def renamed_view(text: str, mark: str, known: Iterable[TableName]) -> str | None:
    """A view's SELECT with the mark before the schema of every table; None when these cannot be told for sure.

    The server keeps it with every table's name qualified. `known` are the tables that get new names.
    """
    places = list(_schema_places(text, set(known)))
    if None in places:
        return None
    for start, end in sorted((place for place in places if place is not None), reverse=True):
        if text[start] != "`" or text[end] != "`":
            return None
        text = f"{text[: start + 1]}{mark}{text[start + 1 :]}"
    return text


def _schema_places(text: str, known: set[TableName]) -> Iterator[tuple[int, int] | None]:
    """Where schemas are named; None for what cannot be told."""
    try:
        tree = sqlglot.parse_one(text, dialect="mysql")
    except sqlglot.errors.SqlglotError:
        yield None
        return
    if tree.find(exp.Dot) is not None:
        # A function of a schema's own, which a slice does not have.
        yield None
    named: list[tuple[exp.Expression | None, str]] = [(t.args.get("db"), t.name) for t in tree.find_all(exp.Table)]
    named += [(column.args.get("db"), column.table) for column in tree.find_all(exp.Column)]
    for schema, table in named:
        if schema is not None:
            place = schema.meta.get("start", -1), schema.meta.get("end", -1)
            yield place if TableName(schema.name, table) in known and place[0] >= 0 else None


def _swap(old: str, new: str) -> str:
    """A command of sed that replaces a text wherever it stands."""
    regular = _SPECIAL.sub(r"\\\g<0>", old).replace("\n", "\\n")
    replacement = re.sub(r"[\\/&]", r"\\\g<0>", new).replace("\n", "\\\n")
    return f"s/{regular}/{replacement}/g"
