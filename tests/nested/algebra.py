"""What tests/lineage.py has no operators for: computed columns, grouping, distinct rows, NULLs beside an outer join."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.lineage import Relation, Row, RowId


def shared_join(left: Relation, right: Relation, shared: Sequence[str]) -> Relation:
    """An inner join, by way of an index; NULL equals nothing."""
    index = _index(right, shared)
    return Relation(
        tuple(
            Row({**one.values, **other.values}, one.lineage | other.lineage)
            for one in left.rows
            for other in index.get(_key(one, shared), [])
        )
    )


def outer_join(left: Relation, right: Relation, shared: Sequence[str], names: Sequence[str]) -> Relation:
    """As `shared_join`; rows without a partner stay, with NULL for the other side's names."""
    index = _index(right, shared)
    rows: list[Row] = []
    for one in left.rows:
        found = index.get(_key(one, shared), [])
        rows += [Row({**one.values, **other.values}, one.lineage | other.lineage) for other in found]
        if not found:
            rows.append(Row({**dict.fromkeys(names), **one.values}, one.lineage))
    return Relation(tuple(rows))


def computed(relation: Relation, functions: Mapping[str, Callable[[Row], Any]], names: Sequence[str]) -> Relation:
    """Only these names, and what the functions give."""
    return Relation(
        tuple(
            Row(
                {**{name: row[name] for name in names}, **{new: make(row) for new, make in functions.items()}},
                row.lineage,
            )
            for row in relation.rows
        )
    )


def grouped(
    relation: Relation, by: Sequence[str], aggregates: Mapping[str, Callable[[list[Row]], Any]], *, empty: bool = False
) -> Relation:
    """A row for each combination of values, from all its rows; with `empty` one row also for no rows at all."""
    groups: dict[tuple[Any, ...], list[Row]] = {(): []} if empty and not by else {}
    for row in relation.rows:
        groups.setdefault(tuple(row[name] for name in by), []).append(row)
    return Relation(
        tuple(
            Row(
                {**dict(zip(by, values, strict=True)), **{new: make(rows) for new, make in aggregates.items()}},
                frozenset[RowId]().union(*(row.lineage for row in rows)),
            )
            for values, rows in groups.items()
        )
    )


def _key(row: Row, shared: Sequence[str]) -> tuple[Any, ...] | None:
    key = tuple(row[name] for name in shared)
    return None if None in key else key


def _index(relation: Relation, shared: Sequence[str]) -> dict[tuple[Any, ...] | None, list[Row]]:
    found: dict[tuple[Any, ...] | None, list[Row]] = {}
    for row in relation.rows:
        key = _key(row, shared)
        if key is not None:
            found.setdefault(key, []).append(row)
    return found
