"""Entries of `exclude` and `known_failures` that do nothing, found from the plan alone: no device and no model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from edgesweep.models.source import ModelSource, SourceKind
from edgesweep.plan.cell import Shape, Variant
from edgesweep.plan.schema import PlanFile, Trouble
from edgesweep.plan.trouble import ended_note, fits_device, fits_text, fits_variant, idle_note, in_force
from edgesweep.plan.variants import planned_variants


def idle_entries(
    plan: PlanFile, sources: Sequence[ModelSource], labels: Mapping[str, Mapping[str, str]], *, today: date
) -> list[str]:
    """A sentence for each entry that ended, or that can mean no cell of the plan whatever devices and runtimes there are.

    Args:
        plan: The validated plan.
        sources: `sources_of(plan, ...)`, one for each of the plan's models.
        labels: The labels of the devices that the plan selects, by their names; empty where none are known, and then
            no entry is judged by its device.
        today: The day on which entries are judged.
    """
    files = {source.name for source in sources if source.kind is SourceKind.ONNX}
    variants = [planned.variant for planned in planned_variants(plan, sources, {})]
    notes = []
    for key in ("exclude", "known_failures"):
        for position, entry in enumerate(getattr(plan, key)):
            if not in_force(entry, today):
                notes.append(ended_note(key, position, entry))
            elif not _can_mean(entry, plan, variants, files, labels):
                notes.append(idle_note(key, position))
    return notes


def _can_mean(
    entry: Trouble,
    plan: PlanFile,
    variants: Sequence[Variant],
    files: set[str],
    labels: Mapping[str, Mapping[str, str]],
) -> bool:
    # The opset of a ready file is read when the run is planned, not before.
    of_file = entry.model_copy(update={"opset": None})
    return (
        any(fits_variant(of_file if variant.model in files else entry, variant) for variant in variants)
        and (entry.shape is None or any(fits_text(slug, entry.shape) for slug in _shapes(plan)))
        and (entry.threads is None or bool({*entry.threads} & {*plan.session.threads}))
        and (entry.providers is None or _has_chain(entry, plan))
        and (entry.runtime is None or _has_runtime(entry.runtime, plan))
        and (entry.device is None or not labels or any(fits_device(it, labels[it], entry.device) for it in labels))
    )


def _shapes(plan: PlanFile) -> list[str]:
    """The plan's shapes as they stand in names; a static variant runs at its example, whatever the plan says."""
    sizes = [Shape(tuple(sorted(shape.items()))) for shape in plan.shapes if isinstance(shape, dict)]
    return [shape.slug for shape in (Shape(), *sizes)]


def _has_chain(entry: Trouble, plan: PlanFile) -> bool:
    if not isinstance(plan.providers, tuple):
        return True
    asked = {chain.chain for chain in plan.providers}
    return any(chain.chain in asked for chain in entry.providers or ())


def _has_runtime(globs: Sequence[str], plan: PlanFile) -> bool:
    """Whether a runtime that the plan names fits; an id there may get `@` and a Python on the device."""
    if not isinstance(plan.runtimes, tuple):
        return True
    return any(
        fits_text(asked, globs) or fits_text(asked, [it.partition("@")[0] for it in globs]) for asked in plan.runtimes
    )
