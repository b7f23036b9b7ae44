"""How numbers are printed for people: seconds, bytes and counts, in one place.

Machine-readable output stays in seconds and bytes; only renderers for people come here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass

NOTHING = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as printed, and how many base units (seconds or bytes) it holds."""

    symbol: str
    size: float

    def show(self, value: float | None) -> str:
        """The bare number of `value` (in base units) in this unit, to three significant digits; a dash for None."""
        return NOTHING if value is None else number(value / self.size)


NANOSECOND = Unit("ns", 1e-9)
MICROSECOND = Unit("µs", 1e-6)
MILLISECOND = Unit("ms", 1e-3)
SECOND = Unit("s", 1.0)
BYTE = Unit("B", 1.0)
KIBIBYTE = Unit("KiB", 2.0**10)
MEBIBYTE = Unit("MiB", 2.0**20)
GIBIBYTE = Unit("GiB", 2.0**30)

_TIMES = (NANOSECOND, MICROSECOND, MILLISECOND, SECOND)
_SIZES = (BYTE, KIBIBYTE, MEBIBYTE, GIBIBYTE)
_SIGNIFICANT = 3
_MINUTE = 60
_HOUR = 3600
_SHORT_WAIT_S = 10


def decimals(value: float) -> int:
    """Decimals that show `value` to three significant digits; none from 100 on."""
    if not math.isfinite(value) or value == 0:
        return 0
    return max(0, _SIGNIFICANT - 1 - math.floor(math.log10(float(f"{abs(value):.2e}"))))


def number(value: float) -> str:
    """`value` to three significant digits, never with an exponent: 0.0123, 12.4, 1,234."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.{min(decimals(value), 12)}f}"


def count(value: float | None) -> str:
    """A whole number with thousands separated; a dash for None."""
    return NOTHING if value is None else f"{value:,.0f}"


def plural(amount: int, noun: str) -> str:
    """`1 cell`, `3 cells`."""
    return f"{amount:,} {noun}" if amount == 1 else f"{amount:,} {noun}s"


def _unit_for(value: float, units: tuple[Unit, ...]) -> Unit:
    fitting = [unit for unit in units if abs(value) >= unit.size]
    return fitting[-1] if fitting else units[0]


def time_unit(values: Iterable[float | None]) -> Unit:
    """The one unit in which a whole column of seconds reads best: that of its median; ms for an empty column."""
    known = [value for value in values if value]
    return _unit_for(statistics.median_low(known), _TIMES) if known else MILLISECOND


def size_unit(values: Iterable[float | None]) -> Unit:
    """The one unit in which a whole column of bytes reads best; MiB for an empty column."""
    known = [value for value in values if value]
    return _unit_for(statistics.median_low(known), _SIZES) if known else MEBIBYTE


def seconds(value: float | None) -> str:
    """One time with its unit: `850 ns`, `12.4 ms`, `1.20 s`."""
    if value is None:
        return NOTHING
    unit = _unit_for(value, _TIMES) if value else SECOND
    return f"{unit.show(value)} {unit.symbol}"


def size(value: float | None) -> str:
    """One size with its unit: `512 B`, `3.25 MiB`."""
    if value is None:
        return NOTHING
    unit = _unit_for(value, _SIZES)
    return f"{unit.show(value)} {unit.symbol}"


def spread(value: float | None, centre: float) -> str:
    """A spread beside `centre` (same unit): the decimals of `centre`, or one digit where that would print zero."""
    if value is None:
        return NOTHING
    places = min(decimals(centre), 12)
    if value and round(value, places) == 0:
        places = min(12, -math.floor(math.log10(value)))
    return f"{value:,.{places}f}"


def latency(median: float | None, mad: float | None = None, n: int | None = None) -> str:
    """A latency in seconds as people read it: `12.4 ms ±0.3 n=200`; the spread is the median absolute deviation."""
    if median is None:
        return ""
    unit = _unit_for(median, _TIMES) if median else SECOND
    parts = [f"{unit.show(median)} {unit.symbol}"]
    if mad is not None:
        parts.append(f"±{spread(mad / unit.size, median / unit.size)}")
    if n is not None:
        parts.append(f"n={n}")
    return " ".join(parts)


def duration(value: float | None) -> str:
    """How long something took, by the wall clock: `0.8 s`, `45 s`, `3 min 12 s`, `1 h 04 min`."""
    if value is None:
        return NOTHING
    whole = max(0, round(value))
    if value < _SHORT_WAIT_S:
        return f"{max(0.0, value):.1f} s"
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02d} min"


def rough_duration(value: float) -> str:
    """An estimate that claims no more than it knows: `~10 s`, `~3 min`, `~1 h 20 min`."""
    fives = max(5, round(value / 5) * 5)
    if fives < _MINUTE:
        return f"~{fives} s"
    minutes = max(1, round(value / _MINUTE))
    if minutes < _MINUTE:
        return f"~{minutes} min"
    tens = round(minutes / 10) * 10
    return f"~{tens // _MINUTE} h {tens % _MINUTE:02d} min"


def age(value: float) -> str:
    """How old a value is, in the shortest form: `now`, `3 s`, `2 min`, `1 h`."""
    if value < 1:
        return "now"
    if value < _MINUTE:
        return f"{value:.0f} s"
    return f"{value / _MINUTE:.0f} min" if value < _HOUR else f"{value / _HOUR:.0f} h"
