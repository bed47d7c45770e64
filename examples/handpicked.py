"""The slice of hand-picked rows, without any recording.

    MYSQL_PWD=… python -m examples.handpicked --host db.lab.org --user me --out bundle \\
        'ephys.session: session_date > "2024-01-01"' 'ephys.probe'

Each argument is a table and, after a colon, a restriction over its columns; without one all rows are taken.
The rows that these refer to come along. `bundle/dump.sh` then writes the dump, `bundle/publish/restore.sh` loads it.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from graph import fingerprint
from graph.bundle import write_bundle
from graph.cascade import Parts, cascade, leaf_rule
from graph.database import Credentials, Database, ServerAddress
from graph.documents import Meta
from graph.errors import GraphError, InputError
from graph.names import TableName
from graph.schema import read_schema
from graph.slice import Slice


def parse_pick(text: str) -> tuple[TableName, str | None]:
    """`schema.table` or `schema.table: restriction`."""
    table, _, where = text.partition(":")
    schema, dot, name = table.strip().partition(".")
    if not dot:
        raise InputError(f"write schema.table, or schema.table: restriction, not {text!r}")
    return TableName(schema, name), where.strip() or None


def write_slice(database: Database, picks: list[tuple[TableName, str | None]], folder: Path, parts: Parts) -> Slice:
    """Computes the slice and writes its bundle, both from one snapshot."""
    with database.snapshot():
        schema = read_schema(database, [name for name, _ in picks])
        rules = []
        for name, where in picks:
            table = schema.find(name.schema, name.name)
            if table is None:
                raise InputError(f"there is no table {name}")
            rules.append(leaf_rule(table, where))
        found = cascade(database, schema, rules, parts=parts)
        meta = Meta(folder.name, str(database.address), "hand-picked")
        write_bundle(folder, found, [], meta, fingerprint.take(database, found))
    return found


def main(arguments: list[str] | None = None) -> int:
    """0 done; 1 with warnings; else the exit code of the error."""
    parser = argparse.ArgumentParser(description="Write a dump script for hand-picked rows.")
    parser.add_argument("--host", default="localhost")
    parser.add_argument("--port", type=int, default=3306)
    parser.add_argument("--user", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", type=Parts, choices=list(Parts), default=Parts.MERGE)
    parser.add_argument("picks", nargs="+", metavar="schema.table[: restriction]")
    options = parser.parse_args(arguments)
    credentials = Credentials(options.user, os.environ.get("MYSQL_PWD", ""))
    try:
        picks = [parse_pick(text) for text in options.picks]
        with Database.connect(ServerAddress(options.host, options.port), credentials) as database:
            found = write_slice(database, picks, options.out, options.parts)
    except GraphError as error:
        print(f"handpicked: {error}", file=sys.stderr)
        return error.exit_code
    for name, table in found.tables.items():
        print(f"{name}: {table.rows} of {table.total} rows")
    for warning in found.warnings:
        print(f"handpicked: {warning}", file=sys.stderr)
    return 1 if found.warnings else 0


if __name__ == "__main__":
    sys.exit(main())
