"""The IR version of a file: the least that its content needs, and lowering it to a cap.

Exporters stamp the newest IR version that they know, and older runtimes refuse the file for that number alone, although
most files hold nothing that is new. The table follows the comments of `onnx.proto` on what each version added. The IR
version that the ONNX project released together with an opset is no need: onnxruntime reads the two numbers independently.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgesweep_proto.trial import Stage

from edgesweep.export.artifacts.canonical import messages_in
from edgesweep.export.artifacts.facts import element_types
from edgesweep.export.failures.failure import Failure

if TYPE_CHECKING:
    import onnx

#: Below this a model cannot say which opset it holds.
_OPSET_IMPORT = 3
#: Below this every weight must be listed as an input as well.
_WEIGHTS_ALONE = 4

#: Fields by the message that holds them: the version that added them, and what they are for the user.
_FIELDS = {
    ("GraphProto", "quantization_annotation"): (5, "quantization annotations"),
    ("GraphProto", "sparse_initializer"): (6, "sparse weights"),
    ("AttributeProto", "sparse_tensor"): (6, "sparse tensors"),
    ("AttributeProto", "sparse_tensors"): (6, "sparse tensors"),
    ("ModelProto", "training_info"): (7, "training information"),
    ("TypeProto", "sparse_tensor_type"): (8, "sparse tensors as values"),
    ("TypeProto", "optional_type"): (8, "optional values"),
    ("ModelProto", "functions"): (8, "functions of its own"),
    ("FunctionProto", "attribute_proto"): (9, "functions whose attributes have defaults"),
    ("FunctionProto", "overload"): (10, "overloaded functions"),
    ("NodeProto", "overload"): (10, "overloaded functions"),
    ("ModelProto", "configuration"): (11, "multi-device configurations"),
    ("NodeProto", "device_configurations"): (11, "multi-device configurations"),
}
#: Element types by onnx's name. The rest are as old as the format.
_TYPES = {
    "BFLOAT16": 4,
    "FLOAT8E4M3FN": 9,
    "FLOAT8E4M3FNUZ": 9,
    "FLOAT8E5M2": 9,
    "FLOAT8E5M2FNUZ": 9,
    "UINT4": 10,
    "INT4": 10,
    "FLOAT4E2M1": 11,
    "FLOAT8E8M0": 12,
    "UINT2": 13,
    "INT2": 13,
    "FLOAT6E2M3": 14,
    "FLOAT6E3M2": 14,
}


def needs_of(model: onnx.ModelProto) -> dict[str, int]:
    """What the file holds that is newer than IR version 1, in words, and the IR version that each thing needs."""
    needs: dict[str, int] = {}
    if model.opset_import:
        needs["opset imports"] = _OPSET_IMPORT
    given = {value.name for value in model.graph.input}
    if any(tensor.name not in given for tensor in model.graph.initializer):
        needs["weights that are no inputs"] = _WEIGHTS_ALONE
    types = _newer_types()
    for message in messages_in(model):
        kind = message.DESCRIPTOR.name
        for descriptor, _ in message.ListFields():
            if found := _FIELDS.get((kind, descriptor.name)):
                needs[found[1]] = found[0]
        for number in element_types(message):
            if number in types:
                name, version = types[number]
                needs[f"the type {name.lower()}"] = version
    return needs


def least_ir(model: onnx.ModelProto) -> int:
    """The lowest IR version that can hold the file's content."""
    return max(needs_of(model).values(), default=1)


def lower_ir(path: Path, cap: int | None) -> Path:
    """The model at `path` with its IR version at `cap`, as a file beside it; `path` itself where nothing is to be done.

    A file that needs a newer version stays as it is: `check_ir` says why.
    """
    import onnx

    if cap is None:
        return path
    model = onnx.load(path, load_external_data=False)
    if model.ir_version <= cap or least_ir(model) > cap:
        return path
    model.ir_version = cap
    lowered = path.with_name(f"{path.stem}-ir{cap}.onnx")
    lowered.write_bytes(model.SerializeToString(deterministic=True))
    return lowered


def check_ir(model: onnx.ModelProto, cap: int | None) -> Failure | None:
    """`ir_not_lowerable` when the file's IR version is above `cap`, with what keeps it there."""
    if cap is None or model.ir_version <= cap:
        return None
    newer = {words: version for words, version in needs_of(model).items() if version > cap}
    what = ", ".join(f"{words} (IR {version})" for words, version in sorted(newer.items(), key=lambda need: -need[1]))
    sentence = f"the file is of IR version {model.ir_version}, above the cap {cap}"
    return Failure(Stage.CHECK, "ir_not_lowerable", f"{sentence}: it holds {what}" if what else sentence)


def _newer_types() -> dict[int, tuple[str, int]]:
    """Name and IR version by the number of the element type, as far as the installed onnx knows them."""
    import onnx

    known = onnx.TensorProto.DataType
    return {known.Value(name): (name, version) for name, version in _TYPES.items() if name in known.keys()}  # noqa: SIM118 - an enum wrapper of protobuf is no mapping
