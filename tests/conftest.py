"""Private servers for the tests: one per flavour on this machine, for the whole session."""

from __future__ import annotations

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from examples.private_server import PrivateServer, flavours
from graph.database import Credentials, Database, ServerAddress
from proxy.certificates import Certificate, default_certificate

for helper in ("cascading", "conversation", "dumping", "handshaking", "relaying", "watching", "wire"):
    pytest.register_assert_rewrite(f"tests.{helper}")

from tests.dumping import ODD_MODE, PASSWORD, READER, Pair, drop_schemas  # noqa: E402
from tests.harness import Djproxy  # noqa: E402
from tests.relaying import RunningRelay  # noqa: E402
from tests.wire import Route, add_raw_user, general_log, route  # noqa: E402

# A shell that runs the tests in its background leaves Ctrl-C ignored, in all that the tests start as well.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more about the machine than about the code.
settings.register_profile("djproxy", deadline=None)
settings.load_profile("djproxy")


@pytest.fixture(scope="session", params=flavours())
def server(request: pytest.FixtureRequest) -> Iterator[PrivateServer]:
    """A running server of each flavour found on this machine."""
    with PrivateServer.start(request.param) as running:
        yield running


@pytest.fixture(scope="session")
def restored(server: PrivateServer) -> Iterator[PrivateServer]:
    """A second server of the same flavour, for restored copies; a test drops the schemas that it restores there."""
    with PrivateServer.start(server.flavour) as running:
        yield running


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """What the proxy shows to clients by default."""
    return default_certificate(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def relay(server: PrivateServer, certificate: Certificate) -> Iterator[RunningRelay]:
    """A relay before the server that remembers what it tells its sink."""
    with RunningRelay((server.host, server.port), certificate) as running:
        yield running


@pytest.fixture(params=[False, True], ids=["whole", "sliced"])
def lane(request: pytest.FixtureRequest, server: PrivateServer, certificate: Certificate) -> Iterator[Route]:
    """A way through a proxy that records all, whole and with every byte by itself; the server logs statements."""
    add_raw_user(server)
    with general_log(server), route(server, certificate, sliced=request.param) as found:
        yield found


@pytest.fixture
def djproxy(tmp_path: Path) -> Djproxy:
    """The command, with recordings of its own."""
    return Djproxy(tmp_path / "home")


@pytest.fixture
def database(server: PrivateServer) -> Iterator[str]:
    """The name of a fresh schema, dropped afterwards."""
    name = f"t_{secrets.token_hex(4)}"
    server.execute(f"CREATE DATABASE `{name}`")
    yield name
    server.execute(f"DROP DATABASE IF EXISTS `{name}`")


@pytest.fixture
def reader(server: PrivateServer) -> Iterator[Database]:
    """A connection of an account that may SELECT and nothing more."""
    user = f"r_{secrets.token_hex(4)}"
    server.execute(f"CREATE USER '{user}'@'%' IDENTIFIED BY 'secret'", f"GRANT SELECT ON *.* TO '{user}'@'%'")
    with Database.connect(ServerAddress(server.host, server.port), Credentials(user, "secret")) as database:
        yield database
    server.execute(f"DROP USER '{user}'@'%'")


@pytest.fixture(scope="module", params=flavours())
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Both of one flavour, with an account that has SELECT and nothing more."""
    with (
        PrivateServer.start(request.param, options=["--default-time-zone=+05:00"]) as source,
        PrivateServer.start(request.param, options=["--default-time-zone=-03:00", ODD_MODE]) as copy,
    ):
        connection = source.connect()
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE USER {READER}@'%%' IDENTIFIED BY %s", (PASSWORD,))
        connection.close()
        source.execute(f"GRANT SELECT ON *.* TO {READER}@'%'")
        yield Pair(source, copy)


@pytest.fixture
def clean(pair: Pair) -> Iterator[Pair]:
    """The pair without any schema but the server's own, before and after."""
    for server in pair:
        drop_schemas(server)
    yield pair
    for server in pair:
        drop_schemas(server)
