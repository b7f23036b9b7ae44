"""Whether samples fall into two groups with nothing between them, so that their median is one of the two by chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Samples below which a valley is nothing but chance.
LEAST_SAMPLES = 100
#: The smaller group's least share of the samples; fewer are a tail, which the percentiles tell.
LEAST_SHARE = 0.10
#: How far the groups' medians lie apart at least (on logarithms, about a share of the median) and, as a multiple of how
#: far the samples of both groups lie from their own medians.
LEAST_DISTANCE = 0.05
LEAST_SEPARATION = 3.0
#: The valley holds at most this share of what the lower of the two peaks holds over the same width.
DEEPEST_VALLEY = 0.25


@dataclass(frozen=True, slots=True)
class Mode:
    """One group of samples: its median in seconds and its share (0 to 1) of the samples."""

    median_s: float
    share: float


def two_modes(seconds: Floats) -> tuple[Mode, Mode] | None:
    """The two groups of samples, the faster first; None when there is one.

    The samples are cut where the two groups differ most (Otsu, "A threshold selection method from gray-level
    histograms", 1979), then half way between the groups' medians, with at least a tenth of them on each side. A density with one peak is nowhere between two points
    lower than at the lower of the two; so there are two peaks where the middle third between the groups' medians holds
    far less than the same width around either. Without two modes about one trial in a thousand at most is said to have them
    (simulated: normal, log-normal, exponential, Student's t with two degrees of freedom, uniform, and 5 % of spikes; 100 to 1,000 samples).

    Args:
        seconds: shape (n,), positive, in any order.
    """
    values = np.sort(seconds[seconds > 0])
    n = int(values.size)
    if n < LEAST_SAMPLES:
        return None
    logs = np.log(values)
    low, high = _medians(logs, _cut(logs))
    # The cut may have had to take some of the one group to the other; half way between the two nothing is left to do so.
    cut = int(np.searchsorted(logs, (low + high) / 2))
    if not LEAST_SHARE * n <= cut <= (1 - LEAST_SHARE) * n:
        return None
    low, high = _medians(logs, cut)
    faster, slower = logs[:cut], logs[cut:]
    scatter = float(np.median(np.abs(faster - low)) + np.median(np.abs(slower - high)))
    if high - low < max(LEAST_DISTANCE, LEAST_SEPARATION * scatter):
        return None
    third = (high - low) / 3
    peak = min(_within(logs, low, third), _within(logs, high, third))
    if _within(logs, (low + high) / 2, third) > DEEPEST_VALLEY * peak:
        return None
    return Mode(float(np.exp(low)), cut / n), Mode(float(np.exp(high)), 1 - cut / n)


def _medians(ordered: Floats, cut: int) -> tuple[float, float]:
    return float(np.median(ordered[:cut])), float(np.median(ordered[cut:]))


def _cut(logs: Floats) -> int:
    """The index at which the between-group variance of sorted values is largest, a tenth of them on either side."""
    n = int(logs.size)
    # A few samples far out would draw the cut to themselves.
    held = np.clip(logs, *np.quantile(logs, [0.02, 0.98]))
    least = max(1, int(np.ceil(LEAST_SHARE * n)))
    sizes = np.arange(least, n - least + 1)
    sums = np.cumsum(held)
    first = sums[sizes - 1] / sizes
    second = (sums[-1] - sums[sizes - 1]) / (n - sizes)
    return int(sizes[np.argmax(sizes * (n - sizes) * (second - first) ** 2)])


def _within(ordered: Floats, centre: float, width: float) -> int:
    """How many of the values lie within a window of `width` around `centre`."""
    ends = np.searchsorted(ordered, [centre - width / 2, centre + width / 2])
    return int(ends[1] - ends[0])
