"""Pinned leaves: the rows of a table that recorded results named by their keys, whatever happens to the data later.

A recorded result tells of a column by which alias of the FROM it came and under which label. Where the columns of a
result hold the whole primary key of a table occurrence, the rows of that occurrence which the result is made of are
those with these keys, and no others, as long as nothing between the table and the result hides a row behind another:
a set operation, a window, a GROUP BY that is not over the key, a LIMIT inside a derived table. Columns that NATURAL
JOIN or USING merge are those of each table they join, so that DataJoint's joins show the keys of all their tables.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlglot import exp

from graph.families import BYTES, CHOICES, TEXTS
from graph.keys import decoder, key_columns, restriction
from graph.leaves.conjuncts import add_conjunct
from graph.leaves.expose import expose, group_expressions, reference
from graph.leaves.guards import Draft
from graph.leaves.links import from_occurrences
from graph.leaves.rules import Rule
from graph.leaves.scope import (
    Prepared,
    Source,
    derived_query,
    find_source,
    is_grouped,
    is_limited,
    is_rolled_up,
    shown_columns,
    source_columns,
    sources,
    windows,
)
from graph.leaves.unreadable import Unreadable
from graph.schema import Column, Table
from graph.slice import Key
from graph.statement import Pinned, PinnedColumn, Statement

#: Rows that are named in a query's text; more would make it a burden.
_MOST_NAMED = 5_000

#: A column of an occurrence: its number, and the column's name in lower case.
Origin = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Pins:
    """The rows that recorded results of a statement are made of, by occurrence, for those of which they are known.

    `sole`: they are all that is needed of these. `notes` are for people.
    """

    keys: Mapping[int, frozenset[Key]]
    sole: bool
    notes: tuple[str, ...]


NO_PINS = Pins({}, False, ())


def find_pins(statement: Statement, prepared: Prepared) -> Pins:
    """What the recorded results of a statement pin."""
    root = prepared.tree
    if not statement.pins or not isinstance(root, exp.Select):
        return NO_PINS
    found: dict[int, frozenset[Key]] = {}
    notes: dict[str, None] = {}
    for occurrence in from_occurrences(root):
        table = prepared.tables[occurrence]
        if not table.key or not _shows_every_row(root, occurrence, prepared):
            continue
        try:
            keys = [_keys(pinned, occurrence, prepared, statement.session.time_zone) for pinned in statement.pins]
        except (ValueError, InvalidOperation) as error:
            notes.setdefault(f"its rows of {table.name} are not pinned: {error}")
            continue
        known = [each for each in keys if each is not None]
        if len(known) == len(keys):
            found[occurrence] = frozenset().union(*known)
            notes.setdefault(f"its rows of {table.name} are those that its recorded result named")
    skipping = root.args.get("offset") is not None
    if found and (statement.unpinned or skipping):
        why = (
            "its OFFSET skips"
            if skipping
            else f"it would fetch now, since {statement.unpinned} executions were not pinned"
        )
        notes.setdefault(f"and those that {why}")
    return Pins(found, not statement.unpinned and not skipping, tuple(notes))


def _keys(pinned: Pinned, occurrence: int, prepared: Prepared, time_zone: str | None) -> set[Key] | None:
    """The keys of an occurrence that a result showed; None where it did not show all columns of them.

    Raises ValueError, InvalidOperation for values that do not tell them.
    """
    table = prepared.tables[occurrence]
    shown: dict[str, int] = {}
    for position, column in enumerate(pinned.columns):
        for number, name in _origins(prepared, column):
            if number == occurrence:
                shown.setdefault(name, position)
    if not all(name.lower() in shown for name in table.key):
        return None
    return set(_decoded(table, [shown[name.lower()] for name in table.key], pinned, time_zone))


def pinned_rules(
    prepared: Prepared, pins: Pins, lineage: Iterable[Draft], make: Callable[[Draft], Rule]
) -> Iterator[Rule]:
    """The rules of a query's own lineage, `make`d from its drafts, with the rows that are pinned in the place of what
    the text would give now; both where the pinned ones are not all."""
    narrowed = _narrowed(prepared, pins.keys) if pins.keys and pins.sole else None
    for draft in lineage:
        keys = pins.keys.get(draft.targets[0])
        if keys is not None:
            rule = make(draft)
            yield replace(rule, keys=keys, sql=rule.sql if pins.sole else "", reason="named by recorded results")
            if not pins.sole:
                yield rule
        elif narrowed is not None:
            yield make(replace(draft, query=expose(narrowed, draft.targets, prepared)))
        else:
            yield make(draft)


def _narrowed(prepared: Prepared, pins: Mapping[int, frozenset[Key]]) -> exp.Query | None:
    """The query over the pinned rows alone, all of which it gave: what else they were joined with is to be taken, and
    not what a LIMIT would choose today. None where the rows are too many to be named in it."""
    narrowed = prepared.tree.copy()
    narrowed.set("limit", None)
    for select in narrowed.find_all(exp.Select):
        for source in sources(select):
            if source.occurrence is None or source.occurrence not in pins:
                continue
            keys, table = pins[source.occurrence], prepared.tables[source.occurrence]
            if len(keys) > _MOST_NAMED or any(column.data_type == "timestamp" for column in key_columns(table)):
                return None
            if source.optional:
                continue
            texts = restriction(table, keys, sys.maxsize, qualifier=f"{reference(source)}.")
            add_conjunct(select, exp.Var(this=" OR ".join(texts) or "FALSE"))
    return narrowed


# -- values


def _decoded(table: Table, positions: Sequence[int], pinned: Pinned, time_zone: str | None) -> Iterator[Key]:
    """The keys of a table; rows without one (the far side of an outer join) are left out. Raises ValueError."""
    columns = key_columns(table)
    decode = decoder(table)
    for row in pinned.rows:
        values = [row[position] for position in positions]
        if None not in values:
            raw = [_raw(column, value, time_zone) for column, value in zip(columns, values, strict=True)]
            yield decode(raw)


_TEXT = TEXTS | CHOICES


def _raw(column: Column, value: str | bytes | None, time_zone: str | None) -> Any:
    """A value of a result as `graph.keys` wants it. Raises ValueError where the result does not tell it exactly."""
    if isinstance(value, str):
        return value
    assert value is not None
    match column.data_type:
        case "bit":
            return int.from_bytes(value, "big")
        case "float" | "double":
            raise ValueError("a floating-point key, whose text may lack digits")
        case "timestamp":
            return _seconds(value.decode("ascii"), time_zone)
        case kind if kind in BYTES:
            return value
        case kind if kind in _TEXT and not (column.charset or "").startswith(("utf8", "ascii")):
            raise ValueError("keys that came as bytes of another character set")
    return value.decode("utf-8")


_OFFSET = re.compile(r"([+-])(\d{1,2}):(\d\d)")


def _seconds(text: str, time_zone: str | None) -> Decimal:
    """Seconds since 1970 of a TIMESTAMP as a session saw it. Other zones have hours that come twice."""
    if time_zone is not None and time_zone.upper() == "UTC":
        time_zone = "+00:00"
    offset = _OFFSET.fullmatch(time_zone or "")
    if offset is None:
        raise ValueError("a TIMESTAMP key, and the session's time zone is none of a fixed offset")
    if text.startswith("0000-00-00"):
        return Decimal(0)
    date, _, fraction = text.partition(".")
    moment = datetime.strptime(date, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    shift = (int(offset[2]) * 60 + int(offset[3])) * 60
    seconds = int(moment.timestamp()) - (shift if offset[1] == "+" else -shift)
    return seconds + Decimal(f"0.{fraction or '0'}")


# -- names


def _origins(prepared: Prepared, column: PinnedColumn) -> set[Origin]:
    """The columns of occurrences that a column of the result shows."""
    root = prepared.tree
    assert isinstance(root, exp.Select)
    named = [source for source in sources(root) if source.alias.lower() == column.source.lower()]
    if len(named) > 1:
        named = [s for s in named if isinstance(s.node, exp.Table) and s.node.db.lower() == column.schema.lower()]
    if len(named) != 1:
        return set()
    (source,) = named
    if source.occurrence is not None:
        return _of_source(root, source, column.column, prepared)
    names = {name.lower() for name in _selected(root, source, column.label, prepared)}
    return _of_source(root, source, names.pop(), prepared) if len(names) == 1 else set()


def _selected(select: exp.Select, source: Source, label: str, prepared: Prepared) -> Iterator[str]:
    """The columns of a source that a select list gives under a label."""
    for item in select.expressions:
        inner = item.unalias()
        if isinstance(inner, exp.Star) or (isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star)):
            qualifier = inner.table if isinstance(inner, exp.Column) else ""
            if not qualifier or qualifier.lower() == source.alias.lower():
                yield from (name for name in shown_columns(source, prepared) if name.lower() == label.lower())
        elif isinstance(inner, exp.Column) and item.alias_or_name.lower() == label.lower():
            meant = find_source(select, inner, prepared)
            if meant is not None and meant.alias.lower() == source.alias.lower():
                yield inner.name


def _of_source(select: exp.Select, source: Source, name: str, prepared: Prepared) -> set[Origin]:
    """What a column of a source shows, and what the columns show that joins have merged with it."""
    found = _inside(source, name, prepared)
    merged = _merged(select, name, prepared)
    if not source.optional and any(other.node is source.node for other in merged):
        for other in merged:
            if not other.optional:
                found |= _inside(other, name, prepared)
    return found


def _merged(select: exp.Select, name: str, prepared: Prepared) -> list[Source]:
    """The sources whose columns of that name joins make one."""
    found: list[Source] = []
    for source in sources(select):
        if any(offered.lower() == name.lower() for offered in source_columns(source, prepared)):
            join = source.join
            using = [] if join is None else [column.name.lower() for column in join.args.get("using") or []]
            shown = any(each.lower() == name.lower() for each in shown_columns(source, prepared))
            natural = join is not None and (join.method or "").upper() == "NATURAL" and shown
            if not found or natural or name.lower() in using:
                found.append(source)
    return found


def _inside(source: Source, name: str, prepared: Prepared) -> set[Origin]:
    """The columns of occurrences that a column of a source is."""
    if source.occurrence is not None:
        names = {column.name.lower() for column in prepared.tables[source.occurrence].columns}
        return {(source.occurrence, name.lower())} if name.lower() in names else set()
    query = derived_query(source)
    if not isinstance(query, exp.Select):
        return set()
    found: set[Origin] = set()
    for item in query.expressions:
        inner = item.unalias()
        if isinstance(inner, exp.Star) or (isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star)):
            qualifier = inner.table if isinstance(inner, exp.Column) else ""
            found |= _of_column(query, name, qualifier, prepared)
        elif isinstance(inner, exp.Column) and item.alias_or_name.lower() == name.lower():
            found |= _of_column(query, inner.name, inner.table, prepared)
    return found


def _of_column(select: exp.Select, name: str, qualifier: str, prepared: Prepared) -> set[Origin]:
    """What a column that stands in a block shows."""
    offering = [
        source
        for source in sources(select)
        if (not qualifier or source.alias.lower() == qualifier.lower())
        and any(offered.lower() == name.lower() for offered in source_columns(source, prepared))
    ]
    # Of a merged column the side that an outer join keeps is shown.
    kept = [source for source in offering if not source.optional] or offering
    return _of_source(select, kept[0], name, prepared) if kept else set()


# -- what hides rows


def _shows_every_row(root: exp.Select, occurrence: int, prepared: Prepared) -> bool:
    """Whether each row of an occurrence that a result is made of is in the result with its key, if that is there."""
    node: exp.Expr | None = next(t for t in root.find_all(exp.Table) if t.meta.get("occurrence") == occurrence)
    while node is not None:
        if isinstance(node, exp.SetOperation):
            return False
        if isinstance(node, exp.Select):
            if windows(node) or is_rolled_up(node):
                return False
            if node is not root and is_limited(node):
                return False
            if is_grouped(node) and not _groups_by_key(node, occurrence, prepared):
                return False
        if node is root:
            return True
        node = node.parent
    return False


def _groups_by_key(select: exp.Select, occurrence: int, prepared: Prepared) -> bool:
    try:
        grouped = {
            origin
            for node in group_expressions(select)
            if isinstance(node, exp.Column)
            for origin in _of_column(select, node.name, node.table, prepared)
        }
    except Unreadable:
        return False
    return all((occurrence, name.lower()) in grouped for name in prepared.tables[occurrence].key)
