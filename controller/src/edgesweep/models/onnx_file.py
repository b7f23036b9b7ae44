"""What a ready `.onnx` file says of itself, read without the onnx package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgesweep.models.check import unusable
from edgesweep.models.given import Wanted, given_inputs, sizes_given
from edgesweep.models.source import ModelFacts, ModelSource

if TYPE_CHECKING:
    from edgesweep_agent.onnx_header import OnnxHeader


def header_of(source: ModelSource) -> OnnxHeader:
    """The header of the file: IR version, opsets, inputs and outputs.

    Raises:
        EdgesweepError: `model_unusable` when the file is missing, cut off or no ONNX model.
    """
    from edgesweep_agent.onnx_header import read_header

    path = Path(source.ref)
    if not path.is_file():
        raise unusable(source.name, f"there is no file {path}")
    try:
        header = read_header(path)
    except ValueError as error:
        raise unusable(source.name, str(error), remedy="copy or export the file again") from error
    except OSError as error:
        raise unusable(source.name, f"{path} cannot be read: {error.strerror or error}") from error
    return header


def dynamic_of(source: ModelSource, header: OnnxHeader) -> dict[str, dict[int, str]]:
    """The file's dynamic dimensions per input by axis.

    A dimension is called as the file calls it, unless the plan's `dynamic` gives it another name. One that neither
    names is left out: it has no name to give it a size by, and is run at 1.

    Raises:
        EdgesweepError: `model_unusable` when the plan's `dynamic` names an input, an axis or a size that is not so.
    """
    own = {value.name: value.dims for value in header.inputs}
    for name, axes in source.dynamic.items():
        if name not in own:
            raise unusable(source.name, f"`dynamic` names '{name}', but the inputs of the file are: {', '.join(own)}")
        for axis in axes:
            _check_axis(source.name, name, axis, own[name])
    found: dict[str, dict[int, str]] = {}
    for name, dims in own.items():
        given = source.dynamic.get(name, {})
        names = {axis: given.get(axis, dim) for axis, dim in enumerate(dims) if not isinstance(dim, int)}
        found[name] = {axis: dimension for axis, dimension in names.items() if dimension}
    return found


def wanted_by(source: ModelSource, header: OnnxHeader) -> tuple[Wanted, ...]:
    """What the file takes as inputs, its dynamic dimensions called as the plan calls them."""
    names = dynamic_of(source, header)
    # A header does not tell a scalar from an input of which no shape is known.
    return tuple(
        Wanted(
            value.name,
            value.dtype,
            tuple(names[value.name].get(axis, dim) for axis, dim in enumerate(value.dims)) or None,
        )
        for value in header.inputs
    )


def describe_file(source: ModelSource) -> ModelFacts:
    """The facts of an `.onnx` file. Its example is the one that the source gives, else one at each dimension's smallest size.

    A dimension without a range is 1 at its smallest.

    Raises:
        EdgesweepError: `model_unusable`, see `header_of` and `dynamic_of`; also for a range of no dimension of the file;
            `inputs_unusable` for given inputs that the file does not take.
    """
    header = header_of(source)
    dimensions = tuple(dict.fromkeys(name for axes in dynamic_of(source, header).values() for name in axes.values()))
    _check_ranges(source.name, source.ranges, dimensions)
    wanted = wanted_by(source, header)
    given = sizes_given(source, given_inputs(source, wanted), wanted)
    example = {name: given.get(name, source.ranges.get(name, (1, 1))[0]) for name in dimensions}
    return ModelFacts(source.name, dimensions, dict(source.ranges), example, header.opset)


def _check_axis(model: str, name: str, axis: int, dims: Sequence[int | str | None]) -> None:
    if not 0 <= axis < len(dims):
        raise unusable(model, f"`dynamic` names axis {axis} of '{name}', which has {len(dims)} in the file")
    if isinstance(dims[axis], int):
        raise unusable(model, f"`dynamic` names axis {axis} of '{name}', which the file fixes at {dims[axis]}")


def _check_ranges(model: str, ranges: Mapping[str, tuple[int, int]], dimensions: Sequence[str]) -> None:
    for name in ranges:
        if name not in dimensions:
            known = ", ".join(dimensions) or "none"
            raise unusable(model, f"`ranges` names '{name}', but the dynamic dimensions of the file are: {known}")
