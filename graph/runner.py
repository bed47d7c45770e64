"""Running `dump.sh` with the credentials that the export was given."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from graph.bundle import Bundle
from graph.children import guarded
from graph.database import Credentials, ServerAddress, TlsSettings
from graph.errors import ScriptError

#: Descriptors from here on collide with none of bash's: scripts use low ones.
_LOWEST_DESCRIPTOR: Final = 100

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
    with (
        option_file(address, credentials, flavour) as options,
        guarded(
            ["bash", str(bundle.dump_script)],
            {"MYSQL_DEFAULTS_FILE": str(options.path)},
            options.descriptors,
            options.files,
        ) as process,
    ):
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said = [*said[-9:], line.rstrip("\n")]
            if progress is not None:
                progress(said[-1])
        # It has said all, but not yet ended: what follows would end it.
        process.wait()
    if process.returncode != 0:
        raise ScriptError(f"{bundle.dump_script} stopped:", said)
    return bundle.publish / "slice.sql"


@dataclass(frozen=True, slots=True)
class OptionFile:
    """Where a program that inherits the descriptors can read it; `files` are on disk, to be removed at the end."""

    path: Path
    descriptors: tuple[int, ...] = ()
    files: tuple[Path, ...] = ()


@contextmanager
def option_file(address: ServerAddress, credentials: Credentials, flavour: str) -> Iterator[OptionFile]:
    """A MySQL option file for the command-line tools, readable by us alone, for as long as the context lasts.

    On Linux it is in memory, and gone with the processes that have it open. Elsewhere it is a file.
    """
    data = "\n".join(["[client]", *_lines(address, credentials, flavour), ""]).encode("utf-8")
    descriptor = _in_memory(data)
    if descriptor is None:
        with tempfile.TemporaryDirectory(prefix="djproxy-", ignore_cleanup_errors=True) as folder:
            path = Path(folder, "client.cnf")
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
            yield OptionFile(path, files=(Path(folder),))
        return
    try:
        yield OptionFile(_opened_anew(descriptor), (descriptor,))
    finally:
        os.close(descriptor)


def _in_memory(data: bytes) -> int | None:
    """A descriptor of a file in memory, that can be opened any number of times; None where there is no such thing."""
    if sys.platform != "linux":
        return None
    low = descriptor = -1
    try:
        low = os.memfd_create("djproxy-login")
        descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _LOWEST_DESCRIPTOR)
        # The tools ignore option files that everybody may write.
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, data)
        if _opened_anew(descriptor).read_bytes() == data:
            return descriptor
    except OSError:
        pass
    finally:
        if low >= 0:
            os.close(low)
    if descriptor >= 0:
        os.close(descriptor)
    return None


def _opened_anew(descriptor: int) -> Path:
    """The path by which a process reads a file that it has open, from the start."""
    return Path(f"/dev/fd/{descriptor}")


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
