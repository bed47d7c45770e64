"""Builds and fetches DataJoint expressions written down as JSON; runs under 0.14 and under 2.x alike.

Reads requests from stdin, one JSON document per line: {"host", "port", "user", "password", "schema", "expressions"};
answers each with one line: {"result": [{"rows": …} or {"refused": …}, …]}. Without "expressions" it makes the tables of
datajoint_operators.py. Before an expression's statements goes `SELECT 'nested N'`, N its number, and after the last one
`SELECT 'nested end'`. tests/nested/expressions.py says what an expression is.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import datajoint as dj
import pymysql
from datajoint_operators import connected, declare, fill, inner_aggr, keys, outer_aggr, plain, rows, unordered

AndList = dj.AndList
REFUSALS = (dj.DataJointError, pymysql.err.MySQLError)


def build(t: SimpleNamespace, spec: list[Any]) -> Any:
    """The expression that a document describes."""
    verb, *arguments = spec
    return VERBS[verb](t, *arguments)


def condition(t: SimpleNamespace, document: dict[str, Any]) -> Any:
    """What stands behind & or -."""
    [(kind, value)] = document.items()
    if kind in ("dict", "sql"):
        return value
    if kind == "query":
        return build(t, value)
    if kind == "not":
        return dj.Not(condition(t, value))
    conditions = [condition(t, each) for each in value]
    return AndList(conditions) if kind == "and" else conditions


def project(t: SimpleNamespace, operand: Any, kept: list[str], named: dict[str, str]) -> Any:
    """A projection; "..." stands for all secondary attributes."""
    return build(t, operand).proj(*(... if name == "..." else name for name in kept), **named)


VERBS: dict[str, Any] = {
    "table": lambda t, name: getattr(t, name)(),
    "and": lambda t, operand, document: build(t, operand) & condition(t, document),
    "minus": lambda t, operand, document: build(t, operand) - condition(t, document),
    "top": lambda t, operand, limit, order, offset: build(t, operand) & dj.Top(limit, order, offset),
    "proj": project,
    "join": lambda t, left, right: build(t, left) * build(t, right),
    "left": lambda t, left, right: build(t, left).join(build(t, right), left=True),
    "aggr": lambda t, left, right, named: inner_aggr(build(t, left), build(t, right), **named),
    "outer": lambda t, left, right, named: outer_aggr(build(t, left), build(t, right), **named),
    "union": lambda t, left, right: build(t, left) + build(t, right),
    "u": lambda t, operand, names: dj.U(*names) & build(t, operand),
    "u_aggr": lambda t, operand, names, named: dj.U(*names).aggr(build(t, operand), **named),
}
FETCHES = {"plain": unordered, "ordered": rows, "keys": keys}


def fetched(t: SimpleNamespace, expression: dict[str, Any]) -> dict[str, Any]:
    """The rows of an expression, or why there are none."""
    try:
        return {"rows": sorted(FETCHES[expression["fetch"]](build(t, expression["spec"])), key=repr)}
    except Exception as error:
        if not _refusal(error):
            raise
        return {"refused": f"{type(error).__name__}: {error}"}


def _refusal(error: Exception) -> bool:
    """Whether DataJoint or the server says no, or DataJoint stumbles; anything else is a mistake of ours."""
    places = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    return isinstance(error, REFUSALS) or Path(dj.__file__).parent in Path(places[-1]).parents


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """All expressions of a request over one connection."""
    create = "expressions" not in request
    with connected(request) as connection:
        schema = dj.Schema(request["schema"], connection=connection, create_schema=create, create_tables=create)
        tables = declare(schema)
        if create:
            return {"result": fill(tables)}
        result = []
        for number, expression in enumerate(request["expressions"]):
            connection.query(f"SELECT 'nested {number}'")
            result.append(fetched(tables, expression))
        connection.query("SELECT 'nested end'")
        return {"result": result}


def shown(value: Any) -> Any:
    """What json does not know; numbers stay numbers."""
    return float(value) if isinstance(value, Decimal) else plain(value)


def main() -> None:
    """Serves requests until stdin ends; what DataJoint prints on stdout goes to stderr."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for line in sys.stdin:
            try:
                document = answer(json.loads(line))
            except Exception as error:
                document = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(document, default=shown), file=out, flush=True)


if __name__ == "__main__":
    main()
