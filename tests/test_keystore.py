"""Sets of keys: as Python's own sets, whatever the values, in one page or many."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.keystore import KeyStore, alike
from graph.names import TableName
from graph.schema import Column, Table
from graph.slice import Key

COLUMNS = {
    "int": st.integers(-(2**63), 2**63 - 1),
    "bigint unsigned": st.integers(0, 2**64 - 1),
    "bit(64)": st.integers(0, 2**64 - 1),
    "varchar(9)": st.text(st.characters(codec="utf-8"), max_size=4),
    "varbinary(9)": st.binary(max_size=4),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "decimal(65,2)": st.decimals(-(10**40), 10**40, places=2),
    "timestamp(3)": st.decimals(0, 2**31 - 1, places=3),
}


def table(*types: str) -> Table:
    columns = [Column(f"k{n}", kind.split("(")[0].split(" ")[0], kind, False) for n, kind in enumerate(types)]
    return Table(TableName("s", "t"), tuple(columns), tuple(column.name for column in columns))


@st.composite
def keyed(draw: Callable[..., list[str]]) -> tuple[Table, list[list[Key]]]:
    types = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=3))
    return table(*types), draw(st.lists(st.lists(st.tuples(*(COLUMNS[kind] for kind in types)))))


@given(keyed(), st.integers(1, 5))
def test_as_a_set_of_python(given: tuple[Table, list[list[Key]]], page: int) -> None:
    known, rounds = given
    keys = KeyStore(memory=1, page=page).keys(known)
    model = set[Key]()
    for new in rounds:
        first = keys.next_generation()
        assert keys.add(new) == len(set(new) - model)
        assert set(keys.since(first)) == set(new) - model
        model |= set(new)
        assert (len(keys), set(keys), keys) == (len(model), model, model)
        assert all(key in keys for key in new)
    assert all(len(each) <= page for each in keys.since(0).pages())
    assert {tuple(map(type, key)) for key in keys} == {tuple(map(type, key)) for key in model}
    assert () not in keys and "x" not in keys


def test_generations_and_what_is_taken_out() -> None:
    store = KeyStore()
    keys = store.keys(table("int", "int"))
    keys.add((n, n) for n in range(5))
    second = keys.next_generation()
    keys.add([(1, 1), (7, 7), (8, 8)])
    old, new = keys.since(0), keys.since(second)
    keys.next_generation()
    keys.add([(9, 9)])
    assert (len(old), list(new)) == (7, [(7, 7), (8, 8)])
    existing = store.keys(table("int", "int"))
    existing.add([(7, 7), (1, 1)])
    missing = keys.without(existing, new)
    assert missing == {(8, 8)}
    keys.remove(missing)
    assert (len(keys), list(new), (8, 8) in keys) == (7, [(7, 7)], False)


def test_projections_and_filters() -> None:
    store = KeyStore()
    child, parent, other = (
        store.keys(table("int", "varchar(9)", "int")),
        store.keys(table("int")),
        store.keys(table("int")),
    )
    child.add([(1, "a", 5), (2, "b", 5), (3, "c", 6)])
    assert (parent.add_projected(child.since(0), [2]), parent) == (2, {(5,), (6,)})
    other.add([(6,), (7,)])
    lost = store.keys(table("int"))
    assert (lost.add_projected(child.since(0), [2], among=other), lost) == (1, {(6,)})
    pairs = [((1, "a", 5), (10,)), ((9, "a", 5), (11,)), ((3, "c", 6), (12,))]
    assert (other.add_where(pairs, child.since(0)), other) == (2, {(6,), (7,), (10,), (12,)})
    lost.drop()


@pytest.mark.parametrize(("one", "other", "same"), [("int", "bigint", True), ("int", "bigint unsigned", False)])
def test_which_columns_are_alike(one: str, other: str, same: bool) -> None:
    assert alike(table(one).columns[0], table(other).columns[0]) is same


def test_more_keys_than_memory() -> None:
    """The bound holds for what SQLite keeps; the keys come back in order."""
    keys = KeyStore(memory=1 << 20).keys(table("int", "decimal(9,2)"))
    keys.add((number * 7919 % 200_003, Decimal(number)) for number in range(200_000))
    assert len(keys) == 200_000
    numbers = [key[0] for key in keys]
    assert numbers == sorted(numbers) and (7919, Decimal(1)) in keys
