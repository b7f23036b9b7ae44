"""The job that the agent hands over on stdin: one JSON object, read once, absent keys at their defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import Any, Mapping


@dataclass(frozen=True)
class NamedFile:
    """A tensor of the model and the `.npy` file that holds it.

    Of a large reference the file holds some elements only, as an array of (position, value); `shape` is that of the whole.
    """

    name: str
    path: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class OtherInputs:
    """The model's inputs at another shape, by the name of that shape."""

    shape: str
    inputs: tuple[NamedFile, ...]


@dataclass(frozen=True)
class Provider:
    """An execution provider by onnxruntime's full name, with its options."""

    name: str
    options: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PluginLibrary:
    """A library on the device that brings `providers`; `name` is what it is registered as.

    `distribution` and `version` are those of the package that it lies in; empty for one that the settings name.
    """

    name: str
    path: str
    providers: tuple[str, ...] = ()
    distribution: str = ""
    version: str = ""


@dataclass(frozen=True)
class Tolerance:
    """Outputs agree when |a-b| <= absolute + relative*|b|, or at `sqnr_db` decibels where it is set."""

    absolute: float = 1e-4
    relative: float = 1e-3
    sqnr_db: float | None = None


@dataclass(frozen=True)
class SessionRequest:
    """What is asked of the session; 0 intra-op threads means one per CPU that the worker may use.

    With `no_cpu_arena` the CPU's values are taken from the system one by one and given back after each run.
    """

    intra_op_threads: int = 1
    inter_op_threads: int = 1
    graph_optimization: str = "all"
    no_cpu_arena: bool = False


@dataclass(frozen=True)
class Protocol:
    """How the trial is timed, field by field the protocol of `edgesweep_proto.trial`; zero and "" mean the older behaviour.

    `page_cache` is warm, cold or empty (left as it is), `provider_cache` asis, empty or primed.
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
    page_cache: str = ""
    provider_cache: str = "asis"
    pin_threads: bool = True
    idle_wait_s: float = 0.0
    thermal_wait_s: float = 0.0
    fix_clocks: bool = False
    untimed: bool = False
    node_profile: bool = False


@dataclass(frozen=True)
class TrialJob:
    """Everything that one trial needs; all paths are the agent's own.

    `unified_memory` says that the board's accelerator takes its memory from the processor's.
    `call` is the cheapest way to call a session that the runtime's probe found, "" when it is not known; `call_cost_s` what
    it costs above the cheapest one known. `cpus` are those of the cluster that the threads are held to, the calling
    thread's first; with none nothing is held. `other_inputs` are the shapes to change to and back in the untimed session,
    `plugins` the libraries of providers that this device has.

    With `place_apart` another process tells the placement, and the trial ends when it is timed; `compiled` is then what this
    trial's timed process told of its Compile, as JSON data.
    """

    model_path: str
    samples_path: str
    inputs: tuple[NamedFile, ...]
    references: tuple[NamedFile, ...]
    providers: tuple[Provider, ...]
    tolerance: Tolerance
    session: SessionRequest
    protocol: Protocol
    unified_memory: bool = False
    call: str = ""
    call_cost_s: float | None = None
    cpus: tuple[int, ...] = ()
    other_inputs: tuple[OtherInputs, ...] = ()
    plugins: tuple[PluginLibrary, ...] = ()
    place_apart: bool = False
    compiled: Mapping[str, Any] | None = None

    def with_threads(self) -> TrialJob:
        """The same with the threads counted; to be called before the calling thread is held to one core."""
        threads = self.session.intra_op_threads or len(self.cpus) or len(os.sched_getaffinity(0))
        return replace(self, session=replace(self.session, intra_op_threads=threads))


def trial_job(data: dict[str, Any]) -> TrialJob:
    """Read a trial's job.

    Args:
        data: the JSON object; keys of a newer agent are ignored.

    Raises:
        KeyError: `model_path` or `samples_path`, or a name or path inside a list, is missing.
        TypeError: a part is not of the form agreed on.
    """
    providers = tuple(
        Provider(item["name"], {str(key): str(value) for key, value in (item.get("options") or {}).items()})
        for item in data.get("providers") or ({"name": "CPUExecutionProvider"},)
    )
    return TrialJob(
        model_path=data["model_path"],
        samples_path=data["samples_path"],
        inputs=_files(data.get("inputs")),
        references=_files(data.get("references")),
        providers=providers,
        tolerance=_known(Tolerance, data.get("tolerance")),
        session=_known(SessionRequest, data.get("session")),
        protocol=_known(Protocol, data.get("protocol")),
        unified_memory=bool(data.get("unified_memory", False)),
        call=data.get("call") or "",
        call_cost_s=data.get("call_cost_s"),
        cpus=tuple(int(cpu) for cpu in data.get("cpus") or ()),
        other_inputs=tuple(
            OtherInputs(item["shape"], _files(item.get("inputs"))) for item in data.get("other_inputs") or ()
        ),
        place_apart=bool(data.get("place_apart", False)),
        compiled=data.get("compiled"),
        plugins=plugin_libraries(data),
    )


def plugin_libraries(data: dict[str, Any]) -> tuple[PluginLibrary, ...]:
    """The libraries of providers that a job, of a trial or a probe, tells of.

    Raises:
        KeyError: a name or path is missing.
    """
    return tuple(
        PluginLibrary(item["name"], item["path"], tuple(item.get("providers") or ()))
        for item in data.get("plugins") or ()
    )


def _files(items: list[dict[str, Any]] | None) -> tuple[NamedFile, ...]:
    return tuple(NamedFile(item["name"], item["path"], tuple(item.get("shape") or ())) for item in items or ())


def _known(kind: Any, data: dict[str, Any] | None) -> Any:
    return kind(**{key: value for key, value in (data or {}).items() if key in kind.__dataclass_fields__})
