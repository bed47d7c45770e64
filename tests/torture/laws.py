"""The laws of a slice, held against what `graph` makes of a recording.

1. The slice is closed under foreign keys.
2. Each statement that was resolved gives on the slice what it gave on the source.
3. The slice of a select-project-join query alone is the closure of its lineage, which is computed here from the flat
   form that the generator made and from all rows, by brute force.
4. Each statement ends in a class, with a reason where it is unresolved; nothing raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from graph.cascade import Parts, cascade, leaf_rule
from graph.errors import GraphError
from graph.leaves import Resolution, Rule, read, resolve
from graph.names import TableName
from graph.slice import Slice
from graph.statement import Session, Statement, StatementClass
from tests.torture.lab import Answer, Lab, Rejected, RowId
from tests.torture.model import quoted
from tests.torture.recorded import Recorded

#: What a server answers wrongly in all ways. MySQL 9.7 takes the NULL that ROLLUP makes of a column without NULLs for
#: any value: `SELECT 5 INTERSECT (SELECT a FROM nothing GROUP BY a WITH ROLLUP)` gives 5.
KNOWN_WRONG = {"mysql": re.compile(r"\bINTERSECT\b.*\bROLLUP\b|\bROLLUP\b.*\bINTERSECT\b", re.DOTALL)}
#: What the servers say when a statement takes longer than the lab allows.
_TOO_SLOW = re.compile(r"\b(3024|1969)\b")


@dataclass(frozen=True)
class Noise:
    """Rows that are in the slice for other reasons: those of a table for which a condition holds."""

    table: str
    where: str


@dataclass(frozen=True)
class Failure:
    """A law that does not hold; `expected` and `got` are for people."""

    law: str
    statement: int
    expected: str
    got: str


@dataclass
class Outcome:
    """What became of one statement: identical, unresolved, not data, rejected, undetermined, or failed."""

    recorded: Recorded
    end: str
    reason: str = ""
    failure: Failure | None = None


class Judge:
    """Holds recordings against the laws; subclasses may break what is judged.

    `strict`: what is unresolved breaks a law too, one for each reason.
    """

    def __init__(self, lab: Lab, *, strict: bool = False) -> None:
        self.lab = lab
        self.strict = strict
        self._known: dict[object, tuple[Outcome, Resolution | None, Answer | None]] = {}
        self.slice_rows = 0
        self.all_rows = 0
        self.exact = 0

    def rules(self, rules: Sequence[Rule]) -> Sequence[Rule]:
        """The rules that the slice is computed from."""
        return rules

    def taken(self, slice_: Slice) -> Slice:
        """The slice that is judged."""
        return slice_

    def judge(self, recording: Sequence[Recorded], noise: Sequence[Noise] = ()) -> list[Outcome]:
        """What became of each statement; a law broken by the whole slice is laid to the first."""
        try:
            outcomes = self._judged(recording, noise)
        except (Rejected, GraphError) as error:
            if not _TOO_SLOW.search(str(error)):
                raise
            outcomes = [Outcome(recorded, "undetermined", "takes too long") for recorded in recording]
        for number, outcome in enumerate(outcomes):
            if self.strict and outcome.end == "unresolved":
                outcome.failure = Failure(f"unresolved: {plain(outcome.reason)}", number, "rules", outcome.reason)
        return outcomes

    def _judged(self, recording: Sequence[Recorded], noise: Sequence[Noise]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        asked: list[tuple[int, Outcome, Resolution, Answer]] = []
        for number, recorded in enumerate(recording):
            outcome, resolution, answer = self._asked(number, recorded)
            outcomes.append(outcome)
            if resolution is not None and answer is not None:
                asked.append((number, outcome, resolution, answer))
        rules = [rule for _, _, resolution, _ in asked for rule in resolution.rules] + self._noise_rules(noise)
        structure = {name for _, _, resolution, _ in asked for name in (*resolution.tables, *resolution.views)}
        if not asked:
            return outcomes
        slice_ = cascade(self.lab.database, self.lab.schema, self.rules(rules), parts=Parts.NONE, structure=structure)
        slice_ = self.taken(slice_)
        for number, outcome, _, _ in asked:
            if number in slice_.refused:
                slow = _TOO_SLOW.search(slice_.refused[number]) is not None
                outcome.end = "undetermined" if slow else "unresolved"
                outcome.reason = f"refused: {slice_.refused[number]}"
        with self.lab.filled(slice_):
            self._replay([entry for entry in asked if entry[1].end == "identical"])
            rows = self.lab.rows_in(self.lab.copy)
        if not noise:
            self.slice_rows += len(rows)
            self.all_rows += len(self.lab.rows)
        self._closed(asked, rows)
        if len(recording) == 1 and not noise and recording[0].flat is not None and outcomes[0].end == "identical":
            self._lineage(asked[0][1], recording[0], asked[0][2], rows)
        return outcomes

    def _asked(self, number: int, recorded: Recorded) -> tuple[Outcome, Resolution | None, Answer | None]:
        """A statement on the source, and what `graph` makes of it; the same however often it is asked."""
        known = (self.lab.version, number, recorded)
        if known not in self._known:
            self._known[known] = self._ask(number, recorded)
        outcome, resolution, answer = self._known[known]
        return replace(outcome), resolution, answer

    def _ask(self, number: int, recorded: Recorded) -> tuple[Outcome, Resolution | None, Answer | None]:
        lab = self.lab
        try:
            expected = lab.ask(recorded.reading, lab.source, recorded.mode)
        except Rejected as error:
            return Outcome(recorded, "rejected", str(error)), None, None
        mode = f"{lab.sql_mode},{recorded.mode}" if recorded.mode else lab.sql_mode
        session = Session(schema=lab.source, sql_mode=mode, variables={"two": "2"})
        sql = recorded.sql.replace("{S}", lab.source)
        try:
            read(sql, session)
            resolution = resolve(Statement(number, sql, session), lab.schema)
        except Exception as error:
            failure = Failure("no crash", number, "a resolution", repr(error))
            return Outcome(recorded, "failed", failure=failure), None, None
        if resolution.statement_class is StatementClass.UNRESOLVED:
            return Outcome(recorded, "unresolved", resolution.reason or "(no reason)"), None, None
        if resolution.statement_class not in (StatementClass.DATA, StatementClass.CHECK):
            return Outcome(recorded, str(resolution.statement_class), resolution.reason), None, None
        return Outcome(recorded, "identical"), resolution, expected

    def _noise_rules(self, noise: Iterable[Noise]) -> list[Rule]:
        tables = self.lab.schema.tables
        return [leaf_rule(tables[TableName(self.lab.source, one.table)], one.where) for one in noise]

    def _replay(self, asked: Iterable[tuple[int, Outcome, Resolution, Answer]]) -> None:
        """The query of each statement, and what `verify` would run in its place."""
        for number, outcome, resolution, expected in asked:
            recorded = outcome.recorded
            if not recorded.changes:
                self._compare(number, outcome, recorded, resolution, expected)
            text = (resolution.replay or recorded.reading).replace(self.lab.source, "{S}")
            if outcome.end == "identical" and text != recorded.reading:
                try:
                    other = self.lab.ask(text, self.lab.source, recorded.mode)
                except Rejected as error:
                    self._fail(outcome, Failure("replay text", number, "an answer", f"{error} for {text}"))
                    continue
                reading = replace(recorded, reading=text, ordered=False)
                self._compare(number, outcome, reading, resolution, other)

    def _compare(
        self, number: int, outcome: Outcome, recorded: Recorded, resolution: Resolution, expected: Answer
    ) -> None:
        lab = self.lab
        try:
            got = lab.ask(recorded.reading, lab.copy, recorded.mode)
        except Rejected as error:
            if _TOO_SLOW.search(str(error)):
                outcome.end = "undetermined"
            else:
                self._fail(outcome, Failure("replay", number, _shown(expected), f"{error} for {recorded.reading}"))
            return
        if got.same(expected, ordered=recorded.ordered):
            return
        sound = self._sound(recorded, expected, lab.source) and self._sound(recorded, got, lab.copy)
        if sound and self._sound_rules(recorded, resolution):
            self._fail(outcome, Failure("replay", number, _shown(expected), _shown(got)))
        else:
            outcome.end = "undetermined"

    def _sound(self, recorded: Recorded, answer: Answer, schema: str) -> bool:
        """Whether the server gives the same answer on other ways of computing it: some optimizations have bugs."""
        if (wrong := KNOWN_WRONG.get(self.lab.flavour)) and wrong.search(recorded.reading):
            return False
        again = self.lab.ask_plainly(recorded.reading, schema, recorded.mode)
        if not again.same(answer, ordered=recorded.ordered):
            return False
        try:
            bare = self.lab.ask_without_indexes(recorded.reading, schema, recorded.mode)
        except Rejected:
            # It names an index or a partition, or needs the key to be valid.
            return True
        return bare.same(answer, ordered=recorded.ordered)

    def _sound_rules(self, recorded: Recorded, resolution: Resolution) -> bool:
        """Whether the server gives for each rule on the source what it gives without indexes, too."""
        texts = [rule.sql.replace(self.lab.source, "{S}") for rule in resolution.rules]
        readings = [replace(recorded, reading=text, ordered=False) for text in texts]
        return all(
            self._sound(reading, self.lab.ask(reading.reading, self.lab.source, reading.mode), self.lab.source)
            for reading in readings
        )

    def _fail(self, outcome: Outcome, failure: Failure) -> None:
        outcome.failure = failure
        outcome.end = "failed"

    def _closed(self, asked: Sequence[tuple[int, Outcome, Resolution, Answer]], rows: set[RowId]) -> None:
        missing = {parent for row in rows for parent in self.lab.links.get(row, ())} - rows
        if missing:
            number, outcome = asked[0][0], asked[0][1]
            self._fail(outcome, Failure("closed", number, f"with {_rows(missing)}", "parents are missing"))

    def _lineage(self, outcome: Outcome, recorded: Recorded, resolution: Resolution, rows: set[RowId]) -> None:
        expected = self.closure(self.lineage(recorded))
        self.exact += 1
        if rows != expected and not self._sound_rules(recorded, resolution):
            outcome.end = "undetermined"
        elif rows != expected:
            failure = Failure("lineage", 0, f"also {_rows(expected - rows)}", f"too much: {_rows(rows - expected)}")
            self._fail(outcome, failure)

    def lineage(self, recorded: Recorded) -> set[RowId]:
        """The base rows that take part in the result of a select-project-join query."""
        assert recorded.flat is not None
        flat = recorded.flat
        start = ", ".join(f"{source} {quoted(alias)}" for source, alias in flat.tables)
        where = " AND ".join(f"({one})" for one in flat.conditions if one) or "1"
        found: set[RowId] = set()
        for source, alias in flat.tables:
            sql = f"SELECT DISTINCT {quoted(alias)}.* FROM {start} WHERE {where}"
            name = re.sub(r" PARTITION .*", "", source).replace("{S}.", "")[1:-1]
            if self.lab.model.table(name).key:
                found |= {(name, row) for row in self.lab.ask(sql, self.lab.source).rows}
            else:
                found |= self._all_of(name)
        return found

    def _all_of(self, name: str) -> set[RowId]:
        """A table without a key is taken whole: nothing tells one of its rows from another."""
        return {row for row in self.lab.rows if row[0] == name}

    def closure(self, rows: set[RowId]) -> set[RowId]:
        """Rows with all that they refer to."""
        reached: set[RowId] = set()
        ahead = set(rows)
        while ahead:
            reached |= ahead
            parents = {parent for row in ahead for parent in self.lab.links.get(row, ())}
            keyless = {name for name, _ in parents if not self.lab.model.table(name).key}
            ahead = parents.union(*map(self._all_of, keyless)) - reached
        return reached

    def determined(self, recorded: Recorded) -> bool:
        """Whether the rows alone determine the answer: the same rows stored in another order give it again."""
        lab = self.lab
        try:
            expected = lab.ask(recorded.reading, lab.source, recorded.mode)
            with lab.whole():
                return lab.ask(recorded.reading, lab.copy, recorded.mode).same(expected, ordered=recorded.ordered)
        except Rejected:
            return False


def plain(reason: str) -> str:
    """A reason without the names and numbers of one statement."""
    reason = re.sub(r"; check the manual.*|, near .*", "", reason.partition("\n")[0])
    reason = re.sub(r"`[^`]*`(\.`[^`]*`)*|'[^']*'|\"[^\"]*\"", "…", reason)
    reason = re.sub(r"torture_(src|cpy)_\w+", "…", reason)
    reason = re.sub(r"looks at \S+ of", "looks at … of", reason)
    return re.sub(r"(Line|Col:?|#) ?\d+", r"\1 …", reason)[:200]


def _shown(answer: Answer) -> str:
    rows = [", ".join("NULL" if value is None else str(value) for value in row) for row in answer.rows[:12]]
    return f"{len(answer.rows)} rows: " + "; ".join(f"({row})" for row in rows)


def _rows(rows: Iterable[RowId]) -> str:
    shown = sorted(f"{name}({', '.join(str(value) for value in values)})" for name, values in rows)
    return ", ".join(shown[:6]) + (" …" if len(shown) > 6 else "") if shown else "nothing"
