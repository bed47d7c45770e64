"""The table of docs/passwords.md, from logins on servers of one's own.

    python -m tests.password_table [--plugin-dir DIR] [--write FILE]

`--plugin-dir` is where MariaDB finds auth_ed25519, when its package does not bring it.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from examples.private_server import PrivateServer, find_tools, flavours
from tests.password_matrix import LEGS, Cell, Matrix, Outcome, cells

HEAD = """# Passwords between the legs

Every pair of a client's leg and a server's leg, for each authentication plugin: logins through djproxy on real servers
({versions}), made by `scripts/passwords`; a test runs the same.

*Scramble* is a hash over the server's nonce, *RSA* the password encrypted, *clear* the password itself; the arrow leads
from the client's leg to the server's. Cold is caching_sha2_password's cache after FLUSH PRIVILEGES, warm after a login.
*Changed* is a login by COM_CHANGE_USER. The client is PyMySQL, for ed25519 MariaDB's own; MySQL's and MariaDB's command
line clients give the same outcomes where they know the plugin. A wrong password was tried for each entry, too: it is
refused with error 1045 everywhere. *As directly* compares with the same client on the same kind of leg at the server.
"""
TAIL = """
## A public key in a file

Clients may have the server's public key in a file (`mysql --server-public-key-path=…`) and encrypt their password at
once. With a cold cache, on a plain leg:

{keys}
"""


def tables() -> Iterator[str]:
    """The page, in parts."""
    parts, versions, keys = [], [], ""
    for flavour in flavours():
        with PrivateServer.start(flavour, options=OPTIONS.get(flavour, ())) as server, Matrix(server) as matrix:
            versions.append(f"{'MySQL' if flavour == 'mysql' else 'MariaDB'} {server.version.partition('-')[0]}")
            parts += [_table(matrix, plugin) for plugin in matrix.plugins]
            keys = keys or ("caching_sha2_password" in matrix.plugins and _keys(matrix)) or ""
    yield HEAD.format(versions=", ".join(versions))
    yield from parts
    yield TAIL.format(keys=keys)


OPTIONS: dict[str, list[str]] = {}


def _table(matrix: Matrix, plugin: str) -> str:
    rows: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    strange: dict[tuple[str, str], list[str]] = defaultdict(list)
    columns: list[str] = []
    for cell in cells(matrix.server.flavour):
        if cell.plugin != plugin:
            continue
        direct, (proxied, carried) = matrix.direct(cell), matrix.proxied(cell)
        pair = cell.client, cell.server
        column = _column(cell)
        if cell.right:
            if column not in columns:
                columns.append(column)
            rows[pair][column] = _entry(proxied, carried)
        elif proxied.said != "1045":
            strange[pair].append(f"wrong password: {proxied.said}")
        if proxied.said != direct.said:
            strange[pair].append(f"{column}: directly {direct.said}")
    lines = [
        f"## {plugin}\n",
        f"| client's leg | server's leg | {' | '.join(columns)} | as directly |",
        "|---|---|" + "---|" * (len(columns) + 1),
    ]
    for client in LEGS:
        for server in LEGS:
            entries = " | ".join(rows[client, server][column] for column in columns)
            lines.append(f"| {client} | {server} | {entries} | {'; '.join(strange[client, server]) or 'yes'} |")
    if plugin == "sha256_password":
        lines.append(
            "\nMySQL does not take this plugin's password in the clear over a socket, and PyMySQL sends it so."
        )
    return "\n".join(lines) + "\n"


def _column(cell: Cell) -> str:
    cache = "" if cell.cache == "none" else f"{cell.cache} "
    return f"{cache}{'login' if cell.way == 'connect' else 'changed'}".strip()


def _entry(outcome: Outcome, carried: str) -> str:
    if outcome.said != "ok":
        return outcome.said
    return f"ok, {outcome.form} → {carried}" if outcome.form else "ok"


def _keys(matrix: Matrix) -> str:
    lines = ["| server's leg | the server's key | djproxy's key |", "|---|---|---|"]
    for server in LEGS:
        cell = Cell("plain", server, "caching_sha2_password", "cold", True, "connect")
        said = [matrix.with_key(cell, key, directly=False).said for key in (matrix.servers_key, matrix.own_key)]
        lines.append(f"| {server} | {said[0]} | {said[1]} |")
    return "\n".join([*lines, "\nError 1043 is djproxy's own and says what to do; 1045 is the server's."])


def main() -> int:
    """Print the page, or write it."""
    parser = argparse.ArgumentParser(prog="scripts/passwords", description="Passwords between every pair of legs.")
    parser.add_argument("--plugin-dir", type=Path, help="where MariaDB finds auth_ed25519")
    parser.add_argument("--write", type=Path, help="a file for the page, instead of stdout")
    arguments = parser.parse_args()
    if arguments.plugin_dir and find_tools("mariadb"):
        OPTIONS["mariadb"] = [f"--plugin-dir={arguments.plugin_dir}"]
    page = "\n".join(tables())
    if arguments.write:
        arguments.write.write_text(page, encoding="utf-8")
    else:
        sys.stdout.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
