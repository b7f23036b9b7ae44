"""What a board and its onnxruntime builds are, as the agent found them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ProviderProbe:
    """What one execution provider did in a throwaway session; `nodes` 0 means only listed.

    `precisions` are those of fp32, fp16 and int8 of which it ran a node. `plugin` names the library that brings it.
    """

    name: str
    nodes: int
    message: str = ""
    precisions: tuple[str, ...] = ()
    plugin: str = ""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A library of execution providers that is registered with a runtime; `fault` says why it cannot be used here.

    `library` is its file's name, `distribution` the package that it was found in. `devices` are what it found to run on.
    """

    name: str
    distribution: str = ""
    version: str = ""
    library: str = ""
    devices: tuple[str, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Runtime:
    """One onnxruntime build in its own environment; `fault` says why it cannot be used.

    `max_opset`, `max_ir_version`, `types` (element types by numpy's names) and `domains` (of operators) are its limits as
    a probe found them by loading models; None or empty where none was found, which is no limit. `call` is the cheapest
    way to call a session that works on this version, `call_costs_s` the null model's median seconds by each way. `wheel_tag`
    is the newest that this interpreter takes, such as `cp311-cp311-manylinux_2_36_aarch64`. `installed_as` is the folder's
    name of one that was installed under the agent's state folder, empty for others.
    """

    id: str
    flavour: str
    version: str
    build_info: str
    python_version: str
    numpy_version: str
    listed_providers: tuple[str, ...]
    providers: tuple[ProviderProbe, ...]
    harness_floor_s: float | None = None
    fault: str = ""
    max_opset: int | None = None
    max_ir_version: int | None = None
    types: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    call: str = ""
    call_costs_s: dict[str, float] = field(default_factory=dict)
    wheel_tag: str = ""
    installed_as: str = ""
    plugins: tuple[Plugin, ...] = ()

    @property
    def usable_providers(self) -> tuple[str, ...]:
        """Providers that really ran a node, in onnxruntime's own order."""
        return tuple(probe.name for probe in self.providers if probe.nodes > 0)


@dataclass(frozen=True, slots=True)
class CpuCluster:
    """Cores that are equal; `capacity` is the kernel's, 1024 for the fastest core of the board."""

    cpus: tuple[int, ...]
    max_hz: float | None = None
    capacity: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """What the board is. An empty text means that the fact was not found.

    `clock_control` is cpufreq or nvpmodel where the agent may fix the clocks. `drivers` are the versions of the drivers of
    graphics and neural processors by kernel module, and `l4t` the release of a Jetson's Linux.
    """

    name: str
    agent_version: str
    protocol_version: int
    boot_id: str
    machine: str
    system: str
    kernel: str
    board: str
    cpu_model: str
    cpu_count: int
    allowed_cpus: tuple[int, ...]
    memory_total_bytes: int
    state_free_bytes: int
    python_version: str
    libc: str
    uptime_s: float
    probes: tuple[str, ...]
    emulated: bool
    hostname: str
    clusters: tuple[CpuCluster, ...] = ()
    unified_memory: bool = False
    clock_control: str = ""
    drivers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at the board's state; a sensor that is not there is absent.

    `at` is Unix time, temperatures are degrees Celsius by zone, frequencies Hz by policy,
    `cpu_pressure` and `memory_pressure` the share (0 to 1) of the last 10 s in which a task waited for it. `frequency_max_hz`
    is what the governor may go up to, `hardware_max_hz` what the hardware can. `cpu_busy_s` and `steal_s` count since boot over
    all CPUs; `power_w` (watts) and `energy_j` (joules since some moment) are by `source:rail`. `throttled_since_boot` are the
    throttle reasons that the firmware remembers.
    """

    at: float
    temperatures_c: dict[str, float] = field(default_factory=dict)
    frequencies_hz: dict[str, float] = field(default_factory=dict)
    governors: dict[str, str] = field(default_factory=dict)
    throttle: tuple[str, ...] = ()
    load_1m: float | None = None
    cpu_pressure: float | None = None
    memory_available_bytes: int | None = None
    swap_used_bytes: int | None = None
    power_mode: str | None = None
    frequency_min_hz: dict[str, float] = field(default_factory=dict)
    frequency_max_hz: dict[str, float] = field(default_factory=dict)
    hardware_max_hz: dict[str, float] = field(default_factory=dict)
    boost: str | None = None
    memory_pressure: float | None = None
    cpu_busy_s: float | None = None
    steal_s: float | None = None
    power_w: dict[str, float] = field(default_factory=dict)
    energy_j: dict[str, float] = field(default_factory=dict)
    throttled_since_boot: tuple[str, ...] = ()
