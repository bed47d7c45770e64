"""Everybody's own schemas: small tables on what the pipelines computed, most of them about one's own sessions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from typing import Final

from tests.biglab.common import Common
from tests.biglab.model import PEOPLE, Dimension, Ref, Table

SCHEMAS: Final = 75
#: Beside DataJoint's own, whose names begin with a tilde.
TABLES: Final = 358
FOREIGN_KEYS: Final = 375
COMPOSITE: Final = 193
RENAMED: Final = 28

_ROLES = ("before", "after", "saved", "trained", "tested")


def add_people(lab: Common, merges: Sequence[Table]) -> None:
    """Adds schemas, tables and foreign keys until there are as many of each kind as there have to be."""
    have = {table.schema for table in lab.tables}
    words = ("analysis", "figures", "scratch", "shared")
    schemas = [f"{person}_{word}" for word in words for person in PEOPLE][: SCHEMAS - len(have)]
    keys = [key for table in lab.tables for key in table.foreign_keys]
    missing = TABLES - sum(not table.name.startswith("~") for table in lab.tables)
    renamed = RENAMED - sum(key.renamed for key in keys)
    composite = COMPOSITE - sum(key.composite for key in keys) - renamed
    others = 20
    referring = FOREIGN_KEYS - len(keys) - renamed - others
    settings = {
        schema: _lookup(lab, schema, number)
        for number, schema in enumerate(islice(cycle(schemas), missing - referring))
    }
    refs = [*_renamed(lab, renamed), *(None for _ in range(others))]
    roots = {True: [lab.interval, lab.epoch, lab.electrode], False: [*merges, lab.session]}
    latest: dict[tuple[str, bool], Table] = {}
    for number, schema in enumerate(islice(cycle(schemas), referring)):
        kind = number * composite // referring != (number + 1) * composite // referring
        base, of = latest.get((schema, kind)), ""
        name = f"{'__' if base else ''}{schema.split('_')[1]}_{number}"
        if base is None:
            base = roots[kind][number % len(roots[kind])]
            of = "" if schema.endswith("_shared") else schema.split("_")[0]
        own = Dimension(f"item_{number}", "int", 3) if kind and number % 4 == 0 else None
        # In capitals, which is the same to the column's collation.
        setting = Ref(settings[schema], loud=number % 3 == 0)
        taken = [ref or setting for place, ref in enumerate(refs) if place % referring == number]
        table = lab.made_from(base, schema, name, *taken, own=own, of=of)
        latest[schema, kind] = table


def _lookup(lab: Common, schema: str, number: int) -> Table:
    key = Dimension(f"setting_{number}_name", "varchar(80)", 6, f"CONCAT('setting {number} ', {{i}})")
    return lab.lookup(schema, f"setting_{number}", [key])


def _renamed(lab: Common, number: int) -> Iterator[Ref]:
    """So many references under other names than the parent's."""
    targets, roles = cycle([lab.interval, lab.epoch]), cycle(_ROLES)
    for _ in range(number):
        yield Ref(next(targets), next(roles), nullable=True)
