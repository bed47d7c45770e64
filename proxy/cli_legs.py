"""The options of `record` for the two legs: TLS, certificates, sockets, timeouts; and the command `certificate`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

from proxy import terminal
from proxy.certificates import Certificate
from proxy.cli_common import option_group
from proxy.errors import InputError
from proxy.passwords import PUBLIC_KEY_FILE
from proxy.paths import Home
from proxy.recording import own_certificate, own_password_key
from proxy.relay_options import CONNECT_SECONDS, LOGIN_SECONDS, RelayOptions
from proxy.security import ClientTls, ServerTls, ServerTrust
from proxy.terminal import say
from proxy.unix_socket import PRIVATE

_FILE = click.Path(path_type=Path)
_SECONDS = click.FloatRange(min=0)


def _mode(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """A file's mode in octal digits."""
    if value is None:
        return None
    try:
        mode = int(value, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise click.BadParameter("must be octal digits, such as 600 or 660", param=parameter)
    return mode


_OPTIONS = (
    click.option(
        "--client-tls",
        type=click.Choice([mode.value for mode in ClientTls]),
        default=ClientTls.PREFER.value,
        show_default=True,
        help="TLS between clients and djproxy.",
    ),
    click.option(
        "--server-tls",
        type=click.Choice([mode.value for mode in ServerTls]),
        default=ServerTls.AS_CLIENT.value,
        show_default=True,
        help="TLS between djproxy and the server.",
    ),
    click.option("--tls-cert", metavar="FILE", type=_FILE, help="Certificate to show to clients (PEM)."),
    click.option("--tls-key", metavar="FILE", type=_FILE, help="Its private key (PEM)."),
    click.option(
        "--server-ca", metavar="FILE", type=_FILE, help="Authorities for verify-ca and verify-full; default: system's."
    ),
    click.option("--server-cert", metavar="FILE", type=_FILE, help="Certificate to show to the server (PEM)."),
    click.option("--server-key", metavar="FILE", type=_FILE, help="Its private key (PEM)."),
    click.option(
        "--socket-mode", metavar="MODE", callback=_mode, help="Mode of the socket that is listened on; default: 600."
    ),
    click.option(
        "--login-timeout",
        metavar="SECONDS",
        type=_SECONDS,
        default=LOGIN_SECONDS,
        show_default=True,
        help="How long a client may say nothing while logging in; 0: as long as the server lets it.",
    ),
    click.option(
        "--connect-timeout",
        metavar="SECONDS",
        type=click.FloatRange(min=0, min_open=True),
        default=CONNECT_SECONDS,
        show_default=True,
        help="How long the server may take to accept a connection and greet.",
    ),
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the options say of the two legs."""

    certificate: Certificate | None
    options: RelayOptions
    socket_mode: int | None

    def for_listener(self, listens_on_socket: bool) -> RelayOptions:
        """Raises InputError when a mode is given for a socket that is none."""
        if self.socket_mode is not None and not listens_on_socket:
            raise InputError("--socket-mode is for a socket: give --listen the path of one")
        return self.options


def _gather(
    client_tls: str,
    server_tls: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    server_ca: Path | None,
    server_cert: Path | None,
    server_key: Path | None,
    socket_mode: int | None,
    login_timeout: float,
    connect_timeout: float,
) -> Chosen:
    options = RelayOptions(
        client_tls=ClientTls(client_tls),
        trust=_trust(ServerTls(server_tls), server_ca, server_cert, server_key),
        socket_mode=PRIVATE if socket_mode is None else socket_mode,
        login_seconds=login_timeout,
        connect_seconds=connect_timeout,
    )
    return Chosen(_pair("--tls-cert", tls_cert, "--tls-key", tls_key), options, socket_mode)


leg_options = option_group("legs", _gather, _OPTIONS)
"""Adds the options to a command, which is given them as `legs`."""


def _trust(mode: ServerTls, authority: Path | None, certificate: Path | None, key: Path | None) -> ServerTrust:
    if authority is not None and not mode.verified:
        raise InputError(
            "--server-ca is for --server-tls verify-ca or verify-full; with other modes nothing is verified"
        )
    if certificate is not None and mode is ServerTls.DISABLE:
        raise InputError("--server-cert is shown over TLS only; take --server-tls disable away")
    pair = _pair("--server-cert", certificate, "--server-key", key)
    if authority is not None:
        _check_readable(authority)
    return ServerTrust(mode, authority, pair.chain if pair else None, pair.key if pair else None)


def _pair(first: str, certificate: Path | None, second: str, key: Path | None) -> Certificate | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise InputError(f"{first} and {second} belong together: give both or none")
    for path in (certificate, key):
        _check_readable(path)
    return Certificate(certificate, key)


def _check_readable(path: Path) -> None:
    if not os.access(path, os.R_OK) or path.is_dir():
        raise InputError(f"the file {path} cannot be read")


@click.command()
@click.pass_obj
def certificate(home: Home) -> int:
    """Print the authority that clients are to trust, and say where it lies."""
    home.create()
    found = own_certificate(home.certificates)
    own_password_key(home.certificates)
    assert found.authority is not None
    terminal.text(found.authority.read_text(encoding="ascii"))
    say(f"the authority that clients are to trust (--ssl-ca): {found.authority}")
    say(f"djproxy's key for passwords without TLS (--server-public-key-path): {home.certificates / PUBLIC_KEY_FILE}")
    return 0
