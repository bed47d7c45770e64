"""Numbers in words, for people."""

from __future__ import annotations


def counted(number: int, what: str = "row") -> str:
    """How many of something there are."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
