"""Passwords, and what clients wrote: in no file, no log and no argument list of ours."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from examples.private_server import PrivateServer
from tests import harness
from tests.harness import Account, Djproxy, Recorder

#: Plugins that take a password, and how an account gets one.
PLUGINS = {
    "caching_sha2_password": "IDENTIFIED WITH caching_sha2_password BY '{password}'",
    "sha256_password": "IDENTIFIED WITH sha256_password BY '{password}'",
    "mysql_native_password": "IDENTIFIED VIA mysql_native_password USING PASSWORD('{password}')",
    "ed25519": "IDENTIFIED VIA ed25519 USING PASSWORD('{password}')",
    "parsec": "IDENTIFIED VIA parsec USING PASSWORD('{password}')",
}
SET_PASSWORD = """
import sys, datajoint as dj
connection = dj.Connection(sys.argv[1], sys.argv[2], sys.stdin.readline().strip(), int(sys.argv[3]))
dj.set_password(sys.stdin.readline().strip(), connection=connection, update_config=False)
"""


class Watch:
    """Reads the argument lists of all processes, again and again, until the block ends."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        while not self._stop.wait(0.005):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(path.read_bytes())

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def accounts(server: PrivateServer, database: str) -> Iterator[dict[str, Account]]:
    """An account per authentication plugin of the server that takes passwords."""
    with contextlib.suppress(pymysql.err.Error):  # MariaDB before 11: brought along, installed on demand.
        server.execute("INSTALL SONAME 'auth_ed25519'")
    active = {name for (name,) in server.rows("SELECT plugin_name FROM information_schema.plugins")}
    made = {}
    for plugin in sorted(active & set(PLUGINS)):
        account = Account(f"by_{plugin}"[:32], f"first-{plugin}-PASSword")
        identified = PLUGINS[plugin].format(password=account.password)
        server.execute(
            f"CREATE USER {account.at_localhost} {identified}",
            f"GRANT SELECT, INSERT ON `{database}`.* TO {account.at_localhost}",
        )
        made[plugin] = account
    assert made
    yield made
    server.execute(*(f"DROP USER {account.at_localhost}" for account in made.values()))


def _log_in_by_command_line(
    server: PrivateServer, proxy: Recorder, account: Account, database: str, folder: Path
) -> None:
    """The flavour's own client knows every plugin."""
    options = folder / f"{account.user}.cnf"
    options.write_text(f"[client]\nuser={account.user}\npassword={account.password}\n")
    options.chmod(0o600)
    address = [f"--host={proxy.host}", f"--port={proxy.port}"]
    subprocess.run(
        [server.tools.client, f"--defaults-file={options}", *address, "-e", f"SELECT * FROM {database}.t WHERE n = 1"],
        check=True,
        capture_output=True,
    )


def _changed_by_datajoint(proxy: Recorder, account: Account, password: str) -> subprocess.CompletedProcess[str]:
    """DataJoint 0.14's set_password."""
    return subprocess.run(
        [harness.datajoint_014(), "-c", SET_PASSWORD, proxy.host, account.user, str(proxy.port)],
        input=f"{account.password}\n{password}\n",
        capture_output=True,
        text=True,
        check=False,
    )


def _forms(secret: str) -> dict[str, bytes]:
    """How a secret could be written down."""
    raw = secret.encode()
    once = hashlib.sha1(raw).digest()
    stored = hashlib.sha1(once).hexdigest()
    return {
        "as it is": raw,
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "base64": base64.b64encode(raw).rstrip(b"="),
        "UTF-16": secret.encode("utf-16-le"),
        "native hash": stored.upper().encode(),
    }


def test_no_password_is_written_anywhere(
    server: PrivateServer,
    restored: PrivateServer,
    database: str,
    accounts: dict[str, Account],
    djproxy: Djproxy,
    tmp_path: Path,
) -> None:
    """Logins by every plugin, ALTER USER, SET PASSWORD, DataJoint's set_password, an inserted text; then a search."""
    server.execute(f"CREATE TABLE `{database}`.t (n INT NOT NULL PRIMARY KEY, note TEXT)")
    server.execute(f"INSERT INTO `{database}`.t VALUES (1, 'known')")
    secrets = {account.password for account in accounts.values()}
    options = tmp_path / "options"
    options.mkdir()
    changed = harness.add_account(server, [database])
    with Watch() as watch, djproxy.recording("secrets", server, "--listen", "127.0.0.1:0") as proxy:
        for account in accounts.values():
            _log_in_by_command_line(server, proxy, account, database, options)
        administrator = server.connect(host=proxy.host, port=proxy.port, autocommit=True)
        with contextlib.closing(administrator), administrator.cursor() as cursor:
            cursor.execute(f"ALTER USER {changed.at_localhost} IDENTIFIED BY 'second-PASSword'")
            cursor.execute(f"alter/**/user {changed.at_localhost} identified by 'third-PASSword'")
            cursor.execute("CREATE USER someone@127.0.0.1 IDENTIFIED BY 'fourth-PASSword'")
            cursor.execute("DROP USER someone@127.0.0.1")
            with pytest.raises(pymysql.err.Error):
                cursor.execute("ALTER USER nobody_at_all IDENTIFIED BY 'fifth-PASSword'")
            for new in ("sixth-PASSword", "third-PASSword"):
                value = f"'{new}'" if server.flavour == "mysql" else f"PASSWORD('{new}')"
                cursor.execute(f"SET PASSWORD FOR {changed.at_localhost} = {value}")
            cursor.execute(f"INSERT INTO `{database}`.t VALUES (2, 'inserted-SECRET')")
        third = Account(changed.user, "third-PASSword")
        by_datajoint = _changed_by_datajoint(proxy, third, "seventh-PASSword")
    if server.flavour == "mysql":
        # MariaDB has no ALTER USER user(): refused there, and not to be kept either.
        assert by_datajoint.returncode == 0, by_datajoint.stderr
    secrets |= {f"{word}-PASSword" for word in ("second", "third", "fourth", "fifth", "sixth", "seventh")}
    secrets |= {"inserted-SECRET", changed.password, server.password, restored.password}

    reader = harness.add_account(server, [database])
    secrets.add(reader.password)
    with Watch() as later:
        harness.drop(restored, database)
        bundle = djproxy.round_trip("secrets", server, restored, reader, "--include", "checks")
        report = djproxy.verify("secrets", server, restored, bundle)
        shown = djproxy.run("show", "--paper", "secrets")
    harness.drop(restored, database)

    written = [path for path in tmp_path.rglob("*") if path.is_file() and options not in path.parents]
    assert any(path.name == "slice.sql" for path in written)
    assert any(path.suffix == ".log" for path in written)
    places = {str(path): path.read_bytes() for path in written}
    places["output of show and verify"] = "".join((report.stdout, report.stderr, shown.stdout, shown.stderr)).encode()
    places["argument lists"] = b"\n".join(watch.seen | later.seen)
    assert b"proxy.cli" in places["argument lists"]
    # A row that the paper read is data, whoever inserted it; this one was inserted and never read.
    found = [
        f"{secret} ({form}) in {place}"
        for secret in sorted(secrets)
        for form, wanted in _forms(secret).items()
        for place, text in places.items()
        if wanted in text
    ]
    assert found == []
