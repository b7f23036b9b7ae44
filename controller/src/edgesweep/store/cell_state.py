"""What a cell's numbers were of: the state that a series of them splits at, where its key says only what was asked."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edgesweep_worker.providers import facts_of

from edgesweep.export.result import ExportResult
from edgesweep.plan.cell import Cell
from edgesweep.plan.providers import full_name
from edgesweep.store.records import DeviceRecord, TrialRecord

#: Stands for what was not the same in all trials. Such states are equal to each other: what always varies splits nothing.
VARIES = "varies"

_CPU_ONLY = {"", "CPU"}


@dataclass(frozen=True, slots=True)
class CellState:
    """What was measured, and with what; an empty text is something that is not there or was not found.

    `digest` names the artifact, `build` is the runtime's version and onnxruntime's own words on its build, `driver` the
    versions of the drivers that the chain's providers work with, `engine_hash` names the compiled model, and `power_mode`
    is the board's.
    """

    digest: str
    build: str
    driver: str
    engine_hash: str
    power_mode: str

    @property
    def key(self) -> str:
        """SHA-256 of the state in canonical JSON: numbers of one cell with equal keys may stand in one series."""
        return hashlib.sha256(
            json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":")).encode()
        ).hexdigest()


def state_of(
    cell: Cell, export: ExportResult | None, trials: Sequence[TrialRecord], device: DeviceRecord | None
) -> CellState | None:
    """The state that the completed `trials` of a cell were in.

    Args:
        cell: What was asked.
        export: Its variant's result, which names the artifact.
        trials: Those that count; a cell that shares another's measurement has the other's.
        device: The device as it was when the run used it.

    Returns:
        None where nothing was run, or it is not known of what or on what.
    """
    if not trials or export is None or export.produced is None or device is None or device.device is None:
        return None
    return CellState(
        digest=export.produced.digest,
        build=_build(cell, device),
        driver=_driver(cell, device.device.drivers),
        engine_hash=_same(trial.result.compile.engine_hash for trial in trials if trial.result.compile),
        power_mode=_same(
            reading.power_mode
            for trial in trials
            for reading in (trial.result.before, trial.result.after)
            if reading and reading.power_mode
        ),
    )


def _build(cell: Cell, device: DeviceRecord) -> str:
    runtime = next((known for known in device.runtimes if known.id == cell.runtime), None)
    if runtime is None:
        return cell.runtime
    return " ".join(part for part in (runtime.flavour, runtime.version, runtime.build_info) if part)


def _driver(cell: Cell, found: dict[str, str]) -> str:
    """`nvidia 535.161.07`: those of the found drivers that a provider of the chain works with, by name."""
    used = set()
    for provider in cell.providers:
        # OpenVINO drives processors as well, and does so unless told otherwise.
        device_type = cell.provider_options.get(provider, {}).get("device_type", "")
        if provider == "openvino" and device_type.upper() in _CPU_ONLY:
            continue
        used |= {*facts_of(full_name(provider)).drivers}
    return ", ".join(f"{name} {found[name]}" for name in sorted(used & found.keys()))


def _same(values: Iterable[str | None]) -> str:
    """The one value of all trials that know it."""
    known = {value for value in values if value}
    return known.pop() if len(known) == 1 else VARIES if known else ""
