"""`graph.leaves.read` in a process of its own, with a limit on time and memory.

A parser written in C does not notice a signal, and one that recurses too deeply may take its process along: so the
statement is read in a child that can be killed. What exceeds the limits becomes *unresolved*, with the reason.

    python -m proxy.reader     reads requests on stdin, answers on stdout: length(u32) JSON, each way
"""

from __future__ import annotations

import json
import resource
import select
import signal
import struct
import subprocess  # noqa: TID251
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import chain
from typing import Any, BinaryIO

from graph.leaves import Occurrence, Reading, read
from graph.names import TableName
from graph.scan import verb
from graph.statement import Session, StatementClass
from proxy.errors import ProxyError

#: Seconds for one statement. 20 000 terms in an OR take some 15 s in plain Python.
TIME_LIMIT = 30.0
#: Bytes of address space: the parser takes about 1 kB for a token.
MEMORY_LIMIT = 4 << 30
#: Nested subqueries take the parser some 70 frames each.
RECURSION_LIMIT = 20_000
STACK_SIZE = 512 << 20
_START_LIMIT = 120.0

_TOO_LARGE = "reading it needs more memory or nesting than djproxy allows"
#: Bytes of requests under way; a pipe holds 64 kB.
_IN_FLIGHT = 16 << 10

_LENGTH = struct.Struct(">I")


class ReaderError(ProxyError):
    """The child cannot be started."""


class _Late(Exception):
    """The child did not answer in time."""


class _Ended(Exception):
    """The child is gone."""


def unresolved(sql: str, session: Session, reason: str) -> Reading:
    """A reading that says why there is none."""
    return Reading(verb(sql, session.sql_mode), StatementClass.UNRESOLVED, reason, (), count_of=None, preview_of=None)


class Reader:
    """Asks the child, which is started when first needed and again whenever it had to be killed."""

    def __init__(self, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._child: subprocess.Popen[bytes] | None = None

    def read(self, sql: str, session: Session) -> Reading:
        """What the statement reads. Raises ReaderError when no child can be started."""
        (reading,) = self.read_all([(sql, session)])
        return reading

    def read_all(self, statements: Iterable[tuple[str, Session]]) -> Iterator[Reading]:
        """The readings of many, in order; some requests are under way while an answer is awaited."""
        waiting = iter(statements)
        flying: deque[tuple[str, Session, int]] = deque()
        while True:
            self._fill(flying, waiting)
            if not flying:
                return
            try:
                assert self._child is not None
                reading = _reading(json.loads(_receive(self._child.stdout, self._time_limit)))
            except (_Late, _Ended) as trouble:
                self.close()
                sql, session, _ = flying.popleft()
                late = f"reading it takes longer than {self._time_limit:g} s"
                reading = unresolved(sql, session, late if isinstance(trouble, _Late) else _TOO_LARGE)
                # The others have done nothing: they are sent to the next child.
                waiting = chain([(sql, session) for sql, session, _ in flying], waiting)
                flying.clear()
            else:
                flying.popleft()
            yield reading

    def _fill(self, flying: deque[tuple[str, Session, int]], waiting: Iterator[tuple[str, Session]]) -> None:
        """Send what fits into the pipe, so that sending never waits for a child that waits for us."""
        while sum(size for _, _, size in flying) < _IN_FLIGHT:
            statement = next(waiting, None)
            if statement is None:
                return
            sql, session = statement
            request = json.dumps({"sql": sql, "session": asdict(session), "limit": self._time_limit})
            child = self._child or self._start()
            flying.append((sql, session, len(request)))
            # A dead child is found out when its answer does not come.
            with suppress(BrokenPipeError):
                _send(child.stdin, request)

    def _start(self) -> subprocess.Popen[bytes]:
        # Its stderr could quote a statement: nobody's business. Unbuffered: what a buffer holds, select does not see.
        child = subprocess.Popen(
            [sys.executable, "-m", "proxy.reader"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            bufsize=0,
        )
        self._child = child
        try:
            _receive(child.stdout, _START_LIMIT)
        except (_Late, _Ended):
            self.close()
            raise ReaderError(f"the process that reads statements cannot start ({sys.executable})") from None
        return child

    def close(self) -> None:
        """End the child."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:
                    continue


def _send(pipe: Any, message: str) -> None:
    data = message.encode()
    rest = memoryview(_LENGTH.pack(len(data)) + data)
    while rest:
        rest = rest[pipe.write(rest) :]
    pipe.flush()


def _receive(pipe: Any, seconds: float) -> bytes:
    """One message of an unbuffered pipe; the limit is on the silence before it."""
    if not select.select([pipe], [], [], seconds)[0]:
        raise _Late
    return _take(pipe, _LENGTH.unpack(_take(pipe, _LENGTH.size))[0])


def _take(pipe: Any, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = pipe.read(size - len(data))
        if not piece:
            raise _Ended
        data += piece
    return bytes(data)


def _reading(answer: dict[str, Any]) -> Reading:
    occurrences = tuple(
        Occurrence(TableName(*each["table"]), each["restriction"], each["role"]) for each in answer["occurrences"]
    )
    return Reading(
        answer["verb"],
        StatementClass(answer["statement_class"]),
        answer["reason"],
        occurrences,
        count_of=answer["count_of"],
        preview_of=answer["preview_of"],
    )


# -- the child


def _answer(sql: str, session: Session) -> Reading:
    try:
        return read(sql, session)
    except (RecursionError, MemoryError):
        return unresolved(sql, session, _TOO_LARGE)
    except Exception as error:
        return unresolved(sql, session, f"it cannot be read: {type(error).__name__}")


def serve(source: BinaryIO, sink: BinaryIO, alarm: Callable[[int], object]) -> None:
    """Answer requests until the source ends; `alarm` ends a child whose parent is no longer there to do so."""
    _send(sink, "ready")
    while head := source.read(_LENGTH.size):
        request = json.loads(source.read(_LENGTH.unpack(head)[0]))
        alarm(int(request["limit"]) + 5)
        reading = _answer(request["sql"], Session(**request["session"]))
        alarm(0)
        _send(sink, json.dumps(asdict(reading)))


def main() -> None:
    """Serve on stdin and stdout, with a stack large enough for deep statements."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_LIMIT if soft == resource.RLIM_INFINITY else min(soft, MEMORY_LIMIT)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    sys.setrecursionlimit(RECURSION_LIMIT)
    threading.stack_size(STACK_SIZE)
    thread = threading.Thread(target=serve, args=(sys.stdin.buffer, sys.stdout.buffer, signal.alarm))
    thread.start()
    thread.join()


if __name__ == "__main__":
    main()
