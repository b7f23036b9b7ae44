"""From an axes profile to dimensions, and from dimensions to the sizes that trace and prove them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edgesweep.errors import EdgesweepError
from edgesweep.plan.cell import Shape

STATIC = "static"
FULL = "full"

#: torch makes a dimension of size 0 or 1 static without a word, so a dynamic one is traced at this size or above.
LEAST_TRACED = 2

#: What models divide their sizes by.
_DIVISORS = (2, 3, 4, 8, 16)


def dimensions_of(axes: str, declared: Sequence[str]) -> tuple[str, ...]:
    """The dynamic dimensions that the profile `axes` asks for, in the model's own order.

    Args:
        axes: `static`, `full`, or dimension names joined by `+`.
        declared: The dimensions that the model declares.

    Raises:
        EdgesweepError: `no_such_dimension` when the profile names a dimension that the model does not declare.
    """
    if axes == STATIC:
        return ()
    if axes == FULL:
        return tuple(declared)
    asked = axes.split("+")
    missing = [name for name in asked if name not in declared]
    if missing:
        known = ", ".join(declared) or "none"
        raise EdgesweepError(
            "no_such_dimension", f"the profile '{axes}' names '{missing[0]}', but the model declares: {known}"
        )
    return tuple(name for name in declared if name in asked)


def trace_sizes(
    dimensions: Sequence[str], example: Mapping[str, int], ranges: Mapping[str, tuple[int, int]]
) -> dict[str, int]:
    """Sizes other than the example's that the model must be traced at: those of dynamic dimensions of size 1.

    Returns:
        Size per dimension; empty when the example itself can be traced.
    """
    sizes = {}
    for name in dimensions:
        low, high = ranges.get(name, (1, LEAST_TRACED))
        if example[name] < LEAST_TRACED <= high:
            sizes[name] = max(LEAST_TRACED, low)
    return sizes


def proof_sizes(
    dimensions: Sequence[str], example: Mapping[str, int], ranges: Mapping[str, tuple[int, int]]
) -> tuple[dict[str, int], ...]:
    """The sizes that prove `dimensions` dynamic: each dimension alone, then all of them together.

    With a range: its smallest, its largest and an interior size coprime to the example's. Without: 2, example+1 and
    2*example+1. The example's own size proves nothing and is left out.

    Returns:
        Sizes by dimension; a dimension that is not named keeps the example's size.
    """
    steps = {name: _steps(example[name], ranges.get(name)) for name in dimensions}
    found: list[dict[str, int]] = [{name: size} for name in dimensions for size in steps[name]]
    if len(dimensions) > 1:
        longest = max(len(sizes) for sizes in steps.values())
        for index in range(longest):
            together = {name: sizes[min(index, len(sizes) - 1)] for name, sizes in steps.items() if sizes}
            if len(together) > 1 and together not in found:
                found.append(together)
    return tuple(found)


def slug_of(sizes: Mapping[str, int]) -> str:
    """`sizes` as a shape is written everywhere, e.g. `batch4+height64`, or `example`."""
    return Shape(tuple(sizes.items())).slug


def _steps(example: int, bounds: tuple[int, int] | None) -> list[int]:
    if bounds is None:
        wanted = [2, example + 1, 2 * example + 1]
    else:
        low, high = bounds
        wanted = [low, high]
        inside = _interior(example, low, high)
        if inside is not None:
            wanted.append(inside)
    return [size for size in dict.fromkeys(wanted) if size != example]


def _interior(example: int, low: int, high: int) -> int | None:
    """The size strictly between `low` and `high` that differs most from those that are tried anyway.

    It shares no factor with `example` where there is such a size. Of those it divides, or fails to divide, by numbers for
    which the other sizes have shown one of both only: models pad to multiples and branch on remainders. Then the nearest
    to the middle.
    """
    tried = (example, low, high)
    middle = (low + high) // 2

    def rank(size: int) -> tuple[bool, int, int]:
        shown = sum(all((other % number == 0) != (size % number == 0) for other in tried) for number in _DIVISORS)
        return (math.gcd(size, example) != 1, -shown, abs(size - middle))

    return min((size for size in range(low + 1, high) if size != example), key=rank, default=None)
