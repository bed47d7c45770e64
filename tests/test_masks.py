"""Columns that do not show their values: what a plan may mask, what goes out then, and which statements see it."""

from __future__ import annotations

import json
from pathlib import Path

import networkx as nx
import pytest

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.decisions import Decisions
from graph.direct_write import zstd
from graph.documents import Meta
from graph.errors import InputError
from graph.export import Export, export
from graph.masks import Mask, Masked, MaskKind, masks, read_by
from graph.names import TableName
from graph.plan_file import read_plan
from graph.proof import prove, read_review
from graph.runner import run_dump
from graph.schema import Column, Schema, Table, read_schema
from tests import harness
from tests.harness import drop
from tests.slice_example import judged

META = Meta("Paper", "db.lab.example:3306", "0.1.0")
PERSON, OTHER, VIEW = TableName("lab", "person"), TableName("lab", "other"), TableName("lab", "v")


def column(name: str, *, generated: bool = False) -> Column:
    return Column(name, "varchar", "varchar(40)", nullable=True, generated=generated)


SCHEMA = Schema(
    {
        PERSON: Table(PERSON, (column("id"), column("e`mail"), column("shout", generated=True)), ("id",)),
        OTHER: Table(OTHER, (column("id"), column("E`MAIL")), ("id",)),
        VIEW: Table(VIEW, (column("x"),), (), view="select `lab`.`person`.`e``mail` AS `x` from `lab`.`person`"),
    },
    nx.MultiDiGraph(),
)
MASKS = {PERSON: {"e`mail": Mask(MaskKind.BLANK)}}


@pytest.mark.parametrize(
    ("sql", "named", "seen"),
    [
        ("SELECT id FROM person", [PERSON], False),
        ("SELECT COUNT(*), COUNT( * ) FROM person", [PERSON], False),
        ("SELECT emails FROM person", [PERSON], False),
        ("SELECT `e``mail` FROM person", [PERSON], True),
        ("SELECT id FROM person WHERE `E``Mail` LIKE 'a'", [PERSON], True),
        ("SELECT * FROM person", [PERSON], True),
        ("SELECT p.* FROM person p", [PERSON], True),
        ("(TABLE person)", [PERSON], True),
        ("SELECT shout FROM person", [PERSON], True),
        ("SELECT person.id FROM person NATURAL JOIN other", [PERSON, OTHER], True),
        ("SELECT `e``mail` FROM other", [OTHER], False),
        ("SELECT x FROM v", [VIEW], True),
    ],
)
def test_statements_that_may_look_at_a_masked_column(sql: str, named: list[TableName], seen: bool) -> None:
    assert read_by(sql, named, SCHEMA, MASKS) == (("lab.person.e`mail",) if seen else ())


def test_a_salt_is_not_shown() -> None:
    assert "abc" not in repr(Mask(MaskKind.HASH, "abc"))


def test_every_export_has_a_salt_of_its_own() -> None:
    masked = [Masked(PERSON, ("e`mail",), MaskKind.HASH)]
    assert masks(SCHEMA, masked) != masks(SCHEMA, masked)


# On servers


SECRETS = ("ann@lab.example", "Bob Ross", "12345.5", "1999-04-05", "keep out")


@pytest.fixture
def lab(server: PrivateServer, database: str) -> str:
    server.execute(
        *(
            text.format(s=database)
            for text in (
                "CREATE TABLE {s}.person (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, mail VARCHAR(80),"
                " short CHAR(8), badge VARCHAR(9) NOT NULL UNIQUE, salary DECIMAL(9,1) NOT NULL, born DATE NOT NULL,"
                " ratio FLOAT, notes JSON NOT NULL, photo BLOB, shout VARCHAR(40) AS (UPPER(name)),"
                " kind ENUM('a', 'b') NOT NULL, boss INT, FOREIGN KEY (boss) REFERENCES {s}.person (id))",
                "CREATE VIEW {s}.v AS SELECT id FROM {s}.person",
                "INSERT INTO {s}.person (id, name, mail, short, badge, salary, born, ratio, notes, photo, kind, boss)"
                " VALUES (1, 'Bob Ross', 'ann@lab.example', 'bob', 'x1', 12345.5, '1999-04-05', 1.2345678,"
                " '{{\"a\": \"keep out\"}}', 'keep out', 'a', NULL),"
                " (2, 'Bob Ross', NULL, NULL, 'x2', 1, '2000-01-01', 0.1, '[]', NULL, 'b', 1),"
                " (3, 'bob ross', 'b\\'o', 'c', 'x3', 2, '2000-01-01', 0.1, '[]', 'x', 'b', 1)",
            )
        )
    )
    return database


PLAN = """blank:
- {s}.person: [salary, born, notes, photo]
- {s}.person: [short]
hash:
- {s}.person: [name, mail]
"""


def run(server: PrivateServer, folder: Path, texts: list[str], plan: str, *, direct: bool) -> Export:
    (folder / "plan.yaml").write_text(f"version: 1\npaper: Paper\n{plan}")
    decisions = read_plan(folder / "plan.yaml", "Paper")
    with connect(server) as source:
        return export(source, judged(*texts), folder / "out", META, decisions=decisions, direct=direct)


def connect(server: PrivateServer) -> Database:
    return Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password))


@pytest.mark.parametrize("direct", [False, True], ids=["dump.sh", "direct"])
def test_masked_values_do_not_go_out(
    server: PrivateServer, restored: PrivateServer, lab: str, tmp_path: Path, direct: bool
) -> None:
    texts = [
        f"SELECT id, ratio, badge, kind FROM {lab}.person",
        f"SELECT COUNT(*) FROM {lab}.person WHERE boss = 1",
        f"SELECT id FROM {lab}.person WHERE mail = 'ann@lab.example'",
        f"SELECT id FROM {lab}.v",
    ]
    made = run(server, tmp_path, texts, PLAN.format(s=lab), direct=direct)
    assert [bool(each.masked) for each in made.statements] == [False, False, True, True]
    address, credentials = ServerAddress(server.host, server.port), Credentials(server.user, server.password)
    if not direct:
        run_dump(made.bundle, address, credentials, server.flavour)
    files = list(made.bundle.publish.iterdir())
    published = b"".join(
        zstd.decompress(path.read_bytes()) if path.suffix == ".zst" else path.read_bytes() for path in files
    )
    for secret in SECRETS:
        assert secret.encode() not in published
        assert secret.encode().hex().upper().encode() not in published.upper()
    manifest = json.loads((made.bundle.publish / "manifest.json").read_text())
    (table,) = [each for each in manifest["tables"] if each["name"] == "person"]
    assert table["masked"] == {
        **dict.fromkeys(("salary", "born", "notes", "photo", "short"), "blank"),
        **dict.fromkeys(("name", "mail"), "hash"),
    }
    try:
        harness.restore(made.bundle.folder, restored)
        found = restored.rows(
            f"SELECT name, mail, short, salary, born, CAST(notes AS CHAR), photo, shout, CAST(ratio AS DOUBLE), badge,"
            f" kind, boss FROM {lab}.person ORDER BY id"
        )
        with connect(server) as source, connect(restored) as copy:
            proof = prove(source, copy, read_review(made.bundle))
        ratios = server.rows(f"SELECT CAST(ratio AS DOUBLE) FROM {lab}.person ORDER BY id")
    finally:
        drop(restored, lab)
    assert (proof.complete, proof.identical, proof.review.masked) == (True, 2, 2)
    first, second, third = found
    assert first[0] == second[0] != third[0]
    assert (len(first[0]), len(first[1]), second[1]) == (40, 64, None)
    # To MariaDB, JSON is a text.
    nothing = "null" if server.flavour == "mysql" else ""
    assert {each[2:7] for each in found} == {(None, 0, first[4], nothing, None)}
    assert str(first[4]) == "1970-01-02"
    assert first[7] == first[0].upper()
    assert [each[8:] for each in found] == [
        (ratio, badge, kind, boss)
        for (ratio,), (badge, kind, boss) in zip(
            ratios, [("x1", "a", None), ("x2", "b", 1), ("x3", "b", 1)], strict=True
        )
    ]


@pytest.mark.parametrize(
    ("masked", "message"),
    [
        ("blank: [{{{s}.person: [id]}}]", "column id of .*person cannot be masked: it is part of a key"),
        ("blank: [{{{s}.person: [badge]}}]", "badge .*: it is part of a key"),
        ("blank: [{{{s}.person: [boss]}}]", "boss .*: it is part of a foreign key"),
        ("blank: [{{{s}.person: [shout]}}]", "shout .*: the server computes it"),
        ("blank: [{{{s}.person: [kind]}}]", "kind .*: it must have a value"),
        ("hash: [{{{s}.person: [salary]}}]", "salary .*: only texts and bytes can be hashed"),
        ("hash: [{{{s}.person: [short]}}]", "short .*: a hash needs room for 16 characters"),
        ("hash: [{{{s}.person: [name]}}]\nblank: [{{{s}.person: [NAME]}}]", "column name of .*person is masked twice"),
        ("blank: [{{{s}.person: [nix]}}]", "has no column 'nix'"),
        ("blank: [{{{s}.nix: [a]}}]", "the server has no table"),
        ("blank: [{{{s}.v: [id]}}]", "is a view"),
    ],
)
def test_what_cannot_be_masked_is_named(
    server: PrivateServer, lab: str, tmp_path: Path, masked: str, message: str
) -> None:
    (tmp_path / "plan.yaml").write_text(f"version: 1\npaper: Paper\n{masked.format(s=lab)}")
    decisions = read_plan(tmp_path / "plan.yaml", "Paper")
    with connect(server) as source:
        schema = read_schema(source, [TableName(lab, "person")])
    with pytest.raises(InputError, match=rf"plan.yaml, line \d: .*{message}"):
        masks(schema, decisions.masked)


def test_a_plan_keeps_what_it_masks(tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_text("version: 1\npaper: Paper\nblank: [{lab.person: [a]}]\nhash: [{lab.p: [b, c]}]")
    decisions = read_plan(tmp_path / "plan.yaml", "Paper")
    assert decisions == Decisions(
        masked=(
            Masked(PERSON, ("a",), MaskKind.BLANK, "plan.yaml, line 3"),
            Masked(TableName("lab", "p"), ("b", "c"), MaskKind.HASH, "plan.yaml, line 4"),
        )
    )
    assert decisions.document()["hash"] == [{"lab.p": ["b", "c"]}]
    for text in ("blank: [lab.t]", "blank: [{lab.t: []}]", "hash: [{t: [a]}]"):
        (tmp_path / "plan.yaml").write_text(f"version: 1\npaper: Paper\n{text}")
        with pytest.raises(InputError, match=r"plan.yaml, line 3"):
            read_plan(tmp_path / "plan.yaml", "Paper")
