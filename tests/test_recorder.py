"""From the journal to the store: nothing doubled, nothing lost, whoever dies in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from graph.leaves import Reading
from graph.statement import Session, StatementClass
from proxy import events, recorder
from proxy.errors import JournalError
from proxy.journal import Header, JournalWriter, journals
from proxy.paths import Home
from proxy.reader import Reader
from proxy.recorder import Taker, catch_up, recorded_now, taking
from proxy.store import Store

HEADER = Header("P", "main", "db:3306", 5)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


def writer(home: Home, header: Header = HEADER) -> JournalWriter:
    """A live proxy's journal with one connection."""
    made = JournalWriter(home.journals, header, pytest.fail)
    made.write([events.Connected(1, 7, "u", "lab", 255)])
    return made


def execute(journal: JournalWriter, *statements: str, connection: int = 1) -> None:
    """Statements, a record each."""
    for sql in statements:
        journal.write([events.Executed(connection, sql.encode(), None, len(sql))])


def texts(home: Home, paper: str = "P") -> list[str]:
    """What is in the store."""
    with Store(home.store) as store:
        return [each.statement.sql for each in store.load(paper)]


def catch(home: Home) -> None:
    with Store(home.store) as store:
        catch_up(home, store)


class Plain(Reader):
    """Reads nothing, quickly; counts."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def read_all(self, statements: Iterable[tuple[str, Session]]) -> Iterator[Reading]:
        for sql, _ in statements:
            self.asked.append(sql)
            yield Reading("SELECT", StatementClass.DATA)


def test_a_journal_becomes_statements(home: Home) -> None:
    journal = writer(home)
    execute(journal, "SELECT * FROM t WHERE a = 1", "USE other", "SELECT * FROM t")
    journal.write(
        [
            events.Noted(1, "INSERT", "lab.t", 99),
            events.Unread(1, "SELECT", 1 << 30, "longer than 16 MB"),
            events.Lost(1, "a bug"),
            events.Closed(1),
        ]
    )
    journal.close()
    with Store(home.store) as store:
        catch_up(home, store)
        first, _, third, noted, unread = store.load("P")
        assert [str(use.table) for use in store.tables("P")] == ["lab.t", "other.t"]
        assert [gap.reason for gap in store.lost("P")] == ["a bug"]
    assert (first.statement_class, first.statement.session.schema) == (StatementClass.DATA, "lab")
    assert third.statement.session.schema == "other"
    assert (noted.verb, noted.table, noted.length, noted.statement_class) == (
        "INSERT",
        "lab.t",
        99,
        StatementClass.WRITE,
    )
    assert (unread.statement_class, unread.reason) == (StatementClass.UNRESOLVED, "longer than 16 MB")
    assert journals(home.journals) == []
    assert list(home.journals.iterdir()) == []


def test_what_a_statement_without_text_set_is_no_longer_known(home: Home) -> None:
    journal = writer(home)
    execute(journal, "SET @a = 1, @b = 2", "PREPARE s FROM 'SELECT 1 FROM t'")
    journal.write([events.Noted(1, "SET", "@a", 40), events.Noted(1, "PREPARE", "s", 40)])
    execute(journal, "SELECT @b FROM t", "EXECUTE s")
    journal.close()
    catch(home)
    with Store(home.store) as store:
        *_, selected, executed = store.load("P")
    assert selected.statement.session.variables == {"b": "2"}
    assert executed.statement_class is StatementClass.UNRESOLVED


def test_a_live_journal_stays_and_is_taken_on(home: Home) -> None:
    journal = writer(home)
    execute(journal, "SELECT 1 FROM t")
    catch(home)
    assert texts(home) == ["SELECT 1 FROM t"]
    execute(journal, "SELECT 2 FROM t")
    catch(home)
    catch(home)
    assert texts(home) == ["SELECT 1 FROM t", "SELECT 2 FROM t"]
    assert journals(home.journals) == [journal.path]
    journal.close()
    catch(home)
    assert texts(home) == ["SELECT 1 FROM t", "SELECT 2 FROM t"]
    assert journals(home.journals) == []


def test_the_context_survives_a_restart(home: Home) -> None:
    journal = writer(home)
    execute(journal, "USE other", "SET @a = 5", "SET sql_mode = 'ANSI_QUOTES'")
    catch(home)
    execute(journal, 'SELECT "x" FROM t WHERE a = @a')
    catch(home)
    journal.close()
    with Store(home.store) as store:
        session = store.load("P")[-1].statement.session
    assert (session.schema, session.sql_mode, session.variables) == ("other", "ANSI_QUOTES", {"a": "5"})


def test_a_text_is_read_once(home: Home) -> None:
    journal = writer(home)
    execute(journal, *["SELECT * FROM t"] * 5, "USE other", *["SELECT * FROM t"] * 5)
    for _ in range(2):
        reader = Plain()
        with Store(home.store) as store, taking(journal.path):
            Taker(store, journal.path, reader).take()
        execute(journal, "SELECT * FROM t")
    assert reader.asked == []
    journal.close()


def test_equal_texts_in_other_contexts_are_read_again(home: Home) -> None:
    journal = writer(home)
    execute(journal, *["SELECT * FROM t"] * 5, "USE other", *["SELECT * FROM t"] * 5)
    reader = Plain()
    with Store(home.store) as store, taking(journal.path):
        Taker(store, journal.path, reader).take()
    assert reader.asked == ["SELECT * FROM t", "USE other", "SELECT * FROM t"]
    journal.close()


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [('SELECT "x" FROM t', StatementClass.UNRESOLVED), ("SELECT x FROM t", StatementClass.DATA)],
)
def test_an_unknown_mode_leaves_unresolved_what_hangs_on_it(home: Home, statement: str, wanted: StatementClass) -> None:
    journal = writer(home)
    execute(journal, "SET sql_mode = (SELECT m FROM modes)", statement)
    journal.close()
    with Store(home.store) as store:
        catch_up(home, store)
        last = store.load("P")[-1]
    assert last.statement_class is wanted
    assert ("sql_mode is not known" in last.reason) == (wanted is StatementClass.UNRESOLVED)


def test_an_unknown_prepared_statement_is_unresolved(home: Home) -> None:
    journal = writer(home)
    execute(journal, "EXECUTE s")
    journal.close()
    with Store(home.store) as store:
        catch_up(home, store)
        (statement,) = store.load("P")
    assert statement.statement_class is StatementClass.UNRESOLVED
    assert "was not seen" in statement.reason


def test_a_preview_is_seen(home: Home) -> None:
    journal = writer(home)
    shown, counted = "SELECT `a`,`b` FROM `lab`.`t` ORDER BY `a` LIMIT 13", "SELECT count(DISTINCT `a`) FROM `lab`."
    execute(journal, shown, f"{counted}`t`")
    execute(journal, shown, f"{counted}`other`")
    journal.close()
    with Store(home.store) as store:
        catch_up(home, store)
        classes = [each.statement_class for each in store.load("P")]
    assert classes == [StatementClass.PREVIEW, StatementClass.CHECK, StatementClass.DATA, StatementClass.CHECK]


def answered(sql: str, connection: int = 1) -> events.Answered:
    """The result of a statement, with a key."""
    column = events.KeyColumn("lab", "t", "t", "id", "id", "binary")
    return events.Answered(connection, zlib.crc32(sql.encode()), 1, None, (column,), b"\x017", "", "")


def pinned(home: Home) -> list[str]:
    """The texts of the statements of which keys are known."""
    with Store(home.store) as store:
        known = store.pins("P")
        return [each.statement.sql for each in store.load("P") if each.statement.id in known]


def test_a_result_finds_its_statement_across_stretches_and_restarts(home: Home) -> None:
    journal = writer(home)
    journal.write([events.Connected(2, 8, "u", "lab", 255)])
    execute(journal, "SELECT 1 FROM t")
    execute(journal, "SELECT 2 FROM t", connection=2)
    catch(home)
    journal.write([answered("SELECT 1 FROM t")])
    execute(journal, "SELECT 3 FROM t", "SELECT 4 FROM t")
    journal.write([answered("SELECT 2 FROM t", connection=2), answered("SELECT 4 FROM t")])
    catch(home)
    journal.close()
    assert pinned(home) == ["SELECT 1 FROM t", "SELECT 2 FROM t", "SELECT 4 FROM t"]


def test_a_result_of_a_statement_that_is_not_known_is_dropped(home: Home) -> None:
    journal = writer(home)
    execute(journal, "SELECT 1 FROM t")
    journal.write([answered("SELECT 2 FROM t")])
    execute(journal, "SELECT 3 FROM t")
    journal.write([events.Noted(1, "INSERT", "lab.t", 9), answered("SELECT 3 FROM t")])
    execute(journal, "SELECT 4 FROM t")
    journal.write([events.Lost(0, "the journal could not be written"), answered("SELECT 4 FROM t")])
    execute(journal, "SELECT 5 FROM t; SELECT 6 FROM t")
    journal.write([answered("SELECT 5 FROM t; SELECT 6 FROM t")])
    catch(home)
    journal.close()
    catch(home)
    assert len(texts(home)) == 6
    assert pinned(home) == []
    assert journals(home.journals) == []


def test_a_torn_tail_of_a_dead_proxy_is_dropped(home: Home) -> None:
    journal = writer(home)
    execute(journal, "SELECT 1 FROM t", "SELECT 2 FROM t")
    journal.close()
    os.truncate(journal.path, journal.path.stat().st_size - 3)
    catch(home)
    assert texts(home) == ["SELECT 1 FROM t"]
    assert journals(home.journals) == []


def test_a_damaged_journal_is_said_and_kept_and_the_others_are_taken(home: Home) -> None:
    first = writer(home)
    execute(first, "SELECT 1 FROM t", "SELECT 2 FROM t")
    first.close()
    content = first.path.read_bytes()
    first.path.write_bytes(content[:-3] + b"???")
    second = writer(home, Header("Q", "main", "db:3306", 6))
    execute(second, "SELECT 3 FROM t")
    second.close()
    for _ in range(2):
        with pytest.raises(JournalError, match=str(first.path)):
            catch(home)
    assert first.path.read_bytes() == content[:-3] + b"???"
    assert texts(home) == ["SELECT 1 FROM t"]
    assert texts(home, "Q") == ["SELECT 3 FROM t"]
    first.path.unlink()
    catch(home)
    assert texts(home) == ["SELECT 1 FROM t"]


def test_what_a_crash_before_the_removal_leaves_is_not_taken_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = writer(home)
    execute(journal, "SELECT 1 FROM t")
    journal.close()
    with monkeypatch.context() as patched:
        patched.setattr(recorder, "_remove", lambda store, path: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            catch(home)
    catch(home)
    assert texts(home) == ["SELECT 1 FROM t"]
    assert journals(home.journals) == []


def test_leftovers_are_cleaned(home: Home) -> None:
    old = home.journals / "1-x.new"
    old.write_bytes(b"")
    os.utime(old, (1, 1))
    (home.journals / "1-y.lock").write_bytes(b"")
    catch(home)
    assert list(home.journals.iterdir()) == []


def test_who_records_now(home: Home) -> None:
    journal = writer(home)
    assert recorded_now(home) == {("P", "main")}
    journal.close()
    assert recorded_now(home) == set()


# -- the worker process


def start_worker(home: Home, path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "proxy.recorder", "--home", str(home.folder), "--journal", str(path)],
        cwd=Path(__file__).parent.parent,
    )


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; the test's time limit ends a wait in vain."""
    while not condition():
        time.sleep(0.02)


def test_the_worker_follows_and_ends_with_its_proxy(home: Home) -> None:
    journal = writer(home)
    worker = start_worker(home, journal.path)
    execute(journal, "SELECT 1 FROM t")
    with Store(home.store) as store:
        wait_for(lambda: bool(store.papers()) and len(store.load("P")) == 1)
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == 19
    execute(journal, "SELECT 2 FROM t")
    journal.close()
    assert worker.wait() == 0
    assert texts(home) == ["SELECT 1 FROM t", "SELECT 2 FROM t"]
    assert list(home.journals.iterdir()) == []


def test_there_may_be_a_rest_after_each_stretch(home: Home) -> None:
    journal = writer(home)
    execute(journal, *(f"SELECT {number} FROM t" for number in range(1200)))
    taken: list[int | None] = []
    with Store(home.store) as store:
        taker = Taker(store, journal.path, Plain())
        taker.take(lambda: taken.append(store.offset(journal.path.name)))
        # Everything up to there is in the store already.
        assert len(taken) == 3 and taken == sorted(set(taken), key=lambda offset: offset or 0)
        assert taken[-1] == journal.path.stat().st_size
    journal.close()


def test_the_worker_rests_between_stretches(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(recorder.Courtesy, "pause", lambda _: calls.append("pause"))
    monkeypatch.setattr(recorder.Courtesy, "caught_up", lambda _: calls.append("caught up"))
    monkeypatch.setattr(recorder, "Reader", Plain)
    journal = writer(home)
    execute(journal, *(f"SELECT {number} FROM t" for number in range(600)))
    journal.close()
    recorder.work(home, journal.path)
    assert calls == ["pause", "pause", "caught up"]
    assert len(texts(home)) == 600


def test_catching_up_waits_for_a_live_worker(home: Home) -> None:
    journal = writer(home)
    worker = start_worker(home, journal.path)
    wait_for(lambda: bool(list(home.journals.glob("*.lock"))))
    wanted = [f"SELECT {number} FROM t" for number in range(300)]
    execute(journal, *wanted)
    catch(home)
    assert texts(home) == wanted
    journal.close()
    worker.wait()


def test_a_worker_killed_at_any_time_neither_doubles_nor_loses(home: Home) -> None:
    journal = writer(home)
    wanted = [f"SELECT {number} FROM t" for number in range(1200)]
    execute(journal, *wanted)
    for _ in range(3):
        worker = start_worker(home, journal.path)
        with Store(home.store) as store:
            before = store.offset(journal.path.name)
            wait_for(lambda before=before, store=store: store.offset(journal.path.name) != before)  # type: ignore[misc]
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    journal.close()
    catch(home)
    assert texts(home) == wanted


def test_a_worker_that_died_is_replaced_by_who_waits_for_it(home: Home) -> None:
    journal = writer(home)
    execute(journal, "SELECT 1 FROM t")
    worker = start_worker(home, journal.path)
    wait_for(lambda: bool(list(home.journals.glob("*.lock"))))
    worker.kill()
    worker.wait()
    catch(home)
    assert texts(home) == ["SELECT 1 FROM t"]
    journal.close()


def test_two_recordings_at_once(home: Home) -> None:
    both = {name: writer(home, Header(name, "main", "db:3306", number)) for number, name in enumerate("PQ")}
    workers = [start_worker(home, journal.path) for journal in both.values()]
    for number in range(100):
        for name, journal in both.items():
            execute(journal, f"SELECT '{name}' FROM t WHERE a = {number}")
    for journal in both.values():
        journal.close()
    assert [worker.wait() for worker in workers] == [0, 0]
    for name in both:
        assert texts(home, name) == [f"SELECT '{name}' FROM t WHERE a = {number}" for number in range(100)]


def test_two_catch_up_at_once(home: Home) -> None:
    journal = writer(home)
    wanted = [f"SELECT {number} FROM t" for number in range(300)]
    execute(journal, *wanted)
    journal.close()
    command = "import sys,pathlib;from proxy.paths import Home;from proxy.store import Store;"
    command += "from proxy.recorder import catch_up;home=Home(pathlib.Path(sys.argv[1]));"
    command += "store=Store(home.store);catch_up(home,store);print(len(store.load('P')))"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", command, str(home.folder)],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    assert [process.communicate()[0].strip() for process in processes] == ["300"] * 3
    assert texts(home) == wanted


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel does not group by session")
def test_the_worker_steps_back_in_its_session_too() -> None:
    code = "from proxy.recorder import _step_back as go; go(); print(open('/proc/self/autogroup').read())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, start_new_session=True)
    assert output.stdout.split()[-1] == b"10"
