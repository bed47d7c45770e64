"""What it takes to find a slice's rows in a generated lab: our closure, plain reading of the same keys, other programs.

Each way runs in a process of its own on the same private server, in turns. Results on stdout as JSON, a table on
stderr.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql

from benchmarks.slices.lab import LEAVES, Lab, build
from benchmarks.slices.scripts import Scripts
from examples.private_server import PrivateServer

_FOLDER = Path(__file__).parent
_SLICES = {1: "subject % 100 = 1", 50: "subject % 2 = 1"}
_OPTIONS = {
    "mysql": ("--innodb-buffer-pool-size=2G", "--innodb-flush-log-at-trx-commit=0", "--disable-log-bin"),
    "mariadb": ("--innodb-buffer-pool-size=2G", "--innodb-flush-log-at-trx-commit=0"),
}


def main() -> None:
    """Measures as the options say."""
    parser = argparse.ArgumentParser(prog="scripts/bench-slices", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="about so many rows in the lab")
    parser.add_argument("--flavour", choices=("mysql", "mariadb"), default="mysql")
    parser.add_argument("--slice", type=int, action="append", choices=sorted(_SLICES), help="percent of the lab")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--acyclic", action="store_true", help="no table refers to itself, which RestrGraph needs")
    parser.add_argument("--memory", type=int, default=128, help="MB for our keys")
    parser.add_argument("--restrgraph", nargs=2, metavar=("PYTHON", "CLONE"), help="DataJoint 0.14, and Spyglass")
    parser.add_argument("--subsetter", metavar="PYTHON", help="a Python that has msg555/subsetter")
    parser.add_argument("--peer-seconds", type=int, default=1800, help="after which another program is given up")
    options = parser.parse_args()
    lab = Lab.of(options.rows, cyclic=not options.acyclic)
    with PrivateServer.start(options.flavour, options=_OPTIONS[options.flavour]) as server:
        started = time.perf_counter()
        with server.connect(autocommit=True) as connection, connection.cursor() as cursor:
            build(cursor, lab)
            number = _analyzed(cursor, lab)
        _say(f"{number} rows in {len(lab.primary_keys())} tables, loaded in {time.perf_counter() - started:.0f} s")
        found = [
            result for percent in options.slice or sorted(_SLICES) for result in _rounds(server, lab, percent, options)
        ]
        scripts = [_scripts(server, lab, percent, options) for percent in options.slice or sorted(_SLICES)]
    document = {"flavour": options.flavour, "rows": number, "results": found, "scripts": scripts}
    json.dump(document, sys.stdout, indent=1)
    _print(found)
    _print_scripts(scripts)


def _analyzed(cursor: Any, lab: Lab) -> int:
    number = 0
    for schema, name in lab.primary_keys():
        cursor.execute(f"ANALYZE TABLE {schema}.{name}")
        cursor.execute(f"SELECT COUNT(*) FROM {schema}.{name}")
        number += cursor.fetchone()[0]
    return number


def _rounds(server: PrivateServer, lab: Lab, percent: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    with tempfile.NamedTemporaryFile("w") as password:
        password.write(server.password)
        password.flush()
        for number in range(options.rounds):
            commands = _commands(server, lab, _SLICES[percent], password.name, options, peers=number == 0)
            for way, command in commands.items():
                result = _run(server, command, options.peer_seconds)
                result |= {"slice": percent, "way": way, "round": number, "keys": sum(result.pop("rows", {}).values())}
                _say(f"{percent} %, {way}: {result}")
                yield result


def _commands(
    server: PrivateServer, lab: Lab, where: str, password: str, options: argparse.Namespace, *, peers: bool
) -> dict[str, Sequence[str]]:
    """The ways by name; the other programs, slow as some are, in one round alone."""
    common = ["--port", str(server.port), "--password-file", password, "--where", where]
    ours = [*common, "--pipelines", str(lab.pipelines), "--subjects", str(lab.subjects)]
    leaves = ["--leaves", ",".join(f"`{schema}`.`{name}`" for schema in lab.schemas[1:] for name in LEAVES)]
    way = [sys.executable, "-m", "benchmarks.slices.way"]
    found: dict[str, Sequence[str]] = {
        "plain": [*way, "plain", *ours],
        "closure": [*way, "closure", *ours, "--memory", str(options.memory << 20)],
    }
    if options.restrgraph and peers:
        python, clone = options.restrgraph
        found["RestrGraph"] = [python, str(_FOLDER / "restrgraph.py"), *common, *leaves, "--spyglass", clone]
    if options.subsetter and peers:
        found["subsetter"] = [options.subsetter, str(_FOLDER / "subsetting.py"), *common, *leaves]
    return found


def _scripts(server: PrivateServer, lab: Lab, percent: int, options: argparse.Namespace) -> dict[str, Any]:
    """Medians in seconds, ratios to the peer medians of those within a round."""
    own = _OPTIONS[options.flavour]
    with tempfile.TemporaryDirectory() as folder, PrivateServer.start(options.flavour, options=own) as copy:
        scripts = Scripts(server, copy, lab, _SLICES[percent], Path(folder))
        rounds = [scripts.measured() for _ in range(options.rounds)]
    found: dict[str, Any] = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    for own_way, peer in (("dump.sh", "mysqldump"), ("direct", "mysqldump"), ("restore.sh", "client")):
        found[f"{own_way} to {peer}"] = statistics.median(each[own_way] / each[peer] for each in rounds)
    return {"slice": percent, "rows": scripts.rows, **found}


def _run(server: PrivateServer, command: Sequence[str], seconds: int) -> dict[str, Any]:
    before = _status(server)
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        _end_statements(server)
        return {"failed": f"no end after {seconds} s"}
    if answer.returncode:
        return {"failed": answer.stderr.strip().splitlines()[-1:]}
    after = _status(server)
    document: dict[str, Any] = json.loads(answer.stdout)
    document["server_rows_read"] = after["rows"] - before["rows"]
    document["server_statements"] = after["Questions"] - before["Questions"]
    return document


def _end_statements(server: PrivateServer) -> None:
    """What a program that was given up had asked for would go on beside the next way."""
    with server.connect(autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'root' AND ID <> CONNECTION_ID()")
        for (number,) in cursor.fetchall():
            # It may have ended by itself by now.
            with suppress(pymysql.err.MySQLError):
                cursor.execute(f"KILL {number}")


def _status(server: PrivateServer) -> dict[str, int]:
    """Statements, and rows that the storage engine gave, counted by the server over all connections."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS WHERE Variable_name LIKE 'Handler_read%' OR Variable_name = 'Questions'")
        found = {name: int(value) for name, value in cursor.fetchall()}
    return {"Questions": found.pop("Questions"), "rows": sum(found.values())}


def _print(found: Sequence[dict[str, Any]]) -> None:
    _say("slice | way | keys | s | to plain | MB | statements | rows read by the server")
    for percent in sorted({result["slice"] for result in found}):
        chosen = [result for result in found if result["slice"] == percent and "failed" not in result]
        base = min(result["seconds"] for result in chosen if result["way"] == "plain")
        for way in dict.fromkeys(result["way"] for result in chosen):
            best = min((each for each in chosen if each["way"] == way), key=lambda each: each["seconds"])
            _say(
                f"{percent} % | {way} | {best['keys']} | {best['seconds']:.2f} | {best['seconds'] / base:.2f}"
                f" | {best['megabytes']:.0f} | {best['server_statements']} | {best['server_rows_read']}"
            )


def _print_scripts(found: Sequence[dict[str, Any]]) -> None:
    for each in found:
        told = ", ".join(f"{name} {value:.2f}" for name, value in each.items() if name not in ("slice", "rows"))
        _say(f"{each['slice']} %, {each['rows']} rows: {told}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
