"""DataJoint's operators, one at a time; runs under 0.14 and under 2.x alike.

Reads requests from stdin, one JSON document per line: {"host", "port", "user", "password", "schema", "operator"}, and
answers each with one line of JSON on stdout: {"result": …} or {"error": …}. The operator "fill" makes the tables.
Every request has a connection of its own, with DataJoint's default settings.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import date
from types import SimpleNamespace
from typing import Any

import datajoint as dj
import numpy as np

NEW = not dj.__version__.startswith("0.")
INT, FLOAT, DOUBLE, BLOB = ("int32", "float32", "float64", "<blob>") if NEW else ("int", "float", "double", "longblob")

SUBJECTS = ("a", "b", "c's")
OPERATORS: dict[str, Callable[[SimpleNamespace], Any]] = {}


def operator(function: Callable[[SimpleNamespace], Any]) -> Callable[[SimpleNamespace], Any]:
    """Puts a function on the list under its name."""
    OPERATORS[function.__name__] = function
    return function


def rows(query: Any, **order: Any) -> list[dict[str, Any]]:
    """The rows of a query as dicts, in key order unless told otherwise."""
    order = order or {"order_by": "KEY"}
    return list(query.to_dicts(**order) if NEW else query.fetch(as_dict=True, **order))


def unordered(query: Any) -> list[dict[str, Any]]:
    """The rows of a query that is sent without ORDER BY, sorted here."""
    return sorted(query.to_dicts() if NEW else query.fetch(as_dict=True), key=repr)


def keys(query: Any) -> list[dict[str, Any]]:
    """The primary keys of a query."""
    return list(query.keys(order_by="KEY") if NEW else query.fetch("KEY", order_by="KEY"))


def columns(query: Any, *names: str) -> list[list[Any]]:
    """Some columns of a query, each as a list."""
    arrays = query.to_arrays(*names, order_by="KEY") if NEW else query.fetch(*names, order_by="KEY")
    return [list(array) for array in (arrays if len(names) > 1 else [arrays])]


def inner_aggr(query: Any, group: Any, **attributes: str) -> Any:
    """Aggregation without the rows that have nothing to aggregate."""
    return query.aggr(group, **({"exclude_nonmatching": True} if NEW else {}), **attributes)


def outer_aggr(query: Any, group: Any, **attributes: str) -> Any:
    """Aggregation that keeps them."""
    return query.aggr(group, **({} if NEW else {"keep_all_rows": True}), **attributes)


def declare(schema: Any) -> SimpleNamespace:
    """The tables' classes, bound to a schema."""

    @schema
    class Species(dj.Lookup):
        definition = """
        species : varchar(16)
        ---
        legs : INT
        """.replace("INT", INT)

    @schema
    class Subject(dj.Manual):
        definition = """
        subject : varchar(16)
        ---
        -> Species
        weight : FLOAT
        """.replace("FLOAT", FLOAT)

    @schema
    class Session(dj.Manual):
        definition = """
        -> Subject
        session : INT
        ---
        session_date : date
        score : DOUBLE
        """.replace("INT", INT).replace("DOUBLE", DOUBLE)

    @schema
    class Trial(dj.Manual):
        definition = (
            """
        -> Session
        trial : INT
        ---
        rt : DOUBLE
        outcome = null : varchar(8)
        signal : BLOB
        """.replace("INT", INT)
            .replace("DOUBLE", DOUBLE)
            .replace("BLOB", BLOB)
        )

    @schema
    class Probe(dj.Manual):
        definition = """
        probe : varchar(16)
        ---
        sites : INT
        """.replace("INT", INT)

    @schema
    class Recording(dj.Manual):
        definition = """
        -> Session
        ---
        -> [nullable] Probe
        gain : FLOAT
        """.replace("FLOAT", FLOAT)

    @schema
    class Pair(dj.Manual):
        definition = """
        -> Session.proj(first="session")
        -> Session.proj(second="session")
        """

    @schema
    class SessionStats(dj.Computed):
        definition = """
        -> Session
        ---
        mean_rt : DOUBLE
        """.replace("DOUBLE", DOUBLE)

        def make(self, key: dict[str, Any]) -> None:
            """The mean of the session's trials."""
            [times] = columns(Trial & key, "rt")
            self.insert1({**key, "mean_rt": float(np.mean(times))})

    found = {name: table for name, table in locals().items() if isinstance(table, type)}
    return SimpleNamespace(**found)


def fill(t: SimpleNamespace) -> str:
    """Fills the tables; always the same."""
    t.Species.insert([("rat", 4), ("bird", 2), ("fish", 0)])
    t.Subject.insert([("a", "rat", 250.123456), ("b", "bird", 0.1), ("c's", "rat", 199.9)])
    t.Probe.insert([("p1", 16), ("p2", 32), ("spare", 1)])
    for number, subject in enumerate(SUBJECTS):
        for session in range(1, 6):
            key = {"subject": subject, "session": session}
            day = date(2025, 1 + number, session * 3)
            t.Session.insert1({**key, "session_date": day, "score": session / 3 + number})
            if session < 4:
                probe = (None, "p1", "p2")[(session + number) % 3]
                t.Recording.insert1({**key, "probe": probe, "gain": 0.1 * session})
            t.Trial.insert(
                {
                    **key,
                    "trial": trial,
                    "rt": 0.1 + ((trial * 7 + session * 3 + number) % 11) / 10,
                    "outcome": (None, "hit", "miss", "it's")[(trial + session) % 4],
                    "signal": np.arange(trial),
                }
                for trial in range(1, session + 2)
            )
    t.Pair.insert([("b", 1, 2), ("b", 3, 2), ("b", 2, 4)])
    return "filled"


@operator
def fetch(t: SimpleNamespace) -> Any:
    return rows(t.Subject())


@operator
def fetch1(t: SimpleNamespace) -> Any:
    return (t.Session & {"subject": "c's", "session": 2}).fetch1()


@operator
def fetch1_attributes(t: SimpleNamespace) -> Any:
    return (t.Session & {"subject": "a", "session": 2}).fetch1("session_date", "score")


@operator
def fetch_columns(t: SimpleNamespace) -> Any:
    return columns(t.Trial & "subject = 'a'", "rt", "signal")


@operator
def fetch_keys(t: SimpleNamespace) -> Any:
    return keys(t.Session & "score > 2")


@operator
def proj_renamed(t: SimpleNamespace) -> Any:
    return rows((t.Session & {"subject": "b"}).proj(day="session_date"))


@operator
def proj_computed(t: SimpleNamespace) -> Any:
    return rows((t.Trial & {"subject": "b", "session": 1}).proj(double="rt * 2", label="concat(subject, trial)"))


@operator
def restricted_after_rename(t: SimpleNamespace) -> Any:
    return rows(t.Session.proj(number="session") & "number = 3")


@operator
def by_dict(t: SimpleNamespace) -> Any:
    return rows(t.Session & {"subject": "c's"})


@operator
def by_dict_none(t: SimpleNamespace) -> Any:
    return rows(t.Recording & {"probe": None})


@operator
def by_string(t: SimpleNamespace) -> Any:
    return rows(t.Session & "session_date >= '2025-02-01' AND score < 2.5")


@operator
def by_list(t: SimpleNamespace) -> Any:
    return rows(t.Session & [{"subject": "a", "session": 1}, "score > 3", {"subject": "b", "session": 4}])


@operator
def by_query(t: SimpleNamespace) -> Any:
    return rows(t.Session & (t.Recording & {"probe": "p1"}))


@operator
def by_list_of_queries(t: SimpleNamespace) -> Any:
    return rows(t.Session & [t.Recording & {"probe": "p1"}, t.Subject & "weight < 1"])


@operator
def by_renamed_query(t: SimpleNamespace) -> Any:
    return rows(t.Session.proj(first="session") & (t.Pair & "second = 2"))


@operator
def chained(t: SimpleNamespace) -> Any:
    return rows(t.Trial & {"subject": "a"} & "rt > 0.5" & "session < 4")


@operator
def negated_string(t: SimpleNamespace) -> Any:
    return rows(t.Session - "score > 1")


@operator
def negated_dict(t: SimpleNamespace) -> Any:
    return rows(t.Session - {"subject": "a"} & "session = 1")


@operator
def negated_query(t: SimpleNamespace) -> Any:
    return rows((t.Session & "subject <> 'b'") - t.Recording)


@operator
def joined(t: SimpleNamespace) -> Any:
    return rows(t.Session * t.Recording & "score > 1.5")


@operator
def joined_three(t: SimpleNamespace) -> Any:
    return rows(t.Subject * t.Session * t.Recording & {"species": "rat"} & "session = 2")


@operator
def joined_left(t: SimpleNamespace) -> Any:
    return rows((t.Session & {"subject": "a"}).join(t.Recording, left=True))


@operator
def self_joined(t: SimpleNamespace) -> Any:
    first = (t.Session & {"subject": "a"}).proj(first="session")
    second = (t.Session & {"subject": "a"}).proj(second="session")
    return rows(first * second & "first < second" & "second < 4")


@operator
def aggregated(t: SimpleNamespace) -> Any:
    return rows(inner_aggr(t.Session & "session < 3", t.Trial, n="count(trial)", mean="avg(rt)"))


@operator
def aggregated_outer(t: SimpleNamespace) -> Any:
    return rows(outer_aggr(t.Session & {"subject": "b"}, t.Trial & "rt > 0.9", n="count(trial)"))


@operator
def having(t: SimpleNamespace) -> Any:
    return rows(inner_aggr(t.Session.proj(), t.Trial, n="count(trial)", worst="max(rt)") & "n > 3" & "worst > 1")


@operator
def universal(t: SimpleNamespace) -> Any:
    return rows(dj.U("species") & (t.Subject & "weight > 1"))


@operator
def universal_aggr(t: SimpleNamespace) -> Any:
    return rows(dj.U("outcome").aggr(t.Trial & {"subject": "a"}, n="count(*)"), order_by="outcome")


@operator
def universal_count(t: SimpleNamespace) -> Any:
    return dj.U().aggr(t.Trial & {"subject": "b"}, n="count(*)", slow="max(rt)").fetch1("n", "slow")


@operator
def union_of_keys(t: SimpleNamespace) -> Any:
    return unordered((t.Session & {"subject": "a"}).proj() + (t.Session & "session = 1").proj())


@operator
def union_of_attributes(t: SimpleNamespace) -> Any:
    both = (t.Session & {"subject": "a"}).proj("score") + (t.Recording & "session = 1").proj("gain")
    return unordered(both)


@operator
def top(t: SimpleNamespace) -> Any:
    return rows((t.Trial & {"subject": "b"}) & dj.Top(3, order_by=["rt DESC", "session", "trial"]))


@operator
def top_then_restricted(t: SimpleNamespace) -> Any:
    return rows(t.Session & dj.Top(4, order_by=["score DESC", "subject"]) & "session > 3")


@operator
def limit_offset(t: SimpleNamespace) -> Any:
    return rows(t.Session & {"subject": "b"}, order_by="KEY", limit=2, offset=1)


@operator
def iteration(t: SimpleNamespace) -> Any:
    return [row["score"] for row in t.Session & {"subject": "a"}]


@operator
def populate(t: SimpleNamespace) -> Any:
    t.SessionStats.populate({"subject": "b"})
    return rows(t.SessionStats & {"subject": "b"})


@operator
def insert_select(t: SimpleNamespace) -> Any:
    first = (t.Session & {"subject": "a"}).proj(first="session")
    second = (t.Session & {"subject": "a"}).proj(second="session")
    t.Pair.insert((first * second & "first < second" & "second < 4").proj(), skip_duplicates=True)
    return rows(t.Pair & {"subject": "a"})


@operator
def length(t: SimpleNamespace) -> Any:
    return len(t.Trial & "rt > 0.5")


@operator
def truth(t: SimpleNamespace) -> Any:
    return [bool(t.Session & {"subject": "a"}), bool(t.Session & {"subject": "nobody"})]


@operator
def contains(t: SimpleNamespace) -> Any:
    return [{"subject": "a", "session": 1} in t.Session(), {"subject": "a", "session": 99} in t.Session()]


@operator
def preview(t: SimpleNamespace) -> Any:
    return repr(t.Session & {"subject": "a"})


def plain(value: Any) -> Any:
    """What json does not know."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


@contextlib.contextmanager
def connected(request: dict[str, Any]) -> Iterator[Any]:
    """A connection of its own, with the line's default settings."""
    connection = dj.Connection(request["host"], request["user"], request["password"], request["port"])
    try:
        yield connection
    finally:
        connection.close()


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Runs one operator."""
    name = request["operator"]
    with connected(request) as connection:
        create = name == "fill"
        schema = dj.Schema(request["schema"], connection=connection, create_schema=create, create_tables=create)
        return {"result": (fill if create else OPERATORS[name])(declare(schema))}


def main() -> None:
    """Serves requests until stdin ends; what DataJoint prints on stdout goes to stderr."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for line in sys.stdin:
            try:
                document = answer(json.loads(line))
            except Exception as error:
                document = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(document, default=plain), file=out, flush=True)


if __name__ == "__main__":
    main()
