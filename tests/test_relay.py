"""The relay between real clients and real servers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path
from typing import Any

import mysql.connector
import pymysql
import pytest

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.events import Closed, Connected, Executed, Lost, Noted, UserChanged
from tests.fault import FaultProxy
from tests.relaying import LEGS, RunningRelay, cipher, query

# -- the login


@LEGS
def test_the_server_leg_is_as_secure_as_the_clients(server: PrivateServer, relay: RunningRelay, security: Any) -> None:
    with relay.connect(server, **security) as connection:
        assert bool(cipher(connection)) == ("ssl" in security)
        ((thread_id,),) = query(connection, "SELECT CONNECTION_ID()")
        assert connection.server_thread_id == (thread_id,)
        assert server.version in connection.server_version
    relay.wait_for(lambda events: isinstance(events[-1], Closed))
    assert isinstance(relay.sink.events[0], Connected)
    assert relay.sink.events[0].user == server.user
    assert relay.sink.events[0].thread_id == thread_id


def test_without_a_certificate_no_tls_is_offered(server: PrivateServer) -> None:
    with RunningRelay((server.host, server.port), None) as relay:
        with relay.connect(server) as connection:
            assert cipher(connection) == ""
        with pytest.raises(pymysql.OperationalError, match="SSL"):
            relay.connect(server, ssl={"ca": None, "check_hostname": False}, ssl_verify_cert=False)


def test_a_client_may_verify_the_certificate(
    server: PrivateServer, relay: RunningRelay, certificate: Certificate
) -> None:
    with relay.connect(
        server, ssl_ca=str(certificate.authority), ssl_verify_cert=True, ssl_verify_identity=True
    ) as one:
        assert cipher(one)


# How each flavour makes accounts with a password; its other plugins are not in every package of it.
ACCOUNTS = {
    "mysql": ["WITH caching_sha2_password BY %s", "WITH sha256_password BY %s"],
    "mariadb": ["VIA mysql_native_password USING PASSWORD(%s)"],
}


@LEGS
def test_every_plugin_logs_in(server: PrivateServer, relay: RunningRelay, security: Any) -> None:
    """Cold, so that caching_sha2 asks for the whole password (RSA without TLS), and warm."""
    password = "correct 'horse\\"
    for clause in ACCOUNTS[server.flavour]:
        with server.connect() as root:
            query(root, "DROP USER IF EXISTS plugged")
            query(root, f"CREATE USER plugged IDENTIFIED {clause}", (password,))
            query(root, "FLUSH PRIVILEGES")
        for _ in range(2):
            with relay.connect(server, user="plugged", password=password, **security) as connection:
                assert query(connection, "SELECT CURRENT_USER()") == (("plugged@%",),)
        with pytest.raises(pymysql.OperationalError) as refused:
            relay.connect(server, user="plugged", password="wrong", **security)
        assert refused.value.args[0] == 1045
    assert not any("horse" in repr(event) for event in relay.sink.events)


def test_ssl_request_and_client_hello_in_one_segment(server: PrivateServer, relay: RunningRelay) -> None:
    with socket.create_connection(relay.address) as client:
        greeting = client.recv(65536)
        assert greeting[4] == 10
        # PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH
        head = struct.pack("<IIB", 0x00088A00, 1 << 24, 45) + bytes(23)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        tls = context.wrap_bio(incoming, outgoing)
        with pytest.raises(ssl.SSLWantReadError):
            tls.do_handshake()
        client.sendall(b"\x20\0\0\x01" + head + outgoing.read())
        while True:
            incoming.write(client.recv(65536))
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                continue
        response = head + b"nobody\0\0mysql_native_password\0"
        tls.write(len(response).to_bytes(3, "little") + b"\x02" + response)
        client.sendall(outgoing.read())
        answer = b""
        while not answer:
            incoming.write(client.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                answer = tls.read(65536)
        assert answer[3] == 3


@pytest.mark.parametrize("slow_leg", ["client", "server"])
@LEGS
def test_one_byte_at_a_time(server: PrivateServer, certificate: Certificate, slow_leg: str, security: Any) -> None:
    with contextlib.ExitStack() as stack:
        target = (server.host, server.port)
        if slow_leg == "server":
            target = ("127.0.0.1", stack.enter_context(FaultProxy(target, slice_size=1)).port)
        relay = stack.enter_context(RunningRelay(target, certificate))
        port = relay.address[1]
        if slow_leg == "client":
            port = stack.enter_context(FaultProxy(relay.address, slice_size=1)).port
        connection = pymysql.connect(
            host="127.0.0.1", port=port, user=server.user, password=server.password, **security
        )
        with connection:
            assert query(connection, "SELECT 'é', NULL, REPEAT('x', 300)") == (("é", None, "x" * 300),)
            with pytest.raises(pymysql.MySQLError, match="nonsense"):
                query(connection, "SELECT nonsense")
            assert query(connection, "SELECT 2") == ((2,),)
        assert relay.sink.statements()[-2:] == ["SELECT 'é', NULL, REPEAT('x', 300)", "SELECT 2"]
        assert not any(isinstance(event, Lost) for event in relay.sink.events)


# -- statements


@LEGS
def test_large_packets_both_ways(server: PrivateServer, relay: RunningRelay, database: str, security: Any) -> None:
    blob = os.urandom(1 << 20) * 20
    with relay.connect(server, database=database, max_allowed_packet=64 << 20, **security) as connection:
        query(connection, "CREATE TABLE big (id INT PRIMARY KEY, content LONGBLOB)")
        query(connection, "INSERT INTO big VALUES (1, %s)", (blob,))
        ((back,),) = query(connection, "SELECT content FROM big")
        assert hashlib.sha256(back).digest() == hashlib.sha256(blob).digest()
        # Packets of 16 MB less one byte, exactly, and one more: 18 bytes are the command and the rest of its text.
        for length in (0xFFFFFF - 1, 0xFFFFFF, 0xFFFFFF + 1):
            ((measured,),) = query(connection, f"SELECT LENGTH('{'x' * (length - 18)}')")
            assert measured == length - 18
    assert [event.table for event in relay.sink.events if isinstance(event, Noted) and event.verb == "INSERT"] == [
        "big"
    ]
    assert len(relay.sink.statements()[-1]) == 0xFFFFFF


def test_errors_are_the_servers_own(server: PrivateServer, relay: RunningRelay) -> None:
    texts = ["SELECT nonsense", "SELECT * FROM nowhere.at_all", "SELEC", "", "KILL 999999999"]
    found = []
    for connection in (server.connect(), relay.connect(server)):
        with connection:
            for text in texts:
                with pytest.raises(pymysql.MySQLError) as refused:
                    query(connection, text)
                found.append((type(refused.value), refused.value.args))
    assert found[: len(texts)] == found[len(texts) :]
    assert not set(texts) & set(relay.sink.statements())


def test_several_statements_in_one_text(server: PrivateServer, relay: RunningRelay) -> None:
    flag = pymysql.constants.CLIENT.MULTI_STATEMENTS
    with relay.connect(server, client_flag=flag) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1; SET @x = 2; SELECT @x; SELECT nonsense; SELECT 5")
        found = [cursor.fetchall()]
        with pytest.raises(pymysql.MySQLError, match="nonsense"):
            while cursor.nextset():
                found.append(cursor.fetchall())
        assert ((1,),) in found and ((2,),) in found
    assert relay.sink.statements()[-3:] == ["SELECT 1", "SET @x = 2", "SELECT @x"]


@pytest.mark.parametrize("allowed", [True, False])
def test_local_files(server: PrivateServer, relay: RunningRelay, database: str, tmp_path: Path, allowed: bool) -> None:
    (tmp_path / "rows.txt").write_text("".join(f"{number}\n" for number in range(50_000)))
    with relay.connect(server, database=database, local_infile=allowed) as connection:
        query(connection, "CREATE TABLE numbers (n INT)")
        load = f"LOAD DATA LOCAL INFILE '{tmp_path / 'rows.txt'}' INTO TABLE numbers"
        if allowed:
            query(connection, load)
            assert query(connection, "SELECT COUNT(*) FROM numbers") == ((50_000,),)
        else:
            with pytest.raises(pymysql.MySQLError):
                query(connection, load)
    loads = [event for event in relay.sink.events if isinstance(event, Noted) and event.verb == "LOAD"]
    assert [event.table for event in loads] == (["numbers"] if allowed else [])


def test_prepared_statements_and_another_user(server: PrivateServer, relay: RunningRelay, database: str) -> None:
    client = mysql.connector.connect(
        host=relay.address[0], port=relay.address[1], user=server.user, password=server.password, use_pure=True
    )
    cursor = client.cursor(prepared=True)
    for number in (1, 2):
        cursor.execute("SELECT %s, %s, %s", (number, "it's", None))
        assert cursor.fetchall() == [(number, "it's", None)]
    cursor.close()
    client.cmd_change_user(server.user, server.password, database)
    plain = client.cursor()
    plain.execute("SELECT DATABASE()")
    assert plain.fetchall() == [(database,)]
    client.close()
    prepared = [event for event in relay.sink.events if isinstance(event, Executed) and event.parameters is not None]
    assert [(event.sql, event.parameters) for event in prepared] == [
        (b"SELECT ?, ?, ?", ("1", "'it''s'", "NULL")),
        (b"SELECT ?, ?, ?", ("2", "'it''s'", "NULL")),
    ]
    changed = [event for event in relay.sink.events if isinstance(event, UserChanged)]
    assert [(event.user, event.schema) for event in changed] == [(server.user, database)]
    assert not any(server.password in repr(event) for event in relay.sink.events)


def test_the_command_line_client(server: PrivateServer, relay: RunningRelay) -> None:
    host, port = relay.address
    options = server.defaults_file()
    done = subprocess.run(
        [
            server.tools.client,
            f"--defaults-extra-file={options}",
            f"--host={host}",
            f"--port={port}",
            "-NBe",
            "SELECT 6*7",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr
    assert "SELECT 6*7" in relay.sink.statements()


def test_many_connections_at_once(server: PrivateServer, relay: RunningRelay) -> None:
    def work(number: int) -> None:
        with relay.connect(server) as connection:
            for step in range(25):
                assert query(connection, f"SELECT {number}, {step}") == ((number, step),)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {f"SELECT {number}, {step}" for number in range(12) for step in range(25)}
    found = [sql for sql in relay.sink.statements() if sql in expected]
    assert len(found) == len(expected) and set(found) == expected
    assert relay.proxy is not None and relay.proxy.connections_seen == 12
