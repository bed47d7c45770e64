"""A lab's pipeline with files, in both DataJoint lines: recorded, exported, restored, files copied, worked on."""

from __future__ import annotations

import csv
import json
import secrets
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from examples.private_server import PrivateServer
from tests import harness
from tests.harness import Account, Djproxy
from tests.wire import general_log

PAPER = "files"
CLIENT = harness.ROOT / "tests" / "clients" / "datajoint_files.py"
SCHEMAS = ("common", "rigs", "ephys")


@dataclass(frozen=True)
class Lab:
    """A DataJoint process of one line, and the folders of its stores."""

    line: str
    process: subprocess.Popen[str]
    base: str
    stores: Path
    plain: bool

    @property
    def schemas(self) -> list[str]:
        return [f"{self.base}_{name}" for name in SCHEMAS]

    def ask(self, task: str, host: str, port: int, account: Account, stores: Path, work: Path) -> Any:
        """What the task gives there."""
        assert self.process.stdin and self.process.stdout
        work.mkdir(exist_ok=True)
        place = {"host": host, "port": port, "user": account.user, "password": account.password}
        request = {**place, "base": self.base, "stores": str(stores), "work": str(work)}
        request |= {"plain": self.plain, "task": task}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, f"{task}: {answer}"
        return answer["result"]


@pytest.fixture(scope="module", params=list(harness.DATAJOINT_LINES))
def lab(
    request: pytest.FixtureRequest, server: PrivateServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """Each DataJoint line, with filled schemas and stores."""
    stores = tmp_path_factory.mktemp("stores")
    for name in ("files", "raw"):
        (stores / name).mkdir()
    base = f"f{secrets.token_hex(3)}"
    python = harness.DATAJOINT_LINES[request.param]()
    process = subprocess.Popen([python, str(CLIENT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    # DataJoint 2.3 cannot insert the JSON of stores into MariaDB; test_files_read.py has such rows by hand.
    found = Lab(request.param, process, base, stores, (request.param, server.flavour) == ("2.3", "mariadb"))
    try:
        administrator = Account(server.user, server.password)
        found.ask("fill", server.host, server.port, administrator, stores, tmp_path_factory.mktemp("work"))
        yield found
    finally:
        process.kill()
        process.communicate()
        harness.drop(server, *reversed(found.schemas))


def listed(bundle: Path) -> list[dict[str, str]]:
    with (bundle / "publish" / "files.tsv").open(newline="") as file:
        return list(csv.DictReader(file, dialect="excel-tab"))


def test_a_lab_works_on_with_a_slice_and_its_files(
    lab: Lab, server: PrivateServer, restored: PrivateServer, djproxy: Djproxy, tmp_path: Path
) -> None:
    administrator = Account(server.user, server.password)
    with djproxy.recording(PAPER, server) as proxy:
        seen = lab.ask("analyse", proxy.host, proxy.port, administrator, lab.stores, tmp_path / "lab")
    harness.drop(restored, *reversed(lab.schemas))
    rule = f"{lab.base}_ephys.recording.video: {lab.stores}/videos"
    reader = harness.add_account(server, lab.schemas)
    bundle = djproxy.round_trip(PAPER, server, restored, reader, "--structure", "schemas", "--files", rule)

    assert json.loads((bundle / "publish" / "manifest.json").read_text())["structure"] == "schemas"
    rows = listed(bundle)
    assert {row["store"] for row in rows} == ({"videos"} if lab.plain else {"files", "raw", "videos"})
    assert not any(str(lab.stores) in value for row in rows for value in row.values())
    assert not any("3" in row["key"] for row in rows), "a file of what is not in the slice"
    settings = {"files": {"protocol": "file", "location": str(lab.stores / "files")}}
    (djproxy.home.parent / "dj_local_conf.json").write_text(json.dumps({"stores": settings}))
    copies = tmp_path / "copies"
    places = [] if lab.plain else [f"--store=raw={lab.stores / 'raw'}"]
    arguments = ["files", "--paper", PAPER, "--bundle", bundle, "--copy-to", copies, *places, "--json"]
    states = djproxy.run(*arguments).json()["states"]
    assert states["copied"] == len({(row["store"], row["path"]) for row in rows})
    assert djproxy.run(*arguments).json()["states"]["present"] == states["copied"]

    worker = harness.add_account(restored, lab.schemas, "SELECT, INSERT, UPDATE, DELETE")
    with general_log(restored):
        assert lab.ask("analyse", restored.host, restored.port, worker, copies, tmp_path / "away") == seen
        done = lab.ask("work_on", restored.host, restored.port, worker, copies, tmp_path / "away")
        declared = restored.rows(
            "SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log WHERE command_type = 'Query'"
            " AND CONVERT(argument USING utf8mb4) REGEXP '^[[:space:]]*(CREATE|ALTER|DROP)'"
        )
    assert declared == []
    numbers = ((1, 1), (4, 1), (2, 2))
    assert done["power"] == [[n, c, (c * n / 2) ** 2, f"2025-01-0{day}"] for n, day in numbers for c in range(5)]
    assert done["empty"] == [0, 0, 0]
    assert any("Unvisited" in name or "unvisited" in name for name in done["diagram"])
