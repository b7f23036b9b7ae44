"""How many calls make one sample: enough that neither the clock nor the loop around it counts."""

from __future__ import annotations

import time
from typing import Any, Callable

_CLOCK_TRIES = 2000

#: The clock's own cost may be this share of a sample at most.
CLOCK_SHARE = 0.01
#: A sample is at least so long (measurement.md 2.5). What is timed apart is aimed higher: clocks still speed up.
SHORTEST_NS = 200_000
_MARGIN = 1.25
_MOST_BATCH = 1000

#: Under a cap of inferences a batch leaves so many samples, as far as the clock allows: a percentile needs them.
_SAMPLES_WANTED = 1000

#: How long calls are tried to learn what one of them takes; the first runs of all are slower than the later ones.
_TRY_NS = 20_000_000


def clock_cost_ns() -> int:
    """Median cost of one pair of clock reads in ns, at least 1."""
    clock = time.perf_counter_ns
    costs = []
    for _ in range(_CLOCK_TRIES):
        before = clock()
        costs.append(clock() - before)
    return max(1, sorted(costs)[_CLOCK_TRIES // 2])


def call_cost_ns(function: Callable[[Any, Any], Any], first: Any, second: Any, known_ns: int) -> int:
    """What one call takes in ns, by the fastest of several tries.

    Args:
        function: the call.
        first: its first argument.
        second: its second argument.
        known_ns: what the fastest call so far took; one that needs no batch is not tried again.
    """
    clock = time.perf_counter_ns
    best = max(1, known_ns)
    until = clock() + _TRY_NS
    while best < SHORTEST_NS * _MARGIN:
        count = min(_MOST_BATCH, -(-SHORTEST_NS // best))
        before = clock()
        for _ in range(count):
            function(first, second)
        end = clock()
        best = max(1, min(best, (end - before) // count))
        if end >= until:
            break
    return best


def batch_for(call_ns: int, clock_ns: int, max_inferences: int | None = None) -> int:
    """How many calls make one sample.

    The sample is at least `SHORTEST_NS` and the clock at most `CLOCK_SHARE` of it. A cap of inferences has the last word
    over the first of the two, so that it still leaves a thousand samples.

    Args:
        call_ns: what one call takes, roughly.
        clock_ns: what a pair of clock reads takes.
        max_inferences: cap of inferences that ends the loop whatever else; None when there is none.
    """
    call_ns = max(1, call_ns)
    for_clock = _ceil(clock_ns / CLOCK_SHARE, call_ns)
    for_length = 1 if call_ns >= SHORTEST_NS else _ceil(SHORTEST_NS * _MARGIN, call_ns)
    if max_inferences is not None:
        for_length = min(for_length, max_inferences // _SAMPLES_WANTED)
    return min(_MOST_BATCH, max(1, for_clock, for_length))


def _ceil(need: float, each: int) -> int:
    return -(-int(need) // each)
