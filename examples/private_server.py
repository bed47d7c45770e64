"""A MySQL or MariaDB server of one's own in a temporary folder, for the demo and the tests.

It listens on 127.0.0.1 at a free port (never 3306) and on a socket in its folder, reads no option file, and
leaves nothing behind: a server that the user runs already is never touched.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

START_SECONDS = 90
MYSQL_PORT = 3306
#: Folders where distributions keep servers, outside the PATH of ordinary users.
SERVER_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/mysql/bin")
SMALL = ("--innodb-buffer-pool-size=64M", "--key-buffer-size=1M", "--innodb-flush-log-at-trx-commit=0")
COMMON = (
    "--bind-address=127.0.0.1",
    "--character-set-server=utf8mb4",
    "--local-infile=1",
    "--max-allowed-packet=64M",
    "--performance-schema=OFF",
    "--skip-log-bin",
    *SMALL,
)
MYSQL_ONLY = ("--mysqlx=OFF", "--innodb-redo-log-capacity=16M")
MARIADB_ONLY = ("--innodb-log-file-size=16M", "--aria-pagecache-buffer-size=8M")
#: Waits until its stdin closes, which also a killed program does, and then cleans up in its place.
WATCHDOG = 'read -r _; kill -9 "$1"; rm -rf "$2"'
#: What mariadb-install-db feeds to `mariadbd --bootstrap`, under its names before and since MariaDB 11.
BOOTSTRAP = ("system_tables", "performance_tables", "system_tables_data", "sys_schema")


class PrivateServerError(RuntimeError):
    """No server program on this machine, or one that does not start; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs of one flavour."""

    server: Path
    client: Path
    dump: Path


@dataclass(frozen=True, slots=True)
class Programs:
    """How the programs of a flavour are called, in the order they are looked for."""

    server: tuple[str, ...]
    client: tuple[str, ...]
    dump: tuple[str, ...]


PROGRAMS = {
    "mysql": Programs(("mysqld",), ("mysql",), ("mysqldump",)),
    "mariadb": Programs(("mariadbd", "mysqld"), ("mariadb", "mysql"), ("mariadb-dump", "mysqldump")),
}


def _version(program: Path) -> str:
    answer = subprocess.run([program, "--no-defaults", "--version"], capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def _find(flavour: str, names: Sequence[str], folders: Sequence[str]) -> Path | None:
    """The first program of that flavour: Debian's MariaDB brings links with MySQL's names."""
    for name in names:
        for folder in folders:
            program = Path(folder or ".", name)
            if program.is_file() and os.access(program, os.X_OK):
                version = _version(program)
                if version and ("mariadb" in version.lower()) == (flavour == "mariadb"):
                    return program
    return None


@cache
def find_tools(flavour: str) -> Tools | None:
    """The server of a flavour and the tools that go with it; None when one of them is not on this machine."""
    programs = PROGRAMS[flavour]
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    server = _find(flavour, programs.server, [*path, *SERVER_FOLDERS])
    if server is None:
        return None
    folders = [str(server.parent), *path]
    client = _find(flavour, programs.client, folders)
    dump = _find(flavour, programs.dump, folders)
    if client is None or dump is None:
        return None
    return Tools(server, client, dump)


def flavours() -> list[str]:
    """The flavours whose server, client and dump program are on this machine.

    Raises PrivateServerError when there is none.
    """
    found = [flavour for flavour in PROGRAMS if find_tools(flavour) is not None]
    if not found:
        raise PrivateServerError(
            "no MySQL or MariaDB server with its client tools on this machine; on Debian and Ubuntu:"
            " apt-get install mariadb-server-core mariadb-client"
        )
    return found


def _free_port() -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port != MYSQL_PORT:
            return port


def _write_private(path: Path, data: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)


def _certificate(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: tuple[x509.Name, ec.EllipticCurvePrivateKey] | None,
) -> x509.Certificate:
    """An authority's certificate, or one for localhost signed by `issuer`."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    issuer_name, issuer_key = issuer or (name, key)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if issuer is not None:
        address = x509.IPAddress(ip_address("127.0.0.1"))
        names = x509.SubjectAlternativeName([x509.DNSName("localhost"), address])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _write_certificates(folder: Path) -> Path:
    """Writes ca.pem, server-cert.pem and server-key.pem; gives the authority's file."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate("private server authority", authority_key, None)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _certificate("private server", key, (authority.subject, authority_key))
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder / "server-cert.pem").write_bytes(certificate.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    _write_private(folder / "server-key.pem", private)
    return folder / "ca.pem"


class PrivateServer:
    """A running server; use `start`, then `stop`, or a `with` block around it."""

    host = "127.0.0.1"
    user = "root"

    def __init__(self, flavour: str, tools: Tools, folder: Path) -> None:
        """Prepares the folder's names; nothing runs yet."""
        self.flavour = flavour
        self.tools = tools
        self.folder = folder
        self.socket = folder / "s.sock"
        self.password = secrets.token_hex(12)
        self.port = 0
        self.version = ""
        self.certificate_authority: Path | None = None
        self._data = folder / "data"
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._option_files = 0

    @classmethod
    def start(cls, flavour: str | None = None, *, options: Sequence[str] = ()) -> Self:
        """Starts a fresh server; `flavour` "mysql" or "mariadb", None for whatever there is.

        `options` are passed to the server after our own, so they win. Raises PrivateServerError.
        """
        wanted = flavour or flavours()[0]
        tools = find_tools(wanted)
        if tools is None:
            raise PrivateServerError(f"no {wanted} server with its client tools on this machine")
        # A socket's path may have 107 bytes, less than a deep TMPDIR takes.
        parent = tempfile.gettempdir()
        folder = Path(tempfile.mkdtemp(prefix="djp-", dir=parent if len(parent) < 60 else "/tmp"))
        server = cls(wanted, tools, folder)
        atexit.register(server.stop)
        try:
            server._initialise()
            server._run(options)
            server._secure()
        except BaseException:
            server.stop()
            raise
        return server

    def stop(self) -> None:
        """Kills the server and removes its folder; a second call does nothing."""
        # The watchdog first: it must not outlive the process whose number it has.
        for process in (self._watchdog, self._process):
            if process is not None:
                process.kill()
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        self._watchdog = self._process = None
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def __enter__(self) -> Self:
        """The server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops the server."""
        self.stop()

    def connect(self, user: str | None = None, password: str | None = None, **kwargs: Any) -> Any:
        """A PyMySQL connection, as the administrator by default; `kwargs` go to pymysql.connect."""
        account = (self.user, self.password) if user is None else (user, password or "")
        settings: dict[str, Any] = {
            "host": self.host,
            "port": self.port,
            "user": account[0],
            "password": account[1],
            "charset": "utf8mb4",
        }
        return pymysql.connect(**(settings | kwargs))

    def defaults_file(self, user: str | None = None, password: str | None = None) -> Path:
        """A new MySQL option file for that account (the administrator's by default), readable by us alone."""
        account = (self.user, self.password) if user is None else (user, password or "")
        self._option_files += 1
        path = self.folder / f"client{self._option_files}.cnf"
        quoted = [value.replace("\\", "\\\\").replace('"', '\\"') for value in account]
        lines = [
            "[client]",
            f"host={self.host}",
            f"port={self.port}",
            f'user="{quoted[0]}"',
            f'password="{quoted[1]}"',
        ]
        _write_private(path, ("\n".join(lines) + "\n").encode())
        return path

    def execute(self, *statements: str) -> None:
        """Runs statements as the administrator, each in a transaction of its own."""
        connection = self.connect(autocommit=True, unix_socket=str(self.socket))
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()

    def rows(self, sql: str, **options: Any) -> list[tuple[Any, ...]]:
        """All rows of a query, as the administrator; options as for `connect`."""
        connection = self.connect(unix_socket=str(self.socket), **options)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def _command(self, *options: str) -> list[str]:
        """The server's command line; --no-defaults has to come first."""
        as_root = ("--user=root",) if os.geteuid() == 0 else ()
        own = MYSQL_ONLY if self.flavour == "mysql" else MARIADB_ONLY
        base = [str(self.tools.server), "--no-defaults", f"--datadir={self._data}", *as_root]
        return [*base, *COMMON, *own, *options]

    def _failure(self, what: str, output: str = "") -> PrivateServerError:
        log = self._log.read_text(errors="replace") if self._log.exists() else ""
        tail = "\n".join((output + log).strip().splitlines()[-12:])
        return PrivateServerError(
            f"{self.tools.server} {what}. If AppArmor or SELinux confines this program to its own folders,"
            f" install the other flavour. Its last lines:\n{tail}"
        )

    def _initialise(self) -> None:
        """Makes the data folder, with an administrator without a password on the socket."""
        if self.flavour == "mysql":
            self._prepare([*self._command("--initialize-insecure"), f"--log-error={self._log}"])
            return
        self._data.mkdir()
        installer = shutil.which("mariadb-install-db")
        if installer is None:
            self._bootstrap()
            return
        as_root = ["--user=root"] if os.geteuid() == 0 else []
        quiet = ["--auth-root-authentication-method=normal", "--skip-test-db", f"--tmpdir={self.folder}"]
        self._prepare([installer, "--no-defaults", f"--datadir={self._data}", *as_root, *quiet])

    def _bootstrap(self) -> None:
        """What mariadb-install-db does, for machines that have the server alone."""
        share = next(
            (
                folder
                for folder in (Path("/usr/share/mariadb"), Path("/usr/share/mysql"))
                if any((folder / f"{prefix}_system_tables.sql").exists() for prefix in ("mariadb", "mysql"))
            ),
            None,
        )
        if share is None:
            raise PrivateServerError("MariaDB's system tables are not on this machine: install mariadb-install-db")
        (self._data / "mysql").mkdir()
        files = [share / f"{prefix}_{name}.sql" for name in BOOTSTRAP for prefix in ("mariadb", "mysql")]
        script = b"CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n"
        script += b"\n".join(file.read_bytes() for file in files if file.exists())
        self._prepare(self._command("--bootstrap"), script)

    def _prepare(self, command: list[str], script: bytes = b"") -> None:
        answer = subprocess.run(command, input=script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if answer.returncode != 0:
            raise self._failure("could not make its data folder", answer.stdout.decode(errors="replace"))

    def _run(self, options: Sequence[str]) -> None:
        """Starts the server; another program may take the port in between, so a few are tried."""
        for _ in range(3):
            self.port = _free_port()
            command = self._command(
                f"--port={self.port}",
                f"--socket={self.socket}",
                f"--pid-file={self.folder / 'pid'}",
                # In a shared one MariaDB would, at its start, delete the temporary tables of servers that run already.
                f"--tmpdir={self.folder}",
                f"--log-error={self._log}",
                f"--general-log-file={self.folder / 'general.log'}",
                *self._tls(),
                *options,
            )
            # A session of its own: Ctrl-C ends the program that uses the server, which then stops it.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            if self._answers():
                self._watch()
                return
        raise self._failure("does not start")

    def _watch(self) -> None:
        """Has the server killed also when this program is."""
        assert self._process is not None
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", WATCHDOG, "private-server-watchdog", str(self._process.pid), self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _tls(self) -> tuple[str, ...]:
        """MySQL makes certificates by itself; MariaDB before 11.4 needs some."""
        if self.flavour == "mysql":
            self.certificate_authority = self._data / "ca.pem"
            return ()
        self.certificate_authority = _write_certificates(self.folder)
        names = {"ca": "ca.pem", "cert": "server-cert.pem", "key": "server-key.pem"}
        return tuple(f"--ssl-{option}={self.folder / file}" for option, file in names.items())

    def _answers(self) -> bool:
        """Waits until the server takes connections; False when it ended instead."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            try:
                pymysql.connect(unix_socket=str(self.socket), user=self.user).close()
                return True
            except pymysql.err.OperationalError:
                time.sleep(0.05)
        self._process.send_signal(signal.SIGKILL)
        raise self._failure(f"gives no answer after {START_SECONDS} seconds")

    def _secure(self) -> None:
        """Gives the administrator a password, for the socket and for 127.0.0.1."""
        with pymysql.connect(unix_socket=str(self.socket), user=self.user, autocommit=True) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT VERSION()")
            self.version = "".join(cursor.fetchone() or ())
            cursor.execute("CREATE USER IF NOT EXISTS root@127.0.0.1")
            cursor.execute("GRANT ALL PRIVILEGES ON *.* TO root@127.0.0.1 WITH GRANT OPTION")
            for host in ("127.0.0.1", "localhost"):
                cursor.execute(f"ALTER USER root@{host} IDENTIFIED BY '{self.password}'")
