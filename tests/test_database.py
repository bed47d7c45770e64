"""The connection: sessions, snapshots, refusals."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator

import pytest

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress, TlsSettings
from graph.errors import GrantError, ServerError, StatementError
from graph.names import TableName
from graph.statement import Session


def address(server: PrivateServer) -> ServerAddress:
    return ServerAddress(server.host, server.port)


@pytest.fixture
def reader(server: PrivateServer) -> Iterator[Database]:
    with Database.connect(address(server), Credentials(server.user, server.password)) as database:
        yield database


@pytest.fixture
def poor(server: PrivateServer, database: str) -> Iterator[Database]:
    """An account that may read table `mine` of the schema alone."""
    user = f"u_{secrets.token_hex(4)}"
    server.execute(
        f"CREATE TABLE {database}.mine (a int, b int)",
        f"CREATE TABLE {database}.yours (a int, b int)",
        f"CREATE TABLE {database}.half (a int, b int)",
        f"CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'",
        f"GRANT SELECT ON {database}.mine TO '{user}'@'%'",
        f"GRANT SELECT (a) ON {database}.half TO '{user}'@'%'",
    )
    with Database.connect(address(server), Credentials(user, "secret")) as connection:
        yield connection
    server.execute(f"DROP USER '{user}'@'%'")


SETTINGS = "SELECT @@sql_mode, @@time_zone, @@character_set_client, @@collation_connection, @`my var`, DATABASE()"


def test_own_settings_are_those_of_mysqldump(server: PrivateServer, reader: Database) -> None:
    ((mode, zone, charset, _, _, schema),) = reader.rows(SETTINGS)
    assert (mode, zone, charset, schema) == ("", "+00:00", "utf8mb4", None)
    assert (reader.flavour, reader.version) == (server.flavour, reader.value("SELECT VERSION()"))


def test_a_recorded_session_holds_for_one_statement(database: str, reader: Database) -> None:
    ((*before, _),) = reader.rows(SETTINGS)
    session = Session(database, "ANSI_QUOTES", "-06:00", "latin1", "latin1_bin", {"my var": "'x''y'"})
    ((mode, zone, charset, collation, variable, schema),) = reader.rows(SETTINGS, session)
    assert "ANSI_QUOTES" in mode
    assert (zone, charset, collation, variable, schema) == ("-06:00", "utf8mb4", "latin1_bin", "x'y", database)
    ((*after, _),) = reader.rows(SETTINGS)
    assert after == before


def test_what_a_session_did_not_set_is_the_servers(server: PrivateServer, reader: Database) -> None:
    ((mode, zone, _, _, _, _),) = reader.rows(SETTINGS, Session())
    assert (mode, zone) == tuple(next(reader.rows("SELECT @@GLOBAL.sql_mode, @@GLOBAL.time_zone")))
    assert mode


def test_settings_come_back_after_a_refusal_and_an_early_end(reader: Database) -> None:
    session = Session(sql_mode="ANSI_QUOTES", time_zone="+02:00")
    with pytest.raises(StatementError, match=r"1054|1146|1046"):
        list(reader.rows("SELECT nothing", session))
    assert reader.value("SELECT @@time_zone") == "+00:00"
    rows = reader.rows("SELECT 1 UNION ALL SELECT 2", session)
    assert next(rows) == ("1",)
    rows.close()  # type: ignore[attr-defined]
    assert reader.value("SELECT @@time_zone") == "+00:00"
    with pytest.raises(StatementError, match="Nowhere"):
        list(reader.rows("SELECT 1", Session(time_zone="Nowhere/Land")))
    assert reader.value("SELECT @@sql_mode") == ""


def test_values_are_the_servers_text(reader: Database) -> None:
    sql = "SELECT 1, 1.50, 1e0, DATE'2024-01-02', 'é', x'00ff', NULL, CAST('[1]' AS CHAR)"
    assert list(reader.rows(sql)) == [("1", "1.50", "1", "2024-01-02", "é", b"\x00\xff", None, "[1]")]
    assert reader.value("SELECT 1 FROM DUAL WHERE FALSE") is None


def test_a_snapshot_stays_and_writes_nothing(server: PrivateServer, database: str, reader: Database) -> None:
    count = f"SELECT COUNT(*) FROM {database}.t"
    server.execute(f"CREATE TABLE {database}.t (a int PRIMARY KEY)", f"INSERT INTO {database}.t VALUES (1)")
    with reader.snapshot():
        server.execute(f"INSERT INTO {database}.t VALUES (2)")
        assert reader.value(count) == "1"
        with reader.snapshot():
            assert reader.value(count) == "1"
        assert reader.value(count) == "1"
        with pytest.raises(StatementError, match="1792"):
            reader.value(f"INSERT INTO {database}.t VALUES (3)")
    assert reader.value(count) == "2"


def test_refusals_name_the_missing_grant(database: str, poor: Database) -> None:
    account = poor.value("SELECT CURRENT_USER()").split("@")[0]
    grant = f"GRANT SELECT ON `{database}`.`yours` TO '{account}'@'%'"
    with pytest.raises(GrantError) as raised:
        list(poor.rows(f"SELECT * FROM `{database}`.`yours`"))
    assert grant in str(raised.value)
    with pytest.raises(GrantError) as raised:
        list(poor.rows("SELECT * FROM yours", Session(database)))
    assert grant in str(raised.value)
    with pytest.raises(GrantError) as raised:
        poor.require_select(TableName(database, "yours"))
    assert grant in str(raised.value)
    with pytest.raises(GrantError, match=rf"GRANT SELECT ON `{database}`.`half`"):
        poor.require_select(TableName(database, "half"))
    with pytest.raises(GrantError, match=r"GRANT SELECT ON `mysql`"):
        list(poor.rows("SELECT 1", Session("mysql")))
    poor.require_select(TableName(database, "mine"))


def test_a_refused_login_names_user_and_server_but_no_password(server: PrivateServer) -> None:
    credentials = Credentials("nobody'", "hunter2")
    assert "hunter2" not in repr(credentials)
    with pytest.raises(ServerError) as raised:
        Database.connect(address(server), credentials)
    assert f"{server.host}:{server.port}" in str(raised.value) and "nobody" in str(raised.value)
    assert "hunter2" not in str(raised.value) and raised.value.__suppress_context__


def test_a_server_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = ServerAddress("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ServerError, match=f"cannot connect to server {nobody} as user 'u'"):
            Database.connect(nobody, Credentials("u"))
    with pytest.raises(ServerError, match=r"no\.such\.host\.invalid:3306"):
        Database.connect(ServerAddress("no.such.host.invalid"), Credentials("u"))


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.database.CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = ServerAddress("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(ServerError, match=f"cannot connect to server {at} as user 'u'"):
            Database.connect(at, Credentials("u"))


def test_a_slow_statement_is_waited_for(server: PrivateServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graph.database.CONNECT_SECONDS", 1)
    with Database.connect(address(server), Credentials(server.user, server.password)) as database:
        assert database.value("SELECT SLEEP(1.5)") == "0"


def test_a_killed_connection_is_a_server_error(server: PrivateServer, reader: Database) -> None:
    server.execute(f"KILL {reader.value('SELECT CONNECTION_ID()')}")
    with pytest.raises(ServerError, match=f"the connection to {server.host}:{server.port} broke"):
        reader.value("SELECT 1")


@pytest.mark.parametrize(
    ("tls", "encrypted"),
    [(TlsSettings(), True), (TlsSettings(required=True), True), (TlsSettings(disabled=True), False)],
)
def test_tls(server: PrivateServer, tls: TlsSettings, encrypted: bool) -> None:
    server.execute(
        "CREATE USER IF NOT EXISTS 'tls_user'@'%' IDENTIFIED BY ''",
    )
    with Database.connect(address(server), Credentials("tls_user", "", tls)) as database:
        ((_, cipher),) = database.rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
    assert bool(cipher) == encrypted


def test_tls_with_an_authority(server: PrivateServer) -> None:
    tls = TlsSettings(authority=server.certificate_authority)
    with Database.connect(address(server), Credentials(server.user, server.password, tls)) as database:
        assert database.value("SELECT 1") == "1"


def test_the_socket(server: PrivateServer) -> None:
    at = ServerAddress(socket=server.socket)
    assert str(at) == str(server.socket)
    user = "local_user"
    server.execute(f"CREATE USER IF NOT EXISTS '{user}'@'localhost' IDENTIFIED BY 'secret'")
    with Database.connect(at, Credentials(user, "secret")) as database:
        assert database.value("SELECT 1") == "1"


def test_integers_come_as_such(server: PrivateServer, database: str, reader: Database) -> None:
    """Of all widths, signed and not, NULLs among them, in more than one packet of the network."""
    digits = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
    server.execute(
        f"CREATE TABLE {database}.t (a bigint unsigned PRIMARY KEY, b tinyint, c smallint NULL, d mediumint unsigned,"
        " e int unsigned NULL, f bigint, y year)",
        f"INSERT INTO {database}.t SELECT n, n % 100 - 50, IF(n % 7, -n, NULL), n * 100, IF(n % 5, 4294967295, NULL),"
        f" -n, 2000 FROM (SELECT x.d + 10 * y.d + 100 * z.d + 1000 * v.d AS n FROM ({digits}) x JOIN ({digits}) y"
        f" JOIN ({digits}) z JOIN ({digits}) v) numbers",
        f"INSERT INTO {database}.t VALUES (18446744073709551615, -128, 32767, 16777215, 0, -9223372036854775808, 1901)",
    )
    sql = f"SELECT a, b, c, d, e, f, y, c IS NULL FROM {database}.t ORDER BY a"
    found = list(reader.rows(sql, integers=True))
    expected = [tuple(None if value is None else int(value) for value in row) for row in reader.rows(sql)]
    assert len(found) == 10_001 and found == expected
    rows = reader.rows(sql, Session(database), integers=True)
    assert next(rows) == expected[0]
    rows.close()  # type: ignore[attr-defined]
    assert reader.value("SELECT 1") == "1"


def test_what_is_no_integer_comes_as_text_does(database: str, reader: Database) -> None:
    assert list(reader.rows("SELECT CAST('7' AS CHAR), 3.0 + 0 > 1", integers=True)) == [(7, 1)]
    with pytest.raises(StatementError, match=r"1146|1051"):
        list(reader.rows(f"SELECT a FROM {database}.nothing", integers=True))


@pytest.mark.parametrize("integers", [False, True])
def test_an_abandoned_answer_is_not_read_to_its_end(server: PrivateServer, database: str, integers: bool) -> None:
    """A hundred million rows would take longer than any test."""
    digits = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
    server.execute(
        f"CREATE TABLE {database}.t (a int PRIMARY KEY)",
        f"INSERT INTO {database}.t SELECT x.d + 10 * y.d FROM ({digits}) x JOIN ({digits}) y",
    )
    many = " JOIN ".join(f"{database}.t t{number}" for number in range(4))
    with Database.connect(address(server), Credentials(server.user, server.password)) as source:
        rows = source.rows(f"SELECT t0.a, t1.a FROM {many}", integers=integers)
        assert len(next(rows)) == 2
        source.abandon()
        rows.close()  # type: ignore[attr-defined]


def test_a_new_connection_has_the_same_settings(reader: Database) -> None:
    before = next(reader.rows(SETTINGS)), reader.value("SELECT CONNECTION_ID()")
    reader.abandon()
    with pytest.raises(ServerError):
        reader.value("SELECT 1")
    reader.reconnect()
    assert next(reader.rows(SETTINGS)) == before[0]
    assert reader.value("SELECT CONNECTION_ID()") != before[1]


@pytest.mark.parametrize(
    ("recorded", "mysql", "mariadb"),
    [
        ("utf8mb4_0900_ai_ci", "utf8mb4_0900_ai_ci", "utf8mb4_uca1400_nopad_ai_ci"),
        ("utf8mb4_0900_bin", "utf8mb4_0900_bin", "utf8mb4_nopad_bin"),
        ("utf8mb4_de_pb_0900_as_cs", "utf8mb4_de_pb_0900_as_cs", "utf8mb4_uca1400_nopad_as_cs"),
        ("utf8mb4_uca1400_as_cs", "utf8mb4_0900_as_cs", "utf8mb4_uca1400_as_cs"),
        ("utf8mb4_nopad_bin", "utf8mb4_0900_bin", "utf8mb4_nopad_bin"),
        ("latin1_swedish_nopad_ci", "latin1_swedish_ci", "latin1_swedish_nopad_ci"),
    ],
)
def test_a_collation_of_another_kind_of_server_becomes_the_nearest(
    server: PrivateServer, reader: Database, recorded: str, mysql: str, mariadb: str
) -> None:
    ((found,),) = reader.rows("SELECT @@collation_connection", Session(collation=recorded))
    assert found == (mysql if server.flavour == "mysql" else mariadb)


def test_a_collation_that_no_server_has_is_refused(reader: Database) -> None:
    with pytest.raises(StatementError, match="klingon"):
        list(reader.rows("SELECT 1", Session(collation="klingon_ai_ci")))
    assert reader.value("SELECT @@collation_connection") != "klingon_ai_ci"
