"""`torch.onnx.export(dynamo=False)`: runs the model once and writes down what it did.

What it writes may hold for the traced values and sizes only; its warnings say where, and the proof finds out.
"""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesweep.export.arguments import by_position, call_of
from edgesweep.export.exporters import Request
from edgesweep.export.outputs import call, tensor_mask, tensors_alone

if TYPE_CHECKING:
    import torch


class _Tracing:
    """A model to be traced; tracing is cheap and depends on the opset, so every export traces anew."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._module, self._args = _positional(request)
        self._warnings: tuple[str, ...] = ()
        self._mask: tuple[bool, ...] | None = None

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
        if self._mask is None:
            # Sizes and numbers look like tensors in a trace, so a plain call has to tell.
            self._mask = tensor_mask(call(request.module, request.inputs))
        with tensors_alone(self._module, self._mask), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.onnx.export(
                self._module,
                self._args,
                str(path),
                dynamo=False,
                opset_version=opset,
                input_names=list(request.input_names),
                output_names=list(request.output_names),
                dynamic_axes=request.dynamic or None,
            )
        told = [str(warning.message) for warning in caught if issubclass(warning.category, torch.jit.TracerWarning)]
        self._warnings = tuple(dict.fromkeys(told))


def _positional(request: Request) -> tuple[torch.nn.Module, tuple[Any, ...]]:
    """A module and arguments that the tracer can follow: tensors by position only.

    The tracer drops keyword arguments and mixes up nested ones, so a module that takes such is wrapped. It also makes inputs
    without a name of defaults that the call leaves out (`scale=1.0`).
    """
    import torch

    args, kwargs = call_of(request.module, request.inputs)
    parameters = inspect.signature(request.module.forward).parameters
    defaults = [parameter.default for name, parameter in parameters.items() if name not in request.inputs]
    given = all(default is None or default is inspect.Parameter.empty for default in defaults)
    if given and not kwargs and all(isinstance(arg, torch.Tensor) for arg in args):
        return request.module, args
    return by_position(request.module, request.inputs)


class _TorchScript:
    captures_once = False

    def open(self, request: Request) -> _Tracing:
        return _Tracing(request)


EXPORTER = _TorchScript()
