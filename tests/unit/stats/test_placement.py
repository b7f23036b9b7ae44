"""Where the nodes went, in words and against a plan's limits."""

from __future__ import annotations

import pytest
from edgesweep.stats.placement import FallbackPolicy, against, in_words, over_trials, percent
from edgesweep_proto.trial import Placement, ProviderShare

OPENVINO, CPU = "OpenVINOExecutionProvider", "CPUExecutionProvider"


def placed(
    method: str = "assignment",
    *,
    nodes: tuple[int, int] = (4, 1),
    times: tuple[float | None, float | None] = (0.97, 0.03),
    parts: tuple[int | None, int | None] = (2, None),
) -> Placement:
    shares = (
        ProviderShare(OPENVINO, nodes[0], times[0], parts[0], {"MatMul": 2, "Add": 1}),
        ProviderShare(CPU, nodes[1], times[1], parts[1], {"Hardmax": 1, "IsInf": 3}),
    )
    return Placement(method, "h", shares)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (placed(), "openvino 4 of 5 nodes in 2 parts (97 % of the time), cpu 1 node (3 %: IsInf 3, Hardmax)"),
        (
            placed("profile", nodes=(2, 3)),
            (
                "openvino 2 of 5 nodes (97 % of the time), cpu 3 nodes (3 %: IsInf 3, Hardmax) by a profile, in which each "
                "compiled part counts as one node"
            ),
        ),
        (placed(times=(None, None), parts=(1, None)), "openvino 4 of 5 nodes in 1 part, cpu 1 node (IsInf 3, Hardmax)"),
        (placed(nodes=(1, 0), times=(1.0, None), parts=(1, None)), "openvino 1 of 1 node (100 % of the time)"),
        (
            placed(nodes=(0, 2), times=(None, 1.0), parts=(None, None)),
            "openvino 0 of 2 nodes, cpu 2 nodes (100 %: IsInf 3, Hardmax)",
        ),
    ],
)
def test_shares_in_words(found: Placement, words: str) -> None:
    assert in_words(found, OPENVINO) == words


def test_the_provider_that_was_asked_for_stands_first() -> None:
    assert in_words(placed(), CPU) == (
        "cpu 1 of 5 nodes (3 % of the time), openvino 4 nodes in 2 parts (97 %: MatMul 2, Add)"
    )


def test_a_little_is_not_nothing_and_nearly_all_is_not_all() -> None:
    assert [percent(share) for share in (0, 0.001, 0.5, 0.999, 1)] == ["0 %", "<1 %", "50 %", ">99 %", "100 %"]


@pytest.mark.parametrize(
    ("found", "limits", "missed", "unknown"),
    [
        (placed(), {"min_nodes": 0.8, "min_time": 0.97}, [], []),
        (placed(), {"min_nodes": 0.81}, ["the plan wants 81 % of the nodes on openvino at least"], []),
        (placed(), {"min_time": 0.98}, ["the plan wants 98 % of the time on openvino at least"], []),
        (placed(times=(None, None)), {"min_time": 0.5}, [], ["openvino has 50 % of the time cannot be told"]),
        # Two parts and three nodes: the parts may hold any number of nodes.
        (placed("profile", nodes=(2, 3)), {"min_nodes": 0.8}, [], ["80 % of the nodes on openvino are reached cannot"]),
        (placed("profile", nodes=(4, 1)), {"min_nodes": 0.8}, [], []),
        # The other provider compiles: it may have more nodes than are counted, so that less than enough is sure.
        (placed("profile", nodes=(4, 1), parts=(None, 1)), {"min_nodes": 0.8}, [], ["are reached cannot be told"]),
        (placed("profile", nodes=(1, 4), parts=(None, 1)), {"min_nodes": 0.8}, ["80 % of the nodes"], []),
    ],
)
def test_limits_are_met_missed_or_beyond_what_is_known(
    found: Placement, limits: dict[str, float], missed: list[str], unknown: list[str]
) -> None:
    shortfall = against(found, OPENVINO, FallbackPolicy("warn", **limits))
    assert len(shortfall.missed) == len(missed)
    assert len(shortfall.unknown) == len(unknown)
    told = zip(shortfall.missed + shortfall.unknown, missed + unknown, strict=True)
    assert all(expected in sentence for sentence, expected in told)


def test_over_trials_times_are_medians_of_those_that_were_placed_alike() -> None:
    slow = Placement("assignment", "another", (ProviderShare(OPENVINO, 5, 0.1),))
    found = over_trials([placed(times=(share, 1 - share)) for share in (0.9, 0.2, 0.8)] + [slow])
    assert found is not None
    assert [share.time_share for share in found.shares] == [0.8, pytest.approx(0.2)]
    untold = over_trials([placed(times=(None, None))])
    assert untold is not None
    assert [share.time_share for share in untold.shares] == [None, None]
    assert over_trials([]) is None
