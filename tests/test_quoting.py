"""Quoting, read back by real servers and by a real bash."""

from __future__ import annotations

import subprocess
from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.private_server import PrivateServer
from graph import quoting
from graph.documents import Judged, queries
from graph.errors import InputError
from graph.names import TableName
from graph.statement import Session, Statement, StatementClass
from tests.hidden import DANGEROUS, TAG, assert_harmless

HOSTILE = [
    "",
    " ",
    "a",
    "it's",
    "''",
    'say "hi"',
    "back\\slash",
    "\\",
    "\\'",
    "'\\",
    "line\nline",
    "tab\tcr\rnul\0sub\x1aesc\x1bdel\x7f",
    "\0",
    "\x1a",
    "$HOME `id` $(id) ${x} !! %s %% %",
    "a AND b OR 1=1; -- # /* */",
    "smile \U0001f642 family \U0001f468‍\U0001f469",
    "café ÿ  \u2028 \u202e\ufeff\x85",
    "~ * ? [a] {a,b} < > | & ; ( )",
    "trailing space ",
    "-rf",
    "\U0010ffff\ue000",
]
MODES = ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT"]


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("", "''"),
        ("abc", "'abc'"),
        ("it's", "'it''s'"),
        ('"é"', "'\"é\"'"),
        ("a\\b", "_utf8mb4 x'615C62'"),
        ("a\nb", "_utf8mb4 x'610A62'"),
        ("\x1a", "_utf8mb4 x'1A'"),
        ("\0", "_utf8mb4 x'00'"),
        ("\u202e", "_utf8mb4 x'E280AE'"),
    ],
)
def test_string_literal(text: str, sql: str) -> None:
    assert quoting.string_literal(text) == sql


def test_bytes_literal() -> None:
    assert quoting.bytes_literal(b"") == "x''"
    assert quoting.bytes_literal(b"\0'\xff") == "x'0027FF'"


def test_identifier() -> None:
    assert quoting.identifier("a`b") == "`a``b`"
    assert quoting.table(TableName("my schema", "#t")) == "`my schema`.`#t`"
    for impossible in ("", "a\0b"):
        with pytest.raises(InputError):
            quoting.identifier(impossible)


@pytest.mark.parametrize("mode", MODES)
def test_servers_read_back_what_was_written(server: PrivateServer, mode: str) -> None:
    texts = HOSTILE + ["".join(pair) for pair in product("'\\\"`%a\n\0", repeat=2)]
    with server.connect(charset="utf8mb4", sql_mode=mode) as connection, connection.cursor() as cursor:
        for text in texts:
            data = text.encode()
            cursor.execute(
                f"SELECT HEX({quoting.string_literal(text)}), CHARSET({quoting.string_literal(text)}),"
                f" HEX({quoting.bytes_literal(data)})"
            )
            assert cursor.fetchone() == (data.hex().upper(), "utf8mb4", data.hex().upper())


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(st.text(), min_size=20, max_size=40))
def test_any_text_is_read_back(server: PrivateServer, texts: list[str]) -> None:
    columns = ", ".join(f"HEX({quoting.string_literal(text)})" for text in texts)
    for mode in MODES[:2]:
        with server.connect(charset="utf8mb4", sql_mode=mode) as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT {columns}")
            assert cursor.fetchone() == tuple(text.encode().hex().upper() for text in texts)


@pytest.mark.parametrize("name", ["a`b", "a'b\"c", "#t~ é", "a b\\n", "x.y", "$a%s", "select"])
def test_servers_know_the_name(server: PrivateServer, database: str, name: str) -> None:
    table = quoting.table(TableName(database, name))
    server.execute(f"CREATE TABLE {table} ({quoting.identifier(name)} int)")
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema=%s", [database])
        assert cursor.fetchone() == (name,)
        cursor.execute("SELECT column_name FROM information_schema.columns WHERE table_schema=%s", [database])
        assert cursor.fetchone() == (name,)


def words_of_bash(words: list[str], locale: str) -> list[bytes]:
    script = f"printf '%s\\0' {' '.join(map(quoting.shell_word, words))}"
    answer = subprocess.run(
        ["bash", "--noprofile", "--norc"],
        input=script.encode(),
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": locale, "HOME": "/nowhere"},
    )
    return answer.stdout.split(b"\0")[:-1]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_bash_reads_back_what_was_written(locale: str) -> None:
    words = [text.replace("\0", "") for text in HOSTILE]
    words += [chr(code) for code in range(1, 0x250)]
    words += ["".join(pair) for pair in product("'\"\\$`!\n a", repeat=3)]
    assert words_of_bash(words, locale) == [word.encode() for word in words]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_bash_reads_back_any_text(words: list[str]) -> None:
    assert words_of_bash(words, "C.UTF-8") == [word.encode() for word in words]


hostile = st.text(
    st.one_of(st.sampled_from(DANGEROUS + TAG + "\\'\"`\n\t;-? é日"), st.characters(exclude_categories=["Cs"])),
    min_size=1,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(hostile, min_size=1, max_size=20), mode=st.sampled_from(["", "NO_BACKSLASH_ESCAPES"]))
def test_the_client_sends_the_recorded_text_from_the_file_of_queries(
    server: PrivateServer, texts: list[str], mode: str
) -> None:
    """Whatever characters it holds, and though the file shows none of those that cannot be seen."""
    plain = [text.replace("\0", "").replace("'", "''") for text in texts]
    written = [text if mode else text.replace("\\", "\\\\") for text in plain]
    session = Session(sql_mode=mode, charset="utf8mb4", variables={"v\x1b\u202e": "'\x1b'"})
    statements = [
        Judged(Statement(number, f"SELECT HEX('{text}'), {number} /* \x1b */", session), StatementClass.DATA, "")
        for number, text in enumerate(written)
    ]
    file = queries(statements, frozenset({StatementClass.DATA}))
    assert_harmless(file)
    answer = subprocess.run(
        [server.tools.client, f"--defaults-file={server.defaults_file()}", "--batch", "--skip-column-names"],
        input=file.encode(),
        capture_output=True,
        check=True,
    )
    found = [line.split("\t")[0] for line in answer.stdout.decode().splitlines()]
    assert found == [text.replace("''", "'").encode().hex().upper() for text in plain]


def test_a_word_shows_what_cannot_be_seen() -> None:
    assert quoting.shell_word("`k\x1b[31m'\\`") == "$'`k\\033[31m\\'\\\\`'"
    assert quoting.shell_word("\u202eé\n") == "$'\\342\\200\\256é\n'"


def test_a_plain_word_stays_readable() -> None:
    assert quoting.shell_word("--where=a.b/c") == "--where=a.b/c"
    assert quoting.shell_word("it's") == "'it'\\''s'"
    with pytest.raises(InputError):
        quoting.shell_word("a\0b")
