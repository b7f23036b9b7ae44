"""What a cell's provider compiled, in the result document: over its trials, or of one of them."""

from __future__ import annotations

from collections.abc import Sequence

from edgesweep_proto.execution import Compile, ShapeChange

from edgesweep.report.plain_data import Json, median
from edgesweep.store.records import TrialRecord


def compiled(trials: Sequence[TrialRecord], shape: str) -> Json | None:
    """`compile`: medians over the trials, and every compiled model seen.

    Args:
        trials: those that count.
        shape: the cell's own, by its slug, which every change starts from or leads back to.
    """
    found = [trial.result.compile for trial in trials if trial.result.compile is not None]
    if not found:
        return None
    hashes = sorted({one.engine_hash for one in found if one.engine_hash})
    rebuilds = [one.rebuilds for one in found if one.rebuilds is not None]
    first = found[0]
    return {
        "provider": first.provider,
        "part_of": first.part_of,
        "seconds": median([one.seconds for one in found]) if first.part_of else None,
        "files_before": median([one.files_before for one in found], whole=True),
        "files_after": median([one.files_after for one in found], whole=True),
        "bytes_after": median([one.bytes_after for one in found], whole=True),
        "engine_hash": hashes[0] if len(hashes) == 1 else "",
        "engine_hashes": hashes,
        "rebuilds": max(rebuilds, default=None),
        "shape_changes": _changes(found, shape),
    }


def _changes(found: Sequence[Compile], shape: str) -> list[Json]:
    """The changes in the order in which the trials made them, all trials together."""
    joined: dict[tuple[str, str], list[ShapeChange]] = {}
    for one in found:
        at = shape
        for change in one.shape_changes:
            to = change.shape or shape
            joined.setdefault((at, to), []).append(change)
            at = to
    return [
        {
            "from": start,
            "to": end,
            "first_run": median([change.first_run_s for change in alike]),
            "next_run": median([change.next_run_s for change in alike]),
            "rebuilt": any(change.rebuilt for change in alike),
        }
        for (start, end), alike in joined.items()
    ]
