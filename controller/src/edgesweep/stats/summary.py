"""Latency figures from raw samples, and from the processes of one cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: Samples that a percentile needs before it is printed: the smallest n for which at most one sample beyond the
#: percentile has a probability of 1 % or less (MLPerf LoadGen, early_stopping.cc, at 99 % confidence). p10 is p90 from below.
NEED = {"p10": 64, "p90": 64, "p95": 130, "p99": 662}

#: Blocks, or processes, below which no order statistics bound a median with 95 % confidence: 2 * 0.5**5 > 5 %.
MIN_FOR_ORDER_STATISTICS = 6
MAX_BLOCKS = 200

#: Student's t at 97.5 % by degrees of freedom, for the two to five processes that have no order-statistic interval.
_T_975 = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764}

NANOSECONDS = 1e9


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Figures of the measured samples in seconds; a percentile is None when `need` samples were not there."""

    median: float
    p10: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    mean: float
    min: float
    mad: float
    n: int
    ci95: tuple[float, float] | None
    need: dict[str, int] = field(default_factory=dict)


def summarise(samples_ns: NDArray[np.int64] | Sequence[int], batch: int = 1) -> LatencySummary:
    """The figures of one process.

    Args:
        samples_ns: shape (n,), nanoseconds of each timed sample in the order in which they were taken, without
            the warm-up. No sample is ever left out.
        batch: inferences per sample. With a batch above 1 a sample is the mean of that many inferences, and so
            are the percentiles.

    Returns:
        Seconds per inference. `mad` is the plain median absolute deviation (not scaled to a standard deviation).
        `ci95` bounds the median with 95 % confidence, see `median_interval`.

    Raises:
        ValueError: there is no sample, or `batch` is below 1.
    """
    if batch < 1:
        raise ValueError(f"a sample holds at least one inference, not {batch}")
    seconds = np.asarray(samples_ns, dtype=np.float64).reshape(-1) / (NANOSECONDS * batch)
    if not seconds.size:
        raise ValueError("no sample, so no figures")
    n = int(seconds.size)
    median = float(np.median(seconds))
    tails = {name: float(np.percentile(seconds, int(name[1:]))) if n >= need else None for name, need in NEED.items()}
    return LatencySummary(
        median=median,
        p10=tails["p10"],
        p90=tails["p90"],
        p95=tails["p95"],
        p99=tails["p99"],
        mean=float(seconds.mean()),
        min=float(seconds.min()),
        mad=float(np.median(np.abs(seconds - median))),
        n=n,
        ci95=median_interval(seconds),
        need=_need(tails),
    )


def combine(processes: Sequence[LatencySummary]) -> LatencySummary | None:
    """The figures of a cell over its processes; None when there is none.

    Samples of one process are no independent evidence of another's, so the median is the median of the
    processes' medians, and so are `mad` and, where every process has them, the percentiles. `mean` is
    the mean over all samples, `min` the smallest, `n` the sum. `ci95` comes from the processes' medians alone: order
    statistics from six processes on, else Student's t on their logarithms. One process keeps its own interval.
    """
    if len(processes) <= 1:
        return processes[0] if processes else None
    n = sum(process.n for process in processes)
    medians = np.array([process.median for process in processes])
    tails = {name: _median_or_none([getattr(process, name) for process in processes]) for name in NEED}
    return LatencySummary(
        median=float(np.median(medians)),
        p10=tails["p10"],
        p90=tails["p90"],
        p95=tails["p95"],
        p99=tails["p99"],
        mean=math.fsum(process.mean * process.n for process in processes) / n,
        min=min(process.min for process in processes),
        mad=float(np.median([process.mad for process in processes])),
        n=n,
        ci95=_process_interval(medians),
        need=_need(tails),
    )


def median_interval(values: NDArray[np.float64]) -> tuple[float, float] | None:
    """A 95 % confidence interval of the median that autocorrelation does not fool; None below six values.

    The series is cut into about sqrt(n) blocks of equal length (batch means: Flegal and Jones, "Batch means and
    spectral variance estimators in Markov chain Monte Carlo", 2010), at most 200; the interval lies between two
    order statistics of the block medians (Conover, "Practical Nonparametric Statistics", chapter 3.2), and is
    widened, where needed, to hold the median itself.

    Args:
        values: shape (n,), in the order in which they were taken.
    """
    n = int(values.size)
    if n < MIN_FOR_ORDER_STATISTICS:
        return None
    count = min(MAX_BLOCKS, max(MIN_FOR_ORDER_STATISTICS, math.isqrt(n)))
    medians = np.sort([np.median(block) for block in np.array_split(values, count)])
    return _widened(_order_statistics(medians), float(np.median(values)))


def half_width(summary: LatencySummary) -> float | None:
    """Half the width of the interval over the median: how surely the median is known; None without an interval."""
    if summary.ci95 is None or summary.median <= 0:
        return None
    return (summary.ci95[1] - summary.ci95[0]) / 2 / summary.median


def order_rank(n: int) -> int:
    """The largest k for which the k-th smallest and k-th largest of `n` values bound the median at 95 %; 0 if none.

    Exact binomial: the interval misses with probability 2 * P(Binomial(n, 1/2) < k).
    """
    total, rank = 0, 0
    for k in range(n // 2):
        total += math.comb(n, k)
        if 2 * total * 20 > 2**n:
            break
        rank = k + 1
    return rank


def _order_statistics(ordered: NDArray[np.float64]) -> tuple[float, float]:
    rank = order_rank(ordered.size)
    return float(ordered[rank - 1]), float(ordered[ordered.size - rank])


def _process_interval(medians: NDArray[np.float64]) -> tuple[float, float] | None:
    count = int(medians.size)
    middle = float(np.median(medians))
    if count >= MIN_FOR_ORDER_STATISTICS:
        return _widened(_order_statistics(np.sort(medians)), middle)
    if medians.min() <= 0:
        return None
    logs = np.log(medians)
    half = _T_975[count - 1] * float(logs.std(ddof=1)) / math.sqrt(count)
    centre = float(logs.mean())
    return _widened((math.exp(centre - half), math.exp(centre + half)), middle)


def _widened(interval: tuple[float, float], value: float) -> tuple[float, float]:
    return min(interval[0], value), max(interval[1], value)


def _median_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if len(known) == len(values) else None


def _need(tails: dict[str, float | None]) -> dict[str, int]:
    return {name: NEED[name] for name, value in tails.items() if value is None}
