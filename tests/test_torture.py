"""A small budget of `tests/torture`, and that its laws can fail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from examples.private_server import PrivateServer
from graph.leaves import Output, Role, Rule, RuleKind
from graph.names import TableName
from graph.slice import Slice
from graph.statement import Session
from tests.torture.lab import Answer, Lab, ServerGone
from tests.torture.laws import KNOWN_WRONG, Judge, Noise, Outcome
from tests.torture.model import quoted
from tests.torture.recorded import Recorded
from tests.torture.runner import Runner
from tests.torture.schemas import make_model
from tests.torture.statements import Author

#: What may stay unresolved, and nothing else.
UNRESOLVED = (
    "a derived table of it looks at the query around it",
    "a derived table inside its subquery looks at the select list of the query around that",
    "a LATERAL of it that groups or limits stands in parentheses",
    "a subquery or derived table of it looks at ",
)


@settings(
    derandomize=True,
    max_examples=3,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 2**32))
def test_laws_hold(server: PrivateServer, seed: int) -> None:
    report = Runner(server, str(seed), shrink_seconds=5, most_failures=1).run(50)
    assert not report.failures, "\n\n".join(report.failures)
    assert report.ends["identical"] > 10
    unknown = [reason for reason in report.reasons if not reason.startswith(UNRESOLVED)]
    assert not unknown, unknown


class _NoGuards(Judge):
    """Lineage alone."""

    def rules(self, rules: Sequence[Rule]) -> Sequence[Rule]:
        return [rule for rule in rules if rule.kind is RuleKind.LEAF]


class _MissingRow(Judge):
    """A slice without one of its rows."""

    def taken(self, slice_: Slice) -> Slice:
        tables = dict(slice_.tables)
        for name, sliced in tables.items():
            if sliced.keys and not sliced.whole:
                kept = frozenset(sorted(sliced.keys, key=repr)[1:])
                tables[name] = replace(sliced, keys=kept, rows=len(kept))
                break
        return replace(slice_, tables=tables)


class _Generous(Judge):
    """All of a table, whatever was asked for."""

    def rules(self, rules: Sequence[Rule]) -> Sequence[Rule]:
        name = TableName(self.lab.source, self.lab.model.tables[0].name)
        key = self.lab.schema.tables[name].key
        columns = ", ".join(f"`{column}`" for column in key) or "1"
        sql = f"SELECT {columns} FROM `{name.schema}`.`{name.name}`"
        return [*rules, Rule(RuleKind.LEAF, sql, (Output(name, Role.TARGET),), Session())]


@pytest.mark.parametrize(
    ("judge", "law", "wanted"),
    [
        (_NoGuards, "replay", ["subquery:not exists", "test for a missing partner"]),
        (_MissingRow, "closed", []),
        (_Generous, "lineage", ["select-project-join"]),
    ],
)
def test_laws_can_fail(server: PrivateServer, judge: type[Judge], law: str, wanted: list[str]) -> None:
    runner = Runner(server, "sabotage", judge, shrink_seconds=0, most_failures=100, wanted=wanted, until=law)
    if any(f"law: {law}\n" in failure for failure in runner.run(500).failures):
        return
    pytest.fail(f"a broken slice passes the law {law!r}")


def test_equal_seeds_make_equal_cases() -> None:
    def made(seed: int) -> list[str]:
        chance = Random(seed)
        model = make_model(chance, "mysql")
        author = Author(chance, model, "mysql")
        return [*model.structure(), *model.inserts(), *(author.statement().sql for _ in range(20))]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_all_of_the_grammar_is_generated() -> None:
    tags: Counter[str] = Counter()
    for seed in range(12):
        chance = Random(seed)
        author = Author(chance, make_model(chance, "mysql"), "mysql")
        for _ in range(150):
            tags.update(author.statement().tags)
    wanted = """join:inner join:left join:right join:natural join:using join:on join:comma join:cross join:straight
    join:parentheses derived lateral cte set:union set:intersect set:except group rollup having distinct window offset
    json_table values locking correlated""".split()
    wanted += ["cte:recursive", "cte:column list", "set:union all", "subquery:in", "subquery:not in", "subquery:any"]
    wanted += ["subquery:all", "subquery:exists", "subquery:not exists", "subquery:value", "subquery in HAVING"]
    wanted += ["subquery in ON", "subquery in ORDER BY", "subquery under or", "subquery under not", "insert select"]
    assert [tag for tag in wanted if not tags[tag]] == []


def test_a_table_without_indexes_answers_the_same_and_goes_again(server: PrivateServer) -> None:
    chance = Random("other ways")
    with Lab(server) as lab:
        lab.load(make_model(chance, lab.flavour))
        for table in lab.model.tables:
            sql = f"SELECT * FROM {{S}}.{quoted(table.name)}"
            expected = lab.ask(sql, lab.source)
            assert lab.ask_without_indexes(sql, lab.source).same(expected, ordered=False)
            assert lab.ask_plainly(sql, lab.source).same(expected, ordered=False)
        assert lab.run(f"SHOW DATABASES LIKE '{lab.bare}'").rows == ()


class _TwoMinded(Lab):
    """A server that gives one row more where it cannot use an index."""

    def ask_without_indexes(self, sql: str, schema: str, mode: str = "") -> Answer:
        answer = self.ask(sql, schema, mode)
        return Answer((*answer.rows, ("more",)))


def test_a_server_that_contradicts_itself_breaks_no_law(server: PrivateServer) -> None:
    def ends(kind: type[Lab]) -> set[str]:
        chance = Random("two minds")
        with kind(server) as lab:
            model = make_model(chance, lab.flavour)
            lab.load(model)
            author = Author(chance, model, lab.flavour)
            flat = (statement for statement in iter(author.statement, None) if statement.flat is not None)
            judge = _Generous(lab)
            return {judge.judge([next(flat)])[0].end for _ in range(60)}

    assert "failed" in ends(Lab)
    found = ends(_TwoMinded)
    assert "undetermined" in found
    assert "failed" not in found


def test_a_run_goes_on_after_the_server_has_gone(server: PrivateServer) -> None:
    class Crashing(Judge):
        def judge(self, recording: Sequence[Recorded], noise: Sequence[Noise] = ()) -> list[Outcome]:
            if self.lab is crashed[0]:
                raise ServerGone("gone")
            return super().judge(recording, noise)

    crashed: list[Lab] = []

    def make(lab: Lab) -> Judge:
        if not crashed:
            crashed.append(lab)
        return Crashing(lab)

    runner = Runner(server, "gone", make, shrink_seconds=0)
    with pytest.raises(ServerGone):
        runner.run(20)
    report = runner.run(20)
    assert report.queries >= 20
    assert not report.failures


def test_what_is_known_to_be_wrong_is_so(server: PrivateServer, database: str) -> None:
    """Once a server gives the right answer, its line in KNOWN_WRONG is to go."""
    sql = "SELECT 5 INTERSECT (SELECT a FROM nothing GROUP BY a WITH ROLLUP)"
    with server.connect(database=database) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE nothing (a INT PRIMARY KEY)")
        cursor.execute(sql)
        found = cursor.fetchall()
    wrong = KNOWN_WRONG.get(server.flavour)
    assert bool(found) == (wrong is not None and wrong.search(sql) is not None)
