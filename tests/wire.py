"""For tests of the wire: a client that speaks the protocol by hand, and routes through the proxy with slicers."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from mysql_mimic.types import Capabilities

from examples.private_server import PrivateServer
from graph.scan import split
from proxy.certificates import Certificate
from proxy.compression import Decompressor, Zlib, unpacker_of, zstd
from proxy.events import (
    Answered,
    Closed,
    Connected,
    Event,
    Executed,
    Lost,
    Noted,
    SchemaChanged,
    SessionReset,
    Unread,
    UserChanged,
)
from proxy.handshake import Greeting
from proxy.protocol import ExtendedCapabilities, PacketReader
from proxy.responses import SHAPES, Mark, ResponseTracker, Shape
from proxy.results import Pin, Watch
from tests.fault import FaultProxy
from tests.relaying import RunningRelay

SECONDS = 30
RAW_USER = "raw"
ALL = Watch(Pin.ALWAYS, digest=True)
BASE = (
    Capabilities.CLIENT_PROTOCOL_41
    | Capabilities.CLIENT_SECURE_CONNECTION
    | Capabilities.CLIENT_PLUGIN_AUTH
    | Capabilities.CLIENT_TRANSACTIONS
    | Capabilities.CLIENT_MULTI_STATEMENTS
    | Capabilities.CLIENT_MULTI_RESULTS
    | Capabilities.CLIENT_PS_MULTI_RESULTS
    | Capabilities.CLIENT_LOCAL_FILES
)


def add_raw_user(server: PrivateServer) -> None:
    """An account without a password, which a client by hand logs in to with any plugin."""
    server.execute(f"CREATE USER IF NOT EXISTS {RAW_USER}@127.0.0.1", f"GRANT ALL ON *.* TO {RAW_USER}@127.0.0.1")


class RawClient:
    """Speaks with exactly these capabilities, as far as the server has them, and keeps every packet of the answers."""

    def __init__(
        self,
        address: tuple[str, int],
        capabilities: Capabilities = BASE,
        extended: ExtendedCapabilities = ExtendedCapabilities(0),  # noqa: B008
    ) -> None:
        self._socket = socket.create_connection(address, timeout=SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._packets = PacketReader(1 << 30)
        self._pack: Callable[[bytes], bytes] | None = None
        self._unpack: Decompressor | None = None
        self._sequence = 0
        self.greeting = self.receive()
        greeting = Greeting.parse(self.greeting)
        self.thread_id = greeting.thread_id
        self.agreed = capabilities & greeting.capabilities
        if not extended:
            self.agreed |= Capabilities.CLIENT_LONG_PASSWORD
        self.extended = extended & greeting.extended
        plugin = self.greeting[:-1].rsplit(b"\0", 1)[-1]
        head = struct.pack("<IIB19xI", int(self.agreed), 1 << 30, 45, int(self.extended))
        self.send(head + RAW_USER.encode() + b"\0\0" + plugin + b"\0" + self._zstd_level())
        self._tracker = ResponseTracker(self.agreed, self.extended)
        self.login = self._answers(Shape.LOGIN)
        if unpacker := unpacker_of(self.agreed):
            self._unpack = Decompressor(unpacker)
            self._pack = zlib.compress if unpacker is Zlib else zstd.compress

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def reset(self) -> None:
        """Break the connection."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def _zstd_level(self) -> bytes:
        return b"\x03" if self.agreed & Capabilities.CLIENT_ZSTD_COMPRESSION_ALGORITHM else b""

    def send(self, *payloads: bytes) -> None:
        """Payloads as packets, numbered on."""
        out = bytearray()
        first = self._sequence
        for payload in payloads:
            while True:
                piece, payload = payload[:0xFFFFFF], payload[0xFFFFFF:]
                out += len(piece).to_bytes(3, "little") + bytes((self._sequence & 0xFF,)) + piece
                self._sequence += 1
                if len(piece) < 0xFFFFFF:
                    break
        self._socket.sendall(self._packed(bytes(out), first) if self._pack else out)

    def _packed(self, data: bytes, first: int) -> bytes:
        assert self._pack is not None
        out = b""
        for number, start in enumerate(range(0, len(data), 50_000), first):
            plain = data[start : start + 50_000]
            # As the ends do: what is short is not worth it.
            packed, before = (self._pack(plain), len(plain)) if len(plain) >= 50 else (plain, 0)
            out += len(packed).to_bytes(3, "little") + bytes((number & 0xFF,)) + before.to_bytes(3, "little") + packed
        return out

    def receive(self) -> bytes:
        """The next packet's payload. ConnectionError when the other end has closed."""
        while (payload := self._packets.next_packet()) is None:
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("closed")
            for piece in [data] if self._unpack is None else self._unpack.feed(data):
                self._packets.feed(piece)
        self._sequence = self._packets.sequence + 1
        return payload

    def command(self, *payloads: bytes) -> None:
        """Commands, without waiting for their answers."""
        for payload in payloads:
            self._sequence = 0
            self.send(payload)

    def ask(self, command: bytes, *files: bytes) -> list[bytes]:
        """One command, and all packets of its answer. `files`: packets of the local file that may be asked for."""
        self.command(command)
        return self.answer(command, *files)

    def answer(self, command: bytes, *files: bytes) -> list[bytes]:
        """All packets of the answer to a command that was sent."""
        return self._answers(SHAPES[command[0]], *files)

    def query(self, sql: str, *files: bytes) -> list[bytes]:
        """COM_QUERY, without attributes."""
        return self.ask(self.text(sql), *files)

    def prepare(self, sql: str) -> tuple[int, list[bytes]]:
        """COM_STMT_PREPARE: the statement's number, and the answer without it."""
        first, *rest = self.ask(b"\x16" + sql.encode())
        return int.from_bytes(first[1:5], "little"), [first[:1] + first[5:], *rest]

    def text(self, sql: str) -> bytes:
        """The payload of a COM_QUERY."""
        attributes = b"\0\1" if self.agreed & Capabilities.CLIENT_QUERY_ATTRIBUTES else b""
        return b"\x03" + attributes + sql.encode()

    def _answers(self, shape: Shape, *files: bytes) -> list[bytes]:
        found: list[bytes] = []
        if shape is Shape.NONE:
            return found
        self._tracker.begin(shape)
        while True:
            payload = self.receive()
            found.append(payload)
            mark = self._tracker.packet(payload, len(payload))
            if mark & Mark.END:
                return found
            if mark & Mark.UPLOAD:
                self.send(*files, b"")
                self._tracker.uploaded()
            elif shape is Shape.LOGIN and payload[:1] == b"\xfe":
                self.send(b"\0" if b"sha2" in payload else b"")


@dataclass
class Route:
    """Two ways to a server: `direct`, and `address` through a proxy that records, with a slicer on each leg or none."""

    server: PrivateServer
    relay: RunningRelay
    address: tuple[str, int]

    @property
    def direct(self) -> tuple[str, int]:
        return self.server.host, self.server.port

    def events(self, thread_id: int) -> list[Event]:
        """What was said of the connection with that thread of the server, from behind its login on."""
        found = [event for event in self.relay.sink.events if isinstance(event, Connected)]
        (number,) = [event.connection for event in found if event.thread_id == thread_id]
        return [event for event in self.relay.sink.events if event.connection == number and event not in found]

    def closed(self, thread_id: int) -> list[Event]:
        """The events of a connection once it is over, and was not lost."""
        deadline = time.monotonic() + SECONDS
        while not any(isinstance(event, Closed) for event in self.events(thread_id)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        events = self.events(thread_id)
        assert not any(isinstance(event, Lost) for event in events)
        return events

    def both(self, talk: Callable[[tuple[str, int]], Any]) -> Any:
        """The same conversation directly and through the proxy: what the client sees must be equal."""
        direct, proxied = talk(self.direct), talk(self.address)
        assert proxied == direct
        return proxied


@contextlib.contextmanager
def route(
    server: PrivateServer, certificate: Certificate, *, sliced: bool, seed: int = 1, watch: Watch = ALL
) -> Iterator[Route]:
    """A proxy before the server; with `sliced` every byte comes by itself on both legs."""
    with contextlib.ExitStack() as stack:
        target = (server.host, server.port)
        if sliced:
            target = ("127.0.0.1", stack.enter_context(FaultProxy(target, slice_size=1, seed=seed)).port)
        relay = stack.enter_context(RunningRelay(target, certificate, watch))
        address = relay.address
        if sliced:
            address = ("127.0.0.1", stack.enter_context(FaultProxy(address, slice_size=1, seed=seed + 1)).port)
        yield Route(server, relay, address)


@contextlib.contextmanager
def general_log(server: PrivateServer) -> Iterator[None]:
    """The server writes every statement with its thread into mysql.general_log."""
    server.execute("TRUNCATE mysql.general_log", "SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = 1")
    try:
        yield
    finally:
        server.execute("SET GLOBAL general_log = 0", "SET GLOBAL log_output = 'FILE'")


def logged(server: PrivateServer, thread_id: int) -> list[tuple[str, bytes]]:
    """What the general log has of a thread: kind and text, in order."""
    connection = server.connect()
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute(
            "SELECT command_type, CAST(argument AS BINARY) FROM mysql.general_log WHERE thread_id = %s", (thread_id,)
        )
        return [(kind, argument) for kind, argument in cursor.fetchall()]


def assert_logged(server: PrivateServer, thread_id: int, events: list[Event], failed: Sequence[str] = ()) -> None:
    """What was recorded of a connection is what the general log has of it, but for the texts that `failed`."""
    texts = [
        part.encode()
        for kind, argument in logged(server, thread_id)
        if kind in ("Query", "Execute")
        for part in split(argument.decode())
        if part not in failed
    ]
    recorded = [event for event in events if isinstance(event, Executed | Noted | Unread)]
    assert [_as_logged(event, text) for event, text in zip(recorded, texts, strict=True)] == texts


def _as_logged(event: Executed | Noted | Unread, text: bytes) -> bytes:
    """An event as the log has it; the text itself where the event says less and nothing else."""
    match event:
        case Executed(_, sql, None):
            return sql
        case Executed(_, sql, _) if text.startswith(sql.split(b"?")[0]):
            return text
        case Noted(_, verb, _, length) if text.upper().startswith(verb.encode()) and length == len(text):
            return text
    return b"%r" % event


def execute(number: int, rest: bytes = b"", flags: int = 0) -> bytes:
    """COM_STMT_EXECUTE."""
    return b"\x17" + struct.pack("<IBI", number, flags, 1) + rest


def fetch(number: int, most: int) -> bytes:
    """COM_STMT_FETCH."""
    return b"\x1c" + struct.pack("<II", number, most)


def long_data(number: int, index: int, data: bytes) -> bytes:
    """COM_STMT_SEND_LONG_DATA."""
    return b"\x18" + struct.pack("<IH", number, index) + data


def change_user(user: str, schema: str = "", plugin: str = "mysql_native_password") -> bytes:
    """COM_CHANGE_USER to an account without a password."""
    names = (user.encode() + b"\0\0" + schema.encode(), struct.pack("<H", 45) + plugin.encode())
    return b"\x11" + b"\0".join(names) + b"\0"


def short(event: Event) -> tuple[Any, ...]:
    """An event without its connection, as short as a test wants to name it."""
    match event:
        case Executed(_, sql, None):
            return (sql.decode("latin-1"),)
        case Executed(_, sql, parameters):
            return (sql.decode("latin-1"), *(parameters or ()))
        case Noted(_, verb, table, length):
            return ("noted", verb, table, length)
        case Unread(_, verb, _, reason):
            return ("unread", verb, reason)
        case SchemaChanged(_, schema):
            return ("schema", schema)
        case UserChanged(_, user, schema, _):
            return ("user", user, schema)
        case SessionReset():
            return ("reset",)
        case Answered(rows=rows, broken=broken):
            return ("rows", rows, broken) if broken else ("rows", rows)
    return (type(event).__name__, getattr(event, "reason", ""))


def statements(events: list[Event]) -> list[tuple[Any, ...]]:
    """Events, shortly, without what was seen of results and the end of the connection."""
    return [short(event) for event in events if not isinstance(event, Answered) and type(event).__name__ != "Closed"]
