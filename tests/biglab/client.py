"""The paper's analysis: sends the statements of a file, one after the other, and fetches their rows."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pymysql


def main() -> None:
    """By the address that `djproxy record` gives, with the account of the environment."""
    connection = pymysql.connect(
        host=os.environ["MYSQL_HOST"],
        port=int(os.environ["MYSQL_TCP_PORT"]),
        user=os.environ["BIGLAB_USER"],
        password=os.environ["BIGLAB_PASSWORD"],
        charset="utf8mb4",
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        for sql in json.loads(Path(sys.argv[1]).read_text()):
            cursor.execute(sql)
            cursor.fetchall()


if __name__ == "__main__":
    main()
