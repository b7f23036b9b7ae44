"""Models whose memory is known: values of a given size that live at once, and weights of a given size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 13, 8
FLOAT_BYTES = 4


def three_alive(path: Path, tensor_bytes: int) -> None:
    """Write a model that holds three values of `tensor_bytes` at once, for no longer than the last one is written.

    `a` is needed again by the last node, `b` until `c` is made of it; no node may write over its input.
    """
    constants = {"shape": [tensor_bytes // FLOAT_BYTES], "once": [1], "from": [0], "to": [1], "zero": np.float32(0)}
    _save(
        path,
        [
            helper.make_node("Expand", ["x", "shape"], ["a"]),
            helper.make_node("Tile", ["a", "once"], ["b"]),
            helper.make_node("Tile", ["b", "once"], ["c"]),
            helper.make_node("Slice", ["c", "from", "to"], ["first"]),
            helper.make_node("Mul", ["first", "zero"], ["none"]),
            helper.make_node("Cast", ["none"], ["index"], to=TensorProto.INT64),
            helper.make_node("Gather", ["a", "index"], ["y"]),
        ],
        [1],
        [1],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )


def matmul_weights(path: Path, weight_bytes: int, layers: int = 4) -> tuple[int, ...]:
    """Write a chain of matrix products with `weight_bytes` of weights; returns the shape of its input `x`."""
    width = round((weight_bytes / layers / FLOAT_BYTES) ** 0.5)
    nodes = [helper.make_node("MatMul", [_link(at), f"w{at}"], [_link(at + 1, layers)]) for at in range(layers)]
    _save(path, nodes, [1, width], [1, width], _weights((width, width), layers))
    return (1, width)


def conv_weights(path: Path, weight_bytes: int, layers: int = 4) -> tuple[int, ...]:
    """Write a chain of 3x3 convolutions with `weight_bytes` of weights; returns the shape of its input `x`."""
    channels = round((weight_bytes / layers / FLOAT_BYTES / 9) ** 0.5)
    nodes = [
        helper.make_node("Conv", [_link(at), f"w{at}"], [_link(at + 1, layers)], pads=[1, 1, 1, 1])
        for at in range(layers)
    ]
    shape = [1, channels, 4, 4]
    _save(path, nodes, shape, shape, _weights((channels, channels, 3, 3), layers))
    return tuple(shape)


def _link(at: int, layers: int | None = None) -> str:
    return "x" if at == 0 else "y" if at == layers else f"h{at}"


def _weights(shape: tuple[int, ...], layers: int) -> list[TensorProto]:
    random = np.random.default_rng(4)
    scale = float(np.sqrt(3 / np.prod(shape[1:])))
    return [
        numpy_helper.from_array(random.uniform(-scale, scale, shape).astype(np.float32), f"w{at}")
        for at in range(layers)
    ]


def _save(
    path: Path, nodes: list[onnx.NodeProto], taken: list[int], given: list[int], initializers: list[TensorProto]
) -> None:
    graph = helper.make_graph(
        nodes,
        "known",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, taken)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, given)],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = IR_VERSION
    path.write_bytes(model.SerializeToString())
