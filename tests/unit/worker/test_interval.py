"""The worker stops by the interval that the controller computes from the same samples."""

from __future__ import annotations

import math

import pytest

np = pytest.importorskip("numpy")

from edgesweep_worker.interval import half_width, median_interval  # noqa: E402 - numpy must be there first


@pytest.mark.parametrize("n", [0, 1, 5, 6, 7, 35, 36, 37, 100, 101, 1234, 9999, 40_000, 40_001, 100_000])
def test_it_is_the_controllers_to_the_last_bit(n):
    summary = pytest.importorskip("edgesweep.stats.summary", reason="the controller is not installed here")
    rng = np.random.default_rng(n)
    samples = rng.lognormal(7, 0.3, n).astype(np.int64)
    expected = summary.median_interval(samples.astype(np.float64))
    assert median_interval(samples) == expected


def test_a_known_series():
    # 36 values: six blocks of six, medians 3.5, 9.5 .. 33.5; of six the interval is all of them.
    assert median_interval(range(1, 37)) == (3.5, 33.5)
    assert half_width(range(1, 37)) == pytest.approx(15 / 18.5)


def test_the_interval_holds_the_median():
    low, high = median_interval([1, 1, 1, 1, 1, 1, 1, 1, 1, 900])
    assert low <= 1 <= high
    assert half_width([5] * 100) == 0


@pytest.mark.parametrize("samples", [[], [1] * 5, [0] * 100])
def test_what_has_no_interval_is_never_narrow(samples):
    assert half_width(samples) == math.inf


def test_a_drift_is_not_taken_for_precision():
    """Of independent samples the interval would be a fiftieth of this."""
    rng = np.random.default_rng(1)
    drifting = 1000 + np.arange(10_000) / 50 + rng.normal(0, 1, 10_000)
    shuffled = rng.permutation(drifting)
    assert half_width(drifting) > 5 * half_width(shuffled)
