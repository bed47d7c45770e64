"""When the worker rests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.courtesy import CROWDED, FREE_SECONDS, LONGEST_REST, REST, Courtesy, Usage, own_usage


def courtesy_of(*usages: tuple[float, int]) -> Courtesy:
    """On a processor of its own, so to speak: it takes as long as it works."""
    given: Iterator[Usage] = iter(Usage(each[0], *each) for each in ((0.0, 0), *usages))
    return Courtesy(lambda: next(given))


def test_whoever_is_let_work_does_not_rest() -> None:
    courtesy = courtesy_of((5.0, 0), (10.0, 1), (11.0, 1 + int(CROWDED)))
    assert [courtesy.rest() for _ in range(3)] == [0.0, 0.0, 0.0]


def test_a_short_piece_of_work_is_done_at_once() -> None:
    courtesy = courtesy_of((FREE_SECONDS / 2, 1000), (FREE_SECONDS * 0.9, 2000))
    assert [courtesy.rest(), courtesy.rest()] == [0.0, 0.0]


def test_a_backlog_on_a_crowded_machine_is_worked_off_with_rests() -> None:
    begun = FREE_SECONDS
    courtesy = courtesy_of((begun, 100), (begun + 0.05, 200), (begun + 5, 1000))
    rests = [courtesy.rest() for _ in range(3)]
    assert rests[0] == LONGEST_REST
    assert abs(rests[1] - REST * 0.05) < 1e-9
    assert rests[2] == LONGEST_REST


def test_what_was_caught_up_with_begins_anew() -> None:
    courtesy = courtesy_of((FREE_SECONDS * 2, 500), (FREE_SECONDS * 2.1, 600), (FREE_SECONDS * 2.2, 900))
    assert courtesy.rest() > 0
    courtesy.caught_up()
    assert courtesy.rest() == 0.0


def test_pauses_are_no_work() -> None:
    usages = iter([Usage(0, 0, 0), Usage(2, 2, 900), Usage(7, 2, 900), Usage(7.01, 2.01, 950), Usage(8, 2.01, 950)])
    courtesy = Courtesy(lambda: next(usages))
    slept: list[float] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxy.courtesy.time.sleep", slept.append)
        courtesy.pause()
        courtesy.pause()
    assert slept[0] == LONGEST_REST
    assert abs(slept[1] - REST * 0.01) < 1e-9


def test_usage_is_this_process_own() -> None:
    before = own_usage()
    sum(range(3_000_000))
    after = own_usage()
    assert after.seconds > before.seconds
    assert after.taken_away >= before.taken_away
