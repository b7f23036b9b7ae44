"""How long a trial is measured: floors, goal and caps in samples, for fast and for slow inferences."""

from __future__ import annotations

import dataclasses
import json
import os

import pytest

np = pytest.importorskip("numpy")
onnxruntime = pytest.importorskip("onnxruntime")

from edgesweep_worker.events import EventPipe  # noqa: E402 - onnxruntime must be there first
from edgesweep_worker.job import Protocol, SessionRequest, Tolerance, TrialJob  # noqa: E402
from edgesweep_worker.loop import Limits  # noqa: E402
from edgesweep_worker.measure import Measurement, limits_for, warmup_plan  # noqa: E402
from edgesweep_worker.threads import Pinning  # noqa: E402
from edgesweep_worker.warmup import WarmUp  # noqa: E402

MS, S = 10**6, 10**9
FULL = Protocol(
    warmup_min_runs=3,
    warmup_min_s=0.5,
    warmup_max_s=15.0,
    min_inferences=100,
    min_duration_s=2.0,
    max_inferences=10_000,
    max_duration_s=20.0,
    target_half_width=0.005,
)
SUSTAINED = dataclasses.replace(FULL, scenario="sustained", min_duration_s=600.0)


@pytest.mark.parametrize(
    ("protocol", "call_ns", "batch", "limits"),
    [
        (FULL, MS, 1, Limits(100, 2 * S, 10_000, 20 * S, 0.005)),
        # Floors of inferences are rounded up in samples, caps down.
        (FULL, 30_000, 7, Limits(15, 2 * S, 1428, 20 * S, 0.005)),
        (FULL, 1_000, 250, Limits(1, 2 * S, 40, 20 * S, 0.005)),
        (FULL, 200 * MS, 1, Limits(100, 2 * S, 10_000, 20 * S, 0.005)),
        (FULL, 201 * MS, 1, Limits(10, 2 * S, 10_000, 20 * S, 0.005)),
        (FULL, 1_001 * MS, 1, Limits(10, 2 * S, 10_000, 60 * S, 0.005)),
        # An older protocol stays as it is.
        (dataclasses.replace(FULL, target_half_width=0.0), 2 * S, 1, Limits(100, 2 * S, 10_000, 20 * S)),
        (dataclasses.replace(FULL, min_inferences=5), 2 * S, 1, Limits(5, 2 * S, 10_000, 60 * S, 0.005)),
        (SUSTAINED, MS, 1, Limits(100, 600 * S, None, 600 * S)),
        (SUSTAINED, 30 * S, 1, Limits(10, 600 * S, None, 600 * S)),
        (dataclasses.replace(SUSTAINED, min_duration_s=1.0), MS, 1, Limits(100, S, None, 20 * S)),
    ],
)
def test_limits_of_the_measured_part(protocol, call_ns, batch, limits):
    assert limits_for(protocol, call_ns, batch) == limits


@pytest.mark.parametrize(
    ("call_ns", "batch", "plan"),
    [
        (MS, 1, WarmUp(3, S // 2, 10, 250 * MS, 15 * S)),
        (1_000, 250, WarmUp(1, S // 2, 10, 250 * MS, 15 * S)),
        (300 * MS, 1, WarmUp(3, S // 2, 3, 250 * MS, 15 * S)),
        (2 * S, 1, WarmUp(3, S // 2, 3, 250 * MS, 45 * S)),
    ],
)
def test_the_plan_of_the_warm_up(call_ns, batch, plan):
    assert warmup_plan(FULL, call_ns, batch) == plan
    assert warmup_plan(dataclasses.replace(FULL, warmup_max_s=0.0), call_ns, batch).max_ns == 0


class Idle:
    """A call that does nothing, in place of a session's."""

    first = second = None

    def __init__(self, at_call=None):
        self.count = 0
        self.at_call = at_call or {}

    def function(self, first, second):
        self.count += 1
        self.at_call.get(self.count, lambda: None)()


def measured(call, cpus, between=lambda: None):
    """What a measurement of `call` tells, event by event; `between` happens between warm-up and measured part."""
    protocol = Protocol(warmup_min_runs=1, warmup_min_s=0, min_inferences=10, min_duration_s=0)
    job = TrialJob("", "", (), (), (), Tolerance(), SessionRequest(), protocol)
    reader, writer = os.pipe()
    measurement = Measurement(job, EventPipe(writer), call, lambda: None, Pinning(cpus))
    measurement.warm_up(10 * MS)
    between()
    measurement.measure()
    os.close(writer)
    with os.fdopen(reader) as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture
def cpus():
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("this machine lets the tests use one CPU only")
    yield allowed
    os.sched_setaffinity(0, allowed)


def test_threads_that_stay_are_told_as_pinned(cpus):
    events = measured(Idle(), cpus[:1])
    assert [event["threads"]["pinned"] for event in events if "threads" in event] == [True, True]
    assert not [event for event in events if "tags" in event]


def test_threads_that_were_moved_while_it_was_measured_are_found_out(cpus):
    events = measured(Idle(), cpus[:1], lambda: os.sched_setaffinity(0, cpus))
    assert [event["threads"]["pinned"] for event in events if "threads" in event] == [True, False]
    assert [event["tags"] for event in events if "tags" in event] == [["not_pinned"]]


def test_threads_that_came_back_were_astray_all_the_same(cpus):
    # The first calls are those of the warm-up.
    call = Idle({1: lambda: os.sched_setaffinity(0, cpus)})
    events = measured(call, cpus[:1], lambda: os.sched_setaffinity(0, cpus[:1]))
    assert [event["threads"]["pinned"] for event in events if "threads" in event] == [False]
    assert [event["tags"] for event in events if "tags" in event] == [["not_pinned"]]


def test_a_trial_goes_on_until_the_interval_is_narrow(workshop, bench):
    protocol = {"target_half_width": 0.9, "warmup_max_s": 0.001, "max_duration_s": 60.0}
    ended = workshop.run(bench.good_job(protocol=protocol))
    told = ended.facts["samples"]
    assert told["stop_reason"] == "interval_met"
    # Three windows of a quarter of a second do not fit under such a cap.
    assert told["warmup_stop_reason"] == "max_duration"
    assert ended.tags == ["no_steady_state"]
    # A batch is as long as it should be: no cap of inferences made it shorter.
    assert told["batch"] > 10


def test_a_trial_that_never_knows_its_median_ends_at_its_cap(workshop, bench):
    told = workshop.run(bench.good_job(protocol={"target_half_width": 1e-12, "max_duration_s": 0.3})).facts["samples"]
    assert told["stop_reason"] in {"max_duration", "max_inferences"}
    assert told["wall_s"] >= 0.01


def test_a_steady_trial_says_so(workshop, bench):
    """A model that sleeps would be steadier; this one is real, so it may also have met the cap."""
    ended = workshop.run(bench.good_job(protocol={"warmup_max_s": 10.0}))
    reason = ended.facts["samples"]["warmup_stop_reason"]
    assert (reason, ended.tags) in [("steady", []), ("max_duration", ["no_steady_state"])]
