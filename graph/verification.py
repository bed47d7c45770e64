"""`publish/verification.json`: the proof that goes out with a slice.

It holds digests and counts, and of texts only the names of the slice's own tables: no query, no value, no address, no
account, nothing that a server said.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from graph.bundle import Bundle
from graph.documents import published_text
from graph.errors import InputError
from graph.proof import Proof
from graph.replay import Compared, Outcome, Verdict
from graph.visible import json_text

FORMAT: Final = "djproxy verification"
FORMAT_VERSION: Final = 1
_NAME: Final = "verification.json"


@dataclass(frozen=True, slots=True)
class Versions:
    """Of djproxy, and of both servers."""

    djproxy: str
    source: str
    copy: str


def path(bundle: Bundle) -> Path:
    """Where a bundle has its proof."""
    return bundle.publish / _NAME


def require_writable(bundle: Bundle) -> None:
    """Raises InputError unless a proof can be written into the bundle: said before hours of queries, not after."""
    if not os.access(bundle.publish, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {_NAME} into {bundle.publish}: give yourself the right to write there")


def write(bundle: Bundle, proof: Proof, versions: Versions, moment: datetime) -> None:
    """Writes the proof, complete or not at all; an earlier one is replaced. Raises InputError."""
    target = path(bundle)
    text = json_text(document(bundle, proof, versions, moment), ascii_only=True) + "\n"
    try:
        # Not beside the target: what a killed process leaves behind must not be published.
        handle, name = tempfile.mkstemp(prefix=".dump.", dir=bundle.folder)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror or error}") from error


def document(bundle: Bundle, proof: Proof, versions: Versions, moment: datetime) -> dict[str, Any]:
    """What the proof says. Queries are in the order of queries.sql, and found there by the SHA-256 of their text."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "paper": proof.review.paper,
        "time": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "versions": asdict(versions),
        "proven": proof.complete,
        "files": {
            name: _checksum(bundle.publish / name) for name in ("manifest.json", "queries.sql", bundle.slice_file.name)
        },
        "totals": {
            "queries": len(proof.outcomes),
            **_counts(proof),
            "excluded": len(proof.review.excluded),
            "limited": proof.review.limited,
            "masked": proof.review.masked,
            "unresolved": len(proof.review.unresolved),
            "tables": len(proof.review.tables),
            "tables_differ": len(proof.miscounts),
        },
        "queries": [_query(number, outcome) for number, outcome in enumerate(proof.outcomes, 1)],
        "tables_that_differ": [
            {"schema": each.table.schema, "name": each.table.name, "rows": each.expected, "found": each.found}
            for each in proof.miscounts
        ],
    }


def _counts(proof: Proof) -> Mapping[str, int]:
    found = Counter(outcome.verdict for outcome in proof.outcomes)
    return {verdict.value: found[verdict] for verdict in Verdict}


def _query(number: int, outcome: Outcome) -> dict[str, Any]:
    text = published_text(outcome.statement.sql)
    return {
        "number": number,
        "sha256": hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest(),
        "outcome": outcome.verdict.value,
        "order": outcome.order.value,
        "source_as_recorded": outcome.recorded_source,
        "copy_as_recorded": outcome.recorded_copy,
        "answers": [_answers(compared) for compared in outcome.compared],
    }


def _answers(compared: Compared) -> dict[str, Any]:
    return {**asdict(compared.way), "source": asdict(compared.source), "copy": asdict(compared.copy)}


def _checksum(path: Path) -> str | None:
    """The SHA-256 of a file, None where there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
