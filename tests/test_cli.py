"""The command line: names, options, exit codes, messages."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymysql
import pytest
from click.testing import CliRunner

from examples.private_server import PrivateServer
from graph.leaves import Occurrence, Reading
from graph.names import TableName
from graph.statement import StatementClass
from proxy.cli import djproxy as group
from proxy.paths import Home, running
from proxy.recording import command_environment
from proxy.records import NewLost, NewStatement
from proxy.store import Store
from tests.harness import Djproxy, Recorder

NAMES = ["a paper", "../../etc/passwd", 'it\'s "quoted" `so`', "ünï/cødé 😀", "-x", "$(id)", "%s [bold]"]

QUERY = """
import os, sys, pymysql
host, _, port = os.environ["DJ_HOST"].rpartition(":")
connection = pymysql.connect(host=host, port=int(port), user="root", password=os.environ["SECRET"])
with connection.cursor() as cursor:
    for sql in sys.argv[2:]:
        cursor.execute(sql)
        print(cursor.fetchall())
connection.close()
sys.exit(int(sys.argv[1]))
"""


def query(server: PrivateServer, recorder: Recorder, *statements: str) -> None:
    """Statements through a proxy, on a connection of their own."""
    with pymysql.connect(host=recorder.host, port=recorder.port, user="root", password=server.password) as connection:
        for sql in statements:
            with connection.cursor() as cursor:
                cursor.execute(sql)


@contextmanager
def filled(home: Path, paper: str = "P") -> Iterator[Store]:
    """A store with one statement of each kind."""
    reading = Reading("SELECT", StatementClass.DATA, "", (Occurrence(TableName("lab", "t"), "`a` = '[red]'", "from"),))
    statements = [
        NewStatement(
            1, 1, "SELECT", "", 9, StatementClass.DATA, "", "SELECT * FROM t WHERE `a` = '[red]'", reading=reading
        ),
        NewStatement(1, 2, "CALL", "", 9, StatementClass.UNRESOLVED, "a stored \x1b[31mprocedure"),
    ]
    with Store(Home(home).create().store) as store:
        store.add("j", (paper, "main", "db:3306", 1), statements, [NewLost(0, 3, "the disk was full")], (None, 9))
        yield store


# -- list, show, forget


@pytest.mark.parametrize("paper", NAMES)
def test_list_and_show(djproxy: Djproxy, paper: str) -> None:
    with filled(djproxy.home, paper):
        pass
    assert paper in djproxy.call("list").stdout
    (listed,) = djproxy.call("list", "--json").json()["papers"]
    assert listed["paper"] == paper
    assert listed["analyses"][0]["classes"]["unresolved"] == 1
    shown = djproxy.call("show", f"--paper={paper}").stdout
    assert paper in shown
    document = djproxy.call("show", f"--paper={paper}", "--json").json()
    assert (document["paper"], document["classes"]["data"]) == (paper, 1)
    assert document["tables"] == [
        {
            "schema": "lab",
            "table": "t",
            "role": "from",
            "restriction": "`a` = '[red]'",
            "class": "data",
            "statements": 1,
        }
    ]
    assert djproxy.call("forget", f"--paper={paper}").stderr == f"djproxy: forgot 2 statements of paper {paper}\n"
    assert djproxy.call("list", "--json").json()["papers"] == []


def test_show_has_the_unresolved_at_the_top_and_obeys_no_text(djproxy: Djproxy) -> None:
    with filled(djproxy.home):
        pass
    lines = djproxy.call("show", "--paper", "P").stdout.splitlines()
    assert "LOST" in lines[0] and "the disk was full" in lines[0]
    assert "1 unresolved" in lines[1]
    assert "a stored" in lines[2] and "\x1b" not in lines[2]
    assert "CALL" in lines[3]
    assert any("`a` = '[red]'" in line for line in lines[4:])


def test_forget_one_statement(djproxy: Djproxy) -> None:
    with filled(djproxy.home) as store:
        first, second = (each.statement.id for each in store.load("P"))
    djproxy.call("forget", "--paper", "P", "--statement", str(first))
    assert [each.statement.id for each in djproxy.recorded("P")] == [second]
    assert "has no statement" in djproxy.call("forget", "--paper", "P", "--statement", str(first), status=2).stderr


@pytest.mark.parametrize("command", ["show", "forget"])
def test_an_unknown_paper_is_refused_with_the_known_ones(djproxy: Djproxy, command: str) -> None:
    with filled(djproxy.home):
        pass
    answer = djproxy.call(command, "--paper", "Q", status=2)
    assert answer.stderr.startswith("djproxy: ") and "'P'" in answer.stderr
    assert "'main'" in djproxy.call(command, "--paper", "P", "--analysis", "x", status=2).stderr
    assert len(djproxy.recorded("P")) == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"],
        ["show"],
        ["show", "--paper", ""],
        ["show", "--paper", "a\nb"],
        ["list", "--nope"],
        ["record", "--paper", "P", "--server", "db:x"],
        ["record", "--paper", "P", "--listen", "x:99999"],
        ["record", "--paper", "P", "--tls-cert", "/x"],
        ["record", "--paper", "P", "--tls-cert", "/x", "--tls-key", "/y"],
        ["record", "--paper", "P", "--", "no-such-command-here"],
        ["record", "--paper", " "],
        ["forget", "--paper", "P", "--statement", "x"],
    ],
)
def test_wrong_usage(djproxy: Djproxy, arguments: list[str]) -> None:
    answer = djproxy.call(*arguments, status=2)
    assert answer.stderr and "Traceback" not in answer.stderr


def test_help_names_every_command() -> None:
    text = CliRunner().invoke(group, ["--help"]).output
    for name in ("record", "list", "show", "forget", "export", "verify"):
        assert f"\n  {name} " in text


def test_a_home_that_cannot_be_made(djproxy: Djproxy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = djproxy.call("--home", tmp_path / "file" / "home", "list", status=2)
    assert "DJPROXY_HOME" in answer.stderr


def test_a_home_of_a_user_who_does_not_exist(djproxy: Djproxy) -> None:
    answer = djproxy.call("--home", "~no-such-user/recordings", "list", status=2)
    assert "~no-such-user/recordings" in answer.stderr


def test_a_folder_with_other_files_does_not_become_a_home(djproxy: Djproxy) -> None:
    djproxy.home.mkdir(mode=0o755)
    (djproxy.home / "thesis.tex").write_text("mine")
    assert "another" in djproxy.call("list", status=2).stderr
    assert [path.name for path in djproxy.home.iterdir()] == ["thesis.tex"]
    assert djproxy.home.stat().st_mode & 0o777 == 0o755


def test_the_home_is_private(djproxy: Djproxy) -> None:
    djproxy.home.mkdir(mode=0o755)
    djproxy.call("list")
    for path in [djproxy.home, *djproxy.home.iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_damaged_store_is_said_and_left_alone(djproxy: Djproxy) -> None:
    djproxy.home.mkdir()
    (djproxy.home / "store.sqlite").write_bytes(b"damaged" * 1000)
    for arguments in (["list"], ["record", "--paper", "P"]):
        assert "nothing was changed" in djproxy.call(*arguments, status=2).stderr
    assert (djproxy.home / "store.sqlite").read_bytes() == b"damaged" * 1000


def test_a_damaged_journal_is_said_and_left_alone(djproxy: Djproxy) -> None:
    journal = Home(djproxy.home).create().journals / "1-x.journal"
    journal.write_bytes(b"damaged")
    assert str(journal) in djproxy.call("list", status=2).stderr
    assert journal.read_bytes() == b"damaged"


def test_who_reads_only_a_line_gets_no_complaint(djproxy: Djproxy) -> None:
    with filled(djproxy.home):
        pass
    command = f"{sys.executable} -m proxy.cli show --paper P | true"
    ran = subprocess.run(["bash", "-c", command], env=djproxy.environment(), capture_output=True, text=True)
    assert ran.stderr == ""


# -- record with a command


def test_a_command_is_recorded_and_its_status_passed_on(djproxy: Djproxy, server: PrivateServer, database: str) -> None:
    server.execute(f"CREATE TABLE `{database}`.t (a int primary key)", f"INSERT INTO `{database}`.t VALUES (1), (2)")
    answer = djproxy.run(
        *("record", "--paper", "P", "--server", f"{server.host}:{server.port}", "--"),
        *(sys.executable, "-c", QUERY, "7", f"SELECT * FROM `{database}`.t WHERE a = 2"),
        status=7,
        SECRET=server.password,
    )
    assert answer.stdout == "((2,),)\n"
    first, *others = answer.stderr.splitlines()
    assert first.startswith("djproxy: listening on 127.0.0.1:")
    assert first.endswith(f" -> {server.host}:{server.port}, recording paper P, analysis main")
    assert others == []
    data = [each for each in djproxy.recorded("P") if each.statement_class is StatementClass.DATA]
    assert [each.statement.sql for each in data] == [f"SELECT * FROM `{database}`.t WHERE a = 2"]
    (shown,) = djproxy.call("show", "--paper", "P", "--json").json()["tables"]
    assert (shown["schema"], shown["table"], shown["restriction"]) == (database, "t", "a = 2")


def test_a_command_that_never_comes_is_warned_about(djproxy: Djproxy, server: PrivateServer) -> None:
    address = f"{server.host}:{server.port}"
    answer = djproxy.run("record", "--paper", "P", "--server", address, "--", "sh", "-c", "exit 3", status=3)
    assert "NOTHING WAS RECORDED" in answer.stderr
    assert djproxy.run("record", "--paper", "P", "--server", address, "--", "sh", "-c", "kill -9 $$", status=137)


def test_the_environment_of_a_command() -> None:
    assert command_environment({"A": "1", "DJ_HOST": "other"}, "127.0.0.1", 33) == {
        "A": "1",
        "DJ_HOST": "127.0.0.1:33",
        "DJ_PORT": "33",
        "MYSQL_HOST": "127.0.0.1",
        "MYSQL_TCP_PORT": "33",
    }


def test_sigterm_goes_on_to_the_command(djproxy: Djproxy, server: PrivateServer) -> None:
    process = subprocess.Popen(
        [*djproxy.command, "record", "--paper", "P", "--server", f"{server.host}:{server.port}", "--", "sleep", "1000"],
        env=djproxy.environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    process.stderr.readline()
    process.terminate()
    process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 143


# -- record that serves


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_serving_proxy_ends_with_0(djproxy: Djproxy, server: PrivateServer, number: signal.Signals) -> None:
    with djproxy.recording("P", server, stop=False) as recorder:
        query(server, recorder, "SELECT 1")
        assert [proxy.port for proxy in running(Home(djproxy.home))] == [recorder.port]
        recorder.process.send_signal(number)
        assert recorder.process.wait(timeout=30) == 0
    assert running(Home(djproxy.home)) == []
    assert [each.statement.sql for each in djproxy.recorded("P")][-1] == "SELECT 1"


def test_kill_9_in_a_stream_loses_nothing_that_was_answered(djproxy: Djproxy, server: PrivateServer) -> None:
    answered: list[int] = []
    with djproxy.recording("P", server, stop=False) as recorder:

        def stream() -> None:
            with pymysql.connect(
                host=recorder.host, port=recorder.port, user="root", password=server.password
            ) as connection:
                for number in range(1_000_000):
                    with connection.cursor() as cursor:
                        try:
                            cursor.execute(f"SELECT {number}")
                        except pymysql.err.OperationalError:
                            return
                    answered.append(number)

        client = threading.Thread(target=stream)
        client.start()
        while len(answered) < 500:
            client.join(0.01)
        recorder.kill()
        client.join()
    got = [each.statement.sql for each in djproxy.recorded("P") if each.statement.sql.startswith("SELECT ")]
    assert got[: len(answered)] == [f"SELECT {number}" for number in answered]
    assert len(got) <= len(answered) + 1


def test_two_recordings_at_once_and_recording_on(djproxy: Djproxy, server: PrivateServer) -> None:
    with djproxy.recording("A", server) as first, djproxy.recording("B", server) as second:
        query(server, first, "SELECT 'a1'")
        query(server, second, "SELECT 'b1'")
        assert "being recorded now" in djproxy.call("forget", "--paper", "A", status=2).stderr
    with djproxy.recording("A", server) as third:
        query(server, third, "SELECT 'a2'")
    with djproxy.recording("A", server, "--analysis", "other") as fourth:
        query(server, fourth, "SELECT 'a3'")

    def recorded(paper: str, analysis: str | None = None) -> list[str]:
        return [each.statement.sql for each in djproxy.recorded(paper, analysis) if "'" in each.statement.sql]

    assert recorded("A", "main") == ["SELECT 'a1'", "SELECT 'a2'"]
    assert recorded("A", "other") == ["SELECT 'a3'"]
    assert recorded("B") == ["SELECT 'b1'"]


def test_a_port_in_use(djproxy: Djproxy, server: PrivateServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server_option = f"{server.host}:{server.port}"
        answer = djproxy.run("record", "--paper", "P", "--server", server_option, "--listen", address, status=2)
    assert "in use" in answer.stderr
    assert list(Home(djproxy.home).journals.iterdir()) == []
    assert djproxy.call("list", "--json").json()["papers"] == []


def test_a_server_that_cannot_be_reached(djproxy: Djproxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        port = bound.getsockname()[1]
    assert (
        "cannot be reached" in djproxy.run("record", "--paper", "P", "--server", f"127.0.0.1:{port}", status=3).stderr
    )
    assert "not known" in djproxy.run("record", "--paper", "P", "--server", "no-such-host.invalid", status=3).stderr


def test_a_djproxy_is_refused_as_server(djproxy: Djproxy, server: PrivateServer, tmp_path: Path) -> None:
    with djproxy.recording("P", server) as recorder:
        for host in ("127.0.0.1", "localhost", "127.1"):
            answer = djproxy.run("record", "--paper", "Q", "--server", f"{host}:{recorder.port}", status=2)
            assert "itself a djproxy" in answer.stderr
        assert (
            "itself a djproxy"
            in djproxy.run("record", "--paper", "Q", DJ_HOST=f"{recorder.host}:{recorder.port}", status=2).stderr
        )
        elsewhere = Djproxy(tmp_path / "another home")
        answer = elsewhere.run("record", "--paper", "Q", "--server", f"127.0.0.1:{recorder.port}", status=2)
        assert "itself a djproxy" in answer.stderr


def test_json_is_one_document(djproxy: Djproxy) -> None:
    with filled(djproxy.home):
        pass
    for arguments in (["list"], ["show", "--paper", "P"]):
        answer = djproxy.run(*arguments, "--json")
        assert json.loads(answer.stdout)["format"] == 1
        assert answer.stderr == ""
