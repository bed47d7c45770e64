"""TLS modes, certificates, unix sockets and silence on both legs, between real clients and real servers."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest

from examples.private_server import PrivateServer
from graph.database import ServerAddress
from proxy.certificates import Certificate
from proxy.errors import InputError, ServerError
from proxy.events import Lost, UserChanged
from proxy.passwords import password_key
from proxy.probe import probe
from proxy.relay import Proxy
from proxy.relay_options import RelayOptions
from proxy.security import ClientTls, ServerTls, ServerTrust
from tests.chains import Signer, issue
from tests.fault import FaultProxy
from tests.password_matrix import change_user
from tests.relaying import ListSink, Relay

PLAIN: dict[str, Any] = {"ssl_disabled": True}
TLS: dict[str, Any] = {"ssl": {"ssl": {}}}


def status(connection: Any, name: str) -> str:
    """A status variable of the session."""
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW STATUS LIKE '{name}'")
        return str(cursor.fetchone()[1])


def cipher(connection: Any) -> str:
    """What the server says of its leg."""
    return status(connection, "Ssl_cipher")


# -- modes


@pytest.mark.parametrize("server_tls", [ServerTls.AS_CLIENT, ServerTls.DISABLE, ServerTls.PREFER, ServerTls.REQUIRE])
@pytest.mark.parametrize("client", [PLAIN, TLS], ids=["plain", "tls"])
def test_the_servers_leg_is_as_its_mode_says(
    server: PrivateServer, certificate: Certificate, tmp_path: Path, server_tls: ServerTls, client: dict[str, Any]
) -> None:
    options = RelayOptions(trust=ServerTrust(server_tls), password_key=password_key(tmp_path))
    with Relay((server.host, server.port), certificate, options) as relay, relay.connect(server, **client) as one:
        encrypted = client is TLS if server_tls is ServerTls.AS_CLIENT else server_tls is not ServerTls.DISABLE
        assert bool(cipher(one)) == encrypted
        # On 127.0.0.1 a plain client has no cipher of its own either way.
        assert bool(one._secure) == (client is TLS)


@pytest.mark.parametrize("mode", [ServerTls.AS_CLIENT, ServerTls.REQUIRE])
@pytest.mark.parametrize("latest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_servers_leg_speaks_no_newer_tls_than_a_client_that_it_is_to_be_like(
    server: PrivateServer, certificate: Certificate, mode: ServerTls, latest: ssl.TLSVersion
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = latest
    options = RelayOptions(trust=ServerTrust(mode))
    with (
        Relay((server.host, server.port), certificate, options) as relay,
        relay.connect(server, ssl=context) as one,
    ):
        name = latest.name.replace("_", ".")
        assert one._sock.version() == name
        assert status(one, "Ssl_version") == (name if mode is ServerTls.AS_CLIENT else "TLSv1.3")


def test_client_tls_disable_offers_none_and_require_refuses_the_others(
    server: PrivateServer, certificate: Certificate
) -> None:
    address = (server.host, server.port)
    disabled = RelayOptions(client_tls=ClientTls.DISABLE)
    with Relay(address, certificate, disabled) as relay, relay.connect(server) as one:
        assert cipher(one) == ""
    with Relay(address, certificate, RelayOptions(client_tls=ClientTls.REQUIRE)) as relay:
        with relay.connect(server, **TLS) as one:
            assert cipher(one)
        with pytest.raises(pymysql.MySQLError, match="--client-tls require") as refused:
            relay.connect(server, **PLAIN)
        assert refused.value.args[0] == 3159


@pytest.fixture(scope="module")
def without_tls(server: PrivateServer) -> Iterator[PrivateServer]:
    """A server that offers none."""
    option = "--tls-version=" if server.flavour == "mysql" else "--skip-ssl"
    with PrivateServer.start(server.flavour, options=[option]) as running:
        yield running


def test_a_server_without_tls(without_tls: PrivateServer, certificate: Certificate, tmp_path: Path) -> None:
    address = (without_tls.host, without_tls.port)
    key = password_key(tmp_path)
    with Relay(address, certificate, RelayOptions()) as relay, relay.connect(without_tls) as one:
        assert not one._secure
    required = RelayOptions(client_tls=ClientTls.REQUIRE)
    with (
        Relay(address, certificate, required) as relay,
        pytest.raises(pymysql.MySQLError, match="--server-tls prefer"),
    ):
        relay.connect(without_tls, **TLS)
    prefer = RelayOptions(client_tls=ClientTls.REQUIRE, trust=ServerTrust(ServerTls.PREFER), password_key=key)
    with Relay(address, certificate, prefer) as relay, relay.connect(without_tls, **TLS) as one:
        assert one._secure and cipher(one) == ""
    for mode in (ServerTls.REQUIRE, ServerTls.VERIFY_CA, ServerTls.VERIFY_FULL):
        refusal = f"no TLS, which --server-tls {mode}"
        options = RelayOptions(trust=ServerTrust(mode))
        with Relay(address, certificate, options) as relay, pytest.raises(pymysql.MySQLError, match=refusal):
            relay.connect(without_tls)
        with pytest.raises(ServerError, match=refusal):
            probe(ServerAddress(*address), ServerTrust(mode))


# -- chains


@dataclass(frozen=True, slots=True)
class Chains:
    """Servers whose certificate is right, or wrong in one way, and the authority that is right."""

    flavour: str
    stack: contextlib.ExitStack
    authority: Path
    signer: Signer
    made: dict[str, Signer]
    running: dict[str, PrivateServer] = field(default_factory=dict)

    def show(self, name: str) -> PrivateServer:
        """A server with that one, started when first asked for: MySQL does not load a wrong one while it runs."""
        if name not in self.running:
            chain, key = self.made[name].write(self.authority.parent, name.replace(" ", "-"))
            files = [f"--ssl-ca={self.authority}", f"--ssl-cert={chain}", f"--ssl-key={key}"]
            self.running[name] = self.stack.enter_context(PrivateServer.start(self.flavour, options=files))
        return self.running[name]


@pytest.fixture(scope="module")
def chains(server: PrivateServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chains]:
    folder = tmp_path_factory.mktemp("chains")
    root = issue("authority", authority=True)
    here = ("localhost", "127.0.0.1")
    made = {
        "right": issue("right", root, hosts=here),
        "intermediate": issue("below", issue("between", root, authority=True), hosts=here),
        "other name": issue("other name", root, hosts=("db.lab.org",)),
        "expired": issue("expired", root, hosts=here, days=-1),
        "other authority": issue("foreign", issue("other authority", authority=True), hosts=here),
    }
    authority, _ = root.write(folder, "authority")
    with contextlib.ExitStack() as stack:
        yield Chains(server.flavour, stack, authority, root, made)


VERDICTS = [
    ("right", ServerTls.VERIFY_CA, ""),
    ("right", ServerTls.VERIFY_FULL, ""),
    ("intermediate", ServerTls.VERIFY_CA, ""),
    ("intermediate", ServerTls.VERIFY_FULL, ""),
    ("other name", ServerTls.VERIFY_CA, ""),
    ("other name", ServerTls.VERIFY_FULL, "not valid for '127.0.0.1'"),
    ("expired", ServerTls.REQUIRE, ""),
    ("expired", ServerTls.VERIFY_CA, "expired"),
    ("other authority", ServerTls.REQUIRE, ""),
    ("other authority", ServerTls.VERIFY_CA, "unable to get local issuer"),
    ("other authority", ServerTls.VERIFY_FULL, "unable to get local issuer"),
]


@pytest.mark.parametrize(("name", "mode", "refusal"), VERDICTS, ids=lambda value: str(value) or "accepted")
def test_the_servers_certificate(
    chains: Chains, certificate: Certificate, name: str, mode: ServerTls, refusal: str
) -> None:
    server = chains.show(name)
    trust = ServerTrust(mode, chains.authority if mode.verified else None)
    with Relay((server.host, server.port), certificate, RelayOptions(trust=trust)) as relay:
        if not refusal:
            probe(ServerAddress(server.host, server.port), trust)
            with relay.connect(server, **TLS) as one:
                assert cipher(one)
            return
        with pytest.raises(ServerError, match=refusal):
            probe(ServerAddress(server.host, server.port), trust)
        with pytest.raises(pymysql.MySQLError, match=refusal):
            relay.connect(server, **TLS)
        assert relay.sink.events == []


def test_the_systems_authorities_do_not_know_a_private_one(chains: Chains) -> None:
    server = chains.show("right")
    with pytest.raises(ServerError, match="--server-ca"):
        probe(ServerAddress(server.host, server.port), ServerTrust(ServerTls.VERIFY_FULL))


def test_a_socket_is_verified_as_localhost(chains: Chains, certificate: Certificate) -> None:
    server = chains.show("right")
    trust = ServerTrust(ServerTls.VERIFY_FULL, chains.authority)
    options = RelayOptions(trust=trust, server_socket=server.socket)
    probe(ServerAddress(socket=server.socket), trust)
    with Relay(("localhost", 1), certificate, options) as relay, relay.connect(server, **TLS) as one:
        assert cipher(one)


def test_an_account_that_requires_a_certificate_sees_the_proxys(chains: Chains, certificate: Certificate) -> None:
    server = chains.show("right")
    server.execute(
        "DROP USER IF EXISTS shown@127.0.0.1", "CREATE USER shown@127.0.0.1 IDENTIFIED BY 'shown' REQUIRE X509"
    )
    files = issue("a client", chains.signer).write(chains.authority.parent, "client")
    for shown in ((None, None), files):
        options = RelayOptions(trust=ServerTrust(ServerTls.AS_CLIENT, None, *shown))
        with Relay((server.host, server.port), certificate, options) as relay:
            if shown[0]:
                relay.connect(server, user="shown", password="shown", **TLS).close()
                with pytest.raises(pymysql.MySQLError, match="denied"):
                    relay.connect(server, user="shown", password="wrong", **TLS)
            else:
                with pytest.raises(pymysql.MySQLError, match="denied"):
                    relay.connect(server, user="shown", password="shown", **TLS)


def test_files_that_are_no_certificates(tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("nothing")
    wrong = tmp_path / "x.pem"
    for trust in (ServerTrust(ServerTls.VERIFY_CA, wrong), ServerTrust(ServerTls.REQUIRE, None, wrong, wrong)):
        with pytest.raises(InputError, match=r"x\.pem.* cannot be used"):
            asyncio.run(Proxy.start(("127.0.0.1", 0), ("127.0.0.1", 1), ListSink(), RelayOptions(trust=trust)))
        with pytest.raises(InputError, match=r"x\.pem.* cannot be used"):
            probe(ServerAddress("127.0.0.1", 1), trust)


# -- sockets


@pytest.mark.parametrize("client_socket", [False, True], ids=["from-tcp", "from-socket"])
@pytest.mark.parametrize("server_socket", [False, True], ids=["to-tcp", "to-socket"])
@pytest.mark.parametrize("security", [PLAIN, TLS], ids=["plain", "tls"])
def test_sockets_on_both_legs(
    server: PrivateServer,
    certificate: Certificate,
    tmp_path: Path,
    client_socket: bool,
    server_socket: bool,
    security: dict[str, Any],
) -> None:
    path = Path("/tmp") / f"djl-{tmp_path.name[-20:]}.sock"
    options = RelayOptions(
        listen_socket=path if client_socket else None,
        server_socket=server.socket if server_socket else None,
        password_key=password_key(tmp_path),
    )
    server.execute("FLUSH PRIVILEGES")
    address = ("localhost", 1) if server_socket else (server.host, server.port)
    with Relay(address, certificate, options) as relay:
        for _ in range(2):
            with relay.connect(server, **security) as one:
                with one.cursor() as cursor:
                    cursor.execute("SELECT REPEAT('x', 1000000)")
                    assert cursor.fetchone() == ("x" * 1_000_000,)
                # As the client: TLS, or at least as good.
                expected = security is TLS or (client_socket and not server_socket)
                assert bool(cipher(one)) == expected
    assert not path.exists()


def test_a_proxy_before_its_own_socket_is_refused(tmp_path: Path) -> None:
    path = Path("/tmp") / f"djl-{tmp_path.name[-20:]}.sock"
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    options = RelayOptions(listen_socket=path, server_socket=path)
    with pytest.raises(InputError, match="itself"):
        asyncio.run(Proxy.start(("", 0), ("localhost", 1), ListSink(), options))
    path.unlink()


# -- unequal legs, byte by byte


@pytest.mark.parametrize("sliced", ["client", "server"])
@pytest.mark.parametrize(("client", "server_tls"), [(PLAIN, ServerTls.REQUIRE), (TLS, ServerTls.DISABLE)])
def test_translated_logins_one_byte_at_a_time(
    server: PrivateServer,
    certificate: Certificate,
    tmp_path: Path,
    sliced: str,
    client: dict[str, Any],
    server_tls: ServerTls,
) -> None:
    with contextlib.ExitStack() as stack:
        target = (server.host, server.port)
        if sliced == "server":
            target = ("127.0.0.1", stack.enter_context(FaultProxy(target, slice_size=1)).port)
        options = RelayOptions(trust=ServerTrust(server_tls), password_key=password_key(tmp_path))
        relay = stack.enter_context(Relay(target, certificate, options))
        port = relay.address[1]
        if sliced == "client":
            port = stack.enter_context(FaultProxy(relay.address, slice_size=1)).port
        server.execute("FLUSH PRIVILEGES")
        settings: dict[str, Any] = {"user": server.user, "password": server.password, "local_infile": True}
        with pymysql.connect(host="127.0.0.1", port=port, **settings, **client) as one:
            for number in range(2):
                server.execute("FLUSH PRIVILEGES")
                change_user(one, server.user, server.password)
                with one.cursor() as cursor:
                    cursor.execute("SELECT %s, REPEAT('x', 300)", (number,))
                    assert cursor.fetchone() == (number, "x" * 300)
        assert [type(event) for event in relay.sink.events].count(UserChanged) == 2
        assert not any(isinstance(event, Lost) for event in relay.sink.events)


@pytest.mark.parametrize(("client", "server_tls"), [(PLAIN, ServerTls.REQUIRE), (TLS, ServerTls.DISABLE)])
def test_uploads_and_large_statements_pass_between_unequal_legs(
    server: PrivateServer,
    certificate: Certificate,
    tmp_path: Path,
    database: str,
    client: dict[str, Any],
    server_tls: ServerTls,
) -> None:
    """The client's packets are looked at for COM_CHANGE_USER; here each packet of the upload begins like one."""
    (tmp_path / "rows.txt").write_bytes((b"\x11" + b"g" * 1022 + b"\n") * 6000)
    options = RelayOptions(trust=ServerTrust(server_tls), password_key=password_key(tmp_path))
    with contextlib.ExitStack() as stack:
        relay = stack.enter_context(Relay((server.host, server.port), certificate, options))
        limits = {"database": database, "local_infile": True, "max_allowed_packet": 64 << 20}
        one = stack.enter_context(relay.connect(server, **limits, **client))
        cursor = stack.enter_context(one.cursor())
        cursor.execute("CREATE TABLE uploaded (line VARCHAR(2000))")
        cursor.execute(f"LOAD DATA LOCAL INFILE '{tmp_path / 'rows.txt'}' INTO TABLE uploaded")
        cursor.execute("SELECT COUNT(*), MIN(line) = MAX(line), LENGTH(%s) FROM uploaded", ("x" * 0xFFFFFF,))
        assert cursor.fetchone() == (6000, 1, 0xFFFFFF)
        change_user(one, server.user, server.password)
        cursor.execute("SELECT 'in step'")
        assert cursor.fetchone() == ("in step",)
