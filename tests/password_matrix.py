"""Every pair of legs, every plugin, cold and warm: logins through the proxy beside direct ones of the same security.

A cell is a client's leg (plain, TLS, unix socket), a server's leg, an account's plugin, the state of caching_sha2's
cache, a right or a wrong password, and a way to log in: when connecting, or by COM_CHANGE_USER. Its outcome is to be
that of the same client (PyMySQL; for ed25519 MariaDB's) directly at the server. A tap before the server looks for the
password in the clear.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pymysql
import uvloop
from pymysql import _auth
from pymysql.constants import COMMAND

from examples.private_server import PrivateServer
from proxy.certificates import default_certificate
from proxy.events import Event
from proxy.passwords import password_key
from proxy.relay import Proxy
from proxy.relay_options import RelayOptions
from proxy.security import ClientTls, ServerTls, ServerTrust

LEGS = ("plain", "TLS", "unix")
CREATE = {
    "caching_sha2_password": "WITH caching_sha2_password BY",
    "sha256_password": "WITH sha256_password BY",
    "mysql_native_password": "VIA mysql_native_password USING PASSWORD({})",
    "ed25519": "VIA ed25519 USING PASSWORD({})",
}
PLUGINS = {"mysql": ("caching_sha2_password", "sha256_password"), "mariadb": ("mysql_native_password", "ed25519")}
CLIENT_PLUGINS = Path("/usr/lib/x86_64-linux-gnu/libmariadb3/plugin")


@dataclass(frozen=True, slots=True)
class Cell:
    """One login."""

    client: str
    server: str
    plugin: str
    cache: str
    right: bool
    way: str

    def __str__(self) -> str:
        return f"{self.client}-{self.server}-{self.plugin}-{self.cache}-{'right' if self.right else 'wrong'}-{self.way}"


def cells(flavour: str) -> Iterator[Cell]:
    """All of a flavour."""
    for plugin in PLUGINS[flavour]:
        caches = ("cold", "warm") if plugin == "caching_sha2_password" else ("none",)
        for client in LEGS:
            for server in LEGS:
                for cache in caches:
                    for right in (True, False):
                        # MariaDB's client, the one that knows ed25519, has no way to change the user.
                        for way in ("connect",) if plugin == "ed25519" else ("connect", "change user"):
                            yield Cell(client, server, plugin, cache, right, way)


class Tap:
    """Forwards to the server, and remembers what it was sent."""

    def __init__(self, target: PrivateServer, unix: bool) -> None:
        self.sent = bytearray()
        self._target = target
        self._unix = unix
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, folder: Path) -> tuple[str, int]:
        if self._unix:
            path = str(folder / f"{secrets.token_hex(4)}.tap")
            self._listener = await asyncio.start_unix_server(self._accept, path)
            return path, 0
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._listener.sockets[0].getsockname()
        return str(host), int(port)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._unix:
            there = await asyncio.open_unix_connection(str(self._target.socket))
        else:
            there = await asyncio.open_connection(self._target.host, self._target.port)
        for pump in (self._pump(reader, there[1], True), self._pump(there[0], writer, False)):
            task = asyncio.ensure_future(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if keep:
                    self.sent += data
                writer.write(data)
                await writer.drain()
        writer.close()


@dataclass
class Silent:
    """A sink that keeps what it is given."""

    events: list[Event] = field(default_factory=list)

    def write(self, events: list[Event]) -> None:
        self.events += events


class Route:
    """A proxy with one kind of listener before one kind of server leg, and a tap between it and the server."""

    def __init__(self, server: PrivateServer, leg: str, listener: str, folder: Path) -> None:
        self.sink = Silent()
        self.tap = Tap(server, leg == "unix")
        self.listener = listener
        self.host, self.port = "", 0
        self._leg = leg
        self._folder = folder
        self._loop = uvloop.new_event_loop()
        self._ready: Future[None] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result(timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=60)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        host, port = await self.tap.start(self._folder)
        unix = self._leg == "unix"
        modes = {"plain": ServerTls.DISABLE, "TLS": ServerTls.REQUIRE, "unix": ServerTls.PREFER}
        options = RelayOptions(
            listen_socket=self._folder / f"{secrets.token_hex(4)}.sock" if self.listener == "unix" else None,
            server_socket=Path(host) if unix else None,
            certificate=default_certificate(self._folder),
            client_tls=ClientTls.PREFER,
            trust=ServerTrust(modes[self._leg]),
            password_key=password_key(self._folder),
        )
        address = ("localhost", 1) if unix else (host, port)
        proxy = await Proxy.start(("127.0.0.1", 0), address, self.sink, options)
        self.host, self.port = proxy.address
        self._ready.set_result(None)
        await self._stop.wait()
        await proxy.stop(0)
        self.tap.stop()
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`ok` or the error's number, how the client gave its password, and the error's text."""

    said: str
    form: str = ""
    message: str = ""


class Matrix:
    """A server, its accounts and the routes to it. Use it as a context manager."""

    def __init__(self, server: PrivateServer) -> None:
        self.server = server
        self.password = f"pw'{secrets.token_hex(8)}\\"
        self._stack = contextlib.ExitStack()
        self._routes: dict[tuple[str, str], Route] = {}
        self._folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="djm-", dir="/tmp")))

    def __enter__(self) -> Self:
        if self.server.flavour == "mariadb":
            # Not in every package of MariaDB; then `plugins` lacks it.
            with contextlib.suppress(pymysql.MySQLError):
                self.server.execute("INSTALL SONAME 'auth_ed25519'")
        with self.server.connect() as root, root.cursor() as cursor:
            for plugin in self.plugins:
                for host in ("127.0.0.1", "localhost"):
                    name = f"{self.user(plugin)}@{host}"
                    cursor.execute(f"DROP USER IF EXISTS {name}")
                    clause = CREATE[plugin].format("%s") if "{}" in CREATE[plugin] else f"{CREATE[plugin]} %s"
                    cursor.execute(f"CREATE USER {name} IDENTIFIED {clause}", (self.password,))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def plugins(self) -> tuple[str, ...]:
        """The plugins that this server has; MariaDB's packages do not all bring ed25519."""
        with self.server.connect() as root, root.cursor() as cursor:
            cursor.execute("SELECT PLUGIN_NAME FROM information_schema.PLUGINS WHERE PLUGIN_STATUS = 'ACTIVE'")
            there = {str(name) for (name,) in cursor.fetchall()}
        return tuple(plugin for plugin in PLUGINS[self.server.flavour] if plugin in there)

    @staticmethod
    def user(plugin: str) -> str:
        """The account of a plugin."""
        return f"m_{plugin}"

    def route(self, client: str, server: str) -> Route:
        """The proxy for these legs, started when first asked for."""
        listener = "unix" if client == "unix" else "tcp"
        if (listener, server) not in self._routes:
            route = Route(self.server, server, listener, self._folder)
            self._routes[listener, server] = self._stack.enter_context(route)
        return self._routes[listener, server]

    def direct(self, cell: Cell) -> Outcome:
        """The same login without a proxy."""
        self._prepare(cell)
        unix = cell.client == "unix"
        address = (str(self.server.socket), 0) if unix else (self.server.host, self.server.port)
        return self._log_in(cell, *address)

    def proxied(self, cell: Cell) -> tuple[Outcome, str]:
        """The login through the proxy, and how the server's leg had the password."""
        route = self.route(cell.client, cell.server)
        self._prepare(cell)
        route.tap.sent.clear()
        outcome = self._log_in(cell, route.host, route.port)
        return outcome, "in TLS" if cell.server == "TLS" else _form(_packets(route.tap.sent), self._tried(cell))

    def by_program(self, cell: Cell, program: Path, *, directly: bool) -> Outcome:
        """The login of a command line client."""
        route = self.route(cell.client, cell.server)
        self._prepare(cell)
        if not directly:
            return self._by_command(cell, program, route.host, route.port)
        unix = cell.client == "unix"
        address = (str(self.server.socket), 0) if unix else (self.server.host, self.server.port)
        return self._by_command(cell, program, *address)

    def with_key(self, cell: Cell, key: bytes, *, directly: bool) -> Outcome:
        """PyMySQL, which has a public key in a file and asks for none."""
        route = self.route(cell.client, cell.server)
        self._prepare(cell)
        address = (self.server.host, self.server.port) if directly else (route.host, route.port)
        connection, sent = _connection(cell, *address, self.user(cell.plugin), self._tried(cell))
        connection.server_public_key = key
        return _outcome(connection, sent, self.user(cell.plugin), self._tried(cell), connection.connect)

    @property
    def own_key(self) -> bytes:
        """The public key of the proxies here."""
        return password_key(self._folder).public_pem

    @property
    def servers_key(self) -> bytes:
        """The server's public key."""
        with self.server.connect() as root, root.cursor() as cursor:
            cursor.execute("SHOW STATUS LIKE 'Caching_sha2_password_rsa_public_key'")
            return str(cursor.fetchone()[1]).encode()

    def _tried(self, cell: Cell) -> str:
        return self.password if cell.right else "wrong-" + self.password[::-1]

    def _prepare(self, cell: Cell) -> None:
        """Cold: FLUSH PRIVILEGES empties the cache. Warm: a login of the right password fills it."""
        if cell.plugin != "caching_sha2_password":
            return
        self.server.execute("FLUSH PRIVILEGES")
        if cell.cache == "warm":
            for address in ({"unix_socket": str(self.server.socket)}, {}):
                self.server.connect(self.user(cell.plugin), self.password, **address).close()

    def _log_in(self, cell: Cell, host: str, port: int) -> Outcome:
        user, password = self.user(cell.plugin), self._tried(cell)
        if cell.plugin == "ed25519":
            return self._by_command(cell, self.server.tools.client, host, port)
        if cell.way == "connect":
            return _by_pymysql(cell, host, port, user, password)
        return self._by_change_user(cell, host, port, user, password)

    def _by_change_user(self, cell: Cell, host: str, port: int, user: str, password: str) -> Outcome:
        connection, sent = _connection(cell, host, port, self.server.user, self.server.password)
        connection.connect()
        # Only what follows counts, on both legs.
        sent.clear()
        for route in self._routes.values():
            route.tap.sent.clear()
        if cell.cache == "cold":
            # That login may have been of the kind that fills the cache.
            self.server.execute("FLUSH PRIVILEGES")
        return _outcome(connection, sent, user, password, lambda: change_user(connection, user, password))

    def _by_command(self, cell: Cell, program: Path, host: str, port: int) -> Outcome:
        where = [f"--host={host}", f"--port={port}", "--protocol=tcp"] if port else [f"--socket={host}"]
        if program.name == "mysql":
            mode = {"plain": "DISABLED", "TLS": "REQUIRED", "unix": "PREFERRED"}[cell.client]
            own = [f"--ssl-mode={mode}", "--get-server-public-key"]
        else:
            own = ["--ssl" if cell.client == "TLS" else "--skip-ssl", f"--plugin-dir={CLIENT_PLUGINS}"]
        account = [f"--user={self.user(cell.plugin)}", "--batch", "--skip-column-names"]
        done = subprocess.run(
            [program, "--no-defaults", *own, *where, *account, "-e", "SELECT CURRENT_USER()"],
            env={**os.environ, "MYSQL_PWD": self._tried(cell)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            assert done.stdout.startswith(self.user(cell.plugin) + "@")
            return Outcome("ok")
        return Outcome(done.stderr.partition("ERROR ")[2].partition(" ")[0] or done.stderr, message=done.stderr)


def _by_pymysql(cell: Cell, host: str, port: int, user: str, password: str) -> Outcome:
    connection, sent = _connection(cell, host, port, user, password)
    return _outcome(connection, sent, user, password, connection.connect)


def _connection(cell: Cell, host: str, port: int, user: str, password: str) -> tuple[Any, list[bytes]]:
    """A connection that is not made yet, and what it sends."""
    sent: list[bytes] = []
    where: dict[str, Any] = {"host": host, "port": port} if port else {"unix_socket": host}
    tls: dict[str, Any] = {"ssl": {"ssl": {}}} if cell.client == "TLS" else {"ssl_disabled": True}
    connection: Any = pymysql.Connection(**where, **tls, user=user, password=password, defer_connect=True)
    write = connection._write_bytes

    def note(data: bytes) -> None:
        sent.append(bytes(data))
        write(data)

    connection._write_bytes = note
    return connection, sent


def _outcome(connection: Any, sent: list[bytes], user: str, password: str, log_in: Callable[[], None]) -> Outcome:
    try:
        log_in()
    except pymysql.MySQLError as error:
        connection._force_close()
        return Outcome(str(error.args[0]), _form(sent, password), str(error))
    form = _form(sent, password)
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER(), 'still in step'")
        ((current, step),) = cursor.fetchall()
        assert current.startswith(user + "@") and step == "still in step"
    return Outcome("ok", form)


def change_user(connection: Any, user: str, password: str) -> None:
    """COM_CHANGE_USER, which PyMySQL has no method for, with PyMySQL's own authentication."""
    scramble = _auth.scramble_caching_sha2(password.encode(), connection.salt)
    connection.user, connection.password = user.encode(), password.encode()
    payload = user.encode() + b"\0" + bytes((len(scramble),)) + scramble + b"\0\x2d\0caching_sha2_password\0\0"
    connection._execute_command(COMMAND.COM_CHANGE_USER, payload)
    answer = connection._read_packet()
    if answer.is_auth_switch_request():
        answer.read_uint8()
        answer = connection._process_auth(answer.read_string(), answer)
    elif answer.is_extra_auth_data():
        answer = _auth.caching_sha2_password_auth(connection, answer)
    assert answer.is_ok_packet()


def _packets(stream: bytearray) -> list[bytes]:
    """The packets of a login in a stream without TLS."""
    found, data = [], bytes(stream)
    while data:
        end = 4 + int.from_bytes(data[:3], "little")
        found.append(data[:end])
        data = data[end:]
    return found


def _form(sent: list[bytes], password: str) -> str:
    """How a password was given: in the clear, encrypted, or by a scramble alone."""
    if any(password.encode() in data for data in sent):
        return "clear"
    return "RSA" if any(data[:3] == b"\0\1\0" and len(data) == 260 for data in sent) else "scramble"
