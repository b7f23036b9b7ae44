"""A trial, what happens to it and what it found: the types that both sides and the journal use."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from edgesweep_proto.blob import Blob, Manifest, Tensor
from edgesweep_proto.device import Reading
from edgesweep_proto.evidence import ArenaMemory, DeviceTrace, Energy, Gate, ThreadFacts
from edgesweep_proto.execution import Compile, Diagnosis, NodeProfile, OutputSummary


class WireEnum(str, Enum):  # noqa: UP042 - StrEnum is new in Python 3.11
    """An enum that is its own word in JSON; `UNKNOWN` stands for what a newer peer may send."""

    def __str__(self) -> str:
        return str(self.value)


class Stage(WireEnum):
    """How far a trial or an export came, in order."""

    UNKNOWN = "unknown"
    PLAN = "plan"
    EXPORT = "export"
    CHECK = "check"
    UPLOAD = "upload"
    LOAD = "load"
    COMPILE = "compile"
    FIRST_RUN = "first_run"
    VERIFY = "verify"
    WARMUP = "warmup"
    MEASURE = "measure"
    PLACEMENT = "placement"


class TrialState(WireEnum):
    """Where a trial is on the agent."""

    UNKNOWN = "unknown"
    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    ACKNOWLEDGED = "acknowledged"


class TrialOutcome(WireEnum):
    """How one trial ended. `INTERRUPTED` and `CANCELLED` say nothing about the model."""

    UNKNOWN = "unknown"
    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FALLBACK = "fallback"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider by onnxruntime's full name, with the options asked for."""

    name: str
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What is asked of an onnxruntime session; `graph_optimization` is disabled, basic, extended or all.

    With `no_cpu_arena` values on the CPU are taken from the system one by one and given back after each run.
    """

    intra_op_threads: int = 1
    inter_op_threads: int = 1
    graph_optimization: str = "all"
    no_cpu_arena: bool = False


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Outputs agree when |a-b| <= absolute + relative*|b|, or at `sqnr_db` decibels where it is set."""

    absolute: float = 1e-4
    relative: float = 1e-3
    sqnr_db: float | None = None


@dataclass(frozen=True, slots=True)
class Protocol:
    """How a trial is timed.

    Both floors (`min_inferences` and `min_duration_s`) are met before it stops, unless a cap comes first. The warm-up goes on
    until the times are steady, for at most `warmup_max_s` (0: it ends at its floors). With a `target_half_width` the
    measured part goes on until the 95 % interval of the median is that narrow, half its width over the median; the cap of
    inferences then counts beyond the floors only, inferences slower than 0.2 s need ten of them, and those slower than
    1 s get three times the caps of time.

    `scenario` is closed (back to back), paced (one inference every `period_s`) or sustained (for `min_duration_s`,
    whatever the interval). `page_cache` is warm or cold, `provider_cache` asis, empty or primed. With an `idle_wait_s` or
    `thermal_wait_s` of 0 it is only recorded whether the device is idle and cool. An `untimed` trial ends when its
    outputs are verified and its placement is read; with `node_profile` the slowest nodes are told.
    """

    warmup_min_runs: int = 3
    warmup_min_s: float = 0.1
    min_inferences: int = 100
    min_duration_s: float = 1.0
    max_inferences: int = 10_000
    max_duration_s: float = 2.0
    io_mode: str = "bound"
    warmup_max_s: float = 0.0
    target_half_width: float = 0.0
    scenario: str = "closed"
    period_s: float = 0.0
    concurrency: int = 1
    page_cache: str = "warm"
    provider_cache: str = "asis"
    pin_threads: bool = True
    idle_wait_s: float = 0.0
    thermal_wait_s: float = 0.0
    fix_clocks: bool = False
    untimed: bool = False
    node_profile: bool = False


@dataclass(frozen=True, slots=True)
class NamedInputs:
    """The model's inputs at another shape."""

    shape: str
    inputs: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """One fresh worker process measuring one cell once. `id` is run/key/round/attempt.

    `other_inputs` are shapes to change to and back in an untimed session, to see what a change costs.
    """

    id: str
    run_id: str
    cell_key: str
    cell_name: str
    round: int
    attempt: int
    artifact: Manifest
    inputs: tuple[Tensor, ...]
    references: tuple[Tensor, ...]
    tolerance: Tolerance
    runtime_id: str
    providers: tuple[Provider, ...]
    session: SessionOptions
    protocol: Protocol
    deadlines_s: dict[str, float] = field(default_factory=dict)
    other_inputs: tuple[NamedInputs, ...] = ()

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Everything that the board must hold before the trial can start."""
        others = (tensor for named in self.other_inputs for tensor in named.inputs)
        return (*self.artifact.blobs, *(tensor.blob for tensor in (*self.inputs, *self.references, *others)))


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """A step of a trial; `cursor` orders all events of one agent, `at` is Unix time.

    `waits_for` names the gate (idle or thermal) that a trial waits for before it begins.
    """

    cursor: int
    trial_id: str
    state: TrialState
    stage: Stage
    at: float
    waits_for: str = ""


@dataclass(frozen=True, slots=True)
class MemoryPhase:
    """Extra resident bytes over the loaded worker in one phase, and how they were read.

    `pss_bytes` and `private_bytes` are those at the end of the phase.
    """

    phase: str
    size_bytes: int
    method: str
    pss_bytes: int | None = None
    private_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ColdStart:
    """Seconds that each step of a cold start took.

    `page_cache` is warm, cold or mixed as it was found, `resident_share` (0 to 1) how much of the files was in memory then.
    `provider_cache` is none, asis, empty or primed.
    """

    import_s: float
    session_s: float
    first_run_s: float
    second_run_s: float
    provider_load_s: float | None = None
    page_cache: str = ""
    resident_share: float | None = None
    provider_cache: str = ""


@dataclass(frozen=True, slots=True)
class ProviderShare:
    """Nodes (and, where known, the share of time from 0 to 1) that one provider really got.

    `subgraphs` is the number of parts of the graph that it got as one, `operators` its nodes by operator.
    """

    provider: str
    nodes: int
    time_share: float | None = None
    subgraphs: int | None = None
    operators: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the nodes went. `method` is assignment, profile or provider_list; `hash` names the placement.

    `model_nodes` counts the nodes of the model as it was given; the shares are of the graph as it was optimised.
    """

    method: str
    hash: str
    shares: tuple[ProviderShare, ...]
    model_nodes: int | None = None


@dataclass(frozen=True, slots=True)
class Numerics:
    """How far the outputs lie from the reference; `first_offender` is empty when all agreed."""

    max_absolute_error: float
    max_relative_error: float
    outputs_compared: int
    first_offender: str = ""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What the session really got, read back from it.

    `call` is how each inference is called (raw_binding, binding or run), `call_cost_s` what that costs above the
    cheapest call known. `provider_options` are the options that the session says its providers have; some tell none.
    """

    runtime_version: str
    providers: tuple[str, ...]
    intra_op_threads: int
    graph_optimization: str
    io_mode: str
    call: str = ""
    call_cost_s: float | None = None
    no_cpu_arena: bool = False
    provider_options: tuple[Provider, ...] = ()


@dataclass(frozen=True, slots=True)
class Accounting:
    """The kernel's own account of the measured part, in seconds and counts.

    The last four are of the whole machine: CPU time of everything else, time that a hypervisor took, time in which some
    task waited for a CPU, pages that came back from swap.
    """

    wall_s: float
    cpu_s: float
    runqueue_wait_s: float | None
    involuntary_switches: int
    major_faults: int
    voluntary_switches: int = 0
    minor_faults: int = 0
    foreign_cpu_s: float | None = None
    steal_s: float | None = None
    pressure_s: float | None = None
    swapped_in_pages: int | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """Raw times: a blob of little-endian int64 nanoseconds, warm-up first, then measured.

    `stop_reason` is floors_met, interval_met, max_inferences or max_duration, `warmup_stop_reason` steady, floors_met or
    max_duration. `late` counts the inferences of a paced trial that began late; with a `concurrency` the samples stand in
    the order in which they ended, within `wall_s` seconds.
    """

    blob: Blob
    warmup_count: int
    measured_count: int
    batch: int
    stop_reason: str
    warmup_stop_reason: str = ""
    late: int = 0
    concurrency: int = 1
    wall_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TrialResult:
    """How one trial ended and what it found. `started` and `finished` are Unix time.

    `harness_floor_s` is the null model's median on this runtime, measured when the agent started.
    """

    trial_id: str
    outcome: TrialOutcome
    stage: Stage
    cause: str = ""
    message: str = ""
    evidence: str = ""
    exit_code: int | None = None
    signal: int | None = None
    started: float = 0.0
    finished: float = 0.0
    boot_id: str = ""
    session: SessionFacts | None = None
    cold_start: ColdStart | None = None
    memory: tuple[MemoryPhase, ...] = ()
    placement: Placement | None = None
    numerics: Numerics | None = None
    accounting: Accounting | None = None
    samples: Samples | None = None
    before: Reading | None = None
    after: Reading | None = None
    tags: tuple[str, ...] = ()
    harness_floor_s: float | None = None
    threads: ThreadFacts | None = None
    gates: tuple[Gate, ...] = ()
    trace: DeviceTrace | None = None
    energy: Energy | None = None
    arena: ArenaMemory | None = None
    compile: Compile | None = None
    node_profile: NodeProfile | None = None
    outputs: tuple[OutputSummary, ...] = ()
    diagnosis: Diagnosis | None = None
