"""Which variants to use: the fewest that run on every device, or at every place, and what they cost in latency."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgesweep_proto.trial import Stage

from edgesweep.report.compat.cover import Option, geometric_mean, smallest_cover
from edgesweep.report.compat.matrix import CompatMatrix, Place, Recipe, Row, Square, case_of
from edgesweep.report.outcomes import UNFINISHED

_READY = "none"
_TRUSTED_ENOUGH = frozenset({"trusted", "doubtful"})
#: So many variants need a number before one of them can be called fast.
_TO_COMPARE = 2
_STAGES = [stage.value for stage in Stage]
#: Outcomes of a square that say nothing about the variant.
_SILENT = frozenset({"lost", UNFINISHED})

_Times = dict[tuple[str, str], float]


class Per(StrEnum):
    """Where a model is to run: on each device, at whichever of its places, or at each place."""

    DEVICE = "device"
    PLACE = "place"


class Why(StrEnum):
    """Why no variant of a model runs on a target."""

    FAILED = "failed"
    RULED_OUT = "ruled_out"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Use:
    """A way to export, and the targets on which it is known to run."""

    recipe: Recipe
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hole:
    """A target on which no variant of the model runs.

    `closest` is the square that came farthest; where it is not known whether any runs, one without a result.
    """

    model: str
    target: str
    why: Why
    closest: Square


@dataclass(frozen=True, slots=True)
class Worst:
    """Where a choice costs most."""

    model: str
    target: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The fewest of so many `variants` for some models, none where nothing runs.

    `ratio` is the latency over that of the fastest variant on the target, as the geometric mean over the `known` ones of
    the `covered` pairs of model and target: those with numbers that are trusted or doubtful. None without any. Where it is not `exact`, fewer might do: the search
    was given up.
    """

    models: tuple[str, ...]
    variants: int
    uses: tuple[Use, ...]
    covered: int
    known: int
    ratio: float | None
    worst: Worst | None
    exact: bool
    holes: tuple[Hole, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """The choice for each model and, where several are exported, the one for all of them together.

    `open` says that cells have no result yet, so that it may change.
    """

    per: Per
    open: bool
    targets: tuple[str, ...]
    choices: tuple[Choice, ...]
    together: Choice | None


def usual_per(matrix: CompatMatrix) -> Per:
    """Every device, but every place where there is one device only: what runs somewhere on it is no advice there."""
    return Per.DEVICE if len({place.device for place in matrix.places}) > 1 else Per.PLACE


def advise(matrix: CompatMatrix, per: Per = Per.DEVICE) -> Advice:
    """The smallest sets of variants that run wherever any does.

    A variant runs where all its cells pass but those that the plan rules out. Of sets of equal size those with fewer
    reduced precisions come first, then the faster, then the simpler: fewer dynamic dimensions, then lower opsets.
    """
    targets: dict[str, list[Place]] = {}
    for place in matrix.places:
        targets.setdefault(place.device if per is Per.DEVICE else place.name, []).append(place)
    rows: dict[str, list[Row]] = {}
    for row in matrix.rows:
        rows.setdefault(row.model, []).append(row)
    lab = _Lab(matrix, targets, rows)
    ratios = _ratios(lab)
    choices = [_choice(lab, (model,), ratios) for model in rows]
    exported = [model for model, own in rows.items() if any(row.recipe.exporter != _READY for row in own)]
    together = _choice(lab, tuple(exported), ratios) if len(exported) > 1 else None
    still_open = any(square.outcome in _SILENT for square in matrix.squares.values())
    return Advice(per, still_open, tuple(targets), tuple(choices), together)


@dataclass(frozen=True, slots=True)
class _Lab:
    """What advice is drawn from: the matrix, the places of each target, and the rows of each model."""

    matrix: CompatMatrix
    targets: Mapping[str, Sequence[Place]]
    rows: Mapping[str, Sequence[Row]]

    def runs(self, row: Row, place: Place) -> bool:
        square = self.matrix.squares.get((row, place))
        return square is not None and square.runs


def _choice(lab: _Lab, models: tuple[str, ...], ratios: Mapping[tuple[Row, str], float]) -> Choice:
    """The fewest recipes for all `models`: what is to be covered are the pairs of model and target that were planned."""
    rows = [row for model in models for row in lab.rows[model]]
    wanted = {
        (row.model, target): None
        for row in rows
        for target, places in lab.targets.items()
        if any((row, place) in lab.matrix.squares for place in places)
    }
    recipes: dict[str, Recipe] = {}
    by_recipe: dict[str, list[Row]] = {}
    for row in rows:
        recipes[row.recipe.slug] = row.recipe
        by_recipe.setdefault(row.recipe.slug, []).append(row)
    options = [_option(lab, recipe, by_recipe[slug], ratios) for slug, recipe in recipes.items()]
    chosen = smallest_cover(options, list(wanted))
    return Choice(
        models=models,
        variants=len(recipes),
        uses=tuple(_use(recipes[option.key], option, lab.targets) for option in chosen.options),
        covered=len(chosen.covered),
        known=chosen.known,
        ratio=chosen.cost,
        worst=Worst(*chosen.worst[0], chosen.worst[1]) if chosen.worst else None,
        exact=chosen.exact,
        holes=tuple(_hole(lab, model, target) for model, target in chosen.uncovered),
    )


def _option(lab: _Lab, recipe: Recipe, rows: Iterable[Row], ratios: Mapping[tuple[Row, str], float]) -> Option:
    """The recipe, which gave `rows`: what it covers, and at what cost."""
    running = [
        (row, target)
        for row in rows
        for target, places in lab.targets.items()
        if any(lab.runs(row, place) for place in places)
    ]
    return Option(
        recipe.slug,
        frozenset((row.model, target) for row, target in running),
        {(row.model, target): ratios[row, target] for row, target in running if (row, target) in ratios},
        reduced=recipe.precision != "fp32",
        order=_simplicity(recipe),
    )


def _use(recipe: Recipe, option: Option, targets: Iterable[str]) -> Use:
    """Where it runs: for several models, where all of those that it covers anywhere do."""
    covered = {model for model, _ in option.covers}
    return Use(
        recipe, tuple(target for target in targets if all((model, target) in option.covers for model in covered))
    )


def _simplicity(recipe: Recipe) -> tuple[int | str, ...]:
    """Smaller for the simpler: nothing rewritten, fewer dynamic dimensions (how many `full` has is not known), lower opset."""
    dimensions = {"static": 0, "asis": 0, "full": 9}.get(recipe.axes, 1 + recipe.axes.count("+"))
    return bool(recipe.extras), dimensions, recipe.opset, recipe.exporter, recipe.slug


def _ratios(lab: _Lab) -> dict[tuple[Row, str], float]:
    """Per variant and target its latency over the fastest variant's, as the geometric mean over shapes and sessions.

    On a target with several places the fastest of them counts, for either. Only medians that are trusted or doubtful do:
    where but one of several variants has such a number, there is nothing to hold it against.
    """
    ratios = {}
    for rows in lab.rows.values():
        for target, places in lab.targets.items():
            times = {row: _times(lab, row, places) for row in rows if any(lab.runs(row, place) for place in places)}
            best: _Times = {}
            for own in times.values():
                for case, seconds in own.items():
                    best[case] = min(seconds, best.get(case, seconds))
            if len(times) > 1 and sum(map(bool, times.values())) < _TO_COMPARE:
                continue
            for row, own in times.items():
                if own:
                    ratios[row, target] = geometric_mean([seconds / best[case] for case, seconds in own.items()])
    return ratios


def _times(lab: _Lab, row: Row, places: Iterable[Place]) -> _Times:
    """The smallest median over the places where the variant runs, by shape and session."""
    times: _Times = {}
    for place in places:
        if not lab.runs(row, place):
            continue
        for cell in lab.matrix.squares[row, place].cells:
            seconds = (cell.get("latency_s") or {}).get("median")
            if seconds and cell.get("verdict") in _TRUSTED_ENOUGH:
                times[case_of(cell)] = min(seconds, times.get(case_of(cell), seconds))
    return times


def _hole(lab: _Lab, model: str, target: str) -> Hole:
    squares = [
        square
        for row in lab.rows[model]
        for place in lab.targets[target]
        if (square := lab.matrix.squares.get((row, place))) is not None
    ]
    outcomes = {square.outcome for square in squares}
    ruled_out = all(square.outcome == "skipped" and not square.worst.get("prediction") for square in squares)
    why = Why.UNKNOWN if outcomes & _SILENT else Why.RULED_OUT if ruled_out else Why.FAILED
    told = [square for square in squares if square.outcome in _SILENT] if why is Why.UNKNOWN else squares
    return Hole(model, target, why, max(told, key=_distance))


def _distance(square: Square) -> tuple[bool, int]:
    """How far a square came: an outcome before none, then the stage."""
    stage = square.worst.get("stage") or ""
    return square.outcome not in _SILENT, _STAGES.index(stage) if stage in _STAGES else 0
