"""What the observer says about a connection. `connection` is a number that is unique within one run of the proxy.

Events are past tense: each tells of something that the server has already granted, and is given out before the
bytes that carry the server's answer go to the client; only `Answered` comes when all of a result has gone there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Connected:
    """The server accepted the login. `collation` is the number the client asked for; 0 when it gave none."""

    connection: int
    thread_id: int
    user: str
    schema: str | None
    collation: int


@dataclass(frozen=True, slots=True)
class SchemaChanged:
    """The default schema is another now, by COM_INIT_DB or as the server's session tracking says."""

    connection: int
    schema: str | None


@dataclass(frozen=True, slots=True)
class SessionReset:
    """COM_RESET_CONNECTION: the default schema stays; settings, variables and prepared statements are gone."""

    connection: int


@dataclass(frozen=True, slots=True)
class UserChanged:
    """COM_CHANGE_USER: a new session in all but the connection."""

    connection: int
    user: str
    schema: str | None
    collation: int


class Executed(NamedTuple):
    """A statement that may read rows or sets what later ones mean, in full, as the client sent it.

    `parameters` holds the values of a prepared statement as SQL literals, to be put in the place of its `?`;
    None means a text statement, in which a `?` is no placeholder. `length` is the statement's, in bytes. (A tuple, for
    every statement makes one while its client waits.)
    """

    connection: int
    sql: bytes
    parameters: tuple[str, ...] | None
    length: int


class KeyColumn(NamedTuple):
    """A column of a result whose values were kept, as the server described it.

    `schema`, `table` (the alias it goes by), `org_table` and `org_name` say where it comes from, `name` is the label of
    the result, `charset` the character set of its values, "binary" for bytes and for all that is no text.
    """

    schema: str
    table: str
    org_table: str
    org_name: str
    name: str
    charset: str


@dataclass(frozen=True, slots=True)
class Answered:
    """The result of the statement executed last on this connection has come to its end.

    `statement` is the CRC-32 of that one's `sql`. `rows` counts what the client was sent; `digest` is that of
    `graph.digest`, None where there is none. `keys` holds the values of `columns`, row by row, encoded as rows of the
    text protocol; None when they were not kept: `dropped` says why, where they were asked for. `broken` says why the
    result did not come to its end, "" when it did.
    """

    connection: int
    statement: int
    rows: int
    digest: str | None
    columns: tuple[KeyColumn, ...]
    keys: bytes | None
    dropped: str
    broken: str


@dataclass(frozen=True, slots=True)
class Noted:
    """A statement that reads no rows, or whose text is a secret: only what it was about, never its text."""

    connection: int
    verb: str
    table: str
    length: int


@dataclass(frozen=True, slots=True)
class Unread:
    """A statement that may have read rows and could not be kept; `reason` is for people."""

    connection: int
    verb: str
    length: int
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """From here on nothing of this connection is recorded; it goes on all the same."""

    connection: int
    reason: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection ended."""

    connection: int


Event = Connected | SchemaChanged | SessionReset | UserChanged | Executed | Answered | Noted | Unread | Lost | Closed
