"""Latency figures from raw samples."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Figures of the measured samples in seconds; a percentile is None when `need` samples were not there."""

    median: float
    p10: float
    p90: float | None
    p95: float | None
    p99: float | None
    mean: float
    min: float
    mad: float
    n: int
    ci95: tuple[float, float] | None
    need: dict[str, int] = field(default_factory=dict)
