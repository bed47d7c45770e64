"""What an OK packet says about the session: default schema and character set, where SESSION_TRACK is agreed on.

    OK: 0x00, affected rows, insert id, status(2), warnings(2), message, [changes: kind(1), data] …

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_ok_packet.html
"""

from __future__ import annotations

from collections.abc import Iterator

from mysql_mimic.types import ServerStatus

from proxy.protocol import Take

SYSTEM_VARIABLES = 0
SCHEMA = 1


def changes(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and data of each change that an OK packet tells of; PeerProtocolError when it is cut short."""
    take = Take(payload, 1)
    take.length_encoded()
    take.length_encoded()
    status = take.integer(2)
    take.fixed(2)
    if not status & ServerStatus.SERVER_SESSION_STATE_CHANGED or not take.left:
        return
    take.string()
    inner = Take(take.string())
    while inner.left:
        kind = inner.integer(1)
        yield kind, inner.string()


def schema(data: bytes) -> str | None:
    """The default schema that a SCHEMA change tells of."""
    return Take(data).string().decode(errors="replace") or None


def variables(data: bytes) -> Iterator[tuple[str, str]]:
    """Names and values that a SYSTEM_VARIABLES change tells of."""
    take = Take(data)
    while take.left:
        yield take.string().decode(errors="replace"), take.string().decode(errors="replace")
