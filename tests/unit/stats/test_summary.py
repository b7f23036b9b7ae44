from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from edgesweep.stats.summary import NEED, combine, median_interval, order_rank, summarise
from hypothesis import given, settings
from hypothesis import strategies as st


def test_figures_of_known_samples():
    times = np.arange(1, 101) * 1_000_000  # 1 ms to 100 ms
    summary = summarise(times)
    assert summary.n == 100
    assert summary.median == pytest.approx(0.0505)
    assert summary.p10 == pytest.approx(0.0109)
    assert summary.p90 == pytest.approx(0.0901)
    assert (summary.p95, summary.p99) == (None, None)
    assert summary.need == {"p95": 130, "p99": 662}
    assert summary.mean == pytest.approx(0.0505)
    assert summary.min == pytest.approx(0.001)
    assert summary.mad == pytest.approx(0.025)


@pytest.mark.parametrize(("name", "need"), NEED.items())
def test_a_percentile_is_told_from_its_need_on(name, need):
    assert getattr(summarise(range(1, need)), name) is None
    assert summarise(range(1, need)).need[name] == need
    assert getattr(summarise(range(1, need + 1)), name) is not None
    assert name not in summarise(range(1, need + 1)).need


@pytest.mark.parametrize(("name", "need"), NEED.items())
def test_the_needs_are_the_binomial_bound(name, need):
    """At most one sample beyond the percentile has a probability of 1 % or less, and one sample fewer is too few."""

    def miss(n):
        percentile = int(name[1:])
        tail = min(percentile, 100 - percentile) / 100
        return (1 - tail) ** n + n * tail * (1 - tail) ** (n - 1)

    assert miss(need) <= 0.01 < miss(need - 1)


def test_a_batch_is_divided_out():
    single, batched = (
        summarise([1000, 2000, 3000, 4000, 5000, 6000]),
        summarise([4000, 8000, 12000, 16000, 20000, 24000], batch=4),
    )
    assert batched == single


@pytest.mark.parametrize(("times", "batch"), [([], 1), ([1000], 0)])
def test_nothing_has_no_figures(times, batch):
    with pytest.raises(ValueError, match="sample"):
        summarise(times, batch)


@pytest.mark.parametrize(("n", "rank"), [(5, 0), (6, 1), (8, 1), (9, 2), (10, 2), (20, 6), (100, 40)])
def test_ranks_are_the_tabled_ones(n, rank):
    """As in Conover's table of confidence intervals for the median."""
    assert order_rank(n) == rank


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=800))
@settings(max_examples=60, deadline=None)
def test_figures_are_in_order(times):
    summary = summarise(times)
    known = [
        figure
        for figure in (summary.min, summary.p10, summary.median, summary.p90, summary.p95, summary.p99)
        if figure is not None
    ]
    assert all(low <= high * (1 + 1e-12) for low, high in itertools.pairwise(known))
    assert (summary.ci95 is None) == (len(times) < 6)
    if summary.ci95:
        assert summary.min <= summary.ci95[0] <= summary.median <= summary.ci95[1] <= max(times) / 1e9


def test_the_interval_holds_the_median_as_often_as_it_says():
    rng = np.random.default_rng(20261123)
    hits = sum(
        low <= 1.0 <= high
        for low, high in (median_interval(rng.exponential(1 / math.log(2), 400)) for _ in range(1000))
    )
    assert hits >= 930


def test_the_interval_is_not_fooled_by_autocorrelation():
    """Every sample repeated ten times holds no more evidence: an interval over single samples would miss half the time."""
    rng = np.random.default_rng(7)
    hits = naive = 0
    for _ in range(500):
        values = np.repeat(rng.normal(1.0, 0.1, 100), 10)
        low, high = median_interval(values)
        hits += low <= 1.0 <= high
        ordered, rank = np.sort(values), order_rank(values.size)
        naive += ordered[rank - 1] <= 1.0 <= ordered[-rank]
    assert hits >= 450
    assert naive < 300


def test_a_cell_is_the_median_over_its_processes():
    processes = [summarise(np.full(1000, median)) for median in (1_000_000, 3_000_000, 2_000_000)]
    cell = combine(processes)
    assert (cell.median, cell.p10, cell.p99, cell.min, cell.n) == pytest.approx((0.002, 0.002, 0.002, 0.001, 3000))
    assert cell.mean == pytest.approx(0.002)
    assert cell.ci95[0] < 0.001
    assert cell.ci95[1] > 0.003


def test_one_process_keeps_its_figures_and_none_has_none():
    one = summarise([1000, 2000, 3000])
    assert combine([one]) is one
    assert combine([]) is None


def test_a_percentile_that_one_process_lacks_is_lacking():
    cell = combine([summarise(range(1, 1000)), summarise(range(1, 100))])
    assert (cell.p99, cell.need) == (None, {"p95": 130, "p99": 662})
    assert cell.p90 is not None


@pytest.mark.parametrize("count", [2, 3, 5, 6, 10])
def test_the_interval_of_a_cell_comes_from_its_processes_alone(count):
    """Thousands of samples per process must not shrink it: only processes vary, by 3 %."""
    rng = np.random.default_rng(count)
    hits = 0
    for _ in range(400):
        cell = combine([summarise(np.full(50, round(1e9 * math.exp(rng.normal(0, 0.03))))) for _ in range(count)])
        hits += cell.ci95[0] <= 1.0 <= cell.ci95[1]
    assert hits >= 0.92 * 400
