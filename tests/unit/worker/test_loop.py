"""The timed loop: counts, floors, the goal, caps, batches, and a garbage collector left as it was."""

from __future__ import annotations

import gc
import itertools
from array import array
from types import SimpleNamespace

import pytest

pytest.importorskip("numpy")

from edgesweep_worker import batching, loop
from edgesweep_worker.batching import batch_for, call_cost_ns
from edgesweep_worker.loop import Goal, Limits, Scenario, Timed, run_scenario, run_timed

LEAD = loop._LEAD_CALLS  # calls that are not timed


class Counted:
    def __init__(self):
        self.calls = []

    def __call__(self, first, second):
        self.calls.append((first, second))


def test_it_stops_at_the_floor_of_samples():
    call = Counted()
    timed = run_timed(call, 1, 2, Limits(17, 0))
    assert timed.stop_reason == "floors_met"
    assert len(timed.samples) == 17
    assert len(call.calls) == LEAD + 17
    assert set(call.calls) == {(1, 2)}


@pytest.fixture
def ticking(monkeypatch):
    """A clock that moves on by 10 ns at every look, so that each sample is 10 ns and each round 20 ns."""
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter_ns=itertools.count(1000, 10).__next__))


def test_it_stops_at_the_floor_of_time(ticking):
    # One look for the start, one for the stretch's, then pairs: the fifth ends 110 after the start.
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
    assert len(call.calls) == 4 * (LEAD + 5)


def test_samples_are_what_the_call_took(monkeypatch):
    now = [0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter_ns=lambda: now[0]))

    def call(first, second):
        now[0] += second

    timed = run_timed(call, None, 37, Limits(3, 0))
    assert list(timed.samples) == [37, 37, 37]
    assert list(run_timed(call, None, 37, Limits(2, 0), batch=4).samples) == [148, 148]


@pytest.mark.parametrize(
    ("call_ns", "clock_ns", "most", "batch"),
    [
        (1_000_000, 70, None, 1),
        (200_000, 70, None, 1),
        (199_999, 70, None, 2),  # a quarter more than 200 us, for clocks still speed up
        (1_250, 70, None, 200),
        (1_250, 2_600, None, 208),  # a slow clock: 1 % of a sample
        (0, 70, None, 1000),
        (1_250, 70, 10_000, 10),  # a thousand samples under the cap,
        (1_250, 70, 40, 6),  # but no more clock than 1 %
        (7_000, 70, 0, 1),
    ],
)
def test_a_sample_is_long_enough_for_the_clock(call_ns, clock_ns, most, batch):
    assert batch_for(call_ns, clock_ns, most) == batch
    assert batch == 1000 or clock_ns <= batching.CLOCK_SHARE * call_ns * batch
    assert batch == 1000 or most is not None or call_ns * batch >= batching.SHORTEST_NS


def test_the_cost_of_a_call_is_learnt_from_its_fastest_tries(monkeypatch):
    now = [0]
    costs = itertools.chain([90_000, 8_000, 8_000], itertools.repeat(2_000))

    def call(first, second):
        now[0] += next(costs)

    monkeypatch.setattr(batching, "time", SimpleNamespace(perf_counter_ns=lambda: now[0]))
    assert call_cost_ns(call, None, None, 100_000) == 2_000
    assert now[0] >= batching._TRY_NS


def test_a_call_that_needs_no_batch_is_not_tried_again(monkeypatch):
    assert call_cost_ns(lambda first, second: pytest.fail("called"), None, None, 250_000) == 250_000


class Scripted(Scenario):
    """Gives samples from a list, as many as the goal's floor asks for, and notes what happened around them."""

    def __init__(self, samples, reason_at_end="max_duration"):
        self.left = list(samples)
        self.log = []
        self.reason_at_end = reason_at_end

    def lead_in(self, typical_ns):
        self.log.append("lead")

    def run(self, goal):
        self.log.append(goal.floor)
        assert goal.cap > 10**18
        taken, self.left = self.left[: goal.floor], self.left[goal.floor :]
        reason = "floors_met" if len(taken) == goal.floor else self.reason_at_end
        return Timed(array("q", taken), reason, 10 * len(taken), late=1)


def test_with_a_goal_it_goes_on_until_the_interval_is_narrow():
    noisy = [1000, 1200] * 20
    scenario = Scripted(noisy + [1000] * 10_000)
    timed = run_scenario(scenario, Limits(40, 0, half_width=0.005))
    assert timed.stop_reason == "interval_met"
    # Each stretch begins with untimed calls, and each look has a quarter more samples than the one before.
    assert scenario.log[::2] == ["lead"] * (len(scenario.log) // 2)
    assert scenario.log[1::2] == [40, 10, 13, 16, 20]
    assert list(timed.samples) == (noisy + [1000] * 10_000)[:99]
    assert (timed.wall_ns, timed.late) == (990, 5)


def test_a_goal_that_holds_at_the_floors_ends_it_there():
    timed = run_scenario(Scripted([7] * 100), Limits(40, 0, half_width=0.005))
    assert (len(timed.samples), timed.stop_reason) == (40, "interval_met")


def test_too_few_samples_for_an_interval_are_never_narrow():
    timed = run_scenario(Scripted([7] * 100), Limits(3, 0, half_width=0.005))
    assert (len(timed.samples), timed.stop_reason) == (7, "interval_met")


def test_without_a_goal_nothing_is_looked_at(monkeypatch):
    monkeypatch.setattr(loop, "_looked_at", lambda samples, limits: pytest.fail("looked"))
    timed = run_scenario(Scripted([1, 1000] * 100), Limits(40, 0))
    assert (len(timed.samples), timed.stop_reason) == (40, "floors_met")


def test_with_a_goal_the_cap_of_samples_counts_beyond_the_floors_only():
    timed = run_scenario(Scripted([1, 1000] * 100), Limits(40, 0, max_samples=10, half_width=0.005))
    assert (len(timed.samples), timed.stop_reason) == (40, "max_inferences")
    timed = run_scenario(Scripted([1, 1000] * 100), Limits(40, 0, max_samples=55, half_width=0.005))
    assert (len(timed.samples), timed.stop_reason) == (55, "max_inferences")


def test_with_a_goal_the_cap_of_time_ends_it_as_well():
    timed = run_scenario(Scripted([1, 1000] * 26), Limits(40, 0, max_samples=1000, half_width=0.005))
    assert (len(timed.samples), timed.stop_reason) == (52, "max_duration")


def test_the_cap_of_time_counts_from_the_start_of_all_stretches(ticking):
    # 10 ns a look: the cap of 10 us is reached whatever the stretches are.
    varied = itertools.cycle([0, 50])
    timed = run_timed(
        lambda first, second: [loop.time.perf_counter_ns() for _ in range(next(varied))],
        None,
        None,
        Limits(8, 0, max_ns=10_000, half_width=1e-9),
    )
    assert timed.stop_reason == "max_duration"
    assert len(timed.samples) > 8


def test_a_long_call_needs_no_untimed_ones():
    call = Counted()
    run_scenario(loop.Closed(call, 1, 2), Limits(5, 0), typical_ns=20_000_000)
    assert len(call.calls) == 5


def test_the_untimed_calls_end_with_their_time(monkeypatch):
    now = [0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter_ns=lambda: now[0]))

    def call(first, second):
        now[0] += 900_000

    scenario = loop.Closed(call, None, None)
    scenario.lead_in(900_000)
    assert now[0] == 2_700_000


def test_wall_is_from_the_first_call_to_the_last_answer(monkeypatch):
    now = [0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter_ns=lambda: now[0]))

    def call(first, second):
        now[0] += 100

    assert run_timed(call, None, None, Limits(30, 0)).wall_ns == 3000


def test_a_goal_counts_what_is_still_to_be_taken():
    scenario = loop.Closed(Counted(), 1, 2)
    assert len(scenario.run(Goal(3, 0)).samples) == 3
    assert len(scenario.run(Goal(-2, 0)).samples) == 1


def test_no_collection_inside_and_the_collector_as_before_after():
    seen = []
    run_timed(lambda first, second: seen.append(gc.isenabled()), None, None, Limits(3, 0))
    assert seen == [False] * (LEAD + 3)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_an_error_in_the_call_restores_the_collector():
    def fail(first, second):
        raise ArithmeticError("in the call")

    with pytest.raises(ArithmeticError):
        run_timed(fail, None, None, Limits(3, 0))
    assert gc.isenabled()


def test_the_clock_costs_something():
    assert batching.clock_cost_ns() >= 1
