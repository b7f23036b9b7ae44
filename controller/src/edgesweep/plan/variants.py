"""From a plan to its variants: every way in which it exports its models, whatever devices there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import product

from edgesweep.export.registry import NONE
from edgesweep.models.source import ModelFacts, ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Skip, Variant
from edgesweep.plan.fields import axes_dimensions
from edgesweep.plan.schema import ModelEntry, PlanFile
from edgesweep.plan.trouble import trouble_of_variant


@dataclass(frozen=True, slots=True)
class PlannedVariant:
    """A variant with the dimensions it makes dynamic, and why it is not exported, if so.

    `shapes` are the plan's shapes that apply to it: the example alone for a static or a skipped one.
    """

    variant: Variant
    dimensions: tuple[str, ...]
    skip: Skip | None = None
    shapes: tuple[Shape, ...] = (Shape(),)


def planned_variants(
    plan: PlanFile,
    sources: Sequence[ModelSource],
    facts: Mapping[str, ModelFacts],
    *,
    today: date | None = None,
) -> tuple[PlannedVariant, ...]:
    """Every variant of `plan`, in planned order.

    Args:
        plan: The validated plan.
        sources: `sources_of(plan, ...)`, one for each of the plan's models.
        facts: What is known of the models, by name. A model without facts counts with the `dynamic` of its source.
        today: The day on which to judge the `exclude` entries that mean whole variants; None leaves `exclude` out, for
            who judges cell by cell.
    """
    shapes = tuple(Shape(tuple(sorted(s.items())) if isinstance(s, dict) else ()) for s in plan.shapes)
    by_name = {source.name: source for source in sources}
    return tuple(
        _excluded(_with_shapes(planned, shapes), plan, today)
        for entry in plan.models
        for planned in _variants_of(plan, entry, by_name[entry.model_name], facts.get(entry.model_name))
    )


def _variants_of(
    plan: PlanFile, entry: ModelEntry, source: ModelSource, facts: ModelFacts | None
) -> Iterator[PlannedVariant]:
    declared = facts.dimensions if facts is not None else _declared(source)
    if source.kind is SourceKind.ONNX:
        opset = facts.opset if facts is not None and facts.opset is not None else 0
        yield PlannedVariant(Variant(source.name, "none", opset, "asis"), declared)
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
        yield PlannedVariant(
            Variant(source.name, exporter, opset, axes, precision, ir_version, "" if optimiser == NONE else optimiser),
            dimensions,
            # Of a model that could not be loaded nothing is known: its export will say why, not this.
            _absent(facts)
            or (_lacks(source.name, dimensions, declared) if facts is not None or source.dynamic else None),
        )


def _with_shapes(planned: PlannedVariant, shapes: Sequence[Shape]) -> PlannedVariant:
    if planned.skip is not None or not planned.dimensions:
        return planned
    held = (shape for shape in shapes if all(name in planned.dimensions for name, _ in shape.sizes))
    return replace(planned, shapes=tuple(held))


def _excluded(planned: PlannedVariant, plan: PlanFile, today: date | None) -> PlannedVariant:
    """The variant with `skip` set where the plan excludes all of it; what cannot be exported anyway keeps that reason."""
    if today is None or planned.skip is not None:
        return planned
    entry = trouble_of_variant(planned.variant, plan.exclude, today=today)
    return planned if entry is None else replace(planned, skip=Skip("excluded", entry.reason))


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
