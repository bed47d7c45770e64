"""The options for the two legs, and the certificate, on the command line."""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from examples.private_server import PrivateServer
from proxy.paths import Home
from tests.chains import issue
from tests.harness import Djproxy


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """For a socket, short enough."""
    path = Path("/tmp") / f"djc-{os.getpid()}-{tmp_path.name[-20:]}.sock"
    yield path
    path.unlink(missing_ok=True)


def _select(server: PrivateServer, *more: str) -> list[str]:
    """The server's command line client, which finds the proxy by its environment alone."""
    return [str(server.tools.client), "--no-defaults", *more, "--batch", "-e", "SELECT 40 + 2 AS answer"]


def test_sockets_on_both_legs(djproxy: Djproxy, server: PrivateServer, path: Path) -> None:
    command = _select(server, f"--user={server.user}")
    addresses = ["--server", server.socket, "--listen", path]
    answer = djproxy.run("record", "--paper", "p", *addresses, "--", *command, MYSQL_PWD=server.password)
    assert answer.stdout.split() == ["answer", "42"]
    assert f"listening on {path} -> {server.socket}, recording paper p" in answer.stderr.splitlines()[0]
    assert "SELECT 40 + 2 AS answer" in {each.statement.sql for each in djproxy.recorded("p")}
    assert str(server.socket) in djproxy.call("list").stdout
    assert not path.exists()


def test_what_lies_where_the_socket_should_is_left_alone(djproxy: Djproxy, server: PrivateServer, path: Path) -> None:
    path.write_text("precious")
    answer = djproxy.call("record", "--paper", "p", "--server", server.socket, "--listen", path, status=2)
    assert f"cannot listen on {path}: there is a file that is no socket" in answer.stderr
    assert path.read_text() == "precious"


def test_a_socket_has_the_mode_that_was_asked_for(djproxy: Djproxy, server: PrivateServer, path: Path) -> None:
    where = ["--server", server.socket, "--listen", path, "--socket-mode", "660"]
    answer = djproxy.run("record", "--paper", "p", *where, "--", "stat", "--format=%a", str(path))
    assert answer.stdout.strip() == "660"


def test_a_proxy_that_serves_on_a_socket_is_no_server(djproxy: Djproxy, server: PrivateServer, path: Path) -> None:
    inner = [*djproxy.command, "record", "--paper", "q", "--server", str(path), "--", "true"]
    answer = djproxy.run("record", "--paper", "p", "--server", server.socket, "--listen", path, "--", *inner, status=2)
    assert "is itself a djproxy" in answer.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--server-tls", "verify-ca", "--server-ca", "nowhere.pem"], "nowhere.pem cannot be read"),
        (["--server-tls", "require", "--server-ca", __file__], "--server-ca is for --server-tls verify-ca"),
        (["--server-cert", __file__], "--server-cert and --server-key belong together"),
        (["--tls-key", __file__], "--tls-cert and --tls-key belong together"),
        (["--server-tls", "disable", "--server-cert", __file__, "--server-key", __file__], "--server-cert is shown"),
        (["--server-tls", "verify-ca", "--server-ca", __file__], "cannot be used"),
        (["--socket-mode", "600"], "--socket-mode is for a socket"),
        (["--socket-mode", "9", "--listen", "/tmp/x"], "octal digits"),
        (["--login-timeout", "-1"], "--login-timeout"),
        (["--connect-timeout", "0"], "--connect-timeout"),
        (["--server-tls", "sometimes"], "'sometimes' is not one of"),
        (["--server", "a/b"], "is not an address"),
    ],
)
def test_options_that_cannot_be(djproxy: Djproxy, options: list[str], message: str) -> None:
    answer = djproxy.call("record", "--paper", "p", "--server", "127.0.0.1:1", *options, status=2)
    assert message in answer.stderr


def test_a_server_that_is_not_who_it_should_be_is_refused_at_once(
    djproxy: Djproxy, server: PrivateServer, tmp_path: Path
) -> None:
    wrong, _ = issue("somebody", authority=True).write(tmp_path, "wrong")
    address = ["--server", f"{server.host}:{server.port}", "--server-tls", "verify-full"]
    answer = djproxy.call("record", "--paper", "p", *address, "--server-ca", wrong, "--", "true", status=3)
    assert "shows a certificate that is not accepted" in answer.stderr and "--server-ca" in answer.stderr
    if server.flavour == "mariadb":
        # MySQL's own certificate names no host.
        right = ["--server-ca", server.certificate_authority or ""]
        command = _select(server, f"--user={server.user}", "--skip-ssl")
        answer = djproxy.run("record", "--paper", "p", *address, *right, "--", *command, MYSQL_PWD=server.password)
        assert answer.stdout.split() == ["answer", "42"]


def test_a_translated_password_is_written_nowhere(djproxy: Djproxy, server: PrivateServer) -> None:
    """A plain client, a server's leg with TLS, and the other way round."""
    server.execute(
        "DROP USER IF EXISTS translated@127.0.0.1", "CREATE USER translated@127.0.0.1 IDENTIFIED BY 'hushhush-42'"
    )
    mysql = server.flavour == "mysql"
    plain = ["--ssl-mode=DISABLED", "--get-server-public-key"] if mysql else ["--skip-ssl"]
    tls = ["--ssl-mode=REQUIRED"] if mysql else ["--ssl"]
    address = ["--server", f"{server.host}:{server.port}"]
    right, wrong = "hushhush-42", "hushhush-43"
    for mode, client, password in (("require", plain, right), ("disable", tls, right), ("disable", tls, wrong)):
        server.execute("FLUSH PRIVILEGES")
        command = _select(server, "--user=translated", *client)
        where, status = [*address, "--server-tls", mode], int(password == wrong)
        answer = djproxy.run("record", "--paper", "p", *where, "--", *command, status=status, MYSQL_PWD=password)
        assert "hushhush" not in answer.stderr + answer.stdout
        assert (answer.stdout.split() == ["answer", "42"]) == (password == right)
    written = [each.read_bytes() for each in djproxy.home.rglob("*") if each.is_file()]
    assert written and not any(b"hushhush" in content for content in written)
    key = djproxy.home / "certificates" / "password-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_certificate_prints_what_clients_are_to_trust(djproxy: Djproxy) -> None:
    answer = djproxy.call("certificate")
    authority = Home(djproxy.home).certificates / "authority.pem"
    assert answer.stdout == authority.read_text()
    assert (
        x509.load_pem_x509_certificate(answer.stdout.encode()).subject
        == x509.load_pem_x509_certificates((authority.parent / "server.pem").read_bytes())[0].issuer
    )
    assert str(authority) in answer.stderr and str(authority.parent / "password-public-key.pem") in answer.stderr
    assert "PRIVATE" not in answer.stdout
    ssl.create_default_context(cafile=str(authority))
    assert djproxy.call("certificate").stdout == answer.stdout
