"""onnxruntime's profile as the calls of nodes in whole runs, each with the time that is its own."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, Mapping, Sequence

#: What onnxruntime adds to a node's name for the time in its kernel.
_SUFFIX = re.compile("_kernel_time$")


@dataclass(frozen=True)
class NodeCall:
    """One call of one node of the optimised graph.

    `run` counts whole runs from 0, `own_us` is the time in it without that of nodes inside it (a loop holds others),
    `index` the node's index in its graph. `details` are the event's further words: sizes in bytes, as text.
    """

    run: int
    name: str
    operator: str
    provider: str
    index: str
    own_us: float
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """The same in every call of one node."""
        return (self.name, self.index, self.operator, self.provider)

    @property
    def is_fused(self) -> bool:
        """Whether the node stands for a part of the graph that the provider compiled.

        onnxruntime names such a node after the provider, the part and a number (GetFusedNodeName of its
        graph_partitioner.cc), and an operator is never called like a part.
        """
        return self.name.startswith(f"{self.provider}_{self.operator}_")


def run_starts(events: Sequence[Mapping[str, Any]]) -> list[int]:
    """When each whole run of the profile began, in the profile's microseconds."""
    return sorted(event["ts"] for event in _runs(events))


def node_calls(events: Sequence[Mapping[str, Any]]) -> tuple[NodeCall, ...]:
    """The calls of nodes in whole runs, by time; none of a run that the profile has only in part.

    A profile takes a limited number of events, and a run is written down at its end: what comes after the last whole run
    belongs to none.
    """
    runs = sorted((event["ts"], event["ts"] + event.get("dur", 0)) for event in _runs(events))
    starts = [start for start, _ in runs]
    calls = []
    for event, own in _own_times([event for event in events if _is_call(event)]):
        run = bisect_right(starts, event["ts"]) - 1
        if run < 0 or event["ts"] > runs[run][1]:
            continue
        details = event["args"]
        calls.append(
            NodeCall(
                run=run,
                name=_SUFFIX.sub("", str(event.get("name", ""))),
                operator=str(details.get("op_name", "")),
                provider=str(details["provider"]),
                index=str(details.get("node_index", "")),
                own_us=own,
                details=details,
            )
        )
    return tuple(calls)


def counted(calls: Sequence[NodeCall]) -> tuple[NodeCall, ...]:
    """The calls of all runs but the first, which pays for allocation; of that one where there is no other."""
    later = tuple(call for call in calls if call.run > 0)
    return later or tuple(calls)


def _runs(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [event for event in events if event.get("cat") == "Session" and event.get("name") == "model_run"]


def _is_call(event: Mapping[str, Any]) -> bool:
    return event.get("cat") == "Node" and bool((event.get("args") or {}).get("provider"))


def _own_times(events: Sequence[Mapping[str, Any]]) -> list[tuple[Mapping[str, Any], float]]:
    """Each event with its duration less that of the events directly inside it, by start.

    On one thread calls lie inside one another or apart. Events come in the order of their ends, so of two that
    begin and end together the later one holds the other.
    """
    order = sorted(
        range(len(events)), key=lambda at: (events[at].get("tid", 0), events[at]["ts"], -events[at].get("dur", 0), -at)
    )
    own = [float(event.get("dur", 0)) for event in events]
    around: list[int] = []
    for at in order:
        while around and not _is_inside(events[at], events[around[-1]]):
            around.pop()
        if around:
            own[around[-1]] -= events[at].get("dur", 0)
        around.append(at)
    by_start = sorted(order, key=lambda at: events[at]["ts"])
    return [(events[at], max(0.0, own[at])) for at in by_start]


def _is_inside(inner: Mapping[str, Any], outer: Mapping[str, Any]) -> bool:
    """Starts and durations are rounded down, so the next call never seems to begin before the end of the last."""
    same_thread = bool(inner.get("tid", 0) == outer.get("tid", 0))
    return same_thread and bool(inner["ts"] < outer["ts"] + outer.get("dur", 0))
