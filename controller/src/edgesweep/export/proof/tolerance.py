"""Whether two outputs are the same within what a precision allows. Needs numpy only: the prove process imports it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from edgesweep_proto.trial import Tolerance
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two arrays compare; `reason` is empty when they agree. Errors are over finite elements, 0 if there are none."""

    max_absolute: float
    max_relative: float
    reason: str = ""
    nan: bool = False

    @property
    def agrees(self) -> bool:
        """Whether the arrays are the same within the tolerance."""
        return not self.reason


def compare(got: NDArray[Any], want: NDArray[Any], tolerance: Tolerance) -> Comparison:
    """Hold `got` against the reference `want`, element by element.

    Shapes, integers, booleans and the positions of NaN and infinity must be exact. Floats agree when
    |got-want| <= absolute + relative*|want|, or, where `sqnr_db` is set, when 10*log10(sum want^2 / sum (got-want)^2)
    reaches it. The relative error is reported over elements with |want| above the absolute tolerance, where it means
    something.
    """
    if got.shape != want.shape:
        return Comparison(0.0, 0.0, f"its shape is {_sizes(got)} and torch's is {_sizes(want)}")
    if got.dtype.kind != want.dtype.kind:
        return Comparison(0.0, 0.0, f"its type is {got.dtype} and torch's is {want.dtype}")
    if got.dtype.kind not in "fc":
        return _compare_exact(got, want)
    lost = np.isnan(got) != np.isnan(want)
    if lost.any():
        return Comparison(0.0, 0.0, f"{int(lost.sum())} of {lost.size} elements are NaN on one side only", nan=True)
    endless = ~np.isfinite(want)
    unlike = (np.isinf(got) | np.isinf(want)) & (got != want)
    if unlike.any():
        return Comparison(0.0, 0.0, f"{int(unlike.sum())} of {unlike.size} elements are infinite on one side only")
    wide = np.complex128 if got.dtype.kind == "c" else np.float64
    a, b = got[~endless].astype(wide), want[~endless].astype(wide)
    return _compare_finite(a, b, tolerance)


def _compare_finite(a: NDArray[Any], b: NDArray[Any], tolerance: Tolerance) -> Comparison:
    if not a.size:
        return Comparison(0.0, 0.0)
    error, size = np.abs(a - b), np.abs(b)
    tells = size > tolerance.absolute
    absolute = float(error.max())
    relative = float((error[tells] / size[tells]).max()) if tells.any() else 0.0
    if tolerance.sqnr_db is not None:
        noise, signal = float((error**2).sum()), float((size**2).sum())
        reached = math.inf if not noise else 10 * math.log10(signal / noise) if signal else -math.inf
        reason = "" if reached >= tolerance.sqnr_db else f"its SQNR is {reached:.1f} dB, below {tolerance.sqnr_db:g} dB"
        return Comparison(absolute, relative, reason)
    beyond = error > tolerance.absolute + tolerance.relative * size
    if not beyond.any():
        return Comparison(absolute, relative)
    reason = f"{int(beyond.sum())} of {beyond.size} elements are off, by up to {absolute:.3g}"
    return Comparison(absolute, relative, reason)


def _compare_exact(got: NDArray[Any], want: NDArray[Any]) -> Comparison:
    differing = got != want
    if not differing.any():
        return Comparison(0.0, 0.0)
    off = np.abs(got.astype(np.float64) - want.astype(np.float64)) if got.dtype.kind in "iub" else differing
    reason = f"{int(differing.sum())} of {differing.size} elements differ where they must be exact"
    return Comparison(float(off.max()), 0.0, reason)


def _sizes(array: NDArray[Any]) -> str:
    return "x".join(str(size) for size in array.shape) or "scalar"
