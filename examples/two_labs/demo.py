"""Runs the main job: record an analysis, export its slice, restore it, prove that it answers the same.

Exits with 1 when anything differs. Start it with scripts/demo.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from examples.private_server import PROGRAMS, PrivateServer
from examples.two_labs import checks

HERE = Path(__file__).parent
PAPER = "Place cells at dawn"
ACCOUNT = "lab_reader"
#: Columns of the summary when it goes into a file.
PAGE_WIDTH = 120
console = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class TableRows:
    """Rows of one table: in the source, in the slice as the bundle's manifest says, in the restored copy."""

    table: str
    source: int
    slice: int
    restored: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What the demo found; everything is right when `good`."""

    flavour: str
    version: str
    bundle: str
    tables: list[TableRows]
    orphans: int
    other_lab_rows: int
    other_lab_words: list[str]
    same_output: bool
    verify: dict[str, Any]
    verify_exit: int
    good: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Judges."""
        counts = all(row.slice == row.restored <= row.source for row in self.tables)
        replayed = self.verify_exit == 0 and self.verify["queries"] == self.verify["identical"] > 0
        clean = not (self.orphans or self.other_lab_rows or self.other_lab_words)
        good = counts and clean and replayed and self.same_output
        object.__setattr__(self, "good", good)


def djproxy() -> str:
    """The command that was installed with this Python, else the one in the PATH."""
    beside = Path(sys.executable).with_name("djproxy")
    command = str(beside) if beside.exists() else shutil.which("djproxy")
    if command is None:
        raise click.ClickException("there is no djproxy command: run scripts/demo, which installs it")
    return command


def reader_environment(server: PrivateServer, password: str) -> dict[str, str]:
    """The environment in which DataJoint reads from that server."""
    return os.environ | {
        "DJ_HOST": server.host,
        "DJ_PORT": str(server.port),
        "DJ_USER": ACCOUNT,
        "DJ_PASS": password,
        "DJ_LOG_STREAM": "stderr",
        "DJ_LOG_LEVEL": "WARNING",
        "PYTHONWARNINGS": "ignore",
    }


def add_reader(server: PrivateServer, password: str) -> None:
    """An account that may read and nothing more."""
    grants = [f"GRANT SELECT ON `{schema}`.* TO {ACCOUNT}@127.0.0.1" for schema in checks.SCHEMAS]
    server.execute(f"CREATE USER {ACCOUNT}@127.0.0.1 IDENTIFIED BY '{password}'", *grants)


def run(command: list[str], environment: dict[str, str], *, check: bool = True, shown: bool = False) -> tuple[int, str]:
    """Runs a step; gives its status and its stdout, which goes to our stderr instead when it is to be shown.

    A failed step ends the demo unless `check` is off.
    """
    stdout = sys.stderr if shown else subprocess.PIPE
    answer = subprocess.run(command, env=environment, stdout=stdout, text=True, check=False)
    output = answer.stdout or ""
    if check and answer.returncode != 0:
        console.print(output, markup=False)
        raise click.ClickException(f"{Path(command[0]).name} {command[1]} ended with {answer.returncode}")
    return answer.returncode, output


def say(number: int, text: str) -> None:
    """Announces a step."""
    console.print(f"\n[bold]{number}. {text}[/bold]")


def main_job(source: PrivateServer, restored: PrivateServer, out: Path) -> Summary:
    """All steps, from an empty server to the summary."""
    password = secrets.token_hex(12)
    analysis = [sys.executable, str(HERE / "analysis.py")]
    home, bundle = out / "home", out / "bundle"
    environment = reader_environment(source, password) | {"DJPROXY_HOME": str(home)}
    tools = {"MYSQLDUMP": str(source.tools.dump), "MYSQL": str(source.tools.client)}
    address = f"{source.host}:{source.port}"
    paper = ["--paper", PAPER]

    say(1, f"Two labs share a database ({source.flavour} {source.version}); filling it with DataJoint")
    as_root = environment | {"DJ_USER": source.user, "DJ_PASS": source.password}
    run([sys.executable, str(HERE / "fill.py")], as_root)
    add_reader(source, password)

    say(2, "The analysis of lab Aster's paper, recorded through the proxy")
    command = [djproxy(), "record", *paper, "--server", address, "--", *analysis]
    recorded = run(command, environment)[1]
    (out / "analysis-recorded.txt").write_text(recorded)

    say(3, "What djproxy saw: djproxy show")
    run([djproxy(), "show", *paper], environment, shown=True)

    say(4, "The slice, as a dump script, run at once: djproxy export --run")
    credentials = ["--defaults-file", str(source.defaults_file(ACCOUNT, password))]
    command = [djproxy(), "export", *paper, "--out", str(bundle), *credentials, "--run"]
    run(command, environment | tools, shown=True)

    say(5, "The slice restored into an empty second server: publish/restore.sh")
    options = str(restored.defaults_file())
    run(
        ["bash", str(bundle / "publish" / "restore.sh")],
        environment | tools | {"MYSQL_DEFAULTS_FILE": options},
    )
    add_reader(restored, password)

    say(6, "The same analysis on the restored copy, then every recorded query: djproxy verify")
    repeated = run(analysis, reader_environment(restored, password))[1]
    (out / "analysis-restored.txt").write_text(repeated)
    command = [djproxy(), "verify", *paper, "--restored", f"{restored.host}:{restored.port}", *credentials]
    command += ["--bundle", str(bundle), "--restored-defaults-file", options, "--json"]
    status, verified = run(command, environment, check=False)

    words = checks.other_labs_words(source)
    return Summary(
        flavour=source.flavour,
        version=source.version,
        bundle=str(bundle),
        tables=table_rows(source, restored, bundle),
        orphans=checks.orphans(restored),
        other_lab_rows=checks.other_labs_rows(restored, words),
        other_lab_words=checks.words_found(bundle / "publish", words),
        same_output=recorded == repeated and recorded.startswith("## sessions\n{"),
        verify=json.loads(verified) if verified else {},
        verify_exit=status,
    )


def table_rows(source: PrivateServer, restored: PrivateServer, bundle: Path) -> list[TableRows]:
    """Counts per table, the slice's own from the manifest."""
    manifest = json.loads((bundle / "publish" / "manifest.json").read_text())
    in_slice = {(entry["schema"], entry["name"]): int(entry["rows"]) for entry in manifest["tables"]}
    copies = set(checks.tables(restored))
    return [
        TableRows(
            f"{schema}.{name}",
            checks.count(source, schema, name),
            in_slice.get((schema, name), 0),
            checks.count(restored, schema, name) if (schema, name) in copies else 0,
        )
        for schema, name in checks.tables(source)
    ]


def verdict(good: bool) -> str:
    """A word and its colour."""
    return "[green]yes[/green]" if good else "[red]NO[/red]"


def print_summary(summary: Summary) -> None:
    """For people, on stdout."""
    out = Console(highlight=False)
    if not out.is_terminal:
        out.width = PAGE_WIDTH
    table = Table(title=f'Rows per table, paper "{PAPER}"')
    table.add_column("table")
    for column in ("full database", "slice", "restored copy"):
        table.add_column(column, justify="right")
    for row in summary.tables:
        table.add_row(row.table, str(row.source), str(row.slice), str(row.restored))
    out.print()
    out.print(table)
    found = summary.other_lab_words
    facts = {
        "The analysis prints the same on the restored copy": verdict(summary.same_output),
        "djproxy verify, recorded queries with the same answer on both servers": (
            f"{summary.verify.get('identical')} of {summary.verify.get('queries')} {verdict(summary.verify_exit == 0)}"
        ),
        "Rows of the copy whose foreign key points nowhere": str(summary.orphans),
        "Rows of the other lab in the copy": str(summary.other_lab_rows),
        "Names and texts of the other lab in publish/": ", ".join(found) if found else "0",
    }
    for fact, value in facts.items():
        out.print(f"{fact}: {value}")
    out.print(f"The bundle: {summary.bundle} (only its folder publish/ is meant to go out)", soft_wrap=True)


def interrupted(number: int, frame: FrameType | None) -> None:
    """Turns SIGTERM into an exit that stops the servers."""
    sys.exit(128 + number)


@click.command()
@click.option("--flavour", type=click.Choice(list(PROGRAMS)), help="The servers' flavour; default: what there is.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the bundle goes; default: a temporary folder.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def main(flavour: str | None, out: Path | None, as_json: bool) -> None:
    """Record an analysis, export its slice, restore it, and compare."""
    signal.signal(signal.SIGTERM, interrupted)
    folder = (out or Path(tempfile.mkdtemp(prefix="djproxy-demo-"))).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise click.UsageError(f"{folder} is not empty")
    with PrivateServer.start(flavour) as source, PrivateServer.start(source.flavour) as restored:
        summary = main_job(source, restored, folder)
    if as_json:
        print(json.dumps(asdict(summary), indent=2))
    else:
        print_summary(summary)
    sys.exit(0 if summary.good else 1)


if __name__ == "__main__":
    main()
