"""One form for equal models: no host paths, no source lines, weights as blobs, the same bytes every time.

torch's exporters write stack traces, source lines and host paths into `metadata_props` and `doc_string`. They would
reach a board and would give equal models different digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesweep_proto.blob import Blob

if TYPE_CHECKING:
    import onnx

#: Weights stay inside the model file up to this many bytes in all.
EMBEDDED_MAX_BYTES = 1 << 20
#: Beyond that, each tensor of at least this many bytes becomes a file of its own, shared by all variants that hold it.
EXTERNAL_MIN_BYTES = 64 << 10

_STRIPPED = ("metadata_props", "doc_string")


@dataclass(frozen=True, slots=True)
class Canonical:
    """A canonical model on disk: `path` with its external data beside it as `<sha256>.bin`.

    `original` is the same model with the exporter's own metadata, for the host alone.
    """

    path: Path
    model: onnx.ModelProto
    external: tuple[Blob, ...]
    graph_hash: str
    original: bytes


def canonicalise(source: Path, folder: Path) -> Canonical:
    """Write the model at `source` into `folder` in canonical form.

    Args:
        source: What an exporter wrote, its external data beside it.
        folder: An empty folder of its own.
    """
    import onnx

    model = onnx.load(source, load_external_data=False)
    external = _place_weights(model, source.parent, folder)
    original = model.SerializeToString(deterministic=True)
    for message in messages_in(model):
        for name in _STRIPPED:
            if name in message.DESCRIPTOR.fields_by_name:
                message.ClearField(name)
    _sort_by_name(model.graph.initializer)
    _sort_by_name(model.graph.value_info)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return Canonical(path, model, external, graph_hash_of(model), original)


def external_name(blob: Blob) -> str:
    """What a blob of external data is called inside a model."""
    return f"{blob.sha256}.bin"


def messages_in(message: Any) -> Iterator[Any]:
    """`message` and every message inside it, at any depth."""
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        for part in value if descriptor.is_repeated else (value,):
            yield from messages_in(part)


def tensors_in(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor of the model that may hold data: initializers and attributes, in subgraphs and functions too."""
    import onnx

    for message in messages_in(model):
        if isinstance(message, onnx.TensorProto):
            yield message


def location_of(tensor: onnx.TensorProto) -> tuple[str, int, int | None]:
    """File name, offset and length (None: to the end) of a tensor's external data."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    length = entries.get("length")
    return entries["location"], int(entries.get("offset", 0)), int(length) if length else None


def is_external(tensor: onnx.TensorProto) -> bool:
    """Whether the tensor's bytes lie in another file."""
    import onnx

    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def point_to(tensor: onnx.TensorProto, name: str, offset: int, length: int | None) -> None:
    """Have `tensor` take its bytes from the file `name` beside the model."""
    import onnx

    tensor.ClearField("raw_data")
    tensor.ClearField("external_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entries = {"location": name, "offset": str(offset)} | ({} if length is None else {"length": str(length)})
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


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


def _place_weights(model: onnx.ModelProto, origin: Path, folder: Path) -> tuple[Blob, ...]:
    """Embed the weights, or write the large ones into `folder`; the blobs so written, each once."""
    sizes = [_size(tensor, origin) for tensor in model.graph.initializer]
    split = sum(sizes) > EMBEDDED_MAX_BYTES
    placed: dict[str, Blob] = {}
    for tensor, size in zip(model.graph.initializer, sizes, strict=True):
        if not split or size < EXTERNAL_MIN_BYTES:
            continue
        data = _read(tensor, origin) if is_external(tensor) else tensor.raw_data
        blob = Blob(hashlib.sha256(data).hexdigest(), len(data))
        if external_name(blob) not in placed:
            (folder / external_name(blob)).write_bytes(data)
            placed[external_name(blob)] = blob
        point_to(tensor, external_name(blob), 0, blob.size_bytes)
    for tensor in tensors_in(model):
        if is_external(tensor) and location_of(tensor)[0] not in placed:
            tensor.raw_data = _read(tensor, origin)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
    return tuple(placed.values())


def _sort_by_name(entries: Any) -> None:
    """Order what has no order of its own: the exporters' order depends on the way that they took to the graph."""
    ordered = sorted(entries, key=lambda entry: entry.name)
    del entries[:]
    entries.extend(ordered)


def _size(tensor: onnx.TensorProto, origin: Path) -> int:
    """Bytes of a tensor that can be moved; 0 for one written out as typed numbers, which exporters do for small ones."""
    if not is_external(tensor):
        return len(tensor.raw_data)
    name, offset, length = location_of(tensor)
    return length if length is not None else (origin / name).stat().st_size - offset


def _read(tensor: onnx.TensorProto, origin: Path) -> bytes:
    name, offset, length = location_of(tensor)
    with (origin / name).open("rb") as file:
        file.seek(offset)
        return file.read(-1 if length is None else length)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _graph(graph: onnx.GraphProto, outer: dict[str, str]) -> Any:
    """A graph as plain data: weights stand for themselves, other values are numbered in order of appearance.

    `outer` says what the values of the graphs around this one are called.
    """
    names = outer | {tensor.name: _tensor(tensor) for tensor in graph.initializer}
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
    return _hash([function.domain, function.name, list(function.attribute), inputs, nodes, outputs])


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
