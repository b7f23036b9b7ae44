"""Ways to call a model other than one call after the other: at a fixed pace, and from several threads at once."""

from __future__ import annotations

import itertools
import threading
import time
from array import array
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from edgesweep_worker import accounting
from edgesweep_worker.loop import LEAD_NEEDLESS_NS, Goal, Scenario, Timed, repeated

_NS = 1_000_000_000
_CHUNK = 1 << 16
_LEAD_CALLS = 3


class Paced(Scenario):
    """One call every `period_ns`, by an absolute schedule: a call that takes long delays none but those behind it.

    Between two calls the thread sleeps, as an application that waits for a camera does: what an idle gap costs belongs to
    the answer. There is no batch, and nothing is brought back into the caches.
    """

    def __init__(self, function: Callable[[Any, Any], Any], first: Any, second: Any, period_ns: int) -> None:
        self._function = function
        self._first = first
        self._second = second
        self._period = period_ns
        self._due: int | None = None
        self._ended: int | None = None

    def run(self, goal: Goal) -> Timed:
        """As `Scenario.run`; a stretch after the first one goes on with the schedule."""
        clock = time.perf_counter_ns
        function, first, second = self._function, self._first, self._second
        samples = array("q")
        late = 0
        now = clock()
        due = now if self._due is None else self._due
        since = now if self._ended is None else self._ended
        if due < now and (self._ended is None or self._ended <= due):
            due = now  # looking at the samples took until now; no call of the model did
        reason = ""
        end = since
        while not reason:
            wait = due - clock()
            if wait > 0:
                time.sleep(wait / _NS)
            elif end > due:
                late += 1
            begin = clock()
            function(first, second)
            end = clock()
            samples.append(end - begin)
            due += self._period
            reason = _reason(len(samples), end, goal)
        self._due, self._ended = due, end
        return Timed(samples, reason, end - since, late)


class _Caller:
    """One thread's own call and what it has timed in this stretch."""

    def __init__(self, function: Callable[[Any, Any], Any], first: Any, second: Any) -> None:
        self.function = function
        self.first = first
        self.second = second
        self.durations = array("q", bytes(8 * _CHUNK))
        self.ends = array("q", bytes(8 * _CHUNK))
        self.began = 0
        self.used = 0
        self.waited_ns = 0


@dataclass
class _Shared:
    """What the threads of one stretch share; `next` and `append` are atomic in Python."""

    goal: Goal
    barrier: threading.Barrier
    tickets: Iterator[int] = field(default_factory=itertools.count)
    reasons: list[str] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)


class Concurrent(Scenario):
    """Several threads that call one session at the same time, each with a binding of its own.

    The raw call lets go of Python's lock while it runs, so the calls really overlap.

    Args:
        calls: function, first and second argument for each thread.
        hold: called by each thread with its index before it calls the model, to hold it to its core.
        batch: calls per sample.
    """

    def __init__(
        self,
        calls: Sequence[tuple[Callable[[Any, Any], Any], Any, Any]],
        hold: Callable[[int], None],
        batch: int = 1,
    ) -> None:
        self._callers = [
            _Caller(function if batch == 1 else repeated(function, batch), first, second)
            for function, first, second in calls
        ]
        self._hold = hold
        self._lead = 0
        self.waited_ns = 0

    def lead_in(self, typical_ns: float) -> None:
        """Each thread makes a few calls of its own before all begin together."""
        self._lead = 0 if typical_ns >= LEAD_NEEDLESS_NS else _LEAD_CALLS

    def run(self, goal: Goal) -> Timed:
        """As `Scenario.run`, samples in the order in which they ended.

        Raises:
            Exception: whatever a call raised first.
        """
        shared = _Shared(goal, threading.Barrier(len(self._callers)))
        threads = [
            threading.Thread(target=self._call, args=(index, shared), daemon=True)
            for index in range(len(self._callers))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if shared.errors:
            raise shared.errors[0]
        self.waited_ns += sum(caller.waited_ns for caller in self._callers)
        took_part = [caller for caller in self._callers if caller.used]
        durations = np.concatenate([np.asarray(caller.durations[: caller.used]) for caller in took_part])
        ends = np.concatenate([np.asarray(caller.ends[: caller.used]) for caller in took_part])
        samples = array("q", durations[np.argsort(ends, kind="stable")].tobytes())
        return Timed(samples, shared.reasons[0], int(ends.max()) - min(caller.began for caller in took_part))

    def _call(self, index: int, shared: _Shared) -> None:
        caller = self._callers[index]
        caller.used = 0
        try:
            self._hold(index)
            for _ in range(self._lead):
                caller.function(caller.first, caller.second)
            shared.barrier.wait()
            self._fill(caller, shared)
            caller.waited_ns = accounting.thread_wait_ns(threading.get_native_id()) or 0
        except threading.BrokenBarrierError:
            pass  # another thread failed before all were ready
        except BaseException as error:  # noqa: BLE001 - it belongs to the thread that waits for this one
            shared.errors.append(error)
            shared.reasons.append("error")
            shared.barrier.abort()

    def _fill(self, caller: _Caller, shared: _Shared) -> None:
        clock = time.perf_counter_ns
        function, first, second = caller.function, caller.first, caller.second
        durations, ends, callers = caller.durations, caller.ends, self._callers
        goal, tickets, reasons = shared.goal, shared.tickets, shared.reasons
        room, used = len(durations), 0
        caller.began = clock()
        while not reasons:
            if next(tickets) >= goal.cap:
                return  # the thread whose sample is the last tells the reason
            begin = clock()
            function(first, second)
            end = clock()
            durations[used] = end - begin
            ends[used] = end
            used += 1
            caller.used = used
            reason = _reason(sum(other.used for other in callers), end, goal)
            if reason or used == room:
                reasons.append(reason)


def _reason(taken: int, end: int, goal: Goal) -> str:
    """Why this was the last sample, in the order of `loop`; "" when it was not."""
    if taken >= goal.floor and end >= goal.earliest:
        return "floors_met"
    if taken >= goal.cap:
        return "max_inferences"
    return "max_duration" if end >= goal.latest else ""
