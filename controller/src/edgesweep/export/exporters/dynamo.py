"""`torch.onnx.export(dynamo=True)`: captures with torch.export, then translates.

The capture costs about a quarter of an export and does not depend on the opset, so it is made once per axes profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesweep.export.arguments import call_of, specification_of
from edgesweep.export.decomposition import Decompositions
from edgesweep.export.exporters import Request
from edgesweep.export.failures.host import host_trouble

if TYPE_CHECKING:
    import torch


class _Tracing:
    """A captured program and how its dimensions are called."""

    warnings: tuple[str, ...] = ()

    def __init__(self, request: Request) -> None:
        self._request = request
        self._args, self._kwargs = call_of(request.module, request.inputs)
        self._shapes: dict[str, Any] | None = None
        self._program: torch.export.ExportedProgram | None = None
        self._decompositions = Decompositions()
        self._refusal: Exception | None = None

    def export(self, opset: int, path: Path) -> None:
        """Write the model at `opset` to `path`.

        Raises:
            Exception: What torch raises. A model that cannot be captured raises the same error at every opset.
        """
        if self._refusal is not None:
            raise self._refusal
        if self._program is not None:
            self._write(self._program, (), {}, opset, path)
            return
        self._shapes = self._dynamic_shapes()
        with _captured_programs() as programs:
            try:
                self._write(self._request.module, self._args, self._kwargs, opset, path)
            except Exception as error:
                if not programs and not host_trouble(error):
                    self._refusal = error
                raise
            finally:
                self._program = programs[-1] if programs else None

    def _write(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], opset: int, path: Path) -> None:
        import torch

        with self._decompositions.shared():
            torch.onnx.export(
                model,
                args,
                str(path),
                kwargs=kwargs or None,
                dynamo=True,
                opset_version=opset,
                input_names=list(self._request.input_names),
                output_names=list(self._request.output_names),
                dynamic_shapes=self._shapes,
                external_data=True,
                verbose=False,
            )

    def _dynamic_shapes(self) -> dict[str, Any] | None:
        """Named `torch.export.Dim`s. `Dim.AUTO` would claim to be dynamic where the trace is not."""
        from torch.export import Dim

        request = self._request
        if not request.dynamic:
            return None
        names = {name for axes in request.dynamic.values() for name in axes.values()}
        dims: dict[str, Any] = {}
        for name in names:
            low, high = request.ranges.get(name, (None, None))
            dims[name] = Dim(name, min=low, max=high)

        def leaf(path: str, _tensor: torch.Tensor) -> dict[int, Any]:
            return {axis: dims[name] for axis, name in request.dynamic.get(path, {}).items()}

        return specification_of(request.module, request.inputs, leaf)


class _Dynamo:
    captures_once = True

    def open(self, request: Request) -> _Tracing:
        return _Tracing(request)


@contextmanager
def _captured_programs() -> Iterator[list[torch.export.ExportedProgram]]:
    """Keep the programs that the exporter captures itself.

    What it captures is not what a plain `torch.export.export` gives: it sets switches of its own and refines shapes
    when torch refuses them. Listening in is the only way to reuse exactly what the user would get.
    """
    import torch

    programs: list[torch.export.ExportedProgram] = []
    original = torch.export.export

    def listening(*args: Any, **kwargs: Any) -> torch.export.ExportedProgram:
        program = original(*args, **kwargs)
        programs.append(program)
        return program

    torch.export.export = listening
    try:
        yield programs
    finally:
        torch.export.export = original


EXPORTER = _Dynamo()
