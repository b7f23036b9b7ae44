"""The timed loop: counts, floors, caps, batches, and a garbage collector left as it was."""

from __future__ import annotations

import gc
import itertools
from types import SimpleNamespace

import pytest
from edgesweep_worker import loop
from edgesweep_worker.loop import Limits, batch_for, limits_for, run_timed


class Counted:
    def __init__(self):
        self.calls = []

    def __call__(self, first, second):
        self.calls.append((first, second))


def test_it_stops_at_the_floor_of_samples():
    call = Counted()
    timed = run_timed(call, 1, 2, Limits(17, 0))
    assert timed.stop_reason == "floors_met"
    assert len(timed.samples) == len(call.calls) == 17
    assert set(call.calls) == {(1, 2)}


@pytest.fixture
def ticking(monkeypatch):
    """A clock that moves on by 10 ns at every look, so that each sample is 10 ns and each round 20 ns."""
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter_ns=itertools.count(1000, 10).__next__))


def test_it_stops_at_the_floor_of_time(ticking):
    # Looks at 1000 (start), then pairs: the first one to end at 1100 or later is the fifth.
    timed = run_timed(Counted(), None, None, Limits(1, 100))
    assert list(timed.samples) == [10] * 5
    assert timed.stop_reason == "floors_met"


def test_both_floors_must_hold(ticking):
    assert len(run_timed(Counted(), None, None, Limits(8, 100)).samples) == 8
    assert len(run_timed(Counted(), None, None, Limits(2, 100)).samples) == 5


def test_the_cap_of_time_ends_it(ticking):
    timed = run_timed(Counted(), None, None, Limits(10**9, 0, max_ns=60))
    assert (len(timed.samples), timed.stop_reason) == (3, "max_duration")


def test_the_cap_of_samples_comes_before_the_floor_of_time():
    timed = run_timed(Counted(), None, None, Limits(1, 10**15, max_samples=5))
    assert (len(timed.samples), timed.stop_reason) == (5, "max_inferences")


def test_the_cap_of_time_leaves_at_least_one_sample():
    timed = run_timed(Counted(), None, None, Limits(10**9, 0, max_ns=0))
    assert (len(timed.samples), timed.stop_reason) == (1, "max_duration")


def test_more_samples_than_one_chunk_are_all_kept(monkeypatch):
    monkeypatch.setattr(loop, "_CHUNK", 8)
    assert len(run_timed(Counted(), None, None, Limits(21, 0)).samples) == 21
    timed = run_timed(Counted(), None, None, Limits(10**9, 10**15, max_samples=16))
    assert (len(timed.samples), timed.stop_reason) == (16, "max_inferences")


def test_a_batch_makes_one_sample_of_several_calls():
    call = Counted()
    timed = run_timed(call, 1, 2, Limits(5, 0), batch=4)
    assert len(timed.samples) == 5
    assert len(call.calls) == 20


def test_samples_are_what_the_call_took(monkeypatch):
    now = [0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter_ns=lambda: now[0]))

    def call(first, second):
        now[0] += second

    timed = run_timed(call, None, 37, Limits(3, 0))
    assert list(timed.samples) == [37, 37, 37]
    assert list(run_timed(call, None, 37, Limits(2, 0), batch=4).samples) == [148, 148]


@pytest.mark.parametrize(
    ("call_ns", "clock_ns", "batch"),
    [(1_000_000, 70, 1), (7_000, 70, 1), (6_999, 70, 2), (1_300, 70, 6), (0, 70, 1000)],
)
def test_calls_are_batched_only_where_the_clock_would_count(call_ns, clock_ns, batch):
    assert batch_for(call_ns, clock_ns) == batch
    assert batch == 1000 or clock_ns <= loop.CLOCK_SHARE * call_ns * batch


def test_limits_count_inferences_not_samples():
    limits = limits_for(100, 1.5, 1000, 2.0, 7)
    assert limits == Limits(15, 1_500_000_000, 142, 2_000_000_000)
    assert limits.min_samples * 7 >= 100
    assert limits.max_samples * 7 <= 1000
    assert limits_for(0, 0.0, 3, None, 7) == Limits(1, 0, 1, None)


def test_no_collection_inside_and_the_collector_as_before_after():
    seen = []
    run_timed(lambda first, second: seen.append(gc.isenabled()), None, None, Limits(3, 0))
    assert seen == [False, False, False]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_an_error_in_the_call_restores_the_collector():
    def fail(first, second):
        raise ArithmeticError("in the call")

    with pytest.raises(ArithmeticError):
        run_timed(fail, None, None, Limits(3, 0))
    assert gc.isenabled()


def test_the_clock_costs_something():
    assert loop.clock_cost_ns() >= 1
