from __future__ import annotations

from dataclasses import replace

import pytest
from edgesweep.stats.modes import Mode
from edgesweep.stats.series import Course, Series
from edgesweep.stats.verdict import TrialFacts, Verdict, judge, runqueue_share
from edgesweep_proto.device import Reading
from edgesweep_proto.evidence import DeviceTrace, Gate, ThreadFacts
from edgesweep_proto.trial import Accounting, Protocol, SessionFacts

CLEAN = TrialFacts(
    n=200,
    accounting=Accounting(2.0, 2.0, 0.002, 3, 0),
    stop_reason="ci",
    before=Reading(1.0, frequencies_hz={"cpu0": 2.4e9}, governors={"cpu0": "performance"}),
    after=Reading(3.0, frequencies_hz={"cpu0": 2.39e9}, governors={"cpu0": "performance"}),
    protocol=Protocol(min_inferences=100, target_half_width=0.005),
    median_s=0.01,
)


def counted(**changes):
    return replace(CLEAN, accounting=replace(CLEAN.accounting, **changes))


TWO_MODES = (Mode(0.01, 0.6), Mode(0.02, 0.4))


def traced(**changes):
    """A trial on the cores 0 and 1 of a board whose other cluster idles."""
    full = {"policy0": 2.4e9, "policy4": 1.5e9}
    trace = DeviceTrace(10, 0.2, 2.0, full, full, full, {"cpu": 50.0}, {"cpu": 52.0})
    return replace(CLEAN, trace=replace(trace, **changes), threads=ThreadFacts((0, 1, 2, 3), (0,), ("1",), pinned=True))


def session(**changes):
    found = SessionFacts("1.32.0", ("CPUExecutionProvider",), 1, "all", "bound", "binding", 1e-6)
    return replace(found, **changes)


def after(**changes):
    return replace(CLEAN, after=replace(CLEAN.after, **changes))


def test_several_clean_trials_are_trusted():
    assert judge([CLEAN] * 3, planned=3) == (Verdict.TRUSTED, ())


def test_a_cap_that_ends_with_its_last_whole_batch_is_no_shortage():
    trial = replace(CLEAN, n=49, batch=2, stop_reason="max_inferences", protocol=Protocol(min_inferences=99))
    assert judge([trial] * 3, planned=3) == (Verdict.TRUSTED, ())


def test_a_single_trial_is_never_trusted():
    verdict, (reason,) = judge([CLEAN], planned=1)
    assert verdict is Verdict.DOUBTFUL
    assert reason.startswith("single trial")


@pytest.mark.parametrize(
    ("worst", "verdict", "words"),
    [
        (replace(CLEAN, n=4), Verdict.INVALID, "too few samples: 4"),
        (replace(CLEAN, n=99), Verdict.DOUBTFUL, "few samples: 99 of 100"),
        (
            replace(CLEAN, n=48, batch=2, stop_reason="max_inferences"),
            Verdict.DOUBTFUL,
            "few samples: 96 of 100 inferences (stopped by max_inferences); raise measure.max_inferences",
        ),
        (
            replace(CLEAN, n=4, stop_reason="floors_met"),
            Verdict.INVALID,
            "too few samples: 4 (stopped by floors_met), 5 at least; raise measure.min_inferences",
        ),
        (counted(pressure_s=2.4), Verdict.DOUBTFUL, "crowded: some task waited for a CPU 100% of the time"),
        (
            counted(runqueue_wait_s=0.06, involuntary_switches=0),
            Verdict.DOUBTFUL,
            "noisy: the worker waited for a CPU 3.0%",
        ),
        (counted(runqueue_wait_s=0.12), Verdict.DOUBTFUL, "noisy: the worker waited for a CPU 6.0%"),
        (
            counted(runqueue_wait_s=None, involuntary_switches=200),
            Verdict.DOUBTFUL,
            "100 involuntary switches a second",
        ),
        (counted(major_faults=3), Verdict.DOUBTFUL, "3 page faults went to the disk"),
        (after(throttle=("under_voltage",)), Verdict.DOUBTFUL, "throttled: under_voltage"),
        (after(frequencies_hz={"cpu0": 1.2e9}), Verdict.DOUBTFUL, "clock fell: to 50%"),
        (replace(CLEAN, median_s=0.0112), Verdict.DOUBTFUL, "processes disagree: medians differ by a factor of 1.12"),
        (counted(foreign_cpu_s=1.9), Verdict.DOUBTFUL, "other work: it used 0.95 cores meanwhile"),
        (counted(steal_s=0.05), Verdict.DOUBTFUL, "stolen: the hypervisor took the CPU for 2.5% of the time"),
        (counted(pressure_s=0.5), Verdict.DOUBTFUL, "crowded: some task waited for a CPU 25% of the time"),
        (counted(swapped_in_pages=500), Verdict.DOUBTFUL, "swapping: 500 pages came back"),
        (replace(CLEAN, accounting=None), Verdict.DOUBTFUL, "no kernel accounting: 1 of 3 trials have none"),
        (counted(wall_s=0.0), Verdict.DOUBTFUL, "noisy kernel accounting: the counters of 1 of 3 trials contradict"),
        (counted(wall_s=0.5, runqueue_wait_s=0.0), Verdict.DOUBTFUL, "noisy kernel accounting"),
        (
            replace(CLEAN, gates=(Gate("thermal", passed=False, waited_s=300.0, value=71.2, limit=58.0, note="cpu"),)),
            Verdict.DOUBTFUL,
            "hot start: the device had not cooled down, 71.2 °C where 58 °C is the most (cpu) after 300 s; give it a fan",
        ),
        (
            replace(CLEAN, gates=(Gate("idle", passed=False, waited_s=60.0, value=0.42, limit=0.1),)),
            Verdict.DOUBTFUL,
            "busy host: other work ran on the device, 42% where 10% is the most after 60 s; stop it",
        ),
        (traced(throttle=("under_voltage",)), Verdict.DOUBTFUL, "throttled: under_voltage"),
        (traced(frequency_min_hz={"policy0": 1.8e9}), Verdict.DOUBTFUL, "clock fell: to 75% of its start value"),
        (traced(frequency_mean_hz={"policy0": 2.3e9}), Verdict.DOUBTFUL, "clock sagged: 95.8% of its start value"),
        (
            traced(changes=("governor of policy0: performance, then powersave",)),
            Verdict.DOUBTFUL,
            "settings changed: governor of policy0: performance, then powersave; keep other software",
        ),
        (
            traced(sampler_cpu_s=0.05, agent_cpu_s=0.03),
            Verdict.DOUBTFUL,
            "watched too closely: sampler and agent used 4.0%",
        ),
        (
            replace(traced(sampler_cpu_s=0.05, agent_cpu_s=0.03), tags=("emulated",)),
            Verdict.INVALID,
            "emulated processor",
        ),
        (
            replace(CLEAN, tags=("not_pinned",), threads=ThreadFacts((0,), note="2 threads share the 1 cores")),
            Verdict.DOUBTFUL,
            "not pinned: 2 threads share the 1 cores; ask for fewer threads",
        ),
        (replace(CLEAN, tags=("not_pinned",)), Verdict.DOUBTFUL, "not pinned: threads may wander"),
        (
            replace(CLEAN, tags=("threads_started:4",)),
            Verdict.DOUBTFUL,
            "other threads than asked: 4 were found where 1",
        ),
        (
            replace(CLEAN, tags=("call_fallback",), session=session(call_cost_s=5e-4)),
            Verdict.DOUBTFUL,
            "call fallback: each inference is called through binding, which makes up 5.0% of the median",
        ),
        (
            replace(CLEAN, series=Series(clock_step_s=1e-4)),
            Verdict.DOUBTFUL,
            "wrong clock: its steps are 1.0% of a sample",
        ),
        (replace(CLEAN, late=20), Verdict.DOUBTFUL, "late: 10% of the inferences began after their time"),
        (replace(CLEAN, tags=("clocks_uncontrolled",)), Verdict.DOUBTFUL, "clocks uncontrolled"),
        (replace(CLEAN, tags=("io_mode_not_honoured",)), Verdict.DOUBTFUL, "another I/O mode"),
        (replace(CLEAN, tags=("page_cache_not_honoured",)), Verdict.DOUBTFUL, "page cache not as asked"),
        (replace(CLEAN, tags=("provider_cache_not_honoured",)), Verdict.DOUBTFUL, "provider cache not primed"),
        (replace(CLEAN, tags=("shared_host",)), Verdict.DOUBTFUL, "shared host"),
        (replace(CLEAN, tags=("busy_host",)), Verdict.DOUBTFUL, "busy host"),
        (replace(CLEAN, tags=("hot_start",)), Verdict.DOUBTFUL, "hot start"),
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
        replace(CLEAN, before=None, after=None),
        replace(CLEAN, n=100),
        replace(
            CLEAN,
            before=replace(CLEAN.before, governors={"cpu0": "ondemand"}),
            after=replace(CLEAN.after, frequencies_hz={"cpu0": 6e8}),
        ),
        after(frequencies_hz={}),
        replace(CLEAN, tags=("partial", "also:ir_unsupported")),
        replace(CLEAN, median_s=0.0109),
        replace(CLEAN, n=5, batch=20),
        counted(foreign_cpu_s=0.4, steal_s=0.01, pressure_s=0.1, swapped_in_pages=20),
        replace(CLEAN, half_width=0.02, stop_reason="max_duration"),
        replace(CLEAN, half_width=0.5, stop_reason="interval_met"),
        replace(CLEAN, half_width=0.5, stop_reason="max_duration"),
        replace(CLEAN, series=Series(Course.UNSTEADY, change=0.3)),
        replace(CLEAN, series=Series(Course.SLOWDOWN, change=0.3)),
        replace(CLEAN, series=Series(Course.FLAT, modes=TWO_MODES)),
        replace(CLEAN, tags=("no_steady_state",)),
        replace(CLEAN, gates=(Gate("idle", passed=True, waited_s=0.0, value=0.3, limit=0.1),)),
        traced(
            frequency_min_hz={"policy0": 2.2e9, "policy4": 1e9}, frequency_mean_hz={"policy0": 2.38e9, "policy4": 1e9}
        ),
        traced(sampler_cpu_s=0.02),
        traced(sampler_cpu_s=0.004, wall_s=0.05),
        replace(CLEAN, tags=("call_fallback",), session=session(call_cost_s=9e-5)),
        replace(CLEAN, tags=("call_fallback",), session=session(call_cost_s=None)),
        replace(CLEAN, harness_floor_s=0.0049),
        replace(CLEAN, series=Series(clock_step_s=4e-5)),
        replace(CLEAN, late=2),
        replace(CLEAN, tags=("provider_threads:3",)),
    ],
)
def test_what_is_within_bounds_is_no_reason(facts):
    assert judge([CLEAN, facts, CLEAN], planned=3) == (Verdict.TRUSTED, ())


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (replace(CLEAN, tags=("no_steady_state",)), "no steady state: times of 2 of 3 trials still moved"),
        (
            replace(CLEAN, series=Series(Course.SLOWDOWN, change=0.31)),
            "slowdown: 2 of 3 trials got slower while measured, by 31% at the end",
        ),
        (replace(CLEAN, series=Series(Course.UNSTEADY)), "unsteady: times of 2 of 3 trials move between levels"),
        (
            replace(CLEAN, series=Series(Course.UNSTEADY, modes=TWO_MODES)),
            "two modes: 2 of 3 trials jump between 10 ms (60%) and 20 ms (40%)",
        ),
        (
            replace(CLEAN, half_width=0.031, stop_reason="max_duration"),
            "wide interval: the median is known to ±3.1% where ±0.5% was asked, stopped by max_duration; raise measure.max",
        ),
        (
            replace(CLEAN, harness_floor_s=0.006),
            "near the harness floor: 10000.00 µs, of which an empty model takes 6000.00 µs",
        ),
    ],
)
def test_what_the_median_outlives_in_one_trial_is_told_of_two(odd, words):
    assert judge([CLEAN, odd, CLEAN], planned=3) == (Verdict.TRUSTED, ())
    verdict, (reason,) = judge([odd, CLEAN, odd], planned=3)
    assert verdict is Verdict.DOUBTFUL
    assert words in reason
    assert "; " in reason


def test_ten_inferences_are_enough_where_one_is_slow():
    slow = replace(CLEAN, n=10, median_s=0.3)
    assert judge([slow] * 3, planned=3) == (Verdict.TRUSTED, ())
    _, (reason,) = judge([slow, slow, replace(slow, n=9)], planned=3)
    assert reason.startswith("few samples: 9 of 10 inferences")


def test_a_sustained_trial_is_there_to_see_a_slowdown():
    slow = replace(CLEAN, series=Series(Course.SLOWDOWN, change=0.5))
    sustained = replace(slow, protocol=replace(CLEAN.protocol, scenario="sustained"))
    assert judge([sustained] * 3, planned=3)[0] is Verdict.TRUSTED
    assert judge([slow] * 3, planned=3)[0] is Verdict.DOUBTFUL


def test_what_a_crowd_does_to_the_times_is_no_word_on_the_model():
    crowded = replace(
        counted(runqueue_wait_s=0.6),
        series=Series(Course.SLOWDOWN, change=0.5, modes=TWO_MODES),
        median_s=0.02,
        half_width=0.3,
        stop_reason="max_duration",
    )
    _, reasons = judge([crowded, crowded, CLEAN], planned=3)
    assert [reason.split(":")[0] for reason in reasons] == ["noisy"]


def test_one_odd_process_of_five_is_outlived_by_the_median():
    slow = replace(CLEAN, median_s=0.02)
    assert judge([CLEAN, slow, CLEAN, CLEAN, CLEAN], planned=5)[0] is Verdict.TRUSTED
    assert judge([CLEAN, slow, slow, CLEAN, CLEAN], planned=5)[0] is Verdict.DOUBTFUL


def test_the_clock_under_the_threads_counts_whatever_its_governor():
    loose = replace(traced(frequency_min_hz={"policy0": 1.8e9}), threads=None, before=None)
    assert judge([loose] * 3, planned=3)[0] is Verdict.TRUSTED
    held = replace(loose, before=Reading(1.0, governors={"policy0": "performance"}))
    assert judge([held] * 3, planned=3)[0] is Verdict.DOUBTFUL


def test_a_thief_of_half_the_trials_makes_the_number_useless():
    assert judge([counted(steal_s=0.3), CLEAN, counted(steal_s=0.3)], planned=3)[0] is Verdict.INVALID


def test_waiting_for_a_cpu_in_half_of_the_trials_is_invalid():
    noisy = counted(runqueue_wait_s=0.2)
    assert judge([noisy], planned=1)[0] is Verdict.INVALID
    assert judge([noisy, noisy, CLEAN], planned=3)[0] is Verdict.INVALID
    assert judge([noisy, CLEAN, CLEAN], planned=3)[0] is Verdict.DOUBTFUL


def test_missing_trials_are_told():
    verdict, reasons = judge([CLEAN, CLEAN], planned=5)
    assert verdict is Verdict.DOUBTFUL
    assert reasons[0].startswith("trials missing: 2 of 5 completed")
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


def test_a_model_that_gives_nothing_but_nan_is_doubtful():
    verdict, (reason,) = judge([CLEAN, replace(CLEAN, tags=("all_nan:logits",)), CLEAN], planned=3)
    assert verdict is Verdict.DOUBTFUL
    assert reason.startswith("all NaN: the output logits holds nothing else; ")
    # Some NaN among the numbers may belong there: a mask, a logarithm.
    assert judge([replace(CLEAN, tags=("some_nan:logits",))] * 3, planned=3) == (Verdict.TRUSTED, ())


def test_trials_that_ran_different_compiled_models_are_doubtful():
    trials = [replace(CLEAN, engine_hash=engine) for engine in ("a" * 64, "a" * 64, "b" * 64)]
    verdict, (reason,) = judge(trials, planned=3)
    assert verdict is Verdict.DOUBTFUL
    assert "its compiled model changed between trials, 2 different ones" in reason


def test_one_compiled_model_or_none_known_is_no_reason():
    trials = [replace(CLEAN, engine_hash=engine) for engine in ("a" * 64, "", "a" * 64)]
    assert judge(trials, planned=3) == (Verdict.TRUSTED, ())
