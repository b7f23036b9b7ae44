"""8-bit weights and activations with scales chosen beforehand: onnxruntime's `quantize_static` in the QDQ form.

QuantizeLinear and DequantizeLinear pairs stand around the operators, which most providers fuse into kernels of their own.
The scales come from the smallest and largest values that the calibration inputs, which are seeded, bring about.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from edgesweep.export.artifacts.facts import facts_of, opset_of
from edgesweep.export.artifacts.saving import is_large
from edgesweep.export.precisions import Feed
from edgesweep.export.precisions._onnxruntime import PER_CHANNEL_OPSET, prepare, tidy, tools_of_onnxruntime


class _Reader:
    """The calibration inputs that the model takes, one after the other; a quantizer asks until it gets None."""

    def __init__(self, feeds: Sequence[Feed], names: Sequence[str]) -> None:
        self._left: Iterator[Feed] = iter([{name: feed[name] for name in names} for feed in feeds])

    def get_next(self) -> Feed | None:
        return next(self._left, None)


class _Int8Static:
    calibrates = True
    halves = False

    def convert(self, source: Path, target: Path, feeds: Sequence[Feed]) -> None:
        """Write the model with 8-bit weights and activations where an operator can take them.

        Raises:
            UnconvertibleError: The opset is too old, or no operator can be quantized.
            Exception: Whatever the quantizer raises.
        """
        with tools_of_onnxruntime(target.parent) as scratch:
            from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

            CalibrationDataReader.register(_Reader)
            ready = scratch / "prepared" / "prepared.onnx"
            ready.parent.mkdir()
            model = prepare(source, ready)
            quantize_static(
                ready,
                target,
                _Reader(feeds, [value.name for value in facts_of(model).inputs]),
                quant_format=QuantFormat.QDQ,
                per_channel=opset_of(model) >= PER_CHANNEL_OPSET,
                use_external_data_format=is_large(ready),
            )
        tidy(target)


PRECISION = _Int8Static()
"""What plans call `int8-static`."""
