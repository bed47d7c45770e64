"""Passwords between legs of every security: as directly, and never in the clear where somebody may listen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from examples.private_server import PrivateServer
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
    assert tried
    secrets = {matrix.password, "wrong-" + matrix.password[::-1]}
    events = repr(matrix.route(client, server_leg).sink.events)
    assert not any(secret in events or repr(secret)[1:-1] in events for secret in secrets)
