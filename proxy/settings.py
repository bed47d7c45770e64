"""Which server, which user: options first, then what DataJoint itself would use.

DataJoint 2.x reads `datajoint.json` (looked for upwards to the root of the repository), `.secrets/` beside it or
/run/secrets/datajoint, and DJ_HOST, DJ_PORT, DJ_USER, DJ_PASS; 0.14 reads `dj_local_conf.json` in the working
folder, else `~/.datajoint_config.json`, and DJ_HOST, DJ_USER, DJ_PASS. The environment wins over the files in both.
One file is used, never two mixed: a password belongs to the host beside which it stands.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from graph.database import Credentials, ServerAddress, TlsSettings
from proxy.addresses import MYSQL_PORT, parse_address, parse_port
from proxy.errors import InputError
from proxy.option_file import OptionFile, read_option_file

CONFIG = "datajoint.json"
SECRETS = ".secrets"
SYSTEM_SECRETS = Path("/run/secrets/datajoint")
LOCAL_CONFIG = "dj_local_conf.json"
GLOBAL_CONFIG = ".datajoint_config.json"

_ON = frozenset({"1", "true", "yes", "on", "t", "y"})

#: Asks a question on the terminal (text, hidden) → answer; None where there is no terminal.
Ask = Callable[[str, bool], str | None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What settings are looked for in."""

    environment: Mapping[str, str]
    folder: Path
    user_folder: Path
    system_secrets: Path = SYSTEM_SECRETS


@dataclass(frozen=True, slots=True)
class DataJointSettings:
    """DataJoint's `database.*` settings; None where nothing says. `source` is for messages."""

    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsSettings = field(default_factory=TlsSettings)
    source: str = ""

    @property
    def address(self) -> ServerAddress | None:
        """Host and port, a port in the host before the other; None when neither is named."""
        if not self.host:
            return None if self.port is None else ServerAddress("localhost", self.port)
        address = parse_address(self.host)
        has_port = self.host.strip().endswith(f":{address.port}")
        return address if has_port or self.port is None else replace(address, port=self.port)


def datajoint_settings(surroundings: Surroundings) -> DataJointSettings:
    """What DataJoint would use here. Raises InputError for a file that cannot be read."""
    environment = surroundings.environment
    found = DataJointSettings()
    if environment.get("DJ_IGNORE_CONFIG_FILE", "").lower() not in _ON:
        found = _from_files(surroundings)
    source = "DJ_HOST" if environment.get("DJ_HOST") else found.source
    port = environment.get("DJ_PORT")
    return replace(
        found,
        host=environment.get("DJ_HOST") or found.host,
        port=parse_port(port) if port else found.port,
        user=environment.get("DJ_USER") or found.user,
        password=environment.get("DJ_PASS") or found.password,
        tls=_tls(_switch(environment["DJ_USE_TLS"])) if environment.get("DJ_USE_TLS") else found.tls,
        source=source,
    )


def _from_files(surroundings: Surroundings) -> DataJointSettings:
    config = _find_config(surroundings)
    if config is not None and config.name != CONFIG:
        return _read_config(config)
    found = DataJointSettings() if config is None else _read_config(config)
    secrets = surroundings.system_secrets if config is None else config.parent / SECRETS
    return _with_secrets(found, secrets if secrets.is_dir() else surroundings.system_secrets)


def config_file(surroundings: Surroundings) -> Path | None:
    """The settings file that DataJoint would read here."""
    ignored = surroundings.environment.get("DJ_IGNORE_CONFIG_FILE", "").lower() in _ON
    return None if ignored else _find_config(surroundings)


def _find_config(surroundings: Surroundings) -> Path | None:
    if (config := _find_upwards(surroundings.folder)) is not None:
        return config
    others = (surroundings.folder / LOCAL_CONFIG, surroundings.user_folder / GLOBAL_CONFIG)
    return next((path for path in others if path.exists()), None)


def _find_upwards(folder: Path) -> Path | None:
    """`datajoint.json` here or above, up to the root of a repository."""
    for current in (folder, *folder.parents):
        if (current / CONFIG).is_file():
            return current / CONFIG
        if (current / ".git").exists() or (current / ".hg").exists():
            return None
    return None


def config_content(path: Path) -> dict[str, Any]:
    """What a settings file holds. Raises InputError for one that cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"DataJoint's settings {path} cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(f"DataJoint's settings {path} are not valid JSON; mend the file or give --server") from error
    if not isinstance(content, dict):
        raise InputError(f"DataJoint's settings {path} are not a JSON object; mend the file or give --server")
    return content


def _read_config(path: Path) -> DataJointSettings:
    """A file of either line: keys with dots, or groups."""
    content = config_content(path)
    group = content.get("database")
    database: dict[str, Any] = dict(group) if isinstance(group, dict) else {}
    database |= {key.removeprefix("database."): value for key, value in content.items() if key.startswith("database.")}
    if database.get("backend", "mysql") != "mysql":
        raise InputError(f"DataJoint's settings {path} name a {database['backend']} server; djproxy serves MySQL only")
    port = database.get("port")
    return DataJointSettings(
        host=_text(database.get("host")),
        port=None if port is None else parse_port(str(port)),
        user=_text(database.get("user")),
        password=_text(database.get("password")),
        tls=_tls(database.get("use_tls")),
        source=str(path),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _switch(text: str) -> bool:
    return text.strip().lower() in _ON


def _tls(value: object) -> TlsSettings:
    """`use_tls`: None as the server offers, a switch, or (0.14) PyMySQL's own dictionary."""
    if isinstance(value, dict):
        path = {key: Path(str(value[key])) for key in ("ca", "cert", "key") if value.get(key)}
        return TlsSettings(
            required=True,
            authority=path.get("ca"),
            certificate=path.get("cert"),
            key=path.get("key"),
            check_host_name=bool(value.get("check_hostname", False)),
        )
    return TlsSettings(disabled=value is False, required=value is True)


def _with_secrets(settings: DataJointSettings, folder: Path) -> DataJointSettings:
    """The user and password that files of the secrets folder hold, where the settings have none."""
    return replace(
        settings,
        user=settings.user if settings.user is not None else _secret(folder / "database.user"),
        password=settings.password if settings.password is not None else _secret(folder / "database.password"),
    )


def _secret(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip() if path.is_file() else None
    except OSError as error:
        raise InputError(f"DataJoint's secret {path} cannot be read ({error.strerror})") from error


def server_to_record(option: str | None, surroundings: Surroundings) -> ServerAddress:
    """The server that `record` goes before: the option, DJPROXY_SERVER, DataJoint's, localhost:3306.

    Raises InputError for what is no address.
    """
    chosen = option or surroundings.environment.get("DJPROXY_SERVER")
    if chosen:
        return parse_address(chosen)
    return datajoint_settings(surroundings).address or ServerAddress("localhost", MYSQL_PORT)


def login(
    server: str | None,
    user: str | None,
    defaults_file: Path | None,
    recorded: str | None,
    surroundings: Surroundings,
    ask: Ask,
) -> tuple[ServerAddress, Credentials]:
    """Where and as whom `export` and `verify` connect.

    Address: `server`, the option file's, `recorded` (the recording's own), DataJoint's, localhost:3306. User and
    password: `user` and the option file; without an option file DataJoint's; what is missing is asked for. A
    password goes only with the user it was written for. Raises InputError.
    """
    options = read_option_file(defaults_file) if defaults_file is not None else None
    found = DataJointSettings() if options else datajoint_settings(surroundings)
    address = _address(server, options, recorded, found)
    known_user = options.user if options else found.user
    known_password = options.password if options else found.password
    chosen = user or known_user or ask(f"User at {address}", False)
    if not chosen:
        raise InputError(
            "no user is known: give --user, a --defaults-file with user and password, or DJ_USER and DJ_PASS"
        )
    password = known_password if chosen == known_user or known_user is None else None
    if password is None:
        password = ask(f"Password of {chosen} at {address}", True) or ""
    return address, Credentials(chosen, password, options.tls if options else found.tls)


def _address(
    server: str | None, options: OptionFile | None, recorded: str | None, found: DataJointSettings
) -> ServerAddress:
    if server:
        return parse_address(server)
    if options and options.socket and options.host in (None, "localhost"):
        return ServerAddress("localhost", options.port or MYSQL_PORT, options.socket)
    if options and options.host:
        return ServerAddress(options.host, options.port or MYSQL_PORT)
    if recorded and recorded.startswith("/"):
        return ServerAddress(socket=Path(recorded))
    if recorded:
        address = parse_address(recorded)
        return replace(address, port=options.port) if options and options.port else address
    return found.address or ServerAddress("localhost", MYSQL_PORT)
