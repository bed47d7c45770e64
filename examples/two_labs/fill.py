"""Fills the pipeline with both labs' data; always the same. Reads DJ_HOST, DJ_PORT, DJ_USER, DJ_PASS."""

from __future__ import annotations

from datetime import date, timedelta

import pipeline

ASTER = ("aster", "Aster Institute of Memory", "rat", 6)
BIRCH = ("birch", "Birch Center for Vision", "mouse", 5)
SESSIONS = 5


def fill_people(lab: str, institution: str) -> None:
    """The lab, its head and two of its members."""
    pipeline.Lab.insert1((lab, institution))
    names = {"head": "Head", "ana": "Ana", "ben": "Ben"}
    pipeline.Member.insert((f"{lab}_{name}", lab, f"{full_name} of {lab.title()}") for name, full_name in names.items())


def fill_sessions(lab: str, species: str, subjects: int) -> list[dict[str, object]]:
    """Subjects and their sessions; every third session has no supervisor. Gives the sessions' keys."""
    keys = []
    for number in range(1, subjects + 1):
        subject = f"{lab}_{species}{number:02d}"
        pipeline.Subject.insert1((subject, species, lab, 210.1234567 + 7.3 * number))
        for session in range(1, SESSIONS + 1):
            key: dict[str, object] = {"subject": subject, "session": session}
            pipeline.Session.insert1(
                {
                    **key,
                    "session_date": date(2025, 1, 6) + timedelta(days=7 * number + session),
                    "experimenter": f"{lab}_{'ana' if session % 2 else 'ben'}",
                    "supervisor": None if session % 3 == 0 else f"{lab}_head",
                    "note": f'{lab}\'s "day {session}" – 100% \\ done',
                }
            )
            keys.append(key)
    return keys


def main() -> None:
    """Fills everything."""
    for lab, institution, species, subjects in (ASTER, BIRCH):
        fill_people(lab, institution)
        keys = fill_sessions(lab, species, subjects)
        if lab == "aster":
            # The fifth session of each subject was never recorded.
            recorded = [key for key in keys if key["session"] != SESSIONS]
            pipeline.Recording.insert({**key, "probe": "linear", "sampling_rate": 30000.1} for key in recorded)
            pipeline.Recording.Channel.insert(
                {**key, "channel": channel, "gain": 0.195 + channel / 7} for key in recorded for channel in range(4)
            )
        else:
            pipeline.TwoPhotonScan.insert({**key, "microscope": "birch two-photon", "frames": 9000} for key in keys)
            pipeline.TwoPhotonScan.Plane.insert(
                {**key, "plane_depth": depth, "plane_note": f"birch plane at {depth}"}
                for key in keys
                for depth in (120, 160, 200)
            )
    pipeline.SpikeSorting.populate()
    pipeline.MaskSegmentation.populate()


if __name__ == "__main__":
    main()
