"""From a plan to its cells: every combination that the plan means, each under one name, and a count of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from itertools import product

from edgesweep.errors import EdgesweepError
from edgesweep.export.registry import NONE
from edgesweep.models.source import ModelFacts, ModelSource, SourceKind
from edgesweep.plan.cell import Cell, Session, Shape, Skip, Variant
from edgesweep.plan.fields import axes_dimensions
from edgesweep.plan.runtimes import DeviceChoice, runtimes_of
from edgesweep.plan.schema import ModelEntry, PlanFile
from edgesweep.plan.trouble import in_force, means, trouble_of

__all__ = ["SKIPPED_SHAPE", "STATIC_SHAPE", "UNHELD_SHAPE", "DeviceChoice", "Expansion", "Job", "expand"]

#: Why a combination is not planned: the keys of `Expansion.unplanned`.
STATIC_SHAPE = "a variant without dynamic dimensions runs at its example shape only"
SKIPPED_SHAPE = "a variant that is skipped is planned once, at its example shape"
UNHELD_SHAPE = "the shape sizes a dimension that the axes profile does not hold"

Job = tuple[ModelSource, Variant, tuple[Shape, ...]]


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a plan comes to on the devices at hand.

    `jobs` holds the exports that the cells need, with the shapes to make inputs for; a cell that is skipped needs none.
    `unplanned` counts, by reason, the combinations that are no cells. `known` gives the reason for each cell under
    `known_failures`; `notes` are sentences for the user about entries that ended or mean no cell.
    """

    cells: tuple[Cell, ...]
    jobs: tuple[Job, ...]
    unplanned: dict[str, int]
    known: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Profile:
    """A variant with the dimensions it makes dynamic, and why it cannot be exported, if so."""

    variant: Variant
    dimensions: tuple[str, ...]
    skip: Skip | None = None

    def shapes(self, shapes: Sequence[Shape]) -> tuple[tuple[Shape, ...], str]:
        """The shapes that apply to it, and why the others do not."""
        if self.skip is not None:
            return (Shape(),), SKIPPED_SHAPE
        if not self.dimensions:
            return (Shape(),), STATIC_SHAPE
        return tuple(s for s in shapes if all(name in self.dimensions for name, _ in s.sizes)), UNHELD_SHAPE


def expand(
    plan: PlanFile,
    sources: Sequence[ModelSource],
    facts: Mapping[str, ModelFacts],
    devices: Sequence[DeviceChoice],
    *,
    today: date,
) -> Expansion:
    """Every cell of `plan` on `devices`.

    Args:
        plan: The validated plan.
        sources: `sources_of(plan, ...)`, one for each of the plan's models.
        facts: What is known of the models, by name. A model without facts counts with the `dynamic` of its source.
        devices: The devices that `plan.devices` selected from the inventory.
        today: The day on which `exclude` and `known_failures` are judged.

    Raises:
        EdgesweepError: `plan_invalid` when two different cells would have one name.
    """
    shapes = tuple(Shape(tuple(sorted(s.items())) if isinstance(s, dict) else ()) for s in plan.shapes)
    sessions = _sessions(plan)
    by_name = {source.name: source for source in sources}
    profiles = [
        profile
        for entry in plan.models
        for profile in _profiles(plan, entry, by_name[entry.model_name], facts.get(entry.model_name))
    ]
    cells: list[Cell] = []
    unplanned: Counter[str] = Counter()
    for device in devices:
        asked = [(runtime, chain) for runtime, chains in runtimes_of(plan, device) for chain in chains]
        for profile in profiles:
            applying, reason = profile.shapes(shapes)
            unplanned[reason] += (len(shapes) - len(applying)) * len(asked) * len(sessions)
            for (runtime, chain), shape, session in product(asked, applying, sessions):
                options = {name: dict(values) for name, values in chain.options.items()}
                cell = Cell(profile.variant, device.name, runtime, chain.chain, shape, session, options, profile.skip)
                cells.append(_excluded(cell, plan, device, today))
    _refuse_equal_names(cells)
    return Expansion(
        cells=tuple(cells),
        jobs=_jobs(cells, by_name),
        unplanned={reason: count for reason, count in unplanned.items() if count},
        known=_known(cells, plan, devices, today),
        notes=tuple(_notes(cells, plan, devices, today)),
    )


def _sessions(plan: PlanFile) -> tuple[Session, ...]:
    axes = plan.session
    return tuple(
        Session(threads, optimization, io_mode)
        for threads, optimization, io_mode in product(axes.threads, axes.graph_optimization, axes.io_mode)
    )


def _profiles(plan: PlanFile, entry: ModelEntry, source: ModelSource, facts: ModelFacts | None) -> Iterator[_Profile]:
    declared = facts.dimensions if facts is not None else _declared(source)
    if source.kind is SourceKind.ONNX:
        opset = facts.opset if facts is not None and facts.opset is not None else 0
        yield _Profile(Variant(source.name, "none", opset, "asis"), declared)
        return
    own = entry.export
    exporters = (own and own.exporters) or plan.export.exporters
    opsets = (own and own.opsets) or plan.export.opsets
    profiles = (own and own.axes) or plan.export.axes
    precisions = (own and own.precisions) or plan.export.precisions
    optimisers = (own and own.optimisers) or plan.export.optimisers
    ir_versions = (own and own.ir_version) or plan.export.ir_version
    for exporter, opset, axes, optimiser, precision, ir_version in product(
        exporters, opsets, profiles, optimisers, precisions, ir_versions
    ):
        dimensions = axes_dimensions(axes, declared)
        yield _Profile(
            Variant(source.name, exporter, opset, axes, precision, ir_version, "" if optimiser == NONE else optimiser),
            dimensions,
            # Of a model that could not be loaded nothing is known: its export will say why, not this.
            _absent(facts)
            or (_lacks(source.name, dimensions, declared) if facts is not None or source.dynamic else None),
        )


def _declared(source: ModelSource) -> tuple[str, ...]:
    names = [axes[axis] for axes in source.dynamic.values() for axis in sorted(axes)]
    return tuple(dict.fromkeys(names))


def _lacks(model: str, dimensions: Sequence[str], declared: Sequence[str]) -> Skip | None:
    missing = [name for name in dimensions if name not in declared]
    if not missing:
        return None
    has = f"it declares {', '.join(declared)}" if declared else "it declares none"
    return Skip("no_such_dimension", f"{model} has no dynamic dimension named {' or '.join(missing)}; {has}")


def _absent(facts: ModelFacts | None) -> Skip | None:
    return Skip("package_missing", facts.missing) if facts is not None and facts.missing else None


def _excluded(cell: Cell, plan: PlanFile, device: DeviceChoice, today: date) -> Cell:
    """The cell with `skip` set where the plan excludes it; a cell that cannot be exported anyway keeps that reason."""
    found = trouble_of(cell, plan.exclude, device.labels, today=today)
    if found is None or cell.skip is not None:
        return cell
    return replace(cell, skip=Skip("excluded", found[1].reason))


def _refuse_equal_names(cells: Sequence[Cell]) -> None:
    counted = Counter(cell.name for cell in cells)
    repeated = next((name for name, count in counted.items() if count > 1), None)
    if repeated is not None:
        raise EdgesweepError(
            "plan_invalid",
            f"{counted[repeated]} cells of the plan have the name {repeated}",
            remedy="a device, chain or shape is in the plan twice: the same providers with other options, or sizes that "
            "read alike; put them into plans of their own",
        )


def _jobs(cells: Sequence[Cell], sources: Mapping[str, ModelSource]) -> tuple[Job, ...]:
    shapes: dict[Variant, dict[Shape, None]] = {}
    for cell in cells:
        if cell.skip is None:
            shapes.setdefault(cell.variant, {})[cell.shape] = None
    return tuple((sources[variant.model], variant, tuple(wanted)) for variant, wanted in shapes.items())


def _known(cells: Sequence[Cell], plan: PlanFile, devices: Sequence[DeviceChoice], today: date) -> dict[str, str]:
    labels = {device.name: device.labels for device in devices}
    known: dict[str, str] = {}
    for cell in cells:
        found = trouble_of(cell, plan.known_failures, labels[cell.device], today=today)
        if found is not None and cell.skip is None:
            known[cell.name] = found[1].reason
    return known


def _notes(cells: Sequence[Cell], plan: PlanFile, devices: Sequence[DeviceChoice], today: date) -> Iterator[str]:
    labels = {device.name: device.labels for device in devices}
    for key in ("exclude", "known_failures"):
        for position, entry in enumerate(getattr(plan, key)):
            if not in_force(entry, today):
                yield f"{key}[{position}] ended on {entry.until} and no longer counts"
            elif not any(means(entry, cell, labels[cell.device]) for cell in cells):
                yield f"{key}[{position}] means no cell of this plan"
