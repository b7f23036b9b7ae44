"""Whether an artifact is what was asked for, and whether it is valid ONNX at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgesweep_proto.trial import Stage

from edgesweep.export.artifacts.facts import Facts, nodes_in, opset_of
from edgesweep.export.failures.failure import Failure
from edgesweep.export.failures.host import host_trouble

if TYPE_CHECKING:
    import onnx


def check_opset(facts: Facts, asked: int) -> Failure | None:
    """`opset_not_honoured` when the file holds another opset than the one asked for."""
    if facts.opset == asked:
        return None
    return Failure(
        Stage.CHECK, "opset_not_honoured", f"opset {asked} was asked for, the exporter produced opset {facts.opset}"
    )


def check_graph(path: Path, model: onnx.ModelProto) -> Failure | None:
    """`opset_not_registered` or `invalid_graph` when the ONNX checker, shape inference included, refuses the file.

    Args:
        path: The file, its external data beside it.
        model: The same, parsed.
    """
    return _check_registered(model) or _check_valid(path)


def check_dimensions(facts: Facts, dynamic: dict[str, dict[int, str]]) -> Failure | None:
    """`dynamic_dim_static` when a dimension that was asked to be dynamic is a number in the file.

    Args:
        facts: What the file declares.
        dynamic: What was asked: dimension names per input by axis. Inputs that the file lacks are unused by the model.
    """
    declared = {value.name: value.shape for value in facts.inputs}
    for name, axes in dynamic.items():
        shape = declared.get(name)
        if shape is None:
            continue
        for axis, dimension in sorted(axes.items()):
            size = shape[axis]
            if isinstance(size, int):
                return Failure(
                    Stage.CHECK,
                    "dynamic_dim_static",
                    f"dimension '{dimension}' (axis {axis} of input '{name}') came out static: it is always {size}",
                )
    return None


def _check_registered(model: onnx.ModelProto) -> Failure | None:
    """Every standard operator must exist at the produced opset; files that label themselves wrongly are common."""
    import onnx

    opset = opset_of(model)
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        return Failure(
            Stage.CHECK,
            "unprovable_here",
            f"the host's onnx knows opsets up to {newest}, the file holds opset {opset}; nothing was proven",
        )
    local = {(function.domain, function.name) for function in model.functions}
    bodies = [(model.graph.node, opset), *((function.node, opset_of(function)) for function in model.functions)]
    for nodes, version in bodies:
        for node in nodes_in(nodes):
            if node.domain not in ("", "ai.onnx") or (node.domain, node.op_type) in local:
                continue
            try:
                schema = onnx.defs.get_schema(node.op_type, max_inclusive_version=version, domain="")
            except onnx.defs.SchemaError:
                return _unregistered(node.op_type, version, "does not exist")
            if schema.deprecated:
                return _unregistered(
                    node.op_type, version, f"was withdrawn at opset {schema.since_version} and is gone"
                )
    return None


def _unregistered(operator: str, opset: int, how: str) -> Failure:
    return Failure(
        Stage.CHECK, "opset_not_registered", f"operator {operator} of the exported graph {how} at opset {opset}"
    )


def _check_valid(path: Path) -> Failure | None:
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, RuntimeError, ValueError) as error:
        if host_trouble(error):
            raise
        detail = str(error)
        words = next((line.strip() for line in detail.splitlines() if line.strip()), type(error).__name__)
        return Failure(Stage.CHECK, "invalid_graph", f"the ONNX checker refuses the exported graph: {words}", detail)
    return None
