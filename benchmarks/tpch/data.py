"""TPC-H's data and queries: made by tpchgen-cli, loaded into a server's schema, read from `queries/`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from examples.private_server import PrivateServer

HERE = Path(__file__).parent
SCHEMA = "tpch"
#: Parents before children.
TABLES = ("region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem")
#: What is bought is a part of all stock: the larger the database, the smaller the share that is important (Q11).
FRACTION_AT_1 = 0.0001


def queries(scale: float) -> dict[str, str]:
    """The text of each query by its number (15v: Q15 over a view), with the specification's validation values."""
    fraction = f"{FRACTION_AT_1 / scale:.10f}"
    return {
        path.stem: path.read_text().replace("{fraction}", fraction) for path in sorted((HERE / "queries").glob("*.sql"))
    }


def generate(scale: float, folder: Path) -> None:
    """Writes the data of a scale factor, one file per table."""
    program = Path(sys.executable).with_name("tpchgen-cli")
    command = [program, "tbl", "--scale-factor", f"{scale:g}", "--output-dir", folder, "--quiet"]
    subprocess.run(command, check=True)


def load(server: PrivateServer, folder: Path) -> None:
    """Makes the schema and fills it with what `generate` wrote."""
    connection = server.connect(autocommit=True, local_infile=True)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {SCHEMA} CHARACTER SET utf8mb4")
        cursor.execute(f"USE {SCHEMA}")
        for statement in (HERE / "schema.sql").read_text().split(";\n"):
            if statement.strip():
                cursor.execute(statement)
        # Below scale factor 0.008 there are so few suppliers that some partsupp keys come twice: the first one stays.
        # With unique_checks off, MariaDB's bulk load would then lose other rows.
        cursor.execute("SET foreign_key_checks = 0")
        for table in TABLES:
            cursor.execute(
                f"LOAD DATA LOCAL INFILE %s INTO TABLE {table} FIELDS TERMINATED BY '|' LINES TERMINATED BY '|\\n'",
                [str(folder / f"{table}.tbl")],
            )
        # Statistics of their own accord come some seconds later, and plans until then are another matter.
        cursor.execute(f"ANALYZE TABLE {', '.join(TABLES)}")
