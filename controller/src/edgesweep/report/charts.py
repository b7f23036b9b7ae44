"""Dot charts as inline SVG: one line per cell, a dot with whiskers, on one axis that all panels share.

Positions are percentages and type sizes are pixels, so that a chart fits a phone, a desk and a sheet of paper without
its text shrinking. Everything that a colour says is said by a shape or a word as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from edgesweep.report.units import Unit, number

LOG_FROM_RATIO = 30.0
"""A linear axis hides the small ones when the largest value is more than this many times the smallest."""

_LONG_AXIS = 1e3
_LEFT, _RIGHT = 4.0, 96.0
_ROW_PX = 34
_AXIS_PX = 22


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of a chart. `value`, `low` and `high` are in base units; `shape` is dot, ring, cross or bar."""

    label: str
    value: float
    low: float
    high: float
    text: str
    title: str
    shape: str = "dot"
    href: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """The marks of one place (device, runtime, provider chain), by model."""

    title: str
    groups: dict[str, list[Mark]]


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps a value to a position from 0 to 100 percent; logarithmic when the values span a wide range."""

    low: float
    high: float
    log: bool

    def position(self, value: float) -> float:
        """Percent from the left edge; values outside the axis stop at its ends."""
        if self.log:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(_LEFT + (_RIGHT - _LEFT) * min(1.0, max(0.0, share)), 2)

    def ticks(self) -> list[float]:
        """Round values to label: 1-2-5 steps, or powers of ten on a long logarithmic axis."""
        if not self.log:
            step = _round_step(self.high / 6)
            return [step * index for index in range(math.floor(self.high / step + 1e-9) + 1)]
        steps = (1.0, 2.0, 5.0) if self.high / self.low <= _LONG_AXIS else (1.0,)
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        candidates = [step * 10.0**power for power in range(first, last + 1) for step in steps]
        slack = 1 + 1e-9
        return [value for value in candidates if self.low / slack <= value <= self.high * slack]


def scale_for(panels: Sequence[Panel], unit: Unit) -> Scale:
    """One scale, in `unit`, that holds every mark: from zero, or logarithmic when the span is large."""
    marks = [mark for panel in panels for group in panel.groups.values() for mark in group]
    highest = max((max(mark.high, mark.value) for mark in marks), default=0.0) / unit.size
    positive = [low / unit.size for mark in marks for low in (mark.low, mark.value) if low > 0]
    lowest = min(positive, default=highest)
    if highest <= 0:
        return Scale(0.0, 1.0, log=False)
    if highest / lowest > LOG_FROM_RATIO:
        return Scale(_round_down(lowest), _round_up(highest), log=True)
    return Scale(0.0, highest * 1.02, log=False)


def _round_step(value: float) -> float:
    base = 10.0 ** math.floor(math.log10(value))
    return float(next(step * base for step in (1, 2, 5, 10) if step * base >= value * (1 - 1e-9)))


def _round_up(value: float) -> float:
    base = 10.0 ** math.floor(math.log10(value))
    return float(next(step * base for step in (1, 2, 5, 10) if step * base >= value))


def _round_down(value: float) -> float:
    base = 10.0 ** math.floor(math.log10(value))
    return float(next(step * base for step in (5, 2, 1) if step * base <= value * (1 + 1e-9)))


def draw_axis(scale: Scale, unit: Unit) -> Markup:
    """The axis by itself: round values in `unit`, which the caller names beside it."""
    ticks = scale.ticks()
    labels = [Markup('<text x="{}%" y="15">{}</text>').format(scale.position(tick), f"{tick:,.6g}") for tick in ticks]
    name = f"axis from {number(scale.low)} to {number(scale.high)} {unit.symbol}"
    return Markup('<svg class="axis" height="{}" role="img"><title>{}</title>{}</svg>').format(
        _AXIS_PX, name, Markup("").join(labels)
    )


def draw_group(marks: Sequence[Mark], scale: Scale, unit: Unit, title: str) -> Markup:
    """The lines of one model: label above, value at the right end, and below them the dot with its whiskers."""
    height = _ROW_PX * len(marks)
    grid = Markup("").join(
        Markup('<line class="g" x1="{0}%" x2="{0}%" y1="0" y2="{1}"/>').format(scale.position(tick), height)
        for tick in scale.ticks()
    )
    lines = Markup("").join(_draw_mark(mark, scale, unit, index * _ROW_PX) for index, mark in enumerate(marks))
    return Markup('<svg height="{}" role="img"><title>{}</title>{}{}</svg>').format(height, title, grid, lines)


def _draw_mark(mark: Mark, scale: Scale, unit: Unit, top: int) -> Markup:
    at, low, high = (scale.position(value / unit.size) for value in (mark.value, mark.low, mark.high))
    track = top + 23
    if mark.shape == "bar":
        start = scale.position(scale.low)
        shape = Markup('<rect x="{}%" y="{}" width="{}%" height="7" rx="1"/>').format(
            start, track - 3, round(at - start, 2)
        )
    elif mark.shape == "ring":
        shape = Markup('<circle class="r" cx="{}%" cy="{}" r="4"/>').format(at, track)
    elif mark.shape == "cross":
        shape = Markup('<text class="x" x="{}%" y="{}">&times;</text>').format(at, track + 6)
    else:
        shape = Markup('<circle cx="{}%" cy="{}" r="4.5"/>').format(at, track)
    whisker = Markup('<line class="w" x1="{}%" x2="{}%" y1="{}" y2="{}"/>').format(low, high, track, track)
    text = Markup('<text x="0" y="{0}">{1}</text><text class="v" x="100%" y="{0}">{2}</text>').format(
        top + 13, mark.label, mark.text
    )
    rule = Markup('<line class="g" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(top + _ROW_PX)
    body = Markup("<title>{}: {}</title>{}{}{}{}").format(mark.title, mark.text, rule, text, whisker, shape)
    if mark.href:
        return Markup('<a href="{}">{}</a>').format(mark.href, body)
    return Markup("<g>{}</g>").format(body)


def legend_mark(shape: str) -> Markup:
    """The shape alone, for a legend in running text."""
    inner = {
        "dot": '<circle cx="9" cy="8" r="4.5"/>',
        "ring": '<circle class="r" cx="9" cy="8" r="4"/>',
        "cross": '<text class="x" x="9" y="14">&times;</text>',
        "bar": '<rect x="1" y="5" width="16" height="7" rx="1"/>',
        "whisker": '<line class="w" x1="0" x2="18" y1="8" y2="8"/>',
    }[shape]
    return Markup('<svg class="key" width="18" height="16" role="img"><title>{}</title>{}</svg>').format(
        escape(shape),
        Markup(inner),  # noqa: S704 - one of the five literals above
    )
