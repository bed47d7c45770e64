"""For tests of the relay: one that runs in a thread, and a sink that remembers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Self

import pymysql
import pytest
import uvloop

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.events import Event, Executed
from proxy.limits import DEFAULT, Limits
from proxy.relay import Proxy
from proxy.relay_options import RelayOptions
from proxy.results import NO_WATCH, Watch

# What DataJoint 0.14 gives to PyMySQL by default.
DATAJOINT_TLS: dict[str, Any] = {"ssl": {}}
PLAIN: dict[str, Any] = {"ssl_disabled": True}
LEGS = pytest.mark.parametrize("security", [PLAIN, {"ssl": DATAJOINT_TLS}], ids=["plain", "tls"])


class ListSink:
    """Events as they were written; `fail` makes the next writes raise."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fail = False

    def write(self, events: list[Event]) -> None:
        if self.fail:
            raise OSError("No space left on device")
        self.events += events

    def statements(self) -> list[str]:
        return [event.sql.decode() for event in self.events if isinstance(event, Executed)]


class RunningRelay:
    """A proxy on a loop of its own in a thread, for clients that block."""

    def __init__(
        self,
        server: tuple[str, int],
        certificate: Certificate | None,
        watch: Watch = NO_WATCH,
        limits: Limits = DEFAULT,
    ) -> None:
        self.sink = ListSink()
        self.address = ("", 0)
        self.proxy: Proxy | None = None
        self._server = server
        self._options = RelayOptions(certificate=certificate, watch=watch, limits=limits)
        self._loop = uvloop.new_event_loop()
        self._started: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._grace: Future[float] = Future()

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.result(timeout=30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0)

    def stop(self, grace: float) -> None:
        if not self._grace.done():
            self._grace.set_result(grace)
        self._thread.join(timeout=60)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self.proxy = await Proxy.start(("127.0.0.1", 0), self._server, self.sink, self._options)
        self.address = self.proxy.address
        self._started.set_result(None)
        await self.proxy.stop(await asyncio.wrap_future(self._grace))

    def connect(self, server: PrivateServer, **options: Any) -> Any:
        settings: dict[str, Any] = {"user": server.user, "password": server.password, "charset": "utf8mb4"}
        return pymysql.connect(host=self.address[0], port=self.address[1], **(settings | options))

    def wait_for(self, found: Callable[[list[Event]], bool]) -> None:
        """Until the events are such; the relay writes the last ones after the client has gone."""
        deadline = time.monotonic() + 20
        while not found(self.sink.events):
            assert time.monotonic() < deadline, self.sink.events
            time.sleep(0.01)


class Relay(RunningRelay):
    """A relay with options."""

    def __init__(self, server: tuple[str, int], certificate: Certificate | None, options: RelayOptions) -> None:
        super().__init__(server, certificate)
        self._options = replace(options, certificate=certificate)

    def connect(self, server: PrivateServer, **options: Any) -> Any:
        settings: dict[str, Any] = {"user": server.user, "password": server.password}
        where = (
            {"unix_socket": self.address[0]}
            if not self.address[1]
            else {"host": self.address[0], "port": self.address[1]}
        )
        return pymysql.connect(**where, **(settings | options))


def query(connection: pymysql.Connection[Any], sql: str, parameters: Any = None) -> Any:
    """All rows of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def cipher(connection: pymysql.Connection[Any]) -> str:
    return str(query(connection, "SHOW STATUS LIKE 'Ssl_cipher'")[0][1])


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
