"""For tests of dump.sh and restore.sh: two servers, bundles between them, and how their rows compare."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from examples.private_server import PrivateServer
from graph import fingerprint
from graph.bundle import Beside, Bundle, write_bundle
from graph.cascade import cascade, leaf_rule
from graph.database import Credentials, Database, ServerAddress
from graph.documents import Meta
from graph.fingerprint import Fingerprint
from graph.names import TableName
from graph.quoting import identifier
from graph.quoting import table as quoted
from graph.runner import run_dump
from graph.schema import Column, read_schema
from graph.slice import Slice

READER = "djp_reader"
PASSWORD = "p#1 \"x\\y'z"
META = Meta('A paper\'s "name"\n$(rm -rf /)', "db.lab.example:3306", "0.1.0")
#: Other rules for quotes and backslashes than those that a dump is written for.
ODD_MODE = "--sql-mode=ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT"


class Pair(NamedTuple):
    """A source and an empty server for the copy, in other time zones and modes; neither is in UTC."""

    source: PrivateServer
    copy: PrivateServer


def drop_schemas(server: PrivateServer) -> None:
    system = "'information_schema','mysql','performance_schema','sys'"
    listing = f"SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN ({system})"
    drops = [f"DROP DATABASE {identifier(name)}" for (name,) in fetch(server, listing)]
    # One schema's tables may refer to another's.
    server.execute("SET foreign_key_checks = 0", *drops)


def fetch(server: PrivateServer, sql: str) -> list[tuple[Any, ...]]:
    return server.rows(sql, init_command="SET time_zone='+00:00'")


def connect(server: PrivateServer, user: str = READER, password: str = PASSWORD) -> Database:
    return Database.connect(ServerAddress(server.host, server.port), Credentials(user, password))


def take(
    server: PrivateServer,
    leaves: Mapping[TableName, str | None],
    structure: tuple[TableName, ...] = (),
    account: tuple[str, str] = (READER, PASSWORD),
) -> tuple[Slice, dict[TableName, Fingerprint]]:
    """The slice of hand-picked leaves with its fingerprints, as a SELECT-only user."""
    with connect(server, *account) as database:
        schema = read_schema(database, [*leaves, *structure])
        rules = [leaf_rule(schema.tables[name], where) for name, where in leaves.items()]
        with database.snapshot():
            slice_ = cascade(database, schema, rules, structure=structure)
            return slice_, fingerprint.take(database, slice_)


def export(
    folder: Path,
    pair: Pair,
    leaves: Mapping[TableName, str | None],
    scratch_schema: str | None = None,
    **more: Any,
) -> tuple[Bundle, Slice]:
    """The bundle, its dump run as the SELECT-only user."""
    slice_, fingerprints = take(pair.source, leaves, **more)
    bundle = write_bundle(folder, slice_, [], META, fingerprints, Beside(scratch_schema))
    run(bundle, pair.source)
    return bundle, slice_


def run(bundle: Bundle, server: PrivateServer, account: tuple[str, str] = (READER, PASSWORD)) -> None:
    """The bundle's dump, as the SELECT-only user."""
    run_dump(bundle, ServerAddress(server.host, server.port), Credentials(*account), server.flavour)


def exact(column: Column) -> str:
    """A column's value to the bit, in a session in UTC."""
    name = identifier(column.name)
    if column.data_type in ("float", "double"):
        return f"CAST(CAST({name} AS DOUBLE) AS CHAR)"
    if column.data_type == "bit":
        return f"{name}+0"
    if column.data_type in ("int", "decimal", "date", "datetime", "timestamp", "time", "year", "json"):
        return f"CAST({name} AS CHAR)"
    return f"HEX({name})"


def content(
    server: PrivateServer, slice_: Slice, name: TableName, where: str = "TRUE", at: TableName | None = None
) -> list[tuple[Any, ...]]:
    """The rows to the bit; `at` is the table's name there, if another."""
    columns = ", ".join(exact(column) for column in slice_.tables[name].table.columns)
    return sorted(fetch(server, f"SELECT {columns} FROM {quoted(at or name)} WHERE {where}"), key=repr)


def assert_copied(pair: Pair, slice_: Slice, expected: Mapping[TableName, str]) -> None:
    for name, where in expected.items():
        ours, theirs = content(pair.source, slice_, name, where), content(pair.copy, slice_, name)
        assert ours == theirs
        assert ours, f"nothing compared for {name}"


def insert(server: PrivateServer, name: TableName, rows: list[tuple[Any, ...]]) -> None:
    connection = server.connect(autocommit=True, init_command="SET time_zone='+00:00', sql_mode=''")
    marks = ", ".join(["%s"] * len(rows[0]))
    with connection.cursor() as cursor:
        cursor.executemany(f"INSERT INTO {quoted(name).replace('%', '%%')} VALUES ({marks})", rows)
    connection.close()


def tools(server: PrivateServer) -> dict[str, str]:
    """The environment of a script that reads as administrator, with the tools that go with the server."""
    own = {"MYSQL": str(server.tools.client), "MYSQLDUMP": str(server.tools.dump)}
    return {**os.environ, **own, "MYSQL_DEFAULTS_FILE": str(server.defaults_file())}


def call(script: Path, environment: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", script, *options], env=environment, capture_output=True, text=True, check=False)


def restored(bundle: Bundle, server: PrivateServer) -> None:
    answer = call(bundle.publish / "restore.sh", tools(server))
    assert answer.returncode == 0, answer.stderr


def shellcheck(bundle: Bundle) -> str:
    """What shellcheck says of both scripts."""
    scripts = [bundle.dump_script, bundle.publish / "restore.sh"]
    return subprocess.run(["shellcheck", *scripts], capture_output=True, text=True, check=False).stdout
