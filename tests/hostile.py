"""A server that answers as a real one does, but for chosen questions, to which it answers what a test wants.

It takes any login, sends what clients ask on to the real server, and sends the answers back. A LOCAL INFILE request,
which a server may send instead of any answer, is an answer, too.
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field

from examples.private_server import PrivateServer

# LONG_PASSWORD, LONG_FLAG, CONNECT_WITH_DB, LOCAL_FILES, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION,
# MULTI_STATEMENTS, MULTI_RESULTS, PLUGIN_AUTH
_CAPABILITIES = 0x1 | 0x4 | 0x8 | 0x80 | 0x200 | 0x2000 | 0x8000 | 0x10000 | 0x20000 | 0x80000
_OK = b"\x00\x00\x00\x02\x00\x00\x00"
_END = b"\xfe\x00\x00\x02\x00"
_QUIT, _INIT_DB, _QUERY = 1, 2, 3

#: Rows of values; None lets the real server answer, a name of a file asks the client for it.
Answer = Sequence[Sequence[bytes]] | str | None


@dataclass
class Hostile:
    """What it answers to a question, on which port, and what it was given of clients' files."""

    answer: Callable[[str], Answer]
    port: int = 0
    asked: list[str] = field(default_factory=list)
    stolen: list[bytes] = field(default_factory=list)


@contextmanager
def hostile(real: PrivateServer, answer: Callable[[str], Answer]) -> Iterator[Hostile]:
    """Serves within the block on a free port of 127.0.0.1."""
    found = Hostile(answer)
    with ExitStack() as stack:
        listener = stack.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
        found.port = int(listener.getsockname()[1])
        threading.Thread(target=_accept, args=(listener, real, found), daemon=True).start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)


def answering(pattern: str, answer: Answer) -> Callable[[str], Answer]:
    """That answer to questions in which the pattern is found."""
    return lambda sql: answer if re.search(pattern, sql) else None


def _accept(listener: socket.socket, real: PrivateServer, found: Hostile) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(_Packets(client), real, found), daemon=True).start()


class _Packets:
    """A connection in packets; a reply's are numbered from 1."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")

    def read(self) -> bytes:
        head = self._file.read(4)
        if len(head) < 4:
            raise EOFError
        return self._file.read(int.from_bytes(head[:3], "little"))

    def send(self, *payloads: bytes, first: int = 1) -> None:
        numbered = enumerate(payloads, first)
        self._connection.sendall(
            b"".join(len(data).to_bytes(3, "little") + bytes([number & 255]) + data for number, data in numbered)
        )

    def close(self) -> None:
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _serve(client: _Packets, real: PrivateServer, found: Hostile) -> None:
    with suppress(EOFError, OSError), closing(client), closing(real.connect(autocommit=True)) as connection:
        server = _Packets(connection._sock)
        client.send(_greeting(real), first=0)
        client.read()
        if real.flavour == "mysql":
            client.send(b"\x01\x03", _OK, first=2)
        else:
            client.send(_OK, first=2)
        while (question := client.read())[0] != _QUIT:
            text = question[1:].decode("utf-8", "replace")
            found.asked.append(text)
            answer = found.answer(text) if question[0] == _QUERY else None
            if isinstance(answer, str):
                client.send(b"\xfb" + answer.encode())
                while data := client.read():
                    found.stolen.append(data)
                client.send(_OK, first=3 + len(found.stolen))
            elif answer is not None:
                client.send(*_result(answer))
            else:
                server.send(question, first=0)
                _forward(server, client)


def _greeting(real: PrivateServer) -> bytes:
    mysql = real.flavour == "mysql"
    version = b"9.7.0" if mysql else b"5.5.5-10.11.19-MariaDB"
    plugin = b"caching_sha2_password" if mysql else b"mysql_native_password"
    low, high = struct.pack("<H", _CAPABILITIES & 0xFFFF), struct.pack("<H", _CAPABILITIES >> 16)
    head = b"\x0a" + version + b"\0" + struct.pack("<I", 1) + b"a" * 8 + b"\0"
    return head + low + b"\xff\x02\x00" + high + b"\x15" + b"\0" * 10 + b"b" * 12 + b"\0" + plugin + b"\0"


def _result(rows: Sequence[Sequence[bytes]]) -> list[bytes]:
    """A result set of texts, as many columns as the first row has."""
    width = len(rows[0]) if rows else 1
    column = b"\x03def\x00\x00\x00\x01c\x00\x0c\xff\x00\xff\xff\xff\x00\xfd\x00\x00\x00\x00\x00"
    lines = [b"".join(_counted(value) for value in row) for row in rows]
    return [bytes([width]), *[column] * width, _END, *lines, _END]


def _counted(value: bytes) -> bytes:
    return (bytes([len(value)]) if len(value) < 251 else b"\xfd" + len(value).to_bytes(3, "little")) + value


def _forward(server: _Packets, client: _Packets) -> None:
    """One reply: OK or an error, or columns and rows, each ended by a packet of its own."""
    reply = [server.read()]
    if reply[0][0] not in (0, 255):
        for _ in range(2):
            reply.append(server.read())
            while not _ends(reply[-1]):
                reply.append(server.read())
            if reply[-1][0] == 255:
                break
    client.send(*reply)


def _ends(payload: bytes) -> bool:
    return payload[:1] == b"\xff" or (payload[:1] == b"\xfe" and len(payload) < 9)
