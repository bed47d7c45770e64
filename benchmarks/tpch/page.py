"""The results as Markdown tables, and the place in a page where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.tpch.data import TABLES
from benchmarks.tpch.trip import Trip

BEGIN = "<!-- tables: begin -->"
END = "<!-- tables: end -->"
#: The paper of all queries together.
ALL = "all"


@dataclass(slots=True)
class Run:
    """All papers of one scale factor on one flavour, and the rows of the full database."""

    scale: float
    flavour: str
    version: str
    full: dict[str, int]
    trips: list[Trip] = field(default_factory=list)


def tables(runs: Iterable[Run]) -> str:
    """A section for each run."""
    return "\n\n".join("\n".join(_section(run)) for run in runs)


def put(page: Path, text: str) -> None:
    """Replaces what stands between the marks of a page."""
    before, rest = page.read_text().split(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def _section(run: Run) -> Iterator[str]:
    yield f"### Scale factor {run.scale:g}, {run.flavour} {run.version}"
    yield ""
    yield f"| query | rows | share | {' | '.join(TABLES)} | export | dump | replayed |"
    yield f"|---|--:|--:|{'--:|' * len(TABLES)}--:|--:|---|"
    full = " | ".join(_number(run.full[table]) for table in TABLES)
    yield f"| *full database* | {_number(sum(run.full.values()))} | 100 % | {full} | | | |"
    for trip in run.trips:
        yield _line(trip, sum(run.full.values()))


def _line(trip: Trip, full: int) -> str:
    rows = " | ".join(_number(trip.rows.get(table, 0)) for table in TABLES)
    times = " | ".join(f"{trip.seconds[step]:.1f} s" if step in trip.seconds else "" for step in ("export", "dump"))
    percent = 100 * trip.total / full
    share = f"{percent:.1f}" if percent >= 10 else f"{percent:.2g}"
    return f"| {_name(trip)} | {_number(trip.total)} | {share} % | {rows} | {times} | {_outcome(trip)} |"


def _name(trip: Trip) -> str:
    return f"**{trip.paper}**" if trip.paper == ALL else f"[{trip.paper}](../benchmarks/tpch/queries/{trip.paper}.sql)"


def _outcome(trip: Trip) -> str:
    if trip.good:
        return "identical" if len(trip.queries) == 1 else f"{trip.identical} of {len(trip.queries)} identical"
    return f"{trip.identical} of {len(trip.queries)} identical; **{'; '.join(trip.faults)}**"


def _number(value: int) -> str:
    return f"{value:,}".replace(",", " ") if value else "–"
