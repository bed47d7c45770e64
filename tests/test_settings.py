"""Which server and which user: DataJoint's settings, option files, options."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.private_server import find_tools, flavours
from graph.database import ServerAddress, TlsSettings
from proxy.addresses import format_address, parse_address
from proxy.errors import InputError
from proxy.option_file import parse_option_file, read_option_file
from proxy.settings import Surroundings, datajoint_settings, login, server_to_record


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("db.lab.org", "db.lab.org", 3306),
        ("db.lab.org:3307", "db.lab.org", 3307),
        (" 10.0.0.1:1 ", "10.0.0.1", 1),
        ("[::1]:3307", "::1", 3307),
        ("[fe80::1%eth0]", "fe80::1%eth0", 3306),
        ("::1", "::1", 3306),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert (address.host, address.port) == (host, port)
    assert parse_address(format_address(host, port)) == address


@pytest.mark.parametrize(
    "text", ["", ":3306", "db:", "db:x", "db:0", "db:65536", "db:-1", "db:٣", "a b", "[::1", "u@db", "a/b"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_address(text)
    assert caught.value.exit_code == 2


def test_port_0_where_it_may_stand() -> None:
    assert parse_address("127.0.0.1:0", lowest_port=0).port == 0


# -- option files


def test_an_option_file() -> None:
    text = """
# a comment
; another
[mysqld]
port = 1
[client]
host=db.lab.org   # at the end
 port = 3307
user : nothing
loose_user = 'a "user"'
password="x#y\\\\z\\s"
ssl-mode=VERIFY_IDENTITY
ssl_ca=/etc/ca.pem
skip-column-names
[mysql]
host=other
"""
    options = parse_option_file(text, "f")
    assert (options.host, options.port, options.user, options.password) == ("db.lab.org", 3307, 'a "user"', "x#y\\z ")
    assert options.tls == TlsSettings(required=True, authority=Path("/etc/ca.pem"), check_host_name=True)
    assert "x#y" not in repr(options)


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("password=a#b", "a"),
        ("password='a#b'", "a#b"),
        ('password="a\'b"', "a'b"),
        (r"password=a\tb", "a\tb"),
        (r"password=a\qb", r"a\qb"),
        ("password=", ""),
        ("password = a=b ", "a=b"),
        ("password='", "'"),
        ("password=päss", "päss"),
    ],
)
def test_values_of_an_option_file(line: str, password: str) -> None:
    assert parse_option_file(f"[client]\n{line}\n", "f").password == password


@pytest.mark.parametrize("flavour", flavours())
@pytest.mark.parametrize(
    "value",
    ["a#b", r"'a#b\s'", r'"\"x"', "'a''b'", r"a\\b", "'", '"a', r"'it\'s # x'", "a 'b # c' d", "#", "a=b", " x "],
)
def test_values_are_read_as_mysqls_own_tools_do(flavour: str, value: str, tmp_path: Path) -> None:
    path = tmp_path / "my.cnf"
    path.write_text(f"[client]\nuser={value}\nport=1\n")
    tools = find_tools(flavour)
    assert tools is not None
    printed = subprocess.run(
        [tools.client, f"--defaults-file={path}", "--print-defaults"], capture_output=True, text=True, check=True
    )
    user = printed.stdout.partition("--user=")[2].partition(" --port=1")[0]
    assert user == read_option_file(path).user


@pytest.mark.parametrize(
    ("line", "tls"),
    [
        ("", TlsSettings()),
        ("ssl-mode=disabled", TlsSettings(disabled=True)),
        ("ssl-mode=REQUIRED", TlsSettings(required=True)),
        ("skip-ssl", TlsSettings(disabled=True)),
        ("ssl=0", TlsSettings(disabled=True)),
        ("ssl", TlsSettings(required=True)),
        ("ssl-cert=/c\nssl-key=/k", TlsSettings(certificate=Path("/c"), key=Path("/k"))),
        ("ssl-verify-server-cert", TlsSettings(required=True, check_host_name=True)),
    ],
)
def test_tls_of_an_option_file(line: str, tls: TlsSettings) -> None:
    assert parse_option_file(f"[client]\n{line}\n", "f").tls == tls


@pytest.mark.parametrize(
    "text",
    [
        "!include /x",
        "[client]\n!includedir /x",
        "[client]\nport=x",
        "[client]\nssl-mode=maybe",
        "[client]\nssl-crl=/x",
        "[client]\nssl-mode=VERIFY_CA",
    ],
)
def test_an_option_file_that_cannot_be_followed(text: str) -> None:
    with pytest.raises(InputError):
        parse_option_file(text, "f")


def test_an_option_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_option_file(tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"[client]\npassword=\xe9")
    with pytest.raises(InputError, match="UTF-8"):
        read_option_file(tmp_path / "latin")


# -- DataJoint's settings


@pytest.fixture
def around(tmp_path: Path) -> Surroundings:
    for name in ("project/sub", "home", "run"):
        (tmp_path / name).mkdir(parents=True)
    return Surroundings({}, tmp_path / "project" / "sub", tmp_path / "home", tmp_path / "run")


def given(around: Surroundings, **environment: str) -> Surroundings:
    return Surroundings(environment, around.folder, around.user_folder, around.system_secrets)


def test_without_any_settings(around: Surroundings) -> None:
    assert server_to_record(None, around) == ServerAddress("localhost", 3306)


def test_the_order_of_servers(around: Surroundings) -> None:
    (around.user_folder / ".datajoint_config.json").write_text('{"database.host": "global", "database.port": 1}')
    assert str(server_to_record(None, around)) == "global:1"
    (around.folder / "dj_local_conf.json").write_text('{"database.host": "local", "database.port": 2}')
    assert str(server_to_record(None, around)) == "local:2"
    (around.folder.parent / "datajoint.json").write_text('{"database": {"host": "two", "port": 3}}')
    assert str(server_to_record(None, around)) == "two:3"
    assert str(server_to_record(None, given(around, DJ_HOST="env"))) == "env:3"
    assert str(server_to_record(None, given(around, DJ_HOST="env:5", DJ_PORT="6"))) == "env:5"
    assert str(server_to_record(None, given(around, DJ_PORT="6"))) == "two:6"
    assert str(server_to_record(None, given(around, DJ_HOST="env", DJPROXY_SERVER="own:7"))) == "own:7"
    assert str(server_to_record("option:8", given(around, DJPROXY_SERVER="own:7"))) == "option:8"
    assert str(server_to_record(None, given(around, DJ_IGNORE_CONFIG_FILE="true"))) == "localhost:3306"


def test_the_search_for_datajoint_json_ends_at_the_repository(around: Surroundings) -> None:
    (around.folder.parent / "datajoint.json").write_text('{"database.host": "outside"}')
    (around.folder / ".git").mkdir()
    assert str(server_to_record(None, around)) == "localhost:3306"


def test_secrets(around: Surroundings) -> None:
    (around.folder / "datajoint.json").write_text('{"database.host": "h", "database.user": "from file"}')
    (around.folder / ".secrets").mkdir()
    (around.folder / ".secrets" / "database.user").write_text("from secret\n")
    (around.folder / ".secrets" / "database.password").write_text("päss\n")
    found = datajoint_settings(around)
    assert (found.user, found.password) == ("from file", "päss")
    assert "päss" not in repr(found)
    assert datajoint_settings(given(around, DJ_PASS="env")).password == "env"


def test_system_secrets(around: Surroundings) -> None:
    (around.system_secrets / "database.user").write_text("u")
    assert datajoint_settings(around).user == "u"


@pytest.mark.parametrize(
    ("value", "tls"),
    [
        ("null", TlsSettings()),
        ("true", TlsSettings(required=True)),
        ("false", TlsSettings(disabled=True)),
        ('{"ca": "/ca"}', TlsSettings(required=True, authority=Path("/ca"))),
    ],
)
def test_use_tls(around: Surroundings, value: str, tls: TlsSettings) -> None:
    (around.folder / "dj_local_conf.json").write_text(f'{{"database.use_tls": {value}}}')
    assert datajoint_settings(around).tls == tls


@pytest.mark.parametrize("content", ["{", "[]", '{"database.port": "x"}', '{"database.backend": "postgresql"}'])
def test_settings_that_cannot_be_used(around: Surroundings, content: str) -> None:
    (around.folder / "datajoint.json").write_text(content)
    with pytest.raises(InputError):
        server_to_record(None, around)
    assert str(server_to_record("db", around)) == "db:3306"


@pytest.mark.parametrize("environment", [{}, {"DJ_HOST": "env", "DJ_USER": "eu"}, {"DJ_PASS": "ep"}, {"DJ_PORT": "7"}])
def test_datajoint_itself_says_the_same(around: Surroundings, environment: dict[str, str]) -> None:
    content = {"database": {"host": "two", "port": 3, "user": "u"}}
    (around.folder.parent / "datajoint.json").write_text(json.dumps(content))
    (around.folder.parent / ".secrets").mkdir()
    (around.folder.parent / ".secrets" / "database.password").write_text("p")
    code = "import json,datajoint as dj;d=dj.config.database;p=d.password;"
    code += "print(json.dumps([d.host,d.port,d.user,p.get_secret_value() if p else None]))"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=around.folder,
        env={**{key: value for key, value in os.environ.items() if not key.startswith("DJ_")}, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found = datajoint_settings(given(around, **environment))
    assert [found.host, found.port, found.user, found.password] == json.loads(ran.stdout.splitlines()[-1])


# -- logging in


def never(question: str, hidden: bool) -> str | None:
    pytest.fail(f"asked {question}")


def test_login_by_option_file(around: Surroundings, tmp_path: Path) -> None:
    path = tmp_path / "my.cnf"
    path.write_text("[client]\nhost=file\nport=3309\nuser=u\npassword=p\n")
    address, credentials = login(None, None, path, "recorded:3306", given(around, DJ_USER="no"), never)
    assert (str(address), credentials.user, credentials.password) == ("file:3309", "u", "p")
    assert str(login("option", None, path, "recorded:3306", around, never)[0]) == "option:3306"


def test_login_by_socket(around: Surroundings, tmp_path: Path) -> None:
    path = tmp_path / "my.cnf"
    path.write_text("[client]\nsocket=/run/my.sock\nuser=u\npassword=p\n")
    assert login(None, None, path, "recorded:3306", around, never)[0].socket == Path("/run/my.sock")
    assert login("option", None, path, "recorded:3306", around, never)[0].socket is None


def test_login_where_the_bundle_was_made_through_a_socket(around: Surroundings) -> None:
    surroundings = given(around, DJ_USER="u", DJ_PASS="p")
    assert login(None, None, None, "/run/my.sock", surroundings, never)[0].socket == Path("/run/my.sock")


def test_login_by_datajoints_settings(around: Surroundings) -> None:
    surroundings = given(around, DJ_HOST="env", DJ_USER="u", DJ_PASS="p")
    address, credentials = login(None, None, None, "recorded:3307", surroundings, never)
    assert (str(address), credentials.user, credentials.password) == ("recorded:3307", "u", "p")


def test_a_password_goes_with_its_user_only(around: Surroundings) -> None:
    asked: list[tuple[str, bool]] = []

    def ask(question: str, hidden: bool) -> str | None:
        asked.append((question, hidden))
        return "typed"

    surroundings = given(around, DJ_USER="u", DJ_PASS="p")
    assert login(None, "other", None, "db:3306", surroundings, ask)[1].password == "typed"
    assert asked == [("Password of other at db:3306", True)]


def test_a_missing_user_is_asked_for_or_said(around: Surroundings) -> None:
    assert login(None, None, None, "db", around, lambda *_: "typed")[1].user == "typed"
    with pytest.raises(InputError, match="--defaults-file"):
        login(None, None, None, "db", around, lambda *_: None)
