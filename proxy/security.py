"""Which leg speaks TLS, and of which kind it is therefore: decided here, before anything is sent.

The names are PgBouncer's. `as-client`, the default, makes the server's leg as secure as the client's: TLS exactly when
the client speaks TLS, or trusts its unix socket as it would TLS.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from pathlib import Path


class Kind(Enum):
    """How a leg may be listened to, by which both its ends decide how a password goes over it."""

    PLAIN = auto()
    TLS = auto()
    SOCKET = auto()
    """A unix socket without TLS: nobody listens, though not every plugin believes it."""

    @property
    def secure(self) -> bool:
        """Whether a password in the clear is safe there."""
        return self is not Kind.PLAIN


class ClientTls(StrEnum):
    """TLS between clients and the proxy."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"


class ServerTls(StrEnum):
    """TLS between the proxy and the server."""

    AS_CLIENT = "as-client"
    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"

    @property
    def required(self) -> bool:
        """Whether a server without TLS is refused."""
        return self in (ServerTls.REQUIRE, ServerTls.VERIFY_CA, ServerTls.VERIFY_FULL)

    @property
    def verified(self) -> bool:
        """Whether the server's certificate is checked."""
        return self in (ServerTls.VERIFY_CA, ServerTls.VERIFY_FULL)


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """How the proxy meets the server: whom it believes (the system's authorities without a file), what it shows."""

    mode: ServerTls = ServerTls.AS_CLIENT
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


AS_CLIENT = ServerTrust()


@dataclass(frozen=True, slots=True)
class Legs:
    """What is known of the two legs before a client comes. `offers`: there is a certificate to show to clients."""

    client: ClientTls = ClientTls.PREFER
    server: ServerTls = ServerTls.AS_CLIENT
    offers: bool = True
    client_socket: bool = False
    server_socket: bool = False

    def offer(self, server_offers: bool) -> bool:
        """Whether clients are offered TLS, before a server that does or does not."""
        if not self.offers or self.client is ClientTls.DISABLE:
            return False
        return self.server is not ServerTls.AS_CLIENT or server_offers or self.server_socket

    def use(self, client_tls: bool, server_offers: bool) -> bool:
        """Whether the server's leg speaks TLS. The server is to offer it where `server.required`."""
        match self.server:
            case ServerTls.AS_CLIENT:
                secure = client_tls or (self.client_socket and not self.server_socket)
                return secure and server_offers
            case ServerTls.DISABLE:
                return False
            case ServerTls.PREFER:
                # As MySQL's own clients: a socket needs none.
                return server_offers and not self.server_socket
            case _:
                return True

    def client_kind(self, tls: bool) -> Kind:
        """The client's leg, with or without TLS."""
        return _kind(tls, self.client_socket)

    def server_kind(self, tls: bool) -> Kind:
        """The server's leg, with or without TLS."""
        return _kind(tls, self.server_socket)

    @property
    def may_differ(self) -> bool:
        """Whether the legs may turn out to be of different kinds, so that passwords have to be translated."""
        return any(
            self.client_kind(tls) is not self.server_kind(self.use(tls, server_offers))
            for server_offers in (False, True)
            if not self.refusal_of_server(server_offers)
            for tls in (False, True)
            if (not tls or self.offer(server_offers)) and not self.refuses_client(tls)
        )

    def refusal_of_server(self, server_offers: bool) -> str:
        """Why this server will not do, or nothing."""
        if self.server.required and not server_offers:
            return f"the server offers no TLS, which --server-tls {self.server} asks for"
        if self.client is ClientTls.REQUIRE and not self.client_socket and not self.offer(server_offers):
            return (
                "clients must use TLS (--client-tls require), and --server-tls as-client offers it only when the "
                "server does, which it does not; give the server TLS, or start djproxy with --server-tls prefer"
            )
        return ""

    def refuses_client(self, client_tls: bool) -> bool:
        """Whether a client must not go on; a socket counts as secure, as with require_secure_transport."""
        return self.client is ClientTls.REQUIRE and not client_tls and not self.client_socket


def _kind(tls: bool, is_socket: bool) -> Kind:
    if tls:
        return Kind.TLS
    return Kind.SOCKET if is_socket else Kind.PLAIN
