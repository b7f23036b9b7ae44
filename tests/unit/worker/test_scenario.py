"""Paced and concurrent calls on scripted times and real threads, and as whole trials."""

from __future__ import annotations

import array
import itertools
import os
import threading
from types import SimpleNamespace

import pytest

np = pytest.importorskip("numpy")
pytest.importorskip("onnxruntime")

from edgesweep_worker import loop, scenario  # noqa: E402 - onnxruntime must be there first
from edgesweep_worker.loop import Goal, Limits, run_scenario  # noqa: E402
from edgesweep_worker.scenario import Concurrent, Paced  # noqa: E402

LONG = 10**18


class Time:
    """A clock that only calls and sleeping move on."""

    def __init__(self, monkeypatch, overslept=0):
        self.now = 1_000_000
        self.slept = []
        self.overslept = overslept
        double = SimpleNamespace(perf_counter_ns=lambda: self.now, sleep=self.sleep)
        for module in (loop, scenario):
            monkeypatch.setattr(module, "time", double)

    def sleep(self, seconds):
        assert seconds > 0
        self.slept.append(round(seconds * 1e9))
        self.now += self.slept[-1] + self.overslept

    def call(self, durations, begun=None):
        durations = iter(durations)

        def call(first, second):
            if begun is not None:
                begun.append(self.now)
            self.now += next(durations)

        return call


def test_calls_begin_by_the_schedule(monkeypatch):
    time = Time(monkeypatch)
    begun = []
    timed = Paced(time.call([30, 70, 10, 50], begun), None, None, 100).run(Goal(4, 0))
    assert begun == [1_000_000, 1_000_100, 1_000_200, 1_000_300]
    assert list(timed.samples) == [30, 70, 10, 50]
    assert (timed.stop_reason, timed.late, timed.wall_ns) == ("floors_met", 0, 350)
    assert time.slept == [70, 30, 90]


def test_sleeping_too_long_moves_no_later_call(monkeypatch):
    time = Time(monkeypatch, overslept=5)
    begun = []
    timed = Paced(time.call([30] * 3, begun), None, None, 100).run(Goal(3, 0))
    assert begun == [1_000_000, 1_000_105, 1_000_205]
    assert timed.late == 0  # it was the clock's doing, not the model's
    assert list(timed.samples) == [30, 30, 30]


def test_a_call_longer_than_the_period_makes_those_behind_it_late(monkeypatch):
    time = Time(monkeypatch)
    begun = []
    timed = Paced(time.call([10, 250, 10, 10, 10], begun), None, None, 100).run(Goal(5, 0))
    # Due at 0, 100, 200, 300, 400: the second lasts until 350, so the third and the fourth are late, the fifth is not.
    assert [begin - 1_000_000 for begin in begun] == [0, 100, 350, 360, 400]
    assert timed.late == 2


def test_a_model_that_never_keeps_up_is_always_late(monkeypatch):
    timed = Paced(Time(monkeypatch).call([150] * 6), None, None, 100).run(Goal(6, 0))
    assert timed.late == 5
    assert timed.wall_ns == 900


def test_the_schedule_goes_on_over_stretches(monkeypatch):
    time = Time(monkeypatch)
    begun = []
    paced = Paced(time.call(itertools.repeat(30), begun), None, None, 100)
    first = paced.run(Goal(2, 0))
    time.now += 20  # looked at the samples for so long
    second = paced.run(Goal(2, 0))
    assert [begin - 1_000_000 for begin in begun] == [0, 100, 200, 300]
    assert (first.late, second.late) == (0, 0)
    assert first.wall_ns + second.wall_ns == 330


def test_looking_at_the_samples_makes_no_call_late(monkeypatch):
    time = Time(monkeypatch)
    begun = []
    paced = Paced(time.call(itertools.repeat(30), begun), None, None, 100)
    paced.run(Goal(2, 0))
    time.now += 500
    second = paced.run(Goal(2, 0))
    # The schedule begins anew where it was left.
    assert [begin - 1_000_000 for begin in begun] == [0, 100, 630, 730]
    assert second.late == 0


def test_a_model_that_is_behind_stays_late_over_stretches(monkeypatch):
    time = Time(monkeypatch)
    paced = Paced(time.call(itertools.repeat(150)), None, None, 100)
    assert paced.run(Goal(2, 0)).late == 1
    assert paced.run(Goal(2, 0)).late == 2


@pytest.mark.parametrize(
    ("goal", "count", "reason"),
    [
        (Goal(1, 1_000_250), 4, "floors_met"),
        (Goal(LONG, 0, cap=3), 3, "max_inferences"),
        (Goal(LONG, 0, latest=1_000_150), 3, "max_duration"),
    ],
)
def test_a_paced_stretch_ends_as_any_other(monkeypatch, goal, count, reason):
    timed = Paced(Time(monkeypatch).call(itertools.repeat(30)), None, None, 100).run(goal)
    assert (len(timed.samples), timed.stop_reason) == (count, reason)


def test_nothing_is_called_between_the_paced_ones(monkeypatch):
    time = Time(monkeypatch)
    begun = []
    run_scenario(Paced(time.call(itertools.repeat(30), begun), None, None, 100), Limits(6, 0, half_width=0.1))
    assert [begin - 1_000_000 for begin in begun] == [0, 100, 200, 300, 400, 500]


class Meeting:
    """A call that ends only when all callers are inside of it: it proves that they call at the same time."""

    def __init__(self, callers):
        self.barrier = threading.Barrier(callers, timeout=30)
        self.arguments = []

    def __call__(self, first, second):
        self.arguments.append((threading.get_ident(), first, second))
        self.barrier.wait()


def held_nowhere(index):
    pass


def test_all_threads_call_at_the_same_time_each_with_its_own_arguments():
    meeting = Meeting(3)
    timed = Concurrent([(meeting, index, None) for index in range(3)], held_nowhere).run(Goal(LONG, 0, cap=30))
    assert (len(timed.samples), timed.stop_reason) == (30, "max_inferences")
    assert len({thread for thread, _, _ in meeting.arguments}) == 3
    assert len({(thread, first) for thread, first, _ in meeting.arguments}) == 3


def test_the_cap_counts_the_calls_of_all_threads():
    counted = itertools.count()
    timed = Concurrent([(lambda first, second: next(counted), None, None)] * 4, held_nowhere).run(
        Goal(LONG, 0, cap=101)
    )
    assert len(timed.samples) == next(counted) == 101


def test_floors_count_the_calls_of_all_threads_and_those_in_flight_are_kept():
    counted = itertools.count()
    timed = Concurrent([(lambda first, second: next(counted), None, None)] * 4, held_nowhere).run(Goal(100, 0))
    assert timed.stop_reason == "floors_met"
    assert 100 <= len(timed.samples) == next(counted) <= 103


def test_samples_stand_in_the_order_of_their_ends(monkeypatch):
    # Each thread has a clock that only its own call moves: ends at 3, 6, 9 and at 5, 10.
    here = threading.local()
    monkeypatch.setattr(scenario, "time", SimpleNamespace(perf_counter_ns=lambda: getattr(here, "now", 0)))
    turns = [threading.Event() for _ in range(5)]
    script = {"a": [(0, 3), (2, 3), (3, 3)], "b": [(1, 5), (4, 5)]}

    def call(name, left):
        turn, duration = left.pop(0)
        if turn:
            assert turns[turn - 1].wait(30)
        here.now = getattr(here, "now", 0) + duration
        turns[turn].set()

    timed = Concurrent([(call, name, list(steps)) for name, steps in script.items()], held_nowhere).run(
        Goal(LONG, 0, cap=5)
    )
    assert list(timed.samples) == [3, 5, 3, 3, 5]
    assert timed.wall_ns == 10


def test_an_error_in_one_thread_ends_them_all():
    def fail(first, second):
        raise ArithmeticError("in the call")

    calls = [(lambda first, second: None, None, None), (fail, None, None)]
    with pytest.raises(ArithmeticError, match="in the call"):
        Concurrent(calls, held_nowhere).run(Goal(LONG, LONG))


def test_an_error_before_all_are_ready_ends_them_all():
    def hold(index):
        if index == 1:
            raise OSError("no such CPU")

    with pytest.raises(OSError, match="no such CPU"):
        Concurrent([(lambda first, second: None, None, None)] * 3, hold).run(Goal(10, 0))


def test_more_samples_than_one_thread_has_room_for(monkeypatch):
    monkeypatch.setattr(scenario, "_CHUNK", 16)
    timed = run_scenario(Concurrent([(lambda first, second: None, None, None)] * 2, held_nowhere), Limits(500, 0))
    assert 500 <= len(timed.samples) <= 501
    assert timed.stop_reason == "floors_met"


def test_what_its_threads_waited_for_a_cpu_is_kept_when_they_have_ended(monkeypatch):
    monkeypatch.setattr(scenario.accounting, "thread_wait_ns", lambda thread: 7)
    concurrent = Concurrent([(lambda first, second: None, None, None)] * 3, held_nowhere)
    for _ in range(2):
        concurrent.run(Goal(10, 0))
    assert concurrent.waited_ns == 2 * 3 * 7


def test_the_untimed_calls_are_each_threads_own():
    calls = []
    concurrent = Concurrent([(lambda first, second: calls.append(first), 0, None)] * 2, held_nowhere, batch=5)
    concurrent.lead_in(0.0)
    timed = concurrent.run(Goal(LONG, 0, cap=4))
    assert len(timed.samples) == 4
    assert len(calls) == 5 * (2 * scenario._LEAD_CALLS + 4)


# Whole trials.


def read_samples(bench):
    samples = array.array("q")
    samples.frombytes(bench.samples.read_bytes())
    return list(samples)


def test_a_paced_trial(workshop, bench):
    protocol = {"scenario": "paced", "period_s": 0.005, "min_inferences": 30, "warmup_min_s": 0.02}
    ended = workshop.run(bench.good_job(protocol=protocol))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    told = ended.facts["samples"]
    assert (told["batch"], told["measured_count"], told["stop_reason"]) == (1, 30, "floors_met")
    assert told["wall_s"] >= 29 * 0.005
    assert told["late"] <= 30
    assert len(read_samples(bench)) == told["warmup_count"] + 30


def test_a_sustained_trial_lasts_its_time_whatever_the_interval_and_the_caps(workshop, bench):
    protocol = {
        "scenario": "sustained",
        "min_duration_s": 0.3,
        "max_duration_s": 0.1,
        "max_inferences": 20,
        "target_half_width": 0.5,
    }
    told = workshop.run(bench.good_job(protocol=protocol)).facts["samples"]
    assert told["stop_reason"] == "floors_met"
    assert told["wall_s"] >= 0.3
    assert told["measured_count"] * told["batch"] > 20


@pytest.mark.parametrize("io_mode", ["bound", "host"])
def test_a_trial_with_two_threads_at_once(workshop, bench, io_mode):
    cpus = sorted(os.sched_getaffinity(0))[:2]
    protocol = {"concurrency": 2, "io_mode": io_mode}
    ended = workshop.run(dict(bench.good_job(protocol=protocol), cpus=cpus))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    told = ended.facts["samples"]
    assert told["concurrency"] == 2
    assert len(read_samples(bench)) == told["warmup_count"] + told["measured_count"]
    assert min(read_samples(bench)) > 0
    # Both at once: each thread's own time fits into the whole, both together may not.
    assert sum(read_samples(bench)[told["warmup_count"] :]) <= 2 * told["wall_s"] * 1e9
    if len(cpus) == 2:
        assert ended.facts["threads"]["pinned"] is True
        assert ended.tags == []


def test_two_threads_and_a_pool_are_more_than_two_cores(workshop, bench):
    cpus = sorted(os.sched_getaffinity(0))[:2]
    job = bench.good_job(protocol={"concurrency": 2}, session={"intra_op_threads": 2})
    ended = workshop.run(dict(job, cpus=cpus))
    assert ended.verdict == ("pass", "placement", ""), ended.end
    assert ended.facts["threads"]["note"].startswith("3 threads share the")
    assert ended.tags == ["not_pinned"]


@pytest.mark.parametrize(
    ("protocol", "words"),
    [
        ({"scenario": "bursts"}, "does not know the scenario bursts"),
        ({"scenario": "paced"}, "needs a period above 0 s"),
        ({"scenario": "paced", "period_s": 0.1, "concurrency": 2}, "calls from one thread only"),
    ],
)
def test_what_this_worker_cannot_do_is_refused(workshop, bench, protocol, words):
    ended = workshop.run(bench.good_job(protocol=protocol))
    assert ended.verdict == ("failed", "warmup", "worker_protocol")
    assert words in ended.end["message"]


def test_an_older_agents_zeros_mean_one_thread_back_to_back(workshop, bench):
    protocol = {"scenario": "", "concurrency": 0, "warmup_max_s": 0, "target_half_width": 0, "period_s": 0}
    told = workshop.run(bench.good_job(protocol=protocol)).facts["samples"]
    assert (told["stop_reason"], told["warmup_stop_reason"], told["concurrency"]) == ("floors_met", "floors_met", 1)
    assert told["late"] == 0
    assert told["wall_s"] > 0
