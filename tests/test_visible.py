"""Hidden characters are written out, all else is left alone; bash, JSON, YAML and files.tsv read the same text back."""

from __future__ import annotations

import json
import subprocess
import unicodedata

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, PackageLoader

from graph.bash import Heredoc
from graph.plan_file import _dump
from graph.quoting import shell_word
from graph.visible import byte_patterns, escaped, flat, hides, json_text, unescaped, visible, visible_lines
from tests.hidden import DANGEROUS, TAG, dangerous

ORDINARY = [
    "ä é ÿ",
    "日本",
    "🐭",
    "👩‍🔬",
    "👁️‍🗨️",
    "1️⃣",
    "e\u0301",
    "葛\U000e0100城",
    "a\u00a0b",
    "\ue000",
    "[red]x[/red] \\x1b",
]
#: Joiners and selectors depend on their neighbours; the scripts' filter does not know these.
CONTEXTUAL = "\u200d\u034f\u180b\u180c\u180d\u180f" + "".join(map(chr, range(0xFE00, 0xFE10)))

hostile = st.text(
    st.one_of(
        st.sampled_from(DANGEROUS + TAG + "\\'\"`\n\t$ux01\ud800\udc9b"), st.characters(blacklist_characters="\0")
    )
)
#: Texts that can be bytes: what is no UTF-8 is kept by `surrogateescape`.
bytes_ = st.one_of(
    st.text(st.one_of(st.sampled_from(DANGEROUS + TAG + "\\'\n\t$`"), st.characters(blacklist_categories=["Cs"]))),
    st.binary().map(lambda data: data.decode("utf-8", "surrogateescape")),
).map(lambda text: text.replace("\0", ""))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\rb\x08\x7f", "a\\x0db\\x08\\x7f"),
        ("\u202egnp", "\\u202egnp"),
        ("\x9b\u0085", "\\u009b\\u0085"),
        ("\udc9b", "\\x9b"),
        ("\ud800", "\\ud800"),
        (TAG, "\\U000e0041"),
        ("one\ntwo\tthree", "one\\ntwo\\tthree"),
        ("a\u200db \u2764a\ufe0f", "a\\u200db \u2764a\\ufe0f"),
        ("\u3164", "\\u3164"),
    ],
)
def test_a_hidden_character_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert visible(text) == visible_lines(text) == text
    assert not hides(text)
    assert escaped(text) == text or "\\x1b" in text


def test_every_control_format_and_separator_of_unicode_is_hidden() -> None:
    shown = [chr(point) for point in range(0x110000) if dangerous(chr(point)) and not hides(f"a{chr(point)}b")]
    assert shown == []


@given(hostile)
def test_what_is_visible_holds_nothing_dangerous_and_stays_as_it_is(text: str) -> None:
    pictures = text.replace("\u200d", "")
    assert dangerous(visible(pictures)) == "" and "\n" not in visible(text)
    assert dangerous(visible_lines(pictures)) == ""
    for show in (visible, visible_lines, flat):
        assert show(show(text)) == show(text)


@given(hostile)
def test_a_text_without_line_breaks_is_the_same_in_one_line_and_in_several(text: str) -> None:
    line = text.replace("\n", "").replace("\t", "")
    assert visible(line) == visible_lines(line)
    assert hides(line) == (visible(line) != line)


@given(hostile)
def test_an_escaped_text_is_read_back(text: str) -> None:
    assert unescaped(escaped(text)) == text
    assert not hides(escaped(text))


@given(hostile, st.booleans())
def test_json_reads_back_and_hides_nothing(text: str, ascii_only: bool) -> None:
    written = json_text({text: [text]}, ascii_only=ascii_only)
    assert json.loads(written) == json.loads(json.dumps({text: [text]}))
    assert not hides(written)


@given(hostile)
def test_yaml_reads_back_and_hides_nothing(text: str) -> None:
    written = _dump({"a": [text], "b": {"c": text}})
    node = yaml.compose(written, Loader=yaml.SafeLoader)
    assert node.value[0][1].value[0].value == text
    assert not hides(written)


@settings(max_examples=60)
@given(bytes_, st.sampled_from(["C", "C.UTF-8"]))
def test_bash_reads_the_same_bytes_from_a_word_and_from_standard_input(text: str, locale: str) -> None:
    heredoc = Heredoc(text)
    take = "take() { IFS= read -r -d '' \"$1\" || true; printf -v \"$1\" '%s' \"${!1%$'\\n'}\"; }"
    lines = [
        f"printf '%s\\n' {shell_word(text)}",
        f"cat {heredoc.redirection}{heredoc.body}",
        take,
        f"take found {heredoc.redirection}{heredoc.body}",
        "printf '%s\\n' \"$found\"",
        "",
    ]
    script = "\n".join(lines)
    if hides(text):
        assert not hides(script)
    answer = subprocess.run(
        ["bash"],
        input=script.encode("utf-8", "surrogateescape"),
        capture_output=True,
        env={"LC_ALL": locale},
        check=True,
    )
    assert answer.stdout == 3 * (text.encode("utf-8", "surrogateescape") + b"\n")
    assert answer.stderr == b""


@pytest.fixture(scope="module")
def filter_() -> str:
    """The scripts' filter, as a script."""
    environment = Environment(loader=PackageLoader("graph", "templates"), trim_blocks=True, lstrip_blocks=True)
    text = environment.get_template("visible.sh.j2").render(hidden_bytes=byte_patterns())
    return f"set -euo pipefail\nexport LC_ALL=C\n{text}\nvisible\n"


def filtered(script: str, data: bytes) -> bytes:
    return subprocess.run(["bash", "-c", script], input=data, capture_output=True, check=True).stdout


def test_the_scripts_filter_writes_out_every_hidden_character_as_we_do(filter_: str) -> None:
    points = (chr(point) for point in range(1, 0x110000) if not 0xD800 <= point <= 0xDFFF)
    text = "x".join(each for each in points if hides(f"a{each}b") and each not in CONTEXTUAL and each < "\U000e0100")
    assert len(text) > 500
    assert filtered(filter_, text.encode()).decode() == visible_lines(text) + "\n"


def test_the_scripts_filter_takes_lines_of_any_length(filter_: str) -> None:
    lines = ["é日\x1b\u202e" * 60, "x" * 5000, "", "日" * 100_000]
    first, *others, long = filtered(filter_, "\n".join(lines).encode()).decode(errors="replace").splitlines()
    assert [first, *others] == [visible(line) for line in lines[:-1]]
    assert long.startswith("日" * 6000) and len(long) < 8000


@settings(max_examples=60)
@given(st.binary())
def test_the_scripts_filter_makes_any_bytes_harmless(filter_: str, data: bytes) -> None:
    found = filtered(filter_, data).decode("utf-8")
    assert dangerous(found) == ""


@settings(max_examples=60)
@given(st.text(st.characters(blacklist_categories=["Cc", "Cf", "Cs", "Zl", "Zp"])))
def test_the_scripts_filter_leaves_ordinary_text_alone(filter_: str, text: str) -> None:
    plain = "".join(each for each in text if unicodedata.category(each) != "Cn" and not hides(f"a{each}b"))
    assert filtered(filter_, plain.encode()).decode() == (plain + "\n" if plain else "")
