from __future__ import annotations

import itertools

import numpy as np
import pytest
from edgesweep.stats.rank_scan import CRITICAL_P, change_points, critical_p, simulate_critical, smallest_p
from hypothesis import given
from hypothesis import strategies as st


def p_by_counting(first, second):
    """The two-sided p of Mann and Whitney by trying every order."""
    values = np.concatenate([first, second])

    def u(group):
        others = np.delete(values, group)
        return sum((values[i] > others).sum() for i in group)

    mean = len(first) * len(second) / 2
    seen = abs(u(range(len(first))) - mean)
    every = [abs(u(group) - mean) for group in itertools.combinations(range(len(values)), len(first))]
    return np.mean([other >= seen - 1e-9 for other in every])


@given(st.permutations(list(range(9))))
def test_the_smallest_p_is_that_of_trying_every_order(order):
    values = np.array(order, dtype=float)
    by_counting = [p_by_counting(values[:cut], values[cut:]) for cut in range(3, 7)]
    p, cut = smallest_p(values)
    assert p == pytest.approx(min(by_counting))
    assert p == pytest.approx(by_counting[cut - 3])


@pytest.mark.parametrize("length", [6, 12, 24, 60])
def test_the_critical_values_can_be_made_again(length):
    assert critical_p(length) == pytest.approx(simulate_critical(length), rel=0.01)


def test_a_length_that_is_not_listed_takes_the_stricter_neighbour():
    assert critical_p(19) == min(CRITICAL_P[18], CRITICAL_P[20])
    assert critical_p(5) == 0.0
    assert critical_p(1000) == CRITICAL_P[200]


def test_one_unchanged_series_in_a_hundred_has_a_change():
    random = np.random.default_rng(4)
    found = [bool(change_points(random.lognormal(0, 0.3, 80))) for _ in range(600)]
    # 600 series at 1 %: more than 15 would come by chance once in a thousand times.
    assert sum(found) <= 15


def test_the_places_of_two_steps_are_found():
    random = np.random.default_rng(5)
    levels = np.repeat([1.0, 1.3, 0.9], [40, 50, 60])
    cuts = change_points(levels * random.normal(1, 0.02, 150), least_step=0.02)
    assert cuts == pytest.approx((40, 90), abs=1)


def test_spikes_are_no_step():
    values = np.ones(100) + np.arange(100) * 1e-9
    values[::7] = 50.0
    assert change_points(values, least_step=0.02) == ()


def test_small_steps_are_merged_into_what_is_left():
    random = np.random.default_rng(6)
    values = np.repeat([1.0, 1.01, 1.5], [50, 50, 50]) * random.normal(1, 0.001, 150)
    assert len(change_points(values)) >= 2
    assert change_points(values, least_step=0.02) == pytest.approx((100,), abs=1)


@given(st.lists(st.floats(1e-6, 1e3), max_size=60), st.floats(0.5, 2.0))
def test_only_the_order_counts(values, scale):
    series = np.array(values)
    assert change_points(series) == change_points(series * scale * scale) or len(set(values)) < len(values)
    cuts = change_points(series)
    assert list(cuts) == sorted(set(cuts))
    assert all(3 <= cut <= len(values) - 3 for cut in cuts)
