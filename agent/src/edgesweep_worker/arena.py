"""onnxruntime's own figures of its arena, from the profile of an untimed session: no sampling, the same on every repeat.

From 1.32 on each node's event carries them, read when the node has run and before its inputs are freed; older versions
have none, nor has a session without an arena.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Sequence

from edgesweep_worker.profile_events import run_starts

_CPU = "CPUExecutionProvider"
_METHOD = "onnxruntime's profile of {} untimed runs, at the end of each node; weights that lie in the arena are counted"


def read_arena(events: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """ArenaMemory as JSON data from the events of a profile; None where they say nothing of an arena.

    Only nodes on the CPU count: those of other providers tell of another arena. `in_use_peak_bytes` is with the arena's
    rounding of each block, `requested_peak_bytes` without; what the arena holds grows where a second run takes its
    values in one block, which is told by `held_first_run_bytes` against `held_bytes`.
    """
    starts = run_starts(events)
    figures = [
        (event["ts"], details)
        for event in events
        for details in [event.get("args") or {}]
        if event.get("cat") == "Node" and details.get("provider") == _CPU and "mem_arena_held" in details
    ]
    if not starts or not figures:
        return None
    first = [details for at, details in figures if bisect_right(starts, at) <= 1]
    everything = [details for _, details in figures]
    return {
        "in_use_peak_bytes": _most(everything, "mem_in_use_peak"),
        "requested_peak_bytes": _most(everything, "mem_bytes_requested_in_use"),
        "held_first_run_bytes": _most(first, "mem_arena_held"),
        "held_bytes": _most(everything, "mem_arena_held"),
        "method": _METHOD.format(len(starts)),
    }


def _most(figures: Sequence[dict[str, Any]], name: str) -> int | None:
    """The largest of the figures; the profile writes numbers as text."""
    return max((int(details[name]) for details in figures if name in details), default=None)
