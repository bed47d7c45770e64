"""TPC-H's queries, recorded through the proxy, each slice restored and asked again; benchmarks/tpch has it at scale."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.tpch import data, page
from benchmarks.tpch.trip import Bench
from examples.private_server import PrivateServer
from graph.bundle import Bundle
from graph.database import Credentials, Database, ServerAddress
from graph.documents import Judged, Meta
from graph.export import Export, export
from graph.proof import Proof, prove, read_review
from graph.replay import Order
from graph.runner import run_dump
from graph.statement import StatementClass
from tests import harness
from tests.harness import Account, Djproxy

SCALE = 0.002
PAPER = "tpch"
QUERIES = data.queries(SCALE)

#: The values of the specification find nothing in so few rows; these do.
LIVELY = {
    "07": {"FRANCE": "ARGENTINA", "GERMANY": "CANADA"},
    "11": {"GERMANY": "IRAQ", "0.0500000000": "0.02"},
    "17": {"MED BOX": "WRAP BOX"},
    "19": {"= 'Brand#12'": "LIKE 'Brand#1%'", "'AIR REG'": "'RAIL', 'SHIP'", "BETWEEN 1 AND 5": "BETWEEN 1 AND 50"},
    "20": {"CANADA": "IRAQ"},
    "21": {"SAUDI ARABIA": "CANADA"},
}

#: Queries whose answer is made of every row that their FROM and WHERE let through, and of nothing else.
MONOTONE = ("01", "05", "06", "07", "08", "09", "12", "14", "19")


def text_of(number: str) -> str:
    """A query with values that find something."""
    text = QUERIES[number]
    for old, new in LIVELY.get(number, {}).items():
        assert old in text
        text = text.replace(old, new)
    return text


class Lab:
    """TPC-H's data on a server, and what a session sent through the proxy."""

    def __init__(self, server: PrivateServer, copy: PrivateServer, home: Path) -> None:
        self.server = server
        self.copy = copy
        self.home = home
        self.reader = harness.add_account(server, [data.SCHEMA], "SELECT, SHOW VIEW")
        recorded = self._record()
        self.recorded = {number: recorded[text_of(number).strip()] for number in QUERIES}

    def _record(self) -> dict[str, Judged]:
        command = Djproxy(self.home)
        with command.recording(PAPER, self.server) as proxy:
            connection = self.server.connect(
                self.reader.user, self.reader.password, port=proxy.port, database=data.SCHEMA, autocommit=True
            )
            with connection, connection.cursor() as cursor:
                for number in QUERIES:
                    cursor.execute(text_of(number))
                    rows = cursor.fetchall()
                    assert rows and rows[0] != (None,), number
        found = command.recorded(PAPER)
        return {
            one.statement.sql: Judged(one.statement, one.statement_class, one.reason, one.analysis) for one in found
        }

    def connect(self, server: PrivateServer, account: Account | None = None) -> Database:
        """As the administrator unless told otherwise."""
        login = account or Account(server.user, server.password)
        return Database.connect(ServerAddress(server.host, server.port), Credentials(login.user, login.password))

    def export(self, numbers: list[str], folder: Path) -> Export:
        """The bundle of some of the recorded queries, dumped."""
        meta = Meta(PAPER, f"{self.server.host}:{self.server.port}", "test")
        with self.connect(self.server, self.reader) as database:
            made = export(database, [self.recorded[number] for number in numbers], folder, meta)
        address = ServerAddress(self.server.host, self.server.port)
        credentials = Credentials(self.reader.user, self.reader.password)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MYSQLDUMP", str(self.server.tools.dump))
            patch.setenv("MYSQL", str(self.server.tools.client))
            run_dump(made.bundle, address, credentials, self.server.flavour)
        return made

    def prove(self, bundle: Bundle) -> Proof:
        """Restores a bundle, and asks its queries of both servers."""
        harness.restore(bundle.folder, self.copy)
        try:
            with self.connect(self.server, self.reader) as source, self.connect(self.copy) as copy:
                return prove(source, copy, read_review(bundle))
        finally:
            harness.drop(self.copy, data.SCHEMA)

    def closure(self, number: str) -> dict[str, int]:
        """The rows of each table that a monotone query and its foreign keys reach, by SQL of the plainest kind."""
        body = re.search(r"^ *FROM (?!\()(.*?)(?=^\) AS |^GROUP BY|\Z)", text_of(number), re.S | re.M)
        assert body
        connection = self.server.connect(database=data.SCHEMA, autocommit=True)
        with connection, connection.cursor() as cursor:
            cursor.execute("DROP DATABASE IF EXISTS lineage")
            cursor.execute("CREATE DATABASE lineage")
            for table in data.TABLES:
                names = re.findall(rf"\b{table}\b(?: (n\d))?(?=[,\s])", body[1].split("WHERE")[0])
                parts = [f"SELECT {name or table}.* FROM {body[1]}" for name in names]
                selected = " UNION ".join(parts) or f"SELECT * FROM {table} WHERE FALSE"
                cursor.execute(f"CREATE TABLE lineage.{table} AS {selected}")
            for child, parent, condition in PARENTS:
                cursor.execute(
                    f"INSERT INTO lineage.{parent} SELECT * FROM {parent} WHERE EXISTS"
                    f" (SELECT 1 FROM lineage.{child} WHERE {condition})"
                )
            found = {}
            for table in data.TABLES:
                cursor.execute(f"SELECT COUNT(*) FROM (SELECT DISTINCT * FROM lineage.{table}) AS d")
                (found[table],) = cursor.fetchone()
            cursor.execute("DROP DATABASE lineage")
            return found


#: Every foreign key as child, parent and condition; children before their parents.
PARENTS = (
    ("lineitem", "orders", "l_orderkey = o_orderkey"),
    ("lineitem", "partsupp", "l_partkey = ps_partkey AND l_suppkey = ps_suppkey"),
    ("lineitem", "part", "l_partkey = p_partkey"),
    ("lineitem", "supplier", "l_suppkey = s_suppkey"),
    ("partsupp", "part", "ps_partkey = p_partkey"),
    ("partsupp", "supplier", "ps_suppkey = s_suppkey"),
    ("orders", "customer", "o_custkey = c_custkey"),
    ("customer", "nation", "c_nationkey = n_nationkey"),
    ("supplier", "nation", "s_nationkey = n_nationkey"),
    ("nation", "region", "n_regionkey = r_regionkey"),
)


@pytest.fixture(scope="module")
def lab(server: PrivateServer, restored: PrivateServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The data, loaded once, and all queries, recorded once."""
    made = tmp_path_factory.mktemp("tpch")
    data.generate(SCALE, made)
    data.load(server, made)
    yield Lab(server, restored, made / "home")
    harness.drop(server, data.SCHEMA)


@pytest.mark.parametrize("number", QUERIES)
def test_a_query_alone_replays(lab: Lab, number: str, tmp_path: Path) -> None:
    made = lab.export([number], tmp_path / "bundle")
    assert made.unresolved == []
    proof = lab.prove(made.bundle)
    assert proof.complete
    assert [outcome.order for outcome in proof.outcomes] == [Order.SAME]
    if number in MONOTONE:
        rows = {name.name: sliced.rows for name, sliced in made.slice.tables.items()}
        assert {table: rows.get(table, 0) for table in data.TABLES} == lab.closure(number)


def test_all_queries_together_replay(lab: Lab, tmp_path: Path) -> None:
    made = lab.export(list(QUERIES), tmp_path / "bundle")
    assert made.classes == {StatementClass.DATA: len(QUERIES)}
    proof = lab.prove(made.bundle)
    assert proof.complete
    assert proof.identical == len(QUERIES)
    assert {outcome.order for outcome in proof.outcomes} == {Order.SAME}


def test_the_benchmark_makes_a_page(lab: Lab, tmp_path: Path) -> None:
    """The whole way by the command line, and its line in the table."""
    bench = Bench(lab.server, lab.copy, tmp_path, SCALE)
    trip = bench.trip("06", ["06"])
    assert trip.good
    assert trip.answered == {"06": 1}
    assert trip.total < sum(bench.full().values()) / 2
    document = tmp_path / "page.md"
    document.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    page.put(document, page.tables([page.Run(SCALE, lab.server.flavour, "1.0", bench.full(), [trip])]))
    lines = document.read_text().splitlines()
    assert (lines[0], lines[1], lines[-2], lines[-1]) == ("before", page.BEGIN, page.END, "after")
    assert lines[-3].startswith("| [06](../benchmarks/tpch/queries/06.sql) | ")
    assert lines[-3].endswith(" | identical |")
