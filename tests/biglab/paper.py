"""A paper's statements as DataJoint 0.14 writes them, each with the rows that it reads by construction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from tests.biglab.model import PEOPLE, SESSION, Table, listed
from tests.biglab.shape import Lab

AUTHOR: Final = "alice"
#: Of whom one statement reads a little.
COLLEAGUE: Final = "bjorn"
_PIPELINES: Final = ("lfp", "lfp_band", "ripple", "position", "linearization", "decoding", "mua", "burst")


@dataclass(frozen=True, slots=True)
class Query:
    """A statement; `rows` are SELECTs of the keys of the rows that it fetches, by table. None: it fetches no rows that
    others do not."""

    sql: str
    rows: tuple[tuple[Table, str], ...] = ()


def own_sessions(sessions: int) -> list[str]:
    """The sessions that the paper is about: the first half of the author's."""
    number = len(range(PEOPLE.index(AUTHOR), sessions, len(PEOPLE)))
    return [f"{AUTHOR}{day}_.nwb" for day in range(max(1, number // 2))]


def paper(lab: Lab, sessions: int) -> list[Query]:
    """All statements of the paper."""
    return list(_Author(lab, own_sessions(sessions)).statements())


class _Author:
    def __init__(self, lab: Lab, sessions: Sequence[str]) -> None:
        self.lab = lab
        self.sessions = sessions
        terms = [f'(`{SESSION}`="{name}")' for name in sessions]
        self.mine = f"( {' OR '.join(terms)})"

    def statements(self) -> Iterator[Query]:
        yield from self._shared()
        yield from self._sorting()
        for name in _PIPELINES:
            yield from self._pipeline(name)
        yield from self._own()
        yield from self._files()
        yield from self._looks()

    def _shared(self) -> Iterator[Query]:
        table = self.lab.table
        session, interval = table("common_session", "_session"), table("common_interval", "interval_list")
        yield self._fetch([session, table("common_session", "_session__experimenter")], self.mine)
        yield self._fetch([session, table("common_subject", "subject")], self.mine)
        yield self._fetch([interval], f"{self.mine}AND(interval_list_name like 'interval%')")
        yield self._fetch([table("common_ephys", "_raw")], self.mine, left=session)
        group, electrode = table("common_ephys", "_electrode_group"), table("common_ephys", "_electrode")
        yield self._fetch([group], self.mine, columns="DISTINCT `brain_region_name`")
        keys = [
            f'((`{SESSION}`="{name}")AND(`electrode_group_name`="group {number % 2}")AND(`electrode_id`={number % 8}))'
            for name in self.sessions
            for number in range(10)
        ]
        yield self._fetch([electrode], f"( {' OR '.join(keys)})")
        yield self._first(electrode, 5)
        yield self._fetch(
            [table("common_task", "_task_epoch"), table("common_task", "#task")], f"{self.mine}AND(epoch < 2)"
        )
        bad = table("common_ephys", "_electrode_bad_channel")
        yield self._fetch([bad], self.mine)
        # Whoever is not in it shows that all are.
        key = listed(group.key_names)
        never = f"({key}) not in (SELECT {key} FROM {bad.quoted})"
        yield Query(f"SELECT {key} FROM {group.quoted} WHERE ( {self.mine}) AND ({never})")
        yield Query(
            f"SELECT {listed(session.key_names)}, count(*) as `n` FROM {session.quoted} NATURAL JOIN"
            f" {interval.quoted} WHERE ({self.mine}) GROUP BY {listed(session.key_names)}"
        )

    def _sorting(self) -> Iterator[Query]:
        v0 = "spikesorting_v0_{}".format
        chain = [
            self.lab.table(v0("curation"), name)
            for name in (
                "__curated_spike_sorting__unit",
                "__curated_spike_sorting",
                "__quality_metrics",
                "metric_selection",
                "__waveforms",
                "waveform_selection",
                "curation",
            )
        ] + [self.lab.table(v0("sorting"), name) for name in ("__spike_sorting", "spike_sorting_selection")]
        yield self._fetch(chain, f"{self.mine}AND(unit_id < 4)AND(curation_id = 1)")
        # Restricted by a restricted restriction.
        recording = self.lab.table(v0("recording"), "__spike_sorting_recording")
        selection = self.lab.table(v0("recording"), "spike_sorting_recording_selection")
        group = self.lab.table(v0("recording"), "sort_group")
        key = listed(group.key_names)
        inner = f"SELECT {key} FROM {group.quoted} WHERE ( {self.mine})AND( (sort_group_id=0))"
        inner = f"SELECT {key} FROM {selection.quoted} WHERE (({key}) in ({inner}))"
        yield self._fetch([recording], f"(({key}) in ({inner}))")
        part = self.lab.table("spikesorting_merge", "spike_sorting_output__curated_spike_sorting")
        yield self._fetch([part], self.mine)
        newer = self.lab.table("spikesorting_merge", "spike_sorting_output__spikesorting_v1")
        computed = self.lab.table("spikesorting_v1", "__spikesorting_v1")
        yield self._fetch([newer, computed, self.lab.table("spikesorting_v1", "spikesorting_v1_selection")], self.mine)

    def _pipeline(self, name: str) -> Iterator[Query]:
        table, old, new = self.lab.table, f"{name}_v0", f"{name}_v1"
        yield self._fetch([table(old, f"__{name}__sample"), table(old, f"__{name}")], f"{self.mine}AND( (sample < 2))")
        selection, computed = table(new, f"{name}_v1_selection"), table(new, f"__{name}_v1")
        yield self._fetch(
            [table(new, f"__{name}_v1__result"), computed, selection], f"{self.mine}AND(result in (0, 2))"
        )
        yield self._fetch([table(new, f"#{name}_v1_parameters")], "")
        part = table(f"{name}_merge", f"{name}_output__{name}_v1")
        key = listed(computed.key_names)
        yield self._fetch([part], f"(({key}) in (SELECT {key} FROM {selection.quoted} WHERE ( {self.mine})))")

    def _own(self) -> Iterator[Query]:
        for table in self.lab.tables:
            if table.schema.startswith(f"{AUTHOR}_") and not table.lookup:
                shared = table.schema.endswith("_shared")
                if table.has(SESSION) and len(table.name) % 3:
                    yield self._fetch([table], self.mine)
                elif shared:
                    yield self._fetch([table], f'( (`{table.owner}`="{AUTHOR}"))')
                else:
                    yield self._fetch([table], "")
        theirs = self.lab.table("mua_v0", "__mua__sample")
        yield self._fetch([theirs], f'( (`{SESSION}`="{COLLEAGUE}0_.nwb")AND(`interval_list_name`="interval 3"))')

    def _files(self) -> Iterator[Query]:
        """One statement for each, as iterating over keys gives."""
        files, store = (self.lab.table("common_nwbfile", name) for name in ("analysis_nwbfile", "~external_analysis"))
        for session in self.sessions:
            for number in range(4):
                name = f"{session.removesuffix('_.nwb')}_{number}.nwb"
                yield self._fetch([files], f'( (`analysis_file_name`="{name}"))')
                digest = sha256(f"analysis/{name}".encode()).hexdigest()[:32]
                yield self._fetch([store], f"( (`hash`=X'{digest}'))")

    def _looks(self) -> Iterator[Query]:
        """What people do beside: counts, whose rows are not the paper's, and tests, which rows that it has decide."""
        for schema, name in (("common_session", "_session"), ("decoding_v0", "__decoding")):
            table = self.lab.table(schema, name)
            yield Query(f"SELECT count(DISTINCT {listed(table.key_names)}) FROM {table.quoted}")
            yield Query(f"SELECT EXISTS(SELECT 1 FROM {table.quoted} WHERE ({self.mine}))")

    def _fetch(self, tables: Sequence[Table], where: str, *, columns: str = "", left: Table | None = None) -> Query:
        """The natural join of tables; `left` is there even without a partner."""
        joined = " NATURAL JOIN ".join(table.quoted for table in tables)
        if left is not None:
            joined = f"{left.quoted} NATURAL LEFT JOIN {joined}"
        tail = f" WHERE ({where})" if where else ""
        every = [left, *tables] if left else tables
        names = dict.fromkeys(column.name for table in every for column in table.columns)
        keys = {table.quoted: ", ".join(f"{table.quoted}.`{key}`" for key in table.key_names) for table in every}
        rows = tuple((table, f"SELECT DISTINCT {keys[table.quoted]} FROM {joined}{tail}") for table in every)
        return Query(f"SELECT {columns or listed(list(names))} FROM {joined}{tail}", rows)

    def _first(self, table: Table, number: int) -> Query:
        key = listed(table.key_names)
        tail = f"FROM {table.quoted} WHERE ({self.mine}) ORDER BY {key} LIMIT {number}"
        names = listed([column.name for column in table.columns])
        return Query(f"SELECT {names} {tail}", ((table, f"SELECT * FROM (SELECT {key} {tail}) AS first_rows"),))
