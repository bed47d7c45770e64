"""From rules to a slice: the rows that the rules ask for, and all that these need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import networkx as nx

from graph import quoting
from graph.closure import Closure
from graph.components import component_order
from graph.database import Database
from graph.datajoint import Parts, lineage_rows, part_edges
from graph.definition import defined
from graph.errors import InputError, LimitError, StatementError
from graph.gate import Gate, Row
from graph.keys import decoder, integral, key_columns, key_expression
from graph.keystore import DEFAULT_MEMORY, KeyStore
from graph.leaves.rules import Output, Role, Rule, RuleKind
from graph.limits import Limits, Within
from graph.lookup import Edge, SqlTables
from graph.names import TableName, is_withheld
from graph.schema import Schema, Table, require_select, view_tables
from graph.slice import Key, PinCheck, Slice, TableSlice
from graph.statement import Session

__all__ = ["Bounds", "Parts", "all_edges", "cascade", "leaf_rule"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a slice may take: bytes of memory for its keys, the rest of which wait in a temporary file, and rows."""

    memory: int = DEFAULT_MEMORY
    rows: int | None = None


UNBOUNDED: Final = Bounds()


def leaf_rule(table: Table, where: str | None = None, session: Session | None = None) -> Rule:
    """The rule for hand-picked rows: those of a base table for which `where` holds, or all of them.

    `where` is SQL over the table's own columns (subqueries allowed). Raises InputError for a view.
    """
    if table.view is not None:
        raise InputError(f"{table.name} is a view; pick rows of its base tables")
    columns = [key_expression(column, quoting.identifier(column.name)) for column in key_columns(table)]
    sql = f"SELECT {', '.join(columns) or '1'} FROM {quoting.table(table.name)}"
    if where is not None:
        # On a line of its own, so that a comment at its end does not swallow the parenthesis.
        sql += f" WHERE (\n{where}\n)"
    reason = f"picked: {where}" if where is not None else "picked: all rows"
    return Rule(RuleKind.LEAF, sql, (Output(table.name, Role.TARGET),), session or Session(), reason=reason)


def cascade(
    database: Database,
    schema: Schema,
    rules: Sequence[Rule],
    *,
    parts: Parts = Parts.MERGE,
    structure: Iterable[TableName] = (),
    empty: Collection[TableName] = (),
    with_parts: Collection[TableName] = (),
    without_parts: Collection[TableName] = (),
    within: Collection[Within] = (),
    leave_out: Collection[TableName] = (),
    progress: Callable[[str], None] | None = None,
    bounds: Bounds = UNBOUNDED,
) -> Slice:
    """The least slice that holds what the rules ask for and is closed under foreign keys and `parts`.

    `structure` names tables and views that are needed even without rows, `empty` tables that come with their
    structure though nothing needs them, and are not counted for it, `with_parts` parts whose rows come with their
    masters in any case, `without_parts` tables whose rows never do; `within` are limits, see graph.limits,
    `leave_out` tables of which no row is taken.
    It is computed in one snapshot; within `database.snapshot()`, in that one.
    Raises InputError for a rule about an unknown table or a view, GrantError for a missing right before
    anything is computed, ServerError when the connection breaks, LimitError as soon as there are more rows
    than `bounds` allows; then the connection is closed, since an answer may be under way. A rule that the
    server refuses ends nothing: see `Slice.refused`.
    """
    with database.snapshot():
        edges = [
            edge
            for edge in all_edges(schema, parts, with_parts, without_parts)
            if edge.source not in leave_out and edge.target not in leave_out
        ]
        say = progress or (lambda text: None)
        tables, store = SqlTables(database, schema), KeyStore(bounds.memory)
        limits = None
        if within or leave_out:
            new = partial(Closure, tables, schema, edges, lambda text: None, store)
            limits = Limits(database, tables, schema, edges, within, leave_out, new)
        bounded = Closure(tables, schema, edges, say, store, bounds.rows)
        if not within:
            run = _Run(database, schema, edges, bounded, say, limits)
            run.check(rules, [*structure, *empty])
            return defined(database, _within_bounds(database, run, rules, structure, empty))
        assert limits is not None
        asked = _Run(database, schema, edges, Closure(tables, schema, edges, say, store), say)
        asked.check(rules, [*structure, *empty, *limits.tables])
        asked.settle(rules)
        say("looking for the rows that limits allow")
        limits.judge(asked.closure)
        run = _Run(database, schema, edges, bounded, say, limits)
        found = _within_bounds(database, run, rules, structure, empty)
        found = replace(found, warnings=(*limits.warnings(asked.closure), *found.warnings))
        return defined(database, found)


def _within_bounds(
    database: Database,
    run: _Run,
    rules: Sequence[Rule],
    structure: Iterable[TableName],
    empty: Collection[TableName],
) -> Slice:
    """The slice of a run; the connection is closed when it grows too large, since an answer may be under way."""
    try:
        run.settle(rules)
        return run.slice(rules, structure, empty)
    except LimitError:
        database.abandon()
        raise


def all_edges(
    schema: Schema,
    parts: Parts,
    with_parts: Collection[TableName] = (),
    without_parts: Collection[TableName] = (),
) -> list[Edge]:
    """What brings further rows into a slice: foreign keys, and the parts of masters."""
    declared = [Edge.of(key) for name in sorted(schema.graph) for key in schema.parents(name)]
    return declared + [edge for edge in part_edges(schema, parts, with_parts) if edge.target not in without_parts]


@dataclass(slots=True)
class _Awaiting:
    """Targets that enter the slice as soon as all of one of the `conditions` are in it.

    Both may repeat themselves: there may be hundreds of thousands of groups, and a set is large.
    """

    conditions: list[tuple[Row, ...]] = field(default_factory=list)
    targets: list[Row] = field(default_factory=list)


#: Rows that may be the witness, by the conditions that ask for one.
_Choices = dict[tuple[Row, ...], list[tuple[Row, ...]]]


class _Reader:
    """Finds the row of one output among the values of a rule's row."""

    def __init__(self, table: Table, start: int) -> None:
        self.width = len(table.key)
        self._name = table.name
        self._start, self._end = start, start + self.width
        self._decode = decoder(table)
        self._never = is_withheld(table.name)

    def read(self, values: tuple[Any, ...]) -> Row:
        if self._never:
            return self._name, None
        if self.width == 0:
            return self._name, ()
        if values[self._start] is None:
            return self._name, None
        return self._name, self._decode(values[self._start : self._end])


class _Run:
    def __init__(
        self,
        database: Database,
        schema: Schema,
        edges: list[Edge],
        closure: Closure,
        progress: Callable[[str], None],
        limits: Limits | None = None,
    ) -> None:
        self._database = database
        self._schema = schema
        self._edges = edges
        self._closure = closure
        self._gate = Gate(schema, closure, limits)
        self._progress = progress
        self._refused: dict[int, str] = {}
        self._warnings: list[str] = []
        self._pins: list[PinCheck] = []

    @property
    def closure(self) -> Closure:
        """The rows that are held."""
        return self._closure

    def check(self, rules: Sequence[Rule], structure: Iterable[TableName]) -> None:
        """Raises InputError for tables that no rule may be about, GrantError for one that cannot be read."""
        targets = {output.table for rule in rules for output in rule.outputs}
        for name in sorted(targets):
            table = self._schema.tables.get(name)
            if table is None:
                raise InputError(f"there is no table {name}")
            if table.view is not None:
                raise InputError(f"{name} is a view; rules are about its base tables")
        reach: nx.DiGraph[TableName] = nx.DiGraph((edge.source, edge.target) for edge in self._edges)
        reach.add_nodes_from(targets)
        needed = targets.union(*(nx.descendants(reach, name) for name in targets))
        require_select(self._database, self._schema, needed.union(structure))

    def settle(self, rules: Sequence[Rule]) -> None:
        """Adds what the rules ask for until none asks for more.

        What leaves and guards need is in before a witness is looked for, since it may be among it.
        """
        for number, rule in enumerate(rules, 1):
            if rule.kind is RuleKind.LEAF:
                self._progress(f"rule {number} of {len(rules)}: {rule.reason}")
                self._add_leaf(rule)
        self._closure.close()
        waiting = [(rule, self._awaiting(rule)) for rule in rules if rule.kind in (RuleKind.GUARD, RuleKind.GROUP)]
        choices = [(rule, self._choices(rule)) for rule in rules if rule.kind is RuleKind.WITNESS]
        while True:
            while any([self._admit(rule, awaiting) for rule, awaiting in waiting]):
                self._closure.close()
            if not any(self._choose(rule, choice) for rule, choice in choices):
                return
            self._closure.close()

    def slice(self, rules: Sequence[Rule], structure: Iterable[TableName], empty: Collection[TableName]) -> Slice:
        named = {output.table for rule in rules for output in rule.outputs}
        needed = self._with_ancestors(named.union(self._closure.tables, structure))
        exported = needed | self._with_ancestors(empty)
        for lineage, keys in lineage_rows(self._database, self._schema, exported):
            self._closure.add(lineage, keys, "lineage of the exported tables, which DataJoint 2 joins by")
            exported.add(lineage.name)
            needed.add(lineage.name)
        tables = {
            name: self._table_slice(name) if name in needed else _empty(self._schema.tables[name])
            for name in self._ordered(exported)
        }
        warnings = (*self._warnings, *self._gate.warnings, *self._closure.warnings)
        return Slice(self._schema, tables, warnings, self._refused, tuple(self._pins), lost=self._gate.lost())

    def _add_leaf(self, rule: Rule) -> None:
        if rule.keys is not None:
            self._add_pinned(rule, rule.keys)
            return
        with self._refusable(rule):
            if self._gate.open and len(rule.outputs) == 1 and rule.group == 0:
                self._add_keys(rule, self._schema.tables[rule.outputs[0].table])
            else:
                self._gate.add((row for _, rows in self._evaluated(rule) for row in rows), rule)

    def _add_keys(self, rule: Rule, table: Table) -> None:
        """Adds the rows of a rule that is about one table alone, perhaps most of a large one."""
        if is_withheld(table.name):
            return
        if not table.key:
            self._closure.add(table, (() for _ in self._database.rows(rule.sql, rule.session)), rule.reason)
            return
        integers = integral(table)
        rows = self._database.rows(rule.sql, rule.session, integers=integers)
        found = (row for row in rows if row[0] is not None)
        self._closure.add(table, found if integers else map(decoder(table), found), rule.reason)

    def _add_pinned(self, rule: Rule, keys: frozenset[Key]) -> None:
        """Adds the rows of these keys that are there, and notes how that compares with what the rule's SELECT gives."""
        (output,) = rule.outputs
        table = self._schema.tables[output.table]
        found = self._closure.existing(table, keys)
        self._gate.add_keys(table.name, found, rule)
        # A key may be written otherwise now and be the same to its collation.
        missing = max(0, len(keys - found) - len(found - keys))
        check = PinCheck(rule.statement, table.name, len(keys), missing)
        if rule.sql:
            with suppress(StatementError):
                now = {key for _, ((_, key),) in self._evaluated(rule) if key is not None}
                check = replace(check, gone=len(found - now), new=len(now - found))
        self._pins.append(check)

    def _awaiting(self, rule: Rule) -> list[_Awaiting]:
        """What a guard or group may still ask for, read once: its rows do not change within the snapshot."""
        groups: dict[tuple[object, ...], _Awaiting] = defaultdict(_Awaiting)
        with self._refusable(rule):
            for group, rows in self._evaluated(rule):
                pairs = list(zip(rows, (output.role for output in rule.outputs), strict=True))
                conditions = tuple([row for row, role in pairs if role is Role.CONDITION and row[1] is not None])
                # Rows of a guard that wait for the same conditions may as well be one.
                awaiting = groups[conditions if rule.kind is RuleKind.GUARD else group]
                if conditions not in awaiting.conditions[-1:]:
                    awaiting.conditions.append(conditions)
                for row, role in pairs:
                    if role is Role.TARGET and row[1] is not None:
                        # Where a target is a condition too, one object is enough.
                        awaiting.targets.append(conditions[conditions.index(row)] if row in conditions else row)
            return list(groups.values())
        return []

    def _admit(self, rule: Rule, awaiting: list[_Awaiting]) -> bool:
        """Adds the targets whose conditions have come true, and forgets these; True when one was new."""
        targets, still = set[Row](), []
        for item in awaiting:
            if any(map(self._all_held, item.conditions)):
                targets.update(item.targets)
            else:
                still.append(item)
        awaiting[:] = still
        return self._gate.add(targets, rule)

    def _choices(self, rule: Rule) -> _Choices:
        """For each set of conditions of a witness rule the rows of which one is enough."""
        found: _Choices = defaultdict(list)
        with self._refusable(rule):
            for _, rows in self._evaluated(rule):
                pairs = list(zip(rows, rule.outputs, strict=True))
                conditions = tuple(row for row, output in pairs if output.role is Role.CONDITION)
                found[conditions].append(tuple(row for row, output in pairs if output.role is Role.TARGET))
            return found
        return {}

    def _choose(self, rule: Rule, choices: _Choices) -> bool:
        """Adds a witness where the conditions hold and the slice has none, and forgets these; True when one was new."""
        new = False
        for conditions in [each for each in choices if self._all_held(each)]:
            candidates = choices.pop(conditions)
            if not any(map(self._all_held, candidates)):
                new |= self._gate.add(self._gate.choice(candidates, rule), rule)
        return new

    def _all_held(self, rows: Iterable[Row]) -> bool:
        return all(key is None or self._closure.holds(name, key) for name, key in rows)

    def _evaluated(self, rule: Rule) -> Iterator[tuple[tuple[object, ...], tuple[Row, ...]]]:
        """The rows of a rule's SELECT: its grouping columns, and a row for each of its outputs."""
        readers: list[_Reader] = []
        start = rule.group
        for output in rule.outputs:
            readers.append(_Reader(self._schema.tables[output.table], start))
            start += readers[-1].width
        for values in self._database.rows(rule.sql, rule.session):
            yield values[: rule.group], tuple([reader.read(values) for reader in readers])

    @contextmanager
    def _refusable(self, rule: Rule) -> Iterator[None]:
        """A refusal of a rule's SQL is noted and ends what is done with the rule, nothing else."""
        try:
            yield
        except StatementError as error:
            if rule.statement is not None:
                self._refused.setdefault(rule.statement, str(error))
            else:
                self._warnings.append(f"{rule.reason}: {error}")

    def _with_ancestors(self, names: Iterable[TableName]) -> set[TableName]:
        """Known tables with their ancestors, and with the tables that views among them show."""
        needed: set[TableName] = set()
        ahead = set(names)
        while ahead:
            reached = {name for name in self._schema.ancestors(ahead) if name in self._schema.tables} - needed
            needed |= reached
            ahead = {
                table
                for name in reached
                if (view := self._schema.tables[name].view) is not None
                for table in view_tables(view)
            } - needed
        return needed

    def _ordered(self, names: set[TableName]) -> list[TableName]:
        """Parents before children; views after what they show; the tables of a cycle by name."""
        graph: nx.DiGraph[TableName] = nx.DiGraph()
        graph.add_nodes_from(names)
        for name in names:
            table = self._schema.tables[name]
            needs = view_tables(table.view) if table.view is not None else set(self._schema.graph[name])
            graph.add_edges_from((need, name) for need in needs if need in names)
        return [name for component in component_order(graph) for name in sorted(component)]

    def _table_slice(self, name: TableName) -> TableSlice:
        table = self._schema.tables[name]
        if table.view is not None:
            return TableSlice(table, frozenset(), False, 0, 0)
        total, keys = self._closure.total(name), self._closure.keys(name)
        whole = self._closure.whole(name)
        rows = total if whole else len(keys)
        return TableSlice(table, keys, whole, rows, total, self._closure.reasons(name))


def _empty(table: Table) -> TableSlice:
    """A table that nothing needs. It is not counted: that can take minutes."""
    reasons = () if table.view is not None else ("structure only, as for all tables of its schema",)
    return TableSlice(table, frozenset(), False, 0, None, reasons)
