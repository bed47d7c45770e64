"""Running `dump.sh` with the credentials that the export was given."""

from __future__ import annotations

import os
import subprocess  # noqa: TID251
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from graph.bundle import Bundle
from graph.database import Credentials, ServerAddress, TlsSettings
from graph.errors import ScriptError

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def run_dump(
    bundle: Bundle,
    address: ServerAddress,
    credentials: Credentials,
    flavour: str,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Runs a bundle's script; gives the path of slice.sql.

    `flavour` is the server's, "mysql" or "mariadb". `progress` gets each line that the script and its tools say.
    Raises ScriptError, with the last of these lines, when the script stops.
    """
    with option_file(address, credentials, flavour) as options:
        environment = os.environ | {"MYSQL_DEFAULTS_FILE": str(options)}
        with subprocess.Popen(
            ["bash", str(bundle.dump_script)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process:
            assert process.stdout is not None
            said: list[str] = []
            for line in process.stdout:
                said = [*said[-9:], line.rstrip("\n")]
                if progress is not None:
                    progress(said[-1])
    if process.returncode != 0:
        raise ScriptError(f"{bundle.dump_script} stopped:", said)
    return bundle.publish / "slice.sql"


@contextmanager
def option_file(address: ServerAddress, credentials: Credentials, flavour: str) -> Iterator[Path]:
    """A MySQL option file for the command-line tools, readable by us alone, for as long as the context lasts."""
    with tempfile.TemporaryDirectory(prefix="djproxy-") as folder:
        path = Path(folder, "client.cnf")
        text = "\n".join(["[client]", *_lines(address, credentials, flavour)]) + "\n"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(text.encode("utf-8"))
        yield path


def _lines(address: ServerAddress, credentials: Credentials, flavour: str) -> Iterator[str]:
    if address.socket is not None:
        yield f"socket={_quoted(str(address.socket))}"
    else:
        # Without it, the tools take "localhost" for the local socket.
        yield "protocol=tcp"
        yield f"host={_quoted(address.host)}"
        yield f"port={address.port}"
    yield f"user={_quoted(credentials.user)}"
    yield f"password={_quoted(credentials.password)}"
    yield from _tls_lines(credentials.tls, flavour)


def _tls_lines(tls: TlsSettings, flavour: str) -> Iterator[str]:
    files = {"ssl-ca": tls.authority, "ssl-cert": tls.certificate, "ssl-key": tls.key}
    yield from (f"{option}={_quoted(str(path))}" for option, path in files.items() if path is not None)
    if flavour == "mariadb":
        if tls.disabled:
            yield "skip-ssl"
        elif tls.check_host_name:
            yield "ssl-verify-server-cert"
        elif tls.required:
            yield "ssl"
    elif tls.disabled:
        yield "ssl-mode=DISABLED"
    elif tls.check_host_name:
        yield "ssl-mode=VERIFY_IDENTITY"
    elif tls.authority is not None:
        yield "ssl-mode=VERIFY_CA"
    elif tls.required:
        yield "ssl-mode=REQUIRED"


def _quoted(value: str) -> str:
    """A value in an option file; unquoted, a `#` would begin a comment there."""
    return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'
