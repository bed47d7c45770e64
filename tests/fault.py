"""A TCP proxy that misbehaves on purpose: slices, stops, resets. Runs in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Self


class FaultProxy:
    """Listens on a free port of 127.0.0.1 and forwards to `target`.

    `slice_size`: each write carries so many bytes at most. `source`: the address that the target sees. `sent` counts
    what came from clients, in bytes.
    """

    def __init__(self, target: tuple[str, int], *, slice_size: int | None = None, source: str | None = None) -> None:
        self.target = target
        self.source = (source, 0) if source else None
        self.slice_size = slice_size
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
            own = writer.get_extra_info("socket")
            with suppress(OSError):
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self.target, local_addr=self.source)
        self._writers += [writer, there_writer]
        for one in (writer, there_writer):
            one.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.gather(self._pump(reader, there_writer, counted=True), self._pump(there_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                self.sent += len(data) if counted else 0
                step = self.slice_size or len(data)
                for start in range(0, len(data), step):
                    writer.write(data[start : start + step])
                    await writer.drain()
                    # The next slice goes into a segment of its own only when this one has left.
                    await asyncio.sleep(0)
            writer.write_eof()
