"""A server, or somebody between, that answers with shell code: nothing of it runs, and the scripts say what is wrong.

So for what stands in a stranger's bundle.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from graph.bundle import Beside, Bundle, write_bundle
from graph.engines import Engine
from graph.errors import InputError
from graph.names import TableName
from tests.dumping import META, Pair, call, drop_schemas, fetch, take, tools
from tests.hostile import Answer, Hostile, answering, hostile

CHILD, PARENT = TableName("lab", "child"), TableName("lab", "parent")
SMALL = (
    "CREATE DATABASE lab",
    "CREATE TABLE lab.parent (id INT PRIMARY KEY, s VARCHAR(20), f FLOAT)",
    "CREATE TABLE lab.child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES lab.parent (id))",
    "INSERT INTO lab.parent VALUES (1, 'a', 1.5), (2, 'b', 1.2345678), (3, 'c', 0)",
    "INSERT INTO lab.child VALUES (1, 1), (2, 2), (3, NULL), (4, 3)",
)
#: The question of `look`.
COUNTS = r"^SELECT COUNT\(\*\), COALESCE"


@pytest.fixture(scope="module")
def bundles(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pair, Path]]:
    """A bundle whose dump is there, and one that makes tables of keys."""
    drop_schemas(pair.source)
    pair.source.execute(*SMALL)
    folder = tmp_path_factory.mktemp("hostile")
    slice_, fingerprints = take(pair.source, {CHILD: "id < 4"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graph.script.by_key_table", lambda sliced: not sliced.whole)
        write_bundle(folder / "keys", slice_, [], META, fingerprints, Beside("scratch"))
    engine = Engine.MYDUMPER
    bundle = write_bundle(folder / "bundle", slice_, [], META, fingerprints, Beside(engine=engine))
    answer = call(bundle.dump_script, tools(pair.source))
    assert answer.returncode == 0, answer.stderr
    yield pair, folder
    drop_schemas(pair.source)


@pytest.fixture
def bundle(bundles: tuple[Pair, Path], tmp_path: Path) -> Bundle:
    return Bundle(shutil.copytree(bundles[1] / "bundle", tmp_path / "bundle"))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that shell code makes, should it run."""
    return tmp_path / "ran"


def code(mark: Path) -> list[bytes]:
    """Shell code as it would run where a number, a name, a pattern, a text or a program for sed is expected."""
    touch = f"touch {mark}"
    return [
        text.encode()
        for text in (
            f"x[$({touch})]",
            f"a[0$({touch})]",
            f"a[`{touch}`]+1",
            f"$({touch})",
            f"`{touch}`",
            f"';{touch};'",
            f'";{touch};"',
            f"1;{touch}",
            f"\n{touch}\n",
            f"1\n-- end `structure`\n\\! {touch}\nsystem {touch}\n",
            f"*[$({touch})]\t${{x:=$({touch})}}",
            f"utf8mb4_x/e;s/.*/{touch}/e;w {mark}\n",
            f"\x1b]0;x\x07\x1b[2J$({touch})\r\n",
        )
    ]


def run_against(server: Hostile, real: PrivateServer, script: Path, *options: str) -> subprocess.CompletedProcess[str]:
    login = script.parent / f"{server.port}.cnf"
    text = real.defaults_file().read_text()
    login.write_text(re.sub(r"(?m)^(port|socket)\s*=.*$", "", text) + f"\nport={server.port}\nprotocol=tcp\n")
    login.chmod(0o600)
    try:
        environment = tools(real) | {"MYSQL_DEFAULTS_FILE": str(login)}
        return subprocess.run(
            ["bash", script, *options], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
    finally:
        login.unlink()


def published(bundle: Bundle) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in bundle.publish.iterdir()}


def assert_stopped(answer: subprocess.CompletedProcess[str], mark: Path, message: str = "") -> None:
    assert not mark.exists()
    assert answer.returncode == 1, answer
    assert message in answer.stderr
    own = [line for line in answer.stderr.split("\n") if re.match("(dump|restore).sh: |  ", line)]
    assert own
    assert all(line.isprintable() for line in own), own


NUMBERS = [
    [[b"08", b"1"]],
    [[b"3", b"010"]],
    [[b"+3", b"1"]],
    [[b"-3", b"1"]],
    [[b"0x3", b"1"]],
    [[b"2#11", b"1"]],
    [[b"3.0", b"1"]],
    [[b"3 ", b"1"]],
    [[b" 3", b"1"]],
    [[b"3", b"1\r"]],
    [[b"3\r\n", b"1"]],
    [[b"3\0", b"1"]],
    [[b"3", b"\x001"]],
    [[b"3\t1"]],
    [[b"3"]],
    [[b"3", b"1", b""]],
    [[b"", b""]],
    [[b"3", b""]],
    [],
    [[b"3", b"1"], [b"3", b"1"]],
    [[b"3", b"1"], [b"", b""]],
    [[b"3", b"1\n"]],
    [[b"", b"3"]],
    [[b"3", b"9" * 19]],
    [[b"3", b"1" + b"0" * 40]],
    [[b"9" * 19, b"1"]],
    [[b"seen_rows", b"1"]],
    [[b"\xd9\xa3", b"1"]],
]


@pytest.mark.parametrize("rows", NUMBERS, ids=repr)
def test_what_is_no_number_stops_the_dump(
    bundles: tuple[Pair, Path], bundle: Bundle, mark: Path, rows: list[list[bytes]]
) -> None:
    real = bundles[0].source
    before = published(bundle)
    with hostile(real, answering(COUNTS, rows)) as server:
        answer = run_against(server, real, bundle.dump_script)
    assert_stopped(answer, mark, "lab.parent and a sum, the server did not answer with two numbers but with:")
    assert published(bundle) == before


@pytest.mark.parametrize("form", range(len(code(Path()))))
@pytest.mark.parametrize("place", ["first", "second"])
def test_shell_code_for_a_count_does_not_run(
    bundles: tuple[Pair, Path], bundle: Bundle, mark: Path, form: int, place: str
) -> None:
    real, text = bundles[0].source, code(mark)[form]
    row = [text, b"1"] if place == "first" else [b"2", text]
    before = published(bundle)
    with hostile(real, answering(COUNTS, [row])) as server:
        answer = run_against(server, real, bundle.dump_script)
    assert_stopped(answer, mark, "did not answer with two numbers")
    assert published(bundle) == before


def test_a_long_answer_is_cut_short(bundles: tuple[Pair, Path], bundle: Bundle, mark: Path) -> None:
    real = bundles[0].source
    with hostile(real, answering(COUNTS, [[b"9" * 60_000, b"1"]])) as server:
        answer = run_against(server, real, bundle.dump_script)
    assert_stopped(answer, mark, "two numbers but with: 9999")
    assert len(answer.stderr) < 2000


def at(position: str, mark: Path) -> Callable[[str], Answer]:
    """Shell code, each time in another form, as every value of the answer to questions of that kind."""
    forms = itertools.cycle(code(mark))

    def answer(sql: str) -> Answer:
        if not re.search(position, sql, re.DOTALL) or sql.startswith(("SET", "/*", "USE", "UNLOCK", "START")):
            return None
        return [[next(forms)] * (2 if re.search(COUNTS, sql) else 1)]

    return answer


@pytest.mark.parametrize(
    "position",
    [
        "",
        "VERSION",
        "DEFAULT_CHARACTER_SET_NAME",
        "COALESCE",
        "end of",
        "scratch|information_schema",
        "^SHOW",
        "^SELECT /",
    ],
)
@pytest.mark.parametrize("name", ["bundle", "keys"])
def test_shell_code_anywhere_does_not_run_in_a_dump(
    bundles: tuple[Pair, Path], tmp_path: Path, mark: Path, name: str, position: str
) -> None:
    real = bundles[0].source
    bundle = Bundle(shutil.copytree(bundles[1] / name, tmp_path / "bundle"))
    before = published(bundle)
    with hostile(real, at(position, mark)) as server:
        answer = run_against(server, real, bundle.dump_script)
    assert not mark.exists()
    assert not list(bundle.folder.glob(".dump.*"))
    if answer.returncode == 0:
        # Only what is for people, or what is written down, can be anything.
        assert position in ("VERSION", "^SHOW", "end of", "^SELECT /")
    else:
        assert_stopped(answer, mark)
        assert published(bundle) == before


@pytest.mark.parametrize("options", [(), ("--mode", "rename", "x_"), ("--mode", "append")], ids=" ".join)
@pytest.mark.parametrize("position", ["", "VERSION", "COLLATE", "information_schema", "COUNT", "checked"])
def test_shell_code_anywhere_does_not_run_in_a_restore(
    bundles: tuple[Pair, Path], bundle: Bundle, mark: Path, options: tuple[str, ...], position: str
) -> None:
    real = bundles[0].copy
    drop_schemas(real)
    with hostile(real, at(position, mark)) as server:
        answer = run_against(server, real, bundle.publish / "restore.sh", *options)
    assert not mark.exists()
    if answer.returncode == 0:
        assert position in ("VERSION", "COLLATE")
    else:
        assert_stopped(answer, mark)
    drop_schemas(real)


@pytest.mark.parametrize("position", ["", COUNTS, "^SHOW", "^SELECT", "^LOAD|^LOCK", "VERSION"])
def test_the_server_gets_no_file(bundles: tuple[Pair, Path], bundle: Bundle, mark: Path, position: str) -> None:
    """A server may answer any statement by asking for a file."""
    real, secret = bundles[0].source, mark.with_name("secret")
    secret.write_text("private")
    login = real.defaults_file()
    before = login.read_text()
    with hostile(real, answering(position, str(secret))) as server:
        dumped = run_against(server, real, bundle.dump_script)
        loaded = run_against(server, real, bundle.publish / "restore.sh")
        assert server.stolen == []
    assert login.read_text() == before
    assert "private" not in dumped.stdout + dumped.stderr + loaded.stdout + loaded.stderr


def with_slice(bundle: Bundle, text: str) -> None:
    """Puts a text of somebody else's at the end of slice.sql, with a checksum that fits."""
    path, manifest = bundle.publish / "slice.sql", bundle.publish / "manifest.json"
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(path.read_text() + text)
    manifest.write_text(manifest.read_text().replace(old, hashlib.sha256(path.read_bytes()).hexdigest()))


MODES = [(), ("--mode", "rename", "x_"), ("--mode", "append")]


@pytest.mark.parametrize("options", MODES, ids=" ".join)
def test_a_strangers_slice_reads_no_file_of_who_loads_it(
    bundles: tuple[Pair, Path], bundle: Bundle, mark: Path, options: tuple[str, ...]
) -> None:
    copy = bundles[0].copy
    drop_schemas(copy)
    secret = mark.with_name("secret")
    secret.write_text("private\n")
    with_slice(
        bundle,
        "CREATE DATABASE stolen; CREATE TABLE stolen.t (a text);\n"
        f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE stolen.t;\n",
    )
    answer = call(bundle.publish / "restore.sh", tools(copy), *options)
    assert_stopped(answer, mark, "the load stopped")
    assert fetch(copy, "SELECT * FROM stolen.t") == []
    drop_schemas(copy)


#: Commands of the client programs, in their long and short forms, in place of a statement and within one.
COMMANDS = (
    *(
        "\\! {}",
        "system {}",
        "\\! {};",
        "SELECT 1; \\! {}",
        "SELECT 1 \\! {}",
        "source {}.sql",
        "\\. {}.sql",
        "pager {}",
    ),
    *("\\P {}\nSELECT 1;", "tee {}", "\\T {}", "delimiter \\!\n\\! {}", "\\- \n\\! {}"),
)


@pytest.mark.parametrize(
    ("options", "command"), [*(((), command) for command in COMMANDS), *((mode, COMMANDS[0]) for mode in MODES[1:])]
)
def test_a_strangers_slice_runs_no_command(
    bundles: tuple[Pair, Path], bundle: Bundle, mark: Path, options: tuple[str, ...], command: str
) -> None:
    copy = bundles[0].copy
    drop_schemas(copy)
    what = str(mark) if command.startswith(("tee", "\\T")) else f"touch {mark}"
    mark.with_name("ran.sql").write_text(f"\\! touch {mark}\n")
    for text in (f"\n{command.format(what)}\n", f"\n/* x */ {command.format(what)}\n;\n"):
        with_slice(bundle, text)
        call(bundle.publish / "restore.sh", tools(copy), *options)
        assert not mark.exists()
        drop_schemas(copy)


@pytest.mark.parametrize("options", MODES, ids=" ".join)
def test_collations_of_a_strangers_slice_are_no_program(
    bundles: tuple[Pair, Path], bundle: Bundle, mark: Path, options: tuple[str, ...]
) -> None:
    copy = bundles[0].copy
    drop_schemas(copy)
    path = bundle.publish / "slice.sql"
    hostile_names = [
        f"utf8mb4_0900_x/e;s/.*/touch {mark}/e",
        f"utf8mb4_0900_x\nw {mark}",
        f"utf8mb4_$(touch {mark})",
        f"x'; SELECT '{mark}",
        "\0utf8mb4_a_b",
    ]
    lines = "".join(f"-- COLLATE={name} collate {name}\n" for name in hostile_names)
    text = path.read_text().replace("-- begin `structure`\n", f"-- begin `structure`\n{lines}")
    old = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_text(text)
    manifest = bundle.publish / "manifest.json"
    manifest.write_text(manifest.read_text().replace(old, hashlib.sha256(path.read_bytes()).hexdigest()))
    call(bundle.publish / "restore.sh", tools(copy), *options)
    assert not mark.exists()
    drop_schemas(copy)


@pytest.mark.parametrize(
    "checksum", ["x[$(touch {})]", "$(touch {})", '"; touch {}; "', '0\n    "slice.sql.zst": "1', "*", "-x"]
)
def test_a_strangers_manifest_is_only_compared(
    bundles: tuple[Pair, Path], bundle: Bundle, mark: Path, checksum: str
) -> None:
    manifest = bundle.publish / "manifest.json"
    found = json.loads(manifest.read_text())["files"]["slice.sql"]
    manifest.write_text(manifest.read_text().replace(found, checksum.format(mark)))
    answer = call(bundle.publish / "restore.sh", tools(bundles[0].copy))
    assert_stopped(answer, mark)


@pytest.mark.parametrize("name", ["a\n[mydumper]\nexec=touch x\n#", "a\\b", "a\rb", "a\tb", "a\x1bb"])
def test_column_names_are_no_options_of_mydumper(bundles: tuple[Pair, Path], tmp_path: Path, name: str) -> None:
    """Its configuration may name a command to be run."""
    source = bundles[0].source
    quoted = name.replace("`", "``")
    try:
        source.execute(
            "CREATE DATABASE odd",
            f"CREATE TABLE odd.t (`{quoted}` INT PRIMARY KEY)",
            "INSERT INTO odd.t VALUES (1), (2)",
        )
        slice_, _ = take(source, {TableName("odd", "t"): f"`{quoted}` = 1"})
        with pytest.raises(InputError, match="mydumper cannot be told of table odd"):
            write_bundle(tmp_path / "odd", slice_, [], META, beside=Beside(engine=Engine.MYDUMPER))
    finally:
        source.execute("DROP DATABASE odd")
