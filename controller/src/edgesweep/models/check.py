"""Whether a model's declarations are true of it: dynamic dimensions, ranges and example inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgesweep.errors import EdgesweepError
from edgesweep.models.inputs import example_of, tensors_in
from edgesweep.models.model import Model
from edgesweep.models.tree import hides_tensors, leaves_of

if TYPE_CHECKING:
    import torch

# Words of an axes profile that are not dimension names (design: `axes:` in the plan, `asis` for .onnx files).
RESERVED = frozenset({"static", "full", "asis"})


def unusable(name: str, sentence: str, *, remedy: str = "") -> EdgesweepError:
    """The error for a model that cannot be used, its sentence opened by the model's name."""
    return EdgesweepError("model_unusable", f"model '{name}': {sentence}", remedy=remedy)


def check_declarations(name: str, model: Model) -> dict[str, dict[int, str]]:
    """The model's `dynamic` with axes counted from the front, once every declaration has been found true.

    Raises:
        EdgesweepError: `model_unusable`, one sentence that names what is wrong and what would be right.
    """
    try:
        example = example_of(model)
        tensors = tensors_in(example)
    except TypeError as error:
        raise unusable(name, f"its example inputs do not fit forward(): {error}") from error
    _check_leaves(name, example)
    if not tensors:
        raise unusable(name, "its example inputs hold no tensor")
    _check_output_names(name, model.output_names, tensors)
    dynamic = {path: _axes(name, path, axes, tensors) for path, axes in model.dynamic.items()}
    sizes = _sizes(name, dynamic, tensors)
    _check_ranges(name, model.ranges, sizes)
    return dynamic


def _check_leaves(name: str, example: Mapping[str, Any]) -> None:
    """No tensor may be out of sight, and no two may go by one name."""
    import torch

    paths = [path for path, leaf in leaves_of(example) if isinstance(leaf, torch.Tensor)]
    for path in paths:
        if paths.count(path) > 1:
            raise unusable(
                name,
                f"its example inputs hold two tensors that are both called '{path}'",
                remedy="rename a key of the nested inputs: a path is its keys joined by dots",
            )
    for path, leaf in leaves_of(example):
        if hides_tensors(leaf):
            kind = type(leaf).__name__
            raise unusable(
                name,
                f"its example input '{path}' is a {kind}, whose tensors would be baked into the export: torch cannot take "
                f"a {kind} apart",
                remedy=f"call torch.utils._pytree.register_pytree_node for {kind} in the factory, or let forward() take "
                "tuples, dicts or dataclasses of tensors",
            )


def _check_output_names(name: str, names: Sequence[str], tensors: Mapping[str, torch.Tensor]) -> None:
    for output in names:
        if not isinstance(output, str) or not output:
            raise unusable(name, f"`output_names` holds {output!r}, which is no name")
        if output in tensors:
            raise unusable(name, f"`output_names` calls an output '{output}', which is the name of an input")
        if list(names).count(output) > 1:
            raise unusable(name, f"`output_names` calls two outputs '{output}'")


def _axes(name: str, path: str, axes: Mapping[int, str], tensors: Mapping[str, torch.Tensor]) -> dict[int, str]:
    if path not in tensors:
        raise unusable(name, f"`dynamic` names '{path}', but the tensor inputs of forward() are: {', '.join(tensors)}")
    rank = tensors[path].dim()
    found: dict[int, str] = {}
    for axis, dimension in axes.items():
        if isinstance(axis, bool) or not isinstance(axis, int) or not -rank <= axis < rank:
            valid = f"0 to {rank - 1}" if rank else "none, it is a scalar"
            raise unusable(name, f"`dynamic` names axis {axis!r} of '{path}', but its axes are {valid}")
        if isinstance(dimension, str) and any(sign in dimension for sign in "+-*/"):
            raise unusable(
                name,
                f"`dynamic` calls axis {axis} of '{path}' {dimension!r}, but a size cannot be named by a sum or product of others",
                remedy="let the model take the parts as inputs of their own and join them in forward(), as "
                "docs/export-matrix.md shows",
            )
        if not isinstance(dimension, str) or not dimension.isidentifier() or dimension in RESERVED:
            raise unusable(
                name,
                f"`dynamic` calls axis {axis} of '{path}' {dimension!r}, which is no dimension name: "
                "use letters, digits and underscores, and none of static, full, asis",
            )
        if axis % rank in found:
            raise unusable(name, f"`dynamic` names axis {axis % rank} of '{path}' twice")
        if dimension in found.values():
            raise unusable(name, f"`dynamic` gives two axes of '{path}' the one name '{dimension}'")
        found[axis % rank] = dimension
    return dict(sorted(found.items()))


def _sizes(name: str, dynamic: Mapping[str, Mapping[int, str]], tensors: Mapping[str, torch.Tensor]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for path, axes in dynamic.items():
        for axis, dimension in axes.items():
            size = int(tensors[path].shape[axis])
            if size < 1:
                raise unusable(
                    name,
                    f"axis {axis} of the example input '{path}' is empty, and dimension '{dimension}' cannot be traced there",
                    remedy="give an example of at least 1 there, or declare the axis static",
                )
            if sizes.setdefault(dimension, size) != size:
                raise unusable(
                    name,
                    f"dimension '{dimension}' is {sizes[dimension]} in one example input and {size} in '{path}'",
                )
    return sizes


def _check_ranges(name: str, ranges: Mapping[str, tuple[int, int]], sizes: Mapping[str, int]) -> None:
    for dimension, bounds in ranges.items():
        if dimension not in sizes:
            known = ", ".join(sizes) or "none"
            raise unusable(name, f"`ranges` names '{dimension}', but the dynamic dimensions are: {known}")
        try:
            low, high = bounds
        except (TypeError, ValueError) as error:
            raise unusable(name, f"the range of '{dimension}' is {bounds!r}, not two sizes") from error
        if not (type(low) is int and type(high) is int and 1 <= low <= high):
            raise unusable(
                name, f"the range of '{dimension}' is {low!r} to {high!r}; it must be two sizes of at least 1, in order"
            )
        if low == high:
            raise unusable(
                name,
                f"the range of '{dimension}' is {low} to {high}, and what has a single size is not dynamic",
                remedy="widen the range, or leave the dimension out of `dynamic`",
            )
        if not low <= sizes[dimension] <= high:
            raise unusable(
                name, f"the example's size {sizes[dimension]} of '{dimension}' lies outside its range {low} to {high}"
            )
