"""One way to find a slice's rows, in a process of its own: the keys of its rows, and what that took."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.slices.lab import LEAVES, LOOKUPS, Lab
from graph.cascade import Bounds, cascade, leaf_rule
from graph.database import Credentials, Database, ServerAddress
from graph.keystore import DEFAULT_MEMORY
from graph.names import TableName
from graph.schema import read_schema


def plain(database: Database, lab: Lab, where: str, memory: int) -> dict[str, int]:
    """One plain SELECT of the keys of each table, its rows known beforehand; the keys are kept nowhere."""
    found = {}
    for (schema, name), key in lab.primary_keys().items():
        chosen = "TRUE" if name in LOOKUPS else where
        rows = database.rows(f"SELECT {', '.join(key)} FROM {schema}.{name} WHERE {chosen}")
        found[f"{schema}.{name}"] = sum(1 for _ in rows)
    return found


def closure(database: Database, lab: Lab, where: str, memory: int) -> dict[str, int]:
    """The cascade, from the tables that nothing else needs."""
    leaves = [TableName(schema, name) for schema in lab.schemas[1:] for name in LEAVES]
    schema = read_schema(database, leaves)
    rules = [leaf_rule(schema.tables[name], where) for name in leaves]
    slice_ = cascade(database, schema, rules, bounds=Bounds(memory))
    return {str(name): table.rows for name, table in slice_.tables.items()}


WAYS: dict[str, Callable[[Database, Lab, str, int], dict[str, int]]] = {"plain": plain, "closure": closure}


def main() -> None:
    """Prints one JSON document."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=sorted(WAYS))
    parser.add_argument("--port", type=int)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--pipelines", type=int)
    parser.add_argument("--subjects", type=int)
    parser.add_argument("--where")
    parser.add_argument("--memory", type=int, default=DEFAULT_MEMORY)
    options = parser.parse_args()
    lab = Lab(options.pipelines, options.subjects)
    password = options.password_file.read_text().strip()
    with Database.connect(ServerAddress("127.0.0.1", options.port), Credentials("root", password)) as database:
        started, processor = time.perf_counter(), time.process_time()
        with database.snapshot():
            found = WAYS[options.way](database, lab, options.where, options.memory)
        seconds, processor = time.perf_counter() - started, time.process_time() - processor
        queries = int(next(database.rows("SHOW SESSION STATUS LIKE 'Questions'"))[1])
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    document = {"seconds": seconds, "processor": processor, "megabytes": megabytes, "queries": queries, "rows": found}
    json.dump(document, sys.stdout)


if __name__ == "__main__":
    main()
