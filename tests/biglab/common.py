"""The schemas that all of the lab share: files, subjects, sessions, devices, electrodes, intervals."""

from __future__ import annotations

from tests.biglab.model import NUMBERS, PEOPLE, SESSION, Builder, Column, Dimension, ForeignKey, Ref, Table, hashed

_INTERVAL = Dimension("interval_list_name", "varchar(170)", 6, "CONCAT('interval ', {i})")
_GROUP = Dimension("electrode_group_name", "varchar(80)", 2, "CONCAT('group ', {i})")
_ELECTRODE = Dimension("electrode_id", "int", 8)
_EPOCH = Dimension("epoch", "int", 3)
_POSITION = Dimension("position_id", "int", 2)
_ANALYSIS = Dimension(
    "analysis_file_name", "varchar(64)", 8, f"CONCAT(LEFT(b.{SESSION}, LENGTH(b.{SESSION}) - 5), '_', {{i}}, '.nwb')"
)


class Common(Builder):
    """What all share."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        text = "CONCAT('{} ', {{i}})"

        def named(schema: str, name: str, rows: int, *refs: Ref) -> Table:
            key = Dimension(f"{name}_name", "varchar(80)", rows, text.format(name))
            return self.lookup(schema, name, [key], *refs)

        self.institution = named("common_lab", "institution", 5)
        self.team = named("common_lab", "lab_team", 8)
        people = ", ".join(f"'{person}'" for person in PEOPLE)
        member = Dimension("lab_member_name", "varchar(80)", len(PEOPLE), f"ELT(1 + ({{i}}), {people})")
        self.member = self.lookup("common_lab", "lab_member", [member])
        self.region = named("common_region", "brain_region", 20)
        self.species = named("common_subject", "species", 3)
        self.probe_type = named("common_device", "probe_type", 6)
        self.probe = named("common_device", "probe", 12, Ref(self.probe_type))
        shank = Dimension("shank_id", "int", 4)
        site = Dimension("site_id", "int", 16)
        self.shank = self._part_of_lookup(self.probe, "probe__shank", shank)
        self.site = self._part_of_lookup(self.shank, "probe__electrode", site)
        self.camera = named("common_device", "camera_device", 4)
        self.acquisition = named("common_device", "data_acquisition_device", 4)
        self.amplifier = named("common_device", "amplifier", 3)
        self.task = named("common_task", "task", 10)
        self.filter = self.lookup(
            "common_filter",
            "fir_filter",
            [Dimension("filter_name", "varchar(80)", 12, text.format("filter")), Dimension("filter_rate", "int", 12)],
        )
        self._files()
        self._sessions()

    def _part_of_lookup(self, base: Table, name: str, own: Dimension) -> Table:
        table = Table(base.schema, name, lookup=False, dimensions=(*base.dimensions, own))
        table.key = [Column(each.name, each.type, f"b.`{each.name}`") for each in base.key]
        table.key.append(Column(own.name, own.type, "n.n"))
        table.rest = [Column(f"{own.name}_x", "float", "n.n / 7e3")]
        table.foreign_keys = [ForeignKey(base.key_names, base, base.key_names)]
        table.rows = (f"{base.quoted} b JOIN {NUMBERS}.n n ON n.n < {own.width}",)
        self.tables.append(table)
        return table

    def _files(self) -> None:
        """Sessions' files, and the store where they lie."""
        self.raw_store = self._store("raw", f"{NUMBERS}.session b", f"CONCAT('raw/', b.{SESSION})")
        self.nwbfile = Table("common_nwbfile", "nwbfile", grid=True, owner="nwbfile_by", weight=1)
        self.nwbfile.key = [Column(SESSION, "varchar(64)", f"b.{SESSION}")]
        path = hashed(f"CONCAT('raw/', b.{SESSION})")
        self.nwbfile.rest = [
            Column("nwb_file_abs_path", "binary(16)", path, comment=":filepath@raw:"),
            Column("nwbfile_by", "varchar(32)", "b.entered_by"),
        ]
        self.nwbfile.foreign_keys = [ForeignKey(("nwb_file_abs_path",), self.raw_store, ("hash",))]
        self.nwbfile.rows = (f"{NUMBERS}.session b",)
        self.tables.append(self.nwbfile)
        rows = f"{NUMBERS}.session b JOIN {NUMBERS}.n n ON n.n < {_ANALYSIS.width}"
        name = _ANALYSIS.text.format(i="n.n")
        self.analysis_store = self._store("analysis", rows, f"CONCAT('analysis/', {name})")
        self.analysis = Table("common_nwbfile", "analysis_nwbfile", owner="analysis_nwbfile_by", grid=True)
        self.analysis.dimensions, self.analysis.weight = (_ANALYSIS,), _ANALYSIS.width
        self.analysis.key = [Column("analysis_file_name", "varchar(64)", name)]
        path = hashed(f"CONCAT('analysis/', {name})")
        self.analysis.rest = [
            Column(SESSION, "varchar(64)", f"b.{SESSION}"),
            Column("analysis_file_abs_path", "binary(16)", path, comment=":filepath@analysis:"),
            Column("analysis_nwbfile_by", "varchar(32)", "b.nwbfile_by"),
        ]
        self.analysis.foreign_keys = [
            ForeignKey((SESSION,), self.nwbfile, (SESSION,)),
            ForeignKey(("analysis_file_abs_path",), self.analysis_store, ("hash",)),
        ]
        self.analysis.rows = (rows.replace(f"{NUMBERS}.session", self.nwbfile.quoted),)
        self.tables.append(self.analysis)

    def _store(self, store: str, rows: str, path: str) -> Table:
        """DataJoint's table of a store's files."""
        table = Table("common_nwbfile", f"~external_{store}", rows=(rows,))
        table.key = [Column("hash", "binary(16)", hashed(path))]
        table.rest = [
            Column("size", "bigint unsigned", "1000"),
            Column("filepath", "varchar(1000)", path, nullable=True),
            Column("contents_hash", "binary(16)", hashed(f"CONCAT('of ', {path})"), nullable=True),
            Column("timestamp", "timestamp", "'2024-01-01'"),
        ]
        self.tables.append(table)
        return table

    def _sessions(self) -> None:
        """What happened in a session."""
        self.subject = Table("common_subject", "subject", owner="subject_by")
        self.subject.key = [Column("subject_id", "varchar(80)", "b.subject_id")]
        species = self.species.key_names
        self.subject.rest = [
            Column("species_name", "varchar(80)", "CONCAT('species ', LENGTH(b.subject_id) MOD 3)"),
            Column("subject_by", "varchar(32)", "b.entered_by"),
        ]
        self.subject.foreign_keys = [ForeignKey(species, self.species, species)]
        self.subject.rows = (f"(SELECT DISTINCT subject_id, entered_by FROM {NUMBERS}.session) b",)
        self.tables.append(self.subject)
        made = self.made_from
        subject = Ref(
            self.subject, value=f"(SELECT s.subject_id FROM {NUMBERS}.session s WHERE s.{SESSION} = b.{SESSION})"
        )
        self.session = made(self.nwbfile, "common_session", "_session", subject, Ref(self.institution))
        by = Ref(self.member, key=True, value="b.session_by")
        made(self.session, "common_session", "_session__experimenter", by)
        device = Ref(self.acquisition)
        made(self.session, "common_session", "_session__data_acquisition_device", device, Ref(self.amplifier))
        self.interval = made(self.session, "common_interval", "interval_list", own=_INTERVAL)
        self.group = made(
            self.session, "common_ephys", "_electrode_group", Ref(self.region), Ref(self.probe), own=_GROUP
        )
        self.electrode = made(
            self.group, "common_ephys", "_electrode", Ref(self.region, "home", nullable=True), own=_ELECTRODE
        )
        self.raw = made(self.session, "common_ephys", "_raw", Ref(self.interval, "valid"))
        made(self.session, "common_ephys", "_sample_count")
        self.epoch = made(
            self.session,
            "common_task",
            "_task_epoch",
            Ref(self.task),
            Ref(self.interval),
            Ref(self.camera, nullable=True),
            own=_EPOCH,
        )
        made(self.epoch, "common_behav", "_state_script_file")
        made(self.epoch, "common_behav", "_video_file", Ref(self.camera))
        self.position = made(self.session, "common_behav", "_raw_position", Ref(self.interval), own=_POSITION)
        made(self.position, "common_behav", "_raw_position__pos_object", own=Dimension("pos_object", "int", 3))
        made(self.interval, "common_behav", "_position_interval_map")
        event = made(
            self.session, "common_dio", "_dio_events", Ref(self.interval), own=Dimension("dio_event", "int", 4)
        )
        made(event, "common_dio", "_dio_events__edge", own=Dimension("edge", "int", 4))
        made(self.session, "common_sensors", "_sensor_data", Ref(self.interval))
        made(self.electrode, "common_ephys", "_electrode_bad_channel")
