"""The way from a recording to a bundle: rights that are missing, what is warned about."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.documents import Judged, Meta
from graph.errors import GrantError
from graph.export import export
from graph.statement import Statement, StatementClass
from tests.slice_example import judged

META = Meta("Paper", "db.lab.example:3306", "0.1.0")


@pytest.fixture
def user(server: PrivateServer, database: str) -> Iterator[str]:
    """An account that may read table `mine` of the schema alone."""
    name = f"u_{secrets.token_hex(4)}"
    server.execute(
        f"CREATE TABLE {database}.mine (a int PRIMARY KEY)",
        f"CREATE TABLE {database}.hidden (a int PRIMARY KEY)",
        f"CREATE USER '{name}'@'%' IDENTIFIED BY 'secret'",
        f"GRANT SELECT ON {database}.mine TO '{name}'@'%'",
    )
    yield name
    server.execute(f"DROP USER '{name}'@'%'")


def run(server: PrivateServer, user: str, folder: Path, *statements: tuple[str, StatementClass]) -> list[Judged]:
    recorded = [Judged(Statement(number, sql), kind, "") for number, (sql, kind) in enumerate(statements, 1)]
    with Database.connect(ServerAddress(server.host, server.port), Credentials(user, "secret")) as database:
        return export(database, recorded, folder, META).unresolved


def test_a_table_that_the_account_cannot_even_see_is_a_missing_grant(
    server: PrivateServer, database: str, user: str, tmp_path: Path
) -> None:
    mine, hidden = (f"SELECT * FROM {database}.{table}" for table in ("mine", "hidden"))
    with pytest.raises(GrantError, match=f"GRANT SELECT ON `{database}`.`hidden` TO '{user}'@'%'"):
        run(server, user, tmp_path / "out", (mine, StatementClass.DATA), (hidden, StatementClass.DATA))
    assert list(tmp_path.iterdir()) == []


def test_a_table_that_is_not_taken_needs_no_grant(
    server: PrivateServer, database: str, user: str, tmp_path: Path
) -> None:
    mine, hidden = (f"SELECT * FROM {database}.{table}" for table in ("mine", "hidden"))
    assert run(server, user, tmp_path / "out", (mine, StatementClass.DATA), (hidden, StatementClass.CHECK)) == []


def test_a_table_that_was_dropped_is_unresolved(
    server: PrivateServer, database: str, user: str, tmp_path: Path
) -> None:
    server.execute(f"GRANT SELECT ON {database}.* TO '{user}'@'%'", f"DROP TABLE {database}.hidden")
    mine, hidden = (f"SELECT * FROM {database}.{table}" for table in ("mine", "hidden"))
    (missing,) = run(server, user, tmp_path / "out", (mine, StatementClass.DATA), (hidden, StatementClass.DATA))
    assert missing.statement.id == 2


def test_a_whole_table_is_warned_about(server: PrivateServer, database: str, tmp_path: Path) -> None:
    server.execute(f"CREATE TABLE {database}.t (a int PRIMARY KEY)", f"INSERT INTO {database}.t VALUES (1), (2)")
    texts = [f"SELECT a FROM {database}.t WHERE a = 1", f"SELECT a FROM {database}.t", f"SELECT a FROM {database}.t"]
    recorded = judged(*texts)
    with Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password)) as source:
        made = export(source, recorded, tmp_path / "out", META)
        restricted = export(source, recorded[:1], tmp_path / "restricted", META)
    (warning,) = made.slice.warnings
    assert f"all of {database}.t" in warning and "statement 2" in warning
    assert restricted.slice.warnings == ()
