"""Where the nodes really went: asked of the session, read from a profile, or unknown. Never taken from the request.

The two ways count differently, so a placement is by one of them and says by which. The assignment lists the nodes of
the graph as it was shared out, those inside a compiled part one by one, before kernels are merged; a profile has the
nodes that ran, a compiled part as one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from edgesweep_worker import arena, calls, node_profile, profile_events
from edgesweep_worker.profile_events import NodeCall

#: The first run pays for allocation and does not count; so many do.
_RUNS = 5
#: A slow model gets fewer of them, but never less than one, unless the times of its nodes were asked for.
_SECONDS = 2.0


@dataclass(frozen=True)
class Placement:
    """Nodes as (operator, provider) pairs, with the time share (0 to 1) per provider where it is known.

    `subgraphs` counts the parts of the graph that a provider compiled as one, for those that do; `model_nodes` the nodes
    of the model's file. `arena` is ArenaMemory, `profile` NodeProfile as JSON data, where they are known and asked for.
    """

    method: str
    nodes: tuple[tuple[str, str], ...]
    time_shares: Mapping[str, float]
    providers: tuple[str, ...]
    arena: dict[str, Any] | None = None
    subgraphs: Mapping[str, int] = field(default_factory=dict)
    model_nodes: int | None = None
    profile: dict[str, Any] | None = None

    @property
    def counts(self) -> Counter[str]:
        """Nodes per provider."""
        return Counter(provider for _, provider in self.nodes)

    @property
    def hash(self) -> str:
        """SHA-256 over the sorted pairs: equal exactly when as many nodes of each operator went to each provider."""
        return hashlib.sha256(
            "\n".join(f"{op}\t{provider}" for op, provider in sorted(self.nodes)).encode()
        ).hexdigest()

    def with_model_nodes(self, nodes: int | None) -> Placement:
        """The same beside the number of nodes of the model's file."""
        return replace(self, model_nodes=nodes)

    def as_json(self) -> dict[str, Any]:
        """Placement as JSON data, providers in the session's own order."""
        counts = self.counts
        names = list(self.providers) + sorted(set(counts) - set(self.providers))
        shares = [
            {
                "provider": name,
                "nodes": counts[name],
                "time_share": self.time_shares.get(name),
                "subgraphs": self.subgraphs.get(name),
                "operators": dict(sorted(Counter(op for op, provider in self.nodes if provider == name).items())),
            }
            for name in names
        ]
        return {"method": self.method, "hash": self.hash, "shares": shares, "model_nodes": self.model_nodes}


@dataclass(frozen=True)
class Part:
    """Nodes of the graph that one provider got together, as (name, operator with its domain) pairs."""

    provider: str
    nodes: tuple[tuple[str, str], ...]


def can_assign(ort: Any) -> bool:
    """Whether this onnxruntime can be asked which provider got which node (1.24.1 and newer)."""
    return hasattr(ort.InferenceSession, "get_provider_graph_assignment_info")


def record_assignment(ort: Any, options: Any) -> None:
    """Set `options` so that a session made with them can be asked which provider got which node, where this build can."""
    if can_assign(ort):
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")


def watch_placement(ort: Any, options: Any, folder: str) -> None:
    """Set `options` so that a session made with them can tell its placement.

    Args:
        ort: the onnxruntime module.
        options: SessionOptions of a session that is not timed: the profiler costs up to 76 % of a small model's time.
        folder: where the profile may be written.
    """
    record_assignment(ort, options)
    options.enable_profiling = True
    options.profile_file_prefix = os.path.join(folder, "profile")


def read_placement(
    ort: Any,
    session: Any,
    inputs: Mapping[str, np.ndarray],
    *,
    nodes: bool = False,
    on_run: Callable[[], None] = lambda: None,
) -> Placement:
    """Run `session` some times and read where its nodes are.

    Args:
        ort: the onnxruntime module.
        session: made with options that went through `watch_placement`.
        inputs: arrays by name.
        nodes: whether the times of single nodes are wanted too.
        on_run: is called after each run, since several of a slow model take long.

    Returns:
        Method assignment, profile, or provider_list (then without nodes).
    """
    providers = tuple(session.get_providers())
    started = time.perf_counter()
    for done in range(1 + _RUNS):
        if done > 1 and not nodes and time.perf_counter() - started > _SECONDS:
            break
        calls.run_once(ort, session, inputs)
        on_run()
    events = _read_profile(session.end_profiling())
    found = placement_of(
        providers,
        _assigned_parts(ort, session),
        profile_events.node_calls(events),
        runs=len(profile_events.run_starts(events)),
        nodes=nodes,
    )
    return replace(found, arena=arena.read_arena(events))


def read_assignment(ort: Any, session: Any) -> Placement | None:
    """The placement that `session` tells without another run, and so without shares of time.

    Args:
        ort: the onnxruntime module.
        session: made with options that went through `record_assignment`.

    Returns:
        None when this build cannot be asked, or names no node.
    """
    parts = _assigned_parts(ort, session)
    return placement_of(tuple(session.get_providers()), parts, ()) if parts else None


def placement_of(
    providers: tuple[str, ...],
    parts: Sequence[Part],
    calls: Sequence[NodeCall],
    *,
    runs: int = 0,
    nodes: bool = False,
) -> Placement:
    """The placement by the assignment's `parts` if it names nodes, else by the profile's `calls`, else unknown.

    Args:
        providers: those of the session, in its order.
        parts: what the session says of its assignment; empty where it cannot be asked.
        calls: what ran, by the profile; empty without one.
        runs: how many whole runs the profile has; with any, it shows that no node was left to run where `calls` is empty.
        nodes: whether the times of single nodes are wanted too.
    """
    steady = profile_events.counted(calls)
    shares = _time_shares(steady)
    ran = {call.identity: call for call in steady}
    fused = [call for call in ran.values() if call.is_fused]
    profile = None
    if nodes:
        domains = {name: operator for part in parts for name, operator in part.nodes if "." in operator}
        profile = node_profile.profile_nodes(calls, domains, _held(parts, fused))
    if parts:
        pairs = tuple((operator, part.provider) for part in parts for _, operator in part.nodes)
        # A provider that takes nodes one by one has as many parts as nodes: those are no subgraphs.
        compiling = {part.provider for part in parts if len(part.nodes) > 1} | {call.provider for call in fused}
        subgraphs = Counter(part.provider for part in parts if part.provider in compiling)
        return Placement("assignment", pairs, shares, providers, subgraphs=subgraphs, profile=profile)
    if ran or runs:
        pairs = tuple((call.operator, call.provider) for call in ran.values())
        subgraphs = Counter(call.provider for call in fused)
        return Placement("profile", pairs, shares, providers, subgraphs=subgraphs, profile=profile)
    return Placement("provider_list", (), {}, providers)


def scratch_folder(beside: str) -> tempfile.TemporaryDirectory[str]:
    """A folder for the profile that goes when it is closed, beside the file `beside`."""
    return tempfile.TemporaryDirectory(prefix="placement-", dir=os.path.dirname(os.path.abspath(beside)))


def _need_room(folder: str) -> None:
    """Raise the OSError of a disk that takes nothing more: a profile cut short there tells nothing of the model."""
    with open(os.path.join(folder, "room"), "wb") as file:
        file.write(bytes(1 << 16))


def _assigned_parts(ort: Any, session: Any) -> tuple[Part, ...]:
    if not can_assign(ort):
        return ()
    parts = (
        Part(part.ep_name, tuple((node.name, _operator(node.domain, node.op_type)) for node in part.get_nodes()))
        for part in session.get_provider_graph_assignment_info()
    )
    return tuple(part for part in parts if part.nodes)


def _operator(domain: str, name: str) -> str:
    return name if domain in {"", "ai.onnx"} else f"{domain}.{name}"


def _read_profile(path: str) -> list[dict[str, Any]]:
    """The profile's events; none when it is not whole, unless that is the disk's fault."""
    try:
        with open(path, encoding="utf-8") as file:
            return list(json.load(file))
    except (OSError, ValueError):
        _need_room(os.path.dirname(path))
        return []


def _time_shares(calls: Sequence[NodeCall]) -> dict[str, float]:
    """The share of the nodes' time that each provider had."""
    spent: dict[str, float] = {}
    for found in node_profile.by_node(calls).values():
        provider = found[0].provider
        spent[provider] = spent.get(provider, 0.0) + node_profile.seconds_of(found)
    total = sum(spent.values())
    return {provider: time / total for provider, time in spent.items()} if total else {}


def _held(parts: Sequence[Part], fused: Sequence[NodeCall]) -> dict[str, tuple[str, ...]]:
    """Names of the nodes that each fused node stands for, by its name.

    onnxruntime numbers the parts that it has compiled in the order in which it lists them. Nothing is said of a provider of
    which it lists more or fewer parts than it ran, nor of a part in which a node has no name.
    """
    held = {}
    for provider in {call.provider for call in fused}:
        listed = [part for part in parts if part.provider == provider]
        ran = sorted((call for call in fused if call.provider == provider), key=_number)
        if len(listed) == len(ran):
            for at, call in enumerate(ran):
                names = tuple(name for name, _ in listed[at].nodes)
                held[call.name] = names if all(names) else ()
    return held


def _number(call: NodeCall) -> int:
    """The number at the end of a fused node's name."""
    last = call.name.rpartition("_")[2]
    return int(last) if last.isdigit() else 0
