"""Real sessions as seeds: `python -m tests.fuzz.record` writes `seeds/`, of every server flavour found here.

Clients of three makes talk to the server through a tap that keeps what went over the wire. Accounts and servers exist
only as long as that takes.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import mysql.connector
import pymysql
from pymysql.constants import CLIENT, COMMAND
from pymysql.cursors import SSCursor

from examples.private_server import PrivateServer, flavours
from tests.fuzz.script import PACKETS, Happening, Script, Step, in_packets, joined

SEEDS = Path(__file__).parent / "seeds"
#: A mutation of a longer one is mostly a mutation of something dull.
LONGEST_SEED = 16 << 10
CHUNK = 1 << 16

TABLES = (
    "CREATE DATABASE lab",
    """CREATE TABLE lab.t (id INT UNSIGNED ZEROFILL PRIMARY KEY, name VARCHAR(20), at DATETIME(3), d DATE, span TIME(2),
        price DECIMAL(8,3), f FLOAT, g DOUBLE, tag BLOB, big BIGINT, tiny TINYINT, y YEAR, b BIT(9),
        kind ENUM('a','b'), many SET('x','y'))""",
    """INSERT INTO lab.t VALUES
        (1, 'ann', '2024-05-01 12:00:00.125', '2024-05-01', '-12:30:01.5', 1.5, 0.1, -1e300, x'00fbfeff', -5, 7, 2024,
            b'101', 'a', 'x,y'),
        (2, '', NULL, NULL, NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, 'b', '')""",
    "CREATE PROCEDURE lab.p() BEGIN SELECT 1; SELECT name FROM lab.t; END",
)
VALUES = (
    1,
    -2,
    1 << 40,
    "it's",
    b"\0\xfb\xff",
    None,
    0.25,
    Decimal("1.50"),
    date(2024, 5, 1),
    datetime(2024, 5, 1, 12, 0, 0, 125000),
    timedelta(hours=30, microseconds=5),
)


class Tap:
    """Listens on a free port, forwards to the server, and keeps the steps of each connection."""

    def __init__(self, port: int) -> None:
        self.sessions: list[list[Step]] = []
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more."""
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
                steps: list[Step] = []
                self.sessions.append(steps)
                for happening, there, here in (
                    (Happening.CLIENT, client, server),
                    (Happening.SERVER, server, client),
                ):
                    threading.Thread(target=_pump, args=(there, here, happening, steps), daemon=True).start()


def _pump(there: socket.socket, here: socket.socket, happening: Happening, steps: list[Step]) -> None:
    with contextlib.suppress(OSError):
        while data := there.recv(CHUNK):
            steps.append(Step(happening, data))
            here.sendall(data)
        here.shutdown(socket.SHUT_WR)


def texts(port: int, server: PrivateServer, folder: Path) -> None:
    """PyMySQL: the text protocol."""
    file = folder / "rows.txt"
    file.write_text("3\tbob\n4\teve\n")
    connection = pymysql.connect(
        host="127.0.0.1",
        port=port,
        user=server.user,
        password=server.password,
        database="lab",
        local_infile=True,
        ssl_disabled=True,
        client_flag=CLIENT.MULTI_STATEMENTS,
    )
    with contextlib.closing(connection), connection.cursor() as cursor:
        connection.select_db("lab")
        cursor.execute("SET NAMES latin1")
        cursor.execute("SELECT * FROM t WHERE name = %s LIMIT 5", ("ann",))
        cursor.execute("SELECT 1; INSERT INTO t (id) VALUES (9); CALL p(); SELECT nonsense")
        with contextlib.suppress(pymysql.MySQLError):
            while cursor.nextset():
                cursor.fetchall()
        cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE t (id, name)")
        cursor.execute("PREPARE s FROM 'SELECT name FROM t WHERE id = ?'")
        cursor.execute("SET @id = 1")
        cursor.execute("EXECUTE s USING @id")
        with connection.cursor(SSCursor) as unbuffered:
            unbuffered.execute("SELECT id, tag FROM t ORDER BY RAND()")
            unbuffered.fetchall()
        connection.ping()
        connection.commit()


def raw(port: int, server: PrivateServer, _folder: Path) -> None:
    """Commands that no Python client sends: cursors, long data, lists of fields."""
    connection = pymysql.connect(
        host="127.0.0.1", port=port, user=server.user, password=server.password, database="lab", ssl_disabled=True
    )

    def send(command: int, payload: bytes, packets: int = 0) -> list[bytes]:
        connection._execute_command(command, payload)  # type: ignore[attr-defined]
        return [connection._read_packet().get_all_data() for _ in range(packets)]  # type: ignore[attr-defined]

    with contextlib.closing(connection):
        head = send(COMMAND.COM_STMT_PREPARE, b"SELECT id, name FROM t WHERE name = ? OR id > ?", 7)[0]
        statement = head[1:5]
        send(COMMAND.COM_STMT_SEND_LONG_DATA, statement + b"\0\0" + b"an")
        send(COMMAND.COM_STMT_SEND_LONG_DATA, statement + b"\0\0" + b"n")
        types = b"\0\x01\xfd\0\x08\0" + (0).to_bytes(8, "little")
        send(COMMAND.COM_STMT_EXECUTE, statement + b"\x01\x01\0\0\0" + types, 4)
        send(COMMAND.COM_STMT_FETCH, statement + b"\x01\0\0\0", 2)
        send(COMMAND.COM_STMT_RESET, statement, 1)
        send(COMMAND.COM_STMT_CLOSE, statement)
        send(COMMAND.COM_STATISTICS, b"", 1)
        send(COMMAND.COM_SET_OPTION, b"\0\0", 1)
        send(COMMAND.COM_FIELD_LIST, b"t\0%", 16)
        send(COMMAND.COM_PING, b"", 1)


def prepared(port: int, server: PrivateServer, _folder: Path) -> None:
    """mysql-connector-python: prepared statements, attributes, resets, another user."""
    connection: Any = mysql.connector.connect(
        host="127.0.0.1",
        port=port,
        user=server.user,
        password=server.password,
        database="lab",
        use_pure=True,
        ssl_disabled=True,
    )
    with contextlib.closing(connection):
        cursor = connection.cursor(prepared=True)
        for value in VALUES:
            cursor.execute("SELECT %s AS value, name FROM t WHERE id < %s LIMIT 1", (value, 3))
            cursor.fetchall()
        cursor.execute("SELECT id, name, at, d, span, price, f, g, tag, big, tiny FROM t WHERE id = %s", (1,))
        cursor.fetchall()
        cursor.close()
        plain = connection.cursor()
        plain.add_attribute("paper", "place cells")
        plain.add_attribute("number", 7)
        plain.execute("SELECT id FROM t WHERE name = 'ann'")
        plain.fetchall()
        connection.cmd_reset_connection()
        connection.cmd_change_user(server.user, server.password, "lab")
        connection.cmd_statistics()


def command_line(port: int, server: PrivateServer, _folder: Path) -> None:
    """The flavour's own command-line client, with its capabilities."""
    options = server.defaults_file().read_text().replace(f"port={server.port}", f"port={port}")
    file = server.folder / "tapped.cnf"
    file.write_text(options)
    file.chmod(0o600)
    plain = "--ssl-mode=DISABLED" if server.flavour == "mysql" else "--skip-ssl"
    script = "USE lab; SELECT id, name FROM t; CALL p(); SET sql_mode = 'ANSI'; SELECT @@version; USE mysql"
    subprocess.run(
        [server.tools.client, f"--defaults-file={file}", plain, "--auto-rehash", "lab", "-e", script],
        check=True,
        stdout=subprocess.DEVNULL,
    )


CLIENTS: dict[str, Callable[[int, PrivateServer, Path], None]] = {
    "texts": texts,
    "raw": raw,
    "prepared": prepared,
    "command-line": command_line,
}


def seeds() -> Iterator[tuple[str, Script]]:
    """A name and a script for each connection of each client to each flavour."""
    for flavour in flavours():
        with PrivateServer.start(flavour) as server, tempfile.TemporaryDirectory() as folder:
            server.execute(*TABLES)
            for name, client in CLIENTS.items():
                tap = Tap(server.port)
                client(tap.port, server, Path(folder))
                tap.close()
                for number, steps in enumerate(tap.sessions):
                    whole = [part for step in joined(steps) for part in in_packets(*step)]
                    yield f"{flavour}-{name}-{number}", Script(0, 0, 0, 0, 0x82, 0, PACKETS, 0, tuple(whole))


def main() -> int:
    """Writes the seeds anew."""
    SEEDS.mkdir(exist_ok=True)
    for old in SEEDS.iterdir():
        old.unlink()
    for name, script in seeds():
        data = script.encode()
        if len(data) <= LONGEST_SEED:
            (SEEDS / name).write_bytes(data)
        print(f"{name}: {len(script.steps)} packets, {len(data)} bytes", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
