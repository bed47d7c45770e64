"""One run of `djproxy record`: the journal, the proxy, the worker, and the command that is recorded."""

from __future__ import annotations

import asyncio  # noqa: TID251
import errno
import os
import shutil
import signal
import socket  # noqa: TID251
import subprocess  # noqa: TID251
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop  # noqa: TID251

from graph.children import environment
from graph.database import ServerAddress
from proxy.addresses import format_address, format_server
from proxy.certificates import Certificate, default_certificate
from proxy.errors import HomeError, InputError, ListenError
from proxy.journal import Header, JournalWriter
from proxy.limits import allow_descriptors
from proxy.passwords import PasswordKey, password_key
from proxy.paths import Home, RunningProxy, announce, open_private, running
from proxy.probe import probe, refuse_own
from proxy.relay import Proxy
from proxy.relay_options import NO_OPTIONS, RelayOptions
from proxy.results import NO_WATCH, Watch
from proxy.store import Store
from proxy.workers import Beside, SharedCount, Team, reserve

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
        """The options, with the sockets of the addresses and what is wanted of results."""
        return replace(
            self.options, listen_socket=self.listen.socket, server_socket=self.server.socket, watch=self.watch
        )


def run(home: Home, plan: Plan, say: Callable[[str], None]) -> int:
    """Record until Ctrl-C, SIGTERM, SIGHUP or the end of the command; returns the exit status.

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
        allow_descriptors()
        if plan.options.limits.workers == 1:
            return uvloop.run(_Recording(home, plan, header, certificate, store, say).run())
        plan, held = _held(plan)
        with held:
            team = Team(
                plan.options.limits.workers - 1,
                lambda beside: uvloop.run(
                    serve_beside(home, _numbered(plan, beside), header, certificate, say, beside)
                ),
            )
            return uvloop.run(_Recording(home, plan, header, certificate, store, say, team).run())


def _held(plan: Plan) -> tuple[Plan, socket.socket]:
    """The plan for several processes, and a socket that keeps their address for them."""
    if plan.listen.socket is not None:
        raise InputError("several --workers need an address to listen on, a socket has one listener only")
    try:
        held = reserve(plan.listen.host, plan.listen.port)
    except OSError as error:
        raise _cannot_listen(plan.listen, error) from error
    host, port, *_ = held.getsockname()
    options = replace(plan.options, shared=SharedCount(plan.options.limits.workers))
    return replace(plan, listen=ServerAddress(host, port), options=options), held


def _numbered(plan: Plan, beside: Beside) -> Plan:
    return replace(plan, options=replace(plan.options, process=beside.number))


def _cannot_listen(listen: ServerAddress, error: OSError) -> ListenError:
    why = "it is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return ListenError(
        f"cannot listen on {format_server(listen)}: {why}; choose another address with --listen "
        "(port 0 takes a free one)"
    )


async def listen(home: Home, plan: Plan, certificate: Certificate, journal: JournalWriter) -> Proxy:
    """Start the relay of a recording. Raises ListenError, InputError."""
    address, server = plan.listen, plan.server
    options = replace(plan.relay_options, certificate=certificate)
    if options.legs.may_differ:
        options = replace(options, password_key=own_password_key(home.certificates))
    try:
        return await Proxy.start((address.host, address.port), (server.host, server.port), journal, options)
    except OSError as error:
        raise _cannot_listen(address, error) from error


async def serve_beside(
    home: Home, plan: Plan, header: Header, certificate: Certificate, say: Callable[[str], None], beside: Beside
) -> None:
    """What each further process does: serve until it is told to stop, or the first one is gone."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Ctrl-C and the end of the terminal are for the first process, which tells the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    loop.add_reader(beside.lifeline, stop.set)
    journal = JournalWriter(home.journals, replace(header, created=time.time_ns()), say)
    try:
        proxy = await listen(home, plan, certificate, journal)
    except BaseException:
        journal.close()
        journal.path.unlink(missing_ok=True)
        raise
    worker = _start_worker(home, journal.path)
    beside.ready()
    await stop.wait()
    loop.remove_reader(beside.lifeline)
    await proxy.stop()
    journal.close()
    await _finish(worker)
    beside.over(journal.connections)


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
        team: Team | None = None,
    ) -> None:
        self._home = home
        self._plan = plan
        self._header = header
        self._certificate = certificate
        self._store = store
        self._say = say
        self._team = team
        self._interrupted = False

    async def run(self) -> int:
        """Serve, then put everything away."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, stop.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt, stop)
        journal = JournalWriter(self._home.journals, self._header, self._say)
        try:
            proxy = await listen(self._home, self._plan, self._certificate, journal)
            if self._team is not None:
                self._team.wait_ready()
        except BaseException:
            journal.close()
            journal.path.unlink(missing_ok=True)
            if self._team is not None:
                self._team.ask_to_stop()
                self._team.wait(_WORKER_SECONDS)
            raise
        host, port = proxy.address
        self._watch_team(loop)
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
            logins = journal.connections
            self._stop_team(loop)
            await proxy.stop()
            journal.close()
            note.unlink(missing_ok=True)
            await _finish(worker)
            if self._team is not None:
                logins += await asyncio.to_thread(self._team.wait, plan.options.limits.grace + 2 * _WORKER_SECONDS)
        if plan.command and not logins:
            self._say(_NOT_USED.format(command=plan.command[0], address=_listener(_reachable(host), port)))
        return status

    def _watch_team(self, loop: asyncio.AbstractEventLoop) -> None:
        for answers in self._team.answers if self._team is not None else ():
            loop.add_reader(answers, self._member_ended, loop, answers)

    def _member_ended(self, loop: asyncio.AbstractEventLoop, answers: int) -> None:
        loop.remove_reader(answers)
        self._say("a worker process ended, and its clients' connections with it; the others go on")

    def _stop_team(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._team is not None:
            for answers in self._team.answers:
                loop.remove_reader(answers)
            self._team.ask_to_stop()

    def _interrupt(self, stop: asyncio.Event) -> None:
        """Ctrl-C reaches the command by itself, which may well live on (a prompt does); the second is for us, too."""
        if self._interrupted or not self._plan.command:
            stop.set()
        self._interrupted = True

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
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            env=environment(),
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
