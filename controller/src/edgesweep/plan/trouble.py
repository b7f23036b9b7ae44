"""Known trouble: which entry of `exclude` or `known_failures` a cell falls under on a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase

from edgesweep.export.registry import NONE
from edgesweep.plan.cell import Cell
from edgesweep.plan.schema import Trouble


def in_force(entry: Trouble, today: date) -> bool:
    """Whether the entry still counts; `until` is its last day."""
    return entry.until is None or today <= entry.until


def trouble_of(
    cell: Cell, entries: Sequence[Trouble], labels: Mapping[str, str], *, today: date
) -> tuple[int, Trouble] | None:
    """The first entry in force that means `cell`, with its position; `labels` are those of the cell's device."""
    for position, entry in enumerate(entries):
        if in_force(entry, today) and means(entry, cell, labels):
            return position, entry
    return None


def means(entry: Trouble, cell: Cell, labels: Mapping[str, str]) -> bool:
    """Whether every key that the entry sets fits `cell`; `device` may also be a label such as `site=lab1`."""
    texts = (
        (entry.model, cell.variant.model),
        (entry.exporter, cell.variant.exporter),
        (entry.axes, cell.variant.axes),
        (entry.precision, cell.variant.precision),
        (entry.optimiser, cell.variant.optimiser or NONE),
        (entry.runtime, cell.runtime),
        (entry.shape, cell.shape.slug),
    )
    return (
        all(globs is None or _fits(text, globs) for globs, text in texts)
        and (entry.opset is None or cell.variant.opset in entry.opset)
        and (entry.ir_version is None or cell.variant.ir_version in entry.ir_version)
        and (entry.threads is None or cell.session.threads in entry.threads)
        and (entry.providers is None or cell.providers in [chain.chain for chain in entry.providers])
        and (entry.device is None or _fits_device(cell.device, labels, entry.device))
    )


def _fits(text: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(text, glob) for glob in globs)


def _fits_device(name: str, labels: Mapping[str, str], words: Sequence[str]) -> bool:
    pairs = [f"{key}={value}" for key, value in labels.items()]
    return _fits(name, words) or any(_fits(pair, words) for pair in pairs)
