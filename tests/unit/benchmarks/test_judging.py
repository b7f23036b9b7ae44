"""What the benchmarks conclude from figures: every rule with figures that decide it either way."""

from __future__ import annotations

import numpy as np
import pytest
from native import judging
from native.judging import Round, Run, Spread


def spread_of(median, low, high, n=10):
    return Spread(median, (low, high), (low, high), n)


def run(hogs=0, verdict="trusted", blocks=((1.0, 1.1, 1.2),), **parts):
    return Run(hogs, verdict, (), (1.0,), blocks, **parts)


def test_the_lead_of_a_block_is_left_out_by_time_and_the_batch_divided():
    # Ten samples of 100 ns and one of 300 at the start: the lead is a fifth of 1300 ns, so only the first goes.
    samples = np.array([300] + [100] * 10)
    np.testing.assert_allclose(judging.settled(samples, 4), np.full(10, 25e-9))


def test_of_a_block_of_one_sample_it_is_kept():
    np.testing.assert_allclose(judging.settled(np.array([500]), 1), [500e-9])


def test_disturbed_rounds_are_left_out_when_enough_are_quiet():
    calm = [Round({"c": 1.0}, {"c": 1.0}, 0)] * 3
    pushed = [Round({"c": 9.0}, {"c": 9.0}, 2)] * 5
    assert judging.quiet(pushed + calm) == calm
    assert judging.quiet(pushed + calm[:2]) == pushed + calm[:2]


def test_a_sittings_ratio_is_the_median_over_rounds_against_the_mean_of_its_floors():
    rounds = [
        Round({"a": 1.0, "b": 4.0, "ours": ours}, {"a": 1.0, "b": 1.0, "ours": 3.0}, 0) for ours in (2.0, 6.0, 100.0)
    ]
    assert judging.sitting_ratio(rounds, "ours", ("a", "b"), "medians") == pytest.approx(3.0)
    assert judging.sitting_ratio(rounds, "ours", ("a",), "medians") == pytest.approx(6.0)
    assert judging.sitting_ratio(rounds, "ours", ("a", "b"), "p10s") == pytest.approx(3.0)


def test_the_spread_of_sittings_has_an_interval_from_six_on():
    assert judging.spread([1.0, 1.1, 1.2, 1.3, 1.4]).interval is None
    found = judging.spread([1.5, 1.0, 1.1, 1.2, 1.3, 1.4])
    assert found.interval == (1.0, 1.5)
    assert found.median == pytest.approx(1.25)
    assert found.quartiles == pytest.approx((1.125, 1.375))
    assert found.n == 6


@pytest.mark.parametrize(
    ("ours", "same", "expected"),
    [
        (spread_of(1.009, 1.0, 1.02), spread_of(1.0, 0.998, 1.004), (1.004, "met")),
        (spread_of(1.011, 1.0, 1.02), spread_of(1.0, 0.998, 1.004), (1.004, "missed")),
        (spread_of(1.011, 1.0, 1.02), spread_of(1.0, 0.99, 1.012), (1.012, "met bluntly")),
        # An A/A ratio below 1 is as far from 1 as its inverse.
        (spread_of(1.02, 1.0, 1.03), spread_of(0.98, 1 / 1.04, 1.0), (1.04, "met bluntly")),
        (spread_of(1.05, 1.0, 1.06), spread_of(0.98, 1 / 1.04, 1.0), (1.04, "missed bluntly")),
        # A machine on which equal loops differ by 20 % excuses nothing, and proves nothing either.
        (spread_of(1.15, 1.0, 1.2), spread_of(1.0, 0.9, 1.2), (1.2, "unresolved bluntly")),
        (spread_of(1.25, 1.0, 1.3), spread_of(1.0, 0.9, 1.2), (1.2, "unresolved bluntly")),
        (spread_of(1.25, 1.21, 1.3), spread_of(1.0, 0.9, 1.2), (1.2, "missed bluntly")),
        (spread_of(1.0, 0.9, 1.1), spread_of(1.0, 0.9, 1.2), (1.2, "met bluntly")),
        (spread_of(1.02, 1.0, 1.03), Spread(1.0, (0.9, 1.1), None, 5), (None, "unresolved bluntly")),
    ],
)
def test_a_bar_is_met_missed_or_unresolved(ours, same, expected):
    found = judging.bar(ours, same, 1.01)
    assert found.state + ("" if found.sharp else " bluntly") == expected[1]
    assert found.reach == pytest.approx(expected[0])


def test_calm_are_the_clean_runs_around_which_the_c_loop_stayed_as_usual():
    calm = [run(blocks=((1.0, 1.1, 1.2), (1.02, 1.12, 1.22))) for _ in range(4)]
    slower_clock = run(blocks=((1.0, 1.1, 1.2), (1.5, 1.65, 1.8)))
    company = run(blocks=((1.0, 1.3, 1.2), (1.0, 1.1, 1.2)))
    pushed = run(blocks=((1.0, 1.1, 2.4), (1.0, 1.1, 2.4)))
    hogged = run(hogs=1, blocks=())
    assert judging.calm_runs([*calm, slower_clock, company, pushed, hogged], 0.03) == calm
    assert judging.calm_runs([hogged], 0.03) == []


def test_variation_is_the_sample_deviation_over_the_mean():
    assert judging.variation([9.0, 10.0, 11.0]) == pytest.approx(0.1)


def test_our_own_share_is_taken_over_all_runs_that_tell():
    told = [run(sampler_and_agent_s=0.01, traced_s=2.0), run(sampler_and_agent_s=0.02, traced_s=4.0)]
    assert judging.own_share([*told, run()]) == pytest.approx(0.005)
    assert judging.own_share([run()]) is None
