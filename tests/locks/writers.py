"""Writers on the source: short transactions over parents and children, each of which keeps the books balanced.

In every committed state, the balance of each account is the sum of its entries. No writer touches what another one
does, so that nobody waits for anybody but an export.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any

import pymysql

UP, DOWN = "locks_up", "locks_down"
ACCOUNT, ENTRY = f"{UP}.account", f"{DOWN}.entry"
TABLES = (
    f"CREATE DATABASE {UP}",
    f"CREATE DATABASE {DOWN}",
    f"CREATE TABLE {ACCOUNT} (id INT PRIMARY KEY, balance BIGINT NOT NULL, owner VARCHAR(30) NOT NULL)",
    f"CREATE TABLE {ENTRY} (id INT PRIMARY KEY, account INT NOT NULL, amount INT NOT NULL, note VARBINARY(60),"
    f" FOREIGN KEY (account) REFERENCES {ACCOUNT} (id))",
)
#: Entries of an account at the start.
ENTRIES = 10
_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Statement:
    """One write, or a COMMIT, when it was sent and how long its answer took, in seconds."""

    sent: float
    waited: float
    commit: bool = False


@dataclass(slots=True)
class Log:
    """What a writer did; `errors` are the server's words."""

    statements: list[Statement] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def fill(connection: Any, accounts: int) -> None:
    """Makes the tables with so many accounts, balanced."""
    with connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)
        for first in range(0, accounts, _BATCH):
            numbers = range(first, min(first + _BATCH, accounts))
            rows = ", ".join(f"({n}, {ENTRIES * n}, 'owner {n}')" for n in numbers)
            cursor.execute(f"INSERT INTO {ACCOUNT} VALUES {rows}")
            entries = ((n * ENTRIES + each, n) for n in numbers for each in range(ENTRIES))
            rows = ", ".join(f"({number}, {account}, {account}, 'first')" for number, account in entries)
            cursor.execute(f"INSERT INTO {ENTRY} VALUES {rows}")


class Writers:
    """Processes that write until they are stopped; a context manager."""

    def __init__(self, settings: dict[str, Any], *, number: int, rate: float, accounts: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._ends: list[Connection] = []
        self._processes = []
        for which in range(number):
            ours, theirs = context.Pipe(duplex=False)
            arguments = (settings, which, number, rate / number, accounts, self._stop, theirs)
            self._processes.append(context.Process(target=_work, args=arguments, daemon=True))
            self._ends.append(ours)

    def __enter__(self) -> Writers:
        for process in self._processes:
            process.start()
        # Each says when it begins.
        for end in self._ends:
            end.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for process in self._processes:
            process.join(5)
            if process.is_alive():
                process.kill()

    def stop(self) -> list[Log]:
        """Ends them; gives what they did."""
        self._stop.set()
        return [end.recv() for end in self._ends]


def _work(
    settings: dict[str, Any], which: int, number: int, rate: float, accounts: int, stop: Event, end: Connection
) -> None:
    log = Log()
    with pymysql.connect(**settings) as connection:
        writer = _Writer(connection, log, which, number, accounts)
        end.send("begins")
        began = time.monotonic()
        done = 0
        while not stop.is_set():
            done += writer.transaction()
            ahead = began + done / rate - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
    end.send(log)


class _Writer:
    """Accounts and entries whose account's number, modulo the number of writers, is this writer's."""

    def __init__(self, connection: Any, log: Log, which: int, number: int, accounts: int) -> None:
        self._connection = connection
        self._log = log
        self._random = random.Random(which)
        self._accounts = list(range(which, accounts, number))
        self._entries = {n * ENTRIES + each: (n, n) for n in self._accounts for each in range(ENTRIES)}
        self._known = list(self._entries)
        self._step = number
        self._next_account = accounts + (which - accounts) % number
        self._next_entry = accounts * ENTRIES + which

    def transaction(self) -> int:
        """One of four kinds; gives the number of its writes."""
        kinds: tuple[Callable[[], int], ...] = (self._add, self._add_account, self._change, self._remove)
        try:
            writes = self._random.choice(kinds)()
            self._run("COMMIT", commit=True)
        except pymysql.err.MySQLError as error:
            self._log.errors.append(str(error))
            self._connection.rollback()
            return 1
        return writes

    def _add(self) -> int:
        account = self._random.choice(self._accounts)
        amount = self._insert_entry(account)
        self._run(f"UPDATE {ACCOUNT} SET balance = balance + {amount} WHERE id = {account}")
        return 2

    def _add_account(self) -> int:
        """Children of a parent that no earlier snapshot has."""
        account = self._next_account
        self._next_account += self._step
        self._run(f"INSERT INTO {ACCOUNT} VALUES ({account}, 0, 'new owner {account}')")
        total = self._insert_entry(account) + self._insert_entry(account)
        self._run(f"UPDATE {ACCOUNT} SET balance = {total} WHERE id = {account}")
        self._accounts.append(account)
        return 4

    def _change(self) -> int:
        entry = self._pick()
        account, amount = self._entries[entry]
        more = self._random.randint(-50, 50)
        self._run(f"UPDATE {ENTRY} SET amount = amount + {more}, note = 'changed' WHERE id = {entry}")
        self._run(f"UPDATE {ACCOUNT} SET balance = balance + {more} WHERE id = {account}")
        self._entries[entry] = account, amount + more
        return 2

    def _remove(self) -> int:
        entry = self._pick()
        account, amount = self._entries.pop(entry)
        self._run(f"DELETE FROM {ENTRY} WHERE id = {entry}")
        self._run(f"UPDATE {ACCOUNT} SET balance = balance - {amount} WHERE id = {account}")
        return 2

    def _insert_entry(self, account: int) -> int:
        entry, amount = self._next_entry, self._random.randint(1, 1000)
        self._next_entry += self._step
        self._run(f"INSERT INTO {ENTRY} VALUES ({entry}, {account}, {amount}, 'new')")
        self._entries[entry] = account, amount
        self._known.append(entry)
        return amount

    def _pick(self) -> int:
        while True:
            place = self._random.randrange(len(self._known))
            entry = self._known[place]
            if entry in self._entries:
                return entry
            self._known[place] = self._known[-1]
            self._known.pop()

    def _run(self, sql: str, *, commit: bool = False) -> None:
        sent = time.monotonic()
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
        self._log.statements.append(Statement(sent, time.monotonic() - sent, commit))
