"""Collations that servers of another kind or version call otherwise, as `restore.sh` maps them for tables."""

from __future__ import annotations

from collections.abc import Iterator


def nearest(collation: str) -> Iterator[str]:
    """Those that order most alike, the nearest first; a server may have none of them."""
    charset, _, order = collation.partition("_")
    yield from (f"{charset}_{name}" for name in _alike(order))
    if order.endswith("bin"):
        yield f"{charset}_bin"
    else:
        yield from (f"{charset}_{name}" for name in ("unicode_520_ci", "unicode_ci", "general_ci"))


def _alike(order: str) -> Iterator[str]:
    _, newest, sensitivity = order.rpartition("0900_")
    if order == "0900_bin":
        yield "nopad_bin"
    elif newest:
        yield f"uca1400_nopad_{sensitivity}"
        yield "unicode_520_nopad_ci"
    elif order == "nopad_bin":
        yield "0900_bin"
    elif order.startswith("uca1400_"):
        yield f"0900_{order.removeprefix('uca1400_').removeprefix('nopad_')}"
    elif order.endswith("_nopad_ci"):
        yield f"{order.removesuffix('_nopad_ci')}_ci"
