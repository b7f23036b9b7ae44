"""The timed loop: a clock, one call, a clock, and nothing else between the two; and when it has seen enough."""

from __future__ import annotations

import abc
import contextlib
import gc
import math
import sys
import time
from array import array
from dataclasses import dataclass, replace
from typing import Any, Callable, Iterator

from edgesweep_worker import interval

_NS = 1_000_000_000
_CHUNK = 1 << 16

#: The interval is looked at whenever there are so many times more samples: all looks together then cost little more than
#: the last one, and at most a fifth of the samples was not needed.
_GROWTH = 1.25

#: After a look, and before the first sample, the caches hold other things than the model: so many calls, or so many
#: nanoseconds of them, are not timed. A call as long as the last figure does not feel it.
_LEAD_CALLS = 10
_LEAD_NS = 2_000_000
LEAD_NEEDLESS_NS = 20_000_000


@dataclass(frozen=True)
class Limits:
    """When to stop: both floors hold and the median is known to `half_width`, or a cap is reached.

    `min_ns` and `max_ns` are nanoseconds since the start, None is no cap. `half_width` is half the interval's width over the
    median, 0 for no such goal; with one, the cap of samples counts only once the floors hold.
    """

    min_samples: int
    min_ns: int
    max_samples: int | None = None
    max_ns: int | None = None
    half_width: float = 0.0


@dataclass(frozen=True)
class Timed:
    """Samples in ns, each of `batch` calls, and why the loop ended.

    `stop_reason` is floors_met, interval_met, max_inferences or max_duration. `wall_ns` runs from the first call to the last
    answer, without the pauses in which the samples were looked at. `late` counts calls that began behind their schedule.
    """

    samples: array[int]
    stop_reason: str
    wall_ns: int = 0
    late: int = 0


@dataclass(frozen=True)
class Goal:
    """Where one stretch of calls ends: samples still to take, and moments of the clock in ns."""

    floor: int
    earliest: int
    cap: int = sys.maxsize
    latest: int = sys.maxsize


class Scenario(abc.ABC):
    """One way to call the model again and again; `run` times one stretch of calls.

    `waited_ns` is the time that threads which have ended since stood ready without a CPU; the kernel forgets it with them.
    """

    waited_ns = 0

    @abc.abstractmethod
    def run(self, goal: Goal) -> Timed:
        """Call and time until `goal` says so.

        Returns:
            Samples and the reason, which is "" when only the room for samples is full.
        """

    def lead_in(self, typical_ns: float) -> None:  # noqa: B027 - a scenario with pauses of its own has none
        """Bring the model back into the caches, untimed; nothing by default."""


class Closed(Scenario):
    """One call after the other, `batch` of them a sample.

    Args:
        function: the call to be timed.
        first: its first argument, made beforehand.
        second: its second argument.
        batch: calls per sample.
    """

    def __init__(self, function: Callable[[Any, Any], Any], first: Any, second: Any, batch: int = 1) -> None:
        self._function = function if batch == 1 else repeated(function, batch)
        self._first = first
        self._second = second
        self._chunk = array("q", bytes(8 * _CHUNK))

    def run(self, goal: Goal) -> Timed:
        """As `Scenario.run`."""
        begin = time.perf_counter_ns()
        used, reason = _fill(self._function, self._first, self._second, self._chunk, goal)
        return Timed(self._chunk[:used], reason, time.perf_counter_ns() - begin)

    def lead_in(self, typical_ns: float) -> None:
        """As `Scenario.lead_in`."""
        if typical_ns >= LEAD_NEEDLESS_NS:
            return
        clock = time.perf_counter_ns
        until = clock() + _LEAD_NS
        for _ in range(_LEAD_CALLS):
            self._function(self._first, self._second)
            if clock() >= until:
                return


def run_timed(function: Callable[[Any, Any], Any], first: Any, second: Any, limits: Limits, batch: int = 1) -> Timed:
    """Call `function(first, second)` until `limits` say so; every sample is kept."""
    return run_scenario(Closed(function, first, second, batch), limits)


def run_scenario(scenario: Scenario, limits: Limits, typical_ns: float = 0.0) -> Timed:
    """Time `scenario` until `limits` say so.

    Args:
        scenario: how to call.
        limits: floors, goal and caps.
        typical_ns: what one sample takes, roughly; 0 when it is not known.

    Returns:
        Every sample, none left out.
    """
    samples = array("q")
    wall = late = 0
    floor = limits.min_samples
    # With a goal the cap of samples is looked at between stretches, after the floors.
    cap = None if limits.half_width else limits.max_samples
    with collector_frozen():
        scenario.lead_in(typical_ns)
        start = time.perf_counter_ns()
        whole = Goal(0, start + limits.min_ns, latest=start + _or_never(limits.max_ns))
        while True:
            part = scenario.run(replace(whole, floor=floor - len(samples), cap=_or_never(cap) - len(samples)))
            samples.extend(part.samples)
            wall, late = wall + part.wall_ns, late + part.late
            reason = part.stop_reason
            if reason == "floors_met" and limits.half_width:
                reason = _looked_at(samples, limits)
                floor = min(math.ceil(len(samples) * _GROWTH), max(_or_never(limits.max_samples), len(samples) + 1))
            if reason:
                return Timed(samples, reason, wall, late)
            scenario.lead_in(typical_ns)


def _looked_at(samples: array[int], limits: Limits) -> str:
    """The reason to stop once the floors hold, or "" when more samples are needed."""
    if interval.half_width(samples) <= limits.half_width:
        return "interval_met"
    return "max_inferences" if len(samples) >= _or_never(limits.max_samples) else ""


@contextlib.contextmanager
def collector_frozen() -> Iterator[None]:
    """No garbage collection inside, and nothing that was there before is looked at; as it was afterwards."""
    gc.collect()
    gc.freeze()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
        gc.unfreeze()


def _fill(
    function: Callable[[Any, Any], Any], first: Any, second: Any, chunk: array[int], goal: Goal
) -> tuple[int, str]:
    """Fill `chunk`; returns how much of it was used, and the reason to stop or "" when it is only full."""
    clock = time.perf_counter_ns
    floor, cap, earliest, latest = goal.floor, goal.cap, goal.earliest, goal.latest
    room = len(chunk)
    used = 0
    while used < room:
        begin = clock()
        function(first, second)
        end = clock()
        chunk[used] = end - begin
        used += 1
        if used >= floor and end >= earliest:
            return used, "floors_met"
        if used >= cap:
            return used, "max_inferences"
        if end >= latest:
            return used, "max_duration"
    return used, ""


def repeated(function: Callable[[Any, Any], Any], batch: int) -> Callable[[Any, Any], None]:
    """`batch` calls as one; apart from `_fill`, since a loop inside would cost every single call."""
    calls = range(batch)

    def call(first: Any, second: Any) -> None:
        for _ in calls:
            function(first, second)

    return call


def _or_never(cap: int | None) -> int:
    return sys.maxsize if cap is None else cap
