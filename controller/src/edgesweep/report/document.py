"""The result document: one JSON object with everything that is known of a run (docs/result-document.md).

Times are seconds, moments Unix time, sizes bytes. Scripts rely on these names: a change that takes one away or gives
it another meaning raises `SCHEMA_VERSION`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgesweep.errors import EdgesweepError, link_of
from edgesweep.export.result import ExportResult
from edgesweep.plan.load import plan_from_json
from edgesweep.plan.tolerances import VerifyRules
from edgesweep.report import cell_evidence as evidence
from edgesweep.report import cell_figures as figures
from edgesweep.report.agreement import AgreementOfRun, outputs
from edgesweep.report.cell_compile import compiled
from edgesweep.report.cell_diagnosis import diagnosis
from edgesweep.report.node_profiles import node_profile
from edgesweep.report.plain_data import Json, plain
from edgesweep.store.cell_state import state_of
from edgesweep.store.records import KNOWN_FAILURE, CellRecord, DeviceRecord, Outcome, RunState, RunView, TrialRecord

SCHEMA_VERSION = 1


def build_document(view: RunView) -> Json:
    """The result document of a run.

    A cell of an unfinished run that has not ended yet has the outcome null. `incomplete` is true while there is such
    a cell, or one that was lost to lab trouble, or while the run itself is not called complete.
    """
    trials = {record.cell.name: record.trials for record in view.cells}
    rules = _rules(view)
    agreement = AgreementOfRun(view.cells, rules)
    devices = {device.name: device for device in view.devices}
    cells = [_cell(record, trials, rules, devices.get(record.cell.device), agreement) for record in view.cells]
    settled = all(record.end is not None and record.end.outcome is not Outcome.LOST for record in view.cells)
    return {
        "schema_version": SCHEMA_VERSION,
        "incomplete": not settled or view.run.state is not RunState.COMPLETE,
        "run": _run(view),
        "summary": _summary(view.cells),
        "devices": [_device(device) for device in view.devices],
        "artifacts": _artifacts(view.cells),
        "agreement": agreement.groups,
        "cells": cells,
    }


def _rules(view: RunView) -> VerifyRules:
    """What the plan says of tolerances; the defaults where this Edgesweep cannot read the stored plan."""
    try:
        return VerifyRules.of(plan_from_json(view.run.plan))
    except EdgesweepError:
        return VerifyRules()


def _run(view: RunView) -> Json:
    run = view.run
    return {
        "id": run.id,
        "name": run.name,
        "plan_digest": run.plan_digest,
        "state": run.state.value,
        "started": run.started,
        "finished": run.finished,
        "controller_version": run.controller_version,
        "host": plain(run.host),
        "seed": run.seed,
    }


def _summary(records: Sequence[CellRecord]) -> Json:
    outcomes = Counter(record.end.outcome.value for record in records if record.end)
    verdicts = Counter(record.end.verdict.value for record in records if record.end and record.end.verdict)
    return {
        "cells": len(records),
        "unfinished": sum(record.end is None for record in records),
        "outcomes": {outcome.value: outcomes[outcome.value] for outcome in Outcome},
        "verdicts": {word: verdicts[word] for word in ("trusted", "doubtful", "invalid")},
        "known": sum("known" in record.end.tags for record in records if record.end),
        "fixed": sum("fixed" in record.end.tags for record in records if record.end),
    }


def _device(record: DeviceRecord) -> Json:
    return {
        "name": record.name,
        "address": record.address,
        "labels": dict(record.labels),
        "colocated": record.colocated,
        "facts": plain(record.device),
        "runtimes": [plain(runtime) for runtime in record.runtimes],
        "reading": plain(record.reading),
    }


def _artifacts(records: Iterable[CellRecord]) -> list[Json]:
    """Every artifact once, in planned order, with all variants that produced these very bytes."""
    found: dict[str, Json] = {}
    seen = set()
    for record in records:
        export = record.export
        if export is None or export.produced is None or export.variant in seen:
            continue
        seen.add(export.variant)
        entry = found.setdefault(export.produced.digest, _artifact(export))
        entry["variants"].append(f"{export.variant.model}/{export.variant.slug}")
    return list(found.values())


def _artifact(export: ExportResult) -> Json:
    blobs = export.manifest.blobs if export.manifest else ()
    return {**plain(export.produced), "variants": [], "files": [plain(blob) for blob in blobs]}


def _cell(
    record: CellRecord,
    trials: Mapping[str, Sequence[TrialRecord]],
    rules: VerifyRules,
    device: DeviceRecord | None,
    agreement: AgreementOfRun,
) -> Json:
    end = record.end
    latency = end.latency if end else None
    # A cell that shares another's measurement carries copies of its figures, but not its trials.
    measured_as = end.same_as if end and end.same_as else record.cell.name
    measured = figures.completed(trials.get(measured_as, ()))
    items = end.items_per_inference if end else 1
    tags = [*end.tags, *agreement.tags(record)] if end else []
    return {
        "name": record.cell.name,
        "key": record.cell.key,
        **_asked(record),
        "produced": plain(record.export.produced) if record.export else None,
        "export": _export(record.export),
        **_ending(record),
        "diagnosis": diagnosis(end, measured),
        "verdict": end.verdict.value if end and end.verdict else None,
        "reasons": [reason for reason in end.reasons if not reason.startswith(KNOWN_FAILURE)] if end else [],
        "known": next((it.removeprefix(KNOWN_FAILURE) for it in end.reasons if it.startswith(KNOWN_FAILURE)), None)
        if end
        else None,
        "tags": tags,
        "same_as": end.same_as if end else None,
        "see": end.see if end else None,
        "prediction": plain(end.prediction) if end else None,
        "latency_s": figures.latency(latency, measured),
        "throughput_per_s": figures.throughput(latency, measured, record.cell.session, items),
        "items_per_inference": items,
        "inputs": figures.inputs(record.export, record.cell.shape.slug),
        "memory_bytes": figures.memory(measured),
        "cold_start_s": figures.cold_start(measured),
        "compile": compiled(measured, record.cell.shape.slug),
        **_state(record, measured, device),
        "placement": figures.placement(measured),
        "node_profile": node_profile(
            [trial.result.node_profile for trial in measured if trial.result.node_profile is not None]
        ),
        "numerics": figures.numerics(record.export, measured, record.cell.shape.slug, rules.agreed(record.cell)),
        "outputs": outputs(measured),
        "agreement": agreement.of(record),
        "course": evidence.course(measured),
        "sustained": evidence.sustained(measured),
        "energy": evidence.energy(measured),
        "harness_floor_s": evidence.harness_floor(measured),
        "environment": evidence.environment(measured, tags),
        "trials": [
            {
                **figures.trial(trial, record.cell.session, items),
                "compile": compiled((trial,), record.cell.shape.slug),
            }
            for trial in record.trials
        ],
    }


def _state(record: CellRecord, measured: Sequence[TrialRecord], device: DeviceRecord | None) -> Json:
    """What the figures are of: a series of them splits where `state_key` is another."""
    state = state_of(record.cell, record.export, measured, device)
    return {"state": plain(state), "state_key": state.key if state else None}


def _asked(record: CellRecord) -> Json:
    cell = record.cell
    return {
        "model": cell.variant.model,
        "exporter": cell.variant.exporter,
        "opset": cell.variant.opset,
        "axes": cell.variant.axes,
        "precision": cell.variant.precision,
        "device": cell.device,
        "runtime": cell.runtime,
        "providers": list(cell.providers),
        "provider_options": plain(cell.provider_options),
        "shape": cell.shape.slug,
        "sizes": dict(cell.shape.sizes),
        "threads": cell.session.threads,
        "graph_optimization": cell.session.graph_optimization,
        "io_mode": cell.session.io_mode,
        "scenario": cell.session.scenario.kind,
        "scenario_s": cell.session.scenario.seconds or None,
        "concurrency": cell.session.concurrency,
        "page_cache": cell.session.page_cache,
        "provider_cache": cell.session.provider_cache,
        "pin_threads": cell.session.pin_threads,
        "cpu_arena": cell.session.cpu_arena,
    }


def _export(export: ExportResult | None) -> Json | None:
    if export is None:
        return None
    return {
        "passed": export.passed,
        "stage": export.stage.value,
        "cause": export.cause,
        "message": export.message,
        "seconds": export.seconds,
        "cached": export.cached,
    }


def _ending(record: CellRecord) -> dict[str, Any]:
    end = record.end
    if end is None:
        return dict.fromkeys(("outcome", "stage", "cause", "message", "remedy", "link", "detail")) | {"also": []}
    return {
        "outcome": end.outcome.value,
        "stage": str(end.stage),
        "cause": end.cause,
        "message": end.message,
        "remedy": end.remedy,
        "link": end.link or link_of(end.cause),
        "detail": end.detail,
        "also": figures.also(end.also, end.tags),
    }
