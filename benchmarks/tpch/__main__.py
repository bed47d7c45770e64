"""`python -m benchmarks.tpch`: see docs/tpch.md."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import click

from benchmarks.tpch import data, page
from benchmarks.tpch.trip import Bench, Trip
from examples.private_server import PrivateServer, flavours

#: Room for the data of scale factor 0.1, so that the times are not the disk's.
OPTIONS = ("--innodb-buffer-pool-size=512M", "--innodb-redo-log-capacity=256M")
MARIADB_OPTIONS = ("--innodb-buffer-pool-size=512M", "--innodb-log-file-size=256M")


def run(scale: float, flavour: str, numbers: Sequence[str], together: bool, folder: Path) -> Iterator[page.Run]:
    """Every query on its own, then all of them, on two fresh servers; what was found so far, after each paper."""
    options = MARIADB_OPTIONS if flavour == "mariadb" else OPTIONS
    folder.mkdir(parents=True)
    with (
        PrivateServer.start(flavour, options=options) as source,
        PrivateServer.start(flavour, options=options) as restored,
        tempfile.TemporaryDirectory(prefix="tpch-") as made,
    ):
        data.generate(scale, Path(made))
        data.load(source, Path(made))
        bench = Bench(source, restored, folder, scale)
        found = page.Run(scale, flavour, source.version, bench.full())
        papers = {number: [number] for number in numbers} | ({page.ALL: list(numbers)} if together else {})
        for paper, queries in papers.items():
            trip = bench.trip(paper, queries)
            found.trips.append(trip)
            say(found, trip)
            yield found


def say(found: page.Run, trip: Trip) -> None:
    """A line for each paper, on stderr."""
    times = ", ".join(f"{step} {seconds}" for step, seconds in trip.seconds.items())
    outcome = "; ".join(trip.faults) or f"{trip.identical} identical"
    click.echo(f"{found.flavour} {found.scale:g} {trip.paper}: {trip.total} rows ({times}): {outcome}", err=True)


def _numbers(_: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> list[str]:
    known = data.queries(1)
    found = [word.zfill(3 if word.endswith("v") else 2) for word in value] or list(known)
    unknown = [word for word in found if word not in known]
    if unknown:
        raise click.BadParameter(f"{unknown[0]} is none of {', '.join(known)}", param=parameter)
    return found


@click.command()
@click.option("--scale", "scales", multiple=True, type=float, default=(0.01,), show_default=True, help="Scale factor.")
@click.option("--flavour", "wanted", multiple=True, help="mysql or mariadb; default: all that are here.")
@click.option("--query", "numbers", multiple=True, callback=_numbers, help="A query's number; default: all.")
@click.option("--together/--no-together", default=True, help="Also all of them as one paper.", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Where results and bundles go; default: temporary.")
@click.option("--page", "document", type=click.Path(path_type=Path, exists=True), help="Put the tables into this page.")
def main(
    scales: tuple[float, ...],
    wanted: tuple[str, ...],
    numbers: list[str],
    together: bool,
    out: Path | None,
    document: Path | None,
) -> None:
    """Record, export, restore and replay TPC-H's queries; print tables of what their slices hold."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = (out or Path(tempfile.mkdtemp(prefix="djproxy-tpch-"))).absolute()
    runs: list[page.Run] = []
    for scale in scales:
        for flavour in wanted or flavours():
            done = list(runs)
            for found in run(scale, flavour, numbers, together, folder / f"{flavour}-{scale:g}"):
                runs = [*done, found]
                (folder / "tpch.json").write_text(json.dumps([asdict(one) for one in runs], indent=2))
    text = page.tables(runs)
    (folder / "tpch.md").write_text(text + "\n")
    print(text)
    if document is not None:
        page.put(document, text)
    click.echo(f"\nresults and bundles: {folder}", err=True)
    sys.exit(0 if all(trip.good for found in runs for trip in found.trips) else 1)


if __name__ == "__main__":
    main()
