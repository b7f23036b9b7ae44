"""The difference of two runs as data: one JSON object (docs/compat.md)."""

from __future__ import annotations

from edgesweep.report.compat.diff import Change, CompatDiff, Kind
from edgesweep.report.compat.diff_words import next_of, remarks_of, remedy_of, sentence
from edgesweep.report.compat.document import SCHEMA_VERSION, run_of
from edgesweep.report.outcomes import Cell
from edgesweep.report.plain_data import Json


def diff_document(diff: CompatDiff) -> Json:
    """The difference: the two runs, counts, and each cell that changed, most urgent first."""
    return {
        "schema_version": SCHEMA_VERSION,
        "before": run_of(diff.before),
        "after": run_of(diff.after),
        "remarks": remarks_of(diff),
        "sentence": sentence(diff),
        "worse": len(diff.worse),
        "same": diff.same,
        "other_artifacts": diff.other_artifacts,
        "counts": {kind.value: len(diff.of(kind)) for kind in Kind},
        "remedies": {kind.value: remedy_of(kind, diff) for kind in Kind if diff.of(kind)},
        "changes": [_change(change) for change in diff.changes],
        "next": next_of(diff),
    }


def _change(change: Change) -> Json:
    return {
        "kind": change.kind.value,
        "cell": change.name,
        "known": change.known,
        "fixed": change.fixed,
        "before": _end(change.before),
        "after": _end(change.after),
    }


def _end(cell: Cell | None) -> Json | None:
    if cell is None:
        return None
    placement = cell.get("placement") or {}
    return {
        "outcome": cell.get("outcome"),
        "stage": cell.get("stage"),
        "cause": cell.get("cause") or "",
        "message": cell.get("message") or "",
        "predicted": (cell.get("prediction") or {}).get("cause"),
        "digest": (cell.get("produced") or {}).get("digest"),
        "nodes": {share["provider"]: share["nodes"] for share in placement.get("shares") or []},
        "placement_hash": placement.get("hash"),
        "median_s": (cell.get("latency_s") or {}).get("median"),
    }
