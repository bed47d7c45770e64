"""The password step between legs of different kinds.

Client and server each judge their own leg: over TLS the password goes in the clear, over an open network encrypted for
the server's RSA key, over a unix socket as the plugin has it: in the clear for caching_sha2_password, encrypted for
sha256_password (some clients disagree, and are understood all the same). With legs of one kind their packets fit each
other as they are. Otherwise a client's answer means nothing to the server, or worse, would carry the password over an
open network in the clear. Here such answers are translated:

    clear → encrypted  the client's password is kept while the server is asked for its public key
    encrypted → clear  the client is given the proxy's public key when it asks for the server's

    caching_sha2       scramble → server: 01 03 OK (its cache knows the account), or 01 04: the password, please.
    sha256             the password is the first answer already.

Everything else passes as it came: other plugins' answers are hashes and signatures over the server's nonce, and the
nonce is the server's own. Only plugins known not to send a password in the clear may answer over an open network behind
a client that has TLS or a socket; for others the login is refused.

The first answer comes within a handshake response or a COM_CHANGE_USER; `begin` is given it, and how to put another in
its place. One dialogue ends with the server's OK or ERR. Neither passwords nor their hashes are in any message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from proxy.login import NONCE
from proxy.passwords import PasswordError, PasswordKey, encrypt, wipe
from proxy.protocol import Header, PeerProtocolError, Side, Take
from proxy.security import Kind

CACHING_SHA2 = b"caching_sha2_password"
SHA256 = b"sha256_password"
NATIVE = b"mysql_native_password"
OLD = b"mysql_old_password"
# Plugins whose answers hold no password: hashes, signatures and tickets over a nonce.
_WITHOUT_PASSWORD = frozenset(
    {
        NATIVE,
        b"client_ed25519",
        b"parsec",
        b"auth_gssapi_client",
        b"authentication_kerberos_client",
        b"authentication_ldap_sasl_client",
        b"authentication_webauthn_client",
        b"authentication_oci_client",
    }
)

SCRAMBLE = 32
_NEXT_FACTOR = 0x02
_CACHED = 3
_WANTS_PASSWORD = 4
_ASKS_FOR_KEY = {CACHING_SHA2: b"\x02", SHA256: b"\x01"}
_NO_PASSWORD = (b"", b"\0")
# No RSA key in use is shorter.
_SHORTEST_ENCRYPTED = 128


class DialogueError(PeerProtocolError):
    """The login cannot go on; the message is for the client and says what to do."""


@dataclass(frozen=True, slots=True)
class Say:
    """Give this payload, which may hold a password, to that side, as its next packet."""

    side: Side
    payload: bytes = field(repr=False)


class _Expect(Enum):
    """What the client's next packet is."""

    NOTHING = auto()
    ANSWER = auto()
    """A plugin's first answer."""
    PASSWORD = auto()
    """caching_sha2's password, or a request for a key."""
    ENCRYPTED = auto()
    """The password, for our key."""
    ENCRYPTED_FOR_SERVER = auto()
    """The password, for the server's key that the client has asked for itself."""
    ANYTHING = auto()
    """Something of a plugin that is not looked into."""


class Dialogue:
    """One authentication.

    `key` is the proxy's own, for clients that encrypt; `factors` says that the server may ask for more than one.
    """

    def __init__(self, client: Kind, server: Kind, key: PasswordKey | None, *, factors: bool = False) -> None:
        self.nonce = b""
        self.over = False
        self._client = client
        self._server = server
        self._key = key
        self._factors = factors
        self._asked = False
        self._plugin = b""
        self._expect = _Expect.NOTHING
        self._held = bytearray()
        self._envelope: Callable[[bytes], bytes] | None = None

    @property
    def clients_turn(self) -> bool:
        """Whether the server waits for the client."""
        return self._expect is not _Expect.NOTHING

    def begin(self, plugin: bytes, nonce: bytes, answer: bytes, envelope: Callable[[bytes], bytes]) -> list[Say]:
        """The client's first packet: its plugin's answer, and the packet with another answer in its place."""
        self._plugin = plugin or NATIVE
        self.nonce = nonce[:NONCE]
        self._envelope = envelope
        return self._answer(answer)

    def server(self, payload: bytes) -> list[Say]:
        """A packet of the server."""
        kind = payload[:1]
        self._expect = _Expect.NOTHING
        if kind in (bytes((Header.OK,)), bytes((Header.ERR,))):
            self.over = True
            self._forget()
        elif kind == bytes((Header.EOF,)) or (self._factors and kind == bytes((_NEXT_FACTOR,))):
            self._switch(payload)
        elif self._held:
            return self._key_of_server(payload)
        elif self._asked:
            self._asked = False
            self._expect = _Expect.ENCRYPTED_FOR_SERVER
        elif self._plugin == CACHING_SHA2 and payload == bytes((Header.MORE_DATA, _WANTS_PASSWORD)):
            self._expect = _Expect.PASSWORD
        elif self._plugin != CACHING_SHA2 or payload != bytes((Header.MORE_DATA, _CACHED)):
            self._expect = _Expect.ANYTHING
        return [Say(Side.CLIENT, payload)]

    def client(self, payload: bytes) -> list[Say]:
        """A packet of the client."""
        expected, self._expect = self._expect, _Expect.NOTHING
        match expected:
            case _Expect.ANSWER:
                return self._answer(payload)
            case _Expect.PASSWORD:
                return self._password(payload)
            case _Expect.ENCRYPTED:
                return self._decrypt(payload)
            case _Expect.ENCRYPTED_FOR_SERVER if len(payload) >= _SHORTEST_ENCRYPTED:
                return self._to_server(payload)
            case _Expect.ANYTHING:
                self._check_plugin()
                return self._to_server(payload)
            case _:
                raise DialogueError("the client answers what it was not asked while logging in")

    # -- the client's answers

    def _answer(self, answer: bytes) -> list[Say]:
        if self._plugin == SHA256:
            return self._password(answer)
        if self._plugin == CACHING_SHA2:
            if self._client.secure and answer not in _NO_PASSWORD and len(answer) != SCRAMBLE:
                raise DialogueError("the client's first answer to caching_sha2_password is no scramble")
        else:
            self._check_plugin()
        return self._to_server(answer)

    def _check_plugin(self) -> None:
        """Nothing that may hold a password goes from a secure leg to an open one."""
        if self._client.secure and not self._server.secure and self._plugin not in _WITHOUT_PASSWORD:
            raise DialogueError(
                f"the authentication plugin {self._plugin.decode('ascii', 'replace')} may send the password in the "
                "clear, and the connection from djproxy to the server is neither TLS nor a unix socket; "
                "start djproxy with --server-tls require"
            )

    def _password(self, answer: bytes) -> list[Say]:
        """The password in one form or the other, or a request for the key to encrypt it."""
        if answer in _NO_PASSWORD:
            return self._to_server(answer)
        if answer == _ASKS_FOR_KEY[self._plugin]:
            return self._asks_for_key(answer)
        if not self._client.secure:
            # Encrypted for a key that the client has from elsewhere, or its own mistake.
            encrypted = len(answer) >= _SHORTEST_ENCRYPTED
            return self._decrypt(answer) if encrypted and self._server_takes_clear else self._to_server(answer)
        if self._server_takes_clear:
            return self._to_server(answer)
        self._held = bytearray(answer)
        return self._to_server(_ASKS_FOR_KEY[self._plugin])

    @property
    def _server_takes_clear(self) -> bool:
        return self._server is Kind.TLS or (self._server is Kind.SOCKET and self._plugin == CACHING_SHA2)

    def _asks_for_key(self, answer: bytes) -> list[Say]:
        if not self._server_takes_clear:
            # What the client will send fits the server's leg as it is.
            self._asked = True
            return self._to_server(answer)
        if self._key is None:
            raise DialogueError("djproxy has no key for the password; use TLS to djproxy")
        self._expect = _Expect.ENCRYPTED
        return [Say(Side.CLIENT, bytes((Header.MORE_DATA,)) + self._key.public_pem)]

    def _decrypt(self, encrypted: bytes) -> list[Say]:
        try:
            if self._key is None:
                raise PasswordError("djproxy has no key")
            password = self._key.decrypt(encrypted, self.nonce)
        except PasswordError as error:
            raise DialogueError(
                f"the password cannot be passed on: {error}; the client may have the server's public key in a file "
                "(--server-public-key-path): use TLS to djproxy, or djproxy's public key (see djproxy certificate)"
            ) from None
        try:
            return self._to_server(bytes(password))
        finally:
            wipe(password)

    def _to_server(self, answer: bytes) -> list[Say]:
        """Within the first packet when it was not sent yet."""
        envelope, self._envelope = self._envelope, None
        return [Say(Side.SERVER, envelope(answer) if envelope else answer)]

    # -- the server's packets

    def _switch(self, payload: bytes) -> None:
        """Another plugin, or the next factor's; its answer is to be made with the nonce beside it."""
        self._forget()
        self._asked = False
        take = Take(payload, 1)
        # A lone byte is the form of servers before 5.5.
        self._plugin = take.until_nul() if take.left else OLD
        self.nonce = take.rest()[:NONCE] or self.nonce
        if self._plugin not in _ASKS_FOR_KEY:
            # Before the client is asked: then it need not send what would be thrown away.
            self._check_plugin()
        self._expect = _Expect.ANSWER

    def _key_of_server(self, payload: bytes) -> list[Say]:
        if payload[:1] != bytes((Header.MORE_DATA,)):
            raise DialogueError("the server was asked for its public key and sent something else")
        try:
            return [Say(Side.SERVER, encrypt(self._held, self.nonce, payload[1:]))]
        except PasswordError as error:
            raise DialogueError(
                f"the password cannot be encrypted for the server: {error}; start djproxy with --server-tls require"
            ) from None
        finally:
            self._forget()

    def _forget(self) -> None:
        wipe(self._held)
        self._held = bytearray()
