"""What people do with DataJoint, and what it sends by itself beside; runs under 0.14 and under 2.x alike.

The first argument says what to do: "fill" makes the tables, "habits" runs every habit on a table of its own,
"populate" and "populate_with_jobs" fill a computed table for some keys. The account comes from DJ_USER and DJ_PASS, the
schema from SCHEMA.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import datajoint as dj

NEW = not dj.__version__.startswith("0.")
INT, DOUBLE, BLOB = ("int32", "float64", "<blob>") if NEW else ("int", "double", "longblob")
UNITS, SESSIONS = 30, 5

HABITS: dict[str, Callable[[Any], Any]] = {}


def habit(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Puts a function on the list under its name."""
    HABITS[function.__name__] = function
    return function


def rows(query: Any, **order: Any) -> Any:
    """A fetch of all attributes."""
    return query.to_dicts(**order) if NEW else query.fetch(as_dict=True, **order)


def keys(query: Any, **order: Any) -> Any:
    """A fetch of keys."""
    return query.keys(**order) if NEW else query.fetch("KEY", **order)


@habit
def best_three(t: Any) -> None:
    """The three best of a session, and how many there are."""
    query = t & "sess = 3"
    rows(query, order_by="rate desc", limit=3)
    len(query)


@habit
def first_keys(t: Any) -> None:
    """Some keys."""
    keys(t, limit=4)
    len(t)


@habit
def keys_by_thirteen(t: Any) -> None:
    """As many keys as a display has rows."""
    keys(t, limit=13)
    len(t)


@habit
def rates_by_thirteen(t: Any) -> None:
    """One attribute of as many rows as a display has."""
    _ = t.to_arrays("rate", limit=13) if NEW else t.fetch("rate", limit=13)
    len(t)


@habit
def ordered_by_thirteen(t: Any) -> None:
    """As many rows as a display has, by a value."""
    rows(t, order_by="rate", limit=13)
    len(t)


@habit
def head(t: Any) -> None:
    """The first rows."""
    t.head(5)
    len(t)


@habit
def tail(t: Any) -> None:
    """The last rows."""
    t.tail(5)
    len(t)


@habit
def frame_with_blob(t: Any) -> None:
    """A data frame of as many rows as a display has."""
    _ = t.to_pandas(limit=13) if NEW else t.fetch(format="frame", limit=13)
    len(t)


@habit
def named_count(t: Any) -> None:
    """A figure's n."""
    dj.U().aggr(t & "sess = 2", n="count(*)").fetch1("n")


@habit
def two_counts(t: Any) -> None:
    """A figure's numbers."""
    dj.U().aggr(t & "sess = 2", n="count(*)", m="count(distinct rate)").fetch1("n", "m")


@habit
def display(t: Any) -> None:
    """A display on a terminal."""
    repr(t)


@habit
def display_in_a_notebook_with_blob(t: Any) -> None:
    """A display in a notebook."""
    t._repr_html_()


@habit
def display_of_some(t: Any) -> None:
    """The display of a restriction."""
    repr(t & "sess = 3" & "rate > 1")


@habit
def length(t: Any) -> None:
    """How many there are."""
    len(t & "sess = 3")


@habit
def truth(t: Any) -> None:
    """Whether there is one."""
    bool(t & "sess = 3")


def declare(schema: Any) -> dict[str, Any]:
    """A table for each habit."""
    tables = {}
    for name in HABITS:
        blob = f"wave = null : {BLOB}" if name.endswith("with_blob") else ""
        definition = f"unit : {INT}\n---\nsess : {INT}\nrate : {DOUBLE}\n{blob}"
        title = "".join(part.capitalize() for part in name.split("_"))
        tables[name] = schema(type(title, (dj.Manual,), {"definition": definition}))
    return tables


def pipeline(schema: Any) -> tuple[Any, Any]:
    """A table, and one that is computed from it."""

    @schema
    class Scan(dj.Manual):
        definition = f"subject : varchar(8)\nscan : {INT}\n---\ndepth : {DOUBLE}"

    @schema
    class Seg(dj.Computed):
        definition = f"-> Scan\n---\narea : {DOUBLE}"

        def make(self, key: dict[str, Any]) -> None:
            depth = (Scan & key).fetch1("depth")
            self.insert1({**key, "area": 2 * depth})

    return Scan, Seg


def main() -> None:
    """Does what the first argument says."""
    what = sys.argv[1]
    host, _, port = os.environ["DJ_HOST"].partition(":")
    port = port or os.environ["DJ_PORT"]
    connection = dj.Connection(host, os.environ["DJ_USER"], os.environ["DJ_PASS"], int(port))
    schema = dj.Schema(os.environ["SCHEMA"], connection=connection)
    tables, (scan, seg) = declare(schema), pipeline(schema)
    if what == "fill":
        for table in tables.values():
            table.insert([{"unit": n, "sess": n % SESSIONS, "rate": n * 7 % 30} for n in range(UNITS)])
        scan.insert([{"subject": subject, "scan": n, "depth": n} for subject in "ab" for n in range(10)])
    elif what == "habits":
        for name, function in HABITS.items():
            function(tables[name]())
    else:
        seg.populate("subject = 'a'", "scan < 3", reserve_jobs=what == "populate_with_jobs")


if __name__ == "__main__":
    main()
