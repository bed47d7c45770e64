"""`dump.sh`, `--direct` and `restore.sh` of a slice, against mysqldump and the client for the rows of a predicate."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.slices.lab import LEAVES, LOOKUPS, Lab
from examples.private_server import PrivateServer
from graph import fingerprint
from graph.bundle import write_bundle
from graph.cascade import Bounds, cascade, leaf_rule
from graph.database import Credentials, Database, ServerAddress
from graph.direct_write import write_slice
from graph.documents import Meta
from graph.fingerprint import Fingerprint
from graph.names import TableName
from graph.schema import read_schema
from graph.slice import Slice

_META = Meta("bench", "the benchmark's server", "0")
_OPTIONS = ("--single-transaction", "--no-tablespaces", "--hex-blob", "--complete-insert", "--skip-comments")
_OPTIONS += ("--skip-triggers", "--skip-add-drop-table", "--skip-add-locks", "--default-character-set=utf8mb4")


class Scripts:
    """A slice as a bundle, and its rows as mysqldump gives them."""

    def __init__(self, source: PrivateServer, copy: PrivateServer, lab: Lab, where: str, folder: Path) -> None:
        self._source = source
        self._copy = copy
        self._lab = lab
        self._where = where
        self._plain = folder / "plain.sql"
        self._packed = folder / "slice.sql.zst"
        self._slice, self._fingerprints = self._computed()
        self._bundle = write_bundle(folder / "bundle", self._slice, [], _META, self._fingerprints)

    @property
    def rows(self) -> int:
        """Rows of the slice."""
        return self._slice.rows

    def ways(self) -> dict[str, Callable[[], None]]:
        """What is measured, by name; each load finds an empty server."""
        return {
            "mysqldump": self._dump,
            "dump.sh": lambda: self._script(self._bundle.dump_script, self._source),
            "direct": self._direct,
            "client": self._load,
            "restore.sh": lambda: self._script(self._bundle.publish / "restore.sh", self._copy),
        }

    def measured(self) -> dict[str, float]:
        """Seconds by way."""
        found = {}
        for name, way in self.ways().items():
            if name in ("client", "restore.sh"):
                self._empty()
            started = time.perf_counter()
            way()
            found[name] = time.perf_counter() - started
        return found

    def _connect(self) -> Database:
        address = ServerAddress(self._source.host, self._source.port)
        return Database.connect(address, Credentials("root", self._source.password))

    def _computed(self) -> tuple[Slice, dict[TableName, Fingerprint]]:
        with self._connect() as database, database.snapshot():
            leaves = [TableName(schema, name) for schema in self._lab.schemas[1:] for name in LEAVES]
            schema = read_schema(database, leaves)
            rules = [leaf_rule(schema.tables[name], self._where) for name in leaves]
            slice_ = cascade(database, schema, rules, bounds=Bounds())
            return slice_, fingerprint.take(database, slice_)

    def _direct(self) -> None:
        """What `--direct` does once the slice is computed."""
        self._packed.unlink(missing_ok=True)
        with self._connect() as database, database.snapshot():
            write_slice(database, self._slice, self._fingerprints, self._packed, lambda text: None)

    def _script(self, script: Path, server: PrivateServer) -> None:
        tools = {"MYSQL": str(server.tools.client), "MYSQLDUMP": str(server.tools.dump)}
        environment = {**os.environ, **tools, "MYSQL_DEFAULTS_FILE": str(server.defaults_file())}
        _run(["bash", str(script)], environment)

    def _dump(self) -> None:
        """One call for the tables of a schema that share a predicate."""
        with self._plain.open("wb") as file:
            file.write(b"SET foreign_key_checks = 0, unique_checks = 0;\n")
            for schema in self._lab.schemas:
                tables = [name for owner, name in self._lab.primary_keys() if owner == schema]
                own = [name for name in tables if name not in LOOKUPS]
                file.write(f"CREATE DATABASE {schema} CHARACTER SET utf8mb4; USE {schema};\n".encode())
                for where, names in ((self._where, own), ("TRUE", [name for name in tables if name in LOOKUPS])):
                    if names:
                        file.flush()
                        tool = [str(self._source.tools.dump), f"--defaults-file={self._source.defaults_file()}"]
                        _run([*tool, *_OPTIONS, f"--where={where}", schema, *names], stdout=file.fileno())

    def _load(self) -> None:
        client = [str(self._copy.tools.client), f"--defaults-file={self._copy.defaults_file()}"]
        with self._plain.open("rb") as file:
            _run(client, stdin=file.fileno())

    def _empty(self) -> None:
        drops = [f"DROP DATABASE IF EXISTS {schema}" for schema in self._lab.schemas]
        self._copy.execute("SET foreign_key_checks = 0", *drops)


def _run(
    command: Sequence[str],
    environment: dict[str, str] | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
) -> None:
    """Raises RuntimeError with what it said when the command fails."""
    done = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.DEVNULL if stdout is None else stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} {command[1]} failed: {done.stderr[-800:]}")
