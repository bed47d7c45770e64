"""A sample of `tests/nested` for each DataJoint line, and that its laws can fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from random import Random

import pytest

from examples.private_server import PrivateServer
from graph.cascade import leaf_rule
from graph.leaves import Rule, RuleKind
from graph.names import TableName
from tests import harness
from tests.nested.author import OPERATORS, triples
from tests.nested.lab import Lab
from tests.nested.runner import Recording, recorded

#: Expressions of each line.
SAMPLE = 40


@pytest.fixture(scope="module", params=list(harness.DATAJOINT_LINES))
def recording(
    request: pytest.FixtureRequest,
    server: PrivateServer,
    restored: PrivateServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Recording]:
    """The sample of a line, recorded."""
    with recorded((server, restored), request.param, SAMPLE, "suite", tmp_path_factory.mktemp("nested")) as made:
        yield made


def test_slices_answer_and_are_exact(recording: Recording) -> None:
    """Each expression's own slice answers as the source, and is the closure of the lineage where that is defined."""
    outcomes = list(recording.judge())
    failures = [f"{each.asked.kinds}: {each.reason}\n{each.sql}" for each in outcomes if each.failed]
    assert not failures, "\n".join(failures)
    assert sum(each.end == "identical" for each in outcomes) > SAMPLE / 2
    assert sum(each.exact is True for each in outcomes) > SAMPLE / 4
    assert sum(each.unlike for each in outcomes) < SAMPLE / 20


def _without_guards(lab: Lab) -> Callable[[Sequence[Rule]], Sequence[Rule]]:
    """Lineage alone."""
    return lambda rules: [rule for rule in rules if rule.kind is RuleKind.LEAF]


def _generous(lab: Lab) -> Callable[[Sequence[Rule]], Sequence[Rule]]:
    """All of a table, whatever was asked for."""
    everything = leaf_rule(lab.schema.tables[TableName(lab.schema_name, "trial")])
    return lambda rules: [*rules, everything]


@pytest.mark.parametrize(("broken", "said"), [(_without_guards, "differs"), (_generous, "too much")])
def test_laws_can_fail(
    broken: Callable[[Lab], Callable[[Sequence[Rule]], Sequence[Rule]]],
    said: str,
    recording: Recording,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recording.lab, "rules", broken(recording.lab))
    assert any(said in each.reason for each in recording.judge() if each.failed)


def test_the_round_trip_answers_all(recording: Recording) -> None:
    """Exported together and restored: each query and each DataJoint expression gives the same. Comes last."""
    trip = recording.round_trip()
    assert trip.verified["identical"] == trip.verified["queries"] > SAMPLE / 2
    assert trip.differing == []


def test_each_operator_stands_on_each_other_in_the_first_triples() -> None:
    pairs = {pair for kinds in islice(triples(Random("1")), 1000) for pair in pairwise(kinds)}
    assert len(pairs) == len(OPERATORS) ** 2
