"""The connection phase byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mysql_mimic.types import Capabilities

from proxy.handshake import StartTls, State
from proxy.login import Greeting
from proxy.login_reader import LONGEST_PACKET
from proxy.protocol import ExtendedCapabilities, PeerProtocolError, Side, packet
from proxy.security import ClientTls, ServerTls
from tests.handshaking import (
    CLIENT_FLAGS,
    DENIED,
    MARIADB,
    MASKED,
    MYSQL,
    NONCE,
    OK,
    greeting,
    head,
    legs_wire,
    response,
    wire,
)


@pytest.mark.parametrize("step", [1, 3, 1 << 30])
def test_a_plain_login(step: int) -> None:
    plain = wire(offer_tls=False)
    plain.feed(Side.SERVER, packet(0, greeting(MYSQL)), step)
    assert plain.client == packet(0, greeting(MYSQL & ~MASKED))
    plain.feed(Side.CLIENT, packet(1, response()), step)
    plain.feed(Side.SERVER, packet(2, b"\x01\x03") + packet(3, OK), step)
    assert plain.server == packet(1, response())
    assert plain.client.endswith(packet(2, b"\x01\x03") + packet(3, OK))
    done = plain.done
    assert done is not None
    assert (done.thread_id, done.user, done.schema, done.collation, done.status) == (77, "ann", "lab", 0x2D, 2)
    assert done.capabilities == CLIENT_FLAGS
    assert done.extended == ExtendedCapabilities(0)
    assert plain.order[-2:] == ["Done CLIENT", "Send CLIENT"]


def test_only_one_bit_of_the_greeting_changes() -> None:
    for offer_tls in (False, True):
        for capabilities in (MYSQL, MARIADB, MYSQL & ~Capabilities.CLIENT_SSL):
            one = wire(offer_tls=offer_tls)
            one.feed(Side.SERVER, packet(0, greeting(capabilities, 0x1D)))
            expected = capabilities & ~MASKED
            if offer_tls:
                expected |= capabilities & Capabilities.CLIENT_SSL
            assert one.client == packet(0, greeting(expected, 0x1D))


def test_a_tls_login_renumbers_nothing_and_repeats_the_clients_request() -> None:
    tls = wire()
    tls.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    flags = CLIENT_FLAGS | Capabilities.CLIENT_SSL
    tls.feed(Side.CLIENT, packet(1, head(flags)) + b"client hello")
    assert tls.tls == [StartTls(Side.CLIENT, b"client hello")]
    assert tls.server == b""
    tls.feed(Side.CLIENT, packet(2, response(flags)))
    assert tls.server == packet(1, head(flags)) + packet(2, response(flags))
    assert tls.order[-3:] == ["Send SERVER", "StartTls SERVER", "Send SERVER"]
    tls.feed(Side.SERVER, packet(3, OK))
    assert tls.client.endswith(packet(3, OK))
    assert tls.done is not None


def test_an_ssl_request_is_known_by_its_flag_not_its_length() -> None:
    tls = wire()
    tls.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    flags = CLIENT_FLAGS | Capabilities.CLIENT_SSL
    tls.feed(Side.CLIENT, packet(1, head(flags) + b"longer than usual"))
    assert [start.side for start in tls.tls] == [Side.CLIENT]


def test_compression_is_between_the_two_ends() -> None:
    plain = wire()
    plain.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    asked = CLIENT_FLAGS | Capabilities.CLIENT_ZSTD_COMPRESSION_ALGORITHM
    plain.feed(Side.CLIENT, packet(1, response(asked)))
    assert plain.server == packet(1, response(asked))
    plain.feed(Side.SERVER, packet(2, OK) + b"compressed")
    assert plain.done is not None and plain.done.capabilities & Capabilities.CLIENT_ZSTD_COMPRESSION_ALGORITHM
    assert plain.handshake.leftover(Side.SERVER) == b"compressed"


def test_auth_packets_pass_with_each_legs_own_numbers() -> None:
    plain = wire()
    plain.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    plain.feed(Side.CLIENT, packet(1, response()))
    for sequence, server, client in (
        (2, b"\xfeparsec\0nonce", b""),
        (4, b"\x01\x04", b"secret\0"),
        (6, b"\x02mfa", b"x"),
    ):
        plain.feed(Side.SERVER, packet(sequence, server))
        assert plain.client.endswith(packet(sequence, server))
        plain.feed(Side.CLIENT, packet(sequence + 1, client))
        assert plain.server.endswith(packet(sequence + 1, client))
    assert plain.handshake.state is State.AUTHENTICATION


def test_what_mariadb_ends_agree_on_counts_only_between_mariadb_ends() -> None:
    flags = CLIENT_FLAGS & ~Capabilities.CLIENT_LONG_PASSWORD
    for server, client, expected in (
        (MARIADB, flags, ExtendedCapabilities.CACHE_METADATA),
        (MARIADB, CLIENT_FLAGS, ExtendedCapabilities(0)),
        (MYSQL, flags, ExtendedCapabilities(0)),
    ):
        one = wire()
        one.feed(Side.SERVER, packet(0, greeting(server, 0x1D)))
        one.feed(Side.CLIENT, packet(1, response(client, 0x12)))
        one.feed(Side.SERVER, packet(2, OK))
        assert one.done is not None and one.done.extended == expected


def test_a_server_that_refuses_before_greeting() -> None:
    full = b"\xff\x10\x04Too many connections"
    one = wire()
    one.feed(Side.SERVER, packet(0, full))
    assert (one.client, one.server) == (packet(0, full), b"")
    assert one.failed


def test_a_refused_login() -> None:
    one = wire()
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    one.feed(Side.CLIENT, packet(1, response()))
    one.feed(Side.SERVER, packet(2, DENIED))
    assert one.client.endswith(packet(2, DENIED))
    assert one.failed and one.done is None


def test_a_server_that_fails_in_tls_is_told_to_the_client() -> None:
    one = wire()
    flags = CLIENT_FLAGS | Capabilities.CLIENT_SSL
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    one.feed(Side.CLIENT, packet(1, head(flags))).feed(Side.CLIENT, packet(2, response(flags)))
    one.act(one.handshake.tls_failed(Side.SERVER, "certificate expired"))
    assert b"#08S01djproxy: TLS to the server failed: certificate expired" in one.client


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        packet(1, b""),
        packet(1, b"\x85\xa6\x03"),
        packet(1, head(CLIENT_FLAGS)),
        packet(1, head(CLIENT_FLAGS) + b"user without an end"),
        packet(1, head(CLIENT_FLAGS) + b"u\0\xfe" + b"\xff" * 8),
        packet(1, head(CLIENT_FLAGS | Capabilities.CLIENT_SSL)),
        (LONGEST_PACKET + 1).to_bytes(3, "little") + b"\1" + bytes(LONGEST_PACKET + 1),
    ],
    ids=["http", "empty", "short", "no user", "no nul", "length lies", "tls not offered", "too long"],
)
def test_garbage_gets_an_error_and_the_server_an_end(garbage: bytes) -> None:
    one = wire(offer_tls=False)
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    before = len(one.client)
    one.feed(Side.CLIENT, garbage)
    assert one.failed
    assert one.client[before + 4 :].startswith(b"\xff\x13\x04#08S01djproxy: ")
    assert b"djproxy-client-left\0" in one.server


@pytest.mark.parametrize("bad", [b"SSH-2.0-OpenSSH_9.2", b"\x0a", b"\x0a8.0\0" + bytes(9), b"\x0a" + b"x" * 40])
def test_a_server_that_is_no_mysql(bad: bytes) -> None:
    one = wire()
    one.feed(Side.SERVER, packet(0, bad))
    assert one.failed
    assert one.client[4:].startswith(b"\xff\x13\x04djproxy: ")


def test_an_old_greeting_without_the_second_half() -> None:
    old = b"\x0a3.23\0" + bytes(4) + NONCE[0] + b"\0" + (0x0A2C).to_bytes(2, "little")
    parsed = Greeting.parse(old)
    assert parsed.high_at is None
    assert parsed.patched(old, Capabilities(0x020C)) == old[:-2] + (0x020C).to_bytes(2, "little")
    with pytest.raises(PeerProtocolError):
        Greeting.parse(old[:-1])


def test_what_came_too_early_is_left_for_the_command_phase() -> None:
    one = wire()
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    one.feed(Side.CLIENT, packet(1, response()) + packet(0, b"\x03SELECT 1") + b"\x09\0")
    assert one.server == packet(1, response())
    one.feed(Side.SERVER, packet(2, OK) + b"\x01\0")
    assert one.handshake.leftover(Side.CLIENT) == packet(0, b"\x03SELECT 1") + b"\x09\0"
    assert one.handshake.leftover(Side.SERVER) == b"\x01\0"


def test_a_client_that_speaks_first_is_heard_after_the_greeting() -> None:
    one = wire()
    one.feed(Side.CLIENT, packet(1, response()))
    assert one.server == b""
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    assert one.server == packet(1, response())


@given(
    st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=60)), max_size=8),
    st.booleans(),
    st.sampled_from(ClientTls),
    st.sampled_from(ServerTls),
    st.booleans(),
)
def test_any_bytes_end_in_actions(
    chunks: list[tuple[Side, bytes]], greeted: bool, client: ClientTls, server: ServerTls, responded: bool
) -> None:
    one = legs_wire(client, server)
    if greeted:
        one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
        if responded:
            one.feed(Side.CLIENT, packet(1, response()))
    for side, data in chunks:
        one.feed(side, data)
    over = one.handshake.state in (State.LEFT, State.LEAVING, State.FAILED)
    assert over == bool(one.failed)


@pytest.mark.parametrize("greeted", [False, True])
def test_a_client_that_floods_before_its_turn_is_refused(greeted: bool) -> None:
    flooded = wire()
    if greeted:
        flooded.feed(Side.SERVER, packet(0, greeting(MYSQL))).feed(Side.CLIENT, packet(1, response()))
    early = packet(0, b"\x0e" * 60_000)
    for _ in range(LONGEST_PACKET // len(early) + 1):
        assert not flooded.failed
        flooded.feed(Side.CLIENT, early)
    assert "before" in flooded.failed
    assert b"djproxy: more than 1048576 bytes before" in flooded.client
    sent = flooded.server
    flooded.feed(Side.CLIENT, early)
    assert flooded.server == sent
    assert not flooded.handshake.leftover(Side.CLIENT)


def test_what_comes_after_the_end_is_not_kept() -> None:
    over = wire()
    over.feed(Side.SERVER, packet(0, DENIED))
    assert over.failed
    for side in Side:
        over.feed(side, bytes(1000))
        assert not over.handshake.leftover(side)


def test_a_server_that_never_refuses_is_not_answered_for_ever() -> None:
    gone = wire()
    gone.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    gone.act(gone.handshake.client_left())
    farewell = len(gone.server)
    gone.feed(Side.SERVER, packet(2, b"\x01") * 10_000)
    assert len(gone.server) - farewell < 1000
    assert gone.handshake.state is State.FAILED
