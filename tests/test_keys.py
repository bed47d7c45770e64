"""Restrictions: their text, and on real servers that they select exactly the rows they are made for."""

from __future__ import annotations

import itertools
import subprocess
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from examples.private_server import PrivateServer
from graph.database import Credentials, Database, ServerAddress
from graph.errors import InputError
from graph.keys import decode, decoder, key_columns, key_expression, literal, restriction, same_value
from graph.names import TableName
from graph.quoting import identifier, table
from graph.schema import Column, Table, read_schema
from graph.statement import Session


def column(name: str, data_type: str, column_type: str = "", collation: str | None = None) -> Column:
    return Column(name, data_type, column_type or data_type, False, None, collation)


def keyed(*columns: Column) -> Table:
    return Table(TableName("s", "t"), columns, tuple(one.name for one in columns))


A, B, C = column("a", "int"), column("b", "int"), column("c", "varchar", "varchar(9)")


@pytest.mark.parametrize(
    ("columns", "keys", "text"),
    [
        ((A,), [(3,)], "`a`=3"),
        ((A,), [(3,), (1,)], "`a` IN (1,3)"),
        ((A,), [(5,), (3,), (4,), (-7,)], "`a` BETWEEN 3 AND 5 OR `a`=-7"),
        ((A, B), [(1, 1), (1, 2), (1, 3)], "`a`=1 AND `b` BETWEEN 1 AND 3"),
        ((A, B), [(1, 1), (2, 1), (5, 1)], "`a` IN (1,2,5) AND `b`=1"),
        ((A, B), [(1, 1), (1, 3), (1, 4), (1, 5)], "`a`=1 AND (`b` BETWEEN 3 AND 5 OR `b`=1)"),
        ((A, B), [(1, 1), (2, 2)], "`a`=1 AND `b`=1 OR `a`=2 AND `b`=2"),
        ((A, C), [(1, "x"), (1, "it's"), (2, "x")], "`a`=1 AND `c` IN ('it''s','x') OR `a`=2 AND `c`='x'"),
        ((column("t", "timestamp"),), [(Decimal("1.5"),)], "`t`='1970-01-01 00:00:01.500000'"),
        ((column("f", "float"),), [(0.5,), (1e30,)], "CAST(`f` AS DOUBLE) IN (0.5e0,1e+30)"),
        ((column("b", "binary"),), [(b"'\0",)], "`b`=x'2700'"),
        ((column("b`", "bit"),), [(0,), (1,), (2,)], "`b``` BETWEEN 0 AND 2"),
    ],
)
def test_text(columns: Sequence[Column], keys: list[tuple[Any, ...]], text: str) -> None:
    assert restriction(keyed(*columns), keys) == [text]


def test_nothing_to_restrict() -> None:
    assert restriction(keyed(A), []) == []
    assert restriction(keyed(), [()]) == []


def test_a_key_beyond_the_limit_is_refused() -> None:
    with pytest.raises(InputError, match="longer than 30 bytes"):
        restriction(keyed(C), [("x" * 30,)], limit=30)


def test_names_are_qualified() -> None:
    assert restriction(keyed(A, B), [(1, 2)], qualifier="c.") == ["c.`a`=1 AND c.`b`=2"]


KEYS = st.frozensets(st.tuples(st.integers(0, 30), st.sampled_from("abé"), st.integers(0, 30)), min_size=1)


@given(KEYS, st.integers(90, 400))
def test_every_text_keeps_the_limit_and_the_texts_share_the_keys(keys: frozenset[tuple[Any, ...]], limit: int) -> None:
    """Read as Python, the conditions give the keys back, each once."""
    texts = restriction(keyed(A, C, B), keys, limit=limit)
    assert all(len(text.encode()) <= limit for text in texts)
    conditions = [compile(as_python(text), "where", "eval") for text in texts]
    for a in range(31):
        for c in "abé":
            for b in range(31):
                values = {"a": a, "b": b, "c": c}
                held = sum(bool(eval(condition, {"between": between}, values)) for condition in conditions)
                assert held == ((a, c, b) in keys)


@given(KEYS, st.integers(1, 7), st.integers(90, 400))
def test_keys_in_order_are_written_a_part_at_a_time(keys: frozenset[tuple[Any, ...]], part: int, limit: int) -> None:
    with mock.patch("graph.keys._PART", part):
        texts = restriction(keyed(A, C, B), sorted(keys), limit=limit, ordered=True)
    assert all(len(text.encode()) <= limit for text in texts)
    conditions = [compile(as_python(text), "where", "eval") for text in texts]
    held = Counter(
        key
        for key in itertools.product(range(31), "abé", range(31))
        for condition in conditions
        if eval(condition, {"between": between}, dict(zip("acb", key, strict=True)))
    )
    assert held == Counter(keys)


def between(value: int, first: int, last: int) -> bool:
    return first <= value <= last


def as_python(where: str) -> str:
    words = where.replace("=", "==").split(" ")
    while "BETWEEN" in words:
        at = words.index("BETWEEN")
        name, opened = words[at - 1].lstrip("("), "(" * words[at - 1].count("(")
        last, closed = words[at + 3].rstrip(")"), ")" * words[at + 3].count(")")
        words[at - 1 : at + 4] = [f"{opened}between({name}, {words[at + 1]}, {last}){closed}"]
    text = " ".join(words).replace("`", "").replace(" AND ", " and ").replace(" OR ", " or ")
    while " IN (" in text:
        start = text.index(" IN (")
        end = text.index(")", start)
        text = f"{text[:start]} in [{text[start + 5 : end]}]{text[end + 1 :]}"
    return text


@given(KEYS)
def test_the_order_of_the_keys_is_nothing(keys: frozenset[tuple[Any, ...]]) -> None:
    assert restriction(keyed(A, C, B), sorted(keys)) == restriction(keyed(A, C, B), sorted(keys, reverse=True))


def test_no_list_is_so_long_that_mariadb_makes_it_a_subquery() -> None:
    texts = restriction(keyed(A), {(2 * number,) for number in range(5000)})
    lists = [part.count(",") + 1 for text in texts for part in text.split(" OR ")]
    assert sum(lists) == 5000 and max(lists) < 1000


@pytest.mark.parametrize("limit", [150, 2000, 100_000])
def test_many_ranges_stand_behind_few(limit: int) -> None:
    """A row is not compared with a thousand ranges, and each key is still selected once."""
    values = [number for number in range(4000) if number % 4]
    texts = restriction(keyed(A, B), {(value, 1) for value in values}, limit=limit)
    assert all(len(text) <= limit for text in texts)
    conditions = [compile(as_python(text), "where", "eval") for text in texts]
    if limit == 100_000:
        assert [text.count(" AND (") for text in texts] == [32]
    for a in range(-1, 4001):
        held = sum(bool(eval(condition, {"between": between}, {"a": a, "b": 1})) for condition in conditions)
        assert held == (0 <= a < 4000 and a % 4 > 0)


def test_decoding() -> None:
    assert decode(keyed(A, C), ("007", "x")) == (7, "x")
    assert decode(keyed(column("c", "char")), ("a  ",)) == ("a",)
    assert decode(keyed(column("b", "varbinary")), (b"a ",)) == (b"a ",)
    assert decode(keyed(column("d", "decimal")), ("1.50",)) == (Decimal("1.5"),)
    assert literal(column("t", "timestamp"), Decimal(0)) == "'0000-00-00 00:00:00'"


def test_only_values_that_are_the_same_to_the_bit_are_projected() -> None:
    def text(collation: str, length: int = 9) -> Column:
        return column("c", "varchar", f"varchar({length})", collation)

    assert same_value(column("a", "int", "int"), column("b", "bigint", "bigint"))
    assert same_value(column("a", "date"), column("b", "date"))
    assert same_value(text("utf8mb4_0900_bin"), text("utf8mb4_0900_bin"))
    assert not same_value(text("utf8mb4_bin"), text("utf8mb4_bin"))
    assert not same_value(text("utf8mb4_general_ci"), text("utf8mb4_general_ci"))
    assert not same_value(column("a", "datetime", "datetime"), column("b", "datetime", "datetime(6)"))
    assert not same_value(column("a", "binary", "binary(3)"), column("b", "binary", "binary(4)"))
    for lossy in ("float", "timestamp", "char", "enum", "double"):
        assert not same_value(column("a", lossy), column("b", lossy))


# On real servers

#: Types of key columns with values for them.
TYPES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(-50, 50) | st.integers(-(2**31), 2**31 - 1),
    "bigint unsigned": st.integers(0, 20) | st.integers(2**64 - 20, 2**64 - 1),
    "smallint unsigned zerofill": st.integers(0, 40),
    "bit(1)": st.integers(0, 1),
    "bit(64)": st.integers(0, 9) | st.integers(2**64 - 9, 2**64 - 1),
    "year": st.sampled_from([0, 1901, 1970, 1999, 2000, 2001, 2002, 2069, 2155]),
    "decimal(30,10)": st.decimals(-(10**19), 10**19, places=10),
    "float": st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from([0.1, 1.1, 16777216.0]),
    "float(9,3)": st.floats(-1000, 1000, width=32),
    "double": st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    "double(12,4)": st.floats(-1e6, 1e6),
    "date": st.dates(date(1000, 1, 1)) | st.sampled_from(["0000-00-00", "2024-00-00", "2024-02-00"]),
    "datetime": st.datetimes(datetime(1000, 1, 1), datetime(9999, 1, 1)) | st.just("0000-00-00 00:00:00"),
    "datetime(6)": st.datetimes(datetime(2000, 1, 1), datetime(2000, 1, 3)),
    "time(3)": st.timedeltas(timedelta(hours=-838), timedelta(hours=838)),
    "timestamp": st.datetimes(datetime(1970, 1, 3), datetime(2038, 1, 17)) | st.just("0000-00-00 00:00:00"),
    "timestamp(6)": st.datetimes(datetime(2020, 10, 25), datetime(2020, 10, 26)),
    "char(8)": st.text(max_size=8),
    "varchar(8) COLLATE utf8mb4_general_ci": st.text("aA'\\\"` %_\n\0\x1a\U0001f642é", max_size=8),
    "varchar(8) COLLATE utf8mb4_bin": st.text("aA'\\\"` %_\n\0\x1a\U0001f642é", max_size=8),
    "varchar(8) CHARACTER SET latin1": st.text("aA'\\éÿ€ ", max_size=8),
    "varchar(8) CHARACTER SET ascii": st.text("aA'\\\x1a ", max_size=8),
    "enum('a','B','it''s','x,y','back\\\\')": st.sampled_from(["a", "B", "it's", "x,y", "back\\"]),
    "set('p','q','r')": st.sampled_from(["", "p", "p,q", "p,q,r", "r"]),
    "binary(4)": st.binary(max_size=4),
    "varbinary(8)": st.binary(max_size=8) | st.sampled_from([b"'", b"\\", b" ", b"", b"\0"]),
}


@st.composite
def random_keys(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]]]:
    types = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=3))
    rows = draw(st.lists(st.tuples(*(TYPES[one] for one in types)), min_size=1, max_size=40))
    return types, rows


def connect(server: PrivateServer) -> Database:
    return Database.connect(ServerAddress(server.host, server.port), Credentials(server.user, server.password))


def make(server: PrivateServer, schema: str, types: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Table `t` with a column `n` that numbers the rows; what is not unique or not valid is left out."""
    names = [f"k{position}" for position in range(len(types))]
    columns = ", ".join(f"{name} {one} NOT NULL" for name, one in zip(names, types, strict=True))
    with server.connect(database=schema, charset="utf8mb4", autocommit=True) as connection:
        cursor = connection.cursor()
        cursor.execute("SET SESSION sql_mode='', time_zone='+05:30'")
        cursor.execute("DROP TABLE IF EXISTS t")
        cursor.execute(f"CREATE TABLE t (n int, {columns}, PRIMARY KEY ({', '.join(names)}))")
        holes = ", ".join(["%s"] * (len(types) + 1))
        numbered = [[number, *row] for number, row in enumerate(rows)]
        cursor.executemany(f"INSERT IGNORE INTO t VALUES ({holes})", numbered)


def read_keys(database: Database, known: Table, session: Session | None = None) -> dict[tuple[object, ...], str]:
    """The number of each row by its key."""
    columns = ", ".join(key_expression(one, identifier(one.name)) for one in key_columns(known))
    read = decoder(known)
    rows = database.rows(f"SELECT {columns}, n FROM {table(known.name)}", session)
    return {read(row[:-1]): row[-1] for row in rows}


ELSEWHERE = Session(
    sql_mode="ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,PAD_CHAR_TO_FULL_LENGTH",
    time_zone="-07:00",
    collation="latin1_bin",
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=random_keys(), data=st.data())
def test_exactly_the_rows_of_random_keys(
    server: PrivateServer, random: tuple[list[str], list[tuple[Any, ...]]], data: st.DataObject
) -> None:
    schema = "random_keys"
    server.execute(f"CREATE DATABASE IF NOT EXISTS {schema}")
    make(server, schema, *random)
    name = TableName(schema, "t")
    with connect(server) as database:
        known = read_schema(database, [name]).tables[name]
        keys = read_keys(database, known)
        assert read_keys(database, known, ELSEWHERE) == keys
        assert len(keys) == int(database.value(f"SELECT COUNT(*) FROM {table(name)}"))
        chosen = data.draw(st.sets(st.sampled_from(sorted(keys, key=repr)), min_size=1))
        for limit in (100_000, 600):
            texts = restriction(known, chosen, limit)
            selected = [row[0] for text in texts for row in database.rows(f"SELECT n FROM {table(name)} WHERE {text}")]
            assert sorted(selected) == sorted(keys[key] for key in chosen)


@pytest.mark.parametrize("one", sorted(TYPES))
def test_the_dump_tool_selects_the_same_rows(server: PrivateServer, database: str, one: str) -> None:
    make(server, database, [one], [(value,) for value in example_values(TYPES[one])])
    name = TableName(database, "t")
    with connect(server) as reader:
        known = read_schema(reader, [name]).tables[name]
        keys = read_keys(reader, known)
    chosen = sorted(keys, key=repr)[::2]
    numbers: list[str] = []
    for text in restriction(known, chosen):
        numbers += dumped(server, database, text)
    assert sorted(numbers) == sorted(keys[key] for key in chosen)


def example_values(strategy: st.SearchStrategy[Any]) -> list[Any]:
    found: list[Any] = []

    @settings(max_examples=40, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


def dumped(server: PrivateServer, schema: str, where: str) -> list[str]:
    """The first column of the rows that the flavour's own dump tool selects."""
    answer = subprocess.run(
        [
            str(server.tools.dump),
            f"--defaults-file={server.defaults_file()}",
            *("--single-transaction", "--no-tablespaces", "--skip-comments", "--no-create-info", "--hex-blob"),
            *("--skip-extended-insert", "--default-character-set=utf8mb4", "--loose-set-gtid-purged=OFF"),
            f"--where={where}",
            schema,
            "t",
        ],
        capture_output=True,
        check=True,
    )
    lines = answer.stdout.split(b"\n")
    return [line.split(b"VALUES (")[1].split(b",")[0].decode() for line in lines if line.startswith(b"INSERT")]


def test_large_restrictions_use_the_index(server: PrivateServer, database: str) -> None:
    make(server, database, ["int", "int"], [(0, 0)])
    numbers = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
    server.execute(
        f"INSERT INTO {database}.t SELECT 1, 1 + a.d + 10*b.d + 100*c.d, e.d + 10*f.d FROM ({numbers}) a"
        f" JOIN ({numbers}) b JOIN ({numbers}) c JOIN ({numbers}) e JOIN ({numbers}) f",
        f"ANALYZE TABLE {database}.t",
    )
    name = TableName(database, "t")
    chosen = {(a, (a * 7 + b * 13) % 100) for a in range(1, 1000, 3) for b in range(8)}
    with connect(server) as reader:
        known = read_schema(reader, [name]).tables[name]
        for text in restriction(known, chosen):
            plan = list(reader.rows(f"EXPLAIN SELECT n FROM {table(name)} WHERE {text}"))
            assert "range" in str(plan)
        count = sum(
            int(reader.value(f"SELECT COUNT(*) FROM {table(name)} WHERE {text}")) for text in restriction(known, chosen)
        )
    assert count == len(chosen)


def test_a_key_of_one_row_selects_no_other(server: PrivateServer, database: str) -> None:
    words = ["a", "A ", "b", "ß", "ss", "ss ", "\U0001f642", "\U0001f643", "", "\0", "\x1a", "'", "\\", "é", "e"]
    make(server, database, ["varchar(8)"], [(word,) for word in words])
    name = TableName(database, "t")
    with connect(server) as reader:
        known = read_schema(reader, [name]).tables[name]
        for key, number in read_keys(reader, known).items():
            (text,) = restriction(known, [key])
            assert [row[0] for row in reader.rows(f"SELECT n FROM {table(name)} WHERE {text}")] == [number]
