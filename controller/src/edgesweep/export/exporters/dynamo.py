"""`torch.onnx.export(dynamo=True)`: captures with torch.export, then translates.

The capture costs about a quarter of an export and does not depend on the opset, so it is made once per axes profile.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgesweep.export.arguments import by_position, call_of, is_plain, specification_of
from edgesweep.export.decomposition import Decompositions
from edgesweep.export.exporters import InterfaceError, Request
from edgesweep.export.failures.host import host_trouble
from edgesweep.export.outputs import tensors_alone
from edgesweep.models.inputs import tensors_in

if TYPE_CHECKING:
    import torch


class _Tracing:
    """A captured program and how its dimensions are called."""

    warnings: tuple[str, ...] = ()

    def __init__(self, request: Request) -> None:
        self._request = request
        self._module, self._args, self._kwargs = request.module, *call_of(request.module, request.inputs)
        self._plain = is_plain(request.module, request.inputs)
        if not self._plain:
            self._module, self._args = by_position(request.module, request.inputs)
            self._kwargs = {}
        if self._args and not self._kwargs and isinstance(self._args[-1], dict):
            # torch takes a last argument that is a dict for the keyword arguments, unless another dict follows.
            self._args = (*self._args, {})
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
                with tensors_alone(self._module):
                    self._write(self._module, self._args, self._kwargs, opset, path)
            except Exception as error:
                if not programs and not host_trouble(error):
                    self._refusal = error
                raise
            finally:
                self._program = programs[-1] if programs else None

    def _write(self, model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], opset: int, path: Path) -> None:
        import torch

        with self._decompositions.shared():
            program = torch.onnx.export(
                model,
                args,
                None,
                kwargs=kwargs or None,
                dynamo=True,
                opset_version=opset,
                input_names=list(self._request.input_names),
                output_names=list(self._request.output_names),
                dynamic_shapes=self._shapes,
                verbose=False,
            )
        assert program is not None  # noqa: S101 - only the other exporter returns nothing
        self._settle_names(program)
        program.save(str(path), external_data=True)

    def _settle_names(self, program: torch.onnx.ONNXProgram) -> None:
        """Have the names of inputs and outputs belong to them alone.

        torch gives them by position, last of all, whatever else in the graph is called the same.

        Raises:
            InterfaceError: The graph has another number of inputs or outputs than the model.
        """
        graph = program.model.graph
        request = self._request
        for kind, values, names in (
            ("input", graph.inputs, request.input_names),
            ("output", graph.outputs, request.output_names),
        ):
            if len(values) != len(names):
                words = f"the graph has {len(values)} {kind}s and the model has {len(names)}"
                raise InterfaceError(words)
        own = {id(value) for value in (*graph.inputs, *graph.outputs)}
        taken = {*request.input_names, *request.output_names}
        inner = [*graph.initializers.values(), *(value for node in graph.all_nodes() for value in node.outputs)]
        used = {value.name for value in inner} | taken
        for value in inner:
            if id(value) in own or value.name not in taken:
                continue
            fresh = next(name for count in itertools.count(1) if (name := f"{value.name}_{count}") not in used)
            used.add(fresh)
            value.name = fresh

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

        if self._plain:
            return specification_of(request.inputs, leaf)
        return {"tensors": tuple(leaf(path, tensor) for path, tensor in tensors_in(request.inputs).items())}


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
