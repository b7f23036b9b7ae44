"""An operator of a model file as the file has it: what a refusal does not tell, its domain and the types it is given."""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import Dict, Iterator, Tuple

from edgesweep_worker.model_file import fields, text

# Field numbers of onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE = 1, 5, 11, 12, 13
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_TYPE, _NODE_ATTRIBUTE, _NODE_DOMAIN = 1, 2, 3, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INT, _ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 1, 3, 6, 11
_TENSOR_TYPE, _TENSOR_NAME = 2, 8
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_TYPE_ELEMENT = 1, 1

Span = Tuple[int, int]

#: TensorProto.DataType by number, in numpy's and onnx's words.
_ELEMENT_TYPES = (
    "", "float32", "uint8", "int8", "uint16", "int16", "int32", "int64", "string", "bool", "float16", "float64", "uint32",
    "uint64", "complex64", "complex128", "bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz",
    "uint4", "int4", "float4_e2m1fn",
)  # fmt: skip


@dataclass(frozen=True)
class ModelOperator:
    """A node's domain (ai.onnx for the default one), type and name, and the known types of its inputs, in order."""

    domain: str
    type: str
    name: str
    input_types: Tuple[str, ...]


def find_operator(path: str, operator: str, node: str = "") -> ModelOperator | None:
    """The node called `node` that calls `operator` in the model at `path`; without a name, what all its nodes have in common.

    Only what the file says is known: the types of inputs, initializers and noted values, and of what Cast makes.

    Returns:
        None when there is no such node (an optimiser makes its own), or the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                found = [each for graph in _graphs(data) for each in _calls(data, graph, operator)]
    except (OSError, ValueError):
        return None
    if node:
        return next((each for each in found if each.name == node), None)
    if len(found) < 2 or len({(each.domain, each.input_types) for each in found}) == 1:  # noqa: PLR2004 - one, or all alike
        return found[0] if found else None
    domains = {each.domain for each in found}
    return ModelOperator(domains.pop() if len(domains) == 1 else "", operator, "", ())


def _graphs(data: mmap.mmap) -> Iterator[Span]:
    """The model's graph and, in its nodes, those of If, Loop and Scan."""
    waiting = [span for number, _, span in fields(data, 0, len(data)) if number == _MODEL_GRAPH]
    while waiting:
        graph = waiting.pop(0)
        yield graph
        for number, _, node in fields(data, *graph):
            if number != _GRAPH_NODE:
                continue
            for part, _, attribute in fields(data, *node):
                if part == _NODE_ATTRIBUTE:
                    inner = fields(data, *attribute)
                    waiting += [span for word, _, span in inner if word in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS)]


def _calls(data: mmap.mmap, graph: Span, operator: str) -> Iterator[ModelOperator]:
    types: Dict[str, str] | None = None
    for number, _, node in fields(data, *graph):
        if number != _GRAPH_NODE:
            continue
        words: Dict[int, str] = {}
        inputs = []
        for part, _, span in fields(data, *node):
            if part == _NODE_INPUT:
                inputs.append(text(data, span))
            elif part in (_NODE_NAME, _NODE_TYPE, _NODE_DOMAIN):
                words[part] = text(data, span)
        if words.get(_NODE_TYPE) == operator:
            types = _types(data, graph) if types is None else types
            given = tuple(types[name] for name in inputs if name in types)
            yield ModelOperator(words.get(_NODE_DOMAIN) or "ai.onnx", operator, words.get(_NODE_NAME, ""), given)


def _types(data: mmap.mmap, graph: Span) -> Dict[str, str]:
    """Element types by value name, as far as the graph notes them."""
    found: Dict[str, int] = {}
    for number, _, span in fields(data, *graph):
        if number == _GRAPH_INITIALIZER:
            words = {part: (value, inner) for part, value, inner in fields(data, *span)}
            if _TENSOR_NAME in words and _TENSOR_TYPE in words:
                found[text(data, words[_TENSOR_NAME][1])] = words[_TENSOR_TYPE][0]
        elif number in (_GRAPH_INPUT, _GRAPH_OUTPUT, _GRAPH_VALUE):
            name, kind = _value(data, span)
            if kind:
                found[name] = kind
        elif number == _GRAPH_NODE:
            found.update(_cast(data, span))
    return {name: _ELEMENT_TYPES[kind] for name, kind in found.items() if 0 < kind < len(_ELEMENT_TYPES)}


def _value(data: mmap.mmap, span: Span) -> Tuple[str, int]:
    name, kind = "", 0
    for part, _, inner in fields(data, *span):
        if part == _VALUE_NAME:
            name = text(data, inner)
        elif part == _VALUE_TYPE:
            for word, _, tensor in fields(data, *inner):
                if word == _TYPE_TENSOR:
                    kind = next((value for each, value, _ in fields(data, *tensor) if each == _TENSOR_TYPE_ELEMENT), 0)
    return name, kind


def _cast(data: mmap.mmap, node: Span) -> Dict[str, int]:
    """What a Cast makes has the type that it casts to."""
    outputs, operator, target = [], "", 0
    for part, _, span in fields(data, *node):
        if part == _NODE_OUTPUT:
            outputs.append(text(data, span))
        elif part == _NODE_TYPE:
            operator = text(data, span)
        elif part == _NODE_ATTRIBUTE:
            words = {number: (value, inner) for number, value, inner in fields(data, *span)}
            if _ATTRIBUTE_NAME in words and text(data, words[_ATTRIBUTE_NAME][1]) == "to":
                target = words.get(_ATTRIBUTE_INT, (0, (0, 0)))[0]
    return dict.fromkeys(outputs, target) if operator == "Cast" else {}
