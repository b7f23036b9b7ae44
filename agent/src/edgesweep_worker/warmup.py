"""Warming up until the times are steady: floors, then windows whose medians agree, or a cap. Every sample is kept."""

from __future__ import annotations

import statistics
import sys
import time
from array import array
from dataclasses import dataclass
from typing import Sequence

from edgesweep_worker.loop import Goal, Scenario, Timed, collector_frozen

#: Steady is when the medians of so many windows in a row lie within this ratio,
WINDOWS = 3
RATIO = 1.02
#: or within so many relative median absolute deviations of what one window holds, where that is more.
DEVIATIONS = 3


@dataclass(frozen=True)
class WarmUp:
    """Floors, the least that a window holds, and the cap in ns since the start; a cap of 0 stops at the floors."""

    min_samples: int
    min_ns: int
    window_samples: int
    window_ns: int
    max_ns: int


def warm_up(scenario: Scenario, plan: WarmUp) -> Timed:
    """Call until the times are steady.

    Args:
        scenario: how to call.
        plan: floors, windows and cap.

    Returns:
        Every sample, with reason steady, max_duration (the cap came first) or floors_met (there was no cap to go up to).
    """
    samples = array("q")
    wall = 0
    windows: list[array[int]] = []
    with collector_frozen():
        start = time.perf_counter_ns()
        latest = start + plan.max_ns if plan.max_ns else sys.maxsize

        def take(floor: int, earliest: int) -> tuple[array[int], bool]:
            """One window, and whether it is whole: the cap may come first."""
            nonlocal wall
            window = array("q")
            while True:
                part = scenario.run(Goal(floor - len(window), earliest, latest=latest))
                window.extend(part.samples)
                wall += part.wall_ns
                if part.stop_reason:
                    samples.extend(window)
                    return window, part.stop_reason == "floors_met"

        _, whole = take(plan.min_samples, start + plan.min_ns)
        if not plan.max_ns:
            return Timed(samples, "floors_met", wall)
        while whole:
            if is_steady(windows):
                return Timed(samples, "steady", wall)
            window, whole = take(plan.window_samples, time.perf_counter_ns() + plan.window_ns)
            windows = [*windows[1 - WINDOWS :], window]
        return Timed(samples, "max_duration", wall)


def is_steady(windows: Sequence[Sequence[int]]) -> bool:
    """Whether the last windows agree: medians within 2 %, or within what one window scatters where that is more."""
    last = windows[-WINDOWS:]
    if len(last) < WINDOWS:
        return False
    medians = [statistics.median(window) for window in last]
    if min(medians) <= 0:
        return False
    scatter = statistics.median(_relative_mad(window) for window in last)
    return max(medians) / min(medians) <= max(RATIO, 1 + DEVIATIONS * scatter)


def _relative_mad(window: Sequence[int]) -> float:
    median = statistics.median(window)
    return statistics.median(abs(value - median) for value in window) / median
