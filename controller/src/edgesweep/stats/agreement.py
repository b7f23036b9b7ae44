"""Whether the same model gave the same answer in many places, and in one place each time: from outputs told in short.

A worker keeps a digest of each output and some of its values, at the same positions everywhere. Equal digests are equal
outputs, bit for bit. Else the kept values show how far they lie apart: max|a-b| over the values, as a share of the largest
magnitude in all of b (design.md section 8). What is no float has to be exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from edgesweep_proto.execution import OutputSummary
from edgesweep_proto.trial import Tolerance
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Difference:
    """How far an output lies from the same one elsewhere; `largest` is None where no number tells, `relative` infinite then.

    `relative` is `largest` over the largest magnitude of the other.
    """

    output: str
    largest: float | None
    relative: float
    same_bits: bool


@dataclass(frozen=True, slots=True)
class Place:
    """One measured cell: the outputs that it gave, its largest error against the reference, None without one.

    `limit` is how far its kind of arithmetic may lie from another, as a share of the largest output.
    """

    name: str
    outputs: tuple[OutputSummary, ...]
    error: float | None
    limit: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a cell's outputs lie to those of the cell that all of its artifact are held against.

    `against` is None for that cell itself. `output` is the one that is furthest off, `largest` and `relative` are its
    difference, `limit` the looser one of the two cells.
    """

    against: str | None
    output: str
    largest: float | None
    relative: float
    limit: float
    same_bits: bool

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the limit."""
        return self.relative <= self.limit


def difference(one: OutputSummary, other: OutputSummary) -> Difference:
    """How far output `one` lies from the same output elsewhere."""
    name = one.name
    if (one.sha256, one.type, one.shape) == (other.sha256, other.type, other.shape):
        return Difference(name, 0.0, 0.0, same_bits=True)
    if (one.type, one.shape, len(one.values)) != (other.type, other.shape, len(other.values)):
        return Difference(name, None, math.inf, same_bits=False)
    if not one.values:
        # An array of floats without any is empty, which has but one digest.
        return Difference(name, None, math.inf, same_bits=False)
    largest = float(_apart(one, other).max())
    if one.nans != other.nans or not _is_float(one):
        return Difference(name, largest, math.inf, same_bits=False)
    size = other.max_absolute or 0.0
    relative = 0.0 if not largest else largest / size if size else math.inf
    return Difference(name, largest, relative, same_bits=False)


def agreements(places: Sequence[Place]) -> list[Agreement]:
    """How each of the cells that ran one artifact on the same inputs lies to one of them; in the order of `places`.

    All are held against the cell that lies nearest to the reference: it alone has a witness from outside, and one that is
    far off is then told once, by itself, and does not make all others look wrong as it would pair by pair. Without a reference
    it is the cell that most others agree with.

    Args:
        places: at least one cell.
    """
    chosen = _chosen(places)
    return [
        _held(place, places[chosen]) if index != chosen else Agreement(None, "", 0.0, 0.0, place.limit, same_bits=True)
        for index, place in enumerate(places)
    ]


def between_trials(trials: Sequence[Sequence[OutputSummary]]) -> dict[str, Difference]:
    """The largest difference between trials of one cell, for each output that was not the same bit for bit in all.

    Args:
        trials: the outputs of each trial.
    """
    found: dict[str, Difference] = {}
    for index, outputs in enumerate(trials):
        for earlier in trials[:index]:
            for one, other in zip(outputs, earlier, strict=False):
                seen = difference(one, other)
                known = found.get(one.name)
                if not seen.same_bits and (known is None or seen.relative > known.relative):
                    found[one.name] = seen
    return found


def apart_between_trials(trials: Sequence[Sequence[OutputSummary]], tolerance: Tolerance) -> str:
    """The first output by which two trials of one cell lie further apart than `tolerance` lets outputs lie from a reference.

    Returns:
        Its name; empty when there is none.
    """
    for index, outputs in enumerate(trials):
        for earlier in trials[:index]:
            for one, other in zip(outputs, earlier, strict=False):
                seen = difference(one, other)
                if not seen.same_bits and (math.isinf(seen.relative) or _beyond(one, other, tolerance)):
                    return one.name
    return ""


def _chosen(places: Sequence[Place]) -> int:
    """The place that the others are held against."""
    errors = [math.inf if place.error is None or math.isnan(place.error) else place.error for place in places]
    nearest = min(range(len(places)), key=lambda index: errors[index])
    if not math.isinf(errors[nearest]):
        return nearest
    # Most places give the very same bits: each kind of answer is looked at once.
    first_of: dict[tuple[str, ...], int] = {}
    for index, place in enumerate(places):
        first_of.setdefault(tuple(output.sha256 for output in place.outputs), index)
    return min(first_of.values(), key=lambda index: _standing(places[index], places))


def _standing(place: Place, others: Sequence[Place]) -> tuple[int, float]:
    """How many others are off from this one, and how far those lie apart that are not: the less the better."""
    held = [_held(other, place) for other in others]
    return sum(not one.agrees for one in held), max((one.relative for one in held if one.agrees), default=0.0)


def _held(place: Place, against: Place) -> Agreement:
    limit = max(place.limit, against.limit)
    if len(place.outputs) != len(against.outputs):
        return Agreement(against.name, "", None, math.inf, limit, same_bits=False)
    seen = [difference(one, other) for one, other in zip(place.outputs, against.outputs, strict=True)]
    same = all(one.same_bits for one in seen)
    worst = max(seen, key=lambda one: one.relative, default=Difference("", 0.0, 0.0, same_bits=True))
    return Agreement(against.name, worst.output, worst.largest, worst.relative, limit, same_bits=same)


def _apart(one: OutputSummary, other: OutputSummary) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        # Infinities stand there as the largest double: two of unlike sign are too far apart for one.
        apart: NDArray[np.float64] = np.abs(np.asarray(one.values, np.float64) - np.asarray(other.values, np.float64))
    return apart


def _beyond(one: OutputSummary, other: OutputSummary, tolerance: Tolerance) -> bool:
    apart, size = _apart(one, other), np.abs(np.asarray(other.values, np.float64))
    if tolerance.sqnr_db is None:
        return bool((apart > tolerance.absolute + tolerance.relative * size).any())
    with np.errstate(over="ignore"):
        noise, signal = float(np.sum(apart**2)), float(np.sum(size**2))
    return bool(noise) and (not signal or 10 * math.log10(signal / noise) < tolerance.sqnr_db)


def _is_float(output: OutputSummary) -> bool:
    return output.type.startswith(("float", "bfloat"))
