"""The connection phase between legs of different kinds."""

from __future__ import annotations

import pytest
from mysql_mimic.types import Capabilities

from proxy.handshake import Greeting, Handshake, State
from proxy.login import Response
from proxy.passwords import encrypt
from proxy.protocol import PeerProtocolError, Side, packet
from proxy.security import ClientTls, Kind, Legs, ServerTls
from tests.handshaking import (
    CLIENT_FLAGS,
    DENIED,
    KEY,
    MYSQL,
    NONCE,
    OK,
    Wire,
    greeting,
    head,
    legs_wire,
    response,
    scrambled,
)


def test_a_plain_client_before_a_server_with_tls() -> None:
    one = legs_wire(server=ServerTls.REQUIRE)
    one.feed(Side.SERVER, packet(0, greeting(MYSQL))).feed(Side.CLIENT, packet(1, response()))
    with_ssl = CLIENT_FLAGS | Capabilities.CLIENT_SSL
    assert one.server == packet(1, head(with_ssl)) + packet(2, response(with_ssl))
    assert one.order[-3:] == ["Send SERVER", "StartTls SERVER", "Send SERVER"]
    one.feed(Side.SERVER, packet(3, b"\x01\x04"))
    assert one.client.endswith(packet(2, b"\x01\x04"))
    one.feed(Side.CLIENT, packet(3, b"\x02"))
    assert one.client.endswith(packet(4, b"\x01" + KEY.public_pem))
    nonce = b"".join(NONCE)[:20]
    one.feed(Side.CLIENT, packet(5, encrypt(bytearray(b"secret\0"), nonce, KEY.public_pem)))
    assert one.server.endswith(packet(4, b"secret\0"))
    one.feed(Side.SERVER, packet(5, OK))
    assert one.client.endswith(packet(6, OK))
    assert one.done is not None and (one.done.kinds, one.done.nonce) == ((Kind.PLAIN, Kind.TLS), nonce)


def test_compression_is_offered_between_unequal_legs_too() -> None:
    one = legs_wire(server=ServerTls.REQUIRE)
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    packing = Capabilities.CLIENT_COMPRESS | Capabilities.CLIENT_ZSTD_COMPRESSION_ALGORITHM
    assert Greeting.parse(one.client[4:]).capabilities & packing == packing
    flags = CLIENT_FLAGS | Capabilities.CLIENT_COMPRESS
    one.feed(Side.CLIENT, packet(1, response(flags))).feed(Side.SERVER, packet(3, OK))
    assert one.server.startswith(packet(1, head(flags | Capabilities.CLIENT_SSL)))
    assert one.done is not None and one.done.capabilities & packing == Capabilities.CLIENT_COMPRESS


def test_a_client_with_tls_before_a_plain_server() -> None:
    """The server gets the head that the client's own server would have heeded, without the wish for TLS."""
    one = legs_wire(server=ServerTls.DISABLE)
    flags = CLIENT_FLAGS | Capabilities.CLIENT_SSL
    one.feed(Side.SERVER, packet(0, greeting(MYSQL & ~Capabilities.CLIENT_SSL)))
    offered = one.client[4 + len(b"\x0a9.7.4\0") + 13 :]
    assert int.from_bytes(offered[:2], "little") & Capabilities.CLIENT_SSL
    one.feed(Side.CLIENT, packet(1, head(flags))).feed(Side.CLIENT, packet(2, scrambled(flags)))
    assert one.server == packet(1, scrambled())
    assert [start.side for start in one.tls] == [Side.CLIENT]
    one.feed(Side.SERVER, packet(2, b"\x01\x04")).feed(Side.CLIENT, packet(4, b"secret\0"))
    assert one.server.endswith(packet(3, b"\x02")) and b"secret" not in one.server
    one.feed(Side.SERVER, packet(4, b"\x01" + KEY.public_pem))
    assert one.server[-260:-256] == b"\0\1\0\5" and b"secret" not in one.server
    one.feed(Side.SERVER, packet(6, DENIED))
    assert one.client.endswith(packet(5, DENIED)) and one.failed


@pytest.mark.parametrize("form", ["length-encoded", "counted", "until NUL"])
def test_every_form_of_a_response_takes_another_answer(form: str) -> None:
    flags = CLIENT_FLAGS & ~Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    if form == "length-encoded":
        flags = CLIENT_FLAGS
    elif form == "until NUL":
        flags &= ~Capabilities.CLIENT_SECURE_CONNECTION
    answer = b"\x01\x01" if form != "until NUL" else b"\x01\0"
    sent = head(flags) + b"ann\0" + answer + b"lab\0" + b"sha256_password\0" + b"attributes"
    one = legs_wire(server=ServerTls.REQUIRE)
    one.feed(Side.SERVER, packet(0, greeting(MYSQL))).feed(Side.CLIENT, packet(1, sent))
    assert one.client.endswith(packet(2, b"\x01" + KEY.public_pem)) and one.server == b""
    one.feed(Side.CLIENT, packet(3, encrypt(bytearray(b"secret\0"), b"".join(NONCE)[:20], KEY.public_pem)))
    expected = {"length-encoded": b"\x07secret\0", "counted": b"\x07secret\0", "until NUL": b"secret\0"}[form]
    assert one.server.endswith(b"ann\0" + expected + b"lab\0" + b"sha256_password\0" + b"attributes")


def test_a_password_that_the_form_of_login_has_no_room_for() -> None:
    flags = CLIENT_FLAGS & ~Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    sent = head(flags) + b"ann\0" + b"\x01\x01" + b"lab\0" + b"sha256_password\0"
    with pytest.raises(PeerProtocolError, match="too long"):
        Response.parse(sent).with_answer(sent, b"x" * 256)


def test_what_a_server_without_tls_cannot_give() -> None:
    for legs in (Legs(server=ServerTls.VERIFY_FULL), Legs(ClientTls.REQUIRE)):
        one = Wire(Handshake(legs))
        one.feed(Side.SERVER, packet(0, greeting(MYSQL & ~Capabilities.CLIENT_SSL)))
        assert one.client[4:].startswith(b"\xff\x13\x04djproxy: ") and one.client[3] == 0
        assert b"djproxy-client-left\0" in one.server and one.failed


def test_a_client_without_tls_where_it_must_have_it() -> None:
    one = legs_wire(ClientTls.REQUIRE)
    one.feed(Side.SERVER, packet(0, greeting(MYSQL))).feed(Side.CLIENT, packet(1, response()))
    assert b"\xff\x57\x0c#08S01djproxy: connections without TLS are refused" in one.client
    assert b"djproxy-client-left\0" in one.server and b"ann" not in one.server


def test_a_plugin_that_would_show_the_password_ends_both_sides() -> None:
    one = legs_wire(server=ServerTls.DISABLE)
    flags = CLIENT_FLAGS | Capabilities.CLIENT_SSL
    one.feed(Side.SERVER, packet(0, greeting(MYSQL)))
    one.feed(Side.CLIENT, packet(1, head(flags))).feed(Side.CLIENT, packet(2, scrambled(flags)))
    one.feed(Side.SERVER, packet(2, b"\xfemysql_clear_password\0"))
    assert b"\xff\x13\x04#08S01djproxy: the authentication plugin mysql_clear_password" in one.client
    # The server waits for an answer, and has it.
    assert one.server.endswith(packet(3, b"\0"))
    one.feed(Side.SERVER, packet(4, DENIED))
    assert one.handshake.state is State.FAILED
