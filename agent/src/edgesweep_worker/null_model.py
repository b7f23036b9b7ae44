"""Tiny ONNX models, written byte by byte: what a probe runs on a board that has no `onnx`.

The encoder knows only varints and length-delimited fields of the protobuf wire format
(https://protobuf.dev/programming-guides/encoding/), which is all that these models need.
"""

from __future__ import annotations

import struct
from typing import Sequence

_FLOAT = 1
_INT8 = 3
_STRING = 8
_HALF = 10
_FLOAT_ATTRIBUTE, _INT_ATTRIBUTE, _INTS_ATTRIBUTE = 1, 2, 7

#: IR 7 and opset 13 are the oldest pair that every supported runtime and provider takes.
IR_VERSION = 7
OPSET = 13


def identity_model(ir_version: int, opsets: Sequence[tuple[str, int]]) -> bytes:
    """One Identity node that claims `ir_version` and `opsets`: shows whether a runtime takes these numbers.

    Args:
        ir_version: IR version of the model.
        opsets: (domain, version) pairs; the ONNX domain is "".
    """
    node = _node("Identity", ["x"], ["y"])
    return _model(_graph([node], [("x", (1, 8))], [("y", (1, 8))]), ir_version, opsets)


def add_model(ir_version: int = IR_VERSION, opset: int = OPSET, *, half: bool = False) -> bytes:
    """`y = x + x` on 8 floats, or float16 with `half`: the least a session can do, so its time is the harness's own."""
    ends = [("x", (1, 8))], [("y", (1, 8))]
    graph = _graph([_node("Add", ["x", "x"], ["y"])], *ends, element_type=_HALF if half else _FLOAT)
    return _model(graph, ir_version, [("", opset)])


def dense_model(*, half: bool = False) -> bytes:
    """`y = relu(x @ w)` with x [1, 8] and w [8, 8]: what nearly every provider takes. With `half` all of it is float16."""
    weights = _tensor("w", (8, 8), [0.125] * 64, half=half)
    nodes = [_node("MatMul", ["x", "w"], ["h"]), _node("Relu", ["h"], ["y"])]
    ends = [("x", (1, 8))], [("y", (1, 8))]
    return _model(_graph(nodes, *ends, [weights], _HALF if half else _FLOAT))


def convolution_model(*, half: bool = False) -> bytes:
    """A 3x3 convolution of x [1, 3, 8, 8]: for providers that take convolutions only. With `half` it is float16."""
    weights = _tensor("w", (4, 3, 3, 3), [0.0625] * 108, half=half)
    attributes = [_ints("kernel_shape", (3, 3)), _ints("pads", (1, 1, 1, 1)), _ints("strides", (1, 1))]
    node = _node("Conv", ["x", "w"], ["y"], attributes)
    ends = [("x", (1, 3, 8, 8))], [("y", (1, 4, 8, 8))]
    return _model(_graph([node], *ends, [weights], _HALF if half else _FLOAT))


def quantised_dense_model() -> bytes:
    """The product of `dense_model` in int8, as quantisers write it: every value goes through a pair of Q and DQ nodes."""
    scales = [_tensor("s", (), [0.0625]), _tensor("ws", (), [0.125])]
    weights = _number(1, 8) + _number(1, 8) + _number(2, _INT8) + _text(8, "w") + _field(9, bytes([1]) * 64)
    zero = _number(2, _INT8) + _text(8, "z") + _field(9, bytes(1))
    nodes = [
        _node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        _node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        _node("DequantizeLinear", ["w", "ws", "z"], ["wd"]),
        _node("MatMul", ["xd", "wd"], ["h"]),
        _node("QuantizeLinear", ["h", "s", "z"], ["hq"]),
        _node("DequantizeLinear", ["hq", "s", "z"], ["y"]),
    ]
    return _model(_graph(nodes, [("x", (1, 8))], [("y", (1, 8))], [*scales, weights, zero]))


def models_with_type(element_type: int, bits: int, ir_version: int, opset: int) -> list[bytes]:
    """Models that hold values of one element type: a cast to it and back, weights of it, and an input of it.

    A runtime that takes the type at all takes it in one of these places; which one differs from type to type.

    Args:
        element_type: number of TensorProto.DataType.
        bits: bits of one element; 0 for a string.
        ir_version: IR version of the models.
        opset: their opset.
    """
    ends = [("x", (1, 8))], [("y", (1, 8))]
    there_and_back = [
        _node("Cast", ["x"], ["t"], [_int("to", element_type)]),
        _node("Cast", ["t"], ["y"], [_int("to", _FLOAT)]),
    ]
    graphs = [_graph(there_and_back, *ends)]
    if element_type != _STRING:
        weights = _number(1, 8) + _number(2, element_type) + _text(8, "w") + _field(9, bytes(bits))
        unpack = [_node("DequantizeLinear", ["w", "s"], ["d"]), _node("Add", ["x", "d"], ["y"])]
        graphs.append(_graph(unpack, *ends, initializers=[weights, _tensor("s", (), [1.0])]))
    graphs.append(_graph([_node("Identity", ["x"], ["y"])], *ends, element_type=element_type))
    return [_model(graph, ir_version, [("", opset)]) for graph in graphs]


def models_of_domains() -> dict[str, Sequence[bytes]]:
    """Models of one node each, by the domain that the node's operator belongs to.

    Importing a domain shows nothing: runtimes take the name of any.
    """
    return {
        "ai.onnx": [add_model()],
        "ai.onnx.ml": [_of_domain("ai.onnx.ml", "Binarizer", [_float("threshold", 0.5)])],
        "com.microsoft": [_of_domain("com.microsoft", name) for name in ("Gelu", "QuickGelu")],
        "com.microsoft.nchwc": [_of_domain("com.microsoft.nchwc", "GlobalAveragePool", shape=(1, 16, 1, 1))],
    }


def _of_domain(domain: str, operator: str, attributes: Sequence[bytes] = (), shape: Sequence[int] = (1, 8)) -> bytes:
    node = _node(operator, ["x"], ["y"], attributes, domain)
    return _model(_graph([node], [("x", shape)], [("y", shape)]), opsets=[("", OPSET), (domain, 1)])


def _model(graph: bytes, ir_version: int = IR_VERSION, opsets: Sequence[tuple[str, int]] = (("", OPSET),)) -> bytes:
    imports = b"".join(
        _field(8, (_text(1, domain) if domain else b"") + _number(2, version)) for domain, version in opsets
    )
    return _number(1, ir_version) + _text(2, "edgesweep") + _field(7, graph) + imports


def _graph(
    nodes: Sequence[bytes],
    inputs: Sequence[tuple[str, Sequence[int]]],
    outputs: Sequence[tuple[str, Sequence[int]]],
    initializers: Sequence[bytes] = (),
    element_type: int = _FLOAT,
) -> bytes:
    parts = [_field(1, node) for node in nodes]
    parts.append(_text(2, "null"))
    parts += [_field(5, tensor) for tensor in initializers]
    parts += [_field(11, _value_info(name, shape, element_type)) for name, shape in inputs]
    parts += [_field(12, _value_info(name, shape, element_type)) for name, shape in outputs]
    return b"".join(parts)


def _node(
    operator: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    attributes: Sequence[bytes] = (),
    domain: str = "",
) -> bytes:
    parts = [_text(1, name) for name in inputs]
    parts += [_text(2, name) for name in outputs]
    parts += [_text(3, f"{operator.lower()}_{outputs[0]}"), _text(4, operator)]
    parts += [_field(5, attribute) for attribute in attributes]
    parts += [_text(7, domain)] if domain else []
    return b"".join(parts)


def _float(name: str, value: float) -> bytes:
    return _text(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, _FLOAT_ATTRIBUTE)


def _int(name: str, value: int) -> bytes:
    return _text(1, name) + _number(3, value) + _number(20, _INT_ATTRIBUTE)


def _ints(name: str, values: Sequence[int]) -> bytes:
    return _text(1, name) + b"".join(_number(8, value) for value in values) + _number(20, _INTS_ATTRIBUTE)


def _value_info(name: str, shape: Sequence[int], element_type: int) -> bytes:
    dimensions = b"".join(_field(1, _number(1, size)) for size in shape)
    tensor_type = _number(1, element_type) + _field(2, dimensions)
    return _text(1, name) + _field(2, _field(1, tensor_type))


def _tensor(name: str, shape: Sequence[int], values: Sequence[float], *, half: bool = False) -> bytes:
    dimensions = b"".join(_number(1, size) for size in shape)
    content = struct.pack(f"<{len(values)}{'e' if half else 'f'}", *values)
    return dimensions + _number(2, _HALF if half else _FLOAT) + _text(8, name) + _field(9, content)


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
