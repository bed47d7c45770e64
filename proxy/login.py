"""The packets of a login: the server's greeting and the client's response, as far as the proxy looks into them."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from mysql_mimic.types import Capabilities, uint_4

from proxy.protocol import ExtendedCapabilities, PeerProtocolError, Take, lenenc

GREETING_10 = 10
FLAGS_WIDTH = 4
RESPONSE_HEAD = 32
EXTENDED_AT = 28
NONCE = 20
NONCE_HEAD = 8
NONCE_TAIL = 13
RESERVED = 6
# Newer than mysql-mimic's list: the server may ask for more than one factor.
MULTI_FACTOR = 1 << 28
# latin1_swedish_ci, which every server knows.
LATIN1 = 8
_FAREWELL_FLAGS = (
    Capabilities.CLIENT_PROTOCOL_41 | Capabilities.CLIENT_SECURE_CONNECTION | Capabilities.CLIENT_PLUGIN_AUTH
)
FAREWELL = (
    struct.pack("<IIB23x", int(_FAREWELL_FLAGS), 1 << 24, LATIN1)
    + b"djproxy-client-left\0"
    + b"\0"
    + b"caching_sha2_password\0"
)
"""A login as nobody, with the plugin that today's servers start with."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What the proxy needs of the server's greeting, and where its capability words stand."""

    thread_id: int
    capabilities: Capabilities
    extended: ExtendedCapabilities
    low_at: int
    high_at: int | None
    nonce: bytes = b""

    @classmethod
    def parse(cls, payload: bytes) -> Greeting:
        """Read a protocol 10 greeting; PeerProtocolError when it is none."""
        take = Take(payload)
        if take.integer(1) != GREETING_10:
            raise PeerProtocolError("the server does not greet as a MySQL server does")
        take.until_nul()
        thread_id = take.integer(4)
        nonce = take.fixed(NONCE_HEAD)
        take.fixed(1)
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
            nonce += take.fixed(min(NONCE_TAIL, take.left))
        # MariaDB leaves the first bit unset and the reserved bytes mean something then.
        if flags & Capabilities.CLIENT_LONG_PASSWORD:
            extended = 0
        return cls(thread_id, Capabilities(flags), ExtendedCapabilities(extended), low_at, high_at, nonce[:NONCE])

    def patched(self, payload: bytes, capabilities: Capabilities) -> bytes:
        """The greeting's payload with other capabilities."""
        changed = bytearray(payload)
        changed[self.low_at : self.low_at + 2] = (capabilities & 0xFFFF).to_bytes(2, "little")
        if self.high_at is not None:
            changed[self.high_at : self.high_at + 2] = (capabilities >> 16).to_bytes(2, "little")
        return bytes(changed)


@dataclass(frozen=True, slots=True)
class Response:
    """What the proxy needs of a client's handshake response, and where the plugin's answer stands in it."""

    user: str
    schema: str | None
    collation: int
    plugin: bytes = b""
    answer_at: tuple[int, int] = (0, 0)

    @classmethod
    def parse(cls, payload: bytes) -> Response:
        """Read a response of protocol 4.1; the secret in it is stepped over."""
        take = Take(payload)
        flags = Capabilities(take.integer(FLAGS_WIDTH))
        take.fixed(4)
        collation = take.integer(1)
        take.fixed(RESPONSE_HEAD - take.position)
        user = take.until_nul()
        start = take.position
        if flags & Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA:
            take.string()
        elif flags & Capabilities.CLIENT_SECURE_CONNECTION:
            take.fixed(take.integer(1))
        else:
            take.until_nul()
        answer_at = (start, take.position)
        schema = None
        # Some clients set the flag and leave the name out when they have none.
        if flags & Capabilities.CLIENT_CONNECT_WITH_DB and take.left:
            schema = take.until_nul().decode(errors="replace") or None
        plugin = b""
        if flags & Capabilities.CLIENT_PLUGIN_AUTH and take.left:
            # The server, too, takes a name that ends with the packet.
            plugin = take.rest().partition(b"\0")[0]
        return cls(user.decode(errors="replace"), schema, collation, plugin, answer_at)

    def answer(self, payload: bytes) -> bytes:
        """The plugin's answer in the response."""
        take = Take(payload, self.answer_at[0])
        flags = int.from_bytes(payload[:FLAGS_WIDTH], "little")
        if flags & Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA:
            return take.string()
        if flags & Capabilities.CLIENT_SECURE_CONNECTION:
            return take.fixed(take.integer(1))
        return take.until_nul()

    def with_answer(self, payload: bytes, answer: bytes) -> bytes:
        """The response with another answer in it."""
        flags = int.from_bytes(payload[:FLAGS_WIDTH], "little")
        if flags & Capabilities.CLIENT_PLUGIN_AUTH_LENENC_CLIENT_DATA:
            written = lenenc(answer)
        elif flags & Capabilities.CLIENT_SECURE_CONNECTION:
            written = counted(answer)
        else:
            written = answer.partition(b"\0")[0] + b"\0"
        return payload[: self.answer_at[0]] + written + payload[self.answer_at[1] :]


def with_tls(head: bytes, *, tls: bool) -> bytes:
    """A response's head that asks for TLS, or does not."""
    flags = int.from_bytes(head[:FLAGS_WIDTH], "little") & ~int(Capabilities.CLIENT_SSL)
    flags |= int(Capabilities.CLIENT_SSL) if tls else 0
    return bytes(uint_4(flags)) + head[FLAGS_WIDTH:]


def counted(answer: bytes) -> bytes:
    """An answer behind its length in one byte. PeerProtocolError when it is too long for that."""
    if len(answer) > 0xFF:
        raise PeerProtocolError("the password is too long for this client's form of login")
    return bytes((len(answer),)) + answer
