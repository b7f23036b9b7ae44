from __future__ import annotations

import numpy as np
import pytest
from edgesweep.stats.memory import over_trials
from edgesweep.stats.series import look_at
from edgesweep.stats.sustained import by_minute

MIB = 2**20


def test_each_minute_has_its_median_and_the_last_is_held_against_the_first():
    seconds = np.concatenate([np.full(60, 1.0), np.full(50, 1.2), np.full(40, 1.5)])
    found = by_minute(seconds)
    assert found.minutes_s == (1.0, 1.2, 1.5)
    assert found.ratio == pytest.approx(1.5)


def test_half_a_minute_at_the_end_counts_and_less_does_not():
    assert len(by_minute(np.full(150, 1.0)).minutes_s) == 3
    assert len(by_minute(np.full(149, 1.0)).minutes_s) == 2
    assert by_minute(np.full(80, 1.0)) is None
    assert by_minute(np.array([])) is None


def test_a_batch_and_several_callers_share_the_clock():
    assert len(by_minute(np.full(60, 0.1), batch=20).minutes_s) == 2
    assert len(by_minute(np.full(240, 1.0), callers=2).minutes_s) == 2


def test_only_a_sustained_trial_is_looked_at_by_the_minute():
    samples = np.full(130, 10**9, dtype=np.int64)
    assert look_at(samples).sustained is None
    assert look_at(samples, sustained=True).sustained.ratio == 1.0


@pytest.mark.parametrize(
    ("sizes", "median"),
    [
        ([100 * MIB, 104 * MIB, 102 * MIB], 102 * MIB),
        ([100 * MIB, 120 * MIB, 102 * MIB], None),
        ([0, MIB, 0], 0),
        ([5 * MIB], 5 * MIB),
        ([-MIB, 0], -MIB // 2),
    ],
)
def test_a_size_that_does_not_repeat_is_no_figure(sizes, median):
    found = over_trials(sizes)
    assert (found.median, found.low, found.high) == (median, min(sizes), max(sizes))


def test_no_size_is_no_figure():
    assert over_trials([]) is None
