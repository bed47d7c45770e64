"""The digest of a query's result: equal for equal multisets of rows, in whatever order they came.

A row is taken as the server writes it in the text protocol: each value as a length-encoded string, NULL as the byte
0xFB. So the payload of a row's packet can be digested as it is, and values that a client has decoded (to bytes, not
to Python objects) give the same. The digest of a result is the sum of the BLAKE2b-128 of its rows modulo 2^128:
rows may come in any order and from any number of readers, and a row that comes twice counts twice.

The same result has another text under another character set (`SET NAMES`), time zone or `sql_mode`, and FLOAT and
DOUBLE another one on another server version: compare digests of one session context only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from graph.statement import RecordedResult

#: Bytes of a row's digest, and of a result's.
SIZE = 16

_MODULUS = 1 << (8 * SIZE)
_NULL = b"\xfb"


def _length(size: int) -> bytes:
    """A length-encoded integer, in its shortest form, which is the only one that servers write."""
    if size < 0xFB:
        return bytes((size,))
    if size < 1 << 16:
        return b"\xfc" + size.to_bytes(2, "little")
    if size < 1 << 24:
        return b"\xfd" + size.to_bytes(3, "little")
    return b"\xfe" + size.to_bytes(8, "little")


def encode_row(row: Iterable[bytes | None]) -> bytes:
    """A row's payload in the text protocol."""
    return b"".join([_NULL if value is None else _length(len(value)) + value for value in row])


def row_digest(payload: bytes | bytearray | memoryview) -> bytes:
    """The digest of one row's payload."""
    return blake2b(payload, digest_size=SIZE).digest()


@dataclass(frozen=True, slots=True)
class Summary:
    """An answer: its number of rows, and its digest."""

    rows: int
    digest: str

    def is_recorded(self, recorded: RecordedResult) -> bool | None:
        """Whether it is the result that was recorded; None where as many rows were, and no more is known of them."""
        if self.rows != recorded.rows:
            return False
        return None if recorded.digest is None else recorded.digest == self.digest


class ResultDigest:
    """Takes a result's rows one by one; `rows` says how many there were."""

    __slots__ = ("_sum", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, row: Sequence[bytes | None]) -> None:
        """Take a row of text-protocol values."""
        self.add_payload(encode_row(row))

    def add_payload(self, payload: bytes | bytearray | memoryview) -> None:
        """Take a row as the payload of its packet, without decoding it."""
        self._sum += int.from_bytes(row_digest(payload), "little")
        self.rows += 1

    def hexdigest(self) -> str:
        """The digest of the rows taken so far, 32 hexadecimal digits."""
        return f"{self._sum % _MODULUS:0{2 * SIZE}x}"

    def summary(self) -> Summary:
        """The rows taken so far."""
        return Summary(self.rows, self.hexdigest())
