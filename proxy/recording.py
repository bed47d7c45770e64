"""One run of `djproxy record`: the journal, the proxy, the worker, and the command that is recorded."""

from __future__ import annotations

import asyncio  # noqa: TID251
import errno
import os
import shutil
import signal
import subprocess  # noqa: TID251
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop  # noqa: TID251

from graph.database import ServerAddress
from proxy.addresses import format_address, format_server
from proxy.certificates import Certificate, default_certificate
from proxy.errors import HomeError, InputError, ListenError
from proxy.journal import Header, JournalWriter
from proxy.passwords import PasswordKey, password_key
from proxy.paths import Home, RunningProxy, announce, open_private, running
from proxy.probe import probe, refuse_own
from proxy.relay import NO_OPTIONS, Proxy, legs_of
from proxy.relay_options import RelayOptions
from proxy.results import NO_WATCH, Watch
from proxy.store import Store

#: How long the end of a recording waits for the worker; what it has not taken waits in the journal.
_WORKER_SECONDS = 5.0
_WORKER_POLL = 0.05


@dataclass(frozen=True, slots=True)
class Plan:
    """What to record: `listen` and `server` are addresses, `command` is empty when the proxy only serves, `watch` says
    what is wanted of results."""

    paper: str
    analysis: str
    server: ServerAddress
    listen: ServerAddress
    certificate: Certificate | None
    command: tuple[str, ...]
    watch: Watch = NO_WATCH
    options: RelayOptions = NO_OPTIONS

    @property
    def relay_options(self) -> RelayOptions:
        """The options, with the sockets of the addresses."""
        return replace(self.options, listen_socket=self.listen.socket, server_socket=self.server.socket)


def run(home: Home, plan: Plan, say: Callable[[str], None]) -> int:
    """Record until Ctrl-C, SIGTERM or the end of the command; returns the exit status.

    Raises InputError, HomeError, StoreError, ListenError, ServerError before anything is served.
    """
    home.create()
    if plan.command and shutil.which(plan.command[0]) is None:
        raise InputError(f"the command {plan.command[0]!r} is not found or cannot be run")
    with Store(home.store) as store:
        refuse_own(plan.server, running(home))
        probe(plan.server, plan.options.trust)
        server = format_server(plan.server)
        header = Header(plan.paper, plan.analysis, server, time.time_ns())
        certificate = plan.certificate or own_certificate(home.certificates)
        return uvloop.run(_Recording(home, plan, header, certificate, store, say).run())


def own_certificate(folder: Path) -> Certificate:
    """The certificate that clients are shown by default. Raises HomeError."""
    try:
        return default_certificate(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def own_password_key(folder: Path) -> PasswordKey:
    """The key that clients without TLS encrypt their passwords for. Raises HomeError."""
    try:
        return password_key(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> HomeError:
    return HomeError(
        f"the certificates in {folder} cannot be written ({error.strerror}); choose another folder with --home"
    )


class _Recording:
    """The running parts of one recording."""

    def __init__(
        self,
        home: Home,
        plan: Plan,
        header: Header,
        certificate: Certificate,
        store: Store,
        say: Callable[[str], None],
    ) -> None:
        self._home = home
        self._plan = plan
        self._header = header
        self._certificate = certificate
        self._store = store
        self._say = say
        self._interrupted = False

    async def run(self) -> int:
        """Serve, then put everything away."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt, stop)
        journal = JournalWriter(self._home.journals, self._header, self._say)
        try:
            proxy = await self._listen(journal)
        except BaseException:
            journal.close()
            journal.path.unlink(missing_ok=True)
            raise
        host, port = proxy.address
        plan = self._plan
        begun_on = self._store.server_of(plan.paper, plan.analysis)
        self._store.add_analysis(plan.paper, plan.analysis, self._header.server, self._header.created)
        note = announce(self._home, RunningProxy(os.getpid(), host, port, plan.paper, plan.analysis))
        worker = _start_worker(self._home, journal.path)
        self._say(
            f"listening on {_listener(host, port)} -> {self._header.server}, "
            f"recording paper {plan.paper}, analysis {plan.analysis}"
        )
        if begun_on not in (None, self._header.server):
            self._say(f"this analysis was begun on {begun_on}; export will ask that server, unless told otherwise")
        try:
            status = await self._command(host, port, stop) if plan.command else await _until(stop)
        finally:
            await proxy.stop()
            journal.close()
            note.unlink(missing_ok=True)
            await _finish(worker)
        if plan.command and not journal.connections:
            self._say(_NOT_USED.format(command=plan.command[0], address=_listener(_reachable(host), port)))
        return status

    def _interrupt(self, stop: asyncio.Event) -> None:
        """Ctrl-C reaches the command by itself, which may well live on (a prompt does); the second is for us, too."""
        if self._interrupted or not self._plan.command:
            stop.set()
        self._interrupted = True

    async def _listen(self, journal: JournalWriter) -> Proxy:
        listen, server, options = self._plan.listen, self._plan.server, self._plan.relay_options
        if legs_of(options, self._certificate).may_differ:
            options = replace(options, password_key=own_password_key(self._home.certificates))
        try:
            return await Proxy.start(
                listen.host,
                listen.port,
                server.host,
                server.port,
                self._certificate,
                journal,
                self._plan.watch,
                options,
            )
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "it is in use" if taken else error.strerror or str(error)
            raise ListenError(
                f"cannot listen on {format_server(listen)}: {why}; "
                "choose another address with --listen (port 0 takes a free one)"
            ) from error

    async def _command(self, host: str, port: int, stop: asyncio.Event) -> int:
        """Run the command, hand signals on to it, and return its status as a shell would."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._plan.command, env=command_environment(os.environ, _reachable(host), port)
            )
        except OSError as error:
            raise InputError(f"the command {self._plan.command[0]!r} cannot be run ({error.strerror})") from error
        ended = asyncio.ensure_future(process.wait())
        interrupted = asyncio.ensure_future(stop.wait())
        await asyncio.wait((ended, interrupted), return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        interrupted.cancel()
        status = await ended
        return 128 - status if status < 0 else status


_NOT_USED = (
    "WARNING: {command} ended and no login came through the proxy: NOTHING WAS RECORDED. It probably "
    "names a host of its own (dj.config['database.host'], an option file, a host argument): "
    "let it use DJ_HOST, or {address}"
)


def command_environment(environment: Mapping[str, str], host: str, port: int) -> dict[str, str]:
    """The environment of the recorded command: DataJoint and MySQL's clients find the proxy in it.

    A socket, whose port is 0, only MySQL's own clients can be told of.
    """
    if not port:
        return {**environment, "MYSQL_HOST": "localhost", "MYSQL_UNIX_PORT": host}
    return {
        **environment,
        "DJ_HOST": format_address(host, port),
        "DJ_PORT": str(port),
        "MYSQL_HOST": host,
        "MYSQL_TCP_PORT": str(port),
    }


def _listener(host: str, port: int) -> str:
    return format_address(host, port) if port else host


def _reachable(host: str) -> str:
    """The address under which this machine reaches a listener."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


async def _until(stop: asyncio.Event) -> int:
    await stop.wait()
    return 0


def _start_worker(home: Home, journal: Path) -> subprocess.Popen[bytes]:
    """The worker, in a session of its own: Ctrl-C is not for it, and no pipe of ours stays open through it."""
    arguments: Sequence[str] = (
        sys.executable,
        "-m",
        "proxy.recorder",
        "--home",
        str(home.folder),
        "--journal",
        str(journal),
    )
    log = open_private(home.worker_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        return subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, start_new_session=True
        )
    finally:
        os.close(log)


async def _finish(worker: subprocess.Popen[bytes]) -> None:
    """Give the worker a moment to take the rest; then it ends, and the rest waits in the journal."""
    deadline = time.monotonic() + _WORKER_SECONDS
    while worker.poll() is None and time.monotonic() < deadline:
        await asyncio.sleep(_WORKER_POLL)
    if worker.poll() is None:
        worker.terminate()
        worker.wait()
