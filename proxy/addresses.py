"""HOST[:PORT], or the path of a unix socket, as people write it."""

from __future__ import annotations

import re
from pathlib import Path

from graph.database import ServerAddress
from proxy.errors import InputError

MYSQL_PORT = 3306

#: A bracketed IPv6 address, a name or IPv4 address, or a bare IPv6 address (which then has no port).
_FORM = re.compile(r"(?:\[(?P<six>[^\[\]]+)\]|(?P<name>[^:\s\[\]/@]*))(?::(?P<port>[^:]*))?\Z")
_PATHS = ("/", "./", "../", "~/")
_BARE_SIX = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.%\w]*\Z")


def parse_address(text: str, *, lowest_port: int = 1) -> ServerAddress:
    """Host and port; an IPv6 address with a port stands in brackets; a path is a socket's. Raises InputError."""
    text = text.strip()
    if text.startswith(_PATHS):
        return ServerAddress(socket=Path(text).expanduser().absolute())
    if _BARE_SIX.match(text):
        return ServerAddress(text, MYSQL_PORT)
    match = _FORM.match(text)
    host = match and (match["six"] or match["name"])
    if match is None or not host:
        raise InputError(f"{text!r} is not an address: write HOST, HOST:PORT, [IPV6]:PORT or /PATH/OF/SOCKET")
    return ServerAddress(host, MYSQL_PORT if match["port"] is None else parse_port(match["port"], lowest=lowest_port))


def parse_port(text: str, *, lowest: int = 1) -> int:
    """A TCP port. Raises InputError."""
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= 65535):
        raise InputError(f"{text!r} is not a port: it must be a number from {lowest} to 65535")
    return int(text)


def format_address(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def format_server(address: ServerAddress) -> str:
    """A socket's path, else as `format_address`."""
    return str(address.socket) if address.socket else format_address(address.host, address.port)
