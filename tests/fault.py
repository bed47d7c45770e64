"""A TCP proxy that misbehaves on purpose: slices, stops, resets. Runs in a thread of its own."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Self

# Packets up to this length are cut everywhere, longer ones so many bytes from either end.
SHORT = 4096
NEAR = 16


class Slicer:
    """Cuts a stream of packets into slices of `size` bytes; only the inside of long packets goes in larger pieces, at
    random places. Of what is no packets (TLS) it takes any four bytes for a header, which is as good a cut."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._random = random.Random(seed)
        self._header = b""
        self._length = 0
        self._left = 0

    def cut(self, data: bytes) -> Iterator[bytes]:
        """The next bytes of the stream, cut."""
        position = 0
        while position < len(data):
            piece = data[position : position + self._step()]
            position += len(piece)
            self._follow(piece)
            yield piece

    def _step(self) -> int:
        if self._left <= NEAR or self._length <= SHORT or self._length - self._left < NEAR:
            return self._size
        return min(self._left - NEAR, self._random.randint(1, 1 << 16))

    def _follow(self, piece: bytes) -> None:
        while piece:
            if self._left:
                taken = min(self._left, len(piece))
                self._left -= taken
            else:
                taken = min(4 - len(self._header), len(piece))
                self._header += piece[:taken]
                if len(self._header) == 4:
                    self._left = self._length = int.from_bytes(self._header[:3], "little")
                    self._header = b""
            piece = piece[taken:]


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and forwards to `target`.

    `slice_size`: each write carries so many bytes (see `Slicer`, which `seed` is for). `source`: the address that the
    target sees. `sent` counts what came from clients, in bytes.
    """

    def __init__(
        self, target: tuple[str, int], *, slice_size: int | None = None, seed: int = 0, source: str | None = None
    ) -> None:
        self.target = target
        self.source = (source, 0) if source else None
        self.slice_size = slice_size
        self.seed = seed
        self.sent = 0
        self.port = 0
        self._started: Future[int] = Future()
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = self._started.result(timeout=30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=30)

    def reset_all(self) -> None:
        """Break every connection with a RST on both sides."""
        self._loop.call_soon_threadsafe(self._reset)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._started.set_result(int(server.sockets[0].getsockname()[1]))
        await self._stop.wait()
        self._reset()
        server.close()

    def _reset(self) -> None:
        for writer in self._writers:
            _break(writer)
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self.target, local_addr=self.source)
        self._writers += [writer, there_writer]
        for one in (writer, there_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(self._pump(reader, there_writer, counted=True), self._pump(there_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        slicer = Slicer(self.slice_size, self.seed) if self.slice_size else None
        try:
            while data := await reader.read(65536):
                self.sent += len(data) if counted else 0
                for piece in slicer.cut(data) if slicer else [data]:
                    writer.write(piece)
                    await writer.drain()
                    # The next slice goes into a segment of its own only when this one has left.
                    await asyncio.sleep(0)
            writer.write_eof()
        except OSError:
            _break(writer)


def _break(writer: asyncio.StreamWriter) -> None:
    """End with a RST."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
