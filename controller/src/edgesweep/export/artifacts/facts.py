"""What an artifact says of itself: the facts that are read back instead of trusting the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True, slots=True)
class Declared:
    """One input or output as the file declares it: numpy's name of its type, and its sizes.

    A size is a number, a dimension's name, or None where the file leaves it open; `shape` is None when it has none.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the file declares. `opset` is that of the standard operators; `nodes` counts subgraphs too."""

    opset: int
    ir_version: int
    nodes: int
    domains: tuple[str, ...]
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]


def facts_of(model: onnx.ModelProto) -> Facts:
    """Read the facts of `model`; weights that are listed as inputs too (IR 3) are no inputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return Facts(
        opset=opset_of(model),
        ir_version=model.ir_version,
        nodes=_count(model.graph.node),
        domains=tuple(sorted({entry.domain or "ai.onnx" for entry in model.opset_import})),
        inputs=tuple(_declared(value) for value in model.graph.input if value.name not in weights),
        outputs=tuple(_declared(value) for value in model.graph.output),
    )


def opset_of(model: onnx.ModelProto) -> int:
    """The version of the standard operators that the file imports; 1 when it names none."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return max(versions, default=1)


def nodes_in(nodes: object) -> list[onnx.NodeProto]:
    """All nodes, those of subgraphs behind the node that holds them."""
    found: list[onnx.NodeProto] = []
    for node in nodes:  # type: ignore[attr-defined]
        found.append(node)
        for attribute in node.attribute:
            graphs = [attribute.g] if attribute.HasField("g") else list(attribute.graphs)
            for graph in graphs:
                found.extend(nodes_in(graph.node))
    return found


def _count(nodes: object) -> int:
    return len(nodes_in(nodes))


def _declared(value: onnx.ValueInfoProto) -> Declared:
    import onnx

    tensor = value.type.tensor_type
    try:
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except KeyError:
        dtype = ""
    if not tensor.HasField("shape"):
        return Declared(value.name, dtype, None)
    shape: list[int | str | None] = []
    for dim in tensor.shape.dim:
        if dim.HasField("dim_value"):
            shape.append(int(dim.dim_value))
        else:
            shape.append(dim.dim_param or None)
    return Declared(value.name, dtype, tuple(shape))
