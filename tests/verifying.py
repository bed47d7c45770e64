"""For tests of `verify`: rows of every kind of type."""

from __future__ import annotations

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.digest import ResultDigest
from graph.statement import RecordedResult, Session

TABLES = (
    "CREATE TABLE {s}.t (a INT PRIMARY KEY, f FLOAT, d DOUBLE, g DOUBLE(10,3), b BLOB, s VARCHAR(20),"
    " u BIGINT UNSIGNED, m DECIMAL(10,4), w DATETIME(3), h TIME, y YEAR, n MEDIUMTEXT)",
    "INSERT INTO {s}.t VALUES (1, 0.1, 0.1, 1.5, x'00ff', 'ä', 18446744073709551615, 1.5, '2020-02-29 12:34:56.789',"
    " '-30:00:01', 2001, NULL), (2, 3e30, 1e300, 2, '', 'A', 2, 2, '2020-01-01', '00:00:00', 1999, 'x'),"
    " (3, -1.17549435e-38, -2.5, 3, 'abc', 'a', 3, 3, NULL, NULL, NULL, REPEAT('y', 70000))",
)


def connect(server: PrivateServer) -> Database:
    return Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password))


def answered(server: PrivateServer, sql: str, session: Session) -> RecordedResult:
    """The answer of now, as a recording has it."""
    digest = ResultDigest()
    with connect(server) as database, database.answer(sql, session, charset=session.charset or "utf8mb4") as answer:
        for payload in answer:
            digest.add_payload(payload)
    return RecordedResult(digest.rows, digest.hexdigest())
