"""One side's TLS over memory: ciphertext in, plain bytes out, and the other way round.

asyncio's own `start_tls` loses what was read before it was called: an SSLRequest and a ClientHello that arrive in
one segment make it wait for ever. Here every byte comes through `receive`, so there is nothing to lose, and
nothing that came after the SSLRequest can ever be taken for plain text.
"""

from __future__ import annotations

import ssl  # noqa: TID251
from collections.abc import Mapping
from pathlib import Path

from proxy.security import AS_CLIENT, ServerTls, ServerTrust

# What one TLS record holds at most; a read gives no more than one.
READ_SIZE = 1 << 14


class TlsError(Exception):
    """The TLS handshake or the stream broke; the message says how."""


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What the proxy shows to clients. OSError or ssl.SSLError when the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def client_context(
    trust: ServerTrust = AS_CLIENT, latest: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
) -> ssl.SSLContext:
    """How the proxy meets the server; without a wish for more as MySQL clients do, encrypted and unverified.

    OSError, ssl.SSLError or ValueError when the files cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = latest
    context.check_hostname = trust.mode is ServerTls.VERIFY_FULL
    context.verify_mode = ssl.CERT_REQUIRED if trust.mode.verified else ssl.CERT_NONE
    if trust.authority is not None:
        context.load_verify_locations(trust.authority)
    elif trust.mode.verified:
        context.load_default_certs()
    if trust.certificate is not None:
        context.load_cert_chain(trust.certificate, trust.key)
    return context


def client_contexts(trust: ServerTrust = AS_CLIENT) -> Mapping[ssl.TLSVersion | None, ssl.SSLContext]:
    """The same by the version that the client's leg speaks, None for all others: a server's leg that is as the client's
    has nothing newer, for the server tells (Ssl_version) who asks. Raises as `client_context` does."""
    contexts: dict[ssl.TLSVersion | None, ssl.SSLContext] = {None: client_context(trust)}
    if trust.mode is ServerTls.AS_CLIENT:
        contexts[ssl.TLSVersion.TLSv1_2] = client_context(trust, ssl.TLSVersion.TLSv1_2)
    return contexts


class TlsLeg:
    """The TLS of one side. After each call `outgoing` gives what is to be written to the socket.

    `host` is the name that the other end's certificate must have, where the context checks it.
    """

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, host: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side, server_hostname=host)
        self._waiting: list[bytes] = []
        self.established = False
        self.ended = False

    @property
    def version(self) -> ssl.TLSVersion | None:
        """What both ends speak, once they have agreed."""
        name = self._tls.version()
        return None if name is None else ssl.TLSVersion[name.replace(".", "_")]

    def start(self) -> None:
        """Begin the handshake (a client speaks first)."""
        self._shake_hands()

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the socket, give the plain bytes that they complete. TlsError when the stream is broken."""
        self._incoming.write(data)
        if not self.established:
            self._shake_hands()
            if not self.established:
                return b""
        return self._read()

    def send(self, data: bytes) -> None:
        """Encrypt; before the handshake is over the bytes wait for its end."""
        if not self.established:
            self._waiting.append(data)
            return
        if data:
            self._tls.write(data)

    def outgoing(self) -> bytes:
        """What is to be written to the socket now."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> None:
        """Say goodbye (close_notify), so that the other end can tell an end from a cut."""
        if not self.established:
            return
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            # The other end has not said goodbye yet, or never will; ours is written all the same.
            return

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from error
        self.established = True
        for data in self._waiting:
            self.send(data)
        self._waiting.clear()

    def _read(self) -> bytes:
        found = []
        try:
            # Asking for what is not there raises, which costs more than looking first.
            while self._incoming.pending or self._tls.pending():
                if not (data := self._tls.read(READ_SIZE)):
                    self.ended = True
                    break
                found.append(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            raise TlsError(_reason(error)) from error
        return found[0] if len(found) == 1 else b"".join(found)


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted ({error.verify_message})"
    return error.reason or str(error)
