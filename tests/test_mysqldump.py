"""mysqldump through the proxy writes what it writes direct, byte for byte."""

from __future__ import annotations

import contextlib
import random
import subprocess

import pytest

from examples.private_server import PrivateServer
from tests.harness import Djproxy

PAPER = "dump"
ROWS = 6_000
BLOBS = (b"", bytes(range(256)), b"'\\\0\r\n\x1a\"%_;--", b"\xff" * 70_000, bytes(3 << 20))
TABLES = (
    """CREATE TABLE session (id INT AUTO_INCREMENT PRIMARY KEY, subject VARCHAR(40) NOT NULL, at DATETIME(6),
        rate DOUBLE, share FLOAT, price DECIMAL(20,6), kind ENUM('a','b''c'), flags SET('x','y'), bits BIT(12),
        day DATE, span TIME(3), y YEAR, big BIGINT UNSIGNED, text TEXT, extra JSON,
        doubled DOUBLE GENERATED ALWAYS AS (rate * 2) VIRTUAL, KEY (subject, at)) COMMENT 'it''s; -- a comment'""",
    "CREATE TABLE file (id INT PRIMARY KEY, data LONGBLOB, place POINT)",
    """CREATE TABLE unit (session INT, number SMALLINT, PRIMARY KEY (session, number),
        FOREIGN KEY (session) REFERENCES session (id) ON DELETE CASCADE)""",
    "CREATE TABLE `od`` d näme` (`a b` INT PRIMARY KEY, `select` TEXT)",
    "CREATE VIEW busy AS SELECT subject, COUNT(*) AS sessions FROM session GROUP BY subject",
    "CREATE VIEW busier AS SELECT * FROM busy WHERE sessions > 1",
    "CREATE TRIGGER stamp BEFORE INSERT ON unit FOR EACH ROW SET NEW.number = NEW.number + 0",
    "CREATE PROCEDURE count_units(IN which INT) BEGIN SELECT COUNT(*) FROM unit WHERE session = which; END",
    "CREATE FUNCTION twice(x DOUBLE) RETURNS DOUBLE DETERMINISTIC RETURN x * 2",
    "CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DISABLE DO DELETE FROM unit WHERE number < 0",
)
SESSION = "subject, at, rate, share, price, kind, flags, bits, day, span, y, big, text, extra"
ONE_TRANSACTION = ("--single-transaction",)
LOCKED = ("--lock-tables", "--hex-blob", "--complete-insert", "--add-drop-database", "--databases")
ROW_BY_ROW = ("--single-transaction", "--skip-extended-insert", "--order-by-primary")


@pytest.fixture
def lab(server: PrivateServer, database: str) -> str:
    """A schema with something of everything that a dump has."""
    chance = random.Random(1)
    connection = server.connect(database=database, autocommit=False)
    with contextlib.closing(connection), connection.cursor() as cursor:
        for statement in TABLES:
            cursor.execute(statement)
        rows = [
            (
                *(f"subject {number % 97} é😀", "2024-05-01 12:00:00.000001", chance.random() * 10 ** (number % 40)),
                *(
                    chance.random(),
                    f"{number}.{number:06d}",
                    ("a", "b'c", None)[number % 3],
                    ("x", "x,y", "")[number % 3],
                ),
                *(number % 4096, "2024-02-29", "-837:59:59.5", 1970 + number % 50, (1 << 64) - 1 - number),
                *(("it's\n\\" * (number % 20)) if number % 5 else None, '{"a": [1, "ü"]}' if number % 2 else None),
            )
            for number in range(ROWS)
        ]
        cursor.executemany(f"INSERT INTO session ({SESSION}) VALUES ({', '.join(['%s'] * 14)})", rows)
        blobs = [*BLOBS, *(chance.randbytes(chance.randrange(3000)) for _ in range(300))]
        cursor.executemany("INSERT INTO file VALUES (%s, %s, ST_GeomFromText('POINT(1 2)'))", list(enumerate(blobs)))
        cursor.executemany("INSERT INTO unit VALUES (%s, %s)", [(1 + n // 10, n % 10) for n in range(ROWS)])
        cursor.execute("INSERT INTO `od`` d näme` VALUES (1, 'x'), (2, NULL)")
        connection.commit()
    return database


def dump(server: PrivateServer, port: int, *options: str) -> bytes:
    """The whole output."""
    answer = subprocess.run(
        [
            *(server.tools.dump, f"--defaults-file={server.defaults_file()}", f"--port={port}"),
            *("--skip-dump-date", "--routines", "--events", "--triggers", *options),
        ],
        capture_output=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def plain(server: PrivateServer) -> str:
    """The flavour's option for no TLS."""
    return "--ssl-mode=DISABLED" if server.flavour == "mysql" else "--skip-ssl"


def secure(server: PrivateServer) -> str:
    """The flavour's option for TLS."""
    return "--ssl-mode=REQUIRED" if server.flavour == "mysql" else "--ssl"


def test_a_dump_through_the_proxy_is_the_same_to_the_byte(server: PrivateServer, lab: str, djproxy: Djproxy) -> None:
    direct = dump(server, server.port, plain(server), *ONE_TRANSACTION, lab)
    assert len(direct) > 6 << 20
    for wanted in (b"CREATE TRIGGER", b"PROCEDURE `count_units`", b"EVENT `nightly`", b"VIEW `busier`", b"INSERT INTO"):
        assert wanted in direct or wanted.replace(b"CREATE ", b"") in direct
    with djproxy.recording(PAPER, server) as recorder:
        for transport in (plain(server), secure(server)):
            assert dump(server, recorder.port, transport, *ONE_TRANSACTION, lab) == direct
    shown = djproxy.call("show", "--paper", PAPER, "--json", status=None).json()
    assert shown["lost"] == []
    read = {table["table"] for table in shown["tables"] if table["schema"] == lab}
    assert {"session", "file", "unit", "od` d näme"} <= read


@pytest.mark.parametrize("options", [LOCKED, ROW_BY_ROW], ids=["locked", "row by row"])
def test_a_dump_is_the_same_where_every_result_is_looked_into(
    options: tuple[str, ...], server: PrivateServer, lab: str, djproxy: Djproxy
) -> None:
    direct = dump(server, server.port, plain(server), *options, lab)
    with djproxy.recording(PAPER, server, "--pin", "always", "--digest") as recorder:
        assert dump(server, recorder.port, plain(server), *options, lab) == direct
    shown = djproxy.call("show", "--paper", PAPER, "--json", status=None).json()
    assert shown["lost"] == []
    assert any(result["rows"] == ROWS for result in shown["results"])
