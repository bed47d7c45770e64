"""Which leg is offered TLS, uses it, is secure."""

from __future__ import annotations

import pytest

from proxy.security import ClientTls, Legs, ServerTls

VERIFIED = (ServerTls.REQUIRE, ServerTls.VERIFY_CA, ServerTls.VERIFY_FULL)


def test_as_client_makes_the_servers_leg_as_secure_as_the_clients() -> None:
    legs = Legs()
    assert legs.offer(server_offers=True) and not legs.offer(server_offers=False)
    assert legs.use(client_tls=True, server_offers=True)
    assert not legs.use(client_tls=False, server_offers=True)
    assert not legs.may_differ


@pytest.mark.parametrize("client", ClientTls)
@pytest.mark.parametrize("server", [ServerTls.AS_CLIENT, ServerTls.PREFER, ServerTls.DISABLE, *VERIFIED])
def test_clients_are_offered_tls_where_there_is_a_certificate_and_the_mode_allows(
    client: ClientTls, server: ServerTls
) -> None:
    for server_offers in (False, True):
        possible = server is not ServerTls.AS_CLIENT or server_offers
        assert Legs(client, server).offer(server_offers) == (possible and client is not ClientTls.DISABLE)
        assert not Legs(client, server, offers=False).offer(server_offers)


def test_the_servers_leg_by_mode() -> None:
    for client_tls in (False, True):
        for server_offers in (False, True):
            assert not Legs(server=ServerTls.DISABLE).use(client_tls, server_offers)
            assert Legs(server=ServerTls.PREFER).use(client_tls, server_offers) == server_offers
        for mode in VERIFIED:
            assert Legs(server=mode).use(client_tls, server_offers=True)


def test_sockets_are_secure_by_themselves() -> None:
    both = Legs(client_socket=True, server_socket=True)
    assert not both.use(client_tls=False, server_offers=True)
    assert both.use(client_tls=True, server_offers=True)
    # A client of a socket trusts it, so the network behind the proxy is to be trusted as well.
    assert Legs(client_socket=True).use(client_tls=False, server_offers=True)
    # A server without TLS behind a socket is still good enough for clients that insist on it.
    assert Legs(server_socket=True).offer(server_offers=False)
    assert not Legs(server=ServerTls.PREFER, server_socket=True).use(client_tls=True, server_offers=True)
    assert Legs(server=ServerTls.REQUIRE, server_socket=True).use(client_tls=False, server_offers=True)


def test_refusals() -> None:
    for mode in VERIFIED:
        assert f"--server-tls {mode}" in Legs(server=mode).refusal_of_server(server_offers=False)
        assert Legs(server=mode).refusal_of_server(server_offers=True) == ""
    required = Legs(ClientTls.REQUIRE)
    assert "--client-tls require" in required.refusal_of_server(server_offers=False)
    assert required.refusal_of_server(server_offers=True) == ""
    assert Legs(ClientTls.REQUIRE, ServerTls.PREFER).refusal_of_server(server_offers=False) == ""
    assert required.refuses_client(client_tls=False) and not required.refuses_client(client_tls=True)
    assert not Legs(ClientTls.REQUIRE, client_socket=True).refuses_client(client_tls=False)
    assert not Legs().refuses_client(client_tls=False)


@pytest.mark.parametrize(
    ("legs", "differ"),
    [
        (Legs(server=ServerTls.DISABLE), True),
        (Legs(ClientTls.DISABLE, ServerTls.DISABLE), False),
        (Legs(ClientTls.REQUIRE, ServerTls.REQUIRE), False),
        (Legs(ClientTls.PREFER, ServerTls.REQUIRE), True),
        (Legs(ClientTls.DISABLE, ServerTls.VERIFY_FULL), True),
        (Legs(offers=False, server=ServerTls.PREFER), True),
        (Legs(client_socket=True), True),
        (Legs(client_socket=True, server=ServerTls.REQUIRE), True),
        (Legs(server_socket=True), True),
        (Legs(ClientTls.REQUIRE, server_socket=True), True),
        (Legs(ClientTls.DISABLE, client_socket=True, server_socket=True), False),
    ],
)
def test_where_passwords_may_have_to_be_translated(legs: Legs, differ: bool) -> None:
    assert legs.may_differ is differ
