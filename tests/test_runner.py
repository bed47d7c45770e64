"""The option file: what the real tools read from it is what was put in."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.bundle import Bundle
from graph.database import Credentials, ServerAddress, TlsSettings
from graph.errors import ServerError
from graph.runner import option_file, run_dump

PASSWORD = "a b#c;'d\"e\\f\\n$(id)`%é"


def test_the_tools_log_in_with_any_password(server: PrivateServer) -> None:
    connection = server.connect(autocommit=True)
    with connection.cursor() as cursor:
        cursor.execute("CREATE USER djp_option@'127.0.0.1' IDENTIFIED BY %s", (PASSWORD,))
    try:
        address = ServerAddress("127.0.0.1", server.port)
        with option_file(address, Credentials("djp_option", PASSWORD), server.flavour) as options:
            assert stat.S_IMODE(options.path.stat().st_mode) == 0o600
            command = [server.tools.client, f"--defaults-file={options.path}", "--default-character-set=utf8mb4"]
            answer = subprocess.run(
                [*command, "-N", "-e", "SELECT CURRENT_USER()"],
                capture_output=True,
                text=True,
                check=False,
                pass_fds=options.descriptors,
            )
        assert answer.stdout == "djp_option@127.0.0.1\n", answer.stderr
        assert not options.path.exists()
    finally:
        server.execute("DROP USER djp_option@'127.0.0.1'")
        connection.close()


@pytest.mark.parametrize(
    ("tls", "encrypted"),
    [(TlsSettings(required=True), True), (TlsSettings(disabled=True), False)],
)
def test_tls_is_as_asked(server: PrivateServer, tls: TlsSettings, encrypted: bool) -> None:
    address = ServerAddress("127.0.0.1", server.port)
    server.execute("CREATE USER IF NOT EXISTS djp_tls@'127.0.0.1' IDENTIFIED BY 'x'")
    connection = server.connect("djp_tls", "x")  # caching_sha2_password: the next login needs no TLS
    connection.close()
    try:
        with option_file(address, Credentials("djp_tls", "x", tls), server.flavour) as options:
            command = [
                server.tools.client,
                f"--defaults-file={options.path}",
                "-N",
                "-e",
                "SHOW STATUS LIKE 'Ssl_cipher'",
            ]
            answer = subprocess.run(command, capture_output=True, text=True, check=True, pass_fds=options.descriptors)
        assert bool(answer.stdout.split()[1:]) == encrypted
    finally:
        server.execute("DROP USER djp_tls@'127.0.0.1'")


def test_a_socket_goes_before_host_and_port(server: PrivateServer) -> None:
    address = ServerAddress("nowhere.invalid", 1, server.socket)
    with option_file(address, Credentials(server.user, server.password), server.flavour) as options:
        command = [server.tools.client, f"--defaults-file={options.path}", "-N", "-e", "SELECT USER()"]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, pass_fds=options.descriptors)
    assert answer.stdout == "root@localhost\n"


def test_what_the_script_said_is_told(tmp_path: Path) -> None:
    (tmp_path / "dump.sh").write_text("for i in {1..20}; do echo line $i; done; exit 3\n")
    said: list[str] = []
    with pytest.raises(ServerError, match="line 20") as caught:
        run_dump(Bundle(tmp_path), ServerAddress(), Credentials("u", "secret"), "mysql", said.append)
    assert said == [f"line {number}" for number in range(1, 21)]
    assert "line 10\n" not in str(caught.value)


def test_no_password_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "dump.sh").write_text('env; grep -q secret "$MYSQL_DEFAULTS_FILE"\n')
    said: list[str] = []
    path = run_dump(Bundle(tmp_path), ServerAddress(), Credentials("u", "secret"), "mysql", said.append)
    assert path == tmp_path / "publish" / "slice.sql"
    assert not any("secret" in line for line in said)
