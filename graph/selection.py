"""Which rows of which tables a slice takes, as WHERE texts."""

from __future__ import annotations

from collections.abc import Set
from functools import lru_cache
from typing import Final

from graph.keys import restriction
from graph.keystore import KeySet
from graph.schema import Table
from graph.slice import Key, Slice, TableSlice

#: A WHERE's greatest length in bytes. Linux passes at most 128 KiB in one argument.
LONGEST_RESTRICTION: Final = 100_000

#: From so many bytes of WHERE texts on, the keys of a table go through a scratch schema, where one was named.
LONGEST_RESTRICTIONS: Final = 2_000_000


def base_tables(slice_: Slice) -> list[TableSlice]:
    """The tables that hold rows of their own (not the views), parents before children."""
    return [sliced for sliced in slice_.tables.values() if sliced.table.view is None]


def hidden_views(slice_: Slice) -> list[TableSlice]:
    """Views that the slice cannot have, since the account may not see how they are defined."""
    return [sliced for sliced in slice_.tables.values() if sliced.table.view == ""]


def present(slice_: Slice) -> list[TableSlice]:
    """All tables and views that the restored slice has."""
    return [sliced for sliced in slice_.tables.values() if sliced.table.view != ""]


def restrictions(sliced: TableSlice) -> list[str] | list[None]:
    """The WHERE texts that together select a table's rows, each row by one of them.

    None stands for all rows; no text for a table of which only the structure is needed.
    """
    if not sliced.rows:
        return []
    return [None] if sliced.whole else list(_written(sliced.table, sliced.keys, LONGEST_RESTRICTION))


def by_key_table(sliced: TableSlice) -> bool:
    """Whether a table's WHERE texts are so long that a table of its keys is the better way."""
    return sum(len(where or "") for where in restrictions(sliced)) > LONGEST_RESTRICTIONS


@lru_cache(maxsize=256)
def _written(table: Table, keys: Set[Key], longest: int) -> tuple[str, ...]:
    """Fingerprints, script and review all ask; a hundred thousand keys take half a second to write."""
    return tuple(restriction(table, keys, longest, ordered=isinstance(keys, KeySet)))
