"""The big lab's shape, and its paper's whole way with few rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

from examples.private_server import PrivateServer
from tests.biglab.checks import faults
from tests.biglab.expected import Expected
from tests.biglab.load import load, sessions_for
from tests.biglab.paper import paper
from tests.biglab.people import COMPOSITE, FOREIGN_KEYS, RENAMED, SCHEMAS, TABLES
from tests.biglab.shape import DEPTH, Lab, build
from tests.biglab.trip import Traveller

#: The author's, a colleague's, and one of whom nothing may come along.
SESSIONS = 3


def test_its_shape_is_spyglass() -> None:
    lab = build()
    keys = [key for _, key in lab.foreign_keys]
    assert len(lab.schemas) == SCHEMAS
    assert sum(not table.name.startswith("~") for table in lab.tables) == TABLES
    assert len(keys) == FOREIGN_KEYS
    assert sum(key.composite for key in keys) == COMPOSITE
    assert sum(key.renamed for key in keys) == RENAMED
    graph = nx.DiGraph((id(table), id(key.parent)) for table, key in lab.foreign_keys)
    assert nx.dag_longest_path_length(graph) == DEPTH


def test_equal_seeds_make_equal_labs() -> None:
    def made(seed: int) -> list[str]:
        return [statement for table in build(seed).tables for statement in (table.create(), *table.fill())]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_a_larger_lab_has_more_sessions() -> None:
    lab = build()
    assert sessions_for(lab, 0) < sessions_for(lab, 200_000) < sessions_for(lab, 1_000_000)


@pytest.fixture
def lab(server: PrivateServer, restored: PrivateServer) -> Iterator[Lab]:
    made = build()
    yield made
    for each in (server, restored):
        each.execute("SET foreign_key_checks = 0", *(f"DROP DATABASE IF EXISTS `{name}`" for name in made.schemas))


def test_its_paper_arrives_whole_and_alone(
    lab: Lab, server: PrivateServer, restored: PrivateServer, tmp_path: Path
) -> None:
    """Recorded, planned, exported, dumped, restored and verified; what is then wrong with the copy is found out."""
    load(server, lab, SESSIONS)
    queries = paper(lab, SESSIONS)
    trip = Traveller(lab, server, restored, tmp_path, lambda text: None).travel(queries)
    told = (trip.bundle / "mydumper.cnf").read_text()
    assert told.count("\nwhere=") == sum(not table["whole"] for table in trip.export["tables"])
    with Expected(server, lab, queries) as expected:
        assert list(faults(trip, lab, restored, expected)) == []
        assert len(expected.tables) > 100
        restored.execute(
            "SET foreign_key_checks = 0",
            "DELETE FROM common_task.`#task` LIMIT 1",
            "UPDATE common_lab.`#lab_member` SET lab_member_name = 'carmen'",
        )
        found = " ".join(faults(trip, lab, restored, expected))
    assert "`common_task`.`#task`: 1 of " in found
    assert "`common_lab`.`#lab_member`: 1 of 1 rows lack or differ, 1 are surplus" in found
    assert "rows of `common_task`.`_task_epoch` have no parent in `common_task`.`#task`" in found
