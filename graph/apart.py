"""`read`, `resolve` and `joins` in a process of their own, with limits on time, memory and depth for each statement.

A parser written in C does not notice a signal, and one that recurses too deeply may take its process along: so
statements are read in a child that can be killed. What exceeds the limits comes back as a `Failure` with the reason,
and the statements after it are answered by the next child. Each message is length(u64) and pickle, both ways.
"""

from __future__ import annotations

import os
import pickle
import re
import resource
import select
import signal
import struct
import subprocess  # noqa: TID251
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from graph.children import end_with_parent, environment
from graph.errors import GraphError
from graph.leaves import Join, Reading, Resolution, joins, read, resolve
from graph.schema import Schema
from graph.statement import Session, Statement

#: Seconds for one statement.
TIME_LIMIT = 30.0
#: Bytes of address space: the parser takes about 1 kB for a token.
MEMORY_LIMIT = 4 << 30
#: Frames. A nested subquery takes some 70, a nested parenthesis 10; a stack of this size holds so many.
RECURSION_LIMIT = 60_000
STACK_SIZE = 1 << 30
_START_LIMIT = 120.0
#: Bytes of requests under way.
_IN_FLIGHT = 16 << 10
_CHUNK = 1 << 20
_LENGTH = struct.Struct(">Q")

_TOO_LARGE = (
    "reading it needs more memory or nesting than djproxy allows; ask for less at a time, in several statements"
)

Call = tuple[Literal["read"], str, Session] | tuple[Literal["resolve", "joins"], Statement]


class ApartError(GraphError):
    """The child cannot be started."""


class _Late(Exception):
    """The child did not answer in time."""


class _Ended(Exception):
    """The child is gone."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no answer, for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Answer:
    """`last`: the child ends after it."""

    result: Reading | Resolution | tuple[Join, ...] | Failure
    last: bool = False


class Apart:
    """Asks the child, which is started when first needed and again whenever it had to be killed."""

    def __init__(self, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._schema: Schema | None = None
        self._child: _Child | None = None

    def use(self, schema: Schema) -> None:
        """The schema for `resolve` from now on; not while answers are awaited."""
        self._schema = schema
        if self._child is not None:
            self._child.post(schema)

    def read(self, statements: Iterable[tuple[str, Session]]) -> Iterator[Reading | Failure]:
        """`graph.leaves.read` of each, in order. Raises ApartError when no child can be started."""
        yield from self._map(("read", sql, session) for sql, session in statements)

    def resolve(self, statements: Iterable[Statement]) -> Iterator[Resolution | Failure]:
        """`graph.leaves.resolve` of each under the schema in use, in order. Raises ApartError."""
        yield from self._map(("resolve", statement) for statement in statements)

    def joins(self, statements: Iterable[Statement]) -> Iterator[tuple[Join, ...] | Failure]:
        """`graph.leaves.joins` of each under the schema in use, in order. Raises ApartError."""
        yield from self._map(("joins", statement) for statement in statements)

    def _map(self, calls: Iterable[Call]) -> Iterator[Any]:
        """The answers in order; some calls are under way while one is awaited, so that neither side waits."""
        waiting = iter(calls)
        again: deque[Call] = deque()
        flying: deque[tuple[Call, int]] = deque()
        try:
            while True:
                while sum(size for _, size in flying) < _IN_FLIGHT:
                    call = again.popleft() if again else next(waiting, None)
                    if call is None:
                        break
                    child = self._child or self._start()
                    flying.append((call, child.post((self._time_limit, call))))
                if not flying:
                    return
                assert self._child is not None
                answer = self._answer(self._child)
                flying.popleft()
                if answer.last:
                    self.close()
                    # The others have done nothing: they are sent to the next child.
                    again.extendleft(call for call, _ in reversed(flying))
                    flying.clear()
                yield answer.result
        finally:
            if flying:
                # Nobody waits for their answers any more.
                self.close()

    def _answer(self, child: _Child) -> _Answer:
        try:
            answer = child.receive(self._time_limit)
        except _Late:
            reason = (
                f"reading it takes longer than {self._time_limit:g} s; ask for less at a time, in several statements"
            )
            return _Answer(Failure(reason), last=True)
        except _Ended:
            return _Answer(Failure(_TOO_LARGE), last=True)
        assert isinstance(answer, _Answer)
        return answer

    def _start(self) -> _Child:
        child = self._child = _Child()
        try:
            child.receive(_START_LIMIT)
        except (_Late, _Ended):
            self.close()
            raise ApartError(f"the process that reads statements cannot start ({sys.executable})") from None
        if self._schema is not None:
            child.post(self._schema)
        return child

    def peak_memory(self) -> int | None:
        """The most that the child has held, in MB; None when there is none."""
        return self._child.peak_memory() if self._child is not None else None

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is not None:
            child.end()


class _Child:
    """The process and its two pipes. Nothing waits for a child that waits for us: both ways are moved at once."""

    def __init__(self) -> None:
        # Its stderr could quote a statement: nobody's business. Ctrl-C is not for it.
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from graph.apart import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
            bufsize=0,
            env=environment(),
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._sink, self._source = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._sink, False)
        os.set_blocking(self._source, False)
        self._outgoing: deque[memoryview] = deque()
        self._incoming = bytearray()

    def post(self, message: object) -> int:
        """Have a message sent; its size."""
        data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._outgoing.append(memoryview(_LENGTH.pack(len(data)) + data))
        self._write()
        return len(data)

    def receive(self, seconds: float) -> object:
        """The next message. Raises _Late when it is not there in time, _Ended."""
        deadline = time.monotonic() + seconds
        while (message := self._taken()) is None:
            left = deadline - time.monotonic()
            ready = select.select([self._source], [self._sink] if self._outgoing else [], [], max(left, 0.0))
            if not any(ready):
                raise _Late
            if ready[1]:
                self._write()
            if ready[0]:
                piece = os.read(self._source, _CHUNK)
                if not piece:
                    raise _Ended
                self._incoming += piece
        return pickle.loads(message)

    def _taken(self) -> bytes | None:
        if len(self._incoming) < _LENGTH.size:
            return None
        end = _LENGTH.size + int(_LENGTH.unpack_from(self._incoming)[0])
        if len(self._incoming) < end:
            return None
        message = bytes(self._incoming[_LENGTH.size : end])
        del self._incoming[:end]
        return message

    def _write(self) -> None:
        # A dead child is found out when its answer does not come.
        with suppress(BlockingIOError, BrokenPipeError):
            while self._outgoing:
                rest = self._outgoing[0][os.write(self._sink, self._outgoing[0][:_CHUNK]) :]
                self._outgoing.popleft()
                if rest:
                    self._outgoing.appendleft(rest)

    def peak_memory(self) -> int | None:
        """The most that it has held, in MB, where the system tells."""
        with suppress(OSError):
            status = Path(f"/proc/{self._process.pid}/status").read_text()
            found = re.search(r"VmHWM:\s*(\d+) kB", status)
            return int(found.group(1)) // 1024 if found is not None else None
        return None

    def end(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


# -- the child


def _answer(call: Call, schema: Schema | None) -> _Answer:
    try:
        if call[0] == "read":
            return _Answer(read(call[1], call[2]))
        if schema is None:
            return _Answer(Failure("there is no schema to resolve it under"))
        return _Answer(joins(call[1], schema) if call[0] == "joins" else resolve(call[1], schema))
    except RecursionError:
        return _Answer(Failure(_TOO_LARGE))
    except MemoryError:
        # What is left is in pieces: the next statement gets a child with all of it.
        return _Answer(Failure(_TOO_LARGE), last=True)
    except Exception as error:
        return _Answer(Failure(f"it cannot be read: {type(error).__name__}"))


def serve(source: BinaryIO, sink: BinaryIO, alarm: Callable[[int], object]) -> None:
    """Answer requests until the source ends; `alarm` ends a child whose parent is no longer there to do so."""
    schema: Schema | None = None
    _send(sink, "ready")
    while head := source.read(_LENGTH.size):
        message = pickle.loads(source.read(_LENGTH.unpack(head)[0]))
        if isinstance(message, Schema):
            schema = message
            continue
        limit, call = message
        alarm(int(limit) + 5)
        answer = _answer(call, schema)
        alarm(0)
        _send(sink, answer)
        if answer.last:
            return


def _send(sink: BinaryIO, message: object) -> None:
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    sink.write(_LENGTH.pack(len(data)) + data)
    sink.flush()


def main() -> None:
    """Serve on stdin and stdout, with a stack large enough for deep statements."""
    end_with_parent()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_LIMIT if soft == resource.RLIM_INFINITY else min(soft, MEMORY_LIMIT)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    sys.setrecursionlimit(RECURSION_LIMIT)
    threading.stack_size(STACK_SIZE)
    thread = threading.Thread(target=serve, args=(sys.stdin.buffer, sys.stdout.buffer, signal.alarm))  # noqa: TID251 -- a pipe to who started us
    thread.start()
    thread.join()
