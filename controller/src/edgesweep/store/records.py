"""What the store keeps: the plain records that the sweep writes and the reports read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from edgesweep_proto.device import Device, Reading, Runtime
from edgesweep_proto.trial import Stage, TrialResult

from edgesweep.compat.prediction import Prediction
from edgesweep.errors import CATALOGUE
from edgesweep.export.result import ExportResult
from edgesweep.plan.cell import Cell
from edgesweep.stats.series import Series
from edgesweep.stats.summary import LatencySummary
from edgesweep.stats.verdict import Verdict

__all__ = [
    "CellEnd",
    "CellRecord",
    "DeviceRecord",
    "Outcome",
    "RunKind",
    "RunRecord",
    "RunState",
    "RunSummary",
    "RunView",
    "TrialRecord",
    "Verdict",
    "outcome_of_export",
]


class Outcome(StrEnum):
    """How a cell ended; exactly one, always."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FALLBACK = "fallback"
    FAILED = "failed"
    SKIPPED = "skipped"
    LOST = "lost"


def outcome_of_export(stage: Stage, cause: str) -> Outcome:
    """How a variant ended: what was refused while it was planned was skipped, the host's own trouble says nothing of it."""
    if not cause:
        return Outcome.PASS
    if cause in CATALOGUE and not CATALOGUE[cause].stable:
        return Outcome.LOST
    return Outcome.SKIPPED if stage is Stage.PLAN else Outcome.FAILED


class RunKind(StrEnum):
    """What a run does: `sweep` measures cells on devices, `matrix` only exports and proves."""

    SWEEP = "sweep"
    MATRIX = "matrix"


class RunState(StrEnum):
    """Where a run is: only `complete` means that every cell has its outcome."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One execution of a plan. `started` and `finished` are Unix time; `plan_text` is the file as it was read.

    `plan` is the validated plan as JSON data and `base_dir` the folder that its relative paths belong to.
    """

    id: str
    name: str
    plan_digest: str
    plan_text: str
    plan: dict[str, Any]
    base_dir: str
    started: float
    finished: float | None = None
    state: RunState = RunState.RUNNING
    controller_version: str = ""
    host: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    kind: RunKind = RunKind.SWEEP


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device as it was when the run used it."""

    name: str
    address: str
    labels: dict[str, str]
    device: Device | None
    runtimes: tuple[Runtime, ...] = ()
    reading: Reading | None = None
    colocated: bool = False


@dataclass(frozen=True, slots=True)
class TrialRecord:
    """A trial with its result, the figures computed from its samples, and what their order says."""

    id: str
    cell_name: str
    round: int
    attempt: int
    result: TrialResult
    latency: LatencySummary | None = None
    samples_digest: str | None = None
    series: Series | None = None


#: Begins the entry of `CellEnd.reasons` that holds the plan's own reason for a known failure: none of a verdict's.
KNOWN_FAILURE = "known failure: "


@dataclass(frozen=True, slots=True)
class CellEnd:
    """The one outcome of a cell and, for a measured one, its figures and verdict.

    `same_as` names the cell whose measurement this one shares, since both have the same artifact; `see` the cell
    that honestly asks for what was produced here. `also` holds further causes beside `cause`. `rule` names the user's
    rule that gave the cause, and `link` is that rule's page.
    """

    cell_name: str
    outcome: Outcome
    stage: str
    cause: str = ""
    message: str = ""
    remedy: str = ""
    detail: str = ""
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    same_as: str | None = None
    see: str | None = None
    latency: LatencySummary | None = None
    items_per_inference: int = 1
    also: tuple[str, ...] = ()
    prediction: Prediction | None = None
    rule: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class CellRecord:
    """A planned cell with everything that is known of it: what a report is made from."""

    cell: Cell
    end: CellEnd | None
    export: ExportResult | None
    trials: tuple[TrialRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class RunView:
    """A whole run as read back from the store; `cells` are in planned order.

    `exports` are the results of its variants, those of a matrix in planned order. One with the cause `not_run` waits.
    """

    run: RunRecord
    devices: tuple[DeviceRecord, ...]
    cells: tuple[CellRecord, ...]
    exports: tuple[ExportResult, ...] = ()


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a list of runs. `outcomes` counts its cells by outcome; `open` those that have none yet.

    The cells of a matrix are its variants.
    """

    id: str
    name: str
    plan_digest: str
    state: RunState
    started: float
    finished: float | None
    controller_version: str
    devices: tuple[str, ...]
    cells: int
    outcomes: dict[str, int]
    open: int
    kind: RunKind = RunKind.SWEEP
