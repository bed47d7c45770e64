"""For tests of the connection phase: packets of both ends, and a handshake that remembers what it sent."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import rsa
from mysql_mimic.types import Capabilities

from proxy.handshake import Done, Fail, Handshake, Send, StartTls
from proxy.passwords import PasswordKey
from proxy.protocol import Side
from proxy.security import ClientTls, Legs, ServerTls

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


def legs_wire(client: ClientTls = ClientTls.PREFER, server: ServerTls = ServerTls.AS_CLIENT, **sockets: bool) -> Wire:
    return Wire(Handshake(Legs(client, server, **sockets), KEY))


def scrambled(flags: int = CLIENT_FLAGS) -> bytes:
    return head(flags) + b"ann\0" + b"\x20" + b"s" * 32 + b"lab\0" + b"caching_sha2_password\0"
