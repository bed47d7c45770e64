"""The closure of random tables on real servers, against every row looked at."""

from __future__ import annotations

import os

from examples.private_server import PrivateServer
from graph.closure import Closure
from graph.database import Credentials, Database, ServerAddress
from graph.lookup import Edge, SqlTables
from graph.schema import read_schema
from tests.random_schemas import World, statements, world

#: `CLOSURES_ON_SERVERS=1000` tries more.
WORLDS = int(os.environ.get("CLOSURES_ON_SERVERS", "12"))


def on_server(reader: Database, given: World) -> Closure:
    read = read_schema(reader, given.schema.tables)
    edges = [Edge.of(key) for name in sorted(read.graph) for key in read.parents(name)]
    closure = Closure(SqlTables(reader, read), read, edges, lambda text: None)
    for name, positions in given.leaves.items():
        closure.add(read.tables[name], given.keys(name, positions), "leaf")
    closure.close()
    return closure


def test_the_closure_of_random_tables(server: PrivateServer, database: str) -> None:
    with (
        server.connect() as writer,
        writer.cursor() as cursor,
        Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password)) as reader,
    ):
        cursor.execute("SET foreign_key_checks=0, sql_mode=''")
        for seed in range(WORLDS):
            given = world(seed, server=True, schema=database)
            try:
                for statement in statements(given):
                    cursor.execute(statement)
                writer.commit()
                with reader.snapshot():
                    closure = on_server(reader, given)
                needed, orphans = given.closure()
                for name, positions in needed.items():
                    if given.schema.tables[name].key:
                        assert set(closure.keys(name)) == given.keys(name, positions), name
                    assert bool(positions) == (name in closure.tables), name
                assert bool([text for text in closure.warnings if "refer to no row" in text]) == bool(orphans)
            except Exception as error:
                raise AssertionError(f"world {seed}") from error
            finally:
                cursor.execute(f"DROP DATABASE `{database}`")
                cursor.execute(f"CREATE DATABASE `{database}`")
