"""What an older djproxy recorded is classed by the rules of this one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from graph.leaves import Reading
from graph.statement import Session, StatementClass
from proxy.paths import Home
from proxy.reader import Reader
from proxy.recorder import catch_up
from proxy.records import Recorded
from proxy.rereading import reread
from proxy.store import Store
from tests.harness import Djproxy

OLD = Path(__file__).parent / "fixtures" / "store_of_rules_1.sql"
DATA, CHECK, PREVIEW = StatementClass.DATA, StatementClass.CHECK, StatementClass.PREVIEW
NOT_DATA, UNRESOLVED, WRITE = StatementClass.NOT_DATA, StatementClass.UNRESOLVED, StatementClass.WRITE


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with a store that the first rules classed."""
    made = Home(tmp_path / "home").create()
    connection = sqlite3.connect(made.store)
    connection.executescript(OLD.read_text())
    connection.close()
    return made


def classes(home: Home) -> list[StatementClass]:
    return [each.statement_class for each in loaded(home)]


def loaded(home: Home) -> list[Recorded]:
    with Store(home.store) as store:
        return store.load("P")


def test_each_statement_gets_its_class_by_the_new_rules(home: Home) -> None:
    shown, counted, best, counted_again, named, jobs = [PREVIEW, CHECK, PREVIEW, CHECK, CHECK, DATA]
    rest = [DATA, UNRESOLVED, NOT_DATA, UNRESOLVED, DATA, WRITE]
    assert classes(home) == [shown, counted, best, counted_again, named, jobs, *rest]
    before = loaded(home)
    with Store(home.store) as store:
        catch_up(home, store)
    assert classes(home) == [PREVIEW, CHECK, DATA, CHECK, DATA, NOT_DATA, *rest]
    after = loaded(home)
    assert [each.statement for each in after] == [each.statement for each in before]
    assert "a tool keeps for itself" in after[5].reason
    # What only the session says stays.
    assert [each.reason for each in after[6:]] == [each.reason for each in before[6:]]


def test_tables_are_those_of_the_new_readings(home: Home) -> None:
    def whole(store: Store) -> dict[str, int]:
        data = [use for use in store.tables("P") if use.statement_class is DATA and not use.restriction]
        return {str(use.table): use.statements for use in data}

    with Store(home.store) as store:
        assert whole(store) == {"lab.session": 2, "lab.t": 1, "lab.~~seg": 1}
        catch_up(home, store)
        assert whole(store) == {"lab.session": 1, "lab.t": 1}


class Counting(Reader):
    """Counts what is read."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def read_all(self, statements: Iterable[tuple[str, Session]]) -> Iterator[Reading]:
        asked = list(statements)
        self.number += len(asked)
        return super().read_all(asked)


def test_texts_are_read_again_once(home: Home) -> None:
    reader = Counting()
    with Store(home.store) as store:
        reread(store, reader)
        assert reader.number == 11
        reread(store, reader)
    reader.close()
    assert reader.number == 11


def test_a_new_store_has_nothing_to_read_again(tmp_path: Path) -> None:
    home, reader = Home(tmp_path / "home").create(), Counting()
    with Store(home.store) as store:
        reread(store, reader)
        reread(store, reader)
    assert reader.number == 0


def test_show_knows_the_new_classes(home: Home, djproxy: Djproxy) -> None:
    djproxy.home = home.folder
    analysis = djproxy.call("list", "--json").json()["papers"][0]["analyses"][0]
    assert analysis["classes"] == {"data": 4, "check": 2, "preview": 1, "write": 1, "not data": 2, "unresolved": 2}
