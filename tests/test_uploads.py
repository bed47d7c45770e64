"""Local files that a server answers before their end."""

from __future__ import annotations

import contextlib

from proxy.events import Closed, Lost, Noted
from tests.wire import RawClient, Route

TOO_LONG = 1 << 17


def test_a_local_file_in_packets_that_are_too_long(lane: Route, database: str) -> None:
    """The server says so at once and closes; the client may not come to read it."""
    with lane.server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.max_allowed_packet")
        ((before,),) = cursor.fetchall()
    lane.server.execute(
        f"CREATE TABLE {database}.uploaded (line TEXT)", f"SET GLOBAL max_allowed_packet = {TOO_LONG >> 1}"
    )
    try:
        with RawClient(lane.address) as client:
            client.query("SET @before = 1")
            client.command(client.text(f"LOAD DATA LOCAL INFILE 'x' INTO TABLE {database}.uploaded"))
            assert client.receive() == b"\xfbx"
            with contextlib.suppress(ConnectionError):
                client.send(bytes(TOO_LONG), bytes(TOO_LONG), b"")
                client.receive()
    finally:
        lane.server.execute(f"SET GLOBAL max_allowed_packet = {before}")
    events = lane.closed(client.thread_id)
    assert isinstance(events[-1], Closed)
    assert not any(isinstance(event, Noted | Lost) for event in events)
