"""What a fingerprint notices; tests/test_dump.py compares it with what the script computes."""

from __future__ import annotations

import pytest

from examples.private_server import PrivateServer
from graph.cascade import cascade, leaf_rule
from graph.database import Credentials, Database, ServerAddress
from graph.fingerprint import MODULUS, Fingerprint, take
from graph.names import TableName
from graph.schema import read_schema
from graph.slice import Slice


def sliced(connection: Database, name: TableName) -> Slice:
    schema = read_schema(connection, [name])
    return cascade(connection, schema, [leaf_rule(schema.tables[name], "id < 10")])


@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        ("UPDATE {t} SET f = f + 1e-7 WHERE id = 1", True),
        ("UPDATE {t} SET s = NULL WHERE s = ''", True),
        ("UPDATE {t} SET s = 'A' WHERE s = 'a'", True),
        # Columns of two rows exchanged: the sum of the values alone would be the same.
        ("UPDATE {t} SET s = IF(id = 1, 'b', 'a') WHERE id IN (1, 2)", True),
        ("UPDATE {t} SET t = t + INTERVAL 1 SECOND WHERE id = 2", True),
        ("DELETE FROM {t} WHERE id = 3", True),
        ("UPDATE {t} SET data = 'other' WHERE id = 1", False),
        ("DELETE FROM {t} WHERE id = 30", False),
    ],
)
def test_what_is_noticed(server: PrivateServer, database: str, change: str, noticed: bool) -> None:
    table = f"`{database}`.t"
    server.execute(
        f"CREATE TABLE {table} (id INT PRIMARY KEY, s VARCHAR(9), f FLOAT, t TIMESTAMP NULL, data LONGBLOB)",
        f"INSERT INTO {table} VALUES (1, 'a', 1.2345678e0, '2020-01-01', 'x'), (2, 'b', 2, '2020-01-02', 'y'),"
        f" (3, '', 3, NULL, 'z'), (30, 'c', 4, NULL, NULL)",
    )
    name = TableName(database, "t")
    credentials = Credentials(server.user, server.password)
    with Database.connect(ServerAddress(server.host, server.port), credentials) as connection:
        slice_ = sliced(connection, name)
        before = take(connection, slice_)
        server.execute(change.format(t=table))
        after = take(connection, slice_)
    assert before[name].rows == 3
    assert 0 < before[name].values < MODULUS
    assert (before != after) == noticed


def test_no_rows_and_large_columns_only(server: PrivateServer, database: str) -> None:
    server.execute(f"CREATE TABLE `{database}`.t (id TEXT)", f"INSERT INTO `{database}`.t VALUES ('1'), ('1'), (NULL)")
    name = TableName(database, "t")
    credentials = Credentials(server.user, server.password)
    with Database.connect(ServerAddress(server.host, server.port), credentials) as connection:
        full = take(connection, sliced(connection, name))
        server.execute(f"DELETE FROM `{database}`.t")
        empty = take(connection, sliced(connection, name))
    assert full[name].rows == 3
    assert empty[name] == Fingerprint(0, 0)
