"""Known trouble: which entry of `exclude` or `known_failures` a cell falls under on a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from fnmatch import fnmatchcase

from edgesweep.export.registry import NONE
from edgesweep.plan.cell import Cell, Variant
from edgesweep.plan.schema import Trouble

#: Keys of an entry that tell cells of one variant apart.
_CELL_KEYS = frozenset({"device", "runtime", "providers", "shape", "threads"})


def in_force(entry: Trouble, today: date) -> bool:
    """Whether the entry still counts; `until` is its last day."""
    return entry.until is None or today <= entry.until


def ended_note(key: str, position: int, entry: Trouble) -> str:
    """The sentence on an entry that counted once."""
    return f"{key}[{position}] ended on {entry.until} and no longer counts"


def idle_note(key: str, position: int) -> str:
    """The sentence on an entry that means nothing."""
    return f"{key}[{position}] means no cell of this plan"


def trouble_of(
    cell: Cell, entries: Sequence[Trouble], labels: Mapping[str, str], *, today: date
) -> tuple[int, Trouble] | None:
    """The first entry in force that means `cell`, with its position; `labels` are those of the cell's device."""
    for position, entry in enumerate(entries):
        if in_force(entry, today) and means(entry, cell, labels):
            return position, entry
    return None


def trouble_of_variant(variant: Variant, entries: Sequence[Trouble], *, today: date) -> Trouble | None:
    """The first entry in force that means every cell of `variant`, whatever device and session run it."""
    return next((entry for entry in entries if in_force(entry, today) and _means_all_of(entry, variant)), None)


def means(entry: Trouble, cell: Cell, labels: Mapping[str, str]) -> bool:
    """Whether every key that the entry sets fits `cell`; `device` may also be a label such as `site=lab1`."""
    return (
        fits_variant(entry, cell.variant)
        and (entry.runtime is None or fits_text(cell.runtime, entry.runtime))
        and (entry.shape is None or fits_text(cell.shape.slug, entry.shape))
        and (entry.threads is None or cell.session.threads in entry.threads)
        and (entry.providers is None or cell.providers in [chain.chain for chain in entry.providers])
        and (entry.device is None or fits_device(cell.device, labels, entry.device))
    )


def _means_all_of(entry: Trouble, variant: Variant) -> bool:
    return not set(entry.matched_keys) & _CELL_KEYS and fits_variant(entry, variant)


def fits_variant(entry: Trouble, variant: Variant) -> bool:
    """Whether the keys that name variants fit `variant`; the others are not looked at."""
    texts = (
        (entry.model, variant.model),
        (entry.exporter, variant.exporter),
        (entry.axes, variant.axes),
        (entry.precision, variant.precision),
        (entry.optimiser, variant.optimiser or NONE),
    )
    return (
        all(globs is None or fits_text(text, globs) for globs, text in texts)
        and (entry.opset is None or variant.opset in entry.opset)
        and (entry.ir_version is None or variant.ir_version in entry.ir_version)
    )


def fits_text(text: str, globs: Sequence[str]) -> bool:
    """Whether `text` is one of `globs`, in which `*` and `?` stand for others."""
    return any(fnmatchcase(text, glob) for glob in globs)


def fits_device(name: str, labels: Mapping[str, str], words: Sequence[str]) -> bool:
    """Whether a device of that name and labels is meant."""
    pairs = [f"{key}={value}" for key, value in labels.items()]
    return fits_text(name, words) or any(fits_text(pair, words) for pair in pairs)
