"""Where a cell's nodes went and which take the time, as short texts beside its median."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgesweep_proto.codec import from_json
from edgesweep_proto.trial import Placement, ProviderShare

from edgesweep.report import units
from edgesweep.report.node_profiles import node_line
from edgesweep.report.outcomes import Cell
from edgesweep.stats.placement import in_words, operators_text, percent, short


def placement_beside(cell: Cell) -> list[str]:
    """The shares of a cell that is partial, and the slowest operators of one whose nodes were timed."""
    return [text for text in (partial_text(cell), node_line(cell)) if text]


def partial_text(cell: Cell) -> str:
    """`openvino 4 of 5 nodes in 2 parts (97 % of the time), cpu 1 node (3 %: Hardmax)`; empty where all are in one place."""
    placement = _partial(cell)
    # Providers stand in the order of the session, which is that of the chain.
    return in_words(placement, placement.shares[0].provider) if placement is not None else ""


@dataclass(frozen=True, slots=True)
class PartialCell:
    """A cell whose nodes are in several places: per provider its name, nodes, their share, parts, share of time, operators."""

    name: str
    method: str
    shares: tuple[tuple[str, ...], ...]


def partial_cells(cells: Iterable[Cell]) -> list[PartialCell]:
    """The partial cells with what each provider has, in the order of the chain; those that share a measurement once."""
    found = []
    for cell in cells:
        placement = None if cell.get("same_as") else _partial(cell)
        if placement is not None:
            total = sum(share.nodes for share in placement.shares)
            rows = tuple(_row(share, total) for share in placement.shares if share.nodes)
            found.append(PartialCell(cell["name"], placement.method, rows))
    return found


def _row(share: ProviderShare, total: int) -> tuple[str, ...]:
    return (
        short(share.provider),
        units.count(share.nodes),
        percent(share.nodes / total),
        units.count(share.subgraphs),
        units.NOTHING if share.time_share is None else percent(share.time_share),
        operators_text(share.operators) or units.NOTHING,
    )


def _partial(cell: Cell) -> Placement | None:
    found = cell.get("placement") or {}
    if "partial" not in (cell.get("tags") or []) or not found.get("shares"):
        return None
    placement: Placement = from_json(Placement, {key: value for key, value in found.items() if key != "hashes"})
    return placement
