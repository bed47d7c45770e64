"""PyMySQL's own suite, direct and through a recording proxy; and that a difference would be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.private_server import PrivateServer
from tests.compat.outcomes import PASSED, SKIPPED, compare, failed, from_junit
from tests.compat.runs import run
from tests.compat.sources import Folder, Package, SourceError
from tests.compat.suites import Suite, node_tests, run_pymysql

#: The last source package that holds the whole suite; later ones hold the tests of authentication alone.
WHOLE = Package("PyMySQL", "0.10.1")
AUTHENTICATION = Package("PyMySQL", "1.2.4")
LEAST_PASSED = {WHOLE: 150, AUTHENTICATION: 8}

JUNIT = """<testsuites><testsuite>
<testcase classname="a" name="passes"/>
<testcase classname="a" name="skips"><skipped message="no socket"/></testcase>
<testcase classname="a" name="fails"><failure message="Error: (1045, 'no, 127.0.0.1:40123')&#10;more"/></testcase>
<testcase classname="a" name="breaks"/><testcase classname="a" name="breaks"><error message="after it"/></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize("package", LEAST_PASSED, ids=lambda package: f"{package.name}-{package.version}")
def test_pymysqls_suite_has_the_same_outcomes(package: Package, server: PrivateServer, tmp_path: Path) -> None:
    if package is AUTHENTICATION and server.flavour != "mysql":
        pytest.skip("its tests of authentication are of MySQL's methods")
    suite = Suite("pymysql", package.version, package, run_pymysql)
    ran = run(suite, package.fetch(tmp_path / "source"), server.flavour, rounds=1)
    assert ran.comparison.different == {}
    assert ran.comparison.passed >= LEAST_PASSED[package]
    assert ran.lost == ()
    if package is WHOLE:
        assert ran.statements > 500


def test_outcomes_of_a_junit_report(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(JUNIT)
    assert from_junit(tmp_path / "report.xml", ":40123") == {
        "a.passes": PASSED,
        "a.skips": SKIPPED,
        "a.fails": "failed: Error: (1045, 'no, 127.0.0.1…')",
        "a.breaks": "failed: after it",
    }


def test_outcomes_of_a_file_of_node_mysql2() -> None:
    said = "\x1b[1m◌ Many\x1b[0m\n  \x1b[32m● one\x1b[0m › 8.5ms\n  ✘ two › 1ms\n● not this one, which is no test\n"
    assert node_tests("f", said) == {"f: one": PASSED, "f: two": "failed: "}


def test_a_difference_is_seen() -> None:
    direct = {"a": PASSED, "b": PASSED, "c": failed("x"), "d": SKIPPED, "gone": PASSED}
    proxied = {"a": PASSED, "b": failed("x"), "c": failed("y"), "d": PASSED, "new": PASSED}
    found = compare([direct, direct], [direct, proxied])
    assert set(found.different) == {"b", "c", "d", "gone", "new"}
    assert (found.tests, found.same, found.passed, found.unstable) == (6, 1, 3, {})


def test_what_differs_without_a_proxy_is_unstable() -> None:
    first = {"a": PASSED, "b": failed("after 1.5 ms"), "c": failed("one")}
    second = {"a": failed("x"), "b": failed("after 2.5 ms"), "c": failed("two")}
    found = compare([first, second], [{"a": SKIPPED, "b": failed("after 3.5 ms"), "c": failed("three")}])
    assert (set(found.unstable), found.different, found.same) == ({"a"}, {}, 2)


def test_a_source_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no folder"):
        Folder(tmp_path / "nowhere").fetch(tmp_path / "copy")
