"""A slice as bash: `dump.sh`, which writes it with mysqldump."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from graph import exact, fingerprint, keytable
from graph.bash import Heredoc, Origin, is_mariadb, render, use, words
from graph.definition import definition
from graph.exact import Repair
from graph.fingerprint import Fingerprint
from graph.names import TableName
from graph.quoting import identifier, shell_word, string_literal
from graph.quoting import table as quoted
from graph.renaming import schemas
from graph.schema import Table
from graph.selection import base_tables, by_key_table, hidden_views, restrictions
from graph.slice import Slice, TableSlice
from graph.views import create, views
from graph.visible import visible
from graph.words import counted

#: The folder of key files.
KEY_FOLDER: Final = "keys"

#: How `slice.sql` begins.
HEADER: Final = """\
SET @slice_foreign_key_checks = @@foreign_key_checks, @slice_unique_checks = @@unique_checks;
SET @slice_sql_mode = @@sql_mode, @slice_time_zone = @@time_zone;
SET NAMES utf8mb4;
SET foreign_key_checks = 0, unique_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO', time_zone = '+00:00';
/*M!100201 SET @slice_check_constraint_checks = @@check_constraint_checks, check_constraint_checks = 0 */;"""

#: How it ends.
FOOTER: Final = """\
SET foreign_key_checks = @slice_foreign_key_checks, unique_checks = @slice_unique_checks;
SET sql_mode = @slice_sql_mode, time_zone = @slice_time_zone;
/*M!100201 SET check_constraint_checks = @slice_check_constraint_checks */;"""


@dataclass(frozen=True, slots=True)
class _KeyTable:
    """A table's keys: the file they are in, the columns as bash, and what follows CREATE TABLE and the name."""

    file: str
    columns: str
    definition: Heredoc


@dataclass(frozen=True, slots=True)
class _Block:
    """One table's block.

    `label` to `expected` are bash, ready to stand there. `parts` are the WHERE texts, None for all rows, `keys` the
    table of keys that stands for a text. `apart`: mysqldump leaves out the rows that `loses` selects.
    """

    title: str
    reasons: tuple[str, ...]
    label: str
    sql: str
    structure: str
    words: str
    use: str
    expected: str
    fingerprint: Heredoc
    parts: tuple[Heredoc | None, ...]
    keys: _KeyTable | None
    loses: Heredoc | None
    exact: Heredoc | None
    apart: bool


@dataclass(frozen=True, slots=True)
class _Scratch:
    """The scratch schema: its name for people, and as bash in SQL, as a literal in SQL, and its USE."""

    label: str
    sql: str
    literal: str
    use: str

    @classmethod
    def of(cls, schema: str) -> _Scratch:
        return cls(visible(schema), *map(shell_word, (identifier(schema), string_literal(schema), use(schema))))


@dataclass(frozen=True, slots=True)
class _Structure:
    """A table's or view's structure: in bash its name for people and in SQL, a number of its own, the digest of what
    the server shows, whether the statement lacks some of that, and the statement."""

    label: str
    sql: str
    number: int
    digest: str
    edited: bool
    statement: Heredoc


@dataclass(frozen=True, slots=True)
class _Database:
    """One schema: its name for people, and, in bash, how its CREATE DATABASE begins, its USE and its tables.

    `create` is the SQL that returns the rest of CREATE DATABASE.
    """

    comment: str
    label: str
    beginning: str
    create: Heredoc
    use: str
    tables: tuple[_Structure, ...]


def dump_script(
    slice_: Slice,
    origin: Origin,
    fingerprints: Mapping[TableName, Fingerprint] | None = None,
    scratch_schema: str | None = None,
) -> str:
    """The text of `dump.sh`. With fingerprints it notices changed values, else only another number of rows.

    With a scratch schema, the script wants the files of `key_files`.
    Raises InputError for a name or a key that no script can hold.
    """
    tables = base_tables(slice_)
    made = views(slice_)
    files = _key_file_names(slice_, scratch_schema)
    numbers = {schema: number for number, schema in enumerate(schemas(slice_), 1)}
    blocks = [
        _block(
            sliced,
            number,
            numbers[sliced.table.name.schema],
            fingerprints or {},
            files.get(sliced.table.name),
            is_mariadb(slice_),
        )
        for number, sliced in _numbered(slice_)
    ]
    first = next((words(*sliced.table.name) for sliced in tables), "")
    return render(
        "dump.sh.j2",
        slice_,
        origin,
        schemas=list(_databases(slice_)),
        tables=blocks,
        first_table=first,
        repairs=any(block.exact for block in blocks),
        restricted=any(block.keys or any(block.parts) for block in blocks),
        scratch=_Scratch.of(scratch_schema) if files and scratch_schema else None,
        views=[_view(slice_.tables[view.name]) for view in made],
        view_statements=Heredoc("\n".join(map(create, made))),
        hidden=[_without(sliced.table) for sliced in hidden_views(slice_)],
        header=Heredoc(HEADER),
        footer=Heredoc(FOOTER),
        modulus=fingerprint.MODULUS,
    )


def _without(view: Table) -> str:
    """A view that is left out, and why."""
    return f"{view.name}: {view.hidden}" if view.hidden else str(view.name)


def key_files(slice_: Slice, scratch_schema: str | None) -> dict[str, str]:
    """The files beside `dump.sh` that hold the keys for which WHERE texts are too long, by name."""
    files = _key_file_names(slice_, scratch_schema)
    return {file: keytable.values(slice_.tables[name]) for name, file in files.items()}


def create_database(schema: str) -> tuple[str, str]:
    """How the statement that creates a schema begins, and SQL that returns the rest."""
    return (
        f"CREATE DATABASE IF NOT EXISTS {identifier(schema)} CHARACTER SET ",
        "SELECT CONCAT(DEFAULT_CHARACTER_SET_NAME, ' COLLATE ', DEFAULT_COLLATION_NAME, ';')\n"
        f"  FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {string_literal(schema)}",
    )


def _key_file_names(slice_: Slice, scratch_schema: str | None) -> dict[TableName, str]:
    if scratch_schema is None:
        return {}
    large = [sliced.table.name for sliced in base_tables(slice_) if by_key_table(sliced)]
    return {name: f"{KEY_FOLDER}/{number}.sql" for number, name in enumerate(large, 1)}


def _databases(slice_: Slice) -> Iterator[_Database]:
    """The slice's schemas, in the order of their first tables."""
    structures = [(sliced.table.name.schema, _structure(sliced, number)) for number, sliced in _numbered(slice_)]
    for schema in schemas(slice_):
        beginning, rest = create_database(schema)
        yield _Database(
            comment=f"# {visible(identifier(schema))}",
            label=shell_word(visible(schema)),
            beginning=shell_word(beginning),
            create=Heredoc(f"{rest};"),
            use=shell_word(use(schema)),
            tables=tuple(structure for owner, structure in structures if owner == schema),
        )


def _numbered(slice_: Slice) -> Iterator[tuple[int, TableSlice]]:
    return enumerate(base_tables(slice_), 1)


def _structure(sliced: TableSlice, number: int) -> _Structure:
    found = definition(sliced)
    return _Structure(
        label=shell_word(visible(str(sliced.table.name))),
        sql=shell_word(quoted(sliced.table.name)),
        number=number,
        digest=found.digest,
        edited=bool(found.withheld),
        statement=Heredoc(f"{found.statement};"),
    )


def _view(sliced: TableSlice) -> _Structure:
    found = definition(sliced)
    name = sliced.table.name
    label, sql = shell_word(visible(str(name))), shell_word(quoted(name))
    # What is shown begins with the name.
    return _Structure(label, sql, 0, found.digest, False, Heredoc(found.shown[len(name.name) + 1 :]))


def _block(
    sliced: TableSlice,
    number: int,
    schema: int,
    fingerprints: Mapping[TableName, Fingerprint],
    key_file: str | None,
    mariadb: bool,
) -> _Block:
    """`number` is the table's own, `schema` that of its schema."""
    table, shown = sliced.table, definition(sliced)
    # mysqldump leaves out the rows of some engines that keep them elsewhere.
    masked = bool(sliced.masks) or shown.elsewhere
    repair = exact.repair(table, mariadb=mariadb, masked=masked) if sliced.rows else Repair.NONE
    repaired = repair is not Repair.NONE
    taken = fingerprints.get(table.name)
    expected = str(sliced.rows) if taken is None else f"{sliced.rows} {taken.values}"
    return _Block(
        title=_title(sliced),
        reasons=sliced.reasons,
        label=shell_word(visible(str(table.name))),
        sql=shell_word(quoted(table.name)),
        structure=f"{number} {shown.digest}{' edited' if shown.withheld else ''}",
        words=words(*table.name),
        use=f"{schema} {shell_word(use(table.name.schema))}",
        expected=expected,
        fingerprint=Heredoc(fingerprint.columns(table)),
        parts=() if key_file else tuple(where if where is None else Heredoc(where) for where in restrictions(sliced)),
        keys=_key_table(table, key_file) if key_file else None,
        loses=Heredoc(exact.loses(table, mariadb=mariadb, masked=masked)) if repaired else None,
        exact=Heredoc(exact.statement(table, mariadb=mariadb, masked=masked, masks=sliced.masks)) if repaired else None,
        apart=repair is Repair.INSERT,
    )


def _key_table(table: Table, file: str) -> _KeyTable:
    return _KeyTable(file, shell_word(keytable.columns(table)), Heredoc(keytable.definition(table)))


def _title(sliced: TableSlice) -> str:
    name = quoted(sliced.table.name)
    if not sliced.rows:
        return f"{name}: the structure only"
    if sliced.whole:
        return f"{name}: the whole table, {counted(sliced.rows)}"
    return f"{name}: {sliced.rows} of {counted(sliced.total or 0)}"
