"""The slowest nodes of the model, from the profile of an untimed session."""

from __future__ import annotations

import statistics
from typing import Any, Mapping, Sequence

from edgesweep_worker.profile_events import NodeCall, counted

#: So many nodes are told one by one.
KEPT = 200

_SIZES = (
    ("output_bytes", "output_size"),
    ("parameter_bytes", "parameter_size"),
    ("activation_bytes", "activation_size"),
)


def profile_nodes(
    calls: Sequence[NodeCall], domains: Mapping[str, str], fused: Mapping[str, Sequence[str]], kept: int = KEPT
) -> dict[str, Any] | None:
    """NodeProfile as JSON data; None without a profile.

    Args:
        calls: all calls of the profiled runs; the first run does not count unless it is the only one.
        domains: an operator with its domain, by the name of a node that has one outside ai.onnx.
        fused: names of the model's nodes by the name of the fused node that holds them.
        kept: nodes that are told one by one.
    """
    steady = counted(calls)
    runs = len({call.run for call in steady})
    if not runs:
        return None
    told = sorted(
        (_node(found, domains, fused) for found in by_node(steady).values()),
        key=lambda node: (-node["seconds"], node["name"]),
    )
    rest = told[kept:]
    return {
        "runs": runs,
        "nodes": told[:kept],
        "left_out": len(rest),
        "left_out_s": sum(node["seconds"] for node in rest),
    }


def by_node(calls: Sequence[NodeCall]) -> dict[tuple[str, ...], list[NodeCall]]:
    """The calls of each node, by the node's identity."""
    nodes: dict[tuple[str, ...], list[NodeCall]] = {}
    for call in calls:
        nodes.setdefault(call.identity, []).append(call)
    return nodes


def seconds_of(calls: Sequence[NodeCall]) -> float:
    """The median over runs of the time that one node had in a run: a provider may take a second run to settle."""
    spent: dict[int, float] = {}
    for call in calls:
        spent[call.run] = spent.get(call.run, 0.0) + call.own_us
    return statistics.median(spent.values()) / 1e6


def _node(calls: Sequence[NodeCall], domains: Mapping[str, str], fused: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    first = calls[0]
    runs = len({call.run for call in calls})
    told = domains.get(first.name, "")
    return {
        "name": first.name,
        # The profile leaves the domain out; the assignment knows the nodes that are still those of the model.
        "operator": told if told.rpartition(".")[2] == first.operator else first.operator,
        "provider": first.provider,
        "seconds": seconds_of(calls),
        "calls": max(1, round(len(calls) / runs)),
        "holds": list(fused.get(first.name, ())),
        **{field: _largest(calls, word) for field, word in _SIZES},
    }


def _largest(calls: Sequence[NodeCall], word: str) -> int | None:
    """The largest of the sizes, which the profile writes as text; None where it has none."""
    sizes = [str(call.details[word]) for call in calls if word in call.details]
    return max((int(size) for size in sizes if size.isdigit()), default=None)
