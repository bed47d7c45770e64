"""A failing case, made as small as a few seconds allow."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import sqlglot
from sqlglot import exp

from graph.errors import GraphError
from tests.torture.lab import Lab, Rejected
from tests.torture.laws import Failure, Judge, Noise
from tests.torture.model import Model, Table
from tests.torture.recorded import Recorded


@dataclass(frozen=True)
class Case:
    """A database, a recording and what else is in the slice."""

    model: Model
    recording: tuple[Recorded, ...]
    noise: tuple[Noise, ...] = ()

    def script(self) -> str:
        """The case as SQL."""
        lines = ["SET foreign_key_checks = 0;"]
        lines += [f"{statement};" for statement in (*self.model.structure(), *self.model.inserts())]
        lines.append("-- recorded:")
        lines += [f"{recorded.sql.replace('{S}.', '')};" for recorded in self.recording]
        if self.noise:
            lines.append("-- and in the slice for other reasons:")
            lines += [f"SELECT * FROM `{one.table}` WHERE {one.where};" for one in self.noise]
        return "\n".join(lines)


class Shrinker:
    """Tries smaller cases while the same law fails."""

    def __init__(self, lab: Lab, judge: Judge, law: str, seconds: float) -> None:
        self.lab = lab
        self.judge = judge
        self.law = law
        self.end = time.monotonic() + seconds
        self.failure: Failure | None = None

    def shrink(self, case: Case) -> Case:
        """The smallest case found; `failure` is what is wrong there."""
        self.lab.load(case.model)
        if not self._fails(case):
            return case
        size = None
        while size != len(case.script()) and time.monotonic() < self.end:
            size = len(case.script())
            case = self._statements(case)
            case = self._texts(self._inlined(case))
            case = self._rows(case)
            case = self._structure(case)
        return case

    def _fails(self, case: Case) -> bool:
        """Whether the law fails here too, for a statement whose answer the rows determine."""
        try:
            outcomes = self.judge.judge(case.recording, case.noise)
            failed = [outcome for outcome in outcomes if outcome.failure and outcome.failure.law == self.law]
            if not failed or not all(self.judge.determined(outcome.recorded) for outcome in failed):
                return False
        except (Rejected, GraphError, AssertionError, StopIteration):
            return False
        self.failure = failed[0].failure
        return True

    def _first(self, candidates: Iterator[Case]) -> Case | None:
        for candidate in candidates:
            if time.monotonic() > self.end:
                return None
            if self._fails(candidate):
                return candidate
        return None

    def _statements(self, case: Case) -> Case:
        def candidates(case: Case) -> Iterator[Case]:
            for index in range(len(case.noise)):
                yield replace(case, noise=_without(case.noise, index))
            for index, recorded in enumerate(case.recording):
                if len(case.recording) > 1:
                    yield replace(case, recording=_without(case.recording, index))
                if recorded.sql != recorded.reading:
                    yield _with(case, index, recorded.reading, recorded.ordered)

        while (smaller := self._first(candidates(case))) is not None:
            case = smaller
        return case

    def _inlined(self, case: Case) -> Case:
        """Views written out as derived tables, so that their texts shrink too."""
        for view in reversed(case.model.views):
            if view.columns:
                continue
            recording = tuple(
                replace(recorded, sql=text, reading=text, flat=None)
                for recorded in case.recording
                for text in [recorded.reading.replace(f"`{view.name}`", f"({view.select})")]
            )
            if (
                recording != case.recording
                and self.law != "lineage"
                and self._fails(replace(case, recording=recording))
            ):
                case = replace(case, recording=recording)
        return case

    def _texts(self, case: Case) -> Case:
        """Statements with parts left out. Not where lineage is judged, whose flat form would be another then."""
        if self.law == "lineage":
            return case
        for index, recorded in enumerate(case.recording):
            try:
                tree = sqlglot.parse_one(recorded.reading.replace("{S}.", ""), dialect="mysql")
            except sqlglot.errors.SqlglotError:
                continue
            current = _with(case, index, tree.sql(dialect="mysql"), False)
            if recorded.ordered and not self._fails(current):
                current = _with(case, index, tree.sql(dialect="mysql"), True)
            if not self._fails(current):
                continue
            case = current
            while True:
                ordered = case.recording[index].ordered
                tree = sqlglot.parse_one(case.recording[index].reading, dialect="mysql")
                smaller = self._first(_with(case, index, text, ordered) for text in _reductions(tree, ordered))
                if smaller is None:
                    break
                case = smaller
        return case

    def _rows(self, case: Case) -> Case:
        for table in case.model.tables:
            size = max(1, len(case.model.rows[table.name]) // 2)
            while size:
                start = 0
                while start < len(case.model.rows[table.name]) and time.monotonic() < self.end:
                    rows = dict(case.model.rows)
                    rows[table.name] = rows[table.name][:start] + rows[table.name][start + size :]
                    smaller = replace(case, model=case.model.with_rows(rows))
                    self.lab.refill(smaller.model)
                    if self._fails(smaller):
                        case = smaller
                    else:
                        start += size
                size //= 2
        self.lab.refill(case.model)
        return case

    def _structure(self, case: Case) -> Case:
        """Views, foreign keys, tables and columns that do not matter."""
        index = 0
        smaller = list(_structures(case))
        while index < len(smaller) and time.monotonic() < self.end:
            try:
                self.lab.load(smaller[index].model)
                fails = self._fails(smaller[index])
            except (Rejected, GraphError):
                fails = False
            if fails:
                case, index = smaller[index], 0
                smaller = list(_structures(case))
            else:
                index += 1
        self.lab.load(case.model)
        return case


def _without(items: Sequence, index: int) -> tuple:  # type: ignore[type-arg]
    return (*items[:index], *items[index + 1 :])


def _with(case: Case, index: int, text: str, ordered: bool) -> Case:
    recording = list(case.recording)
    recording[index] = replace(recording[index], sql=text, reading=text, ordered=ordered, flat=None)
    return replace(case, recording=tuple(recording))


def _structures(case: Case) -> Iterator[Case]:
    model = case.model
    texts = " ".join(recorded.sql for recorded in case.recording) + " ".join(view.select for view in model.views)
    texts += " ".join(f"`{one.table}` {one.where}" for one in case.noise)
    for view in reversed(model.views):
        if f"`{view.name}`" not in texts:
            yield replace(case, model=replace(model, views=tuple(other for other in model.views if other != view)))
    for key in model.foreign_keys:
        keys = tuple(other for other in model.foreign_keys if other != key)
        yield replace(case, model=replace(model, foreign_keys=keys))
    for table in model.tables:
        named = any(table.name in (key.child, key.parent) for key in model.foreign_keys)
        if not named and f"`{table.name}`" not in texts:
            tables = tuple(other for other in model.tables if other != table)
            rows = {name: rows for name, rows in model.rows.items() if name != table.name}
            yield replace(case, model=replace(model, tables=tables, rows=rows))
        for column in table.columns:
            used = column.name in {*table.primary, *(name for key in table.unique for name in key)}
            used = used or any(
                column.name in (key.columns if key.child == table.name else ())
                or column.name in (key.parent_columns if key.parent == table.name else ())
                for key in model.foreign_keys
            )
            if not used and f"`{column.name}`" not in texts and len(table.columns) > 1:
                yield replace(case, model=_without_column(model, table, column.name))
        for key_ in table.unique:
            unique = tuple(other for other in table.unique if other != key_)
            yield replace(case, model=_with_table(model, table, replace(table, unique=unique)))


def _with_table(model: Model, old: Table, new: Table) -> Model:
    return replace(model, tables=tuple(new if table == old else table for table in model.tables))


def _without_column(model: Model, table: Table, name: str) -> Model:
    place = table.position(name)
    columns = tuple(column for column in table.columns if column.name != name)
    rows = {**model.rows, table.name: [_without(row, place) for row in model.rows[table.name]]}
    return replace(_with_table(model, table, replace(table, columns=columns)), rows=rows)


def _reductions(tree: exp.Expr, ordered: bool) -> Iterator[str]:
    """Texts with one part left out or replaced by something smaller, the large parts first."""
    for number in range(sum(1 for _ in tree.walk(bfs=True))):
        for change in range(6):
            copy = tree.copy()
            target = list(copy.walk(bfs=True))[number]
            changed = _changed(copy, target, change, ordered)
            if changed is not None:
                yield changed.sql(dialect="mysql")


def _changed(tree: exp.Expr, node: exp.Expr, change: int, ordered: bool) -> exp.Expr | None:
    """The tree with a change around a node; None where that change does not apply."""
    new: exp.Expr | None = None
    if isinstance(node, exp.Select):
        return _smaller_select(tree, node, change, ordered)
    if isinstance(node, exp.SetOperation) and change < 2:
        new = node.this if change == 0 else node.expression
        if node.args.get("with_") is not None:
            return None
    elif isinstance(node, exp.And | exp.Or | exp.Xor) and change < 2:
        new = node.this if change == 0 else node.expression
    elif isinstance(node, exp.Not | exp.Paren) and change == 0:
        new = node.this
    elif isinstance(node, exp.Subquery) and change == 0 and isinstance(node.this, exp.Select):
        source = node.this.args.get("from_")
        if node.arg_key == "this" and isinstance(node.parent, exp.From | exp.Join) and source is not None:
            table = source.this
            if isinstance(table, exp.Table) and node.alias:
                new = exp.Table(this=table.this.copy(), alias=exp.TableAlias(this=exp.to_identifier(node.alias, True)))
    elif isinstance(node, exp.In | exp.Exists | exp.Predicate) and change < 2:
        new = exp.true() if change == 0 else exp.false()
    elif isinstance(node, exp.Func) and not isinstance(node, exp.AggFunc) and change == 0:
        new = node.this if isinstance(node.this, exp.Expr) else None
    elif isinstance(node, exp.CTE) and change == 0 and isinstance(node.parent, exp.With):
        with_ = node.parent
        if len(with_.expressions) == 1:
            with_.pop()
        else:
            node.pop()
        return tree
    elif isinstance(node, exp.Join) and change < 2:
        if change == 0:
            node.pop()
        elif node.args.get("side"):
            node.set("side", None)
        else:
            return None
        return tree
    if new is None:
        return None
    if node is tree:
        return new.copy()
    node.replace(new.copy())
    return tree


def _smaller_select(tree: exp.Expr, node: exp.Select, change: int, ordered: bool) -> exp.Expr | None:
    parts = (("where",), ("having",), ("limit", "offset", "order"), ("group", "having"), ("distinct",))
    if change < len(parts):
        if not any(node.args.get(part) for part in parts[change]):
            return None
        if "order" in parts[change] and ordered and node is tree:
            return None
        for part in parts[change]:
            node.set(part, None)
        return tree
    inside = node.arg_key == "query" or isinstance(node.parent, exp.Subquery | exp.SetOperation)
    if len(node.expressions) > 1 and not (inside and not isinstance(node.parent, exp.Subquery)):
        # One projection at a time; the last first, since keys are added at the end.
        node.expressions.pop()
        return tree
    return None
