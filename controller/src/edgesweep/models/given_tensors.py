"""The user's own example inputs in the place of those that a factory returned."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from edgesweep.models.given import Wanted, given_inputs
from edgesweep.models.inputs import example_of, tensors_in
from edgesweep.models.model import Model
from edgesweep.models.source import ModelSource
from edgesweep.models.tree import map_leaves

if TYPE_CHECKING:
    import torch


def with_given(source: ModelSource, model: Model) -> Model:
    """`model` with the arrays of `source.inputs` as its example; a tensor that the file does not hold stays as it is.

    The file calls tensors by their paths, `x` or `past.0.key`. They have the type and the sizes of the factory's own
    example, but for the sizes of dynamic dimensions.

    Raises:
        EdgesweepError: `inputs_unusable`, one sentence that names what does not fit.
    """
    import torch

    tensors = tensors_in(example_of(model))
    arrays = given_inputs(source, [_wanted(path, tensor, model) for path, tensor in tensors.items()])
    # By the tensor itself: arguments by position have no path yet where the example is a tuple.
    given = {id(tensors[path]): torch.from_numpy(array.copy()) for path, array in arrays.items()}

    def exchanged(_path: str, leaf: Any) -> Any:
        return given.get(id(leaf), leaf)

    return dataclasses.replace(model, example_inputs=map_leaves(model.example_inputs, exchanged))


def _wanted(path: str, tensor: torch.Tensor, model: Model) -> Wanted:
    names = model.dynamic.get(path, {})
    sizes = tuple(names.get(axis, int(size)) for axis, size in enumerate(tensor.shape))
    return Wanted(path, str(tensor.dtype).removeprefix("torch."), sizes)
