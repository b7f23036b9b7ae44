"""The cells next to one: those that differ from it in exactly one thing, and how they ended."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgesweep.report.compat.matrix import place_of, row_of
from edgesweep.report.outcomes import Cell, outcome_of, session_of
from edgesweep.report.predictions import is_skipped_as_predicted

_NUMBER = re.compile(r"\d+")
_SHOWN = 6

#: What a cell is asked with, in the order in which a change of it is easiest, and how a value of it is said.
AXES = {
    "opset": "at opset {}",
    "exporter": "by {}",
    "axes": "with {} axes",
    "precision": "in {}",
    "rewriting": "as {}",
    "runtime": "on onnxruntime {}",
    "providers": "on {}",
    "shape": "at {}",
    "session": "with session {}",
    "device": "on {}",
}


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A cell that differs in `axis` only, where it has `value`."""

    axis: str
    value: str
    cell: Cell

    @property
    def passes(self) -> bool:
        """Whether it passes."""
        return outcome_of(self.cell) == "pass"

    @property
    def said(self) -> str:
        """`at opset 17`, `on onnxruntime 1.23.2`."""
        return AXES[self.axis].format(self.value)

    @property
    def end(self) -> str:
        """How it ended in a word or two: `pass`, `failed: oom`, `predicted opset_unsupported`."""
        if is_skipped_as_predicted(self.cell):
            return f"predicted {self.cell['prediction']['cause']}"
        cause = self.cell.get("cause")
        return f"{outcome_of(self.cell)}: {cause}" if cause else outcome_of(self.cell)


@dataclass(frozen=True, slots=True)
class Axis:
    """The neighbours along one axis, nearest first, and where they pass and how they end otherwise, in words."""

    name: str
    neighbours: tuple[Neighbour, ...]

    @property
    def passing(self) -> tuple[Neighbour, ...]:
        """Those that pass."""
        return tuple(neighbour for neighbour in self.neighbours if neighbour.passes)

    @property
    def groups(self) -> dict[str, str]:
        """The values by the way they ended, passes first: `{"pass": "17, 18", "failed: oom": "21"}`."""
        ended: dict[str, list[Neighbour]] = {}
        for neighbour in sorted(self.neighbours, key=lambda one: not one.passes):
            ended.setdefault(neighbour.end, []).append(neighbour)
        return {end: _listed(alike) for end, alike in ended.items()}


def neighbours_of(cell: Cell, cells: Iterable[Cell]) -> list[Axis]:
    """The axes along which the run has other cells, in the order of `AXES`."""
    own = _asked(cell)
    found: dict[str, list[Neighbour]] = {axis: [] for axis in AXES}
    for other in cells:
        theirs = _asked(other)
        differing = [axis for axis in AXES if theirs[axis] != own[axis]]
        if other["model"] == cell["model"] and len(differing) == 1:
            found[differing[0]].append(Neighbour(differing[0], theirs[differing[0]], other))
    return [
        Axis(axis, tuple(sorted(near, key=lambda one: _distance(own[one.axis], one.value))))
        for axis, near in found.items()
        if near
    ]


def nearest_passing(axes: Sequence[Axis]) -> list[Neighbour]:
    """The nearest passing neighbour of each axis that has one."""
    return [axis.passing[0] for axis in axes if axis.passing]


def nearest_here(cell: Cell, cells: Iterable[Cell]) -> Cell | None:
    """The passing cell of the same model at the same place that differs in the fewest things; of these the nearest opset."""
    own = _asked(cell)

    def distance(other: Cell) -> tuple[int, int]:
        theirs = _asked(other)
        return sum(theirs[axis] != own[axis] for axis in AXES), abs(other["opset"] - cell["opset"])

    same = (other for other in cells if other["model"] == cell["model"] and place_of(other) == place_of(cell))
    return min(
        (other for other in same if outcome_of(other) == "pass" and other is not cell), key=distance, default=None
    )


def _asked(cell: Cell) -> dict[str, str]:
    """The cell by axis, each value as text."""
    recipe = row_of(cell).recipe
    return {
        "opset": str(recipe.opset),
        "exporter": recipe.exporter,
        "axes": recipe.axes,
        "precision": recipe.precision,
        "rewriting": recipe.extras or "exported",
        "runtime": cell["runtime"],
        "providers": place_of(cell).chain,
        "shape": cell["shape"],
        "session": session_of(cell),
        "device": cell["device"],
    }


def _distance(own: str, other: str) -> list[int]:
    """How far two values lie apart, number by number from the left; values without numbers are equally near."""
    mine, theirs = ([int(number) for number in _NUMBER.findall(value)] for value in (own, other))
    return [abs(one - another) for one, another in zip(mine, theirs, strict=False)]


def _listed(neighbours: Sequence[Neighbour]) -> str:
    values = [neighbour.value for neighbour in neighbours]
    if all(value.isdigit() for value in values):
        values.sort(key=int)
    more = f" and {len(values) - _SHOWN} more" if len(values) > _SHOWN else ""
    return ", ".join(values[:_SHOWN]) + more
