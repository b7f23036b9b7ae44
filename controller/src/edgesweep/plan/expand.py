"""From a plan to its cells: every combination that the plan means, each under one name, and a count of the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import product

from edgesweep.errors import EdgesweepError
from edgesweep.models.source import ModelFacts, ModelSource
from edgesweep.plan.cell import Cell, Session, Skip
from edgesweep.plan.provider_options import unknown_options
from edgesweep.plan.runtimes import DeviceChoice, runtimes_of
from edgesweep.plan.schema import PlanFile
from edgesweep.plan.trouble import ended_note, idle_note, in_force, means, trouble_of
from edgesweep.plan.variants import PlannedVariant, planned_variants

__all__ = ["SKIPPED_SHAPE", "STATIC_SHAPE", "UNHELD_SHAPE", "DeviceChoice", "Expansion", "expand"]

#: Why a combination is not planned: the keys of `Expansion.unplanned`.
STATIC_SHAPE = "a variant without dynamic dimensions runs at its example shape only"
SKIPPED_SHAPE = "a variant that is skipped is planned once, at its example shape"
UNHELD_SHAPE = "the shape sizes a dimension that the axes profile does not hold"


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a plan comes to on the devices at hand.

    `unplanned` counts, by reason, the combinations that are no cells; `notes` are sentences for the user about entries
    that ended or mean no cell.
    """

    cells: tuple[Cell, ...]
    unplanned: dict[str, int]
    notes: tuple[str, ...] = ()


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
    sessions = _sessions(plan)
    variants = planned_variants(plan, sources, facts)
    cells: list[Cell] = []
    unplanned: Counter[str] = Counter()
    for device in devices:
        asked = [(runtime, chain) for runtime, chains in runtimes_of(plan, device) for chain in chains]
        for planned in variants:
            left = len(plan.shapes) - len(planned.shapes)
            unplanned[_why_unplanned(planned)] += left * len(asked) * len(sessions)
            for (runtime, chain), shape, session in product(asked, planned.shapes, sessions):
                options = {name: dict(values) for name, values in chain.options.items()}
                cell = Cell(planned.variant, device.name, runtime, chain.chain, shape, session, options, planned.skip)
                cells.append(_excluded(cell, plan, device, today))
    _refuse_equal_names(cells)
    return Expansion(
        cells=tuple(cells),
        unplanned={reason: count for reason, count in unplanned.items() if count},
        notes=tuple(_notes(cells, plan, devices, today)),
    )


def _sessions(plan: PlanFile) -> tuple[Session, ...]:
    axes = plan.session
    return tuple(
        Session(*options)
        for options in product(
            axes.threads,
            axes.graph_optimization,
            axes.io_mode,
            axes.scenario,
            axes.concurrency,
            axes.page_cache,
            axes.provider_cache,
            axes.pin_threads,
            axes.cpu_arena,
        )
    )


def _why_unplanned(planned: PlannedVariant) -> str:
    """Why some of the plan's shapes are no cells of this variant."""
    if planned.skip is not None:
        return SKIPPED_SHAPE
    return UNHELD_SHAPE if planned.dimensions else STATIC_SHAPE


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


def _notes(cells: Sequence[Cell], plan: PlanFile, devices: Sequence[DeviceChoice], today: date) -> Iterator[str]:
    yield from unknown_options(plan)
    labels = {device.name: device.labels for device in devices}
    for key in ("exclude", "known_failures"):
        for position, entry in enumerate(getattr(plan, key)):
            if not in_force(entry, today):
                yield ended_note(key, position, entry)
            elif not any(means(entry, cell, labels[cell.device]) for cell in cells):
                yield idle_note(key, position)
