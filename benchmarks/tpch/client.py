"""The analysis: sends some of the queries, one connection for all, and prints how many rows each gave.

It finds the server where `djproxy record` says, in MYSQL_HOST and MYSQL_TCP_PORT, and the account in TPCH_USER and
TPCH_PASSWORD. Arguments: the scale factor, the numbers of the queries.
"""

from __future__ import annotations

import os
import sys

import pymysql

from benchmarks.tpch.data import SCHEMA, queries


def main() -> None:
    """Sends them."""
    texts = queries(float(sys.argv[1]))
    connection = pymysql.connect(
        host=os.environ["MYSQL_HOST"],
        port=int(os.environ["MYSQL_TCP_PORT"]),
        user=os.environ["TPCH_USER"],
        password=os.environ["TPCH_PASSWORD"],
        database=SCHEMA,
    )
    with connection, connection.cursor() as cursor:
        for number in sys.argv[2:]:
            cursor.execute(texts[number])
            print(number, len(cursor.fetchall()))


if __name__ == "__main__":
    main()
