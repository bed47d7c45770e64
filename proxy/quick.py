"""Which texts are plain: SELECTs that are kept whole and of whose result nothing more is wanted.

Nearly all traffic is such, and the observer has a short way for it. What a text is depends on its words alone and not
on the numbers in it, so the answer is remembered by its shape, the text with all digits made equal. Whatever is not
surely plain (comments that are executed, several statements, what may hold a secret or change by itself) is not.
"""

from __future__ import annotations

from mysql_mimic.types import Capabilities

from proxy.privacy import is_ordinary
from proxy.protocol import ExtendedCapabilities
from proxy.results import Pin, Watch, hints_at_change

_DIGITS = bytes.maketrans(b"123456789", b"000000000")
#: What is remembered: so many shapes of so many bytes at most, some MB for all connections together.
LONGEST = 1024
_MOST = 4096

_plain: set[bytes] = set()


def has_quick(capabilities: Capabilities, extended: ExtendedCapabilities, watch: Watch) -> bool:
    """Whether a connection may take the short way: nothing is wanted of every result, and a result's head says by its
    first byte how many packets come before the rows, where that must be known."""
    if watch.digest or watch.pin is Pin.ALWAYS:
        return False
    counted = not (
        capabilities & Capabilities.CLIENT_OPTIONAL_RESULTSET_METADATA or extended & ExtendedCapabilities.CACHE_METADATA
    )
    return counted or bool(capabilities & Capabilities.CLIENT_DEPRECATE_EOF)


def is_plain(sql: bytes) -> bool:
    """Whether a text is surely plain; False says nothing."""
    shape = sql.translate(_DIGITS)
    if shape in _plain:
        return True
    if len(sql) > LONGEST or not is_ordinary(sql) or hints_at_change(sql):
        return False
    if len(_plain) >= _MOST:
        _plain.clear()
    _plain.add(shape)
    return True
