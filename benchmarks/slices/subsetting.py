"""msg555/subsetter on the lab, for a Python that has it; imports nothing of ours."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from subsetter.config_model import SubsetterConfig
from subsetter.planner import Planner
from subsetter.sampler import Sampler


def main() -> None:
    """Prints one JSON document, as benchmarks.slices.way does; `copied` is the time with rows written as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--password-file", type=Path)
    parser.add_argument("--where")
    parser.add_argument("--leaves")
    options = parser.parse_args()
    leaves = [leaf.replace("`", "") for leaf in options.leaves.split(",")]
    schemas = sorted({leaf.split(".")[0] for leaf in leaves})
    with tempfile.TemporaryDirectory() as folder:
        config = SubsetterConfig.model_validate(
            {
                "source": {
                    "dialect": "mysql",
                    "host": "127.0.0.1",
                    "port": options.port,
                    "username": "root",
                    "password": options.password_file.read_text().strip(),
                },
                "planner": {
                    "select": [f"{schema}.*" for schema in [*schemas, "lab_common"]],
                    "ignore": ["lab_common.n"],
                    "targets": {leaf: {"sql": options.where} for leaf in leaves},
                    # It refuses tables that refer to themselves; here these rows come along anyway.
                    "ignore_fks": [
                        {"src_table": f"{schema}.event", "dst_table": f"{schema}.event"} for schema in schemas
                    ],
                },
                "sampler": {"output": {"mode": "directory", "directory": folder}},
            }
        )
        found = measured(config)
        found["rows"] = {file.stem: sum(1 for _ in file.open("rb")) for file in Path(folder).glob("*.json*")}
    found["megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    json.dump(found, sys.stdout)


def measured(config: SubsetterConfig) -> dict[str, Any]:
    """Plans and samples; the closure has ended when all tables are materialized."""
    materialize, ended = Sampler._materialize_tables, list[float]()

    def timed(*arguments: Any, **options: Any) -> Any:
        result = materialize(*arguments, **options)
        ended.append(time.perf_counter())
        return result

    Sampler._materialize_tables = timed
    started, processor = time.perf_counter(), time.process_time()
    plan = Planner(config.source, config.planner).plan()
    Sampler(config.source, config.sampler).sample(plan)
    copied = time.perf_counter() - started
    seconds = ended[0] - started if ended else copied
    return {"seconds": seconds, "copied": copied, "processor": time.process_time() - processor, "queries": None}


if __name__ == "__main__":
    main()
