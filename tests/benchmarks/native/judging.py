"""What the benchmarks of latency and noise make of their figures: pure functions on arrays and numbers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from edgesweep.stats.summary import order_rank
from numpy.typing import NDArray

#: Share of a block's time that is left out at its start: the caches still hold what ran before.
LEAD_SHARE = 0.2
#: Rounds in which no block lost its CPU; when a sitting has that many, the other rounds are left out.
ENOUGH_QUIET = 3
#: What two equal loops may differ by for that to excuse a ratio beyond its limit.
MOST_REACH = 1.05

Figures = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Round:
    """One block of every loop, taken one after the other: seconds per call by loop, and the most switches of any block."""

    medians: Figures
    p10s: Figures
    switches: int


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of ratios, one per sitting, with their quartiles and the 95 % interval of that median, if there is one."""

    median: float
    quartiles: tuple[float, float]
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True, slots=True)
class Bar:
    """How a ratio stands to its limit; `reach` is how far above 1 the ratio of two equal loops came out by chance.

    `state` is met, missed or unresolved. `sharp` says that `reach` lies within the limit: then a ratio beyond the limit
    would have been seen, and below it nothing is owed to chance.
    """

    limit: float
    reach: float | None
    state: str
    sharp: bool


def settled(samples_ns: NDArray[np.int64], batch: int) -> NDArray[np.float64]:
    """Seconds per call of a block without its lead; at least one sample stays.

    Args:
        samples_ns: shape (n,), ns of each sample in the order in which they were taken.
        batch: calls per sample.
    """
    ends = np.cumsum(samples_ns)
    first = int(np.searchsorted(ends, LEAD_SHARE * ends[-1], side="left")) + 1
    return samples_ns[min(first, samples_ns.size - 1) :] / (1e9 * batch)


def quiet(rounds: Sequence[Round]) -> list[Round]:
    """The rounds in which no process lost its CPU, or all of them when those are too few."""
    calm = [each for each in rounds if each.switches == 0]
    return calm if len(calm) >= ENOUGH_QUIET else list(rounds)


def sitting_ratio(rounds: Sequence[Round], loop: str, floors: Sequence[str], figure: str) -> float:
    """The median over rounds of `loop`'s figure over the geometric mean of the floors'; `figure` is medians or p10s."""
    figures: list[Figures] = [getattr(each, figure) for each in rounds]
    return statistics.median(each[loop] / statistics.geometric_mean(each[name] for name in floors) for each in figures)


def spread(ratios: Sequence[float]) -> Spread:
    """The spread of ratios of sittings, each with processes of its own: their memory lies elsewhere, and so do their times.

    The interval lies between two order statistics (Conover, "Practical Nonparametric Statistics", chapter 3.2); there is
    none below six ratios.
    """
    ordered = np.sort(np.asarray(ratios, dtype=np.float64))
    rank = order_rank(ordered.size)
    interval = (float(ordered[rank - 1]), float(ordered[ordered.size - rank])) if rank else None
    low, middle, high = np.percentile(ordered, [25, 50, 75])
    return Spread(float(middle), (float(low), float(high)), interval, int(ordered.size))


def bar(ours: Spread, same: Spread, limit: float) -> Bar:
    """Whether `ours` is within `limit`, or within what two equal loops differ by (`same`).

    When equal loops differ by more than `MOST_REACH`, or there are too few sittings to tell, chance hides what there is:
    then a ratio beyond the limit is missed only if its whole interval lies there.
    """
    reach = max(same.interval[1], 1 / same.interval[0]) if same.interval else None
    blunt = reach is None or reach > MOST_REACH
    if ours.median <= limit or (reach is not None and not blunt and ours.median <= reach):
        state = "met"
    elif blunt and (ours.interval is None or ours.interval[0] <= max(limit, reach or 1.0)):
        state = "unresolved"
    else:
        state = "missed"
    return Bar(limit=limit, reach=reach, state=state, sharp=reach is not None and reach <= limit)


@dataclass(frozen=True, slots=True)
class Run:
    """One cell of the noise benchmark: its verdict with reasons, and (p10, median, mean) of each C block around its trials."""

    hogs: int
    verdict: str
    reasons: Sequence[str]
    medians_s: Sequence[float]
    blocks_s: Sequence[tuple[float, float, float]]
    naive_s: float | None = None
    sampler_and_agent_s: float | None = None
    traced_s: float | None = None


def calm_runs(runs: Sequence[Run], within: float) -> list[Run]:
    """The runs without a hog whose C blocks all stayed within `within` of the C loop's own median over such runs.

    Each figure of a block is held against the median of its kind: p10 moves with the clock, the median with what shares the
    caches, the mean with what takes the CPU away.
    """
    clean = [run for run in runs if run.hogs == 0]
    if not clean:
        return []
    usual = np.median([block for run in clean for block in run.blocks_s], axis=0)
    return [run for run in clean if np.all(np.abs(np.asarray(run.blocks_s) / usual - 1) <= within)]


def variation(values: Sequence[float]) -> float:
    """The coefficient of variation: sample standard deviation over mean."""
    return statistics.stdev(values) / statistics.fmean(values)


def own_share(runs: Sequence[Run]) -> float | None:
    """CPU seconds of our own sampler and agent per second of measuring, over all runs that tell; None when none does."""
    told = [run for run in runs if run.sampler_and_agent_s is not None and run.traced_s]
    if not told:
        return None
    return sum(run.sampler_and_agent_s or 0.0 for run in told) / sum(run.traced_s or 0.0 for run in told)
