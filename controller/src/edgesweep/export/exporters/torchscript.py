"""`torch.onnx.export(dynamo=False)`: runs the model once and writes down what it did.

What it writes may hold for the traced values and sizes only; its warnings say where, and the proof finds out.
"""

from __future__ import annotations

import warnings
from pathlib import Path

from edgesweep.export.arguments import call_of
from edgesweep.export.exporters import Request


class _Tracing:
    """A model to be traced; tracing is cheap and depends on the opset, so every export traces anew."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._args, self._kwargs = call_of(request.module, request.inputs)
        self._warnings: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the tracer warned of during the last export."""
        return self._warnings

    def export(self, opset: int, path: Path) -> None:
        """Write the model at `opset` to `path`.

        Raises:
            Exception: What torch raises.
        """
        import torch

        request = self._request
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.onnx.export(
                request.module,
                self._args,
                str(path),
                kwargs=self._kwargs or None,
                dynamo=False,
                opset_version=opset,
                input_names=list(request.input_names),
                output_names=list(request.output_names),
                dynamic_axes=request.dynamic or None,
            )
        told = [str(warning.message) for warning in caught if issubclass(warning.category, torch.jit.TracerWarning)]
        self._warnings = tuple(dict.fromkeys(told))


class _TorchScript:
    captures_once = False

    def open(self, request: Request) -> _Tracing:
        return _Tracing(request)


EXPORTER = _TorchScript()
