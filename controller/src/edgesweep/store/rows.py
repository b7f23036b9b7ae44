"""Records and table rows: paired functions, the only place that knows both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from edgesweep_proto.blob import Manifest
from edgesweep_proto.trial import Numerics, Stage, Tolerance, TrialResult

from edgesweep.compat.prediction import Prediction
from edgesweep.export.result import ExportResult, Payload, Produced, SizeProof
from edgesweep.plan.cell import Cell, Session, Shape, Skip, Variant
from edgesweep.stats.series import Series
from edgesweep.stats.summary import LatencySummary
from edgesweep.store.records import CellEnd, DeviceRecord, Outcome, RunRecord, TrialRecord, Verdict
from edgesweep.store.serialise import clean_text, from_data, to_data

Row = Mapping[str, Any]

#: Fields of a TrialResult that are columns; all others are in `figures`.
_TRIAL_COLUMNS = ("outcome", "stage", "cause", "message", "evidence", "started", "finished", "boot_id")
_EXPORT_FIGURES = {
    "manifest": Manifest | None,
    "produced": Produced | None,
    "payloads": dict[str, Payload],
    "numerics": Numerics | None,
    "proof": tuple[SizeProof, ...],
    "tolerance": Tolerance,
}
_CELL_ASKED = {
    "providers": tuple[str, ...],
    "shape": Shape,
    "session": Session,
    "provider_options": dict[str, dict[str, str]],
    "skip": Skip | None,
}
_END_FIGURES = {
    "reasons": tuple[str, ...],
    "tags": tuple[str, ...],
    "also": tuple[str, ...],
    "latency": LatencySummary | None,
    "items_per_inference": int,
    "prediction": Prediction | None,
    "rule": str,
    "link": str,
}


def run_row(run: RunRecord) -> dict[str, Any]:
    """The columns of `run`."""
    return dict(to_data(run))


def run_from_row(row: Row) -> RunRecord:
    """The run in `row`."""
    return from_data(RunRecord, row)


def device_row(run_id: str, device: DeviceRecord) -> dict[str, Any]:
    """The columns of `device` as the run saw it."""
    return {"run_id": run_id, **to_data(device)}


def device_from_row(row: Row) -> DeviceRecord:
    """The device in `row`."""
    return from_data(DeviceRecord, row)


def export_row(run_id: str, export: ExportResult) -> dict[str, Any]:
    """The columns of `export`; its model and slug identify it within the run."""
    return {
        "run_id": run_id,
        **to_data(export.variant),
        "slug": export.variant.slug,
        "stage": export.stage.value,
        "cause": export.cause,
        "message": clean_text(export.message),
        "detail": clean_text(export.detail),
        "digest": export.produced.digest if export.produced else None,
        "seconds": export.seconds,
        "cached": export.cached,
        "figures": {name: to_data(getattr(export, name)) for name in _EXPORT_FIGURES},
    }


def export_from_row(row: Row) -> ExportResult:
    """The export in `row`."""
    return ExportResult(
        variant=_variant(row),
        stage=Stage(row["stage"]),
        cause=row["cause"],
        message=row["message"],
        detail=row["detail"],
        seconds=row["seconds"],
        cached=row["cached"],
        **_decoded(_EXPORT_FIGURES, row["figures"]),
    )


def cell_row(run_id: str, position: int, cell: Cell) -> dict[str, Any]:
    """The columns of a planned cell."""
    return {
        "run_id": run_id,
        "position": position,
        "name": cell.name,
        "key": cell.key,
        **to_data(cell.variant),
        "device": cell.device,
        "runtime": cell.runtime,
        "providers": "+".join(cell.providers),
        "asked": {name: to_data(getattr(cell, name)) for name in _CELL_ASKED},
    }


def cell_from_row(row: Row) -> Cell:
    """The planned cell in `row`."""
    return Cell(
        variant=_variant(row),
        device=row["device"],
        runtime=row["runtime"],
        **_decoded(_CELL_ASKED, row["asked"]),
    )


def end_row(end: CellEnd) -> dict[str, Any]:
    """The columns that say how a cell ended."""
    return {
        "outcome": end.outcome.value,
        "stage": str(end.stage),
        "cause": end.cause,
        "verdict": end.verdict.value if end.verdict else None,
        "median_s": end.latency.median if end.latency else None,
        "message": clean_text(end.message),
        "remedy": clean_text(end.remedy),
        "detail": clean_text(end.detail),
        "same_as": end.same_as,
        "see": end.see,
        "figures": {name: to_data(getattr(end, name)) for name in _END_FIGURES},
    }


def end_from_row(row: Row) -> CellEnd | None:
    """How the cell in `row` ended; None while it has no outcome."""
    if row["outcome"] is None:
        return None
    return CellEnd(
        cell_name=row["name"],
        outcome=Outcome(row["outcome"]),
        stage=row["stage"],
        cause=row["cause"],
        message=row["message"],
        remedy=row["remedy"],
        detail=row["detail"],
        verdict=Verdict(row["verdict"]) if row["verdict"] else None,
        same_as=row["same_as"],
        see=row["see"],
        **_decoded(_END_FIGURES, row["figures"]),
    )


def trial_row(run_id: str, cell_id: int, trial: TrialRecord, samples_digest: str | None) -> dict[str, Any]:
    """The columns of a trial of the cell `cell_id`."""
    result = to_data(trial.result)
    columns = {name: result.pop(name) for name in _TRIAL_COLUMNS}
    del result["trial_id"]
    return {
        "id": trial.id,
        "run_id": run_id,
        "cell_id": cell_id,
        "round": trial.round,
        "attempt": trial.attempt,
        **columns,
        "median_s": trial.latency.median if trial.latency else None,
        "samples_digest": samples_digest,
        "figures": {"latency": to_data(trial.latency), "series": to_data(trial.series), "result": result},
    }


def trial_from_row(row: Row, cell_name: str) -> TrialRecord:
    """The trial in `row`, which is one of the cell `cell_name`."""
    result = {**row["figures"]["result"], **{name: row[name] for name in _TRIAL_COLUMNS}, "trial_id": row["id"]}
    latency, series = row["figures"]["latency"], row["figures"].get("series")
    return TrialRecord(
        id=row["id"],
        cell_name=cell_name,
        round=row["round"],
        attempt=row["attempt"],
        result=from_data(TrialResult, result),
        latency=None if latency is None else from_data(LatencySummary, latency),
        samples_digest=row["samples_digest"],
        series=None if series is None else from_data(Series, series),
    )


def _variant(row: Row) -> Variant:
    return Variant(**{field.name: row[field.name] for field in fields(Variant)})


def _decoded(types: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Figures by their declared types; what an older Edgesweep did not write yet takes its default."""
    return {name: from_data(hint, data[name]) for name, hint in types.items() if name in data}
