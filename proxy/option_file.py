"""MySQL option files (`--defaults-file`), as far as a client's connection goes.

Rules: dev.mysql.com/doc/refman/8.4/en/option-files.html. `!include` is not followed, but said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from graph.database import TlsSettings
from proxy.addresses import parse_port
from proxy.errors import InputError

_GROUPS = frozenset({"client", "client-server"})
_GROUP = re.compile(r"\[\s*([^\]]*?)\s*\]")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "r": "\r", "\\": "\\", "s": " ", '"': '"', "'": "'"}
_ESCAPE = re.compile(r"\\([btnrs\\\"'])")
#: What cannot be done with these the user must know, for the connection would not be what they asked for.
_UNSUPPORTED = frozenset({"ssl-capath", "ssl-crl", "ssl-crlpath", "ssl-cipher", "tls-version", "ssl-passphrase"})
_OFF = frozenset({"0", "off", "false", "disabled"})


@dataclass(frozen=True, slots=True)
class OptionFile:
    """What the [client] group says; None where it says nothing. The password is in no repr."""

    host: str | None
    port: int | None
    user: str | None
    password: str | None
    socket: Path | None
    tls: TlsSettings

    def __repr__(self) -> str:
        return f"OptionFile(host={self.host!r}, port={self.port!r}, user={self.user!r})"


def read_option_file(path: Path) -> OptionFile:
    """Raises InputError when the file cannot be read or holds what cannot be followed."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the option file {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the option file {path} is not UTF-8 text (byte {error.start})") from error
    return parse_option_file(text, str(path))


def parse_option_file(text: str, name: str) -> OptionFile:
    """As `read_option_file`, from the text; `name` is for messages."""
    options: dict[str, str] = {}
    group = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line.startswith("!"):
            raise InputError(f"{name}, line {number}: {line.split()[0]} is not supported; write the options themselves")
        if heading := _GROUP.match(line):
            group = heading.group(1).lower()
            continue
        if group in _GROUPS:
            key, _, value = line.partition("=")
            options[_key(key)] = _value(value)
    if unsupported := sorted(_UNSUPPORTED & options.keys()):
        raise InputError(f"{name}: the option {', '.join(unsupported)} is not supported here; take it out")
    return OptionFile(
        host=options.get("host"),
        port=parse_port(options["port"]) if "port" in options else None,
        user=options.get("user"),
        password=options.get("password"),
        socket=Path(options["socket"]) if options.get("socket") else None,
        tls=_tls(options, name),
    )


def _key(written: str) -> str:
    return written.strip().lower().replace("_", "-").removeprefix("loose-")


def _value(written: str) -> str:
    """The value: a comment cut off, quotes taken away, escapes resolved."""
    value = _without_comment(written).strip()
    if len(value) > 1 and value[0] in "'\"" and value[-1] == value[0]:
        value = value[1:-1]
    return _ESCAPE.sub(lambda match: _ESCAPES[match.group(1)], value)


def _without_comment(written: str) -> str:
    quote = ""
    escaped = False
    for position, character in enumerate(written):
        if character in "'\"" and not escaped:
            quote = "" if quote == character else quote or character
        if character == "#" and not quote:
            return written[:position]
        escaped = character == "\\" and not escaped and bool(quote)
    return written


def _tls(options: dict[str, str], name: str) -> TlsSettings:
    """ssl-mode as MySQL has it, `ssl`, `skip-ssl` and `ssl-verify-server-cert` as MariaDB has them."""
    mode = options.get("ssl-mode", "PREFERRED").upper()
    if mode not in _MODES:
        raise InputError(f"{name}: ssl-mode {mode!r} is none of {', '.join(_MODES)}")
    disabled, required, verified, check_host_name = _MODES[mode]
    if "skip-ssl" in options or "disable-ssl" in options or options.get("ssl", "1").lower() in _OFF:
        disabled = True
    elif "ssl" in options:
        required = True
    if "ssl-verify-server-cert" in options and options["ssl-verify-server-cert"].lower() not in _OFF:
        required = check_host_name = True
    if verified and not options.get("ssl-ca"):
        raise InputError(f"{name}: ssl-mode {mode} needs ssl-ca, the authority to verify with")
    return TlsSettings(
        disabled=disabled,
        required=required,
        authority=_path(options, "ssl-ca"),
        certificate=_path(options, "ssl-cert"),
        key=_path(options, "ssl-key"),
        check_host_name=check_host_name,
    )


def _path(options: dict[str, str], key: str) -> Path | None:
    return Path(options[key]) if options.get(key) else None


#: ssl-mode → disabled, required, verified, host name checked
_MODES = {
    "DISABLED": (True, False, False, False),
    "PREFERRED": (False, False, False, False),
    "REQUIRED": (False, True, False, False),
    "VERIFY_CA": (False, True, True, False),
    "VERIFY_IDENTITY": (False, True, True, True),
}
