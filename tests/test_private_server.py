"""The private server leaves nothing behind, and touches nothing of the user's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pymysql
import pytest

from examples.private_server import MYSQL_PORT, PrivateServer, PrivateServerError, find_tools
from tests.harness import ROOT

STARTS = """
import time
from examples.private_server import PrivateServer
server = PrivateServer.start({flavour!r})
print(server.folder, server._process.pid, flush=True)
time.sleep(600)
"""


def test_server_listens_on_the_loopback_alone_and_reads_no_option_file(server: PrivateServer) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@bind_address, @@port, @@general_log, @@local_infile")
        assert cursor.fetchone() == ("127.0.0.1", server.port, 0, 1)
    assert server.port != MYSQL_PORT
    command = Path(f"/proc/{server._process.pid}/cmdline").read_bytes().split(b"\0")  # type: ignore[union-attr]
    assert b"--no-defaults" in command
    assert not [word for word in command if server.password.encode() in word]


def test_temporary_tables_are_nobody_elses(server: PrivateServer) -> None:
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@tmpdir")
        assert cursor.fetchone() == (str(server.folder),)


def test_the_administrator_needs_the_password(server: PrivateServer) -> None:
    with pytest.raises(pymysql.err.OperationalError):
        server.connect(user="root", password="")
    with pytest.raises(pymysql.err.OperationalError):
        server.connect(user="root", password="", unix_socket=str(server.socket))


def test_option_file_logs_in_and_is_private(server: PrivateServer) -> None:
    server.execute("""CREATE USER 'a b"c'@'127.0.0.1' IDENTIFIED BY 'p\\\\q"r s#'""")
    options = server.defaults_file('a b"c', 'p\\q"r s#')
    assert options.stat().st_mode & 0o777 == 0o600
    command = [server.tools.client, f"--defaults-file={options}", "-N", "-e", "SELECT USER()"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.startswith('a b"c@')
    server.execute("""DROP USER 'a b"c'@'127.0.0.1'""")


def test_tls_is_on_and_its_authority_is_at_hand(server: PrivateServer) -> None:
    ssl = {"ca": str(server.certificate_authority), "check_hostname": False}
    with server.connect(ssl=ssl) as connection, connection.cursor() as cursor:
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        assert cursor.fetchone()[1]


def test_killed_program_leaves_no_server(server: PrivateServer) -> None:
    """kill -9 runs nothing of ours in the program itself."""
    program = subprocess.Popen(
        [sys.executable, "-c", STARTS.format(flavour=server.flavour)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with program:
        assert program.stdout is not None
        folder, number = program.stdout.readline().split()
        assert Path(folder).is_dir()
        program.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 30
    while (Path(folder).exists() or Path(f"/proc/{number}").exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(folder).exists()
    assert not Path(f"/proc/{number}").exists()


def test_stopped_server_is_gone() -> None:
    with PrivateServer.start() as running:
        folder = running.folder
        assert running.socket.exists()
    assert not folder.exists()
    running.stop()


def test_missing_flavour_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("examples.private_server.SERVER_FOLDERS", ())
    find_tools.cache_clear()
    try:
        with pytest.raises(PrivateServerError, match="apt-get install mariadb-server-core"):
            PrivateServer.start()
        with pytest.raises(PrivateServerError, match="no mysql server"):
            PrivateServer.start("mysql")
    finally:
        find_tools.cache_clear()
