"""Whether a memory figure repeats: one that does not is no figure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

#: How far the trials of a cell may lie apart, as a share of their median; and the bytes below which that says nothing,
#: since the kernel counts resident pages with some slack for each CPU.
REPEATABLE_SHARE = 0.05
SLACK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class OverTrials:
    """A size in bytes over the trials of a cell: `median` is None where they do not repeat, from `low` to `high`."""

    median: int | None
    low: int
    high: int


def over_trials(sizes: Sequence[int]) -> OverTrials | None:
    """The median of `sizes` (bytes, one per trial), if they lie within 5 % or 1 MiB; None when there are none."""
    if not sizes:
        return None
    low, high, median = min(sizes), max(sizes), round(statistics.median(sizes))
    repeats = high - low <= max(REPEATABLE_SHARE * abs(median), SLACK_BYTES)
    return OverTrials(median if repeats else None, low, high)
