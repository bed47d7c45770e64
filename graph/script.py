"""A slice as bash: `dump.sh`, which writes it with mysqldump, and `restore.sh`, which loads and checks it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from graph import exact, fingerprint
from graph.exact import Repair
from graph.fingerprint import Fingerprint
from graph.names import TableName
from graph.quoting import identifier, shell_word, string_literal
from graph.quoting import table as quoted
from graph.schema import ForeignKey, view_tables
from graph.selection import base_tables, hidden_views, present, restrictions
from graph.slice import Slice, TableSlice

#: Names that every client reads rightly in its own command `USE`.
_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_$-]+", re.ASCII)

_HEADER = """\
SET @slice_foreign_key_checks = @@foreign_key_checks, @slice_unique_checks = @@unique_checks;
SET @slice_sql_mode = @@sql_mode, @slice_time_zone = @@time_zone;
SET NAMES utf8mb4;
SET foreign_key_checks = 0, unique_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';"""

_FOOTER = """\
SET foreign_key_checks = @slice_foreign_key_checks, unique_checks = @slice_unique_checks;
SET sql_mode = @slice_sql_mode, time_zone = @slice_time_zone;"""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the head of a script says: the paper's name, the source server in words, djproxy's version."""

    paper: str
    source: str
    version: str


@dataclass(frozen=True, slots=True)
class _Heredoc:
    """Text between two lines of bash, as it stands."""

    text: str

    @property
    def delimiter(self) -> str:
        """A word that is no line of the text."""
        lines = set(self.text.split("\n"))
        name = "SQL"
        while name in lines:
            name += "_"
        return name


@dataclass(frozen=True, slots=True)
class _Block:
    """One table's block.

    `label` to `expected` are bash, ready to stand there. `parts` are the WHERE texts, None for all rows. `apart`:
    mysqldump leaves out the rows that `loses` selects.
    """

    title: str
    reasons: tuple[str, ...]
    label: str
    sql: str
    words: str
    use: str
    expected: str
    fingerprint: _Heredoc
    parts: tuple[_Heredoc | None, ...]
    loses: _Heredoc | None
    exact: _Heredoc | None
    apart: bool


@dataclass(frozen=True, slots=True)
class _Database:
    """One schema: its name for people, the SQL that gives its CREATE DATABASE, and, in bash, its USE and its tables."""

    comment: str
    label: str
    create: _Heredoc
    use: str
    words: str


def dump_script(slice_: Slice, origin: Origin, fingerprints: Mapping[TableName, Fingerprint] | None = None) -> str:
    """The text of `dump.sh`. With fingerprints it notices changed values, else only another number of rows.

    Raises InputError for a name or a key that no script can hold.
    """
    tables = base_tables(slice_)
    views = _views(slice_)
    blocks = [_block(sliced, fingerprints or {}) for sliced in tables]
    first = next((_words(*sliced.table.name) for sliced in tables), "")
    return _render(
        "dump.sh.j2",
        slice_,
        origin,
        schemas=list(_databases(slice_)),
        tables=blocks,
        first_table=first,
        repairs=any(block.exact for block in blocks),
        views=_Heredoc("\n".join(views)) if views else None,
        hidden=[str(sliced.table.name) for sliced in hidden_views(slice_)],
        header=_Heredoc(_HEADER),
        footer=_Heredoc(_FOOTER),
        modulus=fingerprint.MODULUS,
    )


def restore_script(slice_: Slice, origin: Origin) -> str:
    """The text of `publish/restore.sh`."""
    foreign_keys = foreign_keys_of(slice_)
    counts = [_count_check(sliced) for sliced in base_tables(slice_)]
    orphans = [_orphan_check(key, slice_) for key in foreign_keys]
    return _render(
        "restore.sh.j2",
        slice_,
        origin,
        tables=base_tables(slice_),
        existing=_Heredoc("\n".join(_existence(sliced.table.name) for sliced in present(slice_))),
        statistics=_Heredoc("\n".join(f"ANALYZE TABLE {quoted(s.table.name)};" for s in base_tables(slice_))),
        checks=_Heredoc("\n".join(counts + orphans)),
        foreign_keys=len(foreign_keys) - len(slice_.dangling),
        dangling=shell_word(_comment(_left_out(slice_))) if slice_.dangling else "",
    )


def foreign_keys_of(slice_: Slice) -> list[ForeignKey]:
    """The foreign keys of the slice's tables."""
    return [key for name in slice_.tables for key in slice_.schema.parents(name)]


def orphans(foreign_key: ForeignKey, *, parent: bool = True) -> str:
    """FROM and WHERE for the child rows (alias `c`) whose foreign key finds no parent.

    With `parent` False there is no such table, and every row that refers to one is an orphan.
    """
    pairs = list(zip(foreign_key.child_columns, foreign_key.parent_columns, strict=True))
    conditions = [f"c.{identifier(column)} IS NOT NULL" for column, _ in pairs]
    if parent:
        same = " AND ".join(f"p.{identifier(theirs)} = c.{identifier(ours)}" for ours, theirs in pairs)
        conditions.append(f"NOT EXISTS (SELECT 1 FROM {quoted(foreign_key.parent)} AS p WHERE {same})")
    return f"FROM {quoted(foreign_key.child)} AS c WHERE {' AND '.join(conditions)}"


def _render(template: str, slice_: Slice, origin: Origin, **values: object) -> str:
    mariadb = "mariadb" in slice_.schema.server_version.lower()
    dump_tools = ("mariadb-dump", "mysqldump") if mariadb else ("mysqldump", "mariadb-dump")
    client_tools = ("mariadb", "mysql") if mariadb else ("mysql", "mariadb")
    environment = Environment(
        loader=PackageLoader("graph", "templates"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["comment"] = _comment
    return environment.get_template(template).render(
        paper=origin.paper,
        source=origin.source,
        version=origin.version,
        rows=slice_.rows,
        mariadb=mariadb,
        dump_tool=dump_tools[0],
        dump_tools=" ".join(dump_tools),
        client_tool=client_tools[0],
        client_tools=" ".join(client_tools),
        **values,
    )


def _comment(text: str) -> str:
    """Text that stays within one line and shows no control characters."""
    return "".join(character if character.isprintable() else "�" for character in " ".join(text.split()))


def _words(*names: str) -> str:
    """Names as arguments of a command; after `--` only where one would be an option, as wrappers add some behind."""
    words = " ".join(shell_word(name) for name in names)
    return f"-- {words}" if any(name.startswith("-") for name in names) else words


def use(schema: str) -> str:
    """The statement that makes a schema the default one.

    Clients take `USE` for a command of their own and read odd names wrongly; a comment of the kind that the
    server executes they leave alone.
    """
    statement = f"USE {identifier(schema)}"
    return f"{statement};" if _PLAIN_NAME.fullmatch(schema) else f"/*!40000 {statement} */;"


def _databases(slice_: Slice) -> Iterator[_Database]:
    """The slice's schemas, in the order of their first tables."""
    for schema in dict.fromkeys(name.schema for name in slice_.tables):
        tables = [s.table.name.name for s in base_tables(slice_) if s.table.name.schema == schema]
        create = string_literal(f"CREATE DATABASE IF NOT EXISTS {identifier(schema)} CHARACTER SET ")
        yield _Database(
            comment=f"# {_comment(identifier(schema))}",
            label=shell_word(_comment(schema)),
            create=_Heredoc(
                f"SELECT CONCAT({create}, DEFAULT_CHARACTER_SET_NAME, ' COLLATE ', DEFAULT_COLLATION_NAME, ';')\n"
                f"  FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {string_literal(schema)};"
            ),
            use=shell_word(use(schema)),
            words=_words(schema, *tables) if tables else "",
        )


def _block(sliced: TableSlice, fingerprints: Mapping[TableName, Fingerprint]) -> _Block:
    table = sliced.table
    repair = exact.repair(table) if sliced.rows else Repair.NONE
    repaired = repair is not Repair.NONE
    taken = fingerprints.get(table.name)
    expected = str(sliced.rows) if taken is None else f"{sliced.rows} {taken.values}"
    return _Block(
        title=_title(sliced),
        reasons=sliced.reasons,
        label=shell_word(_comment(str(table.name))),
        sql=shell_word(quoted(table.name)),
        words=_words(*table.name),
        use=shell_word(use(table.name.schema)),
        expected=expected,
        fingerprint=_Heredoc(fingerprint.columns(table)),
        parts=tuple(None if where is None else _Heredoc(where) for where in restrictions(sliced)),
        loses=_Heredoc(exact.loses(table)) if repaired else None,
        exact=_Heredoc(exact.statement(table)) if repaired else None,
        apart=repair is Repair.INSERT,
    )


def _title(sliced: TableSlice) -> str:
    name = quoted(sliced.table.name)
    if not sliced.rows:
        return f"{name}: the structure only"
    if sliced.whole:
        return f"{name}: the whole table, {_count(sliced.rows)}"
    return f"{name}: {sliced.rows} of {_count(sliced.total)}"


def _count(rows: int) -> str:
    return f"{rows} row" if rows == 1 else f"{rows} rows"


def _views(slice_: Slice) -> list[str]:
    """CREATE VIEW for each view whose definition is known, those that others read first."""
    views = {sliced.table.name: sliced.table.view for sliced in present(slice_) if sliced.table.view}
    statements: list[str] = []

    def create(name: TableName) -> None:
        text = views.pop(name, None)
        if text is None:
            return
        for other in sorted(view_tables(text)):
            create(other)
        statements.append(f"CREATE SQL SECURITY INVOKER VIEW {quoted(name)} AS {text.rstrip().rstrip(';')};")

    for name in list(views):
        create(name)
    return statements


def _existence(name: TableName) -> str:
    """SQL that gives the table's name when the server has it."""
    return (
        f"SELECT {string_literal(str(name))} FROM information_schema.TABLES"
        f" WHERE TABLE_SCHEMA = {string_literal(name.schema)} AND TABLE_NAME = {string_literal(name.name)};"
    )


def _count_check(sliced: TableSlice) -> str:
    name = sliced.table.name
    before, after = string_literal(f"{name} holds "), string_literal(f" rows instead of {sliced.rows}")
    return f"SELECT CONCAT({before}, COUNT(*), {after}) FROM {quoted(name)} HAVING COUNT(*) <> {sliced.rows};"


def _left_out(slice_: Slice) -> str:
    """What refers to rows that the slice leaves out, in words; empty where nothing does."""
    found = [
        f"{_count(each.rows)} of {each.foreign_key.child} to {each.foreign_key.parent}" for each in slice_.dangling
    ]
    return f"left out by choice is what these refer to: {', '.join(found)}." if found else ""


def _orphan_check(key: ForeignKey, slice_: Slice) -> str:
    known = next((each.rows for each in slice_.dangling if each.foreign_key == key), 0)
    words = string_literal(f" rows of {key.child} have no row in {key.parent} by foreign key {key.name}")
    search = orphans(key, parent=key.parent in slice_.tables)
    return f"SELECT CONCAT(COUNT(*), {words}) {search} HAVING COUNT(*) > {known};"
