"""8-bit weights, activations quantized as they come: onnxruntime's `quantize_dynamic`. It needs no calibration."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgesweep.export.artifacts.facts import operators_of
from edgesweep.export.artifacts.saving import is_large
from edgesweep.export.precisions import Feed
from edgesweep.export.precisions._onnxruntime import prepare, tidy, tools_of_onnxruntime


class _Int8Dynamic:
    calibrates = False
    halves = False

    def convert(self, source: Path, target: Path, _feeds: Sequence[Feed]) -> None:
        """Write the model with 8-bit weights where an operator can take them.

        Raises:
            UnconvertibleError: The opset is too old, or no operator can be quantized.
            Exception: Whatever the quantizer raises.
        """
        with tools_of_onnxruntime(target.parent) as scratch:
            from onnxruntime.quantization import QuantType, quantize_dynamic

            ready = scratch / "prepared" / "prepared.onnx"
            ready.parent.mkdir()
            model = prepare(source, ready)
            # onnxruntime's older CPU kernels for a quantized convolution take unsigned weights only.
            weights = QuantType.QUInt8 if "Conv" in operators_of(model) else QuantType.QInt8
            quantize_dynamic(ready, target, weight_type=weights, use_external_data_format=is_large(ready))
        tidy(target)


PRECISION = _Int8Dynamic()
"""What plans call `int8-dynamic`."""
