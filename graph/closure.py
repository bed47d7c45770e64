"""The least set of rows that holds given ones and, with each row, the rows that it needs.

Strongly connected components of tables are visited children first, so that each foreign key is followed
once with all of its child's rows; only inside a component there are rounds, each with the rows that are
new (semi-naive). All SQL is plain SELECTs; keys are kept here, not on the server.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import islice
from typing import Final, TypeVar

from graph.components import components
from graph.errors import LimitError
from graph.held import Held
from graph.keys import same_value
from graph.keystore import Batch, KeySet, KeyStore, alike
from graph.lookup import Edge, Tables
from graph.names import TableName
from graph.pace import Pace
from graph.schema import Schema, Table
from graph.slice import Key

#: How many rows that refer to nothing a warning shows.
_EXAMPLES: Final = 3

#: How many tables an exceeded limit names.
_LARGEST: Final = 5


_Item = TypeVar("_Item")


class Closure:
    """A set of rows that grows: `add` rows, `close` it, look what it holds.

    Raises LimitError as soon as it holds more than `limit` rows.
    """

    def __init__(
        self,
        tables: Tables,
        schema: Schema,
        edges: Iterable[Edge],
        progress: Callable[[str], None],
        store: KeyStore | None = None,
        limit: int | None = None,
    ) -> None:
        self._tables = tables
        self._schema = schema
        self._pace = Pace(progress)
        self._store = store or KeyStore()
        self._limit = limit
        self._edges: dict[TableName, list[Edge]] = defaultdict(list)
        for edge in edges:
            self._edges[edge.source].append(edge)
        self._components = components(self._edges)
        self._rows: dict[TableName, Held] = {}
        self._projected: dict[TableName, list[tuple[Edge, Batch, list[int]]]] = defaultdict(list)
        self._totals: dict[TableName, int] = {}
        self._reasons: dict[TableName, dict[str, None]] = defaultdict(dict)
        self._warnings: dict[str, None] = {}
        self._orphans: dict[Edge, tuple[int, tuple[str, ...]]] = {}

    @property
    def tables(self) -> list[TableName]:
        """The tables that rows are held of."""
        return [name for name, rows in self._rows.items() if rows.number or rows.whole]

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self._warnings, *(_orphaned(edge, *found) for edge, found in self._orphans.items()))

    def keys(self, name: TableName) -> Set[Key]:
        """The keys that are held; it grows with the closure."""
        rows = self._rows.get(name)
        return frozenset() if rows is None or rows.keys is None else rows.keys

    def holds(self, name: TableName, key: Key) -> bool:
        """Whether that row is held; for a table without a key, whether its rows are."""
        rows = self._rows.get(name)
        return rows is not None and (rows.whole or (rows.keys is not None and key in rows.keys))

    def whole(self, name: TableName) -> bool:
        """Whether every row of the table is held, and there is one."""
        rows = self._rows.get(name)
        return rows is not None and (rows.whole or (rows.number > 0 and rows.number == self.total(name)))

    def reasons(self, name: TableName) -> tuple[str, ...]:
        return tuple(self._reasons[name])

    def total(self, name: TableName) -> int:
        """The rows of the table in the snapshot."""
        if name not in self._totals:
            self._totals[name] = self._tables.total(self._schema.tables[name])
        return self._totals[name]

    def add(self, table: Table, keys: Iterable[Key], reason: str) -> bool:
        """Adds rows, a stream of them perhaps; a table without a key is added whole, by the empty key.

        True when any was new.
        """
        new = False
        for page in self._paged(keys):
            if reason:
                self._reasons[table.name].setdefault(reason)
            new |= self._add_whole(table) if not table.key else self._add_page(table, page)
        return new

    def close(self) -> None:
        """Follows all edges until every row that is needed is held."""
        for component in self._components:
            self._close_component(component)
        for name, rows in self._rows.items():
            if rows.whole:
                self.total(name)
        self._check_limit()

    def existing(self, table: Table, keys: Set[Key]) -> set[Key]:
        """The rows of these keys that are there, by the keys that they have; nothing is added."""
        return set(self._tables.existing(table, keys))

    def _add_whole(self, table: Table) -> bool:
        rows = self._held(table)
        if rows.whole:
            return False
        rows.whole = True
        self._warn(f"table {table.name} has no key without NULLs: it is taken whole")
        self._check_limit()
        return True

    def _add_page(self, table: Table, page: Sequence[Key]) -> bool:
        keys = self._held(table).keys
        assert keys is not None
        new = keys.add(page)
        self._pace.tell(table.name, len(page), len(keys))
        if new:
            self._check_limit()
        return new > 0

    def _held(self, table: Table) -> Held:
        if table.name not in self._rows:
            self._rows[table.name] = Held(self._store, table)
        return self._rows[table.name]

    def _check_limit(self) -> None:
        """Asks the server nothing: it may be in the midst of an answer."""
        if self._limit is None:
            return
        numbers = {name: self._totals.get(name, 0) if rows.whole else rows.number for name, rows in self._rows.items()}
        if sum(numbers.values()) > self._limit:
            raise LimitError(_over(self._limit, numbers))

    def _close_component(self, component: frozenset[TableName]) -> None:
        for name in component:
            self._settle_projected(name)
        while pending := [name for name in sorted(component) if name in self._rows and self._rows[name].new]:
            for name in pending:
                batch = self._rows[name].take()
                self._follow_all([edge for edge in self._edges[name] if edge.target in component], batch)
        for name in sorted(component):
            if name in self._rows and self._rows[name].staying:
                self._pace.end(name, self._rows[name].number)
                self._leave([edge for edge in self._edges[name] if edge.target not in component], name)

    def _leave(self, edges: Iterable[Edge], name: TableName) -> None:
        """Follows edges out of a component: by projection where the parents' keys are in the children's."""
        batch = self._rows[name].leave()
        joined: list[Edge] = []
        for edge in edges:
            positions = self._projection(edge)
            if positions is None or batch is None:
                joined.append(edge)
            else:
                self._projected[edge.target].append((edge, batch, positions))
        self._follow_all(joined, batch)

    def _projection(self, edge: Edge) -> list[int] | None:
        """Where in the source's key the target's key stands, if it does and to the bit."""
        source, target = self._schema.tables[edge.source], self._schema.tables.get(edge.target)
        if target is None or not target.key or set(target.key) != set(edge.target_columns):
            return None
        pairs = dict(zip(edge.target_columns, edge.source_columns, strict=True))
        if not set(pairs.values()) <= set(source.key):
            return None
        columns = [(source.column(own), target.column(far)) for far, own in pairs.items()]
        if not all(same_value(own, far) and alike(own, far) for own, far in columns):
            return None
        return [source.key.index(pairs[column]) for column in target.key]

    def _settle_projected(self, name: TableName) -> None:
        """Adds the projected keys that are rows: without foreign key checks a child may have no parent."""
        projected = self._projected.pop(name, None)
        if projected is None:
            return
        table = self._schema.tables[name]
        keys = self._held(table).keys
        assert keys is not None
        start = keys.next_generation()
        for _, batch, positions in projected:
            keys.add_projected(batch, positions)
        missing = self._missing(keys.since(start))
        for edge, batch, positions in projected:
            lost = self._lost(missing, batch, positions)
            if lost is None:
                self._reasons[name].setdefault(edge.reason)
                continue
            if len(lost) < self._distinct(table, batch, positions):
                self._reasons[name].setdefault(edge.reason)
            if lost:
                self._note_orphans(edge, len(lost), lost)
            lost.drop()
        if missing is not None:
            missing.drop()
        self._pace.tell(name, 0, len(keys))
        self._check_limit()

    def _missing(self, batch: Batch) -> KeySet | None:
        """Takes those of a table's new keys out that are no rows, and gives them; None where all are."""
        table, keys = batch.keys.table, batch.keys
        if not self._tables.scans(table, batch, self.total(table.name)):
            found = 0
            for page in batch.pages():
                found += self._tables.count(table, page)
                self._pace.tell(table.name, len(page), len(keys))
            if found == len(batch):
                return None
            existing = self._store.keys(table)
            for page in batch.pages():
                existing.add(self._tables.existing(table, page))
        else:
            existing = self._store.keys(table)
            for page in self._paged(self._tables.existing(table, None)):
                existing.add(page)
                self._pace.tell(table.name, len(page), len(keys))
        missing = keys.without(existing, batch)
        existing.drop()
        if not missing:
            missing.drop()
            return None
        keys.remove(missing)
        return missing

    def _lost(self, missing: KeySet | None, batch: Batch, positions: Sequence[int]) -> KeySet | None:
        """The missing keys that a batch leads to; None where none is missing at all."""
        if missing is None:
            return None
        lost = self._store.keys(missing.table)
        lost.add_projected(batch, positions, among=missing)
        return lost

    def _distinct(self, table: Table, batch: Batch, positions: Sequence[int]) -> int:
        found = self._store.keys(table)
        number = found.add_projected(batch, positions)
        found.drop()
        return number

    def _follow_all(self, edges: Sequence[Edge], batch: Batch | None) -> None:
        """Adds the rows that these edges of one table lead to from the batch (None: from all rows), by joins."""
        known = [edge for edge in edges if self._is_known(edge)]
        if not known:
            return
        source = self._schema.tables[known[0].source]
        if batch is None or len(batch) == self.total(source.name):
            for edge in known:
                self._follow(edge, None)
        elif self._tables.scans(source, batch, self.total(source.name)):
            for edge in known:
                self._scan(edge, batch)
        else:
            # Page by page, so that a page's restriction is written once for all edges.
            for page in batch.pages():
                for edge in known:
                    self._follow(edge, page)

    def _is_known(self, edge: Edge) -> bool:
        if edge.target in self._schema.tables:
            return True
        self._warn(
            f"foreign key {edge.foreign_key} of {edge.source} refers to table {edge.target}, which does not exist"
        )
        return False

    def _follow(self, edge: Edge, keys: Sequence[Key] | None) -> None:
        """Adds the rows that an edge leads to from these rows."""
        orphans = False

        def found() -> Iterator[Key]:
            nonlocal orphans
            for key in self._tables.targets(edge, keys):
                if key is None:
                    orphans = True
                else:
                    yield key

        self.add(self._schema.tables[edge.target], found(), edge.reason)
        if orphans:
            self._report_orphans(edge, keys)

    def _scan(self, edge: Edge, batch: Batch) -> None:
        """The same for a good part of a large table: all its rows are read, and those of the batch are chosen here."""
        target = self._schema.tables[edge.target]
        held = self._held(target).keys
        if held is None:
            for keys in batch.pages():
                self._follow(edge, keys)
            return
        orphans = self._store.keys(batch.keys.table)
        for page in self._paged(self._tables.pairs(edge)):
            new = held.add_where(((key, wanted) for key, wanted in page if wanted is not None), batch)
            orphans.add_where(((key, key) for key, wanted in page if wanted is None), batch)
            if new:
                self._reasons[target.name].setdefault(edge.reason)
                self._check_limit()
            self._pace.tell(target.name, len(page), len(held))
        for keys in orphans.since(0).pages():
            self._report_orphans(edge, keys)
        orphans.drop()

    def _paged(self, items: Iterable[_Item]) -> Iterator[list[_Item]]:
        iterator = iter(items)
        while page := list(islice(iterator, self._store.page)):
            yield page

    def _report_orphans(self, edge: Edge, keys: Sequence[Key] | None) -> None:
        orphans = list(self._tables.orphans(edge, keys))
        self._note_orphans(edge, sum(count for _, count in orphans), (values for values, _ in orphans))

    def _note_orphans(self, edge: Edge, count: int, examples: Iterable[Sequence[object]]) -> None:
        before, shown = self._orphans.get(edge, (0, ()))
        more = [_shown(values) for values in islice(examples, _EXAMPLES - len(shown))]
        self._orphans[edge] = before + count, (*shown, *more)

    def _warn(self, text: str) -> None:
        self._warnings.setdefault(text)


def _orphaned(edge: Edge, count: int, examples: Sequence[str]) -> str:
    return (
        f"{count} values or rows of {edge.source} ({', '.join(edge.source_columns)}) refer to no row of"
        f" {edge.target} (foreign key {edge.foreign_key}; inserted while checks were off?): {'; '.join(examples)}"
    )


def _over(limit: int, numbers: dict[TableName, int]) -> str:
    largest = sorted(numbers.items(), key=lambda item: (-item[1], item[0]))[:_LARGEST]
    told = ", ".join(f"{name} ({number})" for name, number in largest)
    return (
        f"the slice has more than {limit} rows, so it was given up and nothing is written; its largest tables when that"
        f" was seen: {told}"
    )


def _shown(values: Iterable[object]) -> str:
    return f"({', '.join(repr(value) for value in values)})"
