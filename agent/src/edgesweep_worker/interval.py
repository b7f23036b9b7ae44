"""How surely the samples so far know their median: a 95 % interval that autocorrelation does not fool."""

from __future__ import annotations

import math
from typing import Sequence

import numpy as np

#: Below so many values no order statistics bound a median with 95 % confidence: 2 * 0.5**5 > 5 %.
FEWEST = 6
_MOST_BLOCKS = 200


def median_interval(values: Sequence[int]) -> tuple[float, float] | None:
    """The interval that the controller computes from the same samples (`edgesweep.stats.summary.median_interval`).

    About sqrt(n) blocks of equal length, at most 200 (batch means: Flegal and Jones, 2010); the interval lies between two
    order statistics of the block medians (Conover, "Practical Nonparametric Statistics", chapter 3.2) and is widened,
    where needed, to hold the median itself.

    Args:
        values: samples in the order in which they were taken.

    Returns:
        Its ends in the unit of `values`; None below six values.
    """
    series = np.asarray(values, dtype=np.float64)
    n = int(series.size)
    if n < FEWEST:
        return None
    count = min(_MOST_BLOCKS, max(FEWEST, int(math.sqrt(n))))
    # As numpy.array_split cuts, but in two calls of the median instead of one for each block: 0.3 ms instead of 5.
    size, longer = divmod(n, count)
    head, tail = series[: longer * (size + 1)], series[longer * (size + 1) :]
    medians = np.median(tail.reshape(count - longer, size), axis=1)
    if longer:
        medians = np.concatenate([np.median(head.reshape(longer, size + 1), axis=1), medians])
    medians.sort()
    rank = _order_rank(count)
    median = float(np.median(series))
    return min(float(medians[rank - 1]), median), max(float(medians[count - rank]), median)


def half_width(values: Sequence[int]) -> float:
    """Half the interval's width over the median; infinite while there is no interval or the median is 0."""
    found = median_interval(values)
    median = float(np.median(np.asarray(values))) if found else 0.0
    if found is None or median <= 0:
        return math.inf
    return (found[1] - found[0]) / 2 / median


def _order_rank(n: int) -> int:
    """The largest k for which the k-th smallest and k-th largest of `n` values bound the median at 95 %.

    Exact binomial: the interval misses with probability 2 * P(Binomial(n, 1/2) < k).
    """
    total, term, rank = 0, 1, 0  # term is C(n, k); Python 3.8 counts with whole numbers as well
    for k in range(n // 2):
        total += term
        if 2 * total * 20 > 2**n:
            break
        rank = k + 1
        term = term * (n - k) // (k + 1)
    return rank
