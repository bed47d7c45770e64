"""The clock of the login, on a machine that keeps the proxy from running."""

from __future__ import annotations

import socket
import struct
import time

from examples.private_server import PrivateServer
from proxy.certificates import Certificate
from proxy.relay_options import RelayOptions
from tests.relaying import Relay
from tests.wire import BASE


class _Held(Relay):
    """A relay that can be kept from running."""

    def hold(self, seconds: float) -> None:
        """The loop does nothing for so long, from what it has read up to its timers."""
        mine, its = socket.socketpair()

        def sleep() -> None:
            self._loop.remove_reader(its)
            its.close()
            time.sleep(seconds)

        self._loop.call_soon_threadsafe(self._loop.add_reader, its, sleep)
        mine.sendall(b"x")
        mine.close()


def test_a_proxy_that_was_held_up_still_hears_its_client(server: PrivateServer, certificate: Certificate) -> None:
    with (
        _Held((server.host, server.port), certificate, RelayOptions(login_seconds=0.5)) as relay,
        socket.create_connection(relay.address) as one,
    ):
        one.settimeout(20)
        one.recv(65536)
        relay.hold(1.5)
        time.sleep(0.2)
        answer = struct.pack("<IIB23x", int(BASE), 1 << 30, 45) + b"nobody\0\0mysql_native_password\0"
        one.sendall(len(answer).to_bytes(3, "little") + b"\1" + answer)
        assert b"djproxy" not in one.recv(65536)
