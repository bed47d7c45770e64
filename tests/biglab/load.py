"""Makes the lab on a server, row by row what the model says; the server checks every foreign key meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from examples.private_server import PrivateServer
from tests.biglab.model import NUMBERS, PEOPLE, SESSION, Table
from tests.biglab.shape import Lab

_NUMBERS = 100_000
_TABLES_OF_2X = ("common_", "spikesorting_")


def sessions_for(lab: Lab, rows: int) -> int:
    """How many sessions the lab has to have for about so many rows; at least one of each person's."""
    shared = sum(table.dimensions[0].width for table in lab.tables if table.lookup)
    return min(_NUMBERS, max(len(PEOPLE), round((rows - shared) / sum(table.weight for table in lab.tables))))


def load(server: PrivateServer, lab: Lab, sessions: int) -> int:
    """Makes and fills everything; gives the number of rows."""
    # Without a schema of its own, MySQL refuses derived tables.
    connection = server.connect(autocommit=True, database="mysql")
    with connection, connection.cursor() as cursor:
        for statement in _statements(lab, sessions):
            cursor.execute(statement)
        rows = 0
        for table in lab.tables:
            cursor.execute(f"ANALYZE TABLE {table.quoted}")
            cursor.execute(f"SELECT COUNT(*) FROM {table.quoted}")
            rows += cursor.fetchone()[0]
    return rows


def _statements(lab: Lab, sessions: int) -> Iterator[str]:
    # Not all servers' default, and not the numbers' alone: keys are compared without case.
    for schema in (NUMBERS, *lab.schemas):
        yield f"CREATE DATABASE `{schema}` CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
    yield from _numbers(sessions)
    for table in lab.tables:
        yield table.create()
        yield from table.fill()
    for schema in lab.schemas:
        yield from _housekeeping(schema, [table for table in lab.tables if table.schema == schema])
    yield f"DROP DATABASE {NUMBERS}"


def _numbers(sessions: int) -> Iterator[str]:
    """Numbers, and what is known of each session: whose it is, and of which of her subjects."""
    digits = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
    powers = [10**power for power in range(5)]
    yield f"CREATE TABLE {NUMBERS}.n (n int PRIMARY KEY)"
    yield (
        f"INSERT INTO {NUMBERS}.n SELECT {' + '.join(f'{power} * d{power}.d' for power in powers)}"
        f" FROM {' JOIN '.join(f'({digits}) d{power}' for power in powers)}"
    )
    yield (
        f"CREATE TABLE {NUMBERS}.session ({SESSION} varchar(64) PRIMARY KEY, entered_by varchar(32),"
        " subject_id varchar(80))"
    )
    person = f"ELT(1 + n MOD {len(PEOPLE)}, {', '.join(repr(person) for person in PEOPLE)})"
    day = f"n DIV {len(PEOPLE)}"
    yield (
        f"INSERT INTO {NUMBERS}.session SELECT CONCAT({person}, {day}, '_.nwb'), {person},"
        f" CONCAT({person}, ' rat ', ({day}) DIV 4) FROM {NUMBERS}.n WHERE n < {sessions}"
    )


def _housekeeping(schema: str, tables: list[Table]) -> Iterator[str]:
    """DataJoint's own tables: what people did, what is under way, and, of 2.x, where attributes come from."""
    yield (
        f"CREATE TABLE `{schema}`.`~log` (`timestamp` timestamp DEFAULT CURRENT_TIMESTAMP, `version` varchar(12),"
        " `user` varchar(255), `host` varchar(255), `event` varchar(255)) COMMENT 'event logging table'"
    )
    events = ", ".join(f"('2024-01-01', '0.14.1py', '{person}@lab', 'rig', 'Declared')" for person in PEOPLE)
    yield f"INSERT INTO `{schema}`.`~log` VALUES {events}"
    if any("__" in table.name for table in tables):
        yield (
            f"CREATE TABLE `{schema}`.`~jobs` (`table_name` varchar(255), `key_hash` char(32), `status`"
            " enum('reserved','error','ignore'), `key` longblob, `user` varchar(255),"
            " PRIMARY KEY (`table_name`, `key_hash`))"
        )
        jobs = ", ".join(
            f"('{table.name}', LEFT(SHA2('{schema}', 256), 32), 'error', NULL, 'bjorn@lab')" for table in tables
        )
        yield f"INSERT INTO `{schema}`.`~jobs` VALUES {jobs}"
    if schema.startswith(_TABLES_OF_2X):
        yield (
            f"CREATE TABLE `{schema}`.`~lineage` (`table_name` varchar(64), `attribute_name` varchar(64),"
            " `lineage` varchar(255), PRIMARY KEY (`table_name`, `attribute_name`))"
        )
        rows = ", ".join(
            f"('{table.name}', '{name}', '{schema}.{name}')" for table in tables for name in table.key_names
        )
        yield f"INSERT INTO `{schema}`.`~lineage` VALUES {rows}"
