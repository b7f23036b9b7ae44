"""The compatibility matrix of a result document: model and variant down, device, runtime and provider chain across."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgesweep.report.outcomes import UNFINISHED, Cell, Doc, outcome_of, place_title, session_of
from edgesweep.report.predictions import is_skipped_as_predicted

#: Outcomes from the worst to the best: a square is called after the worst of its cells.
WORST_FIRST = ("failed", "lost", "fallback", UNFINISHED, "skipped", "pass")
#: Tags of cells that pass and yet call for a word.
PARTIAL, DISAGREES = "partial", "disagrees"
_EXAMPLE = "example"
_SLUG_SEGMENT = 2


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to export, whatever the model. `extras` are an IR cap and an optimiser, as in `ir8+onnxslim`."""

    exporter: str
    opset: int
    axes: str
    precision: str
    extras: str = ""

    @property
    def slug(self) -> str:
        """Its part of a cell's name: `dynamo-opset17-batch-fp32`."""
        return "+".join(filter(None, [f"{self.exporter}-opset{self.opset}-{self.axes}-{self.precision}", self.extras]))

    @property
    def way(self) -> str:
        """All but the opset: `dynamo batch`, then what is not the default."""
        precision = self.precision if self.precision != "fp32" else ""
        return " ".join(filter(None, [self.exporter, self.axes, precision, self.extras]))

    @property
    def text(self) -> str:
        """As people say it: `torchscript opset 17 static`; a ready file is `the file at opset 17`."""
        precision = self.precision if self.precision != "fp32" else ""
        if self.exporter == "none":
            return " ".join(filter(None, [f"the file at opset {self.opset}", self.extras]))
        return " ".join(filter(None, [f"{self.exporter} opset {self.opset}", self.axes, precision, self.extras]))


@dataclass(frozen=True, slots=True)
class Row:
    """A variant of a model."""

    model: str
    recipe: Recipe

    @property
    def name(self) -> str:
        """`model/exporter-opsetN-axes-precision`."""
        return f"{self.model}/{self.recipe.slug}"


@dataclass(frozen=True, slots=True)
class Place:
    """A column: one runtime of a device with one provider chain."""

    device: str
    runtime: str
    providers: tuple[str, ...]

    @property
    def chain(self) -> str:
        """The providers, joined as in a cell's name."""
        return "+".join(self.providers)

    @property
    def name(self) -> str:
        """`device/runtime/provider+chain`."""
        return f"{self.device}/{self.runtime}/{self.chain}"

    @property
    def title(self) -> str:
        """`device · onnxruntime VERSION · provider+chain`."""
        return place_title(self.device, self.runtime, self.providers)


@dataclass(frozen=True, slots=True)
class Square:
    """What became of a variant at a place. `cells` are those of all shapes and sessions, in planned order, never none."""

    row: Row
    place: Place
    cells: tuple[Cell, ...]

    @property
    def outcome(self) -> str:
        """The worst outcome of its cells."""
        return outcome_of(self.worst)

    @property
    def worst(self) -> Cell:
        """The first cell with the worst outcome."""
        return min(self.cells, key=lambda cell: WORST_FIRST.index(outcome_of(cell)))

    @property
    def cause(self) -> str:
        """The worst cell's cause; for one that was skipped as predicted, the cause that was predicted. Empty for a pass."""
        worst = self.worst
        return str(worst["prediction"]["cause"] if is_skipped_as_predicted(worst) else worst.get("cause") or "")

    @property
    def counts(self) -> dict[str, int]:
        """Cells by outcome, worst first."""
        counted = Counter(map(outcome_of, self.cells))
        return {word: counted[word] for word in WORST_FIRST if counted[word]}

    @property
    def share(self) -> str:
        """`1/2` where only some of its cells ended as the square says; else empty."""
        alike = self.counts[self.outcome]
        return "" if alike == len(self.cells) else f"{alike}/{len(self.cells)}"

    @property
    def measured(self) -> Cell | None:
        """The cell whose median stands for the square: at the example's shape where that was measured."""
        measured = [cell for cell in self.cells if cell.get("latency_s")]
        return next((cell for cell in measured if cell["shape"] == _EXAMPLE), measured[0] if measured else None)

    @property
    def runs(self) -> bool:
        """Whether the variant runs here: a cell passes, and whatever does not was ruled out by the plan."""
        return any(outcome_of(cell) == "pass" for cell in self.cells) and all(
            outcome_of(cell) in {"pass", "skipped"} and not is_skipped_as_predicted(cell) for cell in self.cells
        )

    @property
    def partial(self) -> Cell | None:
        """A cell that ran partly on other providers than the chain's first, where the square passes; else None."""
        return self._tagged(PARTIAL)

    @property
    def disagrees(self) -> Cell | None:
        """A cell whose outputs lie beyond the limits from those of another place, where the square passes; else None."""
        return self._tagged(DISAGREES)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is to be said of a pass: `partial`, `disagrees`, or both."""
        return tuple(word for word in (PARTIAL, DISAGREES) if self._tagged(word))

    def _tagged(self, tag: str) -> Cell | None:
        if self.outcome != "pass":
            return None
        return next((cell for cell in self.cells if tag in (cell.get("tags") or [])), None)

    @property
    def signature(self) -> tuple[Any, ...]:
        """Equal for squares that ended alike."""
        worst = self.worst
        return (
            self.outcome,
            worst.get("stage"),
            self.cause,
            is_skipped_as_predicted(worst),
            self.share,
            bool(self.partial),
        )


@dataclass(frozen=True, slots=True)
class CompatMatrix:
    """The matrix of a run. `doc` holds the run and the cells that it was made of; a pair that was not planned is absent.

    `rows` are those to be shown; counts are of all `squares`.
    """

    doc: Doc
    rows: tuple[Row, ...]
    places: tuple[Place, ...]
    squares: Mapping[tuple[Row, Place], Square]

    @property
    def models(self) -> tuple[str, ...]:
        """The models in planned order."""
        return tuple(dict.fromkeys(row.model for row in self.rows))

    def at(self, place: Place) -> list[Square]:
        """The squares of a column."""
        return [square for square in self.squares.values() if square.place == place]


def not_everywhere(matrix: CompatMatrix) -> CompatMatrix:
    """The same matrix with only those rows that do not run at every place where they were planned."""
    missing = {square.row for square in matrix.squares.values() if not square.runs}
    return replace(matrix, rows=tuple(row for row in matrix.rows if row in missing))


@dataclass(frozen=True, slots=True)
class Line:
    """Neighbouring opsets of one way of exporting that ended alike at every place."""

    model: str
    way: str
    rows: tuple[Row, ...]

    @property
    def opsets(self) -> tuple[int, ...]:
        """The opsets, lowest first."""
        return tuple(row.recipe.opset for row in self.rows)


def build_compat(doc: Doc, keep: Callable[[str], bool] = lambda _name: True) -> CompatMatrix:
    """The matrix of the cells that `keep` takes by their name.

    Models, exporters, axes and places keep planned order; opsets are sorted.
    """
    cells = [cell for cell in doc["cells"] if keep(cell["name"])]
    grouped: dict[tuple[Row, Place], list[Cell]] = {}
    for cell in cells:
        grouped.setdefault((row_of(cell), place_of(cell)), []).append(cell)
    squares = {key: Square(*key, tuple(members)) for key, members in grouped.items()}
    return CompatMatrix(
        doc=doc | {"cells": cells},
        rows=_sorted(list(dict.fromkeys(row for row, _ in grouped))),
        places=tuple(dict.fromkeys(place for _, place in grouped)),
        squares=squares,
    )


def row_of(cell: Cell) -> Row:
    """The row that a cell belongs to."""
    recipe = Recipe(cell["exporter"], cell["opset"], cell["axes"], cell["precision"])
    slug = str(cell["name"]).split("/")[_SLUG_SEGMENT]
    extras = slug.removeprefix(recipe.slug).removeprefix("+")
    return Row(cell["model"], Recipe(recipe.exporter, recipe.opset, recipe.axes, recipe.precision, extras))


def place_of(cell: Cell) -> Place:
    """The column that a cell belongs to."""
    return Place(cell["device"], cell["runtime"], tuple(cell["providers"]))


def case_of(cell: Cell) -> tuple[str, str]:
    """Shape and session: what tells the cells of one square apart."""
    return cell["shape"], session_of(cell)


def lines_of(matrix: CompatMatrix) -> list[Line]:
    """The rows, neighbouring opsets with the same end at every place as one."""
    lines: list[Line] = []
    seen: tuple[Any, ...] | None = None
    for row in matrix.rows:
        squares = [matrix.squares.get((row, place)) for place in matrix.places]
        ended = (row.model, row.recipe.way, *(square.signature if square else None for square in squares))
        if lines and ended == seen:
            lines[-1] = Line(row.model, row.recipe.way, (*lines[-1].rows, row))
        else:
            lines.append(Line(row.model, row.recipe.way, (row,)))
        seen = ended
    return lines


def _sorted(rows: list[Row]) -> tuple[Row, ...]:
    """By model and way of exporting in planned order, then by opset."""
    order = {key: place for place, key in enumerate(dict.fromkeys((row.model, row.recipe.way) for row in rows))}
    models = {model: place for place, model in enumerate(dict.fromkeys(row.model for row in rows))}
    return tuple(sorted(rows, key=lambda row: (models[row.model], order[row.model, row.recipe.way], row.recipe.opset)))
