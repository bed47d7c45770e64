"""Many cases in a row, and the counts of what became of their statements."""

from __future__ import annotations

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from examples.private_server import PrivateServer
from tests.torture.lab import Lab, Rejected
from tests.torture.laws import Failure, Judge, Noise, Outcome, plain
from tests.torture.model import literal, quoted
from tests.torture.recorded import Recorded
from tests.torture.schemas import make_model
from tests.torture.shrink import Case, Shrinker
from tests.torture.statements import Author

#: Recordings over one database before the next one is made.
RECORDINGS = 25


@dataclass
class Report:
    """Counts of statements: by end, by construct and end, by reason."""

    flavour: str
    ends: Counter[str] = field(default_factory=Counter)
    constructs: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    reasons: Counter[str] = field(default_factory=Counter)
    rejections: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    recordings: int = 0
    exact: int = 0
    slice_rows: int = 0
    all_rows: int = 0
    seconds: float = 0

    @property
    def queries(self) -> int:
        """Statements that were held against the laws."""
        return sum(count for end, count in self.ends.items() if end not in ("rejected", "undetermined"))

    def count(self, outcome: Outcome) -> None:
        """Takes one statement in."""
        self.ends[outcome.end] += 1
        for tag in outcome.recorded.tags:
            self.constructs[tag][outcome.end] += 1
        if outcome.end == "unresolved":
            self.reasons[plain(outcome.reason)] += 1
        if outcome.end == "rejected":
            self.rejections[plain(outcome.reason)] += 1

    def document(self) -> dict[str, Any]:
        """All counts, for JSON."""
        return {
            "flavour": self.flavour,
            "queries": self.queries,
            "recordings": self.recordings,
            "held against lineage": self.exact,
            "rows in slices": self.slice_rows,
            "rows in databases": self.all_rows,
            "seconds": round(self.seconds, 1),
            "ends": dict(self.ends.most_common()),
            "unresolved": dict(self.reasons.most_common()),
            "rejected": dict(self.rejections.most_common()),
            "constructs": {name: dict(ends.most_common()) for name, ends in sorted(self.constructs.items())},
            "failures": self.failures,
            "crashes of the server": self.crashes,
        }


class Runner:
    """Makes cases from a seed, judges them, shrinks what fails."""

    def __init__(
        self,
        server: PrivateServer,
        seed: str,
        judge: Callable[[Lab], Judge] = Judge,
        shrink_seconds: float = 30,
        most_failures: int = 10,
        wanted: Collection[str] = (),
        until: str = "",
    ) -> None:
        """`wanted`: constructs of which each statement has one at least. `until`: the law whose failure is enough."""
        self.server = server
        self.seed = seed
        self.make_judge = judge
        self.shrink_seconds = shrink_seconds
        self.most_failures = most_failures
        self.wanted = frozenset(wanted)
        self.until = until
        self.report = Report(server.flavour)
        self._seen: set[str] = set()
        self._next = 0

    def run(self, queries: int, progress: Callable[[Report], None] | None = None) -> Report:
        """Until that many queries were held against the laws, or too many failed.

        Raises ServerGone when a statement brings the server down; called again with another server, it goes on with the
        next database.
        """
        start = time.monotonic() - self.report.seconds
        with Lab(self.server) as lab:
            while not self._enough(queries):
                number, self._next = self._next, self._next + 1
                self._database(lab, f"{self.seed}:{number}", queries)
                self.report.seconds = time.monotonic() - start
                if progress is not None:
                    progress(self.report)
        return self.report

    def _enough(self, queries: int) -> bool:
        found = bool(self.until) and any(f"law: {self.until}\n" in failure for failure in self.report.failures)
        return found or self.report.queries >= queries or len(self.report.failures) >= self.most_failures

    def _database(self, lab: Lab, seed: str, queries: int) -> None:
        """One database and its recordings."""
        chance = Random(seed)
        model = make_model(chance, lab.flavour)
        lab.load(model)
        author = Author(chance, model, lab.flavour)
        self._views(lab, author)
        judge = self.make_judge(lab)
        for _ in range(RECORDINGS):
            if self._enough(queries):
                break
            size = chance.choices((1, 2, 3, 4), (6, 2, 1, 1))[0]
            recording = tuple(self._statement(lab, author) for _ in range(size))
            noises = [(), *(tuple(self._noise(chance, lab, recording)) for _ in range(chance.choice((1, 1, 2))))]
            self._recording(lab, judge, [Case(lab.model, recording, noise) for noise in noises], seed)
        self.report.exact += judge.exact
        self.report.slice_rows += judge.slice_rows
        self.report.all_rows += judge.all_rows

    def _statement(self, lab: Lab, author: Author) -> Recorded:
        """One that has a construct of the wanted ones; mostly one that answers with something."""
        while True:
            recorded = author.statement()
            if self.wanted and not recorded.tags & self.wanted:
                continue
            if author.chance.random() < 0.2 or self._tells(lab, recorded):
                return recorded

    def _tells(self, lab: Lab, recorded: Recorded) -> bool:
        """Whether the answer has more in it than NULLs and zeros: what is empty on any slice shows nothing."""
        try:
            answer = lab.ask(recorded.reading, lab.source, recorded.mode)
        except Rejected as error:
            self.report.ends["rejected"] += 1
            self.report.rejections[plain(str(error))] += 1
            return False
        return any(value not in (None, "0") for row in answer.rows for value in row)

    def _views(self, lab: Lab, author: Author) -> None:
        for _ in range(author.chance.choice((0, 1, 2, 3))):
            view, query, tags = author.view()
            try:
                lab.create_view(view)
            except Rejected as error:
                self.report.rejections[f"view: {plain(str(error))}"] += 1
                lab.drop_view(view)
                continue
            author.keep(view, query, tags)

    def _noise(self, chance: Random, lab: Lab, recording: Sequence[Recorded]) -> Iterator[Noise]:
        """A share of the rows of some of the tables, or those for which a simple condition holds."""
        share = chance.choice((0.2, 0.4, 0.7))
        texts = " ".join(recorded.sql for recorded in recording)
        for table in lab.model.tables:
            named = re.search(rf"\b{re.escape(table.name.strip('#'))}\b", texts) is not None
            if not table.key or chance.random() > (0.7 if named else 0.15):
                continue
            column = chance.choice(table.columns)
            value = chance.choice(column.domain.values)
            where = f"{quoted(column.name)} {chance.choice(('=', '<=', '>'))} {literal(value)}"
            rows = [row for row in lab.model.rows[table.name] if chance.random() < share]
            if rows and chance.random() < 0.7:
                names = [quoted(name) for name in table.key]
                places = [table.position(name) for name in table.key]
                keys = [f"({', '.join(literal(row[place]) for place in places)})" for row in rows]
                where = f"({', '.join(names)}) IN ({', '.join(keys)})"
            yield Noise(table.name, where)

    def _recording(self, lab: Lab, judge: Judge, cases: Sequence[Case], seed: str) -> None:
        """One recording, among other rows of the slice in each case."""
        self.report.recordings += 1
        outcomes: list[Outcome] = []
        for case in cases:
            judged = judge.judge(case.recording, case.noise)
            for outcome in judged:
                if outcome.failure is not None and not judge.determined(outcome.recorded):
                    outcome.end, outcome.failure = "undetermined", None
            outcomes = [
                new if old.end == "identical" else old for old, new in zip(outcomes or judged, judged, strict=True)
            ]
            failed = next((outcome for outcome in judged if outcome.failure is not None), None)
            if failed is not None and failed.failure is not None:
                self._failed(lab, judge, case, failed.recorded, failed.failure, seed)
                break
        for outcome in outcomes:
            self.report.count(outcome)

    def _failed(self, lab: Lab, judge: Judge, case: Case, recorded: Recorded, failure: Failure, seed: str) -> None:
        if failure.law.startswith("unresolved") and failure.law in self._seen:
            return
        self._seen.add(failure.law)
        self.report.failures.append(self._reproducer(lab, judge, case, recorded, failure, seed))

    def _reproducer(self, lab: Lab, judge: Judge, case: Case, recorded: Recorded, failure: Failure, seed: str) -> str:
        """The failing case, shrunk, as a SQL script with what was expected and what came."""
        small, shown = case, failure
        if self.shrink_seconds:
            shrinker = Shrinker(lab, judge, failure.law, self.shrink_seconds)
            small = shrinker.shrink(case)
            shown = shrinker.failure or failure
            lab.load(case.model)
        comments = [f"-- seed {seed} on {lab.flavour}, law: {shown.law}", f"-- originally: {recorded.sql}"]
        comments += [f"-- expected: {shown.expected}", f"-- got: {shown.got}"]
        return "\n".join([*comments, small.script()])
