from __future__ import annotations

from dataclasses import replace

import pytest
from edgesweep.stats.verdict import TrialFacts, Verdict, judge, runqueue_share
from edgesweep_proto.device import Reading
from edgesweep_proto.trial import Accounting

CLEAN = TrialFacts(
    n=200,
    accounting=Accounting(2.0, 2.0, 0.002, 3, 0),
    stop_reason="ci",
    before=Reading(1.0, frequencies_hz={"cpu0": 2.4e9}, governors={"cpu0": "performance"}),
    after=Reading(3.0, frequencies_hz={"cpu0": 2.39e9}, governors={"cpu0": "performance"}),
    needed=100,
    median_s=0.01,
)


def counted(**changes):
    return replace(CLEAN, accounting=replace(CLEAN.accounting, **changes))


def after(**changes):
    return replace(CLEAN, after=replace(CLEAN.after, **changes))


def test_several_clean_trials_are_trusted():
    assert judge([CLEAN] * 3, planned=3) == (Verdict.TRUSTED, ())


def test_a_single_trial_is_never_trusted():
    verdict, (reason,) = judge([CLEAN], planned=1)
    assert verdict is Verdict.DOUBTFUL
    assert reason.startswith("single trial")


@pytest.mark.parametrize(
    ("worst", "verdict", "words"),
    [
        (replace(CLEAN, n=4), Verdict.INVALID, "too few samples: 4"),
        (replace(CLEAN, n=99), Verdict.DOUBTFUL, "few samples: 99 of 100"),
        (counted(runqueue_wait_s=0.06), Verdict.DOUBTFUL, "noisy: the worker waited for a CPU 3.0%"),
        (counted(runqueue_wait_s=0.12), Verdict.DOUBTFUL, "noisy: the worker waited for a CPU 6.0%"),
        (
            counted(runqueue_wait_s=None, involuntary_switches=200),
            Verdict.DOUBTFUL,
            "100 involuntary switches a second",
        ),
        (counted(major_faults=3), Verdict.DOUBTFUL, "3 page faults went to the disk"),
        (after(throttle=("under_voltage",)), Verdict.DOUBTFUL, "throttled: under_voltage"),
        (after(frequencies_hz={"cpu0": 1.2e9}), Verdict.DOUBTFUL, "clock fell to 50%"),
        (replace(CLEAN, median_s=0.013), Verdict.DOUBTFUL, "processes disagree: medians differ by a factor of 1.30"),
        (replace(CLEAN, tags=("shared_host",)), Verdict.DOUBTFUL, "shared host"),
        (replace(CLEAN, tags=("busy_host",)), Verdict.DOUBTFUL, "busy host"),
        (replace(CLEAN, tags=("hot_start",)), Verdict.DOUBTFUL, "hot start"),
        (replace(CLEAN, tags=("no_steady_state",)), Verdict.DOUBTFUL, "no steady state"),
        (replace(CLEAN, tags=("emulated",)), Verdict.INVALID, "emulated processor"),
    ],
)
def test_one_bad_trial_of_three_is_told_with_a_remedy(worst, verdict, words):
    found, (reason,) = judge([CLEAN, worst, CLEAN], planned=3)
    assert found is verdict
    assert words in reason
    assert "; " in reason


@pytest.mark.parametrize(
    "facts",
    [
        counted(runqueue_wait_s=0.02),
        counted(runqueue_wait_s=None, involuntary_switches=100),
        counted(involuntary_switches=10_000),
        counted(major_faults=2),
        counted(wall_s=0.0),
        replace(CLEAN, accounting=None, before=None, after=None),
        replace(CLEAN, n=100),
        replace(
            CLEAN,
            before=replace(CLEAN.before, governors={"cpu0": "ondemand"}),
            after=replace(CLEAN.after, frequencies_hz={"cpu0": 6e8}),
        ),
        after(frequencies_hz={}),
        replace(CLEAN, tags=("partial", "also:ir_unsupported")),
        replace(CLEAN, median_s=0.0124),
    ],
)
def test_what_is_within_bounds_is_no_reason(facts):
    assert judge([CLEAN, facts, CLEAN], planned=3) == (Verdict.TRUSTED, ())


def test_waiting_for_a_cpu_in_half_of_the_trials_is_invalid():
    noisy = counted(runqueue_wait_s=0.2)
    assert judge([noisy], planned=1)[0] is Verdict.INVALID
    assert judge([noisy, noisy, CLEAN], planned=3)[0] is Verdict.INVALID
    assert judge([noisy, CLEAN, CLEAN], planned=3)[0] is Verdict.DOUBTFUL


def test_missing_trials_are_told():
    verdict, reasons = judge([CLEAN, CLEAN], planned=5)
    assert verdict is Verdict.DOUBTFUL
    assert reasons[0].startswith("only 2 of 5 trials completed")
    assert judge([], planned=5)[0] is Verdict.INVALID


def test_the_gravest_reason_comes_first_and_none_twice():
    verdict, reasons = judge([replace(CLEAN, n=3, tags=("shared_host",))] * 2, planned=2)
    assert verdict is Verdict.INVALID
    assert [reason.split(":")[0] for reason in reasons] == ["too few samples", "shared host"]


def test_how_it_stopped_is_named_with_too_few_samples():
    _, reasons = judge([replace(CLEAN, n=3, stop_reason="max_duration")], planned=1)
    assert "3 (stopped by max_duration)" in reasons[0]


def test_the_runqueue_share_needs_a_kernel_that_tells_it():
    assert runqueue_share(Accounting(2.0, 1.0, 0.5, 0, 0)) == 0.25
    assert runqueue_share(Accounting(2.0, 1.0, None, 0, 0)) is None
    assert runqueue_share(None) is None
