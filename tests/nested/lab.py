"""Source, proxy and copy for the expressions of one DataJoint line, and what becomes of each expression."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

import pymysql

from examples.private_server import PrivateServer
from examples.two_labs.checks import foreign_keys
from graph.cascade import cascade
from graph.database import Credentials, Database, ServerAddress
from graph.leaves import Resolution, Rule, resolve
from graph.names import TableName, is_withheld
from graph.order import Order
from graph.replay import Verdict, replay
from graph.schema import read_schema
from graph.selection import base_tables, restrictions
from graph.slice import Slice
from graph.statement import Statement, StatementClass
from proxy.records import Recorded
from tests import harness
from tests.harness import Account, Djproxy
from tests.lineage import Relation, RowId, WholeDatabase
from tests.nested.author import Expression

MARK = re.compile(r"SELECT 'nested (\w+)'")
PAPER = "nested"
#: What a slice must answer; counts, too.
TAKEN = (StatementClass.DATA, StatementClass.CHECK, StatementClass.UNRESOLVED)


@dataclass(frozen=True)
class Asked:
    """An expression as a client fetches it: `fetch` is plain, ordered or keys."""

    kinds: tuple[str, ...]
    expression: Expression
    fetch: str

    @property
    def document(self) -> dict[str, Any]:
        """What the client is told."""
        return {"spec": self.expression.spec, "fetch": self.fetch}


@dataclass(frozen=True)
class Outcome:
    """What became of an expression.

    `end`: refused (by DataJoint or the server), left out, unresolved, identical, or failed, with the `reason`.
    `exact`: whether the slice equals brute force; None where that says nothing. `unlike`: DataJoint's own answer is
    not that of the algebra, so that its lineage says nothing.
    """

    asked: Asked
    end: str
    reason: str = ""
    exact: bool | None = None
    unlike: bool = False
    sql: tuple[str, ...] = ()
    slice_rows: int = 0

    @property
    def failed(self) -> bool:
        """Whether it must not be."""
        return self.end in ("failed", "unresolved")


class Client:
    """The DataJoint process of one line."""

    def __init__(self, python: str, schema: str) -> None:
        self.schema = schema
        self._process = subprocess.Popen(
            [python, str(harness.ROOT / "tests" / "clients" / "datajoint_nested.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def fill(self, server: PrivateServer) -> None:
        """Makes the tables."""
        self._ask(server.host, server.port, Account(server.user, server.password), {})

    def fetch(self, asked: Sequence[Asked], host: str, port: int, account: Account) -> list[dict[str, Any]]:
        """The rows of each expression there, or why it was refused."""
        documents = [each.document for each in asked]
        found: list[dict[str, Any]] = self._ask(host, port, account, {"expressions": documents})
        return found

    def _ask(self, host: str, port: int, account: Account, more: dict[str, Any]) -> Any:
        assert self._process.stdin and self._process.stdout
        place = {"host": host, "port": port, "user": account.user, "password": account.password}
        self._process.stdin.write(json.dumps({**place, "schema": self.schema, **more}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer
        return answer["result"]

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate(timeout=30)


class Lab:
    """A filled schema on the source, the same schema empty on the copy with all rows beside it; a context manager."""

    def __init__(self, server: PrivateServer, copy: PrivateServer, client: Client) -> None:
        self.server, self.copy, self.client = server, copy, client
        self.schema_name = client.schema
        self.beside = f"{client.schema}_whole"
        self.account = Account(server.user, server.password)
        #: What a slice is computed from; tests break it.
        self.rules: Callable[[Sequence[Rule]], Sequence[Rule]] = lambda rules: rules
        self._open = ExitStack()

    def __enter__(self) -> Lab:
        harness.drop(self.server, self.schema_name)
        harness.drop(self.copy, self.schema_name, self.beside)
        self._open.callback(harness.drop, self.copy, self.schema_name, self.beside)
        self._open.callback(harness.drop, self.server, self.schema_name)
        for each in (self.server, self.copy):
            self.client.fill(each)
        self.whole = WholeDatabase.read(self.server, self.schema_name)
        self._keys = foreign_keys(self.server)
        self._connection = self._open.enter_context(
            self.copy.connect(autocommit=True, unix_socket=str(self.copy.socket))
        )
        self._run(f"CREATE DATABASE `{self.beside}`", "SET sql_mode = '', time_zone = '+00:00', foreign_key_checks = 0")
        for name in self.whole.tables:
            self._run(f"CREATE TABLE {self._aside(name)} AS SELECT * FROM {name}", f"DELETE FROM {name}")
        self._run("SET foreign_key_checks = 1")
        self._source, self._copy = (self._open.enter_context(self._connect(each)) for each in (self.server, self.copy))
        tables = [name.strip("`").split("`.`") for name in self.whole.tables]
        self.schema = read_schema(self._source, [TableName(schema, name) for schema, name in tables])
        self._sql_mode = str(self._source.value("SELECT @@GLOBAL.sql_mode"))
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def tables(self) -> dict[str, Relation]:
        """The relations by DataJoint's class names in lower case."""
        prefix = f"`{self.schema_name}`.`"
        names = {name: name.removeprefix(prefix).strip("`").lstrip("#_") for name in self.whole.tables}
        return {names[name]: rows for name, rows in self.whole.tables.items()}

    def direct(self, asked: Sequence[Asked]) -> list[dict[str, Any]]:
        """The answers of the source without a proxy."""
        return self.client.fetch(asked, self.server.host, self.server.port, self.account)

    def record(self, asked: Sequence[Asked], djproxy: Djproxy) -> tuple[list[dict[str, Any]], list[list[Recorded]]]:
        """The answers through the proxy, and what each expression sent."""
        with djproxy.recording(PAPER, self.server) as proxy:
            answers = self.client.fetch(asked, proxy.host, proxy.port, self.account)
        sent: dict[str, list[Recorded]] = {}
        current: list[Recorded] = []
        for recorded in djproxy.recorded(PAPER):
            mark = MARK.fullmatch(recorded.statement.sql)
            if mark:
                current = sent.setdefault(mark[1], [])
            else:
                current.append(recorded)
        assert len(sent) == len(asked) + 1
        return answers, [sent[str(number)] for number in range(len(asked))]

    def judge(self, asked: Asked, answer: dict[str, Any], sent: Sequence[Recorded]) -> Outcome:
        """What becomes of an expression, by its recorded statements alone."""
        if "refused" in answer:
            return Outcome(asked, "refused", answer["refused"])
        statements, resolutions = self._resolved(sent)
        texts = tuple(statement.sql for statement in statements)
        outcome = Outcome(asked, "identical", sql=texts)
        if not statements:
            return replace(outcome, end="left out", reason=", ".join(each.statement_class for each in sent))
        for resolution in resolutions:
            if resolution.statement_class is StatementClass.UNRESOLVED:
                return replace(outcome, end="unresolved", reason=resolution.reason)
        rules = [rule for resolution in resolutions for rule in resolution.rules]
        structure = {name for each in resolutions for name in (*each.tables, *each.views)}
        slice_ = cascade(self._source, self.schema, self.rules(rules), structure=structure)
        if slice_.refused:
            return replace(outcome, end="unresolved", reason="; ".join(slice_.refused.values()))
        try:
            with self._filled(slice_) as rows:
                failure = self._replayed(statements, resolutions)
        except pymysql.err.IntegrityError as error:
            return replace(outcome, end="failed", reason=f"not closed under foreign keys: {error}")
        if failure:
            return replace(outcome, end="failed", reason=failure)
        return self._held_against_lineage(replace(outcome, slice_rows=len(rows)), answer["rows"], rows)

    def _resolved(self, sent: Sequence[Recorded]) -> tuple[list[Statement], list[Resolution]]:
        """The statements that the slice must answer, and what each needs."""
        statements, resolutions = [], []
        for recorded in sent:
            if recorded.statement_class not in TAKEN:
                continue
            statement = recorded.statement
            if statement.session.sql_mode is None:
                statement = replace(statement, session=replace(statement.session, sql_mode=self._sql_mode))
            resolution = resolve(statement, self.schema)
            if resolution.statement_class in TAKEN:
                statements.append(statement)
                resolutions.append(resolution)
        return statements, resolutions

    @contextmanager
    def _filled(self, slice_: Slice) -> Iterator[set[RowId]]:
        """The copy with a slice's rows, put in under the foreign keys; empty again afterwards."""
        rows: set[RowId] = set()
        filled: list[str] = []
        try:
            for sliced in base_tables(slice_):
                if is_withheld(sliced.table.name):
                    continue
                name = f"`{sliced.table.name.schema}`.`{sliced.table.name.name}`"
                for where in restrictions(sliced):
                    filled.append(name)
                    tail = "" if where is None else f" WHERE {where}"
                    self._run(f"INSERT INTO {name} SELECT * FROM {self._aside(name)}{tail}")
                    rows |= {(name, row) for row in self._run(f"SELECT * FROM {name}")}
            yield rows
        finally:
            self._run(*(f"DELETE FROM {name}" for name in reversed(filled)))

    def _replayed(self, statements: Sequence[Statement], resolutions: Sequence[Resolution]) -> str:
        """How the copy's answers differ, if they do."""
        texts = [replace(s, sql=r.replay or s.sql) for s, r in zip(statements, resolutions, strict=True)]
        for outcome in replay(self._source, self._copy, texts):
            if outcome.verdict is not Verdict.IDENTICAL or outcome.order is Order.OTHER:
                rows = f"only the source has {outcome.only_source}, only the copy {outcome.only_copy}"
                return f"{outcome.verdict} {outcome.reason}: {outcome.source_rows}/{outcome.copy_rows} rows; {rows}"
        return ""

    def _held_against_lineage(self, outcome: Outcome, answer: list[dict[str, Any]], rows: set[RowId]) -> Outcome:
        expression = outcome.asked.expression
        if not expression.exact:
            return outcome
        if not same_rows(expression, answer):
            return replace(outcome, unlike=True, reason=f"DataJoint answers {answer[:3]}")
        expected = self.whole.closure(self._keys, expression.rows.lineage)
        if rows == expected:
            return replace(outcome, exact=True)
        reason = f"missing {_few(expected - rows)}; too much {_few(rows - expected)}"
        return replace(outcome, end="failed", exact=False, reason=reason)

    def _connect(self, server: PrivateServer) -> Database:
        return Database.connect(
            ServerAddress(server.host, server.port, server.socket), Credentials(server.user, server.password)
        )

    def _aside(self, name: str) -> str:
        return name.replace(f"`{self.schema_name}`", f"`{self.beside}`", 1)

    def _run(self, *statements: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        with self._connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows = list(cursor.fetchall())
        return rows


@dataclass(frozen=True)
class RoundTrip:
    """What `djproxy verify --json` says of the restored copy, and what DataJoint answers otherwise there."""

    verified: dict[str, Any]
    differing: list[tuple[str, ...]]


def round_trip(lab: Lab, djproxy: Djproxy, asked: Sequence[Asked], answers: Sequence[dict[str, Any]]) -> RoundTrip:
    """All of a recording exported, restored and verified."""
    harness.drop(lab.copy, lab.schema_name)
    reader = harness.add_account(lab.server, [lab.schema_name])
    bundle = djproxy.round_trip(PAPER, lab.server, lab.copy, reader, "--include", "checks")
    verified = djproxy.verify(PAPER, lab.server, lab.copy, bundle, status=None).json()
    there = Account(lab.copy.user, lab.copy.password)
    restored = lab.client.fetch(asked, lab.copy.host, lab.copy.port, there)
    both = zip(asked, answers, restored, strict=True)
    return RoundTrip(verified, [one.kinds for one, before, after in both if before.get("rows") != after.get("rows")])


def same_rows(expression: Expression, answer: list[dict[str, Any]]) -> bool:
    """Whether DataJoint gave the rows of the algebra, each once at least. Blobs are not looked at."""
    names = [name for name in expression.heading if expression.heading[name].kind != "blob"]
    if answer:
        names = [name for name in names if name in answer[0]]
    ours = {tuple(_plain(row[name]) for name in names) for row in expression.rows.rows}
    return ours == {tuple(_plain(row[name]) for name in names) for row in answer}


def _plain(value: Any) -> Any:
    if isinstance(value, (int, float, Decimal)):
        # FLOAT shows six digits in a column and more in what is computed from it.
        return round(float(value), 3)
    return value.isoformat() if isinstance(value, date) else value


def _few(rows: set[RowId] | frozenset[RowId]) -> str:
    shown = sorted(repr(row) for row in rows)
    return f"{len(rows)}: " + ", ".join(shown[:4]) if shown else "nothing"
