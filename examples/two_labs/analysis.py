"""Lab Aster's paper "Place cells at dawn": reads with DataJoint, prints its results in a fixed order.

Reads DJ_HOST, DJ_PORT, DJ_USER, DJ_PASS; an account with SELECT is enough.
"""

from __future__ import annotations

import datajoint as dj
import numpy as np

SUBJECTS = [{"subject": "aster_rat01"}, {"subject": "aster_rat03"}]


def show(title: str, rows: object) -> None:
    """One block of the results."""
    print(f"## {title}")
    for row in rows if isinstance(rows, list) else [rows]:
        print(row)


def main() -> None:
    """Every kind of reading that a paper's scripts do."""
    shared = dj.virtual_schema("shared_lab")
    ephys = dj.virtual_schema("aster_ephys")
    early = shared.Session & SUBJECTS & "session_date < '2025-02-01'"

    dated = early * shared.Subject & {"species": "rat"}
    show("sessions", dated.to_dicts(order_by=["subject", "session"]))

    people = early.proj("session_date", member="experimenter") * shared.Member
    show("who", people.proj("full_name").to_dicts(order_by=["subject", "session"]))

    recorded = (shared.Subject & SUBJECTS).aggr(ephys.Recording & early, recordings="count(session)")
    show("recordings per subject", recorded.to_dicts(order_by="subject"))

    show("sessions without a recording", (early - ephys.Recording).keys(order_by=["subject", "session"]))

    rats = (shared.Species & "species = 'rat'").aggr(shared.Subject & SUBJECTS, mean_weight="avg(weight)")
    show("mean weight", rats.to_dicts())

    units = ephys.SpikeSorting.Unit & early & "rate > 5"
    rates, waveforms = units.to_arrays("rate", "waveform", order_by=["subject", "session", "unit"])
    peaks = [float(np.abs(waveform).max()) for waveform in waveforms]
    show("active units", [(float(rate), round(peak, 6)) for rate, peak in zip(rates, peaks, strict=True)])

    fast = (ephys.SpikeSorting.Unit & early) & dj.Top(3, order_by=["rate DESC", "subject", "session", "unit"])
    show("fastest units", fast.proj("rate").to_dicts())

    busy = (ephys.SpikeSorting & early).aggr(units, active="count(unit)", mean_rate="avg(rate)") & "active > 1"
    show("busy sessions", busy.to_dicts(order_by=["subject", "session"]))

    first = {"subject": "aster_rat01", "session": 3}
    show("one session", (shared.Session & first).fetch1("session_date", "supervisor", "note"))

    gains = (ephys.Recording.Channel & first).proj(gain_db="20 * log10(gain)")
    show("gains", [float(gain) for gain in gains.to_arrays("gain_db", order_by="channel")])


if __name__ == "__main__":
    main()
