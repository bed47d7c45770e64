"""The connection phase, without a socket: bytes of either leg in, actions out.

The server speaks first. Its greeting goes to the client as it came, except for one capability bit: SSL says what
`security.Legs` offers to clients. Everything else, nonce, thread id, version, plugin, compression (which begins behind
the login), MariaDB's own bits, is the server's; therefore, where both legs are of one kind (see `security.Kind`), every
authentication method works by passing its packets on unread, until the server says OK or ERR. Otherwise `dialogue`
translates the password step.

A client that wants TLS sends an SSLRequest, the first 32 bytes of its response with the SSL bit set. The server
takes capabilities, packet size and character set from there and not from the response that follows, so the
request goes on as the client made it, or, when the server's leg is plain, stands in front of the response. It goes on
only when the response is there: a client that fails in its TLS handshake has then not cost the server anything.

Sequence numbers are counted per leg: what each end sees is a gapless conversation.

A client that leaves, or says nothing for too long, while the server waits for it would make the server count a broken
handshake against this host (`max_connect_errors`), and a port scanner could lock out the whole lab. The login is then
carried to its end in the client's place, as nobody or without a password, and the server refuses it like any other
failed login; such do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from mysql_mimic.types import Capabilities

from proxy.dialogue import Dialogue, Say
from proxy.login import (
    EXTENDED_AT,
    FAREWELL,
    FLAGS_WIDTH,
    MULTI_FACTOR,
    RESPONSE_HEAD,
    Greeting,
    Response,
    with_tls,
)
from proxy.login_reader import LONGEST_PACKET, LoginReader
from proxy.passwords import PasswordKey
from proxy.protocol import (
    ErrorCode,
    ExtendedCapabilities,
    Header,
    PeerProtocolError,
    Side,
    Take,
    error_payload,
    packet,
)
from proxy.security import Kind, Legs

# What a client may send before it is asked, and how often a login in its place is carried on.
LONGEST_EARLY = LONGEST_PACKET
MOST_FAREWELLS = 16

SECURE_TRANSPORT_REQUIRED = 3159
READ_TIMEOUT = 1159
CACHED = b"\x01\x03"
"""caching_sha2_password's "I know you"; the OK follows by itself."""
NO_PASSWORD = b"\0"
QUIT = b"\x01"


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes, which may hold a password, to that side."""

    side: Side
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class StartTls:
    """From here on that side speaks TLS; `early` are bytes of it that came along with the request."""

    side: Side
    early: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """The server accepted the login; what the two ends have agreed on. `kinds` are the legs', where they differ,
    and `nonce` what the next password step begins with."""

    thread_id: int
    user: str
    schema: str | None
    collation: int
    capabilities: Capabilities
    extended: ExtendedCapabilities
    status: int
    kinds: tuple[Kind, Kind] | None = None
    nonce: bytes = b""


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
_CLIENT_GONE = (State.LEFT, State.LEAVING)
_CLIENT_WAITS = (State.GREETING, *_CLIENT_GONE)


class Handshake:
    """The connection phase of one connection. `key` is for clients that encrypt what the server takes in the clear."""

    def __init__(self, legs: Legs, key: PasswordKey | None = None) -> None:
        self.state = State.GREETING
        self._legs = legs
        self._key = key
        self._readers = {side: LoginReader() for side in Side}
        self._next = {Side.CLIENT: 0, Side.SERVER: 0}
        self._greeting: Greeting | None = None
        self._offered = Capabilities(0)
        self._ssl_request: bytes | None = None
        self._agreed = Capabilities(0)
        self._extended = ExtendedCapabilities(0)
        self._response = Response("", None, 0)
        self._opening = b""
        self._responded = False
        self._clients_turn = False
        self._asked = b""
        self._kinds: tuple[Kind, Kind] | None = None
        self._dialogue: Dialogue | None = None
        self._early_commands = b""
        self._early = 0
        self._farewells = 0

    def receive(self, side: Side, data: bytes) -> list[Action]:
        """Take bytes from one side (already decrypted where that side speaks TLS)."""
        actions: list[Action] = []
        if self.state is State.FAILED or (side is Side.CLIENT and self.state in _CLIENT_GONE):
            return actions
        reader = self._readers[side]
        reader.feed(data)
        try:
            while self.state not in (State.DONE, State.FAILED):
                if side is Side.CLIENT and self.state in _CLIENT_WAITS:
                    self._keep_early(len(data))
                    break
                payload = reader.next_packet()
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

    def timed_out(self, seconds: float) -> list[Action]:
        """Nothing came from either side for so long; nothing happens while it is the server that takes its time."""
        actions: list[Action] = []
        waits = self.state is State.RESPONSE or (self.state is State.AUTHENTICATION and self._clients_turn)
        if waits:
            # What the server itself would say, with its number.
            reason = f"got timeout reading communication packets: the client said nothing for {seconds:g} seconds"
            self._fail(actions, reason, READ_TIMEOUT)
        return actions

    def tls_failed(self, side: Side, reason: str) -> list[Action]:
        """A TLS handshake failed; the client is told when it was the server's."""
        actions: list[Action] = []
        if side is Side.SERVER:
            self._tell_client(actions, f"djproxy: TLS to the server failed: {reason}")
            self.state = State.FAILED
        else:
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
        self._clients_turn = payload != CACHED
        self._asked = payload
        if self._dialogue is not None and outcome != bytes((Header.ERR,)):
            self._say(self._dialogue.server(payload), actions)
            return
        self._send(Side.CLIENT, payload, actions)
        if outcome == bytes((Header.ERR,)):
            self.state = State.FAILED
            actions.append(Fail("the server refused the connection"))

    def _process_greeting(self, payload: bytes, actions: list[Action]) -> None:
        greeting = Greeting.parse(payload)
        self._greeting = greeting
        if refusal := self._legs.refusal_of_server(self._server_offers):
            self._leave_after_greeting(actions, refusal)
            return
        offered = greeting.capabilities & ~Capabilities.CLIENT_SSL
        if self._legs.offer(self._server_offers):
            offered |= Capabilities.CLIENT_SSL
        self._offered = offered
        self.state = State.RESPONSE
        self._send(Side.CLIENT, greeting.patched(payload, offered), actions)
        actions += self.receive(Side.CLIENT, b"")

    @property
    def _server_offers(self) -> bool:
        assert self._greeting is not None
        return bool(self._greeting.capabilities & Capabilities.CLIENT_SSL)

    def _leave_after_greeting(self, actions: list[Action], reason: str) -> None:
        """The client has not been greeted: it is told without a sqlstate, and the server left as if it had gone."""
        self._tell_client(actions, f"djproxy: {reason}")
        self.state = State.RESPONSE
        self._leave(actions)
        actions.append(Fail(reason))

    def _process_client(self, payload: bytes, actions: list[Action]) -> None:
        reader = self._readers[Side.CLIENT]
        if self.state is State.AUTHENTICATION and reader.sequence == 0:
            # Only commands start at 0: this client did not wait for the server's OK.
            self._keep_early(len(payload))
            self._early_commands += packet(0, payload)
            return
        self._next[Side.CLIENT] = reader.sequence + 1
        if self.state is State.RESPONSE:
            self._process_response(payload, actions)
        elif self._dialogue is not None:
            self._say(self._dialogue.client(payload), actions)
        else:
            self._clients_turn = False
            self._send(Side.SERVER, payload, actions)

    def _keep_early(self, size: int) -> None:
        self._early += size
        if self._early > LONGEST_EARLY:
            self._early_commands = b""
            self._readers[Side.CLIENT].rest()
            raise PeerProtocolError(f"more than {LONGEST_EARLY} bytes before the server asked for any")

    def _process_response(self, payload: bytes, actions: list[Action]) -> None:
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
        tls = self._ssl_request is not None
        if self._legs.refuses_client(tls):
            reason = "connections without TLS are refused (--client-tls require)"
            self._fail(actions, reason, SECURE_TRANSPORT_REQUIRED)
            return
        head = self._ssl_request or payload[:RESPONSE_HEAD]
        self._agree(head)
        self._response = Response.parse(payload)
        self.state = State.AUTHENTICATION
        self._log_in(tls, head, payload, actions)

    def _log_in(self, tls: bool, head: bytes, payload: bytes, actions: list[Action]) -> None:
        """The response to the server, in the form that its leg asks for."""
        assert self._greeting is not None
        server_tls = self._legs.use(tls, self._server_offers)
        if tls != server_tls:
            head = with_tls(head, tls=server_tls)
            payload = head + payload[RESPONSE_HEAD:]
        self._opening = head if server_tls else b""
        kinds = self._legs.client_kind(tls), self._legs.server_kind(server_tls)
        if kinds[0] is kinds[1]:
            self._respond(payload, actions)
            return
        response = self._response
        self._kinds = kinds
        self._dialogue = Dialogue(*kinds, self._key, factors=bool(self._agreed & MULTI_FACTOR))

        def envelope(answer: bytes) -> bytes:
            return response.with_answer(payload, answer)

        answer = response.answer(payload)
        self._say(self._dialogue.begin(response.plugin, self._greeting.nonce, answer, envelope), actions)

    def _say(self, said: list[Say], actions: list[Action]) -> None:
        assert self._dialogue is not None
        for each in said:
            if each.side is Side.SERVER and not self._responded:
                self._respond(each.payload, actions)
            else:
                self._send(each.side, each.payload, actions)
        self._clients_turn = self._dialogue.clients_turn

    def _respond(self, payload: bytes, actions: list[Action]) -> None:
        """Our first packet to the server."""
        if self._opening:
            self._send(Side.SERVER, self._opening, actions)
            actions.append(StartTls(Side.SERVER, b""))
        self._responded = True
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
                kinds=self._kinds,
                nonce=self._dialogue.nonce if self._dialogue is not None else b"",
            )
        )
        self._send(Side.CLIENT, payload, actions)

    def _send(self, side: Side, payload: bytes, actions: list[Action]) -> None:
        actions.append(Send(side, packet(self._next[side], payload)))
        self._next[side] += 1

    def _fail(self, actions: list[Action], reason: str, code: int = int(ErrorCode.HANDSHAKE_ERROR)) -> None:
        self._tell_client(actions, f"djproxy: {reason}", code)
        self._leave(actions)
        actions.append(Fail(reason))

    def _tell_client(self, actions: list[Action], message: str, code: int = int(ErrorCode.HANDSHAKE_ERROR)) -> None:
        # Without a greeting there are no capabilities, hence no sqlstate.
        sqlstate = None if self.state is State.GREETING else "08S01"
        self._send(Side.CLIENT, error_payload(code, message, sqlstate), actions)

    def _leave(self, actions: list[Action]) -> None:
        """No client any more: bring the server's side of the login to an end, see the top of this file."""
        if self.state is State.GREETING:
            self.state = State.LEFT
        elif not self._responded:
            self._send(Side.SERVER, FAREWELL, actions)
            self.state = State.LEAVING
        else:
            if self._clients_turn:
                self._send(Side.SERVER, _no_password(self._asked), actions)
            self.state = State.LEAVING

    def _process_refusal(self, payload: bytes, actions: list[Action]) -> None:
        kind = payload[:1]
        if kind == bytes((Header.ERR,)):
            self.state = State.FAILED
        elif self.state is State.LEFT:
            self.state = State.RESPONSE
            self._leave(actions)
        elif kind == bytes((Header.OK,)):
            self.state = State.FAILED
            actions.append(Send(Side.SERVER, packet(0, QUIT)))
        elif payload != CACHED:
            self._farewells += 1
            if self._farewells > MOST_FAREWELLS:
                self.state = State.FAILED
                return
            self._send(Side.SERVER, _no_password(payload), actions)


def _no_password(asked: bytes) -> bytes:
    """The answer of somebody who has none; another form than the plugin's would be a broken handshake again."""
    native = asked[:1] == bytes((Header.EOF,)) and asked[1:].startswith(b"mysql_native_password\0")
    return b"" if native else NO_PASSWORD
