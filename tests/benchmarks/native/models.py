"""The models that the loops are held against each other on: about 1 us, 30 us, 1 ms and 10 ms on a plain core.

Weights and inputs are seeded; everything is float32. Opset 17 and IR 8, which every supported runtime takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class BenchModel:
    """A model on disk with its inputs, and the shapes of its outputs by name, in the model's own order."""

    name: str
    path: Path
    inputs: dict[str, NDArray[np.float32]]
    outputs: Shapes


class _Graph:
    """Nodes and weights as they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(0)

    def weight(self, *shape: int) -> str:
        """A weight of that shape, scaled so that values stay near 1 through many layers."""
        fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[0]
        return self.constant(self._random.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(fan_in)))

    def constant(self, value: NDArray[np.generic]) -> str:
        """A constant, as an initializer."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def add(self, operator: str, *given: str, **attributes: object) -> str:
        """A node of one output; returns its name."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(given), [name], **attributes))
        return name

    def save(self, path: Path, name: str, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> BenchModel:
        """Write the model with input x; its output y is what the last node gives."""
        self.nodes[-1].output[0] = "y"
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, y_shape)],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        target = path / f"{name}.onnx"
        target.write_bytes(model.SerializeToString())
        x = np.random.default_rng(1).standard_normal(x_shape, dtype=np.float32)
        return BenchModel(name, target, {"x": x}, {"y": y_shape})


def add(folder: Path) -> BenchModel:
    """One Add of 16 numbers: what is left is the call itself."""
    graph = _Graph()
    graph.add("Add", "x", "x")
    return graph.save(folder, "add", (1, 16), (1, 16))


def mlp(folder: Path) -> BenchModel:
    """Four Gemm, 2.1 MB of weights."""
    graph, value, widths = _Graph(), "x", (128, 512, 512, 256, 256)
    for before, after in itertools.pairwise(widths):
        value = graph.add("Relu", graph.add("Gemm", value, graph.weight(before, after), graph.weight(after)))
    return graph.save(folder, "mlp", (1, widths[0]), (1, widths[-1]))


def cnn(folder: Path) -> BenchModel:
    """Six convolutions, 0.9 MB of weights."""
    graph, value, channels = _Graph(), "x", (3, 16, 32, 64, 64, 96, 128)
    for index, (before, after) in enumerate(itertools.pairwise(channels)):
        stride = 1 if index == 3 else 2
        value = graph.add("Conv", value, graph.weight(after, before, 3, 3), pads=[1, 1, 1, 1], strides=[stride, stride])
        value = graph.add("Relu", value)
    return graph.save(folder, "cnn", (1, 3, 256, 256), (1, channels[-1], 8, 8))


def tfm(folder: Path) -> BenchModel:
    """One transformer block of 128 tokens, 512 wide, 8 heads, 12.6 MB of weights."""
    tokens, width, heads = 128, 512, 8
    graph = _Graph()

    def normalised(value: str) -> str:
        scale, bias = np.ones(width, dtype=np.float32), np.zeros(width, dtype=np.float32)
        return graph.add("LayerNormalization", value, graph.constant(scale), graph.constant(bias), axis=-1)

    def projected(value: str, before: int = width, after: int = width) -> str:
        return graph.add("Add", graph.add("MatMul", value, graph.weight(before, after)), graph.weight(after))

    def split(value: str, permutation: list[int]) -> str:
        sizes = graph.constant(np.array([1, tokens, heads, width // heads], dtype=np.int64))
        return graph.add("Transpose", graph.add("Reshape", value, sizes), perm=permutation)

    seen = normalised("x")
    query, key = split(projected(seen), [0, 2, 1, 3]), split(projected(seen), [0, 2, 3, 1])
    scores = graph.add("Mul", graph.add("MatMul", query, key), graph.constant(np.array(0.125, dtype=np.float32)))
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), split(projected(seen), [0, 2, 1, 3]))
    sizes = graph.constant(np.array([1, tokens, width], dtype=np.int64))
    joined = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), sizes)
    attended = graph.add("Add", "x", projected(joined))
    hidden = graph.add("Relu", projected(normalised(attended), width, 4 * width))
    graph.add("Add", attended, projected(hidden, 4 * width, width))
    return graph.save(folder, "tfm", (1, tokens, width), (1, tokens, width))


#: Every model by name, the shortest first.
MODELS: dict[str, Callable[[Path], BenchModel]] = {"add": add, "mlp": mlp, "cnn": cnn, "tfm": tfm}
