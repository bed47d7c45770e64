"""The password step between legs of unequal security, packet by packet."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialogue import CACHING_SHA2, SHA256, Dialogue, DialogueError, Say
from proxy.passwords import PasswordError, PasswordKey, encrypt, password_key
from proxy.protocol import PeerProtocolError, Side
from proxy.security import Kind

OLD_NONCE, NONCE = b"n" * 20, bytes(range(60, 80))
PASSWORD = b"correct 'horse\\\0"
SCRAMBLE = b"s" * 32
DIFFERENT = [kinds for kinds in itertools.product(Kind, Kind) if kinds[0] is not kinds[1]]
OWN, SERVERS = (PasswordKey(rsa.generate_private_key(65537, 2048)) for _ in range(2))
OK, DENIED = b"\0\0\0\2\0\0\0", b"\xff\x15\x04#28000no"
ASK_2, ASK_1, CACHED, WANTED = b"\x02", b"\x01", b"\x01\x03", b"\x01\x04"


CLEAR_TO_OPEN, OPEN_TO_CLEAR = (Kind.TLS, Kind.PLAIN), (Kind.PLAIN, Kind.TLS)


def begun(kinds: tuple[Kind, Kind], plugin: bytes, answer: bytes, **options: bool) -> tuple[Dialogue, list[Say]]:
    """A dialogue after the client's response, whose envelope is square brackets."""
    dialogue = Dialogue(*kinds, OWN, **options)
    return dialogue, dialogue.begin(plugin, OLD_NONCE, answer, lambda changed: b"[" + changed + b"]")


def to_server(payload: bytes) -> list[Say]:
    return [Say(Side.SERVER, payload)]


def to_client(payload: bytes) -> list[Say]:
    return [Say(Side.CLIENT, payload)]


def switch(plugin: bytes) -> bytes:
    return b"\xfe" + plugin + b"\0" + NONCE + b"\0"


def payload_of(said: list[Say], side: Side) -> bytes:
    """The one packet, which goes to that side."""
    assert [each.side for each in said] == [side]
    return said[0].payload


@pytest.mark.parametrize("kinds", DIFFERENT)
def test_a_warm_cache_needs_no_translation(kinds: tuple[Kind, Kind]) -> None:
    dialogue, said = begun(kinds, CACHING_SHA2, SCRAMBLE)
    assert said == to_server(b"[" + SCRAMBLE + b"]")
    assert dialogue.server(CACHED) == to_client(CACHED) and not dialogue.clients_turn
    assert dialogue.server(OK) == to_client(OK) and dialogue.over


@pytest.mark.parametrize("switched", [False, True])
def test_a_clear_password_is_encrypted_for_an_insecure_server(switched: bool) -> None:
    dialogue, _ = begun(CLEAR_TO_OPEN, b"mysql_native_password" if switched else CACHING_SHA2, SCRAMBLE)
    if switched:
        assert dialogue.server(switch(CACHING_SHA2)) == to_client(switch(CACHING_SHA2))
        assert dialogue.client(SCRAMBLE) == to_server(SCRAMBLE)
    assert dialogue.server(WANTED) == to_client(WANTED) and dialogue.clients_turn
    assert "horse" not in repr(to_server(PASSWORD)) + repr(dialogue)
    assert dialogue.client(PASSWORD) == to_server(ASK_2) and not dialogue.clients_turn
    sent = payload_of(dialogue.server(b"\x01" + SERVERS.public_pem), Side.SERVER)
    assert PASSWORD not in sent
    assert SERVERS.decrypt(sent, NONCE if switched else OLD_NONCE) == PASSWORD
    assert dialogue.server(OK) == to_client(OK) and dialogue.over


@pytest.mark.parametrize("switched", [False, True])
def test_an_encrypted_password_is_decrypted_for_a_secure_server(switched: bool) -> None:
    dialogue, _ = begun(OPEN_TO_CLEAR, b"mysql_native_password" if switched else CACHING_SHA2, SCRAMBLE)
    if switched:
        dialogue.server(switch(CACHING_SHA2))
        dialogue.client(SCRAMBLE)
    dialogue.server(WANTED)
    key = payload_of(dialogue.client(ASK_2), Side.CLIENT)
    assert key == b"\x01" + OWN.public_pem and dialogue.clients_turn
    encrypted = encrypt(bytearray(PASSWORD), NONCE if switched else OLD_NONCE, key[1:])
    assert dialogue.client(encrypted) == to_server(PASSWORD) and not dialogue.clients_turn
    assert dialogue.server(DENIED) == to_client(DENIED) and dialogue.over


def test_sha256_has_the_password_in_the_first_answer() -> None:
    dialogue, said = begun(CLEAR_TO_OPEN, SHA256, PASSWORD)
    assert said == to_server(b"[" + ASK_1 + b"]")
    sent = payload_of(dialogue.server(b"\x01" + SERVERS.public_pem), Side.SERVER)
    assert SERVERS.decrypt(sent, OLD_NONCE) == PASSWORD
    dialogue, said = begun(OPEN_TO_CLEAR, SHA256, ASK_1)
    assert said == to_client(b"\x01" + OWN.public_pem)
    assert dialogue.client(encrypt(bytearray(PASSWORD), OLD_NONCE, OWN.public_pem)) == to_server(b"[" + PASSWORD + b"]")


@pytest.mark.parametrize("client", [Kind.TLS, Kind.PLAIN])
def test_a_socket_is_secure_for_caching_sha2_and_not_for_sha256(client: Kind) -> None:
    """As MySQL's server has it."""
    clear = client is Kind.TLS
    dialogue, _ = begun((client, Kind.SOCKET), CACHING_SHA2, SCRAMBLE)
    dialogue.server(WANTED)
    said = dialogue.client(PASSWORD if clear else ASK_2)
    assert said == (to_server(PASSWORD) if clear else to_client(b"\x01" + OWN.public_pem))
    dialogue, said = begun((client, Kind.SOCKET), SHA256, PASSWORD if clear else ASK_1)
    assert said == to_server(b"[" + ASK_1 + b"]")
    key = b"\x01" + SERVERS.public_pem
    assert payload_of(dialogue.server(key), Side.SERVER if clear else Side.CLIENT)


def test_clients_differ_about_sha256_over_a_socket_and_both_kinds_log_in() -> None:
    _, said = begun((Kind.SOCKET, Kind.TLS), SHA256, PASSWORD)
    assert said == to_server(b"[" + PASSWORD + b"]")
    _, said = begun((Kind.SOCKET, Kind.TLS), SHA256, ASK_1)
    assert said == to_client(b"\x01" + OWN.public_pem)
    _, said = begun((Kind.SOCKET, Kind.PLAIN), SHA256, ASK_1)
    assert said == to_server(b"[" + ASK_1 + b"]")


def test_a_held_password_is_forgotten_when_the_server_asks_for_another_plugin() -> None:
    dialogue, _ = begun(CLEAR_TO_OPEN, SHA256, PASSWORD)
    assert dialogue.server(switch(b"mysql_native_password")) == to_client(switch(b"mysql_native_password"))
    assert dialogue.client(b"h" * 20) == to_server(b"h" * 20)
    assert dialogue.server(b"\x01" + SERVERS.public_pem) == to_client(b"\x01" + SERVERS.public_pem)


@pytest.mark.parametrize("kinds", DIFFERENT)
@pytest.mark.parametrize("plugin", [CACHING_SHA2, SHA256])
@pytest.mark.parametrize("empty", [b"", b"\0"])
def test_no_password_is_no_secret(kinds: tuple[Kind, Kind], plugin: bytes, empty: bytes) -> None:
    dialogue, said = begun(kinds, plugin, empty)
    assert said == to_server(b"[" + empty + b"]")
    assert dialogue.server(OK) == to_client(OK)


@pytest.mark.parametrize(("plugin", "asks"), [(CACHING_SHA2, ASK_2), (SHA256, ASK_1)])
def test_a_client_that_trusts_its_socket_less_than_we_do_encrypts_by_itself(plugin: bytes, asks: bytes) -> None:
    dialogue, said = begun(CLEAR_TO_OPEN, plugin, SCRAMBLE if plugin == CACHING_SHA2 else asks)
    if plugin == CACHING_SHA2:
        dialogue.server(WANTED)
        said = dialogue.client(asks)
    assert said[0].payload.strip(b"[]") == asks
    key = b"\x01" + SERVERS.public_pem
    assert dialogue.server(key) == to_client(key) and dialogue.clients_turn
    with pytest.raises(DialogueError) as refused:
        Dialogue.client(dialogue, PASSWORD)
    assert "horse" not in str(refused.value)


def test_such_a_clients_encrypted_password_goes_on_as_it_is() -> None:
    dialogue, _ = begun(CLEAR_TO_OPEN, SHA256, ASK_1)
    dialogue.server(b"\x01" + SERVERS.public_pem)
    encrypted = encrypt(bytearray(PASSWORD), OLD_NONCE, SERVERS.public_pem)
    assert dialogue.client(encrypted) == to_server(encrypted)


def test_a_pinned_key_of_the_servers_is_refused_and_one_of_ours_works() -> None:
    for key, works in ((SERVERS, False), (OWN, True)):
        dialogue, _ = begun(OPEN_TO_CLEAR, CACHING_SHA2, SCRAMBLE)
        dialogue.server(WANTED)
        encrypted = encrypt(bytearray(PASSWORD), OLD_NONCE, key.public_pem)
        if works:
            assert dialogue.client(encrypted) == to_server(PASSWORD)
        else:
            with pytest.raises(DialogueError, match="public key in a file"):
                dialogue.client(encrypted)


@pytest.mark.parametrize(
    "plugin", [b"mysql_clear_password", b"dialog", b"authentication_openid_connect_client", b"new"]
)
def test_what_may_send_a_clear_password_is_refused_before_the_client_is_asked(plugin: bytes) -> None:
    for kinds in DIFFERENT:
        dialogue, _ = begun(kinds, CACHING_SHA2, SCRAMBLE)
        if kinds[1] is Kind.PLAIN:
            with pytest.raises(DialogueError, match=f"{plugin.decode()} may send .*--server-tls require"):
                dialogue.server(switch(plugin))
            with pytest.raises(DialogueError):
                begun(kinds, plugin, b"secret\0")
        else:
            assert dialogue.server(switch(plugin)) == to_client(switch(plugin))
            assert dialogue.client(b"secret\0") == to_server(b"secret\0")


def test_a_server_that_asks_for_what_no_plugin_asks_gets_nothing() -> None:
    """Somebody on the insecure leg must not get a clear password by packets of his own."""
    for plugin, asked in ((CACHING_SHA2, b"\x01\x05"), (SHA256, WANTED), (SHA256, b"\x07")):
        dialogue, _ = begun(CLEAR_TO_OPEN, plugin, b"\0")
        dialogue.server(asked)
        with pytest.raises(DialogueError) as refused:
            dialogue.client(PASSWORD)
        assert "horse" not in str(refused.value)


@pytest.mark.parametrize("key", [b"\x01", b"\x01no key", b"\x03" + SERVERS.public_pem])
def test_a_server_without_a_key(key: bytes) -> None:
    dialogue, _ = begun(CLEAR_TO_OPEN, SHA256, PASSWORD)
    with pytest.raises(DialogueError) as refused:
        dialogue.server(key)
    assert "horse" not in str(refused.value)
    assert refused.value.__context__ is None or "horse" not in str(refused.value.__context__)


def test_plugins_that_sign_a_nonce_pass() -> None:
    for plugin in (b"mysql_native_password", b"client_ed25519", b"parsec"):
        dialogue, _ = begun(CLEAR_TO_OPEN, b"", b"h" * 20)
        dialogue.server(switch(plugin))
        assert dialogue.client(b"") == to_server(b"")
        dialogue.server(b"\x01salt")
        assert dialogue.client(b"g" * 64) == to_server(b"g" * 64)


def test_the_next_factor_is_a_plugin_of_its_own() -> None:
    more = b"\x02" + SHA256 + b"\0" + NONCE + b"\0"
    dialogue, _ = begun(CLEAR_TO_OPEN, CACHING_SHA2, SCRAMBLE, factors=True)
    dialogue.server(CACHED)
    assert dialogue.server(more) == to_client(more)
    assert dialogue.client(PASSWORD) == to_server(ASK_1)
    sent = payload_of(dialogue.server(b"\x01" + SERVERS.public_pem), Side.SERVER)
    assert SERVERS.decrypt(sent, NONCE) == PASSWORD


def test_a_client_that_speaks_out_of_turn() -> None:
    dialogue, _ = begun(CLEAR_TO_OPEN, CACHING_SHA2, SCRAMBLE)
    with pytest.raises(DialogueError, match="not asked"):
        dialogue.client(PASSWORD)
    odd, _ = begun(CLEAR_TO_OPEN, b"", b"")
    odd.server(switch(CACHING_SHA2))
    with pytest.raises(DialogueError, match="no scramble"):
        odd.client(PASSWORD)


@given(st.lists(st.tuples(st.sampled_from(Side), st.binary(max_size=300)), max_size=6), st.sampled_from(DIFFERENT))
def test_any_packets_end_in_packets_or_a_protocol_error(
    packets: list[tuple[Side, bytes]], kinds: tuple[Kind, Kind]
) -> None:
    dialogue, _ = begun(kinds, CACHING_SHA2, SCRAMBLE)
    for side, payload in packets:
        try:
            assert len(dialogue.server(payload) if side is Side.SERVER else dialogue.client(payload)) == 1
        except PeerProtocolError:
            return


def test_the_proxys_key_is_kept_and_private(tmp_path: Path) -> None:
    first = password_key(tmp_path)
    assert password_key(tmp_path).public_pem == first.public_pem
    assert (tmp_path / "password-key.pem").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "password-public-key.pem").read_bytes() == first.public_pem
    (tmp_path / "password-key.pem").write_bytes(b"damaged")
    assert password_key(tmp_path).public_pem != first.public_pem


def test_keys_and_passwords_of_no_use() -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = elliptic.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(PasswordError, match="no RSA key"):
        encrypt(bytearray(PASSWORD), NONCE, pem)
    with pytest.raises(PasswordError, match="too long"):
        encrypt(bytearray(b"x" * 215), NONCE, OWN.public_pem)
    with pytest.raises(PasswordError, match="no nonce"):
        encrypt(bytearray(PASSWORD), b"", OWN.public_pem)
