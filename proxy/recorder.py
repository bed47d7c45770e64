"""From the journal to the store: what was recorded is read once, classed, and kept by paper and analysis.

A proxy starts one worker for its journal (`python -m proxy.recorder`, lowest priority); a command that needs all that
was recorded calls `catch_up`. Whoever takes a journal holds its lock. The offset of what was taken is stored with
what was taken, in one transaction: a restart reads the journal again from the start to know each connection's context,
and stores from the offset on, so that nothing doubles and nothing is lost.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graph.errors import GraphError
from proxy import events, journal, terminal
from proxy.context import Resolved
from proxy.courtesy import Courtesy
from proxy.errors import JournalError, ProxyError, StoreError
from proxy.interpreter import Interpreter, New, Readings, interpret
from proxy.journal import Entry
from proxy.paths import Home, open_private
from proxy.reader import Reader
from proxy.records import NewLost, NewResult, NewStatement
from proxy.rereading import reread
from proxy.store import Store

_STRETCH = 500
_STRETCH_BYTES = 16 << 20
_BATCH_SECONDS = 0.5
_POLL_SECONDS = 0.1
#: A worker that has not moved for this long has died or hangs; one statement takes at most `apart.TIME_LIMIT`.
_PATIENCE_SECONDS = 120.0
_SESSION_NICENESS = 10


class Taker:
    """Takes one journal. The caller holds its lock."""

    def __init__(self, store: Store, path: Path, reader: Reader) -> None:
        """Raises JournalError when the header cannot be read."""
        self._store = store
        self._path = path
        self._readings = Readings(store, reader)
        self._interpreter = Interpreter()
        self._header, self._position = journal.read_header(path)
        self._stored = store.offset(path.name)

    def take(self, between: Callable[[], None] = lambda: None) -> None:
        """Take all that is written by now; `between` is called after each stretch.

        Raises JournalError where the journal is damaged (what came before is stored), StoreError, ApartError.
        """
        for stretch in _stretches(journal.read(self._path, self._position)):
            fed = [(entry, self._interpreter.feed(entry.event)) for entry in stretch]
            fresh = [each for each in fed if self._stored is None or each[0].end > self._stored]
            self._readings.prefetch([each for _, resolved in fresh for each in resolved or () if not each.problem])
            self._position = stretch[-1].end
            self._store_stretch(fresh)
            self._readings.trim()
            between()

    def _store_stretch(self, fresh: list[tuple[Entry, list[Resolved] | None]]) -> None:
        """Read the statements, and store as time goes: a slow one must not keep the others waiting."""
        batch: list[New] = []
        began = time.monotonic()
        for number, (entry, statements) in enumerate(fresh, 1):
            batch += interpret(entry, statements, self._readings)
            if number == len(fresh) or time.monotonic() - began > _BATCH_SECONDS:
                self._store_batch(batch, entry.end)
                batch, began = [], time.monotonic()

    def _store_batch(self, batch: list[New], end: int) -> None:
        header = self._header
        statements: list[NewStatement] = []
        results: list[tuple[int | None, NewResult]] = []
        last: dict[int, int] = {}
        for each in batch:
            if isinstance(each, NewStatement):
                last[each.connection] = len(statements)
                statements.append(each)
            elif isinstance(each, NewResult):
                results.append((last.get(each.connection), each))
        self._store.add(
            self._path.name,
            (header.paper, header.analysis, header.server, header.created),
            statements,
            [each for each in batch if isinstance(each, NewLost)],
            (self._stored, end),
            results,
        )
        self._stored = end


def _stretches(entries: Iterator[Entry]) -> Iterator[list[Entry]]:
    """Entries in lists of a bounded size, in number and in bytes; damage comes after what was before it."""
    stretch: list[Entry] = []
    size = 0
    try:
        for entry in entries:
            stretch.append(entry)
            size += _size_of(entry.event)
            if len(stretch) >= _STRETCH or size > _STRETCH_BYTES:
                yield stretch
                stretch, size = [], 0
    except JournalError:
        if stretch:
            yield stretch
        raise
    if stretch:
        yield stretch


def _size_of(event: events.Event) -> int:
    match event:
        case events.Executed(sql=sql):
            return len(sql)
        case events.Answered(keys=keys):
            return len(keys or b"")
    return 0


def _lock_path(path: Path) -> Path:
    return path.with_suffix(".lock")


@contextmanager
def taking(path: Path) -> Iterator[bool]:
    """Hold the right to take a journal; False when another process has it, or the journal is gone."""
    lock = _lock_path(path)
    descriptor = open_private(lock, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        yield False
        return
    try:
        yield path.exists()
        if not path.exists():
            lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _remove(store: Store, path: Path) -> None:
    """Remove a journal that is complete and taken: the file first, for without its offset it would be taken again."""
    path.unlink(missing_ok=True)
    store.forget_journal(path.name)


def catch_up(home: Home, store: Store, say: Callable[[str], None] = lambda text: None) -> None:
    """Take what waits in the journals, up to what is written at the time of the call, and class what an older djproxy
    recorded by the rules of this one.

    Raises the first JournalError after all other journals were taken, StoreError, ApartError.
    """
    _clean(home)
    damage: ProxyError | None = None
    reader = Reader()
    try:
        reread(store, reader, say)
        for path in journal.journals(home.journals):
            try:
                _catch_up_one(store, path, reader)
            except JournalError as error:
                damage = damage or error
    finally:
        reader.close()
    if damage is not None:
        raise damage


def _catch_up_one(store: Store, path: Path, reader: Reader) -> None:
    wanted = _size(path)
    seen, since = -1, time.monotonic()
    while path.exists():
        with taking(path) as ours:
            if ours:
                alive = journal.is_written(path)
                Taker(store, path, reader).take()
                if not alive:
                    _remove(store, path)
                return
        offset = store.offset(path.name) or 0
        if offset >= min(wanted, _size(path)):
            return
        if offset != seen:
            seen, since = offset, time.monotonic()
        if time.monotonic() - since > _PATIENCE_SECONDS:
            raise StoreError(
                f"the worker that takes the journal {path} has not moved for {_PATIENCE_SECONDS:g} s; end it, "
                "then try again"
            )
        time.sleep(_POLL_SECONDS / 4)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _clean(home: Home) -> None:
    """Remove what a proxy that died at its very start has left."""
    for path in home.journals.glob("*.new"):
        if not journal.is_written(path) and time.time() - path.stat().st_mtime > 60:
            path.unlink(missing_ok=True)
    for path in home.journals.glob("*.lock"):
        if not path.with_suffix(journal.SUFFIX).exists():
            with taking(path.with_suffix(journal.SUFFIX)):
                pass


def recorded_now(home: Home) -> set[tuple[str, str]]:
    """The papers and analyses that live proxies record into."""
    found: set[tuple[str, str]] = set()
    for path in journal.journals(home.journals):
        if journal.is_written(path):
            header, _ = journal.read_header(path)
            found.add((header.paper, header.analysis))
    return found


def work(home: Home, path: Path) -> None:
    """Take a journal for as long as its proxy lives, and to its end; then remove it."""
    reader = Reader()
    try:
        with Store(home.store) as store, taking(path) as ours:
            if not ours:
                return
            reread(store, reader)
            taker = Taker(store, path, reader)
            courtesy = Courtesy()
            alive = True
            while alive:
                alive = journal.is_written(path)
                taker.take(courtesy.pause)
                courtesy.caught_up()
                if alive:
                    time.sleep(_POLL_SECONDS)
            _remove(store, path)
    finally:
        reader.close()


def _step_back() -> None:
    """Let others run first. Where Linux groups processes by session, niceness counts within a session only: one that
    is ours alone gets some as well, but not so much that we starve on a machine that is never idle."""
    os.nice(19)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(_SESSION_NICENESS))


def main() -> int:
    """The worker process."""
    parser = argparse.ArgumentParser(prog="python -m proxy.recorder")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    options = parser.parse_args()
    _step_back()
    with terminal.guarded():
        try:
            work(Home(options.home), options.journal)
        except (ProxyError, GraphError) as error:
            terminal.log(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {options.journal.name}: {error}")
            return error.exit_code
        except Exception:
            terminal.crash()
            return terminal.CRASHED
    return 0


if __name__ == "__main__":
    sys.exit(main())
