"""What a relay is to know of its two ends beyond their addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from proxy.certificates import Certificate
from proxy.limits import DEFAULT, Limits
from proxy.passwords import PasswordKey
from proxy.results import NO_WATCH, Watch
from proxy.security import AS_CLIENT, ClientTls, Legs, ServerTrust
from proxy.unix_socket import PRIVATE
from proxy.workers import SharedCount

# Below the 10 seconds that servers give a client (connect_timeout): who says nothing is then not counted against us.
LOGIN_SECONDS = 8.0
CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """Sockets stand in the place of host and port; without a `certificate` clients are offered no TLS.

    `login_seconds`: how long a client may say nothing while the server waits for it, 0 as long as the server lets it;
    `connect_seconds`: how long the server may take to greet. `watch`: what is wanted of results. `shared`: where
    several processes serve the address, their count of connections, of which this one is number `process`.
    """

    listen_socket: Path | None = None
    socket_mode: int = PRIVATE
    server_socket: Path | None = None
    certificate: Certificate | None = None
    client_tls: ClientTls = ClientTls.PREFER
    trust: ServerTrust = AS_CLIENT
    password_key: PasswordKey | None = None
    login_seconds: float = LOGIN_SECONDS
    connect_seconds: float = CONNECT_SECONDS
    limits: Limits = DEFAULT
    watch: Watch = NO_WATCH
    shared: SharedCount | None = None
    process: int = 0

    @property
    def legs(self) -> Legs:
        """What the handshake has to know of the two legs."""
        return Legs(
            client=self.client_tls,
            server=self.trust.mode,
            offers=self.certificate is not None,
            client_socket=self.listen_socket is not None,
            server_socket=self.server_socket is not None,
        )


NO_OPTIONS = RelayOptions()
