"""The commands `export` and `verify`: options in, a bundle or a proof out."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click

from graph import verification
from graph.bundle import open_bundle, safe_name
from graph.cascade import Bounds, Parts
from graph.database import Credentials, Database, ServerAddress
from graph.decisions import NOTHING
from graph.documents import Judged, Meta
from graph.engines import Engine
from graph.errors import GrantError
from graph.export import Export
from graph.export import export as write_export
from graph.files import FileRule
from graph.keystore import DEFAULT_MEMORY
from graph.limits import Within
from graph.names import TableName
from graph.plan import Plan, make_plan
from graph.plan_file import plan_text, read_plan, require_new, write_plan
from graph.proof import prove, read_review
from graph.runner import run_dump
from graph.statement import Pinned, StatementClass
from graph.structure import Structure
from graph.verification import Versions
from proxy import cli_plan, cli_report, terminal
from proxy.cli_common import (
    exclude_option,
    json_option,
    opened_store,
    paper_option,
    surroundings,
    within_option,
)
from proxy.cli_files import files_option, known_stores, structure_option
from proxy.errors import InputError
from proxy.page import Progress
from proxy.paths import Home, running
from proxy.probe import refuse_own
from proxy.records import Lost, PaperSummary, Recorded
from proxy.settings import login
from proxy.terminal import ask, say

#: What `--include` takes, by the word for it.
INCLUDES = {
    "checks": StatementClass.CHECK,
    "previews": StatementClass.PREVIEW,
    "writes": StatementClass.WRITE,
}

_INCOMPLETE = 1


def _included(_: click.Context, parameter: click.Parameter, value: str) -> frozenset[StatementClass]:
    words = [word.strip() for word in value.split(",") if word.strip()]
    unknown = [word for word in words if word not in INCLUDES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(INCLUDES)}", param=parameter)
    return frozenset({StatementClass.DATA, *(INCLUDES[word] for word in words)})


_option_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_server_option = click.option("--server", metavar="HOST[:PORT]", help="Default: the server of the recording.")
_defaults_file_option = click.option(
    "--defaults-file", metavar="FILE", type=_option_file, help="MySQL option file with user and password."
)


@click.command()
@paper_option
@click.option(
    "--out", metavar="DIR", type=click.Path(path_type=Path), help="Folder to write; default: the paper's name."
)
@_server_option
@click.option("--user", metavar="USER", help="Account; default: the option file's, DataJoint's, or asked for.")
@_defaults_file_option
@click.option(
    "--include",
    metavar="CLASS,…",
    default="",
    callback=_included,
    help="Take these classes too: checks, previews, writes.",
)
@click.option(
    "--parts",
    type=click.Choice([part.value for part in Parts]),
    default=Parts.MERGE.value,
    show_default=True,
    help="Which part tables of a master in the slice come along unasked.",
)
@exclude_option
@click.option(
    "--max-rows", metavar="N", type=click.IntRange(min=0), help="Stop, and write nothing, when the slice has more rows."
)
@click.option(
    "--memory",
    metavar="MB",
    type=click.IntRange(min=1),
    default=DEFAULT_MEMORY >> 20,
    show_default=True,
    help="Memory for the slice's keys; the rest of them waits in a temporary file.",
)
@within_option
@structure_option
@files_option
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be exported and why; write nothing.")
@click.option(
    "--write-plan",
    "plan_to",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="As --plan, and write the plan into a new YAML file, to be changed and given back.",
)
@click.option(
    "--use-plan", "plan_from", metavar="FILE", type=_option_file, help="Do what the decisions of this plan say."
)
@click.option(
    "--scratch-schema",
    metavar="NAME",
    help="Schema of the source where dump.sh may make a table of keys when their list is long.",
)
@click.option(
    "--engine",
    type=click.Choice([engine.value for engine in Engine]),
    help="Also write what this program needs to dump the slice, in one consistent state by many threads.",
)
@click.option("--run", "run_now", is_flag=True, help="Run dump.sh at once.")
@click.option(
    "--direct",
    is_flag=True,
    help="With --run: write slice.sql.zst in the transaction that computes the slice, without dump.sh and mysqldump.",
)
@json_option
@click.pass_obj
def export(
    home: Home,
    paper: str,
    out: Path | None,
    server: str | None,
    user: str | None,
    defaults_file: Path | None,
    include: frozenset[StatementClass],
    parts: str,
    exclude: tuple[TableName, ...],
    max_rows: int | None,
    memory: int,
    within: tuple[Within, ...],
    structure: Structure | None,
    files: tuple[FileRule, ...],
    only_plan: bool,
    plan_to: Path | None,
    plan_from: Path | None,
    scratch_schema: str | None,
    engine: str | None,
    run_now: bool,
    direct: bool,
    as_json: bool,
) -> int:
    """Write the bundle of a paper: the dump script, what it decided, and what goes out."""
    only_plan = only_plan or plan_to is not None
    if only_plan and run_now:
        raise InputError("a plan alone leaves nothing to run: give --run, or --plan and --write-plan")
    if only_plan and (engine is not None or scratch_schema is not None):
        raise InputError("a plan alone writes no script: give --engine and --scratch-schema without --plan")
    if direct and not run_now:
        raise InputError("--direct says how the rows are written at once: give it together with --run")
    if plan_to is not None:
        require_new(plan_to)
    decisions = NOTHING if plan_from is None else read_plan(plan_from, paper)
    decisions = replace(decisions, within=(*decisions.within, *within), exclude=(*decisions.exclude, *exclude))
    decisions = replace(decisions, structure=structure or decisions.structure, files=(*decisions.files, *files))
    with opened_store(home) as store:
        summary = store.paper(paper)
        pins = store.pins(paper)
        recorded = [_judged(statement, pins.get(statement.statement.id)) for statement in store.load(paper)]
        lost = store.lost(paper)
    where = server or _recorded_server(summary)
    address, credentials = login(where if server else None, user, defaults_file, where, surroundings(), ask)
    refuse_own(address, running(home))
    meta = Meta(
        paper=paper,
        source=str(address),
        version=version("datajoint-proxy"),
        analyses=tuple(analysis.name for analysis in summary.analyses),
        versions={"sqlglot": version("sqlglot")},
        options={"parts": parts, **decisions.document()},
        included=include,
    )
    folder = out or Path(safe_name(paper))
    bounds = Bounds(memory << 20, max_rows)
    with Progress() as progress, Database.connect(address, credentials) as database:
        flavour = database.flavour
        if only_plan:
            plan = make_plan(
                database,
                recorded,
                meta,
                parts=Parts(parts),
                decisions=decisions,
                progress=progress,
                bounds=bounds,
            )
        else:
            made = write_export(
                database,
                recorded,
                folder,
                meta,
                parts=Parts(parts),
                decisions=decisions,
                scratch_schema=scratch_schema,
                engine=None if engine is None else Engine(engine),
                stores=known_stores(),
                direct=direct,
                progress=progress,
                bounds=bounds,
            )
    if only_plan and plan_to is not None:
        write_plan(plan_to, plan_text(plan, paper, decisions))
        say(f"the plan is in {plan_to}; change it and give it back with --use-plan")
    if only_plan:
        return _print_plan(plan, paper, lost, as_json=as_json)
    for number, why in pins.items():
        if isinstance(why, str):
            say(f"warning: statement {number} is not pinned: {why}; its rows are those that it would fetch now")
    if engine is not None:
        say(f"{made.bundle.folder / Engine(engine).script} dumps the slice with {engine}")
    if run_now and not direct:
        with Progress() as progress:
            run_dump(made.bundle, address, credentials, flavour, progress)
    _print_export(made, paper, lost, dumped=run_now, as_json=as_json)
    return 0 if made.complete and not lost else _INCOMPLETE


def _print_plan(plan: Plan, paper: str, lost: list[Lost], *, as_json: bool) -> int:
    if as_json:
        terminal.document(cli_plan.plan_document(plan, paper, lost))
    else:
        cli_plan.print_plan(plan, lost)
    for line in cli_report.left_out_lines(plan.computed.left_out):
        say(line)
    for line in cli_report.dangling_lines(plan.slice):
        say(line)
    for line in cli_report.limited_lines(plan.computed.statements):
        say(line)
    for line in cli_report.masked_lines(plan.slice, plan.computed.statements):
        say(line)
    for warning in plan.slice.warnings:
        say(f"warning: {warning}")
    if plan.computed.missing:
        return GrantError.exit_code
    return _INCOMPLETE if cli_plan.unresolved(plan) or lost else 0


def _print_export(made: Export, paper: str, lost: list[Lost], *, dumped: bool, as_json: bool) -> None:
    if as_json:
        terminal.document(cli_report.export_document(made, paper, lost, dumped=dumped))
    else:
        cli_report.print_export(made, lost, dumped=dumped)
    for line in cli_report.left_out_lines(made.left_out):
        say(line)
    for name, number in sorted(made.excluded.items()):
        read = "statement that reads it is" if number == 1 else "statements that read it are"
        say(f"excluded {name}: {number} {read} not in the slice")
    for line in cli_report.dangling_lines(made.slice):
        say(line)
    for line in cli_report.limited_lines(made.statements):
        say(line)
    for line in cli_report.masked_lines(made.slice, made.statements):
        say(line)
    for warning in made.slice.warnings:
        say(f"warning: {warning}")
    for line in cli_report.change_lines(made.slice):
        say(line)


def _judged(recorded: Recorded, pinned: Pinned | str | None) -> Judged:
    """A recorded statement as `graph` takes it, with the keys that its result showed."""
    statement = recorded.statement
    if isinstance(pinned, Pinned):
        statement = replace(statement, pins=(pinned,))
    return Judged(statement, recorded.statement_class, recorded.reason, recorded.analysis)


def _recorded_server(summary: PaperSummary) -> str | None:
    """The server of the recording. Raises InputError when its analyses have several."""
    servers = sorted({analysis.server for analysis in summary.analyses})
    if len(servers) > 1:
        raise InputError(
            f"the analyses of paper {summary.name} were recorded from {' and '.join(servers)}; name one with --server"
        )
    return servers[0] if servers else None


@click.command()
@paper_option
@click.option("--restored", metavar="HOST[:PORT]", required=True, help="The server that holds the restored copy.")
@click.option("--bundle", metavar="DIR", type=click.Path(path_type=Path), help="Default: the paper's name.")
@_server_option
@_defaults_file_option
@click.option(
    "--restored-defaults-file",
    metavar="FILE",
    type=_option_file,
    help="MySQL option file for the restored server; default: as for the source.",
)
@json_option
@click.pass_obj
def verify(
    home: Home,
    paper: str,
    restored: str,
    bundle: Path | None,
    server: str | None,
    defaults_file: Path | None,
    restored_defaults_file: Path | None,
    as_json: bool,
) -> int:
    """Replay a bundle's queries on the source and on the restored copy, and say how many answers are identical."""
    found = open_bundle(bundle or Path(safe_name(paper)))
    verification.require_writable(found)
    review = read_review(found)
    if review.paper != paper:
        raise InputError(f"the bundle in {found.folder} is of paper {review.paper!r}, not of {paper!r}; see --bundle")
    source_at = login(server, None, defaults_file, review.server, surroundings(), ask)
    copy_at = login(restored, None, restored_defaults_file or defaults_file, None, surroundings(), ask)
    _refuse_same(source_at, copy_at)
    refuse_own(source_at[0], running(home))
    refuse_own(copy_at[0], running(home))
    with Database.connect(*source_at) as source, Database.connect(*copy_at) as copy, Progress() as progress:
        proof = prove(source, copy, review, progress)
        versions = Versions(version("datajoint-proxy"), source.version, copy.version)
    file = verification.path(found)
    if as_json:
        terminal.document(cli_report.proof_document(proof, file))
    else:
        cli_report.print_proof(proof)
    verification.write(found, proof, versions, datetime.now(UTC))
    say(f"the proof is in {file}")
    return 0 if proof.complete else _INCOMPLETE


def _refuse_same(source: tuple[ServerAddress, Credentials], copy: tuple[ServerAddress, Credentials]) -> None:
    """A source compared with itself proves nothing."""
    if str(source[0]) == str(copy[0]):
        raise InputError(f"--restored {copy[0]} is the source itself; name the server that holds the restored copy")
