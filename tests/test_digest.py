"""The digest of a result."""

from __future__ import annotations

from graph.digest import ResultDigest, encode_row

ROWS: list[tuple[bytes | None, ...]] = [(b"1", b"a"), (b"2", None), (b"2", b""), (None, b"x" * 70_000)]


def digest(rows: list[tuple[bytes | None, ...]]) -> str:
    taken = ResultDigest()
    for row in rows:
        taken.add(row)
    assert taken.rows == len(rows)
    return taken.hexdigest()


def test_order_does_not_matter() -> None:
    assert digest(ROWS) == digest(ROWS[::-1])


def test_a_row_that_comes_twice_counts_twice() -> None:
    assert digest([*ROWS, ROWS[0]]) != digest(ROWS)
    assert digest([ROWS[0], ROWS[0]]) != digest([])


def test_null_is_no_empty_string_and_values_keep_their_bounds() -> None:
    assert digest([(b"2", None)]) != digest([(b"2", b"")])
    assert digest([(b"ab", b"c")]) != digest([(b"a", b"bc")])


def test_a_row_is_encoded_as_the_server_does() -> None:
    assert encode_row((b"1", None, b"")) == b"\x011\xfb\x00"
    assert encode_row((b"x" * 250,))[:1] == b"\xfa"
    assert encode_row((b"x" * 251,))[:3] == b"\xfc\xfb\x00"
    assert encode_row((b"x" * 65_536,))[:4] == b"\xfd\x00\x00\x01"
    assert encode_row((b"x" * (1 << 24),))[:9] == b"\xfe\x00\x00\x00\x01\x00\x00\x00\x00"


def test_a_packet_is_taken_as_it_is() -> None:
    taken = ResultDigest()
    for row in ROWS:
        taken.add_payload(encode_row(row))
    assert taken.hexdigest() == digest(ROWS)


def test_the_definition_stays_what_it_is() -> None:
    assert digest([]) == "0" * 32
    assert digest([(b"1", None)]) == "69477a30a8036a18e677a543666e6887"
