"""Where one inference's time goes by node and by operator, over the trials of a cell."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgesweep_proto.execution import NodeProfile, NodeTime

from edgesweep.report import units
from edgesweep.report.plain_data import Json, plain
from edgesweep.stats.placement import percent, short

#: So many nodes and operators are shown to people; the document has more.
SHOWN = 15
_IN_A_LINE = 3
_HELD = 3


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """An operator on a provider: `nodes` of it, `seconds` of an inference, and the `share` (0 to 1) of all nodes' time."""

    operator: str
    provider: str
    nodes: int
    seconds: float
    share: float


def node_profile(profiles: Sequence[NodeProfile]) -> Json | None:
    """`node_profile`: the nodes of the first trial's profile, with the median of each over those of all trials.

    `total_s` is the time of all nodes together, those that are not told one by one included.
    """
    if not profiles:
        return None
    first = profiles[0]
    by_node = [{_identity(node): node for node in profile.nodes} for profile in profiles]

    def over_trials(node: NodeTime) -> Json:
        seen = [nodes[_identity(node)].seconds for nodes in by_node if _identity(node) in nodes]
        return {**plain(node), "seconds": statistics.median(seen)}

    nodes = sorted(map(over_trials, first.nodes), key=lambda node: (-node["seconds"], node["name"]))
    left_out_s = statistics.median(profile.left_out_s for profile in profiles)
    return {
        "trials": len(profiles),
        "runs": first.runs,
        "total_s": sum(node["seconds"] for node in nodes) + left_out_s,
        "nodes": nodes,
        "left_out": first.left_out,
        "left_out_s": left_out_s,
    }


def _identity(node: NodeTime) -> tuple[str, str, str]:
    return node.name, node.operator, node.provider


def operator_times(profile: Json) -> list[OperatorTime]:
    """The nodes of a cell's `node_profile` by operator and provider, slowest first."""
    found: dict[tuple[str, str], list[float]] = {}
    for node in profile["nodes"]:
        found.setdefault((node["operator"], node["provider"]), []).append(node["seconds"])
    total = profile["total_s"]
    times = (
        OperatorTime(operator, provider, len(seconds), sum(seconds), sum(seconds) / total if total else 0.0)
        for (operator, provider), seconds in found.items()
    )
    return sorted(times, key=lambda time: (-time.seconds, time.operator, time.provider))


def node_line(cell: Json) -> str:
    """`slowest operators: MatMul 62 %, Relu 20 % on cpu`: a cell's profile in a line; empty without one."""
    profile = cell.get("node_profile")
    if not profile or not profile["nodes"]:
        return ""
    slowest = operator_times(profile)[:_IN_A_LINE]
    one = len({time.provider for time in slowest}) == 1
    words = [f"{time.operator} {percent(time.share)}{'' if one else f' on {short(time.provider)}'}" for time in slowest]
    where = f" on {short(slowest[0].provider)}" if one else ""
    return f"slowest operators: {', '.join(words)}{where}, of {units.seconds(profile['total_s'])} in nodes"


def node_name(node: Json) -> str:
    """A node's name; of a compiled part the names of the nodes that it stands for, since its own says nothing."""
    holds = node.get("holds") or []
    if not holds:
        return str(node["name"])
    return ", ".join(holds) if len(holds) <= _HELD else f"{holds[0]} and {len(holds) - 1} more"


def profile_view(cell: Json) -> dict[str, Any] | None:
    """What the page shows of a cell's profile: operators and nodes as rows of texts, and the units of their times."""
    profile = cell.get("node_profile")
    if not profile or not profile["nodes"]:
        return None
    operators, nodes = operator_times(profile), profile["nodes"]
    unit = units.time_unit([node["seconds"] for node in nodes[:SHOWN]])
    size = units.size_unit([node["output_bytes"] for node in nodes[:SHOWN]])
    total = profile["total_s"]

    def node_row(node: Json) -> tuple[str, ...]:
        share = node["seconds"] / total if total else 0.0
        holds = f" ({units.plural(len(node['holds']), 'node')})" if node["holds"] else ""
        return (
            node_name(node),
            node["operator"] + holds,
            short(node["provider"]),
            unit.show(node["seconds"]),
            percent(share),
            units.count(node["calls"]),
            size.show(node["output_bytes"]),
        )

    unshown = len(nodes) + profile["left_out"] - min(SHOWN, len(nodes))
    return {
        "name": cell["name"],
        "unit": unit.symbol,
        "size_unit": size.symbol,
        "total": units.seconds(total),
        "runs": profile["runs"],
        "trials": profile["trials"],
        "operators": [
            (time.operator, short(time.provider), units.count(time.nodes), unit.show(time.seconds), percent(time.share))
            for time in operators[:SHOWN]
        ],
        "more_operators": max(0, len(operators) - SHOWN),
        "nodes": [node_row(node) for node in nodes[:SHOWN]],
        "more_nodes": unshown,
    }
