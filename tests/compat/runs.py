"""Runs a suite on fresh servers, in turn direct and through a recording proxy."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from examples.private_server import PrivateServer
from tests.compat.outcomes import Comparison, Outcomes, compare
from tests.compat.suites import Suite, Target, set_up
from tests.harness import Djproxy

PAPER = "compat"
#: How the rounds record: as `record` does by itself, and looking into every result.
RECORDING: Sequence[tuple[str, ...]] = ((), ("--pin", "always", "--digest"))


@dataclass(frozen=True, slots=True)
class Ran:
    """A suite on a flavour. `statements` were recorded by the last round; `lost` says why connections were given up."""

    suite: Suite
    flavour: str
    version: str
    comparison: Comparison
    statements: int
    lost: tuple[str, ...]


def run(suite: Suite, source: Path, flavour: str, rounds: int = len(RECORDING)) -> Ran:
    """Direct and proxied, so many times each; every run has a server of its own."""
    direct: list[Outcomes] = []
    proxied: list[Outcomes] = []
    statements, lost, version = 0, [], ""
    for number in range(rounds):
        for through_proxy in (False, True):
            say(f"{suite.name} on {flavour}, round {number + 1}, {'proxied' if through_proxy else 'direct'}")
            with (
                tempfile.TemporaryDirectory() as temporary,
                PrivateServer.start(flavour, options=suite.server_options(flavour)) as server,
            ):
                set_up(server)
                version = server.version
                folder = Path(temporary)
                if not through_proxy:
                    assert server.certificate_authority is not None
                    direct.append(suite.run(source, Target(server, server.port, server.certificate_authority, folder)))
                    continue
                djproxy = Djproxy(folder / "proxy/home")
                djproxy.home.mkdir(parents=True)
                with djproxy.recording(PAPER, server, *RECORDING[number % len(RECORDING)]) as recorder:
                    authority = djproxy.home / "certificates/authority.pem"
                    proxied.append(suite.run(source, Target(server, recorder.port, authority, folder)))
                shown = djproxy.run("show", "--paper", PAPER, "--json", status=None).json()
                statements = sum(analysis["statements"] for analysis in shown["analyses"])
                lost += [gap["reason"] for gap in shown["lost"]]
    return Ran(suite, flavour, version, compare(direct, proxied), statements, tuple(lost))


def say(text: str) -> None:
    """To whoever waits."""
    print(text, file=sys.stderr, flush=True)
