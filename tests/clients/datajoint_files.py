"""A lab's pipeline of three schemas whose rows name files; runs under 0.14 and under 2.x alike.

Reads requests from stdin, one JSON document per line: {"host", "port", "user", "password", "base", "stores", "work",
"plain", "task"}, and answers each with one line of JSON on stdout: {"result": …} or {"error": …}. `base` begins the
schemas' names, `stores` is the folder with a folder for each store, `work` one for files that come and go; `plain`:
without stores.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ["DJ_SUPPORT_FILEPATH_MANAGEMENT"] = "TRUE"
os.environ["DJ_IGNORE_CONFIG_FILE"] = "true"

import datajoint as dj
import numpy as np

NEW = not dj.__version__.startswith("0.")

#: Types of columns, in the words of each line.
OLD_TYPES = {"INT": "int", "DOUBLE": "double", "INNER": "longblob", "NOTE": "attach", "SHEET": "attach@files"} | {
    "WAVES": "blob@files",
    "PATH": "filepath@raw",
}
NEW_TYPES = {"INT": "int32", "DOUBLE": "float64", "INNER": "<blob>", "NOTE": "<attach>", "SHEET": "<attach@files>"} | {
    "WAVES": "<blob@files>",
    "PATH": "<filepath@raw>",
}
#: Without stores, whose JSON 2.x cannot insert into MariaDB.
PLAIN_TYPES = NEW_TYPES | {"SHEET": "<attach>", "WAVES": "<blob>", "PATH": "varchar(99)"}
#: What only 2.x has: a file and a folder as objects, an array.
OBJECTS = """
        trace : <object@files>
        chunks : <object@files>
        array : <npy@files>
"""

RECORDINGS = (1, 2, 3)


def declare(base: str, connection: Any, plain: bool) -> SimpleNamespace:
    """The lab's pipeline, as importing its modules would declare it."""

    def typed(definition: str) -> str:
        """A definition in this line's words."""
        for word, written in (PLAIN_TYPES if plain else NEW_TYPES if NEW else OLD_TYPES).items():
            definition = definition.replace(f": {word}", f": {written}")
        return definition

    common = dj.Schema(f"{base}_common", connection=connection)
    rigs = dj.Schema(f"{base}_rigs", connection=connection)
    ephys = dj.Schema(f"{base}_ephys", connection=connection)

    @common
    class Nwbfile(dj.Manual):
        definition = typed("""
        nwb_file_name : varchar(64)
        ---
        nwb_file_abs_path : PATH
        """)

    @common
    class Session(dj.Manual):
        definition = typed("""
        -> Nwbfile
        session : INT
        ---
        session_date : date
        """)

    @common
    class Unvisited(dj.Manual):
        definition = typed("""
        -> Session
        ---
        remark : varchar(40)
        """)

    @rigs
    class Rig(dj.Manual):
        definition = typed("""
        rig : varchar(16)
        """)

    @rigs
    class Calibration(dj.Manual):
        definition = typed("""
        -> Rig
        ---
        gain : DOUBLE
        """)

    @ephys
    class Recording(dj.Manual):
        definition = typed("""
        -> Session
        recording : INT
        ---
        inner_blob : INNER
        note : NOTE
        sheet : SHEET
        waves : WAVES
        video : varchar(200)
        """) + (OBJECTS if NEW and not plain else "")

    @ephys
    class Placement(dj.Manual):
        definition = typed("""
        -> Recording
        -> Rig
        """)

    @ephys
    class Power(dj.Computed):
        definition = typed("""
        -> Recording
        ---
        power : DOUBLE
        """)

        class Channel(dj.Part):
            definition = typed("""
            -> master
            channel : INT
            ---
            channel_power : DOUBLE
            """)

        def make(self, key: dict[str, Any]) -> None:
            """The squares of a recording's waves, summed."""
            waves = (Recording & key).fetch1("waves")
            self.insert1({**key, "power": float((waves**2).sum())})
            self.Channel.insert({**key, "channel": n, "channel_power": float(w**2)} for n, w in enumerate(waves))

    return SimpleNamespace(**{name: table for name, table in locals().items() if isinstance(table, type)})


def configure(request: dict[str, Any]) -> None:
    """DataJoint's settings of stores and downloads."""
    folder, work = Path(request["stores"]), Path(request["work"])
    stores: dict[str, Any] = {name: {"protocol": "file", "location": str(folder / name)} for name in ("files", "raw")}
    if not NEW:
        stores["raw"]["stage"] = str(work / "stage")
    (work / "stage").mkdir(parents=True, exist_ok=True)
    (work / "download").mkdir(exist_ok=True)
    dj.config["stores"] = stores
    dj.config["download_path"] = str(work / "download")


def recorded(number: int, work: Path, stores: Path, plain: bool) -> dict[str, Any]:
    """The values of a recording; the files that they are made of lie in `work`."""
    sheet, note = work / f"sheet {number}.csv", work / f"note{number}.txt"
    sheet.write_text(f"sheet,{number}\n" * number)
    note.write_text(f"note {number}")
    values: dict[str, Any] = {
        "recording": number,
        "inner_blob": np.arange(number),
        "note": str(note),
        "sheet": str(sheet),
        "waves": np.arange(5) * number / 2,
        "video": str(stores / "videos" / "rig1" / f"v{number}.avi"),
    }
    if NEW and not plain:
        trace, chunks = work / f"trace{number}.bin", work / f"chunks{number}.zarr"
        trace.write_bytes(bytes(range(10 * number)))
        (chunks / "a" / "b").mkdir(parents=True)
        (chunks / ".zgroup").write_text("{}")
        (chunks / "a" / "b" / "0.0").write_bytes(bytes(number))
        values |= {"trace": str(trace), "chunks": str(chunks), "array": np.eye(number)}
    return values


def raw_file(number: int, work: Path, stores: Path) -> str:
    """A file of the store `raw`, as the line wants it named."""
    name = f"sub/r{number}_.nwb"
    place = stores / "raw" if NEW else work / "stage"
    (place / "sub").mkdir(parents=True, exist_ok=True)
    (place / name).write_bytes(b"raw" * number)
    return name if NEW else str(place / name)


def fill(tables: SimpleNamespace, request: dict[str, Any]) -> Any:
    """Fills the tables and the stores; always the same."""
    work, stores = Path(request["work"]), Path(request["stores"])
    (stores / "videos" / "rig1").mkdir(parents=True)
    tables.Rig.insert1({"rig": "rig1"})
    tables.Calibration.insert1({"rig": "rig1", "gain": 2.5})
    for number in RECORDINGS:
        (stores / "videos" / "rig1" / f"v{number}.avi").write_bytes(b"video" * number)
        name = f"r{number}_.nwb"
        tables.Nwbfile.insert1({"nwb_file_name": name, "nwb_file_abs_path": raw_file(number, work, stores)})
        key = {"nwb_file_name": name, "session": number}
        tables.Session.insert1({**key, "session_date": f"2025-01-0{number}"})
        tables.Unvisited.insert1({**key, "remark": "nobody asks"})
        tables.Recording.insert1({**key, **recorded(number, work, stores, request["plain"])})
        tables.Placement.insert1({**key, "recording": number, "rig": "rig1"})
    return "filled"


def analyse(tables: SimpleNamespace, request: dict[str, Any]) -> Any:
    """What the paper's analysis reads of two of the three recordings, with the contents of their files."""
    query = (tables.Session * tables.Recording) & "recording < 3"
    rows = query.to_dicts(order_by="KEY") if NEW else fetched(query, request)
    files = tables.Nwbfile & (tables.Session & "session < 3")
    raw = (
        files.to_arrays("nwb_file_abs_path", order_by="KEY")
        if NEW
        else files.fetch("nwb_file_abs_path", order_by="KEY")
    )
    return [[{name: shown(value) for name, value in row.items()} for row in rows], [shown(each) for each in raw]]


def fetched(query: Any, request: dict[str, Any]) -> Any:
    """0.14 puts attachments where it is told."""
    return query.fetch(as_dict=True, order_by="KEY", download_path=str(Path(request["work"]) / "download"))


def shown(value: Any) -> Any:
    """A value with what is in the file that it names."""
    if isinstance(value, str) and value.endswith((".csv", ".txt", ".nwb")) and Path(value).is_file():
        return [Path(value).name, Path(value).read_text()]
    if hasattr(value, "verify") and hasattr(value, "is_dir"):
        if value.is_dir:
            return [value.verify(), value.open("a/b/0.0").read().hex()]
        return value.read().hex()
    if hasattr(value, "load"):
        value = value.load()
    return value.tolist() if isinstance(value, np.ndarray) else value if isinstance(value, (int, dict)) else str(value)


def work_on(tables: SimpleNamespace, request: dict[str, Any]) -> Any:
    """What somebody does with a restored copy: a diagram, new rows, computed ones, a join of everything."""
    diagram = dj.Diagram(tables.Recording) - 9 + 9
    session = {"nwb_file_name": "r1_.nwb", "session": 1}
    tables.Recording.insert1(
        {**session, **recorded(4, Path(request["work"]), Path(request["stores"]), request["plain"])}
    )
    tables.Power.populate()
    power = tables.Power.Channel * tables.Power * tables.Recording.proj() * tables.Session
    rows = power.to_dicts(order_by="KEY") if NEW else power.fetch(as_dict=True, order_by="KEY")
    tables.Rig.insert1({"rig": "rig2"}, skip_duplicates=True)
    empty = [len(tables.Unvisited()), len(tables.Calibration()), len(tables.Placement())]
    return {
        "diagram": sorted(name for name in diagram.nodes_to_show if not name.isdigit()),
        "power": [[row["recording"], row["channel"], row["channel_power"], str(row["session_date"])] for row in rows],
        "empty": empty,
    }


TASKS: dict[str, Callable[[SimpleNamespace, dict[str, Any]], Any]] = {
    "fill": fill,
    "analyse": analyse,
    "work_on": work_on,
}


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Imports the pipeline over a connection of its own and does the task."""
    configure(request)
    connection = dj.Connection(request["host"], request["user"], request["password"], request["port"])
    try:
        return {"result": TASKS[request["task"]](declare(request["base"], connection, request["plain"]), request)}
    finally:
        connection.close()


def main() -> None:
    """Serves requests until stdin ends; what DataJoint prints on stdout goes to stderr."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as out:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        for line in sys.stdin:
            try:
                document = answer(json.loads(line))
            except Exception as error:
                document = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(document), file=out, flush=True)


if __name__ == "__main__":
    main()
