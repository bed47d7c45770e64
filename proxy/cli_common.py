"""What the commands share: options, the store with all that was recorded."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from graph.errors import GraphError
from graph.exclusion import pattern
from graph.limits import parse_within
from graph.visible import hides
from proxy.paths import Home
from proxy.recorder import catch_up
from proxy.settings import Surroundings
from proxy.store import Store
from proxy.terminal import say

_Parsed = TypeVar("_Parsed")


def surroundings() -> Surroundings:
    """Where settings are looked for."""
    return Surroundings(os.environ, Path.cwd(), Path.home())


def checked_name(_: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A paper's or analysis's name: anything that can be read."""
    if value is not None and (not value.strip() or hides(value) or not value.isprintable()):
        raise click.BadParameter("must not be empty or hold control characters", param=parameter)
    return value


def each_as(
    parse: Callable[[str], _Parsed],
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], tuple[_Parsed, ...]]:
    """A callback for an option that may be given several times, each value in a form of `graph`'s."""

    def callback(_: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[_Parsed, ...]:
        try:
            return tuple(parse(text) for text in value)
        except GraphError as error:
            raise click.BadParameter(str(error), param=parameter) from error

    return callback


paper_option = click.option("--paper", required=True, metavar="PAPER", callback=checked_name, help="Name of the paper.")
analysis_option = click.option(
    "--analysis", metavar="NAME", callback=checked_name, help="Only this analysis; default: all of the paper."
)
exclude_option = click.option(
    "--exclude",
    metavar="SCHEMA.TABLE",
    multiple=True,
    callback=each_as(pattern),
    help="Leave out the statements that read this table; SCHEMA.* for all of a schema; repeatable.",
)
within_option = click.option(
    "--within",
    metavar="'SCHEMA.TABLE: WHERE'",
    multiple=True,
    callback=each_as(parse_within),
    help="Only rows that descend from (or are) these rows; repeatable.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def option_group(name: str, gather: Callable[..., Any], options: Sequence[Decorator]) -> Decorator:
    """Adds options to a command, which is given them as one: what `gather`, with a parameter each, makes of them."""
    gathered = list(inspect.signature(gather).parameters)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapped(*arguments: Any, **given: Any) -> Any:
            one = gather(**{each: given.pop(each) for each in gathered})
            return command(*arguments, **{name: one}, **given)

        decorated: Callable[..., Any] = wrapped
        for option in reversed(options):
            decorated = option(decorated)
        return decorated

    return decorate


def opened_store(home: Home) -> Store:
    """The store with all that was recorded by now. Raises HomeError, StoreError, JournalError."""
    home.create()
    store = Store(home.store)
    try:
        catch_up(home, store, say)
    except BaseException:
        store.close()
        raise
    return store
