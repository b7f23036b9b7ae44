"""Values as JSON data, and figures over trials."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence
from enum import Enum
from typing import Any

Json = dict[str, Any]


def plain(value: Any) -> Any:
    """`value` as JSON data that every parser takes: a float that is no number is null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def median(values: Sequence[float], *, whole: bool = False) -> float | int | None:
    """The median of the known values, as a whole number on request; None when there are none."""
    if not values:
        return None
    middle = statistics.median(values)
    return round(middle) if whole else middle
