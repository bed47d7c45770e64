"""What an export would do, without writing anything: the slice, how its rows came in, its size, what it lacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from graph.apart import Apart, Failure
from graph.cascade import UNBOUNDED, Bounds, Parts, all_edges
from graph.database import Database
from graph.decisions import NOTHING, Decisions
from graph.documents import Judged, Meta
from graph.estimate import table_bytes
from graph.export import Asked, Computed, Progress, compute
from graph.hints import Hint, hints
from graph.judging import readable
from graph.leaves import Join
from graph.names import TableName
from graph.other_parts import OtherPart, other_parts
from graph.paths import Step, shortest_paths
from graph.restart import anew
from graph.scan import ServerVersion
from graph.selection import base_tables
from graph.slice import Slice


@dataclass(frozen=True, slots=True)
class Plan:
    """`paths` says how each table with rows came in, `sizes` about how many bytes of slice.sql each base table takes;
    `hints` are undeclared foreign keys that statements join by, `other_parts` parts of masters that are left out."""

    computed: Computed
    paths: Mapping[TableName, tuple[Step, ...]]
    sizes: Mapping[TableName, int]
    hints: tuple[Hint, ...]
    other_parts: tuple[OtherPart, ...] = ()

    @property
    def slice(self) -> Slice:
        """What would be exported."""
        return self.computed.slice

    @property
    def size(self) -> int:
        """Bytes over all tables."""
        return sum(self.sizes.values())


def make_plan(
    database: Database,
    recorded: Sequence[Judged],
    meta: Meta,
    *,
    parts: Parts = Parts.MERGE,
    decisions: Decisions = NOTHING,
    progress: Progress | None = None,
    bounds: Bounds = UNBOUNDED,
) -> Plan:
    """The plan of the export with these arguments, see graph.export. Raises InputError, LimitError, ServerError,
    ApartError; a missing right is part of the plan."""
    say = progress or (lambda text: None)
    asked = Asked(recorded, meta, parts, decisions, bounds)

    def once() -> Plan:
        with closing(Apart()) as apart, database.snapshot():
            computed = compute(database, apart, asked, say, forgiving=True)
            say("measuring rows")
            sizes = {sliced.table.name: table_bytes(database, sliced) for sliced in base_tables(computed.slice)}
            say("looking for joins without a foreign key")
            found = tuple(hints(_joined(database, apart, computed, meta), computed.slice.schema))
            edges = all_edges(computed.slice.schema, parts, computed.with_parts)
            others = tuple(other_parts(database, computed.slice, edges))
        return Plan(computed, shortest_paths(computed.slice, edges), sizes, found, others)

    return anew(database, once, say)


def _joined(database: Database, apart: Apart, computed: Computed, meta: Meta) -> Iterator[tuple[int, tuple[Join, ...]]]:
    """What each distinct statement of the slice joins by."""
    schema = computed.slice.schema
    own_mode, server = str(database.value("SELECT @@GLOBAL.sql_mode")), ServerVersion.of(schema.server_version)
    texts = {
        (judged.statement.sql, judged.statement.session.schema): readable(judged.statement, own_mode, server)
        for judged in reversed(computed.statements)
        if judged.kind in meta.included and not judged.excluded and judged.statement.sql
    }
    statements = sorted(texts.values(), key=lambda statement: statement.id)
    apart.use(schema)
    for statement, joins in zip(statements, apart.joins(statements), strict=True):
        if not isinstance(joins, Failure):
            yield statement.id, joins
