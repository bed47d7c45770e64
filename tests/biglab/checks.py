"""Whether the restored copy is what it has to be; each fault in words."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from examples.private_server import PrivateServer
from tests.biglab.expected import Expected, values
from tests.biglab.model import PEOPLE, Table
from tests.biglab.paper import AUTHOR, COLLEAGUE
from tests.biglab.shape import Lab
from tests.biglab.trip import Trip


def faults(trip: Trip, lab: Lab, copy: PrivateServer, expected: Expected) -> Iterator[str]:
    """What is wrong."""
    yield from _told(trip)
    with _Copy(copy) as restored:
        yield from _rows(trip, lab, restored, expected)
        yield from _orphans(lab, restored)
    yield from _others(trip)


class _Copy:
    """The copy by one connection; `tables` are there."""

    def __init__(self, server: PrivateServer) -> None:
        self._connection = server.connect()
        self.tables: set[tuple[str, str]] = set(
            self.rows("SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def rows(self, sql: str) -> list[Any]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def has(self, table: Table) -> bool:
        return (table.schema, table.name) in self.tables


def counts(document: dict[str, Any]) -> dict[tuple[str, str], int]:
    """The rows of each table in a plan or an export."""
    return {(table["schema"], table["name"]): table["rows"] for table in document["tables"]}


def _told(trip: Trip) -> Iterator[str]:
    """What the commands say themselves."""
    proof = trip.proof
    for document in (trip.plan, trip.export):
        for gap in ("unresolved", "lost", "limited", "dangling"):
            yield from (f"{gap}: {each}" for each in document[gap])
    if not proof["queries"]:
        yield "verify asked nothing"
    for gap in ("failures", "reordered", "miscounts"):
        yield from (f"{gap}: {each}" for each in proof[gap])
    if proof["identical"] != proof["queries"]:
        yield f"{proof['identical']} of {proof['queries']} answers are identical"
    if counts(trip.plan) != counts(trip.export):
        yield "the plan counts other rows than the export"


def _rows(trip: Trip, lab: Lab, copy: _Copy, expected: Expected) -> Iterator[str]:
    """Every table's rows, value by value, and none in tables that are not in the slice."""
    exported = counts(trip.export)
    wanted = set(map(id, expected.tables))
    for table in lab.tables:
        rows = expected.rows(table) if id(table) in wanted else []
        found = sorted(copy.rows(f"SELECT {values(table)} FROM {table.quoted}")) if copy.has(table) else []
        if found != rows:
            lost, surplus = len(set(rows) - set(found)), len(set(found) - set(rows))
            yield f"{table.quoted}: {lost} of {len(rows)} rows lack or differ, {surplus} are surplus"
        if exported.get((table.schema, table.name), 0) != len(rows):
            number = exported.get((table.schema, table.name))
            yield f"{table.quoted}: the export counts {number} rows, not {len(rows)}"
    for schema, name in sorted(copy.tables):
        if schema in lab.schemas and name.startswith("~") and not name.startswith("~external"):
            if name != "~lineage":
                yield f"{schema}.{name} is nobody else's business"
            tables = copy.rows(f"SELECT DISTINCT table_name FROM `{schema}`.`{name}`")
            yield from (
                f"{schema}.~lineage tells of {table}" for (table,) in tables if (schema, table) not in copy.tables
            )


def _orphans(lab: Lab, copy: _Copy) -> Iterator[str]:
    for table, key in lab.foreign_keys:
        if not copy.has(table):
            continue
        same = " AND ".join(f"p.`{a}` = c.`{b}`" for a, b in zip(key.parent_columns, key.columns, strict=True))
        filled = " AND ".join(f"c.`{column}` IS NOT NULL" for column in key.columns)
        ((number,),) = copy.rows(
            f"SELECT COUNT(*) FROM {table.quoted} c WHERE {filled}"
            f" AND NOT EXISTS (SELECT 1 FROM {key.parent.quoted} p WHERE {same})"
        )
        if number:
            yield f"{number} rows of {table.quoted} have no parent in {key.parent.quoted}"


def _others(trip: Trip) -> Iterator[str]:
    """Nobody else's rows, and nobody else's name in anything that goes out."""
    others = [person for person in PEOPLE if person not in (AUTHOR, COLLEAGUE)]
    for path in sorted((trip.bundle / "publish").iterdir()):
        text = path.read_text().lower()
        yield from (f"{person} is named in {path.name}" for person in others if person in text)
