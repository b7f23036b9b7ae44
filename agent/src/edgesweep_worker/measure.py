"""The timed part of a trial: how it is called, for how long, and what the kernel says it cost."""

from __future__ import annotations

from array import array
from typing import Any, Callable, Iterator, Mapping

from edgesweep_worker import accounting, batching, loop, scenario, warmup
from edgesweep_worker.events import EventPipe
from edgesweep_worker.failure import TrialFailed, failing_runs
from edgesweep_worker.job import Protocol, TrialJob
from edgesweep_worker.threads import Pinning

_NS = 1_000_000_000

#: A window of the warm-up holds at least so many inferences and so many ns (measurement.md 2.3).
_WINDOW_RUNS, _WINDOW_NS = 10, 250_000_000

#: An inference this slow gets smaller floors: ten of them are measured, three are a window (measurement.md 2.4).
_SLOW_NS = 200_000_000
_SLOW_FLOOR, _SLOW_WINDOW_RUNS = 10, 3
#: One this slow gets so many times the caps of time: 60 s where the protocol says 20.
_VERY_SLOW_NS = 1_000_000_000
_VERY_SLOW_CAPS = 3


def warmup_plan(protocol: Protocol, call_ns: int, batch: int) -> warmup.WarmUp:
    """Floors, windows and cap of the warm-up in samples of `batch` inferences that take `call_ns` each."""
    caps = _VERY_SLOW_CAPS if call_ns > _VERY_SLOW_NS else 1
    return warmup.WarmUp(
        min_samples=max(1, -(-protocol.warmup_min_runs // batch)),
        min_ns=int(protocol.warmup_min_s * _NS),
        window_samples=_SLOW_WINDOW_RUNS if call_ns > _SLOW_NS else _WINDOW_RUNS,
        window_ns=_WINDOW_NS,
        max_ns=int(protocol.warmup_max_s * _NS) * caps,
    )


def limits_for(protocol: Protocol, call_ns: int, batch: int) -> loop.Limits:
    """Limits of the measured part in samples of `batch` inferences that take `call_ns` each.

    Floors are rounded up, caps down, never less than one sample. Only the worker knows how slow an inference is, so the
    smaller floor and the longer cap of slow ones are decided here; a protocol without a goal for the interval is an older one
    and stays as it is. A sustained trial has no cap of inferences and ends at its time.
    """
    floor, caps = protocol.min_inferences, 1
    sustained = protocol.scenario == "sustained"
    if protocol.target_half_width or sustained:
        floor = min(floor, _SLOW_FLOOR) if call_ns > _SLOW_NS else floor
        caps = _VERY_SLOW_CAPS if call_ns > _VERY_SLOW_NS else 1
    longest = protocol.max_duration_s * caps
    return loop.Limits(
        min_samples=max(1, -(-floor // batch)),
        min_ns=int(protocol.min_duration_s * _NS),
        max_samples=None if sustained else max(1, protocol.max_inferences // batch),
        max_ns=int(max(longest, protocol.min_duration_s if sustained else 0.0) * _NS),
        half_width=0.0 if sustained else protocol.target_half_width,
    )


class Measurement:
    """Warms up and times one session.

    Args:
        job: the trial's job.
        pipe: where facts are told.
        call: the session's call, run at least once.
        another: makes one more call of the same session, for a thread of its own.
        pinning: holds the threads.
    """

    def __init__(self, job: TrialJob, pipe: EventPipe, call: Any, another: Callable[[], Any], pinning: Pinning) -> None:
        self._job = job
        self._pipe = pipe
        self._call = call
        self._pinning = pinning
        self._threads = max(1, job.protocol.concurrency)
        self._callers = [call]
        self._another = another
        self._stray = False
        self.batch = 1
        self._call_ns = 0

    def warm_up(self, typical_ns: int) -> None:
        """Warm up, and tell how the threads were found then.

        Args:
            typical_ns: what a run took so far at its fastest.

        Raises:
            TrialFailed: worker_protocol, the scenario is none that this worker knows; else why a run failed.
        """
        protocol = self._job.protocol
        _check(protocol)
        # Some providers start threads only when they run.
        self._pinning.hold()
        call = self._call
        with failing_runs():
            self._call_ns = batching.call_cost_ns(call.function, call.first, call.second, typical_ns)
            if protocol.scenario != "paced":
                capped = not (protocol.target_half_width or protocol.scenario == "sustained")
                most = protocol.max_inferences if capped else None
                self.batch = batching.batch_for(self._call_ns, batching.clock_cost_ns(), most)
            while len(self._callers) < self._threads:
                other = self._another()
                other.run()
                other.settle()
                self._callers.append(other)
            # A window of paced calls lasts as long as one of slow calls.
            period_ns = int(protocol.period_s * _NS) if protocol.scenario == "paced" else 0
            plan = warmup_plan(protocol, max(self._call_ns, period_ns), self.batch)
            self.warmup = warmup.warm_up(self._scenario(), plan)
        if self.warmup.stop_reason == "max_duration":
            self._pipe.tag("no_steady_state")
        self._tell_threads()

    def measure(self) -> None:
        """Time the model, and tell what the kernel says of that time."""
        limits = limits_for(self._job.protocol, self._call_ns, self.batch)
        with failing_runs():
            timer = self._scenario()
            before = accounting.read_account()
            self.timed = loop.run_scenario(timer, limits, self._call_ns * self.batch)
            after = accounting.read_account()
        told = before.until(after)
        if told["runqueue_wait_s"] is not None:
            told["runqueue_wait_s"] += timer.waited_ns / _NS
        self._pipe.facts(accounting=told)
        # Somebody may have moved them meanwhile, or a provider have started more.
        self._tell_threads()

    def samples(self) -> array[int]:
        """All samples, the warm-up first."""
        return self.warmup.samples + self.timed.samples

    def answers(self) -> Iterator[Mapping[str, Any]]:
        """Outputs of every call: as the timed runs left them where they are kept, and of one more run.

        Raises:
            TrialFailed: why that run failed.
        """
        with failing_runs():
            for call in self._callers:
                if call.io_mode == "bound":
                    yield call.outputs()
                yield call.run_afresh()

    def facts(self) -> dict[str, Any]:
        """Samples as JSON data; the agent names the file."""
        return {
            "warmup_count": len(self.warmup.samples),
            "measured_count": len(self.timed.samples),
            "batch": self.batch,
            "stop_reason": self.timed.stop_reason,
            "warmup_stop_reason": self.warmup.stop_reason,
            "late": self.timed.late,
            "concurrency": self._threads,
            "wall_s": self.timed.wall_ns / _NS,
        }

    def _tell_threads(self) -> None:
        """Tell where the threads are now; that they were elsewhere before is not forgotten."""
        found = self._pinning.facts()
        if found["pinned"] and self._stray:
            return
        self._pipe.facts(threads=found)
        if found["cluster"] and not found["pinned"]:
            self._stray = True
            self._pipe.tag("not_pinned")

    def _scenario(self) -> loop.Scenario:
        protocol, call = self._job.protocol, self._call
        if protocol.scenario == "paced":
            return scenario.Paced(call.function, call.first, call.second, int(protocol.period_s * _NS))
        if self._threads == 1:
            return loop.Closed(call.function, call.first, call.second, self.batch)
        places = self._pinning.places_for_callers(self._threads)
        return scenario.Concurrent(
            [(one.function, one.first, one.second) for one in self._callers],
            lambda index: self._pinning.hold_caller(index, places[index]),
            self.batch,
        )


def _check(protocol: Protocol) -> None:
    """Refuse what this worker cannot do; a newer peer may ask for it."""
    if protocol.scenario not in {"", "closed", "paced", "sustained"}:
        raise TrialFailed("worker_protocol", f"the worker does not know the scenario {protocol.scenario}")
    if protocol.scenario == "paced" and protocol.period_s <= 0:
        raise TrialFailed("worker_protocol", "a paced trial needs a period above 0 s")
    if protocol.scenario == "paced" and protocol.concurrency > 1:
        raise TrialFailed("worker_protocol", "a paced trial calls from one thread only")
