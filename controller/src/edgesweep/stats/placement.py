"""Where the nodes went: over several trials, in words, and against what a plan wants of it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgesweep_proto.trial import Placement, ProviderShare

#: So many operators of a provider are named.
_NAMED = 6
_SUFFIX = "ExecutionProvider"


@dataclass(frozen=True, slots=True)
class FallbackPolicy:
    """What a plan says of nodes outside the chain's first provider.

    `word` is allow, warn or fail. `min_nodes` and `min_time` are the least shares (0 to 1) of the nodes and of the time that
    the first provider must have; None sets no limit.
    """

    word: str = "warn"
    min_nodes: float | None = None
    min_time: float | None = None

    @property
    def limits(self) -> bool:
        """Whether a share is asked for."""
        return self.min_nodes is not None or self.min_time is not None


@dataclass(frozen=True, slots=True)
class Shortfall:
    """What became of a plan's limits: a sentence for each that is missed, and for each that nothing can be said of."""

    missed: tuple[str, ...]
    unknown: tuple[str, ...]


def over_trials(placements: Sequence[Placement]) -> Placement | None:
    """The first placement, with the median share of time over the trials that had the same one; None without any."""
    if not placements:
        return None
    first = placements[0]
    alike = [found for found in placements if found.hash == first.hash]

    def share(own: ProviderShare) -> ProviderShare:
        times = [
            other.time_share
            for found in alike
            for other in found.shares
            if other.provider == own.provider and other.time_share is not None
        ]
        return replace(own, time_share=statistics.median(times) if times else None)

    return replace(first, shares=tuple(map(share, first.shares)))


def counts_parts(placement: Placement) -> bool:
    """Whether a part that a provider compiled counts as one node, since a profile shows no more of it."""
    return placement.method == "profile" and any(share.subgraphs for share in placement.shares)


def elsewhere(placement: Placement, first: str) -> int:
    """Nodes outside the provider `first`."""
    return sum(share.nodes for share in placement.shares if share.provider != first)


def in_words(placement: Placement, first: str) -> str:
    """`openvino 4 of 5 nodes in 2 parts (97 % of the time), cpu 1 node (3 %: Hardmax)`, the provider `first` first.

    A provider without nodes is left out, unless it is the first.
    """
    ordered = sorted(placement.shares, key=lambda share: share.provider != first)
    total = sum(share.nodes for share in placement.shares)
    told = [share for share in ordered if share.nodes or share.provider == first]
    words = [_share(share, total if share is told[0] else None, placement) for share in told]
    note = " by a profile, in which each compiled part counts as one node" if counts_parts(placement) else ""
    return ", ".join(words) + note


def _share(share: ProviderShare, total: int | None, placement: Placement) -> str:
    noun = "node" if (share.nodes if total is None else total) == 1 else "nodes"
    words = f"{short(share.provider)} {share.nodes}{'' if total is None else f' of {total}'} {noun}"
    if share.subgraphs and placement.method == "assignment" and share.subgraphs < share.nodes:
        words += f" in {share.subgraphs} part{'s' * (share.subgraphs > 1)}"
    time = "" if share.time_share is None else percent(share.time_share)
    operators = operators_text(share.operators)
    # Of the first provider the share is explained, of the others what they got: mostly that is short.
    more = (time and f"{time} of the time") if total is not None else ": ".join(filter(None, [time, operators]))
    return f"{words} ({more})" if more else words


def operators_text(operators: dict[str, int]) -> str:
    """`Hardmax, IsInf 3`: the operators, the most frequent first, with how many where that is more than one."""
    ordered = sorted(operators.items(), key=lambda item: (-item[1], item[0]))
    words = [name if count == 1 else f"{name} {count}" for name, count in ordered[:_NAMED]]
    if len(ordered) > _NAMED:
        words.append(f"and {len(ordered) - _NAMED} more operators")
    return ", ".join(words)


def percent(share: float) -> str:
    """A share in whole percent, but neither nothing nor all where there is a little or a little is missing."""
    whole = round(100 * share)
    if whole == 0 and share > 0:
        return "<1 %"
    if whole == 100 and share < 1:  # noqa: PLR2004 - all of it
        return ">99 %"
    return f"{whole} %"


def short(provider: str) -> str:
    """`cpu` for `CPUExecutionProvider`."""
    return provider.removesuffix(_SUFFIX).lower()


def against(placement: Placement, first: str, policy: FallbackPolicy) -> Shortfall:
    """Hold the share of the provider `first` against the policy's limits.

    A profile counts a compiled part as one node, whatever it holds: the true share of nodes is then only known to lie
    above the counted one (where `first` compiles) or below it (where others do).
    """
    missed, unknown = [], []
    name = short(first)
    shares = {share.provider: share for share in placement.shares}
    total = sum(share.nodes for share in placement.shares)
    if policy.min_nodes is not None and total:
        got = (shares[first].nodes if first in shares else 0) / total
        may_be_more = counts_parts(placement) and first in shares and bool(shares[first].subgraphs)
        may_be_less = counts_parts(placement) and any(s.subgraphs for s in placement.shares if s.provider != first)
        wanted = f"{percent(policy.min_nodes)} of the nodes on {name}"
        if got < policy.min_nodes and not may_be_more:
            missed.append(f"the plan wants {wanted} at least")
        elif (got < policy.min_nodes and may_be_more) or (got >= policy.min_nodes and may_be_less):
            unknown.append(
                f"placement unsure: whether {wanted} are reached cannot be told, since this onnxruntime tells only parts that "
                "were compiled; use 1.24.1 or newer, or set placement.min_time alone"
            )
    if policy.min_time is not None:
        time = shares[first].time_share if first in shares else 0.0
        if time is None:
            unknown.append(
                f"placement unsure: whether {name} has {percent(policy.min_time)} of the time cannot be told, since nothing "
                "was timed by node; use a preset that times, or measure.node_profile"
            )
        elif time < policy.min_time:
            missed.append(f"the plan wants {percent(policy.min_time)} of the time on {name} at least")
    return Shortfall(tuple(missed), tuple(unknown))
