"""Passwords between legs of every security: as directly, and never in the clear where somebody may listen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.private_server import PrivateServer, find_tools, flavours
from tests.password_matrix import LEGS, Cell, Matrix, cells


@pytest.fixture(scope="module")
def matrix(server: PrivateServer) -> Iterator[Matrix]:
    with Matrix(server) as running:
        yield running


@pytest.mark.parametrize("client", LEGS)
@pytest.mark.parametrize("server_leg", LEGS)
@pytest.mark.parametrize("way", ["connect", "change user"])
def test_a_login_is_as_a_direct_one(matrix: Matrix, client: str, server_leg: str, way: str) -> None:
    tried: list[Cell] = []
    for cell in cells(matrix.server.flavour):
        if (cell.client, cell.server, cell.way) != (client, server_leg, way) or cell.plugin not in matrix.plugins:
            continue
        direct, (proxied, carried) = matrix.direct(cell), matrix.proxied(cell)
        expected = "ok" if cell.right else "1045"
        # PyMySQL gives sha256_password's password in the clear over a socket; no server takes it there.
        misled = cell.client == "unix" and cell.plugin == "sha256_password"
        assert direct.said == ("1045" if misled else expected), (cell, direct)
        assert proxied.said == (direct.said if server_leg == "unix" and client == "unix" else expected), (cell, proxied)
        assert proxied.form == direct.form, (cell, proxied, direct)
        assert not (server_leg == "plain" and carried == "clear"), cell
        tried.append(cell)
    assert {cell.right for cell in tried} == {True, False}
    secrets = {matrix.password, "wrong-" + matrix.password[::-1]}
    events = repr(matrix.route(client, server_leg).sink.events)
    assert not any(secret in events or repr(secret)[1:-1] in events for secret in secrets)


@pytest.mark.parametrize("client", LEGS)
@pytest.mark.parametrize("server_leg", LEGS)
@pytest.mark.parametrize("plugin", ["caching_sha2_password", "sha256_password"])
def test_the_command_line_clients_log_in(matrix: Matrix, client: str, server_leg: str, plugin: str) -> None:
    if plugin not in matrix.plugins:
        # MariaDB 10.11 has neither.
        assert matrix.server.flavour == "mariadb"
        return
    for flavour in flavours():
        tools = find_tools(flavour)
        assert tools is not None
        for right in (True, False):
            cell = Cell(client, server_leg, plugin, "cold", right, "connect")
            direct = matrix.by_program(cell, tools.client, directly=True)
            proxied = matrix.by_program(cell, tools.client, directly=False)
            assert (proxied.said == "ok", direct.said == "ok") == (right, right), (tools.client, proxied, direct)


def test_a_key_in_a_file(matrix: Matrix) -> None:
    """The server's fits a leg where the server asks for it; djproxy's fits the others."""
    if matrix.server.flavour == "mariadb":
        assert "caching_sha2_password" not in matrix.plugins
        return
    for server_leg in LEGS:
        cell = Cell("plain", server_leg, "caching_sha2_password", "cold", True, "connect")
        assert matrix.with_key(cell, matrix.servers_key, directly=True).said == "ok"
        servers, own = (matrix.with_key(cell, key, directly=False) for key in (matrix.servers_key, matrix.own_key))
        assert (servers.said, own.said) == (("ok", "1045") if server_leg == "plain" else ("1043", "ok"))
        assert servers.said == "ok" or "--server-public-key-path" in servers.message
