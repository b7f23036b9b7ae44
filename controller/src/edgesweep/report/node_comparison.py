"""Two cells held against each other node by node: what each node takes in either, and what changed its provider."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edgesweep.report.node_profiles import node_name
from edgesweep.report.plain_data import Json

SCHEMA_VERSION = 1
_DIGITS = re.compile(r"(\d+)")
_FUSED = re.compile(r"^fused |/\w+Fusion$")


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two cells: its name, its run's id, and its `node_profile` as in the result document."""

    run: str
    cell: str
    profile: Json


@dataclass(frozen=True, slots=True)
class Pair:
    """What stands for the same part of the model in both cells; one side may be empty.

    `matched_by` is name, part (a provider compiled several nodes as one, which are single nodes or other parts in the other
    cell), order (the same operator with other names), or empty where the other cell has nothing that fits.
    """

    first: tuple[Json, ...]
    second: tuple[Json, ...]
    matched_by: str

    @property
    def seconds(self) -> tuple[float | None, float | None]:
        """Time in either cell; None where it has no such node."""
        return _sum(self.first), _sum(self.second)

    @property
    def providers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Providers in either cell, by onnxruntime's names."""
        return _providers(self.first), _providers(self.second)

    @property
    def moved(self) -> bool:
        """Whether it runs on another provider in the second cell."""
        first, second = self.providers
        return bool(first and second and first != second)

    @property
    def name(self) -> str:
        """The nodes' name, that of the first cell where they differ."""
        return _names(self.first or self.second)

    @property
    def operators(self) -> tuple[str, ...]:
        """Distinct operators: those of the single nodes where the other side is a compiled part."""
        plain = [node["operator"] for node in (*self.first, *self.second) if not node["holds"]]
        return tuple(dict.fromkeys(plain or [node["operator"] for node in (*self.first, *self.second)]))


@dataclass(frozen=True, slots=True)
class OperatorPair:
    """All nodes of one operator in either cell: how many, their time, and who runs them."""

    operator: str
    nodes: tuple[int, int]
    seconds: tuple[float | None, float | None]
    providers: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class NodeComparison:
    """`pairs` with those that moved first, then by how far the times differ; `operators` by how far they differ."""

    first: Side
    second: Side
    pairs: tuple[Pair, ...]
    operators: tuple[OperatorPair, ...]

    @property
    def totals(self) -> tuple[float, float]:
        """Time of all nodes of either cell, those that are not told one by one included."""
        return float(self.first.profile["total_s"]), float(self.second.profile["total_s"])


def compare_nodes(first: Side, second: Side) -> NodeComparison:
    """Match the nodes of both cells and hold their times against each other.

    Nodes are the same by name, or where one of them is a compiled part that holds the other; those that are left by operator,
    weights and outputs of one size, in the order of their names, as exporters number them.
    """
    left, right = first.profile["nodes"], second.profile["nodes"]
    pairs, left, right = _by_name(left, right)
    pairs += _by_order(left, right)
    pairs.sort(key=lambda pair: (not pair.moved, -abs(difference(pair.seconds) or 0.0), pair.name))
    return NodeComparison(first, second, tuple(pairs), _operators(first.profile["nodes"], second.profile["nodes"]))


def difference(seconds: tuple[float | None, float | None]) -> float:
    """Seconds that the second takes more; a node that is not there takes none."""
    return (seconds[1] or 0.0) - (seconds[0] or 0.0)


def ratio(seconds: tuple[float | None, float | None]) -> float | None:
    """The second over the first; None where one of them is missing or nothing."""
    first, second = seconds
    return second / first if first and second is not None else None


def comparison_document(found: NodeComparison) -> Json:
    """The comparison as JSON data, times in seconds."""
    return {
        "schema_version": SCHEMA_VERSION,
        "a": _side(found.first),
        "b": _side(found.second),
        "total": _times(found.totals),
        "operators": [
            {
                "operator": pair.operator,
                "nodes_a": pair.nodes[0],
                "nodes_b": pair.nodes[1],
                **_times(pair.seconds),
                "providers_a": list(pair.providers[0]),
                "providers_b": list(pair.providers[1]),
            }
            for pair in found.operators
        ],
        "nodes": [
            {
                "name": pair.name,
                "nodes_a": [node["name"] for node in pair.first],
                "nodes_b": [node["name"] for node in pair.second],
                "operators": list(pair.operators),
                "matched_by": pair.matched_by,
                **_times(pair.seconds),
                "providers_a": list(pair.providers[0]),
                "providers_b": list(pair.providers[1]),
                "moved": pair.moved,
            }
            for pair in found.pairs
        ],
    }


def _side(side: Side) -> Json:
    told = ("trials", "runs", "total_s", "left_out", "left_out_s")
    return {"run": side.run, "cell": side.cell, **{name: side.profile[name] for name in told}}


def _times(seconds: tuple[float | None, float | None]) -> Json:
    return {
        "a_s": seconds[0],
        "b_s": seconds[1],
        "difference_s": difference(seconds),
        "ratio": ratio(seconds),
    }


def _by_name(first: Sequence[Json], second: Sequence[Json]) -> tuple[list[Pair], list[Json], list[Json]]:
    """Pairs that have a name in common, as parts of the model that hang together, and what is left of both sides."""
    groups: dict[str, int] = {}
    for node in (*first, *second):
        covered = _covers(node)
        known = {groups[name] for name in covered if name in groups}
        group = min(known, default=len(groups))
        groups.update(dict.fromkeys(covered, group))
        if len(known) > 1:
            groups.update({name: group for name, other in groups.items() if other in known})
    members: dict[int, tuple[list[Json], list[Json]]] = {}
    for side, nodes in enumerate((first, second)):
        for node in nodes:
            members.setdefault(groups[_covers(node)[0]], ([], []))[side].append(node)
    pairs, left, right = [], [], []
    for ours, theirs in members.values():
        if ours and theirs:
            plain = len(ours) == len(theirs) == 1 and not (ours[0]["holds"] or theirs[0]["holds"])
            pairs.append(Pair(tuple(ours), tuple(theirs), "name" if plain else "part"))
        left += ours if not theirs else []
        right += theirs if not ours else []
    return pairs, left, right


def _by_order(first: Sequence[Json], second: Sequence[Json]) -> list[Pair]:
    """What has no name in common: alike in operator and sizes, else in operator where both have as many of it."""
    pairs: list[Pair] = []
    left, right = sorted(first, key=_in_order), sorted(second, key=_in_order)
    for alike, even in ((_kind_and_sizes, False), (_kind, True)):
        ours, theirs = _grouped(left, alike), _grouped(right, alike)
        for key in ours.keys() & theirs.keys():
            if even and len(ours[key]) != len(theirs[key]):
                continue
            pairs += [Pair((a,), (b,), "order") for a, b in zip(ours[key], theirs[key], strict=False)]
        taken = {id(node) for pair in pairs for node in (*pair.first, *pair.second)}
        left = [node for node in left if id(node) not in taken]
        right = [node for node in right if id(node) not in taken]
    return [*pairs, *(Pair((node,), (), "") for node in left), *(Pair((), (node,), "") for node in right)]


def _covers(node: Json) -> list[str]:
    """Names that a node stands for, without what onnxruntime adds to a node that it has fused with the next."""
    return [_FUSED.sub("", name) for name in node["holds"] or [node["name"]]]


def _kind(node: Json) -> Any:
    return node["operator"]


def _kind_and_sizes(node: Json) -> Any:
    return node["operator"], node["parameter_bytes"], node["output_bytes"]


def _in_order(node: Json) -> list[tuple[int, int, str]]:
    """Numbers in a name as numbers, so that node 10 comes after node 9."""
    parts = _DIGITS.split(node["name"])
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def _grouped(nodes: Iterable[Json], key: Any) -> dict[Any, list[Json]]:
    groups: dict[Any, list[Json]] = {}
    for node in nodes:
        groups.setdefault(key(node), []).append(node)
    return groups


def _operators(first: Sequence[Json], second: Sequence[Json]) -> tuple[OperatorPair, ...]:
    ours, theirs = _grouped(first, _kind), _grouped(second, _kind)
    pairs = [
        OperatorPair(
            operator,
            (len(ours.get(operator, ())), len(theirs.get(operator, ()))),
            (_sum(ours.get(operator, ())), _sum(theirs.get(operator, ()))),
            (_providers(ours.get(operator, ())), _providers(theirs.get(operator, ()))),
        )
        for operator in dict.fromkeys([*ours, *theirs])
    ]
    return tuple(sorted(pairs, key=lambda pair: (-abs(difference(pair.seconds)), pair.operator)))


def _sum(nodes: Sequence[Json]) -> float | None:
    return sum(float(node["seconds"]) for node in nodes) if nodes else None


def _providers(nodes: Sequence[Json]) -> tuple[str, ...]:
    return tuple(sorted({str(node["provider"]) for node in nodes}))


def _names(nodes: Sequence[Json]) -> str:
    """The name of one node; of several those that they cover, in order."""
    if len(nodes) == 1:
        return node_name(nodes[0])
    ordered = sorted(nodes, key=_in_order)
    return node_name({"name": "", "holds": [name for node in ordered for name in _covers(node)]})
