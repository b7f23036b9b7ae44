"""How far the outputs of a precision may lie from the reference, unless the plan says otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping

from edgesweep_proto.trial import Tolerance

_TOLERANCES = {
    "fp32": Tolerance(absolute=1e-4, relative=1e-3),
    "fp16": Tolerance(absolute=1e-2, relative=1e-2),
    "int8-dynamic": Tolerance(absolute=0.0, relative=0.0, sqnr_db=20.0),
    "int8-static": Tolerance(absolute=0.0, relative=0.0, sqnr_db=20.0),
}


def tolerance_for(precision: str, asked: Mapping[str, Tolerance] | None = None) -> Tolerance:
    """What the plan has `asked` for a precision, else its default; an unknown one is held to fp32's."""
    return (asked or {}).get(precision) or _TOLERANCES.get(precision, _TOLERANCES["fp32"])


def widened(tolerance: Tolerance, factor: float) -> Tolerance:
    """`tolerance` with errors of `factor` times the size let through: an SQNR falls by 20*log10(factor) decibels."""
    sqnr_db = None if tolerance.sqnr_db is None else tolerance.sqnr_db - 20 * math.log10(factor)
    return Tolerance(tolerance.absolute * factor, tolerance.relative * factor, sqnr_db)
