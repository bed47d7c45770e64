"""The options of `record` for its limits."""

from __future__ import annotations

import click

from proxy.cli_common import option_group
from proxy.limits import DEFAULT, Limits

_OPTIONS = (
    click.option(
        "--max-connections",
        metavar="N",
        type=click.IntRange(min=1),
        help="Refuse more clients with error 1040; default: as many as there are file descriptors for.",
    ),
    click.option(
        "--keepalive",
        metavar="SECONDS",
        type=click.FloatRange(min=1),
        default=DEFAULT.keepalive,
        show_default=True,
        help="After how much silence a peer is asked whether it is still there.",
    ),
    click.option(
        "--peer-timeout",
        metavar="SECONDS",
        type=click.FloatRange(min=0),
        default=DEFAULT.user_timeout,
        help="How long what was sent may go unacknowledged; default: the system's, minutes.",
    ),
    click.option(
        "--grace",
        metavar="SECONDS",
        type=click.FloatRange(min=0, max=20),
        default=DEFAULT.grace,
        show_default=True,
        help="How long the end waits for running statements and open transactions.",
    ),
    click.option(
        "--workers",
        metavar="N",
        type=click.IntRange(min=1, max=64),
        default=DEFAULT.workers,
        show_default=True,
        help="Processes that serve clients.",
    ),
)


def _gather(max_connections: int | None, keepalive: float, peer_timeout: float, grace: float, workers: int) -> Limits:
    return Limits(max_connections or 0, keepalive, peer_timeout, grace, workers)


limit_options = option_group("limits", _gather, _OPTIONS)
"""Adds the options to a command, which is given them as `limits`."""
