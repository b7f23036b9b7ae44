"""Where a cell's nodes went and which take the time, as short texts beside its median."""

from __future__ import annotations

from edgesweep_proto.codec import from_json
from edgesweep_proto.trial import Placement

from edgesweep.report.node_profiles import node_line
from edgesweep.report.outcomes import Cell
from edgesweep.stats.placement import in_words


def placement_beside(cell: Cell) -> list[str]:
    """The shares of a cell that is partial, and the slowest operators of one whose nodes were timed."""
    return [text for text in (partial_text(cell), node_line(cell)) if text]


def partial_text(cell: Cell) -> str:
    """`openvino 4 of 5 nodes in 2 parts (97 % of the time), cpu 1 node (3 %: Hardmax)`; empty where all are in one place."""
    found = cell.get("placement") or {}
    if "partial" not in (cell.get("tags") or []) or not found.get("shares"):
        return ""
    placement = from_json(Placement, {key: value for key, value in found.items() if key != "hashes"})
    # Providers stand in the order of the session, which is that of the chain.
    return in_words(placement, placement.shares[0].provider)
