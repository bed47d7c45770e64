"""The file under the store: transactions, its version, and what trouble with it means.

Every writing transaction begins with the write lock (BEGIN IMMEDIATE), so that what it read stays true until its end.
All trouble comes out as `StoreError`; a file that is damaged, of a newer version or not ours is never written to.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, create_engine, event, insert, inspect, select, update  # noqa: TID251
from sqlalchemy.exc import DatabaseError  # noqa: TID251

from graph.leaves import READING_RULES
from proxy.errors import StoreError
from proxy.paths import open_private
from proxy.tables import Base, Meta

VERSION = 2
_BUSY_SECONDS = 60


class StoreFile:
    """An open SQLite file that holds the tables of `proxy.tables`."""

    def __init__(self, path: Path) -> None:
        """Open or make the store. Raises StoreError for a file that is damaged, of a newer version or not ours."""
        self.path = path
        try:
            os.close(open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            # Not opened: closing it again would drop the locks that SQLite may hold on it in this process.
            pass
        except OSError as error:
            raise StoreError(f"the store {path} cannot be opened ({error.strerror})") from error
        self._engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": _BUSY_SECONDS})
        event.listen(self._engine, "connect", _on_connect)
        event.listen(self._engine, "begin", _on_begin)
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let the file go."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the store."""
        with self._guarded(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that is committed at the end, or rolled back by an exception."""
        with self._guarded(), self._engine.connect().execution_options(write=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, sqlite3.DatabaseError) as error:
            raise StoreError(_explain(self.path, str(getattr(error, "orig", error)))) from error

    def _check(self) -> None:
        """Make the tables in a new file; refuse a file of somebody else or of a newer version before it is touched."""
        with self.reading() as connection:
            names = set(inspect(connection).get_table_names())
        if not names:
            self._make()
        elif "meta" not in names:
            raise StoreError(f"{self.path} is not a djproxy store; nothing was changed. Choose another --home")
        with self.reading() as connection:
            found = connection.scalar(select(Meta.value).where(Meta.key == "format"))
        if found is None or not found.isdigit():
            raise StoreError(_explain(self.path, "it names no format version"))
        if int(found) > VERSION:
            raise StoreError(
                f"the store {self.path} has format version {found}, this djproxy reads up to {VERSION}; nothing "
                "was changed. Use the newer djproxy that wrote it"
            )
        if int(found) < VERSION:
            self._upgrade()

    def _upgrade(self) -> None:
        """Version 2 has tables that version 1 lacks, and nothing else new."""
        with self.writing() as connection:
            Base.metadata.create_all(connection)
            connection.execute(update(Meta).where(Meta.key == "format").values(value=str(VERSION)))

    def _make(self) -> None:
        with self._guarded():
            # A lasting property of the file, and no statement for a transaction.
            raw = self._engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA journal_mode = WAL")
            finally:
                raw.close()
        with self.writing() as connection:
            if not inspect(connection).get_table_names():
                Base.metadata.create_all(connection)
                facts = {"format": str(VERSION), "generation": "0", "rules": str(READING_RULES)}
                connection.execute(insert(Meta), [{"key": key, "value": value} for key, value in facts.items()])


def _on_connect(connection: Any, _: object) -> None:
    # Transactions are begun by `_on_begin`, not by the driver's guess.
    connection.isolation_level = None
    for pragma in ("synchronous = NORMAL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _on_begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _explain(path: Path, trouble: str) -> str:
    if "locked" in trouble or "busy" in trouble:
        return f"the store {path} is held by another process for over {_BUSY_SECONDS} s; end that process or try again"
    if "full" in trouble or "readonly" in trouble or "unable to open" in trouble or "I/O" in trouble:
        return f"the store {path} cannot be written ({trouble}): make room or make it writable, then try again"
    return (
        f"the store {path} is damaged or not a djproxy store ({trouble}); nothing was changed. Put back a copy, or "
        "move it away to begin a new one"
    )
