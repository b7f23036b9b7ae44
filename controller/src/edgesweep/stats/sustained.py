"""How a number holds over minutes: medians by the minute, and the last against the first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MINUTE_S = 60.0
#: Of a last minute that is not whole so much must be there for it to count.
LEAST_OF_LAST = 0.5


@dataclass(frozen=True, slots=True)
class Sustained:
    """`minutes_s` holds the median of each minute in seconds per inference; `ratio` is the last over the first."""

    minutes_s: tuple[float, ...]
    ratio: float


def by_minute(seconds: NDArray[np.float64], batch: int = 1, callers: int = 1) -> Sustained | None:
    """The medians of each minute; None when there are less than two minutes.

    Args:
        seconds: shape (n,), seconds per inference in the order in which they were taken, back to back.
        batch: inferences per sample.
        callers: threads that called at the same time.
    """
    ends = np.cumsum(seconds) * batch / callers
    if not ends.size:
        return None
    whole, left = divmod(float(ends[-1]), MINUTE_S)
    minutes = int(whole) + (left >= LEAST_OF_LAST * MINUTE_S)
    starts = ends - seconds * batch / callers
    found = []
    for minute in range(minutes):
        part = seconds[(starts >= minute * MINUTE_S) & (starts < (minute + 1) * MINUTE_S)]
        if part.size:
            found.append(float(np.median(part)))
    if len(found) < 2 or found[0] <= 0:  # noqa: PLR2004 - a ratio needs two
        return None
    return Sustained(tuple(found), found[-1] / found[0])
