"""The command `files`, and the options of `export` that are about files and empty tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from graph import files_copy
from graph.bundle import Bundle, open_bundle, safe_name
from graph.errors import InputError
from graph.files import StoreSettings, parse_rule, read
from graph.files_copy import Outcome, State, Wanted, gathered
from graph.files_links import Linked, linked
from graph.structure import Structure
from proxy import terminal
from proxy.cli_common import each_as, json_option, paper_option, surroundings
from proxy.cli_show import FORMAT
from proxy.errors import ProxyError
from proxy.file_stores import datajoint_stores
from proxy.page import Page, Progress
from proxy.terminal import say

_INCOMPLETE = 1
_COUNTED = (State.COPIED, State.LINKED, State.PRESENT, State.MISSING, State.DIFFERS, State.NOT_COPIED)


def _structure(_: click.Context, __: click.Parameter, value: str | None) -> Structure | None:
    return None if value is None else Structure(value)


files_option = click.option(
    "--files",
    metavar="'SCHEMA.TABLE.COLUMN: [NAME=]FOLDER'",
    multiple=True,
    callback=each_as(parse_rule),
    help="This column holds paths of files in that folder: list them in publish/files.tsv; repeatable.",
)
structure_option = click.option(
    "--structure",
    type=click.Choice([each.value for each in Structure]),
    callback=_structure,
    help="Tables without rows: those that are needed (the default), or all of the schemas that the slice touches.",
)


def known_stores() -> dict[str, StoreSettings]:
    """The stores of DataJoint's settings. An export can do without: settings that cannot be read are said."""
    try:
        return datajoint_stores(surroundings())
    except ProxyError as error:
        say(f"warning: {error}")
        return {}


def _folders(_: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for text in value:
        name, sign, folder = text.partition("=")
        if not sign or not name or not folder or name in found:
            raise click.BadParameter(f"{text!r}: write NAME=FOLDER, once for each store", param=parameter)
        found[name] = Path(folder)
    return found


@click.command()
@paper_option
@click.option(
    "--copy-to",
    "target",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder for the copies: new, empty, or that of an earlier run.",
)
@click.option("--bundle", metavar="DIR", type=click.Path(path_type=Path), help="Default: the paper's name.")
@click.option(
    "--store",
    "stores",
    metavar="NAME=FOLDER",
    multiple=True,
    callback=_folders,
    help="Where the files of that store lie; default: as DataJoint's settings say; repeatable.",
)
@click.option("--link", is_flag=True, help="Make hard links where that is possible instead of copies.")
@json_option
def files(paper: str, target: Path, bundle: Path | None, stores: Mapping[str, Path], link: bool, as_json: bool) -> int:
    """Copy the files that a slice's rows name from their stores' folders, and check them."""
    found = open_bundle(bundle or Path(safe_name(paper)))
    review = _review(found)
    if review.get("paper") != paper:
        raise InputError(
            f"the bundle in {found.folder} is of paper {review.get('paper')!r}, not of {paper!r}; see --bundle"
        )
    wanted = _wanted(found)
    folders = _places(wanted, stores, review)
    with Progress() as progress:
        found_links = linked(wanted, folders, progress)
        with files_copy.opened(target, paper, found_links.wanted):
            outcomes = list(files_copy.copy(found_links.wanted, folders, target, link=link, say=progress))
    outcomes += found_links.problems
    warnings = list(_warnings(found_links))
    for warning in warnings:
        say(f"warning: {warning}")
    missed = int((review.get("files") or {}).get("outside", 0))
    if as_json:
        terminal.document(_document(outcomes, paper, target, folders, missed, warnings))
    else:
        _print(outcomes, target, missed)
    return _INCOMPLETE if missed or any(outcome.failed for outcome in outcomes) else 0


def _warnings(links: Linked) -> Iterator[str]:
    yield from links.warnings
    if links.unread:
        files_ = "1 HDF5 file was" if links.unread == 1 else f"{links.unread} HDF5 files were"
        yield (
            f"{files_} not searched for links to other files, which the copy then lacks: install h5py"
            " (pip install 'datajoint-proxy[hdf5]') and give the command again"
        )


def _review(bundle: Bundle) -> dict[str, Any]:
    """What the bundle's review.json says; that it is one was checked."""
    document: dict[str, Any] = json.loads((bundle.folder / "review.json").read_text("utf-8"))
    return document


def _wanted(bundle: Bundle) -> list[Wanted]:
    """What the bundle's list names; nothing where it has none."""
    if not bundle.listing.exists():
        return []
    try:
        with bundle.listing.open(encoding="utf-8", newline="") as file:
            return gathered(read(file))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{bundle.listing} cannot be read: {error}") from error


def _places(wanted: list[Wanted], given: Mapping[str, Path], review: Mapping[str, Any]) -> dict[str, Path | str]:
    """Each store's folder, or why it has none. Raises InputError for a store of which nothing is known."""
    needed = {each.store for each in wanted}
    if unknown := sorted(given.keys() - needed):
        raise InputError(
            f"the list has no file of store {unknown[0]}; it has {', '.join(sorted(needed)) or 'no files'}"
        )
    ruled = dict(_ruled(review))
    settings = datajoint_stores(surroundings()) if needed - given.keys() - ruled.keys() else {}
    folders: dict[str, Path | str] = {}
    for store in sorted(needed):
        known = settings.get(store)
        if store in given or store in ruled:
            folders[store] = given.get(store) or Path(ruled[store])
        elif known is not None and known.protocol != "file":
            folders[store] = f"its store is kept by {known.protocol}, not in a folder: copy it with the tools of that"
        elif known is not None and known.location:
            folders[store] = Path(known.location)
    if unplaced := sorted(needed - folders.keys()):
        raise InputError(
            f"where the files of store {', '.join(unplaced)} lie is not known: give --store {unplaced[0]}=FOLDER, or "
            "run this where DataJoint finds its settings"
        )
    for store, folder in folders.items():
        if isinstance(folder, Path) and not folder.is_dir():
            raise InputError(f"{folder}, the folder of store {store}, is not there; see --store")
    return folders


def _ruled(review: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The folders that --files gave to stores."""
    for rule in (review.get("options") or {}).get("files", ()):
        for column, folder in rule.items():
            parsed = parse_rule(f"{column}: {folder}")
            yield parsed.store, parsed.folder


def _document(
    outcomes: list[Outcome],
    paper: str,
    target: Path,
    folders: Mapping[str, Path | str],
    missed: int,
    warnings: list[str],
) -> dict[str, Any]:
    states = Counter(outcome.state for outcome in outcomes)
    return {
        "format": FORMAT,
        "paper": paper,
        "folder": str(target),
        "stores": {
            store: {"copy": safe_name(store), "source": str(folder) if isinstance(folder, Path) else None}
            for store, folder in folders.items()
        },
        "states": {state.value: states[state] for state in _COUNTED},
        "bytes": sum(outcome.size for outcome in outcomes),
        "unlisted": missed,
        "warnings": warnings,
        "problems": [
            {
                "store": outcome.wanted.store,
                "path": outcome.wanted.path,
                "state": outcome.state.value,
                "reason": outcome.reason,
            }
            for outcome in outcomes
            if outcome.failed
        ],
    }


def _print(outcomes: list[Outcome], target: Path, missed: int) -> None:
    page = Page()
    for outcome in outcomes:
        if outcome.failed:
            name = f"{outcome.wanted.store}: {outcome.wanted.path}"
            page.print(f"{outcome.state.value.upper()} {name}: {outcome.reason}")
    states = Counter(outcome.state for outcome in outcomes)
    counts = [f"{states[state]} {state.value}" for state in _COUNTED if states[state]]
    if missed:
        page.print(f"{missed} more that rows name are not in the list, see files in the bundle's review.json")
    page.print(
        f"{len(outcomes)} files and folders: {', '.join(counts)}; they are in {target}"
        if outcomes
        else "the slice's rows name no files"
    )
