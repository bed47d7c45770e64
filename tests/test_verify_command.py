"""`djproxy verify`: what it says of a broken copy, and the proof that it writes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.statement import Session
from tests.harness import Djproxy, drop, restore
from tests.verifying import TABLES, answered

QUERIES = (
    "SELECT a, f, b FROM {s}.t WHERE a < 3",
    "SELECT COUNT(*), s FROM {s}.t GROUP BY s",
    "SELECT a FROM {s}.t WHERE a = 2 ORDER BY a",
)


@pytest.fixture
def bundle(djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, database: str) -> Iterator[Path]:
    """A recording of QUERIES, exported and restored."""
    server.execute(*(text.format(s=database) for text in TABLES))
    djproxy.record("P", server, *(sql.format(s=database) for sql in QUERIES))
    options = ("--out", djproxy.home.parent / "bundle", "--defaults-file", server.defaults_file(), "--run")
    tools = {"MYSQLDUMP": str(server.tools.dump), "MYSQL": str(server.tools.client)}
    djproxy.call("export", "--paper", "P", *options, **tools)
    folder = djproxy.home.parent / "bundle"
    restore(folder, restored)
    yield folder
    drop(restored, database)


def test_the_proof_is_published(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, bundle: Path, database: str
) -> None:
    report = djproxy.verify("P", server, restored, bundle).json()
    path = bundle / "publish" / "verification.json"
    proof = json.loads(path.read_text())
    assert report["verification"] == str(path)
    assert (report["queries"], report["identical"], proof["proven"]) == (3, 3, True)
    assert (proof["format"], proof["format_version"], proof["paper"]) == ("djproxy verification", 1, "P")
    assert proof["versions"]["source"] == proof["versions"]["copy"] == server.version
    assert proof["totals"]["queries"] == proof["totals"]["identical"] == 3
    published = (bundle / "publish" / "queries.sql").read_text()
    for query, text in zip(proof["queries"], QUERIES, strict=True):
        asked = text.format(s=database)
        assert f"\n{asked}\n;" in published
        assert query["sha256"] == hashlib.sha256(asked.encode()).hexdigest()
        assert query["outcome"] == "identical"
        assert all(each["source"] == each["copy"] for each in query["answers"])
    assert [each["protocol"] for each in proof["queries"][0]["answers"]] == ["text", "binary"]
    for name, checksum in proof["files"].items():
        assert checksum == hashlib.sha256((bundle / "publish" / name).read_bytes()).hexdigest()
    manifest = json.loads((bundle / "publish" / "manifest.json").read_text())
    for name, checksum in manifest["files"].items():
        assert checksum == hashlib.sha256((bundle / "publish" / name).read_bytes()).hexdigest()
    text = path.read_text()
    for private in (server.host, str(server.port), server.user, server.password, restored.password, "SELECT", database):
        assert private not in text
    assert path.stat().st_mode & 0o777 == 0o644
    assert sorted(each.name for each in bundle.iterdir()) == ["dump.sh", "publish", "review.json"]


def test_a_broken_copy_ends_with_1_and_is_named(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, bundle: Path, database: str
) -> None:
    restored.execute(f"UPDATE {database}.t SET f = 0.10000001 WHERE a = 1", f"DELETE FROM {database}.t WHERE a = 3")
    options = ("--bundle", bundle, "--defaults-file", server.defaults_file())
    options += ("--restored-defaults-file", restored.defaults_file())
    answer = djproxy.call(
        "verify", "--paper", "P", "--restored", f"{restored.host}:{restored.port}", *options, status=1
    )
    lines = answer.stdout.splitlines()
    assert f"TABLE {database}.t holds 2 rows, the slice 3" in lines
    first = next(number for number, line in enumerate(lines) if line.startswith("DIFFERS, statement "))
    assert "floating-point values differ in digits that their text does not show" in lines[first]
    assert lines[first + 3 : first + 7] == [
        "    only in source: 1 row",
        "        (1, 0.1, x'00ff')",
        "    only in copy: 1 row",
        "        (1, 0.10000001, x'00ff')",
    ]
    assert any(line.startswith("1 of 3 queries identical on source and copy, 2 differs; left out: ") for line in lines)
    assert answer.stderr.endswith("verification.json\n")
    proof = json.loads((bundle / "publish" / "verification.json").read_text())
    assert proof["proven"] is False
    assert [query["outcome"] for query in proof["queries"]] == ["differs", "differs", "identical"]
    assert proof["totals"]["differs"] == 2
    assert proof["tables_that_differ"] == [{"schema": database, "name": "t", "rows": 3, "found": 2}]
    assert "0.10000001" not in json.dumps(proof)


def test_the_command_compares_with_what_was_recorded(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, bundle: Path, database: str
) -> None:
    """The review says what the answers were: once as they are, once with another digest, once a number of rows."""
    path = bundle / "review.json"
    review = json.loads(path.read_text())
    data = [statement for statement in review["statements"] if statement["class"] == "data"]
    for statement in data:
        answer = answered(server, statement["sql"], Session(**statement["session"]))
        statement["recorded"] = {"rows": answer.rows, "digest": answer.digest}
    data[1]["recorded"]["digest"] = "0" * 32
    data[2]["recorded"] = {"rows": 7, "digest": None}
    path.write_text(json.dumps(review))
    report = djproxy.verify("P", server, restored, bundle, status=1).json()
    assert report["verdicts"] == {"identical": 1, "source changed since the recording": 2}
    assert [failure["id"] for failure in report["failures"]] == [statement["id"] for statement in data[1:]]
    assert report["failures"][1]["reason"] == "recorded 7 rows; the copy answers as the source does now"
    proof = json.loads((bundle / "publish" / "verification.json").read_text())
    assert [query["source_as_recorded"] for query in proof["queries"]] == [True, False, False]


def test_a_refusal_of_the_server_is_not_published(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, bundle: Path, database: str
) -> None:
    restored.execute(f"DROP TABLE {database}.t")
    report = djproxy.verify("P", server, restored, bundle, status=1).json()
    assert [failure["verdict"] for failure in report["failures"]] == ["failed on copy"] * 3
    assert all("doesn't exist" in failure["reason"] for failure in report["failures"])
    text = (bundle / "publish" / "verification.json").read_text()
    assert "doesn't exist" not in text
    assert json.loads(text)["totals"]["failed on copy"] == 3


def test_a_proof_belongs_to_its_dump(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, bundle: Path
) -> None:
    """Another dump or export takes an old proof away, and a bundle with a proof may be replaced."""
    path = bundle / "publish" / "verification.json"
    djproxy.verify("P", server, restored, bundle)
    assert path.exists()
    tools = {"MYSQLDUMP": str(server.tools.dump), "MYSQL": str(server.tools.client)}
    options = ("--out", bundle, "--defaults-file", server.defaults_file())
    djproxy.call("export", "--paper", "P", *options, "--run", **tools)
    assert not path.exists()
    djproxy.verify("P", server, restored, bundle)
    account = {"MYSQL_DEFAULTS_FILE": str(server.defaults_file())}
    subprocess.run(["bash", bundle / "dump.sh"], env=os.environ | tools | account, check=True, capture_output=True)
    assert not path.exists()


def test_a_bundle_that_cannot_be_written_is_said_before_anything_is_asked(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    answer = djproxy.verify("P", server, restored, bundle, status=2)
    assert "cannot write verification.json" in answer.stderr
    assert answer.stdout == ""


def test_a_recording_with_digests_tells_what_changed(
    djproxy: Djproxy, server: PrivateServer, restored: PrivateServer, database: str
) -> None:
    """Recorded by clients of two character sets; the source is edited after the export, then before another one."""
    server.execute(*(text.format(s=database) for text in TABLES))
    texts = [f"SELECT * FROM {database}.t WHERE a < 3", f"SELECT a, s FROM {database}.t ORDER BY a LIMIT 2"]
    with djproxy.recording("P", server, "--digest") as proxy:
        for charset in ("utf8mb4", "latin1"):
            connection = server.connect(host=proxy.host, port=proxy.port, charset=charset)
            with connection, connection.cursor() as cursor:
                for sql in texts:
                    cursor.execute(sql)
                    cursor.fetchall()
    options = ("--out", djproxy.home.parent / "bundle", "--defaults-file", server.defaults_file(), "--run")
    tools = {"MYSQLDUMP": str(server.tools.dump), "MYSQL": str(server.tools.client)}
    djproxy.call("export", "--paper", "P", *options, **tools)
    bundle = djproxy.home.parent / "bundle"
    try:
        restore(bundle, restored)
        same = djproxy.verify("P", server, restored, bundle).json()
        assert (same["queries"], same["identical"]) == (4, 4)
        proof = json.loads((bundle / "publish" / "verification.json").read_text())
        assert [query["source_as_recorded"] for query in proof["queries"]] == [True] * 4

        server.execute(f"UPDATE {database}.t SET s = 'new' WHERE a = 1")
        changed = djproxy.verify("P", server, restored, bundle, status=1).json()
        assert changed["verdicts"] == {"source changed since the recording": 4}
        assert {failure["reason"] for failure in changed["failures"]} == {"the copy answers as it was recorded"}

        restored.execute(f"UPDATE {database}.t SET s = 'bad' WHERE a = 1")
        wrong = djproxy.verify("P", server, restored, bundle, status=1).json()
        assert wrong["verdicts"] == {"differs": 4}

        drop(restored, database)
        again = djproxy.call("export", "--paper", "P", *options, status=1, **tools)
        assert again.stderr.count("djproxy: CHANGED: ") == 4
        restore(bundle, restored)
        late = djproxy.verify("P", server, restored, bundle, status=1).json()
        assert late["verdicts"] == {"source changed since the recording": 4}
        assert all("the copy answers as the source does now" in failure["reason"] for failure in late["failures"])
    finally:
        drop(restored, database)
