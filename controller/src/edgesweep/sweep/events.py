"""What a sweep tells whoever watches it: the only input of the dashboard and of the plain progress lines."""

from __future__ import annotations

from dataclasses import dataclass

from edgesweep_proto.device import Reading
from edgesweep_proto.trial import Stage


@dataclass(frozen=True, slots=True)
class SweepStarted:
    """A run begins. `cells` counts the planned cells by device name; `colocated` names devices on this very host.

    `trials` is how many trials every measured cell gets, spread over the run in as many rounds. `resume_command`,
    followed by the run's id, goes on with it after a stop. An export matrix has `variants` and no devices; its
    `resume_command` stands alone and starts it anew.
    """

    run_id: str
    name: str
    cells: dict[str, int]
    variants: int
    colocated: tuple[str, ...] = ()
    trials: int = 1
    resume_command: str = "edgesweep run --resume"


@dataclass(frozen=True, slots=True)
class ExportStarted:
    """An export worker took up a variant (`model/exporter-opsetN-axes-precision`)."""

    variant: str


@dataclass(frozen=True, slots=True)
class ExportFinished:
    """A variant is exported and proven, or failed with `cause`. `done` of `total` variants are through."""

    variant: str
    cause: str
    message: str
    seconds: float
    cached: bool
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What a device is doing: state is idle, uploading, measuring, unreachable, waiting or done.

    `note` says why it waits. `queue` counts the cells still to do on it.
    """

    device: str
    state: str
    queue: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A trial of `cell` was handed to `device`, as the `attempt`-th of its `round`; both count from 0."""

    device: str
    cell: str
    trial_id: str
    round: int
    attempt: int


@dataclass(frozen=True, slots=True)
class TrialProgressed:
    """The trial reached `stage` on its device; `waits_for` names the gate (idle or thermal) that it waits for before."""

    device: str
    cell: str
    stage: Stage
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """A trial ended; `median_s` is its median latency in seconds when it has one."""

    device: str
    cell: str
    outcome: str
    cause: str
    median_s: float | None


@dataclass(frozen=True, slots=True)
class CellFinished:
    """A cell has its one outcome. `stage`, `cause`, `message` and `remedy` explain anything but a pass.

    `mad_s` (seconds) and `n` are the spread and the number of inferences behind `median_s`.
    """

    device: str
    cell: str
    outcome: str
    stage: str
    cause: str
    message: str
    remedy: str
    verdict: str | None
    median_s: float | None
    done: int
    total: int
    mad_s: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Telemetry:
    """A reading of a device's sensors."""

    device: str
    reading: Reading


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence for the user, e.g. that a device came back."""

    text: str


@dataclass(frozen=True, slots=True)
class SweepFinished:
    """The run ended. `outcomes` counts cells by outcome; `complete` is false when it was cut short."""

    run_id: str
    outcomes: dict[str, int]
    seconds: float
    complete: bool


SweepEvent = (
    SweepStarted
    | ExportStarted
    | ExportFinished
    | DeviceState
    | TrialStarted
    | TrialProgressed
    | TrialFinished
    | CellFinished
    | Telemetry
    | Notice
    | SweepFinished
)
