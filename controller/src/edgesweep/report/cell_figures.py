"""The figures of one cell in the result document, over the trials that measured it."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from edgesweep_proto.evidence import ArenaMemory
from edgesweep_proto.trial import ColdStart, Numerics, Placement, Samples, TrialOutcome

from edgesweep.export.proof.allowed import tolerance_for
from edgesweep.export.result import ExportResult
from edgesweep.plan.cell import Session
from edgesweep.plan.scenario import PACED
from edgesweep.plan.tolerances import PLAN, PRECISION, Agreed
from edgesweep.report import cell_evidence as evidence
from edgesweep.report.plain_data import Json, plain
from edgesweep.report.plain_data import median as _median
from edgesweep.stats.memory import over_trials
from edgesweep.stats.placement import over_trials as over_placements
from edgesweep.stats.summary import LatencySummary, half_width
from edgesweep.store.records import TrialRecord

T = TypeVar("T")

#: Phases that every memory object holds, null where nothing was read.
MEMORY_PHASES = ("session_peak", "first_run_peak", "steady_peak", "retained")
_ALSO = "also:"


def latency(summary: LatencySummary | None, trials: Sequence[TrialRecord]) -> Json | None:
    """`latency_s`; `batch` is the number of inferences that each timed sample holds."""
    if summary is None:
        return None
    batch = max((samples.batch for samples in _known(trials, _samples)), default=1)
    return {**plain(summary), "half_width": half_width(summary), "batch": batch}


def throughput(
    summary: LatencySummary | None, trials: Sequence[TrialRecord], session: Session, items_per_inference: int
) -> Json | None:
    """`throughput_per_s`: one over the mean, not the median, since slow inferences cost time too.

    Where inferences overlap, or wait for their period, it is what was done over the time that it took.
    """
    if summary is None or summary.mean <= 0:
        return None
    rate = 1 / summary.mean
    if session.concurrency > 1 or session.scenario.kind == PACED:
        rates = [
            samples.measured_count * samples.batch / samples.wall_s
            for samples in _known(trials, _samples)
            if samples.wall_s > 0
        ]
        if not rates:
            return None
        rate = statistics.median(rates)
    return {"inferences": rate, "items": items_per_inference * rate}


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
    """`memory_bytes`: the median over trials of each phase where they repeat, and how they were read.

    `ranges` holds smallest and largest of each phase: one that does not repeat is null and has its range only.
    """
    phases = [phase for trial in trials for phase in trial.result.memory]
    arenas = [trial.result.arena for trial in trials if trial.result.arena is not None]
    if not phases and not arenas:
        return None
    names = dict.fromkeys([*MEMORY_PHASES, *(phase.phase for phase in phases)])
    found = {name: over_trials([phase.size_bytes for phase in phases if phase.phase == name]) for name in names}
    methods = {phase.phase: phase.method for phase in phases}
    peaks = dict.fromkeys(methods[name] for name in names if name in methods and name != "retained")
    return {
        **{name: figure.median if figure else None for name, figure in found.items()},
        "method": "; ".join(peaks) or methods.get("retained", ""),
        "methods": methods,
        "ranges": {name: [figure.low, figure.high] for name, figure in found.items() if figure},
        "pss": _by_phase((phase.phase, phase.pss_bytes) for phase in phases),
        "private": _by_phase((phase.phase, phase.private_bytes) for phase in phases),
        "arena": _arena(arenas),
    }


def _by_phase(sizes: Iterable[tuple[str, int | None]]) -> dict[str, int]:
    """Medians by phase, of those phases and trials that have the figure."""
    listed: dict[str, list[int]] = {}
    for phase, size in sizes:
        if size is not None:
            listed.setdefault(phase, []).append(size)
    return {phase: round(statistics.median(known)) for phase, known in listed.items()}


def _arena(arenas: Sequence[ArenaMemory]) -> Json | None:
    if not arenas:
        return None
    names = ("in_use_peak", "requested_peak", "held_first_run", "held")
    figures: Json = {
        name: _median([size for arena in arenas if (size := getattr(arena, f"{name}_bytes")) is not None], whole=True)
        for name in names
    }
    return {**figures, "method": arenas[0].method}


def cold_start(trials: Sequence[TrialRecord]) -> Json | None:
    """`cold_start_s`: the median over trials of each step, and what the caches held as they were found."""
    starts = _known(trials, _cold_start)
    if not starts:
        return None
    steps = {
        name: _median([seconds for start in starts if (seconds := getattr(start, f"{name}_s")) is not None])
        for name in ("import", "provider_load", "session", "first_run", "second_run")
    }
    shares = [start.resident_share for start in starts if start.resident_share is not None]
    return {
        **steps,
        "page_cache": _one_word(start.page_cache for start in starts),
        "resident_share": _median(shares),
        "provider_cache": _one_word(start.provider_cache for start in starts),
    }


def _one_word(words: Iterable[str]) -> str:
    """The word that all trials found; `mixed` where they differ."""
    found = set(words)
    return found.pop() if len(found) == 1 else "mixed"


def placement(trials: Sequence[TrialRecord]) -> Json | None:
    """`placement` of the first trial that knows it, its shares of time over the trials that were placed alike.

    `hashes` lists every different placement seen.
    """
    seen = _known(trials, _placement)
    if not seen:
        return None
    return {**plain(over_placements(seen)), "hashes": sorted({item.hash for item in seen})}


def numerics(export: ExportResult | None, trials: Sequence[TrialRecord], shape: str, agreed: Agreed) -> Json | None:
    """`numerics`: the worst trial on the device against the reference or, before any trial, the proof at export.

    Where the device had nothing to compare with at this `shape`, `reference_note` says why; the figures are then the
    host's, or null where there are none at all. `agreed` is what the device was held to; of the proof's own tolerance only
    the figures of the proof tell.
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
        "sampled_elements": _sampled(export, shape),
        "tolerance": plain(agreed.tolerance if on_device or export is None else export.tolerance),
        "tolerance_from": agreed.origin if on_device else _origin_at_export(export),
        "tolerance_note": agreed.note if on_device else "",
        "sizes_tried": list(export.sizes_tried) if export else [],
        "at_export": plain(at_export),
    }


def _sampled(export: ExportResult | None, shape: str) -> int | None:
    """How many elements of the outputs were compared on the device, where the references are too large to be sent whole."""
    payload = export.payloads.get(shape) if export else None
    return (payload.sampled or None) if payload else None


def _origin_at_export(export: ExportResult | None) -> str:
    default = export is None or export.tolerance == tolerance_for(export.variant.precision)
    return PRECISION if default else PLAN


def _reference_note(export: ExportResult | None, shape: str) -> str:
    """Why nothing could be compared on the device; empty where there was a reference."""
    payload = export.payloads.get(shape) if export else None
    return payload.reference_note if payload and not payload.references else ""


def trial(record: TrialRecord, session: Session, items_per_inference: int) -> Json:
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
        "throughput_per_s": throughput(record.latency, only, session, items_per_inference),
        "memory_bytes": memory(only),
        "cold_start_s": cold_start(only),
        "placement": placement(only),
        "numerics": plain(result.numerics),
        "course": evidence.course(only),
        "sustained": evidence.sustained(only),
        "energy": evidence.energy(only),
        "harness_floor_s": result.harness_floor_s,
        "threads": plain(result.threads),
        "environment": evidence.environment(only, result.tags),
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
        "warmup_stop_reason": samples.warmup_stop_reason,
        "late": samples.late,
        "concurrency": samples.concurrency,
        "wall_s": samples.wall_s or None,
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


def _badness(found: Numerics) -> tuple[bool, float]:
    error = found.max_absolute_error
    return bool(found.first_offender), math.inf if math.isnan(error) else error
