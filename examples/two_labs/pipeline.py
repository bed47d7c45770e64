"""A DataJoint pipeline that two labs share: common tables, lab Aster's recordings, lab Birch's imaging."""

from __future__ import annotations

import datajoint as dj
import numpy as np

shared = dj.Schema("shared_lab")
ephys = dj.Schema("aster_ephys")
imaging = dj.Schema("birch_imaging")


@shared
class Lab(dj.Manual):
    definition = """
    lab : varchar(16)
    ---
    institution : varchar(64)
    """


@shared
class Species(dj.Lookup):
    definition = """
    species : varchar(16)
    ---
    latin_name : varchar(64)
    """
    contents = (("rat", "Rattus norvegicus"), ("mouse", "Mus musculus"), ("ferret", "Mustela furo"))


@shared
class Member(dj.Manual):
    definition = """
    member : varchar(32)
    ---
    -> Lab
    full_name : varchar(64)
    """


@shared
class Subject(dj.Manual):
    definition = """
    subject : varchar(32)
    ---
    -> Species
    -> Lab
    weight : float32   # grams
    """


@shared
class Session(dj.Manual):
    definition = """
    -> Subject
    session : int32
    ---
    session_date : date
    -> Member.proj(experimenter="member")
    -> [nullable] Member.proj(supervisor="member")
    note = "" : varchar(255)
    """


@ephys
class Probe(dj.Lookup):
    definition = """
    probe : varchar(16)
    ---
    sites : int32
    """
    contents = (("tetrode", 4), ("linear", 16), ("dense", 384))


@ephys
class Recording(dj.Manual):
    definition = """
    -> Session
    ---
    -> Probe
    sampling_rate : float32   # Hz
    """

    class Channel(dj.Part):
        definition = """
        -> master
        channel : int32
        ---
        gain : float32
        """


@ephys
class SpikeSorting(dj.Computed):
    definition = """
    -> Recording
    ---
    noise : float64   # microvolt
    """

    class Unit(dj.Part):
        definition = """
        -> master
        unit : int32
        ---
        rate : float64   # spikes per second
        waveform : <blob>
        """

    def make(self, key: dict[str, object]) -> None:
        """Finds units that depend on the key alone, so that every run of the demo has the same."""
        gains = (Recording.Channel & key).to_arrays("gain")
        random = np.random.default_rng([ord(letter) for letter in f"{key['subject']}/{key['session']}"])
        self.insert1({**key, "noise": float(np.mean(gains)) * 3.7})
        self.Unit.insert(
            {**key, "unit": unit, "rate": float(random.gamma(2.0, 4.0)), "waveform": random.normal(size=32)}
            for unit in range(1, 5)
        )


@imaging
class Microscope(dj.Lookup):
    definition = """
    microscope : varchar(32)
    ---
    wavelength : int32   # nm
    """
    contents = (("birch two-photon", 920), ("birch mesoscope", 1040))


@imaging
class TwoPhotonScan(dj.Manual):
    definition = """
    -> Session
    ---
    -> Microscope
    frames : int32
    """

    class Plane(dj.Part):
        definition = """
        -> master
        plane_depth : int32   # micrometre
        ---
        plane_note : varchar(64)
        """


@imaging
class MaskSegmentation(dj.Computed):
    definition = """
    -> TwoPhotonScan
    ---
    mask_method : varchar(32)
    """

    class Mask(dj.Part):
        definition = """
        -> master
        mask_number : int32
        ---
        mask_pixels : <blob>
        """

    def make(self, key: dict[str, object]) -> None:
        """Outlines that depend on the key alone."""
        random = np.random.default_rng([ord(letter) for letter in f"{key['subject']}/{key['session']}"])
        self.insert1({**key, "mask_method": "birch watershed"})
        self.Mask.insert(
            {**key, "mask_number": number, "mask_pixels": random.integers(0, 512, size=(20, 2))}
            for number in range(1, 7)
        )
