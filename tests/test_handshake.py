"""The connection phase byte by byte."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st
from mysql_mimic.types import Capabilities

from proxy.handshake import Done, Fail, Handshake, Send, StartTls, State
from proxy.login import Greeting, Response
from proxy.login_reader import LONGEST_PACKET
from proxy.passwords import PasswordKey, encrypt
from proxy.protocol import ExtendedCapabilities, PeerProtocolError, Side, packet
from proxy.security import ClientTls, Kind, Legs, ServerTls

MASKED = Capabilities.CLIENT_SSL
MYSQL = Capabilities(0xFFFFFFFF)
MARIADB = Capabilities(0x81FFF7FE | Capabilities.CLIENT_SSL | Capabilities.CLIENT_COMPRESS)
NONCE = b"abcdefgh", b"ijklmnopqrst\0"
KEY = PasswordKey(rsa.generate_private_key(65537, 2048))
OK = b"\0\0\0\x02\0\0\0"
DENIED = b"\xff\x15\x04#28000Access denied"


def greeting(capabilities: int, extended: int = 0) -> bytes:
    """A server's greeting, thread id 77."""
    return (
        b"\x0a9.7.4\0"
        + (77).to_bytes(4, "little")
        + NONCE[0]
        + b"\0"
        + (capabilities & 0xFFFF).to_bytes(2, "little")
        + b"\xff"
        + (2).to_bytes(2, "little")
        + (capabilities >> 16).to_bytes(2, "little")
        + b"\x15"
        + bytes(6)
        + extended.to_bytes(4, "little")
        + NONCE[1]
        + b"caching_sha2_password\0"
    )


CLIENT_FLAGS = (
    Capabilities.CLIENT_PROTOCOL_41
    | Capabilities.CLIENT_SECURE_CONNECTION
    | Capabilities.CLIENT_PLUGIN_AUTH
    | Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA
    | Capabilities.CLIENT_CONNECT_WITH_DB
    | Capabilities.CLIENT_DEPRECATE_EOF
    | Capabilities.CLIENT_LONG_PASSWORD
)


def head(flags: int, extended: int = 0) -> bytes:
    """The first 32 bytes of a response, which are an SSLRequest by themselves."""
    return (
        flags.to_bytes(4, "little")
        + (1 << 24).to_bytes(4, "little")
        + b"\x2d"
        + bytes(19)
        + extended.to_bytes(4, "little")
    )


def response(flags: int = CLIENT_FLAGS, extended: int = 0) -> bytes:
    return head(flags, extended) + b"ann\0" + b"\x04\1\2\3\4" + b"lab\0" + b"caching_sha2_password\0"


@dataclass
class Wire:
    """A handshake with two ends that remember what they were sent, in order."""

    handshake: Handshake
    client: bytes = b""
    server: bytes = b""
    tls: list[StartTls] = field(default_factory=list)
    done: Done | None = None
    failed: str = ""
    order: list[str] = field(default_factory=list)

    def feed(self, side: Side, data: bytes, step: int = 1 << 30) -> Wire:
        for start in range(0, len(data), step):
            self.act(self.handshake.receive(side, data[start : start + step]))
        return self

    def act(self, actions: object) -> None:
        assert isinstance(actions, list)
        for action in actions:
            self.order.append(f"{type(action).__name__} {getattr(action, 'side', Side.CLIENT).name}")
            match action:
                case Send(Side.CLIENT, data):
                    self.client += data
                case Send(Side.SERVER, data):
                    self.server += data
                case StartTls():
                    self.tls.append(action)
                case Done():
                    self.done = action
                case Fail(reason):
                    self.failed = reason


def wire(*, offer_tls: bool = True) -> Wire:
    return Wire(Handshake(Legs(offers=offer_tls)))


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


# -- legs of different kinds


def legs_wire(client: ClientTls = ClientTls.PREFER, server: ServerTls = ServerTls.AS_CLIENT, **sockets: bool) -> Wire:
    return Wire(Handshake(Legs(client, server, **sockets), KEY))


def scrambled(flags: int = CLIENT_FLAGS) -> bytes:
    return head(flags) + b"ann\0" + b"\x20" + b"s" * 32 + b"lab\0" + b"caching_sha2_password\0"


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


# -- silence, and leaving in the middle


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
