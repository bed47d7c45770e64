"""The lab: 75 schemas, 358 tables, 375 foreign keys, as Spyglass has them.

Shared schemas first (`common_…`), then pipelines of one and of another generation: parameters, selections, computed
tables with parts, merge tables, each pipeline on the merge table of the one before; then the people's own schemas.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from tests.biglab.common import Common
from tests.biglab.model import Builder, Dimension, ForeignKey, Ref, Table
from tests.biglab.people import add_people

#: Foreign keys on the longest path.
DEPTH: Final = 17

_SORT_GROUP = Dimension("sort_group_id", "int", 2)
_CURATION = Dimension("curation_id", "int", 2)
_UNIT = Dimension("unit_id", "int", 12)


@dataclass(frozen=True, slots=True)
class Lab:
    """All of its tables, parents before children."""

    tables: list[Table]

    @property
    def schemas(self) -> list[str]:
        """Their names."""
        return list(dict.fromkeys(table.schema for table in self.tables))

    def table(self, schema: str, name: str) -> Table:
        """One of them."""
        return next(table for table in self.tables if (table.schema, table.name) == (schema, name))

    @property
    def foreign_keys(self) -> list[tuple[Table, ForeignKey]]:
        """Each with its child."""
        return [(table, key) for table in self.tables for key in table.foreign_keys]


def build(seed: int = 1) -> Lab:
    """The lab."""
    lab = Common(seed)
    merges = list(_pipelines(lab))
    add_people(lab, merges)
    return Lab(_ordered(lab.tables))


def _pipelines(lab: Common) -> Iterator[Table]:
    """All of them; gives their merge tables."""
    spikes = _sorting(lab)
    yield spikes
    before = spikes
    for name in ("lfp", "lfp_band", "ripple", "position", "linearization", "decoding", "mua", "burst"):
        first = _first_generation(lab, name)
        second = _second_generation(lab, name, before)
        before = lab.merge(f"{name}_merge", f"{name}_output", [first, second])
        yield before


def _params(lab: Builder, schema: str, name: str, rows: int = 8) -> Table:
    key = Dimension(f"{name}_params_name", "varchar(80)", rows, f"CONCAT('{name} default ', {{i}})")
    return lab.lookup(schema, f"{name}_parameters", [key])


def _sorting(lab: Common) -> Table:
    """The longest chain: spike sorting of the first generation, whose keys grow from table to table."""
    made, schema = lab.made_from, "spikesorting_v0_{}".format
    group = made(lab.session, schema("recording"), "sort_group", own=_SORT_GROUP)
    made(group, schema("recording"), "sort_group__sort_group_electrode", Ref(lab.electrode, key=True))
    preprocessing = _params(lab, schema("recording"), "preprocessing")
    selection = made(
        group, schema("recording"), "spike_sorting_recording_selection", Ref(lab.interval, "sort"), Ref(preprocessing)
    )
    recording = made(
        selection, schema("recording"), "__spike_sorting_recording", Ref(lab.analysis), Ref(lab.interval, "saved")
    )
    artifact_params = _params(lab, schema("artifact"), "artifact")
    detection = made(recording, schema("artifact"), "artifact_detection_selection", Ref(artifact_params))
    artifact = made(detection, schema("artifact"), "__artifact_detection")
    removed = made(artifact, schema("artifact"), "artifact_removed_interval_list", Ref(lab.interval, "removed"))
    sorter = _params(lab, schema("sorting"), "sorter")
    chosen = made(removed, schema("sorting"), "spike_sorting_selection", Ref(sorter))
    sorting = made(chosen, schema("sorting"), "__spike_sorting", Ref(lab.analysis))
    curation = made(sorting, schema("curation"), "curation", own=_CURATION)
    made(curation, schema("curation"), "curation__label", own=Dimension("label_id", "int", 3))
    waveform_params = _params(lab, schema("curation"), "waveform")
    waveform_selection = made(curation, schema("curation"), "waveform_selection", Ref(waveform_params))
    waveforms = made(waveform_selection, schema("curation"), "__waveforms", Ref(lab.analysis))
    metric_params = _params(lab, schema("curation"), "metric")
    metric_selection = made(waveforms, schema("curation"), "metric_selection", Ref(metric_params))
    metrics = made(metric_selection, schema("curation"), "__quality_metrics", Ref(lab.analysis))
    curated = made(metrics, schema("curation"), "__curated_spike_sorting")
    made(curated, schema("curation"), "__curated_spike_sorting__unit", own=_UNIT)
    newer = _second_generation(lab, "spikesorting", None)
    return lab.merge("spikesorting_merge", "spike_sorting_output", [curated, newer])


def _first_generation(lab: Common, name: str) -> Table:
    """Composite keys; gives its last computed table."""
    made, schema = lab.made_from, f"{name}_v0"
    params = _params(lab, schema, name)
    selection = made(lab.interval, schema, f"{name}_selection", Ref(lab.filter))
    computed = made(selection, schema, f"__{name}", Ref(params))
    made(computed, schema, f"__{name}__sample", own=Dimension("sample", "int", 4))
    figure = made(computed, schema, f"{name}_figurl_selection", own=Dimension("figure", "int", 2))
    made(figure, schema, f"__{name}_figurl")
    return computed


def _second_generation(lab: Common, name: str, upstream: Table | None) -> Table:
    """Keys that are hashes; gives its last computed table."""
    made, schema = lab.made_from, f"{name}_v1"
    params = _params(lab, schema, f"{name}_v1")
    base = upstream or made(lab.group, schema, f"{name}_group")
    uuid = f"{name}_id"
    selection = made(base, schema, f"{name}_v1_selection", Ref(params), Ref(lab.interval), uuid=uuid)
    computed = made(selection, schema, f"__{name}_v1", Ref(lab.analysis))
    made(computed, schema, f"__{name}_v1__result", own=Dimension("result", "int", 4))
    collection = _params(lab, schema, f"{name}_collection")
    made(computed, schema, f"{name}_member", Ref(collection, key=True))
    return computed


def _ordered(tables: Sequence[Table]) -> list[Table]:
    """Parents before children."""
    done: dict[int, Table] = {}

    def add(table: Table) -> None:
        for key in table.foreign_keys:
            if id(key.parent) not in done:
                add(key.parent)
        done.setdefault(id(table), table)

    for table in tables:
        add(table)
    return list(done.values())
