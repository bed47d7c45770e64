"""Spyglass's RestrGraph on the lab, for a Python that has DataJoint 0.14 and tqdm; imports nothing of ours.

Spyglass as a whole wants a laboratory's stack; its graph needs little of it. So the graph is loaded from a clone of
Spyglass with stand-ins for the modules around it, and with three functions read from the clone.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import logging
import resource
import sys
import time
import types
from collections.abc import Iterable
from pathlib import Path

import datajoint as dj

_HELPERS = {"ensure_names", "fuzzy_get", "unique_dicts"}


def load(clone: Path) -> types.ModuleType:
    """The module of RestrGraph."""
    folder = clone / "src" / "spyglass" / "utils"
    for name in ("spyglass", "spyglass.utils", "spyglass.utils.database_settings", "spyglass.utils.dj_helper_fn"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["spyglass.utils"].logger = logging.getLogger("spyglass")
    sys.modules["spyglass.utils.database_settings"].SHARED_MODULES = ["lab"]
    helpers = sys.modules["spyglass.utils.dj_helper_fn"]
    tree = ast.parse((folder / "dj_helper_fn.py").read_text())
    kept = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in _HELPERS]
    helpers.__dict__.update(vars(dj.user_tables), Table=dj.Table, Iterable=Iterable, PERIPHERAL_TABLES=[])
    helpers.__dict__.update({name: getattr(__import__("typing"), name) for name in ("Union", "List", "Dict", "Type")})
    exec(compile(ast.Module(kept, []), "dj_helper_fn.py", "exec"), helpers.__dict__)
    spec = importlib.util.spec_from_file_location("spyglass.utils.dj_graph", folder / "dj_graph.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Prints one JSON document, as benchmarks.slices.way does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--spyglass", type=Path)
    parser.add_argument("--port", type=int)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--where")
    parser.add_argument("--leaves")
    options = parser.parse_args()
    dj.config["database.host"] = "127.0.0.1"
    dj.config["database.port"] = options.port
    dj.config["database.user"] = "root"
    dj.config["database.password"] = options.password_file.read_text().strip()
    dj.config["loglevel"] = "WARNING"
    module = load(options.spyglass)
    connection = dj.conn()
    leaves = options.leaves.split(",")
    started, processor = time.perf_counter(), time.process_time()
    for schema in sorted({leaf.split(".")[0].strip("`") for leaf in leaves} | {"lab_common"}):
        dj.VirtualModule(schema, schema)
    graph = module.RestrGraph(
        seed_table=dj.FreeTable(connection, leaves[0]),
        leaves=[{"table_name": leaf, "restriction": options.where} for leaf in leaves],
        cascade=True,
    )
    # Until here restrictions are subqueries of subqueries: the keys are what a dump is made from.
    graph.enforce_restr_strings()
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    queries = int(connection.query("SHOW SESSION STATUS LIKE 'Questions'").fetchone()[1])
    rows = {}
    for table in graph.restr_ft:
        if not table.full_table_name.isnumeric():
            rows[table.full_table_name.replace("`", "")] = len(table)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump(
        {"seconds": seconds, "processor": processor, "megabytes": megabytes, "queries": queries, "rows": rows},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
