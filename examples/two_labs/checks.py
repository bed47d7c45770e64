"""What the demo proves by SQL and searches of its own, without asking djproxy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.private_server import PrivateServer

SCHEMAS = ("shared_lab", "aster_ephys", "birch_imaging")
OTHER_SCHEMA = "birch_imaging"
#: The rows of a lab in the shared tables; each table of a lab's own schema is the lab's altogether.
LAB_ROWS = {
    "lab": "SELECT * FROM shared_lab.lab WHERE lab = '{lab}'",
    "member": "SELECT * FROM shared_lab.member WHERE lab = '{lab}'",
    "subject": "SELECT * FROM shared_lab.subject WHERE lab = '{lab}'",
    "session": "SELECT session.* FROM shared_lab.session JOIN shared_lab.subject USING (subject) WHERE lab = '{lab}'",
}


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """One constraint, both sides as quoted SQL names."""

    child: str
    child_columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


def tables(server: PrivateServer, schemas: Iterable[str] = SCHEMAS) -> list[tuple[str, str]]:
    """Schema and name of the base tables there, without DataJoint's housekeeping."""
    names = ", ".join(f"'{schema}'" for schema in schemas)
    found = server.rows(
        "SELECT table_schema, table_name FROM information_schema.tables"
        f" WHERE table_schema IN ({names}) AND table_type = 'BASE TABLE' ORDER BY 1, 2",
    )
    return [(schema, name) for schema, name in found if not name.startswith("~")]


def count(server: PrivateServer, schema: str, name: str) -> int:
    """Rows of a table."""
    return int(server.rows(f"SELECT COUNT(*) FROM `{schema}`.`{name}`")[0][0])


def foreign_keys(server: PrivateServer) -> list[ForeignKey]:
    """Every constraint of the server's tables."""
    rows = server.rows(
        "SELECT table_schema, table_name, constraint_name, column_name, referenced_table_schema,"
        " referenced_table_name, referenced_column_name FROM information_schema.key_column_usage"
        " WHERE referenced_table_name IS NOT NULL"
        " ORDER BY table_schema, table_name, constraint_name, ordinal_position",
    )
    grouped: dict[tuple[str, str, str], list[tuple[str, ...]]] = {}
    for schema, name, constraint, *rest in rows:
        grouped.setdefault((schema, name, constraint), []).append(tuple(rest))
    return [
        ForeignKey(
            f"`{schema}`.`{name}`",
            tuple(column for column, *_ in columns),
            f"`{columns[0][1]}`.`{columns[0][2]}`",
            tuple(column for *_, column in columns),
        )
        for (schema, name, _), columns in grouped.items()
    ]


def orphans(server: PrivateServer) -> int:
    """Rows whose foreign key names a row that is not there, over all constraints."""
    total = 0
    for key in foreign_keys(server):
        pairs = zip(key.child_columns, key.parent_columns, strict=True)
        joined = " AND ".join(f"c.`{mine}` = p.`{theirs}`" for mine, theirs in pairs)
        filled = " AND ".join(f"c.`{column}` IS NOT NULL" for column in key.child_columns)
        total += server.rows(
            f"SELECT COUNT(*) FROM {key.child} c LEFT JOIN {key.parent} p ON {joined}"
            f" WHERE {filled} AND p.`{key.parent_columns[0]}` IS NULL",
        )[0][0]
    return total


def texts(rows: Iterable[tuple[Any, ...]]) -> set[str]:
    """The values among the rows by which one could tell them: texts, and blobs as a dump writes them."""
    values = {value for row in rows for value in row if isinstance(value, str | bytes) and value}
    return {value.hex() if isinstance(value, bytes) else value for value in values}


def lab_rows(server: PrivateServer, lab: str, schema: str) -> list[tuple[Any, ...]]:
    """All rows of one lab, in the shared tables and in its own schema."""
    rows: list[tuple[Any, ...]] = []
    for sql in LAB_ROWS.values():
        rows += server.rows(sql.format(lab=lab))
    for _, name in tables(server, [schema]):
        rows += server.rows(f"SELECT * FROM `{schema}`.`{name}`")
    return rows


def other_labs_words(source: PrivateServer) -> set[str]:
    """Texts and names that only the other lab's data and schema have."""
    own = texts(lab_rows(source, "aster", "aster_ephys"))
    other = texts(lab_rows(source, "birch", OTHER_SCHEMA))
    names_by_side: dict[bool, set[str]] = {True: {OTHER_SCHEMA}, False: set()}
    for schema in SCHEMAS:
        columns = source.rows(
            "SELECT table_name, column_name FROM information_schema.columns"
            f" WHERE table_schema = '{schema}' AND table_name NOT LIKE '~%'",
        )
        names_by_side[schema == OTHER_SCHEMA] |= {name for pair in columns for name in pair}
    return (other - own) | (names_by_side[True] - names_by_side[False])


def words_found(folder: Path, words: Iterable[str]) -> list[str]:
    """Those of the words that stand in a file below the folder, in any case, with the file's name."""
    files = {path: path.read_text(errors="replace").lower() for path in folder.rglob("*") if path.is_file()}
    if not files:
        raise FileNotFoundError(f"{folder} holds no files")
    return [
        f"{word!r} in {path.name}" for word in sorted(words) for path, text in files.items() if word.lower() in text
    ]


def other_labs_rows(restored: PrivateServer, words: set[str]) -> int:
    """Rows of the restored server that hold one of the other lab's texts."""
    total = 0
    for schema, name in tables(restored):
        rows = restored.rows(f"SELECT * FROM `{schema}`.`{name}`")
        total += sum(1 for row in rows if texts([row]) & words)
    return total
