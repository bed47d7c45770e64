"""Private servers for the tests: one per flavour on this machine, for the whole session."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from examples.private_server import PrivateServer, flavours
from proxy.certificates import Certificate, default_certificate

pytest.register_assert_rewrite("tests.wire")

from tests.dumping import clean, pair  # noqa: E402, F401
from tests.harness import Djproxy  # noqa: E402
from tests.wire import Route, add_raw_user, general_log, route  # noqa: E402

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
