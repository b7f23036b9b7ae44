"""What the order of one trial's samples says: flat, still warming up, slowing down, or unsteady."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgesweep.stats.modes import Mode, two_modes
from edgesweep.stats.rank_scan import change_points, segment_levels
from edgesweep.stats.sustained import Sustained, by_minute

Floats = NDArray[np.float64]

NANOSECONDS = 1e9
#: Blocks of samples whose medians are looked at, and the fewest samples that tell anything of a course.
MOST_BLOCKS = 200
LEAST_SAMPLES = 12
#: A change of the level that is worth a word: as large as the change from night to night that a lab means to see. What
#: moves by less moves the median by half of it at most.
LEAST_STEP = 0.03
#: Share of the blocks that may lie at another level than the rest: the median does not feel them.
ODD_SHARE = 0.10
#: Of all ways up and down together, the share that may go against the trend.
AGAINST_TREND = 0.2
#: Share of the samples that a warm-up within the measured part may take: the rest must still be most of it.
LONGEST_HEAD = 0.5
#: A clock whose steps are told apart: so many equal samples for each distinct one.
SAMPLES_PER_STEP = 5
LEAST_FOR_STEP = 50


class Course(StrEnum):
    """How a trial's times went (the words of Barrett et al., "Virtual Machine Warmup Blows Hot and Cold", 2017)."""

    FLAT = "flat"
    WARMUP = "warmup"
    SLOWDOWN = "slowdown"
    UNSTEADY = "unsteady"


@dataclass(frozen=True, slots=True)
class Series:
    """What one trial's measured samples say beside their figures.

    `course` is None for too few samples. `head` samples at the beginning still belonged to the warm-up and are left out
    of the figures; they are kept. `change` is the last level over the first, less 1. `modes` holds two groups or none.
    `clock_step_s` is the step of the clock in seconds where samples show it.
    """

    course: Course | None = None
    head: int = 0
    change: float | None = None
    modes: tuple[Mode, ...] = ()
    clock_step_s: float | None = None
    sustained: Sustained | None = None


def look_at(
    samples_ns: NDArray[np.int64] | Sequence[int], batch: int = 1, *, callers: int = 1, sustained: bool = False
) -> Series:
    """What the measured samples of one trial say beside their figures.

    Args:
        samples_ns: shape (n,), nanoseconds of each timed sample in the order in which they were taken, without the
            warm-up.
        batch: inferences per sample.
        callers: threads that called at the same time.
        sustained: whether the trial ran for minutes on end, so that they are compared.
    """
    seconds = np.asarray(samples_ns, dtype=np.float64).reshape(-1) / (NANOSECONDS * batch)
    course, head, change = classify(seconds)
    if sustained:
        # Its first minute is what the last one is held against.
        head = 0
    return Series(
        course,
        head,
        change,
        two_modes(seconds[head:]) or (),
        clock_step(samples_ns),
        by_minute(seconds, batch, callers) if sustained else None,
    )


def classify(seconds: Floats) -> tuple[Course | None, int, float | None]:
    """The course of the samples, how many at the beginning are still warm-up, and the last level over the first, less 1.

    The medians of up to 200 blocks are scanned for change points of 3 % and more. Flat is what has none, or only
    stretches of a tenth of it in all at another level. Of the others those that go down and end at the lowest level for
    at least half of the samples are a warm-up, those that go up are slowing down, and all the rest are unsteady.

    Of flat trials one in a hundred at most is called something else (simulated: normal, log-normal, exponential, uniform,
    Student's t with two degrees of freedom and 5 % of spikes, 100 to 10,000 samples); where blocks scatter by 1 % and
    neighbours depend on each other with a correlation of 0.5 to 0.8, none of 300.

    Args:
        seconds: shape (n,), positive, in the order in which they were taken.
    """
    n = int(seconds.size)
    if n < LEAST_SAMPLES or float(seconds.min()) <= 0:
        return None, 0, None
    blocks = np.array_split(seconds, min(MOST_BLOCKS, n))
    medians = np.array([np.median(block) for block in blocks])
    cuts = change_points(medians, least_step=LEAST_STEP)
    levels = segment_levels(medians, cuts)
    change = levels[-1] / levels[0] - 1
    if not cuts or _odd_share(medians, cuts, levels) <= ODD_SHARE:
        return Course.FLAT, 0, change
    steps = [math.log(after / before) for before, after in pairwise(levels)]
    up, down = math.fsum(step for step in steps if step > 0), -math.fsum(step for step in steps if step < 0)
    if down <= AGAINST_TREND * (up + down):
        return Course.SLOWDOWN, 0, change
    head = sum(block.size for block in blocks[: _steady_from(cuts, levels)])
    if up <= AGAINST_TREND * (up + down) and head <= LONGEST_HEAD * n:
        return Course.WARMUP, head, change
    return Course.UNSTEADY, 0, change


def _steady_from(cuts: Sequence[int], levels: Sequence[float]) -> int:
    """The first block of the last stretch whose segments are all at the last level."""
    first = len(levels) - 1
    while first and _alike(levels[first - 1], levels[-1]):
        first -= 1
    return cuts[first - 1] if first else 0


def _odd_share(medians: Floats, cuts: Sequence[int], levels: Sequence[float]) -> float:
    """The share of the blocks that lie in segments of another level than most."""
    sizes = [int(part.size) for part in np.split(medians, list(cuts))]
    most = max(
        levels, key=lambda level: sum(size for size, other in zip(sizes, levels, strict=True) if _alike(level, other))
    )
    return sum(size for size, level in zip(sizes, levels, strict=True) if not _alike(level, most)) / len(medians)


def _alike(one: float, other: float) -> bool:
    return abs(math.log(one / other)) < LEAST_STEP


def clock_step(samples_ns: NDArray[np.int64] | Sequence[int]) -> float | None:
    """The clock's step in seconds, where so many samples are equal that it shows; None otherwise."""
    values, counts = np.unique(np.asarray(samples_ns, dtype=np.int64), return_counts=True)
    total = int(counts.sum())
    if total < LEAST_FOR_STEP or values.size * SAMPLES_PER_STEP > total:
        return None
    # A clock that shows one value only is coarser than all of it.
    step = float(np.diff(values).min()) if values.size > 1 else float(values[0])
    return step / NANOSECONDS
