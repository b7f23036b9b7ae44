"""Warming up until the times are steady, on scripted times: exactly how long, and why it ended."""

from __future__ import annotations

import gc
import itertools
from array import array
from types import SimpleNamespace

import pytest

pytest.importorskip("numpy")

from edgesweep_worker import loop, scenario, warmup
from edgesweep_worker.loop import Closed
from edgesweep_worker.warmup import WarmUp, is_steady, warm_up

#: Floors of 3 runs and 50 us, windows of 10 runs and 25 us, cap of 1 ms.
PLAN = WarmUp(min_samples=3, min_ns=50_000, window_samples=10, window_ns=25_000, max_ns=1_000_000)


@pytest.fixture
def now(monkeypatch):
    """A clock in ns that only the scripted call moves on."""
    clock = [0]
    for module in (loop, warmup, scenario):
        monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter_ns=lambda: clock[0]))
    return clock


def scripted(now, durations):
    durations = iter(durations)

    def call(first, second):
        now[0] += next(durations)

    return Closed(call, None, None)


def test_steady_from_the_first_window_on(now):
    found = warm_up(scripted(now, itertools.repeat(10_000)), PLAN)
    # Five runs to the floor of time, then three windows of ten.
    assert (len(found.samples), found.stop_reason) == (35, "steady")
    assert now[0] == found.wall_ns == 350_000


def test_the_floor_of_runs_holds_too(now):
    found = warm_up(scripted(now, itertools.repeat(10_000)), WarmUp(20, 50_000, 10, 25_000, 10**9))
    assert len(found.samples) == 20 + 30


def test_a_window_lasts_its_time(now):
    # 1 us a run: 50 to the floor, then 25 a window.
    found = warm_up(scripted(now, itertools.repeat(1_000)), PLAN)
    assert (len(found.samples), found.stop_reason) == (50 + 3 * 25, "steady")


def test_without_a_cap_it_ends_at_its_floors(now):
    found = warm_up(scripted(now, itertools.repeat(10_000)), WarmUp(3, 50_000, 10, 25_000, 0))
    assert (len(found.samples), found.stop_reason) == (5, "floors_met")


def test_times_that_fall_are_waited_for(now):
    # Floors, then windows whose medians are 9, 8, 7, 6 us and from then on 5: steady needs three of those.
    falling = [10_000] * 5 + [9_000] * 10 + [8_000] * 10 + [7_000] * 10 + [6_000] * 10
    found = warm_up(scripted(now, itertools.chain(falling, itertools.repeat(5_000))), PLAN)
    assert (len(found.samples), found.stop_reason) == (5 + 40 + 30, "steady")
    assert list(found.samples[:45]) == falling  # every sample is kept


def test_a_slow_drift_meets_the_cap(now):
    # One percent a window: two neighbours agree, three never do.
    drifting = (int(10_000 * 1.0125 ** (index // 10)) for index in itertools.count())
    found = warm_up(scripted(now, drifting), WarmUp(1, 0, 10, 0, 10_000_000))
    assert found.stop_reason == "max_duration"
    assert found.wall_ns == sum(found.samples) >= 10_000_000
    assert found.wall_ns - found.samples[-1] < 10_000_000


def test_a_window_that_the_cap_cuts_short_does_not_count(now):
    # Two windows and a half: the half one would agree.
    found = warm_up(scripted(now, itertools.repeat(10_000)), WarmUp(1, 0, 10, 0, 250_000))
    assert (len(found.samples), found.stop_reason) == (25, "max_duration")


def test_a_cap_at_the_very_end_of_the_third_window_is_steady(now):
    found = warm_up(scripted(now, itertools.repeat(10_000)), WarmUp(1, 0, 10, 0, 310_000))
    assert (len(found.samples), found.stop_reason) == (31, "steady")


def test_a_cap_below_the_floors_ends_it(now):
    found = warm_up(scripted(now, itertools.repeat(10_000)), WarmUp(100, 0, 10, 0, 50_000))
    assert (len(found.samples), found.stop_reason) == (5, "max_duration")


def test_a_window_longer_than_the_room_for_samples(now, monkeypatch):
    monkeypatch.setattr(loop, "_CHUNK", 4)
    found = warm_up(scripted(now, itertools.repeat(10_000)), PLAN)
    assert (len(found.samples), found.stop_reason) == (35, "steady")


@pytest.mark.parametrize(
    ("medians", "steady"),
    [
        ([1000, 1000], False),
        ([1000, 1010, 1020], True),
        ([1000, 1010, 1021], False),
        ([1021, 1010, 1000], False),
        ([2000, 1000, 1010, 1020], True),
        ([1000, 1000, 1000, 1030], False),
        ([0, 0, 0], False),
    ],
)
def test_medians_of_the_last_three_windows_agree_within_two_percent(medians, steady):
    assert is_steady([[median] * 10 for median in medians]) is steady


def test_windows_that_scatter_may_differ_by_what_they_scatter():
    def window(median):  # relative deviation 2 %: so up to 6 %
        return [int(median * factor) for factor in (0.98, 0.98, 0.98, 1, 1.02, 1.02, 1.02)]

    assert is_steady([window(median) for median in (100_000, 103_000, 105_900)])
    assert not is_steady([window(median) for median in (100_000, 103_000, 106_200)])
    # One wild window among calm ones is no licence.
    wild = array("q", [50_000, 60_000, 103_000, 140_000, 150_000])
    assert not is_steady([[100_000] * 5, wild, [100_000] * 5])


def test_the_collector_rests_meanwhile(now):
    seen = []

    def call(first, second):
        seen.append(gc.isenabled())
        now[0] += 10_000

    warm_up(Closed(call, None, None), PLAN)
    assert not any(seen)
    assert gc.isenabled()
