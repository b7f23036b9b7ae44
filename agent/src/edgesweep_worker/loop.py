"""The timed loop: a clock, one call, a clock, and nothing else between the two."""

from __future__ import annotations

import gc
import sys
import time
from array import array
from dataclasses import dataclass
from typing import Any, Callable

_NS = 1_000_000_000
_CHUNK = 1 << 16
_CLOCK_TRIES = 2000

#: The clock's own cost may be this share of a sample; below that, several calls make one sample.
CLOCK_SHARE = 0.01
_MOST_BATCH = 1000


@dataclass(frozen=True)
class Limits:
    """Both floors must hold before the loop ends, unless a cap comes first; None is no cap. Time in ns."""

    min_samples: int
    min_ns: int
    max_samples: int | None = None
    max_ns: int | None = None


@dataclass(frozen=True)
class Timed:
    """Samples in ns, each of `batch` calls, and why the loop ended: floors_met, max_inferences or max_duration."""

    samples: array[int]
    stop_reason: str


def clock_cost_ns() -> int:
    """Median cost of one pair of clock reads in ns, at least 1."""
    clock = time.perf_counter_ns
    costs = []
    for _ in range(_CLOCK_TRIES):
        before = clock()
        costs.append(clock() - before)
    return max(1, sorted(costs)[_CLOCK_TRIES // 2])


def batch_for(call_ns: int, clock_ns: int) -> int:
    """How many calls make one sample, so that the clock is at most `CLOCK_SHARE` of it.

    Args:
        call_ns: what one call takes, roughly.
        clock_ns: what a pair of clock reads takes.
    """
    need = clock_ns / CLOCK_SHARE
    return min(_MOST_BATCH, max(1, -(-int(need) // max(1, call_ns))))


def limits_for(
    min_inferences: int, min_s: float, max_inferences: int | None, max_s: float | None, batch: int
) -> Limits:
    """Limits in samples of `batch` inferences: floors rounded up, caps down, never less than one sample."""
    return Limits(
        min_samples=max(1, -(-min_inferences // batch)),
        min_ns=int(min_s * _NS),
        max_samples=None if max_inferences is None else max(1, max_inferences // batch),
        max_ns=None if max_s is None else int(max_s * _NS),
    )


def run_timed(function: Callable[[Any, Any], Any], first: Any, second: Any, limits: Limits, batch: int = 1) -> Timed:
    """Call `function(first, second)` until `limits` say so.

    Args:
        function: the call to be timed.
        first: its first argument, made beforehand.
        second: its second argument.
        limits: floors and caps.
        batch: calls per sample.

    Returns:
        Every sample, none left out.
    """
    gc.collect()
    gc.freeze()
    enabled = gc.isenabled()
    gc.disable()
    samples = array("q")
    try:
        fill = _fill if batch == 1 else _fill_batched(batch)
        start = time.perf_counter_ns()
        while True:
            room = _CHUNK if limits.max_samples is None else min(_CHUNK, limits.max_samples - len(samples))
            chunk = array("q", bytes(8 * room))
            used, reason = fill(function, first, second, chunk, start, limits, len(samples))
            samples.extend(chunk[:used])
            if reason:
                return Timed(samples, reason)
    finally:
        if enabled:
            gc.enable()
        gc.unfreeze()


def _fill(
    function: Callable[[Any, Any], Any],
    first: Any,
    second: Any,
    chunk: array[int],
    start: int,
    limits: Limits,
    before: int,
) -> tuple[int, str]:
    """Fill `chunk`; returns how much of it was used, and the reason to stop or "" when it is only full."""
    clock = time.perf_counter_ns
    floor, cap = limits.min_samples - before, _or_never(limits.max_samples) - before
    earliest, latest = start + limits.min_ns, start + _or_never(limits.max_ns)
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


def _fill_batched(batch: int) -> Callable[..., tuple[int, str]]:
    """As `_fill` with `batch` calls a sample; apart from it, since a loop inside would cost every single call."""

    def repeated(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], None]:
        calls = range(batch)

        def call(first: Any, second: Any) -> None:
            for _ in calls:
                function(first, second)

        return call

    def fill(function: Callable[[Any, Any], Any], *arguments: Any) -> tuple[int, str]:
        return _fill(repeated(function), *arguments)

    return fill


def _or_never(cap: int | None) -> int:
    return sys.maxsize if cap is None else cap
