"""The figures of one cell in the result document, over the trials that measured it."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any, TypeVar

from edgesweep_proto.trial import Accounting, ColdStart, Numerics, Placement, Samples, TrialOutcome

from edgesweep.export.result import ExportResult
from edgesweep.stats.summary import LatencySummary
from edgesweep.stats.verdict import runqueue_share
from edgesweep.store.records import TrialRecord

T = TypeVar("T")
Json = dict[str, Any]

#: Phases that every memory object holds, null where nothing was read.
MEMORY_PHASES = ("session_peak", "first_run_peak", "steady_peak", "retained")
_ALSO = "also:"


def plain(value: Any) -> Any:
    """`value` as JSON data that every parser takes: a float that is no number is null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def latency(summary: LatencySummary | None, trials: Sequence[TrialRecord]) -> Json | None:
    """`latency_s`; `batch` is the number of inferences that each timed sample holds."""
    if summary is None:
        return None
    return {**plain(summary), "batch": max((samples.batch for samples in _known(trials, _samples)), default=1)}


def throughput(summary: LatencySummary | None, items_per_inference: int) -> Json | None:
    """`throughput_per_s`, back to back: one over the mean, not the median, since slow inferences cost time too."""
    if summary is None or summary.mean <= 0:
        return None
    return {"inferences": 1 / summary.mean, "items": items_per_inference / summary.mean}


def inputs(export: ExportResult | None, shape: str) -> list[Json]:
    """`inputs`: what the model is fed with at this `shape`, each array named by the digest of its `.npy` file."""
    payload = export.payloads.get(shape) if export else None
    return [
        {
            "name": tensor.name,
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "sha256": tensor.blob.sha256,
            "size_bytes": tensor.blob.size_bytes,
        }
        for tensor in (payload.inputs if payload else ())
    ]


def memory(trials: Sequence[TrialRecord]) -> Json | None:
    """`memory_bytes`: the median over trials of each phase, and how they were read."""
    phases = [phase for trial in trials for phase in trial.result.memory]
    if not phases:
        return None
    names = dict.fromkeys([*MEMORY_PHASES, *(phase.phase for phase in phases)])
    figures: Json = {
        name: _median([phase.size_bytes for phase in phases if phase.phase == name], whole=True) for name in names
    }
    methods = {phase.phase: phase.method for phase in phases}
    peaks = dict.fromkeys(methods[name] for name in names if name in methods and name != "retained")
    return {**figures, "method": "; ".join(peaks) or methods.get("retained", ""), "methods": methods}


def cold_start(trials: Sequence[TrialRecord]) -> Json | None:
    """`cold_start_s`: the median over trials of each step."""
    starts = _known(trials, _cold_start)
    if not starts:
        return None
    return {
        name: _median([getattr(start, f"{name}_s") for start in starts])
        for name in ("import", "session", "first_run", "second_run")
    }


def placement(trials: Sequence[TrialRecord]) -> Json | None:
    """`placement` of the first trial that knows it; `hashes` lists every different placement seen."""
    seen = _known(trials, _placement)
    if not seen:
        return None
    return {**plain(seen[0]), "hashes": sorted({item.hash for item in seen})}


def numerics(export: ExportResult | None, trials: Sequence[TrialRecord], shape: str) -> Json | None:
    """`numerics`: the worst trial on the device against the reference or, before any trial, the proof at export.

    Where the device had nothing to compare with at this `shape`, `reference_note` says why; the figures are then the
    host's, or null where there are none at all.
    """
    on_device = _known(trials, _numerics)
    at_export = export.numerics if export else None
    found = max(on_device, key=_badness, default=at_export)
    note = _reference_note(export, shape)
    if found is None and not note:
        return None
    figures = plain(found) if found else dict.fromkeys(field.name for field in dataclasses.fields(Numerics))
    where = "device" if on_device else "export"
    return {
        **figures,
        "where": where if found else None,
        "reference_note": note,
        "tolerance": plain(export.tolerance) if export else None,
        "sizes_tried": list(export.sizes_tried) if export else [],
        "at_export": plain(at_export),
    }


def _reference_note(export: ExportResult | None, shape: str) -> str:
    """Why nothing could be compared on the device; empty where there was a reference."""
    payload = export.payloads.get(shape) if export else None
    return payload.reference_note if payload and not payload.references else ""


def environment(trials: Sequence[TrialRecord], tags: Iterable[str]) -> Json | None:
    """`environment`: sensors before the first and after the last trial, and the kernel's account over all of them."""
    if not trials:
        return None
    readings = [reading for trial in trials for reading in (trial.result.before, trial.result.after) if reading]
    return {
        "before": plain(next((trial.result.before for trial in trials if trial.result.before), None)),
        "after": plain(next((trial.result.after for trial in reversed(trials) if trial.result.after), None)),
        "throttle": sorted({flag for reading in readings for flag in reading.throttle}),
        "accounting": accounting(_known(trials, _accounting)),
        "boot_ids": list(dict.fromkeys(trial.result.boot_id for trial in trials if trial.result.boot_id)),
        "tags": list(tags),
    }


def accounting(parts: Sequence[Accounting]) -> Json | None:
    """The kernel's account of the measured time: sums, and the worst trial's share of waiting for a CPU (0 to 1)."""
    if not parts:
        return None
    waits = [part.runqueue_wait_s for part in parts if part.runqueue_wait_s is not None]
    shares = [share for part in parts if (share := runqueue_share(part)) is not None]
    return {
        "wall_s": math.fsum(part.wall_s for part in parts),
        "cpu_s": math.fsum(part.cpu_s for part in parts),
        "runqueue_wait_s": math.fsum(waits) if waits else None,
        "runqueue_share": max(shares, default=None),
        "involuntary_switches": sum(part.involuntary_switches for part in parts),
        "major_faults": sum(part.major_faults for part in parts),
    }


def trial(record: TrialRecord, items_per_inference: int) -> Json:
    """One element of `trials`: how the trial ended, and its own figures."""
    result = record.result
    only = (record,)
    return {
        "id": record.id,
        "round": record.round,
        "attempt": record.attempt,
        "started": result.started,
        "finished": result.finished,
        "outcome": result.outcome.value,
        "stage": result.stage.value,
        "cause": result.cause,
        "message": result.message,
        "evidence": result.evidence,
        "exit_code": result.exit_code,
        "signal": result.signal,
        "session": plain(result.session),
        "latency_s": latency(record.latency, only),
        "throughput_per_s": throughput(record.latency, items_per_inference),
        "memory_bytes": memory(only),
        "cold_start_s": cold_start(only),
        "placement": placement(only),
        "numerics": plain(result.numerics),
        "environment": environment(only, result.tags),
        "samples": _samples_of(record),
    }


def completed(trials: Iterable[TrialRecord]) -> tuple[TrialRecord, ...]:
    """The trials that say something about the model: those whose figures count."""
    counted = {TrialOutcome.PASS, TrialOutcome.FALLBACK, TrialOutcome.FAILED}
    return tuple(trial for trial in trials if trial.result.outcome in counted)


def also(causes: Sequence[str], tags: Sequence[str]) -> list[str]:
    """Further causes beside the first: the cell's own, and those that a worker told as tags."""
    return list(dict.fromkeys([*causes, *(tag.removeprefix(_ALSO) for tag in tags if tag.startswith(_ALSO))]))


def _samples_of(record: TrialRecord) -> Json | None:
    samples = record.result.samples
    if samples is None:
        return None
    return {
        "digest": record.samples_digest,
        "warmup_count": samples.warmup_count,
        "measured_count": samples.measured_count,
        "batch": samples.batch,
        "stop_reason": samples.stop_reason,
    }


def _known(trials: Iterable[TrialRecord], part: Callable[[TrialRecord], T | None]) -> list[T]:
    return [found for trial in trials if (found := part(trial)) is not None]


def _samples(trial: TrialRecord) -> Samples | None:
    return trial.result.samples


def _cold_start(trial: TrialRecord) -> ColdStart | None:
    return trial.result.cold_start


def _placement(trial: TrialRecord) -> Placement | None:
    return trial.result.placement


def _numerics(trial: TrialRecord) -> Numerics | None:
    return trial.result.numerics


def _accounting(trial: TrialRecord) -> Accounting | None:
    return trial.result.accounting


def _badness(found: Numerics) -> tuple[bool, float]:
    error = found.max_absolute_error
    return bool(found.first_offender), math.inf if math.isnan(error) else error


def _median(values: Sequence[float], *, whole: bool = False) -> float | int | None:
    if not values:
        return None
    middle = statistics.median(values)
    return round(middle) if whole else middle
