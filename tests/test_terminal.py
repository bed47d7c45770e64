"""What the command prints, on whichever way, reaches the terminal as text only."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import click
import pytest

from examples.private_server import PrivateServer
from graph.errors import ScriptError
from graph.leaves import Occurrence, Reading
from graph.names import TableName
from graph.statement import StatementClass
from proxy import terminal
from proxy.events import Executed
from proxy.page import Column, Page, Progress, Styled
from proxy.paths import Home
from proxy.records import NewLost, NewStatement
from proxy.sink import GuardedSink
from proxy.store import Store
from tests.harness import ROOT, Djproxy
from tests.hidden import DANGEROUS, assert_harmless

MARKUP = "[red]x[/red] [link=https://a.example]y[/link] :mouse: [/]"


def fill(home: Path) -> None:
    """A store with hostile names, texts and reasons, as recordings of other versions and servers may have left it."""
    uses = (
        Occurrence(TableName(f"s{DANGEROUS}", f"t{DANGEROUS}"), f"`a` = '{DANGEROUS}'", "from"),
        Occurrence(TableName("s", "whole"), "", "from"),
    )
    reading = Reading("SELECT", StatementClass.DATA, "", uses)
    kinds = (StatementClass.DATA, StatementClass.UNRESOLVED)
    statements = [
        NewStatement(1, number, "SELECT", "", 9, kind, f"why {DANGEROUS}", f"SELECT '{DANGEROUS}'", reading=reading)
        for number, kind in enumerate(kinds, 1)
    ]
    with Store(Home(home).create().store) as store:
        names = (f"p {MARKUP}", f"a{DANGEROUS}", f"db{DANGEROUS}:3306", 1)
        store.add("j", names, statements, [NewLost(0, 3, f"lost {DANGEROUS}")], (None, 9))


def test_messages_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(f"table {DANGEROUS}\ndjproxy: all is well")
    err = capsys.readouterr().err
    assert_harmless(err)
    assert err.count("\n") == 1 and "\\ndjproxy: all is well" in err


def test_documents_parse_to_what_was_given(djproxy: Djproxy, capsys: pytest.CaptureFixture[str]) -> None:
    terminal.document({"ä": DANGEROUS, "bytes": "\udc9b"})
    out = capsys.readouterr().out
    assert_harmless(out)
    assert "ä" in out
    assert terminal.json_text({"ä": DANGEROUS, "bytes": "\udc9b"}) + "\n" == out


def test_pages_show_markup_and_controls_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    page = Page()
    page.print(MARKUP, Styled(f" {DANGEROUS}", "bold red"))
    page.table([Column("a"), Column("b", folds=True)], [[MARKUP, DANGEROUS]])
    with Progress() as progress:
        progress._last = 0
        progress(MARKUP + DANGEROUS)
    output = capsys.readouterr()
    assert_harmless(output.out + output.err)
    assert output.out.count(MARKUP) == 2 and output.err.count(MARKUP) == 1


def test_logs_and_tracebacks_of_others_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.guarded():
        handler = logging.StreamHandler()
        handler.emit(logging.makeLogRecord({"msg": DANGEROUS}))
        try:
            raise ValueError(DANGEROUS)
        except ValueError:
            terminal.crash()
        click.echo(DANGEROUS)
        sys.stderr.writelines([DANGEROUS])
    output = capsys.readouterr()
    assert_harmless(output.out + output.err)
    assert output.err.count("\\x1b[31m") == 3 and output.out.count("\\u202e") == 1


def test_a_text_that_the_terminal_cannot_show_is_written_out() -> None:
    raw = io.BytesIO()
    narrow = io.TextIOWrapper(raw, encoding="latin-1")
    with contextlib.redirect_stdout(narrow):
        terminal.document("日本 ä")
    assert raw.getvalue().decode("latin-1") == '"\\u65e5\\u672c ä"\n'


def test_a_scripts_last_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    error = ScriptError("dump.sh stopped:", ["one\x1b[2J", "two"])
    terminal.say_lines(error.message, error.lines)
    assert capsys.readouterr().err == "djproxy: dump.sh stopped:\none\\x1b[2J\ntwo\n"


def test_a_sink_that_fails_complains_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    class Full:
        def write(self, events: list[object]) -> None:
            raise OSError(f"disk {DANGEROUS}\n full")

    GuardedSink(Full()).write([Executed(1, b"SELECT 1", (), 0)])
    err = capsys.readouterr().err
    assert_harmless(err)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [f"unknown{DANGEROUS}"],
        [f"--unknown{DANGEROUS}"],
        ["show", "--paper", DANGEROUS],
        ["show", "--paper", f"p {MARKUP}"],
        ["show", "--paper", "p", "--exclude", DANGEROUS],
        ["export", "--paper", "p", "--include", DANGEROUS],
        ["export", "--paper", "p", "--defaults-file", f"/nowhere/{DANGEROUS}"],
        ["export", "--paper", "p", "--within", DANGEROUS],
        ["export", "--paper", "p", "--parts", DANGEROUS],
        ["record", "--paper", "p", "--server", f"h{DANGEROUS}", "--", "true"],
        ["record", "--paper", "p", "--listen", DANGEROUS, "--", "true"],
        ["record", "--paper", "p", "--", f"/nowhere/{DANGEROUS}"],
        ["record", "--paper", "p", "--tls-cert", DANGEROUS, "--tls-key", DANGEROUS],
        ["verify", "--paper", "p", "--restored", "h", "--bundle", DANGEROUS],
        ["files", "--paper", "p", "--copy-to", DANGEROUS, "--bundle", DANGEROUS],
        ["--home", f"/proc/{DANGEROUS}", "list"],
        ["forget", "--paper", "p", "--statement", DANGEROUS],
    ],
)
def test_arguments_in_messages_are_shown(djproxy: Djproxy, arguments: list[str]) -> None:
    answer = djproxy.call(*arguments, status=None)
    assert answer.status != 0
    assert_harmless(answer.stdout + answer.stderr)
    assert answer.stderr


def test_files_that_people_give_are_quoted_harmlessly(djproxy: Djproxy, server: PrivateServer, tmp_path: Path) -> None:
    """Plans, option files and bundles that hold such characters, and DataJoint's settings."""
    djproxy.record("p", server, "SELECT 1")
    plan = tmp_path / "plan.yaml"
    for text in (f"a: [{DANGEROUS}", 'version: 1\npaper: "\\e[31m"\n', 'version: 1\npaper: p\n"\\e]0;x\\a": 1\n'):
        plan.write_text(text)
        assert_harmless(djproxy.call("export", "--paper", "p", "--use-plan", plan, status=2).stderr)
    options = tmp_path / "options.cnf"
    for text in (f"[client]\nhost={DANGEROUS}\nuser=a{DANGEROUS}\npassword=x\n", f"[client\n{DANGEROUS}"):
        options.write_text(text, newline="")
        answer = djproxy.call("export", "--paper", "p", "--defaults-file", options, status=None)
        assert_harmless(answer.stdout + answer.stderr)
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "review.json").write_text('{"format": "djproxy bundle", "format_version": 1, "paper": "\\u001b[2J"}')
    answer = djproxy.call("verify", "--paper", "p", "--restored", "h", "--bundle", bundle, status=2)
    assert_harmless(answer.stderr)
    (bundle / f"x{DANGEROUS.replace('/', '')}").write_text("")
    assert_harmless(djproxy.call("export", "--paper", "p", "--out", bundle, status=None).stderr)


def test_a_recorded_command_prints_as_it_likes(djproxy: Djproxy, server: PrivateServer) -> None:
    code = r"import sys; sys.stdout.write('\x1b[31mout'); sys.stderr.write('\x1b[31merr')"
    options = ("record", "--paper", "p", "--server", f"{server.host}:{server.port}")
    answer = djproxy.run(*options, "--", sys.executable, "-c", code)
    assert answer.stdout == "\x1b[31mout" and "\x1b[31merr" in answer.stderr


@pytest.mark.parametrize("command", ["list", "show", "forget"])
def test_stored_names_texts_and_reasons_are_shown(djproxy: Djproxy, command: str) -> None:
    fill(djproxy.home)
    options = [] if command == "list" else ["--paper", f"p {MARKUP}"]
    documents = [] if command == "forget" else [djproxy.call(command, *options, "--json")]
    pages = [djproxy.call(command, *options)]
    for answer in documents + pages:
        assert_harmless(answer.stdout + answer.stderr)
        assert "[red]x[/red]" in answer.stdout + answer.stderr
    for answer in documents:
        assert json.dumps(DANGEROUS)[1:-1] in json.dumps(answer.json())


def test_on_a_terminal_too_only_our_own_sequences_are_sent(djproxy: Djproxy) -> None:
    fill(djproxy.home)
    own, other = pty.openpty()
    command = [*djproxy.command, "show", "--paper", f"p {MARKUP}"]
    process = subprocess.Popen(
        command, env=djproxy.environment(TERM="xterm"), cwd=ROOT, stdin=other, stdout=other, stderr=other
    )
    os.close(other)
    output = b""
    with contextlib.suppress(OSError):
        while data := os.read(own, 65536):
            output += data
    assert process.wait() == 0
    text = output.decode().replace("\r\n", "\n").replace("\x1b[1;31m", "").replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "unresolved" in text
    assert_harmless(text)
