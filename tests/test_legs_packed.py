"""Clients that compress, between legs of unequal security: real clients, real servers."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import mysql.connector
import pytest
from mysql_mimic.types import Capabilities

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.events import Event, Executed, Lost, UserChanged
from proxy.passwords import password_key
from proxy.relay_options import RelayOptions
from proxy.security import ServerTls, ServerTrust
from tests.fault import FaultProxy
from tests.test_legs import Relay
from tests.wire import BASE, RAW_USER, RawClient, add_raw_user

UNEQUAL = pytest.mark.parametrize(
    ("plain", "server_tls"), [(True, ServerTls.REQUIRE), (False, ServerTls.DISABLE)], ids=["plain-tls", "tls-plain"]
)
ZLIB, ZSTD = Capabilities.CLIENT_COMPRESS, Capabilities.CLIENT_ZSTD_COMPRESSION_ALGORITHM


def _relay(
    server: PrivateServer, certificate: Certificate, folder: Path, server_tls: ServerTls, port: int = 0
) -> Relay:
    options = RelayOptions(trust=ServerTrust(server_tls), password_key=password_key(folder))
    return Relay((server.host, port or server.port), certificate, options)


def _changes(events: list[Event]) -> int:
    assert not any(isinstance(event, Lost) for event in events)
    return [type(event) for event in events].count(UserChanged)


@pytest.mark.parametrize("sliced", ["", "client", "server"])
@UNEQUAL
def test_a_connector_that_compresses(
    server: PrivateServer, certificate: Certificate, tmp_path: Path, plain: bool, server_tls: ServerTls, sliced: str
) -> None:
    """It compresses whenever it is told to, offered or not; it does not change its user then."""
    with contextlib.ExitStack() as stack:
        slow = stack.enter_context(FaultProxy((server.host, server.port), slice_size=1)).port
        relay = stack.enter_context(
            _relay(server, certificate, tmp_path, server_tls, slow if sliced == "server" else 0)
        )
        port = relay.address[1]
        if sliced == "client":
            port = stack.enter_context(FaultProxy(relay.address, slice_size=1)).port
        login = {"host": "127.0.0.1", "user": server.user, "password": server.password, "use_pure": True}
        # Without TLS it logs in only by what the server remembers.
        stack.enter_context(mysql.connector.connect(port=server.port, **login))
        client = stack.enter_context(mysql.connector.connect(port=port, compress=True, ssl_disabled=plain, **login))
        cursor = client.cursor()
        cursor.execute("SELECT REPEAT('abc', 2000)")
        assert cursor.fetchall() == [("abc" * 2000,)]
        cursor.execute("SHOW STATUS LIKE 'Compression'")
        assert cursor.fetchall() == [("Compression", "ON")]
    assert not any(isinstance(event, Lost) for event in relay.sink.events)
    assert "SELECT REPEAT('abc', 2000)" in relay.sink.statements()


@pytest.mark.parametrize("packing", [ZLIB, ZSTD])
def test_a_change_amid_uploads_and_large_statements(
    server: PrivateServer, certificate: Certificate, tmp_path: Path, database: str, packing: Capabilities
) -> None:
    add_raw_user(server)
    lines = [b"\x11" + b"g" * 1022 + b"\n" for _ in range(600)]
    with (
        _relay(server, certificate, tmp_path, ServerTls.REQUIRE) as relay,
        RawClient(relay.address, BASE | packing) as client,
    ):
        for number in range(2):
            table = f"{database}.uploaded{number}"
            client.query(f"CREATE TABLE {table} (line VARCHAR(2000))")
            assert client.query(f"LOAD DATA LOCAL INFILE 'x' INTO TABLE {table}", *lines)[-1][:1] == b"\0"
            assert (
                client.ask(b"\x11" + RAW_USER.encode() + b"\0\0\0\x2d\0" + b"mysql_native_password\0")[-1][:1] == b"\0"
            )
            long = "x" * 0xFFFFFF
            assert b"\x0816777215" in client.query(f"SELECT LENGTH('{long}') FROM {table} LIMIT 1")[2:][-2]
    assert _changes(relay.sink.events) == 2
    assert sum(isinstance(event, Executed) and event.length > 0xFFFFFF for event in relay.sink.events) == 2


@pytest.mark.parametrize("algorithm", ["zlib", "zstd"])
def test_a_command_line_that_insists_on_compression(
    server: PrivateServer, certificate: Certificate, tmp_path: Path, algorithm: str
) -> None:
    """With a statement that it cuts into several compressed packets."""
    if server.flavour == "mariadb":
        pytest.skip("MariaDB's has no such option")
    long = f"SELECT LENGTH('{'xyz' * 7_000_000}')"
    with _relay(server, certificate, tmp_path, ServerTls.DISABLE) as relay:
        login = [f"--defaults-extra-file={server.defaults_file()}", "--host=127.0.0.1", f"--port={relay.address[1]}"]
        done = subprocess.run(
            [str(server.tools.client), *login, f"--compression-algorithms={algorithm}", "-NB"],
            input=f"SHOW STATUS LIKE 'Compression';\n{long};\nSELECT 'in step';\n",
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout == "Compression\tON\n21000000\nin step\n"
    assert relay.sink.statements()[-2:] == [long, "SELECT 'in step'"]
    assert not any(isinstance(event, Lost) for event in relay.sink.events)
