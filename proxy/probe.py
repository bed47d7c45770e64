"""A look at the server before recording: is it there, does it speak MySQL, is it a djproxy?

The look ends with a login that is refused, and not by hanging up: a server counts those who leave during the handshake
(`max_connect_errors`) and in the end shuts the whole host out.
"""

from __future__ import annotations

import socket  # noqa: TID251
import ssl  # noqa: TID251
import struct
from collections.abc import Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

from graph.database import ServerAddress
from proxy.errors import InputError, ServerError
from proxy.paths import RunningProxy
from proxy.security import AS_CLIENT, ServerTls, ServerTrust
from proxy.tls import client_context

_SECONDS = 10.0
_LARGEST_PACKET = 1 << 16

#: LONG_PASSWORD, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH
_CAPABILITIES = 0x00000001 | 0x00000200 | 0x00008000 | 0x00080000
_SSL = 0x00000800
_CHARSET = 45
_USER = b"djproxy"
#: The name in the certificate that a djproxy makes for itself.
_OWN_NAME = "djproxy"

_GREETING, _ERROR, _OK = 0x0A, 0xFF, 0x00


def addresses(host: str, port: int) -> set[tuple[str, int]]:
    """The addresses that a name stands for. Raises ServerError for an unknown one."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ServerError(f"the server {host} is not known ({error}); check --server") from error
    return {(str(address[0]).removeprefix("::ffff:"), port) for *_, address in found}


def refuse_own(server: ServerAddress, running: Sequence[RunningProxy]) -> None:
    """Raises InputError when the server is one of the running proxies, under whatever name; ServerError as above."""
    if server.socket:
        for proxy in running:
            if not proxy.port and server.socket.exists() and server.socket.samefile(proxy.host):
                raise _is_djproxy(server, f" (pid {proxy.pid}, recording paper {proxy.paper})")
        return
    wanted = addresses(server.host, server.port)
    for proxy in running:
        if proxy.port != server.port:
            continue
        if proxy.host in ("0.0.0.0", "::"):
            taken = any(_is_here(address) for address, _ in wanted)
        else:
            taken = bool(wanted & addresses(proxy.host, proxy.port))
        if taken:
            raise _is_djproxy(server, f" (pid {proxy.pid}, recording paper {proxy.paper})")


def _is_djproxy(server: ServerAddress, which: str = "") -> InputError:
    return InputError(
        f"the server {server} is itself a djproxy{which}: name the real server with --server "
        "(DJ_HOST and DataJoint's settings may still name the proxy)"
    )


def _is_here(address: str) -> bool:
    """Whether an address belongs to this machine: only then can a socket be bound to it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        try:
            trial.bind((address, 0))
        except OSError:
            return False
    return True


def probe(server: ServerAddress, trust: ServerTrust = AS_CLIENT, seconds: float = _SECONDS) -> None:
    """Raises ServerError when nothing answers there as a MySQL server does, or its TLS is not what `trust` asks for,
    InputError when a djproxy answers, or the files of `trust` cannot be used."""
    context = _context(trust)
    try:
        with _connected(server, seconds) as connection:
            _Conversation(connection, server, trust.mode, context).run()
    except ssl.SSLCertVerificationError as error:
        raise ServerError(
            f"the server {server} shows a certificate that is not accepted ({error.verify_message}): "
            f"check --server-ca, or choose another --server-tls than {trust.mode}"
        ) from error
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ServerError(f"the server {server} cannot be reached ({reason}); check --server") from error


def _connected(server: ServerAddress, seconds: float) -> socket.socket:
    if not server.socket:
        return socket.create_connection((server.host, server.port), timeout=seconds)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(str(server.socket))
    except BaseException:
        connection.close()
        raise
    return connection


def _context(trust: ServerTrust) -> ssl.SSLContext:
    try:
        context = client_context(trust)
    except (OSError, ValueError) as error:
        files = ", ".join(str(path) for path in (trust.authority, trust.certificate, trust.key) if path)
        raise InputError(f"the certificates for the server ({files}) cannot be used ({error})") from error
    if not trust.mode.verified:
        # Nothing is sent that anybody might want to overhear; old servers are looked at, too.
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    return context


class _Conversation:
    """One look."""

    def __init__(
        self, connection: socket.socket, server: ServerAddress, mode: ServerTls, context: ssl.SSLContext
    ) -> None:
        self._connection = connection
        self._server = server
        self._mode = mode
        self._context = context
        self._sequence = 0

    def run(self) -> None:
        """Greeting, TLS where offered, a login that fails."""
        greeting = self._receive()
        if greeting[:1] == bytes([_ERROR]):
            raise ServerError(f"the server {self._server} refuses: {_message(greeting)}")
        if greeting[:1] != bytes([_GREETING]):
            raise self._foreign()
        capabilities = _CAPABILITIES
        if _capabilities(greeting) & _SSL:
            capabilities |= _SSL
            self._send(_login_head(capabilities))
            self._turn_to_tls()
        self._send(_login_head(capabilities) + _USER + b"\0" + b"\0" + b"mysql_native_password\0")
        while (answer := self._receive())[:1] not in (bytes([_ERROR]), bytes([_OK])):
            # An authentication switch or more data: no password.
            self._send(b"")
        if answer[:1] == bytes([_OK]):
            self._sequence = 0
            self._send(b"\x01")
        if self._mode.required and not capabilities & _SSL:
            raise ServerError(
                f"the server {self._server} offers no TLS, which --server-tls {self._mode} asks for: "
                "give the server TLS, or choose another mode"
            )

    def _turn_to_tls(self) -> None:
        name = self._server.host if self._mode is ServerTls.VERIFY_FULL else None
        leg = self._context.wrap_socket(self._connection, server_hostname=name)
        self._connection = leg
        if _common_name(leg.getpeercert(binary_form=True)) == _OWN_NAME:
            raise _is_djproxy(self._server)

    def _receive(self) -> bytes:
        head = self._take(4)
        length = int.from_bytes(head[:3], "little")
        if length > _LARGEST_PACKET:
            raise self._foreign()
        self._sequence = head[3] + 1
        return self._take(length)

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._connection.recv(size - len(data))
            if not piece:
                raise self._foreign()
            data += piece
        return data

    def _send(self, payload: bytes) -> None:
        head = len(payload).to_bytes(3, "little") + bytes([self._sequence & 0xFF])
        self._sequence += 1
        self._connection.sendall(head + payload)

    def _foreign(self) -> ServerError:
        return ServerError(f"what answers at {self._server} is no MySQL server; check --server")


def _login_head(capabilities: int) -> bytes:
    return struct.pack("<IIB23x", capabilities, 1 << 24, _CHARSET)


def _message(packet: bytes) -> str:
    """The text of an error packet, with its number; there is no SQL state before the greeting."""
    number = int.from_bytes(packet[1:3], "little")
    return f"{packet[3:].decode('utf-8', 'replace')} (error {number})"


def _capabilities(greeting: bytes) -> int:
    """The capability bits of a greeting: version, thread id (4), nonce (8), 0, lower half, charset, status, upper."""
    end = greeting.find(b"\0", 1)
    words = greeting[end + 14 : end + 21]
    if end < 0 or len(words) < 7:
        return 0
    return int.from_bytes(words[:2], "little") | int.from_bytes(words[5:7], "little") << 16


def _common_name(certificate: bytes | None) -> str:
    if not certificate:
        return ""
    try:
        names = x509.load_der_x509_certificate(certificate).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return ""
    return str(names[0].value) if names else ""
