"""A lab of any size on a server: schemas with pipelines of tables, as labs have them.

One schema of what all share (subjects, sessions, lookups), and a number of pipelines of ten tables each: composite
keys that grow from table to table, lookups in and beside keys, keys of text that compares without case, renamed
foreign keys, two to one table, a table that refers to itself, a foreign key into the pipeline before. Every row but
the lookups' belongs to a subject, so that a plain predicate knows which rows a slice has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

#: Per subject.
SESSIONS: Final = 2
#: Per session.
RECORDINGS: Final = 2
#: Per recording.
UNITS: Final = 5
LOOKUP_ROWS: Final = 50
LOOKUPS: Final = ("rig", "person", "param", "method", "probe", "region", "strain", "project")

#: The tables of a pipeline in the order of their making, with their rows per session.
PIPELINE: Final = {
    "recording": RECORDINGS,
    "unit": RECORDINGS * UNITS,
    "spikes": 2 * RECORDINGS * UNITS,
    "quality": 2 * RECORDINGS * UNITS,
    "selection": RECORDINGS,
    "result": RECORDINGS,
    "result__part": 3 * RECORDINGS,
    "pair": RECORDINGS * UNITS,
    "event": 5,
    "summary": 1,
}
#: The tables that nothing else needs: a slice is picked from these.
LEAVES: Final = ("quality", "result__part", "pair", "event", "summary")


@dataclass(frozen=True, slots=True)
class Lab:
    """How large it is: pipelines, and subjects; `cyclic`: a table refers to itself, which DataJoint does not allow."""

    pipelines: int
    subjects: int
    cyclic: bool = True

    @classmethod
    def of(cls, rows: int, pipelines: int = 19, *, cyclic: bool = True) -> Lab:
        """About so many rows."""
        return cls(pipelines, max(2, rows // (pipelines * SESSIONS * sum(PIPELINE.values()))), cyclic)

    @property
    def schemas(self) -> list[str]:
        return ["lab_common", *(f"lab_{number:02d}" for number in range(1, self.pipelines + 1))]

    def primary_keys(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """The primary key of each table."""
        found = {("lab_common", name): (name,) for name in LOOKUPS}
        found[("lab_common", "subject")] = ("subject",)
        found[("lab_common", "session")] = ("subject", "session")
        for schema in self.schemas[1:]:
            found |= {(schema, name): key for name, key in _KEYS.items()}
        return found


_RECORDING = ("subject", "session", "recording")
_UNIT = (*_RECORDING, "unit")
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "recording": _RECORDING,
    "unit": _UNIT,
    "spikes": (*_UNIT, "param"),
    "quality": (*_UNIT, "param"),
    "selection": ("selection",),
    "result": ("selection",),
    "result__part": ("selection", "part"),
    "pair": ("pair",),
    "event": ("event",),
    "summary": ("subject", "session"),
}


def build(cursor: Any, lab: Lab) -> None:
    """Makes and fills all schemas; foreign keys are checked by the server as rows come."""
    for statement in _statements(lab):
        cursor.execute(statement)


def _statements(lab: Lab) -> Iterator[str]:
    for schema in lab.schemas:
        yield f"CREATE DATABASE {schema} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
    yield "USE lab_common"
    digits = " UNION ALL ".join(f"SELECT {digit} AS d" for digit in range(10))
    yield "CREATE TABLE n (n int PRIMARY KEY)"
    powers = " JOIN ".join(f"({digits}) d{power}" for power in range(6))
    number = " + ".join(f"{10**power} * d{power}.d" for power in range(6))
    yield f"INSERT INTO n SELECT {number} FROM {powers}"
    for name in LOOKUPS:
        text = name == "person"
        yield f"CREATE TABLE {name} ({name} {'varchar(32)' if text else 'int'} PRIMARY KEY, note varchar(80))"
        value = "CONCAT('Person ', n)" if text else "n"
        yield f"INSERT INTO {name} SELECT {value}, REPEAT('note ', 5) FROM n WHERE n < {LOOKUP_ROWS}"
    yield (
        "CREATE TABLE subject (subject int PRIMARY KEY, strain int, FOREIGN KEY (strain) REFERENCES strain (strain),"
        " born date)"
    )
    yield f"INSERT INTO subject SELECT n, n % {LOOKUP_ROWS}, '2024-01-01' FROM n WHERE n BETWEEN 1 AND {lab.subjects}"
    yield (
        "CREATE TABLE session (subject int, session smallint, project int, started datetime,"
        " PRIMARY KEY (subject, session),"
        " FOREIGN KEY (subject) REFERENCES subject (subject), FOREIGN KEY (project) REFERENCES project (project))"
    )
    yield (
        f"INSERT INTO session SELECT subject, n, (subject + n) % {LOOKUP_ROWS}, '2024-01-01' FROM subject"
        f" JOIN n ON n < {SESSIONS}"
    )
    for number, schema in enumerate(lab.schemas[1:]):
        yield from _pipeline(schema, lab.schemas[number], cyclic=lab.cyclic)


def _pipeline(schema: str, before: str, *, cyclic: bool) -> Iterator[str]:
    yield f"USE {schema}"
    recording = "subject int, session smallint, recording int"
    common, n = "lab_common", "lab_common.n"
    yield (
        f"CREATE TABLE recording ({recording}, rig int, probe int NULL, made datetime, PRIMARY KEY ({_in(_RECORDING)}),"
        f" FOREIGN KEY (subject, session) REFERENCES {common}.session (subject, session),"
        f" FOREIGN KEY (rig) REFERENCES {common}.rig (rig), FOREIGN KEY (probe) REFERENCES {common}.probe (probe))"
    )
    yield (
        f"INSERT INTO recording SELECT subject, session, n, (subject + n) % {LOOKUP_ROWS},"
        f" IF(subject % 3, subject % {LOOKUP_ROWS}, NULL), '2024-01-01'"
        f" FROM {common}.session JOIN {n} ON n < {RECORDINGS}"
    )
    yield (
        f"CREATE TABLE unit ({recording}, unit int, depth double, PRIMARY KEY ({_in(_UNIT)}),"
        f" FOREIGN KEY ({_in(_RECORDING)}) REFERENCES recording ({_in(_RECORDING)}))"
    )
    yield f"INSERT INTO unit SELECT {_in(_RECORDING)}, n, n / 7 FROM recording JOIN {n} ON n < {UNITS}"
    yield (
        f"CREATE TABLE spikes ({recording}, unit int, param int, amount int, PRIMARY KEY ({_in(_UNIT)}, param),"
        f" FOREIGN KEY ({_in(_UNIT)}) REFERENCES unit ({_in(_UNIT)}),"
        f" FOREIGN KEY (param) REFERENCES {common}.param (param))"
    )
    yield f"INSERT INTO spikes SELECT {_in(_UNIT)}, (unit + n) % {LOOKUP_ROWS}, n FROM unit JOIN {n} ON n < 2"
    yield (
        f"CREATE TABLE quality ({recording}, unit int, param int, method int, score double,"
        f" PRIMARY KEY ({_in(_UNIT)}, param), FOREIGN KEY (method) REFERENCES {common}.method (method),"
        f" FOREIGN KEY ({_in(_UNIT)}, param) REFERENCES spikes ({_in(_UNIT)}, param))"
    )
    yield f"INSERT INTO quality SELECT {_in(_UNIT)}, param, (unit + subject) % {LOOKUP_ROWS}, 0.5 FROM spikes"
    yield (
        f"CREATE TABLE selection (selection varchar(40) PRIMARY KEY, {recording}, person varchar(32),"
        f" FOREIGN KEY ({_in(_RECORDING)}) REFERENCES recording ({_in(_RECORDING)}),"
        f" FOREIGN KEY (person) REFERENCES {common}.person (person))"
    )
    yield (
        f"INSERT INTO selection SELECT LEFT(SHA2(CONCAT_WS('-', '{schema}', {_in(_RECORDING)}), 256), 32),"
        f" {_in(_RECORDING)}, CONCAT('person ', subject % {LOOKUP_ROWS}) FROM recording"
    )
    yield (
        "CREATE TABLE result (selection varchar(40) PRIMARY KEY, subject int, score double,"
        " FOREIGN KEY (selection) REFERENCES selection (selection))"
    )
    yield "INSERT INTO result SELECT selection, subject, 1 FROM selection"
    yield (
        "CREATE TABLE result__part (selection varchar(40), part int, subject int, PRIMARY KEY (selection, part),"
        " FOREIGN KEY (selection) REFERENCES result (selection))"
    )
    yield f"INSERT INTO result__part SELECT selection, n, subject FROM result JOIN {n} ON n < 3"
    ends = ", ".join(f"{end}_session smallint, {end}_recording int, {end}_unit int" for end in ("a", "b"))
    keys = ", ".join(
        f"FOREIGN KEY (subject, {end}_session, {end}_recording, {end}_unit) REFERENCES unit ({_in(_UNIT)})"
        for end in ("a", "b")
    )
    yield f"CREATE TABLE pair (pair int AUTO_INCREMENT PRIMARY KEY, subject int, {ends}, {keys})"
    yield (
        "INSERT INTO pair (subject, a_session, a_recording, a_unit, b_session, b_recording, b_unit)"
        f" SELECT subject, session, recording, unit, session, recording, (unit + 1) % {UNITS} FROM unit"
    )
    itself = ", FOREIGN KEY (previous) REFERENCES event (event)" if cyclic else ""
    yield (
        "CREATE TABLE event (event bigint PRIMARY KEY, subject int, session smallint, previous bigint NULL,"
        f" FOREIGN KEY (subject, session) REFERENCES {common}.session (subject, session){itself})"
    )
    first = f"(subject * {SESSIONS} + session) * 5 + n"
    yield (
        f"INSERT INTO event SELECT {first}, subject, session, IF(n, {first} - 1, NULL) FROM {common}.session"
        f" JOIN {n} ON n < 5 ORDER BY 1"
    )
    extra, key = "", ""
    if before != common:
        extra = ", recording int, unit int, param int"
        key = f", FOREIGN KEY ({_in(_UNIT)}, param) REFERENCES {before}.spikes ({_in(_UNIT)}, param)"
    yield (
        f"CREATE TABLE summary (subject int, session smallint{extra}, note varchar(80), PRIMARY KEY (subject, session),"
        f" FOREIGN KEY (subject, session) REFERENCES {common}.session (subject, session){key})"
    )
    values = ", 0, 0, 0" if key else ""
    yield f"INSERT INTO summary SELECT subject, session{values}, 'fine' FROM {common}.session"


def _in(columns: tuple[str, ...]) -> str:
    return ", ".join(columns)
