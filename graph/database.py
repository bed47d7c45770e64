"""The connection to the server that is read: the only place in `graph` that opens one."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import pymysql  # noqa: TID251
from pymysql.cursors import SSCursor  # noqa: TID251

from graph import quoting
from graph.answer import Answer, Protocol
from graph.collations import nearest
from graph.errors import ConnectionLost, GrantError, ServerError, StatementError
from graph.names import TableName
from graph.statement import Session

CONNECT_SECONDS = 20

#: Of the connection: what texts are sent in.
CHARSET = "utf8mb4"

#: ER_DBACCESS_DENIED, ER_TABLEACCESS_DENIED, ER_COLUMNACCESS_DENIED
_DENIED = frozenset({1044, 1142, 1143})
#: ER_ACCESS_DENIED, its form without a password, ER_ACCOUNT_HAS_BEEN_LOCKED, ER_MUST_CHANGE_PASSWORD_LOGIN,
#: ER_HOST_NOT_PRIVILEGED, ER_DBACCESS_DENIED
_LOGIN_REFUSED = frozenset({1045, 1698, 3118, 1862, 1130, 1044})
#: Connection closed, gone away, lost, killed; server shutting down
_CONNECTION_LOST = frozenset({0, 2006, 2013, 2055, 1927, 1053, 1079, 4031})

#: ER_CONNECTION_KILLED: somebody wanted that.
_ENDED = frozenset({1927})
#: ER_TABLE_DEF_CHANGED: of a table that was altered after the snapshot began, MySQL shows nothing.
_DEFINITION_CHANGED = 1412
#: ER_UNSUPPORTED_PS
_NOT_PREPARABLE = 1295

#: What `graph` itself runs under: mysqldump's settings, so that a restriction means the same in both.
_OWN_SETTINGS = "sql_mode='', time_zone='+00:00', sql_quote_show_create=1"


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """`required` or an authority make TLS a must; otherwise it is used where the server offers it."""

    disabled: bool = False
    required: bool = False
    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    check_host_name: bool = False


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server listens; a socket goes before host and port."""

    host: str = "localhost"
    port: int = 3306
    socket: Path | None = None

    def __str__(self) -> str:
        return str(self.socket) if self.socket else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who logs in; the password is in no repr."""

    user: str
    password: str = field(default="", repr=False)
    tls: TlsSettings = field(default_factory=TlsSettings)


class Database:
    """One connection, without converters: text is str, binary bytes, numbers and times are the server's text.

    Its session is in UTC with an empty sql_mode, as mysqldump's. Use it as a context manager, or close it.
    """

    def __init__(self, connect: Callable[[], pymysql.Connection[Any]], address: ServerAddress) -> None:
        self._connect = connect
        self.address = address
        self.reconnect()

    def reconnect(self) -> None:
        """A new connection, with a session as new. Raises ServerError."""
        self._connection = self._connect()
        self._in_snapshot = False
        self._run(f"SET SESSION {_OWN_SETTINGS}")
        self.version = str(self.value("SELECT VERSION()"))
        # MySQL 8 has it: to start threads takes many times longer than to count most tables, and whoever works on the
        # server wants its processors too.
        with suppress(StatementError):
            self._run("SET SESSION innodb_parallel_read_threads = 1")
        user, _, host = str(self.value("SELECT CURRENT_USER()")).rpartition("@")
        self._account = f"{quoting.string_literal(user)}@{quoting.string_literal(host)}"
        self._collation = str(self.value("SELECT @@collation_connection"))
        self._collations: dict[str, str] = {}

    @classmethod
    def connect(cls, address: ServerAddress, credentials: Credentials) -> Self:
        """Raises ServerError when the server cannot be reached or refuses the login."""
        return cls(lambda: _connected(address, credentials), address)

    @property
    def flavour(self) -> str:
        """`mysql` or `mariadb`."""
        return "mariadb" if "mariadb" in self.version.lower() else "mysql"

    def close(self) -> None:
        if self._connection.open:
            self._connection.close()

    def abandon(self) -> None:
        """Closes the connection without reading what is left of an answer, as any other end of it would."""
        answer = self._connection._result  # type: ignore[attr-defined]
        if answer is not None:
            answer.unbuffered_active = False
        self._connection._force_close()  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """One consistent state of all tables, by plain SELECTs that block nobody.

        Within a snapshot it is that same one.
        """
        if self._in_snapshot:
            yield
            return
        self._run("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self._run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        self._in_snapshot = True
        try:
            yield
        finally:
            self._in_snapshot = False
            if self._connection.open:
                self._run("ROLLBACK")

    def rows(self, sql: str, session: Session | None = None, *, integers: bool = False) -> Iterator[tuple[Any, ...]]:
        """The rows of a SELECT, one by one; the connection is busy until all are read or the iterator closed.

        With a session the SELECT means what it meant there, and what the session did not set is the
        server's own default; without one it runs under `graph`'s own settings. With `integers`, for a SELECT of
        integers alone, they come as such and many times faster.
        Raises StatementError, GrantError or ServerError.
        """
        stream = self._integers if integers else self._stream
        if session is None:
            yield from stream(sql)
            return
        try:
            self._enter(session)
            yield from stream(sql, session.schema)
        finally:
            if self._connection.open:
                self._leave(session)

    @contextmanager
    def answer(
        self, sql: str, session: Session, protocol: Protocol = Protocol.TEXT, charset: str = CHARSET
    ) -> Iterator[Answer]:
        """A query's answer in its session's settings, its texts sent in that character set.

        The connection is busy until the context ends. Raises StatementError, GrantError or ServerError, also while
        rows are read.
        """
        try:
            self._enter(session)
            self._run(f"SET SESSION character_set_results = {quoting.string_literal(charset)}")
            answer = Answer(self._connection, sql, protocol)
            try:
                yield answer
            except (Exception, GeneratorExit):
                answer.close()
                raise
            answer.close()
        except (pymysql.err.MySQLError, OSError) as error:
            self._refuse(error, sql, session.schema)
        except (KeyboardInterrupt, SystemExit):
            # Nobody waits for the rest of an answer then.
            self.close()
            raise
        finally:
            if self._connection.open:
                self._leave(session)

    def payloads(self, sql: str) -> Generator[list[bytes], None, None]:
        """The rows of a SELECT as the text protocol sends them, as many at a time as have come.

        When it is closed before its end, so is the connection. Raises StatementError, GrantError or ServerError.
        """
        try:
            yield from Answer(self._connection, sql, Protocol.TEXT).payloads()
        except (pymysql.err.MySQLError, OSError) as error:
            self._refuse(error, sql, None)
        except BaseException:
            # Nobody waits for the rest, which may take hours.
            self.abandon()
            raise

    @contextmanager
    def answers_of(self, rows: int) -> Iterator[None]:
        """Answers have no more rows than that, until the context ends."""
        self._run(f"SET SESSION sql_select_limit = {rows}")
        try:
            yield
        finally:
            if self._connection.open:
                self._run("SET SESSION sql_select_limit = DEFAULT")

    def value(self, sql: str) -> Any:
        """The first value of the first row; None when there is no row."""
        values = [row[0] for row in self.rows(sql)]
        return values[0] if values else None

    def require_select(self, table: TableName) -> None:
        """Raises GrantError with the missing GRANT unless this account may read all of that table."""
        for _ in self._stream(f"SELECT * FROM {quoting.table(table)} LIMIT 0", table.schema):
            pass

    def use_system_schema(self) -> None:
        """Makes a schema the default one in which there are no tables of users."""
        self._run("USE information_schema")

    def require_readable(self, sql: str) -> None:
        """Raises StatementError or GrantError unless the server understands that query; it is not run."""
        self._run(f"SET @djproxy_query = {quoting.string_literal(sql)}")
        self._run("PREPARE djproxy_query FROM @djproxy_query")
        self._run("DEALLOCATE PREPARE djproxy_query")
        self._run("SET @djproxy_query = NULL")

    def _stream(self, sql: str, schema: str | None = None) -> Iterator[tuple[Any, ...]]:
        try:
            with self._connection.cursor(SSCursor) as cursor:
                cursor.execute(sql)
                while (row := cursor.fetchone()) is not None:
                    yield row
        except (pymysql.err.MySQLError, OSError) as error:
            self._refuse(error, sql, schema)

    def _integers(self, sql: str, schema: str | None = None) -> Iterator[tuple[int | None, ...]]:
        try:
            with closing(Answer(self._connection, sql, Protocol.BINARY)) as answer:
                if answer.integers:
                    for page in answer.pages():
                        yield from page
                    return
        except (pymysql.err.MySQLError, OSError) as error:
            if _code_and_text(error)[0] != _NOT_PREPARABLE:
                self._refuse(error, sql, schema)
        for row in self._stream(sql, schema):
            yield tuple([None if value is None else int(value) for value in row])

    def _run(self, sql: str, schema: str | None = None) -> None:
        for _ in self._stream(sql, schema):
            pass

    def _enter(self, session: Session) -> None:
        if session.schema is not None:
            self._run(f"USE {quoting.identifier(session.schema)}", session.schema)
        settings = [
            f"sql_mode={_setting(session.sql_mode, '@@GLOBAL.sql_mode')}",
            f"time_zone={_setting(session.time_zone, '@@GLOBAL.time_zone')}",
        ]
        if session.collation is not None:
            settings.append(f"collation_connection={quoting.string_literal(self._known(session.collation))}")
        elif session.charset is not None:
            settings.append(f"character_set_connection={quoting.string_literal(session.charset)}")
        self._run(f"SET SESSION {', '.join(settings)}")
        for name, literal in session.variables.items():
            self._run(f"SET @{quoting.identifier(name)} = {literal}")

    def _known(self, collation: str) -> str:
        """The collation, or the nearest that this server has: a recording may be of another kind of server."""
        if collation not in self._collations:
            found = (each for each in (collation, *nearest(collation)) if self._has(each))
            self._collations[collation] = next(found, collation)
        return self._collations[collation]

    def _has(self, collation: str) -> bool:
        try:
            self._run(f"SET SESSION collation_connection={quoting.string_literal(collation)}")
        except StatementError:
            return False
        return True

    def _leave(self, session: Session) -> None:
        """The default schema stays: no statement unsets it, and `graph`'s own SQL qualifies every name."""
        self._run(
            f"SET SESSION {_OWN_SETTINGS}, collation_connection='{self._collation}', character_set_results='{CHARSET}'"
        )
        for name in session.variables:
            self._run(f"SET @{quoting.identifier(name)} = NULL")

    def _refuse(self, error: Exception, sql: str, schema: str | None) -> NoReturn:
        code, text = _code_and_text(error)
        if code in _DENIED:
            raise GrantError(_missing_grant(self._account, text, sql, schema)) from None
        if code == _DEFINITION_CHANGED:
            raise ServerError(
                f"the structure of a table was changed while the slice was computed: {text}. Export again"
            )
        if code in _CONNECTION_LOST or not self._connection.open:
            broken = ServerError if code in _ENDED else ConnectionLost
            raise broken(f"the connection to {self.address} broke: {text}") from None
        raise StatementError(f"the server refused the statement (error {code}): {text}") from None


def _connected(address: ServerAddress, credentials: Credentials) -> pymysql.Connection[Any]:
    try:
        connection = pymysql.connect(
            host=address.host,
            port=address.port,
            unix_socket=str(address.socket) if address.socket else None,
            user=credentials.user,
            password=credentials.password,
            charset=CHARSET,
            conv={},
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=CONNECT_SECONDS,
            **_tls_arguments(credentials.tls),
        )
    except (pymysql.err.MySQLError, OSError, RuntimeError) as error:
        raise _refused_connection(error, address, credentials.user) from None
    # Only the login must come within a time: PyMySQL has no other way to bound it, and a query may take hours.
    connection._read_timeout = None  # type: ignore[attr-defined]
    return connection


def _tls_arguments(tls: TlsSettings) -> dict[str, Any]:
    """PyMySQL's: none of them means TLS where the server offers it."""
    if tls.disabled:
        return {"ssl_disabled": True}
    if tls.authority or tls.certificate or tls.check_host_name:
        return {
            "ssl_ca": str(tls.authority) if tls.authority else None,
            "ssl_cert": str(tls.certificate) if tls.certificate else None,
            "ssl_key": str(tls.key) if tls.key else None,
            "ssl_verify_cert": True if tls.authority or tls.check_host_name else None,
            "ssl_verify_identity": tls.check_host_name,
        }
    return {"ssl": {"check_hostname": False}} if tls.required else {}


def _setting(recorded: str | None, default: str) -> str:
    return default if recorded is None else quoting.string_literal(recorded)


def _code_and_text(error: Exception) -> tuple[int, str]:
    arguments = error.args
    if len(arguments) >= 2 and isinstance(arguments[0], int):
        return arguments[0], str(arguments[1])
    return 0, str(error) or type(error).__name__


def _refused_connection(error: Exception, address: ServerAddress, user: str) -> ServerError:
    code, text = _code_and_text(error)
    if code in _LOGIN_REFUSED:
        return ServerError(f"server {address} refuses the login of user {user!r}: {text}")
    return ServerError(f"cannot connect to server {address} as user {user!r}: {text}")


#: `SELECT command denied to user 'u'@'h' for column 'c' in table 't'`; MariaDB writes the table as `s`.`t`.
_DENIED_TABLE = re.compile(r"(?:for|in) table '?(?:`(?P<schema>.+?)`\.)?`?(?P<table>.+?)`?'?$")
_DENIED_SCHEMA = re.compile(r"to database '(?P<schema>.+)'$")


def _missing_grant(user: str, text: str, sql: str, schema: str | None) -> str:
    """The server's refusal and the GRANT that would help; MySQL does not say of which schema the table is."""
    if found := _DENIED_SCHEMA.search(text):
        return _grant(f"{quoting.identifier(found['schema'])}.*", user, text)
    if not (found := _DENIED_TABLE.search(text)):
        return f"a right is missing: {text}"
    name = found["table"]
    schema = found["schema"] or _schema_in(sql, name) or schema
    on = quoting.table(TableName(schema, name)) if schema else f"<schema>.{quoting.identifier(name)}"
    return _grant(on, user, text)


def _grant(on: str, user: str, text: str) -> str:
    return f"a right is missing: GRANT SELECT ON {on} TO {user}; (the server says: {text})"


def _schema_in(sql: str, table: str) -> str | None:
    """The schema with which the statement names that table."""
    named = re.search(rf"(?:`((?:[^`]|``)+)`|(\w+))\s*\.\s*`?{re.escape(table)}(?!\w)", sql)
    return (named.group(1) or "").replace("``", "`") or named.group(2) if named else None
