"""A digest of what a model computes: two models that differ in names only are one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def graph_hash_of(model: onnx.ModelProto) -> str:
    """SHA-256 of what the model computes, whatever its values and nodes are called.

    Two models share it when they have the same opsets, nodes, attributes, weights and input types in the same order.
    """
    return _hash(
        {
            "opsets": sorted((entry.domain, entry.version) for entry in model.opset_import),
            "graph": _graph(model.graph, {}),
            "functions": sorted(_function(function) for function in model.functions),
        }
    )


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _graph(graph: onnx.GraphProto, outer: dict[str, str]) -> Any:
    """A graph as plain data: weights stand for themselves, other values are numbered in order of appearance.

    `outer` says what the values of the graphs around this one are called.
    """
    names = outer | {tensor.name: _tensor(tensor) for tensor in graph.initializer}
    names |= {sparse.values.name: _sparse(sparse) for sparse in graph.sparse_initializer}
    dims: dict[str, str] = {}

    def number(name: str) -> str:
        return names.setdefault(name, str(len(names))) if name else ""

    inputs = [(number(value.name), _type(value.type, dims)) for value in graph.input]
    nodes = [_node(node, names, number) for node in graph.node]
    outputs = [(number(value.name), _type(value.type, dims)) for value in graph.output]
    return {"inputs": inputs, "nodes": nodes, "outputs": outputs}


def _node(node: onnx.NodeProto, names: dict[str, str], number: Callable[[str], str]) -> Any:
    inputs = [number(name) for name in node.input]
    attributes = sorted(_attribute(attribute, names) for attribute in node.attribute)
    return [node.domain, node.op_type, inputs, attributes, [number(name) for name in node.output]]


def _function(function: onnx.FunctionProto) -> str:
    names: dict[str, str] = {}

    def number(name: str) -> str:
        return names.setdefault(name, str(len(names))) if name else ""

    inputs = [number(name) for name in function.input]
    nodes = [_node(node, names, number) for node in function.node]
    outputs = [number(name) for name in function.output]
    opsets = sorted((entry.domain, entry.version) for entry in function.opset_import)
    defaults = sorted(_attribute(attribute, names) for attribute in function.attribute_proto)
    attributes = [list(function.attribute), defaults]
    return _hash([function.domain, function.name, function.overload, opsets, attributes, inputs, nodes, outputs])


def _attribute(attribute: onnx.AttributeProto, names: dict[str, str]) -> tuple[str, str]:
    """An attribute's name and a digest of its value; a subgraph is numbered like the graph around it."""
    if attribute.HasField("g"):
        return attribute.name, _hash(_graph(attribute.g, names))
    if attribute.graphs:
        return attribute.name, _hash([_graph(graph, names) for graph in attribute.graphs])
    if attribute.HasField("t"):
        return attribute.name, _tensor(attribute.t)
    return attribute.name, hashlib.sha256(attribute.SerializeToString(deterministic=True)).hexdigest()


def _tensor(tensor: onnx.TensorProto) -> str:
    """A digest of a tensor's type, shape and bytes; external data is named by its digest already."""
    bare = type(tensor)()
    bare.CopyFrom(tensor)
    bare.ClearField("name")
    return hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def _sparse(tensor: onnx.SparseTensorProto) -> str:
    return _hash([_tensor(tensor.values), _tensor(tensor.indices), list(tensor.dims)])


def _type(declared: onnx.TypeProto, dims: dict[str, str]) -> Any:
    """A value's element type and sizes, named dimensions numbered in order of appearance."""
    tensor = declared.tensor_type
    if not tensor.HasField("shape"):
        return [tensor.elem_type, None]
    sizes = [
        dims.setdefault(dim.dim_param, f"d{len(dims)}") if dim.HasField("dim_param") else dim.dim_value
        for dim in tensor.shape.dim
    ]
    return [tensor.elem_type, sizes]
