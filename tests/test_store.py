"""The store: what goes in comes out, to the right paper, once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from graph.digest import encode_row
from graph.leaves import Occurrence, Reading
from graph.names import TableName
from graph.statement import Pinned, PinnedColumn, RecordedResult, Session, StatementClass
from proxy import events
from proxy.errors import InputError, StoreError
from proxy.pins import pack
from proxy.records import NewLost, NewResult, NewStatement, Result
from proxy.store import Store
from proxy.store_rows import reading_key

DATA = Reading("SELECT", StatementClass.DATA, "", (Occurrence(TableName("lab", "t"), "a = 1", "from"),))
JOURNAL = "1-a.journal"


def new(sql: str | None = "SELECT 1", reading: Reading | None = DATA, **changes: object) -> NewStatement:
    """A statement to be stored."""
    values: dict[str, object] = {
        "connection": 1,
        "time": 5,
        "verb": "SELECT",
        "table": "",
        "length": 8,
        "statement_class": StatementClass.NOT_DATA if reading is None else reading.statement_class,
        "reason": "",
        "sql": sql,
        "reading": reading,
    }
    return NewStatement(**(values | changes))  # type: ignore[arg-type]


def add(
    store: Store,
    *statements: NewStatement,
    paper: str = "P",
    analysis: str = "main",
    lost: int = 0,
    results: Sequence[tuple[int | None, NewResult]] = (),
) -> None:
    """One batch."""
    journal = f"{paper}/{analysis}"
    offset = store.offset(journal)
    gaps = [NewLost(0, 6, f"gap {number}") for number in range(lost)]
    store.add(journal, (paper, analysis, "db:3306", 1), statements, gaps, (offset, (offset or 0) + 10), results)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.sqlite"


def test_what_goes_in_comes_out(path: Path) -> None:
    session = Session(schema="lab", sql_mode="ANSI", time_zone="+00:00", charset="utf8mb4", variables={"a": "'é'"})
    with Store(path) as store:
        add(store, new("SELECT 'é😀'", session=session), new(None, None, verb="INSERT", table="lab.t", length=77))
    with Store(path) as store:
        first, second = store.load("P")
    assert first.statement.sql == "SELECT 'é😀'"
    assert first.statement.session == session
    assert (first.statement_class, first.analysis, first.time) == (StatementClass.DATA, "main", 5)
    assert (second.statement.sql, second.verb, second.table, second.length) == ("", "INSERT", "lab.t", 77)


def test_the_file_is_private(path: Path) -> None:
    with Store(path) as store:
        add(store, new())
        files = list(path.parent.iterdir())
        assert len(files) > 1
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_equal_texts_are_kept_once_and_read_once(path: Path) -> None:
    with Store(path) as store:
        here, there, nowhere = (reading_key("SELECT 1", Session(schema=schema)) for schema in (None, "x", "y"))
        assert store.find_readings({here, there}) == {}
        add(store, *[new() for _ in range(5)], new(session=Session(schema="x")))
        assert store.find_readings({here, nowhere}) == {here: DATA}
        assert len(store.load("P")) == 6
    assert _count(path, "texts") == 1
    assert _count(path, "readings") == 2


def _count(path: Path, table: str) -> int:
    with sqlite3.connect(path) as connection:
        (number,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(number)


def test_papers_and_analyses_with_counts(path: Path) -> None:
    with Store(path) as store:
        assert store.papers() == []
        store.add_analysis("empty", "main", "db:3306", 3)
        add(store, new(), new(), new(None, None))
        add(store, new(), analysis="other", lost=2)
        add(store, new(), paper="../Q 'x'")
        papers = {paper.name: paper for paper in store.papers()}
        assert list(papers) == ["../Q 'x'", "P", "empty"]
        main, other = papers["P"].analyses
        assert (main.name, main.server, main.statements, main.lost) == ("main", "db:3306", 3, 0)
        assert main.classes == {StatementClass.DATA: 2, StatementClass.NOT_DATA: 1}
        assert (other.name, other.statements, other.lost) == ("other", 1, 2)
        assert papers["empty"].analyses[0].last is None
        assert [each.statement.sql for each in store.load("P", "other")] == ["SELECT 1"]
        assert [gap.reason for gap in store.lost("P")] == ["gap 0", "gap 1"]
        assert store.lost("P", "main") == []


def test_recording_on_keeps_server_and_time(path: Path) -> None:
    with Store(path) as store:
        store.add_analysis("P", "main", "first:3306", 1)
        store.add_analysis("P", "main", "second:3306", 2)
        assert store.server_of("P", "main") == "first:3306"
        assert store.server_of("P", "none") is None


@pytest.mark.parametrize(("paper", "analysis"), [("Q", None), ("P", "none"), ("p", None)])
def test_unknown_names_are_refused_with_the_known_ones(path: Path, paper: str, analysis: str | None) -> None:
    with Store(path) as store:
        add(store, new())
        for ask in (store.paper, store.load, store.forget):
            with pytest.raises(InputError, match=r"'P'|'main'"):
                ask(paper, analysis)


def test_tables_in_use(path: Path) -> None:
    twice = Reading("SELECT", StatementClass.DATA, "", DATA.occurrences * 2)
    with Store(path) as store:
        add(store, new(), new(), new("SELECT 2", twice))
        (use,) = store.tables("P")
    assert (str(use.table), use.role, use.restriction, use.statements) == ("lab.t", "from", "a = 1", 3)


PREVIEW = Reading("SELECT", StatementClass.DATA, "", (), None, "FROM t")
COUNT = Reading("SELECT", StatementClass.CHECK, "counts only", (), "FROM t", None)


@pytest.mark.parametrize(
    ("statements", "wanted"),
    [
        ([new("a", PREVIEW), new("b", COUNT)], StatementClass.PREVIEW),
        ([new("a", PREVIEW), new("b", COUNT, connection=2)], StatementClass.DATA),
        ([new("a", PREVIEW), new("c", connection=2), new("b", COUNT)], StatementClass.PREVIEW),
        ([new("a", PREVIEW), new("c"), new("b", COUNT)], StatementClass.DATA),
        ([new("a", PREVIEW), new(None, None), new("b", COUNT)], StatementClass.DATA),
        ([new("a"), new("b", COUNT)], StatementClass.DATA),
        ([new("a", PREVIEW)], StatementClass.DATA),
    ],
)
@pytest.mark.parametrize("batches", [1, 2])
def test_a_preview_is_known_by_its_count(
    path: Path, statements: list[NewStatement], wanted: StatementClass, batches: int
) -> None:
    with Store(path) as store:
        for batch in [statements] if batches == 1 else [[each] for each in statements]:
            add(store, *batch)
        assert store.load("P")[0].statement_class is wanted


def test_a_stretch_is_stored_by_one_process_only(path: Path) -> None:
    with Store(path) as store:
        store.add(JOURNAL, ("P", "main", "s", 1), [new()], [], (None, 10))
        for expected in (None, 5):
            with pytest.raises(StoreError, match="another process"):
                store.add(JOURNAL, ("P", "main", "s", 1), [new()], [], (expected, 20))
        store.add(JOURNAL, ("P", "main", "s", 1), [new()], [], (10, 20))
        assert store.offset(JOURNAL) == 20
        assert len(store.load("P")) == 2
        store.forget_journal(JOURNAL)
        assert store.offset(JOURNAL) is None


def test_nothing_of_a_failed_batch_is_stored(path: Path) -> None:
    with Store(path) as store:
        bad = new("SELECT 2", connection="x" * 10)
        object.__setattr__(bad, "verb", None)
        with pytest.raises(StoreError):
            store.add(JOURNAL, ("P", "main", "s", 1), [new(), bad], [], (None, 10))
        assert store.papers() == []
        assert store.offset(JOURNAL) is None


def test_forget_statements(path: Path) -> None:
    with Store(path) as store:
        add(store, new("SELECT 'secret'"), new("SELECT 2"), new("SELECT 2"))
        ids = [each.statement.id for each in store.load("P")]
        with pytest.raises(InputError, match="999"):
            store.forget("P", None, [ids[0], 999])
        assert store.forget("P", None, [ids[0], ids[1]]) == 2
        assert [each.statement.id for each in store.load("P")] == ids[2:]
        add(store, new("SELECT 'secret'"), new("SELECT 2"))
        assert [each.statement.sql for each in store.load("P")] == ["SELECT 2", "SELECT 'secret'", "SELECT 2"]


def test_forget_an_analysis_and_then_the_paper(path: Path) -> None:
    with Store(path) as store:
        add(store, new(), lost=1)
        add(store, new(), analysis="b")
        add(store, new(), paper="Q")
        assert store.forget("P", "main") == 1
        assert [each.name for each in store.paper("P").analyses] == ["b"]
        assert store.forget("P") == 1
        assert [paper.name for paper in store.papers()] == ["Q"]
        assert len(store.load("Q")) == 1
    assert _count(path, "lost") == 0


def test_what_is_forgotten_is_gone_from_the_files(path: Path) -> None:
    with Store(path) as store:
        add(store, new("SELECT 'a very secret name'"), new("SELECT 2"))
        assert b"very secret" in b"".join(file.read_bytes() for file in path.parent.iterdir())
        store.forget("P", None, [store.load("P")[0].statement.id])
        assert b"very secret" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_ids_known_before_a_forget_are_not_used_after(path: Path) -> None:
    with Store(path) as writer, Store(path) as other:
        add(writer, new("SELECT 2"))
        other.forget("P")
        add(writer, new("SELECT 2"))
        assert [each.statement.sql for each in writer.load("P")] == ["SELECT 2"]


def test_two_writers_at_once(path: Path) -> None:
    def write(name: str) -> None:
        with Store(path) as store:
            for number in range(40):
                add(store, new(f"SELECT {number}"), paper=name)

    threads = [threading.Thread(target=write, args=(name,)) for name in "ABC"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Store(path) as store:
        for name in "ABC":
            assert [each.statement.sql for each in store.load(name)] == [f"SELECT {each}" for each in range(40)]
    assert _count(path, "texts") == 40


@pytest.mark.parametrize(
    "content", [b"this is no database, and long enough to be told from one" * 20, b"SQLite format 3\0" * 99]
)
def test_a_damaged_file_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(StoreError, match="nothing was changed") as caught:
        Store(path)
    assert caught.value.exit_code == 2
    assert path.read_bytes() == content


def test_a_damaged_page_is_said(path: Path) -> None:
    with Store(path) as store:
        add(store, *[new(f"SELECT {'x' * 3000} {number}") for number in range(50)])
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * (len(content) - 8192))
    with pytest.raises(StoreError, match="damaged"), Store(path) as store:
        store.load("P")


def test_another_programs_file_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a djproxy store"):
        Store(path)
    assert path.read_bytes() == before


def test_a_newer_store_is_refused(path: Path) -> None:
    with Store(path) as store:
        add(store, new())
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '3' WHERE key = 'format'")
    connection.close()
    with pytest.raises(StoreError, match=r"version 3.*newer djproxy"):
        Store(path)


def test_a_store_of_version_1_is_taken_on(path: Path) -> None:
    with Store(path) as store:
        add(store, new())
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "DROP TABLE results; DROP TABLE key_sets; UPDATE meta SET value = '1' WHERE key = 'format'"
        )
    connection.close()
    with Store(path) as store:
        assert [each.result for each in store.load("P")] == [None]
        add(store, new("SELECT 2"), results=[(0, result(KEYS))])
    with Store(path) as store:
        assert list(store.pins("P")) == [2]


COLUMNS = (
    events.KeyColumn("lab", "x", "t", "id", "ident", "binary"),
    events.KeyColumn("lab", "x", "t", "name", "name", "utf8mb4"),
)
KEYS = encode_row((b"1", "é".encode())) + encode_row((b"2" * 300, None)) + encode_row((b"1", "é".encode()))


def result(
    keys: bytes | None,
    columns: tuple[events.KeyColumn, ...] = COLUMNS,
    digest: str | None = "d" * 32,
    connection: int = 1,
    **trouble: str,
) -> NewResult:
    """A result to be stored."""
    said = {"dropped": "", "broken": ""} | trouble
    return NewResult(connection, events.Answered(connection, 7, 3, digest, columns, keys, **said))


def test_results_come_out_with_their_statements(path: Path) -> None:
    with Store(path) as store:
        statements = [new("SELECT 1"), new("SELECT 2"), new("SELECT 3", connection=2), new("SELECT 4")]
        results = [
            (0, result(KEYS)),
            (2, result(None, (), None, broken="the connection ended")),
            (3, result(KEYS, digest=None)),
        ]
        add(store, *statements, results=results)
        loaded = store.load("P")
        pins = store.pins("P")
    assert [each.result for each in loaded] == [
        Result(RecordedResult(3, "d" * 32), True, "", ""),
        None,
        Result(RecordedResult(3), False, "", "the connection ended"),
        Result(RecordedResult(3), True, "", ""),
    ]
    recorded = [each.statement.recorded for each in loaded]
    assert recorded == [RecordedResult(3, "d" * 32), None, None, RecordedResult(3)]
    columns = (PinnedColumn("lab", "x", "id", "ident"), PinnedColumn("lab", "x", "name", "name"))
    assert pins == {number: Pinned(columns, frozenset({(b"1", "é"), (b"2" * 300, None)})) for number in (1, 4)}
    assert _count(path, "key_sets") == 1


def test_a_result_that_comes_later_belongs_to_the_last_statement_of_its_connection(path: Path) -> None:
    with Store(path) as store:
        add(store, new("SELECT 1"), new("SELECT 2"), new("SELECT 3", connection=2))
        add(
            store,
            new("SELECT 4"),
            results=[(None, result(KEYS)), (0, result(None)), (None, result(None, connection=9))],
        )
        add(store, new("SELECT 5"), paper="Q", results=[(None, result(KEYS))])
        found = [each.result is not None and each.result.pinned for each in store.load("P")]
    assert found == [False, True, False, False]
    assert _count(path, "results") == 2


@pytest.mark.parametrize(
    ("charset", "value", "useless"),
    [
        ("utf8mb4", b"?", False),
        ("utf8mb4", b"\xff", True),
        ("latin1", b"\xe9", False),
        ("latin1", b"a?", True),
        ("utf8mb3", b"?", True),
        ("geostd8", b"a", True),
        ("", b"a", True),
        ("binary", b"\xff?", False),
    ],
)
def test_keys_that_the_character_set_may_have_lost(path: Path, charset: str, value: bytes, useless: bool) -> None:
    column = events.KeyColumn("lab", "t", "t", "k", "k", charset)
    with Store(path) as store:
        add(store, new(), results=[(0, result(encode_row((value,)), (column,)))])
        found = store.pins("P")[1]
    assert isinstance(found, str) == useless
    if isinstance(found, str):
        assert "character set" in found


def test_forget_removes_results_and_their_keys(path: Path) -> None:
    other = encode_row((b"secret-key", b"x"))
    with Store(path) as store:
        add(store, new("SELECT 1"), new("SELECT 2"), results=[(0, result(KEYS)), (1, result(other))])
        add(store, new("SELECT 1"), paper="Q", results=[(0, result(KEYS))])
        store.forget("P", statements=[2])
        assert _count(path, "key_sets") == 1
        store.forget("P")
        assert (_count(path, "results"), _count(path, "key_sets")) == (1, 1)
        store.forget("Q")
        assert (_count(path, "results"), _count(path, "key_sets")) == (0, 0)
    assert all(pack(other) not in file.read_bytes() for file in path.parent.iterdir())


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        Store(tmp_path / "none" / "store.sqlite")


def test_a_store_is_made_once_by_many_at_once(path: Path) -> None:
    errors: list[Exception] = []

    def make() -> None:
        try:
            Store(path).close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert _count(path, "meta") == 3
