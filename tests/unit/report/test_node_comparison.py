"""Two cells node by node: what is the same node, what moved, and what it costs."""

from __future__ import annotations

from typing import Any

import pytest
from edgesweep.report.node_comparison import NodeComparison, Side, compare_nodes, comparison_document
from edgesweep.report.node_comparison_text import comparison_markdown, comparison_table
from rich.console import Console

OPENVINO, CPU = "OpenVINOExecutionProvider", "CPUExecutionProvider"
Node = dict[str, Any]


def node(
    name: str, operator: str, microseconds: float, provider: str = CPU, *, holds: tuple[str, ...] = (), **sizes: int
) -> Node:
    return {
        "name": name,
        "operator": operator,
        "provider": provider,
        "seconds": microseconds * 1e-6,
        "calls": 1,
        "output_bytes": sizes.get("output", 8),
        "parameter_bytes": sizes.get("weights", 0),
        "activation_bytes": 8,
        "holds": list(holds),
    }


def side(*nodes: Node, cell: str = "board/net/cpu", left_out: int = 0, left_out_s: float = 0.0) -> Side:
    profile = {
        "trials": 3,
        "runs": 5,
        "total_s": sum(item["seconds"] for item in nodes) + left_out_s,
        "nodes": list(nodes),
        "left_out": left_out,
        "left_out_s": left_out_s,
    }
    return Side("run-1", cell, profile)


ON_CPU = side(
    node("second", "MatMul", 140),
    node("first", "MatMul", 130),
    node("hard", "Hardmax", 9),
    node("twice", "Add", 4),
    node("relu", "Relu", 3),
)
ON_OPENVINO = side(
    node("OV_0", "subgraph_1", 200, OPENVINO, holds=("first", "twice")),
    node("OV_1", "subgraph_2", 150, OPENVINO, holds=("second", "relu")),
    node("hard", "Hardmax", 6),
    cell="board/net/openvino",
)


def rows(found: NodeComparison) -> list[tuple[list[str], list[str], str]]:
    return [
        ([n["name"] for n in pair.first], [n["name"] for n in pair.second], pair.matched_by) for pair in found.pairs
    ]


def text_of(found: NodeComparison) -> str:
    console = Console(width=140)
    with console.capture() as shown:
        console.print(comparison_table(found))
    return shown.get()


def test_a_compiled_part_is_held_against_the_nodes_that_it_stands_for() -> None:
    found = compare_nodes(ON_CPU, ON_OPENVINO)
    assert rows(found) == [
        (["first", "twice"], ["OV_0"], "part"),
        (["second", "relu"], ["OV_1"], "part"),
        (["hard"], ["hard"], "name"),
    ]
    first, second, hard = found.pairs
    assert (first.moved, second.moved, hard.moved) == (True, True, False)
    assert first.seconds == (pytest.approx(134e-6), pytest.approx(200e-6))
    assert first.operators == ("MatMul", "Add")
    assert found.totals == (pytest.approx(286e-6), pytest.approx(356e-6))


def test_parts_that_are_cut_differently_hang_together() -> None:
    other = side(
        node("OV_0", "subgraph_1", 90, OPENVINO, holds=("first",)),
        node("OV_1", "subgraph_2", 90, OPENVINO, holds=("twice", "hard", "second", "relu")),
    )
    found = compare_nodes(ON_OPENVINO, other)
    assert rows(found) == [(["OV_0", "OV_1", "hard"], ["OV_0", "OV_1"], "part")]
    # Part of it was on the CPU before.
    assert found.pairs[0].moved


def test_a_node_that_onnxruntime_fused_with_the_next_is_still_that_node() -> None:
    before = side(node("/head/MatMul", "MatMul", 10), node("/head/Add", "Add", 2), node("/c/Conv", "Conv", 5))
    after = side(node("/head/MatMul/MatMulAddFusion", "Gemm", 11), node("fused /c/Conv", "FusedConv", 6))
    assert {(tuple(a), tuple(b)): by for a, b, by in rows(compare_nodes(before, after))} == {
        (("/head/MatMul",), ("/head/MatMul/MatMulAddFusion",)): "name",
        (("/c/Conv",), ("fused /c/Conv",)): "name",
        (("/head/Add",), ()): "",
    }


def test_what_moved_comes_first_then_what_differs_most() -> None:
    before = side(node("a", "Conv", 10), node("b", "Conv", 50), node("c", "Relu", 5))
    after = side(node("a", "Conv", 30), node("b", "Conv", 20), node("c", "Relu", 5, OPENVINO))
    assert [pair.name for pair in compare_nodes(before, after).pairs] == ["c", "b", "a"]


def test_other_names_are_matched_by_operator_sizes_and_the_numbers_in_them() -> None:
    before = side(
        node("/conv2/Conv", "Conv", 20, weights=36),
        node("/conv10/Conv", "Conv", 10, weights=36),
        node("/head/Conv", "Conv", 5, weights=99),
        node("/x/Softmax", "Softmax", 1),
    )
    after = side(
        node("node_conv_2", "Conv", 21, weights=36),
        node("node_conv_10", "Conv", 11, weights=36),
        node("node_conv_11", "Conv", 6, weights=99),
        node("node_gelu", "Gelu", 2),
    )
    found = {(tuple(a), tuple(b)): by for a, b, by in rows(compare_nodes(before, after))}
    assert found == {
        (("/conv2/Conv",), ("node_conv_2",)): "order",
        (("/conv10/Conv",), ("node_conv_10",)): "order",
        (("/head/Conv",), ("node_conv_11",)): "order",
        (("/x/Softmax",), ()): "",
        ((), ("node_gelu",)): "",
    }


def test_nodes_of_other_sizes_are_matched_only_where_there_are_as_many() -> None:
    before = side(node("a1", "Conv", 1, output=10), node("a2", "Conv", 1, output=20), node("p", "Pad", 1, output=1))
    after = side(node("b1", "Conv", 1, output=11), node("q", "Pad", 1, output=2))
    assert {by for _, _, by in rows(compare_nodes(before, after))} == {"order", ""}
    assert (["p"], ["q"], "order") in rows(compare_nodes(before, after))


def test_the_document_has_seconds_and_both_sides() -> None:
    document = comparison_document(compare_nodes(ON_CPU, ON_OPENVINO))
    assert document["total"]["difference_s"] == pytest.approx(70e-6)
    assert document["total"]["ratio"] == pytest.approx(356 / 286)
    operators = {item["operator"]: item for item in document["operators"]}
    assert operators["MatMul"]["a_s"] == pytest.approx(270e-6)
    assert (operators["MatMul"]["b_s"], operators["MatMul"]["ratio"], operators["MatMul"]["nodes_b"]) == (None, None, 0)
    assert (operators["Hardmax"]["providers_a"], operators["Hardmax"]["providers_b"]) == ([CPU], [CPU])
    assert document["nodes"][0]["nodes_a"] == ["first", "twice"]
    assert [item["moved"] for item in document["nodes"]] == [True, True, False]
    assert document["b"] == {
        "run": "run-1",
        "cell": "board/net/openvino",
        "trials": 3,
        "runs": 5,
        "total_s": pytest.approx(356e-6),
        "left_out": 0,
        "left_out_s": 0.0,
    }


def test_people_see_the_unit_the_way_and_what_is_left_out() -> None:
    shown = text_of(compare_nodes(ON_CPU, side(*ON_OPENVINO.profile["nodes"], left_out=4, left_out_s=2e-6)))
    assert "B-A µs" in shown
    assert "Moved to another provider" in shown
    assert "cpu -> openvino" in shown
    assert "first, twice" in shown
    assert "B has 4 nodes, 2.00 µs together, that are in its total only." in shown
    markdown = comparison_markdown(compare_nodes(ON_CPU, ON_OPENVINO))
    assert "| first, twice | MatMul, Add | 134 | 200 | +66.0 | 1.49x | cpu -\\> openvino |" in markdown
    assert "matched by operator" not in markdown
