"""What an artifact says of itself: the facts that are read back instead of trusting the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgesweep.export.artifacts.canonical import messages_in

if TYPE_CHECKING:
    import onnx

#: Attributes whose number is an element type.
_TYPE_ATTRIBUTES = frozenset({"to", "dtype", "output_dtype"})


@dataclass(frozen=True, slots=True)
class Declared:
    """One input or output as the file declares it: numpy's name of its type, and its sizes.

    A size is a number, a dimension's name, or None where the file leaves it open; `shape` is None when it has none.
    """

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    @property
    def sizes(self) -> tuple[str, ...]:
        """The shape as text: numbers, names, and `?` for what the file leaves open; nothing where it gives none."""
        return tuple("?" if size is None else str(size) for size in self.shape or ())


@dataclass(frozen=True, slots=True)
class Facts:
    """What the file declares. `opset` is that of the standard operators; `nodes` counts subgraphs too.

    `operators` and `types` are as `Produced` carries them, of subgraphs and functions too.
    """

    opset: int
    ir_version: int
    nodes: int
    domains: tuple[str, ...]
    inputs: tuple[Declared, ...]
    outputs: tuple[Declared, ...]
    operators: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


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
        operators=operators_of(model),
        types=types_of(model),
    )


def operators_of(model: onnx.ModelProto) -> tuple[str, ...]:
    """The distinct operators: `Gemm`, or with its domain `com.microsoft.FusedGelu`.

    A call of the model's own function is none: the runtime sees what the function holds.
    """
    own = {(function.domain, function.name) for function in model.functions}
    nodes = nodes_in(model.graph.node)
    for function in model.functions:
        nodes += nodes_in(function.node)
    called = {(node.domain, node.op_type) for node in nodes} - own
    return tuple(sorted(name if domain in ("", "ai.onnx") else f"{domain}.{name}" for domain, name in called))


def types_of(model: onnx.ModelProto) -> tuple[str, ...]:
    """The distinct element types of inputs, outputs, weights and what lies between, by numpy's name.

    Types that the file does not state are inferred.
    """
    numbers = {number for message in messages_in(_inferred(model)) for number in element_types(message)}
    return tuple(sorted({name for number in numbers if (name := type_name(number))}))


def element_types(message: Any) -> tuple[int, ...]:
    """The element type that `message` itself states, by onnx's number: a weight's, a value's, or what a node casts to."""
    kind = message.DESCRIPTOR.name
    if kind == "TensorProto":
        return (message.data_type,)
    if kind == "AttributeProto" and message.name in _TYPE_ATTRIBUTES:
        return (message.i,)
    return (message.elem_type,) if kind in {"Tensor", "SparseTensor"} else ()


def type_name(number: int) -> str:
    """The name that numpy has for onnx's element type `number`; empty for one that onnx does not know."""
    import onnx

    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(number))
    except KeyError:
        return ""


def opset_of(model: onnx.ModelProto | onnx.FunctionProto) -> int:
    """The version of the standard operators that a file, or a function in it, imports; 1 when it names none."""
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


def _inferred(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the types of all values as far as onnx can tell; the model itself where it states them all."""
    import onnx

    stated = {value.name for value in (*model.graph.value_info, *model.graph.output)}
    if all(name in stated for node in model.graph.node for name in node.output if name):
        return model
    try:
        return onnx.shape_inference.infer_shapes(model)
    except Exception:  # noqa: BLE001 - a file that inference cannot follow states what it states; the checker judges it
        return model


def _declared(value: onnx.ValueInfoProto) -> Declared:
    tensor = value.type.tensor_type
    dtype = type_name(tensor.elem_type)
    if not tensor.HasField("shape"):
        return Declared(value.name, dtype, None)
    shape: list[int | str | None] = []
    for dim in tensor.shape.dim:
        if dim.HasField("dim_value"):
            shape.append(int(dim.dim_value))
        else:
            shape.append(dim.dim_param or None)
    return Declared(value.name, dtype, tuple(shape))
