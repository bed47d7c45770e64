"""The journal: what was written is read again, whatever happened to its writer."""

from __future__ import annotations

import errno
import os
import resource
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy import events
from proxy.errors import HomeError, JournalError
from proxy.journal import KINDS, Field, Header, JournalWriter, is_written, journals, pack, read, read_header

HEADER = Header("A paper / 'quoted' ..", "main", "db.lab.org:3306", 1_700_000_000_000_000_000)
EVENTS: list[events.Event] = [
    events.Connected(1, 77, "root", None, 255),
    events.SchemaChanged(1, "labé"),
    events.Executed(1, b"SELECT '\xff\0' FROM t", None, 20),
    events.Executed(1, b"SELECT ?", ("'x'", "NULL"), 8),
    events.Executed(1, b"SELECT 1", (), 8),
    events.Noted(1, "INSERT", "lab.t", 1 << 31),
    events.Unread(1, "SELECT", 5, "too long"),
    events.UserChanged(1, "other", "lab", 45),
    events.SessionReset(1),
    events.Lost(1, "a bug"),
    events.Answered(
        1, 1 << 31, 2, "0" * 32, (events.KeyColumn("s", "a", "t", "é", "", "binary"),), b"\x01\xff", "", ""
    ),
    events.Answered(1, 0, 0, None, (), None, "too many", "the connection ended"),
    events.Closed(1),
]

_VALUES = {
    Field.NUMBER: st.integers(-(1 << 63), (1 << 63) - 1),
    Field.TEXT: st.none() | st.text(st.characters(codec="utf-8")),
    Field.BYTES: st.binary(),
    Field.TABLE: st.lists(st.lists(st.text(st.characters(codec="utf-8")), max_size=3).map(tuple), max_size=3).map(
        tuple
    ),
    Field.TEXTS: st.none() | st.lists(st.text(st.characters(codec="utf-8")), max_size=3).map(tuple),
}
ANY_EVENT = st.one_of(*(st.builds(kind, *(_VALUES[field] for field in fields)) for kind, fields in KINDS.values()))


def written(folder: Path, batch: list[events.Event]) -> Path:
    """A journal with one record per event, closed."""
    writer = JournalWriter(folder, HEADER, pytest.fail)
    for event in batch:
        writer.write([event])
    writer.close()
    return writer.path


def entries(path: Path) -> list[events.Event]:
    """All that can be read."""
    _, start = read_header(path)
    return [entry.event for entry in read(path, start)]


def test_every_event_has_a_kind() -> None:
    assert {kind for kind, _ in KINDS.values()} == set(events.Event.__args__)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(batch=st.lists(ANY_EVENT, max_size=5))
def test_what_is_written_is_read(tmp_path: Path, batch: list[events.Event]) -> None:
    path = written(tmp_path, batch)
    assert entries(path) == batch
    assert read_header(path)[0] == HEADER


def test_reading_resumes_at_an_offset(tmp_path: Path) -> None:
    path = written(tmp_path, EVENTS)
    _, start = read_header(path)
    seen = list(read(path, start))
    for number, entry in enumerate(seen, 1):
        assert [each.event for each in read(path, entry.end)] == EVENTS[number:]
    assert seen[-1].end == path.stat().st_size


def test_a_torn_tail_ends_the_reading_at_every_byte(tmp_path: Path) -> None:
    path = written(tmp_path, EVENTS)
    content = path.read_bytes()
    _, start = read_header(path)
    ends = [entry.end for entry in read(path, start)]
    for size in range(start, len(content)):
        path.write_bytes(content[:size])
        assert len(entries(path)) == sum(end <= size for end in ends)


def test_zeros_after_a_power_cut_are_a_torn_tail(tmp_path: Path) -> None:
    path = written(tmp_path, EVENTS)
    path.write_bytes(path.read_bytes() + bytes(10_000))
    assert entries(path) == EVENTS


def test_damage_at_every_byte_is_said_and_what_came_before_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, EVENTS[:3])
    content = path.read_bytes()
    _, start = read_header(path)
    ends = [entry.end for entry in read(path, start)]
    for position in range(start, len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x40]) + content[position + 1 :])
        got = []
        with pytest.raises(JournalError, match=str(path)):
            for entry in read(path, start):
                got.append(entry.event)
        assert len(got) == sum(end <= position for end in ends)


@pytest.mark.parametrize("content", [b"", b"DJPJ", b"something else entirely, long enough"])
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.journal"
    path.write_bytes(content)
    with pytest.raises(JournalError, match="nothing was changed"):
        read_header(path)
    assert path.read_bytes() == content


def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, EVENTS)
    content = path.read_bytes()
    _, start = read_header(path)
    for position in range(start):
        path.write_bytes(content[:position] + bytes([content[position] ^ 0x04]) + content[position + 1 :])
        with pytest.raises(JournalError):
            read_header(path)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, EVENTS)
    content = bytearray(path.read_bytes())
    struct.pack_into(">H", content, 8, 3)
    path.write_bytes(bytes(content))
    with pytest.raises(JournalError, match=r"version 3.*newer djproxy"):
        read_header(path)


def test_an_older_version_is_read(tmp_path: Path) -> None:
    batch = [event for event in EVENTS if not isinstance(event, events.Answered)]
    path = written(tmp_path, batch)
    content = bytearray(path.read_bytes())
    struct.pack_into(">H", content, 8, 1)
    path.write_bytes(bytes(content))
    assert entries(path) == batch


def test_an_unknown_kind_is_said(tmp_path: Path) -> None:
    path = written(tmp_path, [])
    record = bytearray(pack(events.Closed(1), 0))
    frame = record[:13]
    frame[4] = 99
    path.write_bytes(path.read_bytes() + bytes(frame) + struct.pack(">I", zlib.crc32(frame)) + bytes(record[17:]))
    with pytest.raises(JournalError, match="unknown kind 99"):
        entries(path)


def test_files_are_private(tmp_path: Path) -> None:
    assert written(tmp_path, EVENTS).stat().st_mode & 0o777 == 0o600


def test_one_write_is_one_system_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = JournalWriter(tmp_path, HEADER, pytest.fail)
    calls: list[int] = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: calls.append(len(data)) or real(file, data))
    writer.write(EVENTS)
    writer.write([])
    monkeypatch.undo()
    writer.close()
    assert len(calls) == 1
    assert entries(writer.path) == EVENTS


def test_connections_are_counted(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, HEADER, pytest.fail)
    writer.write(EVENTS)
    writer.write(EVENTS[:1])
    writer.close()
    assert writer.connections == 2


def test_a_live_writer_is_known_and_a_dead_one_too(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, HEADER, pytest.fail)
    assert is_written(writer.path)
    assert journals(tmp_path) == [writer.path]
    writer.close()
    assert not is_written(writer.path)


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="cannot be written"):
        JournalWriter(tmp_path / "none", HEADER, pytest.fail)


def test_a_full_disk_is_said_once_and_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    writer = JournalWriter(tmp_path, HEADER, said.append)
    writer.write(EVENTS[:2])

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        writer.write(EVENTS[2:4])
        writer.write(EVENTS[2:4])
    assert len(said) == 1
    assert "No space left on device" in said[0]
    writer.write(EVENTS[4:5])
    writer.write(EVENTS[5:6])
    writer.close()
    assert len(said) == 2
    got = entries(writer.path)
    assert got[:2] == EVENTS[:2]
    assert isinstance(got[2], events.Lost)
    assert got[3:] == EVENTS[4:6]


def test_half_a_record_on_a_full_disk_is_cut_off(tmp_path: Path) -> None:
    """A real limit on the file's size: the write that crosses it is cut short by the kernel."""
    said: list[str] = []
    writer = JournalWriter(tmp_path, HEADER, said.append)
    writer.write(EVENTS[:2])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (writer.path.stat().st_size + 10, limits[1]))
        writer.write(EVENTS[2:4])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(said) == 1
    writer.write(EVENTS[4:5])
    writer.close()
    got = entries(writer.path)
    assert got[:2] == EVENTS[:2]
    assert isinstance(got[2], events.Lost)
    assert got[3:] == EVENTS[4:5]


def test_what_comes_after_the_end_goes_nowhere_and_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    writer = JournalWriter(tmp_path, HEADER, said.append)
    writer.close()
    with (tmp_path / "another").open("wb"):
        writer.write(EVENTS)
    assert (tmp_path / "another").read_bytes() == b""
    assert len(said) == 1


_ENDLESS = """
import sys, pathlib
from proxy import events
from proxy.journal import Header, JournalWriter
writer = JournalWriter(pathlib.Path(sys.argv[1]), Header("p", "a", "s", 1), print)
number = 0
while True:
    writer.write([events.Executed(1, b"x" * (number % 5000), None, number)])
    print(number, flush=True)
    number += 1
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _ENDLESS, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        last = line
        if int(line) > 2000:
            process.kill()
            break
    last = (process.stdout.read().splitlines() or [last])[-1]
    process.stdout.close()
    process.wait()
    (path,) = journals(tmp_path)
    assert not is_written(path)
    got = [event.length for event in entries(path) if isinstance(event, events.Executed)]
    assert got == list(range(len(got)))
    assert len(got) > int(last)


def test_times_are_those_of_the_writing(tmp_path: Path) -> None:
    before = time.time_ns()
    path = written(tmp_path, EVENTS)
    _, start = read_header(path)
    times = [entry.time for entry in read(path, start)]
    assert before <= min(times) <= max(times) <= time.time_ns()
