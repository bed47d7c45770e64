"""What a recording with `--pin always` would know of a result, without a recording: the packets of a client's own
result go through the same code."""

from __future__ import annotations

import contextlib
from typing import Any

from examples.private_server import PrivateServer
from graph.digest import encode_row
from graph.statement import Pinned
from proxy.events import Executed
from proxy.pins import pack, unpack
from proxy.protocol import packet
from proxy.results import Result


def pin(server: PrivateServer, sql: str, schema: str | None = None) -> Pinned | None:
    """The pins of a statement's result, None where it shows nothing that may be a key."""
    connection = server.connect(conv={}, database=schema, autocommit=None)
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(sql)
        rows = cursor.fetchall()
        fields = cursor._result.fields
    result = Result(
        Executed(1, sql.encode(), None, len(sql)),
        pins=True,
        digest=False,
        binary=False,
        deprecate_eof=False,
        extended=False,
    )
    for field in fields:
        result.column(field._data)
    if not result.begin():
        return None
    for row in rows:
        assert result.feed(packet(0, encode_row([_raw(value) for value in row]))) == b""
    answered = result.answered()
    assert answered.keys is not None
    return unpack(answered.columns, pack(answered.keys))


def _raw(value: Any) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
