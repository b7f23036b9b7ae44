"""Two small models, half of whose nodes OpenVINO cannot take; no benchmark by itself.

OpenVINO has no Hardmax (export-facts.md, "Providers that can be exercised"), and it leaves a lone node of its own to the CPU.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

WIDTH = 64
OPSET, IR_VERSION = 17, 8
OPENVINO, CPU = "OpenVINOExecutionProvider", "CPUExecutionProvider"

#: Operators in order, the nodes that each provider must end with, and the parts that OpenVINO compiles.
MODELS = {
    # The last one alone is OpenVINO's: the product before it stands alone too, and stays behind.
    "third": (("MatMul", "Hardmax", "Relu"), {OPENVINO: 1, CPU: 2}, 1),
    "half": (("MatMul", "Tanh", "Hardmax", "Hardmax") * 2, {OPENVINO: 4, CPU: 4}, 2),
}


def write(folder: Path) -> dict[str, tuple[dict[str, int], int]]:
    """Writes both below `folder`; of each the nodes by provider, and OpenVINO's parts."""
    folder.mkdir(exist_ok=True)
    for name, (operators, _, _) in MODELS.items():
        onnx.save(chain_of(operators), folder / f"{name}.onnx")
    return {name: (nodes, parts) for name, (_, nodes, parts) in MODELS.items()}


def chain_of(operators: tuple[str, ...]) -> onnx.ModelProto:
    """One operator after the other on x [8, 64]; products are with one and the same square of weights."""
    weights = np.random.default_rng(0).standard_normal((WIDTH, WIDTH), np.float32) / 8
    nodes = []
    for place, operator in enumerate(operators):
        ends = ["x" if place == 0 else f"v{place}"], ["y" if place == len(operators) - 1 else f"v{place + 1}"]
        more = {"MatMul": ["w"]}.get(operator, [])
        attributes = {"axis": -1} if operator == "Hardmax" else {}
        nodes.append(helper.make_node(operator, ends[0] + more, ends[1], **attributes))
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, WIDTH]) for name in "xy")
    graph = helper.make_graph(nodes, "chain", [x], [y], [numpy_helper.from_array(weights, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model
