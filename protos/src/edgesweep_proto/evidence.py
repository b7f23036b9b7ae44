"""What went on around one measurement: the evidence that a verdict is made from."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Gate:
    """What a trial waited for before it began: `name` is idle or thermal.

    `value` is what was read last and `limit` what it was held against, in the gate's own unit; None when nothing was read.
    """

    name: str
    passed: bool
    waited_s: float
    value: float | None = None
    limit: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class DeviceTrace:
    """The sampler's readings while the trial measured, in short: hertz by policy, degrees Celsius by zone.

    `changes` says in words what did not stay as it was. `sampler_cpu_s` and `agent_cpu_s` are the CPU seconds that our
    own processes used within `wall_s`; `sampler_cpu` is the core that the sampler was held to.
    """

    readings: int
    interval_s: float
    wall_s: float
    frequency_start_hz: dict[str, float] = field(default_factory=dict)
    frequency_min_hz: dict[str, float] = field(default_factory=dict)
    frequency_mean_hz: dict[str, float] = field(default_factory=dict)
    temperature_start_c: dict[str, float] = field(default_factory=dict)
    temperature_max_c: dict[str, float] = field(default_factory=dict)
    throttle: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    sampler_cpu_s: float = 0.0
    agent_cpu_s: float = 0.0
    sampler_cpu: int | None = None


@dataclass(frozen=True, slots=True)
class Energy:
    """Energy of the measured part from one `source` (ina3221, rapl or pmic).

    `joules_per_inference` lies above `idle_w`, the idle board's power; None when the window was too short to tell.
    """

    source: str
    rails: tuple[str, ...]
    window_s: float
    joules: float
    interval_s: float
    idle_w: float | None = None
    joules_per_inference: float | None = None


@dataclass(frozen=True, slots=True)
class ThreadFacts:
    """Threads as they were found: the CPUs of the chosen cluster, of the calling thread, and of each pool thread.

    `pinned` says that each thread was found on a core of its own within the cluster, `note` why it is not as asked.
    """

    cluster: tuple[int, ...] = ()
    main_cpus: tuple[int, ...] = ()
    pool_cpus: tuple[str, ...] = ()
    pinned: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class ArenaMemory:
    """onnxruntime's own figures of its CPU arena in bytes, read from the profile of an untimed session."""

    in_use_peak_bytes: int | None = None
    requested_peak_bytes: int | None = None
    held_first_run_bytes: int | None = None
    held_bytes: int | None = None
    method: str = ""
