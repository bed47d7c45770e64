"""The connection phase, without a socket: bytes of either leg in, actions out.

The server speaks first. Its greeting goes to the client as it came, except for one capability bit: SSL is set if and
only if the server offers TLS and the proxy has a certificate, so that the server's leg is secure exactly when the
client's is. Everything else, nonce, thread id, version, plugin, compression (which begins behind the login), MariaDB's
own bits, is the server's; therefore every authentication method works by passing its packets on unread, until the
server says OK or ERR.

A client that wants TLS sends an SSLRequest, the first 32 bytes of its response with the SSL bit set. The server
takes capabilities, packet size and character set from there and not from the response that follows, so the
request goes on as the client made it. It goes on only when the response is there: a client that fails in its TLS
handshake has then not cost the server anything.

Sequence numbers are counted per leg: what each end sees is a gapless conversation.

A client that leaves before its response would make the server count a broken handshake against this host
(`max_connect_errors`), and a port scanner could lock out the whole lab. The server gets a login of our own then,
without a password and carried to its end, which it refuses like any other failed login; such do not count.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum, auto

from mysql_mimic.types import Capabilities

from proxy.protocol import (
    ErrorCode,
    ExtendedCapabilities,
    Header,
    PacketReader,
    PeerProtocolError,
    Side,
    Take,
    error_payload,
    packet,
)

# Kerberos and OpenID tokens and connection attributes (64 kB at most) fit many times over.
LONGEST_PACKET = 1 << 20

GREETING_10 = 10
FLAGS_WIDTH = 4
RESPONSE_HEAD = 32
EXTENDED_AT = 28
NONCE_HEAD = 8
RESERVED = 6
# latin1_swedish_ci, which every server knows.
LATIN1 = 8
NO_PASSWORD = b"\0"
_FAREWELL_FLAGS = (
    Capabilities.CLIENT_PROTOCOL_41 | Capabilities.CLIENT_SECURE_CONNECTION | Capabilities.CLIENT_PLUGIN_AUTH
)
FAREWELL = (
    struct.pack("<IIB23x", int(_FAREWELL_FLAGS), 1 << 24, LATIN1)
    + b"djproxy-client-left\0"
    + NO_PASSWORD
    + b"caching_sha2_password\0"
)
"""A login as nobody, with the plugin that today's servers start with."""


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes to that side."""

    side: Side
    data: bytes


@dataclass(frozen=True, slots=True)
class StartTls:
    """From here on that side speaks TLS; `early` are bytes of it that came along with the request."""

    side: Side
    early: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The server accepted the login; what the two ends have agreed on."""

    thread_id: int
    user: str
    schema: str | None
    collation: int
    capabilities: Capabilities
    extended: ExtendedCapabilities
    status: int


@dataclass(frozen=True, slots=True)
class Fail:
    """The connection ends here: what was sent is to be flushed, then both sides closed."""

    reason: str


Action = Send | StartTls | Done | Fail
"""What the relay is to do, in order. `Fail` may be followed by a last `Send` to the server."""


class State(Enum):
    GREETING = auto()
    RESPONSE = auto()
    AUTHENTICATION = auto()
    DONE = auto()
    LEFT = auto()
    """The client has gone, and the server has not greeted yet."""
    LEAVING = auto()
    """The client has gone; the server is to refuse a login in its place."""
    FAILED = auto()


_OVER = (State.DONE, State.LEFT, State.LEAVING, State.FAILED)
_CLIENT_WAITS = (State.GREETING, State.LEFT, State.LEAVING)


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the proxy needs of the server's greeting, and where its capability words stand."""

    thread_id: int
    capabilities: Capabilities
    extended: ExtendedCapabilities
    low_at: int
    high_at: int | None

    @classmethod
    def parse(cls, payload: bytes) -> Greeting:
        """Read a protocol 10 greeting; PeerProtocolError when it is none."""
        take = Take(payload)
        if take.integer(1) != GREETING_10:
            raise PeerProtocolError("the server does not greet as a MySQL server does")
        take.until_nul()
        thread_id = take.integer(4)
        take.fixed(NONCE_HEAD + 1)
        low_at = take.position
        flags = take.integer(2)
        high_at = None
        extended = 0
        if take.left:
            take.fixed(3)
            high_at = take.position
            flags |= take.integer(2) << 16
            take.fixed(1 + RESERVED)
            extended = take.integer(4)
        # MariaDB leaves the first bit unset and the reserved bytes mean something then.
        if flags & Capabilities.CLIENT_LONG_PASSWORD:
            extended = 0
        return cls(thread_id, Capabilities(flags), ExtendedCapabilities(extended), low_at, high_at)

    def patched(self, payload: bytes, capabilities: Capabilities) -> bytes:
        """The greeting's payload with other capabilities."""
        changed = bytearray(payload)
        changed[self.low_at : self.low_at + 2] = (capabilities & 0xFFFF).to_bytes(2, "little")
        if self.high_at is not None:
            changed[self.high_at : self.high_at + 2] = (capabilities >> 16).to_bytes(2, "little")
        return bytes(changed)


@dataclass(frozen=True, slots=True)
class Response:
    """What the proxy needs of a client's handshake response."""

    user: str
    schema: str | None
    collation: int

    @classmethod
    def parse(cls, payload: bytes) -> Response:
        """Read a response of protocol 4.1; the secret in it is stepped over."""
        take = Take(payload)
        flags = Capabilities(take.integer(FLAGS_WIDTH))
        take.fixed(4)
        collation = take.integer(1)
        take.fixed(RESPONSE_HEAD - take.position)
        user = take.until_nul()
        if flags & Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA:
            take.string()
        elif flags & Capabilities.CLIENT_SECURE_CONNECTION:
            take.fixed(take.integer(1))
        else:
            take.until_nul()
        schema = None
        # Some clients set the flag and leave the name out when they have none.
        if flags & Capabilities.CLIENT_CONNECT_WITH_DB and take.left:
            schema = take.until_nul().decode(errors="replace") or None
        return cls(user.decode(errors="replace"), schema, collation)


class Handshake:
    """The connection phase of one connection. `offer_tls`: the proxy has a certificate to show."""

    def __init__(self, *, offer_tls: bool) -> None:
        self.state = State.GREETING
        self._offer_tls = offer_tls
        self._readers = {side: PacketReader(LONGEST_PACKET) for side in Side}
        self._next = {Side.CLIENT: 0, Side.SERVER: 0}
        self._greeting: Greeting | None = None
        self._offered = Capabilities(0)
        self._ssl_request: bytes | None = None
        self._agreed = Capabilities(0)
        self._extended = ExtendedCapabilities(0)
        self._response = Response("", None, 0)
        self._early_commands = b""

    def receive(self, side: Side, data: bytes) -> list[Action]:
        """Take bytes from one side (already decrypted where that side speaks TLS)."""
        actions: list[Action] = []
        reader = self._readers[side]
        reader.feed(data)
        try:
            while self.state not in (State.DONE, State.FAILED):
                if side is Side.CLIENT and self.state in _CLIENT_WAITS:
                    break
                payload = reader.next_packet()
                # Known from the header on: nobody needs to send what will not be taken.
                if reader.length > LONGEST_PACKET:
                    raise PeerProtocolError(f"a packet of {reader.length} bytes while logging in")
                if payload is None:
                    break
                if side is Side.SERVER:
                    self._process_server(payload, actions)
                else:
                    self._process_client(payload, actions)
        except PeerProtocolError as error:
            self._fail(actions, str(error))
        return actions

    def client_left(self) -> list[Action]:
        """The client closed its side before the login was over."""
        actions: list[Action] = []
        if self.state in _OVER:
            return actions
        self._leave(actions)
        actions.append(Fail("the client left before it had logged in"))
        return actions

    def tls_failed(self, side: Side, reason: str) -> list[Action]:
        """A TLS handshake failed; the client is told when it was the server's."""
        actions: list[Action] = []
        if side is Side.SERVER:
            self._tell_client(actions, f"djproxy: TLS to the server failed: {reason}")
        self._leave(actions)
        actions.append(Fail(f"TLS with the {side.name.lower()} failed: {reason}"))
        return actions

    def leftover(self, side: Side) -> bytes:
        """Bytes of the command phase that came along with the last ones of the login."""
        early = self._early_commands if side is Side.CLIENT else b""
        return early + self._readers[side].rest()

    def _process_server(self, payload: bytes, actions: list[Action]) -> None:
        self._next[Side.SERVER] = self._readers[Side.SERVER].sequence + 1
        if self.state in _OVER:
            self._process_refusal(payload, actions)
            return
        if self.state is State.GREETING and payload[:1] != bytes((Header.ERR,)):
            self._process_greeting(payload, actions)
            return
        outcome = payload[:1]
        if outcome == bytes((Header.OK,)) and self.state is State.AUTHENTICATION:
            self._process_ok(payload, actions)
            return
        self._send(Side.CLIENT, payload, actions)
        if outcome == bytes((Header.ERR,)):
            self.state = State.FAILED
            actions.append(Fail("the server refused the connection"))

    def _process_greeting(self, payload: bytes, actions: list[Action]) -> None:
        greeting = Greeting.parse(payload)
        offered = greeting.capabilities
        if not self._offer_tls:
            offered &= ~Capabilities.CLIENT_SSL
        self._greeting = greeting
        self._offered = offered
        self.state = State.RESPONSE
        self._send(Side.CLIENT, greeting.patched(payload, offered), actions)
        actions += self.receive(Side.CLIENT, b"")

    def _process_client(self, payload: bytes, actions: list[Action]) -> None:
        reader = self._readers[Side.CLIENT]
        if self.state is State.AUTHENTICATION and reader.sequence == 0:
            # Only commands start at 0: this client did not wait for the server's OK.
            self._early_commands += packet(0, payload)
            return
        self._next[Side.CLIENT] = reader.sequence + 1
        if self.state is State.RESPONSE:
            self._process_response(payload, actions)
        else:
            self._send(Side.SERVER, payload, actions)

    def _process_response(self, payload: bytes, actions: list[Action]) -> None:
        assert self._greeting is not None
        flags = Capabilities(Take(payload).integer(2))
        if not flags & Capabilities.CLIENT_PROTOCOL_41 or len(payload) < RESPONSE_HEAD:
            raise PeerProtocolError("the client does not speak MySQL's protocol 4.1")
        flags = Capabilities(int.from_bytes(payload[:FLAGS_WIDTH], "little"))
        if flags & Capabilities.CLIENT_SSL and self._ssl_request is None:
            if not self._offered & Capabilities.CLIENT_SSL:
                raise PeerProtocolError("the client asks for TLS, which was not offered")
            self._ssl_request = payload[:RESPONSE_HEAD]
            early = self._readers[Side.CLIENT].rest()
            actions.append(StartTls(Side.CLIENT, early))
            return
        head = payload
        if self._ssl_request is not None:
            self._send(Side.SERVER, self._ssl_request, actions)
            actions.append(StartTls(Side.SERVER, b""))
            head = self._ssl_request
        self._agree(head)
        self._response = Response.parse(payload)
        self.state = State.AUTHENTICATION
        self._send(Side.SERVER, payload, actions)

    def _agree(self, head: bytes) -> None:
        """Both ends use what both have; MariaDB's bits count only when neither end is MySQL's own."""
        assert self._greeting is not None
        flags = Capabilities(int.from_bytes(head[:FLAGS_WIDTH], "little"))
        self._agreed = flags & self._greeting.capabilities
        if not flags & Capabilities.CLIENT_LONG_PASSWORD:
            asked = int.from_bytes(head[EXTENDED_AT:RESPONSE_HEAD], "little")
            self._extended = ExtendedCapabilities(asked) & self._greeting.extended

    def _process_ok(self, payload: bytes, actions: list[Action]) -> None:
        assert self._greeting is not None
        take = Take(payload, 1)
        take.length_encoded()
        take.length_encoded()
        self.state = State.DONE
        response = self._response
        actions.append(
            Done(
                thread_id=self._greeting.thread_id,
                user=response.user,
                schema=response.schema,
                collation=response.collation,
                capabilities=self._agreed,
                extended=self._extended,
                status=take.integer(2),
            )
        )
        self._send(Side.CLIENT, payload, actions)

    def _send(self, side: Side, payload: bytes, actions: list[Action]) -> None:
        actions.append(Send(side, packet(self._next[side], payload)))
        self._next[side] += 1

    def _fail(self, actions: list[Action], reason: str) -> None:
        self._tell_client(actions, f"djproxy: {reason}")
        self._leave(actions)
        actions.append(Fail(reason))

    def _tell_client(self, actions: list[Action], message: str) -> None:
        # Without a greeting there are no capabilities, hence no sqlstate.
        sqlstate = None if self.state is State.GREETING else "08S01"
        code = int(ErrorCode.HANDSHAKE_ERROR)
        self._send(Side.CLIENT, error_payload(code, message, sqlstate), actions)

    def _leave(self, actions: list[Action]) -> None:
        """No client any more: bring the server's side of the login to an end, see the top of this file."""
        if self.state is State.GREETING:
            self.state = State.LEFT
        elif self.state is State.RESPONSE:
            self._send(Side.SERVER, FAREWELL, actions)
            self.state = State.LEAVING
        else:
            self.state = State.FAILED

    def _process_refusal(self, payload: bytes, actions: list[Action]) -> None:
        kind = payload[:1]
        if kind in (bytes((Header.OK,)), bytes((Header.ERR,))):
            self.state = State.FAILED
        elif self.state is State.LEFT:
            self.state = State.RESPONSE
            self._leave(actions)
        else:
            native = kind == bytes((Header.EOF,)) and payload[1:].startswith(b"mysql_native_password\0")
            self._send(Side.SERVER, b"" if native else NO_PASSWORD, actions)
