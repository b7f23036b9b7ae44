"""Half precision by the float16 converter that onnxruntime keeps in `onnxruntime.transformers`.

Its ancestor in `onnxconverter_common` was tried beside it on the zoo: of 19 exported files it left 8 that onnxruntime does
not load, since it lets casts to float32 stand, and it cuts weights at 1e4; onnxruntime's converts all 19, keeps weights up
to 65504 and those operands of Resize that must be float32, and is installed wherever an artifact can be proven.

Inputs and outputs stay float32, with a cast at each end: payloads and references then are the model's own, and a cell of
fp16 is fed and compared as one of fp32 is. Operators without a half-precision kernel stay float32 (the converter's list).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgesweep.export.artifacts.saving import save_model
from edgesweep.export.precisions import Feed, UnconvertibleError
from edgesweep.export.precisions._onnxruntime import tools_of_onnxruntime


class _Float16:
    calibrates = False
    halves = True

    def convert(self, source: Path, target: Path, _feeds: Sequence[Feed]) -> None:
        """Write the model in half precision.

        Raises:
            UnconvertibleError: No value of the model is float32.
            Exception: Whatever the converter raises.
        """
        with tools_of_onnxruntime(target.parent):
            from onnxruntime.transformers.float16 import convert_float_to_float16
            from onnxruntime.transformers.onnx_model import OnnxModel

            # By its path, so that shapes of a model beyond 2 GiB can be inferred.
            converted = OnnxModel(convert_float_to_float16(str(source), keep_io_types=True))
        import onnx

        half = onnx.TensorProto.FLOAT16
        if not any(value.type.tensor_type.elem_type == half for value in converted.model.graph.value_info):
            raise UnconvertibleError("the model computes with no float32 values, so nothing changed")
        # The casts are appended at the end of the graph.
        converted.topological_sort(is_deterministic=True)
        save_model(converted.model, target)


PRECISION = _Float16()
"""What plans call `fp16`."""
