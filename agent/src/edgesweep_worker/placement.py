"""Where the nodes really went: asked of the session, read from a profile, or unknown. Never taken from the request."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

import numpy as np

from edgesweep_worker import arena

#: The second run is the one whose profile counts; the first pays for allocation.
_PROFILED_RUNS = 2


@dataclass(frozen=True)
class Placement:
    """Nodes as (operator, provider) pairs, with the time share (0 to 1) per provider where it is known.

    `arena` is ArenaMemory as JSON data where the runtime's profile tells of it.
    """

    method: str
    nodes: tuple[tuple[str, str], ...]
    time_shares: Mapping[str, float]
    providers: tuple[str, ...]
    arena: dict[str, Any] | None = None

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

    def as_json(self) -> dict[str, Any]:
        """Placement as JSON data, providers in the session's own order."""
        counts = self.counts
        names = list(self.providers) + sorted(set(counts) - set(self.providers))
        shares = [{"provider": name, "nodes": counts[name], "time_share": self.time_shares.get(name)} for name in names]
        return {"method": self.method, "hash": self.hash, "shares": shares}


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


def read_placement(ort: Any, session: Any, inputs: Mapping[str, np.ndarray]) -> Placement:
    """Run `session` twice and read where its nodes are.

    Args:
        ort: the onnxruntime module.
        session: made with options that went through `watch_placement`.
        inputs: arrays by name.

    Returns:
        Method assignment, profile, or provider_list (then without nodes).
    """
    providers = tuple(session.get_providers())
    for _ in range(_PROFILED_RUNS):
        session.run(None, dict(inputs))
    events = _read_profile(session.end_profiling())
    profiled, shares = _profiled_nodes(events)
    held = arena.read_arena(events)
    assigned = _assigned_nodes(ort, session)
    if assigned:
        return Placement("assignment", assigned, shares, providers, held)
    if profiled:
        return Placement("profile", profiled, shares, providers, held)
    return Placement("provider_list", (), {}, providers)


def read_assignment(ort: Any, session: Any) -> Placement | None:
    """The placement that `session` tells without another run, and so without shares of time.

    Args:
        ort: the onnxruntime module.
        session: made with options that went through `record_assignment`.

    Returns:
        None when this build cannot be asked, or names no node.
    """
    assigned = _assigned_nodes(ort, session)
    return Placement("assignment", assigned, {}, tuple(session.get_providers())) if assigned else None


def scratch_folder(beside: str) -> tempfile.TemporaryDirectory[str]:
    """A folder for the profile that goes when it is closed, beside the file `beside`."""
    return tempfile.TemporaryDirectory(prefix="placement-", dir=os.path.dirname(os.path.abspath(beside)))


def _need_room(folder: str) -> None:
    """Raise the OSError of a disk that takes nothing more: a profile cut short there tells nothing of the model."""
    with open(os.path.join(folder, "room"), "wb") as file:
        file.write(bytes(1 << 16))


def _assigned_nodes(ort: Any, session: Any) -> tuple[tuple[str, str], ...]:
    if not can_assign(ort):
        return ()
    return tuple(
        (_operator(node.domain, node.op_type), part.ep_name)
        for part in session.get_provider_graph_assignment_info()
        for node in part.get_nodes()
    )


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


def _profiled_nodes(events: Sequence[dict[str, Any]]) -> tuple[tuple[tuple[str, str], ...], dict[str, float]]:
    """Nodes of the last run, and the share of its time that each provider had."""
    since = max(arena.run_starts(events), default=0)
    nodes: dict[tuple[str, str, str], tuple[str, str]] = {}
    durations: Counter[str] = Counter()
    for event in events:
        details = event.get("args") or {}
        provider = details.get("provider")
        if event.get("cat") != "Node" or not provider or event["ts"] < since:
            continue
        operator = details.get("op_name", "")
        # A node inside a loop runs often; it is one node all the same.
        nodes[event.get("name", ""), str(details.get("node_index", "")), provider] = (operator, provider)
        durations[provider] += event.get("dur", 0)
    total = sum(durations.values())
    shares = {provider: spent / total for provider, spent in durations.items()} if total else {}
    return tuple(nodes.values()), shares
