"""Clients that leave in the connection phase, or say nothing."""

from __future__ import annotations

import pytest
from mysql_mimic.types import Capabilities

from proxy.handshake import State
from proxy.protocol import Side, packet
from tests.handshaking import CLIENT_FLAGS, DENIED, MYSQL, OK, greeting, head, response, wire


def test_a_client_that_leaves_early_does_not_leave_the_server_waiting() -> None:
    one = wire()
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    one.act(one.handshake.client_left())
    assert one.server[3] == 1
    assert b"djproxy-client-left\0" in one.server
    assert one.failed
    late = wire()
    late.feed(Side.SERVER, packet(0, greeting(MYSQL))).feed(Side.CLIENT, packet(1, response()))
    sent = late.server
    late.act(late.handshake.client_left())
    assert late.server == sent
    assert late.failed


def test_the_login_of_nobody_is_carried_to_its_end() -> None:
    one = wire()
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    one.act(one.handshake.client_left())
    for sequence, asked, answer in (
        (2, b"\xfesha256_password\0nonce", b"\0"),
        (4, b"\xfemysql_native_password\0nonce", b""),
        (6, b"\x01\x04", b"\0"),
    ):
        one.feed(Side.SERVER, packet(sequence, asked))
        assert one.server.endswith(packet(sequence + 1, answer))
    sent = one.server
    one.feed(Side.SERVER, packet(8, DENIED) + b"\x05\0\0\x09extra")
    assert one.handshake.state is State.FAILED
    assert one.server == sent
    assert b"denied" not in one.client


def test_a_client_that_leaves_before_the_greeting() -> None:
    one = wire()
    one.act(one.handshake.client_left())
    assert one.failed and one.server == b""
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    assert b"djproxy-client-left\0" in one.server
    assert one.client == b""


def test_a_client_that_fails_in_tls_has_cost_the_server_nothing() -> None:
    one = wire()
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    one.feed(Side.CLIENT, packet(1, head(CLIENT_FLAGS | Capabilities.CLIENT_SSL)))
    one.act(one.handshake.tls_failed(Side.CLIENT, "no shared cipher"))
    assert b"djproxy-client-left\0" in one.server
    assert "no shared cipher" in one.failed


def test_silence_is_the_clients_only_while_the_server_waits_for_it() -> None:
    one = wire()
    one.act(one.handshake.timed_out(3))
    assert (one.client, one.failed) == (b"", "")
    one.feed(Side.SERVER, packet(0, greeting(MYSQL))).feed(Side.CLIENT, packet(1, response()))
    one.act(one.handshake.timed_out(3))
    assert one.failed == ""
    one.feed(Side.SERVER, packet(2, b"\x01\x03"))
    one.act(one.handshake.timed_out(3))
    assert one.failed == ""
    late = wire()
    late.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    late.act(late.handshake.timed_out(3))
    assert late.client.endswith(b"\xff\x87\x04#08S01djproxy: " + late.failed.encode())
    assert "for 3 seconds" in late.failed and b"djproxy-client-left\0" in late.server


@pytest.mark.parametrize(
    ("asked", "answer"),
    [(b"\xfemysql_native_password\0nonce", b""), (b"\xfesha256_password\0nonce", b"\0"), (b"\x01\x04", b"\0")],
)
def test_a_client_that_leaves_when_it_is_asked_is_answered_for(asked: bytes, answer: bytes) -> None:
    one = wire()
    one.feed(Side.SERVER, packet(0, greeting(MYSQL))).feed(Side.CLIENT, packet(1, response()))
    one.feed(Side.SERVER, packet(2, asked))
    one.act(one.handshake.client_left())
    assert one.server.endswith(packet(3, answer)) and one.handshake.state is State.LEAVING
    one.feed(Side.SERVER, packet(4, DENIED))
    assert one.handshake.state is State.FAILED


def test_a_client_that_leaves_before_its_login_succeeds_is_seen_off() -> None:
    one = wire()
    one.feed(Side.SERVER, packet(0, greeting(MYSQL))).feed(Side.CLIENT, packet(1, response()))
    one.act(one.handshake.client_left())
    sent = one.server
    one.feed(Side.SERVER, packet(2, b"\x01\x03"))
    assert one.server == sent
    one.feed(Side.SERVER, packet(3, OK))
    assert one.server == sent + packet(0, b"\x01") and one.done is None
