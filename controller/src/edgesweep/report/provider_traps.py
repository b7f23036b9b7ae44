"""What is known to go wrong with a provider, told beside a cell that it did not run."""

from __future__ import annotations

from collections.abc import Iterator

from edgesweep_worker.providers import SHORT_NAMES, facts_of

from edgesweep.report.outcomes import Cell, outcome_of

_AILING = ("failed", "fallback")
_CPU = "cpu"  # what goes wrong there is the model's or the runtime's doing


def traps_of(cell: Cell) -> Iterator[str]:
    """A line for each trap that is known of the first provider of a cell that failed on the device or fell back."""
    export = cell.get("export") or {}
    if outcome_of(cell) not in _AILING or export.get("passed") is False:
        return
    first = cell["providers"][0]
    if first == _CPU:
        return
    for trap in facts_of(SHORT_NAMES.get(first, first)).traps:
        yield f"{first}: {trap.sentence}; {trap.remedy} ({trap.source})"
