"""The command `djproxy`: options in, messages and exit codes out. What it does lives elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import click

from graph.errors import GraphError, ScriptError
from graph.names import TableName
from proxy import cli_show, terminal
from proxy.addresses import parse_address
from proxy.cli_common import (
    analysis_option,
    checked_name,
    exclude_option,
    json_option,
    opened_store,
    paper_option,
    surroundings,
)
from proxy.cli_export import export, verify
from proxy.cli_files import files
from proxy.cli_legs import Chosen, certificate, leg_options
from proxy.cli_limits import limit_options
from proxy.errors import InputError, ProxyError
from proxy.limits import Limits
from proxy.paths import Home, find_home
from proxy.recorder import recorded_now
from proxy.results import Pin, Watch
from proxy.settings import server_to_record
from proxy.signals import terminable
from proxy.terminal import say

INTERRUPTED = 130
_LISTEN = "127.0.0.1:3307"
_LISTEN_FOR_COMMAND = "127.0.0.1:0"
_MAIN = "main"


def own_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("datajoint-proxy")
    except PackageNotFoundError:
        return "of a source tree, not installed"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home", metavar="DIR", help="Folder of the recordings; default: DJPROXY_HOME, else the user data folder."
)
@click.version_option(own_version(), "--version", message="djproxy %(version)s")
@click.pass_context
def djproxy(context: click.Context, home: str | None) -> None:
    """Record what a paper reads from a MySQL database, and export exactly those rows."""
    context.obj = find_home(home, os.environ)


@djproxy.command(context_settings={"ignore_unknown_options": False})
@paper_option
@click.option(
    "--analysis", metavar="NAME", default=_MAIN, show_default=True, callback=checked_name, help="Part of the paper."
)
@click.option(
    "--server",
    metavar="HOST[:PORT]|SOCKET",
    help="Default: DJPROXY_SERVER, DataJoint's settings, localhost:3306.",
)
@click.option("--listen", metavar="HOST:PORT|SOCKET", help=f"Default: {_LISTEN}; port 0 takes a free one.")
@leg_options
@limit_options
@click.option(
    "--pin",
    type=click.Choice([pin.value for pin in Pin]),
    default=Pin.AUTO.value,
    show_default=True,
    help="Which results' keys are kept: of none, of those that may change (LIMIT, NOW() …), of all.",
)
@click.option("--digest", is_flag=True, help="Keep count and digest of each result's rows, for verify.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def record(
    home: Home,
    paper: str,
    analysis: str,
    server: str | None,
    listen: str | None,
    legs: Chosen,
    limits: Limits,
    pin: str,
    digest: bool,
    command: tuple[str, ...],
) -> int:
    """Record a paper's statements: serve until Ctrl-C, or run COMMAND through the proxy and end with it."""
    from proxy.recording import Plan, run  # noqa: PLC0415 -- the event loop is for this command alone

    address = parse_address(listen or (_LISTEN_FOR_COMMAND if command else _LISTEN), lowest_port=0)
    plan = Plan(
        paper=paper,
        analysis=analysis,
        server=server_to_record(server, surroundings()),
        listen=address,
        certificate=legs.certificate,
        command=command,
        watch=Watch(Pin(pin), digest),
        options=replace(legs.for_listener(address.socket is not None), limits=limits),
    )
    return run(home, plan, say)


@djproxy.command("list")
@json_option
@click.pass_obj
def list_(home: Home, as_json: bool) -> int:
    """List papers and analyses, with counts."""
    with opened_store(home) as store:
        papers = store.papers()
    if as_json:
        terminal.document(cli_show.papers_document(papers))
    else:
        cli_show.print_papers(papers)
    return 0


@djproxy.command()
@paper_option
@analysis_option
@exclude_option
@json_option
@click.pass_obj
def show(home: Home, paper: str, analysis: str | None, exclude: tuple[TableName, ...], as_json: bool) -> int:
    """Show a paper's tables, their restrictions as recorded, classes, and what is unresolved."""
    with opened_store(home) as store:
        shown = cli_show.gather(store, paper, analysis, exclude)
    if as_json:
        terminal.document(cli_show.paper_document(shown))
    else:
        cli_show.print_paper(shown)
    return 0


@djproxy.command()
@paper_option
@analysis_option
@click.option(
    "--statement", "statements", metavar="ID", type=int, multiple=True, help="Only this statement; repeatable."
)
@click.pass_obj
def forget(home: Home, paper: str, analysis: str | None, statements: tuple[int, ...]) -> int:
    """Remove a paper, an analysis or single statements from the recordings, for good."""
    with opened_store(home) as store:
        store.paper(paper, analysis)
        if any(name == paper and analysis in (None, part) for name, part in recorded_now(home)):
            raise InputError(f"the paper {paper!r} is being recorded now; end that djproxy record first")
        removed = store.forget(paper, analysis, statements)
    say(f"forgot {removed} statement{'' if removed == 1 else 's'} of paper {paper}")
    return 0


djproxy.add_command(certificate)
djproxy.add_command(export)
djproxy.add_command(files)
djproxy.add_command(verify)


def main() -> None:
    """Run the command; ends the process with the documented exit code, never with a traceback of ours."""
    with terminal.guarded(), terminable():
        status = _guarded(lambda: djproxy.main(prog_name="djproxy", standalone_mode=False))
    sys.exit(status)


def _guarded(command: Callable[[], Any]) -> int:
    try:
        status = command()
        terminal.finish()
        return status if isinstance(status, int) else 0
    except click.ClickException as error:
        terminal.complain(error)
        return error.exit_code
    except ScriptError as error:
        terminal.say_lines(error.message, error.lines)
        return error.exit_code
    except (ProxyError, GraphError) as error:
        say(str(error))
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        terminal.abandon()
        return 0
    except Exception:
        terminal.crash()
        return terminal.CRASHED


if __name__ == "__main__":
    main()
