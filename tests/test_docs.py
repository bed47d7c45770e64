"""The documentation names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from proxy.cli import djproxy
from tests.harness import ROOT

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
REFERENCE = (ROOT / "docs" / "cli.md").read_text()
COMMAND = re.compile(r"djproxy(?: --home \S+)? ([a-z]+)\b")


def _section(command: str) -> str:
    """The part of the reference that is about one command."""
    found = re.search(rf"^## djproxy {command}\n(.*?)(?=^## |\Z)", REFERENCE, re.S | re.M)
    assert found, f"docs/cli.md has no section on djproxy {command}"
    return found.group(1)


def _options(command: click.Command) -> list[str]:
    return [name for option in command.params if isinstance(option, click.Option) for name in option.opts]


@pytest.mark.parametrize("name", sorted(djproxy.commands))
def test_every_option_is_in_the_reference_and_has_help(name: str) -> None:
    command, section = djproxy.commands[name], _section(name)
    assert command.help
    for option in _options(command):
        assert f"`{option}" in section, f"djproxy {name} {option}"
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"djproxy {name} {parameter.opts}"


@pytest.mark.parametrize("name", sorted(djproxy.commands))
def test_the_reference_names_no_option_that_is_not_there(name: str) -> None:
    known = set(_options(djproxy.commands[name]))
    assert set(re.findall(r"`(--[a-z-]+)", _section(name))) <= known


def test_options_of_the_group_are_in_the_reference() -> None:
    for option in _options(djproxy):
        assert option in REFERENCE


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_commands_and_files_that_exist(page: Path) -> None:
    text = page.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M) + re.findall(r"`([^`\n]+)`", text)
    for block in blocks:
        for command in COMMAND.findall(block):
            assert command in djproxy.commands, f"{page.name}: djproxy {command}"
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
    for path in re.findall(r"\b((?:scripts|examples)/[\w/.]+\w)", text):
        assert (ROOT / path).exists(), f"{page.name}: {path}"
